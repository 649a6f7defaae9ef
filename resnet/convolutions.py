"""Ways to compute relu(convolution + bias + residual) for inference, layer by layer.

A way is a class in `CONVOLUTIONS`: `supports(weight, geometry)` says whether it can do a layer, the
constructor prepares the weights, a call computes. `fuse` takes, layer by layer, the first of
`PREFERENCE` that supports it, or the one that it is told to take. resnet/convolution_kernels.py has
those of our own.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import nn

from resnet.ops.memory import in_huge_pages
from resnet.ops.native import is_recorded, is_traced
from resnet.registry import Registry

CONVOLUTIONS = Registry("convolution")
PREFERENCE = ["winograd", "pointwise", "onednn", "torch"]


class Geometry(NamedTuple):
    """What a convolution has beside its weights."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    def result(self, x: torch.Tensor, weight: torch.Tensor) -> tuple[int, int, int, int]:
        """The shape of a convolution of x (N, C, H, W) with weight (O, C / groups, kh, kw)."""
        height, width = (
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(x.shape[2:], weight.shape[2:], *self[:3], strict=True)
        )
        return len(x), len(weight), height, width


class Convolution(Protocol):
    """One layer, prepared by one way of computing."""

    @staticmethod
    def supports(weight: torch.Tensor, geometry: Geometry) -> bool:
        """Whether this way computes such a layer here."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor, geometry: Geometry) -> None:
        """weight (O, C / groups, kh, kw), bias (O); both may be kept."""

    def __call__(
        self, x: torch.Tensor, residual: torch.Tensor | None, relu: bool, overwrite: bool
    ) -> torch.Tensor:
        """relu(convolution of x + bias + residual); if overwrite, residual's memory may be used."""


