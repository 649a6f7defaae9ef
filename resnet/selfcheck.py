"""`python -m resnet.selfcheck`: photographs through every generated function."""

from __future__ import annotations

import argparse
import functools
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

import data.ops
from _ext import kernels
from data import PadCollate, Photographs, normalize_image, read_rgb
from data.ops import prepare_image
from data.photographs import RGB_MEAN, RGB_STD
from resnet.checks import (
    Row,
    check_convolutions,
    check_frozen_bn,
    check_operators,
    compared,
    milliseconds,
    shape,
)
from resnet.model import ResNet, build_resnet
from resnet.ops.native import use_kernels
from resnet.picture import draw, output_file
from resnet.proposals import propose, see_edges

PICTURE = Path(__file__).resolve().parent.parent / "build" / "selfcheck.png"
SEED = 0


def prototype(function: Callable[..., Any]) -> str:
    """The C prototype, which is the first paragraph of a generated function's docstring."""
    text = (function.__doc__ or "").split("--\n\n")[-1]
    return " ".join(text.split("\n\n")[0].split())


def check_normalize(pixels: torch.Tensor, dtype: torch.dtype) -> Row:
    mean, std = (torch.tensor(values, dtype=dtype) for values in (RGB_MEAN, RGB_STD))
    planes = normalize_image(pixels, mean, std, dtype=dtype)
    numpy = (pixels.numpy() - mean.numpy()) / std.numpy()
    text, passed = compared("NumPy", planes, torch.from_numpy(numpy).permute(2, 0, 1), 0.0)
    duration = milliseconds(lambda: normalize_image(pixels, mean, std, dtype=dtype))
    return Row("normalize_image", f"{shape(pixels)} -> {shape(planes)}", duration, text, passed)


def check_broadcast(pixels: torch.Tensor) -> list[Row]:
    """The six operations over five types, (H, W, 3) with (3,), against NumPy."""
    rows = []
    for name, dtype in [
        ("uint8", torch.uint8),
        ("int32", torch.int32),
        ("int64", torch.int64),
        ("float", torch.float32),
        ("double", torch.float64),
    ]:
        a, b = pixels.to(dtype), torch.tensor([2, 3, 200]).to(dtype)
        for operation in ("add", "subtract", "multiply", "divide", "minimum", "maximum"):
            ours = getattr(data.ops, operation)
            numpy = torch.from_numpy(getattr(np, operation)(a.numpy(), b.numpy()))
            out = ours(a, b)
            passed = out.dtype == numpy.dtype and torch.equal(out, numpy)
            duration = milliseconds(functools.partial(ours, a, b, out))
            shapes = f"{shape(a, b)} -> {shape(out)}"
            function = f"broadcast_{operation}_{name}"
            rows.append(Row(function, shapes, duration, "equals NumPy", passed))
    return rows


def check_prepare(pixels: torch.Tensor) -> Row:
    """Twice the size, against torch's resampling."""
    size = (2 * pixels.shape[0], 2 * pixels.shape[1])
    place = torch.empty(3, *size)
    theirs = torch.nn.functional.interpolate(
        pixels.permute(2, 0, 1)[None].float(), size, mode="bilinear"
    )
    text, passed = compared("torch", prepare_image(pixels, place), theirs[0], 1e-6)
    duration = milliseconds(lambda: prepare_image(pixels, place))
    return Row("prepare_image", f"{shape(pixels)} -> {shape(place)}", duration, text, passed)


def check_functions(
    pixels: torch.Tensor,
    features: torch.Tensor,
    boxes: torch.Tensor,
    scores: torch.Tensor,
    scale: float,
) -> list[Row]:
    """A row for every generated function, in each of its precisions."""
    halves = check_frozen_bn(features.bfloat16(), 1e-2)  # a unit in the last place
    rows = [row._replace(function=f"{row.function}_bfloat16") for row in halves]
    for dtype, name, tolerance in [
        (torch.float32, "float", 1e-5),
        (torch.float64, "double", 1e-13),
    ]:
        found = [
            check_normalize(pixels, dtype),
            *check_frozen_bn(features.to(dtype), tolerance),
            *check_operators(*(x.to(dtype) for x in (features, boxes, scores)), scale, tolerance),
        ]
        rows += [row._replace(function=f"{row.function}_{name}") for row in found]
    return [*rows, check_prepare(pixels), *check_broadcast(pixels)]


