"""Headers cut into statements, with their places and comments. Knows no compiler and no cffi model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ffi_ext import ctext

FUNCTION, TYPE, CONSTANT, VARIABLE, DROPPED = "function", "type", "constant", "variable", "dropped"

_MARKER = re.compile(r'^#\s+(\d+)\s+"((?:[^"\\\0]|\\[^\0])*)"')  # no file has a null in its name
_DEFINE = re.compile(r"^#define\s+([A-Za-z_]\w*)(\(?)\s*(.*)$")
_PACK = re.compile(r"^#\s*pragma\s+pack\s*\((.*)\)")
_PACKED = re.compile(r"__attribute(?:__)?\s*\(\((?:[^()]|\([^()]*\))*\b(?:__)?packed\w*\b")
_UNDEF = re.compile(r"^#undef\s+([A-Za-z_]\w*)")
# Of included files only types matter; TH's thousands of prototypes would cost more than all else.
_PROTOTYPE = re.compile(r"^[ \t]*extern\b[^\"{}\n;]*\)[ \t]*;[ \t]*$", re.M)
_NOISE = re.compile(
    r"\b(?:TH_API|THC_API|TH_EXTERNC|THC_EXTERNC|__extension__|_Noreturn|restrict|__restrict__"
    r"|__restrict|__const__|__volatile__|__inline__|__inline|inline)\b"
)
# int (f)(int n): libraries write it so that a macro f(n) does not hit the declaration.
_NAME_IN_PARENTHESES = re.compile(r"^([^(=]*[\w*\s])\(\s*([A-Za-z_]\w*)\s*\)(?=\s*\()")
# A number that cffi computes itself: no sizeof, cast, comparison, ? : or escape.
_COMPUTED = re.compile(r"(?:[\s()+\-*/%^\w]|'[^'\\]'|<<|>>|&(?!&)|\|(?!\|))*")
_NOT_COMPUTED = re.compile(r"\b(?:sizeof|_Alignof)\b|\)\s*[\w('\"]")


@dataclass(frozen=True)
class Statement:
    """One top-level statement of a header."""

    kind: str
    name: str
    text: str  # as written
    declaration: str  # on one line, as cffi reads it
    where: str  # "my_lib.h:12"
    comment: str = ""
    defines: tuple[str, ...] = ()
    enumerators: tuple[str, ...] = ()
    packed: bool = False  # its structs have no gaps


def has_directives(text: str) -> bool:
    """Whether a header needs the preprocessor."""
    return re.search(r"^[ \t]*#", ctext.blank_comments(text), re.M) is not None


def split(text: str, header: Path) -> list[Statement]:
    """The statements of a header without directives."""
    return list(_statements(ctext.blank_comments(text), header, text.split("\n")))


def split_preprocessed(
    text: str, header: Path
) -> tuple[list[Statement], list[Statement], dict[str, str]]:
    """The header's own statements, those of the files it includes, and its own macros."""
    pieces: list[tuple[Path, int, list[str]]] = []
    macros: dict[str, str] = {}
    here, line, mine, packed = header, 1, False, False
    for row in text.split("\n"):
        marker = _MARKER.match(row)
        if marker:
            name = re.sub(r"\\(.)", r"\1", marker.group(2))
            here, line = Path(name), int(marker.group(1))
            mine = not name.startswith("<") and _same(here, header)
            pieces.append((here, line, []))
            continue
        define, undef = _DEFINE.match(row), _UNDEF.match(row)
        if mine and define and not define.group(2):
            macros[define.group(1)] = define.group(3)
        elif undef:
            macros.pop(undef.group(1), None)
        if not pieces:
            pieces.append((here, line, []))
        if row.startswith("#"):
            if pack := _PACK.match(row):
                packed = pack[1].split(",")[-1].strip() == "1"
            row = ""
        elif packed:
            row = re.sub(r"\b(?:struct|union)\b", r"\g<0> __attribute__((packed))", row)
        pieces[-1][2].append(row)
    original = header.read_text(encoding="utf-8-sig", errors="replace").split("\n")
    own = list(_statements_of(pieces, header, original))
    foreign = [
        s
        for path, rows in _others(pieces, header)
        for s in _statements(_PROTOTYPE.sub("", rows), path, [])
    ]
    return own, foreign, macros


@cache
def _resolved(path: Path) -> Path:
    return path.resolve()


