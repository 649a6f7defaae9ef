"""The stem (conv1) and the bottleneck block that conv2..conv5 are made of."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from resnet.layers import FrozenBatchNorm2d


def conv(
    inputs: int, outputs: int, size: int, stride: int = 1, dilation: int = 1, groups: int = 1
) -> nn.Conv2d:
    """A convolution without bias: ceil(input / stride) rows and columns, Kaiming-initialised."""
    padding = dilation * (size - 1) // 2
    layer = nn.Conv2d(inputs, outputs, size, stride, padding, dilation, groups, bias=False)
    nn.init.kaiming_uniform_(layer.weight, a=1)
    return layer


class Stem(nn.Module):
    """7x7 convolution, normalisation, ReLU, 3x3 max pooling: (N, 3, H, W) -> (N, C, H/4, W/4)."""

    def __init__(self, out_channels: int = 64) -> None:
        super().__init__()
        self.conv1 = conv(3, out_channels, 7, stride=2)
        self.bn1 = FrozenBatchNorm2d(out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.bn1(self.conv1(x), relu=True, inplace=True)
        return F.max_pool2d(x, kernel_size=3, stride=2, padding=1)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions, and the input added to what they give (He et al., 2015).

    Args:
        in_channels: of the input.
        bottleneck_channels: between the three convolutions.
        out_channels: of the result. Where they differ from in_channels, a 1x1 convolution
            `downsample` adapts the input.
        num_groups: groups of the 3x3 convolution (ResNeXt).
        stride_in_1x1: the stride is the first 1x1's (as in Caffe2's weights), not the 3x3's
            (torchvision's).
        stride: of the block; a dilated block has stride 1.
        dilation: of the 3x3 convolution.
    """

    def __init__(
        self,
        in_channels: int,
        bottleneck_channels: int,
        out_channels: int,
        *,
        num_groups: int = 1,
        stride_in_1x1: bool = True,
        stride: int = 1,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        if dilation > 1:
            stride = 1
        self.downsample: nn.Sequential | None = None
        if in_channels != out_channels:
            self.downsample = nn.Sequential(
                conv(in_channels, out_channels, 1, stride), FrozenBatchNorm2d(out_channels)
            )
        stride_1x1, stride_3x3 = (stride, 1) if stride_in_1x1 else (1, stride)
        self.conv1 = conv(in_channels, bottleneck_channels, 1, stride_1x1)
        self.bn1 = FrozenBatchNorm2d(bottleneck_channels)
        self.conv2 = conv(
            bottleneck_channels, bottleneck_channels, 3, stride_3x3, dilation, num_groups
        )
        self.bn2 = FrozenBatchNorm2d(bottleneck_channels)
        self.conv3 = conv(bottleneck_channels, out_channels, 1)
        self.bn3 = FrozenBatchNorm2d(out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # A convolution's result is needed by nobody else, so the normalisation may overwrite it.
        identity = x
        if self.downsample is not None:
            projection, norm = self.downsample
            identity = norm(projection(x), inplace=True)
        out = self.bn1(self.conv1(x), relu=True, inplace=True)
        out = self.bn2(self.conv2(out), relu=True, inplace=True)
        return self.bn3(self.conv3(out), identity, relu=True, inplace=True)
