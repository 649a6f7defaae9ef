"""Names that libraries had then: known without importing them."""

from __future__ import annotations

NAME = "torch.utils.ffi"

# What NumPy had until 1.24 (Python's types, and a module of its own) or 2, and what that is today.
OF_NUMPY = {name: name for name in ("bool", "complex", "float", "int", "object", "str", "math")}
OF_NUMPY |= {
    "Inf": "numpy.inf",
    "NAN": "numpy.nan",
    "NINF": "-numpy.inf",
    "NaN": "numpy.nan",
    "PINF": "numpy.inf",
    "alltrue": "numpy.all",
    "asfarray": "lambda x, dtype=float: numpy.asarray(x, dtype)",
    "asscalar": "lambda x: x.item()",
    "complex_": "numpy.complex128",
    "cumproduct": "numpy.cumprod",
    "float_": "numpy.float64",
    "in1d": "lambda x, *of, **how: numpy.isin(numpy.ravel(x), *of, **how)",
    "infty": "numpy.inf",
    "long": "int",
    "mat": "numpy.asmatrix",
    "product": "numpy.prod",
    "rank": "numpy.ndim",
    "round_": "numpy.round",
    "row_stack": "numpy.vstack",
    "sometrue": "numpy.any",
    "string_": "numpy.bytes_",
    "trapz": "numpy.trapezoid",
    "unicode": "str",
    "unicode_": "numpy.str_",
}

# What gave `x.data` another shape gave it to x, too, before PyTorch 1.1.
RESHAPES = ("resize_", "resize_as_", "set_", "squeeze_", "unsqueeze_", "t_", "transpose_")

# Two transforms of torchvision until 0.2.
OF_TRANSFORMS = {"Scale": "Resize", "RandomSizedCrop": "RandomResizedCrop"}
