"""Kernels of `_ext.kernels` on tensors and NumPy arrays."""

from __future__ import annotations

from data.ops.broadcast import (
    add,
    broadcast_shapes,
    divide,
    maximum,
    minimum,
    multiply,
    subtract,
)
from data.ops.image import decode_jpeg_part, normalize_image, prepare_image

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
