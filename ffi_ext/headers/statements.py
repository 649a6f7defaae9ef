"""Headers cut into statements, with their places and comments. Knows no compiler and no cffi model."""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ffi_ext.headers import ctext, layouts

FUNCTION, TYPE, CONSTANT, VARIABLE = "function", "type", "constant", "variable"
INLINE = "inline"  # a static function with its body; the declaration is its prototype

# __attribute__((..., or C23's [[gnu::..., up to the word.
_GIVEN = r"(?:__attribute(?:__)?\s*\(\s*\((?:[^()]|\([^()]*\))*|\[\[[^]]*)\b(?:__)?"
_PACKED = re.compile(_GIVEN + r"packed(?:__)?\b")
# Where cffi would lay the fields out otherwise than the compiler does.
_ALIGNED = re.compile(r"\b(?:_Alignas|alignas)\s*\(|" + _GIVEN + r"aligned(?:__)?\b")
_NOISE = re.compile(
    r"\b(?:TH_API|THC_API|TH_EXTERNC|THC_EXTERNC|__extension__|_Noreturn|restrict|inline)\b"
)
# A character that is no escape. A number's brackets, commas and quotes are none.
_CHARACTER = re.compile(r"(?<!\w)'(?:([ -&(-\[\]-~])|\\([\\'\"]))'")
# int (f)(int n): libraries write it so that a macro f(n) does not hit the declaration.
_NAME_IN_PARENTHESES = re.compile(r"^([^(=]*[\w*\s])\(\s*([A-Za-z_]\w*)\s*\)(?=\s*\()")
# Types of which Python can make no value: what takes one is for C alone.
NOT_IN_PYTHON = frozenset(
    ("va_list", "__builtin_va_list", "__int128", "__int128_t", "__uint128_t", "__float128")
    + ("_Float16", "_Float32", "_Float64", "_Float128", "_Float32x", "_Float64x", "__bf16")
    + ("__fp16", "_Decimal32", "_Decimal64", "_Decimal128", "_Complex_long_double", "_Vector")
    + ("__typeof__",)
)
# What a vector's typedef has: GNU's attribute or clang's, or a type of gcc's that arm_neon.h is made of.
_OF_VECTORS = re.compile(
    _GIVEN
    + r"\w*vector_(?:size|type)(?:__)?\s*\(|\b__(?:Int|Uint|Float|Poly|Bfloat)\d+(?:x\d+)?_t\b"
)
_DEFINES = re.compile(
    r"((?:(?:extern|static|const|volatile)\s+)*)(struct|union|enum)\b\s*(?P<tag>\w*)\s*\{"
)
_LINKAGE = re.compile(r'extern\s*"C(?:\+\+)?"(\s*\{)?')
_MARK = re.compile("[][(){};\1]")
_TYPE = re.compile(r"(?:const\s+)?(?:struct|union|enum)\b(?:\s+(\w+))?[^()=;]*\{\}\s*;?$")
_INCOMPLETE = re.compile(r"(?:struct|union|enum)\s+(\w+)\s*;$")
# `int unsigned`, `double long`: what cffi takes in the other order alone.
_SIZE = r"(?:signed|unsigned|long|short)"
_TYPE_FIRST = rf"\b(char|int|double)((?:\s+(?:const|volatile|{_SIZE}))*\s+{_SIZE})\b"
# What cffi's parser does not know, by a word of it, and what it reads instead.
_REWRITTEN = (
    *((word, _TYPE_FIRST, r"\2 \1") for word in ("signed", "long", "short")),
    ("constexpr", r"^\s*(?:static\s+)?constexpr\b(?:\s+static\b)?", "static const "),
    ("enum", r"(\benum\b\s*\w*)\s*:\s*[A-Za-z_][\w\s]*(?=[{;])", r"\1"),  # cffi asks for its size
    ("_Atomic", r"\b_Atomic\s*\(([^()]*)\)", r"_Atomic \1"),
    ("__", r"\b__(const|volatile|restrict|inline|signed)(?:__)?\b", r"\1"),  # GNU's of C before C89
    ("typeof", r"\b(?:__)?typeof(?:__)?\s*\((?:[^()]|\([^()]*\))*\)", "__typeof__"),
    ("__thread", r"\b__thread\b", "_Thread_local"),
    ("_Complex", r"\b_Complex\s+(float|double)\b", r"\1 _Complex"),  # <complex.h>: complex double
    ("_Complex", r"\blong\s+double\s+_Complex\b", "_Complex_long_double"),
    ("_Complex", r"\b_Complex\s+long\s+double\b", "_Complex_long_double"),
    # structs of arm_neon.h's vectors, which gcc knows without a declaration
    *(
        (end, rf"\b(?:u?int|float|poly|bfloat)\d+x\d+{end}\b", "_Vector")
        for end in ("x2_t", "x3_t", "x4_t")
    ),
)


