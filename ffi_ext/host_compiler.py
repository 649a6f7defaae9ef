"""The C++ compiler that nvcc calls for what runs on the CPU: one that it takes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path

_OLDEST = 9  # what any nvcc of a CUDA that torch >= 2.4 is built for takes
_CHOSEN = re.compile(r"-ccbin|--compiler-bindir|-allow-unsupported-compiler")


def flags(nvcc: str, given: Iterable[str] = ()) -> list[str]:
    """`-ccbin g++-15` where gcc is newer than this nvcc takes and an older one is installed beside it.

    Args:
        nvcc: The compiler's path.
        given: Its other arguments; a choice in them, or in nvcc's own variables, stands.
    """
    if _is_chosen(given):
        return []
    newest = _newest_accepted(nvcc)
    if newest is None or _gcc() <= newest:
        return []
    names = (f"g++-{version}" for version in range(newest, _OLDEST - 1, -1))
    found = next(filter(None, map(shutil.which, names)), None)
    return ["-ccbin", found] if found else []


def comes_back(given: Iterable[str]) -> list[str]:
    """What has gcc's functions come back without the value that they promise, see toolchain.py.

    Args:
        given: nvcc's other arguments. What looks for undefined behaviour shall tell of it, and not trap; another
            host compiler may not know the options.
    """
    words = list(given)
    if _is_chosen(words) or any("-fsanitize=" in word for word in words):
        return []
    return ["-Xcompiler=-fsanitize=unreachable,-fsanitize-undefined-trap-on-error"]


def _is_chosen(given: Iterable[str]) -> bool:
    ours = [os.environ.get(f"NVCC_{name}_FLAGS", "") for name in ("PREPEND", "APPEND")]
    return bool(os.environ.get("NVCC_CCBIN")) or any(map(_CHOSEN.search, [*given, *ours]))


@cache
def _newest_accepted(nvcc: str) -> int | None:
    """The major version of the last gcc that the header of this nvcc lets pass."""
    root = Path(os.path.realpath(nvcc)).parent.parent
    found = sorted(root.glob("include/crt/host_config.h"))
    found += sorted(root.glob("targets/*/include/crt/host_config.h"))
    text = found[0].read_text(errors="replace") if found else ""
    version = re.search(r"\b__GNUC__ > (\d+)", text)
    return int(version[1]) if version else None


@cache
def _gcc() -> int:
    """The major version of the gcc that nvcc calls unless told otherwise; 0 without one."""
    try:
        done = subprocess.run(["gcc", "-dumpversion"], capture_output=True, text=True, check=False)
    except OSError:
        return 0
    major = done.stdout.partition(".")[0].strip()
    return int(major) if major.isdigit() else 0
