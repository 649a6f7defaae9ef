"""Deformable convolution, v1 and v2 (Dai et al. 2017, Zhu et al. 2019): samples gathered in C, products by torch."""

from __future__ import annotations

import math
from typing import List  # noqa: UP035  as torch.library of torch 2.6 wants it

import torch

from resnet.ops import fallback
from resnet.ops.native import (
    check_tensor,
    kernel,
    operator,
    or_null,
    two_of,
    use_kernels,
    working_dtype,
)

# Bytes of the samples that are multiplied at once. On the CPU they stay in the second-level cache; on a GPU they are
# as many as a product that fills it needs.
_CHUNK_BYTES = {"cpu": 1 << 21, "cuda": 1 << 28}


def _chunks(x: torch.Tensor, weight: torch.Tensor, positions: int) -> tuple[int, torch.Tensor]:
    """Output positions at once, and room for their samples: (groups, positions, taps * channels of a group)."""
    groups = x.shape[1] // weight.shape[1]
    row = weight.shape[1:].numel()
    most = max(64, _CHUNK_BYTES[x.device.type] // (max(row * groups, 1) * x.element_size()))
    count = min(most, positions)
    return count, x.new_empty(groups * count * row)


def _taps_first(weight: torch.Tensor, groups: int) -> torch.Tensor:
    """(O, C, kh, kw) -> (groups, O / groups, kh * kw * C), in the order of the samples."""
    return weight.permute(0, 2, 3, 1).reshape(groups, weight.shape[0] // groups, -1)


def _flat(x: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) -> a view (N, C, H * W), where the layout has one; else a copy."""
    if x.is_contiguous(memory_format=torch.channels_last):
        return x.permute(0, 2, 3, 1).flatten(1, 2).transpose(1, 2)
    return x.flatten(2)


def _format(x: torch.Tensor) -> torch.memory_format:
    last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format


def _deform_conv2d(
    x: torch.Tensor,
    offset: torch.Tensor,
    mask: torch.Tensor | None,
    weight: torch.Tensor,
    geometry: List[int],  # noqa: UP006
) -> torch.Tensor:
    out = _fake(x, offset, mask, weight, geometry)
    groups, outputs = x.shape[1] // weight.shape[1], weight.shape[0]
    flat_out, positions = _flat(out), out.shape[2] * out.shape[3]
    count, room = _chunks(x, weight, positions)
    matrices = _taps_first(weight, groups)
    x = x.contiguous(memory_format=torch.channels_last)
    gather = kernel("deform_columns", x)
    for n in range(x.shape[0]):
        factors = or_null(None if mask is None else mask[n])
        for first in range(0, positions, count):
            now = min(count, positions - first)
            columns = room[: groups * now * matrices.shape[2]].view(groups, now, -1)
            gather(x[n], offset[n], factors, *weight.shape[2:], *geometry, first, columns)
            part = flat_out[n, :, first : first + now].view(groups, outputs // groups, now)
            for g in range(groups):
                torch.mm(matrices[g], columns[g].t(), out=part[g])
    return out


def _fake(x, offset, mask, weight, geometry):
    shape = (x.shape[0], weight.shape[0], *offset.shape[2:])
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=_format(x))


def _deform_conv2d_backward(
    grad: torch.Tensor,
    x: torch.Tensor,
    offset: torch.Tensor,
    mask: torch.Tensor | None,
    weight: torch.Tensor,
    geometry: List[int],  # noqa: UP006
    needs: List[bool],  # noqa: UP006
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    needs_x, needs_offset, needs_mask, needs_weight = needs
    groups, outputs = x.shape[1] // weight.shape[1], weight.shape[0]
    positions = offset.shape[2] * offset.shape[3]
    count, room = _chunks(x, weight, positions)
    matrices = _taps_first(weight, groups)
    grad_matrices = torch.zeros_like(matrices)
    layout = _format(x)
    x = x.contiguous(memory_format=torch.channels_last)
    grad_x = torch.zeros_like(x) if needs_x else None
    grad_offset = x.new_empty(offset.shape)
    grad_mask = x.new_empty(mask.shape) if mask is not None and needs_mask else None
    flat_grad, taps = _flat(grad), weight.shape[2:]
    for n in range(x.shape[0]):
        factors = or_null(None if mask is None else mask[n])
        for first in range(0, positions, count):
            now = min(count, positions - first)
            columns = room[: groups * now * matrices.shape[2]].view(groups, now, -1)
            settings = (*taps, *geometry, first)
            part = flat_grad[n, :, first : first + now].view(groups, outputs // groups, now)
            if needs_weight:
                kernel("deform_columns", x)(x[n], offset[n], factors, *settings, columns)
                for g in range(groups):
                    grad_matrices[g].addmm_(part[g], columns[g])
            if not (needs_x or needs_offset or needs_mask):
                continue
            for g in range(groups):  # their gradients take the samples' place
                torch.mm(part[g].t(), matrices[g], out=columns[g])
            if needs_offset or needs_mask:
                kernel("deform_offset_backward", x)(
                    columns,
                    x[n],
                    offset[n],
                    factors,
                    *settings,
                    grad_offset[n],
                    or_null(None if grad_mask is None else grad_mask[n]),
                )
            if grad_x is not None:
                kernel("deform_input_backward", x)(
                    columns, offset[n], factors, *settings, grad_x[n]
                )
    grad_weight = grad_matrices.view(outputs, *taps, -1).permute(0, 3, 1, 2).contiguous()
    if grad_x is not None:
        grad_x = grad_x.contiguous(memory_format=layout)
    unasked = [x.new_empty(0) for _ in needs]  # one each: an operator's results do not alias
    grads = (grad_x, grad_offset, grad_mask, grad_weight)
    return tuple(g if n else u for g, n, u in zip(grads, needs, unasked, strict=True))


def _fake_backward(grad, x, offset, mask, weight, geometry, needs):
    grad_x = torch.empty(x.shape, dtype=x.dtype, device=x.device, memory_format=_format(x))
    return (
        grad_x if needs[0] else x.new_empty(0),
        x.new_empty(offset.shape) if needs[1] else x.new_empty(0),
        x.new_empty(mask.shape) if needs[2] else x.new_empty(0),
        x.new_empty(weight.shape) if needs[3] else x.new_empty(0),
    )


_deform_conv2d_backward_op = operator(_deform_conv2d_backward, _fake_backward)


def _setup(ctx, inputs, output) -> None:
    ctx.save_for_backward(*inputs[:4])
    ctx.geometry = inputs[4]


def _backward(ctx, grad):
    needs = list(ctx.needs_input_grad[:4])
    grads = _deform_conv2d_backward_op(grad, *ctx.saved_tensors, ctx.geometry, needs)
    return *[g if needed else None for g, needed in zip(grads, needs, strict=True)], None


_deform_conv2d_op = operator(_deform_conv2d, _fake, _setup, _backward)


def deform_conv2d(
    x: torch.Tensor,
    offset: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """A convolution whose taps are displaced by an offset each, and (v2) weighted by a mask; torchvision's definition.

    The groups of the convolution follow from weight's shape, the deformable groups from offset's. A sample
    outside of x, or displaced by a NaN, is 0.

    Args:
        x: (N, C, H, W) of a floating-point type; half precision is computed in float32.
        offset: (N, 2 * deformable groups * kh * kw, H', W'): dy, dx of each tap.
        weight: (O, C / groups, kh, kw).
        bias: (O), or None.
        stride: one number, or vertical and horizontal.
        padding: zeros around x, likewise.
        dilation: likewise.
        mask: (N, deformable groups * kh * kw, H', W'), or None.

    Returns:
        (N, O, H', W') of x's dtype and memory format.
    """
    axes = "(vertical, horizontal)"
    steps = two_of("deform_conv2d: stride", stride, axes)
    pads = two_of("deform_conv2d: padding", padding, axes)
    dilations = two_of("deform_conv2d: dilation", dilation, axes)
    _check(x, offset, weight, bias, steps, pads, dilations, mask)
    dtype = working_dtype("deform_conv2d: x", x)
    values, offset, weight = x.to(dtype), offset.to(dtype), weight.to(dtype)
    mask = None if mask is None else mask.to(dtype)
    if use_kernels(values):
        out = _deform_conv2d_op(values, offset, mask, weight, [*steps, *pads, *dilations])
    else:
        out = fallback.deform_conv2d(values, offset, weight, steps, pads, dilations, mask)
    if bias is not None:
        out = out + bias.to(dtype).view(1, -1, 1, 1)
    return out.to(x.dtype)


def _check(x, offset, weight, bias, stride, padding, dilation, mask) -> None:
    for name, tensor in [("mask", mask), ("bias", bias)]:
        if tensor is not None:
            check_tensor(f"deform_conv2d: {name}", tensor)
    for name, tensor in [("x", x), ("offset", offset), ("weight", weight)]:
        check_tensor(f"deform_conv2d: {name}", tensor)
        if tensor.dim() != 4:
            raise ValueError(
                f"deform_conv2d: {name} must have 4 dimensions, got {tuple(tensor.shape)}"
            )
    if min(*stride, *dilation) < 1 or min(padding) < 0:
        raise ValueError(
            "deform_conv2d: stride and dilation must be positive, padding not negative, "
            f"got {stride}, {dilation}, {padding}"
        )
    outputs, group_channels, kh, kw = weight.shape
    groups = x.shape[1] // max(group_channels, 1)
    if (
        min(weight.shape) < 1
        or groups < 1
        or groups * group_channels != x.shape[1]
        or outputs % groups
    ):
        raise ValueError(
            "deform_conv2d: weight must be (O, C / groups, kh, kw) with O and C multiples of the groups, "
            f"got {tuple(weight.shape)} for x {tuple(x.shape)}"
        )
    size = [
        (x.shape[2 + i] + 2 * padding[i] - dilation[i] * (weight.shape[2 + i] - 1) - 1) // stride[i]
        + 1
        for i in range(2)
    ]
    if min(size) < 1:
        raise ValueError(
            f"deform_conv2d: x {tuple(x.shape)} with padding {padding} is smaller than the kernel"
        )
    deformable_groups = offset.shape[1] // (2 * kh * kw)
    wanted = (x.shape[0], 2 * deformable_groups * kh * kw, *size)
    if deformable_groups < 1 or x.shape[1] % deformable_groups or tuple(offset.shape) != wanted:
        raise ValueError(
            "deform_conv2d: offset must be (N, 2 * deformable groups * kh * kw, H', W') = "
            f"({x.shape[0]}, a multiple of {2 * kh * kw} whose groups divide {x.shape[1]}, "
            f"{size[0]}, {size[1]}), got {tuple(offset.shape)}"
        )
    wanted = (x.shape[0], deformable_groups * kh * kw, *size)
    if mask is not None and tuple(mask.shape) != wanted:
        raise ValueError(f"deform_conv2d: mask must be {wanted}, got {tuple(mask.shape)}")
    if bias is not None and tuple(bias.shape) != (outputs,):
        raise ValueError(f"deform_conv2d: bias must be ({outputs},), got {tuple(bias.shape)}")
    if math.prod(x.shape[2:]) == 0:
        raise ValueError(f"deform_conv2d: x must have pixels, got {tuple(x.shape)}")
