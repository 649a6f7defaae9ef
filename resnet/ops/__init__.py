"""Kernels as differentiable functions of tensors: what `resnet` computes by `_ext.kernels`, or by torch without it."""

from __future__ import annotations

from resnet.ops.boxes import batched_nms, box_iou, nms, soft_nms
from resnet.ops.deform import deform_conv2d
from resnet.ops.deform_pooling import deform_roi_pooling
from resnet.ops.loss import sigmoid_focal_loss
from resnet.ops.native import available, plain_torch
from resnet.ops.norm import frozen_batch_norm
from resnet.ops.pooling import roi_align, roi_pool

__all__ = [
    "available",
    "batched_nms",
    "box_iou",
    "deform_conv2d",
    "deform_roi_pooling",
    "frozen_batch_norm",
    "nms",
    "plain_torch",
    "roi_align",
    "roi_pool",
    "sigmoid_focal_loss",
    "soft_nms",
]
