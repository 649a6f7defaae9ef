"""Reads pickle files of NumPy arrays (Detectron's .pkl), and nothing else that a pickle can do."""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

# What arrays and scalars need; NumPy 2 has moved some, and files name the old or the new place.
_RECONSTRUCT = np.empty(0).__reduce__()[0]
_SCALAR = np.float64(0).__reduce__()[0]
ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy.core.multiarray", "scalar"): _SCALAR,
    ("numpy._core.multiarray", "scalar"): _SCALAR,
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): lambda text, encoding: _latin1(text, encoding),
}


def _latin1(text: str, encoding: str) -> bytes:
    """How protocol 2 writes bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"expected bytes as latin1, got {encoding!r}")
    return text.encode("latin1")


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
    except (IndexError, KeyError, UnicodeDecodeError, MemoryError, OverflowError) as error:
        raise ValueError(f"{path}: expected a pickle file of weights, got a broken one") from error
