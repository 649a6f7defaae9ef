"""Arrays as scripts before PyTorch 0.4 have them: those of numbers, `loss.data.numpy()[0]`, and SciPy's images."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from ffi_ext.old_autograd import say_once
from ffi_ext.untraced import untraced

_numpy: Callable[..., Any] = torch.Tensor.numpy


@functools.cache
def _of_a_number() -> type:
    import numpy

    class Number(numpy.ndarray):
        """The array of a tensor without dimensions, which had one."""

        def __getitem__(self, index: Any) -> Any:
            if self.ndim == 0 and type(index) is int and index in (0, -1):
                say_once("[0] of the array of a number, as of loss.data.numpy(), gives the number")
                index = ()
            return super().__getitem__(index)

        def __array_wrap__(self, array: Any, context: Any = None, scalar: bool = False) -> Any:
            # `a += 1` is a, a + 1 a number, and what is more an array, as ever; NumPy 1 makes it one of these
            return array if array is self else numpy.asarray(array)[()]

        def __reduce__(self) -> Any:  # pickled, it needs no ffi_ext
            return numpy.array(self).__reduce__()

        def __repr__(self) -> str:
            return repr(self.view(numpy.ndarray))

    untraced(Number.__getitem__, Number.__array_wrap__)  # NumPy calls them
    # collate functions of the time ask for these
    Number.__name__, Number.__qualname__, Number.__module__ = "ndarray", "ndarray", "numpy"
    return Number


def numpy_of_old(self: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    if torch.compiler.is_dynamo_compiling():  # it knows no _numpy
        import numpy

        return numpy.asarray(self)
    array = _numpy(self, *args, **kwargs)
    return array if self.dim() else array.view(_of_a_number())


untraced(numpy_of_old)  # what torch.compile makes of it calls it without end


def _bytes(data: Any, cmin: Any = None, cmax: Any = None, high: int = 255, low: int = 0) -> Any:
    """An image in bytes: one of any other type is stretched, from its least and greatest value to 0 and 255."""
    import numpy

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
    import numpy
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
    import numpy

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
    import numpy

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


# scipy.misc until SciPy 1.2.
IMAGES: dict[str, Any] = {
    "bytescale": _bytes,
    "fromimage": _array,
    "imread": _imread,
    "imresize": _imresize,
    "imrotate": _imrotate,
    "imsave": lambda name, arr, format=None: _image(arr).save(name, format),
    "toimage": _image,
}
