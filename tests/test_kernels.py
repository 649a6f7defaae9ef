"""The kernels of _ext.kernels against NumPy, torch's operators, and formulas written out here."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

kernels = pytest.importorskip("_ext.kernels", reason="run `python build_ffi.py` first")

from data.ops import normalize_image  # noqa: E402
from resnet.ops import box_iou, frozen_batch_norm, nms, roi_align  # noqa: E402
from tests.operators import LAYOUTS, ROIS, laid_out  # noqa: E402

DTYPES = [torch.float32, torch.float64]

# ------------------------------------------------------------------------------------ normalisation


def numpy_normalize(image, mean, std, dtype, reverse):
    values = image[..., ::-1] if reverse else image
    result = (values.astype(dtype) - np.asarray(mean, dtype)) / np.asarray(std, dtype)
    return result.transpose(2, 0, 1)


def generated_shapes():
    """Shapes of image, mean and std that NumPy broadcasts to at most three axes."""
    rng = np.random.default_rng(0)
    cases = []
    while len(cases) < 300:
        full = rng.integers(1, 7, 3) if rng.random() < 0.8 else rng.integers(0, 3, 3)
        shapes = []
        for keep_all in (True, False, False):
            shape = [int(n) if rng.random() < 0.7 else 1 for n in full]
            shapes.append(tuple(shape if keep_all else shape[int(rng.integers(0, 4)) :]))
        cases.append(tuple(shapes))
    return cases


@pytest.mark.parametrize("dtype", DTYPES)
def test_normalize_follows_numpy_over_generated_shapes(dtype):
    rng = np.random.default_rng(1)
    numpy_dtype = torch.empty(0, dtype=dtype).numpy().dtype
    for image_shape, mean_shape, std_shape in generated_shapes():
        image = rng.integers(0, 256, image_shape, dtype=np.uint8)
        mean, std = rng.normal(100, 50, mean_shape), rng.uniform(0.5, 80, std_shape)
        for reverse in (False, True):
            ours = normalize_image(image, mean, std, reverse_channels=reverse, dtype=dtype)
            theirs = numpy_normalize(image, mean, std, numpy_dtype, reverse)
            assert ours.shape == theirs.shape
            assert np.array_equal(ours.numpy(), theirs), (
                image_shape,
                mean_shape,
                std_shape,
                reverse,
            )


PIXELS = torch.arange(20 * 30 * 3).remainder(251).to(torch.uint8)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    "image",
    [
        PIXELS.view(20, 30, 3),
        PIXELS.view(20, 30, 3)[::2, ::3],
        PIXELS.view(3, 30, 20).permute(1, 2, 0),
        PIXELS.view(3, 30, 20).permute(2, 1, 0),
    ],
    ids=["contiguous", "strided", "planes", "planes of columns"],
)
def test_normalize_strided_images(image, reverse):
    mean, std = [102.9801, 115.9465, 122.7717], [58.395, 57.12, 57.375]
    ours = normalize_image(image, mean, std, reverse_channels=reverse)
    theirs = numpy_normalize(image.numpy(), mean, std, np.float32, reverse)
    assert np.array_equal(ours.numpy(), theirs)


def test_normalize_large_image_and_a_place_in_a_batch():
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (427, 641, 3), dtype=np.uint8)
    batch = torch.full((2, 3, 448, 672), -7.0)
    place = batch[1, :, :427, :641]
    for reverse in (False, True):
        result = normalize_image(image, (1, 2, 3), (4, 5, 6), reverse_channels=reverse, out=place)
        assert result.data_ptr() == place.data_ptr()
        assert np.array_equal(
            place.numpy(), numpy_normalize(image, (1, 2, 3), (4, 5, 6), np.float32, reverse)
        )
    outside = torch.ones_like(batch, dtype=torch.bool)
    outside[1, :, :427, :641] = False
    assert (batch[outside] == -7).all()


def test_normalize_in_c_resizes_the_output():
    image = torch.arange(24, dtype=torch.uint8).view(2, 4, 3)
    output = torch.empty(0)
    kernels.normalize_image_float(image, torch.tensor(1.0), torch.tensor([2.0]), 0, output)
    assert torch.equal(output, (image.permute(2, 0, 1).float() - 1) / 2)


def test_normalize_division_by_zero_is_ieee():
    image = np.array([[[0], [5]]], np.uint8)
    assert torch.equal(normalize_image(image, 0.0, 0.0).isnan(), torch.tensor([[[True, False]]]))
    assert normalize_image(image, 0.0, 0.0)[0, 0, 1] == math.inf


def test_normalize_errors_say_what_is_wrong():
    image = torch.zeros(4, 5, 3, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"axis -1 of shape number 1 is 2, expected 3 or 1"):
        normalize_image(image, [1.0, 2.0], 1.0)
    with pytest.raises(TypeError, match="must be a uint8"):
        normalize_image(image.float(), 0.0, 1.0)
    with pytest.raises(ValueError, match=r"\(H, W, C\), got \(4, 5\)"):
        normalize_image(image[..., 0], 0.0, 1.0)
    with pytest.raises(TypeError, match="float32 or float64"):
        normalize_image(image, 0.0, 1.0, dtype=torch.float16)
    with pytest.raises(ValueError, match=r"out must have the shape \(3, 4, 5\)"):
        normalize_image(image, 0.0, 1.0, out=torch.empty(3, 5, 4))
    out = torch.full((2,), 3.0)
    with pytest.raises(
        Exception, match=r"std does not broadcast against the image: axis 2 \(C\) has length 2"
    ):
        kernels.normalize_image_float(image, torch.ones(3), torch.ones(2), 0, out)
    assert torch.equal(out, torch.full((2,), 3.0))


# -------------------------------------------------------------------------------- frozen batch norm


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("residual_layout", [None, *LAYOUTS])
@pytest.mark.parametrize("relu", [False, True])
def test_frozen_bn_forward_and_backward(dtype, layout, residual_layout, relu):
    torch.manual_seed(0)
    # of the largest value: batch_norm rounds differently
    tolerance = {torch.float32: 2e-6, torch.float64: 1e-14}[dtype]
    for shape in [(2, 5, 7, 9), (1, 64, 3, 3), (2, 70, 1, 1), (3, 1, 4, 1), (2, 48, 20, 30)]:
        channels = shape[1]
        mean, var = torch.randn(channels, dtype=dtype), torch.rand(channels, dtype=dtype) + 0.5
        weight, shift = torch.randn(channels, dtype=dtype), torch.randn(channels, dtype=dtype)
        scale = weight * var.rsqrt()
        bias = shift - mean * scale
        values, grad = torch.randn(shape, dtype=dtype), torch.randn(shape, dtype=dtype)
        extra = torch.randn(shape, dtype=dtype)

        x = laid_out(values, layout).requires_grad_()
        r = laid_out(extra, residual_layout).requires_grad_() if residual_layout else None
        y = frozen_batch_norm(x, scale, bias, r, relu=relu)
        y.backward(laid_out(grad, layout))

        x2, r2 = values.clone().requires_grad_(), extra.clone().requires_grad_()
        y2 = F.batch_norm(x2, mean, var, weight, shift, training=False, eps=0.0)
        y2 = y2 + r2 if residual_layout else y2
        y2 = torch.relu(y2) if relu else y2
        # where rounding could decide on which side of zero a value lies, the gradient may differ
        y2.backward(grad)
        assert (y - y2).abs().max() <= tolerance * y2.abs().max()
        sure = (y2.detach().abs() > 1e-5) | (torch.tensor(not relu)) | (y.detach() == y2.detach())
        assert sure.float().mean() > 0.99
        assert ((x.grad - x2.grad).abs()[sure] <= tolerance * 10).all()
        if residual_layout:
            assert ((r.grad - r2.grad).abs()[sure] == 0).all()
        if layout == "channels_last":
            assert y.is_contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            assert torch.equal(frozen_batch_norm(x, scale, bias, r, relu=relu), y)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("added", [None, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("relu", [False, True])
def test_frozen_bn_of_bfloat16_is_rounded_once(layout, added, relu):
    torch.manual_seed(0)
    for shape in [(2, 5, 7, 9), (1, 64, 3, 3), (3, 1, 4, 1), (2, 48, 20, 30), (0, 3, 2, 2)]:
        values, extra, grad = (torch.randn(shape).bfloat16() for _ in range(3))
        scale, bias = torch.randn(2, shape[1])
        if values.numel():
            values.view(-1)[:3] = torch.tensor([math.nan, math.inf, -math.inf])
        extra = None if added is None else extra.to(added) * 1.001  # float32 has more digits
        x = laid_out(values, layout).requires_grad_()
        r = None if added is None else laid_out(extra, layout).requires_grad_()
        y = frozen_batch_norm(x, scale, bias, r, relu=relu)
        exact = values.float() * scale.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)
        exact = exact if added is None else exact + extra.float()
        exact = exact.relu() if relu else exact
        assert y.dtype == torch.bfloat16
        torch.testing.assert_close(y, exact.bfloat16(), rtol=0, atol=0, equal_nan=True)
        y.backward(laid_out(grad, layout))
        passed = grad.where(~(y <= 0), 0.0) if relu else grad
        assert torch.equal(x.grad, (passed.float() * scale.view(1, -1, 1, 1)).bfloat16())
        assert added is None or torch.equal(r.grad, passed.to(added))
        with torch.no_grad():
            written = frozen_batch_norm(x, scale, bias, r, relu=relu, inplace=True)
        torch.testing.assert_close(written, y, rtol=0, atol=0, equal_nan=True)
        assert added == torch.float32 or written.data_ptr() == x.data_ptr()


def test_frozen_bn_gradient_of_the_residual_alone():
    torch.manual_seed(0)
    x, residual = torch.randn(2, 2, 3, 4, 5, dtype=torch.float64)
    scale, bias = torch.randn(2, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda r: frozen_batch_norm(x, scale, bias, r, relu=True), residual.requires_grad_()
    )


def test_frozen_bn_in_place_strided_vectors_nan_and_empty():
    torch.manual_seed(0)
    x, scale, bias = torch.randn(2, 6, 5, 5), torch.randn(12)[::2], torch.randn(18)[::3]
    expected = (x * scale.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)).relu()
    for layout in LAYOUTS:
        given = laid_out(x, layout)
        result = frozen_batch_norm(given, scale, bias, relu=True, inplace=True)
        assert result.data_ptr() == given.data_ptr()
        torch.testing.assert_close(result, expected, rtol=1e-6, atol=1e-6)
    x[0, 0, 0, 0] = math.nan
    assert frozen_batch_norm(x, scale, bias, relu=True)[0, 0, 0, 0].isnan()
    for shape in [(0, 6, 5, 5), (2, 0, 5, 5), (2, 6, 0, 5)]:
        empty = torch.randn(shape, requires_grad=True)
        result = frozen_batch_norm(empty, torch.ones(shape[1]), torch.ones(shape[1]), relu=True)
        assert result.shape == shape
        result.sum().backward()
        assert empty.grad.shape == shape


def test_frozen_bn_in_c_resizes_and_checks():
    x, ones = torch.randn(2, 3, 4, 5), torch.ones(3)
    null, output = kernels._ffi.NULL, torch.empty(0)
    kernels.frozen_bn_forward_float(x, ones, ones, null, 0, output)
    torch.testing.assert_close(output, x + 1)
    with pytest.raises(Exception, match=r"input must have 4 dimensions \(N, C, H, W\), got \[3\]"):
        kernels.frozen_bn_forward_float(ones, ones, ones, null, 0, output)
    with pytest.raises(Exception, match=r"one value per channel of input, shape \[3\], got \[4\]"):
        kernels.frozen_bn_forward_float(x, torch.ones(4), ones, null, 0, output)
    with pytest.raises(Exception, match=r"residual must be NULL or have input's shape"):
        kernels.frozen_bn_forward_float(x, ones, ones, x[:1], 0, output)
    assert output.shape == x.shape
    with pytest.raises(TypeError, match="float32 or float64"):
        frozen_batch_norm(x.int(), ones, ones)
    with pytest.raises(ValueError, match="scale and bias are frozen"):
        frozen_batch_norm(x, ones.clone().requires_grad_(), ones)


# ----------------------------------------------------------------------------------------- ROIAlign


def bilinear(plane: np.ndarray, y: float, x: float) -> float:
    """A sample of an (H, W) plane: zero more than a pixel outside, else clamped to the border."""
    height, width = plane.shape
    if y < -1 or y > height or x < -1 or x > width:
        return 0.0
    y, x = min(max(y, 0.0), height - 1), min(max(x, 0.0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    upper = plane[top, left] * (1 - (x - left)) + plane[top, right] * (x - left)
    lower = plane[bottom, left] * (1 - (x - left)) + plane[bottom, right] * (x - left)
    return upper * (1 - (y - top)) + lower * (y - top)


def reference_roi_align(images, rois, scale, pooled, sampling_ratio, aligned):
    """ROIAlign sample by sample, in double precision."""
    result = np.zeros((len(rois), images.shape[1], *pooled))
    for k, (index, x1, y1, x2, y2) in enumerate(rois):
        offset = 0.5 if aligned else 0.0
        left, top = x1 * scale - offset, y1 * scale - offset
        width, height = (x2 - x1) * scale, (y2 - y1) * scale
        if not aligned:
            width, height = max(width, 1.0), max(height, 1.0)
        rows = sampling_ratio if sampling_ratio > 0 else math.ceil(height / pooled[0])
        columns = sampling_ratio if sampling_ratio > 0 else math.ceil(width / pooled[1])
        for c in range(images.shape[1]):
            for py in range(pooled[0]):
                for px in range(pooled[1]):
                    total = 0.0
                    for iy in range(rows):
                        for ix in range(columns):
                            y = top + (py + (iy + 0.5) / rows) * height / pooled[0]
                            x = left + (px + (ix + 0.5) / columns) * width / pooled[1]
                            total += bilinear(images[int(index), c], y, x)
                    result[k, c, py, px] = total / max(rows * columns, 1)
    return result


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("sampling_ratio", [0, 1, 2, 3])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_roi_align_against_the_definition(layout, sampling_ratio, aligned):
    torch.manual_seed(0)
    images = torch.randn(2, 5, 11, 13, dtype=torch.float64)
    rois = torch.tensor(ROIS, dtype=torch.float64)
    expected = reference_roi_align(
        images.numpy(), rois.numpy(), 0.5, (3, 4), sampling_ratio, aligned
    )
    ours = roi_align(laid_out(images, layout), rois, (3, 4), 0.5, sampling_ratio, aligned)
    assert np.abs(ours.numpy() - expected).max() < 1e-12
    single = roi_align(laid_out(images.float(), layout), rois, (3, 4), 0.5, sampling_ratio, aligned)
    assert np.abs(single.numpy() - expected).max() < 1e-5


def test_roi_align_many_channels_and_a_region_far_larger_than_the_map():
    torch.manual_seed(0)
    images = torch.randn(1, 130, 6, 7, dtype=torch.float64)
    rois = torch.tensor([[0, 1, 1, 5, 6], [0, -300, -200, 400, 330]], dtype=torch.float64)
    expected = reference_roi_align(images[:, ::43].numpy(), rois.numpy(), 1.0, (2, 2), 0, False)
    ours = roi_align(images, rois, 2)
    assert np.abs(ours[:, ::43].numpy() - expected).max() < 1e-12
    huge = torch.tensor([[0, -1e7, -1e7, 1e7, 1e7]], dtype=torch.float64)
    assert roi_align(images, huge, 2).abs().max() < 1e-9


def test_roi_align_in_c_resizes_the_output():
    output = torch.empty(0)
    kernels.roi_align_forward_float(
        torch.randn(2, 3, 8, 8), torch.zeros(2, 5), 1.0, 2, 3, 0, 0, output
    )
    assert output.shape == (2, 3, 2, 3)


@pytest.mark.parametrize("layout", LAYOUTS[1:])
@pytest.mark.parametrize("channels", [5, 40])
def test_results_of_any_strides(layout, channels):
    """As C may ask for them; the operators of torch give results without gaps."""
    torch.manual_seed(0)
    images, corners = torch.randn(2, channels, 9, 11), torch.rand(30, 2) * 6
    rois = torch.cat([torch.arange(30)[:, None] % 2, corners, corners + torch.rand(30, 2) * 8], 1)
    grad = torch.randn(30, channels, 3, 2)

    def results(layout):
        pooled, grad_align, largest, grad_pool, places = (
            laid_out(torch.zeros_like(like), layout)
            for like in (grad, images, grad, images, grad.int())
        )
        kernels.roi_align_forward_float(images, rois, 0.5, 3, 2, 2, 0, pooled)
        kernels.roi_align_backward_float(grad, rois, 0.5, 3, 2, 2, 0, grad_align)
        kernels.roi_pool_forward_float(images, rois, 0.5, 3, 2, largest, places)
        kernels.roi_pool_backward_float(grad, rois, places, grad_pool)
        return pooled, grad_align, largest, places, grad_pool

    for ours, dense in zip(results(layout), results("contiguous"), strict=True):
        torch.testing.assert_close(ours, dense, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("first", [20, -60])
def test_roi_align_of_bins_with_many_samples(first):
    """Of a ramp the mean of a bin's samples is what lies in their middle; samples outside count as 0."""
    ramp = 3 * torch.arange(200.0, dtype=torch.float64)[:, None] + torch.arange(180.0)
    rois = torch.tensor([[0, 20, first, 150, first + 140]], dtype=torch.float64)
    upper, lower = roi_align(ramp[None, None], rois, (2, 1), 1.0, 0, aligned=True).flatten()
    inside = range(max(first, -1), first + 70)  # rows of samples, half a pixel higher
    assert upper == pytest.approx(sum(3 * max(row, 0) + 84.5 for row in inside) / 70)
    assert lower == pytest.approx(3 * (first + 104.5) + 84.5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_deform_columns_of_any_strides(layout):
    """And their adjoints: each in the layout as with channels that are neighbours."""
    torch.manual_seed(0)
    image, offset, grad = torch.randn(1, 4, 6, 5), torch.randn(18, 6, 5), torch.randn(1, 30, 36)
    where = (3, 3, 1, 1, 1, 1, 1, 1, 0)

    def results(layout):
        x, grad_x = laid_out(image, layout)[0], laid_out(torch.zeros_like(image), layout)[0]
        columns, grad_offset = torch.zeros_like(grad), torch.zeros_like(offset)
        null = kernels._ffi.NULL
        kernels.deform_columns_float(x, offset, null, *where, columns)
        kernels.deform_input_backward_float(grad, offset, null, *where, grad_x)
        kernels.deform_offset_backward_float(grad, x, offset, null, *where, grad_offset, null)
        return columns, grad_x, grad_offset

    for ours, neighbours in zip(results(layout), results("channels_last"), strict=True):
        torch.testing.assert_close(ours, neighbours, rtol=1e-5, atol=1e-6)


def test_box_iou_of_any_strides():
    """Of more pairs than one thread takes, whose rows do not lie in one piece."""
    corners = torch.rand(300, 2) * 50
    boxes = torch.cat([corners, corners + 20], 1)
    iou = torch.zeros(200, 600).t()[::2]
    kernels.box_iou_forward_float(boxes, boxes[:200], 0, iou)
    assert torch.equal(iou, box_iou(boxes, boxes[:200]))


@pytest.mark.parametrize("layout", ["contiguous", "strided"])
def test_roi_pool_backward_takes_places_within_the_map(layout):
    grad, rois, places = torch.ones(1, 1, 1, 2), torch.zeros(1, 5), torch.zeros(1, 1, 1, 2).int()
    images = laid_out(torch.zeros(1, 1, 2, 3), layout)
    places[..., 0], places[..., 1] = 5, -1  # the last pixel, and an empty bin
    kernels.roi_pool_backward_float(grad, rois, places, images)
    assert images.flatten().tolist() == [0, 0, 0, 0, 0, 1]
    places[..., 0] = 6
    with pytest.raises(Exception, match="argmax must hold pixels of grad_input .*, 1 lie beyond"):
        kernels.roi_pool_backward_float(grad, rois, places, images)


# ---------------------------------------------------------------------------------------------- NMS


def brute_force_nms(boxes, scores, threshold, plus_one):
    """Greedy suppression, pair by pair, in the precision of the boxes."""
    extra = boxes.dtype.type(1 if plus_one else 0)
    order = sorted(range(len(boxes)), key=lambda i: (-scores[i], i))
    kept = []
    for i in order:
        for j in kept:
            width = max(
                min(boxes[i, 2], boxes[j, 2]) - max(boxes[i, 0], boxes[j, 0]) + extra,
                boxes.dtype.type(0),
            )
            height = max(
                min(boxes[i, 3], boxes[j, 3]) - max(boxes[i, 1], boxes[j, 1]) + extra,
                boxes.dtype.type(0),
            )
            areas = [
                (boxes[n, 2] - boxes[n, 0] + extra) * (boxes[n, 3] - boxes[n, 1] + extra)
                for n in (j, i)
            ]
            common = width * height
            if common / (areas[0] + areas[1] - common) > threshold:
                break
        else:
            kept.append(i)
    return kept


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("plus_one", [False, True])
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.7, 1.0])
def test_nms_against_brute_force(threshold, plus_one, dtype):
    rng = np.random.default_rng(0)
    for count in (1, 2, 3, 17, 150):
        corners = rng.uniform(0, 100, (count, 2))
        boxes = np.concatenate([corners, corners + rng.uniform(1, 60, (count, 2))], 1)
        scores = np.round(rng.uniform(0, 1, count), 1)  # many equal scores
        boxes, scores = torch.from_numpy(boxes).to(dtype), torch.from_numpy(scores).to(dtype)
        expected = brute_force_nms(boxes.numpy(), scores.numpy(), threshold, plus_one)
        assert nms(boxes, scores, threshold, plus_one=plus_one).tolist() == expected
        flat = torch.full((count, 9), math.nan, dtype=dtype)
        flat[:, ::2][:, :4] = boxes
        strided = flat[:, ::2][:, :4]
        assert (
            nms(strided, scores.repeat_interleave(3)[::3], threshold, plus_one=plus_one).tolist()
            == expected
        )


