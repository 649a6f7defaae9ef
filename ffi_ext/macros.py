"""Macros that are numbers or texts, which a module has as constants."""

from __future__ import annotations

import re
from collections.abc import Collection

from ffi_ext import ctext


def integer_macros(macros: dict[str, str], constants: set[str]) -> list[str]:
    """The macros whose values are integer constant expressions, of numbers, `constants` and each other."""
    known = set(constants)
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


def string_macros(macros: dict[str, str]) -> list[str]:
    """The macros whose values are string literals, one or several."""
    literals = re.compile(r'(?:u8)?"(?:[^"\\]|\\.)*"(?:\s*"(?:[^"\\]|\\.)*")*')
    return [name for name, value in macros.items() if literals.fullmatch(value.strip())]


def to_ask(macros: dict[str, str], known: Collection[str]) -> list[str]:
    """The macros of which only the compiler can tell whether they are constants.

    Args:
        macros: Those of which nothing else is known.
        known: The names that a value may have: of macros, enumerators and constants.
    """
    return [name for name, value in macros.items() if _may_be_constant(value, known)]


def _may_be_constant(value: str, known: Collection[str]) -> bool:
    if re.search(r"[{};#]|\b(?:__attribute(?:__)?|__declspec|__asm__|asm|extern)\b", value):
        return False
    if any(word in known or word.startswith("__builtin_") for word in ctext.identifiers(value)):
        return True
    return (
        re.search(r"""[\d'"]|\bsizeof\b""", re.sub(r"\b(?!sizeof\b)[A-Za-z_]\w*", "", value))
        is not None
    )


def _is_integer(value: str, known: set[str]) -> bool:
    if not value.strip():
        return False
    rest = re.sub(r"\b(?:0[xX][0-9a-fA-F]+|0[bB][01]+|\d+)[uUlL]*\b", "1", value)
    rest = ctext.IDENTIFIER.sub(lambda match: "1" if match.group() in known else "?", rest)
    if not re.fullmatch(r"[\s1()+\-*/%<>&|^~!]+", rest) or "1" not in rest:
        return False
    if rest.count("(") != rest.count(")"):
        return False
    return re.search(r"1\s*1|\)\s*1|1\s*\(", rest) is None