@dataclass(frozen=True, eq=False)
class Statement:
    """One top-level statement of a header. Two that say the same are two."""

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
    """Whether a header needs the preprocessor: for directives (`%:` is a `#`) or lines that a backslash joins."""
    if re.search(r"\\[ \t]*$", text, re.M):  # in a // comment, too, which goes on then
        return True
    return re.search(r"^[ \t]*(?:#|%:)|\b_Pragma\b", ctext.blank_comments(text), re.M) is not None


def split(text: str, header: Path) -> list[Statement]:
    """The statements of a header without directives."""
    return list(statements_of(ctext.blank_comments(text), header, text.split("\n")))


def statements_of(text: str, header: Path, original: list[str]) -> Iterator[Statement]:
    """The statements of a text without comments, of a header that has the lines `original`."""
    text = _LINKAGE.sub(_marked, text)
    plain = ctext.blank_quoted(text)
    breaks = [match.start() for match in re.finditer("\n", text)]
    start = end = linkage = 0  # open extern "C" { blocks
    statics: set[str] = set()  # that a prototype says to be; their definitions then need not
    while match := _MARK.search(plain, end):
        mark, place, end = match[0], match.start(), match.end()
        before = text[start:place].lstrip()
        line = bisect(breaks, place - len(before)) + 1
        if mark in "([{":
            end = ctext.closing(plain, end) + 1
            if mark != "{" or end > len(text) or not _heads_a_body(before):
                continue
            yield from _with_body(before + text[place:end], header, original, line, statics)
        elif mark == ";" and before:
            if before.startswith("static"):
                statics.update(re.findall(r"(\w+)\s*\(", ctext.without_attributes(before))[:1])
            yield from _statement(f"{before};", header, original, line)
        elif mark in "\1}" and not before and (linkage or mark == "\1"):
            linkage += 1 if mark == "\1" else -1
        elif mark != ";":
            continue
        start = end
    if rest := text[start:].lstrip():
        line = bisect(breaks, len(text) - len(rest)) + 1
        yield from _statement(rest, header, original, line)


def _marked(match: re.Match[str]) -> str:
    """Blanks for extern "C", of which a block begins with a character that C has not."""
    return ("\1" if match[1] else " ") + re.sub(r"[^\n]", " ", match[0][1:])


def _heads_a_body(before: str) -> bool:
    if before.rstrip().endswith(")"):  # struct __attribute__((packed)) { is no function
        before = ctext.without_attributes(before)
    return before.rstrip().endswith((")", "const"))


def _with_body(
    text: str, header: Path, original: list[str], line: int, statics: set[str]
) -> list[Statement]:
    """Of what has a body, a static function."""
    before, parenthesis, rest = ctext.without_attributes(text.partition("{")[0]).partition("(")
    named, count = re.subn(r"\bstatic\b", "", before)
    is_static = count or not statics.isdisjoint(ctext.identifiers(before)[-1:])
    if not is_static or not original:  # those of other headers are not asked for
        return []
    found = _statement(named + parenthesis + rest + ";", header, original, line)
    return [replace(one, kind=INLINE) for one in found if one.kind == FUNCTION]


def _statement(text: str, header: Path, original: list[str], line: int) -> list[Statement]:
    """What stands before a semicolon, as far as others see it: functions and variables are a statement each."""
    last = line + text.count("\n")
    where = f"{header.name}:{line}"
    declaration = _clean(text)
    packed = "packed" in text and _PACKED.search(text) is not None
    aligned = "{" in text and "lig" in text and _ALIGNED.search(text)
    unknown = ":" in text and layouts.has_unknown_width(declaration)
    if (aligned or unknown) and (asked := layouts.without_fields(declaration, set())):
        declaration, packed = asked, False
    if declaration.startswith("typedef") and _OF_VECTORS.search(text):
        declaration = declaration.replace("typedef", "typedef _Vector", 1)
    flat = re.sub(r"\{.*\}", "{}", declaration, flags=re.S)
    comment = ctext.comment_of(original, line, last)
    if declaration == ";":  # of a static assert
        return []
    names = _type_names(declaration, flat)
    if names is not None:
        values = _enumerators(declaration)
        return [Statement(TYPE, "", text, declaration, where, comment, names, values, packed)]
    if (apart := _apart(declaration, flat)) is not None:
        found = [one for piece in apart for one in _statement(piece, header, original, line)]
        return [replace(one, text=text, comment=comment, packed=packed) for one in found]
    around = ctext.RESULT_AROUND.match(flat, max(flat.find("("), 0))
    function = around or re.match(r"(?![^(]*\(\s*\*)[^(=]*?\b([A-Za-z_]\w*)\s*\(", flat)
    if not function:
        return _variable(text, _each_declared(flat)[0], where, comment)
    if re.match(r"static\b", declaration):
        return []
    declaration = _without_sizes(re.sub(r"^extern\s+", "", declaration))
    return [Statement(FUNCTION, function.group(1), text, declaration, where, comment)]


