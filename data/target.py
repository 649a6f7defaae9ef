"""What a detection set knows of an image: boxes, labels and masks that follow the image's geometry."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from data.masks import Bitmaps, Polygons


@dataclass(frozen=True)
class Target:
    """Boxes of one image with what belongs to each.

    Attributes:
        size: height and width of the image, in this order.
        boxes: (N, 4) float32: x1, y1, x2, y2 in pixels.
        labels: (N) int64.
        masks: N instance masks, or None.
        fields: whatever else has N rows that a tensor may choose: tensors, arrays, masks, by name. Their rows are
            chosen with the boxes; what they hold stays as it is when the image is resized, flipped or cropped,
            coordinates, too.
        plus_one: 0: x2 is where the box ends. 1: x2 is its last pixel, as in maskrcnn-benchmark.
    """

    size: tuple[int, int]
    boxes: torch.Tensor
    labels: torch.Tensor
    masks: Bitmaps | Polygons | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    plus_one: int = 0

    def __post_init__(self) -> None:
        for name, values in {"boxes": self.boxes, "labels": self.labels}.items():
            if not isinstance(values, torch.Tensor):
                raise TypeError(
                    f"Target: {name} must be a tensor, got a {type(values).__name__}; torch.as_tensor makes one of it"
                )
        for name, values in self.fields.items():
            if isinstance(values, (list, tuple)):  # whose rows no tensor chooses
                raise TypeError(
                    f"Target: field {name!r} must be a tensor or an array with a row for each box, got a "
                    f"{type(values).__name__}; np.array makes one of it"
                )
        if self.boxes.dim() != 2 or self.boxes.shape[1] != 4:
            raise ValueError(f"Target: boxes must be (N, 4), got {tuple(self.boxes.shape)}")
        if self.labels.dim() == 0:
            raise ValueError("Target: labels must be (N), got ()")
        if not self.boxes.is_floating_point():  # of which a resize would round its factors
            raise TypeError(
                f"Target: boxes must be of a floating-point type, got {self.boxes.dtype}; convert them with .float()"
            )
        rows = {"labels": self.labels, "masks": self.masks, **self.fields}
        for name, values in rows.items():
            if values is not None and len(values) != len(self.boxes):
                raise ValueError(
                    f"Target: {name} must have a row for each of the {len(self.boxes)} boxes, "
                    f"got {len(values)}"
                )
        if isinstance(self.masks, (torch.Tensor, np.ndarray, list)):
            raise TypeError(
                "Target: masks must be data.masks.Bitmaps(tensor) or Polygons(lists, size), which follow the image, "
                f"got a {type(self.masks).__name__}"
            )
        if self.masks is not None and tuple(self.masks.size) != tuple(self.size):
            raise ValueError(
                f"Target: masks must have the image's height and width {tuple(self.size)}, "
                f"got {tuple(self.masks.size)}"
            )

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, rows: torch.Tensor) -> Target:
        """The boxes that a mask or index tensor selects."""
        return replace(
            self,
            boxes=self.boxes[rows],
            labels=self.labels[rows],
            masks=None if self.masks is None else self.masks[rows],
            fields={name: values[rows] for name, values in self.fields.items()},
        )

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Target:
        """With its tensors on another device; polygons and arrays stay where they are."""

        def moved(values: Any) -> Any:
            movable = isinstance(values, (torch.Tensor, Bitmaps))
            return values.to(device, non_blocking=non_blocking) if movable else values

        return replace(
            self,
            boxes=moved(self.boxes),
            labels=moved(self.labels),
            masks=moved(self.masks),
            fields={name: moved(values) for name, values in self.fields.items()},
        )

    def resize(self, size: tuple[int, int]) -> Target:
        """For the image resized to height and width `size`."""
        x, y = size[1] / self.size[1], size[0] / self.size[0]
        masks = None if self.masks is None else self.masks.resize(size)
        boxes = self.boxes * self.boxes.new_tensor([x, y, x, y])
        return replace(self, size=size, boxes=boxes, masks=masks)

    def flip_horizontal(self) -> Target:
        x1, y1, x2, y2 = self.boxes.unbind(1)
        end = self.size[1] - self.plus_one
        masks = None if self.masks is None else self.masks.flip_horizontal()
        return replace(self, boxes=torch.stack([end - x2, y1, end - x1, y2], 1), masks=masks)

    def flip_vertical(self) -> Target:
        """(maskrcnn-benchmark leaves out its plus one here, and shifts the boxes by a pixel.)"""
        x1, y1, x2, y2 = self.boxes.unbind(1)
        end = self.size[0] - self.plus_one
        masks = None if self.masks is None else self.masks.flip_vertical()
        return replace(self, boxes=torch.stack([x1, end - y2, x2, end - y1], 1), masks=masks)

    def crop(self, top: int, left: int, height: int, width: int) -> Target:
        """For a part of the image; boxes are clipped, and those outside of it removed."""
        boxes = self.boxes - self.boxes.new_tensor([left, top, left, top])
        masks = None if self.masks is None else self.masks.crop(top, left, height, width)
        return replace(self, size=(height, width), boxes=boxes, masks=masks).clip()

    def clip(self) -> Target:
        """Boxes cut off at the image's borders; those without area are removed."""
        x1, y1, x2, y2 = self.boxes.unbind(1)
        height, width = (length - self.plus_one for length in self.size)
        boxes = torch.stack(
            [x1.clamp(0, width), y1.clamp(0, height), x2.clamp(0, width), y2.clamp(0, height)], 1
        )
        return replace(self, boxes=boxes)[(boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])]
