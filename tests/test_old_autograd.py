"""Old-style autograd Functions and `.data[0]`: gradients against torch's own, and new ones left alone."""

from __future__ import annotations

import copy
import ctypes
import functools
import gc
import importlib
import inspect
import pickle
import re
import sys
import threading
import time
import weakref

import numpy as np
import pytest
import torch
from torch.autograd import Function, Variable
from torch.utils.checkpoint import checkpoint

import ffi_ext
from ffi_ext.cli import run
from ffi_ext.legacy import async_names, old_autograd
from tests.processes import python


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    # What one test was told, the next one is, too.
    monkeypatch.setattr(old_autograd, "_said", set())
    ffi_ext.install(autograd=True)
    yield
    ffi_ext.uninstall()
    if "torch._dynamo" in sys.modules:
        torch.compiler.reset()  # else a limit of recompilations is all tests' together


class Scale(Function):
    """y = factor x z, with state on self, in saved tensors and from __init__."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x, z):
        self.size = x.size()
        self.save_for_backward(x, z)
        return torch.from_numpy(self.factor * x.numpy() * z.numpy())

    def backward(self, grad):
        assert grad.size() == self.size
        x, z = self.saved_tensors
        x_grad = grad * self.factor * z if self.needs_input_grad[0] else None
        return x_grad, grad * self.factor * x


class Split(Function):
    def forward(self, x):
        self.out = x.exp()
        self.sign = x.sign()
        self.mark_non_differentiable(self.sign)
        return self.out, x.sum(0), self.sign

    def backward(self, exp_grad, sum_grad, _):
        return exp_grad * self.out + sum_grad.expand_as(self.out)


class AddTo(Function):
    def forward(self, x, y):
        self.mark_dirty(x)
        x.add_(y)
        return x

    def backward(self, grad):
        return grad, grad


def leaf(*shape):
    return torch.randn(*shape, dtype=torch.double).requires_grad_()


def test_gradients():
    x, z = leaf(3, 4), leaf(3, 4)
    assert torch.autograd.gradcheck(lambda a, b: Scale(2.5)(a, b), (x, z))
    assert torch.autograd.gradcheck(lambda a: Split()(a)[:2], (x,))


def test_one_instance_called_twice_before_backward():
    f, x, z, w = Scale(3.0), leaf(2), leaf(2), leaf(2)
    first, second = f(x, z), f(w, z)
    (first.sum() + (second * 10).sum()).backward()
    torch.testing.assert_close(x.grad, 3 * z.detach())
    torch.testing.assert_close(w.grad, 30 * z.detach())
    torch.testing.assert_close(z.grad, 3 * x.detach() + 30 * w.detach())
    assert f.size == w.size()  # what forward set on self can be read afterwards


def test_what_backward_leaves_on_self_is_on_the_instance():
    class Watched(Function):
        passes = 0

        def forward(self, x):
            self.input = x
            return 2 * x

        def backward(self, grad):
            self.seen = grad
            self.passes += 1
            return 2 * grad

    x, function = leaf(3), Watched()
    first, second = function(x), function(x + 1)
    (5 * first).sum().backward()
    assert function.seen.tolist() == [5, 5, 5] and function.passes == 1
    assert torch.equal(function.input, x.detach() + 1)  # the later forward's stays
    function.first = first  # a way back to the call; it must not keep the instance alive
    alive = weakref.ref(function)
    del function, first, second
    assert alive() is None


def test_between_forward_and_backward_an_instance_has_what_it_saved_and_takes_what_is_set():
    x, z, function = leaf(3), leaf(3), Scale(2.0)
    out = function(x, z)
    assert [t.tolist() for t in function.saved_tensors] == [x.tolist(), z.tolist()]
    assert not function.saved_tensors[0].requires_grad
    assert function.saved_variables[0] is x
    function.factor = 5.0
    assert pickle.loads(pickle.dumps(function)).factor == 5.0
    out.sum().backward()
    torch.testing.assert_close(x.grad, 5 * z.detach())
    del out
    assert function.saved_tensors == ()


def test_one_instance_in_two_threads():
    """As replicas of a DataParallel model have it: the second's whole step falls into the first's backward."""

    class Square(Function):
        def forward(self, x):
            self.save_for_backward(x)
            return x * x

        def backward(self, grad):
            if others:
                thread = threading.Thread(target=lambda: function(others.pop()).sum().backward())
                thread.start()
                thread.join()
            (x,) = self.saved_tensors
            return 2 * x * grad

    x, other, function = leaf(3), leaf(4), Square()
    others = [other]
    function(x).sum().backward()
    torch.testing.assert_close(x.grad, 2 * x.detach())
    torch.testing.assert_close(other.grad, 2 * other.detach())


def test_what_backward_gives_up_is_freed_and_an_output_on_the_instance_is_no_cycle():
    class Doubled(Function):
        def forward(self, x):
            self.one, self.two = x * 2, x * 3
            return self.one + 0

        def backward(self, grad):
            self.one = None
            del self.two
            return 2 * grad

    x, function = leaf(3), Doubled()
    out = function(x)
    kept = [weakref.ref(function.one), weakref.ref(function.two)]
    function.out = out
    out.sum().backward()
    assert [alive() for alive in kept] == [None, None]
    assert function.one is None and not hasattr(function, "two")
    alive = weakref.ref(out)
    del out, function
    gc.collect()
    assert alive() is None


def test_a_backward_may_run_a_net_of_its_own():
    class Recomputed(Function):
        """y = sin(weight x), which keeps nothing: backward runs it again, with a graph."""

        def __init__(self, weight):
            self.weight = weight

        def net(self, x):
            return torch.sin(self.weight * x)

        def forward(self, x):
            self.x = x
            return self.net(x)

        def backward(self, grad):
            x = Variable(self.x, requires_grad=True)
            out = self.net(x)
            out.backward(grad)
            self.out = out
            return x.grad * self.weight / self.weight  # a Variable's history goes no further

    x, weight = leaf(4), leaf(4)
    Recomputed(weight)(x).backward(torch.full((4,), 3.0, dtype=torch.double))
    want = 3 * weight.detach() * torch.cos(weight.detach() * x.detach())
    torch.testing.assert_close(x.grad, want)
    assert not x.grad.requires_grad


MEMORY = """
from torch.autograd import Function

class Memory(Function):
    def __init__(self, rows):
        super(Memory, self).__init__()
        self.rows = rows
    def forward(self, x, index):
        self.save_for_backward(x, index)
        return x.mm(self.rows.t())
    def backward(self, grad):
        x, index = self.saved_tensors
        grad_x = grad.mm(self.rows)
        for row, i in zip(x, index):
            self.rows[i] = 0.5 * self.rows[i] + 0.5 * row
        return grad_x, None
"""


def test_a_backward_of_pytorch_0_4_writes_to_a_parameter(tmp_path, monkeypatch):
    """As the memories of exemplars in person re-identification."""
    (tmp_path / "memory_of_rows.py").write_text(MEMORY)
    monkeypatch.syspath_prepend(tmp_path)
    memory = importlib.import_module("memory_of_rows")
    x, rows = leaf(2, 3), torch.nn.Parameter(torch.randn(4, 3, dtype=torch.double))
    before = rows.detach().clone()
    memory.Memory(rows)(x, torch.tensor([3, 0])).sum().backward()
    torch.testing.assert_close(x.grad, before.sum(0).expand(2, 3))
    before[[3, 0]] = (before[[3, 0]] + x.detach()) / 2
    torch.testing.assert_close(rows.detach(), before)
    assert rows.grad is None


NETS = """
from torch.autograd import Function, Variable

class Beside(object):
    def variables(self, tensors):
        return [Variable(tensor, requires_grad=True) for tensor in tensors]

class Again(Function):
    def __init__(self, net):
        self.net = net
    def forward(self, x):
        self.save_for_backward(x)
        return self.net(x).data
    def backward(self, grad):
        (x,) = Beside().variables(self.saved_tensors)
        self.net(x).backward(grad)
        return x.grad
