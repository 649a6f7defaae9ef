"""Transforms of an image and its target, which collect what to do; one kernel then does it.

The semantics are maskrcnn-benchmark's. A `Picture` holds the decoded pixels and the geometry that
is asked of them. Only `ColorJitter` touches pixels; `Picture.draw` crops, resizes, flips and
normalises in one pass, into a tensor of its own or into its place in a batch.
"""

from __future__ import annotations

import inspect
import math
import operator
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageEnhance

from data import files
from data.checks import check_each
from data.files import JpegFile
from data.ops import prepare_image
from data.target import Target

__all__ = [
    "ColorJitter",
    "Compose",
    "Normalize",
    "Picture",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "RandomVerticalFlip",
    "Resize",
]

# ImageNet's, in the order of Caffe2's weights: blue, green, red, in grey levels of 0..255.
BGR_MEAN = (102.9801, 115.9465, 122.7717)


@dataclass(frozen=True)
class Picture:
    """Decoded pixels, and what is asked of them.

    Attributes:
        pixels: (H, W, 3) uint8, RGB, an array or a tensor; or a JPEG that is yet to be decoded.
        crop: top, left, height, width of the part that is used.
        size: height and width of the result.
        mean, std, reverse_channels, antialias: see `data.ops.prepare_image`.
    """

    pixels: np.ndarray | torch.Tensor | JpegFile
    crop: tuple[int, int, int, int]
    size: tuple[int, int]
    flip_horizontal: bool = False
    flip_vertical: bool = False
    mean: torch.Tensor = torch.zeros(3, device="cpu")
    std: torch.Tensor = torch.ones(3, device="cpu")
    reverse_channels: bool = False
    antialias: bool = True

    @classmethod
    def of(cls, pixels: np.ndarray | JpegFile) -> Picture:
        """All of (H, W, 3) uint8 pixels, as they are."""
        height, width = pixels.shape[:2]
        return cls(pixels, (0, 0, height, width), (height, width))

    def decoded(self) -> Picture:
        """The same with the pixels of the crop at hand.

        Raises:
            data.ImageFileError: of a JPEG that is damaged.
        """
        if not isinstance(self.pixels, JpegFile):
            return self
        return replace(self, pixels=self.pixels.part(*self.crop), crop=(0, 0, *self.crop[2:]))

    def draw(self, place: torch.Tensor | None = None) -> torch.Tensor:
        """(3, height, width) float32, in `place` if that is given, which is padded with zeros."""
        picture = self.decoded()
        if place is None:
            place = torch.empty(3, *self.size, dtype=torch.float32, device="cpu")
        return prepare_image(
            picture.pixels,
            place,
            self.size,
            crop=picture.crop,
            mean=self.mean,
            std=self.std,
            flip_horizontal=self.flip_horizontal,
            flip_vertical=self.flip_vertical,
            reverse_channels=self.reverse_channels,
            antialias=self.antialias,
        )


Transform = Callable[[Picture, Any, random.Random], tuple[Picture, Any]]


def check_transform(name: str, transform: Any) -> None:
    """Raises a TypeError for what cannot be called with a picture, a target and a random number generator."""
    call = transform.forward if isinstance(transform, torch.nn.Module) else transform
    try:
        signature = inspect.signature(call)
        signature.bind(None, None, None)
    except ValueError:  # a builtin that does not tell
        return
    except TypeError:
        takes = f" that takes {signature}" if callable(call) else ""
        raise TypeError(
            f"{name}: expected a transform of (picture, target, rng), as data.transforms has them and as "
            f"Compose([...]) makes one of several, got a {type(transform).__name__}{takes}"
        ) from None


def transformed(
    name: str, transform: Transform, picture: Picture, target: Any, rng: random.Random
) -> tuple[Picture, Any]:
    """What a transform returns.

    Raises:
        TypeError: it is no picture with its target, as where a function forgets to return them.
    """
    result: Any = transform(picture, target, rng)
    is_pair = isinstance(result, (tuple, list)) and len(result) == 2
    if not is_pair or not isinstance(result[0], Picture):
        kinds = [type(part).__name__ for part in result] if is_pair else [type(result).__name__]
        raise TypeError(
            f"{name}: expected a transform that returns its picture and target, a Picture and anything, got "
            f"{' and '.join(kinds)}"
        )
    return result[0], result[1]


