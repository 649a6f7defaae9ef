"""Prints what this machine has, and what is therefore left out. Exits with 1 if nothing can be built."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path


def first_line(command: list[str], word: str = "") -> str:
    """The first line that a command prints with `word` in it, or ""."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = [line.strip() for line in done.stdout.splitlines() if word in line]
    return lines[0] if lines and done.returncode == 0 else ""


def compiler(variable: str, default: str) -> str:
    command = shlex.split(os.environ.get(variable, "")) or [default]
    return first_line([*command, "--version"])


def nvcc() -> str:
    """As ffi_ext finds it; that module of it needs nothing that will be installed, but this Python."""
    if tuple(sys.version_info) < (3, 10):
        return "nvcc"
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from ffi_ext.cuda import toolkit

    return toolkit.nvcc() or "nvcc"


def torch_version() -> str:
    """Without importing torch, which takes a second."""
    from importlib import metadata

    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return ""


def main() -> int:
    problems, left_out = [], []
    found = {
        "Python": platform.python_version(),
        "C compiler": compiler("CC", "gcc"),
        "C++ compiler": compiler("CXX", "g++"),
        "nvcc": first_line([nvcc(), "--version"], "release"),
        "GPU": first_line(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]),
        "torch": torch_version(),
    }
    if tuple(sys.version_info) < (3, 10):
        problems.append("Python 3.10 or newer is needed: make build PYTHON=python3.11")
    if not found["C compiler"] or not found["C++ compiler"]:
        problems.append(
            "a C and a C++ compiler are needed: apt install gcc g++ (dnf install gcc gcc-c++; "
            "xcode-select --install), or set CC and CXX"
        )
    if not found["nvcc"]:
        left_out.append("CUDA sources (.cu), which need nvcc")
    if not found["GPU"]:
        left_out.append("running on a GPU: there is none")
    for name, value in found.items():
        missing = "will be installed" if name == "torch" else "not found"
        print(f"  {name + ':':<14}{value or missing}")
    for text in left_out:
        print(f"  left out:     {text}")
    for text in problems:
        print(f"error: {text}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
