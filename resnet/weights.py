"""Weights of torchvision, timm, maskrcnn-benchmark, Detectron and detectron2 into a model, with a report."""

from __future__ import annotations

import dataclasses
import math
import re
import warnings
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from resnet.caffe2 import below_wrappers, from_caffe2
from resnet.convolutions import FoldedConvolution
from resnet.layers import FrozenBatchNorm2d
from resnet.pickles import load_pickle

# Other names of the same entry, one after the other: parts of a name between dots, and what stands for them.
_SAME = [
    (re.compile(rf"(?<![^.]){other}\."), f"{ours}.")
    for other, ours in [
        (r"conv2\.conv", "conv2"),  # a deformable convolution's
        ("fc1000", "fc"),  # Detectron's last layer
        # detectron2's, which has the features of a pyramid's body below bottom_up, else below backbone
        ("bottom_up", "body"),
        (r"backbone(?=\.(stem|res\d)\.)", "backbone.body"),
        *((f"res{stage + 1}", f"layer{stage}") for stage in range(1, 5)),
        (r"conv(\d)\.norm", r"bn\1"),
        ("conv2_offset", "conv2.offset"),
        (r"shortcut\.norm", "downsample.1"),
        ("shortcut", "downsample.0"),
        *((f"fpn_lateral{stage + 1}", f"fpn.fpn_inner{stage}") for stage in range(1, 5)),
        *((f"fpn_output{stage + 1}", f"fpn.fpn_layer{stage}") for stage in range(1, 5)),
        ("top_block", "fpn.top_blocks"),
        ("extra_blocks", "top_blocks"),  # torchvision's
        # a convolution of the pyramid beside its norm, which is below it there and the next entry here
        (r"(fpn_(?:inner|layer)\d)\.0", r"\1"),
        (r"(fpn_(?:inner|layer)\d)\.1", r"\1.norm"),
    ]
]

# A pyramid's convolutions in torchvision's detectors, by numbers that begin with the first level and 0.
_LEVEL = re.compile(r"(?<![^.])(inner|layer)_blocks\.(\d)\.")

_COUNTS = "num_batches_tracked"  # of norms; of no use to a model that has learned


@dataclasses.dataclass
class Report:
    """What became of a model's entries and a file's."""

    matched: dict[str, str]  # the model's name -> the file's
    missing: list[str]  # entries of the model that the file does not have, or has several for
    misfits: dict[str, tuple[str, tuple[int, ...], tuple[int, ...]]]  # -> file's name, shapes
    unused: list[str]  # entries of the file that the model does not have
    ambiguous: dict[str, list[str]]  # of the missing ones: those that several of the file's fit

    def __str__(self) -> str:
        """One line per kind, and below it those that did not go well, by name."""
        lines = [
            f"{len(self.matched)} matched, {len(self.missing)} missing, "
            f"{len(self.misfits)} of another shape, {len(self.unused)} not used"
        ]
        rows = []
        for name in self.missing:
            several = self.ambiguous.get(name, [])
            fits = f"one of {', '.join(several)}; choose with prefix=" if several else ""
            rows.append(("ambiguous" if several else "missing", name, fits))
        for name, (source, wanted, got) in self.misfits.items():
            rows.append(("another shape", name, f"expected {wanted}, got {got} in {source}"))
        rows += [("not used", name, "") for name in self.unused]
        width = max((len(name) for _, name, _ in rows), default=0)
        lines += [f"  {kind:14}{name:{width}}  {text}".rstrip() for kind, name, text in rows]
        return "\n".join(lines)


def read_saved(path: str | Path, expected: str, device: torch.device | str = "cpu") -> Any:
    """What torch.save wrote, onto a device. No code in it is run.

    Args:
        path: of the file.
        expected: what it should hold, for the error.
        device: of the tensors.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: torch.load cannot read it; the text names the file.
    """
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged file makes torch.load raise almost anything
        # of a file that is refused torch's first lines are advice to run it nevertheless; a later one says what it is
        lines = [
            line.rpartition("Unpickler error: ")[2].strip() for line in str(error).splitlines()
        ]
        about = next(
            (line for line in lines if line and not re.search("weights.only", line, re.I)), ""
        )
        reason = f"{type(error).__name__}: {about}".removesuffix(": ")
        raise ValueError(
            f"{path}: expected {expected} that torch.save wrote, but torch.load gave {reason}"
        ) from error


