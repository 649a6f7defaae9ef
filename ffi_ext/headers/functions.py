"""A function that is declared to cffi, as data: its parameters, their codes, and what the comment asks of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cffi
from cffi import model

from ffi_ext import constraints, types
from ffi_ext.errors import HeaderError, warn
from ffi_ext.headers import ctext
from ffi_ext.headers.declared import Function, Parameter, in_cffi
from ffi_ext.headers.statements import Statement
from ffi_ext.names import python_name


def function_of(ffi: cffi.FFI, statement: Statement, void_is_memory: bool) -> Function:
    entry = in_cffi(ffi).get(f"function {statement.name}")
    # without a ; cffi has read on in the next header
    if entry is None or not hasattr(entry[0], "args") or not statement.declaration.endswith(";"):
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
    if "[" not in statement.comment:
        return parameters
    names = [parameter.name for parameter in parameters]
    tensors = [types.is_tensor(parameter.code) for parameter in parameters]
    is_new = any(parameter.code in types.ARRAY_CODES for parameter in parameters)
    if is_new and (text := constraints.overlooked(statement.comment, names)):
        warn(
            f"{statement.name}(): [{text}] in its comment checks nothing: write it behind the parameter's name, as in "
            f"@param {names[tensors.index(True)]} [{text}]"
        )
    try:
        found = constraints.in_comment(statement.comment, names, tensors)
        if is_new:
            constraints.refuse_parameters_as_sizes(found, names)
    except constraints.ConstraintError as error:
        if is_new:
            raise HeaderError(f"{statement.where}: {statement.name}(): {error}") from None
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
