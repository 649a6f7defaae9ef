"""differentiable(): gradients of C functions, named in one line, compiled, under torch.func; outputs that it makes."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import torch
import torch.utils.checkpoint

import ffi_ext
from ffi_ext import library

# differentiable() under torch.compile, as the docs say
SEES_THROUGH = torch.torch_version.TorchVersion(torch.__version__) >= "2.6"


ADD = """
#include <TH/TH.h>
#define T(x) ((THDoubleTensor *)(x))
void add_forward(const THDoubleTensor *a, const THDoubleTensor *b, double by, THDoubleTensor *out) {
  THDoubleTensor_cadd(out, T(a), by, T(b));
}
void add_backward(const THDoubleTensor *grad_out, double by, THDoubleTensor *grad_a, THDoubleTensor *grad_b) {
  THDoubleTensor_copy(grad_a, T(grad_out));
  THDoubleTensor_mul(grad_b, T(grad_out), by);
}
void rows_forward(const THDoubleTensor *x, THDoubleTensor *out) { /* exp of the first column */
  for (long i = 0; i < x->size[0]; i++)
    THDoubleTensor_set1d(out, i, exp(THDoubleTensor_get2d(T(x), i, 0)));
}
void rows_backward(const THDoubleTensor *grad_output, const THDoubleTensor *out, THDoubleTensor *grad_x) {
  THDoubleTensor_zero(grad_x);
  for (long i = 0; i < out->size[0]; i++)
    THDoubleTensor_set2d(grad_x, i, 0, THDoubleTensor_get1d(T(grad_output), i) * THDoubleTensor_get1d(T(out), i));
}
void old_forward(THDoubleTensor *a, THDoubleTensor *b, THDoubleTensor *out) { THDoubleTensor_cmul(out, a, b); }
void old_backward(THDoubleTensor *grad, THDoubleTensor *a, THDoubleTensor *b, THDoubleTensor *grad_a) {
  THDoubleTensor_cmul(grad_a, grad, b);
}
void keyword(const THDoubleTensor *in, THDoubleTensor *is) { THDoubleTensor_cmul(is, T(in), T(in)); }
void keyword_backward(const THDoubleTensor *grad_is, const THDoubleTensor *in, THDoubleTensor *grad_in) {
  THDoubleTensor_cmul(grad_in, T(grad_is), T(in));
  THDoubleTensor_mul(grad_in, grad_in, 2);
}
void pulled(const THDoubleTensor *grad_out, const THDoubleTensor *x, THDoubleTensor *grad_x) {
  THDoubleTensor_cmul(grad_x, T(grad_out), T(x));
}
void pulled_backward(const THDoubleTensor *grad_grad_x, const THDoubleTensor *grad_out, const THDoubleTensor *x,
                     THDoubleTensor *grad_grad_out, THDoubleTensor *grad_x) {
  pulled(grad_grad_x, x, grad_grad_out);
  pulled(grad_grad_x, grad_out, grad_x);
}
void weighted(const THDoubleTensor *x, const double *by, THDoubleTensor *out) {
  for (long i = 0; i < x->size[0]; i++)
    THDoubleTensor_set1d(out, i, by[i] * THDoubleTensor_get1d(T(x), i));
}
void weighted_backward(const THDoubleTensor *grad, const double *by, THDoubleTensor *grad_x) {
  weighted(grad, by, grad_x);
}
void odd(const THDoubleTensor *what, THDoubleTensor *grad_a) {}
void unscaled(const THDoubleTensor *a, const THDoubleTensor *b, THDoubleTensor *grad_a) {}
void number(const THDoubleTensor *grad_out, THDoubleTensor *grad_a, THDoubleTensor *grad_by) {}
void several(const THDoubleTensor *a, THDoubleTensor *x, THDoubleTensor *y) {}
/* A comment. */
void none(const THDoubleTensor *a) {}
"""


@pytest.fixture(scope="module")
def my_lib():
    return ffi_ext.load_inline("my_lib", ADD)


@pytest.mark.skipif(
    not SEES_THROUGH, reason="torch.compile sees through differentiable() from 2.6 on"
)
def test_gradients_of_sizes_that_depend_on_data(my_lib):
    library.register(my_lib, "ffi_ext_of_data")
    square = library.differentiable(my_lib.keyword, my_lib.keyword_backward)
    with torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True):
        compiled = torch.compile(lambda x: square(x[x > 0]), fullgraph=True, backend="aot_eager")
        for values in ([1.0, -2.0, 3.0], [-1.0, -1.0, -1.0]):
            x = torch.tensor(values, dtype=torch.float64, requires_grad=True)
            compiled(x).sum().backward()
            assert x.grad.tolist() == [2 * value * (value > 0) for value in values]


@pytest.mark.parametrize("registered", [False, True])
def test_autograd_in_one_line(my_lib, registered):
    if registered:
        library.register(my_lib, "ffi_ext_one_line")
    add = library.differentiable(my_lib.add_forward, my_lib.add_backward)
    a, b = (torch.rand(2, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    torch.testing.assert_close(add(a, b, 2.5), a + 2.5 * b)
    assert add(a, b, 2.5).grad_fn.name() == "add_forwardBackward"
    assert torch.autograd.gradcheck(lambda a, b: add(a, b, 2.5), (a, b))
    rows = library.differentiable(
        my_lib.rows_forward, my_lib.rows_backward, shape=lambda x: x.shape[:1]
    )
    assert torch.autograd.gradcheck(rows, (a,))
    square = library.differentiable(my_lib.keyword, my_lib.keyword_backward)
    assert torch.autograd.gradcheck(square, (a,))
    of_backward = library.differentiable(my_lib.pulled, my_lib.pulled_backward)
    assert torch.autograd.gradcheck(of_backward, (a, b))
    old = library.differentiable(my_lib.old_forward, my_lib.old_backward)
    got = torch.autograd.grad(old(a, b).sum(), (a, b), allow_unused=True)
    assert got[0].tolist() == b.tolist() and got[1] is None  # it names no grad_b
    assert str(inspect.signature(add)) == "(a, b, by)"
    with pytest.raises(TypeError, match="takes a, b, by: got 1"):
        add(a)
    with pytest.raises(
        TypeError, match="'by': expected a number, got a tensor, which would get no"
    ):
        add(a, b, torch.tensor(2.5, requires_grad=True))
    if registered and SEES_THROUGH:

        def f(a, b):
            return (rows(add(a, b, 2.5)) ** 2).sum()

        want = torch.autograd.grad(((a + 2.5 * b)[:, 0].exp() ** 2).sum(), (a, b))
        got = torch.autograd.grad(
            torch.compile(f, fullgraph=True, backend="aot_eager")(a, b), (a, b)
        )
        torch.testing.assert_close(got, want)
        twice = torch.compile(lambda a: add(a, a, 2.5), fullgraph=True, backend="eager")
        torch.testing.assert_close(torch.autograd.grad(twice(a).sum(), a)[0], a * 0 + 3.5)


@pytest.mark.parametrize(
    ("forward", "backward", "said"),
    [
        ("add_forward", "odd", "parameter 'what' of void odd"),
        ("several", "add_backward", "has several outputs"),
        ("none", "add_backward", r"void none\(.*\) has no tensor .* must not be const"),
        ("add_forward", "", "must be one, too"),
        (
            "add_forward",
            "add_forward",
            "writes no gradient: name its outputs grad_<input>, as in grad_a or grad_b",
        ),
        (
            "add_forward",
            "number",
            "parameter 'grad_by' .* grad_<input> .of a tensor, without const",
        ),
        ("old_forward", "unscaled", "takes no gradient that comes in: name it grad_out, or give"),
    ],
)
def test_parameters_that_cannot_be_told_apart(my_lib, forward, backward, said):
    with pytest.raises(ValueError, match=said):
        library.differentiable(
            getattr(my_lib, forward), getattr(my_lib, backward) if backward else max
        )


def test_gradients_of_gradients_are_refused(my_lib):
    old = library.differentiable(my_lib.old_forward, my_lib.old_backward)
    a, b = (torch.rand(3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    for y, expected in ((old(a, b), b), (old(a, b).square(), 2 * a * b * b)):
        (g,) = torch.autograd.grad(y.sum(), a, create_graph=True)
        torch.testing.assert_close(g.detach(), expected.detach())
        with pytest.raises(RuntimeError, match="no second derivative"):
            g.sum().backward()


@pytest.fixture(scope="module", params=["plain", "registered"])
def either_lib(request):
    either = ffi_ext.load_inline(f"{request.param}_lib", ADD)
    if request.param == "registered":
        library.register(either)
    return either


def test_torch_func(either_lib):
    add = library.differentiable(either_lib.add_forward, either_lib.add_backward)
    rows = library.differentiable(
        either_lib.rows_forward, either_lib.rows_backward, shape=lambda x: x.shape[:1]
    )
    a, b = torch.rand(2, 3, dtype=torch.float64), torch.rand(2, 3, dtype=torch.float64)
    got = torch.func.grad(lambda a, b: rows(add(a, b, 2.5)).sum(), argnums=(0, 1))(a, b)
    want = torch.func.grad(lambda a, b: (a + 2.5 * b)[:, 0].exp().sum(), argnums=(0, 1))(a, b)
    torch.testing.assert_close(got, want)
    _, back = torch.func.vjp(lambda b: add(a, b, 2.5), b)
    torch.testing.assert_close(back(a)[0], 2.5 * a)
    _, back = torch.func.vjp(rows, a)  # whose backward gets what was saved when vjp had wrapped it
    torch.testing.assert_close(back(torch.ones(2).double())[0][:, 0], a[:, 0].exp())
    for forward in (torch.func.jacfwd, torch.func.hessian):
        with pytest.raises(
            RuntimeError, match=r"add_forward\(\) is a C function with a backward al"
        ):
            forward(lambda a: add(a, a, 2.5).sum())(a)


def test_vmap_calls_c_for_each_item(either_lib):
    add = library.differentiable(either_lib.add_forward, either_lib.add_backward)
    func, a, b = torch.func, torch.rand(3, 4).double(), torch.rand(3, 4).double()

    def check(of):
        torch.testing.assert_close(of(add), of(lambda a, b, by: a + by * b))

    check(lambda f: func.vmap(f, (0, 0, None))(a, b, 2.5))
    check(lambda f: func.vmap(f, (1, None, None), out_dims=1)(a, b[:, 0], 2.5))
    check(lambda f: func.vmap(func.vmap(f, (0, None, None)), (0, 0, None))(a, b[:, 0], 2.5))
    check(lambda f: func.jacrev(lambda a, b: f(a, b, 2.5).exp(), (0, 1))(a[0], b[0]))

    def loss(f):
        return lambda a, b: f(a, b, 2.5).square().sum()

    check(lambda f: func.vmap(func.grad(loss(f), (0, 1)), (0, None))(a, b[0]))
    check(lambda f: func.grad(lambda b: func.vmap(loss(f), (0, None))(a, b).exp().sum())(b[0]))
    second = func.grad(lambda b: func.grad(loss(add), 1)(a[0], b).sum())
    for of in (second, func.vmap(second)):
        with pytest.raises(RuntimeError, match="no second derivative"):
            of(b[0] if of is second else b)
    with pytest.raises(ValueError, match="expected items for vmap, got a dimension of size 0"):
        func.vmap(add, (0, 0, None))(a[:0], b[:0], 2.5)


def test_vmap_of_several_outputs_and_of_lists():
    both = library.differentiable(
        lambda xs, k: [xs[0] * k, xs[1] + k], lambda p, q, xs, k: (p * xs[0] + q).sum()
    )
    a, b, k = torch.rand(3, 2), torch.rand(3, 2), torch.rand(3)
    got = torch.func.vmap(both)([a, b], k)
    torch.testing.assert_close(got, (a * k[:, None], b + k[:, None]))
    counted = library.differentiable(lambda x: (x * 2, 1), lambda grad, _, x: grad * 2)
    torch.testing.assert_close(torch.func.vmap(lambda x: counted(x)[0])(a), 2 * a)
    total = torch.func.grad(lambda k, xs: sum(t.sum() for t in both(xs, k)))
    got = torch.func.vmap(total)(k, [a, b])
    torch.testing.assert_close(got, a.sum(1) + 2)


@pytest.mark.skipif(
    not SEES_THROUGH, reason="torch.compile sees through differentiable() from 2.6 on"
)
@pytest.mark.filterwarnings("ignore:Dynamo does not know")  # it runs the frame uncompiled
def test_torch_func_that_is_compiled_gives_no_gradient_of_0(my_lib):
    library.register(my_lib, "ffi_ext_func")
    add = library.differentiable(my_lib.add_forward, my_lib.add_backward)
    a = torch.rand(3, dtype=torch.float64)

    def gradient(a):
        return torch.func.grad(lambda a: add(a, a, 2.5).square().sum())(a)

    # torch 2.8 tells what was raised, and not its text
    said = r"add_forward\(\) is a C function, whose gradient torch|<class 'NotImplementedError'>"
    with pytest.raises(Exception, match=said):
        torch.compile(gradient, fullgraph=True, backend="aot_eager")(a)
    got = torch.compile(gradient, backend="aot_eager")(a)
    torch.testing.assert_close(got, 2 * 3.5**2 * a)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_onnx_is_not_written_without_the_c_function(my_lib, tmp_path):
    """By torch.jit.trace, which the exporter of torch before 2.9 uses, the file had memory as it was allocated."""

    class Model(torch.nn.Module):
        def forward(self, a):
            return add(a, a, 2.5)

    add = library.differentiable(my_lib.add_forward, my_lib.add_backward)
    a = torch.rand(3, dtype=torch.float64)
    has_another = "dynamo" in inspect.signature(torch.onnx.export).parameters  # from torch 2.5 on
    by_tracing = {"dynamo": False} if has_another else {}
    with pytest.raises(
        NotImplementedError, match=r"add_forward\(\) is a C function, for which ONN"
    ):
        torch.onnx.export(Model(), (a,), str(tmp_path / "a.onnx"), **by_tracing)
    torch.testing.assert_close(torch.jit.trace(Model(), a)(a + 1), 3.5 * (a + 1))


def test_names_and_types_of_arguments(my_lib):
    add = library.differentiable(my_lib.add_forward, my_lib.add_backward)
    a, b = torch.rand(2, dtype=torch.float64), torch.rand(2, dtype=torch.float64)
    assert torch.equal(add(a, by=2.0, b=b), add(a, b, 2.0))
    with pytest.raises(TypeError, match=r"add_forward\(\): missing .* 'by'; it takes a, b, by"):
        add(a, b=b)
    with pytest.raises(
        TypeError, match=r"add_forward\(\) argument 'a': expected a torch.Tensor, got str"
    ):
        add("a", b, 1.0)
    with pytest.raises(ValueError, match="forward must be one, too"):
        library.differentiable(lambda x: x, my_lib.add_backward)
    with pytest.raises(ValueError, match="argument 'namespace': expected a name"):
        library.register(my_lib, "bad name")
    for namespace in (3, "class"):
        with pytest.raises(ValueError, match="argument 'namespace': expected a name"):
            library.register(my_lib, namespace)
    with pytest.raises(TypeError, match=r"argument 'shape': expected a function .* got \(3,\)"):
        library.differentiable(my_lib.add_forward, my_lib.add_backward, shape=(3,))


def test_an_output_that_c_resizes_is_refused_under_compile(my_lib):
    library.register(my_lib, "ffi_ext_resized")
    add = torch.ops.ffi_ext_resized.add_forward
    a = torch.rand(3, dtype=torch.float64)
    out = a.new_empty(0)
    add(a, a, 1.0, out)
    assert out.shape == (3,)

    def f(a):
        out = a.new_empty(0)
        add(a, a, 1.0, out)
        return out * 2

    with pytest.raises(Exception, match="'out' is empty, to be resized in C: under torch.compile"):
        torch.compile(f, fullgraph=True, backend="aot_eager")(a)


EMBEDDING = """
#include <TH/TH.h>
void forward(const THLongTensor *index, const THFloatTensor *weight, THFloatTensor *out) {
  for (int64_t i = 0; i < THLongTensor_nElement(index); i++)
    THFloatTensor_set1d(out, i, THFloatTensor_get1d(weight, THLongTensor_get1d(index, i)));
}
void backward(const THFloatTensor *grad_out, const THLongTensor *index, THFloatTensor *grad_weight) {
  THFloatTensor_zero(grad_weight);
  for (int64_t i = 0; i < THLongTensor_nElement(index); i++)
    THFloatTensor_data(grad_weight)[THLongTensor_get1d(index, i)] += THFloatTensor_get1d(grad_out, i);
}
"""


def test_an_output_has_the_element_type_that_the_header_says(build):
    module = build(
        "void forward(const THLongTensor *index, const THFloatTensor *weight, THFloatTensor *out);\n"
        "void backward(const THFloatTensor *grad_out, const THLongTensor *index, THFloatTensor *grad_weight);",
        EMBEDDING,
    )
    library.register(module)
    embedding = library.differentiable(module.forward, module.backward)
    weight = torch.tensor([1.0, 2.0, 4.0], requires_grad=True)
    index = torch.tensor([2, 2, 0])
    runs = [embedding]
    if SEES_THROUGH:
        runs.append(torch.compile(embedding, fullgraph=True, backend="aot_eager"))
        with (
            torch.no_grad()
        ):  # a Function of two inputs is where torch.compile looks for ctx itself
            assert runs[-1](index, weight).tolist() == [4.0, 4.0, 1.0]
        assert runs[-1](index, weight.detach()).tolist() == [4.0, 4.0, 1.0]
    for run in runs:
        weight.grad = None
        out = run(index, weight)
        out.sum().backward()
        assert out.tolist() == [4.0, 4.0, 1.0] and weight.grad.tolist() == [1.0, 0.0, 2.0]


def test_an_output_is_like_what_its_constraint_names(build):
    source = """#include <ffi_ext.h>
    void forward(const ffi_ext_tensor *mask, const ffi_ext_tensor *x, ffi_ext_tensor *out) {
      for (int64_t i = 0; i < x->numel; i++)
        ((double *)out->data)[i] = ((char *)mask->data)[i % mask->numel] ? ((double *)x->data)[i] : 0;
    }
    void backward(const ffi_ext_tensor *grad_out, const ffi_ext_tensor *mask, ffi_ext_tensor *grad_x) {
      forward(mask, grad_out, grad_x);
    }"""
    module = build(
        "/* @param out [like(x)] */\n"
        "void forward(const ffi_ext_tensor *mask, const ffi_ext_tensor *x, ffi_ext_tensor *out);\n"
        "void backward(const ffi_ext_tensor *grad_out, const ffi_ext_tensor *mask, ffi_ext_tensor *grad_x);",
        source,
    )
    masked = library.differentiable(module.forward, module.backward)
    mask = torch.tensor([True, False])
    x = torch.ones(2, 2, dtype=torch.float64, requires_grad=True)
    out = masked(mask, x)
    out.sum().backward()
    assert out.dtype == torch.float64 and out.tolist() == x.grad.tolist() == [[1.0, 0.0]] * 2


LAYOUTS = """
#include <ffi_ext.h>
/* @param out [like(x), contiguous] */
void rows(const ffi_ext_tensor *x, ffi_ext_tensor *out);
/* @param grad_out [contiguous]
 * @param grad_x [contiguous] */
