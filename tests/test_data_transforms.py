"""Transforms, targets and masks: maskrcnn-benchmark's rounding and geometry, Pillow's colours, crops."""

from __future__ import annotations

import math
import random
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("_ext.kernels", reason="run `python build_ffi.py` first")
Image = pytest.importorskip("PIL.Image", reason="needs Pillow")

import data  # noqa: E402
from data.masks import Bitmaps, Polygons  # noqa: E402
from data.target import Target  # noqa: E402
from data.transforms import (  # noqa: E402
    ColorJitter,
    Compose,
    Normalize,
    Picture,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomVerticalFlip,
    Resize,
)

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


class Fixed(random.Random):
    """Draws one number, whatever is asked for."""

    def __init__(self, number: float) -> None:
        super().__init__(0)
        self.number = number

    def uniform(self, a: float, b: float) -> float:
        assert a <= self.number <= b
        return self.number


@pytest.mark.parametrize(
    ("size", "min_size", "max_size", "expected"),
    [
        ((480, 640), 800, 1333, (800, 1066)),  # int(800 * 640 / 480) = int(1066.67)
        ((640, 480), 800, 1333, (1066, 800)),
        ((427, 640), 800, 1333, (800, 1199)),
        ((300, 1000), 800, 1333, (400, 1333)),  # round(1333 * 300 / 1000) = 400
        ((1000, 300), 800, 1333, (1333, 400)),
        ((375, 500), 800, 1066, (800, 1066)),
        ((374, 500), 800, 1066, (797, 1065)),  # round(797.368), then int(797 * 500 / 374)
        ((800, 1000), 800, 1333, (800, 1000)),
        ((800, 1400), 800, 1333, (762, 1400 * 762 // 800)),
        ((500, 500), 600, None, (600, 600)),
        ((1, 5000), 800, 1333, (1, 5000)),
    ],
)
def test_resize_rounds_as_the_reference(size, min_size, max_size, expected):
    assert Resize(min_size, max_size).result_size(size, min_size) == expected


def test_resize_draws_one_of_several_sizes():
    resize, rng = Resize((10, 16, 25)), random.Random(0)
    sizes = {resize(Picture.of(PIXELS), None, rng)[0].size for _ in range(50)}
    assert sizes == {(10, 15), (16, 24), (25, 37)}


def test_resize_makes_no_pictures_that_are_larger_than_those_that_are_read(monkeypatch):
    strip = Picture.of(np.zeros((1, 150_000, 3), np.uint8))
    text = "a picture of 150000 x 1 pixels would become 120000000 x 800, more than the 89478485 .* max_size"
    with pytest.raises(ValueError, match=text):
        Resize(800)(strip, None, random.Random(0))
    assert Resize(800, 1333)(strip, None, random.Random(0))[0].size == (1, 150_000)
    monkeypatch.setattr(data.files, "MAX_PIXELS", 100_000)  # it had more before
    assert Resize(1)(strip, None, random.Random(0))[0].size == (1, 150_000)


def boxes_of(masks: torch.Tensor) -> list[list[int]]:
    found = []
    for mask in masks.numpy():
        rows, columns = np.nonzero(mask)
        found.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    return found


STEPS = {
    "horizontal": lambda p, t, r: RandomHorizontalFlip(1.0)(p, t, r),
    "vertical": lambda p, t, r: RandomVerticalFlip(1.0)(p, t, r),
    "resize": lambda p, t, r: Resize(120)(p, t, r),
    "all": Compose([Resize(180), RandomHorizontalFlip(1.0), RandomVerticalFlip(1.0)]),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("index", range(4))
def test_boxes_and_masks_follow_the_image(step, index):
    pixels, target = data.Shapes(4, size=(60, 90), seed=1).read(index)
    picture, moved = STEPS[step](Picture.of(pixels), target, random.Random(0))
    assert moved.size == picture.size
    assert boxes_of(moved.masks.bitmaps()) == moved.boxes.tolist()  # whole factors: exact
    image = picture.draw().numpy()
    for mask, label in zip(moved.masks.bitmaps().numpy(), moved.labels, strict=True):
        outside = torch.nn.functional.max_pool2d(1.0 - torch.from_numpy(mask)[None], 7, 1, 3)
        inner = (outside[0] == 0).numpy()
        if inner.any():  # away from its rim the shape has one colour still
            colours = image[:, inner]
            assert np.abs(colours - colours[:, :1]).max() < 1e-3, label


@pytest.mark.parametrize(
    ("kind", "field"),
    [(RandomHorizontalFlip, "flip_horizontal"), (RandomVerticalFlip, "flip_vertical")],
)
def test_flips_are_drawn_with_their_probability(kind, field):
    rng = random.Random(0)
    shares = [
        np.mean([getattr(flip(Picture.of(PIXELS), None, rng)[0], field) for _ in range(2000)])
        for flip in (kind(0.0), kind(0.3), kind(1.0))
    ]
    assert shares == [0.0, pytest.approx(0.3, abs=0.04), 1.0]
    twice = Compose([kind(1.0), kind(1.0)])
    assert not getattr(twice(Picture.of(PIXELS), None, rng)[0], field)


def test_plus_one_boxes_flip_as_the_reference_does():
    target = Target((20, 30), torch.tensor([[2.0, 3, 11, 8]]), torch.tensor([1]), plus_one=1)
    assert target.flip_horizontal().boxes.tolist() == [[18, 3, 27, 8]]  # 30 - 11 - 1, 30 - 2 - 1
    assert target.flip_vertical().boxes.tolist() == [[2, 11, 11, 16]]
    assert target.resize((40, 90)).boxes.tolist() == [[6, 6, 33, 16]]
    wide = Target((20, 30), torch.tensor([[-5.0, 3, 50, 8]]), torch.tensor([1]), plus_one=1)
    assert wide.clip().boxes.tolist() == [[0, 3, 29, 8]]


@pytest.mark.parametrize("installed", [True, False])
def test_polygons_follow_too(installed, monkeypatch):
    if installed:
        pytest.importorskip("pycocotools", reason="needs pycocotools")
    else:
        monkeypatch.setitem(sys.modules, "pycocotools", None)
    square = [2.0, 3.0, 12.0, 3.0, 12.0, 9.0, 2.0, 9.0]
    polygons = Polygons([[square], [square[:4] + square[:2] + square[:2], square]], (20, 30))
    plain = polygons.bitmaps()
    assert plain[0].sum() == 60 and boxes_of(plain[:1]) == [[2, 3, 12, 9]]
    assert torch.equal(polygons.flip_horizontal().bitmaps(), plain.flip(2))
    assert torch.equal(polygons.flip_vertical().bitmaps(), plain.flip(1))
    assert torch.equal(polygons.crop(4, 5, 10, 20).bitmaps(), plain[:, 4:14, 5:25])
    doubled = plain.repeat_interleave(2, 1).repeat_interleave(2, 2)
    assert torch.equal(polygons.resize((40, 60)).bitmaps(), doubled)
    assert len(polygons[torch.tensor([False, True])]) == 1


def test_polygons_without_pycocotools_cover_the_pixels_whose_centre_is_inside(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    rng, (y, x) = np.random.default_rng(0), np.mgrid[:20, :30] + 0.5
    for _ in range(50):  # triangles: a centre is on one side of all three edges
        triangle = rng.uniform(-10, 40, (3, 2))
        sides = [(b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])
                 for a, b in zip(triangle, np.roll(triangle, -1, 0), strict=True)]  # fmt: skip
        inside = (np.array(sides) > 0).all(0) | (np.array(sides) < 0).all(0)
        (mask,) = Polygons([[triangle]], (20, 30)).bitmaps()
        assert np.array_equal(mask, inside)
    star = [[15, 1, 24, 18, 4, 6, 27, 6, 6, 18]]  # around whose middle the edges go twice
    mask = Polygons([star, [*star, [14, 8, 17, 8, 17, 11, 14, 11]]], (20, 30)).bitmaps()
    assert mask[:, 4, 15].tolist() == [1, 1] and mask[:, 9, 15].tolist() == [0, 1]


def test_crops_clip_and_remove_boxes():
    boxes = torch.tensor([[0.0, 0, 8, 8], [10, 5, 25, 18], [28, 0, 30, 2]])
    masks = torch.zeros(3, 20, 30)
    target = Target(
        (20, 30), boxes, torch.tensor([1, 2, 3]), Bitmaps(masks), {"id": torch.arange(3)}
    )
    part = target.crop(4, 6, 10, 12)
    assert part.boxes.tolist() == [[0, 0, 2, 4], [4, 1, 12, 10]]
    assert part.labels.tolist() == [1, 2] and part.fields["id"].tolist() == [0, 1]
    assert part.masks.size == part.size == (10, 12) and len(part.masks) == 2
    assert len(target[torch.zeros(3, dtype=torch.bool)].resize((5, 5))) == 0


def test_batches_on_another_device():
    """As trainers bring them there: maskrcnn-benchmark's by these names, and Lightning and Accelerate."""
    polygons, names = Polygons([[[0, 0, 4, 0, 4, 4]]], (20, 30)), np.array(["cat"])
    fields = {"id": torch.arange(1), "name": names}
    target = Target((20, 30), torch.ones(1, 4), torch.ones(1), polygons, fields).to(
        "meta", non_blocking=True
    )
    assert {x.device.type for x in (target.boxes, target.labels, target.fields["id"])} == {"meta"}
    assert target.masks is polygons and target.fields["name"] is names and target.size == (20, 30)
    bitmaps = Bitmaps(torch.eye(3)[None])
    assert torch.equal(bitmaps.to("cpu").masks, bitmaps.masks)
    images = data.pad_images([torch.ones(3, 5, 6)]).to("meta", non_blocking=True)
    assert images.tensors.device.type == "meta" and images.image_sizes == [(5, 6)]


def test_targets_are_checked():
    with pytest.raises(ValueError, match=r"boxes must be \(N, 4\), got \(3,\)"):
        Target((4, 4), torch.ones(3), torch.ones(1))
    with pytest.raises(ValueError, match="labels must have a row for each of the 2 boxes, got 1"):
        Target((4, 4), torch.ones(2, 4), torch.ones(1))
    with pytest.raises(ValueError, match=r"expected \(N, H, W\), got \(4, 4\)"):
        Bitmaps(torch.ones(4, 4))
    with pytest.raises(TypeError, match="boxes must be of a floating-point type, got torch.int64"):
        Target((4, 4), torch.ones(1, 4, dtype=torch.int64), torch.ones(1))
    for values in ([[1, 2, 3, 4]], torch.ones(1, 4)), (torch.ones(1, 4), np.ones(1)):
        with pytest.raises(TypeError, match=r"must be a tensor, got a .*; torch.as_tensor makes"):
            Target((4, 4), *values)
    with pytest.raises(ValueError, match=r"the image's height and width \(4, 6\), got \(6, 4\)"):
        Target((4, 6), torch.ones(1, 4), torch.ones(1), Bitmaps(torch.ones(1, 6, 4)))
    for masks in torch.ones(1, 4, 4), np.ones((1, 4, 4)), [[[0, 0, 1, 1, 2, 0]]]:
        kind = type(masks).__name__
        with pytest.raises(TypeError, match=rf"masks must be data.masks.Bitmaps.*, got a {kind}$"):
            Target((4, 4), torch.ones(1, 4), torch.ones(1), masks)
    with pytest.raises(TypeError, match="Bitmaps: expected a tensor, got a ndarray"):
        Bitmaps(np.ones((1, 2, 2)))
    for value in (255, 0.5, -1, 256.0):  # of which a resize would take more than half covered
        with pytest.raises(
            ValueError, match=f"Bitmaps: .* from {min(value, 0):g} to {max(value, 0):g};"
        ):
            Bitmaps(torch.tensor([[[0, value]]]))


@pytest.mark.parametrize(
    "step", [Resize(4), RandomHorizontalFlip(1), RandomVerticalFlip(1), RandomResizedCrop(4)]
)
def test_dictionaries_of_boxes_do_not_stay_where_they_are_in_silence(step):
    picture, rng = Picture.of(np.zeros((8, 8, 3), np.uint8)), random.Random(0)
    with pytest.raises(
        TypeError, match="expected a data.Target, .* a dictionary with boxes, masks"
    ):
        step(picture, {"masks": 0, "boxes": torch.ones(1, 4), "labels": 1}, rng)
    assert step(picture, {"labels": 1}, rng)[1] == {"labels": 1}


def test_random_resized_crops_have_the_area_and_shape_that_was_asked_for():
    crop, rng = RandomResizedCrop(8, scale=(0.2, 0.5), ratio=(0.5, 2.0)), random.Random(0)
    areas, ratios = [], []
    for _ in range(2000):
        top, left, height, width = crop.draw_crop(300, 500, rng)
        assert 0 <= top <= 300 - height and 0 <= left <= 500 - width
        areas.append(height * width / (300 * 500))
        ratios.append(width / height)
    assert min(areas) > 0.195 and max(areas) < 0.505 and abs(np.mean(areas) - 0.35) < 0.02
    assert min(ratios) > 0.49 and max(ratios) < 2.05
    # what fits nowhere: the largest part of the allowed shape, in the middle
    assert RandomResizedCrop(8).draw_crop(10, 1000, rng) == (0, 493, 10, 13)
    assert RandomResizedCrop(8).draw_crop(1000, 10, rng) == (493, 0, 13, 10)


def test_random_resized_crop_takes_that_part():
    crop = RandomResizedCrop((5, 7))
    picture, target = crop(Picture.of(PIXELS), 3, random.Random(1))
    top, left, height, width = crop.draw_crop(20, 30, random.Random(1))
    assert target == 3 and picture.crop == (top, left, height, width)
    part = Image.fromarray(PIXELS[top : top + height, left : left + width])
    expected = np.asarray(part.resize((7, 5), Image.Resampling.BILINEAR), np.float32)
    assert np.abs(picture.draw().numpy().transpose(1, 2, 0) - expected).max() < 1.01
    for before in (Resize(10), RandomHorizontalFlip(1), RandomVerticalFlip(1)):
        changed, _ = before(Picture.of(PIXELS), None, random.Random(1))
        with pytest.raises(ValueError, match="must come before resizing and flips"):
            crop(changed, None, random.Random(1))


def luma(pixels: np.ndarray) -> np.ndarray:
    """ITU-R 601, as Pillow's "L"."""
    return (pixels @ np.array([299, 587, 114]) / 1000)[..., None]


@pytest.mark.parametrize(
    ("name", "factor", "formula"),
    [
        ("brightness", 1.4, lambda x: x * 1.4),
        ("brightness", 0.5, lambda x: x * 0.5),
        ("contrast", 1.3, lambda x: (x - np.rint(luma(x).mean())) * 1.3 + np.rint(luma(x).mean())),
        ("saturation", 0.2, lambda x: (x - luma(x)) * 0.2 + luma(x)),
        ("saturation", 1.7, lambda x: (x - luma(x)) * 1.7 + luma(x)),
    ],
)
def test_color_jitter_is_the_formula(name, factor, formula):
    jitter = ColorJitter(**{name: 0.8})
    picture, _ = jitter(Picture.of(PIXELS), None, Fixed(factor))
    expected = np.clip(formula(PIXELS.astype(float)), 0, 255)
    assert np.abs(picture.pixels - expected).max() <= 2  # luma and result are whole grey levels
    assert np.array_equal(PIXELS, np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8))


def test_hue_turns_the_circle():
    red = np.full((2, 2, 3), (255, 0, 0), np.uint8)
    picture, _ = ColorJitter(hue=0.5)(Picture.of(red), None, Fixed(0.5))
    assert np.abs(picture.pixels - np.array([0, 255, 255.0])).max() <= 6  # 1/255 of the circle
    picture, _ = ColorJitter(hue=0.5)(Picture.of(red), None, Fixed(-1 / 3))
    assert np.abs(picture.pixels - np.array([0, 0, 255.0])).max() <= 6
    with pytest.raises(ValueError, match="hue of at most 0.5"):
        ColorJitter(hue=0.6)


def test_jitter_of_nothing_changes_nothing():
    picture = Picture.of(PIXELS)
    assert ColorJitter()(picture, None, random.Random(0))[0] is picture


def test_normalize_in_both_orders():
    mean, std = (102.9801, 115.9465, 122.7717), (1.0, 2.0, 3.0)
    picture, _ = Normalize(mean, std)(Picture.of(PIXELS), None, random.Random(0))
    expected = (PIXELS[..., ::-1] - np.array(mean)) / std
    assert np.abs(picture.draw().numpy().transpose(1, 2, 0) - expected).max() < 1e-4
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    picture, _ = Normalize(mean, std, to_bgr255=False)(Picture.of(PIXELS), None, random.Random(0))
    expected = (PIXELS / 255 - np.array(mean)) / std
    assert np.abs(picture.draw().numpy().transpose(1, 2, 0) - expected).max() < 1e-5
    assert math.isclose(float(picture.mean[0]), 0.485 * 255, rel_tol=1e-6)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Resize((0, 1), 5), r"Resize: min_size: expected sizes of at least 1.* \(0, 1\)"),
        (lambda: Resize(20.5), "Resize: min_size: .* whole numbers, got 20.5"),
        (lambda: Resize(20, 25.0), r"Resize: max_size: .* whole numbers, got \[25.0\]"),
        (lambda: RandomResizedCrop(0), "RandomResizedCrop: size: expected sizes of at least 1"),
        (lambda: RandomResizedCrop(3.5), "RandomResizedCrop: size: .* whole numbers, got 3.5"),
        (lambda: RandomResizedCrop((1, 2, 3)), "expected height and width, got 3 numbers"),
        (lambda: RandomResizedCrop(8, ratio=(0, 1)), r"ratio: expected .* above 0, got \(0, 1\)"),
        (lambda: RandomResizedCrop(8, scale=(1, 0.5)), r"scale: expected .* got \(1, 0.5\)"),
        (lambda: RandomResizedCrop(8, scale=0.5), r"scale must be \(least, greatest\), got 0.5"),
        (lambda: Normalize((0.5,), (0.2,)), "Normalize: expected three numbers"),
        (lambda: Normalize(std=(57.0,)), "Normalize: expected three numbers"),
        (lambda: Resize(-5, 10), "Resize: min_size: expected sizes of at least 1, .* got -5"),
        (lambda: Resize(5, 0), r"Resize: max_size: expected sizes of at least 1, .* got \[0\]"),
        (lambda: Resize(()), "expected sizes of at least 1"),
        (lambda: Normalize(std=[0, 1, 1]), r"those of std above 0, got mean .* std \[0, 1, 1\]"),
        (lambda: Normalize(std=[math.nan, 1, 1]), "expected finite numbers"),
        (lambda: Normalize([math.inf, 1, 1]), "expected finite numbers"),
        # torchvision's numbers for ImageNet, and Caffe2's, each where the other's scale is asked for
        (
            lambda: Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            r"expected grey levels of 0\.\.255, got .* give to_bgr255=False",
        ),
        (
            lambda: Normalize(to_bgr255=False),
            r"expected a mean of 0\.\.1 with to_bgr255=False, got",
        ),
        (
            lambda: RandomHorizontalFlip(2),
            "RandomHorizontalFlip: expected a probability p from 0 to",
        ),
        (lambda: RandomVerticalFlip(-0.1), "RandomVerticalFlip: expected a probability p from 0"),
        (lambda: ColorJitter(math.inf), "expected one finite number .* got inf, 0.0, 0.0, 0.0"),
        (lambda: ColorJitter(saturation=math.nan), "expected one finite number .* nan, 0.0"),
        (lambda: ColorJitter((0.5, 1.5)), r"expected one finite number .* got \(0.5, 1.5\), 0.0"),
        (lambda: ColorJitter(hue=(0, 0.1)), r"expected one finite number .* \(0, 0.1\)$"),
    ],
)
def test_settings_that_are_refused(make, text):
    with pytest.raises(ValueError, match=text):
        make()


