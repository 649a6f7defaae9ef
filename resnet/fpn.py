"""The feature pyramid on top of a ResNet (Lin et al., 2017), and its coarsest levels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from resnet.convolutions import FoldedConvolution
from resnet.norms import Norm


def conv_with_kaiming_uniform(
    inputs: int, outputs: int, size: int, *, norm: Norm | None, relu: bool
) -> nn.Module:
    """A convolution of stride 1, alone with a bias, or followed by a norm and a ReLU."""
    layer = nn.Conv2d(inputs, outputs, size, padding=(size - 1) // 2, bias=norm is None)
    nn.init.kaiming_uniform_(layer.weight, a=1)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    followers = ([norm(outputs)] if norm else []) + ([nn.ReLU()] if relu else [])
    return nn.Sequential(layer, *followers) if followers else layer


class LastLevelMaxPool(nn.Module):
    """P6: every second feature of P5."""

    levels = 1

    def forward(self, c5: torch.Tensor, p5: torch.Tensor) -> list[torch.Tensor]:
        return [F.max_pool2d(p5, kernel_size=1, stride=2)]


class LastLevelP6P7(nn.Module):
    """P6 and P7 of RetinaNet: 3x3 convolutions of stride 2 (Lin et al., 2018).

    Args:
        in_channels: of the features that P6 is computed from.
        out_channels: of P6 and P7.
        use_c5: those features are the body's last stage, not P5.
    """

    levels = 2

    def __init__(self, in_channels: int, out_channels: int, *, use_c5: bool = True) -> None:
        super().__init__()
        self.use_c5 = use_c5
        self.p6 = nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1)
        self.p7 = nn.Conv2d(out_channels, out_channels, 3, stride=2, padding=1)
        for layer in (self.p6, self.p7):
            nn.init.kaiming_uniform_(layer.weight, a=1)
            nn.init.zeros_(layer.bias)

    def forward(self, c5: torch.Tensor, p5: torch.Tensor) -> list[torch.Tensor]:
        p6 = self.p6(c5 if self.use_c5 else p5)
        return [p6, self.p7(F.relu(p6))]


class FPN(nn.Module):
    """The stages' features (C2..C5) -> features of one number of channels (P2..P5, P6, P7).

    Level i is `fpn_layer{i}` (3x3) of the sum of `fpn_inner{i}` (1x1) of stage i and of the level
    above it, enlarged to stage i's size by repetition: to twice its size where the images' sides
    are multiples of 32, and to what fits where they are not.

    Args:
        in_channels: of each stage, the largest features first; 0 leaves a stage out.
        out_channels: of every level.
        top: makes the levels above P5, or None.
        norm: a norm after each convolution, which then has no bias.
        relu: a ReLU after each convolution.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int,
        *,
        top: LastLevelMaxPool | LastLevelP6P7 | None = None,
        norm: Norm | None = None,
        relu: bool = False,
    ) -> None:
        super().__init__()
        if not in_channels or in_channels[-1] == 0:
            raise ValueError(
                f"FPN: in_channels must end with the channels of a stage, got {list(in_channels)}"
            )
        self.levels = [level for level, inputs in enumerate(in_channels, start=1) if inputs]
        for level in self.levels:
            inputs = in_channels[level - 1]
            for name, size, channels in [("inner", 1, inputs), ("layer", 3, out_channels)]:
                layer = conv_with_kaiming_uniform(
                    channels, out_channels, size, norm=norm, relu=relu
                )
                self.add_module(f"fpn_{name}{level}", layer)
        self.top_blocks = top
        self.out_channels = out_channels

    def forward(self, features: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """One tensor for each of in_channels -> the levels, the largest first."""
        traced = isinstance(features, torch.fx.Proxy)  # whose length torch.fx does not know
        if not traced and len(features) != self.levels[-1]:
            raise ValueError(
                f"FPN: expected features of {self.levels[-1]} stages, one for each of in_channels, got {len(features)}"
            )
        inner, results = None, []
        for level in reversed(self.levels):
            feature, lateral = features[level - 1], getattr(self, f"fpn_inner{level}")
            if inner is None:
                inner = lateral(feature)
            else:
                above = F.interpolate(inner, size=feature.shape[-2:], mode="nearest")
                folded = isinstance(lateral, FoldedConvolution)
                inner = lateral(feature, above) if folded else lateral(feature) + above
            results.insert(0, getattr(self, f"fpn_layer{level}")(inner))
        if self.top_blocks is not None:
            results += self.top_blocks(features[-1], results[-1])
        return tuple(results)
