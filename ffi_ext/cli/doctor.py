"""`ffi-ext doctor`: what this machine has, what a repository needs, what will fail and how to repair it.

Build scripts are read, never run.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from dataclasses import asdict
from pathlib import Path

from ffi_ext.cli.report import Report
from ffi_ext.cli.terminal import BOLD, GREEN, OK, PROBLEMS, RED, YELLOW, coloured, complain


def add(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Nothing of the repository is run or imported. The exit code is 1 if something\n"
        "will fail.\n"
        "examples:\n  ffi-ext doctor\n  ffi-ext doctor ~/old-model --json"
    )
    parser.add_argument("repository", nargs="?", help="also read its scripts and sources")
    parser.add_argument("--json", action="store_true", help="for programs")


def _version(command: tuple[str, ...]) -> str:
    from ffi_ext.compilers import commands

    status, text = commands.run([*command, "--version"])
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1 if "nvcc" in command[0] and status == 0 else 0].strip() if lines else "unknown"


def machine(report: Report) -> None:
    """Fills in the machine's facts; what no build can do without is a problem."""
    from ffi_ext import __version__, cache
    from ffi_ext.compilers import toolchain, universal
    from ffi_ext.cuda import toolkit
    from ffi_ext.errors import BuildError

    facts = report.machine
    facts["ffi_ext"] = f"{__version__} ({Path(__file__).parents[1]})"
    facts["Python"] = f"{platform.python_version()} ({sys.executable})"
    stable = universal.may_be_stable(None)
    facts["binaries"] = "abi3: every Python from 3.10 on" if stable else "this Python only"
    for name, find in (
        ("C compiler", toolchain.c_compiler),
        ("C++ compiler", toolchain.cxx_compiler),
    ):
        try:
            facts[name] = _version(find().command)
        except BuildError as error:
            facts[name] = "none"
            (report.problems if name == "C compiler" else report.notes).append(str(error))
    headers = Path(universal.python_headers()[0], "Python.h")
    if not headers.is_file() and not stable:
        report.problems.append(
            f"Python's headers are missing ({headers}): apt install python3-dev (dnf install python3-devel)"
        )
    nvcc = toolkit.nvcc()
    if nvcc:
        known = toolkit.supported(nvcc)
        span = f"{known[0] / 10} to {known[-1] / 10}" if known else "unknown architectures"
        facts["nvcc"] = f"{_version((nvcc,))} ({nvcc}), compiles for {span}"
        if (
            doubts := toolkit.doubts()
        ):  # of the machine: a repository without CUDA is none the worse
            facts["nvcc"] += f"; {doubts}"
    else:
        facts["nvcc"] = f"none: CUDA parts are left out. For them, {toolkit.how_to_install()}"
    _torch(report)
    root = cache.root()
    facts["cache"] = str(root) if root else "none"
    if root is None:
        report.notes.append(
            f"there is no cache that only you may write to: {cache.why_none()}. Builds start anew each time, "
            "load() and load_inline() fail. Set FFI_EXT_CACHE to another directory"
        )


def _torch(report: Report) -> None:
    facts = report.machine
    try:
        import torch
    except ImportError as error:
        facts["torch"] = "cannot be imported"
        report.problems.append(f"torch cannot be imported ({error}): pip install torch")
        return
    facts["torch"] = str(torch.__version__)
    facts["GPU"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    try:
        from ffi_ext import runtime

        facts["tensors are read"] = runtime.tier()
    except ImportError as error:
        facts["tensors are read"] = "not at all"
        report.problems.append(str(error))
        return
    if facts["tensors are read"] == "python":
        report.notes.append(
            "tensors are read through Python: calls work, and are slower. From torch 2.7 on, C reads them "
            "itself (FFI_EXT_TIER=python asks for the slow way)"
        )


def examine(folder: Path | None) -> Report:
    """Looks at the machine and, if one is named, at a repository."""
    report = Report()
    machine(report)
    if folder is not None:
        from ffi_ext.cli import survey, survey_sources

        survey.scripts(folder, report)
        survey.tables(folder, report)
        survey_sources.sources(folder, report)
        if not report.extensions:
            report.notes.append(
                "no call of create_extension and no [[tool.ffi-ext.extension]] was found"
            )
    return report


def main(options: argparse.Namespace) -> int:
    path = Path(options.repository) if options.repository else None
    if path is not None and not path.is_dir():
        return complain(f"doctor: there is no directory {options.repository!r}")
    report = examine(path)
    if options.json:
        print(json.dumps(asdict(report), indent=2))
        return PROBLEMS if report.problems else OK
    width = max(map(len, report.machine)) + 2
    for name, value in report.machine.items():
        print(f"{name + ':':<{width}}{value}")
    colours = {"problems": RED, "notes": YELLOW}
    for title in ("extensions", "needs", "problems", "notes"):
        lines = getattr(report, title)
        if lines:
            print(f"\n{coloured(title + ':', colours.get(title, BOLD))}")
            for line in lines:
                print(f"  {line}")
    if not report.problems:
        print("\n" + coloured("nothing here is known to fail", GREEN))
    return PROBLEMS if report.problems else OK
