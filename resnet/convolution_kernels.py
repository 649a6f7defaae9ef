"""Ways of `fuse` to compute convolutions by the kernels of _ext.convolution: "winograd" and "pointwise"."""

from __future__ import annotations

import torch

from resnet.convolutions import (
    CONVOLUTIONS,
    Convolution,
    Geometry,
    OneDnnConvolution,
    TorchConvolution,
    onednn_works,
)
from resnet.ops.memory import in_huge_pages
from resnet.ops.native import is_traced, or_null

try:
    from _ext import convolution as _kernels
except ImportError:  # it is not built, and the ways after these in the preference compute
    _kernels = None

_LAST = torch.channels_last
# Channels and outputs are multiples of these: a vector, and what the weights lie together by.
_CHANNELS, _OUTPUTS = 16, 32


def available() -> bool:
    """Whether the kernels are built, and for this processor."""
    return _kernels is not None and _kernels.convolution_lanes() > 0


def _supports(weight: torch.Tensor, geometry: Geometry, taps: int, most_padding: int) -> bool:
    outputs, channels, *size = weight.shape
    return (
        available()
        and weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and geometry._replace(padding=(0, 0)) == Geometry((1, 1), (0, 0), (1, 1), 1)
        and max(geometry.padding) <= most_padding
        and size == [taps, taps]
        and channels % _CHANNELS == outputs % _OUTPUTS == 0
    )


def _operands(
    x: torch.Tensor, residual: torch.Tensor | None, overwrite: bool, shape: tuple[int, ...]
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
    """x and residual in the kernels' layout, and the memory of the result."""
    x = x.contiguous(memory_format=_LAST)
    if residual is not None:
        residual = residual.contiguous(memory_format=_LAST)
        if overwrite:
            return x, residual, residual
    out = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=_LAST)
    return x, residual, in_huge_pages(out)


@CONVOLUTIONS.register("winograd")
class WinogradConvolution:
    """3 x 3 in steps of one with a quarter of the multiplications (Lavin and Gray 2015), channels_last.

    Errors are about 1.5 times a direct convolution's. The transformed weights are four times as many, and what reads
    them for a few tiles of 4 x 4 outputs waits for memory: small inputs are computed otherwise.
    """

    LEAST_TILES = 8

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor, geometry: Geometry) -> None:
        self.weight, self.bias, self.geometry = weight, bias.contiguous(), geometry
        self.prepared = weight.new_empty(0)
        _kernels.winograd_prepare(weight, self.prepared)
        way = OneDnnConvolution if onednn_works() else TorchConvolution
        self.otherwise: Convolution = way(weight, bias, geometry)

    @staticmethod
    def supports(weight: torch.Tensor, geometry: Geometry) -> bool:
        return _supports(weight, geometry, taps=3, most_padding=2)

    def __call__(
        self, x: torch.Tensor, residual: torch.Tensor | None, relu: bool, overwrite: bool
    ) -> torch.Tensor:
        if is_traced(x) or not available():  # a saved model may be loaded where they are not
            return self.otherwise(x, residual, relu, overwrite)
        shape = self.geometry.result(x, self.weight)
        count, _, height, width = shape
        if count * -(-height // 4) * -(-width // 4) < self.LEAST_TILES:
            return self.otherwise(x, residual, relu, overwrite)
        x, residual, out = _operands(x, residual, overwrite, shape)
        _kernels.winograd_convolution(
            x, self.prepared, self.bias, or_null(residual), *self.geometry.padding, int(relu), out
        )
        return out


@CONVOLUTIONS.register("pointwise")
class PointwiseConvolution:
    """1 x 1 in steps of one, channels_last: a product of matrices that fetches ahead what it reads and writes."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor, geometry: Geometry) -> None:
        self.weight, self.bias = weight, bias.contiguous()
        self.prepared = weight.new_empty(0)
        _kernels.pointwise_prepare(weight[:, :, 0, 0], self.prepared)
        self.traced = TorchConvolution(weight, bias, geometry)

    @staticmethod
    def supports(weight: torch.Tensor, geometry: Geometry) -> bool:
        return _supports(weight, geometry, taps=1, most_padding=0)

    def __call__(
        self, x: torch.Tensor, residual: torch.Tensor | None, relu: bool, overwrite: bool
    ) -> torch.Tensor:
        if is_traced(x) or not available():
            return self.traced(x, residual, relu, overwrite)
        shape = (len(x), len(self.weight), *x.shape[2:])
        x, residual, out = _operands(x, residual, overwrite, shape)
        _kernels.pointwise_convolution(
            x, self.prepared, self.bias, or_null(residual), int(relu), out
        )
        return out
