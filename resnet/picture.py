"""The picture of self-check and demo: photographs with boxes, features as heat, ROIAlign's cuts."""

from __future__ import annotations

import argparse
import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from data import ImageList, read_rgb
from resnet.ops import roi_align

BOXES, LEAST = 8, 0.3  # at most so many boxes, none with less than this part of the best score
MARGIN, GAP = 28, 14
PHOTO_WIDTH, TILE_WIDTH, CROP = 690, 296, 170
LARGE, LABEL, SMALL = 30, 19, 15  # of letters
LINES, LINE = 5, 28  # of text beside a photograph, and the height of one
CAPTION = 26  # height of a text below a map
PAPER, INK, FAINT = (250, 249, 246), (28, 30, 34), (110, 114, 122)
# Colours that stay apart from each other and from most photographs.
COLOURS = ["#e6194b", "#ffe119", "#3cb4ff", "#f58231", "#42d4f4", "#f032e6", "#bfef45", "#ffffff"]
# Dark to bright, in even steps.
HEAT = np.array(
    [(8, 6, 30), (76, 16, 108), (170, 44, 100), (237, 105, 37), (252, 190, 60), (255, 253, 200)]
)


def heat(feature: torch.Tensor, width: int, height: int) -> Image.Image:
    """The mean over channels of (C, h, w) features as colours, 1st to 99th percentile."""
    strength = feature.mean(0).numpy()
    low, high = np.percentile(strength, [1, 99])
    level = np.clip((strength - low) / max(high - low, 1e-12), 0, 1) * (len(HEAT) - 1)
    below = np.minimum(level.astype(int), len(HEAT) - 2)
    part = (level - below)[..., None]
    colours = HEAT[below] * (1 - part) + HEAT[below + 1] * part
    return Image.fromarray(colours.astype(np.uint8)).resize(
        (width, height), Image.Resampling.NEAREST
    )


def crops(pixels: np.ndarray, boxes: torch.Tensor) -> list[Image.Image]:
    """The boxes' parts of a photograph, each resampled to CROP x CROP by ROIAlign."""
    planes = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    rois = torch.cat([boxes.new_zeros(len(boxes), 1), boxes], 1)
    cut = roi_align(planes, rois, CROP, aligned=True).round().clamp(0, 255).byte()
    return [Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()) for image in cut]


@functools.cache
def font(size: int) -> Any:
    return ImageFont.load_default(size)


class Layout(NamedTuple):
    """Heights beside a photograph, in pixels of the picture."""

    tile: int  # of a map of features
    lower: int  # where the second row of maps begins
    height: int  # of it all


def layout(height: int, width: int) -> Layout:
    """Of a photograph of this size: the second row of maps ends with it, unless it is too wide for two rows."""
    photo, tile = PHOTO_WIDTH * height // width, TILE_WIDTH * height // width
    lower = max(photo - tile - CAPTION, tile + CAPTION)
    return Layout(tile, lower, max(photo, lower + max(tile + CAPTION, LINES * LINE)))


def draw_number(pen: ImageDraw.ImageDraw, rank: int, x: float, y: float) -> None:
    """The number of a box, on its colour, in the box's upper left corner."""
    pen.rectangle((x, y, x + 24, y + 26), fill=COLOURS[rank])
    pen.text((x + 12, y + 13), str(rank + 1), INK, font(LABEL), anchor="mm")


def draw_photo(
    canvas: Image.Image,
    pixels: np.ndarray,
    size: tuple[int, int],
    boxes: torch.Tensor,
    top: int,
) -> None:
    """A photograph with its boxes (K, 4), the best first, in the pixels of an image of this size."""
    pen, (height, width) = ImageDraw.Draw(canvas), size
    photo = Image.fromarray(pixels).resize(
        (PHOTO_WIDTH, PHOTO_WIDTH * height // width), Image.Resampling.LANCZOS
    )
    canvas.paste(photo, (MARGIN, top))
    corners = boxes * (PHOTO_WIDTH / width) + boxes.new_tensor([MARGIN, top, MARGIN, top])
    for rank, (x1, y1, x2, y2) in reversed(list(enumerate(corners.tolist()))):
        pen.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline=INK, width=5)
        pen.rectangle((x1, y1, x2, y2), outline=COLOURS[rank], width=3)
    for rank, (x1, y1, _, _) in reversed(list(enumerate(corners.tolist()))):
        draw_number(pen, rank, x1, y1)


def draw_features(
    canvas: Image.Image,
    features: Sequence[tuple[str, torch.Tensor]],
    tile_height: int,
    top: int,
    lower: int,
) -> None:
    """Features (C, h, w) with texts below them, three in a row beside the photograph, from top and lower on."""
    pen = ImageDraw.Draw(canvas)
    for n, (text, feature) in enumerate(features):
        left = MARGIN + PHOTO_WIDTH + GAP + (GAP + TILE_WIDTH) * (n % 3)
        upper = top + n // 3 * (lower - top)
        canvas.paste(heat(feature, TILE_WIDTH, tile_height), (left, upper))
        pen.text((left, upper + tile_height + 4), text, INK, font(SMALL))


