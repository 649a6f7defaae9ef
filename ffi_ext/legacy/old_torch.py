"""torch as it was before PyTorch 0.4, and the few names that scripts of that time import and that are no more."""

from __future__ import annotations

import collections.abc
import functools
import math
import queue
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
import torch.utils.data.dataloader
from torch.autograd import Function

from ffi_ext.legacy.old_algebra import ALGEBRA
from ffi_ext.legacy.old_autograd import INSTANCES, say_once
from ffi_ext.legacy.old_functional import FUNCTIONAL
from ffi_ext.legacy.old_tensors import BACKWARD, FUNCTIONS, TENSORS, no_sequence


def _assert_no_grad(tensor: torch.Tensor) -> None:
    """torch's own until 1.0, which losses with a C part import: those of CTC and of transducers."""
    assert not tensor.requires_grad, (
        "this loss has no gradient with respect to its targets and lengths: detach them"
    )


def _zero_gradients(x: Any) -> None:
    """torch's own until 1.8, which attacks on nets import, such as DeepFool."""
    if not isinstance(x, torch.Tensor):
        for one in x:
            _zero_gradients(one)
    elif x.grad is not None:
        x.grad = torch.zeros_like(x.grad)


_LOSSES: dict[str, Any] = {"_assert_no_grad": _assert_no_grad}


class _SizeAverage:
    """`criterion.size_average = False`, as VAEs and InferSent have it: losses ask for `reduction` since PyTorch 0.4.1.

    No property: TorchScript would compile that.
    """

    def __get__(self, loss: Any, owner: Any) -> Any:
        return self if loss is None else loss.__dict__.get("size_average", loss.reduction != "sum")

    def __set__(self, loss: Any, value: Any) -> None:
        loss.__dict__["size_average"] = value
        if isinstance(value, bool) and loss.__dict__.get("reduction") in ("mean", "sum"):
            say_once("a loss's size_average is its reduction")
            loss.reduction = "mean" if value else "sum"


# What a batch's tensors were made with: Detectron.pytorch's gather() imports the types by NumPy's names.
_LOADER: dict[str, Any] = {
    "_use_shared_memory": False,  # copies of default_collate ask for it
    "numpy_type_map": {
        "float64": torch.DoubleTensor,
        "float32": torch.FloatTensor,
        "float16": torch.HalfTensor,
        "int64": torch.LongTensor,
        "int32": torch.IntTensor,
        "int16": torch.ShortTensor,
        "int8": torch.CharTensor,
        "uint8": torch.ByteTensor,
    },
}


def _of_source(self: Any, *source: Any, **keywords: Any) -> None:
    """What a Sampler was made with, and did nothing with: `super().__init__(data_source)`."""
    following = super(torch.utils.data.Sampler, self).__init__
    if following.__qualname__ != "object.__init__":  # that of another base
        following(*source, **keywords)


_SAMPLERS: dict[str, Any] = {"__init__": _of_source}
_ITERATORS: dict[str, Any] = {"next": lambda self: next(self)}  # Python 2's, torch's own until 1.13


# `type(h) == Variable`, by which language models tell a hidden state from several.
_VARIABLES: dict[str, Any] = {"__eq__": lambda cls, other: other is cls or other is torch.Tensor}


def _leaving_zeros(owner: Any) -> dict[str, Any]:
    """zero_grad() as it was until torch 2.0: a gradient is zeros then, and not None.

    An optimizer leaves a parameter without a gradient alone; one of zeros decays, and moves on by its momentum.
    """
    original = owner.zero_grad

    @functools.wraps(original)
    def zero_grad(self: Any, set_to_none: bool = False) -> None:
        if not set_to_none:
            say_once("zero_grad() leaves gradients of zeros, as it did")
        original(self, set_to_none)

    return {"zero_grad": zero_grad}


def _before_step(optimizer: Any, *_: Any) -> None:
    if not torch.compiler.is_dynamo_compiling():
        of = (p for group in optimizer.param_groups for p in group["params"])
        optimizer._versions = [torch.autograd._unsafe_preserve_version_counter(p) for p in of]


def _after_step(optimizer: Any, *_: Any) -> None:
    """step() wrote to `p.data` until torch 1.5, unnoticed by what was computed before.

    GANs go back through a net a second time, whose weights are others by then: InfoGAN, SRGAN.
    """
    for version in vars(optimizer).pop("_versions", ()):
        version.__exit__(None, None, None)


