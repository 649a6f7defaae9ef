"""The only door of `data` to the generated module: image kernels on tensors and NumPy arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

try:
    from _ext import kernels as _kernels
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"data needs the kernels in _ext.kernels, which cannot be imported ({error}); "
        "build them with `python build_ffi.py` in the project's folder, and start Python there",
        name=error.name,
    ) from error

__all__ = ["broadcast_shapes", "normalize_image"]

Values = float | Sequence[float] | np.ndarray | torch.Tensor

_NORMALIZE = {
    torch.float32: _kernels.normalize_image_float,
    torch.float64: _kernels.normalize_image_double,
}


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
        image: (H, W, C) uint8, of any strides.
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
    pixels = torch.from_numpy(image) if isinstance(image, np.ndarray) else image
    if not isinstance(pixels, torch.Tensor) or pixels.dtype != torch.uint8:
        got = pixels.dtype if isinstance(pixels, torch.Tensor) else type(image).__name__
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
    mean = torch.as_tensor(mean, dtype=dtype)
    std = torch.as_tensor(std, dtype=dtype)
    height, width, channels = broadcast_shapes(pixels.shape, mean.shape, std.shape)[-3:]
    if out is None:
        out = torch.empty(channels, height, width, dtype=dtype)
    elif tuple(out.shape) != (channels, height, width):
        raise ValueError(
            f"normalize_image: out must have the shape {(channels, height, width)}, "
            f"got {tuple(out.shape)}"
        )
    _NORMALIZE[dtype](pixels, mean, std, int(reverse_channels), out)
    return out
