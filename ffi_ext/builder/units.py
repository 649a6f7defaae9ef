"""Translation units: the command and the files that an object is made by and from."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from ffi_ext import cache
from ffi_ext.builder.plan import Plan, compile_command
from ffi_ext.compilers import toolchain

RECORD_VERSION = 7  # of what builds keep of each other


@dataclass(frozen=True)
class Unit:
    """A translation unit: its source, the command but for the output, and what it is built from."""

    source: Path
    command: tuple[str, ...]  # the quick one, which no Python is named in
    key: str  # of command, compiler and source
    generated: bool


def unit_of(plan: Plan, source: Path, content: bytes, generated: bool = False) -> Unit:
    command, identity = compile_command(plan, source, generated, quick=True)
    depends = [cache.file_digest(path) for path in plan.depends]
    described = json.dumps([RECORD_VERSION, command, identity, cache.digest(content), depends])
    return Unit(source, command, cache.digest(described.encode()), generated)


def milliseconds(unit: Unit) -> float:
    """About what compiling takes, by the kind and the size of the source."""
    kilobytes = os.path.getsize(unit.source) / 1000
    if unit.generated:  # not optimized
        return 10 + kilobytes
    if unit.source.suffix in toolchain.CUDA_SUFFIXES:
        return 3000 + 100 * kilobytes
    return (200 if unit.source.suffix in toolchain.CXX_SUFFIXES else 30) + 12 * kilobytes


def dependencies_of(depfile: Path, source: Path) -> list[str]:
    """The files of a make rule "object: source header ...", without the source."""
    try:
        text = depfile.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:  # a compiler that writes none
        return []
    _, _, names = text.replace("\\\n", " ").partition(": ")
    # As compilers escape for make: a blank gets a backslash, and backslashes before it are doubled.
    blanks = {" ": "\0", "\t": "\1"}
    joined = re.sub(r"(\\*)\\([ \t])", lambda m: "\\" * (len(m[1]) // 2) + blanks[m[2]], names)
    unescaped = joined.replace("$$", "$").replace("\\#", "#")
    found = [n.replace("\0", " ").replace("\1", "\t") for n in re.split(r"[ \n]+", unescaped) if n]
    # A name with a line break comes out in pieces, which exist nowhere.
    paths = [os.path.abspath(n) for n in found if os.path.exists(n)]
    return [path for path in paths if path != str(source)]
