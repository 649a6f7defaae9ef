"""maskrcnn-benchmark's configuration as typed dataclasses: the same keys, defaults and YAML files.

What `resnet` and `data.configured` use is typed and checked. The sections of detectors and their training are
carried along unchecked (`Any` and `Section` below), so that complete files can be read.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import functools
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resnet.config_checks import ANY, CHECKS
from resnet.registry import did_you_mean
from resnet.yaml_file import read_yaml, shown

Section = dict[str, Any]  # not checked


@dataclass(slots=True)  # so that an assignment to a key that there is not is an error
class Resnets:
    """MODEL.RESNETS"""

    NUM_GROUPS: int = 1  # ResNeXt: 32
    WIDTH_PER_GROUP: int = 64  # ResNeXt-32x8d: 8
    STRIDE_IN_1X1: bool = True  # False for torchvision's and ResNeXt's weights
    TRANS_FUNC: str = "BottleneckWithFixedBatchNorm"
    STEM_FUNC: str = "StemWithFixedBatchNorm"
    RES5_DILATION: int = 1
    BACKBONE_OUT_CHANNELS: int = 256 * 4  # of the FPN's levels; others have the last stage's
    RES2_OUT_CHANNELS: int = 256
    STEM_OUT_CHANNELS: int = 64
    STAGE_WITH_DCN: tuple[bool, ...] = (False, False, False, False)
    WITH_MODULATED_DCN: bool = False
    DEFORMABLE_GROUPS: int = 1


@dataclass(slots=True)
class Backbone:
    """MODEL.BACKBONE"""

    CONV_BODY: str = "R-50-C4"
    FREEZE_CONV_BODY_AT: int = 2  # 0: nothing; 2: the stem and layer1


@dataclass(slots=True)
class Fpn:
    """MODEL.FPN"""

    USE_GN: bool = False
    USE_RELU: bool = False


@dataclass(slots=True)
class GroupNorm:
    """MODEL.GROUP_NORM"""

    DIM_PER_GP: int = -1  # channels per group, or -1
    NUM_GROUPS: int = 32  # groups, or -1
    EPSILON: float = 1e-5


@dataclass(slots=True)
class RetinaNet:
    """MODEL.RETINANET: how P6 is made; the rest is the detector's."""

    USE_C5: bool = True
    NUM_CLASSES: Any = 81
    ANCHOR_SIZES: Any = (32, 64, 128, 256, 512)
    ASPECT_RATIOS: Any = (0.5, 1.0, 2.0)
    ANCHOR_STRIDES: Any = (8, 16, 32, 64, 128)
    STRADDLE_THRESH: Any = 0
    OCTAVE: Any = 2.0
    SCALES_PER_OCTAVE: Any = 3
    NUM_CONVS: Any = 4
    BBOX_REG_WEIGHT: Any = 4.0
    BBOX_REG_BETA: Any = 0.11
    PRE_NMS_TOP_N: Any = 1000
    FG_IOU_THRESHOLD: Any = 0.5
    BG_IOU_THRESHOLD: Any = 0.4
    LOSS_ALPHA: Any = 0.25
    LOSS_GAMMA: Any = 2.0
    PRIOR_PROB: Any = 0.01
    INFERENCE_TH: Any = 0.05
    NMS_TH: Any = 0.4


@dataclass(slots=True)
class Model:
    """MODEL"""

    RESNETS: Resnets = field(default_factory=Resnets)
    BACKBONE: Backbone = field(default_factory=Backbone)
    FPN: Fpn = field(default_factory=Fpn)
    GROUP_NORM: GroupNorm = field(default_factory=GroupNorm)
    RETINANET: RetinaNet = field(default_factory=RetinaNet)
    WEIGHT: str = ""
    DEVICE: str = "cuda"
    META_ARCHITECTURE: str = "GeneralizedRCNN"
    RPN_ONLY: bool = False
    MASK_ON: bool = False
    RETINANET_ON: bool = False
    KEYPOINT_ON: bool = False
    CLS_AGNOSTIC_BBOX_REG: bool = False
    RPN: Section = field(default_factory=dict)
    ROI_HEADS: Section = field(default_factory=dict)
    ROI_BOX_HEAD: Section = field(default_factory=dict)
    ROI_MASK_HEAD: Section = field(default_factory=dict)
    ROI_KEYPOINT_HEAD: Section = field(default_factory=dict)
    FBNET: Section = field(default_factory=dict)


