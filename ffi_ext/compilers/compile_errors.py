"""Compiler output -> the first real error, with its source line and a hint."""

from __future__ import annotations

import re
from pathlib import Path

from ffi_ext.compilers import compile_hints
from ffi_ext.errors import BuildError
from ffi_ext.paths import INCLUDE

_ERROR = re.compile(
    r"^(?P<file>[^\n:][^\n:]*):(?P<line>\d+):(?:\d+:)? (?:fatal )?error: (?P<text>.*)$", re.M
)
_NVCC = re.compile(r"^(?P<file>[^\n]+?)\((?P<line>\d+)\): error:? (?P<text>.*)$", re.M)
_LINKER = re.compile(
    r"^[^:\n]*?(?:ld(?:\.\w+)?|collect2|nvcc|cc1(?:plus)?)[^:\n]*: (?:error: |fatal\s*: ?)?(?P<text>.*)$",
    re.M,
)
_DIAGNOSTIC = re.compile(r": (?:fatal )?(?:error|warning): ")
# Where the source uses what the error is in: a macro of ffi_ext's, or an intrinsic function of the compiler's.
_USED = re.compile(
    rf"^(?!{re.escape(str(INCLUDE))})(?P<file>[^\n:]+):(?P<line>\d+):\d+: note: "
    "(?:in expansion of macro|called from here)",
    re.M,
)
_THAT_IT_FAILED = re.compile(r"ld returned \d+ exit status|linker command failed")
_LONGEST = 2000  # characters of a line that is looked at: the patterns' time is quadratic in it
_MOST = 1_000_000  # characters of a log that are looked at

_UNDECLARED = re.compile(
    r"^([^\n:]+:\d+):\d+: warning: (?:implicit declaration of|call to undeclared) function '(\w+)",
    re.M,
)
# gcc knows the types of these, and takes them
_BUILT_IN = re.compile(r"incompatible implicit declaration of built-in function '(\w+)")
# errors from gcc 14 and clang 16 on, but for what keeps sources of 2017 (toolchain.LENIENT)
_MISTAKEN = re.compile(
    r"^([^\n:]+:\d+):\d+: warning: (.*) \[-W(?:incompatible-pointer-types|int-conversion)\]", re.M
)


def mistakes(log: str) -> list[str]:
    """Warnings of what C compiles and gives wrong numbers: an undeclared function, a pointer to another type."""
    built_in = set(_BUILT_IN.findall(log))
    undeclared = [
        f"{where}: {name}() is called and nothing declares it: C takes its result for an int. #include its header"
        for where, name in _UNDECLARED.findall(log)
        if name not in built_in
    ]
    mistaken = [
        f"{where}: {text}: C takes it for the other type, as it is. A cast says that it is meant"
        for where, text in _MISTAKEN.findall(log)
    ]
    return undeclared + mistaken


def explain(action: str, log: str, shown: bool = False) -> BuildError:
    """The error to raise for a compiler that failed at an action such as "compiling src/my_lib.c".

    Args:
        shown: Who builds has seen the log.
    """
    whole, log = log, "\n".join(row[:_LONGEST] for row in log[:_MOST].split("\n"))
    match = _ERROR.search(log) or _NVCC.search(log)
    if match:
        text, place = match["text"].strip(), match
        if match["file"].startswith(str(INCLUDE)) or "always_inline" in text:
            following = _DIAGNOSTIC.search(log, match.end())
            end = following.start() if following else len(log)
            place = _USED.search(log, match.end(), end) or match
        first = f"{place['file']}:{place['line']}: {text}"
        line = _source_line(place["file"], int(place["line"]))
        if line:
            first += f"\n    {line}"
    else:
        text = _linker_text(log)
        first = text
    hint = compile_hints.hint(text + "\n" + log)
    if hint == compile_hints.IS_CXX and action.startswith("reading"):
        hint = "headers are read as C; keep C++ in the sources, or behind #ifdef __cplusplus"
    message = f"{action} failed: {first}"
    if hint:
        message += f"\nhint: {hint}"
    if not shown:
        message += (
            "\nThe compiler's whole output: set FFI_EXT_VERBOSE=1, or see the exception's .log"
        )
    return BuildError(message, whole)


def _source_line(path: str, number: int) -> str:
    try:
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except (OSError, ValueError):  # ValueError: a null byte in what looked like a name
        return ""
    return lines[number - 1].strip() if 0 < number <= len(lines) else ""


def _linker_text(log: str) -> str:
    rows = log.strip().splitlines()
    rows = [row for row in rows if not _THAT_IT_FAILED.search(row)] or rows[-1:]
    for row in rows:
        if re.search(
            r"cannot find|undefined reference|multiple definition|unrecognized|error|No space|denied",
            row,
        ):
            found = _LINKER.match(row)
            return (found["text"] if found else row).strip()
    return rows[-1].strip() if rows else "the compiler printed nothing"
