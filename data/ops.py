"""The only door of `data` to the generated module: image kernels on tensors and NumPy arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from data.buffers import BufferPool

try:
    from _ext import kernels as _kernels
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"data needs the kernels in _ext.kernels, which cannot be imported ({error}); "
        "build them with `python build_ffi.py` in the project's folder, and start Python there",
        name=error.name,
    ) from error

try:
    from _ext import kernels_cuda as _kernels_cuda
except ModuleNotFoundError:  # optional: build_ffi.py says what it needs
    _kernels_cuda = None

try:
    from _ext import jpeg as _jpeg
except ModuleNotFoundError:  # optional, too
    _jpeg = None

__all__ = [
    "add",
    "broadcast_shapes",
    "decode_jpeg_part",
    "divide",
    "maximum",
    "minimum",
    "multiply",
    "normalize_image",
    "prepare_image",
    "subtract",
]

Values = float | Sequence[float] | np.ndarray | torch.Tensor
Operand = int | float | np.ndarray | torch.Tensor

# The element types of the broadcasting kernels: NumPy's, torch's, and how the functions end.
_ELEMENTS = {
    np.dtype(np.uint8): (torch.uint8, "uint8"),
    np.dtype(np.int32): (torch.int32, "int32"),
    np.dtype(np.int64): (torch.int64, "int64"),
    np.dtype(np.float32): (torch.float32, "float"),
    np.dtype(np.float64): (torch.float64, "double"),
}
_NUMPY = {torch_type: numpy_type for numpy_type, (torch_type, _) in _ELEMENTS.items()}
_OPERATIONS = ("add", "subtract", "multiply", "divide", "minimum", "maximum")
# The kernels, by what tensors of one type need to find theirs.
_KERNELS = {
    (operation, torch_type): getattr(_kernels, f"broadcast_{operation}_{ending}")
    for operation in _OPERATIONS
    for torch_type, ending in _ELEMENTS.values()
}

_NULL = _kernels._ffi.NULL
# Fresh memory costs more than computing a large result; what nobody looks at any more is used again.
_LARGE = 1 << 21  # elements
_RESULTS = BufferPool(keep=2, largest=1 << 26)

_NORMALIZE = {
    torch.float32: "normalize_image_float",
    torch.float64: "normalize_image_double",
}


def _kernel(name: str, image: torch.Tensor) -> Any:
    """The generated function of this name for the image's device."""
    if not image.is_cuda:
        return getattr(_kernels, name)
    if _kernels_cuda is None:
        raise ModuleNotFoundError(
            f"{name}: the image is on a GPU, and _ext.kernels_cuda is not built; build it with "
            "`python build_ffi.py` where nvcc is installed, or move the image with .cpu()"
        )
    return getattr(_kernels_cuda, f"{name}_cuda")


def broadcast_shapes(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape that arrays of these shapes have after NumPy's broadcasting.

    Shapes are padded with ones on the left; an axis fits if it is equal or 1; the result takes the
    maximum.

    Raises:
        ValueError: naming the axis, counted from the right, and the two shapes that do not fit.
    """
    dimensions = max((len(shape) for shape in shapes), default=0)
    result = [1] * dimensions
    for position, shape in enumerate(shapes):
        for axis in range(1, len(shape) + 1):
            length = int(shape[-axis])
            if result[-axis] == 1:
                result[-axis] = length
            elif length not in (1, result[-axis]):
                raise ValueError(
                    f"shapes {', '.join(str(tuple(s)) for s in shapes)} do not broadcast: "
                    f"axis -{axis} of shape number {position} is {length}, "
                    f"expected {result[-axis]} or 1 (an axis fits if it is equal or 1)"
                )
    return tuple(result)


def _element_type(operation: str, name: str, value: Operand) -> Any:
    """What NumPy's promotion needs to know of an operand: a dtype, or a Python number itself."""
    if isinstance(value, torch.Tensor):
        if value.requires_grad and torch.is_grad_enabled():
            raise RuntimeError(
                f"{operation}: expected tensors without requires_grad, since no gradient is recorded, got one as "
                f"{name}; detach() it, run under torch.no_grad(), or use torch's own function"
            )
        if value.dtype in _NUMPY and value.is_cpu:
            return _NUMPY[value.dtype]
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    elif isinstance(value, (np.ndarray, np.generic)) and value.dtype in _ELEMENTS:
        return value.dtype
    got = (
        f"{value.dtype} on {value.device}"
        if isinstance(value, torch.Tensor)
        else getattr(value, "dtype", type(value).__name__)
    )
    raise TypeError(
        f"{operation}: {name} must be a tensor on the CPU or an array of "
        f"{', '.join(map(str, _ELEMENTS))}, or a number, got {got}; convert it first"
    )


def _as_tensor(value: Operand, dtype: np.dtype[Any]) -> torch.Tensor:
    """A tensor of this dtype, on the memory of value where that has it already."""
    if isinstance(value, torch.Tensor):
        wanted = _ELEMENTS[dtype][0]
        return value if value.dtype is wanted else value.to(wanted)
    return _on_array(np.asarray(value, dtype))


def _torch_takes(array: np.ndarray) -> bool:
    """Not reversed axes, nor fields of a structured array."""
    return all(stride >= 0 and stride % array.itemsize == 0 for stride in array.strides)


def _on_array(array: np.ndarray) -> torch.Tensor:
    """A tensor to read from: on the array's memory, or on a copy where torch would not take it or would warn."""
    return torch.from_numpy(
        array if array.flags.writeable and _torch_takes(array) else array.copy()
    )


def _span(tensor: torch.Tensor) -> tuple[int, int]:
    """The addresses from the first to behind the last byte of a tensor."""
    extent = sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True)) + 1
    return tensor.data_ptr(), tensor.data_ptr() + extent * tensor.element_size()