"""


def test_a_backward_that_is_inherited_may_run_a_net(tmp_path, monkeypatch):
    """What makes its variables stands in a class beside it, in a comprehension."""
    (tmp_path / "nets_again.py").write_text(NETS)
    (tmp_path / "derived_again.py").write_text(
        "import nets_again\nclass Own(nets_again.Again): pass"
    )
    monkeypatch.syspath_prepend(tmp_path)
    own = importlib.import_module("derived_again").Own
    x, net = leaf(2, 3), torch.nn.Linear(3, 1).double()
    own(net)(x).sum().backward()
    torch.testing.assert_close(x.grad, net.weight.detach().expand(2, 3))
    assert net.bias.grad.item() == 2


def test_a_model_that_keeps_an_instance_is_copied_and_saved():
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = Scale(3.0)

    copied = copy.deepcopy(Model())
    loaded = pickle.loads(pickle.dumps(copied.scale))
    for scale in (copied.scale, loaded):
        x = torch.ones(2, requires_grad=True)
        scale(x, torch.tensor([1.0, 2.0])).sum().backward()
        assert x.grad.tolist() == [3.0, 6.0]


def test_forward_may_ask_whether_its_inputs_require_grad():
    """As DCNv2's and CenterNet's do before they save them; other Functions may call numpy() on theirs."""

    class Product(Function):
        def forward(self, x, y):
            self.asked = x.requires_grad, y.requires_grad
            if x.requires_grad or y.requires_grad:
                self.save_for_backward(x, y)
            return x * y

        def backward(self, grad):
            x, y = self.saved_tensors
            assert not x.requires_grad
            return grad * y, grad * x

    class OfNumpy(Function):
        def forward(self, x):
            return torch.from_numpy(x.numpy() * 2)

        def backward(self, grad):
            return grad * 2

    x, y = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([3.0, 4.0])
    product = Product()
    result = product(x, y)
    assert product.asked == (True, False) and result.requires_grad
    OfNumpy()(result).sum().backward()
    assert x.grad.tolist() == [6.0, 8.0]


def test_needs_input_grad_and_constants():
    x, z = torch.ones(2, dtype=torch.double), leaf(2)
    Scale(1.0)(x, z).sum().backward()
    assert x.grad is None and torch.equal(z.grad, x)
    _, _, sign = Split()(leaf(2))
    assert not sign.requires_grad


def test_in_place():
    x, y = leaf(2), leaf(2)
    twice = x * 2
    out = AddTo()(twice, y)
    assert out is twice
    torch.testing.assert_close(out, x * 2 + y)
    out.sum().backward()
    assert x.grad.tolist() == [2, 2] and y.grad.tolist() == [1, 1]


def test_nothing_stays_alive():
    def run():
        out = Split()(leaf(4))[0]
        return weakref.ref(out)

    gc.disable()
    try:
        assert run()() is None  # by reference counts alone
    finally:
        gc.enable()


def test_checkpoints():
    x, z = leaf(2), leaf(2)
    checkpoint(Scale(2.0), x, z, use_reentrant=False).sum().backward()
    torch.testing.assert_close(x.grad, 2 * z.detach())


def test_wrong_number_of_gradients():
    class Short(Function):
        def forward(self, a, b):
            return a + b

        def backward(self, grad):
            return grad

    with pytest.raises(RuntimeError, match=r"Short.backward .*expected 2.* got 1"):
        Short()(leaf(1), leaf(1)).backward()


def test_an_error_in_backward_keeps_its_type_and_text():
    class Fails(Function):
        def forward(self, a):
            return a.clone()

        def backward(self, grad):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        Fails()(leaf(1)).backward()


def test_modules_have_names_with_dots():
    """As layers of a DenseNet of 2017, in its checkpoints, too."""

    def layer():
        made = torch.nn.Sequential()
        made.add_module("norm.1", torch.nn.BatchNorm1d(3))
        made.add_module("conv", torch.nn.Linear(3, 3))
        return made

    one, other = torch.nn.Sequential(layer()), torch.nn.Sequential(layer())
    torch.nn.init.uniform_(one[0][0].weight)
    assert list(one.state_dict())[0] == "0.norm.1.weight"
    other.load_state_dict(one.state_dict())
    assert torch.equal(one[0][0].weight, other[0][0].weight)
    with pytest.raises(RuntimeError, match='Unexpected key.*: "0.norm.2.weight", "0.norm.1.more"'):
        other.load_state_dict({**one.state_dict(), "0.norm.2.weight": 1, "0.norm.1.more": 1})
    of_ours = inspect.signature(one._load_from_state_dict).parameters
    ffi_ext.uninstall()
    assert [*of_ours] == [*inspect.signature(one._load_from_state_dict).parameters]
    with pytest.raises(KeyError, match="module name"):
        layer()


def test_the_class_of_a_tensor_is_variable():
    def repackage_hidden(h):  # of torch's word_language_model, in every language model of the time
        if type(h) == Variable:
            return Variable(h.data)
        return tuple(repackage_hidden(v) for v in h)

    h = repackage_hidden((leaf(2), (leaf(3), leaf(4))))
    assert [h[0].shape, h[1][1].requires_grad] == [(2,), False]
    assert Variable == type(leaf(1)) == Variable != int and type(leaf(1)) in (int, Variable)
    assert type(torch.nn.Parameter(leaf(1))) != Variable and {Variable: 1}[Variable] == 1
    ffi_ext.uninstall()
    assert type(leaf(1)) != Variable and {Variable: 1}[Variable] == 1


def test_new_style_stays_untouched():
    class New(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_variables
            return 2 * x * grad

    x = leaf(3)
    assert torch.autograd.gradcheck(New.apply, (x,))
    with pytest.raises(RuntimeError, match="New has static methods: call New.apply"):
        New()(x)


def test_numbers_of_tensors_without_dimensions(capsys):
    loss = (leaf(3) ** 2).sum()
    assert type(loss.data[0]) is float and loss.data[0] == loss.item()
    assert loss[0] is loss
    assert torch.arange(3)[-1].item() == 2
    with pytest.raises(IndexError):
        loss.data[1]
    with pytest.raises(IndexError):
        torch.arange(3)[5]


def test_the_array_of_a_number_has_a_first_element():
    loss = torch.tensor(3.5)
    array = loss.numpy()
    assert array[0] == array[-1] == 3.5 and array.shape == ()
    with pytest.raises(IndexError, match="0-dimensional"):
        array[1]
    for numpys in (array.view(np.ndarray), np.asarray(array)):  # it counts as those do
        assert type(array + 1) is type(numpys + 1) and type(-array) is type(-numpys)
        assert type(array * np.ones(3)) is type(array.sum() * np.ones(3)) is np.ndarray
    assert type(pickle.loads(pickle.dumps(array))) is np.ndarray
    before = array
    array += 1
    assert array is before and loss.item() == 4.5 and torch.from_numpy(array).item() == 4.5
    assert type(torch.ones(1).numpy()) is np.ndarray
    assert repr([array]) == repr([np.asarray(array)]) and type(array).__module__ == "numpy"
    numpys = lambda x: torch.from_numpy(x.sum().numpy() * np.ones(2))  # noqa: E731
    compiled = torch.compile(numpys, backend="eager", fullgraph=True)
    assert compiled(torch.ones(3)).tolist() == [3, 3]
    compiled = torch.compile(lambda a: np.square(a) + 1, backend="eager")
    assert compiled(torch.tensor(2.0).numpy()) == 5


def test_tensors_in_lists_are_still_numbers():
    class Derived(torch.Tensor):
        pass

    for cls in (torch.Tensor, torch.nn.Parameter, Derived):
        one = torch.ones(()).as_subclass(cls)
        assert not ctypes.pythonapi.PySequence_Check(ctypes.py_object(one))
        assert torch.tensor([one, 2.0]).tolist() == [1, 2]
    assert torch.FloatTensor([torch.ones(2).sum(), 3]).tolist() == [2, 3]
    assert torch.ones(2).new((torch.tensor(4.0),)).tolist() == [4]
    assert [float(x) for x in torch.arange(2.0)] == [0, 1]


def test_backward_that_retains_variables(capsys):
    x = leaf(3)
    y = (x * x).sum()
    y.backward(retain_variables=True)
    y.backward()
    assert torch.equal(x.grad, 4 * x.detach())
    assert "retain_graph" in capsys.readouterr().err


class Reader(Function):
    """y = 2 x, whose backward reads memory as C does: by address and number of elements."""

    def forward(self, x):
        return 2 * x

    def backward(self, grad):
        there = (ctypes.c_float * grad.numel()).from_address(grad.data_ptr())
        return 2 * torch.tensor(list(there)).view(grad.shape)


@pytest.mark.parametrize("last", [lambda y: y.sum(), lambda y: (y * torch.ones(3, 2).t()).sum()])
def test_gradients_have_a_number_in_memory_for_each_element(last):
    x = Variable(torch.ones(2, 3), requires_grad=True)
    last(Reader()(x)).backward()  # of sum(): one number, expanded
    assert x.grad.tolist() == [[2.0] * 3] * 2


def test_a_loss_takes_a_gradient_of_one_element():
    for keywords in ({}, {"retain_variables": True}):
        x = Variable(torch.ones(2), requires_grad=True)
        (x * x).sum().backward(torch.ones(1) * 3, **keywords)
        assert x.grad.tolist() == [6.0, 6.0]
    (x * x).sum().backward(gradient=torch.ones(1))
    assert x.grad.tolist() == [8.0, 8.0]
    with pytest.raises(RuntimeError, match="shape"):
        (x * x).sum().backward(torch.ones(2))
    losses = [(x * x).sum(), (3 * x).sum()]
    x.grad = None
    torch.autograd.backward(losses, [torch.ones(1), 2 * torch.ones(1)])  # as deep-head-pose does
    assert x.grad.tolist() == [8.0, 8.0]
    torch.autograd.backward([(5 * x).sum()])
    torch.autograd.backward((loss for loss in [x.sum()]), [torch.ones(())])  # any iterable, as ever
    assert x.grad.tolist() == [14.0, 14.0]
    (3 * x).backward(torch.tensor([[1.0], [2.0]]))  # as pytorch-deform-conv has it
    if torch.torch_version.TorchVersion(torch.__version__) >= "2.6":  # takes such
        torch.autograd.backward(torch.autograd.graph.get_gradient_edge(x.sum()))
        assert x.grad.tolist() == [18.0, 21.0]


@pytest.mark.parametrize("of_optimizer", [True, False])
def test_zero_grad_leaves_zeros(of_optimizer):
    """A parameter without a part in the loss decays and moves on: w' = w - lr v', v' = momentum v + decay w."""
    used, idle = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
    model = torch.nn.ModuleList([used, idle])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.5)
    v, w = torch.zeros(1, 2), idle.weight.detach().clone()
    for step in range(3):
        (optimizer if of_optimizer else model).zero_grad()
        loss = used(torch.ones(1, 2)).sum() + (idle(torch.ones(1, 2)).sum() if step == 0 else 0)
        loss.backward()
        optimizer.step()
        v = 0.9 * v + 0.5 * w + (1 if step == 0 else 0)
        w = w - 0.1 * v
    assert torch.allclose(idle.weight.detach(), w)
    model.zero_grad(set_to_none=True)
    assert idle.weight.grad is None


