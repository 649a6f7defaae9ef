"""The operators of resnet.ops: gradients, torch.library's checks, torch.compile, and plain torch beside the kernels."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import subprocess
import threading
from pathlib import Path

import pytest
import torch
from torch.autograd import forward_ad

pytest.importorskip("_ext.kernels", reason="run `python build_ffi.py` first")

from resnet import ops  # noqa: E402
from resnet.ops import native  # noqa: E402
from tests import huge_pages  # noqa: E402
from tests.operators import Case, by_threads, differentiable, selections  # noqa: E402
from tests.processes import python  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
GRADS, ALL = list(differentiable()), [*differentiable(), *selections()]


def case_of(name: str, dtype: torch.dtype = torch.float64) -> Case:
    return (differentiable(dtype) | selections(dtype))[name]


def leaves(case: Case) -> list[torch.Tensor]:
    return [x for x in case.inputs if x.requires_grad]


@pytest.mark.parametrize("name", GRADS)
def test_gradcheck(name):
    case = case_of(name)
    trained = leaves(case)

    def call(*values):
        values = iter(values)
        return case.call(*[next(values) if x.requires_grad else x for x in case.inputs])

    # coordinates of boxes and offsets near a corner of the function would jump over it
    assert torch.autograd.gradcheck(call, trained, eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ALL)
def test_plain_torch_computes_the_same(name, dtype):
    case = case_of(name, dtype)
    tolerance = {torch.float32: 2e-5, torch.float64: 1e-12}[dtype]
    results = []
    for context in (ops.plain_torch(), torch.enable_grad()):
        with context:
            y = case.call(*case.inputs)
        if isinstance(y, tuple) or not y.is_floating_point():
            results.append(list(y) if isinstance(y, tuple) else [y])
            continue
        grad = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape)
        results.append([y, *torch.autograd.grad(y, leaves(case), grad)])
    for theirs, ours in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", GRADS)
def test_half_precision_is_computed_in_float32(name):
    case = case_of(name, torch.float32)
    low = [x.bfloat16() if x.is_floating_point() else x for x in case.inputs]
    y = case.call(*low)
    assert y.dtype == torch.bfloat16
    exact = case.call(*[x.float() if x.is_floating_point() else x for x in low])
    assert torch.equal(y, exact.bfloat16())


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 32, 260, 260)])  # and one in huge pages
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_frozen_batch_norm_in_half_precision(dtype, shape):
    """Its gradients are rounded once, too, and what it is given stays as it is."""
    torch.manual_seed(0)
    x, residual, grad = (torch.randn(shape).to(dtype) for _ in range(3))
    scale, bias = torch.rand(2, shape[1])
    pairs = []
    for kind in (dtype, torch.float32):
        given = [value.to(kind, copy=True).requires_grad_() for value in (x, residual)]
        y = ops.frozen_batch_norm(given[0], scale, bias, given[1], relu=True)
        pairs.append([y, *torch.autograd.grad(y, given, grad.to(kind))])
    with torch.no_grad():
        before = x.clone()
        pairs[0].append(ops.frozen_batch_norm(x, scale, bias, residual, relu=True))
        assert torch.equal(x, before)
    pairs[1].append(pairs[1][0])
    for found, exact in zip(*pairs, strict=True):
        assert found.dtype == dtype and torch.equal(found, exact.to(dtype))


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("name", ALL)
def test_autocast_changes_nothing(name, plain):
    """Models run under it on a GPU, where plain torch computes if the kernels are not built."""
    case = case_of(name, torch.float32)
    with ops.plain_torch() if plain else contextlib.nullcontext():
        results = []
        for on in (False, True):
            with torch.autocast("cpu", torch.bfloat16, enabled=on):
                y = case.call(*case.inputs)
            y = y if isinstance(y, tuple) else (y,)
            gradients = torch.autograd.grad(y[0].sum(), leaves(case)) if leaves(case) else ()
            results.append([*y, *gradients])
    for expected, found in zip(*results, strict=True):
        assert found.dtype == expected.dtype and torch.equal(found, expected)


def registered(name: str):
    """The operators torch.ops.resnet.* that a case calls, with their arguments."""
    calls = []
    case = case_of(name)

    class Spy(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            if function.namespace == "resnet":
                calls.append((function, args))
            return function(*args, **(kwargs or {}))

    with Spy():
        y = case.call(*case.inputs)
        if leaves(case):
            torch.autograd.grad(y.sum(), leaves(case))
    return calls


@pytest.mark.parametrize("name", ALL)
def test_opcheck(name):
    calls = registered(name)
    assert len(calls) == (2 if name in GRADS else 1)
    for function, arguments in calls:
        forward = not function._schema.name.endswith("_backward")
        arguments = [
            x.detach().requires_grad_(forward and name in GRADS and x.requires_grad)
            if isinstance(x, torch.Tensor)
            else x
            for x in arguments
        ]
        # the size of what is selected depends on the data
        size = "static" if name in GRADS else "dynamic"
        tests = ["test_schema", "test_faketensor", f"test_aot_dispatch_{size}"]
        if forward:
            tests.append("test_autograd_registration")
        torch.library.opcheck(function, tuple(arguments), test_utils=tests)


@pytest.mark.parametrize("name", ALL)
def test_compile_without_a_graph_break(name):
    torch._dynamo.reset()
    case = case_of(name)

    def step(*inputs):
        y = case.call(*inputs)
        return tuple(z * 2 for z in y) if isinstance(y, tuple) else y * 2

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    # torch before 2.7 breaks the graph at a size that depends on the data, unless asked not to
    with torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True):
        ours, theirs = compiled(*case.inputs), step(*case.inputs)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    if name in GRADS:
        pairs = [torch.autograd.grad(y.sin().sum(), leaves(case)) for y in (ours, theirs)]
        torch.testing.assert_close(*pairs, rtol=1e-12, atol=1e-12)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("name", ALL)
def test_jit_trace_records_the_call(name):
    """And not the memory that the kernel wrote to while it looked on."""
    case = case_of(name)
    inputs = [x.detach() for x in case.inputs]
    traced = torch.jit.trace(case.call, tuple(inputs))
    others = [inputs[0].flip(0), *inputs[1:]]
    ours, theirs = traced(*others), case.call(*others)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_numbers_that_compiled_code_leaves_open():
    """A number that differs from call to call, or comes of a size, is a symbol there."""
    rois, boxes = torch.tensor([[0.0, 0, 0, 8, 8]]), torch.tensor([[0.0, 0, 9, 9], [1, 1, 9, 9]])

    def both(x, samples, threshold):
        aligned = ops.roi_align(x, rois, 3, 16 / x.shape[-1], samples)
        return aligned, ops.nms(boxes, boxes[:, 0], threshold)

    torch._dynamo.reset()
    compiled = torch.compile(both, fullgraph=True, backend="aot_eager")
    for size, samples, threshold in [(16, 2, 0.5), (32, 3, 0.9), (64, 1, 0.1)]:
        given = (torch.rand(1, 2, size, size), samples, threshold)
        with torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True):  # of nms
            found = compiled(*given)
        for ours, want in zip(found, both(*given), strict=True):
            assert torch.equal(ours, want)


def test_a_size_that_export_leaves_open():
    """It comes as torch.SymInt where torch.export is not strict, and int() would fix it."""

    class Halved(torch.nn.Module):
        def forward(self, x, rois):
            return ops.roi_align(x, rois, x.shape[2] // 2), ops.roi_pool(x, rois, x.shape[2:])

    rois, module = torch.tensor([[0.0, 1, 1, 6, 5]]), Halved()
    # above the width: torch 2.4 compares the two to see how the result lies
    height = {2: torch.export.Dim("height", min=8, max=64)}
    example = (torch.randn(1, 2, 8, 7), rois)
    exported = torch.export.export(module, example, dynamic_shapes=(height, {}), strict=False)
    x = torch.randn(1, 2, 12, 7)
    torch.testing.assert_close(exported.module()(x, rois), module(x, rois))


@pytest.mark.parametrize("name", GRADS)
def test_functional_transforms_see_through(name):
    case = case_of(name)
    x, *others = [leaf.detach() for leaf in case.inputs]

    def loss(x):
        return case.call(x, *others).square().sum()

    theirs = torch.autograd.grad(loss(x.requires_grad_()), x)[0]
    x = x.detach()
    torch.testing.assert_close(torch.func.grad(loss)(x), theirs)
    value, back = torch.func.vjp(loss, x)  # back is called when the transform has returned
    torch.testing.assert_close(back(torch.ones_like(value))[0], theirs)


def test_in_place_within_a_functional_transform_and_without_gradients():
    """As of a teacher that a loss for torch.func.grad calls: C was given the wrapped tensor, and refused it."""
    x, one = torch.rand(1, 3, 2, 2), torch.ones(3)

    def loss(by):
        with torch.no_grad():
            target = ops.frozen_batch_norm(x * by, 2 * one, one, inplace=True)
        return (target * by).sum()

    torch.testing.assert_close(torch.func.grad(loss)(torch.tensor(1.0)), (2 * x + 1).sum())


def test_in_place_of_an_expanded_tensor():
    """Which has one place for many elements: each was computed of the one before."""
    x, two = torch.ones(1, 3, 1, 1).expand(2, 3, 4, 4), torch.full((3,), 2.0)
    y = ops.frozen_batch_norm(x, two, two, inplace=True)
    assert torch.equal(y, torch.full((2, 3, 4, 4), 4.0))
    assert torch.equal(x, torch.ones(2, 3, 4, 4))


def test_in_place_of_what_backward_needs_is_told():
    x, by = torch.rand(1, 3, 2, 2), torch.ones(3, 1, 1, requires_grad=True)
    y = (x * by).sum()
    ops.frozen_batch_norm(x, torch.ones(3), torch.ones(3), inplace=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


SECOND = "first derivatives, backward; got a second or a forward one"


@pytest.mark.parametrize("loss", [lambda y: y.square().sum(), lambda y: y.sum()])
@pytest.mark.parametrize("name", GRADS)
def test_second_derivatives_are_refused(name, loss):
    case = case_of(name)

    def first_derivative():
        y = case.call(*case.inputs)
        x = leaves(case)[0]
        return x, torch.autograd.grad(loss(y), x, create_graph=True)[0]

    x, grad = first_derivative()
    with ops.plain_torch():  # by which a linear function has none, and the others have one
        expected = first_derivative()[1].requires_grad
    assert grad.requires_grad == expected
    if expected:
        for differentiate in (torch.Tensor.backward, lambda g: torch.autograd.grad(g, x)):
            with pytest.raises(RuntimeError, match=SECOND):
                differentiate(grad.sum())


def test_second_derivatives_of_registered_operators_and_transforms_are_refused():
    x, targets = torch.randn(2, 3, requires_grad=True), torch.zeros(2, 3)
    y = torch.ops.resnet.focal_loss(x, targets, 0.25, 2.0)
    (grad,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match=SECOND):
        grad.sum().backward()
    first = torch.func.grad(lambda x: ops.sigmoid_focal_loss(x, targets).sum())
    with pytest.raises(RuntimeError, match=SECOND):
        torch.func.grad(lambda x: first(x).sum())(x.detach())


@pytest.mark.parametrize("name", GRADS)
def test_forward_derivatives_are_refused(name):
    case = case_of(name)
    with forward_ad.dual_level():
        case.call(*[x.detach() for x in case.inputs])  # which has no tangent
        dual = forward_ad.make_dual(leaves(case)[0].detach(), torch.ones_like(leaves(case)[0]))
        inputs = [dual if x is leaves(case)[0] else x.detach() for x in case.inputs]
        with pytest.raises(RuntimeError, match=SECOND):
            case.call(*inputs)


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_in_place_forward_derivatives_are_refused(place):
    x, one = torch.ones(1, 1, 2, 2), torch.ones(1)
    arguments = [x, one, one, torch.ones(1, 1, 2, 2)]
    with forward_ad.dual_level():
        arguments[place] = forward_ad.make_dual(arguments[place], arguments[place])
        with pytest.raises(RuntimeError, match=SECOND):
            ops.frozen_batch_norm(*arguments, inplace=True)
        assert torch.equal(x, torch.ones(1, 1, 2, 2))


@pytest.mark.parametrize("name", GRADS)
def test_results_do_not_depend_on_threads(name):
    case = case_of(name, torch.float32)
    # enough work for a parallel region
    inputs = [
        torch.cat([x] * 40, 0 if name.startswith(("roi", "box", "focal", "psroi")) else 3).detach()
        if not name.startswith("deform")
        else x.detach()
        for x in case.inputs
    ]
    if name.startswith("roi"):
        inputs[0] = torch.cat([case.inputs[0].detach()] * 40, 1)
    for x, original in zip(inputs, case.inputs, strict=True):
        x.requires_grad_(original.requires_grad)

    def results():
        y = case.call(*inputs)
        trained = [x for x in inputs if x.requires_grad]
        return [y, *torch.autograd.grad(y.square().sum(), trained)]

    assert all(map(torch.equal, *by_threads(results, 1, 2)))


def test_a_new_thread_takes_torchs_number_of_threads():
    """OpenMP's own number for it is that of the cores."""
    kernels = importlib.import_module("_ext.kernels._kernels")
    openmp = ctypes.CDLL(kernels.__file__)  # finds what that is linked to, too
    boxes, scores, numbers = torch.rand(8, 4), torch.rand(8), []

    def work():
        ops.nms(boxes, scores, 0.5)
        numbers.append(openmp.omp_get_max_threads())

    ops.nms(boxes, scores, 0.5)  # a process's first call does more
    before = torch.get_num_threads()
    torch.set_num_threads(before + 3)
    try:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    finally:
        torch.set_num_threads(before)
    assert numbers == [before + 3]