_optimizers = sys.modules["torch.optim.optimizer"]
_STEPS = {
    name: {**getattr(_optimizers, name), -1: hook}
    for name, hook in (
        ("_global_optimizer_pre_hooks", _before_step),
        ("_global_optimizer_post_hooks", _after_step),
    )
}


_add_module: Callable[..., None] = torch.nn.Module.add_module
_load_own: Callable[..., None] = torch.nn.Module._load_from_state_dict


def _add_module_with_dots(self: Any, name: str, module: Any) -> None:
    """`add_module("norm.1", ...)`, as torchvision's DenseNet of 2017 and its copies have it."""
    if isinstance(name, str) and "." in name and isinstance(module, torch.nn.Module):
        say_once("modules may have names with dots, as they could")
        self._modules[name] = module
    else:
        _add_module(self, name, module)


def _load_with_dots(
    self: Any,
    state_dict: Any,
    prefix: str,
    local_metadata: Any,
    strict: bool,
    missing_keys: Any,
    unexpected_keys: Any,
    error_msgs: Any,
) -> None:
    """A module's own part of load_state_dict(), which takes a child's name to end at its first dot."""
    before, lists = len(unexpected_keys), (missing_keys, unexpected_keys, error_msgs)
    _load_own(self, state_dict, prefix, local_metadata, strict, *lists)
    dotted = tuple(f"{prefix}{name}." for name in self._modules if "." in name)
    unexpected_keys[before:] = [k for k in unexpected_keys[before:] if not k.startswith(dotted)]


_DOTS = {"add_module": _add_module_with_dots, "_load_from_state_dict": _load_with_dots}


def _embedding(words: Any, weight: Any, padding_idx: int = -1, *options: Any) -> torch.Tensor:
    padding = None if padding_idx == -1 else padding_idx
    return torch.nn.functional.embedding(words, weight, padding, *options)


# `embed._backend.Embedding.apply(...)`, as AWD-LSTM and what is made of it leave out whole words.
_BACKEND = {"_backend": SimpleNamespace(Embedding=SimpleNamespace(apply=_embedding))}


_plateau: Callable[..., None] = torch.optim.lr_scheduler.ReduceLROnPlateau.__init__


@functools.wraps(_plateau)
def _plateau_of_old(self: Any, *args: Any, verbose: bool = False, **options: Any) -> None:
    """Takes `verbose`, which had it print each new rate until torch dropped that."""
    if verbose:
        say_once("ReduceLROnPlateau takes verbose=True, and prints nothing")
    _plateau(self, *args, **options)


_step: Callable[..., None] = torch.optim.lr_scheduler.LRScheduler.step


@functools.wraps(_step)
def _step_of_old(self: Any, epoch: int | None = None) -> None:
    """Until PyTorch 1.1 each epoch began with scheduler.step(), the first one, too: the rate stays what it is.

    Today's steps at its end, so that all rates would come an epoch early. torch warns.
    """
    is_first = epoch is None and self._step_count == 1
    is_counted = hasattr(self.optimizer.step, "_wrapped_by_lr_sched")
    if is_first and is_counted and not getattr(self.optimizer, "_opt_called", False):
        say_once("scheduler.step() before any optimizer.step() begins the first epoch, as it did")
        self._step_count += 1
    else:
        _step(self, epoch)


def _rates_of_old(get_lr: Callable[..., Any]) -> Callable[..., Any]:
    """`scheduler.get_lr()[0]`, which programs print, and DARTS steps by: the rate as it is, until PyTorch 1.4.

    Since then it is what step() makes of it, already multiplied.
    """

    @functools.wraps(get_lr)
    def rates(self: Any) -> Any:
        if self._get_lr_called_within_step:
            return get_lr(self)
        return [group["lr"] for group in self.optimizer.param_groups]  # of another's step, too

    return rates


_RATES = [
    (scheduler, {"get_lr": _rates_of_old(vars(scheduler)["get_lr"])})
    for scheduler in vars(torch.optim.lr_scheduler).values()
    if isinstance(scheduler, type) and "get_lr" in vars(scheduler)
]


