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
            uses = not macros.keys().isdisjoint(ctext.identifiers(text))
            if not (known or uses or statements.has_directives(text) or compiler.may_change(text)):
                found.own += statements.split(text, header)
                found.texts.append(text)
                continue
            seen = frozenset[Path]().union(*wholes.values())
            before = found.to_include[:-1]
            whole = known[0] if known else _preprocessed(header, compiler, before, macros, seen)
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
    header: Path,
    compiler: Reader,
    before: Sequence[Path],
    macros: dict[str, str],
    seen: frozenset[Path],
) -> str:
    """A header by itself, or behind those `before` it if it, or what it includes, says other things there.

    The generated C includes all of them. To read each behind all others would take three times as long.

    Args:
        macros: Of those before it.
        seen: The files that those before it include.
    """
    if not before:
        return compiler(header)
    with contextlib.suppress(BuildError):  # as of an #error that says to include another one first
        alone = compiler(header)
        new = (path for path in preprocessed.files_of(alone) - seen if path.is_file())
        words = {word for path in new for word in ctext.identifiers(_text_of(path))}
        used = macros.keys() & words
        own = preprocessed.macros_of([alone]) if used else {}
        if all(macros[name] == own.get(name) for name in used):
            return alone
    return compiler(header, before)


def _text_of(header: Path) -> str:
    try:
        return header.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        return header.read_text(encoding="latin-1")
