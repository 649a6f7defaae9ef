"""Functions of a generated module in torch: as operators (`register`), with gradients (`differentiable`)."""

from __future__ import annotations

from ffi_ext.library.gradients import differentiable
from ffi_ext.library.operators import Operator, register

__all__ = ["Operator", "differentiable", "register"]
