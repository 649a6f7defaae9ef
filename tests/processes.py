"""Another Python, and what it says."""

from __future__ import annotations

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
