"""The names of Detectron's (Caffe2's) weights, and what they are called here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

# Caffe2's name -> ours, the first that matches. Where a
# name has a stage, res2..res5 is layer1..layer4; n is 1, 2, 3 for branch2a, b, c.
NAMES: list[tuple[str, str]] = [
    (r"conv1", "conv1"),
    (r"res_conv1_bn|conv1_gn", "bn1"),
    (r"res(?P<stage>\d)_(?P<block>\d+)_branch2(?P<letter>[abc])", "layer{stage}.{block}.conv{n}"),
    (
        r"res(?P<stage>\d)_(?P<block>\d+)_branch2(?P<letter>[abc])_(bn|gn)",
        "layer{stage}.{block}.bn{n}",
    ),
    (r"res(?P<stage>\d)_(?P<block>\d+)_branch1", "layer{stage}.{block}.downsample.0"),
    (r"res(?P<stage>\d)_(?P<block>\d+)_branch1_(bn|gn)", "layer{stage}.{block}.downsample.1"),
    # the number of a stage's last block depends on the depth
    (r"fpn_inner_res(?P<stage>\d)_\d+_sum(_lateral)?", "fpn_inner{stage}"),
    (r"fpn_inner_res(?P<stage>\d)_\d+_sum(_lateral)?_gn", "fpn_inner{stage}.1"),
    (r"fpn_res(?P<stage>\d)_\d+_sum", "fpn_layer{stage}"),
    (r"fpn_res(?P<stage>\d)_\d+_sum_gn", "fpn_layer{stage}.1"),
    (r"fpn_6", "top_blocks.p6"),
    (r"fpn_7", "top_blocks.p7"),
    (r"pred", "fc1000"),
    (r"conv_rpn(_fpn2)?", "rpn.head.conv"),
    (r"rpn_cls_logits(_fpn2)?", "rpn.head.cls_logits"),
    (r"rpn_bbox_pred(_fpn2)?", "rpn.head.bbox_pred"),
]

# Where files keep the weights beside other things.
WRAPPERS = ("model", "state_dict")

# The endings of names; s and b also stand after _bn and _gn.
FIELDS = {
    "w": "weight",
    "s": "weight",
    "b": "bias",
    "rm": "running_mean",
    "riv": "running_var",
}


def our_name(name: str) -> str:
    """The name here of a blob: res2_0_branch2a_bn_s -> layer1.0.bn1.weight."""
    stem, _, ending = name.rpartition("_")
    if not stem or ending not in FIELDS:
        return name
    for pattern, ours in NAMES:
        match = re.fullmatch(pattern, stem)
        if match:
            groups = match.groupdict()
            if "stage" in groups:
                groups["stage"] = str(int(groups["stage"]) - 1)
            if "letter" in groups:
                groups["n"] = str("abc".index(groups["letter"]) + 1)
            stem = ours.format(**groups)
            break
    return f"{stem}.{FIELDS[ending]}"


def below_wrappers(content: Any) -> Any:
    """What a file holds, or the dictionary in it that is called "model" or "state_dict"."""
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    return content


def from_caffe2(blobs: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """A state_dict of Detectron's blobs.

    Blobs that are no arrays and those of the optimizer are left out. The normalisations are affine
    maps there: a running mean of 0 and a variance of 1 stand beside each.

    Args:
        blobs: name -> array, or a dictionary whose "blobs" (Detectron) or "model" (detectron2) are that.

    Raises:
        ValueError: it is no dictionary.
    """
    if isinstance(blobs, Mapping):
        blobs = below_wrappers(blobs.get("blobs", blobs))
    if not isinstance(blobs, Mapping):
        raise ValueError(f"expected a dictionary of weights, got a {type(blobs).__name__}")
    state = {}
    for name, value in blobs.items():
        if not (isinstance(name, str) and isinstance(value, np.ndarray)):
            continue
        if name.endswith("_momentum"):
            continue
        ours = our_name(name)
        if f"{name.rpartition('_')[0]}_gn_s" in blobs and ours.startswith("fpn_"):
            level, field = ours.split(".")
            ours = f"{level}.0.{field}"
        state[ours] = torch.from_numpy(np.array(value))
        if name.endswith("_bn_s"):
            base = ours.removesuffix("weight")
            state.setdefault(f"{base}running_mean", torch.zeros(value.shape))
            state.setdefault(f"{base}running_var", torch.ones(value.shape))
    return state
