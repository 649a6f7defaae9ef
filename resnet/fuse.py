"""Models for inference: norms folded into the convolutions before them, those prepared once."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TypeVar

import torch
from torch import nn

from resnet import convolution_kernels  # noqa: F401  which registers its ways
from resnet.blocks import Block, Folded, Part
from resnet.convolutions import CONVOLUTIONS, FoldedConvolution, Geometry
from resnet.fpn import FPN, LastLevelP6P7
from resnet.layers import FrozenBatchNorm2d, affine_of
from resnet.registry import did_you_mean

M = TypeVar("M", bound=nn.Module)


def affine(norm: nn.Module) -> tuple[torch.Tensor, torch.Tensor] | None:
    """The scale and bias (C, float64) of a norm in evaluation, or None if it depends on its input."""
    fields = ("weight", "bias", "running_mean", "running_var")
    values = [getattr(norm, field, None) for field in fields]
    known = isinstance(norm, (FrozenBatchNorm2d, nn.modules.batchnorm._BatchNorm))
    if not known or any(value is None for value in values):
        return None
    return affine_of(*(value.detach().double() for value in values), norm.eps)


def fold(
    convolution: nn.Module,
    norm: nn.Module | None,
    implementation: str | None,
    preference: Sequence[str] | None,
    overwrite: bool = False,
) -> FoldedConvolution | None:
    """The two as one, or None if they cannot be."""
    if type(convolution) is not nn.Conv2d or convolution.padding_mode != "zeros":
        return None
    if isinstance(convolution.padding, str):  # "same", which pads one side more than the other
        return None
    for part in (convolution, norm):
        if part is not None and (part._forward_hooks or part._forward_pre_hooks):
            return None  # they may change what goes in or comes out
    weight = convolution.weight.detach()
    bias = torch.zeros(len(weight), dtype=torch.float64, device=weight.device)
    if convolution.bias is not None:
        bias += convolution.bias.detach()
    if norm is not None:
        values = affine(norm)
        if values is None:
            return None
        scale, shift = values
        bias = bias * scale + shift
        folded = (weight.double() * scale.view(-1, 1, 1, 1)).to(weight.dtype)
    else:
        folded = weight.clone()
    geometry = Geometry(
        convolution.stride, convolution.padding, convolution.dilation, convolution.groups
    )
    return FoldedConvolution(
        folded, bias.to(weight.dtype), geometry, implementation, overwrite, preference
    )


def fuse(
    model: M,
    implementations: Mapping[str, str] | None = None,
    preference: Sequence[str] | None = None,
) -> M:
    """A copy of a model for inference on images of any size.

    Frozen and batch normalisations become part of the convolutions before them, the addition and
    the ReLU of a block part of its last convolution, which writes to the memory of what it adds.
    The features are channels_last but with torch's own convolutions. Group normalisations,
    deformable convolutions, and what has a hook (of torch.nn.utils.prune, too, before its remove)
    stay as they are. The results differ by rounding (about 1e-6 of the largest feature). Folded
    convolutions have no entries in the copy's state_dict: save the model's, or the whole copy with
    torch.save.

    Args:
        model: a ResNet, head, backbone or classifier, or any model with such parts.
        implementations: names of convolutions ("layer1.0.conv2") -> names of `CONVOLUTIONS`, where
            the first that supports a layer is not wanted.
        preference: names of `CONVOLUTIONS`, the first that supports a layer computes it; None for
            `resnet.convolutions.PREFERENCE`.

    Raises:
        TypeError: preference is a single name.
        KeyError: a name is not in `CONVOLUTIONS`; the text lists those that are.
        ValueError: preference is empty, or implementations has a convolution that the model does not
            have or that cannot be folded; or what is asked for does not support a layer.
    """
    wanted = dict(implementations or {})
    _check_ways(wanted, preference)

    def folded(
        name: str, convolution: nn.Module, norm: nn.Module | None, overwrite: bool
    ) -> FoldedConvolution | None:
        try:
            made = fold(convolution, norm, wanted.get(name), preference, overwrite)
        except ValueError as error:
            raise ValueError(f"fuse: {name}: {error}") from error
        if made is not None:
            wanted.pop(name, None)
        return made

    # what a hook computed of parameters, as torch.nn.utils.prune's do; deepcopy refuses what has a history
    computed = {
        id(value): value.detach()
        for part in model.modules()
        for value in vars(part).values()
        if isinstance(value, torch.Tensor) and not value.is_leaf
    }
    fused = copy.deepcopy(model, computed).eval().requires_grad_(False)
    for path, part in list(fused.named_modules()):
        prefix = f"{path}." if path else ""
        if isinstance(part, Part):
            overwrite = isinstance(part, Block) and _owns_its_input(fused, part)
            for convolution, norm in part.pairs():
                made = folded(
                    prefix + convolution,
                    part.get_submodule(convolution),
                    part.get_submodule(norm),
                    overwrite,
                )
                if made is not None:
                    _replace(part, convolution, made)
                    _replace(part, norm, Folded())
        elif isinstance(part, (FPN, LastLevelP6P7)):
            for name, child in list(part.named_children()):
                made = folded(prefix + name, child, None, overwrite=True)
                if made is not None:
                    _replace(part, name, made)
    if wanted:
        name = next(iter(wanted))
        names = [n for n, m in fused.named_modules() if isinstance(m, FoldedConvolution)]
        has = f"{', '.join(names[:4])}, ..." if names else "none"
        raise ValueError(
            f"fuse: there is no convolution {name!r} to fuse{did_you_mean(name, names)}; the model has {has}"
        )
    return fused


def _check_ways(wanted: Mapping[str, str], preference: Sequence[str] | None) -> None:
    if isinstance(preference, str):
        raise TypeError(
            f"fuse: preference must be a list of names, got {preference!r}; give [{preference!r}]"
        )
    if preference is not None and not preference:
        raise ValueError(
            f"fuse: preference must have one of {', '.join(CONVOLUTIONS)} or more, or be None, got "
            f"{preference!r}"
        )
    for way in (*(preference or ()), *wanted.values()):
        if way not in CONVOLUTIONS:
            raise KeyError(f"fuse: {CONVOLUTIONS.missing(way)}")


def _replace(module: nn.Module, path: str, made: nn.Module) -> None:
    """As Module.set_submodule, which torch 2.4 does not have."""
    parent, _, name = path.rpartition(".")
    setattr(module.get_submodule(parent), name, made)


def _owns_its_input(model: nn.Module, block: Block) -> bool:
    """Whether what the block adds to its result is needed by nobody else.

    It is the result of its own `downsample`, or, in each place that the block has, of the block just before it in a
    stage. What another module gives, or a caller, may be needed again: nn.Identity and nn.Dropout give what they got.
    """
    places = [
        type(parent) is nn.Sequential and isinstance(before, Block)
        for parent in model.modules()
        for before, child in pairwise((None, *parent._modules.values()))
        if child is block
    ]
    return block.downsample is not None or (len(places) > 0 and all(places))


def implementations_of(model: nn.Module) -> dict[str, str]:
    """The fused convolutions of a model, and how each is computed."""
    return {n: m.name for n, m in model.named_modules() if isinstance(m, FoldedConvolution)}
