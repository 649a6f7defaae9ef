"""Elementwise operations with NumPy's broadcasting, on tensors, arrays and numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from data.buffers import BufferPool
from data.ops.native import kernels, on_array, torch_takes

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
    (operation, torch_type): getattr(kernels, f"broadcast_{operation}_{ending}")
    for operation in _OPERATIONS
    for torch_type, ending in _ELEMENTS.values()
}

_NULL = kernels._ffi.NULL
# Fresh memory costs more than computing a large result; what nobody looks at any more is used again.
_LARGE = 1 << 21  # elements
_RESULTS = BufferPool(keep=2, largest=1 << 26)


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
    elif isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            f"{operation}: expected an array without a mask, which would be lost, got a MaskedArray as {name}; "
            "give its filled(), or use NumPy's own function"
        )
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
    return on_array(np.asarray(value, dtype))


def _span(tensor: torch.Tensor) -> tuple[int, int]:
    """The addresses from the first to behind the last byte of a tensor."""
    extent = sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True)) + 1
    return tensor.data_ptr(), tensor.data_ptr() + extent * tensor.element_size()


def _kept_apart(value: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """value, or a copy of it if writing to out would change what is yet to be read."""
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
        if not torch_takes(out):
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