def test_what_is_no_transform_is_told_when_it_is_given():
    class OfTorchvision(torch.nn.Module):
        def forward(self, img):
            return img

    class OfTheReference:
        def __call__(self, image, target):
            return image, target

    for transforms, text in [
        ([Resize(32)], "got a list$"),
        (OfTorchvision(), r"got a OfTorchvision that takes \(img\)$"),
        (OfTheReference(), r"got a OfTheReference that takes \(image, target\)$"),
    ]:
        with pytest.raises(TypeError, match=f"Shapes: transforms: expected .* {text}"):
            data.Shapes(3, transforms=transforms)
        with pytest.raises(TypeError, match=f"Compose: number 1: expected .* {text}"):
            Compose([Resize(3), transforms])
    with pytest.raises(TypeError, match="Compose: expected a list of transforms, got a Resize"):
        Compose(Resize(3))
    assert len(Compose([Resize(3), Compose([]), lambda *sample: sample[:2], max]).transforms) == 4


@pytest.mark.parametrize(
    ("transform", "got"),
    [
        (lambda picture, target, rng: None, "NoneType"),
        (lambda picture, target, rng: picture, "Picture"),
        (lambda picture, target, rng: (picture.pixels, target), "ndarray and int"),
        (lambda picture, target, rng: (picture, target, rng), "tuple"),
    ],
)
def test_what_transforms_return_is_checked(transform, got):
    text = rf"expected a transform that returns its picture and target, .* got {got}$"
    with pytest.raises(TypeError, match=f"Compose: number 1: {text}"):
        Compose([Resize(4), transform])(Picture.of(PIXELS), 3, random.Random(0))
    dataset = data.Digits(transforms=transform)
    with pytest.raises(TypeError, match=f"Digits: transforms: {text}"):
        dataset[0]