@dataclass(slots=True)
class Input:
    """INPUT: sizes in pixels, mean and deviation in grey levels of 0..255."""

    MIN_SIZE_TRAIN: tuple[int, ...] = (800,)
    MAX_SIZE_TRAIN: int = 1333
    MIN_SIZE_TEST: int = 800
    MAX_SIZE_TEST: int = 1333
    PIXEL_MEAN: tuple[float, ...] = (102.9801, 115.9465, 122.7717)
    PIXEL_STD: tuple[float, ...] = (1.0, 1.0, 1.0)
    TO_BGR255: bool = True
    BRIGHTNESS: float = 0.0
    CONTRAST: float = 0.0
    SATURATION: float = 0.0
    HUE: float = 0.0
    HORIZONTAL_FLIP_PROB_TRAIN: float = 0.5
    VERTICAL_FLIP_PROB_TRAIN: float = 0.0


@dataclass(slots=True)
class DataLoader:
    """DATALOADER"""

    NUM_WORKERS: int = 4
    SIZE_DIVISIBILITY: int = 0  # 32 for an FPN
    ASPECT_RATIO_GROUPING: bool = True


@dataclass(slots=True)
class Config:
    """All sections: `Config.from_yaml(path)`, or `Config()` and assignments, then `check()`."""

    MODEL: Model = field(default_factory=Model)
    INPUT: Input = field(default_factory=Input)
    DATALOADER: DataLoader = field(default_factory=DataLoader)
    DATASETS: Section = field(default_factory=dict)
    SOLVER: Section = field(default_factory=dict)
    TEST: Section = field(default_factory=dict)
    OUTPUT_DIR: str = "."
    PATHS_CATALOG: str = ""
    DTYPE: str = "float32"
    AMP_VERBOSE: bool = False

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Config:
        """The defaults, changed by nested values or by dotted keys ("MODEL.RESNETS.NUM_GROUPS").

        Raises:
            ValueError: an unknown key, or a value that does not fit its key; the text names it.
        """
        config = cls()
        merge(config, values)
        config.check()
        return config

    @classmethod
    def from_yaml(cls, path: str | Path, overrides: Mapping[str, Any] | None = None) -> Config:
        """The defaults, changed by a YAML file, then by overrides; as `from_dict`."""
        config, where = cls(), str(path)
        try:
            merge(config, read_yaml(Path(path)))
            if overrides:
                where += " with overrides"
                merge(config, overrides)
            config.check()
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        return config

    def check(self) -> None:
        """Convert what was assigned; raise a ValueError that names the first key that does not fit."""
        for key, kind, given in list(leaves(self)):
            value = convert(key, given, kind)
            *above, name = key.split(".")
            setattr(functools.reduce(getattr, above, self), name, value)
            holds, text = CHECKS.get(key, ANY)
            if not holds(value):
                raise ValueError(f"{key}: expected {text}, got {value!r}")
        norm = self.MODEL.GROUP_NORM
        if (norm.NUM_GROUPS > 0) == (norm.DIM_PER_GP > 0):
            raise ValueError(
                "MODEL.GROUP_NORM: expected either NUM_GROUPS or DIM_PER_GP above 0 and the other "
                f"-1, got NUM_GROUPS {norm.NUM_GROUPS} and DIM_PER_GP {norm.DIM_PER_GP}"
            )


# Names of earlier versions of maskrcnn-benchmark.
RENAMED = {"MODEL.BACKBONE.OUT_CHANNELS": "MODEL.RESNETS.BACKBONE_OUT_CHANNELS"}