void rows_backward(const ffi_ext_tensor *grad_out, ffi_ext_tensor *grad_x);
/* @param x [channels_last]
 * @param out [like(x), channels_last] */
void pixels(const ffi_ext_tensor *x, ffi_ext_tensor *out);
/* @param grad_out [channels_last]
 * @param grad_x [channels_last] */
void pixels_backward(const ffi_ext_tensor *grad_out, ffi_ext_tensor *grad_x);
/* @param out [channels_last] */
void shaped(const ffi_ext_tensor *x, ffi_ext_tensor *out);
void shaped_backward(const ffi_ext_tensor *grad_out, ffi_ext_tensor *grad_x);
"""
LAYOUTS_SOURCE = """
static void twice(const ffi_ext_tensor *x, ffi_ext_tensor *out) {
  for (int64_t i = 0; i < x->numel; i++) ((float *)out->data)[i] = 2 * ((const float *)x->data)[i];
}
void rows(const ffi_ext_tensor *x, ffi_ext_tensor *out) {
  float *next = (float *)out->data;
  for (int64_t i = 0; i < x->shape[0]; i++)
    for (int64_t j = 0; j < x->shape[1]; j++)
      *next++ = 2 * ((const float *)x->data)[i * x->stride[0] + j * x->stride[1]];
}
void rows_backward(const ffi_ext_tensor *grad_out, ffi_ext_tensor *grad_x) { twice(grad_out, grad_x); }
void pixels(const ffi_ext_tensor *x, ffi_ext_tensor *out) { twice(x, out); }
void pixels_backward(const ffi_ext_tensor *grad_out, ffi_ext_tensor *grad_x) { twice(grad_out, grad_x); }
void shaped(const ffi_ext_tensor *x, ffi_ext_tensor *out) {}
void shaped_backward(const ffi_ext_tensor *grad_out, ffi_ext_tensor *grad_x) {}
"""


def test_what_is_made_lies_as_the_header_says(build):
    module = build(LAYOUTS, LAYOUTS + LAYOUTS_SOURCE)
    library.register(module)
    rows = library.differentiable(module.rows, module.rows_backward)
    pixels = library.differentiable(module.pixels, module.pixels_backward)
    matrix = torch.arange(6.0).view(2, 3).t()
    image = torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last)
    for function, x in ((rows, matrix), (pixels, image)):
        x = x.detach().requires_grad_()
        ways = [function]
        if SEES_THROUGH:
            ways.append(torch.compile(function, fullgraph=True, backend="aot_eager"))
        for way in ways:
            y = way(x)
            torch.testing.assert_close(y, 2 * x)
            (got,) = torch.autograd.grad((y.contiguous() ** 2).sum(), x)
            torch.testing.assert_close(got, 8 * x.detach())
    with pytest.raises(ValueError, match="'x': expected a channels_last tensor"):
        pixels(torch.zeros(2, 3))
    shaped = library.differentiable(
        module.shaped, module.shaped_backward, shape=lambda x: (2, 3, 4, 5)
    )
    assert shaped(matrix).is_contiguous(memory_format=torch.channels_last)


def test_gradients_that_are_conjugated_lazily(build):
    header = (
        "#include <ffi_ext.h>\nvoid turn(const ffi_ext_tensor *z, ffi_ext_tensor *out);\n"
        "void turn_backward(const ffi_ext_tensor *grad_out, ffi_ext_tensor *grad_z);\n"
    )
    turns = (
        "#include <complex.h>\n#define EACH(BY, FROM, TO) for (int64_t i = 0; i < (FROM)->numel; i++) \\\n"
        "  ((double complex *)(TO)->data)[i] = (BY) * ((const double complex *)(FROM)->data)[i]\n"
        "void turn(const ffi_ext_tensor *z, ffi_ext_tensor *out) { EACH(I, z, out); }\n"
        "void turn_backward(const ffi_ext_tensor *g, ffi_ext_tensor *grad_z) { EACH(-I, g, grad_z); }\n"
    )
    module = build(header, header + turns)
    turn = library.differentiable(module.turn, module.turn_backward)
    z = torch.tensor([1 + 2j, 3 - 1j], dtype=torch.complex128, requires_grad=True)
    got, want = (
        torch.autograd.grad((y.conj() * (1 + 2j)).real.sum(), z)[0] for y in (turn(z), 1j * z)
    )
    torch.testing.assert_close(got, want)


def test_several_outputs_of_python_functions():
    def forward(x, by):
        return x * by, x.square(), x.argmax()

    def backward(grad_product, grad_square, _, x, by):
        return grad_product * by + 2 * grad_square * x

    both = library.differentiable(forward, backward)
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    ways = [both]
    if SEES_THROUGH:
        ways.append(torch.compile(both, fullgraph=True, backend="aot_eager"))
    for way in ways:
        product, square, place = way(x, 3.0)
        (grad,) = torch.autograd.grad(product.sum() + 10 * square.sum(), x)
        assert grad.tolist() == [23.0, 43.0] and place == 1
        (grad,) = torch.autograd.grad(way(x, 3.0)[1].sum(), x)
        assert grad.tolist() == [2.0, 4.0]


def test_a_list_is_several_outputs_and_no_input_with_a_gradient():
    """Both went by autograd: outputs without history, an input whose gradient stayed None."""
    split = library.differentiable(
        lambda x: [x[:1] * 2, x[1:] * 3], lambda a, b, x: torch.cat([2 * a, 3 * b])
    )
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    sum(part.sum() for part in split(x)).backward()
    assert x.grad.tolist() == [2.0, 3.0]
    named = library.differentiable(lambda x: {"double": x * 2}, lambda grad, x: grad * 2)
    with pytest.raises(TypeError, match="forward must return a tensor, or a tuple .*, got dict"):
        named(x)
    total = library.differentiable(lambda parts: sum(parts), lambda grad, parts: ())
    with pytest.raises(
        TypeError, match="require gradients in a tuple, where autograd does not see"
    ):
        total((x, x))
    with torch.no_grad():
        assert total([x, x]).tolist() == [2.0, 4.0]


def test_a_tensor_for_a_pointer_is_an_input_without_a_gradient(my_lib):
    """It was refused as if the parameter were a number."""
    weighted = library.differentiable(my_lib.weighted, my_lib.weighted_backward)
    x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    by = torch.tensor([3.0, 5.0], dtype=torch.float64)
    for weights in (by, by.numpy(), by.clone().requires_grad_()):
        out = weighted(x, weights)
        assert out.tolist() == [3.0, 10.0]
        assert torch.autograd.grad(out.sum(), x)[0].tolist() == [3.0, 5.0]


def test_arguments_of_python_functions_by_name():
    def forward(x, low=0.0, high=1.0, *, by=1.0):
        return x.clamp(low, high) * by

    clamp = library.differentiable(
        forward, lambda grad, x, low, high: grad * (x > low) * (x < high)
    )
    x = torch.tensor([-1.0, 2.0, 4.0], requires_grad=True)
    y = clamp(x, high=3.0)
    y.sum().backward()
    assert y.tolist() == [0.0, 2.0, 3.0] and x.grad.tolist() == [0.0, 1.0, 0.0]
    twice = library.differentiable(lambda x, by=2.0: x * by, lambda grad, x: grad * 2)
    for y in (twice(x), twice(x=x)):
        assert torch.autograd.grad(y.sum(), x)[0].tolist() == [2.0, 2.0, 2.0]
    with pytest.raises(TypeError, match="forward.. argument 'by': .*by keyword alone; take `\\*`"):
        clamp(x, by=2.0)


@pytest.mark.skipif(
    not SEES_THROUGH, reason="torch.compile sees through differentiable() from 2.6 on"
)
def test_more_functions_than_torch_compiles_of_one():
    x = torch.ones(2, requires_grad=True)
    with torch._dynamo.config.patch(cache_size_limit=1):
        for n in range(2):
            times = library.differentiable(lambda x, n=n: x * n, lambda grad, x, n=n: grad * n)
            assert torch.compile(times, fullgraph=True, backend="eager")(x).tolist() == [n, n]


def test_checkpoints_and_inputs_that_are_none(my_lib):
    add = library.differentiable(my_lib.add_forward, my_lib.add_backward)
    a = torch.ones(3, dtype=torch.float64, requires_grad=True)
    torch.utils.checkpoint.checkpoint(add, a, a, 1.0, use_reentrant=False).sum().backward()
    assert a.grad.tolist() == [2.0] * 3

    def backward(grad, x, bias):
        return (grad,) if bias is None else (grad, grad)

    plus = library.differentiable(lambda x, bias: x + (0 if bias is None else bias), backward)
    for bias in (None, torch.ones(3, dtype=torch.float64)):
        a.grad = None
        plus(a, bias).sum().backward()
        assert a.grad.tolist() == [1.0] * 3
    wrong = library.differentiable(lambda by, x: x * by, lambda grad, by, x: (None, grad * by))
    with pytest.raises(ValueError, match="one gradient for each tensor among the inputs, 1, got 2"):
        wrong(2.0, a).sum().backward()
    wrong = library.differentiable(lambda x: x * 2, lambda grad, x: None)
    with pytest.raises(ValueError, match="one gradient for each tensor among the inputs, 1, got 0"):
        wrong(a).sum().backward()


OPTIONAL = """
/* y = x * weight + bias.
 *
 * @param x [float64, (N)]
 * @param weight [like(x), optional]
 * @param bias [(N), optional]
 * @param y [like(x)] */
