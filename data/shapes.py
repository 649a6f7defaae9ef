"""A detection set that needs no files: rectangles, discs and triangles with exact boxes and masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from data.checks import check_each, check_whole
from data.dataset import DetectionDataset, ImageDataset
from data.masks import Bitmaps
from data.target import Target


def _inside(kind: int, centre: np.ndarray, reach: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: the pixels whose centre is in the shape around `centre`; (y, x) in pixels."""
    y, x = np.ogrid[: size[0], : size[1]]
    v, u = (y + 0.5 - centre[0]) / reach[0], (x + 0.5 - centre[1]) / reach[1]
    if kind == 0:
        return (np.abs(u) <= 1) & (np.abs(v) <= 1)
    if kind == 1:
        return u * u + v * v <= 1
    return (v <= 1) & (2 * np.abs(u) <= v + 1)


class Shapes(ImageDataset, DetectionDataset):
    """Images of coloured shapes on noise, the same for the same seed and index.

    A shape hides what lies below it: masks are what is seen, boxes the least that hold them
    (x2 and y2 are where a box ends). Shapes of which less than half is seen are not in the target.
    Labels are 1 rectangle, 2 disc (ellipse), 3 triangle.

    Args:
        length: how many images.
        size: height and width; every other image is upright, with the two exchanged.
        most: shapes in an image, at most; at least one.
        seed: of the whole set.
        **options: of `ImageDataset`.
    """

    classes = ("background", "rectangle", "disc", "triangle")

    def __init__(
        self,
        length: int = 1000,
        size: tuple[int, int] = (240, 320),
        most: int = 6,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        check_whole("Shapes: length", length, 0)
        check_whole("Shapes: most", most, 1)
        check_each("Shapes: size", size, "(height, width)")
        for axis in size:
            check_whole("Shapes: size", axis, 16)
        self.length, self.size, self.most, self.seed = length, size, most, seed

    def get_img_info(self, index: int) -> dict[str, int]:
        height, width = self.size if index % 2 == 0 else self.size[::-1]
        return {"height": height, "width": width}

    def read(self, index: int) -> tuple[np.ndarray, Target]:
        if not 0 <= index < self.length:
            raise IndexError(f"Shapes: index {index} is not in 0..{self.length - 1}")
        info = self.get_img_info(index)
        size = (info["height"], info["width"])
        rng = np.random.default_rng((self.seed, index))
        pixels = rng.integers(96, 160, (*size, 3), dtype=np.uint8)
        owner = np.full(size, -1)  # the shape that is seen at a pixel
        kinds, areas = [], []
        for number in range(rng.integers(1, self.most + 1)):
            reach = rng.uniform(0.08, 0.25, 2) * min(size)
            centre = rng.uniform(reach, np.array(size) - reach)
            kinds.append(int(rng.integers(3)))
            inside = _inside(kinds[-1], centre, reach, size)
            areas.append(int(inside.sum()))
            owner[inside] = number
            dark_or_bright = rng.choice([(0, 64), (192, 256)], 3)
            pixels[inside] = [rng.integers(*limits) for limits in dark_or_bright]
        seen = np.arange(len(kinds))[:, None, None] == owner
        kept = seen.sum((1, 2)) * 2 >= np.array(areas)
        rows, columns = seen[kept].any(2), seen[kept].any(1)
        boxes = np.stack(
            [
                columns.argmax(1),
                rows.argmax(1),
                size[1] - columns[:, ::-1].argmax(1),
                size[0] - rows[:, ::-1].argmax(1),
            ],
            1,
        )
        return pixels, Target(
            size,
            torch.from_numpy(boxes.astype(np.float32)),
            torch.from_numpy(np.array(kinds)[kept] + 1),
            Bitmaps(torch.from_numpy(seen[kept])),
        )

    def __len__(self) -> int:
        return self.length
