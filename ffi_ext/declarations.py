"""Headers -> functions, parameters, constants: what a header itself declares, and the typedefs that this needs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ffi_ext import constraints, ctext, header_errors, statements, types
from ffi_ext.errors import HeaderError
from ffi_ext.macros import float_macros, integer_macros
from ffi_ext.names import python_name
from ffi_ext.statements import CONSTANT, DROPPED, FUNCTION, TYPE, VARIABLE, Statement

if TYPE_CHECKING:
    import cffi


class Preprocess(Protocol):
    """The C compiler, as `preprocess.Reader` runs it."""

    def __call__(self, header: Path) -> str: ...

    def values(self, headers: Sequence[Path], expressions: Sequence[str]) -> list[int] | None: ...


_TAG = re.compile(r"\b(?:struct|union)\s+(\w+)")


@dataclass(frozen=True)
class Parameter:
    """A parameter: its name in Python, its C type, its signature code, what the header's comment asks of it."""

    name: str
    c_type: str
    code: str
    constraint: str = ""


@dataclass(frozen=True)
class Function:
    """A function that the extension exports."""

    name: str
    python_name: str
    result: str
    result_code: str
    parameters: tuple[Parameter, ...]
    variadic: bool
    prototype: str
    comment: str
    location: str


@dataclass(frozen=True)
class Declarations:
    """What a list of headers declares."""

    functions: tuple[Function, ...]
    constants: dict[str, str]  # with their types in Python
    variables: dict[str, str]  # with their places, "my_lib.h:12"
    headers: tuple[Path, ...]
    to_include: tuple[Path, ...] = ()  # those that no header before them includes
    has_bool: bool = False  # a type of its own by that name, as before C99

    @property
    def names(self) -> list[str]:
        """The module's __all__."""
        functions = [function.python_name for function in self.functions]
        return [*functions, *self.constants, *self.variables]

    @property
    def table(self) -> list[Function]:
        """The functions in the order of the binary's table: all but variadic ones, which cffi calls."""
        return [function for function in self.functions if not function.variadic]


def read(
    headers: Sequence[Path],
    preprocess: Preprocess,
    ffi: cffi.FFI,
    of_libraries: frozenset[Path] = frozenset(),
) -> Declarations:
    """Reads the headers and declares to `ffi` what they export.

    Args:
        of_libraries: Those of the headers that are not the project's own.

    Raises:
        HeaderError: A header is no C that can be declared, or two declare the same function. The
            text names file and line.
    """
    own: list[Statement] = []
    foreign: list[Statement] = []
    macros: dict[str, str] = {}
    wholes: dict[
        str, frozenset[Path]
    ] = {}  # what the preprocessor gave, and the files that are in it
    to_include: list[Path] = []
    for header in headers:
        try:
            text = _text_of(header)
            # A part of a library's header, such as curl/easy.h, may be unfit to be read or included by itself.
            whole = next((w for w, files in wholes.items() if statements.is_among(files, header)), None)
            if whole is None:
                to_include.append(header)
            if whole is not None or statements.has_directives(text):
                if whole is None:
                    whole = preprocess(header)
                    wholes[whole] = statements.files_of(whole) if len(headers) > 1 else frozenset()
                mine, others, defined = statements.split_preprocessed(whole, header)
                macros |= defined
                foreign += others
            else:
                mine = statements.split(text, header)
        except OSError as error:
            raise HeaderError(f"the header {header} cannot be read: {error}") from error
        own += mine
    kept = [statement for statement in _once(own) if statement.kind != DROPPED]
    kept.sort(key=lambda s: s.kind != TYPE)  # one header's types, another's use
    declared = {e for s in kept for e in s.enumerators}
    declared |= {s.name for s in kept if s.kind == CONSTANT}
    # enum { A,\n#define A A\n}: the macro is the enumerator.
    integers = [name for name in integer_macros(macros, declared) if name not in declared]
    numbers = float_macros(macros)
    lines = [f"#define {name} ..." for name in integers]
    lines += [f"static const double {name};" for name in numbers]
    needed, left_out = _needed(kept, foreign)
    kept = [statement for statement in kept if id(statement) not in left_out]
    try:
        _declare(ffi, needed, lines)
    except HeaderError as error:
        sized = _sized(needed, to_include, preprocess) if "partial" in str(error) else None
        if sized is None:
            raise
        ffi.__init__()  # type: ignore[misc]
        _declare(ffi, sized, lines)
    names = {path.name for path in of_libraries}
    kept = [s for s in kept if not _is_opaque_variable(ffi, s, statements.file_of(s.where) in names)]
    for statement in kept:
        header_errors.refuse_opaque(ffi, statement)
    functions = tuple(
        _function(ffi, s, statements.file_of(s.where) in names) for s in kept if s.kind == FUNCTION
    )
    constants = dict.fromkeys(integers, "int") | dict.fromkeys(numbers, "float")
    for statement in kept:
        constants |= dict.fromkeys(statement.enumerators, "int")
        if statement.kind == CONSTANT:
            is_float = re.search(r"\b(?:float|double)\b", statement.declaration)
            constants[statement.name] = "float" if is_float else "int"
    variables = {s.name: s.where for s in kept if s.kind == VARIABLE}
    has_bool = "bool" in macros or any("bool" in s.defines for s in (*kept, *foreign))
    return Declarations(
        functions, constants, variables, tuple(headers), tuple(to_include), has_bool
    )


