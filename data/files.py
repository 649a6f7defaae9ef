"""Image files -> upright RGB pixels: for every kind of file one defined result, or an error that names it."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from data.buffers import BufferPool
from data.ops import decode_jpeg_part
from ffi_ext import NativeError

try:
    import simplejpeg
except ModuleNotFoundError:  # Pillow reads JPEGs too; it takes a quarter longer
    simplejpeg = None

# More is taken for a decompression bomb: 256 MiB of RGB, where Pillow starts to warn. Read at each call, so that
# who trusts larger files can set it for all datasets.
MAX_PIXELS = 89_478_485
MAX_BYTES = 1 << 29

# Decoded JPEGs up to 16 MiB are written to memory that was used before.
_PIXELS = BufferPool(keep=16, largest=1 << 24)

# What comes before a JPEG's marker: one byte, or any number of them.
_FILL = re.compile(rb"\xff+")


_XMP = b"http://ns.adobe.com/xap/1.0/\x00"


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


def read_rgb(path: str | Path, *, max_pixels: int | None = None) -> np.ndarray:
    """The pixels of an image file, (H, W, 3) uint8, upright; see `decode_rgb`.

    Raises:
        FileNotFoundError: there is no such file.
        ImageFileError: the file is no image, a broken one, or too large; the text names it.
    """
    return decode_rgb(read_bytes(path), str(path), max_pixels=max_pixels)


def decode_rgb(contents: bytes, name: str, *, max_pixels: int | None = None) -> np.ndarray:
    """The pixels of an image file that was read.

    Exif's orientation is applied. Grey values are repeated, palettes looked up, an alpha channel is
    dropped (not blended), CMYK and the like converted as Pillow does, of 16 bits the upper 8 taken;
    of several frames the first.

    Args:
        contents: of the file; JPEG, PNG or whatever Pillow reads.
        name: for errors.
        max_pixels: images with more are refused before they are decoded; None for `MAX_PIXELS`.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ImageFileError: broken, cut off, too large, PostScript, or with values that have no defined range.
    """
    max_pixels = MAX_PIXELS if max_pixels is None else max_pixels
    try:
        if _is_jpeg(contents):
            pixels = _decode_jpeg(contents, name, max_pixels)
            if pixels is not None:
                return pixels
        with Image.open(io.BytesIO(contents)) as image:
            _check_size(name, image.height, image.width, max_pixels)
            if image.format == "EPS":  # a program, which Pillow would have Ghostscript run
                raise ImageFileError(
                    f"{name}: expected a file of pixels, got PostScript, which is a program and is not run; "
                    "convert it to PNG"
                )
            upright = ImageOps.exif_transpose(image) or image
            return _rgb(upright, name, image.format, getattr(image, "tag_v2", {}))
    except (ImageFileError, MemoryError):
        raise
    except Image.DecompressionBombError as error:  # at twice its limit
        raise ImageFileError(
            f"{name}: {error} If the file can be trusted, set PIL.Image.MAX_IMAGE_PIXELS and "
            "data.files.MAX_PIXELS"
        ) from error
    except UnidentifiedImageError as error:  # whose text is the address of an object
        raise ImageFileError(
            f"{name}: expected a readable image file, got one that begins with {contents[:8]!r} and that "
            "Pillow knows no way to read"
        ) from error
    except Exception as error:  # Pillow's readers raise whatever a broken file leads them to
        raise ImageFileError(f"{name}: expected a readable image file, got: {error}") from error


def _check_size(name: str, height: int, width: int, max_pixels: int) -> None:
    if height * width > max_pixels:
        raise ImageFileError(
            f"{name}: {width} x {height} pixels are more than the {max_pixels} that are allowed "
            "(a decompression bomb?); if the file can be trusted, give read_rgb a larger max_pixels, or set "
            "data.files.MAX_PIXELS, which datasets go by"
        )


def _is_jpeg(contents: bytes) -> bool:
    return simplejpeg is not None and contents[:3] == b"\xff\xd8\xff"


def _has_orientation(contents: bytes) -> bool:
    """Whether one of a JPEG's segments before its pixels is Exif's, or has XMP's orientation, which Pillow takes
    where Exif has none. (bytes.find over the whole file takes 0.1 ms.)"""
    at = 2
    while (fill := _FILL.match(contents, at)) and contents[fill.end() : fill.end() + 1] != b"\xda":
        at = fill.end() + 1  # behind the marker: the segment's length, which counts itself
        end = at + int.from_bytes(contents[at : at + 2], "big")
        if contents[at + 2 : at + 8] == b"Exif\x00\x00":
            return True
        if contents.startswith(_XMP, at + 2) and contents.find(b"tiff:Orientation", at, end) >= 0:
            return True
        at = end
    return False


def _jpeg_size(contents: bytes, name: str, max_pixels: int) -> tuple[int, int] | None:
    """Height and width; None for CMYK and for a broken header, which are left to Pillow."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(contents)
    except ValueError:
        return None
    if colours in ("CMYK", "YCCK"):
        return None
    _check_size(name, height, width, max_pixels)
    return height, width


