"""Normalisations by name."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from resnet.layers import FrozenBatchNorm2d
from resnet.registry import Registry

Norm = Callable[[int], nn.Module]  # number of channels -> layer

NORMS = Registry("normalisation")
NORMS.register("FrozenBN", FrozenBatchNorm2d)
NORMS.register("BN", nn.BatchNorm2d)
NORMS.register("SyncBN", nn.SyncBatchNorm)


@NORMS.register("GN")
def group_norm(
    channels: int, num_groups: int = 32, dim_per_gp: int = -1, eps: float = 1e-5
) -> nn.GroupNorm:
    """Group normalisation (Wu and He, 2018) with a number of groups or of channels per group.

    Args:
        channels: of the input.
        num_groups: groups, or -1 where dim_per_gp says it.
        dim_per_gp: channels per group, or -1 where num_groups says it.
        eps: added to the variance.

    Raises:
        ValueError: neither or both are given, or the channels do not divide evenly.
    """
    if (num_groups > 0) == (dim_per_gp > 0):
        raise ValueError(
            "group_norm: expected either MODEL.GROUP_NORM.NUM_GROUPS or DIM_PER_GP above 0 and the other -1, "
            f"got NUM_GROUPS {num_groups} and DIM_PER_GP {dim_per_gp}"
        )
    divisor, name = (num_groups, "NUM_GROUPS") if num_groups > 0 else (dim_per_gp, "DIM_PER_GP")
    if channels % divisor:
        raise ValueError(
            f"group_norm: MODEL.GROUP_NORM.{name} must divide the layer's {channels} channels, got {divisor}"
        )
    return nn.GroupNorm(num_groups if num_groups > 0 else channels // dim_per_gp, channels, eps)
