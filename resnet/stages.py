"""The table of stages: how many blocks each has, and which stages' features a model returns."""

from __future__ import annotations

from typing import NamedTuple

from resnet.registry import Registry


class StageSpec(NamedTuple):
    """One of the stages conv2..conv5."""

    # 1..4 for conv2..conv5, the modules layer1..layer4; the name hides tuple.index on purpose
    index: int  # type: ignore[assignment]
    block_count: int
    return_features: bool


# Blocks of conv2..conv5 (He et al., 2015, table 1).
BLOCK_COUNTS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
BASIC_DEPTHS = (18, 34)  # made of basic blocks, the others of bottlenecks


def _specs(block_counts: tuple[int, ...], *, every: bool) -> tuple[StageSpec, ...]:
    """Stages 1, 2, ... of these numbers of blocks; all return their features, or only the last."""
    last = len(block_counts)
    return tuple(
        StageSpec(i, count, every or i == last) for i, count in enumerate(block_counts, start=1)
    )


# C4, C5: the last stage's features, for the head that follows; FPN: all, for the pyramid.
STAGE_SPECS = Registry("stage table")
for _depth, _counts in BLOCK_COUNTS.items():
    STAGE_SPECS.register(f"R-{_depth}-C4", _specs(_counts[:3], every=False))
    STAGE_SPECS.register(f"R-{_depth}-C5", _specs(_counts, every=False))
    STAGE_SPECS.register(f"R-{_depth}-FPN", _specs(_counts, every=True))
    STAGE_SPECS.register(f"R-{_depth}-FPN-RETINANET", _specs(_counts, every=True))