def test_a_reduction_is_rounded_as_a_number_is():
    assert round(torch.tensor([1.0, 2.0]).sum() / 7, 2) == 0.43
    assert round(torch.tensor(2.7)) == 3 and type(round(torch.tensor(2.7))) is int


def test_a_sampler_is_made_with_its_source():
    class Backwards(torch.utils.data.Sampler):
        def __init__(self, source):
            super().__init__(source)
            self.source = source

        def __iter__(self):
            return iter(range(len(self.source) - 1, -1, -1))

        def __len__(self):
            return len(self.source)

    loader = torch.utils.data.DataLoader([1, 2, 3], sampler=Backwards([1, 2, 3]))
    assert [int(batch) for batch in loader] == [3, 2, 1]

    class Named:
        def __init__(self, name):
            self.name = name

    class Mine(torch.utils.data.Sampler, Named):
        def __iter__(self):
            return iter(())

    assert Mine("a").name == "a"


def test_an_index_is_given_to_index():
    x, rows = torch.arange(6.0).view(3, 2), torch.tensor([2, 0])
    for index in (rows, (rows,), (rows, torch.tensor([1, 0]))):
        assert torch.equal(x.index(index), x[index])
    assert [1, 2].index(2) == 1


def test_new_takes_a_reduction_for_a_size():
    """As torch_cluster 1.0.3 makes what its C code fills: `row.new(row.max() + 1)`."""
    row = torch.tensor([0, 3, 2])
    for like in (row, row.float(), Variable(row).int()):
        made = like.new(row.max() + 1).zero_()
        assert made.tolist() == [0, 0, 0, 0] and made.dtype is like.dtype
        assert like.new(row.max() + 1, 2).shape == (4, 2)
        assert like.new([5, 6]).tolist() == [5, 6] and like.new(3).shape == (3,)
    assert row.new(row).data_ptr() == row.data_ptr()  # another tensor's memory, as ever
    assert row.float().new(torch.tensor(2.5)).tolist() == 2.5


def test_what_becomes_of_the_data_of_an_empty_variable_becomes_of_it():
    """As FlowNet2's correlation returns what its C code has resized."""
    x = torch.ones(3, requires_grad=True)
    grad = Variable(x.new())
    grad.data.resize_(2, 3).fill_(5)
    assert grad.tolist() == [[5.0] * 3] * 2
    x.data[0] = 2
    assert not x.data.requires_grad and x.tolist() == [2.0, 1.0, 1.0]
    x.data = torch.zeros(0)
    assert x.shape == (0,) and not x.data.requires_grad and x.data is not x
    compiled = torch.compile(lambda x: x.data + 1, backend="eager", fullgraph=True)
    assert compiled(torch.zeros(2)).tolist() == [1.0, 1.0]
    as_it_is = torch.compile(lambda x: x.data, backend="eager")  # RecursionError
    assert as_it_is(torch.zeros(2)).tolist() == [0.0, 0.0]


def test_a_shape_given_to_data_is_the_variables_too():
    """As Faster R-CNN's and CRNN's training puts each batch into one Variable."""
    x, batch = Variable(torch.FloatTensor(1)), torch.arange(6.0).view(2, 3)
    x.data.resize_(batch.size()).copy_(batch)
    assert torch.equal(x, batch)
    x.data.resize_as_(batch[0]).zero_()
    assert x.tolist() == [0.0] * 3
    x.data.unsqueeze_(1)
    assert x.shape == (3, 1) and x.data.t_().shape == x.shape == (1, 3)
    weight = torch.nn.Parameter(torch.zeros(2))  # as ORN's convolutions make theirs
    weight.data.resize_(2, 2).fill_(3)
    (weight * weight).sum().backward()
    assert weight.grad.tolist() == [[6.0, 6.0], [6.0, 6.0]]
    copy.deepcopy(weight.data).resize_(9)
    (weight * 1).data.resize_(9)  # no leaf: its history has its shape
    weight.detach().clone().squeeze_()
    torch.compile(lambda x: x.data.resize_(3).zero_(), backend="eager")(x)  # torch 2.4 failed
    assert x.tolist() == [0.0] * 3
    before, weight.data = weight.data, torch.zeros(2, 2)
    before.resize_(9)
    assert weight.tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_masks_of_bytes():
    x, bools = torch.arange(4.0), torch.tensor([True, False, False, True])
    for mask in (bools.byte(), Variable(torch.ByteTensor([1, 0, 0, 1]))):
        assert x.masked_select(mask).tolist() == [0, 3]
        assert x.masked_fill(mask, 7).tolist() == x.masked_fill(mask=mask, value=7).tolist()
        assert torch.masked_fill(x, mask, 7).tolist() == [7, 1, 2, 7]
        assert torch.masked_select(input=x, mask=mask).tolist() == [0, 3]
        assert x.clone().masked_fill_(mask, 7).tolist() == [7, 1, 2, 7]
        assert x.masked_scatter(mask, torch.tensor([8.0, 9.0])).tolist() == [8, 1, 2, 9]
        assert x.clone().masked_scatter_(mask, -x).tolist() == [0, 1, 2, -1]
        set_ = x.clone()
        set_[mask] = 5
        assert set_.tolist() == [5, 1, 2, 5]
        rows = x.view(4, 1).repeat(1, 2)
        rows[mask, :] = 5
        rows[mask, 0] = 6
        assert rows.tolist() == [[6, 5], [1, 1], [2, 2], [6, 5]]
    of_ssd, pos = torch.arange(4.0).view(4, 1), bools.view(2, 2)
    of_ssd[pos] = 0
    assert of_ssd.tolist() == [[0], [1], [2], [0]]
    assert of_ssd.masked_fill_(pos.byte(), 5).tolist() == [[5], [1], [2], [5]]
    assert torch.zeros(2, 1).masked_fill(torch.tensor([[True, False]]), 1).tolist() == [[1, 0]] * 2
    with pytest.raises(IndexError, match="shape of the mask"):
        of_ssd[pos[:1]] = 0
    assert ((x >= 1) + (x < 3) == 2).tolist() == [False, True, True, False]
    assert x[(x < 1) + (x > 2)].tolist() == [0, 3] and (x + bools).tolist() == [1, 1, 2, 4]
    assert x[~bools.byte()].tolist() == x[~bools].tolist() == [1, 2]
    assert (~torch.tensor([5])).tolist() == [-6]
    assert (1 - (x > 2)).tolist() == [1, 1, 1, 0] and (1 - x).tolist() == [1, 0, -1, -2]
    with pytest.raises(RuntimeError, match="mask"):
        x.masked_fill(x, 7)
    with pytest.raises(RuntimeError, match="bool tensor is not supported"):
        2 - bools


