"""Backbones of detectors from a configuration: `build_backbone(config)`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from resnet.blocks import BLOCKS, STEMS
from resnet.config import Config
from resnet.deformable import Deformable
from resnet.fpn import FPN, LastLevelMaxPool, LastLevelP6P7
from resnet.model import ResNet, check_block
from resnet.norms import NORMS, group_norm
from resnet.registry import Registry
from resnet.stages import STAGE_SPECS

BACKBONES = Registry("backbone")  # CONV_BODY -> function of Config and norms


class Backbone(nn.Sequential):
    """`body`, and `fpn` where there is one: (N, 3, H, W) -> features, the largest first.

    Attributes:
        out_channels: of each of the features (of the last, where they differ).
        feature_channels: by the features' names: layer1..layer4 without, P2..P7 with a pyramid.
        feature_strides: pixels per feature, likewise.
    """

    body: ResNet

    def __init__(self, body: ResNet, fpn: FPN | None = None) -> None:
        super().__init__(OrderedDict([("body", body)] + ([("fpn", fpn)] if fpn else [])))
        returned = [name for name, flag in body.return_features.items() if flag]
        self.feature_channels = {name: body.feature_channels[name] for name in returned}
        self.feature_strides = {name: body.feature_strides[name] for name in returned}
        if fpn is not None:
            strides = {f"P{i + 1}": body.feature_strides[f"layer{i}"] for i in fpn.levels}
            coarsest = max(strides.values())
            for extra in range(1, getattr(fpn.top_blocks, "levels", 0) + 1):
                strides[f"P{fpn.levels[-1] + 1 + extra}"] = coarsest * 2**extra
            self.feature_strides = strides
            self.feature_channels = dict.fromkeys(strides, fpn.out_channels)
        self.out_channels = list(self.feature_channels.values())[-1]

    def fuse(self, **settings: Any) -> Backbone:
        """A copy for inference with folded norms and prepared convolutions; see `resnet.fuse`."""
        from resnet.fuse import fuse

        return fuse(self, **settings)

    def named(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """The features by their names."""
        return dict(zip(self.feature_strides, self(x), strict=True))


def norms_of(config: Config, norms: Mapping[str, Any]) -> dict[str, Any]:
    """The table of norms with the configuration's group normalisation."""
    section = config.MODEL.GROUP_NORM
    settings = dict(
        num_groups=section.NUM_GROUPS, dim_per_gp=section.DIM_PER_GP, eps=section.EPSILON
    )
    return {**norms, "GN": partial(group_norm, **settings)}


def build_body(config: Config, norms: Mapping[str, Any]) -> ResNet:
    """The ResNet that MODEL.BACKBONE and MODEL.RESNETS describe.

    Raises:
        ValueError: a value does not fit; the text names its key.
    """
    settings = config.MODEL.RESNETS
    deformable = Deformable(settings.WITH_MODULATED_DCN, settings.DEFORMABLE_GROUPS)
    stages = STAGE_SPECS[config.MODEL.BACKBONE.CONV_BODY]
    freeze_at = config.MODEL.BACKBONE.FREEZE_CONV_BODY_AT
    if freeze_at > len(stages) + 1:
        raise ValueError(
            f"MODEL.BACKBONE.FREEZE_CONV_BODY_AT: expected at most {len(stages) + 1} for "
            f"{config.MODEL.BACKBONE.CONV_BODY}, got {freeze_at}"
        )
    body = ResNet(
        stages,
        stem=settings.STEM_FUNC,
        block=settings.TRANS_FUNC,
        num_groups=settings.NUM_GROUPS,
        width_per_group=settings.WIDTH_PER_GROUP,
        stride_in_1x1=settings.STRIDE_IN_1X1,
        stem_out_channels=settings.STEM_OUT_CHANNELS,
        res2_out_channels=settings.RES2_OUT_CHANNELS,
        res5_dilation=settings.RES5_DILATION,
        deformable=[deformable if flag else None for flag in settings.STAGE_WITH_DCN],
        freeze_at=freeze_at,
        norms=norms_of(config, norms),
    )
    check_block(
        "MODEL.RESNETS.TRANS_FUNC",
        "MODEL.RESNETS.RES2_OUT_CHANNELS",
        config.MODEL.BACKBONE.CONV_BODY,
        body,
    )
    return body


def build_plain(config: Config, norms: Mapping[str, Any]) -> Backbone:
    """The body alone."""
    return Backbone(build_body(config, norms))


def build_pyramid(config: Config, norms: Mapping[str, Any], *, retina: bool) -> Backbone:
    """The body and an FPN: P2..P6 by pooling, or RetinaNet's P3..P7."""
    body = build_body(config, norms)
    out_channels = config.MODEL.RESNETS.BACKBONE_OUT_CHANNELS
    channels = [body.feature_channels[name] for name in body.stages]
    top: LastLevelMaxPool | LastLevelP6P7 = LastLevelMaxPool()
    if retina:
        use_c5 = config.MODEL.RETINANET.USE_C5
        top = LastLevelP6P7(channels[-1] if use_c5 else out_channels, out_channels, use_c5=use_c5)
        channels[0] = 0
    fpn = FPN(
        channels,
        out_channels,
        top=top,
        norm=norms_of(config, norms)["GN"] if config.MODEL.FPN.USE_GN else None,
        relu=config.MODEL.FPN.USE_RELU,
    )
    return Backbone(body, fpn)


for _name in STAGE_SPECS:
    _build: Callable[..., Backbone] = build_plain
    if "FPN" in _name:
        _build = partial(build_pyramid, retina=_name.endswith("RETINANET"))
    BACKBONES.register(_name, _build)


def build_backbone(config: Config, *, norms: Mapping[str, Any] = NORMS) -> Backbone:
    """The backbone that a configuration describes.

    Args:
        config: checked first.
        norms: what the names of norms stand for; see `Stages`.

    Raises:
        TypeError: config is no `Config`.
        ValueError: a value does not fit; the text names its key.
    """
    if not isinstance(config, Config):
        raise TypeError(
            f"build_backbone: expected a Config, got a {type(config).__name__}; make one with "
            "Config.from_yaml(path) or Config.from_dict(values)"
        )
    config.check()
    for key, name, registry in [
        ("MODEL.BACKBONE.CONV_BODY", config.MODEL.BACKBONE.CONV_BODY, BACKBONES),
        ("MODEL.RESNETS.STEM_FUNC", config.MODEL.RESNETS.STEM_FUNC, STEMS),
        ("MODEL.RESNETS.TRANS_FUNC", config.MODEL.RESNETS.TRANS_FUNC, BLOCKS),
    ]:
        if name not in registry:
            raise ValueError(f"{key}: {registry.missing(name)}")
    return BACKBONES[config.MODEL.BACKBONE.CONV_BODY](config, norms)
