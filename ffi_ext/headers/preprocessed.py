"""What the preprocessor gives, line markers and macros: whose text it is, and the statements in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from ffi_ext.headers import ctext
from ffi_ext.headers.statements import Statement, statements_of

# No file has a null in its name. A flag 1 says that it begins here, a 2 that it goes on behind what it included;
# without either it may be a name that a #line gives to what follows in the same file.
_MARKER = re.compile(r'^#\s+(\d+)\s+"((?:[^"\\\0]|\\[^\0])*)"(?:\s+([12])\b)?')
_LINE = re.compile(r'\s*#\s*(?:line\s+)?(\d+)(?:\s+"(.*?)")?')
_DEFINE = re.compile(r"^#define\s+([A-Za-z_]\w*)(\(?)\s*(.*)$")
_PACK = re.compile(r"^#\s*pragma\s+pack\s*\((.*)\)")
_UNDEF = re.compile(r"^#undef\s+([A-Za-z_]\w*)")
# Of included files only types matter; TH's thousands of prototypes would cost more than all else.
_PROTOTYPE = re.compile(r"^[ \t]*extern\b[^\"{}\n;]*\)[ \t]*;[ \t]*$", re.M)

# A { of a type or a body, which extern "C" has not, and no } behind it.
_OPEN = re.compile(r'[^"\s]\s*\{[^{}]*$')

# Of which file, from which line on, the lines, and whether the file begins.
_Piece = tuple[Path, int, list[str], bool]


def split(
    text: str, header: Path, original: list[str]
) -> tuple[list[Statement], list[Statement], dict[str, str]]:
    """The header's own statements, those of the files it includes, and its own macros.

    Args:
        text: The preprocessor's.
        original: The header's lines.
    """
    pieces: list[_Piece] = []
    macros: dict[str, str] = {}
    here, line, mine = header, 1, False
    files: list[Path] = []  # that are open
    lines, before = _Lines(original), ""  # the name in the marker before
    packing = ""
    outer: list[str] = []  # what #pragma pack(pop) goes back to
    unfinished: list[str] = []  # rows since the last file that a declaration did not include
    within = 0  # enum { #include "names.def" }: the header's line that it is the text of
    for row in text.split("\n"):
        marker = _MARKER.match(row)
        if marker:
            name, begins = re.sub(r"\\(.)", r"\1", marker.group(2)), marker.group(3) == "1"
            if mine and begins:
                if _OPEN.search(ctext.blank_quoted("\n".join(unfinished))):
                    within = pieces[-1][1] + len(pieces[-1][2])
                else:
                    unfinished = []
            if marker.group(3) == "2":
                files.pop()
            if begins or not files:
                files.append(Path(name))
            of_compiler = name.startswith("<")  # <built-in>, <command-line>
            here, line = Path(name) if of_compiler else files[-1], int(marker.group(1))
            mine = not of_compiler and _same(here, header)
            if mine:
                line = lines.place_of(line, name, name == before)
            if mine or of_compiler:
                before = name
            within = 0 if mine else within
            pieces.append((here, line, [], begins))
            continue
        define, undef = _DEFINE.match(row), _UNDEF.match(row)
        if mine and define and not define.group(2):
            macros[define.group(1)] = define.group(3)
        elif undef:
            macros.pop(undef.group(1), None)
        if not pieces:
            pieces.append((here, line, [], False))
        if row.startswith("#"):
            packing = _packing_after(row, packing, outer)
            row = ""
        elif packing:
            row = re.sub(r"\b(?:struct|union)\b", rf"\g<0> __attribute__(({packing}))", row)
        if mine or within:
            unfinished.append(row)
        if within:
            pieces.append((header, within, [row], False))
        else:
            pieces[-1][2].append(row)
    own = list(_own(pieces, header, original))
    foreign = [
        s
        for path, rows in _others(pieces, header)
        for s in statements_of(_PROTOTYPE.sub("", rows), path, [])
    ]
    return own, foreign, macros


class _Lines:
    """Where a header's lines stand, to which a #line may give other numbers."""

    def __init__(self, original: list[str]) -> None:
        rows = enumerate(map(_LINE.match, original), start=1)
        self._directives = [(place, int(row[1]), row[2]) for place, row in rows if row]
        self._last = self._further = 0  # the directive that counts, and by how much

    def place_of(self, number: int, name: str, again: bool) -> int:
        """The line of which a marker gives number and name; `again`: the one before gave that name, too."""
        names = (name, None) if again else (name,)  # None: of a #line without one
        for place, said, of in self._directives:
            if place > self._last and said == number and of in names:
                self._last, self._further = place, place + 1 - number
                break
        return number + self._further


def _packing_after(row: str, packing: str, outer: list[str]) -> str:
    """The attribute of structs behind a directive: "packed" or "aligned" by a #pragma pack, else ""."""
    pack = _PACK.match(row)
    if pack is None:
        return packing
    words = [word.strip() for word in pack[1].split(",")]
    if words[0] == "push":
        outer.append(packing)
    if words[0] == "pop":
        return outer.pop() if outer else ""
    if words[-1].isdigit() or words == [""]:
        return {"": "", "1": "packed"}.get(words[-1], "aligned")
    return packing


def macros_of(texts: Iterable[str]) -> dict[str, str]:
    """All macros in preprocessed texts, and what they stand for."""
    return dict(pair for text in texts for pair in re.findall(r"^#define (\w+)(.*)", text, re.M))


def files_of(text: str) -> frozenset[Path]:
    """The files that preprocessed text came from."""
    rows = map(_MARKER.match, re.findall(r"^# .*", text, re.M))
    names = {re.sub(r"\\(.)", r"\1", row[2]) for row in rows if row}
    return frozenset(_resolved(Path(name)) for name in names if not name.startswith("<"))


def is_among(files: frozenset[Path], header: Path) -> bool:
    """Whether a header is one of `files_of`."""
    return _resolved(header) in files


@cache
def _resolved(path: Path) -> Path:
    return path.resolve()


def _same(path: Path, header: Path) -> bool:
    return _resolved(path) == _resolved(header)


def _own(pieces: list[_Piece], header: Path, original: list[str]) -> Iterator[Statement]:
    """The header's own pieces, put back on the lines that they came from. It may be included several times."""
    lines: list[str] = []
    for path, first, rows, begins in pieces:
        if not _same(path, header):
            continue
        if begins and lines:
            yield from statements_of("\n".join(lines), header, original)
            lines = []
        for offset, row in enumerate(rows):
            number = first + offset
            while len(lines) < number:
                lines.append("")
            lines[number - 1] += (" " if lines[number - 1] else "") + row
    yield from statements_of("\n".join(lines), header, original)


def _others(pieces: list[_Piece], header: Path) -> Iterator[tuple[Path, str]]:
    """The text of the included files, in order; a file that is interrupted by another is one text."""
    texts: dict[Path, list[str]] = {}
    for path, _, rows, _ in pieces:
        if not _same(path, header):
            texts.setdefault(path, []).extend(rows)
    for path, rows in texts.items():
        yield path, "\n".join(rows)
