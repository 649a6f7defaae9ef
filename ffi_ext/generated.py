"""What is generated of headers, kept from one process to the next by those that build the same each time."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from ffi_ext import cache
from ffi_ext.plan import Generated

if TYPE_CHECKING:
    from ffi_ext.extension_arguments import Arguments
    from ffi_ext.headers.preprocess import Reader


def key(given: Arguments, read: Reader, limited: bool) -> str:
    """What the generated depends on beside the content of files: arguments, compiler, and the generators."""
    theirs = sorted(given.of_libraries)  # a set has another order in each process
    said = (replace(given, of_libraries=frozenset(), verbose=False), theirs, limited)
    tools = (read.command, read.identity, *_generators())
    return cache.digest(repr((said, tools)).encode("utf-8", "surrogateescape"))


@functools.cache  # a process keeps the code that it has imported
def _generators() -> tuple[object, ...]:
    package = Path(__file__).parent
    code = [(str(path), cache.state(path)) for path in sorted(package.rglob("*.py"))]
    return version("cffi"), version("pycparser"), code


def find(kept: Path, key: str) -> Generated | None:
    """What was kept under that key, if no file behind it has changed since."""
    record = cache.load_json(kept)
    if record.get("key") != key or not cache.are_current(record["files"]):
        return None
    return Generated(**record["generated"])


def keep(kept: Path, key: str, made: Generated, files: Iterable[str], started: int) -> None:
    """Keeps it, unless one of the files that it was made of may have changed since `started`."""
    digests = cache.digests(files, started)
    if digests is not None:
        cache.keep_json(kept, {"key": key, "files": digests, "generated": asdict(made)})