def _same(path: Path, header: Path) -> bool:
    return path == header or _resolved(path) == _resolved(header)


def _statements_of(
    pieces: list[tuple[Path, int, list[str]]], header: Path, original: list[str]
) -> Iterator[Statement]:
    """The header's own pieces, put back on the lines that they came from."""
    lines: list[str] = []
    for path, first, rows in pieces:
        if not _same(path, header):
            continue
        for offset, row in enumerate(rows):
            number = first + offset
            while len(lines) < number:
                lines.append("")
            lines[number - 1] += (" " if lines[number - 1] else "") + row
    yield from _statements("\n".join(lines), header, original)


def _others(pieces: list[tuple[Path, int, list[str]]], header: Path) -> Iterator[tuple[Path, str]]:
    """The text of the included files, in order; a file that is interrupted by another is one text."""
    texts: dict[Path, list[str]] = {}
    for path, _, rows in pieces:
        if not _same(path, header):
            texts.setdefault(path, []).extend(rows)
    for path, rows in texts.items():
        yield path, "\n".join(rows)


def _statements(text: str, header: Path, original: list[str]) -> Iterator[Statement]:
    text = re.sub(r'extern\s*"C(?:\+\+)?"', lambda m: "\1" + " " * (len(m.group()) - 1), text)
    depth = parentheses = 0
    start = None
    linkage = 0  # open extern "C" { blocks
    pending_linkage = False
    body_of_function = False
    for position, character in enumerate(text):
        if character == "\1":
            pending_linkage = True
            continue
        if start is None:
            if character.isspace() or character == ";":
                continue
            if character == "{" and pending_linkage:
                linkage += 1
                pending_linkage = False
                continue
            if character == "}" and linkage:
                linkage -= 1
                continue
            start = position
            pending_linkage = False
            body_of_function = False
        if character in "([":
            parentheses += 1
        elif character in ")]":
            parentheses -= 1
        elif character == "{":
            if depth == 0:
                before = text[start:position].rstrip()
                if before.endswith(")"):  # struct __attribute__((packed)) { is no function
                    before = ctext.without_attributes(before).rstrip()
                body_of_function = before.endswith(")") or before.endswith("const")
            depth += 1
        elif character == "}":
            depth -= 1
            if depth == 0 and body_of_function:
                yield _dropped(text[start : position + 1], header, text, start)
                start = None
        elif character == ";" and depth == 0 and parentheses == 0:
            yield from _statement(text[start : position + 1], header, original, text, start)
            start = None
    if start is not None and text[start:].strip():
        yield from _statement(text[start:], header, original, text, start)


def _dropped(text: str, header: Path, whole: str, start: int) -> Statement:
    line = whole.count("\n", 0, start) + 1
    return Statement(DROPPED, "", text, "", f"{header.name}:{line}")


def _statement(
    text: str, header: Path, original: list[str], whole: str, start: int
) -> list[Statement]:
    """What stands before a semicolon: one statement, but for variables, which are one each."""
    line = whole.count("\n", 0, start) + 1
    last = line + text.count("\n")
    where = f"{header.name}:{line}"
    declaration = _clean(text)
    packed = "packed" in text and _PACKED.search(text) is not None
    flat = re.sub(r"\{.*\}", "{}", declaration, flags=re.S)
    comment = ctext.comment_of(original, line, last)
    if declaration.startswith(("_Static_assert", "static_assert")):
        return [Statement(DROPPED, "", text, "", where)]
    if declaration.startswith("typedef"):
        names, values = _typedef_names(declaration), _enumerators(declaration)
        return [Statement(TYPE, "", text, declaration, where, comment, names, values, packed)]
    if re.match(r"(?:const\s+)?(?:struct|union|enum)\b[^()=;]*\{\}\s*;?$", flat) or re.match(
        r"(?:struct|union|enum)\s+\w+\s*;$", flat
    ):
        tag = re.match(r"(?:const\s+)?(?:struct|union|enum)\s+(\w+)", flat)
        names, values = (tag.group(1),) if tag else (), _enumerators(declaration)
        return [Statement(TYPE, "", text, declaration, where, comment, names, values, packed)]
    function = re.match(r"[^(=]*?\b([A-Za-z_]\w*)\s*\(", flat)
    if function and not re.match(r"[^(]*\(\s*\*", flat):
        if re.match(r"static\b", declaration) or "va_list" in declaration:  # for C alone
            return [Statement(DROPPED, "", text, "", where)]
        declaration = _without_sizes(re.sub(r"^extern\s+", "", declaration))
        return [Statement(FUNCTION, function.group(1), text, declaration, where, comment)]
    return [_variable(text, declared, where, comment) for declared in _each_declared(flat)]


