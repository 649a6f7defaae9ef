"""What is wrong with a header: what was read, where it stands, and what to write instead."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any

import cffi

from ffi_ext import types
from ffi_ext.errors import HeaderError
from ffi_ext.headers.declared import in_cffi
from ffi_ext.headers.statements import TYPE, Statement

# What cffi raises for a declaration that it does not take.
OF_CFFI = (cffi.CDefError, cffi.FFIError, NotImplementedError, AssertionError)


def unreadable(
    statements: Sequence[Statement], macros: Sequence[str], first: Exception
) -> HeaderError:
    """The error for the first statement that cffi refuses; `first` is what it said of all of them.

    They were parsed at once, for speed; now one after the other.
    """
    trial = cffi.FFI()
    trial.cdef(types.TH_TYPEDEFS + "\n".join(macros))
    for statement in statements:
        try:
            trial.cdef(statement.declaration, packed=statement.packed)
        except OF_CFFI as error:
            reason = str(error).splitlines()[-1] if str(error) else type(error).__name__
            reason = re.sub(r"^.*<cdef source string>:(?:\d+:){0,2}\s*", "", reason)
            # gcc -E writes a letter beyond ASCII so
            text = re.sub(r"\\U([\da-f]{8})", lambda c: chr(int(c[1], 16)), statement.text)
            return HeaderError(
                f"{statement.where}: cannot parse this declaration ({reason}):\n"
                f"    {' '.join(text.split())}\n{_hint(text, reason, statements)}"
            )
    return HeaderError(f"the headers cannot be read: {first}")


def _hint(text: str, reason: str, kept: Sequence[Statement]) -> str:
    """What to write instead of the text that cffi refused for that reason."""
    known = types.known_names() | {name for statement in kept for name in statement.defines}
    return "hint: " + (_slip(text, reason) or _of_type(_unknown_type(text, reason, known), known))


def _slip(text: str, reason: str) -> str:
    """About what is missing, or is no C that can be read; empty if it is a type."""
    if re.search(r"\b(class|template|namespace|__global__|__device__)\b|::|&|\([^()]*\w *=", text):
        return 'headers hold C declarations; keep C++ in the sources, behind extern "C" functions'
    if "/*" in text:
        return "is a */ missing?"
    if beyond := re.search(r"\w*[^\W\x00-\x7f]\w*", re.sub('"[^"]*"', '""', text)):
        return (
            f"names in prototypes and types are of ASCII letters, digits and _: rename {beyond[0]}"
        )
    for opening, closing in ("()", "[]", "{}"):
        if (count := text.count(opening)) != (closed := text.count(closing)):
            return f"it has {count} {opening} and {closed} {closing}"
    if reason == "before: }":
        return "is a ; missing before the }?"
    if re.search(r"\}[\s*]*\w+[\s*]+\w", text):
        return "is a ; missing behind the }?"
    if reason.startswith("Unsupported type") or "bitfields and" in reason:
        return "Python knows no such type; declare the struct without its fields, and pass a pointer to it"
    if macro := re.match(r"(\w+)\s*\([^()]*\)\s*\w[\w\s*]*\(.*\)\s*;", text, re.S):
        return f"is {macro[1]} a macro? #include the header that defines it, or name that one before it"
    no_function = "Invalid function definition" in reason
    if "At end of input" in reason or (no_function and re.search(r"\)\s*\w", text)):
        return "is a ; missing at its end?"
    if re.search("simple numeric constant|actual array length|partial but has no C name", reason):
        return "the size of an array must be a number here; write a pointer, or the number"
    return ""


def _unknown_type(text: str, reason: str, known: frozenset[str]) -> str:
    """The word where pycparser expected a type that it knows."""
    text = re.sub(r"\b(?:struct|union|enum)\s+\w+", "int", text)  # a tag needs no declaration
    before = re.search(r"before: (\S+)", reason)
    words = re.findall(rf"(\w+)\b\s*{re.escape(before[1])}", text) if before else []
    if before and before[1].isidentifier():  # pycparser 2 of every parameter but the first
        words = re.findall(rf"\b({before[1]})\b\s*[*\w]", text) + words
    if "Invalid declaration" in reason:  # pycparser 3 of every parameter but the first
        words = re.findall(r",\s*(?:const\s+)?(?!unsigned\b|signed\b)(\w+)\b\s*[*\w]", text)
    if re.search("Invalid function definition|Missing type", reason):  # of the result
        words = re.findall(r"\b(?!const\b|extern\b|typedef\b)\w+", text)[:1]
    return next((word for word in words if word not in known), "")


def _of_type(unknown: str, known: frozenset[str]) -> str:
    if of_all := re.fullmatch("(THC?)(Tensor|Storage)", unknown):
        typed = ("THFloat" if of_all[1] == "TH" else "THCuda") + of_all[2]
        return f"{unknown} was PyTorch 0.4.1's for all element types: write {typed}, or another that has one"
    near = difflib.get_close_matches(unknown, known, n=1, cutoff=0.75)
    if near:
        return f"{unknown} is an unknown type; did you mean {near[0]}?"
    if not unknown:
        return "expected a C declaration, such as int f(const THFloatTensor *x, int n);"
    return (
        f"is {unknown} a type? #include the header that defines it (THC/THC.h, TH/TH.h, stdint.h ...), "
        "declare it with typedef, or, if this is a part of a library's header, name that one before it"
    )


def without_definition(value: Any) -> str:
    """The name of the struct or enum that a value is made of, if no header defines it."""
    while hasattr(value, "item"):  # an array
        value = value.item
    if getattr(value, "fldtypes", 0) is None or getattr(value, "enumerators", 0) == ():
        return str(value.get_official_name())
    return ""


def refuse_opaque(ffi: cffi.FFI, statement: Statement) -> None:
    """cffi answers with an exception of its own, or not at all, to values without a definition."""
    declared = in_cffi(ffi)
    kinds = ("struct", "union", "anonymous")  # the last: a typedef's struct without a tag
    names = [f"{kind} {name}" for kind in kinds for name in statement.defines]
    names += [f"function {statement.name}", f"variable {statement.name}"]
    for tp in (declared[name][0] for name in names if name in declared):
        held = [tp]
        if hasattr(tp, "args"):
            held = [tp.result, *tp.args]
        elif statement.kind == TYPE:
            held = getattr(tp, "fldtypes", None) or []
        for value in held:
            if name := without_definition(value):
                raise HeaderError(
                    f"{statement.where}: a value of '{name}' is used here, and no header has its "
                    f"definition:\n    {' '.join(statement.text.split())}\n"
                    f"hint: #include the header that has it, or use a pointer: {name} *"
                )
