"""The only door of `resnet` to the generated modules, and how their functions become operators of torch."""

from __future__ import annotations

import contextlib
import importlib
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from numbers import Integral, Real
from typing import Any, get_type_hints

import torch
from _cffi_backend import FFI
from torch.autograd import forward_ad

HOW_TO_BUILD = (
    "build them with `python build_ffi.py` in the project's folder, and start Python there"
)

# The generated modules, by the device that they compute on: name in _ext, and how its functions end.
MODULES = {"cpu": ("kernels", ""), "cuda": ("kernels_cuda", "_cuda")}

# What this package calls, with _float or _double behind it, and frozen batch norm with _bfloat16, too.
FUNCTIONS = (
    "frozen_bn_forward",
    "frozen_bn_backward",
    "roi_align_forward",
    "roi_align_backward",
    "roi_pool_forward",
    "roi_pool_backward",
    "nms",
    "batched_nms",
    "soft_nms",
    "box_iou_forward",
    "box_iou_backward",
    "focal_loss_forward",
    "focal_loss_backward",
    "class_focal_loss_forward",
    "class_focal_loss_backward",
    "deform_columns",
    "deform_input_backward",
    "deform_offset_backward",
    "deform_psroi_forward",
    "deform_psroi_input_backward",
    "deform_psroi_trans_backward",
)

# On a GPU they add atomically, in the order in which it comes to it.
IN_ANY_ORDER = (
    "roi_align_backward",
    "roi_pool_backward",
    "deform_input_backward",
    "deform_psroi_input_backward",
    "deform_psroi_trans_backward",
)


def _load(module: str, ending: str) -> tuple[Any, str]:
    """The generated module and "", or None and why it cannot be used."""
    try:
        kernels = importlib.import_module(f"_ext.{module}")
    except ModuleNotFoundError as error:
        return None, f"the kernels in _ext.{module} cannot be imported ({error})"
    for name in (*(f"{name}_float" for name in FUNCTIONS), "frozen_bn_forward_bfloat16"):
        if not hasattr(kernels, name + ending):
            why = f"are of an older version (no {name}{ending})"
            return None, f"the kernels in _ext.{module} {why}"
    return kernels, ""


# Not when they are first needed: torch.compile reads what is here, and could not follow an import.
_loaded = {device: _load(*names) for device, names in MODULES.items()}
_why_not = _loaded["cpu"][1]
_choice = os.environ.get("RESNET_OPS", "")
if _choice not in ("", "kernels", "torch"):
    raise ValueError(f"RESNET_OPS must be one of kernels, torch or unset, got {_choice!r}")
if _why_not and _choice == "kernels":
    raise ModuleNotFoundError(f"RESNET_OPS=kernels, but {_why_not}; {HOW_TO_BUILD}")
if _why_not and not _choice:
    warnings.warn(
        f"resnet: {_why_not}, so torch computes the same, slower; {HOW_TO_BUILD}", stacklevel=2
    )
# How many ask for plain torch: threads may end in another order than they began.
_torch_only = int(_choice == "torch")

_SUFFIX = {torch.float32: "float", torch.float64: "double", torch.bfloat16: "bfloat16"}
_NULL = FFI.NULL  # the object that each `_ffi.NULL` is: calls know it at sight
LOW_PRECISION = (torch.float16, torch.bfloat16)


def available(device: str = "cpu") -> bool:
    """Whether the kernels for this device are built."""
    return device in _loaded and _loaded[device][0] is not None


@contextlib.contextmanager
def plain_torch() -> Iterator[None]:
    """Within this context all operators of `resnet.ops` are computed by torch alone, without the kernels.

    The environment variable RESNET_OPS=torch asks for the same from the start.
    """
    global _torch_only
    _torch_only += 1
    try:
        yield
    finally:
        _torch_only -= 1


def use_kernels(tensor: torch.Tensor) -> bool:
    """Whether the kernels compute on this tensor: those of its device are built, and not declined."""
    return not _torch_only and available(tensor.device.type)


