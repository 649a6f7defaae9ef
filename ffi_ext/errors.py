"""Exceptions of the build. No torch, no cffi: they must be there when those are not."""

from __future__ import annotations


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
