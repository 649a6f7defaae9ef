"""The operators of resnet.ops against torchvision's C++ operators, and against formulas written out here."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

pytest.importorskip("_ext.kernels", reason="run `python build_ffi.py` first")

from resnet import ops  # noqa: E402
from tests.operators import ROIS, some_boxes  # noqa: E402

DTYPES = [torch.float32, torch.float64]
TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-12}


def same_gradients(ours, theirs, inputs, tolerance):
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)
    grad = torch.randn(ours.shape, dtype=ours.dtype)
    pairs = [torch.autograd.grad(y, inputs, grad) for y in (ours, theirs)]
    for a, b in zip(*pairs, strict=True):
        assert (a - b).abs().max() <= tolerance * b.abs().max().clamp_min(1)


@pytest.fixture(params=["contiguous", "channels_last", "strided"])
def maps(request):
    """(2, 37, 11, 13): two vectors of channels and some more."""
    torch.manual_seed(0)
    x = torch.randn(2, 37, 11, 13, dtype=torch.float64)
    if request.param == "channels_last":
        return x.to(memory_format=torch.channels_last)
    return x.repeat_interleave(2, 3)[..., ::2] if request.param == "strided" else x


# ------------------------------------------------------------------------------------- torchvision


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("ratio", "aligned"), [(2, True), (0, False), (0, True), (3, False)])
def test_roi_align_is_torchvisions(tv, maps, dtype, ratio, aligned):
    x, rois = maps.to(dtype).requires_grad_(), torch.tensor(ROIS, dtype=dtype)
    arguments = (x, rois, (3, 4), 0.5, ratio, aligned)
    ours, theirs = ops.roi_align(*arguments), tv.roi_align(*arguments)
    same_gradients(ours, theirs, [x], TOLERANCE[dtype])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("count", [1, 5, 200])  # few regions take another way than many
@pytest.mark.parametrize("operator", ["roi_align", "roi_pool"])
def test_many_regions(tv, operator, count, layout):
    """One region, or several with one of more pixels than are copied for it and one beside the map."""
    torch.manual_seed(1)
    x = torch.randn(3, 40, 50, 62).to(memory_format=layout).requires_grad_()
    corners = torch.rand(count, 2) * 120
    rois = torch.cat(
        [torch.randint(0, 3, (count, 1)), corners, corners + torch.rand(count, 2) * 60], 1
    )
    if count > 1:
        rois[:2, 1:] = torch.tensor([[2.0, 3, 244, 196], [-90, -80, -60, -20]])
    ours, theirs = (getattr(m, operator)(x, rois, 7, 0.25) for m in (ops, tv))
    same_gradients(ours, theirs, [x], 1e-4)  # sums of many in another order


@pytest.mark.parametrize("channels", [3, 17])  # without slabs, and with them
def test_regions_whose_plans_take_more_than_is_kept_of_them(tv, channels):
    """One region takes 3,200 pulls of 16 bytes of an axis, and room like that 800 times is more than 32 MiB."""
    torch.manual_seed(2)
    x = torch.randn(2, channels, 1600, 30, requires_grad=True)
    corners = torch.rand(800, 2) * torch.tensor([20.0, 1580.0])
    rois = torch.cat([torch.randint(0, 2, (800, 1)), corners, corners + 8], 1)
    rois[0] = torch.tensor([0.0, 0, 0, 20, 1600])
    ours, theirs = (m.roi_align(x, rois, 7) for m in (ops, tv))
    same_gradients(ours, theirs, [x], 1e-4)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [(3, 4), (1, 1), (9, 9)])
def test_roi_pool_is_torchvisions(tv, maps, dtype, size):
    # of whole numbers a bin has several maxima, and the first gets the gradient
    x = maps.to(dtype).round_().requires_grad_()
    # halves are rounded away from zero
    rois = torch.tensor([*ROIS, [0, 1, 1, 5, 7], [1, -3, -1, 3, 9]], dtype=dtype)
    ours, theirs = ops.roi_pool(x, rois, size, 0.5), tv.roi_pool(x, rois, size, 0.5)
    assert torch.equal(ours, theirs)
    same_gradients(ours, theirs, [x], TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [1, 60, 700, 3000])
def test_nms_is_torchvisions(tv, dtype, count):
    torch.manual_seed(count)
    corners = torch.rand(count, 2, dtype=dtype) * 400
    boxes = torch.cat([corners, corners + torch.rand(count, 2, dtype=dtype) * 60], 1)
    scores, groups = torch.rand(count, dtype=dtype), torch.randint(-3, 9, (count,))
    for threshold in (0.0, 0.5, 0.9):
        assert torch.equal(ops.nms(boxes, scores, threshold), tv.nms(boxes, scores, threshold))
        theirs = tv.boxes._batched_nms_vanilla(boxes, scores, groups, threshold)
        assert torch.equal(ops.batched_nms(boxes, scores, groups, threshold), theirs)


@pytest.mark.parametrize("dtype", DTYPES)
def test_box_iou_is_torchvisions(tv, dtype):
    torch.manual_seed(0)
    a, b = some_boxes(50, dtype), some_boxes(33, dtype)
    ours, theirs = ops.box_iou(a, b), tv.box_iou(a, b)
    # boxes without area: ours is 0, theirs a NaN, and so are its gradients
    assert torch.equal(ours, torch.where(theirs.isnan(), 0, theirs))
    pair = [boxes[5:].clone().requires_grad_() for boxes in (a, b)]
    same_gradients(ops.box_iou(*pair), tv.box_iou(*pair), pair, TOLERANCE[dtype])
    a, b = pair[0].detach(), pair[1].detach()
    apart = torch.empty(45, 56, dtype=dtype)[:, ::2]
    from _ext import kernels

    name = {torch.float32: "float", torch.float64: "double"}[dtype]
    getattr(kernels, f"box_iou_forward_{name}")(a, b.t().contiguous().t(), 0, apart)
    assert torch.equal(apart, ours[5:, 5:])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2.0), (-1, 2.0), (0.6, 0.0), (0.25, 1.3)])
def test_focal_loss_is_torchvisions(tv, dtype, alpha, gamma):
    torch.manual_seed(0)
    logits = (torch.randn(700, 30, dtype=dtype) * 8).requires_grad_()
    classes = torch.randint(0, 32, (700,)).clamp_max(30)
    dense = (classes[:, None] == torch.arange(1, 31)).to(dtype)
    # float32: torch's own chain of operations loses more than ours (1 - p cancels)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    for reduction in ("none", "sum"):
        theirs = tv.sigmoid_focal_loss(logits, dense, alpha, gamma, reduction)
        for targets in (dense, classes):
            ours = ops.sigmoid_focal_loss(logits, targets, alpha, gamma, reduction)
            torch.testing.assert_close(ours, theirs, rtol=1e-4 if dtype == torch.float32 else 1e-11,
                                       atol=tolerance)  # fmt: skip
            grads = [
                torch.autograd.grad(y.sum(), logits, retain_graph=True)[0] for y in (ours, theirs)
            ]
            assert (grads[0] - grads[1]).abs().max() <= tolerance * 4
    soft = torch.rand(700, 30, dtype=dtype)
    ours, theirs = (m.sigmoid_focal_loss(logits, soft, alpha, gamma) for m in (ops, tv))
    same_gradients(ours, theirs, [logits], tolerance * 4)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.5, 2.0, 5.0])
def test_focal_loss_is_the_formula_in_longer_numbers(gamma):
    """Of logits whose losses are tiny, too, and of targets that a rounding has brought beyond 1."""
    if np.finfo(np.longdouble).eps > 1e-18:
        pytest.skip("NumPy has no longer numbers here")
    x = torch.cat([torch.linspace(-90, 90, 7001), torch.linspace(-0.01, 0.01, 500)]).double()
    for t in (0.0, 0.3, 1.0):
        loss = ops.sigmoid_focal_loss(x, torch.full_like(x, t), 0.25, gamma).numpy()
        wide = x.numpy().astype(np.longdouble)
        p, q = 1 / (1 + np.exp(-wide)), 1 / (1 + np.exp(wide))
        ce = np.log1p(np.exp(-abs(wide))) + (np.maximum(wide, 0) - wide * t)
        exact = (0.25 * t + 0.75 * (1 - t)) * (p * (1 - t) + q * t) ** np.longdouble(gamma) * ce
        assert (abs(loss - exact) <= 2e-15 * (1 + gamma * 90) * exact).all()
    beyond = ops.sigmoid_focal_loss(x, torch.full_like(x, 1 + 1e-15), 0.25, gamma)
    torch.testing.assert_close(beyond, torch.from_numpy(loss), rtol=1e-9, atol=1e-9)


GEOMETRIES = [
    # channels, outputs, groups, deformable groups, kernel, stride, padding, dilation
    (6, 4, 1, 1, (3, 3), 1, 1, 1),
    (6, 4, 2, 3, (3, 2), (2, 1), (1, 2), (1, 3)),
    (12, 6, 3, 2, (1, 1), 1, 0, 1),
    (40, 20, 1, 2, (5, 5), 2, 3, 1),
    (96, 6, 3, 2, (9, 9), 1, 4, 1),  # so many samples that they are multiplied in several parts
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_deform_conv_is_torchvisions(tv, geometry, masked, memory, dtype):
    channels, outputs, groups, parts, kernel, *numbers = geometry
    torch.manual_seed(0)
    x = torch.randn(2, channels, 12, 17, dtype=dtype).to(memory_format=memory).requires_grad_()
    weight = torch.randn(outputs, channels // groups, *kernel, dtype=dtype, requires_grad=True)
    size = torch.conv2d(x, weight, None, *numbers, groups).shape[2:]
    fields = parts * kernel[0] * kernel[1]
    offset = (torch.randn(2, 2 * fields, *size, dtype=dtype) * 3).requires_grad_()
    mask = torch.rand(2, fields, *size, dtype=dtype).requires_grad_() if masked else None
    bias = torch.randn(outputs, dtype=dtype, requires_grad=True)
    ours, theirs = (
        m.deform_conv2d(x, offset, weight, bias, *numbers, mask=mask) for m in (ops, tv)
    )
    if memory == torch.channels_last and channels > 1:
        assert ours.is_contiguous(memory_format=memory)
    inputs = [x, offset, weight, bias, *([mask] if masked else [])]
    same_gradients(ours, theirs, inputs, {torch.float32: 1e-4, torch.float64: 1e-12}[dtype])


@pytest.mark.parametrize("unit", [0.0, 0.5, 1.0])  # 0, as layers begin
def test_deform_conv_of_whole_pixels_has_torchvisions_gradients(tv, unit):
    """Where a sample lies on a pixel, or one pixel outside of x, the derivatives on its two sides differ."""
    torch.manual_seed(0)
    x = torch.randn(1, 4, 6, 7, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    offset = (torch.randint(-8, 9, (1, 18, 6, 7)).double() * unit).requires_grad_()
    mask = torch.rand(1, 9, 6, 7, dtype=torch.float64, requires_grad=True)
    ours, theirs = (m.deform_conv2d(x, offset, weight, padding=1, mask=mask) for m in (ops, tv))
    same_gradients(ours, theirs, [x, offset, weight, mask], 1e-12)


# ---------------------------------------------------------------------------------------- formulas


def test_deform_conv_with_offsets_of_whole_pixels_is_a_shift():
    torch.manual_seed(0)
    x = torch.randn(1, 3, 8, 9, dtype=torch.float64)
    weight = torch.randn(5, 3, 3, 3, dtype=torch.float64)
    offset = torch.zeros(1, 18, 8, 9, dtype=torch.float64)
    plain = torch.conv2d(x, weight, padding=1)
    assert (ops.deform_conv2d(x, offset, weight, padding=1) - plain).abs().max() < 1e-13
    offset[:, 0::2], offset[:, 1::2] = -2, 1
    shifted = torch.zeros_like(x)
    shifted[..., 2:, :-1] = x[..., :-2, 1:]
    inner = ops.deform_conv2d(x, offset, weight, padding=1)[..., 3:-1, 1:-2]
    expected = torch.conv2d(shifted, weight, padding=1)[..., 3:-1, 1:-2]
    assert (inner - expected).abs().max() < 1e-13
    offset[:] = math.inf
    assert not ops.deform_conv2d(x, offset, weight, padding=1).any()
    offset[:] = math.nan
    result = ops.deform_conv2d(x, offset.requires_grad_(), weight, padding=1)
    assert not result.any() and not torch.autograd.grad(result.sum(), offset)[0].any()


def brute_force_soft_nms(boxes, scores, method, sigma, iou_threshold, score_threshold):
    """Bodla et al., figure 2, box by box."""
    scores, left, kept = list(scores), set(range(len(boxes))), []
    while left:
        best = max(sorted(left), key=lambda i: scores[i])
        if scores[best] <= score_threshold:
            break
        kept.append((best, scores[best]))
        left.remove(best)
        for i in left:
            w = min(boxes[best][2], boxes[i][2]) - max(boxes[best][0], boxes[i][0])
            h = min(boxes[best][3], boxes[i][3]) - max(boxes[best][1], boxes[i][1])
            common = max(w, 0) * max(h, 0)
            areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (boxes[best], boxes[i])]
            iou = common / (sum(areas) - common) if sum(areas) else 0
            if method == "gaussian":
                scores[i] *= math.exp(-iou * iou / sigma)
            elif iou > iou_threshold:
                scores[i] *= 1 - iou if method == "linear" else 0
    return kept


@pytest.mark.parametrize("method", ["linear", "gaussian", "hard"])
@pytest.mark.parametrize("count", [1, 2, 30, 150])
def test_soft_nms_against_brute_force(count, method):
    torch.manual_seed(count)
    boxes = some_boxes(count + 5)[:count]
    scores = (torch.rand(count, dtype=torch.float64) * 8).round() / 8 + 0.01
    keep, values = ops.soft_nms(
        boxes, scores, method=method, sigma=0.4, iou_threshold=0.2, score_threshold=0.05
    )
    expected = brute_force_soft_nms(boxes.tolist(), scores.tolist(), method, 0.4, 0.2, 0.05)
    assert keep.tolist() == [i for i, _ in expected]
    assert np.allclose(values.numpy(), [value for _, value in expected], rtol=1e-13, atol=0)
    if method == "hard":
        assert sorted(keep.tolist()) == [
            i for i in sorted(ops.nms(boxes, scores, 0.2).tolist()) if scores[i] > 0.05
        ]


def test_focal_loss_in_half_precision_is_reduced_before_it_is_rounded():
    """The losses of background as RetinaNet begins with it, p = 0.01, have no more than four bits there."""
    logits = torch.full((500, 80), -4.6, dtype=torch.float16)
    p = 1 / (1 + math.exp(4.6015625))  # the number that -4.6 is there
    one = 0.75 * p**2 * -math.log(1 - p)
    for reduction, expected in [("sum", 40000 * one), ("mean", one)]:
        found = ops.sigmoid_focal_loss(logits, torch.zeros(500, 80), reduction=reduction)
        assert found.dtype == torch.float16
        # the nearest number there is
        assert found == torch.tensor(expected, dtype=torch.float16)


def test_focal_loss_formula_and_ignored_rows():
    logits = torch.tensor([[2.0, -1.0], [0.5, 3.0], [-4.0, 0.0]], dtype=torch.float64)
    loss = ops.sigmoid_focal_loss(logits, torch.tensor([2, -1, 0]), 0.25, 2.0).numpy()
    p = 1 / (1 + np.exp(-logits.numpy()))
    negative = -0.75 * p**2 * np.log(1 - p)
    assert np.allclose(loss[0], [negative[0, 0], -0.25 * (1 - p[0, 1]) ** 2 * np.log(p[0, 1])])
    assert np.allclose(loss[2], negative[2]) and not loss[1].any()
    extreme = torch.tensor([[300.0, -300.0, math.nan, 0.0]])
    right, wrong = torch.tensor([[1.0, 0, 1, 1]]), torch.tensor([[0.0, 1, 0, 0]])
    assert ops.sigmoid_focal_loss(extreme, right)[0, :2].abs().max() < 1e-30
    assert ops.sigmoid_focal_loss(extreme, wrong)[0, :2].tolist() == [225.0, 75.0]
    assert ops.sigmoid_focal_loss(extreme, right)[0, 2].isnan()


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_loss_gradients_of_extreme_logits(plain, gamma):
    """d loss = alpha_t (1 - p_t)^gamma (gamma p_t log p_t + p_t - 1) for the target 1, p_t = sigmoid(x)."""
    x = torch.tensor([[300.0, 100, 30, 1, 0, -1, -30, -100, -300]], requires_grad=True)
    with ops.plain_torch() if plain else torch.enable_grad():
        loss = ops.sigmoid_focal_loss(x, torch.ones_like(x), gamma=gamma)
    (grad,) = torch.autograd.grad(loss.sum(), x)
    logits = x.detach().double().numpy()
    log_p, missed = -np.logaddexp(0, -logits), np.exp(-np.logaddexp(0, logits))
    expected = 0.25 * missed**gamma * (gamma * np.exp(log_p) * log_p - missed)
    assert np.allclose(grad.numpy(), expected, rtol=1e-5, atol=1e-12)


# --------------------------------------------------------------------------------------- bad input


def deform_pooling(x, rois, size):
    """With the arguments of the other operators on regions."""
    return ops.deform_roi_pooling(x, rois, None, 1.0, size, x.shape[1], no_trans=True)


BAD_ROIS = [
    ([2, 0, 0, 4, 4], "batch index of ROI 1 must be one of 0..1, got 2"),
    ([-1, 0, 0, 4, 4], "batch index of ROI 1 must be one of 0..1, got -1"),
    ([0.5, 0, 0, 4, 4], "batch index of ROI 1 must be one of 0..1, got 0.5"),
    ([math.nan, 0, 0, 4, 4], "batch index of ROI 1 must be one of 0..1, got"),
    ([math.inf, 0, 0, 4, 4], "batch index of ROI 1 must be one of 0..1, got inf"),
    ([0, math.nan, 0, 4, 4], "x1 of ROI 1 must be a finite number"),
    ([0, 0, -math.inf, 4, 4], "y1 of ROI 1 must be a finite number"),
    ([0, 0, 0, math.inf, 4], "x2 of ROI 1 must be a finite number"),
    ([0, 0, 0, 4, 1e30], "y2 of ROI 1 must be a finite number of at most 2\\^24 pixels"),
]


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("operator", [ops.roi_align, ops.roi_pool, deform_pooling])
@pytest.mark.parametrize(("roi", "message"), BAD_ROIS)
def test_bad_regions_are_refused(operator, roi, message, plain):
    x, rois = torch.randn(2, 20, 8, 8), torch.tensor([[0, 0, 0, 4, 4], roi])
    with ops.plain_torch() if plain else torch.enable_grad():
        with pytest.raises((RuntimeError, ValueError), match=message):
            operator(x, rois, 2)
        assert operator(x, rois[:1], 2).shape == (1, 20, 2, 2)


@pytest.mark.parametrize("plain", [False, True])
def test_empty_inputs(plain):
    with ops.plain_torch() if plain else torch.enable_grad():
        x = torch.randn(2, 3, 8, 8, requires_grad=True)
        none = torch.empty(0, 5)
        for y in (ops.roi_align(x, none, 7), ops.roi_pool(x, none, 7), deform_pooling(x, none, 7)):
            assert y.shape == (0, 3, 7, 7)
            assert not torch.autograd.grad(y.sum(), x)[0].any()
        for operator in (ops.roi_align, ops.roi_pool):
            y = operator(torch.randn(1, 0, 8, 8), torch.zeros(2, 5), 7)
            assert y.shape == (2, 0, 7, 7)
        offset = torch.empty(0, 2, 7, 7, requires_grad=True)
        y = ops.deform_roi_pooling(x, none, offset, 1.0, 7, 3, False)
        assert y.shape == (0, 3, 7, 7)
        grads = torch.autograd.grad(y.sum(), [x, offset])
        assert not grads[0].any() and grads[1].shape == offset.shape
        boxes = torch.empty(0, 4, requires_grad=True)
        some = torch.rand(3, 4)
        assert ops.box_iou(boxes, some).shape == (0, 3)
        iou = ops.box_iou(boxes, some.requires_grad_())
        assert not torch.autograd.grad(iou.sum(), some)[0].any()
        scores, groups = torch.empty(0), torch.empty(0, dtype=torch.int64)
        assert ops.nms(boxes, scores, 0.5).tolist() == []
        assert ops.batched_nms(boxes, scores, groups, 0.5).tolist() == []
        assert [len(part) for part in ops.soft_nms(boxes, scores)] == [0, 0]
        assert ops.sigmoid_focal_loss(torch.empty(0, 4), groups).shape == (0, 4)
        weight = torch.randn(4, 3, 3, 3)
        result = ops.deform_conv2d(torch.randn(0, 3, 8, 8), torch.randn(0, 18, 6, 6), weight)
        assert result.shape == (0, 4, 6, 6)


@pytest.mark.parametrize("plain", [False, True])
def test_nan_infinite_and_empty_boxes(plain):
    nan, inf = math.nan, math.inf
    boxes = torch.tensor(
        [[0.0, 0, 4, 4], [0, 0, 4, 4], [nan, 0, 4, 4], [0, 0, inf, inf], [2, 2, 2, 2], [2, 2, 2, 2]]
    )
    scores = torch.tensor([nan, 0.5, 0.9, 0.8, 0.3, 0.2])
    groups = torch.tensor([1, 1, 1, 1, 1, 2])
    with ops.plain_torch() if plain else torch.enable_grad():
        assert ops.nms(boxes, scores, 0.5).tolist() == [2, 3, 1, 4, 5]
        assert ops.batched_nms(boxes, scores, groups, 0.5).tolist() == [2, 3, 1, 4, 5]
        keep, values = ops.soft_nms(boxes, scores)
        assert keep.tolist() == [2, 3, 1, 4, 5]
        assert values.tolist() == scores[keep].tolist()
        assert ops.nms(boxes, torch.tensor([-0.0, 0, 0, -0.0, -0.0, 0]), 2).tolist() == [*range(6)]
        iou = ops.box_iou(boxes, boxes)
        assert iou[4, 5] == 0 and iou[0, 1] == 1 and iou[2, 0].isnan() and iou[0, 3] == 0


def test_roi_align_does_not_look_at_pixels_of_no_weight():
    x = torch.zeros(1, 1, 4, 4)
    x[0, 0, 1, 2] = math.nan
    rois = torch.tensor([[0, 0.5, 0.5, 1.5, 1.5]])
    assert ops.roi_align(x, rois, 1, sampling_ratio=1) == 0  # the sample is the pixel (1, 1)
    assert ops.roi_align(x, rois, 1, sampling_ratio=2).isnan()


def test_roi_pool_of_nan_and_infinity():
    x = torch.full((1, 20, 4, 4), -math.inf)
    x[0, :, 2, 2:] = torch.tensor([math.nan, 5.0])
    x.requires_grad_()
    y = ops.roi_pool(x, torch.tensor([[0.0, 0, 0, 3, 3]]), 2)
    assert (y[0, :, :1] == -math.inf).all() and y[0, :, 1, 1].isnan().all()
    (grad,) = torch.autograd.grad(y, x, torch.ones_like(y))
    assert (grad[0, :, 2, 2] == 1).all() and grad.sum() == 4 * 20


@pytest.mark.parametrize("plain", [False, True])
def test_roi_pool_rounds_corners_as_c_does(plain):
    """The number below a half to 0: a half more of it is 1 in float32."""
    x, below = torch.arange(16.0).view(1, 1, 4, 4), 0.5 - 2**-25
    with ops.plain_torch() if plain else torch.enable_grad():
        assert ops.roi_pool(x, torch.tensor([[0, below, 0, below, 3]]), 1).item() == 12


@pytest.mark.parametrize("plain", [False, True])
def test_roi_pool_gives_gradients_of_regions_far_beyond_the_image(plain):
    """2^25 pixels of the image are 2^21 of a map of stride 16, where a float still tells neighbours apart."""
    x = torch.arange(16.0).view(1, 1, 4, 4).requires_grad_()
    with ops.plain_torch() if plain else torch.enable_grad():
        y = ops.roi_pool(x, torch.tensor([[0.0, 0, 0, 2**25, 2**25]]), 1, 1 / 16)
    y.backward(torch.ones_like(y))
    assert y.item() == 15 and x.grad.flatten().tolist() == [0.0] * 15 + [1.0]


@pytest.mark.parametrize("plain", [False, True])
def test_bad_arguments_are_explained(plain):
    x, boxes = torch.randn(1, 4, 8, 8), torch.rand(3, 4)
    weight, offset = torch.randn(2, 4, 3, 3), torch.randn(1, 18, 6, 6)
    scores, rois, four = torch.rand(3), torch.zeros(2, 5), torch.ones(4)
    move = torch.zeros(2, 2, 2, 2)

    def deform(
        rois=rois, offset=move, scale=1.0, size=2, channels=4, group=1, part=2, samples=4, std=0.1
    ):
        settings = (scale, size, channels, False, group, part, samples, std)
        return ops.deform_roi_pooling(x, rois, offset, *settings)

    cases = [
        (lambda: ops.frozen_batch_norm(x[0], four, four), "4 dimensions|N, C, H, W"),
        (lambda: ops.frozen_batch_norm(x, four[:1], four), "scale must have one value per channel"),
        (
            lambda: ops.frozen_batch_norm(x, four, four[None]),
            "bias must have one value per channel",
        ),
        (
            lambda: ops.frozen_batch_norm(x, four, four, torch.ones(1, 1, 1, 1)),
            "residual must be .* shape",
        ),
        (lambda: ops.roi_align(x, rois, (3,)), r"roi_align: output_size must be .* got \(3,\)"),
        (lambda: ops.deform_conv2d(x[:, :0], offset, weight), "weight must be"),
        (
            lambda: ops.deform_conv2d(x, offset, weight, padding="same"),
            r"deform_conv2d: padding must be a whole number or \(vertical, horizontal\), got 'same'",
        ),
        (lambda: ops.deform_conv2d(x, offset, weight, stride=1.0), "stride must be .* got 1.0"),
        (lambda: ops.roi_pool(x, rois, (2.5, 2)), r"output_size must be .* got \(2.5, 2\)"),
        (lambda: ops.roi_align(x, rois, "22"), "output_size must be a whole number or .* got '22'"),
        (lambda: ops.roi_pool(x, rois[:, :4], 2), r"rois must be \(K, 5\).*got \(2, 4\)"),
        (lambda: ops.roi_pool(x[0], rois, 2), r"x must be \(N, C, H, W\), got \(4, 8, 8\)"),
        (lambda: ops.roi_align(x, rois, 0), "pooled size must be positive, got 0 x 0"),
        (lambda: ops.roi_align(x, rois, 2, math.nan), "spatial_scale must be a number, got NaN"),
        (lambda: ops.roi_align(x, rois, 2, -1.0), "spatial_scale must be a positive number"),
        (lambda: ops.roi_align(x, rois, 2, 1.0, 5000), "sampling_ratio must be at most 4096"),
        (lambda: ops.roi_pool(x[:, :, :0], rois, 2), "must have pixels to sample"),
        (lambda: ops.box_iou(boxes, boxes[:, :3]), r"boxes2 must be \(N, 4\)"),
        (lambda: ops.nms(boxes, scores[:2], 0.5), r"one value per box, shape \(3,\), got \(2,\)"),
        (lambda: ops.nms(boxes, scores, math.nan), "iou_threshold must be a number, got NaN"),
        (lambda: ops.batched_nms(boxes, scores, scores, 0.5), "groups must have one integer"),
        (lambda: ops.soft_nms(boxes, scores, method="lineal"), "one of linear, gaussian, hard"),
        (lambda: ops.soft_nms(boxes, scores, sigma=0), "sigma must be positive, got 0"),
        (lambda: ops.soft_nms(boxes, scores, score_threshold=-1), "must not be negative, got -1"),
        (lambda: ops.sigmoid_focal_loss(boxes, scores), r"shape of logits \(3, 4\), got \(3,\)"),
        (lambda: ops.sigmoid_focal_loss(boxes, torch.tensor([1, 2, 5])), "class 5 of row 2"),
        (lambda: ops.sigmoid_focal_loss(boxes, boxes, reduction="max"), "none, mean, sum"),
        (lambda: ops.sigmoid_focal_loss(boxes, boxes, gamma=-1), "gamma must not be negative"),
        (lambda: ops.sigmoid_focal_loss(boxes, boxes, 2.0, 0.25), "alpha must .* got 2.0; gamma"),
        (lambda: ops.sigmoid_focal_loss(boxes, boxes, math.nan), "alpha must be a number, got"),
        (lambda: ops.sigmoid_focal_loss(boxes, boxes > 0.5), "dense targets are of a floating"),
        (
            lambda: ops.deform_conv2d(x, offset[:, :17], weight),
            "offset must be .* got .1, 17, 6, 6",
        ),
        (lambda: ops.deform_conv2d(x, offset[..., :5], weight), "offset must be"),
        (lambda: ops.deform_conv2d(x, offset, weight[:, :3]), "weight must be"),
        (lambda: ops.deform_conv2d(x, offset, weight, scores), r"bias must be \(2,\)"),
        (lambda: ops.deform_conv2d(x, offset, weight, mask=offset), r"mask must be \(1, 9, 6, 6\)"),
        (lambda: ops.deform_conv2d(x, offset, weight, stride=0), "stride and dilation must be"),
        (lambda: deform(rois[:, :4]), r"rois must be \(K, 5\).*got \(2, 4\)"),
        (lambda: deform(channels=3), r"group_size \^ 2 = 3 channels, got \(1, 4, 8, 8\)"),
        (lambda: deform(channels=4, group=2), r"\^ 2 = 16 channels, got \(1, 4, 8, 8\)"),
        (lambda: deform(channels=0), "must be positive, got 0, 1, 2"),
        (lambda: deform(size=0), "pooled size must be positive, got 0 x 0"),
        (lambda: deform(samples=0), "sample_per_part must be 1 to 4096, got 0"),
        (lambda: deform(samples=5000), "sample_per_part must be 1 to 4096, got 5000"),
        (lambda: deform(std=math.nan), "trans_std must be a number, got NaN"),
        (lambda: deform(std=2.0), "trans_std must be a number of 0 to 1, got 2.0"),
        (lambda: deform(scale=0.0), "spatial_scale must be a positive number"),
        (lambda: deform(offset=move[:1]), r"= \(2, 2 \* classes, 2, 2\) .* got \(1, 2, 2, 2\)"),
        (lambda: deform(offset=move[:, :1]), r"offset must be .* got \(2, 1, 2, 2\)"),
        (lambda: deform(offset=move.repeat(1, 3, 1, 1)), "classes that divide out_channels 4"),
        (lambda: deform(offset=move, part=3), r"offset must be .* = \(2, 2 \* classes, 3, 3\)"),
    ]
    with ops.plain_torch() if plain else torch.enable_grad():
        two, one = np.array([2, 1])  # its integers, too, as of a size that NumPy computed
        assert ops.roi_align(x, rois, two).shape == (2, 4, 2, 2)
        assert ops.deform_conv2d(x, offset, weight, stride=one).shape == (1, 2, 6, 6)
        for call, message in cases:
            with pytest.raises((RuntimeError, ValueError), match=message):
                call()
        with pytest.raises(TypeError, match="float32 or float64 tensor .* got torch.int64"):
            ops.nms(boxes.long(), scores, 0.5)
        with pytest.raises(TypeError, match="float32 or float64 tensor .* got a NoneType"):
            ops.roi_align(None, rois, 2)
        with pytest.raises(TypeError, match="rois must be a tensor .* got a list"):
            ops.roi_align(x, [boxes], 2)
        with pytest.raises(TypeError, match="offset must be a tensor .* NoneType; with no_trans"):
            deform(offset=None)
        for call, argument, kind in [
            (lambda: ops.nms(boxes.numpy(), scores, 0.5), "boxes", "ndarray"),
            (lambda: ops.nms(boxes, scores.tolist(), 0.5), "scores", "list"),
            (lambda: ops.batched_nms(boxes, scores, [0, 1], 0.5), "groups", "list"),
            (lambda: ops.box_iou(boxes, None), "boxes2", "NoneType"),
            (lambda: ops.sigmoid_focal_loss(None, boxes), "logits", "NoneType"),
            (lambda: ops.sigmoid_focal_loss(boxes, [1, 2]), "targets", "list"),
            (lambda: ops.frozen_batch_norm(x, 1.0, scores), "scale", "float"),
            (lambda: ops.deform_conv2d(x, offset, weight, [0.0]), "bias", "list"),
        ]:
            with pytest.raises(TypeError, match=f"{argument} must be a tensor, got a {kind}"):
                call()
        for half in (np.array(0.5), torch.tensor(0.5)):  # as np.load gives it of a .npz
            assert torch.equal(ops.nms(boxes, scores, half), ops.nms(boxes, scores, 0.5))
        for call, argument in [
            (lambda: ops.nms(boxes, scores, None), "nms: iou_threshold"),
            (lambda: ops.soft_nms(boxes, scores, sigma=None), "soft_nms: sigma"),
            (lambda: ops.roi_align(x, rois, 2, None), "roi_align: spatial_scale"),
            (lambda: ops.roi_align(x, rois, 2, 1.0, None), "roi_align: sampling_ratio"),
            (lambda: ops.sigmoid_focal_loss(boxes, boxes, None), "sigmoid_focal_loss: alpha"),
            (lambda: deform(channels=None), "deform_roi_pooling: out_channels"),
        ]:
            with pytest.raises(TypeError, match=f"^{argument} must be a number, got None"):
                call()


def test_tensors_of_more_than_2_to_the_31_elements():
    """Only the pages that are touched take memory."""
    far = 2**31 + 128
    try:
        room = torch.empty(far + 2 * 16 * 64)
    except RuntimeError as error:
        pytest.skip(f"no address space for 8 GiB: {error}")
    x = room.as_strided((2, 16, 8, 8), (far, 64, 8, 1))
    x.copy_(torch.randn(2, 16, 8, 8))
    rois = torch.tensor([[1.0, 1, 1, 6, 6], [0, 0, 0, 7, 7]])
    for operator in (ops.roi_align, ops.roi_pool, deform_pooling):
        assert torch.equal(operator(x, rois, 3), operator(x.contiguous(), rois, 3))
    ones = torch.ones(16)
    assert torch.equal(ops.frozen_batch_norm(x, ones, ones), x.contiguous() + 1)
    # a plane of 2^32 pixels in one element of memory
    vast = torch.ones(1, 1, 1, 1).expand(1, 1, 2**16, 2**16)
    with pytest.raises(RuntimeError, match=r"less than 2\^31 pixels in a plane"):
        ops.roi_pool(vast, rois[1:], 3)
    beyond = rois[1:] + 60000 * torch.tensor([0.0, 1, 1, 1, 1])
    torch.testing.assert_close(ops.roi_align(vast, beyond, 3), torch.ones(1, 1, 3, 3))
