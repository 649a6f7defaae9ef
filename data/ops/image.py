"""Images: normalised, prepared for their place in a batch, decoded in part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from data.checks import check_each
from data.ops.broadcast import broadcast_shapes
from data.ops.native import jpeg, kernel_of, on_array

Values = float | Sequence[float] | np.ndarray | torch.Tensor

_NORMALIZE = {
    torch.float32: "normalize_image_float",
    torch.float64: "normalize_image_double",
}


def _pixels(image: Any) -> Any:
    """An array of pixels as a tensor; other things as they are."""
    return on_array(image) if isinstance(image, np.ndarray) and image.dtype == np.uint8 else image


def _numbers(name: str, values: Values, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """A mean or a standard deviation as a tensor."""
    given = on_array(values) if isinstance(values, np.ndarray) else values
    try:
        return torch.as_tensor(given, dtype=dtype, device=device)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name} must be numbers, got {values!r}") from None


def _per_plane(name: str, values: Values, pixels: torch.Tensor) -> torch.Tensor:
    """One of them for each of the image's channels (C)."""
    numbers = _numbers(name, values, torch.float32, pixels.device)
    return numbers.reshape(-1) if numbers.dim() else numbers.expand(pixels.shape[2])


def normalize_image(
    image: np.ndarray | torch.Tensor,
    mean: Values,
    std: Values,
    *,
    reverse_channels: bool = False,
    dtype: torch.dtype = torch.float32,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """(image - mean) / std, as float planes.

    Args:
        image: (H, W, C) uint8, of any strides; on a GPU everything is computed there.
        mean: in grey levels; a number or an array that NumPy broadcasts against (H, W, C).
        std: likewise.
        reverse_channels: RGB -> BGR; mean and std are in the order of the result.
        dtype: float32 or float64; `out`'s, if that is given.
        out: a (C, H, W) tensor to write to, of any strides: for example a view into a padded batch.

    Returns:
        (C, H, W) planes; `out`, if that is given.

    Raises:
        TypeError: image is not uint8, or dtype is neither float32 nor float64.
        ValueError: shapes that do not broadcast, or `out` of another shape.
    """
    pixels = _pixels(image)
    if not isinstance(pixels, torch.Tensor) or pixels.dtype != torch.uint8:
        got = getattr(image, "dtype", type(image).__name__)
        raise TypeError(
            f"normalize_image: image must be a uint8 array or tensor (H, W, C), got {got}"
        )
    if pixels.dim() != 3:
        raise ValueError(
            f"normalize_image: image must have the shape (H, W, C), got {tuple(pixels.shape)}"
        )
    if out is not None and not isinstance(out, torch.Tensor):
        raise TypeError(f"normalize_image: out must be a tensor, got a {type(out).__name__}")
    dtype = dtype if out is None else out.dtype
    if dtype not in _NORMALIZE:
        raise TypeError(f"normalize_image: the result must be float32 or float64, got {dtype}")
    mean = _numbers("normalize_image: mean", mean, dtype, pixels.device)
    std = _numbers("normalize_image: std", std, dtype, pixels.device)
    height, width, channels = broadcast_shapes(pixels.shape, mean.shape, std.shape)[-3:]
    if out is None:
        out = torch.empty(channels, height, width, dtype=dtype, device=pixels.device)
    elif tuple(out.shape) != (channels, height, width):
        raise ValueError(
            f"normalize_image: out must have the shape {(channels, height, width)}, "
            f"got {tuple(out.shape)}"
        )
    kernel_of(_NORMALIZE[dtype], pixels)(pixels, mean, std, int(reverse_channels), out)
    return out


def prepare_image(
    image: np.ndarray | torch.Tensor,
    place: torch.Tensor,
    size: tuple[int, int] | None = None,
    *,
    crop: tuple[int, int, int, int] | None = None,
    mean: Values = 0.0,
    std: Values = 1.0,
    flip_horizontal: bool = False,
    flip_vertical: bool = False,
    reverse_channels: bool = False,
    antialias: bool = True,
) -> torch.Tensor:
    """Crop, resize, flip, normalise and lay out an image in one pass, into its place in a batch.

    Args:
        image: (H, W, C) uint8, C from 1 to 4; copied first if the pixels of a row are not dense, or
            an array is read-only. On a GPU everything is computed there.
        place: (C, h, w) float32 with dense rows, such as `batch[i]`; written as a whole, with zeros
            to the right of and below the image.
        size: height and width of the result; those of place, if None.
        crop: top, left, height and width of the part of image to take; all of it, if None.
        mean: in grey levels, one number, or one per plane of the result.
        std: likewise.
        flip_horizontal: mirror left and right.
        flip_vertical: turn upside down.
        reverse_channels: RGB -> BGR; mean and std are in the order of the result.
        antialias: filter an axis that shrinks, as Pillow does; False: two pixels per axis whatever
            the scale, as OpenCV's INTER_LINEAR.

    Returns:
        The view (C, height, width) of place that the image fills.

    Raises:
        TypeError: image is not uint8, place not float32.
        ffi_ext.NativeError: shapes, a crop outside of the image, or strides that do not fit; the
            text names them.
    """
    pixels = _pixels(image)
    if not isinstance(pixels, torch.Tensor) or pixels.dtype != torch.uint8 or pixels.dim() != 3:
        got = (
            f"{tuple(image.shape)} of {image.dtype}"
            if isinstance(image, (np.ndarray, torch.Tensor))
            else type(image).__name__
        )
        raise TypeError(
            f"prepare_image: image must be a uint8 array or tensor (H, W, C), got {got}"
        )
    if pixels.stride(2) != 1 or pixels.stride(1) != pixels.shape[2]:
        pixels = pixels.contiguous()
    if size is None:
        size = getattr(place, "shape", (1, 1))[-2:]  # the kernel tells of what has none
    if crop is None:
        crop = (0, 0, pixels.shape[0], pixels.shape[1])
    check_each("prepare_image: size", size, "(height, width)")
    check_each("prepare_image: crop", crop, "(top, left, height, width)")
    height, width = size
    top, left, crop_height, crop_width = crop
    kernel_of("prepare_image", pixels)(
        pixels,
        top,
        left,
        crop_height,
        crop_width,
        height,
        width,
        int(antialias),
        int(flip_horizontal) + 2 * int(flip_vertical),
        int(reverse_channels),
        _per_plane("prepare_image: mean", mean, pixels),
        _per_plane("prepare_image: std", std, pixels),
        place,
    )
    return place[:, :height, :width]


def decode_jpeg_part(contents: bytes, top: int, left: int, out: np.ndarray) -> bool:
    """A part of a JPEG as RGB, the same as of the whole image, in less time.

    Args:
        contents: the file's.
        top, left: where the part begins.
        out: (height, width, 3) uint8, dense; says how large the part is, and receives it.

    Returns:
        False if `_ext.jpeg` was not built; out is as it was then.

    Raises:
        ffi_ext.NativeError: a damaged file, CMYK, or a part that is not in the image.
    """
    if jpeg is None:
        return False
    jpeg.decode_jpeg_part(np.frombuffer(contents, np.uint8), top, left, out)
    return True
