"""Structs, unions and enums as cffi takes them: what it cannot compute itself it asks the compiler, for `...`."""

from __future__ import annotations

import re

from ffi_ext.headers import ctext

# A number that cffi computes itself: no sizeof, cast, comparison, ? : or escape.
_COMPUTED = re.compile(r"(?:[\s()+\-*/%^\w]|<<|>>|&(?!&)|\|(?!\|))*")
_CAST = r"\(\s*[A-Za-z_][\w\s]*\)\s*[-+~]"  # or a name in parentheses: the compiler knows either
_NOT_COMPUTED = re.compile(rf"\b(?:sizeof|_Alignof)\b|\)\s*[\w('\"]|{_CAST}")


def asking_the_compiler(text: str) -> str:
    """A type with `...` for each enumerator's value and array's size that only the compiler can compute."""
    if "enum" in text:
        text = re.sub(r"(\benum\b[^{;]*\{)([^}]*)", _with_values_of_the_compiler, text)
    return re.sub(r"\[([^][]*)\]", lambda m: m[0] if _is_computed(m[1]) else "[...]", text)


def with_unknown_sizes(declaration: str, names: set[str]) -> str:
    """A declaration in which the compiler is asked for the sizes of arrays that name one of these."""

    def size(match: re.Match[str]) -> str:
        return match[0] if names.isdisjoint(ctext.identifiers(match[1])) else "[...]"

    return re.sub(r"\[([^][]*)\]", size, declaration)


def sizes_asked_for(text: str, declaration: str) -> list[str]:
    """What the header has in the place of each `[...]` of a declaration; nothing of one that has lost some arrays."""
    text = ctext.without_attributes(text)
    of_text, declared = (re.findall(r"\[([^][]*)\]", one) for one in (text, declaration))
    if len(of_text) != len(declared):
        return []
    return [size for size, given in zip(of_text, declared, strict=True) if given == "..."]


def has_unknown_width(declaration: str) -> bool:
    """Whether only the compiler can compute how wide a bit-field is."""
    return not all(map(_is_computed, re.findall(r":([^:;,{}]*)[;,]", declaration)))


def without_fields(declaration: str, types: set[str]) -> str:
    """A struct or union without bit-fields and the fields that name one of the types; C tells where the others lie.

    "" of what is neither.
    """
    head, _, rest = declaration.partition("{")
    body, end, tail = rest.rpartition("}")
    if not end or not re.search(r"\b(?:struct|union)\b", head):
        return ""
    if not types.isdisjoint(ctext.identifiers(head + tail)):
        return ""
    fields = ctext.cut(body, ";")
    kept = [f for f in fields if f.strip() and types.isdisjoint(ctext.identifiers(f))]
    # Of those cffi asks nobody where they lie.
    kept = [f for f in kept if not re.search(r":[^{}]*$", f)]
    return head + "{" + ";".join([*kept, " ..."]) + "; }" + tail


def _is_computed(value: str) -> bool:
    return bool(_COMPUTED.fullmatch(value)) and not _NOT_COMPUTED.search(value)


def _with_values_of_the_compiler(match: re.Match[str]) -> str:
    """An enum's enumerators: `A = ...` where cffi is to ask the compiler."""
    items = []
    for item in ctext.cut(match[2]):
        name, _, value = item.partition("=")
        items.append(item if _is_computed(value) else f"{name}= ...")
    return match[1] + ",".join(items)