def _kept_apart(value: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """value, or a copy of it if writing to out would change what is yet to be read."""
    if value.numel() == 0 or out.numel() == 0:
        return value
    (first, last), (out_first, out_last) = _span(value), _span(out)
    same = (
        first == out_first
        and value.dtype == out.dtype
        and value.shape == out.shape
        and value.stride() == out.stride()
    )
    return value if same or last <= out_first or out_last <= first else value.clone()


def _writes_twice(out: torch.Tensor) -> bool:
    """Whether two elements of out may share memory; views of dense tensors do not."""
    reach = 0
    for size, stride in sorted(zip(out.shape, out.stride(), strict=True), key=lambda axis: axis[1]):
        if size > 1 and stride <= reach:
            return True
        reach += (size - 1) * stride if size > 1 else 0
    return False


def _computed(kernel: Any, a: torch.Tensor, b: torch.Tensor, dtype: np.dtype[Any]) -> torch.Tensor:
    """A new tensor of this type; a large one on memory of the pool, a small one made by the kernel."""
    if a.numel() * b.numel() >= _LARGE:  # the result has at most so many elements
        shape = a.shape if a.shape == b.shape else broadcast_shapes(a.shape, b.shape)
        if math.prod(shape) >= _LARGE:
            result = _RESULTS.tensor(*shape, dtype=dtype)
            kernel(a, b, result)
            return result
    try:
        result = kernel(a, b, _NULL)
    except RuntimeError:
        broadcast_shapes(a.shape, b.shape)  # raises what NumPy raises, if that was the reason
        raise
    if result.numel() < 2:  # C knows no shape (), and only one empty tensor
        return result.reshape(broadcast_shapes(a.shape, b.shape))
    return result


def _broadcast(operation: str, a: Operand, b: Operand, out: Any) -> Any:
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) and out is None:
        # The same as below for tensors of one type, in a third of the time.
        kernel = _KERNELS.get((operation, a.dtype)) if a.dtype is b.dtype else None
        plain = kernel and a.is_cpu and b.is_cpu and not (a.requires_grad or b.requires_grad)
        if plain and (operation != "divide" or a.is_floating_point()):
            return _computed(kernel, a, b, _NUMPY[a.dtype])
    left_type, right_type = _element_type(operation, "a", a), _element_type(operation, "b", b)
    given = left_type if left_type is right_type else np.result_type(left_type, right_type)
    if given not in _ELEMENTS:
        raise TypeError(f"{operation}: NumPy gives {given} for these operands, which has no kernel")
    dtype = given
    if operation == "divide" and given.kind != "f":
        dtype, limits = np.dtype(np.float64), np.iinfo(given)
        if any(isinstance(x, int) and not limits.min <= x <= limits.max for x in (a, b)):
            given = dtype  # by which NumPy divides then
    left, right = _as_tensor(a, given), _as_tensor(b, given)
    kernel = _KERNELS[operation, _ELEMENTS[given][0]]
    if out is None:
        result = _computed(kernel, left, right, dtype)
        either = isinstance(a, torch.Tensor) or isinstance(b, torch.Tensor)
        return result if either else result.numpy()
    if _element_type(operation, "out", out) != dtype or not isinstance(
        out, (np.ndarray, torch.Tensor)
    ):
        got = getattr(out, "dtype", type(out).__name__)
        raise TypeError(f"{operation}: out must be a tensor or an array of {dtype}, got {got}")
    shape = broadcast_shapes(left.shape, right.shape)
    if tuple(out.shape) != shape:
        raise ValueError(
            f"{operation}: out must have the result's shape {shape}, got {tuple(out.shape)}"
        )
    if isinstance(out, np.ndarray):
        if not out.flags.writeable:
            raise ValueError(
                f"{operation}: out must be an array that may be written to, got one that is read-only; "
                "give a copy() of it"
            )
        if not _torch_takes(out):
            out[...] = _computed(kernel, left, right, dtype).numpy()
            return out
    result = torch.from_numpy(out) if isinstance(out, np.ndarray) else out
    if result.numel():
        if _writes_twice(result):
            raise ValueError(
                f"{operation}: elements of out share memory (strides {result.stride()} of shape "
                f"{shape}); give it memory of its own"
            )
        kernel(_kept_apart(left, result), _kept_apart(right, result), result)
    return out


