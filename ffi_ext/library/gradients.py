"""Gradients for C functions: which function is the backward of which."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils._pytree import tree_map

from ffi_ext.library.allocating import allocating
from ffi_ext.library.operators import signature_of

_COMPILE_KNOWS_FUNC = torch.torch_version.TorchVersion(torch.__version__) >= "2.6"


def differentiable(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    *,
    shape: Callable[..., Sequence[int]] | None = None,
) -> Callable[..., torch.Tensor]:
    """Names the backward of a function: one line gives autograd.

    Args:
        forward: A function of a generated module, such as `my_lib.add_forward`; or any (*inputs) -> tensor,
            or a tuple of several.
        backward: Of the same kind: `my_lib.add_backward`; or (grad, *inputs) -> the gradient of each tensor
            input, or one tensor if there is one. Of several outputs the gradients come first, one by one.
        shape: For C functions: (*inputs) -> the shape of the output. By default it is that of the input which
            the header says it is `like`, or else the first tensor's; the element type, too, unless the header
            has it, and the order of strides, unless the header says `contiguous` or `channels_last`. Functions
            that resize their output need none unless torch.compile is to see through them.

    A C forward has one output, the tensor that is not const (the last one, if none is const). The
    parameters of a C backward are known by their names: `grad`, `grad_out`, `grad_output` or
    `grad_<the output's name>` is the gradient that comes in; the name of an input of forward, which goes before all
    else, is that argument, and the output's name the output; `grad_<name>` is where the gradient of the input `<name>`
    is written, a tensor of the input's shape whose elements are not set. What the names do not say is an error here,
    not at the first call. A number that C returns is ignored: C tells of errors by THError or FFI_CHECK.

    Returns:
        A function of the inputs (of C's parameters without the output) whose result carries gradients. If
        the module was registered before, torch.compile sees through it (from torch 2.6 on).

    Raises:
        TypeError: An argument is no function.
        ValueError: The parameters of a C function cannot be told apart.
    """
    for argument, given in (("forward", forward), ("backward", backward)):
        if not callable(given):
            raise TypeError(
                f"differentiable() argument '{argument}': expected a function of a generated module, such as "
                f"my_lib.add_{argument}, or one in Python, got {given!r}"
            )
    if shape is not None and not callable(shape):
        raise TypeError(
            "differentiable() argument 'shape': expected a function of forward's inputs, such as lambda x: "
            f"x.shape[:1], got {shape!r}"
        )
    if signature_of(forward) is not None:
        forward, backward = allocating(forward, backward, shape)
    elif shape is not None:
        raise ValueError("differentiable() argument 'shape': a Python forward makes its own output")
    elif signature_of(backward) is not None:
        raise ValueError(
            f"differentiable() argument 'forward': {backward.__name__} is a function of a generated module, "
            f"and forward must be one, too, got {forward!r}"
        )

    name = getattr(forward, "__name__", "Function")
    plain, transformed = _functions(name, forward, backward)

    def run(*inputs: Any, **named: Any) -> torch.Tensor:
        if named:
            inputs = _by_position(forward, name, inputs, named)
        for x in inputs:
            if isinstance(x, (list, tuple)) and torch.is_grad_enabled() and _require_grad(x):
                raise TypeError(
                    f"{name}() got tensors that require gradients in a {type(x).__name__}, where autograd does not see "
                    "them: give them one by one, as in f(*tensors)"
                )
        compiling = torch.compiler.is_compiling()
        in_func = _in_func()
        if compiling and in_func:
            # torch.compile leaves out the backward of every autograd Function there: the gradient would be 0.
            raise NotImplementedError(
                f"{name}() is a C function, whose gradient torch.compile does not see within torch.func (grad, vjp "
                "...): call torch.func's function outside of what is compiled, or take the gradient by backward()"
            )
        if not compiling and torch._C._is_tracing() and torch.onnx.is_in_onnx_export():
            raise NotImplementedError(
                f"{name}() is a C function, for which ONNX has no operator: torch.onnx.export would leave its call out "
                "of the file; write that part in torch, or export what is before and behind it"
            )
        if compiling and not (torch.is_grad_enabled() and _require_grad(inputs)):
            return forward(*inputs)  # else torch.compile may take the first of two inputs for ctx
        if compiling:
            inputs = _each_once(inputs)
        result: torch.Tensor = (transformed if in_func else plain).apply(*inputs)
        return result

    run.__doc__ = forward.__doc__
    run.__name__ = run.__qualname__ = name
    # one of its own: torch.compile gives up on what it has compiled too often
    run.__code__ = run.__code__.replace(co_name=name)
    run.__wrapped__ = forward  # type: ignore[attr-defined]  # its parameters are what help() shows
    return run


def _by_position(
    forward: Callable[..., Any], name: str, inputs: tuple[Any, ...], named: dict[str, Any]
) -> tuple[Any, ...]:
    """All of forward's inputs, without the defaults behind the last that is given."""
    signature = inspect.signature(forward)
    try:
        bound = signature.bind(*inputs, **named)
    except TypeError as error:
        raise TypeError(f"{name}(): {error}; it takes {', '.join(signature.parameters)}") from None
    count = 1 + max(map([*signature.parameters].index, bound.arguments))
    bound.apply_defaults()
    for lost in named.keys() & bound.kwargs.keys():
        raise TypeError(
            f"{name}() argument '{lost}': backward gets forward's inputs by position, and forward takes "
            "this one by keyword alone; take `*` or `**` out of its parameters"
        )
    return bound.args[:count]


def _in_func() -> bool:
    """Whether a transform of torch.func is at work; torch.compile can be asked from torch 2.6 on."""
    if not _COMPILE_KNOWS_FUNC and torch.compiler.is_compiling():
        return False
    return torch._C._are_functorch_transforms_active()


def _functions(
    name: str, forward: Callable[..., Any], backward: Callable[..., Any]
) -> tuple[Any, Any]:
    """The autograd Function of this name, and the one to apply under the transforms of torch.func."""
    keeps_output = getattr(backward, "needs_output", False)

    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        kept = [x for x in inputs if isinstance(x, torch.Tensor)]
        ctx.tensors = [isinstance(x, torch.Tensor) for x in inputs]
        ctx.others = [None if isinstance(x, torch.Tensor) else x for x in inputs]
        ctx.save_for_backward(*kept, *([output] if keeps_output else []))

    outputs_of, gradients_of = _tuple_for_list(forward), _tuple_for_list(backward)

    def forward_and_keep(ctx: Any, *inputs: Any) -> Any:
        result = outputs_of(*inputs)
        if not isinstance(result, (torch.Tensor, tuple)):  # autograd would take no notice
            raise TypeError(
                f"{name}(): its forward must return a tensor, or a tuple of several, got {type(result).__name__}"
            )
        setup_context(ctx, inputs, result)
        return result

    def backward_of_kept(ctx: Any, *grads: Any) -> Any:
        saved = ctx.saved_tensors  # once: checkpoints give it away
        tensors = iter(saved)
        places = list(zip(ctx.tensors, ctx.others, strict=True))
        inputs = [next(tensors) if is_tensor else other for is_tensor, other in places]
        with torch.no_grad():
            # C wants what torch.func has wrapped; as an operator it gets that by itself
            call = unwrapping.apply if _in_func() else backward
            given = call(*grads, *inputs, *tensors)
        if given is None:  # a return was forgotten
            given = ()
        given = [given] if isinstance(given, torch.Tensor) else list(given)
        if len(given) != sum(ctx.tensors):
            raise ValueError(
                f"{name}(): its backward must return one gradient for each tensor among the inputs, "
                f"{sum(ctx.tensors)}, got {len(given)}"
            )
        gradients = iter(given)
        found = [next(gradients) if is_tensor else None for is_tensor in ctx.tensors]
        return once(found, [*grads, *saved])

    # made by hand, so that grad_fn and what prints it have the name
    plain: Any = type(
        name,
        (torch.autograd.Function,),
        {"forward": staticmethod(forward_and_keep), "backward": staticmethod(backward_of_kept)},
    )

    # torch.func wants setup_context apart, which costs 30 us a call.
    def jvp(*_: Any) -> Any:
        raise RuntimeError(
            f"{name}() is a C function with a backward alone, got a forward derivative asked for (jvp, jacfwd, hessian "
            "...): take torch.func.grad or vjp, or backward()"
        )

    # jvp of this one alone: a Function that has one torch.compile does not take
    apart = {"forward": outputs_of, "setup_context": setup_context, "jvp": jvp}
    transformed: Any = type(name, (plain,), {n: staticmethod(f) for n, f in apart.items()})
    transformed.vmap = staticmethod(_one_by_one(name, transformed))

    apart = {"forward": gradients_of, "setup_context": lambda *_: None}
    members = {n: staticmethod(f) for n, f in apart.items()}
    unwrapping: Any = type(f"{name}_backward", (torch.autograd.Function,), members)
    unwrapping.vmap = staticmethod(_one_by_one(name, unwrapping))
    return plain, transformed


def _one_by_one(name: str, function: Any) -> Callable[..., Any]:
    """A rule for vmap: C knows nothing of its dimension, and is called for each item."""

    def vmap(info: Any, in_dims: Any, *inputs: Any) -> Any:
        if not info.batch_size:
            raise ValueError(f"{name}(): expected items for vmap, got a dimension of size 0")
        results = []
        for i in range(info.batch_size):
            # copies, which lie in memory as tensors of their own do
            item = tree_map(
                lambda x, d, i=i: x if d is None else x.select(d, i).clone(), inputs, in_dims
            )
            results.append(function.apply(*item))
        if isinstance(results[0], torch.Tensor):
            return torch.stack(results), 0
        columns = list(zip(*results, strict=True))
        stacked = [isinstance(x[0], torch.Tensor) for x in columns]
        return (
            tuple(torch.stack(x) if s else x[0] for x, s in zip(columns, stacked, strict=True)),
            tuple(0 if s else None for s in stacked),
        )

    return vmap


def _tuple_for_list(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function; of a list, autograd takes no notice."""

    def call(*arguments: Any) -> Any:
        result = function(*arguments)
        return tuple(result) if isinstance(result, list) else result

    return call


def _each_once(inputs: Sequence[Any]) -> tuple[Any, ...]:
    """Views where a tensor comes again, as in distances(x, x): torch.compile refuses that of a Function."""
    apart = list(inputs)
    tensors = [i for i, x in enumerate(inputs) if isinstance(x, torch.Tensor)]
    for i in tensors:
        if any(inputs[i] is inputs[k] for k in tensors if k < i):
            apart[i] = inputs[i].view_as(inputs[i])
    return tuple(apart)


def _require_grad(inputs: Sequence[Any]) -> bool:
    return any(isinstance(x, torch.Tensor) and x.requires_grad for x in inputs)


class _Once(torch.autograd.Function):
    """A gradient whose own gradient is an error, whatever of it is asked for."""

    generate_vmap_rule = True

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
        causes: The incoming gradients and what was saved.
    """
    if not torch.is_grad_enabled() or torch.compiler.is_compiling():
        return tuple(gradients)
    depends = [x for x in causes if isinstance(x, torch.Tensor) and x.requires_grad]
    return tuple(g if g is None else _Once.apply(g, *depends) for g in gradients)
