"""Samplers: epochs and ranks, batches of like shape in order, iterations that go on where they stopped."""

from __future__ import annotations

import random

import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DistributedSampler,
    RandomSampler,
    Subset,
)

pytest.importorskip("_ext.kernels", reason="run `python build_ffi.py` first")

import data  # noqa: E402
from data import EpochSampler, GroupedBatchSampler, IterationBatchSampler  # noqa: E402


def test_epochs_are_determined_by_seed_and_epoch():
    sampler = EpochSampler(100, seed=1)
    first = list(sampler)
    assert (
        sorted(first) == list(range(100)) and first != list(range(100)) and first == list(sampler)
    )
    sampler.set_epoch(1)
    second = list(sampler)
    assert sorted(second) == list(range(100)) and second != first
    assert list(EpochSampler(100, seed=2)) not in (first, second)
    assert list(EpochSampler(5, shuffle=False)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("length", "world"), [(10, 2), (10, 3), (7, 4), (2, 5), (0, 2)])
def test_ranks_share_an_epoch(length, world):
    shares = [EpochSampler(length, rank=rank, world=world) for rank in range(world)]
    given = [index for share in shares for index in share]
    assert len({len(list(share)) for share in shares}) == 1
    assert [len(list(share)) for share in shares] == [len(share) for share in shares]
    assert set(given) == set(range(length)) and len(given) < length + world
    with pytest.raises(ValueError, match="expected 0 <= rank < world, got 2 and 2"):
        EpochSampler(3, rank=2, world=2)


def reference_batches(order: list[int], groups: list[int], size: int) -> list[list[int]]:
    """maskrcnn-benchmark's rule in words: split each group, sort the batches by their first place."""
    batches = []
    for group in set(groups):
        members = [index for index in order if groups[index] == group]
        batches += [members[i : i + size] for i in range(0, len(members), size)]
    return sorted(batches, key=lambda batch: order.index(batch[0]))


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_grouped_batches(size):
    rng = random.Random(size)
    for _ in range(30):
        groups = [rng.randrange(3) for _ in range(rng.randrange(1, 40))]
        order = rng.sample(range(len(groups)), len(groups))
        expected = reference_batches(order, groups, size)
        sampler = GroupedBatchSampler(order, groups, size)
        assert list(sampler) == expected and len(sampler) == len(expected)
        even = GroupedBatchSampler(order, groups, size, drop_uneven=True)
        assert list(even) == [batch for batch in expected if len(batch) == size]


def test_grouping_by_aspect_ratio():
    dataset = data.Shapes(6, size=(40, 50))
    assert data.aspect_groups(dataset) == [0, 1, 0, 1, 0, 1]
    assert data.aspect_groups(dataset, (0.7, 1.0, 1.2)) == [1, 3, 1, 3, 1, 3]
    combined = ConcatDataset(
        [Subset(dataset, [1, 4]), Subset(Subset(dataset, [5, 2]), [1]), dataset]
    )
    assert data.aspect_groups(combined) == [1, 0, 0] + [0, 1, 0, 1, 0, 1]
    with pytest.raises(
        TypeError, match=r"a data.DetectionDataset, .* which has no get_img_info\(\); give"
    ):
        data.aspect_groups(Subset([1, 2], [0]))
    batches = list(GroupedBatchSampler(EpochSampler(6), data.aspect_groups(dataset), 3))
    assert sorted(sorted(batch) for batch in batches) == [[0, 2, 4], [1, 3, 5]]


@pytest.mark.parametrize("own", [None, torch.Generator()])
def test_asking_for_the_length_changes_no_order(own):
    """As a progress bar does; torch's RandomSampler draws from the generator that the run draws from, or its own."""
    given = []
    for asked in (False, True):
        (own or torch.default_generator).manual_seed(3)
        sampler = RandomSampler(range(9), generator=own)
        batches = GroupedBatchSampler(sampler, [i % 2 for i in range(9)], 2)
        assert not asked or len(batches) == 5
        given.append((list(batches), torch.rand(1, generator=own).item()))
    assert given[0] == given[1]


def batches_of_epochs() -> GroupedBatchSampler:
    return GroupedBatchSampler(EpochSampler(10, seed=3), [i % 2 for i in range(10)], 2)


def test_iterations_go_through_epochs_and_can_begin_anywhere():
    whole = list(IterationBatchSampler(batches_of_epochs(), 20))
    assert len(whole) == 20
    assert sorted(sum(whole[:6], [])) == list(range(10)) == sorted(sum(whole[6:12], []))
    assert whole[:6] != whole[6:12]
    for start in (0, 1, 6, 13, 20, 25):
        rest = IterationBatchSampler(batches_of_epochs(), 20, start)
        assert list(rest) == whole[start:] and len(rest) == len(whole[start:])
    with pytest.raises(ValueError, match="gave no batch"):
        list(IterationBatchSampler([], 3))


@pytest.mark.parametrize("kind", ["ours", "torchs"])
def test_torchs_batch_sampler_is_told_of_epochs(kind):
    """It has no set_epoch, and each epoch would have the first one's order."""
    dataset = data.Shapes(12, size=(16, 16))
    ours = EpochSampler(12, rank=1, world=2)
    sampler = ours if kind == "ours" else DistributedSampler(dataset, 2, 1)
    epochs = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        order = list(sampler)
        epochs += [order[:3], order[3:]]
    assert epochs[:2] != epochs[2:4] != epochs[4:]
    batches = BatchSampler(sampler, 3, False)
    assert list(IterationBatchSampler(batches, 6)) == epochs
    loader = data.Loader(dataset, batch_sampler=batches)
    assert [indices for _ in range(3) for _, _, indices in loader] == epochs


def test_torch_data_loader_takes_them():
    dataset = data.Shapes(10, size=(40, 50))
    sampler = IterationBatchSampler(batches_of_epochs(), 8)
    loader = torch.utils.data.DataLoader(
        dataset, batch_sampler=sampler, collate_fn=data.PadCollate(32)
    )
    batches = list(loader)
    assert [indices for _, _, indices in batches] == list(sampler)
    assert all(len(set(images.image_sizes)) == 1 for images, _, _ in batches)


def test_what_samplers_refuse():
    with pytest.raises(ValueError, match="EpochSampler: seed: .* of at least 0, got -1"):
        EpochSampler(3, seed=-1)
    with pytest.raises(ValueError, match="length: expected a whole number of at least 0, got -1"):
        EpochSampler(-1)
    with pytest.raises(ValueError, match=r"gave index \d, but groups has those of 0\.\.1; give it"):
        list(GroupedBatchSampler(EpochSampler(5), [0, 1], 2))
    with pytest.raises(ValueError, match="gave index -1, but groups has those of 0"):
        list(GroupedBatchSampler([-1], [0, 1], 2))
    with pytest.raises(
        ValueError, match="batch_size: expected a whole number of at least 1, got 0"
    ):
        GroupedBatchSampler([0], [0], 0)
    with pytest.raises(ValueError, match="iterations: expected a whole number .* got 90000.0"):
        IterationBatchSampler([[0]], 9e4)
    with pytest.raises(ValueError, match="start: expected a whole number of at least 0, got -1"):
        IterationBatchSampler([[0]], 3, start=-1)
