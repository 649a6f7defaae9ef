"""Headers as they stand: what is in each, by the preprocessor where it has directives."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ffi_ext.errors import BuildError, HeaderError
from ffi_ext.headers import ctext, preprocessed, statements
from ffi_ext.headers.statements import Statement

if TYPE_CHECKING:
    from ffi_ext.headers.preprocess import Reader


@dataclass
class Headers:
    """What stands in the headers."""

    paths: tuple[Path, ...]
    own: list[Statement] = field(default_factory=list)
    foreign: list[Statement] = field(default_factory=list)  # of the files that they include
    macros: dict[str, str] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)  # with what they include
    to_include: list[Path] = field(default_factory=list)  # those that none before them includes
    with_linkage: set[Path] = field(default_factory=set)  # which say extern "C" themselves
    # Where there are several: the files in each preprocessed text, and the macros of these texts.
    files: dict[str, frozenset[Path]] = field(default_factory=dict)
    all_macros: dict[str, str] = field(default_factory=dict)

    @property
    def has_bool(self) -> bool:
        """Whether there is a type of their own by that name, as before C99."""
        return "bool" in self.macros or any("bool" in s.defines for s in self.own + self.foreign)


def read(headers: Sequence[Path], compiler: Reader) -> Headers:
    """What stands in the headers.

    Raises:
        HeaderError: One cannot be read.
    """
    found = Headers(tuple(headers))
    for header in headers:
        try:
            _add(found, header, compiler)
        except OSError as error:
            raise HeaderError(f"the header {header} cannot be read: {error.strerror}") from error
    return found


def _add(found: Headers, header: Path, compiler: Reader) -> None:
    text = _text_of(header)
    if '"C"' in text and re.search(r'extern\s*"C"', ctext.blank_comments(text)):
        found.with_linkage.add(header)
    # A part of a library's header, such as curl/easy.h, may be unfit to be read or included by itself.
    whole = next((w for w, files in found.files.items() if header.resolve() in files), None)
    if whole is None:
        uses_macros = not found.all_macros.keys().isdisjoint(ctext.identifiers(text))
        if uses_macros or statements.has_directives(text) or compiler.may_change(text):
            whole = _preprocessed(header, compiler, found)
            if len(found.paths) > 1:
                found.files[whole] = preprocessed.files_of(whole)
                found.all_macros |= preprocessed.macros_of([whole])
        found.to_include.append(header)
        found.texts.append(text if whole is None else whole)
    if whole is None:
        found.own += statements.split(text, header)
        return
    own, foreign, macros = preprocessed.split(whole, header, text.split("\n"))
    found.own += own
    found.foreign += foreign
    found.macros |= macros


def _preprocessed(header: Path, compiler: Reader, before: Headers) -> str:
    """A header by itself, or behind those `before` it if it, or what it includes, says other things there.

    The generated C includes all of them. To read each behind all others would take three times as long.
    """
    if not before.to_include:
        return compiler(header)
    with contextlib.suppress(BuildError):  # as of an #error that says to include another one first
        alone = compiler(header)
        new = preprocessed.files_of(alone).difference(*before.files.values())
        words = {word for p in new if p.is_file() for word in ctext.identifiers(_text_of(p))}
        used = before.all_macros.keys() & words
        own = preprocessed.macros_of([alone]) if used else {}
        if all(before.all_macros[name] == own.get(name) for name in used):
            return alone
    return compiler(header, before.to_include)


def _text_of(header: Path) -> str:
    try:
        return header.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        return header.read_text(encoding="latin-1")
