"""Another Python, and what it says."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path


def python(
    *words: object, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs it with these arguments; keywords are variables of its environment."""
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def mypy(*words: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`mypy --strict`, one at a time: torch, which takes 13 s, is read once for all workers of pytest."""
    with (Path(os.environ["MYPY_CACHE_DIR"]) / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return python("-m", "mypy", "--strict", *words, cwd=cwd, **environment)
