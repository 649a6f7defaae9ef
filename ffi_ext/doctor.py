"""`ffi-ext doctor`: what this machine has, what a repository needs, what will fail and how to repair it.

Build scripts are read, never run.
"""

from __future__ import annotations

import ast
import json
import platform
import re
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ffi_ext import cache, cuda, elf, toolchain
from ffi_ext.errors import BuildError

SKIPPED = {".git", ".venv", "venv", "node_modules", "__pycache__", "build", "dist"}


@dataclass
class Report:
    """Facts, what will fail (with the cure), and what is repaired on the way."""

    machine: dict[str, str] = field(default_factory=dict)
    extensions: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def _version(command: tuple[str, ...]) -> str:
    status, text = toolchain.run([*command, "--version"])
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1 if "nvcc" in command[0] and status == 0 else 0].strip() if lines else "unknown"


def machine(report: Report) -> None:
    """Fills in the machine's facts; what no build can do without is a problem."""
    facts = report.machine
    facts["Python"] = f"{platform.python_version()} ({sys.executable})"
    for name, find in (
        ("C compiler", toolchain.c_compiler),
        ("C++ compiler", toolchain.cxx_compiler),
    ):
        try:
            facts[name] = _version(find().command)
        except BuildError as error:
            facts[name] = "none"
            (report.problems if name == "C compiler" else report.notes).append(str(error))
    nvcc = cuda.nvcc()
    if nvcc:
        known = cuda.supported(nvcc)
        span = f"{known[0] / 10} to {known[-1] / 10}" if known else "unknown architectures"
        facts["nvcc"] = f"{_version((nvcc,))} ({nvcc}), compiles for {span}"
    else:
        facts["nvcc"] = "none: CUDA parts are left out"
    try:
        import torch

        facts["torch"] = str(torch.__version__)
        facts["GPU"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
        from ffi_ext import runtime

        facts["tensors are read"] = runtime.tier()
    except ImportError as error:
        facts["torch"] = "cannot be imported"
        report.problems.append(f"torch cannot be imported ({error}): pip install torch")
    root = cache.root()
    facts["cache"] = str(root) if root else "none: builds start anew each time"


def _files(folder: Path, *suffixes: str) -> list[Path]:
    found = [p for p in sorted(folder.rglob("*")) if p.suffix in suffixes and p.is_file()]
    return [p for p in found if not SKIPPED.intersection(p.relative_to(folder).parts)]


def _names_of(node: ast.expr) -> str:
    return ast.unparse(node) if node is not None else ""


def _read_script(path: Path, shown: str, report: Report) -> None:
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        report.problems.append(
            f"{shown}:{error.lineno}: no Python 3 ({error.msg}): convert that file by hand or with 2to3"
        )
        return
    except ValueError as error:
        report.problems.append(f"{shown}: cannot be read ({error})")
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "torch.utils.cpp_extension":
            names = {alias.asname or alias.name: alias.name for alias in node.names}
            if names.get("create_extension") == "BuildExtension":
                report.problems.append(
                    f"{shown}:{node.lineno}: BuildExtension is no create_extension: write "
                    "`from torch.utils.ffi import create_extension`"
                )
        if (
            isinstance(node, ast.Call)
            and _names_of(node.func).rpartition(".")[2] == "create_extension"
        ):
            keywords = {k.arg: _names_of(k.value) for k in node.keywords if k.arg}
            name = _names_of(node.args[0]) if node.args else keywords.get("name", "?")
            report.extensions.append(f"{shown}:{node.lineno}: {name}")
        if isinstance(node, ast.ClassDef) and any(
            _names_of(base).rpartition(".")[2] == "Function" for base in node.bases
        ):
            for item in node.body:
                if (
                    isinstance(item, ast.FunctionDef)
                    and item.name == "forward"
                    and not item.decorator_list
                ):
                    report.notes.append(
                        f"{shown}:{node.lineno}: {node.name} is an old-style autograd Function: it works "
                        "under `ffi-ext run` and after install(autograd=True)"
                    )


def _read_c(folder: Path, report: Report) -> None:
    """Names of TH and THC that are used and that nothing here or in the runtime defines."""
    text = {
        p: p.read_text(encoding="utf-8", errors="replace")
        for p in _files(folder, ".c", ".cpp", ".cc", ".cu", ".h")
    }
    everything = "\n".join(text.values())
    headers = "\n".join(
        p.read_text() for p in Path(__file__).parent.joinpath("include").rglob("*.*h")
    )
    known: set[str] = set()
    for library in Path(__file__).parent.glob("_runtime*.so"):
        symbols = elf.symbols(library)
        known |= symbols.defined if symbols else set()
    known |= set(re.findall(r"\b_*THC?\w+", headers))
    for path, content in text.items():
        code = re.sub(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"", " ", content, flags=re.S)
        used = set(
            re.findall(
                r"\b(THC?[A-Z]\w*?(?:Tensor|Storage|Blas|Random|Vector|State)_\w+)\s*\(", code
            )
        )
        unknown = sorted(
            name
            for name in used - known
            if not re.search(rf"\b{name}\s*\([^;{{}}]*\)\s*\{{|#\s*define\s+{name}\b", everything)
        )
        if unknown:
            report.problems.append(
                f"{path.relative_to(folder)}: {', '.join(unknown)}: not part of ffi_ext's TH and THC; write "
                "the operation out over the tensor's data, or do it in Python before the call"
            )
        if re.search(r"\btexture\s*<", code):
            report.problems.append(
                f"{path.relative_to(folder)}: texture references are gone since CUDA 12: use texture objects "
                "or plain loads (__ldg)"
            )
    for path in _files(folder, ".sh", ".mk") + [p for p in folder.rglob("Makefile") if p.is_file()]:
        dead = re.findall(
            r"(?:sm|compute)_(\d+)", path.read_text(encoding="utf-8", errors="replace")
        )
        nvcc = cuda.nvcc()
        gone = sorted({int(n) for n in dead} - set(cuda.supported(nvcc))) if nvcc else []
        if gone:
            report.notes.append(
                f"{path.relative_to(folder)}: architectures {', '.join(map(str, gone))} are gone from this nvcc: "
                "left out under `ffi-ext run`"
            )


def examine(folder: Path | None) -> Report:
    """Looks at the machine and, if one is named, at a repository."""
    report = Report()
    machine(report)
    if folder is not None:
        for path in _files(folder, ".py"):
            _read_script(path, str(path.relative_to(folder)), report)
        _read_c(folder, report)
        if not report.extensions:
            report.notes.append("no call of create_extension was found")
    return report


def main(folder: str | None, as_json: bool) -> int:
    """Prints the report. Returns 1 if something will fail, else 0."""
    path = Path(folder) if folder else None
    if path is not None and not path.is_dir():
        print(f"ffi-ext doctor: there is no directory {folder!r}", file=sys.stderr)
        return 2
    report = examine(path)
    if as_json:
        print(json.dumps(asdict(report), indent=2))
    else:
        width = max(map(len, report.machine)) + 2
        for name, value in report.machine.items():
            print(f"{name + ':':<{width}}{value}")
        for title in ("extensions", "problems", "notes"):
            lines = getattr(report, title)
            if lines:
                print(f"\n{title}:")
                for line in lines:
                    print(f"  {line}")
        if not report.problems:
            print("\nnothing here is known to fail")
    return 1 if report.problems else 0
