"""data.ops.prepare_image against Pillow, OpenCV and NumPy, and what it refuses."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
import torch

pytest.importorskip("_ext.kernels", reason="run `python build_ffi.py` first")
Image = pytest.importorskip("PIL.Image", reason="needs Pillow")

from _ext import kernels  # noqa: E402
from data.ops import normalize_image, prepare_image  # noqa: E402
from ffi_ext import NativeError  # noqa: E402

SIZES = [(40, 60), (41, 59), (80, 120), (100, 61), (13, 200), (20, 30), (7, 9), (3, 2), (1, 1)]


def picture(channels: int = 3, seed: int = 0) -> np.ndarray:
    """40 x 60 pixels: noise, the hardest for a resampler."""
    return np.random.default_rng(seed).integers(0, 256, (40, 60, channels), dtype=np.uint8)


def grey_levels(image: np.ndarray, size: tuple[int, int], **options: object) -> np.ndarray:
    """(height, width, channels) as prepare_image gives it, rounded to whole grey levels."""
    channels = image.shape[2]
    place = torch.full((channels, *size), np.nan)
    result = prepare_image(image, place, **options)
    assert result.data_ptr() == place.data_ptr() and result.shape == place.shape
    return np.rint(result.numpy()).transpose(1, 2, 0).astype(int)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("crop", [None, (0, 0, 40, 60), (5, 7, 30, 41), (39, 59, 1, 1)])
def test_like_pillow_within_one_grey_level(size, crop):
    image = picture()
    part = image if crop is None else image[crop[0] :, crop[1] :][: crop[2], : crop[3]]
    expected = Image.fromarray(part).resize(size[::-1], Image.Resampling.BILINEAR)
    assert np.abs(grey_levels(image, size, crop=crop) - np.asarray(expected, int)).max() <= 1


@pytest.mark.parametrize("length", [1, 2, 3, 5, 8, 12, 17, 24, 60])
def test_every_scale_like_pillow_in_floating_point(length):
    """Of a row and of a column; Pillow rounds nothing where its pixels are floats."""
    row = np.random.default_rng(length).integers(0, 256, (1, length, 1), dtype=np.uint8)
    given = Image.fromarray(row[..., 0].astype(np.float32))
    for other in range(1, 40):
        expected = np.asarray(given.resize((other, 1), Image.Resampling.BILINEAR))
        for image, size in ((row, (1, other)), (row.transpose(1, 0, 2).copy(), (other, 1))):
            found = prepare_image(image, torch.empty(1, *size))
            np.testing.assert_allclose(found.numpy().ravel(), expected.ravel(), atol=1e-3)


@pytest.mark.parametrize("size", SIZES)
def test_like_opencv_within_one_grey_level(size):
    cv2 = pytest.importorskip("cv2", reason="needs opencv-python-headless")
    image = picture()
    expected = cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR).astype(int)
    assert np.abs(grey_levels(image, size, antialias=False) - expected).max() <= 1
    shrinks = size[0] < 30
    assert (np.abs(grey_levels(image, size) - expected).max() > 20) == shrinks


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(40, 60), (25, 33), (90, 121)])
def test_numbers_of_channels(channels, size):
    image = picture(channels)
    expected = np.stack(
        [
            np.asarray(Image.fromarray(image[..., c]).resize(size[::-1], Image.Resampling.BILINEAR))
            for c in range(channels)
        ],
        2,
    )
    assert np.abs(grey_levels(image, size) - expected.astype(int)).max() <= 1


@pytest.mark.parametrize(
    ("horizontal", "vertical", "reverse"), list(itertools.product([False, True], repeat=3))
)
def test_flips_channel_order_and_normalisation_are_exact_without_resizing(
    horizontal, vertical, reverse
):
    image, mean, std = picture(), np.array([10.0, 120.5, 99.0]), np.array([1.0, 57.375, 60.0])
    expected = image[:, ::-1] if horizontal else image
    expected = expected[::-1] if vertical else expected
    expected = expected[..., ::-1] if reverse else expected
    expected = ((expected - mean) / std).transpose(2, 0, 1)
    result = prepare_image(
        torch.from_numpy(image),
        torch.empty(3, 40, 60),
        mean=mean.tolist(),
        std=torch.from_numpy(std),
        flip_horizontal=horizontal,
        flip_vertical=vertical,
        reverse_channels=reverse,
    )
    assert np.abs(result.numpy() - expected).max() < 3e-5


def test_flips_come_after_the_resize():
    image = picture()
    for antialias in (True, False):
        plain = grey_levels(image, (23, 85), antialias=antialias)
        flipped = grey_levels(
            image, (23, 85), antialias=antialias, flip_horizontal=True, flip_vertical=True
        )
        assert np.array_equal(flipped, plain[::-1, ::-1])


def test_a_place_in_a_padded_batch_is_written_as_a_whole_and_nothing_else():
    batch = torch.full((3, 3, 50, 70), 7.0)
    view = prepare_image(picture(), batch[1], (31, 47), mean=[100.0] * 3, std=[2.0] * 3)
    alone = prepare_image(picture(), torch.empty(3, 31, 47), mean=[100.0] * 3, std=[2.0] * 3)
    assert view.shape == (3, 31, 47) and torch.equal(view, alone)
    assert (batch[0] == 7).all() and (batch[2] == 7).all()
    assert (batch[1, :, 31:] == 0).all() and (batch[1, :, :, 47:] == 0).all()
    wide = torch.full((3, 31, 60), 7.0)
    inside = prepare_image(picture(), wide[:, :, 5:52], mean=[100.0] * 3, std=[2.0] * 3)
    assert torch.equal(inside, alone)
    assert (wide[:, :, :5] == 7).all() and (wide[:, :, 52:] == 7).all()


def test_views_of_images():
    image = picture(4)
    part = image[3:37:2, 10:50]
    expected = grey_levels(np.ascontiguousarray(part), (20, 30))
    assert np.array_equal(grey_levels(part, (20, 30)), expected)
    reversed_channels = torch.from_numpy(image).permute(1, 0, 2)[..., :3]
    assert np.array_equal(
        prepare_image(reversed_channels, torch.empty(3, 60, 40)).numpy(),
        image[..., :3].transpose(2, 1, 0).astype(np.float32),
    )


def test_arrays_that_torch_does_not_take():
    rows = np.zeros((40, 60), [("other", np.uint8), ("pixel", np.uint8, 3)])
    rows["pixel"] = picture()
    read_only = np.asarray(Image.fromarray(picture()))
    assert not read_only.flags.writeable
    mean, std = np.arange(3.0)[::-1], np.arange(1.0, 4.0)[::-1].reshape(1, 1, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for image in (picture()[..., ::-1], picture()[::-1, ::-1], rows["pixel"], read_only):
            expected = ((image - mean) / std).transpose(2, 0, 1)
            for result in (
                prepare_image(image, torch.empty(3, 40, 60), mean=mean, std=std),
                normalize_image(image, mean, std),
            ):
                assert np.abs(result.numpy() - expected).max() < 3e-5


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"crop": (0, 0, 41, 60)},
            r"the crop \(top 0, left 0, 41 x 60\) must lie in the image of 40",
        ),
        ({"crop": (-1, 0, 5, 5)}, "must lie in the image"),
        ({"crop": (2**62, 0, 5, 5)}, "must lie in the image"),
        ({"size": (51, 60)}, r"place must have the shape \(3, h >= 51, w >= 60\)"),
        ({"size": (0, 60)}, "at least one pixel"),
        ({"mean": [1.0]}, "mean must have 3 elements in one dimension, got 1 in 1"),
        ({"std": [1.0] * 4}, "std must have 3 elements in one dimension, got 4 in 1"),
    ],
)
def test_what_is_refused(options, text):
    with pytest.raises(NativeError, match=text):
        prepare_image(picture(), torch.empty(3, 50, 60), **options)


def test_pictures_without_pixels_are_refused():
    for size in [(0, 5), (5, 0)]:
        text = rf"the crop \(top 0, left 0, {size[0]} x {size[1]}\) must lie in the image"
        with pytest.raises(NativeError, match=text):
            prepare_image(np.zeros((*size, 3), np.uint8), torch.empty(3, 4, 4))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_one_number_is_every_planes(channels):
    pixels = picture(channels)
    found = prepare_image(pixels, torch.empty(channels, 40, 60), mean=3, std=2.0)
    assert np.array_equal(found.numpy(), (pixels.transpose(2, 0, 1).astype(np.float32) - 3) / 2)


def test_a_mean_of_two_dimensions_is_refused():
    """Its first stride leads beyond it."""
    image, std, place = torch.from_numpy(picture()), torch.ones(3), torch.empty(3, 40, 60)
    with pytest.raises(NativeError, match="mean must have 3 elements in one dimension, got 1 in 2"):
        kernels.prepare_image(image, 0, 0, 40, 60, 40, 60, 1, 0, 0, torch.ones(1, 3), std, place)


def test_types_that_are_refused():
    with pytest.raises(
        TypeError, match=r"must be a uint8 array or tensor \(H, W, C\), got \(40, 60"
    ):
        prepare_image(picture()[..., 0], torch.empty(3, 4, 4))
    with pytest.raises(TypeError, match="must be a uint8 array or tensor .* got .* torch.float32"):
        prepare_image(torch.ones(4, 4, 3), torch.empty(3, 4, 4))
    with pytest.raises(TypeError, match="place"):
        prepare_image(picture(), torch.empty(3, 4, 4, dtype=torch.float64))
    with pytest.raises(NativeError, match="1 to 4 channels, got 5"):
        prepare_image(picture(5), torch.empty(5, 4, 4))
    with pytest.raises(
        NativeError, match="the rows of place must be contiguous, got a stride of 3"
    ):
        prepare_image(picture(), torch.empty(4, 4, 3).permute(2, 0, 1))
    with pytest.raises(NativeError, match=r"shape \(3, h >= 4, w >= 5\), got \(3, 4, 4\)"):
        prepare_image(picture(), torch.empty(3, 4, 4), (4, 5))
    with pytest.raises(NativeError, match="place must have 3 dimensions .C, h, w., got 2"):
        prepare_image(picture(), torch.empty(4, 4), (4, 4))
    with pytest.raises(TypeError, match="'place': expected a torch.FloatTensor .* got list"):
        prepare_image(picture(), [1.0, 2.0])
    place = torch.empty(3, 4, 4)
    with pytest.raises(ValueError, match=r"size must be \(height, width\), got 4"):
        prepare_image(picture(), place, 4)
    with pytest.raises(
        ValueError, match=r"crop must be \(top, left, height, width\), got \(4, 4\)"
    ):
        prepare_image(picture(), place, crop=(4, 4))
    with pytest.raises(TypeError, match="prepare_image: mean must be numbers, got None"):
        prepare_image(picture(), place, mean=None)
    with pytest.raises(TypeError, match="out must be a tensor, got a ndarray"):
        normalize_image(picture(), 0.0, 1.0, out=np.empty((3, 40, 60), np.float32))
