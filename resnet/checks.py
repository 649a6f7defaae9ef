"""Rows of the self-check: generated functions against the same operators in plain torch."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F

from resnet import convolution_kernels, ops
from resnet.convolutions import CONVOLUTIONS, Geometry


class Row(NamedTuple):
    """One generated function as it was called and checked."""

    function: str
    shapes: str
    milliseconds: float
    check: str
    passed: bool


def milliseconds(call: Callable[[], Any], repeats: int = 5) -> float:
    """The median wall time of a call, after one to warm up."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def shape(*tensors: torch.Tensor) -> str:
    """The tensors' shapes, as (2, 64, 112, 160), joined by commas."""
    return ", ".join(str(tuple(tensor.shape)) for tensor in tensors)


def apart(ours: Any, theirs: Any) -> float:
    """The largest difference of two results, relative to the largest value."""
    if isinstance(ours, (list, tuple)):
        return max((apart(a, b) for a, b in zip(ours, theirs, strict=True)), default=0.0)
    if ours.shape != theirs.shape:
        return math.inf
    a, b = ours.detach().double(), theirs.detach().double()
    difference = float((a - b).abs().max() / b.abs().max().clamp_min(1e-30)) if a.numel() else 0.0
    return math.inf if math.isnan(difference) else difference  # max() passes over a NaN


def compared(what: str, ours: Any, theirs: Any, tolerance: float) -> tuple[str, bool]:
    """How far two results are apart, and if that is tolerable."""
    difference = apart(ours, theirs)
    text = f"equals {what}" if difference == 0 else f"{what} within {difference:.0e}"
    return text, difference <= tolerance


def check_operator(
    names: Sequence[str],
    operator: Callable[..., Any],
    inputs: Sequence[torch.Tensor | None],
    tolerance: float,
) -> list[Row]:
    """An operator of `resnet.ops`, forward and backward, against itself in plain torch.

    Args:
        names: Of the functions behind it: that of forward, then those of backward.
        operator: Of the inputs.
        inputs: Those that require gradients are checked in the backward direction.
        tolerance: Relative to the largest value.
    """

    def no_grad() -> Any:
        with torch.no_grad():
            return operator(*inputs)

    given = [x for x in inputs if x is not None]
    trained = [x for x in given if x.requires_grad]
    y = operator(*inputs)
    with ops.plain_torch():
        expected = operator(*inputs)
    same, results = compared("torch", y, expected, tolerance), y if isinstance(y, tuple) else [y]
    rows = [Row(names[0], f"{shape(*given)} -> {shape(*results)}", milliseconds(no_grad), *same)]
    if not trained:
        return rows
    # small next to 1, so that sums do not lose what is compared
    grad = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
    run = lambda: torch.autograd.grad(y, trained, grad, retain_graph=True)  # noqa: E731
    same = compared("autograd", run(), torch.autograd.grad(expected, trained, grad), tolerance)
    duration, shapes = milliseconds(run), f"{shape(y)} -> {shape(*trained)}"
    return rows + [Row(name, shapes, duration, *same) for name in names[1:]]


