"""The operators in plain torch: what `resnet.ops` computes without its kernels, on any device.

Arguments are those of the functions of the same names in `resnet.ops`, already checked. All are differentiable
by autograd. They are written to be short and to bear any input, not to be fast.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F

from resnet.ops.native import LOW_PRECISION

# asked here, where torch.compile of torch 2.4 does not look
_WITH_AUTOCAST = [d for d in ("cpu", "cuda", "xpu", "mps") if torch.amp.is_autocast_available(d)]


def _in_own_precision(operator: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Of products of matrices: autocast would compute them in half precision, which the kernels do not know of."""

    @functools.wraps(operator)
    def call(x: torch.Tensor, *arguments: object) -> torch.Tensor:
        device = x.device.type
        if device in _WITH_AUTOCAST and torch.is_autocast_enabled(device):
            with torch.autocast(device, enabled=False):
                return operator(x, *arguments)
        return operator(x, *arguments)

    return call


def frozen_batch_norm(
    x: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor,
    residual: torch.Tensor | None,
    relu: bool,
) -> torch.Tensor:
    dtype = x.dtype
    if dtype in LOW_PRECISION:
        x, scale, bias = x.float(), scale.float(), bias.float()
    y = x * scale.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)
    if residual is not None:
        y = y + residual
    return (torch.relu(y) if relu else y).to(dtype)


def _axis_weights(
    first: torch.Tensor, last: torch.Tensor, bins: int, size: int, ratio: int, aligned: bool
) -> torch.Tensor:
    """How much of each pixel of an axis goes into each bin: (K, bins, size); first and last (K)."""
    length = last - first
    if not aligned:
        length = length.clamp_min(1)
    bin_length = length / bins
    grids = torch.full_like(length, ratio) if ratio > 0 else bin_length.ceil()
    weights = first.new_zeros(len(first), bins, size)
    for grid in grids.unique().tolist():
        rows = (grids == grid).nonzero()[:, 0]
        if grid <= 0:
            continue
        start, step = first[rows, None, None], bin_length[rows, None, None]
        number = torch.arange(bins, device=first.device).view(1, -1, 1).to(first.dtype)
        sample = torch.arange(int(grid), device=first.device).to(first.dtype) + 0.5
        at = start + number * step + sample * step / grid
        inside = ((at >= -1) & (at <= size)).to(first.dtype) / grid
        at = at.clamp(0, size - 1)
        low = at.floor().clamp_max(max(size - 2, 0))
        high = (low + 1).clamp_max(size - 1)
        part = torch.zeros_like(weights[rows])
        part.scatter_add_(2, low.long(), (1 - (at - low)) * inside)
        part.scatter_add_(2, high.long(), (at - low) * inside)
        weights[rows] = part
    return weights


@_in_own_precision
def roi_align(
    x: torch.Tensor,
    rois: torch.Tensor,
    size: tuple[int, int],
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
) -> torch.Tensor:
    # Bilinear interpolation and the mean of samples are separable: two products with (sparse) matrices.
    corners = rois[:, 1:] * spatial_scale - (0.5 if aligned else 0.0)
    settings = (sampling_ratio, aligned)
    rows = _axis_weights(corners[:, 1], corners[:, 3], size[0], x.shape[2], *settings)
    columns = _axis_weights(corners[:, 0], corners[:, 2], size[1], x.shape[3], *settings)
    pooled = [x[:0].sum((2, 3), keepdim=True).expand(0, -1, *size)]  # of x's history
    for k, image in enumerate(rois[:, 0].long().tolist()):
        used = rows[k].any(0).nonzero()[:, 0]  # most regions touch few of the rows
        if not len(used):
            pooled.append(x.new_zeros(1, x.shape[1], *size) + x[image : image + 1, :, :1, :1] * 0)
            continue
        top, bottom = int(used[0]), int(used[-1]) + 1
        across = x[image, :, top:bottom] @ columns[k].T
        pooled.append((rows[k, :, top:bottom] @ across)[None])
    return torch.cat(pooled)