_convolutions: Any = torch.nn.modules.conv._ConvNd
_convolution: Callable[..., None] = _convolutions.__init__


@functools.wraps(_convolution)
def _convolution_of_old(self: Any, *args: Any, **options: Any) -> None:
    """`super().__init__(..., groups, bias)` of convolutions of one's own, as spectral normalization has them.

    PyTorch 1.1 has put padding_mode behind them.
    """
    if len(args) == 10:
        options.setdefault("padding_mode", "zeros")
    _convolution(self, *args, **options)


_begin: Callable[..., None] = _convolutions.reset_parameters


def _begin_as_it_did(self: Any) -> None:
    """A convolution's weights were of the size that all its input channels ask for, until PyTorch 0.4.

    Today a transposed one counts its outputs, and a grouped one the inputs of a group.
    """
    _begin(self)
    if self.transposed or self.groups > 1:
        say_once("transposed and grouped convolutions begin with weights of the size they had")
        bound = (self.in_channels * math.prod(self.kernel_size)) ** -0.5
        torch.nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            torch.nn.init.uniform_(self.bias, -bound, bound)


_normalizations: Any = torch.nn.modules.batchnorm._NormBase
_begin_normalization: Callable[..., None] = _normalizations.reset_parameters


def _begin_normalization_as_it_did(self: Any) -> None:
    """BatchNorm's weights were between 0 and 1 until torch 1.2, and are 1."""
    _begin_normalization(self)
    if self.affine:
        say_once("BatchNorm begins with weights between 0 and 1, as it did")
        torch.nn.init.uniform_(self.weight)


def _raise_from(value: BaseException, cause: BaseException | None) -> None:
    raise value from cause


def _six() -> ModuleType:
    """torch's module of names that Python 2 and 3 have both, which loaders of data import; it went in torch 2.0."""
    six = ModuleType("torch._six", "From ffi_ext: names of torch before 2.0.")
    six.__dict__.update(
        {"PY2": False, "PY3": True, "inf": math.inf, "nan": math.nan, "queue": queue},
        string_classes=(str, bytes),
        int_classes=int,
        container_abcs=collections.abc,
        FileNotFoundError=FileNotFoundError,
        raise_from=_raise_from,
    )
    return six


def bring_back(give: Callable[[Any, str, Any], None]) -> None:
    """Makes old-style Functions, what tensors of their time did, and names of that time work.

    Args:
        give: Makes a name of a module or class mean a value, until ffi_ext.uninstall().
    """
    import ffi_ext.runtime  # noqa: F401 - TH's and THC's functions, for what torch's cpp_extension has built, too

    six = sys.modules.setdefault("torch._six", _six())
    for owner, names in (
        (Function, INSTANCES),
        (torch.Tensor, ALGEBRA | TENSORS),
        (torch.autograd, BACKWARD),
        (type(torch.autograd.Variable), _VARIABLES),
        (torch.nn.Module, _leaving_zeros(torch.nn.Module) | _DOTS),
        (torch.nn.Embedding, _BACKEND),
        (_optimizers, _STEPS),
        (torch.optim.Optimizer, _leaving_zeros(torch.optim.Optimizer)),
        (torch.optim.lr_scheduler.ReduceLROnPlateau, {"__init__": _plateau_of_old}),
        (torch.optim.lr_scheduler.LRScheduler, {"step": _step_of_old}),
        *_RATES,
        (_convolutions, {"__init__": _convolution_of_old, "reset_parameters": _begin_as_it_did}),
        (_normalizations, {"reset_parameters": _begin_normalization_as_it_did}),
        (torch.utils.data.Sampler, _SAMPLERS),
        (torch.nn.functional, FUNCTIONAL),
        (torch.nn.modules.loss, _LOSSES),
        (sys.modules["torch.autograd.gradcheck"], {"zero_gradients": _zero_gradients}),
        (torch.nn.modules.loss._Loss, {"size_average": _SizeAverage()}),
        (torch.utils.data.dataloader, _LOADER),
        (torch.utils.data.dataloader._BaseDataLoaderIter, _ITERATORS),
        (torch.distributions.Distribution, {"_validate_args": False}),  # True since 1.8
        (torch, ALGEBRA | FUNCTIONS | {"_six": six}),
    ):
        for name, value in names.items():
            give(owner, name, value)
    no_sequence(torch.Tensor)