def _text_of(header: Path) -> str:
    try:
        return header.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        return header.read_text(encoding="latin-1")


def _once(every: Sequence[Statement]) -> Iterator[Statement]:
    """Each function once. C lets a prototype be repeated, and headers of libraries do."""
    seen: dict[str, Statement] = {}
    for statement in every:
        if statement.kind == FUNCTION:
            first = seen.setdefault(statement.name, statement)
            if first.declaration != statement.declaration:
                raise HeaderError(
                    f"{statement.where}: multiple declarations of function {statement.name}; the first "
                    f"is at {first.where} and differs. Declare each function once over all headers"
                )
            if first is not statement:
                continue
        yield statement


def _needed(
    kept: Sequence[Statement], foreign: Sequence[Statement]
) -> tuple[list[Statement], set[int]]:
    """What to declare, and the ids of what is for C alone, since it names a type that Python has not.

    That is `kept` and the types of other files that they use, each behind the names that it uses. The headers are read
    one by one: what one of them declares may be used by those that were named before it.
    """
    known = types.known_names()

    def form(statement: Statement) -> tuple[bool, bool]:
        """`typedef struct p p;` and `struct p { ... };` say different things of the same name."""
        return statement.declaration.startswith("typedef"), "{" in statement.declaration

    by_name: dict[str, dict[tuple[bool, bool], Statement]] = {}
    for statement in (*kept, *foreign):
        if statement.kind == TYPE:
            for name in (*statement.defines, *statement.enumerators):
                by_name.setdefault(name, {}).setdefault(form(statement), statement)
    ordered: list[Statement] = []
    left_out: set[int] = set()
    beyond = set(statements.NOT_IN_PYTHON)
    computed: set[str] = set()  # enumerators whose values the compiler tells when all is declared
    seen: set[int] = set()
    tags: list[
        str
    ] = []  # of structs: their fields may come later, and may speak of what comes before

    def add(statement: Statement) -> None:
        if id(statement) in seen:
            return
        seen.add(id(statement))
        later = _TAG.findall(statement.declaration)
        tags.extend(later)
        if "{" in statement.declaration:  # before a mere mention: cffi wants an enum's body first
            later.extend(statement.defines)
        words = ctext.identifiers(statement.declaration)
        for used in words:
            if used not in later:
                pull(used)
        if "= ..." in statement.declaration:
            computed.update(statement.enumerators)
        elif computed and statement.kind != FUNCTION:
            sized = statements.with_unknown_sizes(statement.declaration, computed)
            statement = replace(statement, declaration=sized)
        if beyond.isdisjoint(words):
            ordered.append(statement)
        elif fewer := statements.without_fields(statement.declaration, beyond):
            ordered.append(replace(statement, declaration=fewer))
        else:
            beyond.update(statement.defines)
            left_out.add(id(statement))

    def pull(name: str, tag: bool = False) -> None:
        if name not in known:
            for statement in by_name.get(name, {}).values():
                if tag or not statement.declaration.startswith(("struct", "union")):
                    add(statement)
                else:
                    tags.append(name)

    for statement in kept:
        add(statement)
    while tags:
        pull(tags.pop(), tag=True)
    return ordered, left_out


def _declare(ffi: cffi.FFI, kept: Sequence[Statement], macros: Sequence[str]) -> None:
    """Declares to `ffi` the statements, and the lines for macros that are numbers."""
    lines = [(False, types.TH_TYPEDEFS), *((False, macro) for macro in macros)]
    lines += [(statement.packed, statement.declaration) for statement in kept]
    try:
        for packed, group in itertools.groupby(lines, lambda line: line[0]):
            ffi.cdef("\n".join(text for _, text in group), packed=packed)
    except header_errors.of_cffi() as error:
        raise header_errors.unreadable(kept, macros, error) from None


