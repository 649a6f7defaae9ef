"""Reads pickle files of NumPy arrays (Detectron's .pkl), and nothing else that a pickle can do."""

from __future__ import annotations

import io
import math
import operator
import pickle
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np


def _latin1(text: str, encoding: str) -> bytes:
    """How protocol 2 writes bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"expected bytes as latin1, got {encoding!r}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """How protocols 0 to 2 write no bytes at all: bytes()."""
    return b""


class _ElementType:
    """Stands for np.dtype, whose own __setstate__ believes what a file says and may crash."""

    def __init__(self, name: Any, *flags: Any) -> None:
        if not isinstance(name, str) or not re.fullmatch(r"[<>=|]?[biufcSU]\d+", name):
            raise pickle.UnpicklingError(f"expected arrays of numbers or texts, got {name!r}")
        self.dtype = np.dtype(name)

    def __setstate__(self, state: Any) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


def _sizes(shape: Any, dtype: np.dtype, data: bytes | bytearray) -> tuple[int, ...]:
    """An array's shape, if it goes with the bytes."""
    sizes = tuple(operator.index(n) for n in shape)
    if min(sizes, default=0) < 0 or len(data) != math.prod(sizes) * dtype.itemsize:
        raise pickle.UnpicklingError(
            f"an array of shape {sizes} and type {dtype} has {len(data)} bytes"
        )
    return sizes


class _Array(np.ndarray):
    """An array that looks at its shape, type and bytes before it takes them."""

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, by_columns, data = state
        data = data.encode("latin1") if isinstance(data, str) else bytes(data)
        sizes = _sizes(shape, kind.dtype, data)
        super().__setstate__((1, sizes, kind.dtype, bool(by_columns), data))


def _empty(*_: Any) -> _Array:
    """_reconstruct: an array whose state comes next."""
    return np.ndarray.__new__(_Array, (0,), np.uint8)


def _from_buffer(
    data: Any, kind: Any, shape: Any, order: str, axes: tuple[int, ...] | None = None
) -> np.ndarray:
    """An array of protocol 5, which is what Python writes from 3.14 on."""
    data = bytearray(memoryview(data))  # bytearray(n) would be n zeros
    sizes = _sizes(shape, kind.dtype, data)
    array = np.frombuffer(data, kind.dtype).reshape(sizes, order="F" if order == "F" else "C")
    return array if axes is None else array.transpose(axes)


def _scalar(kind: _ElementType, data: str | bytes) -> Any:
    data = data.encode("latin1") if isinstance(data, str) else data
    return np.frombuffer(data, kind.dtype, 1)[0]


# What arrays and scalars need; NumPy 2 has moved some, and files name the old or the new place.
ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): "ndarray",  # _reconstruct's argument
    ("numpy", "dtype"): _ElementType,
    ("numpy.core.multiarray", "_reconstruct"): _empty,
    ("numpy._core.multiarray", "_reconstruct"): _empty,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _latin1,
    ("__builtin__", "bytes"): _no_bytes,
}


class Unpickler(pickle.Unpickler):
    """Knows the classes of `ALLOWED` only."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}; weights are NumPy arrays, dictionaries, lists, texts "
                "and numbers, and nothing else is loaded, since it could run any code"
            ) from None


def load_pickle(path: str | Path) -> Any:
    """The arrays, dictionaries, lists, texts and numbers in a pickle file, also one of Python 2.

    Raises:
        ValueError: the file asks for anything else, or is no pickle file; the text names it.
    """
    data = Path(path).read_bytes()
    try:
        return Unpickler(io.BytesIO(data), encoding="latin1").load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: expected a pickle file of weights, but {error}") from error
    except (LookupError, MemoryError, OverflowError, RecursionError, SystemError) as error:
        raise ValueError(f"{path}: expected a pickle file of weights, got a broken one") from error
