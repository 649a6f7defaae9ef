"""Functions of a generated module as torch operators: torch.compile sees through them, autograd can be named."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch

from ffi_ext import constraints, types
from ffi_ext.refusals import DTYPES

# torch forgets the operators of a library that nobody keeps.
_LIBRARIES: dict[str, torch.library.Library] = {}
_OPERATORS: dict[int, tuple[Any, Operator]] = {}  # by id(function); the function is kept with it
_SCHEMA = {"i": "int", "u": "int", "f": "float", "d": "float"}


@dataclass(frozen=True)
class Operator:
    """A C function as an operator.

    Attributes:
        name: "namespace::function".
        schema: torch's, as in "(Tensor a, Tensor(b!) out) -> Tensor". A number that C returns comes as a
            tensor without dimensions (int64, float64 or bool), since compiled graphs hold nothing else.
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

    Registering a rebuilt module under the same namespace replaces the operators of the one before.
    """
    lib, ffi = getattr(module, "_lib", None), getattr(module, "_ffi", None)
    if lib is None or ffi is None or not hasattr(module, "__all__"):
        raise TypeError(
            f"register() argument 'module': expected a module made by ffi_ext, got {module!r}"
        )
    space = namespace or module.__name__.rpartition(".")[2]
    if not space.isidentifier():
        raise ValueError(
            f"register() argument 'namespace': expected a name as in torch.ops.<name>, got {space!r}"
        )
    functions = {name: getattr(module, name) for name in module.__all__}
    schemas = {n: s for n, f in functions.items() if (s := _schema(f)) is not None}
    if not schemas:
        raise ValueError(f"register(): no function of {module.__name__} can be a torch operator")
    before = _LIBRARIES.pop(space, None)
    if before is not None:
        before._destroy()
    library = _LIBRARIES[space] = torch.library.Library(space, "FRAGMENT")
    operators = {}
    for name, schema in schemas.items():
        function = functions[name]
        library.define(f"{name}{schema}")
        dtype = _result_dtype(function)
        # Of what torch has no tensor to tell the device from, the kernel is for all.
        keys = (
            ("CPU", "CUDA")
            if "Tensor" in schema.partition(" -> ")[0]
            else ("CompositeExplicitAutograd",)
        )
        for key in keys:
            library.impl(name, _implementation(function, dtype), key)
        torch.library.register_fake(f"{space}::{name}", _fake(function, dtype), lib=library)
        call = getattr(getattr(torch.ops, space), name).default
        operators[name] = operator = Operator(f"{space}::{name}", schema, call)
        _OPERATORS[id(function)] = (function, operator)
    return operators


def differentiable(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    *,
    shape: Callable[..., Sequence[int]] | None = None,
) -> Callable[..., torch.Tensor]:
    """Names the backward of a function: one line gives autograd.

    Args:
        forward: A function of a generated module, such as `my_lib.add_forward`; or any (*inputs) -> tensor.
        backward: Of the same kind: `my_lib.add_backward`; or (grad, *inputs) -> the gradient of each tensor
            input, or one tensor if there is one.
        shape: For C functions: (*inputs) -> the shape of the output. By default it is that of the input which
            the header says it is `like`, or else the first tensor's; the element type, too, unless the header
            has it. Functions that resize their output need none unless torch.compile is to see through them.

    A C forward has one output, the tensor that is not const (the last one, if none is const). The
    parameters of a C backward are known by their names: `grad`, `grad_out`, `grad_output` or
    `grad_<the output's name>` is the gradient that comes in; a name of forward's is that argument, and the
    output's name the output; `grad_<name>` is where the gradient of the input `<name>` is written, into a
    tensor of the input's shape. What the names do not say is an error here, not at the first call.

    Returns:
        A function of the inputs (of C's parameters without the output) whose result carries gradients. If
        the module is registered, torch.compile sees through it (from torch 2.6 on).

    Raises:
        ValueError: The parameters of a C function cannot be told apart.
    """
    if _signature(forward) is not None:
        forward, backward = _allocating(forward, backward, shape)
    elif shape is not None:
        raise ValueError("differentiable() argument 'shape': a Python forward makes its own output")
    elif _signature(backward) is not None:
        raise ValueError(
            f"differentiable() argument 'forward': {backward.__name__} is a function of a generated module, "
            f"and forward must be one, too, got {forward!r}"
        )

    keeps_output = getattr(backward, "needs_output", False)
    name = getattr(forward, "__name__", "Function")

    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        kept = [x for x in inputs if isinstance(x, torch.Tensor)]
        ctx.tensors = [isinstance(x, torch.Tensor) for x in inputs]
        ctx.others = [None if isinstance(x, torch.Tensor) else x for x in inputs]
        ctx.save_for_backward(*kept, *([output] if keeps_output else []))

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> Any:
            result = forward(*inputs)
            setup_context(ctx, inputs, result)
            return result

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            saved = ctx.saved_tensors  # once: checkpoints give it away
            tensors = iter(saved)
            places = list(zip(ctx.tensors, ctx.others, strict=True))
            inputs = [next(tensors) if is_tensor else other for is_tensor, other in places]
            with torch.no_grad():
                given = backward(grads[0], *inputs, *tensors)
            given = [given] if isinstance(given, torch.Tensor) else list(given)
            if len(given) != sum(ctx.tensors):
                raise ValueError(
                    f"{name}(): its backward must return one gradient for each tensor among the inputs, "
                    f"{sum(ctx.tensors)}, got {len(given)}"
                )
            gradients = iter(given)
            found = [next(gradients) if is_tensor else None for is_tensor in ctx.tensors]
            return once(found, [grads[0], *saved])

    Function.__name__ = Function.__qualname__ = name

    # torch.func wants setup_context apart, which costs 30 us a call.
    def vmap(*_: Any) -> Any:
        raise RuntimeError(
            f"{name}() is a C function, which vmap has no rule for: call it on the whole batch, or on each item "
            "and torch.stack the results"
        )

    apart = {"forward": forward, "setup_context": setup_context, "vmap": vmap}
    transformed: Any = type(name, (Function,), {n: staticmethod(f) for n, f in apart.items()})

    def run(*inputs: Any, **named: Any) -> torch.Tensor:
        if named:
            inputs = inspect.signature(forward).bind(*inputs, **named).args
        compiling = torch.compiler.is_compiling()
        if compiling and not (torch.is_grad_enabled() and _require_grad(inputs)):
            return forward(*inputs)  # else torch.compile may take the first of two inputs for ctx
        in_func = not compiling and torch._C._are_functorch_transforms_active()
        result: torch.Tensor = (transformed if in_func else Function).apply(*inputs)
        return result

    run.__doc__ = forward.__doc__
    run.__name__ = run.__qualname__ = name
    run.__wrapped__ = forward  # type: ignore[attr-defined]  # its parameters are what help() shows
    return run


def _require_grad(inputs: Sequence[Any]) -> bool:
    return any(isinstance(x, torch.Tensor) and x.requires_grad for x in inputs)


class _Once(torch.autograd.Function):
    """A gradient whose own gradient is an error, whatever of it is asked for."""

    @staticmethod
    def forward(gradient: torch.Tensor, *causes: torch.Tensor) -> torch.Tensor:
        return gradient.view_as(gradient)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """torch.func wants one."""

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise RuntimeError(
            "the gradient of a C function was to be differentiated, which has no second derivative: compute that "
            "part with torch's own functions, or write it as a function of its own with its own backward"
        )


def once(
    gradients: Sequence[torch.Tensor | None], causes: Sequence[Any]
) -> tuple[torch.Tensor | None, ...]:
    """What a backward without a derivative returns: under create_graph=True, gradients that say so when they are
    differentiated. torch's `once_differentiable` says it only if the incoming gradient requires grad.

    Args:
        gradients: As computed, without a graph.
        causes: The incoming gradient and what was saved.
    """
    if not torch.is_grad_enabled() or torch.compiler.is_compiling():
        return tuple(gradients)
    depends = [x for x in causes if isinstance(x, torch.Tensor) and x.requires_grad]
    return tuple(g if g is None else _Once.apply(g, *depends) for g in gradients)


def _is_mutated(code: str) -> bool:
    """Whether C may write to a tensor parameter: it is not const."""
    return code[0] in "TUA"


@dataclass(frozen=True)
class _Signature:
    """Parameters of a C function: names, and which are tensors, and which of these it may write to."""

    names: tuple[str, ...]
    tensors: frozenset[str]
    mutable: tuple[str, ...]


def _signature(function: Any) -> _Signature | None:
    """None for anything but a function of a generated module."""
    record = getattr(function, "__self__", None)
    codes, names = getattr(record, "codes", None), getattr(record, "names", None)
    if codes is None or names is None or not inspect.isbuiltin(function):
        return None
    pairs = list(zip(names, codes[1:], strict=True))
    tensors = [(n, c) for n, c in pairs if types.is_tensor(c)]
    mutable = tuple(n for n, c in tensors if _is_mutated(c))
    return _Signature(tuple(names), frozenset(n for n, _ in tensors), mutable)


def _allocating(
    forward: Any, backward: Any, shape: Callable[..., Sequence[int]] | None
) -> tuple[Callable[..., torch.Tensor], Callable[..., list[torch.Tensor]]]:
    """Python functions that make the outputs of C ones and call them."""
    ours, theirs = _signature(forward), _signature(backward)
    assert ours is not None
    if theirs is None:
        raise ValueError(
            f"differentiable() argument 'backward': {forward.__name__} is a function of a generated module, "
            f"and backward must be one, too, got {backward!r}"
        )
    if not ours.mutable:
        raise ValueError(
            f"differentiable(): {forward.__doc__} has no tensor that it may write to: its output must not be const"
        )
    if len(ours.mutable) > 1 and len(ours.mutable) < len(ours.tensors):
        raise ValueError(
            f"differentiable(): {forward.__doc__} has several outputs ({', '.join(ours.mutable)}): make the inputs "
            "const, or give Python functions for forward and backward"
        )
    output = ours.mutable[-1]
    inputs = [name for name in ours.names if name != output]
    incoming = {"grad", "grad_out", "grad_output", f"grad_{output}"}
    made = [n for n in theirs.names if n.startswith("grad_") and n[5:] in inputs]
    for name in theirs.names:
        if name not in {*incoming, *made, *inputs, output}:
            raise ValueError(
                f"differentiable(): parameter '{name}' of {backward.__doc__} is none of grad_{output}, grad_<input>, "
                f"{', '.join([*inputs, output])}: rename it in the header, or give Python functions"
            )
    if not made:
        raise ValueError(
            f"differentiable(): {backward.__doc__} writes no gradient: name its outputs grad_<input>, as in "
            f"{' or '.join(f'grad_{name}' for name in inputs if name in ours.tensors)}"
        )
    call, call_backward = _call(forward), _call(backward)
    place = ours.names.index(output)
    first = next((i for i, name in enumerate(inputs) if name in ours.tensors), None)
    if first is None:
        raise ValueError(f"differentiable(): {forward.__doc__} has no tensor input")
    like_of, dtype_of, dtype = _made_like(forward, place, first)
    differentiated = [name for name in inputs if name in ours.tensors]
    takes_output = output in theirs.names
    passed = [*inputs, output] if takes_output else inputs
    parameters = theirs.names  # torch.compile before 2.11 knows no classes of ours in a backward

    def run_forward(*given: Any) -> torch.Tensor:
        if len(given) != len(inputs):
            raise TypeError(
                f"{forward.__name__}() takes {', '.join(inputs)}: got {len(given)} arguments"
            )
        like = given[like_of]
        if not isinstance(like, torch.Tensor):
            raise TypeError(
                f"{forward.__name__}() argument '{inputs[like_of]}': expected a torch.Tensor, got {type(like).__name__}"
            )
        kind = dtype or getattr(given[dtype_of], "dtype", like.dtype)
        size = tuple(shape(*given)) if shape else ()
        out = like.new_empty(size, dtype=kind) if shape else torch.empty_like(like, dtype=kind)
        call(*given[:place], out, *given[place:])
        return out

    def run_backward(grad: torch.Tensor, *given: Any) -> list[torch.Tensor | None]:
        values = dict(zip(passed, given, strict=True))
        gradients = {n: None if (x := values[n[5:]]) is None else torch.empty_like(x) for n in made}
        # torch calls any empty tensor contiguous, also an expanded one, whose strides TH does not
        grad = grad.contiguous() if grad.numel() else grad.new_empty(grad.shape)
        arguments = [
            grad if n in incoming else gradients[n] if n in gradients else values[n]
            for n in parameters
        ]
        call_backward(*arguments)
        return [gradients.get(f"grad_{n}") for n in differentiated if values[n] is not None]

    run_forward.__name__, run_forward.__doc__ = forward.__name__, forward.__doc__
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    run_forward.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, kind) for name in inputs]
    )
    run_backward.needs_output = takes_output  # type: ignore[attr-defined]
    return run_forward, run_backward  # type: ignore[return-value]


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


def _call(function: Any) -> Callable[..., Any]:
    """The operator of a function if its module is registered, else the function itself."""
    found = _OPERATORS.get(id(function))
    return found[1].call if found else function


def _schema(function: Any) -> str | None:
    """torch's schema of a C function, or None where it has none."""
    if _signature(function) is None:
        return None
    record = function.__self__
    names, codes = record.names, record.codes
    parts, letter = [], ord("a")
    for name, code, said in zip(names, codes[1:], record.constraints, strict=True):
        if types.is_tensor(code):
            mutated = _is_mutated(code)
            mark = "?" if constraints.decode(said).optional else ""
            parts.append(f"Tensor{f'({chr(letter)}!)' if mutated else ''}{mark} {name}")
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
    elif len(result) == 1 and types.MEMBERS.get(result) in _SCHEMA and result != "c":
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
    return torch.float64 if code in "fd" else torch.bool if code == "?" else torch.int64


def _implementation(function: Callable[..., Any], dtype: torch.dtype | None) -> Callable[..., Any]:
    def implementation(*arguments: Any) -> Any:
        result = function(*arguments)
        return None if dtype is None else torch.tensor(result, dtype=dtype)

    return implementation


def _fake(function: Any, dtype: torch.dtype | None) -> Callable[..., Any]:
    """What the function returns when nothing is computed; its outputs are arguments."""
    signature = _signature(function)
    assert signature is not None
    names, tensors, mutable = signature.names, signature.tensors, signature.mutable

    def fake(*arguments: Any) -> torch.Tensor | None:
        passed = zip(names, arguments, strict=True)
        given = {n: x for n, x in passed if n in tensors and x is not None}
        if all(x.numel() for n, x in given.items() if n not in mutable):
            for name in (n for n in mutable if n in given):
                if given[name].shape == (0,) and len(given) > len(mutable):
                    raise RuntimeError(
                        f"{function.__name__}() argument '{name}' is empty, to be resized in C: under torch.compile "
                        "outputs must come in their final shape, as torch.empty_like(x) makes them"
                    )
        return None if dtype is None else torch.empty((), dtype=dtype)

    return fake
