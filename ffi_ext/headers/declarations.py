"""Headers -> functions, parameters, constants: what a header itself declares, and the typedefs that this needs."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cffi
from cffi import model

from ffi_ext import types
from ffi_ext.errors import HeaderError, warn
from ffi_ext.headers import header_constants, header_errors, needed, read_headers, statements
from ffi_ext.headers.declared import Declarations, Function, in_cffi
from ffi_ext.headers.functions import function_of
from ffi_ext.headers.read_headers import Headers
from ffi_ext.headers.statements import CONSTANT, FUNCTION, INLINE, TYPE, VARIABLE, Statement
from ffi_ext.headers.trials import Trials
from ffi_ext.names import python_name

if TYPE_CHECKING:
    from ffi_ext.headers.preprocess import Reader


def read(
    headers: Sequence[Path],
    compiler: Reader,
    ffi: cffi.FFI,
    of_libraries: frozenset[Path] = frozenset(),
    with_inline: frozenset[Path] = frozenset(),
    knows_th: bool = True,
) -> Declarations:
    """Reads the headers and declares to `ffi` what they export.

    Args:
        of_libraries: Those of the headers that are not the project's own.
        with_inline: Those of which the static functions that they define are exported.
        knows_th: The project uses TH: a tensor for a `void *` of its own headers is TH's record. Without TH, and for
            libraries, it is the tensor's memory.

    Raises:
        HeaderError: A header is no C that can be declared. The text names file and line.
    """
    found = read_headers.read(headers, compiler)
    names = {path.name for path in with_inline}
    inline = {
        statement.name: replace(statement, kind=FUNCTION)
        for statement in found.own
        if statement.kind == INLINE and statements.file_of(statement.where) in names
    }
    own = [statement for statement in found.own if statement.kind != INLINE]
    # one header's types, another's use
    kept = sorted(needed.once(own), key=lambda statement: statement.kind != TYPE)
    trials = Trials(compiler, found)
    constants = header_constants.of_macros(found, kept, trials)
    for statement in kept:
        inline.pop(statement.name, None)
    libraries = {path.name for path in of_libraries}
    export = _Export(ffi, found, trials, constants, libraries, knows_th)
    if inline:
        try:
            return export.declared(kept, [*inline.values()])
        except HeaderError:  # they may use types that only C reads
            _forget(ffi)
    return export.declared(kept, [])


@dataclass(frozen=True)
class _Export:
    """What headers export, on its way into cffi."""

    ffi: cffi.FFI
    found: Headers
    trials: Trials
    constants: dict[str, str]  # macros
    libraries: set[str]  # names of the headers that are not the project's own
    knows_th: bool

    def declared(self, kept: list[Statement], inline: list[Statement]) -> Declarations:
        """Declares what is exported: `kept`, those of the functions `inline` that can be, and constants."""
        ordered, left_out = needed.needed([*kept, *inline], self.found.foreign)
        kept = [statement for statement in kept if statement not in left_out]
        inline = [statement for statement in inline if statement not in left_out]
        ordered = [statement for statement in ordered if statement not in inline]
        sized = needed.sized(ordered, self.found.to_include, self.trials.compiler)
        _declare_in_turn(self.ffi, ordered, header_constants.lines(self.constants), sized)
        for statement in left_out:
            self.warn_of_half(statement)
        kept = [s for s in kept if not _is_opaque_variable(self.ffi, s, self.is_of_library(s))]
        kept = [_with_parameters(self.ffi, s) for s in kept if not _is_nameless(self.ffi, s)]
        for statement in kept:
            header_errors.refuse_opaque(self.ffi, statement)
        functions = [
            function_of(self.ffi, s, self.is_of_library(s) or not self.knows_th)
            for s in kept
            if s.kind == FUNCTION
        ]
        functions += _inline_functions(self.ffi, inline, self.trials)
        return self.result(kept, functions)

    def is_of_library(self, statement: Statement) -> bool:
        return statements.file_of(statement.where) in self.libraries

    def warn_of_half(self, statement: Statement) -> None:
        """A function that is left out for want of a number in Python."""
        half = re.search(r"\b(?:_Float16|__bf16|__fp16)\b", statement.declaration)
        if half and statement.kind == FUNCTION and not self.is_of_library(statement):
            warn(
                f"{statement.name}() is left out, since Python has no {half[0]}: take a tensor as a "
                f"const {types.ARRAY} *, whose data C may cast"
            )

    def result(self, kept: list[Statement], functions: list[Function]) -> Declarations:
        found, known = self.found, in_cffi(self.ffi)
        variables = [s for s in kept if s.kind == VARIABLE]
        constants = dict(self.constants)
        for statement in kept:
            constants |= dict.fromkeys(statement.enumerators, "int")
            if statement.kind == CONSTANT:
                constants[statement.name] = header_constants.type_of(known, statement.name)
        return Declarations(
            functions=tuple(functions),
            constants={python_name(name): kind for name, kind in constants.items()},
            variables={python_name(s.name): s.where for s in variables},
            headers=found.paths,
            to_include=tuple(found.to_include),
            with_linkage=frozenset(found.with_linkage),
            # cffi reads a const number at the import, so that one is not there
            may_lack=tuple(
                s.name for s in variables if self.is_of_library(s) and f"variable {s.name}" in known
            ),
            has_bool=found.has_bool,
            read_only=tuple(python_name(s.name) for s in variables if _is_const(known, s.name)),
            data=frozenset(s.name for s in (*variables, *found.foreign) if s.kind == VARIABLE),
        )


def _inline_functions(ffi: cffi.FFI, inline: Sequence[Statement], trials: Trials) -> list[Function]:
    """Those of the functions with bodies that Python can call: what else there is, is written as only C reads it."""
    declared = in_cffi(ffi)
    found: list[Function] = []
    for statement in inline:
        try:
            ffi.cdef(statement.declaration)
            header_errors.refuse_opaque(ffi, statement)
            if not _is_nameless(ffi, statement):
                found.append(replace(function_of(ffi, statement, True), has_body=True))
        except (*header_errors.OF_CFFI, HeaderError):
            declared.pop(f"function {statement.name}", None)
    fit = trials.callable(found) if found else []
    for function in found:
        if function not in fit:
            del declared[f"function {function.name}"]
    return fit


def _forget(ffi: cffi.FFI) -> None:
    """It keeps what it took before it refused something."""
    ffi.__init__()  # type: ignore[misc]


_PLAIN = re.compile(r"([\w\s*]*[\s*])(\w+)\s*\(([\w\s*,]*)\);")
_OF_TYPES = "ffi_ext_types"


def _parts_of_plain(declaration: str) -> tuple[str, str, list[str]] | None:
    """Name, result and parameters of a function whose types are words and *, as those of nearly all are."""
    match = _PLAIN.fullmatch(declaration)
    if not match:
        return None
    parameters = [text.strip() for text in match[3].split(",")]
    if parameters in ([""], ["void"]):
        parameters = []
    if not {"", "void"}.isdisjoint(parameters):
        return None  # cffi says what is wrong with it
    return match[2], match[1].strip(), parameters


def _declare(ffi: cffi.FFI, kept: Sequence[Statement], constants: Sequence[str]) -> None:
    """Declares to `ffi` the statements, and the lines for macros that are constants.

    cffi's parser takes most of the time that a header is read in, and a thousand functions have some dozen parameters
    that differ: it reads these once, as those of one function, and the others are declared from what it made of them.
    """
    lines = [(False, types.TH_TYPEDEFS), *((False, line) for line in constants)]
    plain: list[tuple[str, str, list[str]]] = []
    for statement in kept:
        if statement.kind == FUNCTION and (parts := _parts_of_plain(statement.declaration)):
            plain.append(parts)
        else:
            lines.append((statement.packed, statement.declaration))
    each = dict.fromkeys(text for _, result, texts in plain for text in (result, *texts))
    each.pop("void", None)
    lines.append((False, f"void {_OF_TYPES}({', '.join(['int', *each])});"))
    try:
        for packed, group in itertools.groupby(lines, lambda line: line[0]):
            ffi.cdef("\n".join(text for _, text in group), packed=packed)
        parser = ffi._parser  # type: ignore[attr-defined]
        _, *found = parser._declarations.pop(f"function {_OF_TYPES}")[0].args
        of_text = dict(zip(each, found, strict=True), void=model.void_type)
        for name, result, texts in plain:
            arguments = tuple(tp for text in texts if (tp := of_text[text]) is not model.void_type)
            function = model.FunctionPtrType(arguments, of_text[result], False)
            parser._declare(f"function {name}", function)
    except header_errors.OF_CFFI as error:
        raise header_errors.unreadable(kept, constants, error) from None


def _declare_in_turn(
    ffi: cffi.FFI,
    kept: Sequence[Statement],
    constants: Sequence[str],
    others: Iterator[Sequence[Statement]],
) -> None:
    """Declares to `ffi` the statements, or others that say the same with less for the compiler to tell."""
    try:
        return _declare(ffi, kept, constants)
    except HeaderError as error:
        if not re.search("partial but has no C name|both bitfields and", str(error)):
            raise
        first = error
    for fewer in others:
        _forget(ffi)
        with contextlib.suppress(HeaderError):
            return _declare(ffi, fewer, constants)
    raise first


def _is_opaque_variable(ffi: cffi.FFI, statement: Statement, of_library: bool) -> bool:
    """Whether it is a variable of a struct that no header defines. It is then taken out of what `ffi` has.

    Not so the project's own that are not const, which are refused: a forgotten #include is the likeliest cause.
    """
    declared = in_cffi(ffi)
    if statement.kind == VARIABLE:
        for kind in ("constant", "variable")[: 1 + of_library]:
            key = f"{kind} {statement.name}"
            if key in declared and header_errors.without_definition(declared[key][0]):
                del declared[key]
                return True
    return False


def _is_nameless(ffi: cffi.FFI, statement: Statement) -> bool:
    """Whether a type in it has no name in C, as of `typedef struct { int n; } v[1];`: it then is no longer declared."""
    declared = in_cffi(ffi)
    for key in (f"{kind} {statement.name}" for kind in ("function", "variable", "constant")):
        if key in declared:
            try:
                declared[key][0].get_c_name()
            except cffi.VerificationError:
                del declared[key]
                return True
    return False


def _with_parameters(ffi: cffi.FFI, statement: Statement) -> Statement:
    """A function that is declared by the name of its type, `typedef int op(int); op add;`, as `int add(int);`."""
    entry = in_cffi(ffi).get(f"function {statement.name}")
    if statement.kind != VARIABLE or not entry:
        return statement
    parameters = [
        *(tp.get_c_name() for tp in entry[0].args),
        *(["..."] if entry[0].ellipsis else []),
    ]
    declared = f"{statement.name}({', '.join(parameters) or 'void'})"
    return replace(statement, kind=FUNCTION, declaration=f"{entry[0].result.get_c_name(declared)};")


def _is_const(known: dict[str, Any], name: str) -> bool:
    _, qualifiers = known.get(f"variable {name}", (None, 0))
    return bool(qualifiers & model.Q_CONST)
