"""C text, and that of what it includes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from ffi_ext.paths import INCLUDE

_IN_QUOTES = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"\n]+)"', re.M)
_IN_EITHER = re.compile(r'^[ \t]*#[ \t]*include[ \t]*["<]([^">\n]+)[">]', re.M)


def text_at(path: Path) -> str:
    """A file's text, whatever bytes it has; "" of one that cannot be read, of which the compiler tells."""
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError:
        return ""


def texts(
    paths: Iterable[Path], folders: Sequence[str], in_angles: bool = False
) -> dict[Path, str]:
    """The files' texts, and those of what they include from beside them or from the folders, but for TH's headers.

    Args:
        in_angles: By names in angle brackets, too: of a large library, these are hundreds.
    """
    names = _IN_EITHER if in_angles else _IN_QUOTES
    found: dict[Path, str] = {}
    waiting = [*paths]
    while waiting:
        path = waiting.pop()
        if path in found or path.is_relative_to(INCLUDE):
            continue
        found[path] = text_at(path)
        for name in names.findall(found[path]):
            places = (Path(folder, name) for folder in (str(path.parent), *folders))
            waiting += [place.resolve() for place in places if place.is_file()][:1]
    return found
