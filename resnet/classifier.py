"""Image classifiers: a ResNet with a linear layer on the mean of its last features."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import torch
from torch import nn

from resnet.model import ResNet
from resnet.registry import Registry
from resnet.stages import BASIC_DEPTHS, BLOCK_COUNTS, StageSpec


class ResNetClassifier(ResNet):
    """(N, 3, H, W) -> (N, classes), as logits.

    Its names are `ResNet`'s and `fc`'s, so that torchvision's and timm's weights match.

    Args:
        stage_specs: see `ResNet`; which features are flagged does not matter.
        num_classes: of the result.
        settings: `ResNet`'s arguments.
    """

    def __init__(
        self, stage_specs: Sequence[StageSpec], num_classes: int = 1000, **settings: Any
    ) -> None:
        super().__init__(stage_specs, **settings)
        if not isinstance(num_classes, Integral) or num_classes < 1:
            raise ValueError(
                f"ResNetClassifier: num_classes must be a number of at least 1, got {num_classes!r}"
            )
        self.fc = nn.Linear(self.out_channels, num_classes)

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """The last stage's features (N, C, h, w)."""
        x = self.stem(x)
        for name in self.stages:
            x = self.run_stage(name, x)
        return x

    def forward_head(self, features: torch.Tensor) -> torch.Tensor:
        """The logits (N, classes) of the last stage's features."""
        return self.fc(features.mean((2, 3)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return self.forward_head(self.forward_features(x))


# Depth and settings, in the forms that torchvision's weights have.
CLASSIFIERS = Registry("classifier")
for _depth in BASIC_DEPTHS:
    _basic = dict(block="BasicBlockWithFixedBatchNorm", res2_out_channels=64)
    CLASSIFIERS.register(f"R-{_depth}", (_depth, _basic))
for _depth in (50, 101, 152):
    CLASSIFIERS.register(f"R-{_depth}", (_depth, {}))
for _depth, _width in [(50, 4), (101, 8), (152, 8)]:
    _groups = dict(num_groups=32, width_per_group=_width)
    CLASSIFIERS.register(f"X-{_depth}-32x{_width}d", (_depth, _groups))


def build_classifier(name: str, num_classes: int = 1000, **settings: Any) -> ResNetClassifier:
    """A classifier by its name in `CLASSIFIERS` (R-50, X-50-32x4d ...), the stride in the 3x3.

    Raises:
        KeyError: there is no such name; the text lists those that there are.
    """
    depth, own = CLASSIFIERS[name]
    specs = [StageSpec(i, n, False) for i, n in enumerate(BLOCK_COUNTS[depth], start=1)]
    return ResNetClassifier(specs, num_classes, **{"stride_in_1x1": False, **own, **settings})
