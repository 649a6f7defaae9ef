"""What a refused argument is told: what was expected, what was got, where, and what to do next."""

from __future__ import annotations

from typing import Any, NoReturn, Protocol

import _cffi_backend
import numpy as np
import torch

from ffi_ext import types

DTYPES = {element.letter: getattr(torch, element.dtype) for element in types.ELEMENTS}
INTEGER_CODES = frozenset("?bBhHiIlLqQ")


class Function(Protocol):
    """What the dispatcher's function object and `runtime.CffiFunction` have in common."""

    name: str
    module: str
    constraints: tuple[str, ...]
    doc: str
    origin: Any  # (ffi, lib, C's name)
    types: Any  # see cffi_values.types_of

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def codes(self) -> tuple[str, ...]: ...


def prototype(function: Function) -> str:
    """C's declaration, as help() shows it."""
    return function.doc.split("\n\n", 1)[0]


def _where(function: Function, index: int) -> str:
    name = function.names[index] if index < len(function.names) else f"arg{index}"
    return f"{function.name}() argument {index + 1} '{name}'"


def refusal(
    function: Function, index: int, text: str, kind: type[Exception] = TypeError
) -> Exception:
    return kind(f"{_where(function, index)}: {text}\n  in {prototype(function)}")


def wanted(code: str) -> str:
    record = types.record_of(code)
    assert record is not None
    place = "a CUDA device" if record.device == "cuda" else "the CPU"
    element = record.element
    return f"a torch.{element.name}{record.kind} ({element.dtype}) on {place}"


def is_storage(value: object) -> bool:
    return isinstance(value, (torch.storage.TypedStorage, torch.UntypedStorage))


def describe(value: object) -> str:
    """What was passed, in words."""
    if isinstance(value, torch.Tensor):
        return f"a tensor of {value.dtype} on {value.device}"
    if is_storage(value):
        dtype = getattr(value, "dtype", None)
        return f"a storage of {dtype}" if dtype else "an untyped storage"
    if isinstance(value, np.ndarray):
        return f"a NumPy array of {value.dtype}"
    if isinstance(value, (int, float, str, bytes)):
        text = shown(value)
        return f"{type(value).__name__} {text if len(text) < 40 else text[:36] + '...'}"
    if isinstance(value, np.generic):
        return f"numpy.{type(value).__name__}"
    if isinstance(value, _cffi_backend._CDataBase):
        return f"C's '{_cffi_backend.typeof(value).cname}'"
    return type(value).__name__


def shown(value: object) -> str:
    """Python refuses to write out integers of more than some thousand digits."""
    if isinstance(value, int) and value.bit_length() > 1000:
        return f"of {value.bit_length()} bits"
    return repr(value)


def arity(function: Function, count: int, keywords: tuple[str, ...] | None) -> NoReturn:
    """Raises for missing, superfluous, unknown or repeated arguments."""
    names, keywords = function.names, keywords or ()
    taken = names[:count]
    problem = None
    for keyword in keywords:
        if keyword not in names:
            problem = f"unknown keyword argument '{keyword}'"
        elif keyword in taken:
            problem = f"argument '{keyword}' was given twice"
        if problem:
            break
    if problem is None:
        missing = [name for name in names if name not in taken and name not in keywords]
        got = count + len(keywords)
        problem = f"expected {len(names)} argument{'s' * (len(names) != 1)}, got {got}"
        if missing:
            problem += f"; missing: {', '.join(missing)}"
    signature = f"{function.name}({', '.join(names)})"
    raise TypeError(f"{function.name}(): {problem}\n  {signature} in {prototype(function)}")