def draw_crops(
    canvas: Image.Image, pixels: np.ndarray, boxes: torch.Tensor, scores: torch.Tensor, upper: int
) -> None:
    """The boxes' parts of a photograph in a row, with their scores below them."""
    pen = ImageDraw.Draw(canvas)
    pen.text(
        (MARGIN, upper), "the boxes as roi_align cuts them out, and their scores", INK, font(SMALL)
    )
    upper += 26
    step = (canvas.width - 2 * MARGIN - CROP) / (BOXES - 1)
    cuts = zip(crops(pixels, boxes), scores.tolist(), strict=True)
    for rank, (crop, score) in enumerate(cuts):
        left = MARGIN + round(rank * step)
        canvas.paste(crop, (left, upper))
        draw_number(pen, rank, left, upper)
        pen.text((left, upper + CROP + 3), f"{score:.3f}", FAINT, font(SMALL))


def output_file(text: str) -> Path:
    """The picture's file of a command line, whose folder is made: before all is computed it is told what cannot be
    written.

    Raises:
        argparse.ArgumentTypeError: Pillow does not know its kind, or nobody may write there.
    """
    path = Path(text)
    try:  # to ask may be refused, too, as below a folder that others may not enter
        if path.is_dir():
            raise argparse.ArgumentTypeError(f"expected a file, got the directory {path}")
        if Image.registered_extensions().get(path.suffix.lower()) not in Image.SAVE:
            raise argparse.ArgumentTypeError(
                f"expected the name of a picture, such as {path.stem}.png, got {path}"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        place = path if path.exists() else path.parent
    except OSError as error:
        raise argparse.ArgumentTypeError(
            f"expected a file in a folder that is there or can be made, got: {error}"
        ) from error
    if not os.access(place, os.W_OK):
        raise argparse.ArgumentTypeError(
            f"expected a file that you may write, got {path}; {place} is read-only to you"
        )
    return path


def draw(
    paths: Sequence[str],
    images: ImageList,
    features: Mapping[str, tuple[torch.Tensor, float | None]],
    found: Sequence[tuple[torch.Tensor, torch.Tensor, torch.Tensor]],
    output: Path,
    title: str,
    explanation: str,
) -> None:
    """Write the picture.

    Args:
        paths: of the photographs.
        images: the padded batch that went into the network.
        features: of each part of the network: (N, C, h, w), and the milliseconds that it took, if
            that is known.
        found: for each photograph, boxes (K, 4), scores (K) and the kept rows.
        output: a file whose ending names the format.
        title: the first line.
        explanation: the line below it.
    """
    width = MARGIN * 2 + PHOTO_WIDTH + (GAP + TILE_WIDTH) * 3
    places = [layout(*size) for size in images.image_sizes]
    rows = [place.height + GAP + 26 + CROP + 22 + 34 for place in places]
    canvas = Image.new("RGB", (width, MARGIN + 74 + sum(rows)), PAPER)
    pen = ImageDraw.Draw(canvas)
    pen.text((MARGIN, MARGIN), title, INK, font(LARGE))
    pen.text((MARGIN, MARGIN + 40), explanation, FAINT, font(SMALL))
    top = MARGIN + 74
    for i, (path, place, row) in enumerate(zip(paths, places, rows, strict=True)):
        pixels = read_rgb(path)
        height, original = images.image_sizes[i]
        boxes, scores, kept = found[i]
        best = kept[:BOXES][scores[kept[:BOXES]] >= LEAST * scores[kept[0]]]
        draw_photo(canvas, pixels, (height, original), boxes[best], top)

        tiles = []
        for name, (feature, duration) in features.items():
            _, channels, h, w = feature.shape
            # without the padding: features that the photograph's pixels reach
            seen_h = round(h * height / images.tensors.shape[2])
            seen_w = round(w * original / images.tensors.shape[3])
            text = f"{name}: {channels} x {h} x {w}"
            text += f", {duration / len(paths):.1f} ms" if duration is not None else ""
            tiles.append((text, feature[i, :, :seen_h, :seen_w]))
        lower = top + place.lower
        draw_features(canvas, tiles, place.tile, top, lower)
        left = MARGIN + PHOTO_WIDTH + GAP + (GAP + TILE_WIDTH) * 2
        lines = [
            Path(path).name,
            f"{height} x {original} pixels",
            f"{len(boxes)} boxes scored,",
            f"{len(kept)} kept by nms,",
            f"the best {len(best)} drawn",
        ]
        for n, line in enumerate(lines):
            pen.text((left, lower + n * LINE), line, FAINT if n else INK, font(LABEL))

        draw_crops(canvas, pixels, boxes[best], scores[best], top + place.height + GAP)
        top += row
    canvas.save(output)