def _rounded(x: torch.Tensor) -> torch.Tensor:
    """Halves away from zero, as C rounds; torch.round rounds them to even."""
    whole = x.trunc()
    return whole + ((x - whole).abs() >= 0.5).to(x.dtype) * x.sign()


def _bin_edges(
    first: float, last: float, bins: int, size: int, like: torch.Tensor
) -> list[tuple[int, int]]:
    """The pixels [start, end) of each bin of a region's axis, in like's precision."""
    length = max(last - first + 1, 1.0)
    step = torch.tensor(length, dtype=like.dtype, device="cpu") / bins
    number = torch.arange(bins + 1, dtype=like.dtype, device="cpu")
    starts = ((number[:-1] * step).floor() + first).clamp(0, size).long().tolist()
    ends = ((number[1:] * step).ceil() + first).clamp(0, size).long().tolist()
    return list(zip(starts, ends, strict=True))


def roi_pool(
    x: torch.Tensor, rois: torch.Tensor, size: tuple[int, int], spatial_scale: float
) -> torch.Tensor:
    corners = _rounded(rois[:, 1:] * spatial_scale)
    pooled = [x[:0].sum((2, 3), keepdim=True).expand(0, -1, *size)]
    images = x.unbind()
    for image, (x1, y1, x2, y2) in zip(rois[:, 0].long().tolist(), corners.tolist(), strict=True):
        rows = _bin_edges(y1, y2, size[0], x.shape[2], x)
        columns = _bin_edges(x1, x2, size[1], x.shape[3], x)
        top, left = rows[0][0], columns[0][0]
        # backward fills a tensor as large as what is cut: an image once for each region, not for each bin
        region = images[image][:, top : rows[-1][1], left : columns[-1][1]]
        bins = []
        for first, last in rows:
            band = region[:, first - top : last - top]
            for start, end in columns:
                pixels = band[:, :, start - left : end - left].flatten(1)
                empty = pixels.shape[1] == 0
                bins.append(x.new_zeros(x.shape[1]) if empty else pixels.max(1).values)
        pooled.append(torch.stack(bins, 1).view(1, x.shape[1], *size))
    return torch.cat(pooled)


def box_iou(a: torch.Tensor, b: torch.Tensor, plus_one: bool) -> torch.Tensor:
    extra = 1.0 if plus_one else 0.0
    area_a = (a[:, 2] - a[:, 0] + extra) * (a[:, 3] - a[:, 1] + extra)
    area_b = (b[:, 2] - b[:, 0] + extra) * (b[:, 3] - b[:, 1] + extra)
    corner = torch.minimum(a[:, None, 2:], b[:, 2:]) - torch.maximum(a[:, None, :2], b[:, :2])
    common = (corner + extra).clamp_min(0).prod(2)
    union = area_a[:, None] + area_b - common
    return torch.where(union == 0, torch.zeros_like(union), common / union.where(union != 0, 1.0))


def _by_score(scores: torch.Tensor) -> torch.Tensor:
    """Row numbers, best score first; equal scores in order, NaNs last."""
    order = scores.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
    order = torch.argsort(order, descending=True, stable=True)
    return order[torch.argsort(scores[order].isnan().to(torch.int8), stable=True)]


def nms(
    boxes: torch.Tensor,
    scores: torch.Tensor,
    threshold: float,
    plus_one: bool,
    groups: torch.Tensor | None = None,
) -> torch.Tensor:
    order = _by_score(scores)
    boxes = boxes[order]
    groups = None if groups is None else groups[order]
    gone = torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    kept = []
    for i in range(len(boxes)):
        if gone[i]:
            continue
        kept.append(i)
        # float against double: the threshold is not rounded
        over = box_iou(boxes[i : i + 1], boxes[i + 1 :], plus_one)[0].double() > threshold
        gone[i + 1 :] |= over if groups is None else over & (groups[i + 1 :] == groups[i])
    return order[torch.tensor(kept, dtype=torch.int64, device=order.device)]


