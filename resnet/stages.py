"""The table of stages: how many blocks each has, and which stages' features a model returns."""

from __future__ import annotations

from typing import NamedTuple


class StageSpec(NamedTuple):
    """One of the stages conv2..conv5."""

    # 1..4 for conv2..conv5, the modules layer1..layer4; the name hides tuple.index on purpose
    index: int  # type: ignore[assignment]
    block_count: int
    return_features: bool


def _specs(block_counts: tuple[int, ...], *, every: bool) -> tuple[StageSpec, ...]:
    """Stages 1, 2, ... of these numbers of blocks; all return their features, or only the last."""
    last = len(block_counts)
    return tuple(
        StageSpec(i, count, every or i == last) for i, count in enumerate(block_counts, start=1)
    )


# C4, C5: the last stage's features, for the head that follows; FPN: all, for the pyramid.
STAGE_SPECS: dict[str, tuple[StageSpec, ...]] = {
    "R-50-C4": _specs((3, 4, 6), every=False),
    "R-50-C5": _specs((3, 4, 6, 3), every=False),
    "R-101-C4": _specs((3, 4, 23), every=False),
    "R-101-C5": _specs((3, 4, 23, 3), every=False),
    "R-50-FPN": _specs((3, 4, 6, 3), every=True),
    "R-50-FPN-RETINANET": _specs((3, 4, 6, 3), every=True),
    "R-101-FPN": _specs((3, 4, 23, 3), every=True),
    "R-101-FPN-RETINANET": _specs((3, 4, 23, 3), every=True),
    "R-152-FPN": _specs((3, 8, 36, 3), every=True),
}
