"""What the C and CUDA of a repository use that is no more: functions of TH and THC, textures, architectures."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from ffi_ext.builder import symbols_check
from ffi_ext.cli.report import Report
from ffi_ext.cli.survey import files
from ffi_ext.cuda import toolkit
from ffi_ext.headers import ctext
from ffi_ext.paths import INCLUDE

# A variable or parameter; `asm volatile` is no matter of memory.
_VOLATILE = re.compile(r"(?<!asm )(?<!asm__ )\bvolatile\b")


def _known_names() -> set[str]:
    """What the runtime defines and the headers declare."""
    headers = "\n".join(p.read_text() for p in INCLUDE.rglob("*.*h"))
    return {*re.findall(r"\b_*THC?\w+", headers), *symbols_check.runtime_names()}


def sources(folder: Path, report: Report) -> None:
    """Names of TH and THC that are used and that nothing here or in the runtime defines; dead CUDA."""
    text = {
        p: p.read_text(encoding="utf-8", errors="replace")
        for p in files(folder, ".c", ".cpp", ".cc", ".cu", ".h")
    }
    everything = "\n".join(text.values())
    known = _known_names()
    for path, content in text.items():
        shown = path.relative_to(folder)
        code = ctext.blank_quoted(ctext.blank_comments(content))
        if unknown := _unknown(code, known, everything):
            report.problems.append(
                f"{shown}: {', '.join(unknown)}: not part of ffi_ext's TH and THC; write the "
                "operation out over the tensor's data, or do it in Python before the call"
            )
        old = re.search(r'^\s*#\s*include\s*[<"](THC?/\S+)[>"]', content, re.M)
        if old and re.search(r'^\s*#\s*include\s*[<"](ATen|torch)/', content, re.M):
            report.notes.append(
                f"{shown}: <{old[1]}> went with torch 1.11: torch's own cpp_extension finds ffi_ext's under `ffi-ext "
                "run`; elsewhere, what it has built needs `import ffi_ext.runtime` before"
            )
        if re.search(r"\btexture\s*<", code):
            report.problems.append(
                f"{shown}: texture references are gone since CUDA 12: use texture objects or plain loads "
                "(__ldg)"
            )
        if _VOLATILE.search(code) and "__shared__" in code and "__syncwarp" not in code:
            report.notes.append(
                f"{shown}: volatile shared memory: where it sums within a warp, it counts on threads in step, which "
                "GPUs since Volta do not promise; write __syncwarp() between the steps"
            )
    _nvcc_lines(folder, report)


def _unknown(code: str, known: set[str], everything: str) -> list[str]:
    """The functions of TH and THC that C code calls, and that are not known and nothing in `everything` defines."""
    names = {
        name: name
        for name in re.findall(
            r"\b(THC?[A-Z]\w*?(?:Tensor|Storage|Blas|Random|Vector|State)_\w+)\s*\(", code
        )
    }
    for c, kind, name in re.findall(r"\bTH(C?)(Tensor|Storage)_\((\w+)\)", code):
        # its float kind stands for all
        names[f"{'THCuda' if c else 'THFloat'}{kind}_{name}"] = f"TH{c}{kind}_({name})"
    shown = {names[name] for name in names.keys() - known}
    return sorted(name for name in shown if not _is_defined(name, everything))


def _is_defined(name: str, text: str) -> bool:
    """Whether some file defines it, or `THTensor_(name)` for THFloatTensor_name and its kin, or has a macro of it."""
    escaped = re.escape(name)
    generic = rf"\bTHC*(Tensor|Storage)_\({re.escape(name.partition('_')[2])}\)"
    return bool(
        re.search(
            rf"({escaped}|{generic})\s*\([^;{{}}]*\)\s*\{{|#\s*define\s+{escaped}(?!\w)", text
        )
    )


# A nvcc that is called by a path: the variable that it is the value of, the path, and what follows.
_BY_PATH = re.compile(r"^[^#\n]*?(?:(\w+)\s*[:?]?=\s*)?([$/~]\S*/nvcc)\b([^#\n]*)", re.M)


def _nvcc_lines(folder: Path, report: Report) -> None:
    """Lines of scripts for GPUs that are gone, and those that `run` does not reach, since they have nvcc's path."""
    nvcc = toolkit.nvcc()
    known = set(toolkit.supported(nvcc)) if nvcc else set()
    for path in files(folder, ".sh", ".mk", ".py") + [
        p for p in folder.rglob("Makefile") if p.is_file()
    ]:
        text = path.read_text(encoding="utf-8", errors="replace")
        gone = {int(n) for n in re.findall(r"(?:sm|compute)_(\d+)", text)} - known if known else ()
        by_path = _BY_PATH.search(text) if path.suffix != ".py" else None
        variable, called, rest = by_path.groups() if by_path else ("", "", "")
        calls = called.startswith("/") and (variable or rest.lstrip().startswith("-"))
        said = f"{path.relative_to(folder)}: "
        if gone:
            said += f"architectures {', '.join(map(str, sorted(gone)))} are gone from this nvcc"
            said += f", which it calls as {called}" if called else ""
        elif calls and not Path(called).exists():
            said += f"there is no {called}, which it calls"
        else:
            continue
        if not called:
            report.notes.append(f"{said}: left out under `ffi-ext run`")
        elif variable and path.suffix != ".sh":
            word = shlex.quote(f"{variable}=nvcc{rest.rstrip()}")
            report.problems.append(
                f"{said}: `ffi-ext run -- make {word}` calls ffi-ext's, which repairs the line"
            )
        elif path.suffix != ".sh" or re.search(r"^\s*set\s+-\w*e", text, re.M):
            report.problems.append(
                f"{said}: it stops at that line; run the build script alone, which makes the objects itself"
            )
        else:
            report.notes.append(f"{said}: that line fails, and the build makes the objects itself")
