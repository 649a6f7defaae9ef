"""ResNet as maskrcnn-benchmark builds it, on the kernels of `_ext.kernels`."""

from __future__ import annotations

from resnet.backbone import BACKBONES, Backbone, build_backbone
from resnet.blocks import BLOCKS, STEMS, BasicBlock, Bottleneck, Stem
from resnet.classifier import CLASSIFIERS, ResNetClassifier, build_classifier
from resnet.config import Config
from resnet.deformable import Deformable
from resnet.fpn import FPN, LastLevelMaxPool, LastLevelP6P7
from resnet.layers import FrozenBatchNorm2d
from resnet.model import ResNet, ResNetHead, build_resnet
from resnet.norms import NORMS
from resnet.ops import frozen_batch_norm, nms, roi_align
from resnet.registry import Registry
from resnet.stages import STAGE_SPECS, StageSpec
from resnet.weights import load_weights

__all__ = [
    "BACKBONES",
    "BLOCKS",
    "CLASSIFIERS",
    "FPN",
    "NORMS",
    "STAGE_SPECS",
    "STEMS",
    "Backbone",
    "BasicBlock",
    "Bottleneck",
    "Config",
    "Deformable",
    "FrozenBatchNorm2d",
    "LastLevelMaxPool",
    "LastLevelP6P7",
    "Registry",
    "ResNet",
    "ResNetClassifier",
    "ResNetHead",
    "StageSpec",
    "Stem",
    "build_backbone",
    "build_classifier",
    "build_resnet",
    "frozen_batch_norm",
    "load_weights",
    "nms",
    "roi_align",
]
