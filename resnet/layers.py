"""Layers that run in the kernels.

`resnet.poolers` has those that choose among feature levels, `resnet.deformable_pooling`
those that displace the bins of regions.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from resnet.deformable_pooling import (
    DeformRoIPooling,
    DeformRoIPoolingPack,
    ModulatedDeformRoIPoolingPack,
)
from resnet.ops import deform_conv2d, frozen_batch_norm, roi_align, roi_pool
from resnet.ops.native import LOW_PRECISION, two_of
from resnet.poolers import LevelMapper, Pooler

# torch.fx, and with it torchvision's create_feature_extractor, records calls of these as they are: they look at
# types and layouts, which a Proxy has not.
for _name in ("affine_of", "deform_conv2d", "frozen_batch_norm"):
    torch.fx.wrap(_name)

__all__ = [
    "DeformConv2d",
    "DeformRoIPooling",
    "DeformRoIPoolingPack",
    "FrozenBatchNorm2d",
    "LevelMapper",
    "ModulatedDeformRoIPoolingPack",
    "Pooler",
    "ROIAlign",
    "ROIPool",
]


def affine_of(
    weight: torch.Tensor,
    bias: torch.Tensor,
    mean: torch.Tensor,
    variance: torch.Tensor,
    eps: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The scale and the bias (C) of a normalisation with these statistics; of half precision, in float32."""
    weight, bias, mean, variance = (
        values.float() if values.dtype in LOW_PRECISION else values
        for values in (weight, bias, mean, variance)
    )
    scale = weight * (variance + eps).rsqrt()
    return scale, bias - mean * scale


class FrozenBatchNorm2d(nn.Module):
    """Batch normalisation whose statistics and affine parameters are constants.

    y = x * scale + (bias - running_mean * scale) with scale = weight / sqrt(running_var + eps);
    all are buffers (C). Half precision is computed in float32, the buffers stay as they are.

    Args:
        channels: C.
        eps: added to the variance. 0 as in maskrcnn-benchmark; torchvision's weights were trained
            with 1e-5.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    running_mean: torch.Tensor
    running_var: torch.Tensor

    def __init__(self, channels: int, eps: float = 0.0) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *arguments: Any
    ) -> None:
        """A trained batch norm's count of batches is of no use here."""
        state_dict.pop(f"{prefix}num_batches_tracked", None)
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    def affine(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The scale and the bias (C) that the four buffers amount to; of half precision, in float32."""
        return affine_of(self.weight, self.bias, self.running_mean, self.running_var, self.eps)

    def forward(
        self,
        x: torch.Tensor,
        residual: torch.Tensor | None = None,
        *,
        relu: bool = False,
        inplace: bool = False,
    ) -> torch.Tensor:
        """relu(normalised x + residual), in one pass; see `resnet.ops.frozen_batch_norm`."""
        pair = self.affine()  # of which torch.fx sees one value
        return frozen_batch_norm(x, pair[0], pair[1], residual, relu=relu, inplace=inplace)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[0]}, eps={self.eps}"


class ROIAlign(nn.Module):
    """`resnet.ops.roi_align` with its settings: (x (N, C, H, W), rois (K, 5)) -> (K, C, height, width)."""

    def __init__(
        self,
        output_size: int | tuple[int, int],
        spatial_scale: float,
        sampling_ratio: int,
        aligned: bool = False,
    ) -> None:
        super().__init__()
        self.output_size = output_size
        self.spatial_scale = spatial_scale
        self.sampling_ratio = sampling_ratio
        self.aligned = aligned

    def forward(self, x: torch.Tensor, rois: torch.Tensor) -> torch.Tensor:
        return roi_align(
            x, rois, self.output_size, self.spatial_scale, self.sampling_ratio, self.aligned
        )

    def extra_repr(self) -> str:
        return (
            f"output_size={self.output_size}, spatial_scale={self.spatial_scale}, "
            f"sampling_ratio={self.sampling_ratio}, aligned={self.aligned}"
        )


class ROIPool(nn.Module):
    """`resnet.ops.roi_pool` with its settings: (x (N, C, H, W), rois (K, 5)) -> (K, C, height, width)."""

    def __init__(self, output_size: int | tuple[int, int], spatial_scale: float) -> None:
        super().__init__()
        self.output_size = output_size
        self.spatial_scale = spatial_scale

    def forward(self, x: torch.Tensor, rois: torch.Tensor) -> torch.Tensor:
        return roi_pool(x, rois, self.output_size, self.spatial_scale)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}, spatial_scale={self.spatial_scale}"


class DeformConv2d(nn.Module):
    """A deformable convolution (v1), or with a mask a modulated one (v2); see `resnet.ops.deform_conv2d`.

    Args:
        in_channels: of the input.
        out_channels: of the result.
        kernel_size, stride, padding, dilation: one number, or vertical and horizontal.
        groups: of the convolution.
        deformable_groups: parts of the channels with offsets of their own.
        bias: whether there is one.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        deformable_groups: int = 1,
        bias: bool = False,
    ) -> None:
        super().__init__()
        for name, parts in [("groups", groups), ("deformable_groups", deformable_groups)]:
            if parts < 1 or in_channels % parts:
                raise ValueError(
                    f"DeformConv2d: {name} must divide in_channels {in_channels}, got {parts}"
                )
        if out_channels % groups:
            raise ValueError(
                f"DeformConv2d: groups must divide out_channels {out_channels}, got {groups}"
            )
        size = two_of("DeformConv2d: kernel_size", kernel_size, "(vertical, horizontal)")
        self.kernel_size, self.stride, self.padding = size, stride, padding
        self.dilation, self.groups, self.deformable_groups = dilation, groups, deformable_groups
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels // groups, *size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))

    def forward(
        self, x: torch.Tensor, offset: torch.Tensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        settings = (self.stride, self.padding, self.dilation)
        return deform_conv2d(x, offset, self.weight, self.bias, *settings, mask=mask)

    def extra_repr(self) -> str:
        outputs, inputs = self.weight.shape[0], self.weight.shape[1] * self.groups
        return (
            f"{inputs}, {outputs}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}, dilation={self.dilation}, groups={self.groups}, "
            f"deformable_groups={self.deformable_groups}, bias={self.bias is not None}"
        )