def _sized(
    kept: Sequence[Statement], headers: Sequence[Path], preprocess: Preprocess
) -> list[Statement] | None:
    """The statements with sizes of arrays that the compiler has computed.

    cffi asks the compiler for those by itself, but not inside of a struct or union that has no name.
    """
    unsized = [statement for statement in kept if "[...]" in statement.declaration]
    expressions = [text for statement in unsized for text in statements.sizes_of(statement.text)]
    values = preprocess.values(headers, expressions) if expressions else []
    if values is None or len(values) != sum(s.declaration.count("[...]") for s in unsized):
        return None
    numbers = iter(values)

    def with_sizes(declaration: str) -> str:
        # As cffi lays it out, then: if that is wrong it says so when the struct is used, and the rest works.
        declaration = declaration.replace("; ...; }", "; }")
        return re.sub(r"\[\.\.\.\]", lambda _: f"[{next(numbers)}]", declaration)

    return [
        replace(statement, declaration=with_sizes(statement.declaration)) for statement in kept
    ]


def _is_opaque_variable(ffi: cffi.FFI, statement: Statement, of_library: bool) -> bool:
    """Whether it is a variable of which only C knows what is in it: it then is no longer declared to `ffi`.

    One of the project's own that is not const is refused, since a forgotten #include is the likeliest cause.
    """
    declared = ffi._parser._declarations  # type: ignore[attr-defined]
    if statement.kind == VARIABLE:
        for kind in ("constant", "variable")[: 1 + of_library]:
            key = f"{kind} {statement.name}"
            if key in declared and header_errors.without_definition(declared[key][0]):
                del declared[key]
                return True
    return False


def _function(ffi: cffi.FFI, statement: Statement, of_library: bool) -> Function:
    from cffi import model

    entry = ffi._parser._declarations.get(f"function {statement.name}")  # type: ignore[attr-defined]
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
    names = _parameter_names(ctext.parameters_of(statement.declaration), len(declared.args))
    parameters = tuple(
        Parameter(name, _c_name(tp), _code(tp, model, of_library=of_library))
        for name, tp in zip(names, declared.args, strict=True)
    )
    parameters = _constrained(statement, parameters)
    if declared.ellipsis:
        _refuse_of_variadic(statement, parameters)
    return Function(
        name=statement.name,
        python_name=python_name(statement.name),
        result=_c_name(declared.result),
        result_code=_code(declared.result, model, result=True),
        parameters=parameters,
        variadic=bool(declared.ellipsis),
        prototype=re.sub(r"(?<=\()\s+|(?<=\*)\s+(?=\w)", "", statement.declaration.rstrip("; ")),
        comment=statement.comment,
        location=statement.where,
    )


def _constrained(statement: Statement, parameters: tuple[Parameter, ...]) -> tuple[Parameter, ...]:
    """The parameters with the constraints that the comment states."""
    if "param" not in statement.comment:
        return parameters
    names = [parameter.name for parameter in parameters]
    tensors = [types.is_tensor(parameter.code) for parameter in parameters]
    try:
        found = constraints.in_comment(statement.comment, names, tensors)
    except constraints.ConstraintError as error:
        if any(parameter.code in types.ARRAY_CODES for parameter in parameters):
            raise HeaderError(f"{statement.where}: {error}") from None
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


def _code(tp: Any, model: Any, result: bool = False, of_library: bool = False) -> str:
    const = False
    if isinstance(tp, model.VoidType):
        kind = "void"
    elif isinstance(tp, model.PrimitiveType):
        kind = "primitive"
        return types.code_for(tp.name, kind, const, result)
    elif isinstance(tp, model.EnumType) and not tp.partial:
        return types.code_for(_integer_of(tp.enumvalues), "primitive", const, result)
    elif isinstance(tp, model.PointerType):
        kind = "pointer"
        const = bool(tp.quals & model.Q_CONST)
        if isinstance(tp, model.NamedPointerType):  # typedef struct { ... } *handle;
            return types.code_for(tp.name, kind, const, result)
        target = tp.totype.get_c_name()
        return types.code_for(f"{target} *", kind, const, result, of_library)
    elif isinstance(tp, (model.FunctionPtrType, model.RawFunctionType, model.ArrayType)):
        kind = "array"
    else:
        kind = "struct"
    return types.code_for(_c_name(tp), kind, const, result)


def _integer_of(enumerators: Sequence[int]) -> str:
    """The integer type that C's compilers give an enumeration of these values."""
    low, high = min(enumerators), max(enumerators)
    if low < 0:
        return "int" if low >= -(1 << 31) and high < 1 << 31 else "long"
    return "unsigned int" if high < 1 << 32 else "unsigned long"


def _parameter_names(texts: Sequence[str], count: int) -> list[str]:
    """Names as Python shows them: arg<i> where there is none, keywords with an underscore."""
    names: list[str] = []
    for index in range(count):
        name = ctext.parameter_name(texts[index]) if index < len(texts) else None
        name = python_name(name) if name else f"arg{index}"
        while name in names:
            name += "_"
        names.append(name)
    return names
