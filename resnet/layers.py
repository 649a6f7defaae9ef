"""Layers that run in the kernels."""

from __future__ import annotations

import torch
from torch import nn

from resnet.ops import frozen_batch_norm


class FrozenBatchNorm2d(nn.Module):
    """Batch normalisation whose statistics and affine parameters are constants.

    y = x * scale + (bias - running_mean * scale) with scale = weight / sqrt(running_var + eps);
    all are buffers (C).

    Args:
        channels: C.
        eps: added to the variance. 0 as in maskrcnn-benchmark; torchvision's weights were trained
            with 1e-5.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    running_mean: torch.Tensor
    running_var: torch.Tensor

    def __init__(self, channels: int, eps: float = 0.0) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def affine(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The scale and the bias (C) that the four buffers amount to."""
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return scale, self.bias - self.running_mean * scale

    def forward(
        self,
        x: torch.Tensor,
        residual: torch.Tensor | None = None,
        *,
        relu: bool = False,
        inplace: bool = False,
    ) -> torch.Tensor:
        """relu(normalised x + residual), in one pass; see `resnet.ops.frozen_batch_norm`."""
        scale, bias = self.affine()
        return frozen_batch_norm(x, scale, bias, residual, relu=relu, inplace=inplace)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[0]}, eps={self.eps}"
