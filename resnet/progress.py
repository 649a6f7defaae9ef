"""A progress bar of one line."""

from __future__ import annotations

import sys
import time
from typing import TextIO


class Progress:
    """`bar.step("text")` after each of `total` steps; nothing is drawn where nobody looks on.

    Args:
        total: number of steps.
        stream: a terminal gets the bar, which is rewritten in place; a file gets nothing.
    """

    WIDTH = 28

    def __init__(self, total: int, stream: TextIO | None = None) -> None:
        self.total, self.done, self.started = total, 0, time.perf_counter()
        self.stream = stream or sys.stderr

    def line(self, text: str) -> str:
        """The bar, the steps, the seconds that are left, and a text."""
        filled = self.WIDTH * self.done // max(self.total, 1)
        bar = "#" * filled + "-" * (self.WIDTH - filled)
        passed = time.perf_counter() - self.started
        left = passed / self.done * (self.total - self.done) if self.done else 0.0
        return f"[{bar}] {self.done}/{self.total}  {left:4.0f} s left  {text}"

    def step(self, text: str = "") -> None:
        """One more step is done."""
        self.done += 1
        if self.stream.isatty():
            end = "\n" if self.done >= self.total else ""
            self.stream.write(f"\r\x1b[K{self.line(text)[:110]}{end}")
            self.stream.flush()