@pytest.mark.filterwarnings("ignore:Profiler")
def test_functions_under_torch_compile():
    """They run between what is compiled."""

    class Square(Function):
        def __init__(self, times):
            self.times = times

        def forward(self, x):
            self.save_for_backward(x)
            return torch.from_numpy(x.numpy() ** 2 * self.times)

        def backward(self, grad):
            (x,) = self.saved_tensors
            return grad * 2 * self.times * x

    square, x = Square(3), torch.arange(3.0).requires_grad_()
    compiled = torch.compile(lambda x: square(x + 1) * 2, backend="aot_eager")
    for _ in range(2):
        (grad,) = torch.autograd.grad(compiled(x).sum(), x)
        assert grad.tolist() == [12, 24, 36]


def test_masks_under_torch_compile():
    """Masks of bools, too, of a script of today that is run so."""

    def filled(x, mask):
        y = x.view(2, 2).clone()
        y[0, mask[:2]] = 8
        return x.masked_fill(mask, 7).masked_select(mask) + y[0, 0]

    compiled = torch.compile(filled, backend="eager", fullgraph=True)
    x, bools = torch.arange(4.0), torch.tensor([True, False, False, True])
    with torch._dynamo.config.patch(
        capture_dynamic_output_shape_ops=True
    ):  # as later torches have it with fullgraph
        assert compiled(x, bools).tolist() == compiled(x, bools.byte()).tolist() == [15, 15]


def test_new_under_torch_compile():
    compiled = torch.compile(
        lambda x: (x.new(2, len(x)).zero_(), x.new(x.size()).fill_(3), x.new(1).fill_(4)),
        backend="eager",
        fullgraph=True,
    )
    made = compiled(torch.arange(3))
    assert [t.tolist() for t in made] == [[[0, 0, 0], [0, 0, 0]], [3, 3, 3], [4]]
    assert {t.dtype for t in made} == {torch.int64}


@pytest.mark.parametrize("layer", [torch.nn.Conv2d, torch.nn.ConvTranspose2d])
def test_images_that_numpy_transposed_become_planes(layer):
    """C reads them as planes, and convolutions once made no others."""
    x = torch.from_numpy(np.random.rand(1, 5, 6, 3).astype("float32").transpose(0, 3, 1, 2))
    net = layer(3, 4, 3)
    y = net(x)
    assert y.is_contiguous() and y.view(4, -1).shape[1] == y[0, 0].numel()
    torch.testing.assert_close(torch.jit.script(net)(x), y)
    functional = torch.nn.functional.conv2d
    assert torch.equal(
        torch.fx.symbolic_trace(lambda x, w: functional(x, w))(x, x), functional(x, x)
    )
    torch.testing.assert_close(torch.compile(net, backend="eager", fullgraph=True)(x), y)
    ffi_ext.uninstall()
    torch.testing.assert_close(net(x), y)
    assert not net(x).is_contiguous()


@pytest.mark.parametrize("layer", [torch.nn.Conv3d, torch.nn.ConvTranspose3d])
def test_videos_that_numpy_transposed_become_volumes(layer):
    x = torch.from_numpy(np.random.rand(2, 4, 8, 6, 3).astype("float32").transpose(0, 4, 1, 2, 3))
    net = layer(3, 4, 3)
    y = net(x)
    assert y.is_contiguous()
    torch.testing.assert_close(net(x.contiguous()), y)
    x = x.to(memory_format=torch.channels_last_3d)
    assert not net.to(memory_format=torch.channels_last_3d)(x).is_contiguous()


def test_a_model_in_channels_last_stays_so():
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(4, 5, 1))
    net = net.to(memory_format=torch.channels_last)
    x = torch.rand(1, 3, 5, 6).to(memory_format=torch.channels_last)
    assert not net(x).is_contiguous()


def test_losses_may_ask_for_targets_without_gradient():
    from torch.nn.modules.loss import _assert_no_grad

    _assert_no_grad(torch.ones(2))
    with pytest.raises(AssertionError, match="no gradient with respect to its targets"):
        _assert_no_grad(torch.ones(2, requires_grad=True))


def test_what_loaders_of_data_import_and_call():
    """Their gather() makes a batch of NumPy's numbers, names as of torch 1.0; their iterators are Python 2's, too."""
    from torch._six import container_abcs, int_classes, string_classes
    from torch.utils.data.dataloader import numpy_type_map

    assert torch._six.inf == float("inf")
    assert isinstance("a", string_classes) and isinstance(1, int_classes)
    assert isinstance([1], container_abcs.Sequence)
    with pytest.raises(ValueError, match="one") as caught:
        torch._six.raise_from(ValueError("one"), KeyError("two"))
    assert isinstance(caught.value.__cause__, KeyError)
    from torch.autograd.gradcheck import zero_gradients
    from torch.utils.serialization import load_lua

    with pytest.raises(RuntimeError, match="such as vgg16.t7: pip install torchfile"):
        load_lua("vgg16.t7")
    x = leaf(2)
    x.sum().backward()
    zero_gradients([x, leaf(1)])
    assert x.grad.tolist() == [0, 0] and not torch.utils.data.dataloader._use_shared_memory
    made = numpy_type_map[np.float32(1).dtype.name]([1.0, 2.0])
    assert made.dtype is torch.float32 and made.tolist() == [1, 2]
    for workers in (0, 1):
        batches = iter(torch.utils.data.DataLoader(range(3), batch_size=2, num_workers=workers))
        assert batches.next().tolist() == [0, 1] and batches.next().tolist() == [2]


def test_names_that_numpy_and_collections_dropped():
    import collections

    assert isinstance({}, collections.Mapping) and not isinstance({}, collections.Sequence)
    assert np.zeros(2, np.float).dtype == np.float64
    assert np.arange(2.5).astype(np.int).tolist() == [0, 1, 2]
    assert np.array(["a"], dtype=np.object).dtype == object
    crops = (None, (0.1, None), (None, None), (0.3, 0.5))  # SSD's
    assert {np.random.choice(crops) for _ in range(99)} == set(crops)
    with pytest.raises(ValueError, match="empty"):
        np.random.choice([])
    assert time.clock() > 0 and inspect.getargspec(lambda a, b=1, *c: a).args == ["a", "b"]
    assert np.math.floor(2.5) == 2
    assert [np.Inf, np.NINF, np.product([2, 3]), np.asscalar(np.ones(1))] == [np.inf, -np.inf, 6, 1]
    assert np.in1d([[1, 2]], [2]).tolist() == [False, True] and np.float_(1).dtype == np.float64
    assert np.fromstring(b"\x01\xff", dtype=np.uint8).tolist() == [1, 255]
    assert np.fromstring("\x01", np.uint8).flags.writeable
    assert np.fromstring("1 2", sep=" ").tolist() == np.fromstring("1 2", int, -1, " ").tolist()
    assert np.bool is (np.bool_ if np.__version__ >= "2" else bool)  # NumPy's own stays
    ffi_ext.uninstall()
    assert "Mapping" not in vars(collections) and not {"object", "asscalar"} & vars(np).keys()
    assert collections.OrderedDict and np.float32


