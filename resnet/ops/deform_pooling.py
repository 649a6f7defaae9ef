"""Deformable position-sensitive ROI pooling (Dai et al. 2017, section 3.2): bins of regions, displaced by offsets."""

from __future__ import annotations

from typing import List  # noqa: UP035  as torch.library of torch 2.6 wants it

import torch

from resnet.ops import fallback
from resnet.ops.memory import in_huge_pages
from resnet.ops.native import (
    check_number,
    kernel,
    operator,
    or_null,
    use_kernels,
    working_dtype,
)
from resnet.ops.pooling import MOST_SAMPLES, check_shapes, check_values

# In `numbers`, as the C functions have them: output_dim, group_size, pooled_size, part_size, sample_per_part.
_OUTPUTS, _POOLED = 0, 2


def _deform_roi_pooling(
    x: torch.Tensor,
    rois: torch.Tensor,
    offset: torch.Tensor | None,
    spatial_scale: float,
    numbers: List[int],  # noqa: UP006
    trans_std: float,
) -> torch.Tensor:
    out = in_huge_pages(_fake(x, rois, offset, spatial_scale, numbers, trans_std))
    settings = (spatial_scale, *numbers, trans_std)
    kernel("deform_psroi_forward", x)(x, rois, or_null(offset), *settings, out, or_null(None))
    return out


def _fake(x, rois, offset, spatial_scale, numbers, trans_std):
    pooled = numbers[_POOLED]
    return x.new_empty(rois.shape[0], numbers[_OUTPUTS], pooled, pooled)


def _deform_roi_pooling_backward(
    grad: torch.Tensor,
    x: torch.Tensor | None,
    rois: torch.Tensor,
    offset: torch.Tensor | None,
    spatial_scale: float,
    numbers: List[int],  # noqa: UP006
    trans_std: float,
    shape: List[int],  # noqa: UP006
    needs: List[bool],  # noqa: UP006
) -> tuple[torch.Tensor, torch.Tensor]:
    settings = (spatial_scale, *numbers, trans_std)
    grad_x, grad_offset = grad.new_empty(0), grad.new_empty(0)
    if needs[0]:
        grad_x = in_huge_pages(grad.new_empty(shape))
        function = kernel("deform_psroi_input_backward", grad)
        function(grad, rois, or_null(offset), *settings, grad_x)
    if needs[1] and offset is not None:
        grad_offset = grad.new_empty(offset.shape)
        function = kernel("deform_psroi_trans_backward", grad)
        function(grad, rois, offset, *settings, x, grad_offset)
    return grad_x, grad_offset


def _fake_backward(grad, x, rois, offset, spatial_scale, numbers, trans_std, shape, needs):
    grad_x = grad.new_empty(shape if needs[0] else 0)
    return grad_x, grad.new_empty(offset.shape if needs[1] and offset is not None else 0)


_deform_roi_pooling_backward_op = operator(_deform_roi_pooling_backward, _fake_backward)


def _setup(ctx, inputs, output) -> None:
    x, rois, offset, *ctx.settings = inputs
    ctx.shape = list(x.shape)
    # without offsets it is linear in x, whose values backward then does not need
    ctx.save_for_backward(None if offset is None else x, rois, offset)


def _backward(ctx, grad):
    needs = [ctx.needs_input_grad[0], ctx.needs_input_grad[2]]
    grads = _deform_roi_pooling_backward_op(
        grad, *ctx.saved_tensors, *ctx.settings, ctx.shape, needs
    )
    grad_x, grad_offset = (g if needed else None for g, needed in zip(grads, needs, strict=True))
    return grad_x, None, grad_offset, None, None, None


_deform_roi_pooling_op = operator(_deform_roi_pooling, _fake, _setup, _backward)


