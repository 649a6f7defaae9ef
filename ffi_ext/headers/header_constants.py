"""What of headers are constants of a module: macros that are numbers or texts, and `static const` variables."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ffi_ext.headers import ctext, preprocessed
from ffi_ext.headers.read_headers import Headers
from ffi_ext.headers.statements import CONSTANT, Statement
from ffi_ext.headers.trials import Trials

# How cffi is told of a macro that is a constant, by what it is in Python.
_AS_CONSTANT = {
    "int": "#define {} ...",
    "float": "static const double {};",
    "bytes": "static const char *const {};",
}
_NUMBER = r"\s*[-+]?\s*(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][-+]?\d+)?[fFlL]?\s*"
_OF_FLOATS = re.compile(r"\b(?:float|double)\b")
_FLOAT = re.compile(rf"{_NUMBER}|\({_NUMBER}\)")
# One literal or several; with an escape, the compiler is to be asked.
_STRING = re.compile(r'"[^"\\]*"(?:\s*"[^"\\]*")*')
# What is another thing at each place, or each day.
_OF_THE_PLACE = frozenset(
    ("__FILE__", "__LINE__", "__COUNTER__", "__DATE__", "__TIME__", "__TIMESTAMP__", "__func__")
    + ("__FUNCTION__", "__PRETTY_FUNCTION__", "__BASE_FILE__", "__FILE_NAME__", "__INCLUDE_LEVEL__")
)


def lines(constants: Mapping[str, str]) -> list[str]:
    """What declares macros to cffi, given with their types in Python."""
    return [_AS_CONSTANT[kind].format(name) for name, kind in constants.items()]


def of_macros(found: Headers, kept: Sequence[Statement], trials: Trials) -> dict[str, str]:
    """The macros that are constants, with their types in Python."""
    # enum { A,\n#define A A\n}: the macro is the enumerator.
    enumerators = {e for s in kept for e in s.enumerators}
    declared = enumerators | {s.name for s in kept}
    candidates = _candidates(found.macros, declared)
    fixed = (s for s in kept if s.kind == CONSTANT)
    numbers = enumerators | {s.name for s in fixed if not _OF_FLOATS.search(s.declaration)}
    constants = dict.fromkeys(_integers(candidates, numbers), "int")
    for kind, literal in (("float", _FLOAT), ("bytes", _STRING)):
        constants |= {n: kind for n, value in candidates.items() if literal.fullmatch(value)}
    others = {name: value for name, value in candidates.items() if name not in constants}
    if others:
        known = declared | {name for s in found.foreign for name in (s.name, *s.enumerators)}
        known.update(preprocessed.macros_of(found.texts))
        to_ask = [name for name, value in others.items() if _may_be_constant(value, known)]
        constants |= trials.constants(to_ask) if to_ask else {}
    return constants


def _candidates(macros: dict[str, str], declared: Collection[str]) -> dict[str, str]:
    """The macros that could be constants of a module: no names of other things, none that changes with its place."""
    moving: set[str] = set(_OF_THE_PLACE)
    found = dict(macros)
    while gone := [n for n, value in found.items() if moving & {*ctext.identifiers(value)}]:
        moving.update(gone)
        for name in gone:
            del found[name]
    return {name: value for name, value in found.items() if name not in declared}


def _integers(macros: dict[str, str], constants: set[str]) -> list[str]:
    """The macros whose values are integer constant expressions, of numbers, `constants` and each other."""
    known, rest = set(constants), dict(macros)
    while new := [name for name, value in rest.items() if _is_integer(value, known)]:
        known.update(new)
        for name in new:
            del rest[name]
    return [name for name in macros if name not in rest]


def _is_integer(value: str, known: set[str]) -> bool:
    rest = re.sub(r"\b(?:0[xX][0-9a-fA-F]+|0[bB][01]+|\d+)[uUlL]*\b", "1", value)
    rest = ctext.IDENTIFIER.sub(lambda match: "1" if match.group() in known else "?", rest)
    # No / or %: where a macro that is 0 divides, only the compiler knows that the value is none.
    if not re.fullmatch(r"[\s1()+\-*<>&|^~!]+", rest) or "1" not in rest:
        return False
    if rest.count("(") != rest.count(")"):
        return False
    return re.search(r"1\s*1|\)\s*1|1\s*\(", rest) is None


_OF_A_NUMBER = re.compile(r"""(?<!\w)\d|['"]|\b(?:sizeof|offsetof|_Alignof)\b""")


def _may_be_constant(value: str, known: Collection[str]) -> bool:
    """Whether only the compiler can tell. `known`: the names of all macros, enumerators and constants."""
    if re.search(r"[{};#]|\b(?:__attribute(?:__)?|__declspec|__asm__|asm|extern)\b", value):
        return False
    if any(word in known or word.startswith("__builtin_") for word in ctext.identifiers(value)):
        return True
    return _OF_A_NUMBER.search(value) is not None


def type_of(known: dict[str, Any], name: str) -> str:
    """The type in Python of a variable that is `static const`; "Any" for structs and arrays, which are cffi's."""
    tp = known.get(f"constant {name}", (None,))[0]
    if hasattr(tp, "is_float_type") and tp.is_float_type():
        return "float"
    is_integer = hasattr(tp, "is_integer_type") and tp.is_integer_type()
    return "int" if is_integer or hasattr(tp, "enumerators") else "Any"
