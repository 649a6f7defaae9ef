"""Exceptions and warnings of the build. No torch, no cffi: they must be there when those are not."""

from __future__ import annotations

import sys
import warnings


class BuildError(RuntimeError):
    """An extension could not be built. The text names the first cause and what to do about it.

    Attributes:
        log: Everything that the compilers printed, or "".
    """

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(message)
        self.log = log


class HeaderError(BuildError):
    """A header could not be read as C declarations."""


def warn(text: str) -> None:
    """A warning at the user's line, the first one outside of ffi_ext."""
    frame, level = sys._getframe(), 1
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == "ffi_ext":
        frame, level = frame.f_back, level + 1
    warnings.warn(text, stacklevel=level)
