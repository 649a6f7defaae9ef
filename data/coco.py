"""COCO's detection format: images in a folder, and a JSON file with their boxes and masks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data.dataset import DetectionDataset, ImageDataset
from data.files import ImageFileError, JpegFile, open_rgb
from data.masks import LARGEST, Bitmaps, Polygons
from data.target import Target


def _is_id(value: Any) -> bool:
    return isinstance(value, (int, str))


def _is_length(value: Any) -> bool:
    """Of a side of an image; 48.0 is one, too, as some programs write it."""
    return isinstance(value, (int, float)) and 1 <= value < LARGEST and value == int(value)


# What each entry of a part of the file must have. Of annotations there are a million: what they say is looked at
# where it is used.
PARTS: dict[str, dict[str, tuple[Callable[[Any], bool] | None, str]]] = {
    "images": {
        "id": (_is_id, "a number or a text"),
        "file_name": (lambda value: isinstance(value, str), "a text"),
        "height": (_is_length, "a whole number of pixels"),
        "width": (_is_length, "a whole number of pixels"),
    },
    "annotations": dict.fromkeys(("id", "image_id", "category_id", "bbox"), (None, "")),
    "categories": {"id": (_is_id, "a number or a text"), "name": (None, "")},
}


def _parts_of(path: Path) -> dict[str, Any]:
    """What a COCO file says, whose parts have entries with all of their keys.

    Raises:
        ValueError: it is no such file.
    """
    try:
        contents = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: expected a COCO file in JSON, got: {error}") from error
    if isinstance(contents, dict):
        contents.setdefault("annotations", [])
    for part, keys in PARTS.items():
        if not isinstance(contents, dict) or not isinstance(contents.get(part), list):
            raise ValueError(f"{path}: expected a COCO file with a list {part!r}")
        for entry in contents[part]:
            if not isinstance(entry, dict) or not entry.keys() >= keys.keys():
                raise ValueError(f"{path}: expected {part} with {', '.join(keys)}, got {entry}")
    return contents


def _is_numbers(values: Any) -> bool:
    """Whether this is a list of finite numbers of pixels."""
    return isinstance(values, list) and all(
        isinstance(value, (int, float)) and -LARGEST < value < LARGEST for value in values
    )


def _decompressed(text: str) -> list[int] | None:
    """The counts in pycocotools' text, or None if it is none.

    Each count is written five bits to a character, the lowest first, as a difference from the one two before it
    from the fourth on (maskApi.c, rleToString).
    """
    counts: list[int] = []
    number, shift = 0, 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            return None
        number |= (bits & 31) << shift
        shift += 5
        if bits & 32:  # more of it follows
            continue
        if bits & 16:
            number -= 1 << shift
        counts.append(number + counts[-2] if len(counts) > 2 else number)
        number, shift = 0, 0
    return counts if shift == 0 else None


def _has_segmentation(entry: dict[str, Any]) -> bool:
    """Whether an annotation says more than its box."""
    segmentation = entry.get("segmentation")
    return any(segmentation) if isinstance(segmentation, list) else segmentation is not None


class CocoDetection(ImageDataset, DetectionDataset):
    """Boxes, labels and masks of a COCO annotation file.

    Labels are 1..K in the order of the category ids: `labels[i]` of a target is
    `contiguous_ids[category_id]`, and `category_ids` leads back. Regions of crowds are left out.
    Boxes are clipped to the image; those without area are removed, and polygons of fewer than three
    points. A file without annotations, such as that of test-dev, gives empty targets. Where an object has
    no segmentation (null, or a list of nothing, which programs write that know boxes alone), its image has no masks.

    Args:
        folder: of the images.
        annotations: the JSON file.
        remove_empty: leave out images of which no box is wider and higher than a pixel, as in
            training. Boxes count as they stand in the file, before they are clipped; crowds do not.
        masks: read the segmentations.
        plus_one: boxes in maskrcnn-benchmark's convention; see `Target`.
        **options: of `ImageDataset`.

    Raises:
        ValueError: the file is no JSON, lacks a part, refers to an id that it does not define, or has a
            box or polygon that is none.
    """

    def __init__(
        self,
        folder: str | Path,
        annotations: str | Path,
        *,
        remove_empty: bool = False,
        masks: bool = True,
        plus_one: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.folder, self.annotations = Path(folder), Path(annotations)
        self.masks, self.plus_one = masks, int(plus_one)
        contents = _parts_of(self.annotations)
        categories = self._by_id("categories", contents["categories"])
        self.categories = {number: entry["name"] for number, entry in categories.items()}
        self.category_ids = sorted(self.categories)
        self.contiguous_ids = {number: i + 1 for i, number in enumerate(self.category_ids)}
        images = self._by_id("images", contents["images"])
        for image in images.values():
            image.update(height=int(image["height"]), width=int(image["width"]))
        self._objects: dict[int, list[dict[str, Any]]] = {number: [] for number in images}
        for entry in contents["annotations"]:
            for key, known in [("image_id", images), ("category_id", self.categories)]:
                if not _is_id(entry[key]) or entry[key] not in known:
                    raise ValueError(
                        f"{self.annotations}: annotation {entry['id']} has the {key} "
                        f"{entry[key]!r}, which the file does not define"
                    )
            self._check(entry)
            if not entry.get("iscrowd", 0):
                self._objects[entry["image_id"]].append(entry)
        self.images = [
            images[number]
            for number in sorted(images)
            if not remove_empty
            or any(min(entry["bbox"][2:]) > 1 for entry in self._objects[number])
        ]

    def _by_id(self, part: str, entries: list[dict[str, Any]]) -> dict[Any, dict[str, Any]]:
        """The entries of a part of the file by their ids, which are of one kind and each of one entry."""
        by_id: dict[Any, dict[str, Any]] = {}
        for entry in entries:
            for key, (fits, text) in PARTS[part].items():
                if fits is not None and not fits(entry[key]):
                    raise ValueError(
                        f"{self.annotations}: expected {part} whose {key} is {text}, got {entry}"
                    )
            other = by_id.setdefault(entry["id"], entry)
            if other != entry:  # of two images, one would be lost, and its boxes be the other's
                raise ValueError(
                    f"{self.annotations}: expected {part} with an id for each, got {other} and {entry}"
                )
        kinds = sorted({type(number).__name__ for number in by_id})
        if len(kinds) > 1:  # which have no order
            raise ValueError(
                f"{self.annotations}: expected {part} with ids of one kind, got {' and '.join(kinds)}"
            )
        return by_id

    def _check(self, entry: dict[str, Any]) -> None:
        """An annotation's box and polygons."""
        if not _is_numbers(entry["bbox"]) or len(entry["bbox"]) != 4:
            raise ValueError(
                f"{self.annotations}: annotation {entry['id']}: expected a bbox of four finite numbers "
                f"x, y, width, height, got {entry['bbox']}"
            )
        segmentation = entry.get("segmentation")
        for polygon in segmentation if self.masks and isinstance(segmentation, list) else []:
            if not _is_numbers(polygon) or len(polygon) % 2:
                raise ValueError(
                    f"{self.annotations}: annotation {entry['id']}: expected polygons of finite numbers "
                    f"[[x0, y0, x1, y1, ...], ...], got {polygon} among them"
                )

    def get_img_info(self, index: int) -> dict[str, Any]:
        """The image's entry in the file: height, width, file_name, id ..."""
        return self.images[index]

    def read(self, index: int) -> tuple[np.ndarray | JpegFile, Target]:
        info = self.images[index]
        path = self.folder / info["file_name"]
        pixels = open_rgb(path)
        size = (info["height"], info["width"])
        got = pixels.shape[:2]
        if got != size:
            turned = "; if Exif's orientation turned it, remove that from the file, or annotate what is seen"
            raise ImageFileError(
                f"{path}: expected {size[0]} x {size[1]} (height x width) as in "
                f"{self.annotations.name}, got {got[0]} x {got[1]}{turned if got == size[::-1] else ''}"
            )
        return pixels, self.target(index)

    def target(self, index: int) -> Target:
        """The boxes of image number `index`, without opening it."""
        info = self.images[index]
        objects, size = self._objects[info["id"]], (info["height"], info["width"])
        corners = [entry["bbox"] for entry in objects]
        boxes = torch.tensor(corners, dtype=torch.float32, device="cpu").reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2] - self.plus_one
        labels = [self.contiguous_ids[entry["category_id"]] for entry in objects]
        masks = None
        if self.masks and all(map(_has_segmentation, objects)):
            masks = self._masks(objects, size)
        return Target(
            size,
            boxes,
            torch.tensor(labels, dtype=torch.int64, device="cpu"),
            masks,
            plus_one=self.plus_one,
        ).clip()

    def _masks(self, objects: list[dict[str, Any]], size: tuple[int, int]) -> Polygons | Bitmaps:
        segmentations = [entry["segmentation"] for entry in objects]
        if all(isinstance(segmentation, list) for segmentation in segmentations):
            return Polygons(segmentations, size)
        bitmaps = [
            Polygons([segmentation], size).bitmaps()[0]
            if isinstance(segmentation, list)
            else torch.from_numpy(self._decoded(entry["id"], segmentation, size))
            for entry, segmentation in zip(objects, segmentations, strict=True)
        ]
        return Bitmaps(torch.stack(bitmaps))

    def _decoded(self, number: Any, rle: Any, size: tuple[int, int]) -> np.ndarray:
        """(H, W) uint8 of run lengths, which go down the columns and begin with zeros."""
        where = f"{self.annotations}: annotation {number}"
        if not isinstance(rle, dict) or not rle.keys() >= {"size", "counts"}:
            raise ValueError(
                f"{where}: expected polygons or a mask with size and counts, got {rle}"
            )
        if rle["size"] != list(size):
            raise ValueError(f"{where}: a mask of {rle['size']} for an image of {size}")
        given = rle["counts"]
        counts = _decompressed(given) if isinstance(given, str) else given
        numbers = counts if isinstance(counts, list) else [-1]
        fit = all(isinstance(number, int) and number >= 0 for number in numbers)
        if not fit or sum(numbers) != size[0] * size[1]:
            raise ValueError(
                f"{where}: expected counts of {size[0] * size[1]} pixels, as a list or compressed, got {given!r}"
            )
        # bytes before they are repeated: integers would be eight times the mask
        ones = (np.arange(len(numbers)) % 2).astype(np.uint8)
        return np.repeat(ones, numbers).reshape(size[::-1]).T

    def __len__(self) -> int:
        return len(self.images)