def _decode_jpeg(contents: bytes, name: str, max_pixels: int) -> np.ndarray | None:
    """The pixels of a JPEG, or None for what Pillow must do: CMYK, and files with faults."""
    size = _jpeg_size(contents, name, max_pixels)
    if size is None:
        return None
    pixels = _PIXELS.array(*size, 3)
    try:
        simplejpeg.decode_jpeg(contents, "RGB", buffer=pixels)
    except ValueError:  # harmless or not: Pillow tells a stray byte from a file that is cut off
        return None
    if not _has_orientation(contents):
        return pixels
    with Image.open(io.BytesIO(contents)) as image:
        orientation = image.getexif().get(0x0112, 1)
    return _upright(pixels, orientation)


class JpegFile:
    """A JPEG that is yet to be decoded, as a whole or in part.

    Attributes:
        shape: (height, width, 3), as of the array of its pixels.
    """

    def __init__(self, contents: bytes, name: str, size: tuple[int, int]) -> None:
        self.contents, self.name = contents, name
        self.shape = (*size, 3)

    def part(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        """(height, width, 3) uint8.

        Raises:
            ImageFileError: the file is damaged; what lies below the part is not looked at.
        """
        # What a part takes of the time of the whole: entropy coding goes on to its last row, the
        # rest is in proportion to its area. The whole is decoded by simplejpeg, which is faster.
        area = height * width / (self.shape[0] * self.shape[1])
        if 0.55 * (top + height) / self.shape[0] + 0.45 * area < 0.7:
            pixels = _PIXELS.array(height, width, 3)
            try:
                decoded = decode_jpeg_part(self.contents, top, left, pixels)
            except NativeError:  # harmless or not: see _decode_jpeg
                decoded = False
            if decoded:
                return pixels
        whole = decode_rgb(self.contents, self.name, max_pixels=self.shape[0] * self.shape[1])
        return whole[top : top + height, left : left + width]


def open_rgb(path: str | Path) -> np.ndarray | JpegFile:
    """Like `read_rgb`, but an upright JPEG is read only, and decoded when it is known which part.

    Raises:
        FileNotFoundError, ImageFileError: as of `read_rgb`.
    """
    return as_rgb(read_bytes(path), str(path))


def as_rgb(contents: bytes, name: str) -> np.ndarray | JpegFile:
    """`open_rgb` of a file's contents."""
    if _is_jpeg(contents) and not _has_orientation(contents):
        size = _jpeg_size(contents, name, MAX_PIXELS)
        if size is not None:
            return JpegFile(contents, name, size)
    return decode_rgb(contents, name)


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turns and mirrors as Exif's orientation 1 to 8 asks for; other values mean 1."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _rgb(
    image: Image.Image, name: str, file_format: str | None, tags: Mapping[int, Any]
) -> np.ndarray:
    """(H, W, 3) uint8 of a Pillow image of any mode; tags are a TIFF's."""
    # "I" is for 32 bits, and for the 16 of these formats
    if image.mode == "F" or (image.mode == "I" and file_format not in ("PNG", "PPM")):
        kind = "floating-point" if image.mode == "F" else "32-bit"
        raise ImageFileError(
            f"{name}: {kind} pixels have no defined range; write them as 8 or 16 bits"
        )
    if image.mode.startswith("I"):
        # Pillow leaves what 12 bits of a TIFF say as it is, and white where that is 0.
        bits = tags.get(TiffImagePlugin.BITSPERSAMPLE, (16,))[0]
        grey = (np.asarray(image) >> (bits - 8)).astype(np.uint8)
        if tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0:
            grey = 255 - grey
        return np.repeat(grey[..., None], 3, axis=2)
    image.info.pop("transparency", None)  # Pillow would warn that converting a palette drops it
    return np.array(image.convert("RGB"))