def soft_nms(
    boxes: torch.Tensor,
    scores: torch.Tensor,
    method: str,
    sigma: float,
    iou_threshold: float,
    score_threshold: float,
    plus_one: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    scores = scores.clone()
    left = torch.ones(len(boxes), dtype=torch.bool, device=boxes.device)
    kept, values = [], []
    while True:
        # a NaN and a -inf never win: nothing is above the threshold then
        candidates = torch.where(left & ~scores.isnan(), scores, -torch.inf)
        if not len(boxes) or not candidates.max() > score_threshold:
            break
        best = int(candidates.argmax())
        kept.append(best)
        values.append(scores[best].clone())
        left[best] = False
        iou = box_iou(boxes[best : best + 1], boxes, plus_one)[0]
        iou = iou.nan_to_num(0.0)
        if method == "gaussian":
            scores = scores * torch.exp(-iou * iou / sigma)
        elif method == "linear":
            scores = torch.where(iou.double() > iou_threshold, scores * (1 - iou), scores)
        else:
            scores = torch.where(iou.double() > iou_threshold, torch.zeros_like(scores), scores)
    keep = torch.tensor(kept, dtype=torch.int64, device=boxes.device)
    return keep, torch.stack(values) if values else scores[:0]


def sigmoid_focal_loss(
    logits: torch.Tensor, targets: torch.Tensor, alpha: float, gamma: float
) -> torch.Tensor:
    if not targets.is_floating_point():  # class numbers: 1.. positive, 0 background, < 0 ignored
        classes = torch.arange(1, logits.shape[1] + 1, device=logits.device)
        loss = sigmoid_focal_loss(
            logits, (targets[:, None] == classes).to(logits.dtype), alpha, gamma
        )
        return torch.where(targets[:, None] < 0, torch.zeros_like(loss), loss)
    p, q = torch.sigmoid(logits), torch.sigmoid(-logits)
    loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    # above 0, where a power below 1 has no derivative
    missed = (p * (1 - targets) + q * targets).clamp_min(torch.finfo(p.dtype).tiny)
    loss = loss * missed**gamma
    return loss if alpha < 0 else loss * (alpha * targets + (1 - alpha) * (1 - targets))


@_in_own_precision
def deform_conv2d(
    x: torch.Tensor,
    offset: torch.Tensor,
    weight: torch.Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    mask: torch.Tensor | None,
) -> torch.Tensor:
    batch, channels, height, width = x.shape
    outputs, group_channels, kh, kw = weight.shape
    out_h, out_w = offset.shape[2:]
    deformable_groups, groups = offset.shape[1] // (2 * kh * kw), channels // group_channels
    offset = offset.view(batch, deformable_groups, kh * kw, 2, out_h, out_w)
    # a NaN lies outside, where samples are 0
    offset = offset.nan_to_num(nan=-1e6, posinf=1e6, neginf=-1e6)
    rows = torch.arange(out_h, device=x.device).view(-1, 1) * stride[0] - padding[0]
    columns = torch.arange(out_w, device=x.device) * stride[1] - padding[1]
    tap = torch.arange(kh * kw, device=x.device).view(-1, 1, 1)
    at_y = rows + tap // kw * dilation[0] + offset[:, :, :, 0]
    at_x = columns + tap % kw * dilation[1] + offset[:, :, :, 1]
    # a pixel of zeros around x, so that an axis of one pixel has a length
    grid = torch.stack([2 * (at_x + 1) / (width + 1) - 1, 2 * (at_y + 1) / (height + 1) - 1], -1)
    parts = x.view(batch, deformable_groups, channels // deformable_groups, height, width)
    # all taps at once, one below the other
    sampled = F.grid_sample(
        F.pad(parts.flatten(0, 1), (1, 1, 1, 1)),
        grid.flatten(0, 1).flatten(1, 2),
        align_corners=True,
    ).view(*parts.shape[:3], kh * kw, out_h, out_w)
    if mask is not None:
        sampled = sampled * mask.view(batch, deformable_groups, 1, kh * kw, out_h, out_w)
    matrix = sampled.reshape(batch, groups, group_channels * kh * kw, out_h * out_w)
    product = weight.reshape(groups, outputs // groups, -1) @ matrix
    return product.reshape(batch, outputs, out_h, out_w)


def _bin_weights(
    first: torch.Tensor, step: torch.Tensor, samples: int, size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The sums of the weights that samples at first, first + step ... (...) have in each pixel of an axis (..., size).

    And how many samples count. A sample on a pixel takes nothing of another one, whose weight so has no gradient.
    """
    number = torch.arange(samples, device=first.device).to(first.dtype)
    at = first[..., None] + number * step[..., None]
    inside = (at >= -0.5) & (at <= size - 0.5)  # no NaN
    at = torch.where(inside, at, torch.zeros_like(at)).clamp(0, size - 1)
    low, high = at.detach().floor(), at.detach().ceil()
    weights = first.new_zeros(*first.shape, size)
    part, counted = at - low, inside.to(first.dtype)
    weights = weights.scatter_add(-1, low.long(), (1 - part) * counted)
    return weights.scatter_add(-1, high.long(), part * counted), counted.sum(-1)


@_in_own_precision
def deform_roi_pooling(
    x: torch.Tensor,
    rois: torch.Tensor,
    offset: torch.Tensor | None,
    spatial_scale: float,
    numbers: list[int],
    trans_std: float,
) -> torch.Tensor:
    channels, group, pooled, part, samples = numbers
    count, classes = len(rois), 1 if offset is None else offset.shape[1] // 2
    bins = torch.arange(pooled, device=x.device)
    parts = bins * part // pooled
    weights, counted = [], []
    for axis, size in enumerate(x.shape[2:]):
        first, last = (_rounded(rois[:, i - axis]) for i in (2, 4))  # y1, y2, then x1, x2
        first, last = first * spatial_scale - 0.5, (last + 1) * spatial_scale - 0.5
        extent = (last - first).clamp_min(0.1)
        length = extent / pooled
        number = (bins[:, None] if axis == 0 else bins).to(x.dtype).expand(pooled, pooled)
        at = number * length.view(-1, 1, 1, 1) + first.view(-1, 1, 1, 1)
        at = at.expand(count, classes, pooled, pooled)
        if offset is not None:  # x, y of each class
            moved = offset.unflatten(1, (classes, 2))[:, :, 1 - axis][:, :, parts][..., parts]
            at = at + moved * (trans_std * extent).view(-1, 1, 1, 1)
        made, inside = _bin_weights(
            at, (length / samples).view(-1, 1, 1, 1).expand_as(at), samples, size
        )
        weights.append(made)
        counted.append(inside)
    rows = weights[0] / (counted[0] * counted[1]).clamp_min(1)[..., None]
    columns = weights[1]
    # position-sensitive: the cell of a bin has channels of its own
    maps = x.unflatten(1, (classes, channels // classes, group, group))
    history = x[:0].sum() if offset is None else x[:0].sum() + offset[:0].sum()
    pooled_regions = [x.new_zeros(0, channels, pooled, pooled) + history]
    edges = [-(-cell * pooled // group) for cell in range(group + 1)]  # of cells, in bins
    for k, image in enumerate(rois[:, 0].long().tolist()):
        lines = []
        for gy in range(group):
            line = []
            for gx in range(group):
                down, right = slice(*edges[gy : gy + 2]), slice(*edges[gx : gx + 2])
                row, column = (w[k, :, down, right] for w in (rows, columns))
                # (classes, 1, H or W, bins of the cell)
                by_row, by_column = (
                    w.flatten(1, 2).transpose(1, 2)[:, None] for w in (row, column)
                )
                values = ((maps[image, :, :, gy, gx] @ by_column) * by_row).sum(2)
                line.append(values.reshape(channels, *row.shape[1:3]))
            lines.append(torch.cat(line, -1))
        pooled_regions.append(torch.cat(lines, -2)[None])
    return torch.cat(pooled_regions)
