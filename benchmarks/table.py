"""The table of a benchmark, and how its figures are taken: CPU time, interleaved, medians."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any


class Table:
    """Rows of claim, ours, peer, ratio and mark."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(
        self,
        claim: str,
        ours: float,
        peer: str,
        theirs: float,
        unit: str,
        at_most: float | None = None,
        at_least: float | None = None,
    ) -> None:
        """One row. `at_most`, `at_least`: the mark for ours / theirs."""
        ratio = ours / theirs
        met = mark = ""
        if at_most is not None:
            met, mark = "yes" if ratio <= at_most else "no", f"<{at_most:.3g}x"
        elif at_least is not None:
            met, mark = "yes" if ratio >= at_least else "no", f">{at_least:.3g}x"
        figures = dict(claim=claim, ours=ours, peer=peer, theirs=theirs, unit=unit)
        self.rows.append(figures | dict(ratio=ratio, mark=mark, met=met))

    def lines(self) -> list[str]:
        head = f"{'claim':<46}{'ours':>11}  {'peer':<38}{'theirs':>11}{'ratio':>9}{'mark':>9}  met"
        rows = [
            f"{row['claim']:<46}{row['ours']:>8.4g} {row['unit']:<2}  {row['peer']:<38}{row['theirs']:>8.4g} "
            f"{row['unit']:<2}{row['ratio']:>8.3g}x{row['mark']:>9}  {row['met']}".rstrip()
            for row in self.rows
        ]
        return [head, *rows]

    def print(self) -> None:
        print(*self.lines(), sep="\n")


def interleaved(
    functions: dict[str, Callable[[], object]], rounds: int, inner: int
) -> dict[str, float]:
    """CPU nanoseconds per call of each, medians over interleaved rounds; the loop is part of all alike.

    Every other round goes backwards: who follows a function that uses the same memory finds it in the cache.

    A round of several calls begins with one that does not count: it takes its memory from where the other functions
    left the allocator, which is not its own doing.
    """
    samples: dict[str, list[float]] = {name: [] for name in functions}
    for number in range(rounds):
        for name, function in list(functions.items())[:: -1 if number % 2 else 1]:
            if inner > 1:
                function()
            started = time.process_time_ns()
            for _ in range(inner):
                function()
            samples[name].append((time.process_time_ns() - started) / inner)
    return {name: statistics.median(values) for name, values in samples.items()}


def wall(function: Callable[..., object], *arguments: object) -> float:
    """Seconds of wall time."""
    started = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - started
