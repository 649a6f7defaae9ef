"""Headers -> functions, parameters, constants: what a header itself declares, and the typedefs that this needs."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cffi
from cffi import model

from ffi_ext import constraints, types
from ffi_ext.errors import HeaderError, warn
from ffi_ext.headers import ctext, header_constants, header_errors, needed, read_headers, statements
from ffi_ext.headers.declared import Declarations, Function, Parameter, in_cffi
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
    libraries = {path.name for path in of_libraries}
    for statement in kept:
        inline.pop(statement.name, None)

    def declare(functions: list[Statement]) -> Declarations:
        return _declare_all(ffi, found, kept, functions, constants, libraries, trials, knows_th)

    if inline:
        try:
            return declare([*inline.values()])
        except HeaderError:  # they may use types that only C reads
            _forget(ffi)
    return declare([])


def _declare_all(
    ffi: cffi.FFI,
    found: Headers,
    kept: list[Statement],
    inline: list[Statement],
    constants: dict[str, str],
    of_libraries: set[str],
    trials: Trials,
    knows_th: bool,
) -> Declarations:
    """Declares to `ffi` what is exported: `kept`, those of the functions `inline` that can be, and constants."""
    ordered, left_out = needed.needed([*kept, *inline], found.foreign)
    kept = [statement for statement in kept if statement not in left_out]
    inline = [statement for statement in inline if statement not in left_out]
    ordered = [statement for statement in ordered if statement not in inline]
    lines = header_constants.lines(constants)
    _declare_in_turn(ffi, ordered, lines, needed.sized(ordered, found.to_include, trials.compiler))

    def of_library(statement: Statement) -> bool:
        return statements.file_of(statement.where) in of_libraries

    for statement in left_out:
        half = re.search(r"\b(?:_Float16|__bf16|__fp16)\b", statement.declaration)
        if half and statement.kind == FUNCTION and not of_library(statement):
            warn(
                f"{statement.name}() is left out, since Python has no {half[0]}: take a tensor as a "
                f"const {types.ARRAY} *, whose data C may cast"
            )
    kept = [s for s in kept if not _is_opaque_variable(ffi, s, of_library(s))]
    kept = [_with_parameters(ffi, s) for s in kept if not _is_nameless(ffi, s)]
    for statement in kept:
        header_errors.refuse_opaque(ffi, statement)
    variables = [s for s in kept if s.kind == VARIABLE]
    known = in_cffi(ffi)
    all_constants = dict(constants)
    for statement in kept:
        all_constants |= dict.fromkeys(statement.enumerators, "int")
        if statement.kind == CONSTANT:
            all_constants[statement.name] = header_constants.type_of(known, statement.name)
    functions = [
        _function(ffi, s, of_library(s) or not knows_th) for s in kept if s.kind == FUNCTION
    ]
    return Declarations(
        functions=(*functions, *_inline_functions(ffi, inline, trials)),
        constants={python_name(name): kind for name, kind in all_constants.items()},
        variables={python_name(s.name): s.where for s in variables},
        headers=found.paths,
        to_include=tuple(found.to_include),
        with_linkage=frozenset(found.with_linkage),
        # cffi reads a const number at the import, so that one is not there
        may_lack=tuple(
            s.name for s in variables if of_library(s) and f"variable {s.name}" in known
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
                found.append(replace(_function(ffi, statement, True), has_body=True))
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
    parameters = [*map(_c_name, entry[0].args), *(["..."] if entry[0].ellipsis else [])]
    declared = f"{statement.name}({', '.join(parameters) or 'void'})"
    return replace(statement, kind=FUNCTION, declaration=f"{entry[0].result.get_c_name(declared)};")


def _is_const(known: dict[str, Any], name: str) -> bool:
    _, qualifiers = known.get(f"variable {name}", (None, 0))
    return bool(qualifiers & model.Q_CONST)


def _function(ffi: cffi.FFI, statement: Statement, void_is_memory: bool) -> Function:
    entry = in_cffi(ffi).get(f"function {statement.name}")
    if entry is None or not hasattr(entry[0], "args"):
        raise HeaderError(
            f"{statement.where}: this reads as the function {statement.name} but declares none:\n"
            f"    {' '.join(statement.text.split())}"
        )
    declared: Any = entry[0]
    if len(declared.args) > types.MAX_PARAMETERS:
        raise HeaderError(
            f"{statement.where}: {statement.name} has {len(declared.args)} parameters, and a call passes "
            f"at most {types.MAX_PARAMETERS}; pass some of them in a struct or an array"
        )
    if types.ARRAY in _c_name(declared.result):
        raise HeaderError(
            f"{statement.where}: {statement.name} cannot return an {types.ARRAY}, which is Python's and lasts for "
            "the call alone: write to an output parameter, or return a TH tensor"
        )
    texts = ctext.parameters_of(statement.declaration)
    parameters = tuple(
        Parameter(name, _c_name(tp), _code(tp, void_is_memory=void_is_memory))
        for name, tp in zip(
            ctext.parameter_names(texts, len(declared.args)), declared.args, strict=True
        )
    )
    for parameter, text in zip(parameters, texts, strict=False):
        if parameter.code in types.ARRAY_CODES and "[" in text:
            raise HeaderError(
                f"{statement.where}: '{text}' of {statement.name} is an array of tensors, which no call passes: "
                "declare a parameter for each"
            )
    parameters = _constrained(statement, parameters)
    if declared.ellipsis:
        _refuse_of_variadic(statement, parameters)
    return Function(
        name=statement.name,
        python_name=python_name(statement.name),
        result=_c_name(declared.result),
        result_code=_code(declared.result, result=True),
        parameters=parameters,
        variadic=bool(declared.ellipsis),
        prototype=_with_lengths(ffi, statement.declaration.rstrip("; ")),
        comment=statement.comment,
        location=statement.where,
    )


def _with_lengths(ffi: cffi.FFI, declaration: str) -> str:
    """A prototype with `float a[3]` for `float (a)[static N + 1]`: what the parser of the built module reads."""

    def length(match: re.Match[str]) -> str:
        words = re.sub(r"\b(?:static|const|volatile)\b", "", match[1])
        if not words.strip():
            return "[]"
        return f"[{ffi._parser.parse_type(f'char[{words}]').length}]"  # type: ignore[attr-defined]

    text = re.sub(r"(?<=\()\s+|(?<=\*)\s+(?=\w)", "", declaration)
    if "[" in text:
        text = re.sub(r"\(\s*(\w+)\s*\)(?=\s*\[)", r"\1", text)
        text = re.sub(r"\[(?![1-9]\d*\])([^][]*)\]", length, text)
    return text


def _constrained(statement: Statement, parameters: tuple[Parameter, ...]) -> tuple[Parameter, ...]:
    """The parameters with the constraints that the comment states."""
    if "param" not in statement.comment:
        return parameters
    names = [parameter.name for parameter in parameters]
    tensors = [types.is_tensor(parameter.code) for parameter in parameters]
    is_new = any(parameter.code in types.ARRAY_CODES for parameter in parameters)
    try:
        found = constraints.in_comment(statement.comment, names, tensors)
        if is_new:
            constraints.refuse_parameters_as_sizes(found, names)
    except constraints.ConstraintError as error:
        if is_new:
            raise HeaderError(f"{statement.where}: {error}") from None
        if any(tensors) and constraints.were_meant(statement.comment, names, tensors):
            warn(
                f"{statement.name}(): {error}. So its calls check nothing of what its comment has in brackets: mend "
                "it, or put what is no constraint into other brackets"
            )
        return parameters  # documentation of code that is older than constraints
    return tuple(
        replace(parameter, constraint=found[index].encoded()) if index in found else parameter
        for index, parameter in enumerate(parameters)
    )


def _refuse_of_variadic(statement: Statement, parameters: Sequence[Parameter]) -> None:
    """cffi calls a variadic function: it has TH's tensors made for it, and nothing of the C interface."""
    for parameter in parameters:
        if parameter.code in types.ARRAY_CODES or parameter.constraint:
            what = f"{types.ARRAY} *" if parameter.code in types.ARRAY_CODES else "constraints"
            raise HeaderError(
                f"{statement.where}: {statement.name} is variadic, and takes no {what}; declare "
                "a function without ... that calls it"
            )


def _c_name(tp: Any) -> str:
    name: str = tp.get_c_name()
    return name


def _code(tp: Any, result: bool = False, void_is_memory: bool = False) -> str:
    """The signature code of a parameter or result."""
    if isinstance(tp, model.VoidType):
        return "v"
    if isinstance(tp, model.PrimitiveType):
        return types.scalar_code(tp.name)
    if isinstance(tp, model.EnumType) and not tp.partial:
        return types.scalar_code(_integer_of(tp.enumvalues))
    if isinstance(tp, model.PointerType) and not isinstance(tp, model.NamedPointerType):
        const = bool(tp.quals & model.Q_CONST)
        return types.pointer_code(_c_name(tp.totype), const, result, void_is_memory)
    # the first: typedef struct { ... } *handle;
    addresses = (model.NamedPointerType, model.BaseFunctionType, model.ArrayType)
    return "p" if isinstance(tp, addresses) else "x"


def _integer_of(enumerators: Sequence[int]) -> str:
    """The integer type that C's compilers give an enumeration of these values."""
    low, high = min(enumerators), max(enumerators)
    if low < 0:
        return "int" if low >= -(1 << 31) and high < 1 << 31 else "long"
    return "unsigned int" if high < 1 << 32 else "unsigned long"
