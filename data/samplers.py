"""Samplers: epochs that a seed determines, shared by ranks; batches of like shape; so many iterations."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.utils.data import BatchSampler, Sampler

from data.checks import check_whole
from data.dataset import part_of


def begin_epoch(sampler: Any, epoch: int) -> None:
    """Calls a sampler's `set_epoch`, or that of the sampler in torch's BatchSampler, which does not pass it on."""
    while isinstance(sampler, BatchSampler) and not hasattr(sampler, "set_epoch"):
        sampler = sampler.sampler
    if hasattr(sampler, "set_epoch"):
        sampler.set_epoch(epoch)


class EpochSampler(Sampler[int]):
    """Every index once per epoch, in an order that seed and epoch determine; a part of it per rank.

    Args:
        length: of the dataset.
        shuffle: False: in the dataset's order.
        seed: of all epochs; not negative.
        rank, world: this process's number, and how many there are. Ranks get equally many: the
            first indices are given out twice where the length is no multiple of world.
    """

    def __init__(
        self, length: int, *, shuffle: bool = True, seed: int = 0, rank: int = 0, world: int = 1
    ) -> None:
        check_whole("EpochSampler: rank", rank, 0)
        check_whole("EpochSampler: world", world, 1)
        if rank >= world:
            raise ValueError(f"EpochSampler: expected 0 <= rank < world, got {rank} and {world}")
        check_whole("EpochSampler: length", length, 0)
        check_whole("EpochSampler: seed", seed, 0)
        self.length, self.shuffle, self.seed = length, shuffle, seed
        self.rank, self.world = rank, world
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """The epoch that the next iteration goes through."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        order = torch.arange(self.length, device="cpu")
        if self.shuffle:
            seed = np.random.SeedSequence((self.seed, self.epoch)).generate_state(1, np.uint64)
            generator = torch.Generator().manual_seed(int(seed[0] >> np.uint64(1)))
            order = torch.randperm(self.length, generator=generator, device="cpu")
        total = len(self) * self.world
        while 0 < len(order) < total:
            order = torch.cat([order, order[: total - len(order)]])
        return iter(order[self.rank :: self.world].tolist())

    def __len__(self) -> int:
        return -(-self.length // self.world)


def aspect_groups(dataset: Any, edges: Sequence[float] = (1.0,)) -> list[int]:
    """For each image of a detection set the group of its height / width, divided at `edges`.

    With the edge 1: 0 is wider than high, 1 is not.

    Raises:
        TypeError: the set has no `get_img_info`, nor is a Subset or ConcatDataset of such.
    """
    groups = []
    for number in range(len(dataset)):
        names = ("get_img_info", "aspect_groups", "DetectionDataset", "give it one")
        part, index = part_of(dataset, number, *names)
        info = part.get_img_info(index)
        groups.append(bisect_right(edges, info["height"] / info["width"]))
    return groups


class GroupedBatchSampler(Sampler[list[int]]):
    """Batches of one group each, as near to the sampler's order as that allows.

    A batch stands where its first index stood.

    Args:
        sampler: of indices.
        groups: the group of each index.
        batch_size: indices in a batch; the last one of each group may have fewer.
        drop_uneven: leave those out.
    """

    def __init__(
        self,
        sampler: Iterable[int],
        groups: Sequence[int],
        batch_size: int,
        drop_uneven: bool = False,
    ) -> None:
        check_whole("GroupedBatchSampler: batch_size", batch_size, 1)
        self.sampler, self.groups = sampler, list(groups)
        self.batch_size, self.drop_uneven = int(batch_size), drop_uneven

    def set_epoch(self, epoch: int) -> None:
        """Passed on to the sampler."""
        begin_epoch(self.sampler, epoch)

    def _batches(self) -> list[list[int]]:
        batches: list[list[int]] = []
        unfilled: dict[int, list[int]] = {}
        for index in self.sampler:
            if not 0 <= index < len(self.groups):
                raise ValueError(
                    f"GroupedBatchSampler: the sampler gave index {index}, but groups has those of "
                    f"0..{len(self.groups) - 1}; give it a group for each index"
                )
            group = self.groups[index]
            if group not in unfilled:
                unfilled[group] = []
                batches.append(unfilled[group])
            unfilled[group].append(index)
            if len(unfilled[group]) == self.batch_size:
                del unfilled[group]
        if self.drop_uneven:
            return [batch for batch in batches if len(batch) == self.batch_size]
        return batches

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self._batches())

    def __len__(self) -> int:
        """Batches of the epoch that is set; another one may have a few more or fewer per rank."""
        # A sampler of torch draws from the process's generator, or from its own: the run would go on with other numbers
        # where somebody, such as a progress bar, asks for the length.
        own = getattr(self.sampler, "generator", None)
        drawn = [g for g in (torch.default_generator, own) if isinstance(g, torch.Generator)]
        states = [generator.get_state() for generator in drawn]
        try:
            return len(self._batches())
        finally:
            for generator, state in zip(drawn, states, strict=True):
                generator.set_state(state)


class IterationBatchSampler(Sampler[list[int]]):
    """Batches of one epoch after the other, until there were so many.

    Args:
        batch_sampler: of an epoch; its `set_epoch`, or its sampler's, is called before each.
        iterations: how many batches in all.
        start: how many of them are done already: a run that begins there gets the same as one that
            was not interrupted.
    """

    def __init__(
        self, batch_sampler: Iterable[Sequence[int]], iterations: int, start: int = 0
    ) -> None:
        check_whole("IterationBatchSampler: iterations", iterations, 0)
        check_whole("IterationBatchSampler: start", start, 0)
        self.batch_sampler, self.iterations, self.start = batch_sampler, iterations, start

    def __iter__(self) -> Iterator[list[int]]:
        done, epoch = 0, 0
        while done < self.iterations:
            begin_epoch(self.batch_sampler, epoch)
            before = done
            for batch in islice(self.batch_sampler, self.iterations - done):
                if done >= self.start:
                    yield list(batch)
                done += 1
            if done == before:
                raise ValueError("IterationBatchSampler: the batch sampler gave no batch")
            epoch += 1

    def __len__(self) -> int:
        return max(self.iterations - self.start, 0)
