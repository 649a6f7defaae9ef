"""The convolution "winograd" for `fuse`: 3 x 3 in steps of one, by the kernels of _ext.winograd."""

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
    from _ext import winograd as _winograd
except ImportError:  # it is not built, and the convolutions after it in the preference compute
    _winograd = None

_LAST = torch.channels_last
# Channels and outputs are multiples of these: a vector, and what the weights lie together by.
_CHANNELS, _OUTPUTS = 16, 32


@CONVOLUTIONS.register("winograd")
class WinogradConvolution:
    """A quarter of the multiplications (Lavin and Gray 2015): two to three times as fast as oneDNN, channels_last.

    Errors are about 1.5 times a direct convolution's. The transformed weights are four times as many, and what reads
    them for a few tiles of 4 x 4 outputs waits for memory: small inputs are computed otherwise.
    """

    LEAST_TILES = 8

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor, geometry: Geometry) -> None:
        self.weight, self.bias, self.geometry = weight, bias.contiguous(), geometry
        self.prepared = torch.empty(0)
        _winograd.winograd_prepare(weight, self.prepared)
        way = OneDnnConvolution if onednn_works() else TorchConvolution
        self.otherwise: Convolution = way(weight, bias, geometry)

    @staticmethod
    def supports(weight: torch.Tensor, geometry: Geometry) -> bool:
        outputs, channels, *taps = weight.shape
        plain = geometry._replace(padding=(0, 0)) == Geometry((1, 1), (0, 0), (1, 1), 1)
        return (
            _winograd is not None
            and _winograd.winograd_lanes() > 0
            and weight.device.type == "cpu"
            and weight.dtype == torch.float32
            and plain
            and max(geometry.padding) <= 2
            and taps == [3, 3]
            and channels % _CHANNELS == outputs % _OUTPUTS == 0
        )

    def __call__(
        self, x: torch.Tensor, residual: torch.Tensor | None, relu: bool, overwrite: bool
    ) -> torch.Tensor:
        shape = self.geometry.result(x, self.weight)
        count, _, height, width = shape
        tiles = count * -(-height // 4) * -(-width // 4)
        if tiles < self.LEAST_TILES or is_traced(x):
            return self.otherwise(x, residual, relu, overwrite)
        x = x.contiguous(memory_format=_LAST)
        if residual is not None:
            residual = residual.contiguous(memory_format=_LAST)
        out = residual
        if out is None or not overwrite:
            out = in_huge_pages(torch.empty(shape, memory_format=_LAST))
        _winograd.winograd_convolution(
            x, self.prepared, self.bias, or_null(residual), *self.geometry.padding, int(relu), out
        )
        return out