def deform_roi_pooling(
    x: torch.Tensor,
    rois: torch.Tensor,
    offset: torch.Tensor | None,
    spatial_scale: float,
    out_size: int,
    out_channels: int,
    no_trans: bool,
    group_size: int = 1,
    part_size: int | None = None,
    sample_per_part: int = 4,
    trans_std: float = 0.0,
) -> torch.Tensor:
    """Deformable position-sensitive ROI pooling (Dai et al. 2017, section 3.2; maskrcnn-benchmark's definition).

    A region is rounded to pixels of the image, and begins half a pixel before its first one. Each of its bins is the
    mean of `sample_per_part` ^ 2 bilinear samples, the first of them in the bin's corner. Bin (py, px) of channel c is
    taken from x's channel (c * group_size + py * group_size // out_size) * group_size + px * group_size // out_size,
    and displaced by trans_std times the region's width and height times
    offset[:, 2 * class : 2 * class + 2, py * part_size // out_size, px * part_size // out_size], with
    class = c // (out_channels / classes). Samples more than half a pixel outside of x do not count; a bin without any
    is 0.

    Args:
        x: (N, out_channels * group_size ^ 2, H, W) of a floating-point type, of any strides; half precision is computed
            in float32.
        rois: (K, 5): batch index, x1, y1, x2, y2 in the coordinates of the image; x2 and y2 belong to the region.
        offset: (K, 2 * classes, part_size, part_size): x, y of each class, in parts of the region's size. Not looked
            at (None, or anything) with no_trans.
        spatial_scale: takes the image's coordinates to x's; 1/16 for a feature map of stride 16.
        out_size: height and width of a region in the result.
        out_channels: of the result.
        no_trans: bins stay in place.
        group_size: cells of a region along an axis, each with channels of its own; 1 gives all bins the same ones.
        part_size: offsets of a region along an axis; None for out_size.
        sample_per_part: samples per bin and axis, at most 4096.
        trans_std: what offsets are multiplied by, 0 to 1.

    Returns:
        (K, out_channels, out_size, out_size) of x's dtype. x and offset get gradients.

    Raises:
        ValueError: A shape or a number is not as above.
        RuntimeError: an ROI holds a NaN, an infinity, or a batch index that x does not have
            (ValueError where plain torch computes). On a GPU, where nobody waits for the answer,
            the region's result is NaN instead.
    """
    dtype = working_dtype("deform_roi_pooling: x", x)
    part_size = out_size if part_size is None else part_size
    for argument, number in [
        ("out_channels", out_channels),
        ("group_size", group_size),
        ("out_size", out_size),
        ("part_size", part_size),
        ("sample_per_part", sample_per_part),
        ("trans_std", trans_std),
    ]:
        check_number(f"deform_roi_pooling: {argument}", number)
    numbers = [int(n) for n in (out_channels, group_size, out_size, part_size, sample_per_part)]
    _check(x, rois, None if no_trans else offset, no_trans, spatial_scale, numbers, trans_std)
    input_dtype, x, rois = x.dtype, x.to(dtype), rois.detach().to(dtype)
    moved = None if no_trans or offset is None else offset.to(dtype)
    scales = float(spatial_scale), float(trans_std)
    if use_kernels(x):
        result = _deform_roi_pooling_op(x, rois, moved, scales[0], numbers, scales[1])
    else:
        check_values("deform_roi_pooling", x, rois, spatial_scale)
        result = fallback.deform_roi_pooling(x, rois, moved, scales[0], numbers, scales[1])
    return result.to(input_dtype)


def _check(x, rois, offset, no_trans, spatial_scale, numbers, trans_std) -> None:
    outputs, group, pooled, part, samples = numbers
    check_shapes("deform_roi_pooling", x, rois, spatial_scale, (pooled, pooled))
    if min(outputs, group, part) < 1:
        raise ValueError(
            "deform_roi_pooling: out_channels, group_size and part_size must be positive, "
            f"got {outputs}, {group}, {part}"
        )
    if not 1 <= samples <= MOST_SAMPLES:
        raise ValueError(
            f"deform_roi_pooling: sample_per_part must be 1 to {MOST_SAMPLES}, got {samples}"
        )
    if not 0 <= trans_std <= 1:
        raise ValueError(
            f"deform_roi_pooling: trans_std must be a number of 0 to 1, got {trans_std}"
        )
    if x.shape[1] != outputs * group * group:
        raise ValueError(
            "deform_roi_pooling: x must have out_channels * group_size ^ 2 = "
            f"{outputs * group * group} channels, got {tuple(x.shape)}"
        )
    if no_trans:
        return
    if not isinstance(offset, torch.Tensor):
        raise TypeError(
            "deform_roi_pooling: offset must be a tensor (K, 2 * classes, part_size, part_size), "
            f"got a {type(offset).__name__}; with no_trans=True there is none"
        )
    classes = offset.shape[1] // 2 if offset.dim() == 4 else 0
    wanted = (rois.shape[0], 2 * classes, part, part)
    if classes < 1 or outputs % classes or tuple(offset.shape) != wanted:
        raise ValueError(
            f"deform_roi_pooling: offset must be (K, 2 * classes, part_size, part_size) = "
            f"({rois.shape[0]}, 2 * classes, {part}, {part}) with classes that divide out_channels {outputs}, "
            f"got {tuple(offset.shape)}"
        )