def read_weights(path: str | Path) -> dict[str, torch.Tensor]:
    """The state_dict in a file: torch.save's, or a .pkl of Detectron or detectron2. No code in it is run.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file holds anything else than weights; the text names the file.
    """
    path = Path(path)
    # torch.save writes zip files, under any name
    is_pickle = path.suffix == ".pkl" and not zipfile.is_zipfile(path)
    content = load_pickle(path) if is_pickle else read_saved(path, "weights")
    try:
        return from_caffe2(content) if is_pickle else unwrap(content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def unwrap(content: Any) -> dict[str, torch.Tensor]:
    """The state_dict in what a file holds: below "model", and without "module." on all names."""
    content = below_wrappers(content)
    if not isinstance(content, Mapping):
        raise ValueError(f"expected a dictionary of weights, got a {type(content).__name__}")
    state = {
        name: value
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, torch.Tensor)
    }
    if not state:
        names = [f"{name} ({type(value).__name__})" for name, value in content.items()][:5]
        got = f"one of {', '.join(names)}" if names else "an empty one"
        raise ValueError(f"expected a dictionary of weights, names and tensors, got {got}")
    if all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}
    return state


def _canonical(names: Iterable[str]) -> dict[str, str]:
    """Each name, and what it is called here."""
    levels = {found[2] for found in map(_LEVEL.search, names) if found}
    first = 5 - len(levels)  # the last one is that of stage 4
    ours = {}
    for name in names:
        short = _LEVEL.sub(lambda found: f"fpn_{found[1]}{int(found[2]) + first}.", name)
        for pattern, other in _SAME:
            short = pattern.sub(other, short)
        ours[name] = short
    return ours