@pytest.mark.parametrize(
    "name", ["MSELoss", "L1Loss", "SmoothL1Loss", "KLDivLoss", "SoftMarginLoss", "BCELoss"]
)
@pytest.mark.filterwarnings("ignore")
def test_losses_pair_as_many_targets_of_another_shape(name):
    outputs, targets = torch.rand(5, 1), torch.rand(5)
    net = getattr(torch.nn, name)(reduction="sum")
    want = net(outputs, targets.view(5, 1))
    for of_net in (net, torch.compile(net, backend="eager", fullgraph=True)):
        torch.testing.assert_close(of_net(outputs, targets), want)
    torch.testing.assert_close(torch.jit.script(net)(outputs, targets.view(5, 1)), want)
    if name != "BCELoss":
        row = net(outputs.view(1, 5).expand(3, 5), targets)  # others broadcast as ever
        torch.testing.assert_close(row, 3 * want)
    ffi_ext.uninstall()
    torch.testing.assert_close(net(outputs, targets.view(5, 1)), want)
    if name not in ("SoftMarginLoss", "BCELoss"):
        assert not torch.isclose(net(outputs, targets), want)


@pytest.mark.parametrize("name", ["nll_loss", "cross_entropy"])
def test_a_mean_of_ignored_targets_alone_is_zero(name):
    """As in a crop without labels."""
    from torch.nn import functional

    scores, targets = leaf(2, 3).detach().requires_grad_(), torch.tensor([2, 255])
    loss = getattr(functional, name)
    logs = scores.log_softmax(1) if name == "cross_entropy" else scores
    one = loss(scores, targets, None, None, 255)
    torch.testing.assert_close(one, -logs[0, 2])
    none = loss(scores, torch.full((2,), 255), ignore_index=255)
    none.backward()
    assert none == 0 and not scores.grad.any()
    assert loss(scores, targets, ignore_index=255, reduction="none").tolist()[1] == 0
    weights = torch.tensor([1.0, 1, 0]).double()
    weighed = loss(scores, targets, weights, ignore_index=255)
    weighed.backward()
    assert weighed == 0 and not scores.grad.any()
    assert loss(scores, targets - 1, weights, ignore_index=254) == -logs[0, 1]
    scripted = torch.jit.script(loss)
    torch.testing.assert_close(scripted(scores, targets, ignore_index=255), one)
    compiled = torch.compile(
        lambda x, t: getattr(functional, name)(x, t, ignore_index=255),
        backend="eager",
        fullgraph=True,
    )
    torch.testing.assert_close(compiled(scores, targets), one)
    traced = torch.fx.symbolic_trace(lambda x, t: loss(x, t, ignore_index=255))
    torch.testing.assert_close(traced(scores, targets), one)
    ffi_ext.uninstall()
    assert getattr(functional, name)(scores, torch.full((2,), 255), ignore_index=255).isnan()


def test_transforms_by_their_first_names(tv):
    from torchvision import transforms

    assert transforms.Scale is transforms.Resize
    assert transforms.RandomSizedCrop is transforms.RandomResizedCrop
    assert transforms.transforms.Scale is transforms.Resize  # 3D-ResNets asks for it there
    three = transforms.Normalize((0.5, 0.25, 0), (0.5, 1, 1))
    assert three(torch.ones(1, 1, 1)).tolist() == [[[1]]]
    assert three(torch.ones(3, 1, 1)).view(-1).tolist() == [1, 0.75, 1]
    from torchvision.models.resnet import model_urls, resnet50  # noqa: F401
    from torchvision.models.vgg import model_urls as of_vgg

    assert "/resnet50-" in model_urls["resnet50"] and "/vgg16_bn-" in of_vgg["vgg16_bn"]
    digit = transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))(torch.ones(1, 2, 2))
    assert digit.tolist() == [[[1, 1], [1, 1]]]
    from torchvision.utils import make_grid

    assert make_grid(torch.ones(1, 3, 2, 2), normalize=True, range=(0, 2))[0, 0, 0] == 0.5
    ffi_ext.uninstall()
    assert not hasattr(transforms, "Scale")


@pytest.mark.filterwarnings("ignore:.*size_average")
def test_losses_are_told_to_sum():
    """As the VAE of pytorch/examples does."""
    outputs, targets = torch.rand(3, 2), torch.rand(3, 2)
    loss = torch.nn.BCELoss()
    assert loss.size_average is True and torch.nn.BCELoss(size_average=False).size_average is False
    loss.size_average = False
    want = -(targets * outputs.log() + (1 - targets) * (1 - outputs).log()).sum()
    torch.testing.assert_close(loss(outputs, targets), want)
    torch.testing.assert_close(torch.jit.script(copy.deepcopy(loss))(outputs, targets), want)
    loss.size_average = True
    torch.testing.assert_close(loss(outputs, targets), want / 6)
    each = torch.nn.BCELoss(reduction="none")
    each.size_average = False
    assert each(outputs, targets).shape == (3, 2)
    ffi_ext.uninstall()
    loss.size_average = False
    torch.testing.assert_close(loss(outputs, targets), want / 6)


def test_yaml_loads_without_a_loader():
    yaml = pytest.importorskip("yaml")
    assert yaml.load("a: [1, b]") == yaml.load("a: [1, b]", yaml.SafeLoader) == {"a": [1, "b"]}
    ffi_ext.uninstall()
    with pytest.raises(TypeError, match="Loader"):
        yaml.load("a: 1")


def test_views_of_what_was_computed_of_transposed_tensors():
    """accuracy(), as every program on ImageNet has it."""
    outputs = torch.tensor([[0.1, 0.5, 0.4], [0.6, 0.1, 0.3], [0.3, 0.2, 0.5]])
    correct = outputs.topk(2, 1)[1].t().eq(torch.tensor([2, 0, 1]).view(1, -1))
    counts = [correct[:k].view(-1).float().sum(0, keepdim=True).tolist() for k in (1, 2)]
    assert counts == [[1], [2]]
    assert (outputs.t() * 1).view(3, 3, 1).is_contiguous() is False  # a view, where there is one
    with pytest.raises(RuntimeError, match="shape"):
        outputs.view(4, -1)
    ffi_ext.uninstall()
    with pytest.raises(RuntimeError, match="view size"):
        correct[:2].view(-1)


def test_losses_and_scores_are_put_together():
    scores = [torch.ones(3).sum(), torch.ones(2).sum() * 4, torch.zeros(2)]
    assert torch.cat(scores).tolist() == [3, 8, 0, 0]
    words = [torch.tensor([1]), torch.tensor([[2], [3]])]  # a missing dimension was of size 1
    assert torch.cat(words).tolist() == [[1], [2], [3]]
    with pytest.raises(RuntimeError, match="[Ss]izes of tensors"):
        torch.cat([torch.ones(1, 2), torch.ones(1, 3)])


def test_views_are_taken_out_of_their_graph():
    weight = leaf(3)
    state = (weight * 2).unsqueeze(0)
    (after := state + 1).sum().backward()
    assert state.detach_() is state and state.grad_fn is None and not state.requires_grad
    assert weight.grad.tolist() == [2, 2, 2] and after.requires_grad
    assert state.tolist() == [[2 * w for w in weight.tolist()]]
    compiled = torch.compile(lambda x: x.detach_() + 1, backend="eager")
    assert compiled(torch.ones(1)).tolist() == [2]
    assert torch.ones(2)[:1].detach_().tolist() == [1]


def test_agents_choose_one_action():
    assert torch.tensor([[0.0, 1.0], [1.0, 0.0]]).multinomial().tolist() == [[1], [0]]
    assert torch.tensor([0.0, 1.0]).multinomial(3, True).tolist() == [1, 1, 1]


@pytest.mark.parametrize("reward", [2.0, torch.tensor([[1.0], [-3.0]])])
def test_actions_are_reinforced(reward):
    """By REINFORCE the gradient is that of -reward * log(probability)."""
    scores = leaf(2, 3)
    action = scores.softmax(1).multinomial()
    action.reinforce(reward)
    value = scores.sum()
    torch.autograd.backward([value, action], [torch.ones(1), None])
    expected = scores.detach().requires_grad_()
    chosen = torch.log_softmax(expected, 1).gather(1, action)
    (expected.sum() - (chosen * reward).sum()).backward()
    torch.testing.assert_close(scores.grad, expected.grad, rtol=1e-4, atol=1e-5)
    with pytest.raises(RuntimeError, match="distributions"):
        torch.ones(1).reinforce(1.0)


def test_elements_of_whole_numbers_are_found_as_numbers():
    best = torch.tensor([[3, 1, 3, 2]])
    words = {1: "a", 3: "b"}
    assert words[best[0][0]] == "b"
    assert best[0, 3] not in words
    assert len(set(best[0])) == 3
    # what is no element stays what it is: torch keeps sets of parameters and buffers
    norms = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.BatchNorm1d(2))
    assert len(list(norms.buffers())) == 6
    assert len({torch.tensor(1), torch.tensor(1), best[0, :1].float()[0]}) == 3
    assert len({best.to("meta")[0, 0]}) == 1  # has no number


