"""Forked children with a time limit, and what a directory or a process holds: shared by the harnesses."""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import pickle
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """How a child ended: its value, or the exception's class name and text, or a signal, or the limit."""

    value: Any = None
    error: str = ""  # "BuildError"
    text: str = ""
    signal: int = 0
    late: bool = False

    @property
    def fine(self) -> bool:
        return not (self.error or self.signal or self.late)

    def __str__(self) -> str:
        if self.late:
            return "did not end within its time"
        if self.signal:
            return f"ended by {signal.Signals(self.signal).name}"
        return f"{self.error}: {self.text}" if self.error else f"returned {self.value!r}"


class Child:
    """`work()` in a forked process that leads a session of its own."""

    def __init__(self, work: Callable[[], Any]) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self._read, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            self._be_the_child(work, write)
        os.close(write)

    def _be_the_child(self, work: Callable[[], Any], write: int) -> None:
        code = 1
        try:
            os.setsid()
            signal.signal(signal.SIGINT, signal.default_int_handler)
            try:
                answer = {"value": work()}
            except BaseException as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                text = f"{error} [{Path(where.filename).name}:{where.lineno}]"
                answer = {"error": type(error).__name__, "text": text}
            with os.fdopen(write, "wb") as pipe:
                pickle.dump(answer, pipe)
            code = 0
        finally:
            os._exit(code)

    def wait(self, seconds: float) -> Outcome:
        """The outcome; whoever is late is killed with its whole session's group.

        The end is the child's: what it has forked may live on, and has the pipe open.
        """
        late, chunks, deadline = False, [], time.monotonic() + seconds
        ended = os.pidfd_open(self.pid)
        while True:
            left = max(0, deadline - time.monotonic())
            ready, _, _ = select.select([self._read, ended], [], [], left)
            if not ready:
                late = True
                os.killpg(self.pid, signal.SIGKILL)
            chunk = os.read(self._read, 1 << 16) if self._read in ready else b""
            if not chunk:
                break
            chunks.append(chunk)
        os.close(ended)
        os.close(self._read)
        _, status = os.waitpid(self.pid, 0)
        if late:
            return Outcome(late=True)
        if os.WIFSIGNALED(status):
            return Outcome(signal=os.WTERMSIG(status))
        if not chunks:
            return Outcome(error="exit", text=f"status {os.WEXITSTATUS(status)} without an answer")
        return Outcome(**pickle.loads(b"".join(chunks)))


def run(work: Callable[[], Any], seconds: float = 120) -> Outcome:
    """Runs `work` in a child."""
    return Child(work).wait(seconds)


def litter(*folders: Path) -> list[str]:
    """Temporary files and folders of builds that lie there."""
    found = [p for folder in folders if folder.exists() for p in folder.rglob("*")]
    return [str(p) for p in found if p.name.endswith(".tmp") or p.name.startswith("tmp-")]


def resident_bytes() -> int:
    """Memory of this process that is in RAM."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class _Allocated(ctypes.Structure):
    """glibc's struct mallinfo2."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks")
        + ("uordblks", "fordblks", "keepcost")
    ]


def allocated_bytes() -> int:
    """Memory that malloc has given out, of all its arenas and of its own mappings; 0 where it does not tell."""
    mallinfo2 = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo2 is None:  # glibc before 2.33, as of RHEL 8 and Ubuntu 20.04
        return 0
    mallinfo2.restype = _Allocated
    now = mallinfo2()
    return int(now.uordblks + now.hblkhd)


def refuse_growth(work: Callable[[], Any], what: str, most: int = 50) -> None:
    """Does the same work some times.

    Raises:
        AssertionError: Each time left `most` of Python's blocks behind, or kilobytes of what malloc gives out.
    """
    grown = []
    for _ in range(4):
        gc.collect()
        before = sys.getallocatedblocks(), allocated_bytes()
        work()
        gc.collect()
        after = sys.getallocatedblocks(), allocated_bytes()
        grown.append([now - then for now, then in zip(after, before, strict=True)])
    blocks, size = map(min, zip(*grown[1:], strict=True))  # at first pools and caches fill
    assert blocks < most and size < 2000, f"{what}: {blocks} blocks, {size} bytes more each time"


def address_space() -> int:
    """Addresses that this process uses."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def open_files() -> int:
    """File descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))


def finish(name: str, report: dict[str, Any], failures: list[str]) -> int:
    """Prints the report as the last line, as JSON, and the failures before it. Returns the exit status."""
    for failure in failures[:20]:
        print(f"FAILED {failure}")
    print(json.dumps({"harness": name, **report, "failures": len(failures)}), flush=True)
    return 1 if failures else 0


def arguments(description: str, **numbers: float) -> argparse.Namespace:
    """--count, --seed and the like, with the defaults given."""
    parser = argparse.ArgumentParser(description=description)
    for key, default in numbers.items():
        parser.add_argument(f"--{key.replace('_', '-')}", type=type(default), default=default)
    return parser.parse_args()
