"""autograd and tensors as scripts before PyTorch 0.4 use them: Functions as instances, `.data[0]`, masks of bytes.

The original's Functions (PyTorch 0.1.12 to 0.3.1) have instance methods `forward` and `backward`, keep
their state on `self`, and are called as `F(arguments)(inputs)`. Here each such call becomes a call of a
Function of today. Functions with static methods never come here: their `ctx` is of another class.

Beside them, the few names of torch's own that scripts of that time import and that are no more.
"""

from __future__ import annotations

import collections.abc
import contextlib
import copyreg
import ctypes
import functools
import math
import queue
import sys
import weakref
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import torch
import torch.utils.data.dataloader
from torch.autograd import Function

from ffi_ext.gradients import once
from ffi_ext.legacy import RESHAPES

_said: set[str] = set()
_originals: dict[tuple[Any, str], Any] = {}  # what was there before; absent names are not in it
_ABSENT = object()


def _say_once(text: str) -> None:
    if text not in _said and not torch.compiler.is_compiling():  # Dynamo knows no print
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
        # As in the original: it may make variables and run a net again. What it was given has no history.
        with _self_of_backward(ctx, saved), torch.enable_grad():
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


def _call(self: Any, *inputs: Any) -> Any:
    if torch.compiler.is_dynamo_compiling():  # it fails on what follows
        return torch.compiler.disable(_call)(self, *inputs)
    cls: Any = type(self)
    if isinstance(_defined(cls, "forward"), staticmethod):
        raise RuntimeError(
            f"{cls.__name__} has static methods: call {cls.__name__}.apply(...), not an instance of it"
        )
    _say_once(f"old-style autograd Functions such as {cls.__name__} run through today's autograd")
    # A copy for each call: one instance may be called again before its backward runs.
    call = cls.__new__(cls)
    call.__dict__.update(self.__dict__)
    bridge = cls.__dict__.get("_bridge")
    if bridge is None:
        bridge = type(cls.__name__, (_Call,), {"__module__": cls.__module__})
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