def test_the_text_of_a_number_is_its_own():
    best = torch.tensor([[3, 1]])
    assert {"3": "b"}[
        str(best[0][0])
    ] == "b" and f"{best.max()} %s" % best.float().mean() == "3 2.0"
    assert repr(best[0, 0]) == "tensor(3)" and str(best[0]) == "tensor([3, 1])"
    assert str(leaf(1).sum()).startswith("tensor(") and str(torch.nn.Parameter(best[0, 0].float()))
    assert "meta" in str(best.to("meta")[0, 0])
    traced = torch.vmap(lambda x: x + len(str(x)) * 0)(torch.ones(2))
    assert traced.tolist() == [1, 1]


def test_dropout_does_nothing_where_it_is_not_told_to_train():
    functional, x = torch.nn.functional, torch.ones(3, 4, 5, 5)
    for dropout in (functional.dropout, functional.dropout2d, functional.dropout3d):
        assert torch.equal(dropout(x, 0.9), x) and torch.equal(dropout(x), x)
        assert not torch.equal(dropout(x, 0.9, True), x)
        assert not torch.equal(dropout(x, training=True), x)
    attention = torch.nn.MultiheadAttention(4, 1, dropout=0.9)  # torch's own that does not say it
    assert (attention(x[0, 0, :, :4], x[0, 0, :, :4], x[0, 0, :, :4])[1] == 0).any()
    attention.eval()
    compiled = torch.compile(lambda x: functional.dropout(x) * 2, backend="eager", fullgraph=True)
    assert torch.equal(compiled(x), x * 2)


def test_what_is_copied_has_as_many_elements():
    best, weight = torch.zeros(2, 3), torch.zeros(4)
    best[1] = torch.arange(3.0).view(3, 1)  # a CRF's pointers
    best[:, 0] = torch.ones(1, 2)
    weight.copy_(torch.arange(4.0).view(2, 2))
    assert best.tolist() == [[1, 0, 0], [1, 1, 2]] and weight.tolist() == [0, 1, 2, 3]
    with pytest.raises(RuntimeError, match="must match"):
        best[0] = torch.ones(2)
    with pytest.raises(RuntimeError, match="must match"):
        weight.copy_(torch.ones(3))
    ffi_ext.uninstall()
    with pytest.raises(RuntimeError, match="expand"):
        best[1] = torch.ones(3, 1)


def test_linear_algebra_by_lapacks_names():
    """Against matrices that are multiplied again."""
    a = leaf(3, 3).detach().double().requires_grad_()
    spd, b = a @ a.t() + torch.eye(3), torch.arange(6.0).double().view(3, 2)
    close = torch.testing.assert_close
    upper, lower = torch.potrf(spd), spd.potrf(upper=False)
    close(upper.t() @ upper, spd)
    close(lower @ lower.t(), spd)
    close(spd @ b.potrs(upper), b)
    close(spd @ torch.potrs(b, lower, upper=False), b)
    close(spd @ torch.potri(upper), torch.eye(3).double())
    close(spd @ torch.gesv(b, spd)[0], b)
    close(spd @ b.gels(spd)[0], b)
    close(upper @ b.trtrs(upper)[0], b)
    close(upper.t() @ torch.trtrs(b, upper, transpose=True)[0], b)
    values, vectors = spd.symeig(eigenvectors=True)
    close(vectors @ values.diag() @ vectors.t(), spd)
    pairs, none = torch.eig(spd.detach())
    close(pairs[:, 0].sort()[0], values.detach())
    assert not pairs[:, 1].any() and not none.numel()
    both = torch.stack([spd, 2 * spd])
    info = torch.IntTensor()
    factors, pivots = both.btrifact(info=info)
    close(both @ torch.stack([b, b]).btrisolve(factors, pivots), torch.stack([b, b]))
    rows, low, up = torch.btriunpack(factors, pivots)
    close(rows @ low @ up, both)
    assert info.tolist() == [0, 0]
    torch.autograd.gradcheck(lambda a: torch.gesv(b, a @ a.t() + torch.eye(3))[0], a)


def test_distributions_take_what_is_not_of_their_support():
    """As a VAE of grey images does."""
    grey = torch.distributions.Bernoulli(torch.tensor([0.2])).log_prob(torch.tensor([0.5]))
    torch.testing.assert_close(grey, (torch.tensor([0.2]).log() + torch.tensor([0.8]).log()) / 2)


@pytest.mark.parametrize("loss", ["cross_entropy", "nll_loss"])
@pytest.mark.parametrize("rows", [slice(None), 0])
@pytest.mark.parametrize("classes", [slice(None), 0])
def test_one_row_has_one_class(loss, rows, classes):
    scores, target = leaf(1, 5), torch.tensor([3])
    logarithms = scores if loss == "cross_entropy" else scores.log_softmax(1)
    found = getattr(torch.nn.functional, loss)(logarithms[rows], target[classes])
    torch.testing.assert_close(found, -scores.log_softmax(1)[0, 3])
    found.backward()
    expected = scores.detach().softmax(1) - torch.nn.functional.one_hot(target, 5)
    torch.testing.assert_close(scores.grad, expected)


def test_the_dot_product_of_matrices():
    a, b = torch.arange(6.0).view(2, 3), torch.arange(6.0).view(3, 2)
    assert a.dot(b).item() == torch.dot(b, a).item() == 55
    with pytest.raises(RuntimeError, match="1D tensors expected"):
        torch.dot(a, b[0])


def test_convolutions_of_ones_own_know_no_padding_mode():
    class Convolution(torch.nn.modules.conv._ConvNd):
        def __init__(self):
            one, none = (1, 1), (0, 0)
            super().__init__(3, 4, (3, 3), one, none, one, False, none, 1, True)

    assert Convolution().padding_mode == "zeros"
    assert torch.nn.Conv2d(3, 4, 3, padding_mode="reflect").padding_mode == "reflect"


def test_words_and_weights_are_dropped_as_awd_lstm_does():
    embed, words = torch.nn.Embedding(4, 2), torch.tensor([3, 0])
    rows = embed._backend.Embedding.apply(words, embed.weight, -1, None, 2, False, False)
    rows.sum().backward()
    assert torch.equal(rows, embed.weight[words])
    assert embed.weight.grad[:, 0].tolist() == [1, 0, 0, 1]  # -1 pads nothing
    assert not hasattr(torch.nn.Module, "_backend")  # else a net's own of that name is not found
    net = torch.nn.LSTM(2, 2)
    raw = torch.nn.Parameter(net.weight_hh_l0.data)
    del net._parameters["weight_hh_l0"]
    for training in (True, False, True):
        net.weight_hh_l0 = torch.nn.functional.dropout(raw, p=0.5, training=training)
    assert len(list(net.parameters())) == 3
    dropout = torch.nn.Dropout(0.5).eval()
    assert torch.jit.script(dropout)(rows) is not None
    compiled = torch.compile(lambda x: dropout(x) + 1, backend="eager", fullgraph=True)
    assert torch.equal(compiled(rows), rows + 1)


def test_these_under_torch_compile_and_in_torchscript():
    class Net(torch.nn.Module):
        def forward(self, x):
            parts = torch.cat([x.view(-1), x.view(2, -1).view([6])])
            return parts, torch.masked_fill(x, x > 2, 7.0), torch.masked_select(x, x > 2)

    x = torch.arange(6.0)
    want = [[*range(6), *range(6)], [0, 1, 2, 7, 7, 7], [3, 4, 5]]
    with torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True):
        net = Net()
        compiled = torch.compile(lambda x: net(x), backend="eager", fullgraph=True)
        assert [t.tolist() for t in compiled(x)] == want
    assert [t.tolist() for t in torch.jit.script(Net())(x)] == want
    assert [t.tolist() for t in torch.fx.symbolic_trace(Net())(x)] == want
    bits = torch.compile(lambda x: x.view(torch.int32), backend="eager", fullgraph=True)
    assert bits(torch.ones(1)).tolist() == torch.ones(1).view(dtype=torch.int32).tolist()