@pytest.mark.parametrize("width", [1, 3, 64])
def test_gradients_of_deformed_samples_do_not_depend_on_threads(width):
    kernels = pytest.importorskip("_ext.kernels")
    torch.manual_seed(0)
    offset, mask = 3 * torch.randn(2 * 2 * 9, 20, width), torch.rand(2 * 9, 20, width)
    columns = torch.rand(4, 20 * width, 9 * 32)

    def gradient():
        grad = torch.zeros(20, width, 128).permute(2, 0, 1)
        kernels.deform_input_backward_float(columns, offset, mask, 3, 3, 1, 1, 1, 1, 1, 1, 0, grad)
        return grad

    one, *others = by_threads(gradient, 1, 2, 5)
    assert all(torch.equal(one, other) for other in others)
    assert one.abs().sum() > 0


WITHOUT_KERNELS = """
import sys, warnings
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "_ext":
            raise ModuleNotFoundError("No module named '_ext'", name="_ext")
sys.meta_path.insert(0, Hidden())
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    import resnet
    import torch
    from resnet import ops
    ops.nms(torch.rand(3, 4), torch.rand(3), 0.5)
told = [str(w.message) for w in seen if "resnet" in str(w.message)]
print(len(told), ops.available())
print(told[0] if told else "")
print(ops.nms(torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 3], [8, 8, 9, 9]]), torch.tensor([0.1, 0.3, 0.2]), 0.5).tolist())
try:
    torch.ops.resnet.nms(torch.rand(3, 4), torch.rand(3), None, 0.5, False)
except ModuleNotFoundError as error:
    print(error)
"""


