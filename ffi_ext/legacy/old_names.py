"""Names that libraries had then: known without importing them."""

from __future__ import annotations

import math

NAME = "torch.utils.ffi"

# Python's types, and a module of its own, by the names that NumPy had for them until 1.24.
OF_NUMPY = {kind.__name__: kind for kind in (bool, complex, float, int, object, str)}
OF_NUMPY |= {"long": int, "unicode": str, "math": math}  # type: ignore[dict-item]

# What gave `x.data` another shape gave it to x, too, before PyTorch 1.1.
RESHAPES = ("resize_", "resize_as_", "set_", "squeeze_", "unsqueeze_", "t_", "transpose_")
