"""autograd Functions as scripts before PyTorch 0.4 have them: instances; actions that are reinforced.

The original's Functions (PyTorch 0.1.12 to 0.3.1) have instance methods `forward` and `backward`, keep
their state on `self`, and are called as `F(arguments)(inputs)`. Here each such call becomes a call of a
Function of today. Functions with static methods never come here: their `ctx` is of another class.
"""

from __future__ import annotations

import contextlib
import copyreg
import sys
import weakref
from collections.abc import Callable, Iterator
from inspect import isfunction
from types import CodeType
from typing import Any

import torch
from torch.autograd import Function

from ffi_ext.library.gradients import once

_said: set[str] = set()
_ABSENT = object()


def say_once(text: str) -> None:
    # Dynamo knows no print, and would guard its code by what was said, which may change while it compiles.
    if not torch.compiler.is_compiling() and text not in _said:
        _said.add(text)
        print(f"ffi_ext: {text}", file=sys.stderr)


def _raw(value: Any) -> Any:
    """A tensor without history, as old Functions got them."""
    return value.detach() if isinstance(value, torch.Tensor) and value.requires_grad else value


def _with_memory(gradient: Any) -> Any:
    """A gradient whose elements lie one behind the other: that of sum() is one number, seen many times.

    C of the time, which was written for PyTorch 0.1, reads as many.
    """
    is_strided = isinstance(gradient, torch.Tensor) and gradient.layout is torch.strided
    return _raw(gradient.contiguous() if is_strided else gradient)


