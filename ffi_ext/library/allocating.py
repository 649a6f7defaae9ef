"""Python functions that make the outputs of C ones: of a forward, and of its backward, by their parameters' names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ffi_ext import constraints, types
from ffi_ext.calls.refusals import DTYPES
from ffi_ext.library.operators import Signature, operator_of, signature_of
from ffi_ext.names import python_name


@dataclass(frozen=True)
class _Roles:
    """What the parameters' names say."""

    output: str  # forward's
    inputs: list[str]  # forward's others
    incoming: set[str]  # what backward may call the gradient that comes in
    made: dict[str, str]  # the gradients that backward writes, and the inputs that they are of


def allocating(
    forward: Any, backward: Any, shape: Callable[..., Sequence[int]] | None
) -> tuple[Callable[..., torch.Tensor], Callable[..., list[torch.Tensor | None]]]:
    """A C forward and its backward as Python functions; see `gradients.differentiable`."""
    ours, theirs = signature_of(forward), signature_of(backward)
    assert ours is not None
    if theirs is None:
        raise ValueError(
            f"differentiable() argument 'backward': {forward.__name__} is a function of a generated module, "
            f"and backward must be one, too, got {backward!r}"
        )
    roles = _roles(forward, backward, ours, theirs)
    return _making_output(forward, ours, roles, shape), _making_gradients(backward, theirs, roles)


def _making_output(
    forward: Any, ours: Signature, roles: _Roles, shape: Callable[..., Sequence[int]] | None
) -> Callable[..., torch.Tensor]:
    inputs, place = roles.inputs, ours.names.index(roles.output)
    first = next((i for i, name in enumerate(inputs) if name in ours.tensors), None)
    if first is None:
        raise ValueError(f"differentiable(): {_prototype(forward)} has no tensor input")
    like_of, dtype_of, dtype = _made_like(forward, place, first)
    out_format = _format_of(forward, roles.output)
    codes = dict(zip(ours.names, forward.__self__.codes[1:], strict=True))
    numbers = [i for i, name in enumerate(inputs) if codes[name] in types.MEMBERS]
    # torch.compile knows no name of a builtin
    call, name = operator_of(forward), forward.__name__

    def run_forward(*given: Any) -> torch.Tensor:
        _check_inputs(name, inputs, given, like_of, numbers)
        like = given[like_of]
        kind = dtype or getattr(given[dtype_of], "dtype", like.dtype)
        out = like.new_empty(tuple(shape(*given)), dtype=kind) if shape else like
        if not shape or out_format is torch.channels_last:
            out = _empty_like(out, out_format, kind)
        call(*given[:place], out, *given[place:])
        return out

    run_forward.__name__, run_forward.__doc__ = name, forward.__doc__
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    run_forward.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, kind) for name in inputs]
    )
    return run_forward


def _making_gradients(
    backward: Any, theirs: Signature, roles: _Roles
) -> Callable[..., list[torch.Tensor | None]]:
    # for torch.compile, which knows no classes of ours in a backward before torch 2.11
    parameters, inputs, incoming, made = theirs.names, roles.inputs, roles.incoming, roles.made
    call = operator_of(backward)
    made_formats = {name: _format_of(backward, name) for name in made}
    formats = {_format_of(backward, name) for name in parameters if name in incoming}
    in_channels_last = formats == {torch.channels_last}
    takes_output = roles.output in parameters
    passed = [*inputs, roles.output] if takes_output else inputs

    def run_backward(grad: torch.Tensor, *given: Any) -> list[torch.Tensor | None]:
        values = dict(zip(passed, given, strict=True))
        gradients = {
            of: None if (x := values[of]) is None else _empty_like(x, made_formats[n])
            for n, of in made.items()
        }
        grad = _in_memory(grad, in_channels_last)
        arguments = [
            grad if n in incoming else gradients[made[n]] if n in made else values[n]
            for n in parameters
        ]
        call(*arguments)
        return [gradients.get(n) for n in inputs if isinstance(values[n], torch.Tensor)]

    run_backward.needs_output = takes_output  # type: ignore[attr-defined]
    return run_backward


