"""Instance masks, as bitmaps or as polygons, that follow their image through resizing, flips and crops."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch

# Of a polygon's coordinates, in pixels: pycocotools walks along the edges, and for ever where an int overflows.
LARGEST = 1e6


class Bitmaps:
    """N masks of one image.

    Args:
        bitmaps: (N, H, W) uint8 or bool, 1 where the instance is.

    Raises:
        TypeError: it is no tensor.
        ValueError: another shape, or other values than 0 and 1.
    """

    def __init__(self, bitmaps: torch.Tensor) -> None:
        if not isinstance(bitmaps, torch.Tensor):
            raise TypeError(
                f"Bitmaps: expected a tensor, got a {type(bitmaps).__name__}; torch.as_tensor makes one of it"
            )
        if bitmaps.dim() != 3:
            raise ValueError(f"Bitmaps: expected (N, H, W), got {tuple(bitmaps.shape)}")
        self.masks = bitmaps.to(torch.uint8)
        kept = bitmaps.dtype in (torch.bool, torch.uint8) or bool((self.masks == bitmaps).all())
        if not kept or (self.masks.numel() and self.masks.max() > 1):
            raise ValueError(
                f"Bitmaps: expected 0 and 1, got values from {bitmaps.min():g} to {bitmaps.max():g}; say which are "
                "the instance's, as in bitmaps > 127"
            )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.masks.shape[1], self.masks.shape[2]

    def __len__(self) -> int:
        return len(self.masks)

    def __getitem__(self, rows: torch.Tensor) -> Bitmaps:
        return Bitmaps(self.masks[rows])

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Bitmaps:
        return Bitmaps(self.masks.to(device, non_blocking=non_blocking))

    def resize(self, size: tuple[int, int]) -> Bitmaps:
        """Bilinear, at least half covered. (The reference cuts off there, so masks lose their rim.)"""
        if len(self) == 0:
            return Bitmaps(self.masks.new_zeros(0, *size))
        # one at a time: floats of all are so much new memory that its page faults take most of the time
        interpolate = partial(torch.nn.functional.interpolate, size=size, mode="bilinear")
        grown = [interpolate(mask[None, None].float())[0, 0] >= 0.5 for mask in self.masks]
        return Bitmaps(torch.stack(grown))

    def flip_horizontal(self) -> Bitmaps:
        return Bitmaps(self.masks.flip(2))

    def flip_vertical(self) -> Bitmaps:
        return Bitmaps(self.masks.flip(1))

    def crop(self, top: int, left: int, height: int, width: int) -> Bitmaps:
        return Bitmaps(self.masks[:, top : top + height, left : left + width])

    def bitmaps(self) -> torch.Tensor:
        """(N, H, W) uint8."""
        return self.masks


class Polygons:
    """N instances of one image, each the union of polygons.

    Args:
        polygons: for each instance a list of polygons, each x0, y0, x1, y1, ... in pixels, where
            (0, 0) is the outer corner of the first pixel. One of fewer than three points covers nothing.
        size: height and width of the image.

    Raises:
        ValueError: an odd number of coordinates.
    """

    def __init__(
        self, polygons: Sequence[Sequence[np.ndarray | Sequence[float]]], size: tuple[int, int]
    ) -> None:
        self.polygons = [[_points(polygon) for polygon in instance] for instance in polygons]
        self.size = size

    def __len__(self) -> int:
        return len(self.polygons)

    def __getitem__(self, rows: torch.Tensor) -> Polygons:
        numbers = torch.arange(len(self), device="cpu")[rows].tolist()
        return Polygons([self.polygons[number] for number in numbers], self.size)

    def _mapped(self, scale: np.ndarray, shift: np.ndarray, size: tuple[int, int]) -> Polygons:
        mapped = [[polygon * scale + shift for polygon in instance] for instance in self.polygons]
        return Polygons(mapped, size)

    def resize(self, size: tuple[int, int]) -> Polygons:
        scale = np.array([size[1] / self.size[1], size[0] / self.size[0]])
        return self._mapped(scale, np.zeros(2), size)

    def flip_horizontal(self) -> Polygons:
        return self._mapped(np.array([-1.0, 1.0]), np.array([self.size[1], 0.0]), self.size)

    def flip_vertical(self) -> Polygons:
        return self._mapped(np.array([1.0, -1.0]), np.array([0.0, self.size[0]]), self.size)

    def crop(self, top: int, left: int, height: int, width: int) -> Polygons:
        """What sticks out is kept; `bitmaps` cuts it off."""
        return self._mapped(np.ones(2), np.array([-left, -top], np.float64), (height, width))

    def bitmaps(self) -> torch.Tensor:
        """(N, H, W) uint8: pixels whose centre is inside; where pycocotools is installed, what that takes for them.

        It may differ by pixels that an edge passes through.
        """
        masks = torch.zeros(len(self), *self.size, dtype=torch.uint8, device="cpu")
        for mask, instance in zip(masks, self.polygons, strict=True):
            mask[:] = torch.from_numpy(_drawn(instance, self.size))
        return masks


def _points(polygon: np.ndarray | Sequence[float]) -> np.ndarray:
    """(N, 2) float64: x, y."""
    points = np.asarray(polygon, np.float64)
    if points.size % 2:
        raise ValueError(
            f"Polygons: expected pairs of coordinates x0, y0, x1, y1, ..., got {points.size} numbers"
        )
    return points.reshape(-1, 2)


def _drawn(polygons: Sequence[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """The union of polygons as a bitmap."""
    polygons = [polygon for polygon in polygons if len(polygon) >= 3]
    for polygon in polygons:
        if not (np.abs(polygon) < LARGEST).all():
            raise ValueError(
                f"Polygons: expected coordinates below {LARGEST:g} pixels, got {polygon.tolist()}"
            )
    try:
        from pycocotools import mask as coco_mask
    except ModuleNotFoundError:
        drawn = np.zeros(size, np.uint8)
        for polygon in polygons:
            drawn |= _inside(polygon, size)
        return drawn
    flat = [polygon.reshape(-1).tolist() for polygon in polygons]
    if not flat:
        return np.zeros(size, np.uint8)
    return coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(flat, *size)))


def _inside(polygon: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) uint8: 1 where a pixel's centre has an odd number of the polygon's edges to its left."""
    (x, y), (next_x, next_y) = polygon.T, np.roll(polygon, -1, axis=0).T
    centres = np.arange(size[0])[:, None] + 0.5
    crosses = (y <= centres) != (next_y <= centres)  # (H, edges): edges that cross a row of centres
    row, edge = crosses.nonzero()
    slope = (next_x - x)[edge] / (next_y - y)[edge]
    at = x[edge] + (row + 0.5 - y[edge]) * slope
    column = np.ceil(at - 0.5)  # the first whose centre is not left of the edge
    crossed = np.zeros((size[0], size[1] + 1), np.uint8)
    np.add.at(crossed, (row, column.clip(0, size[1]).astype(int)), 1)
    return np.cumsum(crossed, axis=1, dtype=np.uint8)[:, :-1] & 1
