"""Headers as they stand: what is in each, by the preprocessor where it has directives."""

from __future__ import annotations

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
    wholes: dict[str, frozenset[Path]] = {}  # preprocessed texts, and the files that are in each
    macros: dict[str, str] = {}  # of these
    for header in headers:
        try:
            text = _text_of(header)
            if '"C"' in text and re.search(r'extern\s*"C"', ctext.blank_comments(text)):
                found.with_linkage.add(header)
            # A part of a library's header, such as curl/easy.h, may be unfit to be read or included by itself.
            known = [w for w, files in wholes.items() if preprocessed.is_among(files, header)]
            if not known:
                found.to_include.append(header)
            uses = {name: macros[name] for name in macros.keys() & ctext.identifiers(text)}
            if not (known or uses or statements.has_directives(text) or compiler.may_change(text)):
                found.own += statements.split(text, header)
                found.texts.append(text)
                continue
            whole = known[0] if known else _preprocessed(header, compiler, uses, found.to_include)
            if not known:
                found.texts.append(whole)
            if not known and len(headers) > 1:
                wholes[whole] = preprocessed.files_of(whole)
                macros |= preprocessed.macros_of([whole])
            own, foreign, defined = preprocessed.split(whole, header, text.split("\n"))
        except OSError as error:
            raise HeaderError(f"the header {header} cannot be read: {error.strerror}") from error
        found.own += own
        found.foreign += foreign
        found.macros |= defined
    return found


def _preprocessed(
    header: Path, compiler: Reader, uses: dict[str, str], to_include: Sequence[Path]
) -> str:
    """A header by itself, or behind those before it if it `uses` macros that are not the same by itself.

    The generated C includes all of them. To read each behind all others would take three times as long.
    """
    try:
        alone = compiler(header)
    except BuildError:  # as an #error that says to include another one first
        if not uses:
            raise
    else:
        if uses.items() <= preprocessed.macros_of([alone]).items():
            return alone
    return compiler(header, to_include[:-1])


def _text_of(header: Path) -> str:
    try:
        return header.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        return header.read_text(encoding="latin-1")