def _check_inputs(
    name: str, inputs: Sequence[str], given: Sequence[Any], like_of: int, numbers: Sequence[int]
) -> None:
    """Raises for what C would take otherwise than autograd does."""
    if len(given) != len(inputs):
        raise TypeError(f"{name}() takes {', '.join(inputs)}: got {len(given)} arguments")
    if not isinstance(given[like_of], torch.Tensor):
        raise TypeError(
            f"{name}() argument '{inputs[like_of]}': expected a torch.Tensor, got {type(given[like_of]).__name__}"
        )
    for i in numbers:
        if isinstance(given[i], torch.Tensor):
            raise TypeError(
                f"{name}() argument '{inputs[i]}': expected a number, got a tensor, which would get no gradient; take "
                "the number out with .item()"
            )


def _in_memory(grad: torch.Tensor, channels_last: bool) -> torch.Tensor:
    """An incoming gradient whose elements lie as C's backward takes them."""
    grad = grad.resolve_conj().resolve_neg()  # lazy where y.conj() made the loss
    if channels_last and grad.dim() == 4:
        return grad.contiguous(memory_format=torch.channels_last)
    if torch.compiler.is_compiling() or grad.numel() == 0:
        # torch calls any empty tensor contiguous, also an expanded one, whose strides TH does not; whether it is
        # empty cannot be asked of sizes that depend on data, and the compiler leaves out a copy that is none
        return grad.clone(memory_format=torch.contiguous_format)
    return grad.contiguous()


def _format_of(function: Any, parameter: str) -> torch.memory_format:
    """How the header says that a tensor must lie in memory."""
    record = function.__self__
    said = constraints.decode(record.constraints[record.names.index(parameter)])
    formats = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
    return formats.get(said.layout, torch.preserve_format)


def _empty_like(
    tensor: torch.Tensor, memory_format: torch.memory_format, dtype: torch.dtype | None = None
) -> torch.Tensor:
    if memory_format is torch.channels_last and tensor.dim() != 4:
        memory_format = torch.preserve_format  # the function says what it wants
    return torch.empty_like(tensor, dtype=dtype, memory_format=memory_format)


def _roles(forward: Any, backward: Any, ours: Signature, theirs: Signature) -> _Roles:
    if not ours.mutable:
        raise ValueError(
            f"differentiable(): {_prototype(forward)} has no tensor that it may write to: its output must not be const"
        )
    if len(ours.mutable) > 1 and len(ours.mutable) < len(ours.tensors):
        raise ValueError(
            f"differentiable(): {_prototype(forward)} has several outputs ({', '.join(ours.mutable)}): make the inputs "
            "const, or give Python functions for forward and backward"
        )
    output = ours.mutable[-1]
    inputs = [name for name in ours.names if name != output]
    # grad_in is that of C's `in`, which is in_ in Python
    named = {n: python_name(n[5:]) for n in theirs.names if n.startswith("grad_")}
    # unless forward is a backward itself, whose input is called so
    general = {"grad", "grad_out", "grad_output"}.difference(inputs)
    incoming = general.union(n for n, of in named.items() if of == output)
    differentiated = [name for name in inputs if name in ours.tensors]
    made = {n: of for n, of in named.items() if of in differentiated and n in theirs.mutable}
    for name in theirs.names:
        if name not in {*incoming, *made, *inputs, output}:
            raise ValueError(
                f"differentiable(): parameter '{name}' of {_prototype(backward)} is none of grad_{output}, "
                f"grad_<input> (of a tensor, without const), {', '.join([*inputs, output])}: rename it in the "
                "header, or give Python functions"
            )
    if not made:
        raise ValueError(
            f"differentiable(): {_prototype(backward)} writes no gradient: name its outputs grad_<input>, as in "
            f"{' or '.join(f'grad_{name}' for name in differentiated)}"
        )
    if incoming.isdisjoint(theirs.names):
        raise ValueError(
            f"differentiable(): {_prototype(backward)} takes no gradient that comes in: name it grad_{output}, or give "
            "Python functions that multiply by it"
        )
    return _Roles(output, inputs, incoming, made)


def _prototype(function: Any) -> str:
    return str(function.__doc__).partition("\n\n")[0]  # the header's comment stands below


def _made_like(function: Any, place: int, first: int) -> tuple[int, int, torch.dtype | None]:
    """What the header says of an output: the inputs with its shape and its element type, or that type itself."""
    record = function.__self__
    code, text = record.codes[place + 1], record.constraints[place]
    said = constraints.decode(text)
    like_of = first if said.like is None else said.like
    dtype_of = like_of if said.dtype_of is None else said.dtype_of
    if code not in types.ARRAY_CODES:
        return like_of, dtype_of, DTYPES[code[1]]
    return like_of, dtype_of, getattr(torch, said.dtypes[0]) if len(said.dtypes) == 1 else None