# What a dictionary holds of an image's geometry, where it is a target of torchvision's detectors.
_PLACES = frozenset(("boxes", "masks", "keypoints"))


def _follow(target: Any, step: Callable[[Target], Target]) -> Any:
    """A target after a step that moves the image's pixels; what is no `Target` stays as it is.

    Raises:
        TypeError: a dictionary with boxes, masks or keypoints, which would be those of another image then.
    """
    if isinstance(target, Target):
        return step(target)
    if isinstance(target, Mapping) and (places := sorted(_PLACES & target.keys())):
        raise TypeError(
            "transforms: expected a data.Target, whose boxes and masks follow the image when it is resized, flipped "
            f"or cropped, got a dictionary with {', '.join(places)}; make a Target of it, or give what is to "
            "stay as it is another name"
        )
    return target


class Compose:
    """Transforms one after the other.

    Args:
        transforms: each called with a picture, a target and a random number generator.

    Raises:
        TypeError: one of them takes other arguments, or they are no list.
    """

    def __init__(self, transforms: Sequence[Transform]) -> None:
        if not isinstance(transforms, Iterable):
            raise TypeError(
                f"Compose: expected a list of transforms, got a {type(transforms).__name__}; give [it]"
            )
        self.transforms = list(transforms)
        for number, transform in enumerate(self.transforms):
            check_transform(f"Compose: number {number}", transform)

    @property
    def output_size(self) -> tuple[int, int] | None:
        """Height and width of every result, or None if they depend on the image.

        A transform of one's own says so by an `output_size`, or it may give any.
        """
        size = None
        for transform in self.transforms:
            if not isinstance(transform, _OF_ANY_SIZE):
                size = getattr(transform, "output_size", None)
        return size

    def __call__(self, picture: Picture, target: Any, rng: random.Random) -> tuple[Picture, Any]:
        for number, transform in enumerate(self.transforms):
            name = f"Compose: number {number}"
            picture, target = transformed(name, transform, picture, target, rng)
        return picture, target


def _lengths(name: str, given: int | Sequence[int]) -> tuple[int, ...]:
    """One or several lengths in pixels; NumPy's integers, too.

    Raises:
        ValueError: it is anything else.
    """
    try:
        values = [given] if isinstance(given, Integral) else given
        lengths = tuple(operator.index(value) for value in values)
    except TypeError:
        lengths = ()
    if not lengths or min(lengths) < 1:
        raise ValueError(f"{name}: expected sizes of at least 1, whole numbers, got {given!r}")
    return lengths


class Resize:
    """The shorter side to min_size, unless the longer one would be more than max_size.

    Args:
        min_size: a length, or several of which one is drawn each time.
        max_size: of the longer side; None for no limit.
        antialias: see `data.ops.prepare_image`.

    A call raises a ValueError where it would enlarge a picture to more than `data.files.MAX_PIXELS`.
    """

    def __init__(
        self, min_size: int | Sequence[int], max_size: int | None = None, *, antialias: bool = True
    ) -> None:
        self.min_sizes = _lengths("Resize: min_size", min_size)
        self.max_size = None if max_size is None else _lengths("Resize: max_size", [max_size])[0]
        self.antialias = antialias

    def result_size(self, size: tuple[int, int], min_size: int) -> tuple[int, int]:
        """Height and width for an image of height and width `size`, rounded as the reference does."""
        height, width = size
        shorter, longer = min(size), max(size)
        length = min_size
        if self.max_size is not None and longer / shorter * length > self.max_size:
            length = int(round(self.max_size * shorter / longer))
        if shorter == length:
            return height, width
        length = max(length, 1)
        if width < height:
            return int(length * height / width), length
        return length, int(length * width / height)

    def __call__(self, picture: Picture, target: Any, rng: random.Random) -> tuple[Picture, Any]:
        size = self.result_size(picture.size, rng.choice(self.min_sizes))
        height, width = picture.size
        # of a long strip that its shorter side enlarges
        if math.prod(size) > max(files.MAX_PIXELS, height * width):
            raise ValueError(
                f"Resize: a picture of {width} x {height} pixels would become {size[1]} x {size[0]}, more than "
                f"the {files.MAX_PIXELS} that are allowed; give a max_size, or set data.files.MAX_PIXELS"
            )
        target = _follow(target, lambda target: target.resize(size))
        return replace(picture, size=size, antialias=self.antialias), target


