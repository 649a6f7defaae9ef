"""The ResNet body: a stem and stages, built from a table of stage specifications."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from resnet.blocks import Bottleneck, Stem
from resnet.stages import STAGE_SPECS, StageSpec


def make_stage(
    in_channels: int,
    bottleneck_channels: int,
    out_channels: int,
    block_count: int,
    *,
    stride: int,
    **block: Any,
) -> nn.Sequential:
    """block_count blocks, of which the first has the stride and changes the number of channels."""
    blocks = []
    for number in range(block_count):
        inputs = out_channels if number else in_channels
        blocks.append(
            Bottleneck(
                inputs, bottleneck_channels, out_channels, stride=1 if number else stride, **block
            )
        )
    return nn.Sequential(*blocks)


class ResNet(nn.Module):
    """Images -> the features of the stages that the table flags, the largest first.

    Stage i (layer{i}) has stride 2 ** (i + 1) and res2_out_channels * 2 ** (i - 1) channels.

    Args:
        stage_specs: stages 1, 2, ..., for example `STAGE_SPECS["R-50-FPN"]`.
        num_groups: groups of the 3x3 convolutions (ResNeXt: 32).
        width_per_group: channels per group in the first stage (ResNeXt-32x8d: 8).
        stride_in_1x1: see `Bottleneck`.
        stem_out_channels: of the stem.
        res2_out_channels: of the first stage.
        freeze_at: the stem and the stages below this number get no gradients; 0 freezes nothing,
            2 the stem and layer1.

    Raises:
        ValueError: stages that are not 1, 2, ... in order, or a freeze_at beyond the last.
    """

    def __init__(
        self,
        stage_specs: Sequence[StageSpec],
        *,
        num_groups: int = 1,
        width_per_group: int = 64,
        stride_in_1x1: bool = True,
        stem_out_channels: int = 64,
        res2_out_channels: int = 256,
        freeze_at: int = 0,
    ) -> None:
        super().__init__()
        specs = [StageSpec(*spec) for spec in stage_specs]
        indices = [spec.index for spec in specs]
        if indices != list(range(1, len(specs) + 1)) or not 1 <= len(specs) <= 4:
            raise ValueError(
                f"ResNet: stage_specs must be the stages 1, 2, ... up to 4 in order, got {indices}"
            )
        self.stem = Stem(stem_out_channels)
        self.stages: list[str] = []
        self.return_features: dict[str, bool] = {}
        self.feature_channels: dict[str, int] = {}
        self.feature_strides: dict[str, int] = {}
        in_channels = stem_out_channels
        for spec in specs:
            name, factor = f"layer{spec.index}", 2 ** (spec.index - 1)
            out_channels = res2_out_channels * factor
            stage = make_stage(
                in_channels,
                num_groups * width_per_group * factor,
                out_channels,
                spec.block_count,
                stride=1 if spec.index == 1 else 2,
                num_groups=num_groups,
                stride_in_1x1=stride_in_1x1,
            )
            self.add_module(name, stage)
            self.stages.append(name)
            self.return_features[name] = spec.return_features
            self.feature_channels[name] = out_channels
            self.feature_strides[name] = 4 * factor
            in_channels = out_channels
        self.out_channels = in_channels
        self.freeze(freeze_at)

    def freeze(self, freeze_at: int) -> None:
        """Take the stem (freeze_at >= 1) and the stages below freeze_at out of training."""
        parts = ["stem", *self.stages]
        if freeze_at > len(parts):
            raise ValueError(
                f"ResNet: freeze_at must be at most {len(parts)} for the parts {', '.join(parts)}, "
                f"got {freeze_at}"
            )
        for name in parts[: max(freeze_at, 0)]:
            self.get_submodule(name).requires_grad_(False)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """(N, 3, H, W) -> the flagged stages' features (N, C_i, H / stride_i, W / stride_i)."""
        features = []
        x = self.stem(x)
        for name in self.stages:
            x = self.get_submodule(name)(x)
            if self.return_features[name]:
                features.append(x)
        return features


def build_resnet(name: str, **settings: Any) -> ResNet:
    """A ResNet by its name in `STAGE_SPECS`, with `ResNet`'s keyword arguments.

    Raises:
        KeyError: there is no such name; the text lists those that there are.
    """
    if name not in STAGE_SPECS:
        near = difflib.get_close_matches(name, STAGE_SPECS, n=1)
        raise KeyError(
            f"build_resnet: expected one of {', '.join(STAGE_SPECS)}, got {name!r}"
            + (f"; did you mean {near[0]!r}?" if near else "")
        )
    return ResNet(STAGE_SPECS[name], **settings)
