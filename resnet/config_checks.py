"""What the values of a configuration must be beyond their types."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

Check = tuple[Callable[[Any], bool], str]


def at_least(least: int) -> Check:
    return (lambda value: value >= least), f"at least {least}"


PROBABILITY: Check = (lambda value: 0 <= value <= 1), "a number from 0 to 1"
TEXT: Check = (lambda value: bool(value)), "a name"
ANY: Check = (lambda value: True), "anything"
OF_JITTER: Check = (lambda value: 0 <= value < math.inf), "a finite number of at least 0"
GROUPS: Check = (lambda value: value == -1 or value >= 1), "at least 1, or -1"

# What a value must be beyond its type.
CHECKS: dict[str, Check] = {
    "MODEL.RESNETS.NUM_GROUPS": at_least(1),
    "MODEL.RESNETS.WIDTH_PER_GROUP": at_least(1),
    "MODEL.RESNETS.TRANS_FUNC": TEXT,
    "MODEL.RESNETS.STEM_FUNC": TEXT,
    "MODEL.RESNETS.RES5_DILATION": at_least(1),
    "MODEL.RESNETS.BACKBONE_OUT_CHANNELS": at_least(1),
    "MODEL.RESNETS.RES2_OUT_CHANNELS": at_least(1),
    "MODEL.RESNETS.STEM_OUT_CHANNELS": at_least(1),
    "MODEL.RESNETS.STAGE_WITH_DCN": (lambda value: len(value) == 4, "four truth values"),
    "MODEL.RESNETS.DEFORMABLE_GROUPS": at_least(1),
    "MODEL.BACKBONE.CONV_BODY": TEXT,
    "MODEL.BACKBONE.FREEZE_CONV_BODY_AT": (lambda value: value <= 5, "at most 5"),
    "MODEL.GROUP_NORM.DIM_PER_GP": GROUPS,
    "MODEL.GROUP_NORM.NUM_GROUPS": GROUPS,
    "MODEL.GROUP_NORM.EPSILON": (lambda value: 0 < value < math.inf, "a finite number above 0"),
    "INPUT.MIN_SIZE_TRAIN": (lambda value: value and min(value) > 0, "one or more sizes above 0"),
    "INPUT.MAX_SIZE_TRAIN": at_least(1),
    "INPUT.MIN_SIZE_TEST": at_least(1),
    "INPUT.MAX_SIZE_TEST": at_least(1),
    "INPUT.PIXEL_MEAN": (
        lambda value: len(value) == 3 and all(map(math.isfinite, value)),
        "three finite numbers",
    ),
    "INPUT.PIXEL_STD": (
        lambda value: len(value) == 3 and all(0 < number < math.inf for number in value),
        "three finite numbers above 0",
    ),
    "INPUT.BRIGHTNESS": OF_JITTER,
    "INPUT.CONTRAST": OF_JITTER,
    "INPUT.SATURATION": OF_JITTER,
    "INPUT.HUE": (lambda value: 0 <= value <= 0.5, "a number from 0 to 0.5"),
    "INPUT.HORIZONTAL_FLIP_PROB_TRAIN": PROBABILITY,
    "INPUT.VERTICAL_FLIP_PROB_TRAIN": PROBABILITY,
    "DATALOADER.NUM_WORKERS": at_least(0),
    "DATALOADER.SIZE_DIVISIBILITY": at_least(0),
}
