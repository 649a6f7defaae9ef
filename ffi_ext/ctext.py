"""C text: headers cut into statements with their places and comments. Knows no compiler and no cffi model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

FUNCTION, TYPE, CONSTANT, VARIABLE, DROPPED = "function", "type", "constant", "variable", "dropped"

_MARKER = re.compile(
    r'^#\s+(\d+)\s+"((?:[^"\\\0]|\\[^\0])*)"(\s+1\b)?'
)  # no file has a null in its name
_DEFINE = re.compile(r"^#define\s+([A-Za-z_]\w*)(\(?)\s*(.*)$")
_DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n\\]|\\\n|\\.)*", re.M)
_PACK = re.compile(r"^#\s*pragma\s+pack\s*\((.*)\)")
_PACKED = re.compile(r"__attribute(?:__)?\s*\(\((?:[^()]|\([^()]*\))*\b(?:__)?packed\w*\b")
# Where cffi would lay the fields out otherwise than the compiler does.
_ALIGNED = re.compile(r"\b(?:_Alignas|alignas)\s*\(|\b(?:__)?aligned(?:__)?\b")
_UNDEF = re.compile(r"^#undef\s+([A-Za-z_]\w*)")
# Of included files only types matter; TH's thousands of prototypes would cost more than all else.
_PROTOTYPE = re.compile(r"^[ \t]*extern\b[^\"{}\n;]*\)[ \t]*;[ \t]*$", re.M)
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
_TOKENS = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|/\*.*?\*/|//[^\n]*', re.S)
_NOISE = re.compile(
    r"\b(?:TH_API|THC_API|TH_EXTERNC|THC_EXTERNC|__extension__|_Noreturn|restrict|__restrict__"
    r"|__restrict|__const__|__volatile__|__inline__|__inline|inline)\b"
)
# int (f)(int n): libraries write it so that a macro f(n) does not hit the declaration.
_NAME_IN_PARENTHESES = re.compile(r"^([^(=]*[\w*\s])\(\s*([A-Za-z_]\w*)\s*\)(?=\s*\()")
# A number that cffi computes itself: no sizeof, cast, comparison, ? : or escape.
_COMPUTED = re.compile(r"(?:[\s()+\-*/%^\w]|'[^'\\]'|<<|>>|&(?!&)|\|(?!\|))*")
_NOT_COMPUTED = re.compile(r"\b(?:sizeof|_Alignof)\b|\)\s*[\w('\"]")
_ATTRIBUTES = ("__attribute__", "__attribute", "__asm__", "asm", "__declspec")
# Types of which Python can make no value: what takes one is for C alone.
NOT_IN_PYTHON = frozenset(
    (
        "va_list",
        "__builtin_va_list",
        "__float128",
        "_Float128",
        "__int128",
        "__int128_t",
        "__uint128_t",
    )
    + ("_Float16", "_Float32", "_Float64", "_Float32x", "_Float64x", "__bf16", "__fp16")
    + ("_Decimal32", "_Decimal64", "_Decimal128", "_Complex_long_double", "_Vector")
)
_LONG_COMPLEX = re.compile(r"\blong\s+double\s+_Complex\b|\b_Complex\s+long\s+double\b")
_TYPE_WORDS = frozenset(
    ("void", "char", "short", "int", "long", "float", "double", "signed", "unsigned")
    + ("_Bool", "bool", "_Complex", "const", "volatile", "register", "struct", "union", "enum")
)


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
    enumerators: tuple[str, ...] = field(default=())
    packed: bool = False  # its structs have no gaps


def file_of(where: str) -> str:
    """The header's name of a statement's place, such as "my_lib.h:12"."""
    return where.rpartition(":")[0]


def has_directives(text: str) -> bool:
    """Whether a header needs the preprocessor."""
    return re.search(r"^[ \t]*#", _blank_comments(text), re.M) is not None


def _blank(match: re.Match[str]) -> str:
    """As many blanks; the lines stay."""
    return re.sub(r"[^\n]", " ", match[0])


def _blank_comments(text: str) -> str:
    """Comments become blanks, the lines stay."""
    return _TOKENS.sub(lambda match: match[0] if match[0][0] in "\"'" else _blank(match), text)


def code_alone(text: str) -> str:
    """C text without comments, directives and what is in quotes: blanks are in their places."""
    return _DIRECTIVE.sub(_blank, _TOKENS.sub(_blank, text))


def split(text: str, header: Path) -> list[Statement]:
    """The statements of a header without directives."""
    return list(_statements(_blank_comments(text), header, text.split("\n")))


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


_Piece = tuple[
    Path, int, list[str], bool
]  # of a file, from which line, its lines, whether it begins


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
                    before = _without_calls(before, _ATTRIBUTES).rstrip()
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
    comment = _comment(original, line, last)
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
    names = {parameter_name(parameter) for parameter in parameters_of(declaration)}

    def without(match: re.Match[str]) -> str:
        return "[]" if names & set(identifiers(match[1])) else match[0]

    return re.sub(r"(?<!\])\[([^\]]*)\]", without, declaration)


def _cut(text: str, mark: str = ",") -> list[str]:
    """Cut at the commas, or at another mark, that stand in no brackets."""
    pieces, depth = [""], 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == mark and depth == 0:
            pieces.append("")
        else:
            pieces[-1] += character
    return pieces


def _each_declared(flat: str) -> list[str]:
    """`extern int a = 1, *b;` as `extern int a;` and `extern int *b;`: without their values."""
    end = ";" if flat.endswith(";") else ""
    first, *others = (piece.partition("=")[0].strip() for piece in _cut(flat.rstrip("; ")))
    specifiers = re.match(r"((?:\w+\s+)+?)\s*(?:[*(]|\w+\s*(?:\[|$))", first.replace("*", " *"))
    type_ = specifiers[1].rstrip() if specifiers else ""
    return [first + end, *(f"{type_} {other}{end}" for other in others if type_)]


def _variable(text: str, declared: str, where: str, comment: str) -> Statement:
    pointer = re.search(r"\(\s*\*\s*(\w+)", declared)
    names = _IDENTIFIER.findall(re.sub(r"\[[^]]*\]", "", declared))
    name = pointer.group(1) if pointer else names[-1] if names else ""
    if re.match(r"(?:static\s+const|const\s+static)\b", declared) and "*" not in declared:
        return Statement(CONSTANT, name, text, declared, where, comment)
    if re.match(r"static\b", declared):
        return Statement(DROPPED, "", text, "", where)
    declared = re.sub(r"^extern\s+", "", declared)
    return Statement(VARIABLE, name, text, "extern " + declared, where, comment)


def _clean(text: str) -> str:
    """On one line, without what cffi's parser does not know."""
    text = _without_calls(text, _ATTRIBUTES)
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
        return match[0] if names.isdisjoint(identifiers(match[1])) else "[...]"

    return re.sub(r"\[([^][]*)\]", size, declaration)


