"""What the preprocessor gives, line markers and macros: whose text it is, and the statements in it."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from ffi_ext.errors import HeaderError
from ffi_ext.headers import ctext
from ffi_ext.headers.statements import Statement, statements_of

# No file has a null in its name. A flag 1 says that it begins here, a 2 that it goes on behind what it included;
# without either it may be a name that a #line gives to what follows in the same file.
_MARKER = re.compile(r'^#\s+(\d+)\s+"((?:[^"\\\0]|\\[^\0])*)"(?:\s+([12])\b)?')
_GUARD = re.compile(r"\s*#[ \t]*ifndef[ \t]+(\w+)\s+#[ \t]*define[ \t]+\1\b")
_IF = re.compile(r"^[ \t]*#[ \t]*(if|endif).*", re.M)
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
    text: str, headers: Mapping[Path, list[str]]
) -> tuple[list[Statement], list[Statement], dict[str, str]]:
    """The own statements of headers, given with their lines, those of the files they include, and their own macros."""
    rows = _Rows(headers)
    for row in text.split("\n"):
        if not row.startswith("#"):
            rows.take(row)
        elif marker := _MARKER.match(row):
            rows.go_to(int(marker[1]), _unescaped(marker[2]), marker[3])
        else:
            rows.obey(row)
            rows.take("")
    _refuse_one_guard(rows.definers, headers)
    own = [s for header, lines in headers.items() for s in _own(rows.pieces, header, lines)]
    foreign = [
        s
        for path, others in _others(rows.pieces, headers)
        for s in statements_of(_PROTOTYPE.sub("", others), path, [])
    ]
    return own, foreign, rows.macros


class _Rows:
    """The rows of preprocessed text: whose they are, and the headers' own macros."""

    def __init__(self, headers: Mapping[Path, list[str]]) -> None:
        self._headers = {_resolved(header): header for header in headers}
        self._lines = {header: _Lines(lines) for header, lines in headers.items()}
        self.pieces: list[_Piece] = [(next(iter(headers)), 1, [], False)]
        self.macros: dict[str, str] = {}
        self.definers: dict[str, list[Path]] = {}  # of all macros: the files
        self._files: list[Path] = []  # that are open
        self._mine: Path | None = None  # the header that the rows are of
        self._before = ""  # the name in the marker before
        self._packing = ""
        self._outer: list[str] = []  # what #pragma pack(pop) goes back to
        self._unfinished: list[str] = []  # since the last file that a declaration did not include
        # enum { #include "names.def" }: the header and its line that it is the text of
        self._within: tuple[Path, int] | None = None

    def go_to(self, line: int, name: str, flag: str | None) -> None:
        """What a marker says of the rows behind it."""
        begins, of_compiler = flag == "1", name.startswith("<")  # <built-in>, <command-line>
        before, first, rows, _ = self.pieces[-1]
        if self._mine and begins:
            if _OPEN.search(ctext.blank_quoted("\n".join(self._unfinished))):
                self._within = before, first + len(rows)
            else:
                self._unfinished = []
        if flag == "2":
            self._files.pop()
        if begins or not self._files:
            self._files.append(Path(name))
        here = Path(name) if of_compiler else self._files[-1]
        self._mine = None if of_compiler else self._headers.get(_resolved(here))
        if self._mine:
            line = self._lines[self._mine].place_of(line, name, name == self._before)
            self._within = None
        if self._mine or of_compiler:
            self._before = name
        self.pieces.append((self._mine or here, line, [], begins))

    def obey(self, directive: str) -> None:
        define, undef = _DEFINE.match(directive), _UNDEF.match(directive)
        if define:
            self.definers.setdefault(define[1], []).append(self.pieces[-1][0])
            if self._mine and not define[2]:
                self.macros[define[1]] = define[3]
        elif undef:
            self.macros.pop(undef[1], None)
        self._packing = _packing_after(directive, self._packing, self._outer)

    def take(self, row: str) -> None:
        if self._packing:
            row = re.sub(r"\b(?:struct|union)\b", rf"\g<0> __attribute__(({self._packing}))", row)
        if self._mine or self._within:
            self._unfinished.append(row)
        if self._within:
            self.pieces.append((*self._within, [row], False))
        else:
            self.pieces[-1][2].append(row)


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


def names_of(text: str) -> set[str]:
    """The files that preprocessed text came from, as the compiler names them."""
    rows = map(_MARKER.match, {*re.findall(r"^# .*", text, re.M)})
    names = {_unescaped(row[2]) for row in rows if row}
    return {name for name in names if not name.startswith("<")}


def parts_of(text: str, headers: Sequence[Path]) -> set[Path]:
    """Those of the headers that others include before their turn comes in preprocessed text."""
    known = {_resolved(header): header for header in headers}
    parts: set[Path] = set()
    open_: list[str] = []
    for marker in map(_MARKER.match, re.findall(r"^# .*", text, re.M)):
        if marker and marker[3] == "2":
            del open_[-1:]
        elif marker and marker[3]:
            header = known.pop(_resolved(Path(_unescaped(marker[2]))), None)
            if header and not all(name.startswith("<") for name in open_):
                parts.add(header)
            open_.append(marker[2])
    return parts


def _unescaped(name: str) -> str:
    """As it was before gcc wrote \\ and \" in it; clang has all that is not ASCII in octal, too."""
    raw = re.sub(
        rb"\\(?:([0-7]{3})|(.))",
        lambda found: bytes([int(found[1], 8)]) if found[1] else found[2],
        name.encode("utf-8", "surrogateescape"),
    )
    return raw.decode("utf-8", "surrogateescape")


@cache
def _resolved(path: Path) -> Path:
    return path.resolve()


def _refuse_one_guard(
    definers: Mapping[str, list[Path]], headers: Mapping[Path, list[str]]
) -> None:
    """A header that is left out since a file before it has the same include guard would export nothing, silently."""
    for header, lines in headers.items():
        guard = _guard_of(ctext.blank_comments("\n".join(lines)))
        files = definers.get(guard, [header])
        if header not in files and headers.get(files[0]) != lines:
            raise HeaderError(
                f"{header} has the include guard of {files[0]}, {guard}, by which the compiler leaves it out: give it "
                "one of its own"
            )


def _guard_of(text: str) -> str:
    """The macro of the #ifndef and #define that all of a header stands in: of a default not all does."""
    depth, guard = 0, _GUARD.match(text)
    for row in _IF.finditer(text):
        depth += 1 if row[1] == "if" else -1
        if depth == 0:
            return guard[1] if guard and not text[row.end() :].strip() else ""
    return ""


def _own(pieces: list[_Piece], header: Path, original: list[str]) -> Iterator[Statement]:
    """The header's own pieces, put back on the lines that they came from. It may be included several times."""
    lines: list[str] = []
    for path, first, rows, begins in pieces:
        if path != header:
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


def _others(pieces: list[_Piece], headers: Container[Path]) -> Iterator[tuple[Path, str]]:
    """The text of the included files, in order; a file that is interrupted by another is one text."""
    texts: dict[Path, list[str]] = {}
    for path, _, rows, _ in pieces:
        if path not in headers:
            texts.setdefault(path, []).extend(rows)
    for path, rows in texts.items():
        yield path, "\n".join(rows)