def add(a: Operand, b: Operand, out: Any = None) -> Any:
    """a + b with NumPy's broadcasting, element types and wrap-around of integers.

    The six functions `add`, `subtract`, `multiply`, `divide`, `minimum` and `maximum` are alike.

    Args:
        a: a tensor on the CPU, an array or a number; uint8, int32, int64, float32 or float64. Of
            two types NumPy's promotion makes one (int32 and float32 give float64); a Python number
            takes the other operand's type, as far as it is of its kind.
        b: likewise, of a shape that broadcasts against a's.
        out: a tensor or an array of the result's type and shape, of any strides, to write to. It
            may overlap the operands: they are copied first if need be.

    Returns:
        `out`, if that is given; a tensor if a or b is one; else an array.

    Raises:
        TypeError: an element type without a kernel, or out of another type than the result.
        ValueError: shapes that do not broadcast, naming the axis and the rule; out of another
            shape than the result, or read-only.
        OverflowError: a Python integer that the other operand's type cannot hold.
        RuntimeError: a tensor that requires a gradient, which is not recorded, unless under torch.no_grad().
    """
    return _broadcast("add", a, b, out)


def subtract(a: Operand, b: Operand, out: Any = None) -> Any:
    """a - b; see `add`."""
    return _broadcast("subtract", a, b, out)


def multiply(a: Operand, b: Operand, out: Any = None) -> Any:
    """a * b; see `add`."""
    return _broadcast("multiply", a, b, out)


def divide(a: Operand, b: Operand, out: Any = None) -> Any:
    """a / b; see `add`. Integers give float64, as NumPy's true division does."""
    return _broadcast("divide", a, b, out)


def minimum(a: Operand, b: Operand, out: Any = None) -> Any:
    """The lesser of a and b, a NaN where one is a NaN; see `add`."""
    return _broadcast("minimum", a, b, out)


def maximum(a: Operand, b: Operand, out: Any = None) -> Any:
    """The greater of a and b, a NaN where one is a NaN; see `add`."""
    return _broadcast("maximum", a, b, out)


def _pixels(image: Any) -> Any:
    """An array of pixels as a tensor; other things as they are."""
    return _on_array(image) if isinstance(image, np.ndarray) and image.dtype == np.uint8 else image


def _numbers(values: Values, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """A mean or a standard deviation as a tensor."""
    given = _on_array(values) if isinstance(values, np.ndarray) else values
    return torch.as_tensor(given, dtype=dtype, device=device)


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
    dtype = dtype if out is None else out.dtype
    if dtype not in _NORMALIZE:
        raise TypeError(f"normalize_image: the result must be float32 or float64, got {dtype}")
    mean, std = (_numbers(values, dtype, pixels.device) for values in (mean, std))
    height, width, channels = broadcast_shapes(pixels.shape, mean.shape, std.shape)[-3:]
    if out is None:
        out = torch.empty(channels, height, width, dtype=dtype, device=pixels.device)
    elif tuple(out.shape) != (channels, height, width):
        raise ValueError(
            f"normalize_image: out must have the shape {(channels, height, width)}, "
            f"got {tuple(out.shape)}"
        )
    _kernel(_NORMALIZE[dtype], pixels)(pixels, mean, std, int(reverse_channels), out)
    return out


def prepare_image(
    image: np.ndarray | torch.Tensor,
    place: torch.Tensor,
    size: tuple[int, int] | None = None,
    *,
    crop: tuple[int, int, int, int] | None = None,
    mean: Sequence[float] | torch.Tensor = (0.0, 0.0, 0.0),
    std: Sequence[float] | torch.Tensor = (1.0, 1.0, 1.0),
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
        mean: in grey levels, one number per plane of the result.
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
    height, width = size if size is not None else place.shape[-2:]
    top, left, crop_height, crop_width = crop or (0, 0, pixels.shape[0], pixels.shape[1])
    _kernel("prepare_image", pixels)(
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
        _numbers(mean, torch.float32, pixels.device),
        _numbers(std, torch.float32, pixels.device),
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
    if _jpeg is None:
        return False
    _jpeg.decode_jpeg_part(np.frombuffer(contents, np.uint8), top, left, out)
    return True
