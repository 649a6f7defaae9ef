"""Images of different sizes as one padded batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from data.checks import check_whole


class ImageList(NamedTuple):
    """Images padded with zeros on the right and below into one batch, and the sizes they had."""

    tensors: torch.Tensor  # (N, C, H, W)
    image_sizes: list[tuple[int, int]]  # height, width of each

    def to(self, device: torch.device | str, non_blocking: bool = False) -> ImageList:
        return self._replace(tensors=self.tensors.to(device, non_blocking=non_blocking))


def padded_size(sizes: Sequence[Sequence[int]], size_divisibility: int) -> tuple[int, int]:
    """The least height and width, multiples of size_divisibility, that have room for all sizes."""
    step = max(size_divisibility, 1)
    height = -(-max(size[0] for size in sizes) // step) * step
    width = -(-max(size[1] for size in sizes) // step) * step
    return height, width


def pad_images(images: Sequence[torch.Tensor], size_divisibility: int = 0) -> ImageList:
    """Put (C, H, W) images into one batch of the largest height and width.

    Args:
        images: a list of at least one, or a tensor (N, C, H, W); of one number of channels and one dtype.
        size_divisibility: round the batch's height and width up to a multiple; 32 for an FPN.

    Raises:
        ValueError: no images, or images that do not fit together.
    """
    check_whole("pad_images: size_divisibility", size_divisibility, 0)
    if len(images) == 0:  # a tensor of images has no truth value
        raise ValueError("pad_images: expected at least one image, got none")
    first = images[0]
    for number, image in enumerate(images):
        if not isinstance(image, torch.Tensor):
            raise TypeError(
                f"pad_images: expected images as tensors (C, H, W), got a {type(image).__name__} as number {number}; "
                "torch.from_numpy makes one of an array, and .permute(2, 0, 1) brings (H, W, C) into that order"
            )
        if image.dim() != 3 or image.shape[0] != first.shape[0] or image.dtype != first.dtype:
            like = (
                f"({first.shape[0]}, H, W) of {first.dtype} like the first"
                if number
                else "(C, H, W)"
            )
            raise ValueError(
                f"pad_images: expected images {like}, got {tuple(image.shape)} of "
                f"{image.dtype} as number {number}"
            )
    height, width = padded_size([image.shape[1:] for image in images], size_divisibility)
    batch = first.new_empty(len(images), first.shape[0], height, width)
    for number, image in enumerate(images):
        place = batch[number]  # a view that gradients go through, which zip's are not
        place[:, : image.shape[1], : image.shape[2]] = image
        place[:, image.shape[1] :] = 0
        place[:, : image.shape[1], image.shape[2] :] = 0
    return ImageList(batch, [(image.shape[1], image.shape[2]) for image in images])


class PadCollate:
    """A `collate_fn` for DataLoader: samples (image, ...) -> (ImageList, [...], ...).

    Samples that are None, which datasets with on_error="skip" give, are left out; a batch of
    nothing else is None.

    Args:
        size_divisibility: see `pad_images`.
    """

    def __init__(self, size_divisibility: int = 0) -> None:
        check_whole("PadCollate: size_divisibility", size_divisibility, 0)
        self.size_divisibility = size_divisibility

    def __call__(self, samples: Sequence[Sequence[Any] | None]) -> tuple[Any, ...] | None:
        if len(samples) == 0:
            raise ValueError("PadCollate: expected at least one sample, got an empty batch")
        kept = [sample for sample in samples if sample is not None]
        for sample in kept:
            if not isinstance(sample, (tuple, list)):  # an image alone is a sequence of planes, too
                raise TypeError(
                    f"PadCollate: expected samples (image, ...), got a {type(sample).__name__}; "
                    "data.pad_images takes images alone"
                )
        if not kept:
            return None
        images, *rest = zip(*kept, strict=True)
        return (pad_images(images, self.size_divisibility), *(list(column) for column in rest))
