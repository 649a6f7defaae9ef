"""The ResNet body and head: a stem and stages, built from a table of stage specifications."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from resnet.blocks import BLOCKS, STEMS, Bottleneck
from resnet.deformable import Deformable
from resnet.norms import NORMS
from resnet.stages import BASIC_DEPTHS, STAGE_SPECS, StageSpec

Make = Callable[..., nn.Module]
BOTTLENECK_CHANNELS = 256  # of the first stage's result


def make_stage(
    block: Make,
    in_channels: int,
    bottleneck_channels: int,
    out_channels: int,
    block_count: int,
    *,
    stride: int,
    **settings: Any,
) -> nn.Sequential:
    """block_count blocks, of which the first has the stride and changes the number of channels."""
    blocks = []
    for number in range(block_count):
        inputs = out_channels if number else in_channels
        first = 1 if number else stride
        blocks.append(block(inputs, bottleneck_channels, out_channels, stride=first, **settings))
    return nn.Sequential(*blocks)


def specs_of(name: str, stage_specs: Any) -> list[StageSpec]:
    """A table of stages, checked as far as its form goes."""
    try:
        return [StageSpec(*spec) for spec in stage_specs]
    except TypeError as error:
        raise ValueError(
            f"{name}: stage_specs must be a table such as STAGE_SPECS['R-50-C4'] or [StageSpec(1, 3, True)], "
            f"got {stage_specs!r}"
        ) from error


def check_block(block_key: str, channels_key: str, name: str, model: Stages) -> None:
    """Bottlenecks in a table of basic blocks are another net, and so are basic blocks as wide as those.

    Args:
        block_key: where the block is said, for the error.
        channels_key: likewise the channels of the first stage.
        name: of the table.
        model: made of it.

    Raises:
        ValueError: that is so.
    """
    if not name.startswith(tuple(f"R-{depth}-" for depth in BASIC_DEPTHS)):
        return
    block = model.get_submodule(model.stages[0])[0]
    if isinstance(block, Bottleneck):
        raise ValueError(
            f"{block_key}: {name} is made of basic blocks, expected 'BasicBlockWithFixedBatchNorm' or another "
            f"norm's (and 64 channels of the first stage), got {type(block).__name__}"
        )
    channels = model.feature_channels[model.stages[0]]
    if channels == BOTTLENECK_CHANNELS:
        raise ValueError(
            f"{channels_key}: expected 64 for {name}, whose blocks are basic ones, got {channels}, the default, "
            "which is a bottleneck's result and makes 16 times as many weights of them"
        )


class Stages(nn.Module):
    """The modules layer1..layer4, which body and head have in common.

    Args:
        block: a name of `BLOCKS`, or a class that takes `Bottleneck`'s arguments.
        num_groups: groups of the 3x3 convolutions (ResNeXt: 32).
        width_per_group: channels per group in the first stage (ResNeXt-32x8d: 8).
        stride_in_1x1: see `Bottleneck`.
        res2_out_channels: of the first stage; 256, and 64 with basic blocks.
        norms: what stands for the names of norms, for example
            `NORMS | {"FrozenBN": partial(FrozenBatchNorm2d, eps=1e-5)}`.
        zero_init_residual: blocks begin as the identity.
    """

    def __init__(
        self,
        *,
        block: str | Make = "BottleneckWithFixedBatchNorm",
        num_groups: int = 1,
        width_per_group: int = 64,
        stride_in_1x1: bool = True,
        res2_out_channels: int = BOTTLENECK_CHANNELS,
        norms: Mapping[str, Callable[[int], nn.Module]] = NORMS,
        zero_init_residual: bool = False,
    ) -> None:
        super().__init__()
        self.stages: list[str] = []
        self.return_features: dict[str, bool] = {}
        self.feature_channels: dict[str, int] = {}
        self.feature_strides: dict[str, int] = {}
        self.grad_checkpointing = False
        self._block = BLOCKS[block] if isinstance(block, str) else block
        self._res2 = res2_out_channels, num_groups * width_per_group
        self._norms, self._zero_init = norms, zero_init_residual
        self._common = dict(num_groups=num_groups, stride_in_1x1=stride_in_1x1)

    def norm_of(self, part: Make) -> Callable[[int], nn.Module]:
        """The norm that a stem or block is made with."""
        return self._norms[getattr(part, "norm_type", "FrozenBN")]

    def add_stage(
        self,
        spec: StageSpec,
        in_channels: int,
        *,
        stride: int,
        in_stride: int,
        dilation: int,
        deformable: Deformable | None,
    ) -> int:
        """Append layer{spec.index} and return its number of channels."""
        if spec.block_count < 1:
            raise ValueError(
                f"stage {spec.index}: block_count must be at least 1, got {spec.block_count}"
            )
        name, factor = f"layer{spec.index}", 2 ** (spec.index - 1)
        out_channels, width = (channels * factor for channels in self._res2)
        stage = make_stage(
            self._block,
            in_channels,
            width,
            out_channels,
            spec.block_count,
            stride=stride,
            dilation=dilation,
            deformable=deformable,
            norm=self.norm_of(self._block),
            **self._common,
        )
        if self._zero_init:
            for block in stage:
                block.zero_init_residual()
        self.add_module(name, stage)
        self.stages.append(name)
        self.return_features[name] = spec.return_features
        self.feature_channels[name] = out_channels
        self.feature_strides[name] = in_stride * (1 if dilation > 1 else stride)
        self.out_channels = out_channels
        return out_channels

    def _forget_settings(self) -> None:
        """Drop what only adding stages needs: a norm that is a lambda would keep the model from being pickled."""
        del self._block, self._res2, self._norms, self._zero_init, self._common

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keep only each block's input for the backward pass, and compute the rest again there.

        Batch norms that learn their statistics see each batch twice then, as with all of torch's
        checkpoints: their momentum of 0.1 acts like 0.19.
        """
        self.grad_checkpointing = enable

    def run_stage(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """A stage's features of the features before it."""
        stage = getattr(self, name)
        if self.grad_checkpointing and self.training and torch.is_grad_enabled():
            for block in stage:
                x = checkpoint(block, x, use_reentrant=False)
            return x
        return stage(x)

    def fuse(self, **settings: Any) -> Stages:
        """A copy for inference with folded norms and prepared convolutions; see `resnet.fuse`."""
        from resnet.fuse import fuse

        return fuse(self, **settings)


class ResNet(Stages):
    """Images -> the features of the stages that the table flags, the largest first.

    Stage i (layer{i}) has stride 2 ** (i + 1) and res2_out_channels * 2 ** (i - 1) channels;
    `feature_channels["layer3"]` and `feature_strides["layer3"]` tell them by name.

    Args:
        stage_specs: stages 1, 2, ..., for example `STAGE_SPECS["R-50-FPN"]`.
        stem: a name of `STEMS`, or a class that takes `Stem`'s arguments.
        stem_out_channels: of the stem.
        in_channels: of the images.
        freeze_at: the stem and the stages below this number get no gradients; 0 freezes nothing,
            2 the stem and layer1.
        res5_dilation: of stage 4, whose stride it replaces.
        deformable: for each stage, settings of its deformable convolutions or None.
        settings: `Stages`' arguments.

    Raises:
        ValueError: stages that are not 1, 2, ... in order, a freeze_at beyond the last, or fewer
            entries of deformable than stages.
    """

    def __init__(
        self,
        stage_specs: Sequence[StageSpec],
        *,
        stem: str | Make = "StemWithFixedBatchNorm",
        stem_out_channels: int = 64,
        in_channels: int = 3,
        freeze_at: int = 0,
        res5_dilation: int = 1,
        deformable: Sequence[Deformable | None] = (None, None, None, None),
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        specs = specs_of("ResNet", stage_specs)
        indices = [spec.index for spec in specs]
        if indices != list(range(1, len(specs) + 1)) or not 1 <= len(specs) <= 4:
            raise ValueError(
                f"ResNet: stage_specs must be the stages 1, 2, ... up to 4 in order, got {indices}"
            )
        if len(deformable) < len(specs):
            raise ValueError(
                f"ResNet: deformable must have one entry for each of the {len(specs)} stages, "
                f"got {len(deformable)}"
            )
        make_stem = STEMS[stem] if isinstance(stem, str) else stem
        self.stem = make_stem(
            stem_out_channels, in_channels=in_channels, norm=self.norm_of(make_stem)
        )
        self.feature_channels["stem"] = stem_out_channels
        self.feature_strides["stem"] = stride = getattr(make_stem, "stride", 4)
        channels = stem_out_channels
        for spec in specs:
            channels = self.add_stage(
                spec,
                channels,
                stride=1 if spec.index == 1 else 2,
                in_stride=stride,
                dilation=res5_dilation if spec.index == 4 else 1,
                deformable=deformable[spec.index - 1],
            )
            stride = self.feature_strides[f"layer{spec.index}"]
        self._forget_settings()
        self.frozen: list[str] = []
        self.freeze(freeze_at)

    def freeze(self, freeze_at: int) -> None:
        """Take the stem (freeze_at >= 1) and the stages below freeze_at out of training.

        Their norms stay in evaluation mode, too. What an earlier call took out, and this one does not,
        trains again.
        """
        parts = ["stem", *self.stages]
        if freeze_at > len(parts):
            raise ValueError(
                f"ResNet: freeze_at must be at most {len(parts)} for the parts {', '.join(parts)}, "
                f"got {freeze_at}"
            )
        before, self.frozen = self.frozen, parts[: max(freeze_at, 0)]
        for name in {*before, *self.frozen}:
            getattr(self, name).requires_grad_(name not in self.frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> ResNet:
        super().train(mode)
        for name in self.frozen:
            getattr(self, name).eval()
        return self

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """(N, 3, H, W) -> the flagged stages' features (N, C_i, H / stride_i, W / stride_i)."""
        features = []
        x = self.stem(x)
        for name in self.stages:
            x = self.run_stage(name, x)
            if self.return_features[name]:
                features.append(x)
        return features


class ResNetHead(Stages):
    """Stages that run on the features of regions: (K, C, h, w) -> (K, C', h', w').

    Args:
        stage_specs: consecutive stages, for example `[StageSpec(4, 3, False)]` for conv5.
        stride_init: of the first stage; None for 2 (1 for stage 1).
        dilation: of the 3x3 convolutions; above 1 the strides are 1.
        deformable: settings of the deformable convolutions, or None.
        settings: `Stages`' arguments.

    Raises:
        ValueError: stages that do not follow each other.
    """

    def __init__(
        self,
        stage_specs: Sequence[StageSpec],
        *,
        stride_init: int | None = None,
        dilation: int = 1,
        deformable: Deformable | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        specs = specs_of("ResNetHead", stage_specs)
        indices = [spec.index for spec in specs]
        first = indices[0] if indices else 0
        if not specs or first < 1 or indices != list(range(first, first + len(specs))):
            raise ValueError(
                "ResNetHead: stage_specs must be stages that follow each other, such as 4 or 3, 4, "
                f"got {indices}"
            )
        # what the stage before gives; before stage 1, the stem
        res2_out_channels, expansion = self._res2[0], getattr(self._block, "expansion", 4)
        stem_out_channels = res2_out_channels // expansion
        channels = res2_out_channels * 2 ** (first - 2) if first > 1 else stem_out_channels
        stride = 1
        for spec in specs:
            usual = 2 if spec.index > 1 else 1
            channels = self.add_stage(
                spec,
                channels,
                stride=stride_init if stride_init and spec.index == first else usual,
                in_stride=stride,
                dilation=dilation,
                deformable=deformable,
            )
            stride = self.feature_strides[f"layer{spec.index}"]
        self._forget_settings()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for name in self.stages:
            x = self.run_stage(name, x)
        return x


def build_resnet(name: str, **settings: Any) -> ResNet:
    """A ResNet by its name in `STAGE_SPECS`, with `ResNet`'s keyword arguments.

    18 and 34 need block="BasicBlockWithFixedBatchNorm" (or another norm's) and res2_out_channels=64.

    Raises:
        KeyError: there is no such name; the text lists those that there are.
        ValueError: bottlenecks for 18 or 34, or 256 channels of basic blocks.
    """
    model = ResNet(STAGE_SPECS[name], **settings)
    check_block("build_resnet: block", "build_resnet: res2_out_channels", name, model)
    return model
