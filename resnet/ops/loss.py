"""The focal loss on sigmoid scores (Lin et al., Focal Loss for Dense Object Detection, 2017)."""

from __future__ import annotations

import torch

from resnet.ops import fallback
from resnet.ops.memory import in_huge_pages
from resnet.ops.native import (
    check_number,
    check_tensor,
    kernel,
    operator,
    use_kernels,
    working_dtype,
)


def _name(targets: torch.Tensor, direction: str) -> str:
    return f"{'' if targets.is_floating_point() else 'class_'}focal_loss_{direction}"


def _focal_loss(
    logits: torch.Tensor, targets: torch.Tensor, alpha: float, gamma: float
) -> torch.Tensor:
    loss = in_huge_pages(torch.empty_like(logits))
    kernel(_name(targets, "forward"), logits)(logits, targets, alpha, gamma, loss)
    return loss


def _focal_loss_backward(
    grad: torch.Tensor, logits: torch.Tensor, targets: torch.Tensor, alpha: float, gamma: float
) -> torch.Tensor:
    grad_logits = in_huge_pages(torch.empty_like(logits))
    kernel(_name(targets, "backward"), logits)(grad, logits, targets, alpha, gamma, grad_logits)
    return grad_logits


_focal_loss_backward_op = operator(
    _focal_loss_backward, lambda grad, logits, targets, alpha, gamma: torch.empty_like(logits)
)


def _setup(ctx, inputs, output) -> None:
    ctx.save_for_backward(*inputs[:2])
    ctx.numbers = inputs[2:]


def _backward(ctx, grad):
    return _focal_loss_backward_op(grad, *ctx.saved_tensors, *ctx.numbers), None, None, None


_focal_loss_op = operator(
    _focal_loss, lambda logits, targets, alpha, gamma: torch.empty_like(logits), _setup, _backward
)

_REDUCTIONS = ("none", "mean", "sum")


def _check_classes(logits: torch.Tensor, targets: torch.Tensor) -> None:
    """What the kernel checks itself; only for plain torch."""
    if targets.is_floating_point():
        return
    wrong = targets > logits.shape[1]
    if wrong.any():
        row = int(wrong.nonzero()[0, 0])
        raise ValueError(
            f"sigmoid_focal_loss: class {int(targets[row])} of row {row} is beyond the "
            f"{logits.shape[1]} columns of logits"
        )


def sigmoid_focal_loss(
    logits: torch.Tensor,
    targets: torch.Tensor,
    alpha: float = 0.25,
    gamma: float = 2.0,
    reduction: str = "none",
) -> torch.Tensor:
    """alpha_t * (1 - p_t)^gamma * binary cross entropy, of each logit.

    Args:
        logits: of a floating-point type, (N, C) or, with dense targets, any shape.
        targets: dense, floating-point, the shape of logits, values in 0..1 (torchvision's form); or integer
            class numbers (N): c + 1 where column c is positive, 0 for background, negative to ignore the row
            (maskrcnn-benchmark's form).
        alpha: weight of the positives, 1 - alpha of the negatives; negative for no weights.
        gamma: not negative.
        reduction: "none", "mean" or "sum".

    Returns:
        The shape of logits, or a scalar.
    """
    check_tensor("sigmoid_focal_loss: logits", logits)
    check_tensor("sigmoid_focal_loss: targets", targets)
    dense = targets.is_floating_point()
    if dense and targets.shape != logits.shape:
        raise ValueError(
            f"sigmoid_focal_loss: dense targets must have the shape of logits {tuple(logits.shape)}, "
            f"got {tuple(targets.shape)}"
        )
    if not dense and (logits.dim() != 2 or targets.shape != logits.shape[:1]):
        raise ValueError(
            "sigmoid_focal_loss: class numbers must be (N) for logits (N, C), "
            f"got {tuple(targets.shape)} for {tuple(logits.shape)}; dense targets are of a floating-point type: "
            "convert them with .float()"
        )
    if reduction not in _REDUCTIONS:
        raise ValueError(
            f"sigmoid_focal_loss: reduction must be one of {', '.join(_REDUCTIONS)}, got {reduction!r}"
        )
    check_number("sigmoid_focal_loss: alpha", alpha)
    check_number("sigmoid_focal_loss: gamma", gamma)
    if not alpha <= 1:  # 2, perhaps, of arguments in maskrcnn-benchmark's order
        raise ValueError(
            "sigmoid_focal_loss: alpha must be a number from 0 to 1, or negative for no weights, got "
            f"{alpha}; gamma comes after it"
        )
    if not gamma >= 0:
        raise ValueError(f"sigmoid_focal_loss: gamma must not be negative, got {gamma}")
    if dense and targets.requires_grad:
        raise ValueError("sigmoid_focal_loss: targets get no gradient; detach() them")
    dtype = working_dtype("sigmoid_focal_loss: logits", logits)
    values = logits.to(dtype)
    targets = targets.to(dtype) if dense else targets.long()
    compute = _focal_loss_op
    if not use_kernels(values):
        _check_classes(logits, targets)
        compute = fallback.sigmoid_focal_loss
    loss = compute(values, targets, float(alpha), float(gamma))
    if reduction != "none":
        loss = loss.mean() if reduction == "mean" else loss.sum()
    return loss.to(logits.dtype)