def check_frozen_bn(features: torch.Tensor, tolerance: float) -> list[Row]:
    """Rows for frozen batch norm with the residual and the ReLU."""
    generator = torch.Generator().manual_seed(0)
    scale, bias = torch.randn(2, features.shape[1], generator=generator).to(features.dtype)
    x, residual = features.clone().requires_grad_(), features.flip(3).clone().requires_grad_()

    def norm(x: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        return ops.frozen_batch_norm(x, scale, bias, residual, relu=True)

    names = ["frozen_bn_forward", "frozen_bn_backward"]
    return check_operator(names, norm, [x, residual], tolerance)


def check_operators(
    features: torch.Tensor,
    boxes: torch.Tensor,
    scores: torch.Tensor,
    scale: float,
    tolerance: float,
) -> list[Row]:
    """Rows for the operators on regions and boxes, the focal loss and the deformable ones."""
    generator = torch.Generator().manual_seed(0)
    kind = dict(dtype=features.dtype, generator=generator)
    x = features[:1].clone().requires_grad_()
    rois = torch.cat([torch.zeros_like(boxes[:64, :1]), boxes[:64]], 1)
    a, b = boxes[:300].clone().requires_grad_(), boxes[100:180].clone().requires_grad_()
    few, few_scores = boxes[::8], scores[::8]
    groups = torch.arange(len(few)) % 3
    logits = torch.randn(500, 20, **kind).requires_grad_()
    targets, classes = torch.rand(500, 20, **kind), torch.arange(500) % 22 - 1
    image = features[:1, :16, :24, :32].clone().requires_grad_()
    offset = torch.randn(1, 18, 24, 32, **kind).requires_grad_()
    mask = torch.rand(1, 9, 24, 32, **kind).requires_grad_()
    weight = torch.randn(8, 16, 3, 3, **kind).requires_grad_()

    def deform(*tensors: torch.Tensor) -> torch.Tensor:
        image, offset, weight, mask = tensors
        return ops.deform_conv2d(image, offset, weight, padding=1, mask=mask)

    small, bins = boxes[:16] / 5, torch.randn(16, 2, 3, 3, **kind).requires_grad_()
    small_rois = torch.cat([torch.zeros_like(small[:, :1]), small], 1)

    def deform_pool(image: torch.Tensor, rois: torch.Tensor, bins: torch.Tensor) -> torch.Tensor:
        return ops.deform_roi_pooling(image, rois, bins, scale, 3, 4, False, 2, trans_std=0.1)

    checks: list[tuple[list[str], Callable[..., Any], list[torch.Tensor]]] = [
        (
            ["roi_align_forward", "roi_align_backward"],
            lambda x, rois: ops.roi_align(x, rois, 7, scale),
            [x, rois],
        ),
        (
            ["roi_pool_forward", "roi_pool_backward"],
            lambda x, rois: ops.roi_pool(x, rois, 7, scale),
            [x, rois[:16]],
        ),
        (["nms"], lambda *args: ops.nms(*args, 0.3), [boxes, scores]),
        (["box_iou_forward", "box_iou_backward"], ops.box_iou, [a, b]),
        (["batched_nms"], lambda *args: ops.batched_nms(*args, 0.3), [few, few_scores, groups]),
        (["soft_nms"], lambda *args: ops.soft_nms(*args), [few, few_scores]),
        (
            ["focal_loss_forward", "focal_loss_backward"],
            ops.sigmoid_focal_loss,
            [logits, targets],
        ),
        (
            ["class_focal_loss_forward", "class_focal_loss_backward"],
            ops.sigmoid_focal_loss,
            [logits, classes],
        ),
        (
            ["deform_columns", "deform_input_backward", "deform_offset_backward"],
            deform,
            [image, offset, weight, mask],
        ),
        (
            ["deform_psroi_forward", "deform_psroi_input_backward", "deform_psroi_trans_backward"],
            deform_pool,
            [image, small_rois, bins],
        ),
    ]
    return [row for names, *check in checks for row in check_operator(names, *check, tolerance)]


def check_convolutions(features: torch.Tensor) -> list[Row]:
    """Rows for the functions of _ext.convolution on (N, C, H, W) features, where it is built for this processor."""
    if not convolution_kernels.available():
        return []
    generator = torch.Generator().manual_seed(0)
    channels = features.shape[1]
    x = features.contiguous(memory_format=torch.channels_last)
    rows = []
    for name, size, padding in [("winograd", 3, 1), ("pointwise", 1, 0)]:
        weight = torch.randn(channels, channels, size, size, generator=generator) / size
        bias = torch.randn(channels, generator=generator)
        geometry = Geometry((1, 1), (padding, padding), (1, 1), 1)
        way: Any = CONVOLUTIONS[name]
        layer = way(weight, bias, geometry)
        # transformed or not, the corners of a filter lie in the first and the last matrix
        first, last = (layer.prepared[k].movedim(-2, -1).reshape(-1, channels) for k in (0, -1))
        kept = [first, last] if size == 3 else [layer.prepared.movedim(-2, -1).flatten(0, 1)]
        corners = [weight[:, :, 0, 0], weight[:, :, -1, -1]]
        passed = all(map(torch.equal, kept, corners))
        rows.append(
            Row(
                f"{name}_prepare",
                f"{shape(weight)} -> {shape(layer.prepared)}",
                milliseconds(lambda way=way, args=(weight, bias, geometry): way(*args)),
                "keeps the corners" if passed else "other weights",
                passed,
            )
        )
        y = layer(x, None, False, False)
        expected = F.conv2d(x.double(), weight.double(), bias.double(), padding=padding)
        rows.append(
            Row(
                f"{name}_convolution",
                f"{shape(x)} -> {shape(y)}",
                milliseconds(lambda layer=layer: layer(x, None, False, False)),
                *compared("torch in double", y.double(), expected, 1e-5),
            )
        )
    return rows