def match(
    wanted: Mapping[str, Any], given: Mapping[str, Any]
) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Which of the given names belongs to which wanted one; and wanted ones that several would fit.

    A name fits one that is it, or that ends with a dot and it; of several the longest. A given name
    goes to the wanted ones with the fewest parts before it: "bn1.weight" to "stem.bn1.weight", and
    not to "layer1.2.bn1.weight" also, if the file has fewer blocks than the model. Where no given
    name is part of a wanted one, one that the wanted name is part of fits, if there is only one. The
    stem's, which torchvision writes without "stem.", are then those with the same before them as the
    others: "backbone.body.bn1.weight" beside "backbone.body.layer1.0.bn1.weight".
    """
    ours, theirs = _canonical(wanted), _canonical(given)
    by_name = {short: name for name, short in theirs.items()}
    takers: dict[str, list[tuple[int, str]]] = defaultdict(list)
    rest = []
    for name, short in ours.items():
        parts = short.split(".")
        endings = [(i, ".".join(parts[i:])) for i in range(len(parts))]
        before, found = next(((i, end) for i, end in endings if end in by_name), (0, None))
        if found is None:
            rest.append(name)
        else:
            takers[found].append((before, name))
    matched = {}
    for found, candidates in takers.items():
        least = min(before for before, _ in candidates)
        for before, name in candidates:
            if before == least:
                matched[name] = by_name[found]
    longer = defaultdict(list)
    for name, short in theirs.items():
        parts = short.split(".")
        for i in range(1, len(parts)):
            longer[".".join(parts[i:])].append(name)
    befores = dict.fromkeys(
        theirs[found].removesuffix(ours[name]) for name in rest for found in longer[ours[name]]
    )
    ambiguous = {}
    for name in rest:
        fitting = longer[ours[name]]
        if not fitting and "stem." in name:
            short = ours[name].replace("stem.", "")
            fitting = [by_name[before + short] for before in befores if before + short in by_name]
        if len(fitting) == 1:
            matched[name] = fitting[0]
        elif fitting:
            ambiguous[name] = fitting
    return matched, ambiguous


def compared(wanted: Mapping[str, torch.Tensor], given: Mapping[str, torch.Tensor]) -> Report:
    """What becomes of a model's entries and a file's, by their names and shapes."""
    matched, ambiguous = match(wanted, given)
    misfits = {}
    for name, other in list(matched.items()):
        shapes = tuple(wanted[name].shape), tuple(given[other].shape)
        if shapes[0] != shapes[1]:
            misfits[name] = (other, *shapes)
            del matched[name]
    used = {*matched.values(), *(other for other, *_ in misfits.values())}
    missing = [name for name in wanted if name not in matched and name not in misfits]
    return Report(
        matched,
        [name for name in missing if not name.endswith(_COUNTS)],
        misfits,
        [name for name in given if name not in used and not name.endswith(_COUNTS)],
        ambiguous,
    )


def trained_without_eps(
    model: nn.Module, matched: Mapping[str, str], given: Mapping[str, Any]
) -> list[str]:
    """The frozen norms that add no eps, and are to have the statistics of norms that do.

    A norm that was trained has counted its batches; a file may have frozen ones beside it.
    """
    trained = {n.removesuffix(_COUNTS) + "running_var" for n in given if n.endswith(_COUNTS)}
    return [
        name
        for name, part in model.named_modules()
        if isinstance(part, FrozenBatchNorm2d) and not part.eps
        if matched.get(f"{name}.running_var") in trained
    ]


def load_weights(
    model: nn.Module,
    source: str | Path | Mapping[str, Any],
    *,
    eps: float = 0.0,
    strict: bool = False,
    prefix: str = "",
) -> Report:
    """Copy weights into a model, by the endings of their names.

    Args:
        model: any; its entries that match nothing keep their values.
        source: a file (see `read_weights`), or a state_dict.
        eps: added to the running variances of norms that add none themselves: 1e-5 for torchvision's, timm's and
            detectron2's weights in a FrozenBatchNorm2d with eps 0. A warning tells of trained batch norms there
            without it.
        strict: everything in the model must be in the source, in its shape.
        prefix: only entries of the source whose names begin with it, where several would fit the model's:
            "teacher." or "roi_heads.mask".

    Raises:
        TypeError: model is no module, or source neither a file nor a state_dict.
        ValueError: nothing matches; or strict and not everything does: the text is the report. Or the model has
            no memory (it is on meta), it is fused and would not take convolutions, eps is no variance, or no name
            begins with prefix.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"load_weights: model must be a torch.nn.Module, got a {type(model).__name__}"
        )
    if not isinstance(source, (str, Path, Mapping)):
        hint = "; give its state_dict()" if isinstance(source, nn.Module) else ""
        raise TypeError(
            "load_weights: source must be a file, as str or Path, or a state_dict, got a "
            f"{type(source).__name__}{hint}"
        )
    if not 0 <= eps < math.inf:
        raise ValueError(f"load_weights: eps must be a finite number of at least 0, got {eps}")
    wanted = model.state_dict()
    if any(value.is_meta for value in wanted.values()):
        raise ValueError(
            "load_weights: the model is on meta, where there is no memory to copy to; call "
            'model.to_empty(device="cpu") first'
        )
    every = unwrap(source) if isinstance(source, Mapping) else read_weights(source)
    given = {name: value for name, value in every.items() if name.startswith(prefix)}
    if not given:
        raise ValueError(
            f"load_weights: expected names that begin with the prefix {prefix!r}, got "
            f"{', '.join(list(every)[:5])}, ..."
        )
    report = compared(wanted, given)
    is_fused = any(isinstance(part, FoldedConvolution) for part in model.modules())
    if is_fused and any(given[name].ndim == 4 for name in report.unused):  # a convolution's
        raise ValueError(
            f"load_weights: the model is fused, and its convolutions keep their weights: {len(report.unused)} of "
            "the source's would not be used; load them into the model that was fused, and call its fuse() then"
        )
    if not report.matched or (strict and (report.missing or report.misfits)):
        where = "" if isinstance(source, Mapping) else f"{source}: "
        raise ValueError(f"{where}the weights do not fit the model: {report}")
    without_eps = trained_without_eps(model, report.matched, given)
    if eps == 0 and without_eps:
        warnings.warn(
            "load_weights: the source has batch norms that were trained, which add an eps to their variances, 1e-5 as "
            f"a rule, and the model's {without_eps[0]} and {len(without_eps) - 1} others add none; give eps=1e-5",
            stacklevel=2,
        )
    # by a norm that adds its own, such as a BatchNorm2d, it would be added twice
    without = {
        f"{name}.running_var".removeprefix(".")  # the model itself has no name
        for name, part in model.named_modules(remove_duplicate=False)
        if not getattr(part, "eps", 0)
    }
    with torch.no_grad():
        for name, other in report.matched.items():
            value = given[other]
            wanted[name].copy_(value + eps if name in without else value)
    return report