def test_what_has_a_table_of_torchs_functions_finds_them():
    """As tensordict and others have one for __torch_function__, by functions or by their names."""
    functional, asked = torch.nn.functional, []

    class Table:
        @classmethod
        def __torch_function__(cls, function, types, args=(), kwargs=None):
            asked.append(function)

    class Named(torch.Tensor):
        @classmethod
        def __torch_function__(cls, function, types, args=(), kwargs=None):
            asked.append(function.__name__)
            return super().__torch_function__(function, types, args, kwargs)

    one, named = Table(), torch.ones(2).as_subclass(Named)
    torch.cat([one, one])
    torch.masked_select(one, one)
    functional.conv2d(one, torch.ones(1))
    functional.mse_loss(one, one)
    assert asked == [torch.cat, torch.masked_select, functional.conv2d, functional.mse_loss]
    asked.clear()
    assert type(torch.cat([named, named])) is type(named.view(2, 1)) is Named
    assert asked[:2] == ["cat", "view"]


def test_models_that_keep_torchs_functions_are_pickled_without_ffi_ext():
    kept = [torch.cat, torch.masked_fill, torch.Tensor.view, torch.nn.functional.conv2d]
    kept += [torch.nn.functional.dropout, np.random.choice]
    pickled = pickle.dumps([functools.partial(function) for function in kept])
    assert [one.func for one in pickle.loads(pickled)] == kept and b"ffi_ext" not in pickled