def sizes_of(text: str) -> list[str]:
    """The sizes of arrays in a type that cffi leaves to the compiler."""
    text = _without_calls(text, _ATTRIBUTES)
    return [size for size in re.findall(r"\[([^][]*)\]", text) if not _is_computed(size)]


def without_fields(declaration: str, types: set[str]) -> str:
    """A struct or union without the fields that name one of the types; C tells where the others lie. "" of others."""
    head, brace, rest = declaration.partition("{")
    body, end, tail = rest.rpartition("}")
    if not brace or not end or not re.search(r"\b(?:struct|union)\b", head):
        return ""
    if not types.isdisjoint(identifiers(head + tail)):
        return ""
    fields = _cut(body, ";")
    kept = [f for f in fields if f.strip() and types.isdisjoint(identifiers(f))]
    return head + "{" + ";".join([*kept, " ..."]) + "; }" + tail


def _is_computed(value: str) -> bool:
    return bool(_COMPUTED.fullmatch(value)) and not _NOT_COMPUTED.search(value)


def _with_values_of_the_compiler(match: re.Match[str]) -> str:
    """An enum's enumerators: `A = ...` where cffi is to ask the compiler."""
    if "','" in match[2]:
        return match[0]
    items = []
    for item in _cut(match[2]):
        name, equals, value = item.partition("=")
        items.append(item if not equals or _is_computed(value) else f"{name}= ...")
    return match[1] + ",".join(items)


def _without_calls(text: str, words: tuple[str, ...]) -> str:
    """Removes `word ( ... )` with balanced parentheses."""
    for word in words:
        while word in text:
            match = re.search(rf"\b{word}\b\s*\(", text)
            if not match:
                break
            depth, end = 1, match.end()
            while end < len(text) and depth:
                depth += {"(": 1, ")": -1}.get(text[end], 0)
                end += 1
            text = text[: match.start()] + " " + text[end:]
    return text


def _typedef_names(declaration: str) -> tuple[str, ...]:
    flat = re.sub(r"\{.*\}", " ", declaration, flags=re.S)
    pointer = re.match(r"[^(]*\([\s(]*\*[\s(*]*(?:const\s+)?(\w+)", flat)
    tag = re.match(r"typedef\s+(?:const\s+)?(?:struct|union|enum)\s+(\w+)", flat)
    names = [pointer.group(1)] if pointer else []
    if not pointer:
        function = flat.partition("(")[0]  # typedef int f(int n);
        for piece in function.rstrip("; ").split(","):
            found = _IDENTIFIER.findall(re.sub(r"\[[^]]*\]", "", piece))
            names += found[-1:]
    return tuple(names + ([tag.group(1)] if tag else []))


