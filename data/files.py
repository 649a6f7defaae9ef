"""Image files -> upright RGB pixels: for every kind of file one defined result, or an error that names it."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from data.buffers import BufferPool

try:
    import simplejpeg
except ModuleNotFoundError:  # Pillow reads JPEGs too; it takes a quarter longer
    simplejpeg = None

__all__ = ["MAX_BYTES", "MAX_PIXELS", "ImageFileError", "decode_rgb", "read_bytes", "read_rgb"]

# More is taken for a decompression bomb: 256 MiB of RGB, where Pillow starts to warn.
MAX_PIXELS = 89_478_485
MAX_BYTES = 1 << 29

# Decoded JPEGs up to 16 MiB are written to memory that was used before.
_PIXELS = BufferPool(keep=16, largest=1 << 24)

_EXIF = b"Exif\x00\x00"
_HEAD = 1 << 17  # Exif is the first or second segment of a JPEG, and a segment has at most 64 KiB


class ImageFileError(ValueError):
    """A file that is no image, a broken one, or one that is refused; the text begins with its name."""


def read_bytes(path: str | Path) -> bytes:
    """The contents of a file.

    Raises:
        FileNotFoundError: there is no such file.
        ImageFileError: it is empty, larger than MAX_BYTES, or no readable file.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_BYTES:
                raise ImageFileError(
                    f"{path}: expected an image file, got {size} bytes, "
                    f"more than data.files.MAX_BYTES, {MAX_BYTES}"
                )
            contents = file.read()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ImageFileError(f"{path}: expected a readable image file, got: {error}") from error
    if not contents:
        raise ImageFileError(f"{path}: expected a readable image file, got an empty one")
    return contents


def read_rgb(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The pixels of an image file, (H, W, 3) uint8, upright; see `decode_rgb`.

    Raises:
        FileNotFoundError: there is no such file.
        ImageFileError: the file is no image, a broken one, or too large; the text names it.
    """
    return decode_rgb(read_bytes(path), str(path), max_pixels=max_pixels)


def decode_rgb(contents: bytes, name: str, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The pixels of an image file that was read.

    Exif's orientation is applied. Grey values are repeated, palettes looked up, an alpha channel is
    dropped (not blended), CMYK and the like converted as Pillow does, of 16 bits the upper 8 taken;
    of several frames the first.

    Args:
        contents: of the file; JPEG, PNG or whatever Pillow reads.
        name: for errors.
        max_pixels: images with more are refused before they are decoded.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ImageFileError: broken, cut off, too large, or with values that have no defined range.
    """
    if simplejpeg is not None and contents[:3] == b"\xff\xd8\xff":
        pixels = _decode_jpeg(contents, name, max_pixels)
        if pixels is not None:
            return pixels
    try:
        with Image.open(io.BytesIO(contents)) as image:
            _check_size(name, image.height, image.width, max_pixels)
            upright = ImageOps.exif_transpose(image) or image
            return _rgb(upright, name)
    except ImageFileError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # Pillow's readers raise whatever a broken file leads them to
        raise ImageFileError(f"{name}: expected a readable image file, got: {error}") from error


def _check_size(name: str, height: int, width: int, max_pixels: int) -> None:
    if height * width > max_pixels:
        raise ImageFileError(
            f"{name}: {width} x {height} pixels are more than the {max_pixels} that are allowed "
            "(a decompression bomb?); give a larger max_pixels if the file can be trusted"
        )


def _decode_jpeg(contents: bytes, name: str, max_pixels: int) -> np.ndarray | None:
    """The pixels of a JPEG, or None for what Pillow must do: CMYK, and files with faults."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(contents)
        if colours in ("CMYK", "YCCK"):
            return None
        _check_size(name, height, width, max_pixels)
        pixels = _PIXELS.array(height, width, 3)
        simplejpeg.decode_jpeg(contents, "RGB", buffer=pixels)
    except ImageFileError:
        raise
    except ValueError:  # harmless and not: Pillow tells a stray byte from a file that is cut off
        return None
    if contents.find(_EXIF, 0, _HEAD) < 0:
        return pixels
    with Image.open(io.BytesIO(contents)) as image:
        orientation = image.getexif().get(0x0112, 1)
    return _upright(pixels, orientation)


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turns and mirrors as Exif's orientation 1 to 8 asks for; other values mean 1."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _rgb(image: Image.Image, name: str) -> np.ndarray:
    """(H, W, 3) uint8 of a Pillow image of any mode."""
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.size and not 0 <= values.min() <= values.max() <= 65535:
            raise ImageFileError(
                f"{name}: expected 8 or 16 bits, got values from {values.min()} to {values.max()}"
            )
        return np.repeat((values >> 8).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode == "F":
        raise ImageFileError(
            f"{name}: floating-point pixels have no defined range; write them as 8 or 16 bits"
        )
    return np.array(image.convert("RGB"))
