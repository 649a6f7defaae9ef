"""Frozen batch normalisation with what follows it: the residual addition and the ReLU."""

from __future__ import annotations

from typing import Any

import torch

from resnet.ops import fallback
from resnet.ops.memory import in_dtype, in_huge_pages
from resnet.ops.native import (
    check_tensor,
    is_recorded,
    is_traced,
    kernel,
    operator,
    or_null,
    use_kernels,
    working_dtype,
)


def _bits(x: torch.Tensor | None) -> Any:
    """x as the kernels take it: TH has no bfloat16, so its bits are a short's; NULL for None."""
    return or_null(x.view(torch.int16) if x is not None and x.dtype == torch.bfloat16 else x)


def _frozen_bn(
    x: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor,
    residual: torch.Tensor | None,
    relu: bool,
) -> torch.Tensor:
    out = in_huge_pages(torch.empty_like(x))
    _forward_into(out, x, scale, bias, residual, relu)
    return out


def _forward_into(
    out: torch.Tensor,
    x: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor,
    residual: torch.Tensor | None,
    relu: bool,
) -> None:
    forward = kernel("frozen_bn_forward", x)
    forward(_bits(x), scale, bias, _bits(residual), int(relu), _bits(out))


def _setup(ctx, inputs, output) -> None:
    _, scale, _, residual, relu = inputs
    ctx.relu, ctx.residual = relu, residual is not None
    ctx.save_for_backward(scale, output if relu else None)


def _backward(ctx, grad):
    scale, output = ctx.saved_tensors
    needs_residual = ctx.residual and ctx.needs_input_grad[3]
    grad_x, grad_residual = _frozen_bn_backward_op(
        grad, output, scale, ctx.needs_input_grad[0], needs_residual
    )
    return (
        grad_x if ctx.needs_input_grad[0] else None,
        None,
        None,
        grad_residual if needs_residual else None,
        None,
    )


def _frozen_bn_backward(
    grad: torch.Tensor,
    output: torch.Tensor | None,
    scale: torch.Tensor,
    needs_x: bool,
    needs_residual: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    grad_x = in_huge_pages(torch.empty_like(grad)) if needs_x else None
    grad_residual = in_huge_pages(torch.empty_like(grad)) if needs_residual else None
    kernel("frozen_bn_backward", grad)(
        _bits(grad), _bits(output), scale, _bits(grad_x), _bits(grad_residual)
    )
    none = grad.new_empty(0) if grad_x is None or grad_residual is None else grad
    return none if grad_x is None else grad_x, none if grad_residual is None else grad_residual


def _fake_backward(grad, output, scale, needs_x, needs_residual):
    return tuple(
        torch.empty_like(grad) if needed else grad.new_empty(0)
        for needed in (needs_x, needs_residual)
    )


_frozen_bn_backward_op = operator(_frozen_bn_backward, _fake_backward)
_frozen_bn_op = operator(
    _frozen_bn, lambda x, scale, bias, residual, relu: torch.empty_like(x), _setup, _backward
)


def _check(
    x: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor, residual: torch.Tensor | None
) -> None:
    """What the kernel checks itself; only for plain torch."""
    if x.dim() != 4:
        raise ValueError(f"frozen_batch_norm: x must be (N, C, H, W), got {tuple(x.shape)}")
    for name, values in [("scale", scale), ("bias", bias)]:
        if values.dim() > 1 or values.numel() != x.shape[1]:
            raise ValueError(
                f"frozen_batch_norm: {name} must have one value per channel of x, shape ({x.shape[1]},), "
                f"got {tuple(values.shape)}"
            )
    if residual is not None and residual.shape != x.shape:
        raise ValueError(
            f"frozen_batch_norm: residual must be None or have x's shape {tuple(x.shape)}, "
            f"got {tuple(residual.shape)}"
        )


def frozen_batch_norm(
    x: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor,
    residual: torch.Tensor | None = None,
    *,
    relu: bool = False,
    inplace: bool = False,
) -> torch.Tensor:
    """relu(x * scale + bias + residual), per channel.

    Half precision is computed in float32 and rounded once. Under torch.compile and export the formula is
    given to the compiler, which fuses it, and which knows it in every format.

    Args:
        x: (N, C, H, W) of a floating-point type, NCHW or channels_last.
        scale: (C), frozen: it gets no gradient.
        bias: (C), frozen likewise.
        residual: the shape of x, or None.
        relu: whether negative results become 0.
        inplace: write to x where no gradient is recorded and x is not expanded; x must then not be needed any more.

    Returns:
        A tensor of x's shape, dtype and memory format.
    """
    check_tensor("frozen_batch_norm: scale", scale)
    check_tensor("frozen_batch_norm: bias", bias)
    if residual is not None:
        check_tensor("frozen_batch_norm: residual", residual)
    if torch.is_grad_enabled() and (scale.requires_grad or bias.requires_grad):
        raise ValueError(
            "frozen_batch_norm: scale and bias are frozen, expected tensors without requires_grad; "
            "detach() them, or train a torch.nn.BatchNorm2d"
        )
    dtype = working_dtype("frozen_batch_norm: x", x)
    exported = torch.compiler.is_compiling() or torch.jit.is_tracing()
    if exported or not use_kernels(x):
        if not torch.jit.is_tracing():  # which would warn of every comparison
            _check(x, scale, bias, residual)
        return fallback.frozen_batch_norm(x, scale, bias, residual, relu)
    mixed = residual is not None and residual.dtype != x.dtype
    if x.dtype == torch.float16 or (x.dtype == torch.bfloat16 and mixed):  # without kernels
        wide = residual if residual is None else in_dtype(residual, dtype)
        y = frozen_batch_norm(in_dtype(x, dtype), scale, bias, wide, relu=relu, inplace=True)
        return in_dtype(y, x.dtype)
    scale, bias = scale.to(dtype), bias.to(dtype)
    residual = residual if residual is None else residual.to(x.dtype)
    if inplace and not (
        torch._C._are_functorch_transforms_active()  # x may be wrapped
        or is_recorded(x, scale, bias, residual)
        or is_traced(x)
        or 0 in x.stride()  # expanded: results would be each other's inputs
    ):
        # autograd does not see what C writes: who saved x for backward would compute a wrong gradient
        torch.autograd.graph.increment_version(x)
        _forward_into(x, x, scale, bias, residual, relu)
        return x
    return _frozen_bn_op(x, scale, bias, residual, relu)
