"""Another Python, and what it says."""

from __future__ import annotations

import fcntl
import json
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


_FORKS = """
import json, os, sys, traceback
setup, codes = json.loads(sys.argv[1])
exec(setup)
ends = []
for code in codes:
    end, start = os.pipe()
    if not os.fork():
        os.dup2(start, 1)
        try:
            exec(code)
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(0)
    os.close(start)
    ends.append(end)
print(json.dumps([open(end).read() for end in ends]))
"""


def forks(setup: str, *codes: str, cwd: Path | None = None) -> list[str]:
    """What each code prints in a fork of its own of a Python that has run `setup`: torch is imported once."""
    # with threads of torch's in `setup`, forks would wait for those that they do not have
    done = python("-c", _FORKS, json.dumps([setup, codes]), cwd=cwd, OMP_NUM_THREADS="1")
    print(done.stderr)
    found: list[str] = json.loads(done.stdout)
    return found


def mypy(*words: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`mypy --strict`, one at a time: torch, which takes 13 s, is read once for all workers of pytest."""
    with (Path(os.environ["MYPY_CACHE_DIR"]) / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return python("-m", "mypy", "--strict", *words, cwd=cwd, **environment)
