"""Functions of a generated module as torch operators: torch.compile sees through them, autograd can be named."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch

_KEPT: list[Any] = []  # torch forgets the operators of a Library that nobody keeps
_SCHEMA = {"i": "int", "u": "int", "f": "float", "d": "float"}


@dataclass(frozen=True)
class Operator:
    """A C function as an operator.

    Attributes:
        name: "namespace::function".
        schema: torch's, as in "(Tensor a, Tensor(b!) out) -> Tensor". A number that C returns comes as a
            tensor without dimensions (int64, or float64), since compiled graphs hold nothing else.
        call: The operator, torch.ops.<namespace>.<function>.default.
    """

    name: str
    schema: str
    call: Callable[..., Any]


def register(module: ModuleType, namespace: str | None = None) -> dict[str, Operator]:
    """Makes each function of a generated module a torch.library operator.

    A `const` tensor parameter is an input; the others are mutated in place, in their shape too as far as
    eager code goes. Under torch.compile the outputs must come in their final shapes, which the compiler has to
    know: a function that resizes what it is given is not seen through correctly.

    Args:
        module: A module that `create_extension`, `load` or `load_inline` made.
        namespace: Of the operators; the module's last name by default.

    Returns:
        The operators by the functions' names. Functions that torch's schemas cannot express (pointers,
        structs, storages, variable arguments, tensor results) are left out.

    Raises:
        TypeError: The module is not a generated one.
        ValueError: No function of it can be an operator.
    """
    lib, ffi = getattr(module, "_lib", None), getattr(module, "_ffi", None)
    if lib is None or ffi is None or not hasattr(module, "__all__"):
        raise TypeError(
            f"register() argument 'module': expected a module made by ffi_ext, got {module!r}"
        )
    space = namespace or module.__name__.rpartition(".")[2]
    functions = {name: getattr(module, name) for name in module.__all__}
    schemas = {n: s for n, f in functions.items() if (s := _schema(f)) is not None}
    if not schemas:
        raise ValueError(f"register(): no function of {module.__name__} can be a torch operator")
    library = torch.library.Library(space, "FRAGMENT")
    _KEPT.append(library)
    operators = {}
    for name, schema in schemas.items():
        function = functions[name]
        library.define(f"{name}{schema}")
        dtype = _result_dtype(function)
        library.impl(name, _implementation(function, dtype), "CPU")
        library.impl(name, _implementation(function, dtype), "CUDA")
        torch.library.register_fake(f"{space}::{name}", _fake(dtype), lib=library)
        call = getattr(getattr(torch.ops, space), name).default
        operators[name] = Operator(f"{space}::{name}", schema, call)
    return operators


def differentiable(
    forward: Callable[..., Any], backward: Callable[..., Sequence[torch.Tensor] | torch.Tensor]
) -> Callable[..., torch.Tensor]:
    """Names the backward of a function: one line gives autograd.

    Args:
        forward: (*inputs) -> tensor.
        backward: (grad, *inputs) -> the gradient of each tensor input, or one tensor if there is one.

    Returns:
        A function of the inputs whose result carries gradients.
    """

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> Any:
            ctx.numbers = [None if isinstance(x, torch.Tensor) else x for x in inputs]
            ctx.save_for_backward(*[x for x in inputs if isinstance(x, torch.Tensor)])
            return forward(*inputs)

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            tensors = iter(ctx.saved_tensors)
            inputs = [next(tensors) if number is None else number for number in ctx.numbers]
            given = backward(grads[0], *inputs)
            gradients = iter([given] if isinstance(given, torch.Tensor) else given)
            return tuple(next(gradients) if number is None else None for number in ctx.numbers)

    Function.__name__ = Function.__qualname__ = getattr(forward, "__name__", "Function")

    def run(*inputs: Any) -> torch.Tensor:
        result: torch.Tensor = Function.apply(*inputs)
        return result

    return run


def _schema(function: Any) -> str | None:
    """torch's schema of a C function, or None where it has none."""
    from ffi_ext import types

    codes, names = getattr(function, "__self__", function), None
    names = getattr(codes, "names", None)
    codes = getattr(codes, "codes", None)
    if codes is None or names is None or not inspect.isbuiltin(function):
        return None
    parts, letter = [], ord("a")
    for name, code in zip(names, codes[1:], strict=True):
        if types.is_tensor(code):
            mutated = code[0] in "TUA"
            parts.append(f"Tensor({chr(letter)}!) {name}" if mutated else f"Tensor {name}")
            letter += mutated
        elif code == "?":
            parts.append(f"bool {name}")
        elif len(code) == 1 and types.MEMBERS.get(code) in _SCHEMA and code != "c":
            parts.append(f"{_SCHEMA[types.MEMBERS[code]]} {name}")
        else:
            return None
    result = codes[0]
    if result == "v":
        returns = "()"
    elif len(result) == 1 and types.MEMBERS.get(result) in _SCHEMA and result not in "?c":
        returns = "Tensor"
    else:
        return None
    if letter > ord("z") + 1:
        return None
    return f"({', '.join(parts)}) -> {returns}"


def _result_dtype(function: Any) -> torch.dtype | None:
    code = function.__self__.codes[0]
    if code == "v":
        return None
    return torch.float64 if code in "fd" else torch.int64


def _implementation(function: Callable[..., Any], dtype: torch.dtype | None) -> Callable[..., Any]:
    def implementation(*arguments: Any) -> Any:
        result = function(*arguments)
        return None if dtype is None else torch.tensor(result, dtype=dtype)

    return implementation


def _fake(dtype: torch.dtype | None) -> Callable[..., Any]:
    """What the function returns when nothing is computed; its outputs are arguments."""
    return lambda *arguments: None if dtype is None else torch.empty((), dtype=dtype)
