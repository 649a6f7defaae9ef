"""Deformable position-sensitive ROI pooling against its definition, sample by sample, and cases worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

kernels = pytest.importorskip("_ext.kernels", reason="run `python build_ffi.py` first")

from ffi_ext import NativeError  # noqa: E402
from resnet import ops  # noqa: E402
from tests.operators import LAYOUTS, ROIS, by_threads, laid_out  # noqa: E402

NULL = kernels._ffi.NULL
# Tiny ones and ones whose corners are halves, beside those of the other operators.
REGIONS = [*ROIS, [1, 2.5, 3.5, 2.5, 3.5], [0, -0.5, 0.5, 7.5, 11.5], [1, 20.2, 3, -5, 18]]


def rounded(value: float) -> float:
    """Halves away from zero."""
    return math.copysign(math.floor(abs(value) + 0.5), value)


def by_samples(x, rois, offset, scale, size, channels, group, part, samples, std):
    """Dai et al. 2017, section 3.2, on the regions of R-FCN: each sample is torch's own; returns the counts, too.

    torch interpolates between centres of pixels, and takes what lies beyond the last one from the border.
    """
    height, width = x.shape[2:]
    results, counts = [], []
    classes = 1 if offset is None else offset.shape[1] // 2
    for k, (index, *corners) in enumerate(rois.tolist()):
        x1, y1, x2, y2 = (rounded(corner) for corner in corners)
        left, top = x1 * scale - 0.5, y1 * scale - 0.5
        wide = max((x2 + 1) * scale - 0.5 - left, 0.1)
        high = max((y2 + 1) * scale - 0.5 - top, 0.1)
        for c in range(channels):
            for bin in range(size * size):
                py, px = divmod(bin, size)
                move = torch.zeros(2, dtype=x.dtype)
                if offset is not None:
                    number = c // (channels // classes)
                    place = (py * part // size, px * part // size)
                    move = offset[k, 2 * number : 2 * number + 2, place[0], place[1]]
                steps = torch.arange(samples, dtype=x.dtype) / samples
                at_x = left + (px + steps) * wide / size + move[0] * std * wide
                at_y = top + (py + steps) * high / size + move[1] * std * high
                points = torch.cartesian_prod(at_y, at_x).view(-1, 2)
                with torch.no_grad():
                    last = torch.tensor([height - 0.5, width - 0.5], dtype=x.dtype)
                    counted = ((points >= -0.5) & (points <= last)).all(1)
                counts.append(float(counted.sum()))
                if not counted.any():
                    results.append(x.sum() * 0)
                    continue
                cell = (py * group // size) * group + px * group // size
                plane = x[int(index), c * group * group + cell]
                y, x_ = points[counted].unbind(1)
                grid = torch.stack([(2 * x_ + 1) / width - 1, (2 * y + 1) / height - 1], -1)
                values = F.grid_sample(
                    plane[None, None], grid[None, None], padding_mode="border", align_corners=False
                )
                results.append(values.mean())
    shape = (len(rois), channels, size, size)
    return torch.stack(results).view(shape), torch.tensor(counts, dtype=x.dtype).view(shape)


# channels, group_size, classes (0: no trans), size, part_size, samples
SETTINGS = [
    (37, 1, 1, 3, 3, 2),  # two blocks of channels, and some more
    (16, 1, 0, 3, 3, 4),
    (9, 2, 3, 3, 2, 3),
    (4, 3, 2, 2, 4, 1),  # cells without a bin, parts without one
    (3, 2, 3, 5, 7, 2),
]


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_it_is_the_definition(setting):
    channels, group, classes, size, part, samples = setting
    torch.manual_seed(0)
    maps = torch.randn(2, channels * group * group, 6, 7, dtype=torch.float64, requires_grad=True)
    rois = torch.tensor(REGIONS, dtype=torch.float64)
    offset = torch.randn(len(rois), 2 * classes, part, part, dtype=torch.float64)
    offset = offset.requires_grad_() if classes else None
    moved = [offset] if classes else []
    theirs, counts = by_samples(maps, rois, offset, 0.5, size, channels, group, part, samples, 0.3)
    assert 0 < (counts == 0).sum() < 0.7 * counts.numel()  # some bins are empty
    grad = torch.randn(theirs.shape, dtype=torch.float64)
    their_grads = torch.autograd.grad(theirs, [maps, *moved], grad)
    settings = (0.5, size, channels, not classes, group, part, samples, 0.3)
    for layout in LAYOUTS:
        x = laid_out(maps.detach(), layout).requires_grad_()
        ours = ops.deform_roi_pooling(x, rois, offset, *settings)
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
        grads = torch.autograd.grad(ours, [x, *moved], grad)
        torch.testing.assert_close(grads, their_grads, rtol=1e-11, atol=1e-11)
        out, found = torch.empty(0, dtype=torch.float64), torch.empty(0, dtype=torch.float64)
        numbers = (0.5, channels, group, size, part, samples, 0.3)
        given = NULL if offset is None else offset.detach()
        kernels.deform_psroi_forward_double(x.detach(), rois, given, *numbers, out, found)
        assert torch.equal(found, counts) and torch.equal(out, ours)
        single = [None if t is None else t.detach().float() for t in (x, rois, offset)]
        assert (ops.deform_roi_pooling(*single, *settings) - theirs).abs().max() < 1e-5


@pytest.mark.parametrize("plain", [False, True])
def test_a_case_by_hand(plain):
    """The map is 10 y + x, which interpolation gives back: values are those of the places."""
    rows, columns = torch.arange(4.0).view(4, 1), torch.arange(4.0)
    x = (10 * rows + columns).view(1, 1, 4, 4).double().requires_grad_()
    # pixels 1 and 2 of either axis: from 0.5 to 2.5
    rois = torch.tensor([[0.0, 1, 1, 2, 2]]).double()
    with ops.plain_torch() if plain else torch.enable_grad():

        def pooled(*settings, **more):
            return ops.deform_roi_pooling(x, rois, *settings, **more)

        assert pooled(None, 1.0, 1, 1, True, sample_per_part=1).item() == 5.5
        # samples at 0.5 and 1.5
        assert pooled(None, 1.0, 1, 1, True, sample_per_part=2).item() == 11.0
        four = pooled(None, 1.0, 2, 1, True, sample_per_part=1)
        assert four.tolist() == [[[[5.5, 6.5], [15.5, 16.5]]]]
        # half of 0.5 * 2 to the right, half of 0.25 * 2 down: (1.0, 0.75), on a pixel's column
        offset = torch.tensor([0.5, 0.25]).view(1, 2, 1, 1).double().requires_grad_()
        y = pooled(offset, 1.0, 1, 1, False, sample_per_part=1, trans_std=0.5)
        assert y.item() == 8.5
        grads = torch.autograd.grad(y, [x, offset])
        assert grads[0].nonzero().tolist() == [[0, 0, 0, 1], [0, 0, 1, 1]]
        assert grads[0][0, 0, :2, 1].tolist() == [0.25, 0.75]
        assert grads[1].flatten().tolist() == [0.0, 10.0]  # std * width * 0, std * height * 10
        offset = torch.tensor([0.25, 0.25]).view(1, 2, 1, 1).double().requires_grad_()
        y = pooled(offset, 1.0, 1, 1, False, sample_per_part=1, trans_std=0.5)
        assert y.item() == 8.25
        assert torch.autograd.grad(y, offset)[0].flatten().tolist() == [1.0, 10.0]


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("channels", [3, 40])
def test_one_sample_of_a_bin_of_one_pixel_is_the_mean_of_four(channels, plain):
    torch.manual_seed(0)
    x = torch.randn(1, channels, 9, 9)
    rois = torch.tensor([[0.0, 2, 3, 6, 7]])  # 5 x 5 pixels
    with ops.plain_torch() if plain else torch.enable_grad():
        y = ops.deform_roi_pooling(x, rois, None, 1.0, 5, channels, True, sample_per_part=1)
    means = F.avg_pool2d(x, 2, 1)  # of the pixels i and i + 1: the sample between them
    torch.testing.assert_close(y, means[:, :, 2:7, 1:6])


@pytest.mark.parametrize("plain", [False, True])
def test_cells_have_channels_of_their_own(plain):
    # channel (c * 2 + gy) * 2 + gx is full of that number
    x = torch.arange(12.0).view(1, 12, 1, 1).expand(1, 12, 8, 8)
    rois = torch.tensor([[0.0, 1, 1, 6, 6]])
    with ops.plain_torch() if plain else torch.enable_grad():
        y = ops.deform_roi_pooling(x, rois, None, 1.0, 3, 3, True, group_size=2)
    # bins 0 and 1 of 3 are in the first half, rounded down
    of_one = torch.tensor([[0.0, 0, 1], [0, 0, 1], [2, 2, 3]])
    torch.testing.assert_close(y, (torch.arange(3.0).view(1, 3, 1, 1) * 4 + of_one))


@pytest.mark.parametrize("plain", [False, True])
def test_regions_at_the_border_outside_tiny_and_turned_round(plain):
    rows, columns = torch.arange(5.0).view(5, 1), torch.arange(6.0)
    x = (10 * rows + columns + 1).view(1, 1, 5, 6).double()
    corners = [[0, 0, 0, 0], [5, 4, 5, 4], [6, 5, 6, 5], [7, 0, 9, 4], [3, 2, 1, 0], [-9, 1, 9, 1]]
    rois = torch.tensor([[0, *corner] for corner in corners]).double()
    with ops.plain_torch() if plain else torch.enable_grad():
        y = ops.deform_roi_pooling(x, rois, None, 1.0, 1, 1, True, sample_per_part=1).flatten()
        many = ops.deform_roi_pooling(x, rois, None, 1.0, 1, 1, True, sample_per_part=100).flatten()
    assert y.tolist() == [
        1.0,  # half a pixel outside: moved to pixel (0, 0)
        10 * 3.5 + 4.5 + 1,
        46.0,  # half a pixel outside, at the other end
        0.0,  # further
        10 * 1.5 + 2.5 + 1,  # a tenth of a pixel wide, at what was named first
        0.0,  # the sample is at -9.5
    ]
    # the centre of 0.1 x 0.1 is 0.0495 from its corner, with 100 samples of 0.001
    assert abs(float(many[4]) - (10 * 1.5495 + 2.5495 + 1)) < 1e-9
    # those on the map count alone: from -0.5 to 5.5 a mean of 2.5, a hundredth of a step beside it
    assert abs(float(many[5]) - (10 * 0.995 + 2.5 + 1)) < 0.1


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e30])
def test_bins_displaced_out_of_the_map_are_zero(value, plain):
    x = torch.randn(1, 20, 6, 6, requires_grad=True)
    offset = torch.zeros(2, 2, 2, 2)
    offset[0, 1, 0, 1] = value
    offset.requires_grad_()
    rois = torch.tensor([[0.0, 1, 1, 4, 4]]).repeat(2, 1)
    with ops.plain_torch() if plain else torch.enable_grad():
        y = ops.deform_roi_pooling(x, rois, offset, 1.0, 2, 20, False, trans_std=0.1)
        grads = torch.autograd.grad(y.square().sum(), [x, offset])
    assert not y[0, :, 0, 1].any() and torch.equal(y[0, :, 1], y[1, :, 1])
    assert y[0, :, 0, 0].all()
    assert all(g.isfinite().all() for g in grads)
    assert not grads[1][0, :, 0, 1].any() and grads[1][1, :, 0, 1].all()


def test_nothing_that_needs_no_gradient_is_computed():
    x, offset = torch.randn(1, 4, 6, 6), torch.zeros(1, 2, 2, 2)
    rois = torch.tensor([[0.0, 1, 1, 4, 4]])
    for given in (x, offset):
        inputs = [t.requires_grad_(t is given) for t in (x, offset)]
        y = ops.deform_roi_pooling(x, rois, offset, 1.0, 2, 4, False, trans_std=0.1)
        y.sum().backward()
        assert [t.grad is not None for t in inputs] == [t is given for t in inputs]
        given.grad = None


def test_in_c_it_resizes_and_checks():
    x, rois, offset = (
        torch.rand(2, 12, 8, 8),
        torch.tensor([[1.0, 1, 1, 5, 6]]),
        torch.zeros(1, 3, 2, 2),
    )
    out, count = torch.empty(0), torch.empty(3)
    numbers = (1.0, 3, 2, 2, 2, 4, 0.1)
    forward = kernels.deform_psroi_forward_float
    forward(x, rois, NULL, *numbers, out, count)
    assert out.shape == count.shape == (1, 3, 2, 2) and (count == 16).all()
    place = torch.full((1, 3, 4, 4), 7.0)
    forward(x, rois, NULL, *numbers, place[..., ::2, ::2], NULL)
    assert torch.equal(place[..., ::2, ::2], out) and (place[..., 1::2, :] == 7).all()
    for arguments, message in [
        (
            (x[0], rois, NULL, *numbers),
            r"must have 4 dimensions \(N, C, H, W\), got \[12 x 8 x 8\]",
        ),
        ((x, rois[:, :4], NULL, *numbers), r"rois must be \(K, 5\) with rows of .* got \[1 x 4\]"),
        ((x[:, :11], rois, NULL, *numbers), r"group_size\^2 = 3 \* 2\^2 channels, got \[2 x 11"),
        (
            (x, rois, offset, *numbers),
            r"\[1 x 2 \* classes x 2 x 2\] with classes .* got \[1 x 3 x 2 x 2\]",
        ),
        ((x, rois + 1, NULL, *numbers), r"batch index of ROI 0 must be one of 0..1, got 2"),
        ((x, rois * math.nan, NULL, *numbers), "batch index of ROI 0"),
        ((x, rois, NULL, *numbers[:6], -0.5), "trans_std must be a number of 0 to 1, got -0.5"),
    ]:
        with pytest.raises(NativeError, match=message):
            forward(*arguments, out, count)
    with pytest.raises(NativeError, match=r"grad_output must be .* = \[1 x 3 x 2 x 2\], got"):
        kernels.deform_psroi_input_backward_float(x, rois, NULL, *numbers, x.clone())
    with pytest.raises(NativeError, match="trans must not be NULL"):
        kernels.deform_psroi_trans_backward_float(out, rois, NULL, *numbers, x, x)


@pytest.mark.parametrize("channels", [8, 32])
def test_many_regions_of_many_images_do_not_depend_on_threads(channels):
    """So many samples that plans do not fit at once, in slabs and in place."""
    torch.manual_seed(0)
    corners = torch.rand(300, 2) * 20
    images = torch.randint(0, 3, (300, 1))
    rois = torch.cat([images, corners, corners + torch.rand(300, 2) * 30], 1)
    x = torch.randn(3, channels, 24, 26, requires_grad=True)
    offset = torch.randn(300, 2, 7, 7, requires_grad=True)

    def pooled(rois, offset):
        settings = (0.5, 7, channels, False)
        return ops.deform_roi_pooling(x, rois, offset, *settings, sample_per_part=48, trans_std=0.1)

    def results():
        y = pooled(rois, offset)
        return [y, *torch.autograd.grad(y.square().sum(), [x, offset])]

    one, three = by_threads(results, 1, 3)
    assert all(map(torch.equal, one, three))
    few = slice(3, 300, 30)
    with ops.plain_torch():
        theirs = pooled(rois[few], offset[few])
    torch.testing.assert_close(one[0][few], theirs, rtol=1e-4, atol=1e-4)
