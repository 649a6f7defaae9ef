"""What arguments must be, in words."""

from __future__ import annotations

from numbers import Integral
from typing import Any

__all__ = ["check_whole"]


def check_whole(name: str, value: Any, least: int) -> None:
    """Raises a ValueError unless value is a whole number, NumPy's included, of at least `least`."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name}: expected a whole number of at least {least}, got {value!r}")
