"""Transforms and batches as maskrcnn-benchmark's configuration asks for them: INPUT, DATALOADER, SOLVER, TEST.

A configuration is `resnet.Config`, or the original's own: anything with these sections as attributes.
"""

from __future__ import annotations

from typing import Any

from data.checks import check_whole
from data.loader import Loader
from data.samplers import EpochSampler, GroupedBatchSampler, IterationBatchSampler, aspect_groups
from data.transforms import (
    ColorJitter,
    Compose,
    Normalize,
    RandomHorizontalFlip,
    RandomVerticalFlip,
    Resize,
)

# Where a file says nothing of SOLVER and TEST, whose other keys are the detector's.
DEFAULTS = {"SOLVER.IMS_PER_BATCH": 16, "SOLVER.MAX_ITER": 40000, "TEST.IMS_PER_BATCH": 8}


def build_transforms(config: Any, is_train: bool = True) -> Compose:
    """The transforms of INPUT: colours, size and flips in training, the size in a test, and the pixels' scale.

    Args:
        config: its INPUT is read.
        is_train: False: MIN_SIZE_TEST and MAX_SIZE_TEST, and nothing at random.
    """
    given = config.INPUT
    scale = Normalize(given.PIXEL_MEAN, given.PIXEL_STD, given.TO_BGR255)
    if not is_train:
        return Compose([Resize(given.MIN_SIZE_TEST, given.MAX_SIZE_TEST), scale])
    return Compose(
        [
            ColorJitter(given.BRIGHTNESS, given.CONTRAST, given.SATURATION, given.HUE),
            Resize(given.MIN_SIZE_TRAIN, given.MAX_SIZE_TRAIN),
            RandomHorizontalFlip(given.HORIZONTAL_FLIP_PROB_TRAIN),
            RandomVerticalFlip(given.VERTICAL_FLIP_PROB_TRAIN),
            scale,
        ]
    )


def _count(config: Any, key: str) -> int:
    """One of DEFAULTS, or what the configuration has."""
    section, name = key.split(".")
    there = getattr(config, section)
    value = there.get(name, DEFAULTS[key]) if isinstance(there, dict) else getattr(there, name)
    check_whole(key, value, 1)
    return int(value)


def make_data_loader(
    config: Any,
    dataset: Any,
    is_train: bool = True,
    *,
    seed: int = 0,
    start_iter: int = 0,
    rank: int = 0,
    world: int = 1,
) -> Loader:
    """Batches of (ImageList, targets, indices) as DATALOADER, SOLVER and TEST ask for them.

    In training: SOLVER.MAX_ITER batches, each epoch in another order. In a test: every image once (the first ones
    twice, where the ranks would get unequally many), in order where images of both shapes are not kept apart.

    Args:
        config: DATALOADER's ASPECT_RATIO_GROUPING keeps images that are wider than high from the others,
            SIZE_DIVISIBILITY rounds the batches' sizes up, NUM_WORKERS is the number of threads (0: one).
            SOLVER.IMS_PER_BATCH or TEST.IMS_PER_BATCH is the number of images of all ranks together.
        dataset: an `ImageDataset` whose transforms are `build_transforms(config, is_train)`; for
            ASPECT_RATIO_GROUPING with `get_img_info`, as `DetectionDataset` has it.
        is_train: False: a test.
        seed: of the order and of all transforms.
        start_iter: of a training run that goes on: how many batches are done.
        rank, world: this process's number, and how many there are.

    Raises:
        ValueError: a key's value cannot be, or the ranks cannot share the images of a batch.
    """
    sampler = EpochSampler(len(dataset), shuffle=is_train, seed=seed, rank=rank, world=world)
    images = _count(config, "SOLVER.IMS_PER_BATCH" if is_train else "TEST.IMS_PER_BATCH")
    if images % world:
        key = "SOLVER" if is_train else "TEST"
        raise ValueError(
            f"{key}.IMS_PER_BATCH: expected a multiple of the {world} processes that share it, got {images}"
        )
    loading = config.DATALOADER
    groups = aspect_groups(dataset) if loading.ASPECT_RATIO_GROUPING else [0] * len(dataset)
    batches: Any = GroupedBatchSampler(sampler, groups, images // world)
    if is_train:
        batches = IterationBatchSampler(batches, _count(config, "SOLVER.MAX_ITER"), start_iter)
    return Loader(
        dataset,
        batch_sampler=batches,
        seed=seed,
        threads=max(loading.NUM_WORKERS, 1),
        size_divisibility=loading.SIZE_DIVISIBILITY,
    )