_INSTANCES: dict[str, Any] = {
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

_getitem: Callable[..., Any] = torch._C.TensorBase.__getitem__


def _getitem_of_scalars(self: torch.Tensor, index: Any) -> Any:
    try:
        return _getitem(self, index)
    except IndexError:
        if type(index) is not int or index not in (0, -1) or self.dim() != 0:
            raise
    _say_once("[0] of a tensor without dimensions, as of loss.data, gives its number")
    return self if self.requires_grad else self.item()


_backward: Callable[..., None] = torch.Tensor.backward


def _backward_of_old(self: torch.Tensor, *args: Any, **kwargs: Any) -> None:
    if "retain_variables" in kwargs:
        _say_once("backward(retain_variables=...) is retain_graph=... today")
        kwargs.setdefault("retain_graph", kwargs.pop("retain_variables"))
    gradient = args[0] if args else kwargs.pop("gradient", None)
    if isinstance(gradient, torch.Tensor) and self.dim() == 0 and gradient.shape == (1,):
        _say_once(
            "backward() of a tensor without dimensions, as a loss is, takes a gradient without"
        )
        gradient = gradient.reshape(())
    _backward(self, gradient, *args[1:], **kwargs)


_index: Callable[..., Any] = getattr(torch.Tensor, "index", _getitem)


def _index_of_old(self: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    """`tensor.index((rows,))`, as Faster R-CNN picks its labels. torch uses the name for something else since."""
    if len(args) == 1 and not kwargs:
        _say_once("tensor.index(i) is tensor[i] today")
        return self[args[0]]
    return _index(self, *args, **kwargs)


_WHOLE_NUMBERS = {torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}
_new: Callable[..., torch.Tensor] = torch.Tensor.new


def _new_of_old(self: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    """`x.new(index.max() + 1)` makes so many elements: a reduction was a number.

    Today that is a tensor of one element, or an error where the types differ; C code writes behind it.
    """
    size = args[0] if len(args) == 1 and not kwargs else None
    if isinstance(size, torch.Tensor) and size.dim() == 0 and size.dtype in _WHOLE_NUMBERS:
        _say_once("new(n) of a tensor without dimensions makes n elements")
        args = (int(size),)
    if args and not kwargs and all(isinstance(size, (int, torch.Size)) for size in args):
        return self.new_empty(*args)  # the same; Dynamo knows no _new
    return _new(self, *args, **kwargs)


_data: Any = torch._C.TensorBase.data
# By the id of what `.data` gave: a weak reference to it, and one to its Variable.
_variables: dict[int, tuple[Any, Any]] = {}
_forget = _variables.pop


def _data_of_old(self: torch.Tensor) -> torch.Tensor:
    """The shape of `.data` was the Variable's, too; today it has one of its own.

    So an empty Variable is its own `.data`, of which C makes a gradient, as FlowNet2's correlation has it.
    """
    if type(self) is torch.Tensor and not self.requires_grad and self.numel() == 0:
        return self
    data: torch.Tensor = _data.__get__(self)
    if self.is_leaf and not torch.compiler.is_dynamo_compiling():
        key = id(data)
        _variables[key] = weakref.ref(data, lambda _: _forget(key, None)), weakref.ref(self)
    return data


def _with_its_variable(name: str) -> Callable[..., torch.Tensor]:
    """A method that gives `x.data` another shape, and x: `x.data.resize_(batch.size()).copy_(batch)`."""
    original = getattr(torch.Tensor, name)

    def method(self: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        result: torch.Tensor = original(self, *args, **kwargs)
        if not torch.compiler.is_dynamo_compiling() and id(self) in _variables:
            variable = _variables[id(self)][1]()
            if variable is not None:
                _say_once(f"x.data.{name}(...) changes x, too, as it did")
                _data.__set__(variable, self)
        return result

    return method


def _mask_of_bools(index: Any) -> Any:
    if isinstance(index, torch.Tensor) and index.dtype is torch.uint8:
        _say_once("a mask of bytes is one of bools today")
        return index.bool()
    return tuple(map(_mask_of_bools, index)) if isinstance(index, tuple) else index


def _with_masks_of_bytes(name: str) -> Callable[..., Any]:
    """A method whose first argument was a tensor of bytes before there were bools."""
    # Dynamo traces torch.masked_fill, and not always the method behind it.
    original = getattr(torch, name, None) or getattr(torch.Tensor, name)

    def method(self: torch.Tensor, mask: Any, *args: Any, **kwargs: Any) -> Any:
        return original(self, _mask_of_bools(mask), *args, **kwargs)

    return method


_rsub: Callable[..., torch.Tensor] = torch.Tensor.__rsub__


def _rsub_of_masks(self: torch.Tensor, other: Any) -> torch.Tensor:
    if self.dtype is torch.bool and type(other) is int and other == 1:
        _say_once("1 - mask is ~mask today")
        return ~self
    return _rsub(self, other)


_PY_SQ_ITEM = 44  # typeslots.h


def _no_sequence(cls: type) -> None:
    """Takes back what Python gives a class along with `__getitem__`: that its objects are sequences.

    torch asks that of what it finds in a list, and would want the length of a number's tensor.
    """
    word = ctypes.sizeof(ctypes.c_void_p)
    # PyTypeObject: the object's header, ob_size, ten fields, tp_as_sequence, whose fourth is sq_item.
    methods = ctypes.c_void_p.from_address(id(cls) + object.__basicsize__ + 11 * word)
    get_slot = ctypes.pythonapi.PyType_GetSlot
    get_slot.restype, get_slot.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_int)
    if methods.value:
        item = ctypes.c_void_p.from_address(methods.value + 3 * word)
        if item.value == get_slot(cls, _PY_SQ_ITEM):  # it lies where it always has
            item.value = None
    subclasses: list[type] = type.__subclasses__(cls)
    for derived in subclasses:
        _no_sequence(derived)


def _derived(cls: type[torch.Tensor], **keywords: Any) -> None:
    super(torch.Tensor, cls).__init_subclass__(**keywords)
    _no_sequence(cls)


_TENSORS: dict[str, Any] = {
    "__getitem__": _getitem_of_scalars,
    "backward": _backward_of_old,
    "index": _index_of_old,
    "new": _new_of_old,
    "data": property(_data_of_old, _data.__set__),
    **{name: _with_its_variable(name) for name in RESHAPES},
    "__rsub__": _rsub_of_masks,
    "__setitem__": _with_masks_of_bytes("__setitem__"),
    "masked_fill": _with_masks_of_bytes("masked_fill"),
    "masked_fill_": _with_masks_of_bytes("masked_fill_"),
    "masked_select": _with_masks_of_bytes("masked_select"),
    "__init_subclass__": classmethod(_derived),
}


_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def _convolution_of_old(name: str) -> Callable[..., torch.Tensor]:
    """A convolution whose output lies channel by channel, as all did, and as C and `.view` of the time expect it.

    Today's keeps the order of an image or a video that NumPy has transposed, (height, width, channel), and so does
    what follows it. A model that asks for that order has its weights in it, too.
    """
    original = getattr(torch.nn.functional, name)

    @functools.wraps(original)
    def convolution(input: Any, weight: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        if (
            isinstance(input, torch.Tensor)  # or a proxy of torch.fx
            and input.dim() in _LAST
            and not input.is_contiguous()
            and not weight.is_contiguous(memory_format=_LAST[input.dim()])
        ):
            _say_once("convolutions of transposed images make contiguous tensors, as they did")
            input = input.contiguous()
        return original(input, weight, *args, **kwargs)  # type: ignore[no-any-return]

    torch.jit._builtins._register_builtin(convolution, f"aten::{name}")  # else it is no script
    return convolution


_CONVOLUTIONS = {
    name: _convolution_of_old(name)
    for name in ("conv2d", "conv3d", "conv_transpose2d", "conv_transpose3d")
}


def _assert_no_grad(tensor: torch.Tensor) -> None:
    """torch's own until 1.0, which losses with a C part import: those of CTC and of transducers."""
    assert not tensor.requires_grad, (
        "this loss has no gradient with respect to its targets and lengths: detach them"
    )


_LOSSES: dict[str, Any] = {"_assert_no_grad": _assert_no_grad}

# What a batch's tensors were made with, by NumPy's names of types: Detectron.pytorch's gather() imports it.
_LOADER: dict[str, Any] = {
    "numpy_type_map": {
        "float64": torch.DoubleTensor,
        "float32": torch.FloatTensor,
        "float16": torch.HalfTensor,
        "int64": torch.LongTensor,
        "int32": torch.IntTensor,
        "int16": torch.ShortTensor,
        "int8": torch.CharTensor,
        "uint8": torch.ByteTensor,
    }
}


def _six() -> ModuleType:
    """torch's module of names that Python 2 and 3 have both, which loaders of data import; it went in torch 2.0."""
    six = ModuleType("torch._six", "From ffi_ext: names of torch before 2.0.")
    six.__dict__.update(
        {"PY2": False, "PY3": True, "inf": math.inf, "nan": math.nan, "queue": queue},
        string_classes=(str, bytes),
        int_classes=int,
        container_abcs=collections.abc,
        FileNotFoundError=FileNotFoundError,
    )
    return six


def install() -> None:
    """Makes old-style Functions, and what tensors of their time did (_TENSORS), work, and `torch._six`.

    Once is enough.
    """
    if _originals:
        return
    sys.modules.setdefault("torch._six", _six())
    changed = (
        (Function, _INSTANCES),
        (torch.Tensor, _TENSORS),
        (torch.nn.functional, _CONVOLUTIONS),
        (torch.nn.modules.loss, _LOSSES),
        (torch.utils.data.dataloader, _LOADER),
        (torch, {"_six": sys.modules["torch._six"]}),
    )
    for owner, names in changed:
        for name, value in names.items():
            _originals[owner, name] = owner.__dict__.get(name, _ABSENT)
            setattr(owner, name, value)
    _no_sequence(torch.Tensor)


def uninstall() -> None:
    """Takes it back."""
    for (owner, name), value in _originals.items():
        if value is _ABSENT:
            delattr(owner, name)
        else:
            setattr(owner, name, value)
    _originals.clear()
    sys.modules.pop("torch._six", None)
