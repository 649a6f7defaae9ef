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
from resnet.checks import Row, check_convolutions, check_others, compared, milliseconds, shape
from resnet.model import ResNet, build_resnet
from resnet.ops import frozen_batch_norm, nms, roi_align
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


def check_frozen_bn(features: torch.Tensor, tolerance: float) -> list[Row]:
    """Forward and backward, with the residual and the ReLU, against the formula in torch, rounded once."""
    generator = torch.Generator().manual_seed(SEED)
    channels = features.shape[1]
    scale, bias = torch.randn(2, channels, generator=generator).to(features.dtype)
    x, residual = features.clone().requires_grad_(), features.flip(3).clone().requires_grad_()
    y = frozen_batch_norm(x, scale, bias, residual, relu=True)
    wide = torch.promote_types(x.dtype, torch.float32)
    factor, summand = (each.to(wide).view(-1, 1, 1) for each in (scale, bias))
    formula = torch.relu(x.to(wide) * factor + summand + residual.to(wide)).to(x.dtype)
    forward = compared("torch", y, formula, tolerance)
    ours = torch.autograd.grad(y.sum(), (x, residual), retain_graph=True)
    theirs = torch.autograd.grad(formula.sum(), (x, residual))
    # a result within rounding of zero may fall on either side of the ReLU's corner
    sure = ((y == 0) == (formula == 0)).to(x.dtype)
    backward = compared("autograd", torch.stack(ours) * sure, torch.stack(theirs) * sure, tolerance)

    def run_forward() -> None:
        with torch.no_grad():
            frozen_batch_norm(x, scale, bias, residual, relu=True)

    grad = torch.ones_like(y)

    def run_backward() -> None:
        torch.autograd.grad(y, (x, residual), grad, retain_graph=True)

    return [
        Row(
            "frozen_bn_forward",
            f"2 x {shape(x)} -> {shape(y)}",
            milliseconds(run_forward),
            *forward,
        ),
        Row(
            "frozen_bn_backward",
            f"{shape(y)} -> 2 x {shape(x)}",
            milliseconds(run_backward),
            *backward,
        ),
    ]


def check_roi_align(
    features: torch.Tensor, boxes: torch.Tensor, scale: float, tolerance: float
) -> list[Row]:
    """Forward on a plane y + 2x: its values at the bins' centres; backward as the adjoint."""
    rois = torch.cat([torch.zeros_like(boxes[:, :1]), boxes], 1).to(features.dtype)
    height, width = features.shape[2:]
    rows, columns = (
        torch.arange(height, dtype=features.dtype),
        torch.arange(width, dtype=features.dtype),
    )
    ramp = (rows[:, None] + 2 * columns)[None, None]
    inside = rois.clone()
    inside[:, 1::2].clamp_(0, (width - 1) / scale)
    inside[:, 2::2].clamp_(0, (height - 1) / scale)
    pooled = roi_align(ramp, inside, 7, scale)
    centres = (torch.arange(7, dtype=features.dtype) + 0.5) / 7
    x1, y1, x2, y2 = (inside[:, 1:] * scale).T
    expected = (y1[:, None] + centres * (y2 - y1)[:, None])[:, :, None]
    expected = expected + 2 * (x1[:, None] + centres * (x2 - x1)[:, None])[:, None, :]
    forward = compared("bin centres", pooled[:, 0], expected, tolerance)

    x = features[:1].clone().requires_grad_()
    y = roi_align(x, rois, 7, scale)
    grad = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
    (grad_x,) = torch.autograd.grad(y, x, grad, retain_graph=True)
    # <A x, g> = <x, A' g>, summed in double precision
    left, right = (y.double() * grad.double()).sum(), (x.double() * grad_x.double()).sum()
    size = (y.double() * grad.double()).abs().sum()
    backward = compared("adjoint", left + size, right + size, tolerance)
    run_forward = lambda: roi_align(x.detach(), rois, 7, scale)  # noqa: E731
    run_backward = lambda: torch.autograd.grad(y, x, grad, retain_graph=True)  # noqa: E731
    return [
        Row(
            "roi_align_forward",
            f"{shape(x, rois)} -> {shape(y)}",
            milliseconds(run_forward),
            *forward,
        ),
        Row(
            "roi_align_backward",
            f"{shape(y, rois)} -> {shape(x)}",
            milliseconds(run_backward),
            *backward,
        ),
    ]


def check_nms(boxes: torch.Tensor, scores: torch.Tensor) -> Row:
    """No kept boxes overlap by more than the threshold; each other does, with a better kept one."""
    threshold = 0.3
    kept = nms(boxes, scores, threshold)
    corners = (
        torch.maximum(boxes[:, None, :2], boxes[kept, :2]),
        torch.minimum(boxes[:, None, 2:], boxes[kept, 2:]),
    )
    common = (corners[1] - corners[0]).clamp_min(0).prod(2)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    overlaps = common / (areas[:, None] + areas[kept] - common) > threshold
    others = torch.ones(len(boxes), dtype=torch.bool)
    others[kept] = False
    better = scores[kept] >= scores[:, None]
    passed = bool((overlaps[kept].sum(1) == 1).all() and (overlaps & better)[others].any(1).all())
    duration = milliseconds(lambda: nms(boxes, scores, threshold))
    text = "kept apart, rest covered" if passed else "overlaps are wrong"
    return Row("nms", f"{shape(boxes, scores)} -> {shape(kept)}", duration, text, passed)


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
            *check_roi_align(features.to(dtype), boxes[:64].to(dtype), scale, tolerance),
            check_nms(boxes.to(dtype), scores.to(dtype)),
            *check_others(features.to(dtype), boxes.to(dtype), scores.to(dtype), scale, tolerance),
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
