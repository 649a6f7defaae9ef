"""Which of the statements in headers are declared to cffi, and in which order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ffi_ext import types
from ffi_ext.headers import ctext, layouts
from ffi_ext.headers.preprocess import Reader
from ffi_ext.headers.statements import FUNCTION, NOT_IN_PYTHON, TYPE, Statement

_TAG = re.compile(r"\b(?:struct|union)\s+(\w+)")


def once(every: Sequence[Statement]) -> list[Statement]:
    """Each function, variable and typedef once. C lets them be repeated, in other words, too; the compiler compares.

    `int f();` and `extern int v[];` say less than others, and what has no comment says less than what has one.
    """
    found: dict[object, Statement] = {}

    def says(statement: Statement) -> tuple[bool, bool]:
        is_vague = re.search(r"(\(\s*\)|\[\s*\]);$", statement.declaration)
        return is_vague is None, statement.comment != ""

    for statement in every:
        declaration = statement.declaration
        key: object = statement.kind, statement.name
        if statement.kind == TYPE:
            is_short = declaration.startswith("typedef") and "{" not in declaration
            key = statement.defines if is_short else statement
        if says(statement) > says(found.setdefault(key, statement)):
            found[key] = statement
    return [*found.values()]


def needed(
    kept: Sequence[Statement], foreign: Sequence[Statement]
) -> tuple[list[Statement], set[Statement]]:
    """What to declare, in order, and what is left to C alone, since it names a type that Python has not.

    To declare are `kept` and the types of other files that they use, each behind what it uses itself: a header may use
    what one that is named after it declares.
    """
    order = _Order((*kept, *foreign))
    for statement in kept:
        order.add(statement)
    order.add_structs()
    return order.found, order.left_out


def _form(statement: Statement, name: str) -> tuple[bool, bool, bool]:
    """`typedef struct p p;`, `typedef struct p *q;` and `struct p { ... };` say different things of the name p."""
    declaration = statement.declaration
    is_tag = statement.defines[-1:] == (name,) and statement.defines.count(name) == 1
    return declaration.startswith("typedef"), "{" in declaration, is_tag


class _Order:
    """Statements, each behind what it uses."""

    def __init__(self, every: Sequence[Statement]) -> None:
        self.found: list[Statement] = []
        self.left_out: set[Statement] = set()
        self._known = types.known_names()
        self._beyond = set(NOT_IN_PYTHON)
        # Enumerators whose values the compiler tells when all is declared.
        self._computed: set[str] = set()
        self._seen: set[Statement] = set()
        # Of structs: their fields may come later, and may speak of what comes before.
        self._tags: list[str] = []
        self._by_name: dict[str, dict[tuple[bool, bool, bool], Statement]] = {}
        for statement in every:
            for name in (*statement.defines, *statement.enumerators):
                forms = self._by_name.setdefault(name, {})
                forms.setdefault(_form(statement, name), statement)

    def add(self, statement: Statement) -> None:
        if statement in self._seen:
            return
        self._seen.add(statement)
        later = _TAG.findall(statement.declaration)
        self._tags.extend(later)
        if "{" in statement.declaration:  # before a mere mention: cffi wants an enum's body first
            later.extend(statement.defines)
        words = ctext.identifiers(statement.declaration)
        for used in words:
            if used not in later:
                self._pull(used)
            elif typedef := self._without_fields(used):  # struct p { p *next; };
                self.add(typedef)
        self._put(statement, words)

    def add_structs(self) -> None:
        """Those of which the tags alone were wanted so far."""
        while self._tags:
            self._pull(self._tags.pop(), tag=True)

    def _put(self, statement: Statement, words: Sequence[str]) -> None:
        declared = statement
        if "= ..." in statement.declaration:
            self._computed.update(statement.enumerators)
        elif self._computed and statement.kind != FUNCTION:
            sized = layouts.with_unknown_sizes(statement.declaration, self._computed)
            declared = replace(statement, declaration=sized)
        if self._beyond.isdisjoint(words):
            self.found.append(declared)
        elif fewer := layouts.without_fields(declared.declaration, self._beyond):
            self.found.append(replace(statement, declaration=fewer))
        else:
            self._beyond.update(statement.defines)
            self.left_out.add(statement)

    def _pull(self, name: str, tag: bool = False) -> None:
        if name in self._known:
            return
        typedef = self._without_fields(name)
        for statement in self._by_name.get(name, {}).values():
            declared = statement.declaration.removeprefix("typedef " if typedef else "")
            if tag or statement is typedef or not declared.startswith(("struct", "union")):
                self.add(statement)
            else:
                self._tags.append(name)

    def _without_fields(self, name: str) -> Statement | None:
        """Of `typedef struct p p;` and a struct or another typedef with the fields, the first."""
        typedef = self._by_name.get(name, {}).get((True, False, False))
        is_struct = typedef and typedef.declaration.startswith(("typedef struct", "typedef union"))
        return typedef if is_struct else None


def sized(
    kept: Sequence[Statement], headers: Sequence[Path], compiler: Reader
) -> Iterator[list[Statement]]:
    """The statements with sizes of arrays that the compiler has computed; then also as cffi lays them out.

    cffi asks the compiler for those by itself, but not inside of a struct or union that has no name, or bit-fields. If
    its own layout is wrong it says so when the struct is used, and the rest works.
    """
    unsized = [statement for statement in kept if "[...]" in statement.declaration]
    expressions = [x for s in unsized for x in layouts.sizes_asked_for(s.text, s.declaration)]
    values = compiler.values(headers, expressions) if expressions else []
    if values is None or len(values) != sum(s.declaration.count("[...]") for s in unsized):
        return
    numbers = iter(values)

    def with_sizes(declaration: str) -> str:
        return re.sub(r"\[\.\.\.\]", lambda _: f"[{next(numbers)}]", declaration)

    given = [replace(s, declaration=with_sizes(s.declaration)) for s in kept]
    yield given
    yield [replace(s, declaration=s.declaration.replace("; ...; }", "; }")) for s in given]
