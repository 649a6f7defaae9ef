"""C text, and that of what it includes by names in quotes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from ffi_ext.paths import INCLUDE

_INCLUDED = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"\n]+)"', re.M)


def text_at(path: Path) -> str:
    """A file's text, whatever bytes it has; "" of one that cannot be read, of which the compiler tells."""
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError:
        return ""


def texts(paths: Iterable[Path], folders: Sequence[str]) -> dict[Path, str]:
    """The files' texts, and those of what they include from beside them or from the folders, but for TH's headers."""
    found: dict[Path, str] = {}
    waiting = [*paths]
    while waiting:
        path = waiting.pop()
        if path in found or path.is_relative_to(INCLUDE):
            continue
        found[path] = text_at(path)
        for name in _INCLUDED.findall(found[path]):
            places = (Path(folder, name) for folder in (str(path.parent), *folders))
            waiting += [place.resolve() for place in places if place.is_file()][:1]
    return found