def test_nms_threshold_is_strict_and_exact():
    # the second box covers exactly half of the first: 8 / 16 = 0.5
    boxes = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 2]])
    assert nms(boxes, torch.tensor([0.9, 0.8]), 0.5).tolist() == [0, 1]
    assert nms(boxes, torch.tensor([0.8, 0.9]), 0.5).tolist() == [1, 0]
    assert nms(boxes, torch.tensor([0.9, 0.8]), math.nextafter(0.5, 0)).tolist() == [0]
    # the older counting covers 5 x 3 of 5 x 5 pixels: 0.6, as a float above 0.6 as a double
    assert nms(boxes, torch.tensor([0.9, 0.8]), 0.6, plus_one=True).tolist() == [0]
    assert nms(boxes.double(), torch.tensor([0.9, 0.8]).double(), 0.6, plus_one=True).tolist() == [
        0,
        1,
    ]


def test_nms_checks_and_resizes():
    keep = torch.empty(0, dtype=torch.int64)
    boxes = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 4], [8, 8, 9, 9]])
    kernels.nms_float(boxes, torch.tensor([0.1, 0.2, 0.3]), 0.5, 0, keep)
    assert keep.tolist() == [2, 1]
    with pytest.raises(
        Exception, match=r"boxes must be \(N, 4\) with rows of x1, y1, x2, y2, got \[3 x 3\]"
    ):
        kernels.nms_float(boxes[:, :3], torch.ones(3), 0.5, 0, keep)
    with pytest.raises(
        Exception, match=r"scores must have one value per box, shape \[3\], got \[2\]"
    ):
        kernels.nms_float(boxes, torch.ones(2), 0.5, 0, keep)
    assert keep.tolist() == [2, 1]


# ------------------------------------------------------------------------------------ deform_columns


@pytest.mark.parametrize("first", [-1, 21, 2**63 - 1])
def test_deform_columns_takes_positions_within_the_offsets(first):
    image, offset = torch.zeros(4, 6, 5), torch.zeros(18, 6, 5)
    where = (3, 3, 1, 1, 1, 1, 1, 1, first)
    with pytest.raises(RuntimeError, match=rf"10 positions from {first} on do not lie within"):
        kernels.deform_columns_float(
            image, offset, kernels._ffi.NULL, *where, torch.empty(1, 10, 36)
        )
