"""Kernels over random shapes, strides, alignments and special values, at sizes around every vector width.

What they must give: NumPy's result, or that of plain torch (`resnet.ops.fallback`) in double precision.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

kernels = pytest.importorskip("_ext.kernels", reason="run `python build_ffi.py` first")

from data import ops as data_ops  # noqa: E402
from resnet import ops  # noqa: E402
from resnet.ops import fallback  # noqa: E402

WIDTHS = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65]
DTYPES = [torch.float32, torch.float64]
SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, -1e-44, 5e-324, 1e-38, 3e38]
ROUNDING = {torch.float32: 2.0**-24, torch.float64: 2.0**-53}
LEAST = {torch.float32: 1.5e-45, torch.float64: 5e-324}  # the smallest denormal number


def placed(values: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """The same values at a random place of a larger block of NaNs, with random steps and order of axes."""
    order = rng.permutation(values.dim())
    steps = rng.choice([1, 1, 1, 2, 3], values.dim())
    room = [int(values.shape[a] * steps[a] + rng.integers(0, 4)) for a in order]
    first = int(rng.integers(0, 9))
    filler = float("nan") if values.is_floating_point() else 77
    block = torch.full((first + int(np.prod(room)),), filler, dtype=values.dtype)
    view = block[first:].view(room).permute(np.argsort(order).tolist())
    view = view[
        tuple(slice(0, n * s, s) for n, s in zip(values.shape, steps.tolist(), strict=True))
    ]
    view.copy_(values)
    return view


def drawn(
    rng: np.random.Generator, shape: tuple[int, ...], dtype: torch.dtype, special: list[float]
) -> torch.Tensor:
    """Normal numbers, and in half of the cases one in five of the special ones."""
    values = rng.normal(0, 10, shape)
    if special and rng.random() < 0.5:
        values = np.where(rng.random(shape) < 0.2, rng.choice(special, shape), values)
    return torch.from_numpy(values).to(dtype)


def shapes(rng: np.random.Generator, count: int, *limits: int) -> list[tuple[int, ...]]:
    """Every width once as the last axis, then as any of them; the other axes below the limits."""
    made = []
    for i in range(count):
        shape = [int(rng.integers(1, limit)) for limit in limits]
        axis = len(limits) - 1 if i < len(WIDTHS) else int(rng.integers(0, len(limits)))
        shape[axis] = WIDTHS[i % len(WIDTHS)]
        made.append(tuple(shape))
    return made


def assert_close(ours: torch.Tensor, theirs: torch.Tensor, slack: torch.Tensor | float) -> None:
    """NaNs and infinities where they must be; the rest within slack."""
    assert ours.shape == theirs.shape
    assert torch.equal(ours.isnan(), theirs.isnan())
    assert torch.equal(ours.isinf(), theirs.to(ours.dtype).isinf())
    finite = theirs.to(ours.dtype).isfinite()
    assert torch.equal(ours[~finite].nan_to_num(), theirs[~finite].to(ours.dtype).nan_to_num())
    error = (ours.double() - theirs.double()).abs()
    assert bool((error <= slack)[finite].all()), (error[finite].max(), ours.shape)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("relu", [False, True])
def test_frozen_batch_norm(dtype, relu):
    rng = np.random.default_rng(10)
    for shape in shapes(rng, 40, 3, 9, 5, 40):
        x = drawn(rng, shape, dtype, SPECIAL)
        scale, bias = (drawn(rng, (shape[1],), dtype, SPECIAL[3:-1]) for _ in range(2))
        residual = drawn(rng, shape, dtype, SPECIAL[:-1]) if rng.random() < 0.5 else None
        given = [placed(t, rng) if t is not None else None for t in (x, scale, bias, residual)]
        ours = ops.frozen_batch_norm(*given[:3], residual=given[3], relu=relu)
        theirs = fallback.frozen_batch_norm(x, scale, bias, residual, relu)
        product = (x.double() * scale.double().view(1, -1, 1, 1)).abs().nan_to_num()
        terms = product + bias.double().abs().view(1, -1, 1, 1)
        terms = terms + (0 if residual is None else residual.double().abs().nan_to_num())
        assert_close(ours, theirs, 4 * ROUNDING[dtype] * terms + 2 * LEAST[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
def test_frozen_batch_norm_backward(dtype):
    rng = np.random.default_rng(11)
    for shape in shapes(rng, 25, 3, 9, 5, 40):
        inputs = [drawn(rng, shape, dtype, []), *(drawn(rng, (shape[1],), dtype, []) for _ in "sb")]
        grad = drawn(rng, shape, dtype, SPECIAL[3:])
        residual = drawn(rng, shape, dtype, [])
        got = []
        for function in (ops.frozen_batch_norm, fallback.frozen_batch_norm):
            x, other = inputs[0].clone().requires_grad_(), residual.clone().requires_grad_()
            y = function(x, *inputs[1:], residual=other, relu=True)
            y.backward(placed(grad, rng) if function is ops.frozen_batch_norm else grad)
            got.append((x.grad, other.grad))
        for mine, torchs in zip(*got, strict=True):
            assert_close(mine, torchs, 4 * ROUNDING[dtype] * torchs.double().abs() + LEAST[dtype])


def boxes_of(rng: np.random.Generator, count: int, dtype: torch.dtype) -> torch.Tensor:
    """Boxes on a coarse grid, so that edges meet and boxes repeat; some empty or inside out."""
    corners = rng.integers(0, 12, (count, 2))
    sides = rng.integers(-1, 8, (count, 2))
    boxes = np.concatenate([corners, corners + sides], 1) * rng.choice([1.0, 0.37])
    return torch.from_numpy(boxes).to(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_box_iou(dtype):
    rng = np.random.default_rng(12)
    for a_count, b_count in shapes(rng, 40, 40, 40):
        a, b = boxes_of(rng, a_count, dtype), boxes_of(rng, b_count, dtype)
        if rng.random() < 0.3:
            a[int(rng.integers(0, a_count)), int(rng.integers(0, 4))] = float("nan")
        plus_one = bool(rng.integers(0, 2))
        ours = ops.box_iou(placed(a, rng), placed(b, rng), plus_one=plus_one)
        theirs = fallback.box_iou(a, b, plus_one)
        assert_close(ours, theirs, 8 * ROUNDING[dtype] * (1 + theirs.double().abs().nan_to_num()))


@pytest.mark.parametrize("dtype", DTYPES)
def test_nms_and_soft_nms(dtype):
    rng = np.random.default_rng(13)
    for count in WIDTHS:
        boxes, scores = boxes_of(rng, count, dtype), torch.from_numpy(rng.random(count)).to(dtype)
        if rng.random() < 0.5:
            scores[torch.from_numpy(rng.random(count) < 0.2)] = float(rng.choice(SPECIAL))
        groups = torch.from_numpy(rng.integers(-2, 3, count))
        threshold = float(rng.random())
        ours = ops.nms(placed(boxes, rng), placed(scores, rng), threshold)
        assert torch.equal(ours, fallback.nms(boxes, scores, threshold, False))
        ours = ops.batched_nms(
            placed(boxes, rng), placed(scores, rng), placed(groups, rng), threshold
        )
        assert torch.equal(ours, fallback.nms(boxes, scores, threshold, False, groups))
        scores = torch.from_numpy(rng.permutation(count) / count).to(dtype)
        keep, values = ops.soft_nms(placed(boxes, rng), placed(scores, rng), method="linear")
        settings = ("linear", 0.5, 0.3, 0.001, False)
        wanted, torchs = fallback.soft_nms(boxes, scores, *settings)
        assert torch.equal(keep, wanted)
        assert_close(values, torchs, 32 * ROUNDING[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
def test_sigmoid_focal_loss(dtype):
    rng = np.random.default_rng(14)
    for shape in shapes(rng, 34, 5, 40):
        special = [np.nan, 0.0, -0.0, 1e-40, 90.0, -90.0, 300.0, -300.0]
        x = drawn(rng, shape, dtype, special)
        targets = torch.from_numpy(rng.choice([0.0, 1.0, 0.25], shape)).to(dtype)
        alpha, gamma = float(rng.choice([-1.0, 0.25, 0.7])), float(rng.choice([0.0, 1.0, 2.0, 1.5]))
        settings = {"alpha": alpha, "gamma": gamma, "reduction": "none"}
        ours = ops.sigmoid_focal_loss(placed(x, rng), placed(targets, rng), **settings)
        theirs = fallback.sigmoid_focal_loss(x.double(), targets.double(), alpha, gamma)
        size = 1 + theirs.abs().nan_to_num()
        assert_close(ours, theirs, 64 * ROUNDING[dtype] * size)
        classes = torch.from_numpy(rng.integers(-1, shape[1] + 1, shape[0]))
        ours = ops.sigmoid_focal_loss(placed(x, rng), placed(classes, rng), **settings)
        theirs = fallback.sigmoid_focal_loss(x.double(), classes, alpha, gamma)
        size = 1 + theirs.abs().nan_to_num()
        assert_close(ours, theirs, 64 * ROUNDING[dtype] * size)


def regions_of(
    rng: np.random.Generator, count: int, batch: int, dtype: torch.dtype
) -> torch.Tensor:
    corners = rng.uniform(-10, 60, (count, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(-3, 40, (count, 2))], 1)
    images = rng.integers(0, batch, (count, 1))
    return torch.from_numpy(np.concatenate([images, boxes], 1)).to(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_roi_align_and_roi_pool(dtype):
    rng = np.random.default_rng(15)
    for shape in shapes(rng, 20, 3, 8, 6, 20):
        x = drawn(rng, shape, dtype, [0.0, -0.0, 1e-40, 1e-38])
        regions = regions_of(rng, int(rng.integers(1, 5)), shape[0], dtype)
        size = (int(rng.integers(1, 5)), int(rng.integers(1, 9)))
        ratio, aligned = int(rng.integers(0, 3)), bool(rng.integers(0, 2))
        ours = ops.roi_align(
            placed(x, rng), placed(regions, rng), size, 0.3, sampling_ratio=ratio, aligned=aligned
        )
        theirs = fallback.roi_align(x, regions, size, 0.3, ratio, aligned)
        assert_close(ours, theirs, 1e5 * ROUNDING[dtype])
        x = drawn(rng, shape, dtype, [np.inf, -np.inf, 0.0, -0.0, 1e-40, 3e38])
        ours = ops.roi_pool(placed(x, rng), placed(regions, rng), size, 0.3)
        assert_close(ours, fallback.roi_pool(x, regions, size, 0.3), 0.0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_deform_conv2d(dtype):
    rng = np.random.default_rng(16)
    for _, channels, height, width in shapes(rng, 20, 2, 4, 6, 20):
        x = drawn(rng, (2, channels, height, width), dtype, [0.0, 1e-40])
        weight = drawn(rng, (3, channels, 3, 3), dtype, [])
        offset = drawn(rng, (2, 18, height, width), dtype, [np.nan, np.inf, -np.inf, 1e-40, 0.0])
        mask = drawn(rng, (2, 9, height, width), dtype, []) if rng.random() < 0.5 else None
        ours = ops.deform_conv2d(
            placed(x, rng),
            placed(offset, rng),
            placed(weight, rng),
            padding=1,
            mask=None if mask is None else placed(mask, rng),
        )
        theirs = fallback.deform_conv2d(
            x.double(),
            offset.double(),
            weight.double(),
            (1, 1),
            (1, 1),
            (1, 1),
            None if mask is None else mask.double(),
        )
        assert_close(ours, theirs, 1e7 * ROUNDING[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
def test_deform_roi_pooling(dtype):
    rng = np.random.default_rng(19)
    for batch, channels, height, width in shapes(rng, 34, 3, 8, 6, 20):
        group, classes, part, size, samples = (int(n) for n in rng.integers(1, 5, 5))
        shape = (batch, channels * classes * group * group, height, width)
        x = drawn(rng, shape, dtype, [0.0, -0.0, 1e-40, 1e-38])
        regions = regions_of(rng, int(rng.integers(1, 5)), batch, dtype)
        offset = torch.from_numpy(rng.normal(0, 1, (len(regions), 2 * classes, part, part)))
        offset = offset.to(dtype)
        if rng.random() < 0.5:
            offset[0, -1, -1, -1] = float(rng.choice([np.nan, np.inf, -np.inf, 1e-40, 0.0]))
        given = [placed(t, rng) for t in (x, regions, offset)]
        numbers = [channels * classes, group, size, part, samples]
        settings = (0.3, size, channels * classes, False, group, part, samples, 0.2)
        inputs = [given[0].requires_grad_(), given[1], given[2].requires_grad_()]
        ours = ops.deform_roi_pooling(*inputs, *settings)
        x.requires_grad_()
        offset.requires_grad_()
        theirs = fallback.deform_roi_pooling(x, regions, offset, 0.3, numbers, 0.2)
        assert_close(ours, theirs, 1e4 * ROUNDING[dtype])
        grad = drawn(rng, tuple(ours.shape), dtype, [])
        for mine, torchs in zip(
            torch.autograd.grad(ours, inputs[::2], placed(grad, rng)),
            torch.autograd.grad(theirs, [x, offset], grad),
            strict=True,
        ):
            largest = max(1.0, float(torchs.abs().max()))
            assert_close(mine, torchs, 1e3 * ROUNDING[dtype] * largest)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "float32", "float64"])
@pytest.mark.parametrize(
    "operation", ["add", "subtract", "multiply", "divide", "minimum", "maximum"]
)
def test_broadcasting(operation, dtype):
    rng = np.random.default_rng(17)
    for i, shape in enumerate(shapes(rng, 34, 4, 5, 40)):
        pair = []
        for _ in range(2):
            keep = [n if rng.random() < 0.7 else 1 for n in shape] if i % 3 else list(shape)
            if dtype.startswith("float"):
                values = drawn(rng, tuple(keep), getattr(torch, dtype), SPECIAL)
            else:
                low, high = (0, 255) if dtype == "uint8" else (-(2**31), 2**31 - 1)
                values = torch.from_numpy(rng.integers(low, high, keep)).to(getattr(torch, dtype))
            pair.append(values)
        ours = getattr(data_ops, operation)(*(placed(t, rng) for t in pair))
        with np.errstate(all="ignore"):
            theirs = getattr(np, operation)(*(t.numpy() for t in pair))
        assert ours.numpy().dtype == theirs.dtype
        np.testing.assert_array_equal(ours.numpy(), theirs)
        zeros = theirs == 0
        if theirs.dtype.kind == "f" and operation not in ("minimum", "maximum"):
            assert np.array_equal(np.signbit(ours.numpy())[zeros], np.signbit(theirs)[zeros])


@pytest.mark.parametrize("dtype", DTYPES)
def test_normalize_and_prepare_image(dtype):
    rng = np.random.default_rng(18)
    for i, (height, width) in enumerate(shapes(rng, 34, 9, 40)):
        channels = 1 + i % 4
        image = rng.integers(0, 256, (height, width, channels), dtype=np.uint8)
        mean, std = rng.normal(100, 50, channels), rng.uniform(0.5, 80, channels)
        kind = torch.empty(0, dtype=dtype).numpy().dtype
        theirs = (image.astype(kind) - mean.astype(kind)) / std.astype(kind)
        pixels = torch.from_numpy(image)
        ours = data_ops.normalize_image(placed(pixels, rng), mean, std, dtype=dtype)
        assert np.array_equal(ours.numpy(), theirs.transpose(2, 0, 1))
        if dtype is torch.float32:
            place = torch.full((channels, height + 2, width + 5), float("nan"))[:, 1:, 2:]
            data_ops.prepare_image(
                placed(pixels, rng), place, (height, width), mean=mean.tolist(), std=std.tolist()
            )
            wanted = torch.zeros_like(place)
            wanted[:, :height, :width] = torch.from_numpy(theirs.transpose(2, 0, 1).copy())
            # The kernel multiplies pixel and mean by 1 / std, each rounded.
            terms = torch.from_numpy((255 + np.abs(mean)) / std).view(-1, 1, 1)
            assert_close(place, wanted, 4 * ROUNDING[dtype] * terms)
