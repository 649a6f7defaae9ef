"""The only door of `data` to the generated modules, and NumPy arrays as tensors for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

try:
    from _ext import kernels
except ImportError as error:
    raise ModuleNotFoundError(
        f"data needs the kernels in _ext.kernels, which cannot be imported ({error}); "
        "build them with `python build_ffi.py` in the project's folder, and start Python there",
        name=error.name,
    ) from error

try:
    from _ext import kernels_cuda
except ImportError:  # optional: build_ffi.py says what it needs
    kernels_cuda = None

try:
    from _ext import jpeg
except ImportError:  # optional, too
    jpeg = None


def kernel_of(name: str, image: torch.Tensor) -> Any:
    """The generated function of this name for the image's device."""
    if not image.is_cuda:
        return getattr(kernels, name)
    if kernels_cuda is None:
        raise ModuleNotFoundError(
            f"{name}: the image is on a GPU, and _ext.kernels_cuda is not built; build it with "
            "`python build_ffi.py` where nvcc is installed, or move the image with .cpu()"
        )
    return getattr(kernels_cuda, f"{name}_cuda")


def torch_takes(array: np.ndarray) -> bool:
    """Not reversed axes, nor fields of a structured array."""
    return all(stride >= 0 and stride % array.itemsize == 0 for stride in array.strides)


def on_array(array: np.ndarray) -> torch.Tensor:
    """A tensor to read from: on the array's memory, or on a copy where torch would not take it or would warn."""
    return torch.from_numpy(array if array.flags.writeable and torch_takes(array) else array.copy())