def _types(section: Any) -> dict[str, Any]:
    return typing.get_type_hints(type(section))


def leaves(section: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The dotted key, type and value of everything below a section."""
    for name, kind in _types(section).items():
        value = getattr(section, name)
        if dataclasses.is_dataclass(kind):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", kind, value


def describe(kind: Any) -> str:
    """A type in words."""
    if typing.get_origin(kind) is tuple:
        return f"a tuple of {describe(typing.get_args(kind)[0]).split()[-1]}s"
    names = {bool: "true or false, a bool", int: "an int", float: "a float", str: "a str"}
    return names.get(kind, "a section with keys")


def literal(value: Any, known: dict[int, Any]) -> Any:
    """A value of a file, where as in the original's a text may stand for a Python literal ("(800,)", "1e-5").

    Args:
        value: of a key, or a section.
        known: sections that were met before: by aliases one may stand in more places than memory holds.
    """
    if isinstance(value, Mapping):
        if id(value) not in known:
            known[id(value)] = {key: literal(below, known) for key, below in value.items()}
        return known[id(value)]
    if isinstance(value, str):
        # all that literal_eval raises; the last two of a text that is nested too deeply
        with contextlib.suppress(ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return ast.literal_eval(value)
    return value


def convert(key: str, value: Any, kind: Any) -> Any:
    """A value of a file as its key's type.

    Raises:
        ValueError: it is of another type.
    """
    given = value
    if kind is Any:
        return value
    if isinstance(value, str) and kind is not str:
        value = literal(value, {})
    if typing.get_origin(kind) is tuple:
        (element, _) = typing.get_args(kind)
        parts = list(value) if isinstance(value, (list, tuple)) else [value]
        if isinstance(value, (list, tuple)) or type(value) is element:
            return tuple(_element(key, part, element, given, kind) for part in parts)
    elif typing.get_origin(kind) is dict:
        if isinstance(value, Mapping):
            return dict(value)
    else:
        return _element(key, value, kind, given, kind)
    raise ValueError(f"{key}: expected {describe(kind)}, got {shown(given)}")


def _element(key: str, value: Any, kind: type, given: Any, whole: Any) -> Any:
    """A single number, truth value or text."""
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise ValueError(f"{key}: expected {describe(whole)}, got {shown(given)}")
    return value


def merged(before: Any, after: Any) -> Any:
    """Of two sections one with the keys of both; else the latter."""
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        return after
    return {**before, **{key: merged(before.get(key), value) for key, value in after.items()}}


def assign(config: Config, key: str, value: Any) -> None:
    """Set the value of a dotted key, or several values of a section.

    Raises:
        ValueError: there is no such key, or the value has another type.
    """
    section: Any = config
    names = RENAMED.get(key, key).split(".")
    for depth, name in enumerate(names, start=1):
        kinds = _types(section)
        if name not in kinds:
            raise ValueError(
                f"{'.'.join(names[:depth])}: there is no such key; expected one of "
                f"{', '.join(kinds)}{did_you_mean(name, kinds)}"
            )
        if dataclasses.is_dataclass(kinds[name]):
            section = getattr(section, name)
            continue
        if kinds[name] in (Any, Section):
            for below in reversed(names[depth:]):
                value = {below: value}
            value = merged(getattr(section, name), literal(value, {}))
        elif names[depth:]:
            raise ValueError(
                f"{key}: there is no such key; {'.'.join(names[:depth])} is no section"
            )
        setattr(section, name, convert(key, value, kinds[name]))
        return
    merge(config, value, key)


def merge(config: Config, values: Any, below: str = "") -> None:
    """Set nested values, whose keys may be dotted; see `assign`."""
    if not isinstance(values, Mapping):
        raise ValueError(
            f"{below or 'configuration'}: expected a section with keys, got {shown(values)}"
        )
    for key, value in values.items():
        assign(config, f"{below}.{key}" if below else str(key), value)