def test_a_rate_that_falls_on_a_plateau_may_be_told():
    optimizer = torch.optim.SGD([leaf(1)], lr=1.0)
    rates = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "min", patience=0, verbose=True)
    for _ in range(2):
        rates.step(3.0)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("make", "rate"),
    [
        (lambda o, at: torch.optim.lr_scheduler.StepLR(o, 2, last_epoch=at), lambda e: 0.1 ** (e // 2)),
        (lambda o, at: torch.optim.lr_scheduler.LambdaLR(o, lambda e: 1 / (1 + e), at), lambda e: 1 / (1 + e)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("begins", [True, False])
@pytest.mark.parametrize("last", [-1, 2])
@pytest.mark.filterwarnings("error")
def test_an_epoch_begins_with_the_schedulers_step(make, rate, begins, last):
    """Each epoch has its rate, where step() begins it as before PyTorch 1.1, and where it ends it."""
    group = {"params": [leaf(1)], "initial_lr": 1.0, "lr": rate(last + 1)}
    optimizer = torch.optim.SGD([group], lr=1.0)
    scheduler = make(optimizer, last)
    for epoch in range(last + 1, last + 6):
        if begins:
            scheduler.step()
        assert optimizer.param_groups[0]["lr"] == pytest.approx(rate(epoch))
        assert scheduler.get_lr() == pytest.approx([rate(epoch)])
        optimizer.step()
        if not begins:
            scheduler.step()


def test_a_scheduler_asks_another_for_its_rate():
    """As GradualWarmupScheduler does in its own step, after which the other goes on from there."""

    class Warmup(torch.optim.lr_scheduler.LRScheduler):
        def get_lr(self):
            return [0.5] if self.last_epoch < 2 else after.get_lr()

    optimizer = torch.optim.SGD([leaf(1)], lr=0.1)
    after = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    rates = Warmup(optimizer)
    for _ in range(3):
        optimizer.step()
        rates.step()
    assert optimizer.param_groups[0]["lr"] == 0.5


@pytest.mark.filterwarnings("ignore:.*align_corners")
def test_grids_reach_the_centres_of_the_outer_pixels():
    functional = torch.nn.functional
    image, same = torch.arange(12.0).view(1, 1, 3, 4), torch.eye(2, 3)[None]
    grid = functional.affine_grid(same, image.shape)
    assert grid[0, 0, :, 0].tolist() == pytest.approx([-1, -1 / 3, 1 / 3, 1])
    sampled = functional.grid_sample(image, grid, "bilinear", padding_mode="border")
    torch.testing.assert_close(sampled, image)
    assert torch.equal(functional.affine_grid(same, image.shape, None), grid)
    inner = functional.affine_grid(same, image.shape, False)
    assert inner[0, 0, :, 0].tolist() == pytest.approx([-0.75, -0.25, 0.25, 0.75])
    for of_today in (functional.grid_sample, torch.jit.script(functional.grid_sample)):
        sampled = of_today(image, inner, align_corners=False)
        torch.testing.assert_close(sampled, image)
    compiled = torch.compile(
        lambda image, grid: functional.grid_sample(image, grid), backend="eager", fullgraph=True
    )
    torch.testing.assert_close(compiled(image, grid), image)


def test_steps_of_rounded_sizes():
    """Seven of ten pixels, whose centres torch 1.0 took at (i + 0.5) * 10 / 7 - 0.5; and 2 of 5, at 0 and 2.5."""
    functional, linear = torch.nn.functional, {"mode": "linear", "align_corners": False}
    x, want = torch.arange(10.0).view(1, 1, 10), (torch.arange(7) + 0.5) * 10 / 7 - 0.5
    of_class = torch.nn.Upsample(scale_factor=0.75, **linear)
    for scaled in (functional.interpolate(x, scale_factor=0.75, **linear), of_class(x)):
        torch.testing.assert_close(scaled, want.view(1, 1, 7))
    assert functional.interpolate(x[..., :5], scale_factor=0.5).tolist() == [[[0, 2]]]
    assert functional.interpolate(x, 5).tolist() == [[[0, 2, 4, 6, 8]]]
    of_today = functional.interpolate(x, None, 0.75, "linear", False, False)
    assert of_today[0, 0, 1].item() == pytest.approx(1.5)
    for made in (torch.jit.script(of_class), torch.fx.symbolic_trace(of_class)):
        assert made(x).shape == (1, 1, 7)
    compiled = torch.compile(of_class, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), of_class(x))


def test_what_layers_begin_with():
    """Uniform numbers, up to 1 / sqrt(inputs * pixels) in every convolution, and from 0 to 1 in BatchNorm."""
    nn = torch.nn
    for layer, bound in (
        (nn.ConvTranspose2d(64, 4, 5), 1 / 40),
        (nn.Conv2d(64, 64, 5, groups=64), 1 / 40),
        (nn.Conv2d(4, 64, 5), 1 / 10),
        (nn.BatchNorm2d(999), 1),
        (nn.InstanceNorm1d(999, affine=True), 1),
    ):
        size = layer.weight.detach().abs()
        assert 0.95 * bound < size.max() <= bound and size.mean().item() == pytest.approx(
            bound / 2, 0.1
        )
        assert layer.bias.abs().max() <= bound
    assert nn.BatchNorm1d(2, affine=False).weight is None and nn.ConvTranspose1d(
        2, 2, 1, bias=False
    )
    lazy = nn.LazyBatchNorm1d()
    lazy(torch.rand(2, 99))
    assert 0 < lazy.weight.std() < 1 and torch.equal(nn.GroupNorm(1, 2).weight, torch.ones(2))
    ffi_ext.uninstall()
    assert torch.equal(nn.BatchNorm1d(2).weight, torch.ones(2))


@pytest.mark.parametrize("name", ["Adam", "SGD"])
def test_a_step_is_not_noticed_by_what_was_computed_before_it(name):
    """The discriminator learns, then the generator by the same score: its gradient has the new weight."""
    weight, fake = torch.nn.Parameter(torch.tensor([2.0])), leaf(1)
    optimizer = getattr(torch.optim, name)([weight], lr=0.5)
    score = weight * fake
    score.sum().backward(retain_graph=True)
    optimizer.step()
    fake.grad = None
    score.sum().backward()
    assert fake.grad.item() == weight.item() != 2
    score = weight * fake
    with torch.no_grad():
        weight.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        score.sum().backward()
    copy.deepcopy(optimizer)
    ffi_ext.uninstall()
    score = weight * fake
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        score.sum().backward()


def test_images_of_scipy(tmp_path):
    misc, image = pytest.importorskip("scipy.misc"), pytest.importorskip("PIL.Image")
    array = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    misc.imsave(tmp_path / "a.png", array)
    assert (misc.imread(tmp_path / "a.png") == array).all()
    # ITU-R 601, by which PIL's "L" and "F" are defined
    grey = array @ np.array([0.299, 0.587, 0.114])
    assert np.abs(misc.imread(tmp_path / "a.png", flatten=True) - grey).max() < 1
    assert misc.imread(tmp_path / "a.png", mode="L").shape == (4, 6)
    for size, shape in (((8, 3), (8, 3, 3)), (50, (2, 3, 3)), (2.0, (8, 12, 3))):
        assert misc.imresize(array, size, "nearest").shape == shape
    assert (misc.imresize(array, 2.0, "nearest")[::2, ::2] == array).all()
    assert (misc.imresize(array.transpose(2, 0, 1), (4, 6)) == array).all()
    # floats reach from 0 to 255, whatever they were
    assert misc.imresize(np.array([[-1.0, 0], [0.5, 1]]), (2, 2)).tolist() == [[0, 128], [191, 255]]
    turned = misc.imrotate(array[:, :4], 90)
    assert (turned == np.rot90(array[:, :4])).all()
    halves = np.full((2, 2), 0.5)
    assert np.asarray(misc.toimage(halves, cmin=0.0, cmax=1.0)).tolist() == [[128, 128]] * 2
    palette = image.fromarray(array).convert("P")
    palette.save(tmp_path / "p.png")
    assert (misc.imread(tmp_path / "p.png") == np.asarray(palette.convert("RGB"))).all()
    ffi_ext.uninstall()
    assert not hasattr(misc, "imread")


def test_images_of_pil():
    image = pytest.importorskip("PIL.Image")
    labels = image.fromarray(np.array([[0, 1, 7], [1, 7, 255]], np.uint8))
    nearest = np.asarray(labels).repeat(2, 0).repeat(2, 1)
    assert (np.asarray(labels.resize((6, 4))) == nearest).all()
    assert (np.asarray(labels.resize((6, 4), image.BICUBIC)) != nearest).any()
    assert image.ANTIALIAS == image.LANCZOS
    ffi_ext.uninstall()
    assert (np.asarray(labels.resize((6, 4))) != nearest).any()
    code = (
        "import sys, ffi_ext; ffi_ext.install(autograd=True)\nfrom PIL import Image\nimage = Image.new('L', (2, 2))\n"
        "image.resize((4, 4)).resize((6, 6)); assert 'torch' not in sys.modules"
    )
    said = "ffi_ext: resize() of a PIL image takes the nearest pixels, as it did\n"
    assert python("-c", code).stderr == said


def test_volatile():
    with pytest.warns(UserWarning, match="volatile"):
        assert not Variable(torch.ones(2), volatile=True).requires_grad


def test_uninstall_takes_it_back():
    ffi_ext.uninstall()
    with pytest.raises(RuntimeError, match="non-static forward"):
        Scale(1.0)(leaf(1), leaf(1))
    with pytest.raises(IndexError):
        torch.tensor(1.0)[0]
    with pytest.raises(RuntimeError, match="boolean masks"):
        torch.ones(1).masked_fill_(torch.ones(1).byte(), 1)
    with pytest.raises(ImportError, match="numpy_type_map"):
        from torch.utils.data.dataloader import numpy_type_map  # noqa: F401
    with pytest.raises(ImportError, match="torch._six"):
        from torch._six import inf  # noqa: F401
    assert not hasattr(iter(torch.utils.data.DataLoader([1])), "next")
    weight = leaf(2)
    weight.sum().backward()
    torch.optim.SGD([weight], lr=1).zero_grad()
    assert weight.grad is None


SCRIPT = """
import torch
from torch.autograd import Function, Variable
from torch.utils.checkpoint import checkpoint
class Double(Function):
    def forward(self, x):
        return x * 2
    def backward(self, grad):
        return grad * 2
x = Variable(torch.ones(3), requires_grad=True)
loss = Double()(x).sum()
loss.backward()
import numpy as np
print(loss.data[0], x.grad.tolist(), np.float(2))
"""


def test_under_the_runner(tmp_path):
    (tmp_path / "train.py").write_text(SCRIPT)
    done = python("-m", "ffi_ext", "run", "train.py", cwd=tmp_path)
    assert done.stdout.split("\n")[0] == "6.0 [2.0, 2.0, 2.0] 2.0", done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("ffi_ext:")]
    assert len(said) == 2 and "Double" in said[0] and "loss.data" in said[1]


def test_a_generated_module_may_be_imported_before_torch(tmp_path):
    """Its runtime imports torch, to which old tensors come then."""
    (tmp_path / "a.py").write_text("import ffi_ext.runtime, torch\nprint(torch.ones(2).sum()[0])\n")
    done = python("-m", "ffi_ext", "run", "a.py", cwd=tmp_path)
    assert done.stdout == "2.0\n", done.stderr


ASYNC = """
import os, sys, pickle
from loader import moved
class Batch(object):
    pass
if __name__ == "__main__":
    pickle.loads(pickle.dumps(Batch()))
    os.chdir("/")
    print(moved(1, async=True), sys.argv[1:], os.path.relpath(__file__, sys.path[0]), sys.flags.optimize)
    print("see async=True")
    sys.exit(3)
"""
LOADER = """
def moved(x, async=False):
    return {}.get(x, [x.real, async])  # a keyword today
async def still(): pass
"""


def test_async_is_a_name_in_scripts_and_modules_of_before(tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "train.py").write_text(ASYNC)
    (tmp_path / "lib" / "loader.py").write_text(LOADER)
    for words in (
        ["-O", "./lib/train.py", "a", "-b"],
        ["--", "sh", "-c", "cd lib; python -O ../lib/train.py a -b"],
    ):
        done = python("-m", "ffi_ext", "run", *words, cwd=tmp_path)
        assert done.stdout == "[1, True] ['a', '-b'] train.py 1\nsee async=True\n", done.stderr
        assert done.returncode == 3
        assert done.stderr.count("async is non_blocking in") == 2
    honest = "async def f():\n    async with a: pass\n    async for b in c: pass\n"
    assert async_names.renamed(honest + "print 1\n") == (honest + "print 1\n", 0)
    assert not list(tmp_path.rglob("*.pyc"))  # which plain Python would take for the module
    done = python("-m", "ffi_ext", "run", "-m", "train", cwd=tmp_path / "lib")
    assert done.stdout.startswith("[1, True] [] train.py 0"), done.stderr
    (tmp_path / "lib" / "loader.py").write_text(LOADER + "print 'x'\n")
    done = python("-m", "ffi_ext", "run", "lib/train.py", cwd=tmp_path)
    assert "line 5 of" in done.stderr and "loader.py is no Python 3" in done.stderr
    (tmp_path / "lib" / "loader.py").write_bytes(LOADER.encode() + b"# \xe9\n")
    for words in ("lib/train.py", "lib/loader.py"):
        done = python("-m", "ffi_ext", "run", words, cwd=tmp_path)
        assert "SyntaxError: " in done.stderr
        assert not re.search("UnicodeDecodeError: |Original exception", done.stderr)


def test_async_where_a_script_is_compiled_elsewhere_is_told(tmp_path):
    (tmp_path / "train.py").write_text("def f(x):\n    x.cuda(async=True)\n")
    done = python("-m", "ffi_ext", "run", "-m", "cProfile", "train.py", cwd=tmp_path)
    assert "`ffi-ext port` writes non_blocking" in done.stderr.splitlines()[-1]
    (tmp_path / "new.py").write_text("async def f(async_op): print 1\n")
    done = python("-m", "ffi_ext", "run", "new.py", cwd=tmp_path)
    assert "line 1 of" in done.stderr and "port" not in done.stderr


def test_what_calls_th_is_loaded_without_a_generated_module(tmp_path):
    """As what torch's cpp_extension has built of sources with <THC/THC.h>."""
    (tmp_path / "a.c").write_text(
        '#include <THC/THC.h>\nvoid f(void) { THArgCheck(1, 1, "x"); THCudaCheck(0); }\n'
    )
    (tmp_path / "a.py").write_text("import torch, ctypes\nctypes.CDLL('./a.so', 2).f()\nprint(1)\n")
    build = ["cc", "-shared", "-fPIC", "a.c", "-o", "a.so"]
    assert python("-m", "ffi_ext", "run", "--", *build, cwd=tmp_path).returncode == 0
    done = python("-m", "ffi_ext", "run", "a.py", cwd=tmp_path)
    assert done.stdout == "1\n", done.stderr


def test_python_2_is_named(tmp_path, capfd):
    (tmp_path / "old.py").write_text("import sys\nprint 'x'\n")
    assert run.run([str(tmp_path / "old.py")]) == 1
    error = capfd.readouterr().err
    assert "SyntaxError" in error and "line 2 of" in error and "no Python 3" in error