def _apart(declaration: str, flat: str) -> list[str] | None:
    """The declarations that one is short for; None if it is for itself alone.

    `extern struct s { int n; } v;` is `struct s { int n; };` and `extern struct s v;`. A type without a name of its own
    is none that the generated C could speak of: of an enum the enumerators are left.
    """
    match = _DEFINES.match(declaration)
    end = ctext.closing(declaration, match.end()) + 1 if match else 0
    if not match or declaration[end - 1 : end] != "}":  # a bracket of it is missing
        each = _each_declared(flat)
        return each if len(each) > 1 else None
    defined, declared = f"{declaration[match.start(2) : end]};", declaration[end:]
    if match["tag"]:
        return [defined, f"{match[1]}{match[2]} {match['tag']} {declared}"]
    if "(" in declared.partition("=")[0]:  # a function, perhaps one behind a forgotten ;
        return None
    return [defined] if match[2] == "enum" else []


def _without_sizes(declaration: str) -> str:
    """C99's `float v[n]` and `v[*]`, and sizes left to the compiler, as `float v[]`: to C, a pointer either way.

    So is `float m[n][k]`, whose rows are as long as only the call says.
    """
    if "[" not in declaration:
        return declaration
    names = {ctext.parameter_name(parameter) for parameter in ctext.parameters_of(declaration)}

    def is_open(size: str) -> bool:
        words = {size.strip(), *ctext.identifiers(size)}
        return not words.isdisjoint({"*", "...", *names})

    def without(match: re.Match[str]) -> str:
        first, *others = re.findall(r"\[([^\]]*)\]", match[0])
        if any(map(is_open, others)):
            return "[]"
        return re.sub(r"\[[^\]]*\]", "[]", match[0], count=1) if is_open(first) else match[0]

    return re.sub(r"\[[^\]]*\](?:\s*\[[^\]]*\])*", without, declaration)


def _each_declared(flat: str) -> list[str]:
    """`extern int a = 1, *b, f(int n);` as `extern int a;`, `extern int *b;` and `extern int f(int n);`."""
    end = ";" if flat.endswith(";") else ""
    first, *others = (piece.partition("=")[0].strip() for piece in ctext.cut(flat.rstrip("; ")))
    # up to *p, a[, f( of a function, and (*p)
    declarator = r"(?:[*(]|\w+\s*(?:\[|\((?!\s*\*)|$))"
    specifiers = re.match(rf"((?:\w+\s+)+?)\s*{declarator}", first.replace("*", " *"))
    type_ = specifiers[1] if specifiers else ""
    return [first + end, *(f"{type_} {other}{end}" for other in others if type_)]


def _variable(text: str, declared: str, where: str, comment: str) -> list[Statement]:
    name = ctext.parameter_name(declared) or ""
    words = ctext.identifiers(declared)
    if "static" in words and "const" in words and "*" not in declared:
        return [Statement(CONSTANT, name, text, declared, where, comment)]
    if "static" in words:
        return []
    declared = re.sub(r"^extern\s+", "", declared)
    return [Statement(VARIABLE, name, text, "extern " + declared, where, comment)]


def _clean(text: str) -> str:
    """On one line, without what cffi's parser does not know."""
    text = ctext.without_attributes(text)
    if "'" in text:
        text = _CHARACTER.sub(lambda match: str(ord(match[1] or match[2])), text)
    for word, pattern, replacement in _REWRITTEN:
        if word in text:  # nearly none has, and patterns take longer
            text = re.sub(pattern, replacement, text)
    if "{" in text or "[" in text:
        text = layouts.asking_the_compiler(text)
    return _NAME_IN_PARENTHESES.sub(r"\1 \2", " ".join(_NOISE.sub(" ", text).split()))


def _type_names(declaration: str, flat: str) -> tuple[str, ...] | None:
    """What a type's declaration names; None of everything else."""
    if declaration.startswith("typedef"):
        return _typedef_names(declaration)
    match = _TYPE.match(flat) or _INCOMPLETE.match(flat)
    return match and tuple(filter(None, match.groups()))


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
