"""Each operator of resnet.ops with inputs to call it with, and the layouts and threads that tests of them go over."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from resnet import ops

# batch index, x1, y1, x2, y2: inside, over the border, outside, empty, turned inside out
ROIS = [
    [0, 0, 0, 20, 14],
    [1, 3.3, 2.1, 17.9, 12.4],
    [0, -9, -8, 7, 9],
    [1, 15, 10, 60, 41],
    [1, 5, 5, 5, 5],
    [0, 100, 100, 120, 120],
    [0, 12, 9, 4, 3],
]
LAYOUTS = ["contiguous", "channels_last", "strided", "sliced channels", "sliced columns"]


def laid_out(tensor: torch.Tensor, layout: str) -> torch.Tensor:
    """The same (N, C, H, W) values in another layout of memory."""
    filler = math.nan if tensor.is_floating_point() else 77
    if layout == "channels_last":
        return tensor.clone(memory_format=torch.channels_last)
    if layout == "strided":
        n, c, h, w = tensor.shape
        room = tensor.new_full((n, c, 2 * h, 3 * w), filler)
        room[:, :, ::2, ::3] = tensor
        return room[:, :, ::2, ::3]
    if layout == "sliced channels":
        room = tensor.new_full((tensor.shape[0], tensor.shape[1] + 3, *tensor.shape[2:]), filler)
        room[:, 2:-1] = tensor
        return room[:, 2:-1]
    if layout == "sliced columns":
        return torch.nn.functional.pad(tensor, (2, 1), value=filler)[..., 2:-1]
    return tensor.clone(memory_format=torch.contiguous_format)


def by_threads(call: Callable[[], Any], *counts: int) -> list[Any]:
    """What a call gives with each of these numbers of threads."""
    results, before = [], torch.get_num_threads()
    try:
        for count in counts:
            torch.set_num_threads(count)
            results.append(call())
    finally:
        torch.set_num_threads(before)
    return results


class Case(NamedTuple):
    """A call of an operator: those of inputs that require gradients are to get them."""

    call: Callable[..., Any]
    inputs: list[torch.Tensor]


def some_boxes(count: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Boxes that overlap, among them two without area and two that are equal."""
    corners = torch.rand(count, 2, dtype=torch.float64) * 50
    boxes = torch.cat([corners, corners + 1 + torch.rand(count, 2, dtype=torch.float64) * 30], 1)
    boxes[1, 2:] = boxes[1, :2]
    boxes[2] = boxes[1]
    boxes[4] = boxes[3]
    return boxes.to(dtype)


