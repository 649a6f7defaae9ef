"""What of headers are constants of a module: macros, and variables that are `static const`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ffi_ext.headers import macros, preprocessed
from ffi_ext.headers.read_headers import Headers
from ffi_ext.headers.statements import CONSTANT, Statement
from ffi_ext.headers.trials import Trials

# How cffi is told of a macro that is a constant, by what it is in Python.
_AS_CONSTANT = {
    "int": "#define {} ...",
    "float": "static const double {};",
    "bytes": "static const char *const {};",
}


def lines(constants: Mapping[str, str]) -> list[str]:
    """What declares macros to cffi, given with their types in Python."""
    return [_AS_CONSTANT[kind].format(name) for name, kind in constants.items()]


def of_macros(found: Headers, kept: Sequence[Statement], trials: Trials) -> dict[str, str]:
    """The macros that are constants, with their types in Python."""
    # enum { A,\n#define A A\n}: the macro is the enumerator.
    enumerators = {e for s in kept for e in s.enumerators}
    declared = enumerators | {s.name for s in kept}
    candidates = macros.candidates(found.macros, declared)
    numbers = enumerators | {
        s.name for s in kept if s.kind == CONSTANT and not _is_float(s.declaration)
    }
    constants = dict.fromkeys(macros.integer_macros(candidates, numbers), "int")
    constants |= dict.fromkeys(macros.float_macros(candidates), "float")
    constants |= dict.fromkeys(macros.string_macros(candidates), "bytes")
    others = {name: value for name, value in candidates.items() if name not in constants}
    if others:
        known = declared | {name for s in found.foreign for name in (s.name, *s.enumerators)}
        to_ask = macros.to_ask(others, known.union(preprocessed.macros_of(found.texts)))
        constants |= trials.constants(to_ask) if to_ask else {}
    return constants


def _is_float(declaration: str) -> bool:
    return re.search(r"\b(?:float|double)\b", declaration) is not None


def type_of(known: dict[str, Any], name: str) -> str:
    """The type in Python of a variable that is `static const`; "Any" for structs and arrays, which are cffi's."""
    tp = known.get(f"constant {name}", (None,))[0]
    if hasattr(tp, "is_float_type") and tp.is_float_type():
        return "float"
    is_integer = hasattr(tp, "is_integer_type") and tp.is_integer_type()
    return "int" if is_integer or hasattr(tp, "enumerators") else "Any"
