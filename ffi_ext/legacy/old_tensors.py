"""Tensors as scripts before PyTorch 0.4 use them: `.data[0]`, masks of bytes, views of transposed ones."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import handle_torch_function, has_torch_function

from ffi_ext.legacy.old_arrays import numpy_of_old
from ffi_ext.legacy.old_autograd import ACTIONS, loss_of_action, say_once
from ffi_ext.legacy.old_names import RESHAPES
from ffi_ext.untraced import untraced

_getitem: Callable[..., Any] = torch._C.TensorBase.__getitem__


def _getitem_of_scalars(self: torch.Tensor, index: Any) -> Any:
    try:
        return _getitem(self, index)
    except IndexError:
        if type(index) is not int or index not in (0, -1) or self.dim() != 0:
            raise
    say_once("[0] of a tensor without dimensions, as of loss.data, gives its number")
    return self if self.requires_grad else self.item()


_backward: Callable[..., None] = torch.Tensor.backward
_backward_of_all: Callable[..., None] = torch.autograd.backward


def _backward_of_old(self: torch.Tensor, *args: Any, **kwargs: Any) -> None:
    if "retain_variables" in kwargs:
        say_once("backward(retain_variables=...) is retain_graph=... today")
        kwargs.setdefault("retain_graph", kwargs.pop("retain_variables"))
    _backward(self, *args, **kwargs)


def _backward_of_losses(tensors: Any, grad_tensors: Any = None, *args: Any, **kwargs: Any) -> None:
    """torch.autograd.backward, which a tensor's backward() calls, too. A loss had one dimension."""
    if isinstance(tensors, torch.Tensor):
        tensors = loss_of_action(tensors)
        grad_tensors = _shaped(grad_tensors, tensors)
    elif type(tensors) in (list, tuple):  # a GradientEdge of torch's is a tuple, too
        tensors = list(map(loss_of_action, tensors))
        if isinstance(grad_tensors, (list, tuple)):
            grad_tensors = list(map(_shaped, grad_tensors, tensors))
    _backward_of_all(tensors, grad_tensors, *args, **kwargs)


def _shaped(gradient: Any, of: Any) -> Any:
    """A gradient with as many elements, such as `torch.ones(1)` for a loss; today it has to have the shape, too."""
    both = isinstance(gradient, torch.Tensor) and isinstance(of, torch.Tensor)
    if both and gradient.shape != of.shape and gradient.numel() == of.numel():
        say_once("backward() takes a gradient of as many elements in another shape, as it did")
        return gradient.reshape(of.shape)
    return gradient


def _rounded(self: torch.Tensor, digits: int | None = None) -> float:
    """`round(x.sum(), 2)`: a reduction was a number."""
    return round(self.item(), digits)


_index: Callable[..., Any] = getattr(torch.Tensor, "index", _getitem)


