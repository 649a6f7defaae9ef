"""Whether C sources define their functions with the types that the headers declare.

C compares them only where a source includes the header, which most extensions' sources do not. What cannot
be told by the text alone (typedefs, macros) counts as equal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ffi_ext import types
from ffi_ext.headers import ctext

_NAME = re.compile(r"\b([A-Za-z_]\w*)\s*\(")
_BODY = re.compile(r"\s*\{")
_SAYS_NOTHING = frozenset(("const", "volatile", "register", "restrict", "__restrict"))
_SAYS_NOTHING |= frozenset(("struct", "static", "extern", "inline", "TH_API", "THC_API"))
_INTEGER_WORDS = frozenset(("signed", "unsigned", "char", "short", "int", "long"))
_WIDTHS = {"long": 64, "int": 32, "short": 16, "char": 8}
_WIDTHS |= {f"{sign}int{bits}_t": bits for sign in ("", "u") for bits in (8, 16, 32, 64)}
_WIDTHS |= dict.fromkeys(("size_t", "ssize_t", "ptrdiff_t", "intptr_t", "uintptr_t"), 64)

Type = tuple[str, int]  # what it is, and how many * it has


def differences(text: str, prototypes: Mapping[str, str]) -> Iterator[tuple[str, str, int]]:
    """The definitions in a C source that are not what a header declares, "int f(int n)" by its name.

    Yields:
        The function's name, its definition's head on one line, and the line that this begins on. A
        function that is defined twice (under #if) differs if no definition fits.
    """
    plain = ctext.code_alone(text)
    found: dict[str, tuple[str, int] | None] = {}
    for match in _NAME.finditer(plain):
        name = match[1]
        if name not in prototypes or found.get(name, "") is None:
            continue
        end = ctext.closing(plain, match.end()) + 1
        if not _BODY.match(plain, end):
            continue
        start = max(plain.rfind(mark, 0, match.start()) for mark in ";{}") + 1
        head = " ".join(plain[start:end].split())
        line = plain.count("\n", 0, match.start()) + 1
        result, named = plain[start : match.start()], plain[match.start() : end]
        found[name] = None if _fits(result, named, prototypes[name]) else (head, line)
    for name, place in found.items():
        if place:
            yield name, *place


def _fits(result: str, named: str, prototype: str) -> bool:
    """Whether a definition, its head cut before the name, is what the prototype says."""
    given, wanted = ctext.parameters_of(named), ctext.parameters_of(prototype)
    if len(given) != len(wanted):  # but for f(PARAMETERS)
        return any(re.fullmatch(r"\w+", text) for text in given)
    declared = re.sub(r"\w+$", "", prototype[: prototype.index("(")].rstrip())
    pairs = [*zip(given, wanted, strict=True), (f"{result} result", f"{declared} result")]
    return all(a == b or _equal(_type(a), _type(b)) for a, b in pairs)


def _type(text: str) -> Type | None:
    """None: a macro, a typedef, a function pointer."""
    if "(" in text:
        return None
    name = ctext.parameter_name(text)
    words = ctext.identifiers(text)
    if name:
        words.remove(name)
    words = [word for word in words if word not in _SAYS_NOTHING]
    stars = text.count("*") + text.count("[")
    base = " ".join(words)
    if words and _INTEGER_WORDS.issuperset(words):
        base = next((word for word in ("char", "short", "long") if word in words), "int")
    if base in _WIDTHS:
        return f"{_WIDTHS[base]} bits", stars
    known = base in types.RECORDS or base in (types.ARRAY, "float", "double")
    return (base, stars) if known or (base == "void" and not stars) else None


def _equal(a: Type | None, b: Type | None) -> bool:
    return a is None or b is None or a == b
