"""What a parameter of the random prototypes is, and odd objects to pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

MASK = (1 << 64) - 1


@dataclass
class Kind:
    """A parameter type: C's spelling, the C expression of an argument's number, what to pass."""

    c_type: str
    number: str  # with {} for the argument
    right: list[tuple[Any, int]] = field(default_factory=list)  # value, its number
    wrong: list[tuple[Any, type[BaseException]]] = field(default_factory=list)


class Raises:
    """Raises whatever it is asked for."""

    def __index__(self) -> int:
        raise ZeroDivisionError("asked for an index")

    def __float__(self) -> float:
        raise ZeroDivisionError("asked for a float")


class Index:
    """An integer by __index__."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


class Subclass(torch.Tensor):
    """A tensor in every respect."""