@CONVOLUTIONS.register("torch")
class TorchConvolution:
    """torch's own convolution, then the addition and the ReLU in place: any device and dtype."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor, geometry: Geometry) -> None:
        self.weight, self.bias, self.geometry = weight, bias, geometry

    @staticmethod
    def supports(weight: torch.Tensor, geometry: Geometry) -> bool:
        return True

    def __call__(
        self, x: torch.Tensor, residual: torch.Tensor | None, relu: bool, overwrite: bool
    ) -> torch.Tensor:
        y = F.conv2d(x, self.weight, self.bias, *self.geometry)
        if residual is not None:
            y += residual
        return y.relu_() if relu else y


@CONVOLUTIONS.register("onednn")
class OneDnnConvolution:
    """oneDNN with weights in the blocked layout that it computes in, channels_last.

    Through operators of torch that torch.compile's frozen graphs use. They are not documented, so
    `onednn_works` tries them first. Which layout is the fastest depends on the size of the input
    (weights in the wrong one took three times as long), so each new size is prepared for when it
    first comes, and the last `SIZES` are kept. Results of more than `LARGE` bytes are added to zeros:
    the operators cannot be given memory otherwise, and the allocator's own costs a page fault for
    each 4 KiB of so many.
    """

    SIZES = 2
    LARGE = 32 << 20

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor, geometry: Geometry) -> None:
        self.geometry = geometry
        stride, padding, dilation, groups = geometry
        self.arguments = (padding, stride, dilation, groups)  # in the operators' order
        self.weight, self.bias = weight, bias
        self.traced = TorchConvolution(weight, bias, geometry)
        self.prepared: dict[torch.Size, torch.Tensor] = {}

    @staticmethod
    def supports(weight: torch.Tensor, geometry: Geometry) -> bool:
        return weight.device.type == "cpu" and onednn_works(weight.dtype)

    def __getstate__(self) -> dict[str, object]:
        """Copies and pickles prepare their own, since such tensors can be neither."""
        return self.__dict__ | {"prepared": {}}

    def prepare(self, shape: torch.Size) -> torch.Tensor:
        """The weights in the layout for inputs of this shape."""
        reorder = torch.ops.mkldnn._reorder_convolution_weight
        size = list(shape) if shape.numel() else None
        weight: torch.Tensor = reorder(self.weight, *self.arguments, size)
        latest = list(self.prepared.items())[1 - self.SIZES :]
        self.prepared = {**dict(latest), shape: weight}  # a new one: threads may read the other
        return weight

    def __call__(
        self, x: torch.Tensor, residual: torch.Tensor | None, relu: bool, overwrite: bool
    ) -> torch.Tensor:
        if is_traced(x):  # torch.compile and torch.export, which cannot look into prepared weights
            return self.traced(x, residual, relu, overwrite)
        y = self.linear(x, residual, overwrite)
        # oneDNN's own ReLU, which could be part of the convolution, makes a NaN 0
        return y.relu_() if relu else y

    def linear(
        self, x: torch.Tensor, residual: torch.Tensor | None, overwrite: bool
    ) -> torch.Tensor:
        """The convolution of x + bias + residual."""
        x = x.contiguous(memory_format=torch.channels_last)
        weight = self.prepared.get(x.shape)
        if weight is None:
            weight = self.prepare(x.shape)
        convolution = torch.ops.mkldnn._convolution_pointwise
        settings = (weight, self.bias, *self.arguments)
        if residual is None:
            shape = self.geometry.result(x, self.weight)
            if math.prod(shape) * x.element_size() <= self.LARGE:
                return convolution.default(x, *settings, "none", [], "")
            like = dict(dtype=x.dtype, device=x.device)
            zeros = torch.empty(shape, **like, memory_format=torch.channels_last)
            residual, overwrite = in_huge_pages(zeros).zero_(), True
        if overwrite and residual.is_contiguous(memory_format=torch.channels_last):
            in_place = torch.ops.mkldnn._convolution_pointwise_.binary
            return in_place(residual, x, *settings, "add", 1.0, None, [], None)
        residual = residual.contiguous(memory_format=torch.channels_last)
        return convolution.binary(x, residual, *settings, "add", 1.0, None, [], None)


_TOLERANCE = {torch.float32: 1e-4, torch.float16: 2e-3, torch.bfloat16: 2e-2}


@functools.cache
def onednn_works(dtype: torch.dtype = torch.float32) -> bool:
    """Whether torch has oneDNN's operators, they take what we give, and compute what they should.

    (Half precision only where the processor has it.) Tried outside of what the caller has set: the answer is kept for
    all who ask.
    """
    if dtype not in _TOLERANCE:
        return False
    tolerance = _TOLERANCE[dtype]
    kind: Any = dict(generator=torch.Generator().manual_seed(0), dtype=torch.float32, device="cpu")
    x, residual = (torch.randn(1, c, 6, 5, **kind).to(dtype) for c in (8, 16))
    weight, bias = (torch.randn(s, **kind).to(dtype) for s in ((16, 8, 3, 3), (16,)))
    geometry = Geometry((1, 1), (1, 1), (1, 1), 1)
    theirs = TorchConvolution(weight.float(), bias.float(), geometry)
    try:
        with torch.autocast("cpu", enabled=False):
            ours = OneDnnConvolution(weight, bias, geometry)
            for other, overwrite in [(None, False), (residual, False), (residual.clone(), True)]:
                expected = theirs(
                    x.float(), None if other is None else residual.float(), True, False
                )
                found = ours(x, other, True, overwrite).float()
                if not torch.allclose(found, expected, rtol=tolerance, atol=tolerance):
                    return False
    except (AttributeError, RuntimeError, TypeError):
        return False
    return True


class FoldedConvolution(nn.Module):
    """A convolution with the norm after it folded in; made by `fuse`.

    Attributes:
        name: of the way of computing, of `CONVOLUTIONS`.
        overwrite: the residual is needed by nobody else.
    """

    def __init__(
        self,
        weight: torch.Tensor,
        bias: torch.Tensor,
        geometry: Geometry,
        name: str | None = None,
        overwrite: bool = False,
        preference: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        self.shape = tuple(weight.shape)
        self.geometry, self.overwrite = geometry, overwrite
        self.channels = geometry.groups * weight.shape[1]
        self.kind = (weight.dtype, weight.device.type)
        # asked here, where torch.compile of torch 2.4 does not look
        self.may_be_in_autocast = torch.amp.is_autocast_available(weight.device.type)
        supported = [n for n, way in CONVOLUTIONS.items() if way.supports(weight, geometry)]
        order = list(preference or PREFERENCE)
        self.name = name or next((n for n in order if n in supported), order[0])
        way = CONVOLUTIONS[self.name]
        if self.name not in supported:
            raise ValueError(
                f"the convolution {self.name!r} does not support weights {self.shape} of "
                f"{weight.dtype} on {weight.device.type} with {geometry}; expected one of "
                f"{', '.join(supported)}"
            )
        self.compute: Convolution = way(weight, bias, geometry)

    def forward(
        self, x: torch.Tensor, residual: torch.Tensor | None = None, relu: bool = False
    ) -> torch.Tensor:
        """relu(folded convolution of x + residual), under autocast in the weights' precision, too."""
        own, device = self.kind
        if self.may_be_in_autocast and torch.is_autocast_enabled(device):
            with torch.autocast(device, enabled=False):
                return self.forward(x.to(own), None if residual is None else residual.to(own), relu)
        if x.dim() != 4 or x.shape[1] != self.channels or (x.dtype, x.device.type) != self.kind:
            raise ValueError(
                f"the fused convolution {self.shape} expects x (N, {self.channels}, H, W) of {own} on {device}, "
                f"got {tuple(x.shape)} of {x.dtype} on {x.device.type}; a fused model stays what its model "
                "was when it was made"
            )
        if is_recorded(x):
            raise RuntimeError(
                "a fused model computes no gradients, got an input that requires them or has a tangent; "
                "run it under torch.no_grad(), or train the model that it was made from"
            )
        return self.compute(x, residual, relu, self.overwrite)

    def extra_repr(self) -> str:
        return f"{self.shape}, {self.geometry}, by {self.name}"