def kernel(name: str, tensor: torch.Tensor) -> Any:
    """The generated function of this name for the tensor's device and precision."""
    device = tensor.device.type
    if device == "cuda" and name in IN_ANY_ORDER and torch.are_deterministic_algorithms_enabled():
        _tell_of_any_order(name)
    kernels, why_not = _loaded.get(device, (None, f"there are no kernels for {device}"))
    if kernels is None:
        raise ModuleNotFoundError(f"{name}: {why_not}; {HOW_TO_BUILD}")
    function = getattr(kernels, f"{name}_{_SUFFIX.get(tensor.dtype)}{MODULES[device][1]}", None)
    if function is None:
        raise wrong_dtype(f"{name}: what it is given", tensor)
    torch.get_num_threads()  # tells OpenMP torch.set_num_threads' number where this is a new thread's first work
    return function


def _tell_of_any_order(name: str) -> None:
    """As torch does of its own operators."""
    text = (
        f"{name}: on a GPU the last bits of its sums may differ from call to call, and "
        "torch.use_deterministic_algorithms asks for the same ones; compute within `resnet.ops.plain_torch()`, or pass "
        "warn_only=True there"
    )
    if not torch.is_deterministic_algorithms_warn_only_enabled():
        raise RuntimeError(text)
    warnings.warn(text, stacklevel=3)


def wrong_dtype(name: str, tensor: Any) -> TypeError:
    got = tensor.dtype if isinstance(tensor, torch.Tensor) else f"a {type(tensor).__name__}"
    return TypeError(
        f"{name} must be a float32 or float64 tensor (or float16 or bfloat16, computed in float32), "
        f"got {got}; convert it with .float()"
    )


def working_dtype(name: str, tensor: torch.Tensor) -> torch.dtype:
    """The precision to compute in: float32 for half precision, else the tensor's own.

    Args:
        name: of the function and its argument, for the error.
        tensor: as given.

    Raises:
        TypeError: The tensor is not of a floating-point type.
    """
    dtype = tensor.dtype if isinstance(tensor, torch.Tensor) else None
    if dtype in LOW_PRECISION:
        return torch.float32
    if not isinstance(dtype, torch.dtype) or dtype not in _SUFFIX:
        raise wrong_dtype(name, tensor)
    return dtype


def check_tensor(name: str, value: object) -> None:
    """Raises a TypeError that begins with the name, of the function and its argument, if it is none."""
    if not isinstance(value, torch.Tensor):
        raise TypeError(
            f"{name} must be a tensor, got a {type(value).__name__}; torch.as_tensor makes one of it"
        )


def check_number(name: str, value: Any) -> None:
    """The same of a number, and a ValueError of a NaN. The number may be one that torch.export leaves open."""
    # float and int are Real, too, but to ask for that takes 0.4 us
    known = isinstance(value, (float, int, Real, torch.SymInt, torch.SymFloat))
    if not known and not hasattr(value, "dtype"):  # as tensors and NumPy's arrays have it
        raise TypeError(f"{name} must be a number, got {value!r}")
    if value != value:
        raise ValueError(f"{name} must be a number, got NaN")


def two_of(name: str, value: Any, meaning: str) -> tuple[int, int]:
    """A whole number that holds for both axes, or one for each; NumPy's integers, too.

    Args:
        name: of the function and its argument, for the error.
        value: as given.
        meaning: of the two, such as "(height, width)".

    Raises:
        ValueError: it is anything else.
    """
    if type(value) is int:  # to ask for an Integral takes a microsecond
        return value, value
    both = (value, value) if isinstance(value, (Integral, torch.SymInt)) else value
    whole = (Integral, torch.SymInt, torch.Tensor)  # the last as torch.jit.trace has sizes
    is_pair = isinstance(both, Sequence) and len(both) == 2
    if not is_pair or not all(isinstance(v, whole) for v in both):
        raise ValueError(f"{name} must be a whole number or {meaning}, got {value!r}")
    # int() would make a size that torch.export leaves open a number
    first, second = [v if isinstance(v, torch.SymInt) else int(v) for v in both]
    return first, second