def _without_sizes(declaration: str) -> str:
    """C99's `int n, float v[n]` as `int n, float v[]`: to the function, a pointer either way."""
    if "[" not in declaration:
        return declaration
    names = {ctext.parameter_name(parameter) for parameter in ctext.parameters_of(declaration)}

    def without(match: re.Match[str]) -> str:
        return "[]" if names & set(ctext.identifiers(match[1])) else match[0]

    return re.sub(r"(?<!\])\[([^\]]*)\]", without, declaration)


def _each_declared(flat: str) -> list[str]:
    """`extern int a = 1, *b;` as `extern int a;` and `extern int *b;`: without their values."""
    end = ";" if flat.endswith(";") else ""
    first, *others = (
        piece.partition("=")[0].strip() for piece in ctext.at_commas(flat.rstrip("; "))
    )
    specifiers = re.match(r"((?:\w+\s+)+?)\s*(?:[*(]|\w+\s*(?:\[|$))", first.replace("*", " *"))
    type_ = specifiers[1].rstrip() if specifiers else ""
    return [first + end, *(f"{type_} {other}{end}" for other in others if type_)]


def _variable(text: str, declared: str, where: str, comment: str) -> Statement:
    pointer = re.search(r"\(\s*\*\s*(\w+)", declared)
    names = ctext.identifiers(re.sub(r"\[[^]]*\]", "", declared))
    name = pointer.group(1) if pointer else names[-1] if names else ""
    if re.match(r"(?:static\s+const|const\s+static)\b", declared) and "*" not in declared:
        return Statement(CONSTANT, name, text, declared, where, comment)
    if re.match(r"static\b", declared):
        return Statement(DROPPED, "", text, "", where)
    declared = re.sub(r"^extern\s+", "", declared)
    return Statement(VARIABLE, name, text, "extern " + declared, where, comment)


def _clean(text: str) -> str:
    """On one line, without what cffi's parser does not know."""
    text = ctext.without_attributes(text)
    if "__signed" in text:
        text = re.sub(r"\b__signed(?:__)?\b", "signed", text)
    if "{" in text:  # types, for which cffi can ask the compiler
        if "enum" in text:
            text = re.sub(r"(\benum\b[^{;]*\{)([^}]*)", _with_values_of_the_compiler, text)
        text = re.sub(r"\[([^][]*)\]", lambda m: m[0] if _is_computed(m[1]) else "[...]", text)
    return _NAME_IN_PARENTHESES.sub(r"\1\2", " ".join(_NOISE.sub(" ", text).split()))


def _is_computed(value: str) -> bool:
    return bool(_COMPUTED.fullmatch(value)) and not _NOT_COMPUTED.search(value)


def _with_values_of_the_compiler(match: re.Match[str]) -> str:
    """An enum's enumerators: `A = ...` where cffi is to ask the compiler."""
    if "','" in match[2]:
        return match[0]
    items = []
    for item in ctext.at_commas(match[2]):
        name, equals, value = item.partition("=")
        items.append(item if not equals or _is_computed(value) else f"{name}= ...")
    return match[1] + ",".join(items)


def _typedef_names(declaration: str) -> tuple[str, ...]:
    flat = re.sub(r"\{.*\}", " ", declaration, flags=re.S)
    pointer = re.search(r"\(\s*\*\s*(\w+)", flat)
    tag = re.match(r"typedef\s+(?:const\s+)?(?:struct|union|enum)\s+(\w+)", flat)
    names = [pointer.group(1)] if pointer else []
    if not pointer:
        for piece in flat.rstrip("; ").split(","):
            found = ctext.identifiers(re.sub(r"\[[^]]*\]", "", piece))
            names += found[-1:]
    return tuple(names + ([tag.group(1)] if tag else []))


def _enumerators(declaration: str) -> tuple[str, ...]:
    names: list[str] = []
    for body in re.findall(r"\benum\b[^{;]*\{([^}]*)\}", declaration):
        for item in body.split(","):
            found = ctext.IDENTIFIER.match(item.strip())
            if found:
                names.append(found.group())
    return tuple(names)