def run(text: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return python("-c", text, cwd=ROOT, **environment)


def test_large_results_lie_in_huge_pages():
    x = torch.rand(8, 64, 100, 200)
    ones = torch.ones(64)
    y = ops.frozen_batch_norm(x, ones, ones)
    assert huge_pages.asked_for(y.data_ptr() + y.nbytes // 2)
    assert torch.equal(y, x + 1)


def test_nothing_is_passed_as_the_null_that_calls_know_at_sight():
    from _ext import kernels

    # cffi.FFI().NULL is equal, and an object of its own.
    assert native.or_null(None) is kernels._ffi.NULL


def test_without_kernels_torch_computes_and_it_is_said_once():
    done = run(WITHOUT_KERNELS)
    assert done.returncode == 0, done.stderr
    counted, told, kept, refused = done.stdout.splitlines()
    assert counted == "1 False"
    assert "_ext.kernels cannot be imported" in told and "python build_ffi.py" in told
    assert kept == "[1, 2]"
    assert "python build_ffi.py" in refused


def test_plain_torch_ends_with_the_last_who_asked_for_it():
    """Of two threads, either may be the first to end."""
    one, other = ops.plain_torch(), ops.plain_torch()
    one.__enter__()
    other.__enter__()
    one.__exit__(None, None, None)
    assert not native.use_kernels(torch.ones(1))
    other.__exit__(None, None, None)
    assert native.use_kernels(torch.ones(1))


def test_the_environment_chooses():
    text = "import torch, resnet.ops.native as n; print(n.use_kernels(torch.ones(1)))"
    assert run(text, RESNET_OPS="torch").stdout == "False\n"
    assert "must be one of kernels, torch or unset, got 'c'" in run(text, RESNET_OPS="c").stderr
    done = run(WITHOUT_KERNELS, RESNET_OPS="kernels")
    assert "RESNET_OPS=kernels, but the kernels in _ext.kernels cannot be imported" in done.stderr