def _index_of_old(self: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    """`tensor.index((rows,))`, as Faster R-CNN picks its labels. torch uses the name for something else since."""
    if len(args) == 1 and not kwargs:
        say_once("tensor.index(i) is tensor[i] today")
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
        say_once("new(n) of a tensor without dimensions makes n elements")
        args = (int(size),)
    if args and not kwargs and all(isinstance(size, (int, torch.Size)) for size in args):
        return self.new_empty(*args)  # the same; Dynamo knows no _new
    return _new(self, *args, **kwargs)


_data: Any = torch._C.TensorBase.data
# By the id of what `.data` gave: a weak reference to it, and one to its Variable.
_variables: dict[int, tuple[Any, Any]] = {}
_forget = _variables.pop
_share_memory: Callable[..., bool] = torch._C._is_alias_of  # type: ignore[attr-defined]


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


# torch.compile makes code of it that asks for `.data`, and so calls it without end.
untraced(_data_of_old)


def _with_its_variable(name: str) -> Callable[..., torch.Tensor]:
    """A method that gives `x.data` another shape, and x: `x.data.resize_(batch.size()).copy_(batch)`."""
    original = getattr(torch.Tensor, name)

    def method(self: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        variable = None
        if not torch.compiler.is_dynamo_compiling() and id(self) in _variables:
            variable = _variables[id(self)][1]()
        is_still_its = variable is not None and _share_memory(variable, self)
        result: torch.Tensor = original(self, *args, **kwargs)
        if is_still_its:  # else x.data = another has come between
            say_once(f"x.data.{name}(...) changes x, too, as it did")
            _data.__set__(variable, self)
        return result

    untraced(method)  # where a graph breaks at it, x changes all the same
    return method


def _mask_of_bools(index: Any) -> Any:
    if isinstance(index, torch.Tensor) and index.dtype is torch.uint8:
        say_once("a mask of bytes is one of bools today")
        return index.bool()
    return tuple(map(_mask_of_bools, index)) if isinstance(index, tuple) else index


def _with_masks_of_bytes(name: str) -> Callable[..., Any]:
    """A method, or torch's function, whose first argument was a tensor of bytes before there were bools."""
    # Dynamo traces torch.masked_fill, and not always the method behind it.
    original = getattr(torch, name, None) or getattr(torch.Tensor, name)

    def method(input: torch.Tensor, mask: Any, *args: Any, **kwargs: Any) -> Any:
        if has_torch_function((input, mask)):
            return handle_torch_function(method, (input, mask), input, mask, *args, **kwargs)
        return original(input, _mask_of_bools(mask), *args, **kwargs)

    def of_as_many(self: torch.Tensor, mask: Any, *args: Any, **kwargs: Any) -> Any:
        """In SSD's loss a mask (images, boxes) is of losses (images * boxes, 1): `loss_c[pos] = 0`."""
        mask = _mask_of_bools(mask)
        is_mask = isinstance(mask, torch.Tensor) and mask.dtype is torch.bool
        if is_mask and mask.shape != self.shape[: mask.dim()] and mask.numel() == self.numel():
            say_once("a mask of as many elements in another shape is of each, as it was")
            mask = mask.reshape(self.shape)
        return original(self, mask, *args, **kwargs)

    return of_as_many if name.endswith("_") else method  # the others broadcast it


def _from_as_many(
    write: Callable[..., Any], place: Callable[..., torch.Tensor]
) -> Callable[..., Any]:
    """`best[i] = pointer` of (n, 1) into a row of n, as a CRF has it; `weight.copy_(x)`: elements went one by one."""

    def method(self: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        try:
            return write(self, *args, **kwargs)
        except RuntimeError:
            *index, source = args
            of = place(self, *index)
            if not isinstance(source, torch.Tensor) or source.numel() != of.numel():
                raise
        say_once("what is copied of as many elements may have another shape, as it might")
        return write(self, *index, source.reshape(of.shape), **kwargs)

    return method


_rsub: Callable[..., torch.Tensor] = torch.Tensor.__rsub__


def _rsub_of_masks(self: torch.Tensor, other: Any) -> torch.Tensor:
    if self.dtype is torch.bool and type(other) is int and other == 1:
        say_once("1 - mask is ~mask today")
        return ~self
    return _rsub(self, other)


_add: Callable[..., Any] = torch.Tensor.__add__
_invert: Callable[..., torch.Tensor] = torch.Tensor.__invert__


def _add_of_masks(self: torch.Tensor, other: Any) -> Any:
    """`(x >= low) + (x < high) == 2`, as Faster R-CNN picks its background: comparisons gave bytes, to be counted."""
    if self.dtype is torch.bool and isinstance(other, torch.Tensor) and other.dtype is torch.bool:
        say_once("masks that are added are counted, as they were; mask | other is either today")
        self, other = self.byte(), other.byte()
    return _add(self, other)


def _invert_of_bytes(self: torch.Tensor) -> torch.Tensor:
    """`~mask` of bytes was `1 - mask` until torch 1.2; the bits of 0 and 1 turned over are true, both."""
    if self.dtype is torch.uint8:
        say_once("~mask of bytes is 1 - mask, as it was")
        return 1 - self
    return _invert(self)


_hash: Callable[[torch.Tensor], int] = torch.Tensor.__hash__


def _hash_of_elements(self: torch.Tensor) -> int:
    """`words[best[0][0]]`, `Counter(labels)`: an element of whole numbers was a number, which dicts and sets find.

    No other tensor without dimensions is hashed so: sets of buffers have one counter of batches beside another.
    """
    is_number = type(self) is torch.Tensor and self.dim() == 0 and self.dtype in _WHOLE_NUMBERS
    # a tensor of the meta device has no number
    if is_number and not self.is_meta and self._is_view() and self._base.dim():  # type: ignore[union-attr]
        say_once("dicts and sets take an element of a tensor for its number, as they did")
        return hash(self.item())
    return _hash(self)


untraced(_hash_of_elements)  # C calls it


def _text_of_numbers(self: torch.Tensor) -> str:
    """`words[str(best[0])]`, `"%s" % label`: an element was a number, and so was a reduction."""
    if type(self) is torch.Tensor and self.dim() == 0 and not self.requires_grad:
        with contextlib.suppress(RuntimeError):  # of the meta device, and in vmap, it has none
            return str(self.item())
    return repr(self)


untraced(_text_of_numbers)


_PY_SQ_ITEM = 44  # typeslots.h


def no_sequence(cls: type) -> None:
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
        no_sequence(derived)


def _derived(cls: type[torch.Tensor], **keywords: Any) -> None:
    super(torch.Tensor, cls).__init_subclass__(**keywords)
    no_sequence(cls)


_view: Callable[..., torch.Tensor] = torch.Tensor.view


def _view_of_old(self: torch.Tensor, *shape: Any, **keywords: Any) -> torch.Tensor:
    """`correct[:k].view(-1)` of `pred.t().eq(...)`, as hundreds of programs count the best five.

    What was computed of a transposed tensor lay in the order of its own dimensions; today it lies as that does.
    """
    if torch.compiler.is_dynamo_compiling():  # it knows no _view
        shape = shape or tuple(keywords.values())
        if isinstance(shape[0], torch.dtype):
            return torch.ops.aten.view.dtype(self, shape[0])
        return self.reshape(*shape)
    try:
        return _view(self, *shape, **keywords)
    except RuntimeError as error:
        if "view size is not compatible" not in str(error):
            raise
    say_once("view() of what was computed of transposed tensors copies it")
    return self.reshape(*shape, **keywords)


def _detach_of_old(self: torch.Tensor) -> torch.Tensor:
    """`h.detach_()` of a view, too, as OpenNMT ends a stretch of its text; refused since PyTorch 0.4."""
    if torch.compiler.is_dynamo_compiling() or not self._is_view():
        return torch.detach_(self)
    if self.requires_grad:
        say_once("detach_() takes a view out of its graph, as it did")
        torch.utils.swap_tensors(self, self.detach())
    return self


_dot: Callable[..., torch.Tensor] = torch.dot


def _dot_of_old(input: torch.Tensor, tensor: torch.Tensor, **options: Any) -> torch.Tensor:
    """`hidden.dot(energy)` of (1, n), in the attention of a tutorial: matrices and images were vectors to it."""
    both = input, tensor
    if has_torch_function(both):
        return handle_torch_function(torch.dot, both, *both, **options)  # type: ignore[no-any-return]
    if (input.dim(), tensor.dim()) != (1, 1) and input.numel() == tensor.numel():
        say_once("dot() is of all elements, as it was")
        input, tensor = input.reshape(-1), tensor.reshape(-1)
    return _dot(input, tensor, **options)


_cat: Callable[..., torch.Tensor] = torch.cat


@functools.wraps(_cat)
def _cat_of_old(tensors: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
    """`torch.cat` of losses, and of the scores of a CRF: a reduction had one dimension.

    Dimensions that one tensor had less than others were of size 1.
    """
    of = tuple(tensors) if isinstance(tensors, (list, tuple)) else (tensors,)
    if has_torch_function(of):
        return handle_torch_function(torch.cat, of, tensors, *args, **kwargs)  # type: ignore[no-any-return]
    try:
        return _cat(tensors, *args, **kwargs)
    except RuntimeError as error:
        if not any(words in str(error) for words in ("zero-dimensional", "number of dimensions")):
            raise
    say_once("torch.cat takes tensors of fewer dimensions for those of size 1 there, as it did")
    dims = max(1, *(tensor.dim() for tensor in of))
    return _cat([t.reshape(*t.shape, *[1] * (dims - t.dim())) for t in of], *args, **kwargs)


_MASKED = ("masked_fill", "masked_fill_", "masked_scatter", "masked_scatter_", "masked_select")
TENSORS: dict[str, Any] = {
    **ACTIONS,
    "__getitem__": _getitem_of_scalars,
    "__hash__": _hash_of_elements,
    "__round__": _rounded,
    "__str__": _text_of_numbers,
    "backward": _backward_of_old,
    "detach_": _detach_of_old,
    "dot": _dot_of_old,
    "index": _index_of_old,
    "new": _new_of_old,
    "numpy": numpy_of_old,
    "view": _view_of_old,
    "data": property(_data_of_old, _data.__set__),
    **{name: _with_its_variable(name) for name in RESHAPES},
    "__rsub__": _rsub_of_masks,
    "__add__": _add_of_masks,
    "__invert__": _invert_of_bytes,
    "__setitem__": _from_as_many(_with_masks_of_bytes("__setitem__"), torch.Tensor.__getitem__),
    "copy_": _from_as_many(torch.Tensor.copy_, lambda self: self),
    **{name: _with_masks_of_bytes(name) for name in _MASKED},
    "__init_subclass__": classmethod(_derived),
}
BACKWARD = {"backward": _backward_of_losses}
FUNCTIONS: dict[str, Any] = {
    "cat": _cat_of_old,
    "dot": _dot_of_old,
    **{name: TENSORS[name] for name in ("masked_fill", "masked_scatter", "masked_select")},
}
for _name, _function in FUNCTIONS.items():
    torch.jit._builtins._register_builtin(_function, f"aten::{_name}")
