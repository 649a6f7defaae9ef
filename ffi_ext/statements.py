"""Headers cut into statements, with their places and comments. Knows no compiler and no cffi model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ffi_ext import ctext

FUNCTION, TYPE, CONSTANT, VARIABLE, DROPPED = "function", "type", "constant", "variable", "dropped"

# No file has a null in its name. A flag 1 says that it begins here.
_MARKER = re.compile(r'^#\s+(\d+)\s+"((?:[^"\\\0]|\\[^\0])*)"(\s+1\b)?')
_DEFINE = re.compile(r"^#define\s+([A-Za-z_]\w*)(\(?)\s*(.*)$")
_PACK = re.compile(r"^#\s*pragma\s+pack\s*\((.*)\)")
_PACKED = re.compile(r"__attribute(?:__)?\s*\(\((?:[^()]|\([^()]*\))*\b(?:__)?packed\w*\b")
# Where cffi would lay the fields out otherwise than the compiler does.
_ALIGNED = re.compile(r"\b(?:_Alignas|alignas)\s*\(|\b(?:__)?aligned(?:__)?\b")
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
# Types of which Python can make no value: what takes one is for C alone.
NOT_IN_PYTHON = frozenset(
    ("va_list", "__builtin_va_list", "__int128", "__int128_t", "__uint128_t", "__float128")
    + ("_Float16", "_Float32", "_Float64", "_Float128", "_Float32x", "_Float64x", "__bf16")
    + ("__fp16", "_Decimal32", "_Decimal64", "_Decimal128", "_Complex_long_double", "_Vector")
)
_LONG_COMPLEX = re.compile(r"\blong\s+double\s+_Complex\b|\b_Complex\s+long\s+double\b")


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


def file_of(where: str) -> str:
    """The header's name of a statement's place, such as "my_lib.h:12"."""
    return where.rpartition(":")[0]


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
    pieces: list[_Piece] = []
    macros: dict[str, str] = {}
    here, line, mine, packing = header, 1, False, ""
    for row in text.split("\n"):
        marker = _MARKER.match(row)
        if marker:
            name = re.sub(r"\\(.)", r"\1", marker.group(2))
            here, line = Path(name), int(marker.group(1))
            mine = not name.startswith("<") and _same(here, header)
            pieces.append((here, line, [], marker.group(3) is not None))
            continue
        define, undef = _DEFINE.match(row), _UNDEF.match(row)
        if mine and define and not define.group(2):
            macros[define.group(1)] = define.group(3)
        elif undef:
            macros.pop(undef.group(1), None)
        if not pieces:
            pieces.append((here, line, [], False))
        if row.startswith("#"):
            if pack := _PACK.match(row):
                size = pack[1].split(",")[-1].strip()
                packing = "packed" if size == "1" else "aligned" if size.isdigit() else ""
            row = ""
        elif packing:
            row = re.sub(r"\b(?:struct|union)\b", rf"\g<0> __attribute__(({packing}))", row)
        pieces[-1][2].append(row)
    original = header.read_text(encoding="utf-8-sig", errors="replace").split("\n")
    own = list(_statements_of(pieces, header, original))
    foreign = [
        s
        for path, rows in _others(pieces, header)
        for s in _statements(_PROTOTYPE.sub("", rows), path, [])
    ]
    return own, foreign, macros


def files_of(text: str) -> frozenset[Path]:
    """The files that preprocessed text came from."""
    rows = map(_MARKER.match, re.findall(r"^# .*", text, re.M))
    names = {re.sub(r"\\(.)", r"\1", row[2]) for row in rows if row}
    return frozenset(_resolved(Path(name)) for name in names if not name.startswith("<"))


def is_among(files: frozenset[Path], header: Path) -> bool:
    """Whether a header is one of `files_of`."""
    return bool(files) and _resolved(header) in files


@cache
def _resolved(path: Path) -> Path:
    return path.resolve()


def _same(path: Path, header: Path) -> bool:
    return path == header or _resolved(path) == _resolved(header)


# Of which file, from which line on, the lines, and whether the file begins.
_Piece = tuple[Path, int, list[str], bool]


def _statements_of(pieces: list[_Piece], header: Path, original: list[str]) -> Iterator[Statement]:
    """The header's own pieces, put back on the lines that they came from. It may be included several times."""
    lines: list[str] = []
    for path, first, rows, begins in pieces:
        if not _same(path, header):
            continue
        if begins and lines:
            yield from _statements("\n".join(lines), header, original)
            lines = []
        for offset, row in enumerate(rows):
            number = first + offset
            while len(lines) < number:
                lines.append("")
            lines[number - 1] += (" " if lines[number - 1] else "") + row
    yield from _statements("\n".join(lines), header, original)


