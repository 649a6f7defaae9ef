"""The only door of `resnet` to the generated module: kernels as differentiable functions."""

from __future__ import annotations

from typing import Any

import torch

try:
    from _ext import kernels as _kernels
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"resnet needs the kernels in _ext.kernels, which cannot be imported ({error}); "
        "build them with `python build_ffi.py` in the project's folder, and start Python there",
        name=error.name,
    ) from error

__all__ = ["frozen_batch_norm", "nms", "roi_align"]

_SUFFIX = {torch.float32: "float", torch.float64: "double"}


def _kernel(name: str, tensor: torch.Tensor) -> Any:
    """The generated function of this name for the tensor's precision."""
    if tensor.dtype not in _SUFFIX:
        raise TypeError(
            f"{name}: expected a float32 or float64 tensor, got {tensor.dtype}; "
            "convert it with .float()"
        )
    return getattr(_kernels, f"{name}_{_SUFFIX[tensor.dtype]}")


def _or_null(tensor: torch.Tensor | None) -> Any:
    """What a C function takes for an optional tensor."""
    return _kernels._ffi.NULL if tensor is None else tensor


class _FrozenBatchNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, scale, bias, residual, relu):
        out = torch.empty_like(x)
        _kernel("frozen_bn_forward", x)(x, scale, bias, _or_null(residual), int(relu), out)
        ctx.relu = relu
        ctx.save_for_backward(scale, out if relu else None)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_out):
        scale, out = ctx.saved_tensors
        grad_x = torch.empty_like(grad_out) if ctx.needs_input_grad[0] else None
        grad_residual = torch.empty_like(grad_out) if ctx.needs_input_grad[3] else None
        _kernel("frozen_bn_backward", grad_out)(
            grad_out, _or_null(out), scale, _or_null(grad_x), _or_null(grad_residual)
        )
        return grad_x, None, None, grad_residual, None


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

    Args:
        x: (N, C, H, W) float32 or float64, NCHW or channels_last.
        scale: (C), frozen: it gets no gradient.
        bias: (C), frozen likewise.
        residual: the shape of x, or None.
        relu: whether negative results become 0.
        inplace: write to x where no gradient is recorded; x must then not be needed any more.

    Returns:
        A tensor of x's shape and memory format.
    """
    if torch.is_grad_enabled() and (scale.requires_grad or bias.requires_grad):
        raise ValueError(
            "frozen_batch_norm: scale and bias are frozen, expected tensors without requires_grad; "
            "detach() them, or train a torch.nn.BatchNorm2d"
        )
    needs_grad = torch.is_grad_enabled() and (
        x.requires_grad or (residual is not None and residual.requires_grad)
    )
    if needs_grad:
        return _FrozenBatchNorm.apply(x, scale, bias, residual, relu)
    out = x if inplace else torch.empty_like(x)
    _kernel("frozen_bn_forward", x)(x, scale, bias, _or_null(residual), int(relu), out)
    return out


class _ROIAlign(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, rois, spatial_scale, size, sampling_ratio, aligned):
        out = x.new_empty(rois.shape[0], x.shape[1], *size)
        settings = (float(spatial_scale), *size, int(sampling_ratio), int(aligned))
        _kernel("roi_align_forward", x)(x, rois, *settings, out)
        ctx.settings, ctx.shape = settings, x.shape
        ctx.save_for_backward(rois)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_out):
        (rois,) = ctx.saved_tensors
        grad_x = grad_out.new_empty(ctx.shape)
        _kernel("roi_align_backward", grad_out)(grad_out, rois, *ctx.settings, grad_x)
        return grad_x, None, None, None, None, None


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
        x: (N, C, H, W) float32 or float64, of any strides.
        rois: (K, 5) of x's dtype: batch index, x1, y1, x2, y2 in the coordinates of the image.
        output_size: height and width of a region in the result, or one number for both.
        spatial_scale: takes the image's coordinates to x's; 1/16 for a feature map of stride 16.
        sampling_ratio: samples per bin and axis; 0 for ceil(size of the bin).
        aligned: pixel centres lie at .5; False is the older form.

    Returns:
        (K, C, height, width).

    Raises:
        RuntimeError: an ROI holds a NaN, an infinity, or a batch index that x does not have.
    """
    height, width = (output_size, output_size) if isinstance(output_size, int) else output_size
    if rois.dim() != 2 or rois.shape[1] != 5:
        raise ValueError(
            "roi_align: rois must be (K, 5) with rows of batch index, x1, y1, x2, y2, "
            f"got {tuple(rois.shape)}"
        )
    if x.dim() != 4:
        raise ValueError(f"roi_align: x must be (N, C, H, W), got {tuple(x.shape)}")
    return _ROIAlign.apply(
        x, rois.to(x.dtype), spatial_scale, (height, width), sampling_ratio, aligned
    )


def nms(
    boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float, *, plus_one: bool = False
) -> torch.Tensor:
    """The boxes that no better box overlaps by more than a threshold.

    Args:
        boxes: (N, 4) float32 or float64: x1, y1, x2, y2.
        scores: (N) of the same dtype.
        iou_threshold: intersection over union above which (strictly) the lower score goes.
        plus_one: count pixels as older code did: a box is x2 - x1 + 1 wide.

    Returns:
        (M) int64 row numbers, best score first; equal scores keep their order, a NaN ranks last.
    """
    keep = torch.empty(boxes.shape[0] if boxes.dim() else 0, dtype=torch.int64)
    _kernel("nms", boxes)(
        boxes.detach(), scores.detach(), float(iou_threshold), int(plus_one), keep
    )
    return keep
