"""What arguments must be, in words."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np


def check_whole(name: str, value: Any, least: int) -> None:
    """Raises a ValueError unless value is a whole number, NumPy's included, of at least `least`."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name}: expected a whole number of at least {least}, got {value!r}")


def check_each(name: str, values: Any, meaning: str) -> None:
    """Raises a ValueError unless values has one for each word of its meaning, as "(height, width)"."""
    count = meaning.count(",") + 1
    if not isinstance(values, (Sequence, np.ndarray)) or len(values) != count:
        raise ValueError(f"{name} must be {meaning}, got {values!r}")