def test_a_transform_may_leave_pixels_as_a_tensor():
    def inverted(picture, target, rng):
        return replace(picture, pixels=255 - torch.from_numpy(picture.decoded().pixels)), target

    picture, _ = Compose([inverted, Normalize()])(Picture.of(PIXELS), None, random.Random(0))
    jittered, _ = ColorJitter(0.3)(picture, None, Fixed(1.2))
    assert np.abs(jittered.pixels - np.minimum((255 - PIXELS) * 1.2, 255)).max() <= 1
    expected = 255 - PIXELS[..., ::-1] - np.array([102.9801, 115.9465, 122.7717])
    assert np.abs(picture.draw().numpy().transpose(1, 2, 0) - expected).max() < 1e-4
    with pytest.raises(
        TypeError, match="must be a uint8 array or tensor .*got .* of torch.float32"
    ):
        replace(picture, pixels=picture.pixels / 255).draw()


def test_targets_fields_may_be_texts_and_masks():
    values = (20, 30), torch.tensor([[1.0, 2, 3, 4], [25, 2, 29, 9]]), torch.ones(2)
    seen = Polygons([[[1, 2, 3, 2, 3, 4]], [[25, 2, 29, 2, 29, 9]]], (20, 30))
    target = Target(*values, fields={"name": np.array(["cat", "dog"]), "seen": seen})
    fields = target.crop(0, 20, 10, 10).fields
    assert fields["name"].tolist() == ["dog"] and len(fields["seen"]) == 1
    with pytest.raises(TypeError, match="field 'name' must be a tensor or an array .* got a list"):
        Target(*values, fields={"name": ["cat", "dog"]})


def test_targets_fields_stay_as_they_are():
    """What resizing, flips and crops do not know of, and cannot move."""
    points = torch.tensor([[3.0, 4.0]])
    box = torch.tensor([[2.0, 3, 11, 8]])
    target = Target((20, 30), box, torch.ones(1), fields={"points": points})
    for moved in (
        target.resize((40, 60)),
        target.flip_horizontal(),
        target.flip_vertical(),
        target.crop(1, 1, 9, 9),
    ):
        assert moved.fields["points"].tolist() == [[3, 4]] and not torch.equal(moved.boxes, box)


def test_sizes_may_be_numpys():
    """As they come out of an array of settings."""
    size = np.array([5, 7])
    assert Resize(size, size[1]).min_sizes == (5, 7) and Resize(size[0]).min_sizes == (5,)
    assert RandomResizedCrop(size).output_size == (5, 7)
    assert RandomResizedCrop(size[1]).output_size == (7, 7)
    assert RandomResizedCrop([6]).output_size == (6, 6)  # as torchvision takes it
