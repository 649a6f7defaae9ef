"""torch.nn.functional as it was: transposed images in convolutions, corners, sizes, losses, dropout."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FunctionType
from typing import Any

import torch
from torch.overrides import handle_torch_function, has_torch_function

from ffi_ext.legacy.old_autograd import say_once

_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def _convolution_of_old(name: str) -> Callable[..., torch.Tensor]:
    """A convolution whose output lies channel by channel, as all did, and as C and `.view` of the time expect it.

    Today's keeps the order of an image or a video that NumPy has transposed, (height, width, channel), and so does
    what follows it. A model that asks for that order has its weights in it, too.
    """
    original = getattr(torch.nn.functional, name)

    @functools.wraps(original)
    def convolution(input: Any, weight: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        both = input, weight
        if has_torch_function(both):
            return handle_torch_function(convolution, both, *both, *args, **kwargs)  # type: ignore[no-any-return]
        if (
            isinstance(input, torch.Tensor)  # or a proxy of torch.fx
            and input.dim() in _LAST
            and not input.is_contiguous()
            and not weight.is_contiguous(memory_format=_LAST[input.dim()])
        ):
            say_once("convolutions of transposed images make contiguous tensors, as they did")
            input = input.contiguous()
        return original(input, weight, *args, **kwargs)  # type: ignore[no-any-return]

    torch.jit._builtins._register_builtin(convolution, f"aten::{name}")  # else it is no script
    return convolution


def _for_scripts(function: Any, original: Any) -> Callable[..., torch.Tensor]:
    """The function, of whose name and place TorchScript compiles the original's text."""
    made = FunctionType(
        function.__code__, original.__globals__, None, function.__defaults__, function.__closure__
    )
    return functools.wraps(original)(made)


def _sampler_of_old(name: str) -> Callable[..., torch.Tensor]:
    """grid_sample or affine_grid, in whose grids -1 and 1 were the centres of the outer pixels until torch 1.3."""
    original, say = getattr(torch.nn.functional, name), say_once
    before = original.__code__.co_argcount - 1  # align_corners is the last

    def sampler(*args: Any, **kwargs: Any) -> torch.Tensor:
        if (*args[before:], kwargs.get("align_corners"))[0] is None:
            say("grid_sample and affine_grid align corners, as they did")
            args, kwargs["align_corners"] = args[:before], True
        return original(*args, **kwargs)  # type: ignore[no-any-return]

    return _for_scripts(sampler, original)


def _interpolate_of_old() -> Callable[..., torch.Tensor]:
    """interpolate, and Upsample, by the factor that the sizes have, which are rounded, until torch 1.6.

    Half of 5 pixels are 2: these were 2.5 apart then, and are 2 today.
    """
    original = torch.nn.functional.interpolate

    def interpolate(
        input: Any, size: Any = None, scale_factor: Any = None, *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        is_open = len(args) < 3 and kwargs.get("recompute_scale_factor") is None
        if scale_factor is not None and is_open:
            kwargs["recompute_scale_factor"] = True
        return original(input, size, scale_factor, *args, **kwargs)

    return _for_scripts(interpolate, original)


def _loss_of_old(name: str) -> Callable[..., torch.Tensor]:
    """A loss of pairs of elements, where there are as many on both sides: of outputs (n, 1) and targets (n,).

    Since PyTorch 1.0 these are broadcast to (n, n), and what is learned is the mean.
    """
    original, say = getattr(torch.nn.functional, name), say_once

    def loss(input: Any, target: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        both = isinstance(input, torch.Tensor) and isinstance(target, torch.Tensor)
        if both and input.shape != target.shape and input.numel() == target.numel():
            say("losses of as many targets in another shape are of pairs, as they were")
            target = target.reshape(input.shape)
        return original(input, target, *args, **kwargs)  # type: ignore[no-any-return]

    return _for_scripts(loss, original)


def _loss_of_classes(name: str) -> Callable[..., torch.Tensor]:
    """nll_loss or cross_entropy, whose mean was 0 until torch 1.11 where all targets are ignored, or weigh nothing.

    That of a crop without labels is NaN today, and so is what averages it with others. One row had one class, whether
    it is `output` and `target[i]`, a number today, as in character RNNs, or `output[0]` and `target`.
    """
    original = getattr(torch.nn.functional, name)

    def loss(
        input: Any,
        target: Any,
        weight: Any = None,
        size_average: Any = None,
        ignore_index: int = -100,
        *args: Any,
        **kwargs: Any,
    ) -> torch.Tensor:
        both = isinstance(input, torch.Tensor) and isinstance(target, torch.Tensor)
        of_classes = both and not target.is_floating_point()  # or of proxies of torch.fx
        if of_classes and input.dim() + target.dim() == 2 and target.numel() == 1:
            rows = input.shape[:-1]
            target = target.reshape(rows) if rows.numel() == 1 else target
        if of_classes:
            counted = target != ignore_index
            if weight is not None:
                counted = counted & (weight[target * counted] != 0)
                weight = torch.where(counted.any(), weight, torch.ones_like(weight))
        mean = original(input, target, weight, size_average, ignore_index, *args, **kwargs)
        if not of_classes or type(mean) is not torch.Tensor:
            return mean  # type: ignore[no-any-return]
        return torch.where(counted.any(), mean, torch.zeros_like(mean))

    return _for_scripts(loss, original)


def _dropout_of_old(name: str) -> Callable[..., torch.Tensor]:
    """Dropout that does nothing where it is not told to train, until PyTorch 1.0, and makes no Parameter.

    AWD-LSTM sets a net's weights with it, in evaluation, too. Today that of a Parameter is the Parameter then, which
    becomes the net's own, and the next one is refused.
    """
    original, parameter, say = getattr(torch.nn.functional, name), torch.nn.Parameter, say_once

    def dropout(
        input: Any, p: float = 0.5, training: bool | None = None, *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        if training is None:
            say("F.dropout(x) without training=... gives x, as it did")
        dropped = original(input, p, bool(training), *args, **kwargs)
        return dropped.view_as(dropped) if isinstance(dropped, parameter) else dropped

    return _for_scripts(dropout, original)


def _attention() -> Callable[..., Any]:
    """torch's own, which calls dropout where it trains, and does not say so."""
    original = torch.nn.functional.multi_head_attention_forward
    names = dict(original.__globals__)  # today's
    return functools.wraps(original)(
        FunctionType(original.__code__, names, None, original.__defaults__)
    )


_DROPOUTS = ("dropout", "dropout2d", "dropout3d")
_CONVOLUTIONS = ("conv2d", "conv3d", "conv_transpose2d", "conv_transpose3d")
_LOSSES = (
    "binary_cross_entropy",
    "kl_div",
    "l1_loss",
    "mse_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
)
FUNCTIONAL = {
    **{name: _convolution_of_old(name) for name in _CONVOLUTIONS},
    **{name: _loss_of_old(name) for name in _LOSSES},
    **{name: _loss_of_classes(name) for name in ("nll_loss", "cross_entropy")},
    **{name: _sampler_of_old(name) for name in ("grid_sample", "affine_grid")},
    **{name: _dropout_of_old(name) for name in _DROPOUTS},
    "interpolate": _interpolate_of_old(),
    "multi_head_attention_forward": _attention(),
}
