"""Stems (conv1) and the residual blocks that conv2..conv5 are made of, and their registries."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from resnet.deformable import Deformable, DeformableConvolution
from resnet.layers import FrozenBatchNorm2d
from resnet.norms import NORMS, Norm
from resnet.registry import Registry

STEMS = Registry("stem")
BLOCKS = Registry("block")


def conv(
    inputs: int, outputs: int, size: int, stride: int = 1, dilation: int = 1, groups: int = 1
) -> nn.Conv2d:
    """A convolution without bias: ceil(input / stride) rows and columns, Kaiming-initialised."""
    padding = dilation * (size - 1) // 2
    layer = nn.Conv2d(inputs, outputs, size, stride, padding, dilation, groups, bias=False)
    nn.init.kaiming_uniform_(layer.weight, a=1)
    return layer


class Part(nn.Module):
    """What stems and blocks have in common: convolutions conv1, conv2 ..., and bn1, bn2 ..., the norms after them."""

    # the norm of NORMS that a subclass is made with if it is given none
    norm_type: ClassVar[str] = "FrozenBN"
    convolutions: ClassVar[int] = 1

    def pairs(self) -> list[tuple[str, str]]:
        """The names of the convolutions and of their norms."""
        return [(f"conv{n}", f"bn{n}") for n in range(1, self.convolutions + 1)]

    def step(
        self, number: int, x: torch.Tensor, residual: torch.Tensor | None = None, relu: bool = True
    ) -> torch.Tensor:
        """The convolution `conv{number}`, its norm, the addition and the ReLU."""
        convolution, norm = getattr(self, f"conv{number}"), getattr(self, f"bn{number}")
        return apply(convolution, norm, x, residual, relu)


def hooked(module: nn.Module) -> bool:
    """Whether a hook looks at what the module, or one in it, takes or gives, or at their gradients."""
    every = nn.modules.module
    return bool(
        every._global_forward_hooks
        or every._global_forward_pre_hooks
        or every._global_backward_hooks
        or every._global_backward_pre_hooks
    ) or any(
        part._forward_hooks
        or part._forward_pre_hooks
        or part._backward_hooks
        or part._backward_pre_hooks
        for part in module.modules()
    )


def apply(
    convolution: nn.Module,
    norm: nn.Module,
    x: torch.Tensor,
    residual: torch.Tensor | None = None,
    relu: bool = True,
) -> torch.Tensor:
    """relu(norm(convolution(x)) + residual); a folded convolution does all of it itself."""
    if isinstance(norm, Folded):
        return convolution(x, residual, relu)
    y = convolution(x)
    traced = isinstance(x, torch.fx.Proxy)  # by who may ask for what any layer gives
    # a hook may keep what a layer gives; and nn.Identity, in the place of one, gives what it got
    kept = traced or y is x or hooked(convolution)
    if isinstance(norm, FrozenBatchNorm2d) and not hooked(norm):
        return norm(y, residual, relu=relu, inplace=not kept)
    z = norm(y)
    kept = traced or hooked(norm) or (kept and z is y)
    if residual is not None:
        z, kept = z + residual, traced
    return F.relu(z, inplace=not kept) if relu else z


class Folded(nn.Module):
    """Stands where a norm was that is now part of the convolution before it."""


class Stem(Part):
    """7x7 convolution, normalisation, ReLU, 3x3 max pooling: (N, 3, H, W) -> (N, C, H/4, W/4)."""

    stride: ClassVar[int] = 4

    def __init__(
        self, out_channels: int = 64, *, in_channels: int = 3, norm: Norm | None = None
    ) -> None:
        super().__init__()
        self.conv1 = conv(in_channels, out_channels, 7, stride=2)
        self.bn1 = (norm or NORMS[self.norm_type])(out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.max_pool2d(self.step(1, x), kernel_size=3, stride=2, padding=1)


class SmallStem(Part):
    """3x3 convolution, normalisation, ReLU, for images of few pixels: the size stays.

    (He et al., 2015, section 4.2.)
    """

    stride: ClassVar[int] = 1
    norm_type = "BN"

    def __init__(
        self, out_channels: int = 16, *, in_channels: int = 3, norm: Norm | None = None
    ) -> None:
        super().__init__()
        self.conv1 = conv(in_channels, out_channels, 3)
        self.bn1 = (norm or NORMS[self.norm_type])(out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.step(1, x)


class Block(Part):
    """A residual block: what its convolutions give, added to its input.

    Where the number of channels or the stride changes, a 1x1 convolution `downsample` adapts the
    input.
    """

    # channels of the first stage's result for each of the stem's
    expansion: ClassVar[int]
    downsample: nn.Sequential | None

    def add_downsample(self, in_channels: int, out_channels: int, stride: int, norm: Norm) -> None:
        self.downsample = None
        if in_channels != out_channels or stride != 1:
            self.downsample = nn.Sequential(
                conv(in_channels, out_channels, 1, stride), norm(out_channels)
            )

    def pairs(self) -> list[tuple[str, str]]:
        projection = [("downsample.0", "downsample.1")] if self.downsample is not None else []
        return super().pairs() + projection

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        identity = x
        if self.downsample is not None:
            projection, norm = self.downsample
            identity = apply(projection, norm, x, relu=False)
        for number in range(1, self.convolutions):
            x = self.step(number, x)
        return self.step(self.convolutions, x, identity)

    def zero_init_residual(self) -> None:
        """Begin as the identity: the last norm's weight is 0 (Goyal et al., 2017).

        Raises:
            ValueError: the norm does not train, so the block would stay the identity for ever.
        """
        norm = getattr(self, f"bn{self.convolutions}")
        if not isinstance(getattr(norm, "weight", None), nn.Parameter):
            raise ValueError(
                f"zero_init_residual needs a norm whose weight trains, got {type(norm).__name__}; "
                "take a block WithBatchNorm or WithGN"
            )
        nn.init.zeros_(norm.weight)


class Bottleneck(Block):
    """1x1, 3x3, 1x1 convolutions, and the input added to what they give (He et al., 2015).

    Args:
        in_channels: of the input.
        bottleneck_channels: between the three convolutions.
        out_channels: of the result.
        num_groups: groups of the 3x3 convolution (ResNeXt).
        stride_in_1x1: the stride is the first 1x1's (as in Caffe2's weights), not the 3x3's
            (torchvision's).
        stride: of the block; a dilated block has stride 1.
        dilation: of the 3x3 convolution.
        deformable: the 3x3 convolution is a deformable one with these settings.
        norm: makes the normalisation of a number of channels; None for the class's own.
    """

    convolutions = 3
    expansion = 4

    def __init__(
        self,
        in_channels: int,
        bottleneck_channels: int,
        out_channels: int,
        *,
        num_groups: int = 1,
        stride_in_1x1: bool = True,
        stride: int = 1,
        dilation: int = 1,
        deformable: Deformable | None = None,
        norm: Norm | None = None,
    ) -> None:
        super().__init__()
        norm = norm or NORMS[self.norm_type]
        if dilation > 1:
            stride = 1
        self.add_downsample(in_channels, out_channels, stride, norm)
        stride_1x1, stride_3x3 = (stride, 1) if stride_in_1x1 else (1, stride)
        self.conv1 = conv(in_channels, bottleneck_channels, 1, stride_1x1)
        self.bn1 = norm(bottleneck_channels)
        conv2: dict[str, Any] = dict(stride=stride_3x3, dilation=dilation, groups=num_groups)
        if deformable is None:
            self.conv2 = conv(bottleneck_channels, bottleneck_channels, 3, **conv2)
        else:
            self.conv2 = DeformableConvolution(bottleneck_channels, deformable, **conv2)
        self.bn2 = norm(bottleneck_channels)
        self.conv3 = conv(bottleneck_channels, out_channels, 1)
        self.bn3 = norm(out_channels)


class BasicBlock(Block):
    """Two 3x3 convolutions, and the input added to what they give: ResNet-18 and -34.

    Takes the arguments of `Bottleneck`, so that either fits into a stage; there is no bottleneck
    (bottleneck_channels is not used), no 1x1 convolution for the stride, and no groups.

    Raises:
        ValueError: groups or a deformable convolution were asked for.
    """

    convolutions = 2
    expansion = 1

    def __init__(
        self,
        in_channels: int,
        bottleneck_channels: int,
        out_channels: int,
        *,
        num_groups: int = 1,
        stride_in_1x1: bool = True,
        stride: int = 1,
        dilation: int = 1,
        deformable: Deformable | None = None,
        norm: Norm | None = None,
    ) -> None:
        super().__init__()
        if num_groups != 1 or deformable is not None:
            raise ValueError(
                "BasicBlock has neither groups nor deformable convolutions, got "
                f"num_groups={num_groups}, deformable={deformable}; take a Bottleneck"
            )
        norm = norm or NORMS[self.norm_type]
        if dilation > 1:
            stride = 1
        self.add_downsample(in_channels, out_channels, stride, norm)
        self.conv1 = conv(in_channels, out_channels, 3, stride, dilation)
        self.bn1 = norm(out_channels)
        self.conv2 = conv(out_channels, out_channels, 3, dilation=dilation)
        self.bn2 = norm(out_channels)


def _register(registry: Registry, base: type[Part], name: str) -> None:
    """Subclasses of a part for each norm, under the names that maskrcnn-benchmark's configs use."""
    for suffix, norm in [("FixedBatchNorm", "FrozenBN"), ("GN", "GN"), ("BatchNorm", "BN")]:
        full = f"{name}With{suffix}"
        kind = type(full, (base,), {"norm_type": norm, "__doc__": base.__doc__})
        registry.register(full, kind)
        globals()[full] = kind  # where pickle looks for it


_register(STEMS, Stem, "Stem")
_register(STEMS, SmallStem, "SmallStem")
_register(BLOCKS, Bottleneck, "Bottleneck")
_register(BLOCKS, BasicBlock, "BasicBlock")
