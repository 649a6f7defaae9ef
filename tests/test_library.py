"""torch.library operators: opcheck, torch.compile without a graph break, autograd in one line."""

from __future__ import annotations

import pytest
import torch

from ffi_ext import library

HEADER = """
void square(const THDoubleTensor *x, THDoubleTensor *out);
void square_backward(const THDoubleTensor *grad, const THDoubleTensor *x, THDoubleTensor *out);
int scaled(const THFloatTensor *x, THFloatTensor *out, float by, long n, bool twice);
THFloatTensor *made(void);
void pointer(double *p);
"""
SOURCE = """
#include <TH/TH.h>
#include <stdbool.h>
void square(const THDoubleTensor *x, THDoubleTensor *out) {
  THDoubleTensor_cmul(out, (THDoubleTensor *)x, (THDoubleTensor *)x);
}
void square_backward(const THDoubleTensor *grad, const THDoubleTensor *x, THDoubleTensor *out) {
  THDoubleTensor_cmul(out, (THDoubleTensor *)grad, (THDoubleTensor *)x);
  THDoubleTensor_mul(out, out, 2);
}
int scaled(const THFloatTensor *x, THFloatTensor *out, float by, long n, bool twice) {
  THFloatTensor_mul(out, (THFloatTensor *)x, by * n * (twice ? 2 : 1));
  return 1;
}
THFloatTensor *made(void) { return THFloatTensor_new(); }
void pointer(double *p) {}
"""


@pytest.fixture(scope="module")
def operators(tmp_path_factory):
    import ffi_ext

    patch = pytest.MonkeyPatch()
    patch.setenv("FFI_EXT_CACHE", str(tmp_path_factory.mktemp("cache")))
    module = ffi_ext.load_inline("operated", SOURCE, "#include <stdbool.h>\n" + HEADER)
    patch.undo()
    return library.register(module, "ffi_ext_test")


def test_schemas_come_from_prototypes(operators):
    assert {name: operator.schema for name, operator in operators.items()} == {
        "square": "(Tensor x, Tensor(a!) out) -> ()",
        "square_backward": "(Tensor grad, Tensor x, Tensor(a!) out) -> ()",
        "scaled": "(Tensor x, Tensor(a!) out, float by, int n, bool twice) -> Tensor",
    }


def test_opcheck(operators):
    x = torch.rand(3, 4, dtype=torch.float64)
    torch.library.opcheck(operators["square"].call, (x, torch.zeros_like(x)))
    y = torch.rand(5)
    torch.library.opcheck(operators["scaled"].call, (y, torch.zeros(5), 2.0, 3, True))


def test_compile_without_a_graph_break(operators):
    square, scaled = operators["square"].call, operators["scaled"].call

    def f(x, y):
        out, scaled_out = torch.empty_like(x), torch.empty_like(y)
        square(x + 1, out)
        status = scaled(y * 2, scaled_out, 1.5, 2, False)
        return out.sin(), scaled_out + status

    x, y = torch.rand(4, dtype=torch.float64), torch.rand(3)
    compiled = torch.compile(f, fullgraph=True, backend="aot_eager")
    for got, want in zip(compiled(x, y), ((x + 1).square().sin(), y * 6 + 1), strict=True):
        torch.testing.assert_close(got, want)


def test_a_backward_by_name(operators):
    def forward(x):
        out = torch.empty_like(x)
        operators["square"].call(x, out)
        return out

    def backward(grad, x):
        out = torch.empty_like(x)
        operators["square_backward"].call(grad.contiguous(), x, out)
        return out

    f = library.differentiable(forward, backward)
    x = torch.rand(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(f, (x,))


def test_what_is_no_generated_module_is_refused():
    with pytest.raises(TypeError, match="expected a module made by ffi_ext"):
        library.register(torch)


def test_tensors_of_any_element_type_are_operators_too(build):
    module = build(
        "void twice(const ffi_ext_tensor *x, ffi_ext_tensor *out);",
        "#include <ffi_ext.h>\n"
        "void twice(const ffi_ext_tensor *x, ffi_ext_tensor *out) {\n"
        "  for (int i = 0; i < x->numel; i++) ((float *)out->data)[i] = 2 * ((float *)x->data)[i];\n}",
    )
    operators = library.register(module)
    assert operators["twice"].schema == "(Tensor x, Tensor(a!) out) -> ()"
    x, out = torch.arange(4.0), torch.zeros(4)
    operators["twice"].call(x, out)
    assert out.tolist() == [0, 2, 4, 6]
