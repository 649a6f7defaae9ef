"""ROIAlign over the levels of a feature pyramid: each region is taken from the level that fits its size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from resnet.ops import roi_align
from resnet.ops.boxes import check_boxes


class LevelMapper:
    """Boxes -> the index of their level: floor(4 + log2(sqrt(area) / 224 + 1e-6)), clamped (Lin et al., FPN, 2017).

    Args:
        k_min: number of the first level; 2 for stride 4.
        k_max: number of the last one.
        canonical_scale: size in pixels of a box of the canonical level.
        canonical_level: its number.
        eps: keeps the logarithm of empty boxes finite.
        plus_one: count pixels as older code did: a box is x2 - x1 + 1 wide.
    """

    def __init__(
        self,
        k_min: int,
        k_max: int,
        canonical_scale: float = 224,
        canonical_level: int = 4,
        eps: float = 1e-6,
        plus_one: bool = False,
    ) -> None:
        if k_min > k_max:
            raise ValueError(f"LevelMapper: k_min must not exceed k_max, got {k_min} and {k_max}")
        self.k_min, self.k_max = k_min, k_max
        self.canonical_scale, self.canonical_level, self.eps = canonical_scale, canonical_level, eps
        self.extra = 1.0 if plus_one else 0.0

    def __call__(self, boxes: torch.Tensor) -> torch.Tensor:
        """(K, 4) boxes -> (K) int64 in 0..k_max - k_min. A box that is turned inside out counts as empty."""
        # areas of more than 256 x 256 pixels are infinite in half precision
        boxes = boxes.to(torch.promote_types(boxes.dtype, torch.float32))
        sides = (boxes[:, 2:] - boxes[:, :2] + self.extra).clamp_min(0)
        size = (sides[:, 0] * sides[:, 1]).sqrt()
        level = torch.floor(
            self.canonical_level + torch.log2(size / self.canonical_scale + self.eps)
        )
        return level.nan_to_num(self.k_min).clamp(self.k_min, self.k_max).long() - self.k_min


class Pooler(nn.Module):
    """Regions of several images -> their features, from the levels that `LevelMapper` says.

    Args:
        output_size: height and width of a region in the result, or one number for both.
        scales: of the levels, the largest first: 1/4, 1/8, ... each half of the one before.
        sampling_ratio: see `resnet.ops.roi_align`.
        aligned: likewise.
        canonical_scale, canonical_level: see `LevelMapper`.
        plus_one: likewise.
    """

    def __init__(
        self,
        output_size: int | tuple[int, int],
        scales: Sequence[float],
        sampling_ratio: int,
        *,
        aligned: bool = False,
        canonical_scale: float = 224,
        canonical_level: int = 4,
        plus_one: bool = False,
    ) -> None:
        super().__init__()
        try:
            levels = [-math.log2(scale) for scale in scales]
        except (TypeError, ValueError):
            levels = []
        if not levels or levels != [levels[0] + i for i in range(len(levels))] or levels[0] % 1:
            raise ValueError(
                f"Pooler: scales must be powers of two, each half of the one before, got {scales!r}"
            )
        self.output_size, self.scales = output_size, list(scales)
        self.sampling_ratio, self.aligned = sampling_ratio, aligned
        self.map_levels = LevelMapper(
            int(levels[0]), int(levels[-1]), canonical_scale, canonical_level, plus_one=plus_one
        )

    def forward(
        self, features: Sequence[torch.Tensor], boxes: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        """The regions of all images, one image after the other: (sum of K_i, C, height, width).

        Args:
            features: of each level, (N, C, H_l, W_l).
            boxes: of each image, (K_i, 4): x1, y1, x2, y2 in pixels.
        """
        if not isinstance(features, Sequence):  # one map, or what Backbone.named gives
            raise TypeError(
                "Pooler: expected a list of feature maps, one per scale, got a "
                f"{type(features).__name__}"
            )
        if len(features) != len(self.scales):
            raise ValueError(
                f"Pooler: expected {len(self.scales)} feature maps, one per scale, got {len(features)}"
            )
        if len(boxes) != features[0].shape[0]:
            raise ValueError(
                f"Pooler: expected boxes of {features[0].shape[0]} images, got {len(boxes)}"
            )
        for i, b in enumerate(boxes):
            check_boxes("Pooler", f"boxes[{i}]", b)
        # half precision has no numbers of images beyond 2048, bfloat16 none beyond 256
        boxes = [b.to(torch.promote_types(b.dtype, torch.float32)) for b in boxes]
        numbered = [torch.cat([torch.full_like(b[:, :1], i), b], 1) for i, b in enumerate(boxes)]
        rois = torch.cat(numbered) if numbered else features[0].new_empty(0, 5)
        settings = (self.sampling_ratio, self.aligned)
        if len(features) == 1:
            return roi_align(features[0], rois, self.output_size, self.scales[0], *settings)
        level = self.map_levels(rois[:, 1:])
        rows = [(level == i).nonzero()[:, 0] for i in range(len(features))]
        pooled = [
            roi_align(feature, rois[at], self.output_size, scale, *settings)
            for feature, at, scale in zip(features, rows, self.scales, strict=True)
        ]
        return torch.cat(pooled)[torch.cat(rows).argsort()]

    def extra_repr(self) -> str:
        return (
            f"output_size={self.output_size}, scales={self.scales}, "
            f"sampling_ratio={self.sampling_ratio}, aligned={self.aligned}"
        )
