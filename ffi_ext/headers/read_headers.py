"""Headers as they stand: what is in each, by the preprocessor where one has directives."""

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
    to_include: list[Path]  # those that none before them includes
    own: list[Statement] = field(default_factory=list)
    foreign: list[Statement] = field(default_factory=list)  # of the files that they include
    macros: dict[str, str] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)  # with what they include
    with_linkage: set[Path] = field(default_factory=set)  # which say extern "C" themselves

    @property
    def has_bool(self) -> bool:
        """Whether there is a type of their own by that name, as before C99."""
        return "bool" in self.macros or any("bool" in s.defines for s in self.own + self.foreign)


def read(headers: Sequence[Path], compiler: Reader) -> Headers:
    """What stands in the headers, each of which may use what those before it have.

    Raises:
        HeaderError: One cannot be read.
    """
    texts = {header: _text_of(header) for header in headers}
    found = Headers(tuple(headers), [*texts])
    for header, text in texts.items():
        if '"C"' in text and re.search(r'extern\s*"C"', ctext.blank_comments(text)):
            found.with_linkage.add(header)
    if not any(statements.has_directives(t) or compiler.may_change(t) for t in texts.values()):
        found.texts = [*texts.values()]
        found.own = [s for header, text in texts.items() for s in statements.split(text, header)]
        return found
    found.to_include, whole = _included(found.to_include, compiler)
    found.texts = [whole]
    lines = {header: text.split("\n") for header, text in texts.items()}
    found.own, found.foreign, found.macros = preprocessed.split(whole, lines)
    return found


def _included(headers: Sequence[Path], compiler: Reader) -> tuple[list[Path], str]:
    """Those of the headers that none before them includes, and what the preprocessor gives for these."""
    with contextlib.suppress(BuildError):
        whole = compiler(headers)
        parts = preprocessed.parts_of(whole, headers)
        fit = [header for header in headers if header not in parts]
        return fit, compiler(fit) if parts else whole
    # A part of a library's header, such as curl/easy.h, may be unfit to be included by itself. Or else one is wrong.
    fit, whole = [], ""
    for header in headers:
        if header not in preprocessed.parts_of(whole, headers):
            fit.append(header)
            whole = compiler(fit)
    return fit, whole


def _text_of(header: Path) -> str:
    try:
        try:
            return header.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            return header.read_text(encoding="latin-1")
    except OSError as error:
        raise HeaderError(f"the header {header} cannot be read: {error.strerror}") from error