def or_null(tensor: torch.Tensor | None) -> Any:
    """What a C function takes for an optional tensor."""
    return _NULL if tensor is None else tensor


def is_traced(*arguments: Any) -> bool:
    """Whether somebody looks on: torch.compile, export, torch.jit.trace, a fake tensor or another subclass.

    torch's operators cost some 20 us a call, which nobody needs to pay who runs eagerly.
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return True
    return torch._C._len_torch_dispatch_stack() > 0 or any(
        isinstance(x, torch.Tensor) and type(x) not in (torch.Tensor, torch.nn.Parameter)
        for x in arguments
    )


def is_recorded(*arguments: Any) -> bool:
    """Whether autograd looks on: an argument is to get a gradient, or has a tangent (forward mode)."""
    if torch.is_grad_enabled() and any(
        isinstance(x, torch.Tensor) and x.requires_grad for x in arguments
    ):
        return True
    return forward_ad._current_level >= 0 and any(
        isinstance(x, torch.Tensor) and forward_ad.unpack_dual(x).tangent is not None
        for x in arguments
    )


def operator(
    forward: Callable[..., Any],
    fake: Callable[..., Any],
    setup_context: Callable[..., None] | None = None,
    backward: Callable[..., Any] | None = None,
) -> Callable[..., Any]:
    """Makes the torch operator `resnet::<name of forward>`, and a function with a short way to it in eager mode.

    Args:
        forward: Annotated as torch.library.custom_op needs it; calls the kernel.
        fake: The same signature; only shapes, dtypes and strides.
        setup_context: (ctx, inputs, output), as of torch.library.register_autograd.
        backward: (ctx, *gradients) -> a gradient per input, by an operator that has no backward itself:
            a second derivative is refused there.

    Returns:
        A function with forward's arguments, all by position.
    """
    name = forward.__name__.lstrip("_")
    forward.__annotations__ = get_type_hints(forward)  # torch 2.4 takes no annotations as texts
    op = torch.library.custom_op(f"resnet::{name}", forward, mutates_args=())
    op.register_fake(fake)
    if backward is not None:
        op.register_autograd(backward, setup_context=setup_context)
    recorded, transformed = _functions(name, forward, setup_context, backward)

    def call(*arguments: Any) -> Any:
        if is_traced(*arguments):
            return op(*arguments)
        if torch._C._are_functorch_transforms_active():
            return transformed(*arguments)
        if is_recorded(*arguments):
            return recorded(*arguments)
        return forward(*arguments)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = forward.__doc__
    return call


def _functions(
    name: str,
    forward: Callable[..., Any],
    setup_context: Callable[..., None] | None,
    backward: Callable[..., Any] | None,
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """An operator as autograd Functions: for eager mode, and for torch.func.

    torch.func wants setup_context apart, but binding its arguments costs 30 us a call.
    """

    def both(ctx: Any, *arguments: Any) -> Any:
        output = forward(*arguments)
        if setup_context is not None:
            setup_context(ctx, arguments, output)
        return output

    def nothing(ctx: Any, inputs: Any, output: Any) -> None:
        """There is no backward that would need anything."""

    def refused(ctx: Any, *gradients: Any) -> Any:
        raise RuntimeError(
            f"resnet::{name}: the kernels give first derivatives, backward; got a second or a forward one "
            "asked for; compute within `resnet.ops.plain_torch()`"
        )

    def no_vmap(*_: Any) -> Any:
        raise RuntimeError(
            f"resnet::{name}: the kernels have no rule for torch.vmap; compute within `resnet.ops.plain_torch()`"
        )

    derivatives = {"backward": staticmethod(backward or refused), "jvp": staticmethod(refused)}
    apart = {
        "forward": staticmethod(forward),
        "setup_context": staticmethod(setup_context or nothing),
        "vmap": staticmethod(no_vmap),
    }
    transformed: Any = type(name, (torch.autograd.Function,), {**derivatives, **apart})
    together = {**derivatives, "forward": staticmethod(both)}
    recorded: Any = type(name, (torch.autograd.Function,), together)
    return recorded.apply, transformed.apply
