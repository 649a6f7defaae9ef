"""What a registered operator and a named backward cost, beside the function itself and torch's own ways."""

from __future__ import annotations

from collections.abc import Callable

import torch
from table import Table, interleaved

from ffi_ext import library, load_inline

SOURCE = """\
#include <TH/TH.h>
void scale_forward(const THFloatTensor *x, double by, THFloatTensor *out) {
  THFloatTensor_data(out)[0] = THFloatTensor_data(x)[0] * by;
}
void scale_backward(const THFloatTensor *grad_out, double by, THFloatTensor *grad_x) {
  THFloatTensor_data(grad_x)[0] = THFloatTensor_data(grad_out)[0] * by;
}
"""


class Written(torch.autograd.Function):
    """What `differentiable` spares one from writing."""

    @staticmethod
    def forward(ctx, x, by):
        ctx.by = by
        return x * by

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        return grad * ctx.by, None


def costs(table: Table, rounds: int) -> None:
    """An operator's call, and a forward with its backward."""
    module = load_inline("bench_operators", SOURCE)
    bare = module.scale_forward
    operator = library.register(module, "ffi_ext_bench_operators")["scale_forward"].call
    x, out = torch.ones(1), torch.zeros(1)

    @torch.library.custom_op("ffi_ext_bench_custom::scale", mutates_args=("out",))
    def custom(x: torch.Tensor, by: float, out: torch.Tensor) -> None:
        bare(x, by, out)

    functions: dict[str, Callable[[], object]] = {
        "ours": lambda: operator(x, 2.0, out),
        "the function itself": lambda: bare(x, 2.0, out),
        "the same by torch.library.custom_op": lambda: custom(x, 2.0, out),
        "torch.mul(out=)": lambda: torch.mul(x, 2.0, out=out),
    }
    for function in functions.values():
        function()
    measured = interleaved(functions, rounds, 5000)
    for peer in list(functions)[1:]:
        table.add("a registered operator, call", measured["ours"], peer, measured[peer], "ns")

    scale = library.differentiable(module.scale_forward, module.scale_backward)
    leaf = torch.ones(1, requires_grad=True)

    def step(function: Callable[..., torch.Tensor]) -> Callable[[], object]:
        return lambda: torch.autograd.grad(function(leaf, 2.0), leaf)

    steps = {
        "ours": step(scale),
        "an autograd.Function by hand": step(Written.apply),
        "torch.mul": step(torch.mul),
    }
    for function in steps.values():
        function()
    measured = interleaved(steps, rounds, 1000)
    for peer in list(steps)[1:]:
        table.add(
            "differentiable(): a forward and backward", measured["ours"], peer, measured[peer], "ns"
        )