def _probability(name: str, p: float) -> float:
    if not 0 <= p <= 1:
        raise ValueError(f"{name}: expected a probability p from 0 to 1, got {p}")
    return p


class RandomHorizontalFlip:
    """Mirrors left and right with probability p."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = _probability("RandomHorizontalFlip", p)

    def __call__(self, picture: Picture, target: Any, rng: random.Random) -> tuple[Picture, Any]:
        if rng.random() >= self.p:
            return picture, target
        target = _follow(target, Target.flip_horizontal)
        return replace(picture, flip_horizontal=not picture.flip_horizontal), target


class RandomVerticalFlip:
    """Turns upside down with probability p."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = _probability("RandomVerticalFlip", p)

    def __call__(self, picture: Picture, target: Any, rng: random.Random) -> tuple[Picture, Any]:
        if rng.random() >= self.p:
            return picture, target
        target = _follow(target, Target.flip_vertical)
        return replace(picture, flip_vertical=not picture.flip_vertical), target


class RandomResizedCrop:
    """A part of random area and shape, resized: the crop that ImageNet's networks are trained on.

    Args:
        size: height and width of the result, or both in one number.
        scale: the least and the greatest part of the image's area.
        ratio: of width to height, the least and the greatest; drawn evenly on a logarithmic scale.
        antialias: see `data.ops.prepare_image`.
    """

    def __init__(
        self,
        size: int | tuple[int, int],
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        *,
        antialias: bool = True,
    ) -> None:
        sides = _lengths("RandomResizedCrop: size", size)
        if len(sides) > 2:
            raise ValueError(
                f"RandomResizedCrop: size: expected height and width, got {len(sides)} numbers"
            )
        self.output_size = (sides[0], sides[-1])
        for name, limits in {"scale": scale, "ratio": ratio}.items():
            check_each(f"RandomResizedCrop: {name}", limits, "(least, greatest)")
            least, greatest = limits
            if not 0 < least <= greatest < math.inf:
                raise ValueError(
                    f"RandomResizedCrop: {name}: expected the least and the greatest, above 0, got "
                    f"{(least, greatest)}"
                )
        self.scale = scale
        self.ratio = ratio
        self.antialias = antialias

    def draw_crop(self, height: int, width: int, rng: random.Random) -> tuple[int, int, int, int]:
        """Top, left, height and width; after ten that do not fit, the largest in the middle."""
        low, high = (math.log(ratio) for ratio in self.ratio)
        for _ in range(10):
            area = height * width * rng.uniform(*self.scale)
            ratio = math.exp(rng.uniform(low, high))
            w, h = int(round((area * ratio) ** 0.5)), int(round((area / ratio) ** 0.5))
            if 0 < w <= width and 0 < h <= height:
                return rng.randint(0, height - h), rng.randint(0, width - w), h, w
        h = min(height, max(1, int(round(width / self.ratio[0]))))
        w = min(width, max(1, int(round(height * self.ratio[1]))))
        return (height - h) // 2, (width - w) // 2, h, w

    def __call__(self, picture: Picture, target: Any, rng: random.Random) -> tuple[Picture, Any]:
        if picture.size != picture.crop[2:] or picture.flip_horizontal or picture.flip_vertical:
            raise ValueError("RandomResizedCrop: must come before resizing and flips")
        top, left, height, width = picture.crop
        y, x, h, w = self.draw_crop(height, width, rng)
        size = self.output_size
        target = _follow(target, lambda target: target.crop(y, x, h, w).resize(size))
        crop = (top + y, left + x, h, w)
        return replace(picture, crop=crop, size=size, antialias=self.antialias), target