def _others(pieces: list[_Piece], header: Path) -> Iterator[tuple[Path, str]]:
    """The text of the included files, in order; a file that is interrupted by another is one text."""
    texts: dict[Path, list[str]] = {}
    for path, _, rows, _ in pieces:
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
    if not packed and "{" in text and "lig" in text and _ALIGNED.search(text):
        declaration = without_fields(declaration, set()) or declaration
    if "vector_size" in text:
        declaration = declaration.replace("typedef", "typedef _Vector", 1)
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
        if re.match(r"static\b", declaration):
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
        piece.partition("=")[0].strip() for piece in ctext.cut(flat.rstrip("; "))
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
    if "_Complex" in text:
        text = _LONG_COMPLEX.sub("_Complex_long_double", text)
    if "{" in text:  # types, for which cffi can ask the compiler
        if "enum" in text:
            text = re.sub(r"(\benum\b[^{;]*\{)([^}]*)", _with_values_of_the_compiler, text)
        text = re.sub(r"\[([^][]*)\]", lambda m: m[0] if _is_computed(m[1]) else "[...]", text)
    return _NAME_IN_PARENTHESES.sub(r"\1 \2", " ".join(_NOISE.sub(" ", text).split()))


def with_unknown_sizes(declaration: str, names: set[str]) -> str:
    """A declaration in which the compiler is asked for the sizes of arrays that name one of these."""

    def size(match: re.Match[str]) -> str:
        return match[0] if names.isdisjoint(ctext.identifiers(match[1])) else "[...]"

    return re.sub(r"\[([^][]*)\]", size, declaration)


def sizes_of(text: str) -> list[str]:
    """The sizes of arrays in a type that cffi leaves to the compiler."""
    text = ctext.without_attributes(text)
    return [size for size in re.findall(r"\[([^][]*)\]", text) if not _is_computed(size)]


def without_fields(declaration: str, types: set[str]) -> str:
    """A struct or union without the fields that name one of the types; C tells where the others lie. "" of others."""
    head, brace, rest = declaration.partition("{")
    body, end, tail = rest.rpartition("}")
    if not brace or not end or not re.search(r"\b(?:struct|union)\b", head):
        return ""
    if not types.isdisjoint(ctext.identifiers(head + tail)):
        return ""
    fields = ctext.cut(body, ";")
    kept = [f for f in fields if f.strip() and types.isdisjoint(ctext.identifiers(f))]
    return head + "{" + ";".join([*kept, " ..."]) + "; }" + tail


def _is_computed(value: str) -> bool:
    return bool(_COMPUTED.fullmatch(value)) and not _NOT_COMPUTED.search(value)


def _with_values_of_the_compiler(match: re.Match[str]) -> str:
    """An enum's enumerators: `A = ...` where cffi is to ask the compiler."""
    if "','" in match[2]:
        return match[0]
    items = []
    for item in ctext.cut(match[2]):
        name, equals, value = item.partition("=")
        items.append(item if not equals or _is_computed(value) else f"{name}= ...")
    return match[1] + ",".join(items)


def _typedef_names(declaration: str) -> tuple[str, ...]:
    flat = re.sub(r"\{.*\}", " ", declaration, flags=re.S)
    pointer = re.match(r"[^(]*\([\s(]*\*[\s(*]*(?:const\s+)?(\w+)", flat)
    tag = re.match(r"typedef\s+(?:const\s+)?(?:struct|union|enum)\s+(\w+)", flat)
    names = [pointer.group(1)] if pointer else []
    if not pointer:
        function = flat.partition("(")[0]  # typedef int f(int n);
        for piece in function.rstrip("; ").split(","):
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
