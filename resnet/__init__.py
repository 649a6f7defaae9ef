"""ResNet as maskrcnn-benchmark builds it, on the kernels of `_ext.kernels`."""

from __future__ import annotations

from resnet.blocks import Bottleneck, Stem
from resnet.layers import FrozenBatchNorm2d
from resnet.model import ResNet, build_resnet
from resnet.ops import frozen_batch_norm, nms, roi_align
from resnet.stages import STAGE_SPECS, StageSpec

__all__ = [
    "STAGE_SPECS",
    "Bottleneck",
    "FrozenBatchNorm2d",
    "ResNet",
    "StageSpec",
    "Stem",
    "build_resnet",
    "frozen_batch_norm",
    "nms",
    "roi_align",
]
