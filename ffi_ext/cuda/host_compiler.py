"""The C++ compiler that nvcc calls for what runs on the CPU: one that it takes."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from ffi_ext.compilers import commands, toolchain

_OLDEST = 9  # what any nvcc of a CUDA that torch >= 2.4 is built for takes
_CHOSEN = re.compile(r"(?:-ccbin|--compiler-bindir)[=\s]*(\S+)")


def flags(nvcc: str, given: Iterable[str] = ()) -> list[str]:
    """`-ccbin g++-15` where gcc is newer than this nvcc takes and an older one is installed beside it.

    Args:
        nvcc: The compiler's path.
        given: Its other arguments; a choice in them, or in nvcc's own variables, stands.
    """
    said = _said(given)
    if _CHOSEN.search(said) or "-allow-unsupported-compiler" in said:
        return []
    if chosen := os.environ.get("NVCC_CCBIN"):  # which nvcc itself does not read before CUDA 13
        return ["-ccbin", chosen]
    newest = _newest_accepted(nvcc)
    if newest is None or _gcc() <= newest:
        return []
    names = (f"g++-{version}" for version in range(newest, _OLDEST - 1, -1))
    found = next(filter(None, map(shutil.which, names)), None)
    return ["-ccbin", found] if found else []


def comes_back(given: Iterable[str]) -> list[str]:
    """What nvcc is told for functions of a .cu that end without the value that they promise, see toolchain.py.

    Args:
        given: nvcc's other arguments.
    """
    said = _said(given)
    chosen = [os.environ.get("NVCC_CCBIN") or "g++", *_CHOSEN.findall(said)]
    found = toolchain.comes_back(chosen[-1], said.split())
    return [word for flag in found for word in ("-Xcompiler", flag)]


def variables() -> tuple[str, str]:
    """What nvcc reads before and after its arguments."""
    return os.environ.get("NVCC_PREPEND_FLAGS", ""), os.environ.get("NVCC_APPEND_FLAGS", "")


def _said(given: Iterable[str]) -> str:
    """What nvcc reads: its arguments, and its variables."""
    first, last = variables()
    return " ".join([first, *given, last])


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
    major = re.match(r"\d+", commands.printed(["gcc", "-dumpversion"]))
    return int(major[0]) if major else 0
