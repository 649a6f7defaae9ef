"""Boxes around what stands out in an image: what self-check and demo have for lack of a detector."""

from __future__ import annotations

import torch
from torch import nn

from resnet.ops import nms, roi_align

SIZES = (72, 104, 144, 200)  # pixels
RATIOS = (0.6, 1.0, 1.6)  # height / width
STEP = 16
THRESHOLD = 0.1  # of the NMS


def see_edges(stem: nn.Module) -> None:
    """Takes the mean out of an untrained stem's filters: they then answer to edges, not brightness."""
    with torch.no_grad():
        weight = stem.conv1.weight
        weight -= weight.mean((1, 2, 3), keepdim=True)


def anchors(height: int, width: int) -> torch.Tensor:
    """Boxes (K, 4) of all sizes and ratios at every STEP pixels that lie within an image."""
    y = torch.arange(0, height, STEP, dtype=torch.float32)
    x = torch.arange(0, width, STEP, dtype=torch.float32)
    sizes, ratios = torch.tensor(SIZES), torch.tensor(RATIOS)
    heights = (sizes[:, None] * ratios.sqrt()).flatten()
    widths = (sizes[:, None] / ratios.sqrt()).flatten()
    centre_y, centre_x, number = torch.meshgrid(
        y, x, torch.arange(float(len(heights))), indexing="ij"
    )
    number = number.long()
    half_h, half_w = heights[number] / 2, widths[number] / 2
    boxes = torch.stack(
        [centre_x - half_w, centre_y - half_h, centre_x + half_w, centre_y + half_h], -1
    ).view(-1, 4)
    within = (
        (boxes[:, 0] >= 0) & (boxes[:, 1] >= 0) & (boxes[:, 2] <= width) & (boxes[:, 3] <= height)
    )
    return boxes[within]


def score_boxes(
    features: torch.Tensor, size: tuple[int, int], stride: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes (K, 4) in pixels, and scores (K): how much stronger features are within than around them.

    Args:
        features: (1, C, h, w) of one image.
        size: height and width of the image without padding, in pixels.
        stride: pixels per feature.
    """
    strength = features.mean(1, keepdim=True)
    boxes = anchors(*size)
    centres, halves = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    around = torch.cat([centres - 1.4 * halves, centres + 1.4 * halves], 1)
    index = boxes.new_zeros(len(boxes), 1)
    means = [
        roi_align(strength, torch.cat([index, regions], 1), 7, 1 / stride, aligned=True).mean(
            (1, 2, 3)
        )
        for regions in (boxes, around)
    ]
    return boxes, means[0] - means[1]


def propose(
    features: torch.Tensor, size: tuple[int, int], stride: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`score_boxes`, and the row numbers of those that NMS kept, best first."""
    boxes, scores = score_boxes(features, size, stride)
    return boxes, scores, nms(boxes, scores, THRESHOLD)