def print_table(rows: Sequence[Row], module: Any) -> None:
    """Function of the module, shapes, time and check in columns, each with its prototype below."""
    names = max(len(row.function) for row in rows)
    shapes = max(len(row.shapes) for row in rows)
    print(f"{'generated function':{names}}  {'shapes':{shapes}}  {'ms':>8}  check")
    for row in rows:
        mark = "" if row.passed else "  FAILED"
        print(
            f"{row.function:{names}}  {row.shapes:{shapes}}  {row.milliseconds:8.3f}  "
            f"{row.check}{mark}"
        )
        print(textwrap.fill(prototype(getattr(module, row.function)), 100, initial_indent="    ",
                            subsequent_indent=" " * 8))  # fmt: skip


def report(
    pixels: torch.Tensor, features: torch.Tensor, boxes: torch.Tensor, scores: torch.Tensor
) -> bool:
    """Prints every function's row; whether all have one, and all passed."""
    rows = check_functions(pixels, features, boxes, scores, scale=1 / 4)
    print_table(rows, kernels)
    more = check_convolutions(features[:1, :64])
    if more:
        from _ext import convolution  # which is there if there are rows

        print()
        print_table(more, convolution)
    missing = set(kernels.__all__) - {row.function for row in rows}
    failed = [row.function for row in rows + more if not row.passed]
    if missing:
        print(
            f"\nnot checked: {', '.join(sorted(missing))}; give them a row in {Path(__file__).name}"
        )
    if failed:
        print(f"\nFAILED: {', '.join(failed)}")
    return not (missing or failed)


def seeded_model() -> ResNet:
    """An untrained R-50 with all features, the same every time."""
    torch.manual_seed(SEED)
    model = build_resnet("R-50-FPN").eval()
    see_edges(model.stem)
    return model


def run_stages(model: ResNet, images: torch.Tensor) -> dict[str, tuple[torch.Tensor, float]]:
    """The features of the stem and of each stage, and the milliseconds each took."""
    features, x = {}, images
    model(images)
    for name in ["stem", *model.stages]:
        start = time.perf_counter()
        x = model.get_submodule(name)(x)
        features[name] = (x, (time.perf_counter() - start) * 1e3)
    return features


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m resnet.selfcheck", description=__doc__)
    parser.add_argument(
        "--output",
        type=output_file,
        default=str(PICTURE),  # as a text, which argparse has `type` check
        help="the picture to write (default: %(default)s)",
    )
    parser.add_argument(
        "--workers", type=int, default=0, help="DataLoader's worker processes (default: 0)"
    )
    settings = parser.parse_args(arguments)
    if settings.workers < 0:
        parser.error(f"--workers must be at least 0, got {settings.workers}")
    if not use_kernels(torch.empty(0)):  # torch would be compared with itself
        parser.error(
            "expected kernels to check, but resnet.ops uses none: unset RESNET_OPS, or build them with "
            "`python build_ffi.py`"
        )

    dataset = Photographs()
    start = time.perf_counter()
    loader = DataLoader(
        dataset, len(dataset), collate_fn=PadCollate(32), num_workers=settings.workers
    )
    images, paths = next(iter(loader))
    loading = (time.perf_counter() - start) * 1e3
    names = ", ".join(
        f"{Path(path).name} {h} x {w}"
        for path, (h, w) in zip(paths, images.image_sizes, strict=True)
    )
    print(
        f"self-check of _ext.kernels: torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads\n"
    )
    print(f"Dataset -> DataLoader: {names} -> {shape(images.tensors)} in {loading:.0f} ms")

    with torch.no_grad():
        features = run_stages(seeded_model(), images.tensors)
        for name, (feature, duration) in features.items():
            print(f"ResNet-50 {name:8} {shape(feature):20} {duration:7.1f} ms")
        found = [
            propose(features["stem"][0][i : i + 1], size, stride=4)
            for i, size in enumerate(images.image_sizes)
        ]
    print()
    boxes, scores, _ = found[0]
    pixels = torch.from_numpy(read_rgb(paths[0]))
    passed = report(pixels, features["layer1"][0], boxes, scores)

    draw(
        paths,
        images,
        features,
        found,
        settings.output,
        "Photographs through the generated functions of _ext.kernels",
        "normalize_image -> ResNet-50 with frozen_bn (random weights, so the maps show structure, not meaning) -> "
        "roi_align scores boxes by what stands out -> nms keeps the best",
    )
    print(f"\npicture: {settings.output}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
