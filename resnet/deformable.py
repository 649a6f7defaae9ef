"""A deformable convolution that computes its own offsets (Dai et al., 2017; Zhu et al., 2018)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from resnet.layers import DeformConv2d


class Deformable(NamedTuple):
    """How the 3x3 convolutions of a stage are deformable."""

    modulated: bool = False  # version 2: each sample is weighted, too
    groups: int = 1  # groups of channels with offsets of their own


class DeformableConvolution(nn.Module):
    """`conv`, a 3x3 deformable convolution, at the offsets that the convolution `offset` computes.

    `offset` gives 2 * 9 channels (dy, dx of each tap) per deformable group, and 9 more for the
    modulation, through a sigmoid. It begins at 0, so that the layer begins as a plain convolution
    (times 1/2 if modulated), as in the papers.

    Args:
        channels: of input and result.
        settings: version and groups.
        stride, dilation, groups: of the convolution.

    Raises:
        ValueError: the deformable groups do not divide the channels.
    """

    TAPS = 9

    def __init__(
        self,
        channels: int,
        settings: Deformable,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
    ) -> None:
        super().__init__()
        if settings.groups < 1 or channels % settings.groups:
            raise ValueError(
                f"MODEL.RESNETS.DEFORMABLE_GROUPS must divide the layer's {channels} channels, "
                f"got {settings.groups}"
            )
        self.settings = settings
        per_group = self.TAPS * (3 if settings.modulated else 2)
        where = dict(stride=stride, padding=dilation, dilation=dilation)
        self.offset = nn.Conv2d(channels, per_group * settings.groups, 3, **where)
        nn.init.zeros_(self.offset.weight)
        nn.init.zeros_(self.offset.bias)
        parts = dict(groups=groups, deformable_groups=settings.groups)
        self.conv = DeformConv2d(channels, channels, 3, **where, **parts)
        nn.init.kaiming_uniform_(self.conv.weight, a=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        offset = self.offset(x)
        if not self.settings.modulated:
            return self.conv(x, offset)
        split = 2 * self.TAPS * self.settings.groups
        # no view, which the offsets of a single image would be: torch.compile of torch 2.13 keeps none for backward
        # whose sizes are dynamic ("cannot determine truth value of Relational")
        moves = offset[:, :split].clone(memory_format=torch.contiguous_format)
        return self.conv(x, moves, offset[:, split:].sigmoid())
