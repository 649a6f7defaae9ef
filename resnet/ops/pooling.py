"""Regions of a feature map brought to one size: ROIAlign and ROIPool."""

from __future__ import annotations

from typing import List  # noqa: UP035  as torch.library of torch 2.6 wants it

import torch

from resnet.ops import fallback
from resnet.ops.memory import in_dtype, in_huge_pages
from resnet.ops.native import check_number, kernel, operator, two_of, use_kernels, working_dtype

# Beyond 2^24 a float cannot tell neighbouring pixels apart.
LARGEST_COORDINATE = 2.0**24
MOST_SAMPLES = 4096  # of a bin along an axis


def _roi_align(
    x: torch.Tensor,
    rois: torch.Tensor,
    spatial_scale: float,
    height: int,
    width: int,
    sampling_ratio: int,
    aligned: bool,
) -> torch.Tensor:
    out = in_huge_pages(x.new_empty(rois.shape[0], x.shape[1], height, width))
    kernel("roi_align_forward", x)(
        x, rois, spatial_scale, height, width, sampling_ratio, int(aligned), out
    )
    return out


def _roi_align_backward(
    grad: torch.Tensor,
    rois: torch.Tensor,
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
    shape: List[int],  # noqa: UP006
) -> torch.Tensor:
    grad_x = in_huge_pages(grad.new_empty(shape))
    kernel("roi_align_backward", grad)(
        grad, rois, spatial_scale, *grad.shape[2:], sampling_ratio, int(aligned), grad_x
    )
    return grad_x


_roi_align_backward_op = operator(
    _roi_align_backward, lambda grad, rois, s, r, a, shape: grad.new_empty(shape)
)


def _setup_align(ctx, inputs, output) -> None:
    x, rois, ctx.spatial_scale, _, _, ctx.sampling_ratio, ctx.aligned = inputs
    ctx.shape = list(x.shape)
    ctx.save_for_backward(rois)


def _align_backward(ctx, grad):
    settings = (ctx.spatial_scale, ctx.sampling_ratio, ctx.aligned, ctx.shape)
    return _roi_align_backward_op(grad, *ctx.saved_tensors, *settings), *[None] * 6


_roi_align_op = operator(
    _roi_align,
    lambda x, rois, s, height, width, r, a: x.new_empty(rois.shape[0], x.shape[1], height, width),
    _setup_align,
    _align_backward,
)


def _roi_pool(
    x: torch.Tensor, rois: torch.Tensor, spatial_scale: float, height: int, width: int
) -> tuple[torch.Tensor, torch.Tensor]:
    out = in_huge_pages(x.new_empty(rois.shape[0], x.shape[1], height, width))
    argmax = in_huge_pages(out.new_empty(out.shape, dtype=torch.int32))
    kernel("roi_pool_forward", x)(x, rois, spatial_scale, height, width, out, argmax)
    return out, argmax


def _fake_pool(x, rois, spatial_scale, height, width):
    out = x.new_empty(rois.shape[0], x.shape[1], height, width)
    return out, torch.empty_like(out, dtype=torch.int32)


def _roi_pool_backward(
    grad: torch.Tensor,
    rois: torch.Tensor,
    argmax: torch.Tensor,
    shape: List[int],  # noqa: UP006
) -> torch.Tensor:
    grad_x = in_huge_pages(grad.new_empty(shape))
    kernel("roi_pool_backward", grad)(grad, rois, argmax, grad_x)
    return grad_x


_roi_pool_backward_op = operator(
    _roi_pool_backward, lambda grad, rois, argmax, shape: grad.new_empty(shape)
)


def _setup_pool(ctx, inputs, output) -> None:
    ctx.shape = list(inputs[0].shape)
    ctx.save_for_backward(inputs[1], output[1])
    ctx.mark_non_differentiable(output[1])


def _pool_backward(ctx, grad, _):
    return _roi_pool_backward_op(grad, *ctx.saved_tensors, ctx.shape), *[None] * 4


_roi_pool_op = operator(_roi_pool, _fake_pool, _setup_pool, _pool_backward)


def check_shapes(
    name: str, x: torch.Tensor, rois: torch.Tensor, spatial_scale: float, size: tuple[int, int]
) -> None:
    if not isinstance(rois, torch.Tensor):
        raise TypeError(
            f"{name}: rois must be a tensor (K, 5) with rows of batch index, x1, y1, x2, y2, "
            f"got a {type(rois).__name__}"
        )
    if rois.dim() != 2 or rois.shape[1] != 5:
        raise ValueError(
            f"{name}: rois must be (K, 5) with rows of batch index, x1, y1, x2, y2, "
            f"got {tuple(rois.shape)}"
        )
    if x.dim() != 4:
        raise ValueError(f"{name}: x must be (N, C, H, W), got {tuple(x.shape)}")
    if min(size) <= 0:
        raise ValueError(f"{name}: the pooled size must be positive, got {size[0]} x {size[1]}")
    check_number(f"{name}: spatial_scale", spatial_scale)
    if not 0 < spatial_scale <= LARGEST_COORDINATE:
        raise ValueError(f"{name}: spatial_scale must be a positive number, got {spatial_scale}")


