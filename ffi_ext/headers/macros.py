"""Macros that are numbers or texts, which a module has as constants."""

from __future__ import annotations

import re
from collections.abc import Collection

from ffi_ext.headers import ctext

# What is another thing at each place, or each day.
_OF_THE_PLACE = frozenset(
    ("__FILE__", "__LINE__", "__COUNTER__", "__DATE__", "__TIME__", "__TIMESTAMP__", "__func__")
    + ("__FUNCTION__", "__PRETTY_FUNCTION__", "__BASE_FILE__", "__FILE_NAME__", "__INCLUDE_LEVEL__")
)


def candidates(macros: dict[str, str], declared: Collection[str]) -> dict[str, str]:
    """The macros that could be constants of a module: no names of other things, none that changes with its place."""
    moving: set[str] = set(_OF_THE_PLACE)
    found = dict(macros)
    while gone := [n for n, value in found.items() if moving & {*ctext.identifiers(value)}]:
        moving.update(gone)
        for name in gone:
            del found[name]
    return {name: value for name, value in found.items() if name not in declared}


def integer_macros(macros: dict[str, str], constants: set[str]) -> list[str]:
    """The macros whose values are integer constant expressions, of numbers, `constants` and each other."""
    known, rest = set(constants), dict(macros)
    while new := [name for name, value in rest.items() if _is_integer(value, known)]:
        known.update(new)
        for name in new:
            del rest[name]
    return [name for name in macros if name not in rest]


def float_macros(macros: dict[str, str]) -> list[str]:
    """The macros whose values are floating-point literals."""
    number = r"\s*[-+]?\s*(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][-+]?\d+)?[fFlL]?\s*"
    literal = re.compile(rf"{number}|\({number}\)")
    return [name for name, value in macros.items() if literal.fullmatch(value)]


def string_macros(macros: dict[str, str]) -> list[str]:
    """The macros whose values are string literals, one or several; with an escape, the compiler is to be asked."""
    literals = re.compile(r'"[^"\\]*"(?:\s*"[^"\\]*")*')
    return [name for name, value in macros.items() if literals.fullmatch(value)]


def to_ask(macros: dict[str, str], known: Collection[str]) -> list[str]:
    """The macros of which only the compiler can tell whether they are constants.

    Args:
        macros: Those of which nothing else is known.
        known: The names that a value may have: of all macros, enumerators and constants.
    """
    return [name for name, value in macros.items() if _may_be_constant(value, known)]


_OF_A_NUMBER = re.compile(r"""(?<!\w)\d|['"]|\b(?:sizeof|offsetof|_Alignof)\b""")


def _may_be_constant(value: str, known: Collection[str]) -> bool:
    if re.search(r"[{};#]|\b(?:__attribute(?:__)?|__declspec|__asm__|asm|extern)\b", value):
        return False
    if any(word in known or word.startswith("__builtin_") for word in ctext.identifiers(value)):
        return True
    return _OF_A_NUMBER.search(value) is not None


def _is_integer(value: str, known: set[str]) -> bool:
    rest = re.sub(r"\b(?:0[xX][0-9a-fA-F]+|0[bB][01]+|\d+)[uUlL]*\b", "1", value)
    rest = ctext.IDENTIFIER.sub(lambda match: "1" if match.group() in known else "?", rest)
    # No / or %: where a macro that is 0 divides, only the compiler knows that the value is none.
    if not re.fullmatch(r"[\s1()+\-*<>&|^~!]+", rest) or "1" not in rest:
        return False
    if rest.count("(") != rest.count(")"):
        return False
    return re.search(r"1\s*1|\)\s*1|1\s*\(", rest) is None