class ColorJitter:
    """Brightness, contrast, saturation and hue, in random order, as torchvision does on Pillow images.

    It changes the part that is in use, so place it behind a crop, and before or behind a resize.

    Args:
        brightness: a factor is drawn from [max(0, 1 - brightness), 1 + brightness]; 0 leaves it.
        contrast: likewise.
        saturation: likewise.
        hue: a part of the circle, at most 0.5; drawn from [-hue, hue].
    """

    def __init__(
        self,
        brightness: float = 0.0,
        contrast: float = 0.0,
        saturation: float = 0.0,
        hue: float = 0.0,
    ) -> None:
        amounts = (brightness, contrast, saturation, hue)
        fit = all(isinstance(amount, Real) and 0 <= amount < math.inf for amount in amounts)
        if not fit or hue > 0.5:
            raise ValueError(
                "ColorJitter: expected one finite number of at least 0 each for brightness, contrast, saturation "
                f"and hue, and hue of at most 0.5, got {brightness}, {contrast}, {saturation}, {hue}"
            )
        self.factors = [
            (ImageEnhance.Brightness, brightness),
            (ImageEnhance.Contrast, contrast),
            (ImageEnhance.Color, saturation),
        ]
        self.hue = hue

    def __call__(self, picture: Picture, target: Any, rng: random.Random) -> tuple[Picture, Any]:
        steps: list[Callable[[Image.Image], Image.Image]] = []
        for enhancer, amount in self.factors:
            if amount:
                factor = rng.uniform(max(0.0, 1 - amount), 1 + amount)
                steps.append(lambda image, e=enhancer, f=factor: e(image).enhance(f))
        if self.hue:
            shift = rng.uniform(-self.hue, self.hue)
            steps.append(lambda image: _shift_hue(image, shift))
        if not steps:
            return picture, target
        rng.shuffle(steps)
        picture = picture.decoded()
        top, left, height, width = picture.crop
        part = picture.pixels[top : top + height, left : left + width]
        image = Image.fromarray(np.asarray(part))
        for step in steps:
            image = step(image)
        return replace(picture, pixels=np.array(image), crop=(0, 0, height, width)), target


def _shift_hue(image: Image.Image, shift: float) -> Image.Image:
    """Turns the hue by a part of the circle."""
    hsv = np.array(image.convert("HSV"))
    hsv[..., 0] += np.uint8(int(shift * 255) % 256)
    return Image.fromarray(hsv, "HSV").convert("RGB")


class Normalize:
    """(x - mean) / std.

    Args:
        mean: one number per channel of the result.
        std: likewise.
        to_bgr255: True: the result's channels are blue, green, red, and the numbers are in grey
            levels of 0..255. False: red, green, blue, and 0..1.

    Raises:
        ValueError: not three finite numbers each, a std that is not above 0, or numbers of the other scale.
    """

    def __init__(
        self,
        mean: Sequence[float] = BGR_MEAN,
        std: Sequence[float] = (1.0, 1.0, 1.0),
        to_bgr255: bool = True,
    ) -> None:
        unit = 1.0 if to_bgr255 else 255.0
        self.mean = torch.tensor(mean, dtype=torch.float32, device="cpu") * unit
        self.std = torch.tensor(std, dtype=torch.float32, device="cpu") * unit
        if self.mean.shape != (3,) or self.std.shape != (3,):  # the pictures' channels
            raise ValueError(
                f"Normalize: expected three numbers, one per channel, got mean {mean} and std {std}"
            )
        finite = self.mean.isfinite().all() and self.std.isfinite().all()
        if not finite or not (self.std > 0).all():
            raise ValueError(
                f"Normalize: expected finite numbers, those of std above 0, got mean {mean} and std {std}"
            )
        if to_bgr255 and (self.std < 1).all():
            raise ValueError(
                f"Normalize: expected grey levels of 0..255, got mean {mean} and std {std}, which are for 0..1: "
                "multiply them by 255, or give to_bgr255=False (and the channels are red, green, blue then)"
            )
        if not to_bgr255 and self.mean.max() > unit:
            raise ValueError(
                f"Normalize: expected a mean of 0..1 with to_bgr255=False, got {mean}, which are grey levels of "
                "0..255: divide mean and std by 255"
            )
        self.to_bgr255 = to_bgr255

    def __call__(self, picture: Picture, target: Any, rng: random.Random) -> tuple[Picture, Any]:
        return replace(
            picture, mean=self.mean, std=self.std, reverse_channels=self.to_bgr255
        ), target


# What gives the size that it is given.
_OF_ANY_SIZE = (ColorJitter, Normalize, RandomHorizontalFlip, RandomVerticalFlip)