def check_values(name: str, x: torch.Tensor, rois: torch.Tensor, spatial_scale: float) -> None:
    """What the kernels check themselves; only for plain torch."""
    if len(rois) and x.shape[1] and not x.shape[2] * x.shape[3]:
        raise ValueError(f"{name}: x must have pixels to sample, got {tuple(x.shape)}")
    index = rois[:, 0]
    wrong = ~((index >= 0) & (index < x.shape[0]) & (index == index.floor()))
    if wrong.any():
        k = int(wrong.nonzero()[0, 0])
        raise ValueError(
            f"{name}: the batch index of ROI {k} must be one of 0..{x.shape[0] - 1}, "
            f"got {float(index[k]):g}"
        )
    wrong = ~((rois[:, 1:] * spatial_scale).abs() <= LARGEST_COORDINATE)
    if wrong.any():
        k, i = wrong.nonzero()[0].tolist()
        raise ValueError(
            f"{name}: {('x1', 'y1', 'x2', 'y2')[i]} of ROI {k} must be a finite number of at most "
            f"2^24 pixels on the feature map, got {float(rois[k, i + 1]):g} "
            f"(times spatial_scale {spatial_scale:g})"
        )


def roi_align(
    x: torch.Tensor,
    rois: torch.Tensor,
    output_size: int | tuple[int, int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 0,
    aligned: bool = False,
) -> torch.Tensor:
    """Regions of a feature map, resampled to one size (torchvision's definition).

    Args:
        x: (N, C, H, W) of a floating-point type, of any strides; half precision is computed in float32.
        rois: (K, 5): batch index, x1, y1, x2, y2 in the coordinates of the image.
        output_size: height and width of a region in the result, or one number for both.
        spatial_scale: takes the image's coordinates to x's; 1/16 for a feature map of stride 16.
        sampling_ratio: samples per bin and axis, at most 4096; 0 for ceil(size of the bin).
        aligned: pixel centres lie at .5; False is the older form.

    Returns:
        (K, C, height, width) of x's dtype.

    Raises:
        RuntimeError: an ROI holds a NaN, an infinity, or a batch index that x does not have
            (ValueError where plain torch computes). On a GPU, where nobody waits for the answer,
            the region's result is NaN instead.
    """
    size = two_of("roi_align: output_size", output_size, "(height, width)")
    dtype = working_dtype("roi_align: x", x)
    check_shapes("roi_align", x, rois, spatial_scale, size)
    check_number("roi_align: sampling_ratio", sampling_ratio)
    if sampling_ratio > MOST_SAMPLES:
        raise ValueError(
            f"roi_align: sampling_ratio must be at most {MOST_SAMPLES}, got {sampling_ratio}"
        )
    input_dtype, x, rois = x.dtype, in_dtype(x, dtype), in_dtype(rois.detach(), dtype)
    settings = (int(sampling_ratio), bool(aligned))
    if use_kernels(x):
        result = _roi_align_op(x, rois, float(spatial_scale), *size, *settings)
    else:
        check_values("roi_align", x, rois, spatial_scale)
        result = fallback.roi_align(x, rois, size, float(spatial_scale), *settings)
    return in_dtype(result, input_dtype)


def roi_pool(
    x: torch.Tensor,
    rois: torch.Tensor,
    output_size: int | tuple[int, int],
    spatial_scale: float = 1.0,
) -> torch.Tensor:
    """The maximum of each bin of regions whose corners are rounded to pixels (Fast R-CNN; torchvision's definition).

    A bin outside of x is 0; a NaN in a bin is its maximum.

    Args:
        x: (N, C, H, W) of a floating-point type, of any strides; half precision is computed in float32.
        rois: (K, 5): batch index, x1, y1, x2, y2 in the coordinates of the image.
        output_size: height and width of a region in the result, or one number for both.
        spatial_scale: takes the image's coordinates to x's.

    Returns:
        (K, C, height, width) of x's dtype.

    Raises:
        RuntimeError: as `roi_align`.
    """
    size = two_of("roi_pool: output_size", output_size, "(height, width)")
    dtype = working_dtype("roi_pool: x", x)
    check_shapes("roi_pool", x, rois, spatial_scale, size)
    input_dtype, x, rois = x.dtype, in_dtype(x, dtype), in_dtype(rois.detach(), dtype)
    if use_kernels(x):
        result = _roi_pool_op(x, rois, float(spatial_scale), *size)[0]
    else:
        check_values("roi_pool", x, rois, spatial_scale)
        result = fallback.roi_pool(x, rois, size, float(spatial_scale))
    return in_dtype(result, input_dtype)