void affine(const ffi_ext_tensor *x, const ffi_ext_tensor *weight, const THDoubleTensor *bias, ffi_ext_tensor *y);
/* @param weight [optional]
 * @param bias [optional]
 * @param grad_weight [optional]
 * @param grad_bias [optional] */
void affine_backward(const ffi_ext_tensor *grad, const ffi_ext_tensor *x, const ffi_ext_tensor *weight,
                     const THDoubleTensor *bias, ffi_ext_tensor *grad_x, ffi_ext_tensor *grad_weight,
                     THDoubleTensor *grad_bias);
"""
OPTIONAL_SOURCE = """
#include <TH/TH.h>
#include <ffi_ext.h>
#define AT(t) (((double *)(t)->data)[i * (t)->stride[0]])
void affine(const ffi_ext_tensor *x, const ffi_ext_tensor *weight, const THDoubleTensor *bias, ffi_ext_tensor *y) {
  for (int64_t i = 0; i < x->numel; i++)
    AT(y) = AT(x) * (weight ? AT(weight) : 1) + (bias ? THDoubleTensor_get1d(bias, i) : 0);
}
void affine_backward(const ffi_ext_tensor *grad, const ffi_ext_tensor *x, const ffi_ext_tensor *weight,
                     const THDoubleTensor *bias, ffi_ext_tensor *grad_x, ffi_ext_tensor *grad_weight,
                     THDoubleTensor *grad_bias) {
  FFI_CHECK(!bias == !grad_bias && !weight == !grad_weight, "gradients of what was given");
  for (int64_t i = 0; i < x->numel; i++) {
    AT(grad_x) = AT(grad) * (weight ? AT(weight) : 1);
    if (weight) AT(grad_weight) = AT(grad) * AT(x);
    if (bias) THDoubleTensor_set1d(grad_bias, i, AT(grad));
  }
}
"""


def test_tensors_that_may_be_left_out(build):
    module = build(OPTIONAL, OPTIONAL_SOURCE)
    x, w, b, y = (torch.rand(4, dtype=torch.float64) for _ in range(4))
    for weight in (w, None, module._ffi.NULL):
        for bias in (b, None, module._ffi.NULL):
            module.affine(x, weight, bias, y)
            expected = x * (w if weight is w else 1) + (b if bias is b else 0)
            torch.testing.assert_close(y, expected)
    with pytest.raises(TypeError, match=r"argument 1 'x'.*\[optional\]` in the header makes None"):
        module.affine(None, w, b, y)
    with pytest.raises(ValueError, match=r"'bias': expected the shape \(N\) with N = 4 from 'x'"):
        module.affine(x, None, torch.rand(3, dtype=torch.float64), y)

    stub = Path(module.__file__).with_suffix(".pyi").read_text().partition("def affine_backward")[0]
    optional = [p.partition(":")[0] for p in re.split(r", (?=\w+: )|\) ->", stub) if "| None" in p]
    assert optional == ["weight", "bias"], stub

    operators = library.register(module, "optionals")
    assert operators["affine"].schema == (
        "(Tensor x, Tensor? weight, Tensor? bias, Tensor(a!) y) -> ()"
    )
    torch.library.opcheck(operators["affine"].call, (x, None, b, y))
    affine = library.differentiable(module.affine, module.affine_backward)
    ways = [affine]
    if SEES_THROUGH:
        ways.append(torch.compile(affine, fullgraph=True, backend="aot_eager"))
    for given in ((w, b), (w, None), (None, b), (None, None)):
        for way in ways:
            inputs = [None if t is None else t.clone().requires_grad_() for t in (x, *given)]
            ours = way(*inputs)
            theirs = inputs[0] * (1 if inputs[1] is None else inputs[1])
            theirs = theirs + (0 if inputs[2] is None else inputs[2])
            torch.testing.assert_close(ours, theirs)
            leaves = [t for t in inputs if t is not None]
            got, expected = (torch.autograd.grad(r.square().sum(), leaves) for r in (ours, theirs))
            torch.testing.assert_close(got, expected)
