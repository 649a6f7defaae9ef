"""Functions of a generated module in torch: as operators (`register`), with gradients (`differentiable`)."""

from __future__ import annotations

from ffi_ext.gradients import differentiable
from ffi_ext.operators import Operator, register

__all__ = ["Operator", "differentiable", "register"]