def _given(call: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """What forward gets of the inputs.

    One that asks them for requires_grad, to save them only then, as DCNv2 does, is of PyTorch 0.4: they had it there.
    """
    given = tuple(map(_raw, inputs))
    code = getattr(call.forward, "__code__", None)
    if code is not None and "requires_grad" in code.co_names:
        for raw, value in zip(given, inputs, strict=True):
            if raw is not value:
                raw.requires_grad_()
    return given


class _Call(Function):
    """One call of an old-style Function, as today's autograd knows it."""

    @staticmethod
    def forward(ctx: Any, calls: tuple[Any, Any], *inputs: Any) -> Any:
        call, ctx.instance = calls
        call.__dict__["_ctx"] = weakref.ref(ctx)
        raw = _given(call, inputs)
        of_raw = {id(r): value for r, value in zip(raw, inputs, strict=True)}
        call._needs_input_grad = ctx.needs_input_grad[1:]
        result = call.forward(*raw)
        several = isinstance(result, (tuple, list))
        outputs = tuple(result) if several else (result,)
        for output in outputs:
            if not isinstance(output, torch.Tensor):
                raise TypeError(
                    f"{type(call).__name__}.forward must return tensors, got {type(output).__name__}"
                )
        # An output that forward keeps on self must not hold its own history: a cycle, never freed.
        for output in outputs:
            of_raw.setdefault(id(output), output.detach())
        known = {name: call.__dict__.pop(name, ()) for name in ("_saved", "_dirty", "_constant")}
        now = {name: [of_raw.get(id(t), t) for t in tensors] for name, tensors in known.items()}
        ctx.save_for_backward(*now["_saved"])
        ctx.mark_dirty(*now["_dirty"])
        returned = tuple(of_raw[id(output)] for output in outputs)
        ctx.mark_non_differentiable(*now["_constant"])
        ctx.call = call
        ctx.count = len(inputs)
        return returned if several else returned[0]

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        call, saved = ctx.call, ctx.saved_tensors  # once: checkpoints give it away
        with _self_of_backward(ctx, saved), torch.set_grad_enabled(type(call)._bridge.runs_nets):
            result = call.backward(*map(_with_memory, gradients))
        result = tuple(map(_raw, result if isinstance(result, (tuple, list)) else (result,)))
        if len(result) < ctx.count or any(extra is not None for extra in result[ctx.count :]):
            raise RuntimeError(
                f"{type(call).__name__}.backward returned an invalid number of gradient tensors "
                f"(expected {ctx.count}, one for each input of forward, but got {len(result)})"
            )
        return None, *once(result[: ctx.count], [*gradients, *saved])


@contextlib.contextmanager
def _self_of_backward(ctx: Any, saved: tuple[Any, ...]) -> Iterator[None]:
    """What the instance was given since forward is on the call, and what backward leaves on it is on the instance."""
    call, instance = ctx.call, ctx.instance()
    own = dict(call.__dict__)
    now = {} if instance is None else dict(instance.__dict__)  # at once: other threads call it
    if "_ctx" in now and now["_ctx"]() is ctx:  # no other call came after this one
        call.__dict__.update(now)
    before = dict(call.__dict__)
    call._saved = saved
    try:
        yield
    finally:
        left = call.__dict__
        left.pop("_saved", None)
        changed = {k: v for k, v in left.items() if before.get(k, _ABSENT) is not v}
        # What else was set on the instance may be this call's output: a cycle, never freed.
        call.__dict__ = {k: v for k, v in (own | changed).items() if k in left}
    if instance is not None:
        instance.__dict__.update(changed)
        for name in before.keys() - left.keys():
            instance.__dict__.pop(name, None)


def _makes_variables(cls: type) -> bool:
    """Whether it or its module names Variable: they had a graph before PyTorch 0.4, and backward could run a net again.

    From 0.4 on backward ran without, and could write to the model's parameters.
    """
    found = [*vars(cls).values()]
    for value in vars(sys.modules.get(cls.__module__, cls)).values():
        is_own = isinstance(value, type) and value.__module__ == cls.__module__
        found += vars(value).values() if is_own else [value]
    if any("Variable" in _names(one.__code__) for one in found if isfunction(one)):
        return True
    return any(_makes_variables(base) for base in cls.__bases__ if base not in (Function, object))


def _names(code: CodeType) -> set[str]:
    """What a function names, and those in it: comprehensions are some until Python 3.12."""
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _call(self: Any, *inputs: Any) -> Any:
    if torch.compiler.is_dynamo_compiling():  # it fails on what follows
        return torch.compiler.disable(_call)(self, *inputs)
    cls: Any = type(self)
    if isinstance(_defined(cls, "forward"), staticmethod):
        raise RuntimeError(
            f"{cls.__name__} has static methods: call {cls.__name__}.apply(...), not an instance of it"
        )
    say_once(f"old-style autograd Functions such as {cls.__name__} run through today's autograd")
    # A copy for each call: one instance may be called again before its backward runs.
    call = cls.__new__(cls)
    call.__dict__.update(self.__dict__)
    bridge = cls.__dict__.get("_bridge")
    if bridge is None:
        names = {"__module__": cls.__module__, "runs_nets": _makes_variables(cls)}
        bridge = type(cls.__name__, (_Call,), names)
        cls._bridge = bridge
    # Weak: what the instance keeps may lead back to this call, through its outputs' history.
    outputs = bridge.apply((call, weakref.ref(self)), *inputs)
    self.__dict__.update(call.__dict__)
    return outputs


def _defined(cls: type, name: str) -> Any:
    for base in cls.__mro__:
        if name in base.__dict__:
            return base.__dict__[name]
    return None


def _keeps(name: str) -> Callable[..., None]:
    def keep(self: Any, *tensors: Any) -> None:
        self.__dict__[name] = tensors

    return keep


def _nothing(self: Any, *args: Any, **kwargs: Any) -> None:
    """Takes and does what the original's method of that name has to do today."""


def _reduce(self: Any, protocol: int) -> tuple[Any, ...]:
    """Models keep instances, and are copied and saved: copy.deepcopy(model), torch.save(model)."""
    state = {name: value for name, value in self.__dict__.items() if name != "_ctx"}
    return copyreg.__newobj__, (type(self),), state  # type: ignore[attr-defined]


def _saved(self: Any) -> tuple[Any, ...]:
    """What the last call saved: also for those who ask between forward and backward."""
    if "_saved" in self.__dict__:
        return self._saved  # type: ignore[no-any-return]
    ctx = self.__dict__["_ctx"]() if "_ctx" in self.__dict__ else None
    return () if ctx is None else ctx.saved_tensors  # type: ignore[no-any-return]


INSTANCES: dict[str, Any] = {
    "__reduce_ex__": _reduce,
    "__init__": _nothing,
    "__call__": _call,
    "save_for_backward": _keeps("_saved"),
    "mark_dirty": _keeps("_dirty"),
    "mark_non_differentiable": _keeps("_constant"),
    "mark_shared_storage": _nothing,
    "saved_tensors": property(lambda self: tuple(map(_raw, _saved(self)))),
    "saved_variables": property(_saved),
    "needs_input_grad": property(lambda self: self.__dict__.get("_needs_input_grad", ())),
}


_reinforce: Callable[..., None] = torch.Tensor.reinforce


def _multinomial_of_old(self: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    """`action = probabilities.multinomial()`, as agents choose what to do, for `action.reinforce(reward)`."""
    if args or kwargs:
        return torch.multinomial(self, *args, **kwargs)
    action = torch.multinomial(self, 1)
    if self.requires_grad:
        action._probabilities = self  # type: ignore[attr-defined]
    return action


def _reinforce_of_old(self: torch.Tensor, reward: Any) -> None:
    if not hasattr(self, "_probabilities"):
        _reinforce(self, reward)  # says what to write
    say_once("backward() of an action is that of its reward, as reinforce() had it")
    self._reward = reward  # type: ignore[attr-defined]


def loss_of_action(action: Any) -> Any:
    """What has the gradient of an action that was reinforced: reward / probability, against descent.

    By REINFORCE, with the 1e-6 that PyTorch 0.3 has beside the probability, by which weights of any sum were divided.
    """
    if not isinstance(action, torch.Tensor) or not hasattr(action, "_reward"):
        return action
    probabilities: torch.Tensor = action._probabilities  # type: ignore[attr-defined]
    chosen, total = probabilities.gather(-1, action), probabilities.detach().sum(-1, keepdim=True)
    return (chosen * -action._reward / (chosen.detach() / total + 1e-6)).sum()


ACTIONS = {"multinomial": _multinomial_of_old, "reinforce": _reinforce_of_old}
