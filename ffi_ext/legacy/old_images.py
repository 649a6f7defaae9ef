"""The images of scipy.misc, until SciPy 1.2: read, written, resized and made of arrays, by PIL."""

from __future__ import annotations

from typing import Any

import numpy


def _bytes(data: Any, cmin: Any = None, cmax: Any = None, high: int = 255, low: int = 0) -> Any:
    """An image in bytes: one of any other type is stretched, from its least and greatest value to 0 and 255."""
    data = numpy.asarray(data)
    if data.dtype == numpy.uint8:
        return data
    least, greatest = data.min() if cmin is None else cmin, data.max() if cmax is None else cmax
    stretched = (data - least) * (float(high - low) / ((greatest - least) or 1)) + low
    return (stretched.clip(low, high) + 0.5).astype(numpy.uint8)


def _image(
    arr: Any,
    high: int = 255,
    low: int = 0,
    cmin: Any = None,
    cmax: Any = None,
    mode: str | None = None,
) -> Any:
    """PIL's of an array (height, width), or with 3 or 4 channels, which are the first axis of so many."""
    from PIL import Image

    array = numpy.asarray(arr)
    if mode == "F":
        return Image.fromarray(array.astype(numpy.float32))
    channels = 3 if 3 in array.shape else 4
    if array.ndim == 3 and channels in array.shape:
        array = numpy.moveaxis(array, array.shape.index(channels), 2)
    image = Image.fromarray(numpy.ascontiguousarray(_bytes(array, cmin, cmax, high, low)))
    return image if mode in (None, image.mode) else image.convert(mode)


def _array(image: Any, flatten: bool = False, mode: str | None = None) -> Any:
    if mode is None and image.mode == "P":
        mode = "RGBA" if "transparency" in image.info else "RGB"
    image = image.convert("F" if flatten else mode) if flatten or mode else image
    return numpy.array(image.convert("L") if image.mode == "1" else image)


def _imread(name: Any, flatten: bool = False, mode: str | None = None) -> Any:
    from PIL import Image

    with Image.open(name) as image:
        return _array(image, flatten, mode)


def _filter(name: str) -> Any:
    from PIL import Image

    return Image.Resampling[{"cubic": "bicubic"}.get(name, name).upper()]


def _imresize(arr: Any, size: Any, interp: str = "bilinear", mode: str | None = None) -> Any:
    """To (height, width), or by a fraction of a float, or so many per cent of an int."""
    image = _image(arr, mode=mode)
    if numpy.ndim(size):
        width, height = int(size[1]), int(size[0])
    else:
        factor = size / 100 if isinstance(size, (int, numpy.integer)) else size
        width, height = (int(side * factor) for side in image.size)
    return _array(image.resize((width, height), _filter(interp)))


def _imrotate(arr: Any, angle: float, interp: str = "bilinear") -> Any:
    """By degrees, against the clock."""
    return _array(_image(arr).rotate(angle, _filter(interp)))


IMAGES: dict[str, Any] = {
    "bytescale": _bytes,
    "fromimage": _array,
    "imread": _imread,
    "imresize": _imresize,
    "imrotate": _imrotate,
    "imsave": lambda name, arr, format=None: _image(arr).save(name, format),
    "toimage": _image,
}
