"""Transforms and batches of a configuration: what its keys say, in numbers that follow from them."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

pytest.importorskip("_ext.kernels", reason="run `python build_ffi.py` first")

import data  # noqa: E402
from data.transforms import Picture  # noqa: E402
from resnet import Config  # noqa: E402


def drawn(config, is_train, pixels):
    picture, _ = data.build_transforms(config, is_train)(Picture.of(pixels), None, random.Random(0))
    return picture.draw()


def test_transforms_follow_the_keys():
    pixels = np.full((40, 80, 3), (10, 20, 30), np.uint8)  # one colour, red, green, blue
    pixels[:, :40] += 100  # and a lighter half on the left
    config = Config.from_dict(
        {
            "INPUT.MIN_SIZE_TRAIN": (80,),
            "INPUT.MIN_SIZE_TEST": 60,
            "INPUT.MAX_SIZE_TEST": 100,
            "INPUT.PIXEL_MEAN": (1.0, 2.0, 3.0),
            "INPUT.PIXEL_STD": (2.0, 4.0, 5.0),
            "INPUT.HORIZONTAL_FLIP_PROB_TRAIN": 1.0,
        }
    )
    tested = drawn(config, False, pixels)
    assert tested.shape == (3, 50, 100)  # the longer side is at most 100
    right = torch.tensor([(30 - 1) / 2, (20 - 2) / 4, (10 - 3) / 5])  # blue, green, red
    left = torch.tensor([(130 - 1) / 2, (120 - 2) / 4, (110 - 3) / 5])
    torch.testing.assert_close(tested[:, 25, 99], right)
    torch.testing.assert_close(tested[:, 25, 0], left)
    trained = drawn(config, True, pixels)
    assert trained.shape == (3, 80, 160)
    torch.testing.assert_close(trained[:, 40, 0], right)  # mirrored
    torch.testing.assert_close(trained[:, 40, 159], left)
    config.INPUT.VERTICAL_FLIP_PROB_TRAIN = 1.0
    pixels[:20] = 0
    assert torch.equal(
        drawn(config, True, pixels)[:, 79], torch.tensor([-0.5, -0.5, -0.6])[:, None].expand(3, 160)
    )
    config.INPUT.TO_BGR255 = False
    config.INPUT.PIXEL_MEAN, config.INPUT.PIXEL_STD = (0.0,) * 3, (1.0,) * 3
    rgb = torch.tensor([10, 20, 30]) / 255
    torch.testing.assert_close(drawn(config, False, pixels)[:, 49, 99], rgb)
    config.INPUT.BRIGHTNESS = 0.5
    factors = drawn(config, True, pixels)[:, 0, 0] / rgb
    assert ((factors > 0.4) & (factors < 1.6)).all() and factors.max() != 1


def shapes(config, is_train):
    return data.Shapes(10, size=(60, 90), transforms=data.build_transforms(config, is_train))


CONFIG = {
    "INPUT.MIN_SIZE_TRAIN": (40, 48),
    "INPUT.MIN_SIZE_TEST": 40,
    "DATALOADER.SIZE_DIVISIBILITY": 32,
    "SOLVER": {"IMS_PER_BATCH": 3, "MAX_ITER": 7},
    "TEST": {"IMS_PER_BATCH": 4},
}


def test_batches_of_a_training_run():
    config = Config.from_dict(CONFIG)
    dataset = shapes(config, True)
    runs = [list(data.make_data_loader(config, dataset, seed=3)) for _ in range(2)]
    assert len(runs[0]) == 7 and len(data.make_data_loader(config, dataset)) == 7
    order = [index for _, _, indices in runs[0] for index in indices]
    assert order != sorted(order)
    for (images, targets, indices), again in zip(*runs, strict=True):
        assert len(indices) <= 3 and len(targets) == len(indices)
        assert images.tensors.shape[2] % 32 == 0 and images.tensors.shape[3] % 32 == 0
        assert len({height > width for height, width in images.image_sizes}) == 1
        assert min(min(size) for size in images.image_sizes) in (40, 48)
        assert indices == again[2] and torch.equal(images.tensors, again[0].tensors)


def test_a_training_run_goes_on_with_the_same_images():
    config = Config.from_dict(CONFIG)
    dataset = shapes(config, True)

    def loader(start):
        return data.make_data_loader(config, dataset, seed=3, start_iter=start)

    whole = list(loader(0))
    # the sizes and flips, too, which are drawn; by start_iter, by state_dict, and by both
    started, both = loader(4), loader(5)
    first = iter(started)
    given = [next(first)]
    first.close()
    state = started.state_dict()
    resumed = loader(0)
    resumed.load_state_dict(state)
    both.load_state_dict(state)
    for batches, expected in [
        (given, whole[4:5]),
        (resumed, whole[5:]),
        (both, whole[5:]),
        (loader(2), whole[2:]),
    ]:
        for (images, targets, indices), other in zip(batches, expected, strict=True):
            assert indices == other[2] and torch.equal(images.tensors, other[0].tensors)
            assert all(map(torch.equal, *([t.boxes for t in ts] for ts in (targets, other[1]))))


def test_batches_of_a_test():
    config = Config.from_dict(CONFIG)
    dataset = shapes(config, False)
    given = [indices for _, _, indices in data.make_data_loader(config, dataset, False)]
    assert sorted(index for indices in given for index in indices) == list(range(10))
    assert [len(indices) for indices in given] == [4, 4, 1, 1]  # five of either shape
    config.DATALOADER.ASPECT_RATIO_GROUPING = False
    plain = [indices for _, _, indices in data.make_data_loader(config, dataset, False)]
    assert [list(indices) for indices in plain] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    shares = [data.make_data_loader(config, dataset, False, rank=r, world=2) for r in (0, 1)]
    assert [[list(i) for _, _, i in share] for share in shares] == [
        [[0, 2], [4, 6], [8]],
        [[1, 3], [5, 7], [9]],
    ]


def test_defaults_and_refusals():
    config = Config()
    config.INPUT.MIN_SIZE_TEST = 40
    loader = data.make_data_loader(config, shapes(config, False), False)
    assert loader.threads == 4 and loader.batch_sampler.batch_size == 8  # DATALOADER, TEST
    assert len(data.make_data_loader(config, shapes(config, True))) == 40000  # SOLVER
    with pytest.raises(
        ValueError, match="TEST.IMS_PER_BATCH: expected a multiple of the 3 proc.*8"
    ):
        data.make_data_loader(config, shapes(config, False), False, world=3)
    with pytest.raises(ValueError, match="world: expected a whole number of at least 1, got 0"):
        data.make_data_loader(config, shapes(config, False), False, world=0)
    config.SOLVER["MAX_ITER"] = "many"
    with pytest.raises(ValueError, match="SOLVER.MAX_ITER: expected a whole number .* got 'many'"):
        data.make_data_loader(config, shapes(config, True))