def _enumerators(declaration: str) -> tuple[str, ...]:
    names: list[str] = []
    for body in re.findall(r"\benum\b[^{;]*\{([^}]*)\}", declaration):
        for item in body.split(","):
            found = _IDENTIFIER.match(item.strip())
            if found:
                names.append(found.group())
    return tuple(names)


def identifiers(text: str) -> list[str]:
    """Every identifier in a declaration."""
    return _IDENTIFIER.findall(text)


@cache
def known_types() -> frozenset[str]:
    """Type names that cffi knows by itself."""
    from cffi import commontypes, model

    return frozenset(commontypes.COMMON_TYPES) | frozenset(model.PrimitiveType.ALL_PRIMITIVE_TYPES)


def integer_macros(macros: dict[str, str], statements: list[Statement]) -> list[str]:
    """The macros whose values are integer constant expressions."""
    known = {name for statement in statements for name in statement.enumerators}
    known |= {statement.name for statement in statements if statement.kind == CONSTANT}
    found: list[str] = []
    changed = True
    while changed:
        changed = False
        for name, value in macros.items():
            if name not in found and _is_integer(value, known):
                found.append(name)
                known.add(name)
                changed = True
    return [name for name in macros if name in found]


def float_macros(macros: dict[str, str]) -> list[str]:
    """The macros whose values are floating-point literals."""
    number = r"\s*[-+]?\s*(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][-+]?\d+)?[fFlL]?\s*"
    literal = re.compile(rf"{number}|\({number}\)")
    return [name for name, value in macros.items() if literal.fullmatch(value.strip())]


def _is_integer(value: str, known: set[str]) -> bool:
    if not value.strip():
        return False
    rest = re.sub(r"\b(?:0[xX][0-9a-fA-F]+|0[bB][01]+|\d+)[uUlL]*\b", "1", value)
    rest = _IDENTIFIER.sub(lambda match: "1" if match.group() in known else "?", rest)
    if not re.fullmatch(r"[\s1()+\-*/%<>&|^~!=]+", rest) or "1" not in rest or "=" in rest:
        return False
    return re.search(r"1\s*1|\)\s*1|1\s*\(", rest) is None


def parameters_of(declaration: str) -> list[str]:
    """The parameters of a function declaration, as text; none for (void) and ()."""
    open_at = declaration.index("(")
    depth, pieces, current = 0, [], ""
    for character in declaration[open_at:]:
        if character in "([":
            depth += 1
            if depth == 1 and character == "(":
                continue
        elif character in ")]":
            depth -= 1
            if depth == 0:
                break
        if character == "," and depth == 1:
            pieces.append(current)
            current = ""
        else:
            current += character
    pieces.append(current)
    return [piece.strip() for piece in pieces if piece.strip() not in ("", "void", "...")]


def parameter_name(text: str) -> str | None:
    """The name in a parameter declaration, if it has one."""
    pointer = re.search(r"\(\s*\*\s*(?:const\s+)?(\w+)", text)
    if pointer:
        return pointer.group(1)
    if re.search(r"\(\s*\*\s*(?:const\s*)?\)", text):
        return None
    words = _IDENTIFIER.findall(re.sub(r"\[[^]]*\]", "", text))
    if not words or words[-1] in _TYPE_WORDS:
        return None
    named = [w for w in words if w not in ("const", "volatile", "register")]
    if named and named[0] in ("struct", "union", "enum"):
        named = named[1:]
    return named[-1] if len(named) > 1 else None


def comment_above(original: list[str], first: int) -> list[str]:
    """The lines of the comment that stands directly above line `first`, as written."""
    above: list[str] = []
    number = first - 1  # 1-based line above
    if 0 < number <= len(original):
        row = original[number - 1].strip()
        if row.endswith("*/"):
            while number > 0:
                above.insert(0, original[number - 1])
                if "/*" in original[number - 1]:
                    break
                number -= 1
            if above and not above[0].strip().startswith("/*"):
                above = []
        else:
            while number > 0 and original[number - 1].strip().startswith("//"):
                above.insert(0, original[number - 1])
                number -= 1
    return above


def _comment(original: list[str], first: int, last: int) -> str:
    """The comment directly above line `first`, else the one that begins it, else that which ends line `last`."""
    above = comment_above(original, first)
    if not above and 0 < last <= len(original):
        beside = re.match(r"\s*(/\*.*?\*/)\s*\w", original[first - 1])
        beside = beside or re.search(r";\s*(//.*|/\*.*?\*/)\s*$", original[last - 1])
        above = [beside.group(1)] if beside else []
    return _undecorated(above)


def _undecorated(lines: list[str]) -> str:
    text = "\n".join(line.strip() for line in lines)
    text = re.sub(r"^/\*+!?<?|\*+/$", "", text.strip())
    rows = [
        re.sub(r"^(?://+!?<?|\*(?!\w))\s?", "", row.strip()).rstrip() for row in text.split("\n")
    ]
    return "\n".join(rows).strip()
