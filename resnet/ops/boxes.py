"""Operators on boxes (rows of x1, y1, x2, y2): intersection over union, and the suppressions built on it."""

from __future__ import annotations

import torch

from resnet.ops import fallback
from resnet.ops.native import (
    check_number,
    check_tensor,
    kernel,
    operator,
    use_kernels,
    working_dtype,
)

_METHODS = {"linear": 0, "gaussian": 1, "hard": 2}  # as in include/nms.h


def _box_iou(a: torch.Tensor, b: torch.Tensor, plus_one: bool) -> torch.Tensor:
    out = a.new_empty(a.shape[0], b.shape[0])
    kernel("box_iou_forward", a)(a, b, int(plus_one), out)
    return out


def _box_iou_backward(
    grad: torch.Tensor, a: torch.Tensor, b: torch.Tensor, plus_one: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    grads = a.new_empty(a.shape), b.new_empty(b.shape)
    kernel("box_iou_backward", grad)(grad, a, b, int(plus_one), *grads)
    return grads


_box_iou_backward_op = operator(
    _box_iou_backward, lambda grad, a, b, plus_one: (a.new_empty(a.shape), b.new_empty(b.shape))
)


def _setup_iou(ctx, inputs, output) -> None:
    ctx.plus_one = inputs[2]
    ctx.save_for_backward(*inputs[:2])


def _iou_backward(ctx, grad):
    return *_box_iou_backward_op(grad, *ctx.saved_tensors, ctx.plus_one), None


_box_iou_op = operator(
    _box_iou, lambda a, b, plus_one: a.new_empty(a.shape[0], b.shape[0]), _setup_iou, _iou_backward
)


def _nms(
    boxes: torch.Tensor,
    scores: torch.Tensor,
    groups: torch.Tensor | None,
    threshold: float,
    plus_one: bool,
) -> torch.Tensor:
    keep = boxes.new_empty(boxes.shape[0] if boxes.dim() else 0, dtype=torch.int64)
    if groups is None:
        kernel("nms", boxes)(boxes, scores, threshold, int(plus_one), keep)
    else:
        kernel("batched_nms", boxes)(boxes, scores, groups, threshold, int(plus_one), keep)
    return keep


def _fake_nms(boxes, scores, groups, threshold, plus_one):
    return boxes.new_empty(torch.library.get_ctx().new_dynamic_size(), dtype=torch.int64)


_nms_op = operator(_nms, _fake_nms)


def _soft_nms(
    boxes: torch.Tensor,
    scores: torch.Tensor,
    method: int,
    sigma: float,
    iou_threshold: float,
    score_threshold: float,
    plus_one: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    keep, kept_scores = boxes.new_empty(0, dtype=torch.int64), boxes.new_empty(0)
    numbers = (method, sigma, iou_threshold, score_threshold, int(plus_one))
    kernel("soft_nms", boxes)(boxes, scores, *numbers, keep, kept_scores)
    return keep, kept_scores


def _fake_soft_nms(boxes, scores, method, sigma, iou_threshold, score_threshold, plus_one):
    size = torch.library.get_ctx().new_dynamic_size()
    return boxes.new_empty(size, dtype=torch.int64), boxes.new_empty(size)


_soft_nms_op = operator(_soft_nms, _fake_soft_nms)


def check_boxes(name: str, argument: str, boxes: torch.Tensor) -> None:
    check_tensor(f"{name}: {argument}", boxes)
    if boxes.dim() != 2 or boxes.shape[1] != 4:
        raise ValueError(
            f"{name}: {argument} must be (N, 4) with rows of x1, y1, x2, y2, got {tuple(boxes.shape)}"
        )


def _check_scores(name: str, boxes: torch.Tensor, scores: torch.Tensor) -> None:
    check_boxes(name, "boxes", boxes)
    check_tensor(f"{name}: scores", scores)
    if scores.dim() != 1 or scores.shape[0] != boxes.shape[0]:
        raise ValueError(
            f"{name}: scores must have one value per box, shape ({boxes.shape[0]},), "
            f"got {tuple(scores.shape)}"
        )


def box_iou(boxes1: torch.Tensor, boxes2: torch.Tensor, *, plus_one: bool = False) -> torch.Tensor:
    """The intersection over union of each pair of boxes; differentiable in both.

    Two boxes without area have 0, where torchvision has a NaN.

    Args:
        boxes1: (N, 4) of a floating-point type: x1, y1, x2, y2.
        boxes2: (M, 4).
        plus_one: count pixels as older code did: a box is x2 - x1 + 1 wide.

    Returns:
        (N, M) of boxes1's dtype.
    """
    check_boxes("box_iou", "boxes1", boxes1)
    check_boxes("box_iou", "boxes2", boxes2)
    dtype = working_dtype("box_iou: boxes1", boxes1)
    a, b = boxes1.to(dtype), boxes2.to(dtype)
    compute = _box_iou_op if use_kernels(a) else fallback.box_iou
    return compute(a, b, bool(plus_one)).to(boxes1.dtype)


def nms(
    boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float, *, plus_one: bool = False
) -> torch.Tensor:
    """The boxes that no better box overlaps by more than a threshold.

    Args:
        boxes: (N, 4) of a floating-point type: x1, y1, x2, y2.
        scores: (N).
        iou_threshold: intersection over union above which (strictly) the lower score goes.
        plus_one: count pixels as older code did: a box is x2 - x1 + 1 wide.

    Returns:
        (M) int64 row numbers, best score first; equal scores keep their order, a NaN ranks last.
    """
    return _suppress("nms", boxes, scores, None, iou_threshold, plus_one)


def batched_nms(
    boxes: torch.Tensor,
    scores: torch.Tensor,
    groups: torch.Tensor,
    iou_threshold: float,
    *,
    plus_one: bool = False,
) -> torch.Tensor:
    """`nms` within each group (a class, an image, a level): boxes of different groups never meet.

    Args:
        boxes: (N, 4) of a floating-point type.
        scores: (N).
        groups: (N) of an integer type.
        iou_threshold: as in `nms`.
        plus_one: as in `nms`.

    Returns:
        (M) int64 row numbers, best score first over all groups.
    """
    check_boxes("batched_nms", "boxes", boxes)
    check_tensor("batched_nms: groups", groups)
    if groups.shape != boxes.shape[:1] or groups.is_floating_point():
        raise ValueError(
            f"batched_nms: groups must have one integer per box, shape ({len(boxes)},), "
            f"got {tuple(groups.shape)} of {groups.dtype}"
        )
    return _suppress("batched_nms", boxes, scores, groups.long(), iou_threshold, plus_one)


def _suppress(
    name: str,
    boxes: torch.Tensor,
    scores: torch.Tensor,
    groups: torch.Tensor | None,
    threshold: float,
    plus_one: bool,
) -> torch.Tensor:
    _check_scores(name, boxes, scores)
    check_number(f"{name}: iou_threshold", threshold)
    threshold = float(threshold)
    dtype = working_dtype(f"{name}: boxes", boxes)
    boxes, scores = boxes.detach().to(dtype), scores.detach().to(dtype)
    if use_kernels(boxes):
        keep: torch.Tensor = _nms_op(boxes, scores, groups, threshold, bool(plus_one))
        return keep
    return fallback.nms(boxes, scores, threshold, plus_one, groups)


def soft_nms(
    boxes: torch.Tensor,
    scores: torch.Tensor,
    *,
    method: str = "linear",
    sigma: float = 0.5,
    iou_threshold: float = 0.3,
    score_threshold: float = 0.001,
    plus_one: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Suppression that lowers the scores of overlapped boxes (Bodla et al., Soft-NMS, 2017).

    The best box is kept, the others' scores are multiplied by a factor of their overlap with it, and so on
    while a score is above score_threshold.

    Args:
        boxes: (N, 4) of a floating-point type.
        scores: (N).
        method: the factor: "linear" (1 - iou above iou_threshold), "gaussian" (exp(-iou^2 / sigma)),
            or "hard" (0 above iou_threshold, which is `nms`).
        sigma: of "gaussian"; positive.
        iou_threshold: of the others.
        score_threshold: what is kept has a larger score; not negative.
        plus_one: as in `nms`.

    Returns:
        (M) int64 row numbers in the order in which they were kept, and (M) their lowered scores. Of equal
        scores the first row wins; a NaN is never kept.
    """
    _check_scores("soft_nms", boxes, scores)
    if not isinstance(method, str) or method not in _METHODS:
        raise ValueError(f"soft_nms: method must be one of {', '.join(_METHODS)}, got {method!r}")
    for argument, number in [
        ("sigma", sigma),
        ("iou_threshold", iou_threshold),
        ("score_threshold", score_threshold),
    ]:
        check_number(f"soft_nms: {argument}", number)
    if not sigma > 0:
        raise ValueError(f"soft_nms: sigma must be positive, got {sigma}")
    if score_threshold < 0:
        raise ValueError(f"soft_nms: score_threshold must not be negative, got {score_threshold:g}")
    dtype = working_dtype("soft_nms: boxes", boxes)
    boxes, scores = boxes.detach().to(dtype), scores.detach().to(dtype)
    numbers = (float(sigma), float(iou_threshold), float(score_threshold), bool(plus_one))
    if use_kernels(boxes):
        keep, kept_scores = _soft_nms_op(boxes, scores, _METHODS[method], *numbers)
        return keep, kept_scores
    return fallback.soft_nms(boxes, scores, method, *numbers)
