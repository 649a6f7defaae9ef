"""`python -m resnet.demo`: photographs through a detector's stages, timed beside plain torch; a picture.

Dataset -> R-50-FPN backbone -> boxes scored by ROIAlign, the best by NMS -> their features, pooled
from the pyramid. The weights are random: the maps show structure, and boxes what stands out.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader

from data import ImageFileError, ImageList, PadCollate, Photographs
from resnet.backbone import Backbone, build_backbone
from resnet.checks import apart
from resnet.config import Config
from resnet.layers import Pooler
from resnet.ops import nms, plain_torch
from resnet.picture import draw, output_file
from resnet.progress import Progress
from resnet.proposals import SIZES, STEP, THRESHOLD, score_boxes, see_edges

PICTURE = Path(__file__).resolve().parent.parent / "build" / "demo.png"
BOXES = 100  # at most so many of an image are pooled
SETTINGS = {
    "MODEL.BACKBONE.CONV_BODY": "R-50-FPN",
    "MODEL.RESNETS.BACKBONE_OUT_CHANNELS": 256,
    "MODEL.RESNETS.STRIDE_IN_1X1": False,
}


class Timed(NamedTuple):
    """A stage as it ran."""

    name: str
    result: str  # in words
    milliseconds: float
    plain: float | None  # by torch's own operators
    difference: float | None  # from their result, relative to its largest value


def seeded_backbone() -> Backbone:
    """An untrained R-50-FPN, the same every time."""
    torch.manual_seed(0)
    model = build_backbone(Config.from_dict(SETTINGS)).eval()
    see_edges(model.body.stem)
    return model


def timed(call: Callable[[], Any], repeats: int, bar: Progress, text: str) -> tuple[Any, float]:
    """A call's result, and the median of its wall times in milliseconds."""
    times, result = [], None
    for _ in range(repeats):
        start = time.perf_counter()
        result = call()
        times.append((time.perf_counter() - start) * 1e3)
        bar.step(text)
    return result, statistics.median(times)


def scored(
    images: ImageList, levels: Sequence[torch.Tensor]
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Boxes of each image, and the scores of all, from the strength of the finest level."""
    strength = levels[0].abs()
    found = [
        score_boxes(strength[i : i + 1], size, stride=4)
        for i, size in enumerate(images.image_sizes)
    ]
    boxes, scores = zip(*found, strict=True)
    return list(boxes), torch.cat(scores)


def print_table(rows: Sequence[Timed]) -> None:
    """Stage, result, both times and how far the results are apart."""
    print(f"{'stage':26}{'result':46}{'ms':>9}{'plain torch':>13}{'ratio':>8}  difference")
    for row in rows:
        plain = (
            ""
            if row.plain is None
            else f"{row.plain:13.1f}{row.plain / row.milliseconds:7.2f}x  {row.difference:.0e}"
        )
        print(f"{row.name:26}{row.result:46}{row.milliseconds:9.1f}{plain}")


def run(paths: Sequence[Path] | None, repeats: int) -> tuple[list[Timed], list[str], Any, Any, Any]:
    """The rows of the table, the photographs' paths, the batch, its levels and boxes."""
    dataset = Photographs(paths)
    loader = DataLoader(dataset, len(dataset), collate_fn=PadCollate(32))
    model = seeded_backbone()
    fused = model.fuse()
    scales = [1 / stride for stride in list(model.feature_strides.values())[:4]]
    pooler = Pooler(7, scales, sampling_ratio=2)
    bar = Progress(repeats * 6 + 4)
    rows = []

    def stage(name: str, call: Callable[[], Any], text: Callable[[Any], str]) -> Any:
        """Time a stage with the kernels, then by plain torch."""
        result, ours = timed(call, repeats, bar, name)
        with plain_torch():  # once: without the kernels NMS takes seconds
            other, theirs = timed(call, 1, bar, f"{name}, plain torch")
        rows.append(Timed(name, text(result), ours, theirs, apart(result, other)))
        return result

    (images, names), loading = timed(lambda: next(iter(loader)), repeats, bar, "dataset")
    rows.append(
        Timed("read, normalise, pad", str(tuple(images.tensors.shape)), loading, None, None)
    )
    levels = stage(
        "backbone R-50-FPN",
        lambda: model(images.tensors),
        lambda found: ", ".join(f"{f.shape[2]} x {f.shape[3]}" for f in found) + " x 256",
    )
    same, fast = timed(lambda: fused(images.tensors), repeats, bar, "fused backbone")
    rows.append(
        Timed("the same, model.fuse()", "the same", fast, rows[-1].plain, apart(same, levels))
    )
    boxes, every = stage(
        "scores of boxes: ROIAlign",
        lambda: scored(images, levels),
        lambda found: ", ".join(str(len(boxes)) for boxes in found[0]),
    )
    # Both ways of NMS get the same scores: in an even part of a photograph, many differ by rounding alone.
    scores = every.split([len(of_image) for of_image in boxes])
    kept = stage(
        "the best of them: NMS",
        lambda: [nms(*pair, THRESHOLD) for pair in zip(boxes, scores, strict=True)],
        lambda kept: ", ".join(str(len(rows)) for rows in kept),
    )
    best = [of_image[rows[:BOXES]] for of_image, rows in zip(boxes, kept, strict=True)]
    stage(
        "features of the boxes",
        lambda: pooler(list(levels[:4]), best),
        lambda pooled: str(tuple(pooled.shape)),
    )
    found = list(zip(boxes, scores, kept, strict=True))
    return rows, list(names), images, dict(zip(model.feature_strides, levels, strict=True)), found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m resnet.demo", description=(__doc__ or "").partition("\n\n")[0]
    )
    parser.add_argument("photographs", nargs="*", type=Path, help="files (default: bundled ones)")
    parser.add_argument(
        "--output", type=output_file, default=str(PICTURE), help="(default: %(default)s)"
    )
    parser.add_argument("--repeats", type=int, default=3, help="of each stage (default: 3)")
    options = parser.parse_args(arguments)
    if options.repeats < 1:
        parser.error(f"--repeats must be at least 1, got {options.repeats}")
    try:
        with torch.no_grad():
            rows, names, images, levels, found = run(options.photographs or None, options.repeats)
    except (ImageFileError, FileNotFoundError) as error:
        print(f"resnet.demo: {error}", file=sys.stderr)
        return 1
    for name, size, (boxes, _, _) in zip(names, images.image_sizes, found, strict=True):
        if not len(boxes):
            print(
                f"resnet.demo: {name}: expected a photograph of at least {min(SIZES) + STEP} pixels a side, for "
                f"boxes, got {size[0]} x {size[1]}",
                file=sys.stderr,
            )
            return 1
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads; medians of wall time, plain torch once\n"
    )
    print_table(rows)
    draw(
        names,
        images,
        {name: (level.abs(), None) for name, level in levels.items()},
        found,
        options.output,
        "Photographs through a detector's backbone, ROIAlign and NMS",
        "the levels of a ResNet-50's feature pyramid (random weights, so the maps show structure, "
        "not meaning); roi_align scores boxes by what stands out, nms keeps the best",
    )
    print(f"\npicture: {options.output}")
    worst = max(row.difference for row in rows if row.difference is not None)
    if worst > 1e-3:
        print(f"FAILED: the kernels' results and plain torch's are {worst:.0e} apart")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