def differentiable(dtype: torch.dtype = torch.float64) -> dict[str, Case]:
    """Every operator that has a backward, in the variants that take other ways through the code."""
    torch.manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, dtype=torch.float64).to(dtype).requires_grad_()

    rois = torch.tensor(ROIS, dtype=dtype)
    scale, bias = torch.randn(2, 3, dtype=torch.float64).to(dtype)
    x, residual = random(2, 3, 6, 7), random(2, 3, 6, 7)
    wide = random(2, 20, 6, 7)
    last = random(2, 20, 6, 7).detach().to(memory_format=torch.channels_last).requires_grad_()
    dense, classes = (
        torch.rand(6, 4, dtype=torch.float64).to(dtype),
        torch.tensor([0, 4, -1, 2, 1, 3]),
    )
    image, weight, bias_of = random(2, 4, 6, 5), random(6, 2, 3, 2), random(6)
    offset = random(2, 2 * 2 * 6, 3, 6)
    mask = torch.rand(2, 2 * 6, 3, 6, dtype=torch.float64).to(dtype).requires_grad_()
    # as model.to(memory_format=torch.channels_last) leaves them
    last_image, last_weight = (
        x.detach().to(memory_format=torch.channels_last).requires_grad_() for x in (image, weight)
    )

    parts, cells = random(7, 2 * 3, 2, 2), random(2, 3 * 4, 6, 7)
    bins = random(7, 2, 3, 3)

    def deform(image: Any, offset: Any, weight: Any, bias: Any, mask: Any = None) -> Any:
        return ops.deform_conv2d(image, offset, weight, bias, (2, 1), (1, 2), (1, 3), mask)

    return {
        "frozen_bn": Case(
            lambda x, r: ops.frozen_batch_norm(x, scale, bias, r, relu=True), [x, residual]
        ),
        "frozen_bn plain": Case(lambda x: ops.frozen_batch_norm(x, scale, bias), [x]),
        "roi_align": Case(lambda x, r: ops.roi_align(x, r, (2, 3), 0.5, 2, True), [x, rois]),
        "roi_align adaptive": Case(lambda x, r: ops.roi_align(x, r, (3, 2), 0.5), [wide, rois]),
        "roi_align channels_last": Case(lambda x, r: ops.roi_align(x, r, 2, 0.5), [last, rois]),
        "roi_pool": Case(lambda x, r: ops.roi_pool(x, r, (2, 3), 0.5), [x, rois]),
        "roi_pool wide": Case(lambda x, r: ops.roi_pool(x, r, (2, 3), 0.5), [wide, rois]),
        "roi_pool channels_last": Case(lambda x, r: ops.roi_pool(x, r, 2, 0.5), [last, rois]),
        "box_iou": Case(
            ops.box_iou, [b.requires_grad_() for b in some_boxes(12, dtype).split(5)[:2]]
        ),
        "box_iou plus_one": Case(
            lambda a, b: ops.box_iou(a, b, plus_one=True),
            [b.requires_grad_() for b in some_boxes(12, dtype).split(5)[:2]],
        ),
        "focal dense": Case(ops.sigmoid_focal_loss, [random(6, 4), dense]),
        "focal classes": Case(ops.sigmoid_focal_loss, [random(6, 4), classes]),
        "focal gamma": Case(
            lambda x, t: ops.sigmoid_focal_loss(x, t, -1, 1.5, "mean"), [random(6, 4), dense]
        ),
        "focal classes gamma": Case(
            lambda x, t: ops.sigmoid_focal_loss(x, t, 0.3, 0.0, "sum"), [random(6, 4), classes]
        ),
        "deform v1 channels_last": Case(deform, [last_image, offset, last_weight, bias_of]),
        "deform v2": Case(deform, [image, offset, weight, bias_of, mask]),
        "psroi": Case(
            lambda x, r, o: ops.deform_roi_pooling(x, r, o, 0.5, 3, 3, False, 2, 2, 2, 0.2),
            [cells, rois, parts],
        ),
        "psroi channels_last": Case(
            lambda x, r, o: ops.deform_roi_pooling(x, r, o, 0.5, 3, 20, False, trans_std=0.1),
            [last, rois, bins],
        ),
        "psroi no_trans": Case(
            lambda x, r: ops.deform_roi_pooling(x, r, None, 0.5, 2, 20, True), [wide, rois]
        ),
    }


def selections(dtype: torch.dtype = torch.float64) -> dict[str, Case]:
    """Every operator without a backward."""
    torch.manual_seed(0)
    boxes, scores = some_boxes(60, dtype), torch.rand(60, dtype=torch.float64).to(dtype)
    scores[7] = scores[5]
    groups = torch.arange(60) % 4 - 1
    return {
        "nms": Case(lambda b, s: ops.nms(b, s, 0.3), [boxes, scores]),
        "nms plus_one": Case(lambda b, s: ops.nms(b, s, 0.3, plus_one=True), [boxes, scores]),
        "batched_nms": Case(lambda b, s, g: ops.batched_nms(b, s, g, 0.3), [boxes, scores, groups]),
        "soft_nms linear": Case(lambda b, s: ops.soft_nms(b, s), [boxes, scores]),
        "soft_nms gaussian": Case(
            lambda b, s: ops.soft_nms(b, s, method="gaussian", score_threshold=0.1), [boxes, scores]
        ),
        "soft_nms hard": Case(
            lambda b, s: ops.soft_nms(b, s, method="hard", plus_one=True), [boxes, scores]
        ),
    }
