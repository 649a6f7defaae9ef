"""Loader: batches made by threads that decode and run the kernel, both without the GIL.

Worker threads hold the run's state, never its iterator, so an iterator that is dropped ends them.
"""

from __future__ import annotations

import random
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch.utils.data import BatchSampler, ConcatDataset, Subset

from data.buffers import BufferPool
from data.checks import check_whole
from data.dataset import ImageDataset, part_of, plain
from data.pending import Batch, PendingBatch, Run
from data.samplers import EpochSampler, IterationBatchSampler, begin_epoch
from data.transforms import Picture

_INSTEAD = "torch's DataLoader takes any other"


def _check_items(dataset: Any) -> None:
    """Raises a TypeError for a set whose own __getitem__ says what its samples are: threads call `prepare`."""
    kind = type(dataset)
    for base in (ImageDataset, Subset, ConcatDataset):
        if (
            isinstance(dataset, base)
            and kind.__getitem__ is not base.__getitem__
            and getattr(kind, "prepare", None) is getattr(base, "prepare", None)
        ):
            raise TypeError(
                f"Loader: expected samples as read() and transforms make them, got {kind.__qualname__} with a "
                f"__getitem__ of its own, which is not called here; write it as read() or a transform, or {_INSTEAD}"
            )
    if isinstance(dataset, Subset):
        _check_items(dataset.dataset)
    if isinstance(dataset, ConcatDataset):
        for part in dataset.datasets:
            _check_items(part)


def _output_size(dataset: Any) -> tuple[int, int] | None:
    """The size that all of a dataset's images have, if its transforms say so."""
    if isinstance(dataset, Subset):
        return _output_size(dataset.dataset)
    if isinstance(dataset, ConcatDataset):
        sizes = {_output_size(part) for part in dataset.datasets}
        return sizes.pop() if len(sizes) == 1 else None
    return getattr(getattr(dataset, "transforms", None), "output_size", None)


def _indices_of(batch: Any) -> list[Any]:
    """The indices of a batch; those of tensors, as of torch.randperm(n), as numbers.

    Raises:
        TypeError: it is a single one.
    """
    indices = batch.tolist() if isinstance(batch, torch.Tensor) else batch
    if not isinstance(indices, Iterable):
        raise TypeError(
            f"Loader: expected a batch_sampler that gives lists of indices, got {batch!r} of it; "
            "torch.utils.data.BatchSampler(sampler, batch_size, drop_last) makes them of a sampler"
        )
    return [plain(index) for index in indices]


class _LoaderIterator(Iterator[Batch]):
    """One epoch, or the rest of it."""

    def __init__(
        self,
        run: Run,
        batches: Iterator[tuple[int, Sequence[int]]],
        prepare: Callable[[int, int, int], Any],
        prefetch: int,
        position: dict[str, int],
    ) -> None:
        self._run, self._batches, self._prepare = run, batches, prepare
        self._prefetch, self._position = prefetch, position
        self._pending: deque[PendingBatch] = deque()
        self._stop = weakref.finalize(self, run.stop)  # also at the interpreter's exit
        self._fill()

    def _fill(self) -> None:
        for number, indices in islice(self._batches, self._prefetch - len(self._pending)):
            prepare = partial(self._prepare, number)
            self._pending.append(PendingBatch(self._run, prepare, number, _indices_of(indices)))

    def __next__(self) -> Batch:
        try:
            while self._pending and self._stop.alive:
                batch = self._pending[0]
                with self._run.done:
                    while not batch.ready:
                        self._run.done.wait()
                self._pending.popleft()
                if batch.errors:
                    error = batch.errors[min(batch.errors)]
                    if isinstance(error, StopIteration):  # which would be taken for the epoch's end
                        raise RuntimeError(
                            f"Loader: a sample of batch {batch.number} raised StopIteration, as next() does where "
                            "nothing is left; give it a default, next(iterator, None)"
                        ) from error
                    raise error
                self._position["batch"] = batch.number + 1
                self._fill()
                if batch.result is not None:  # not every image of it was skipped
                    return batch.result
        except BaseException:  # an error of ours, of the sampler's, or Ctrl-C
            self.close()
            raise
        if self._stop.alive:
            self._position.update(epoch=self._position["epoch"] + 1, batch=0)
        self.close()
        raise StopIteration

    def close(self) -> None:
        """Ends the threads; the iterator gives nothing more."""
        self._stop()
        self._pending.clear()


class Loader:
    """Batches of an `ImageDataset`, in order, made ahead by threads.

    Each iteration is an epoch: iter(loader) goes to the next one. What it gives depends on dataset,
    batches, seed and epoch alone, not on the number of threads. Batches are (ImageList, targets,
    indices), as from DataLoader with `PadCollate`, but that the indices are those of `dataset`, of a
    Subset, too. Their memory is used again when the last tensor that refers to it is gone; keep them as
    long as you like. An `IterationBatchSampler` that starts in the middle gives the images, too, that a
    run from the beginning has there.

    An error in a thread is raised where its batch would have come, and ends the iterator; so do
    Ctrl-C, `break`, and dropping it.

    Args:
        dataset: an `ImageDataset`, or torch's Subset or ConcatDataset of such.
        batch_size: of batches in the order of an `EpochSampler`.
        shuffle: see `EpochSampler`.
        drop_last: leave out a last batch that is smaller.
        batch_sampler: gives lists of indices; in place of batch_size, shuffle and drop_last. If it
            has `set_epoch`, or its sampler has, that is called first.
        seed: of the order and of all transforms.
        threads: how many; one per core is a good number.
        prefetch: batches that are made ahead, at least one.
        size_divisibility: see `pad_images`.

    Raises:
        ValueError: numbers out of range or not whole, or a batch_sampler with one of what it stands for.
        TypeError: a dataset, or a part of it, with a `__getitem__` of its own and no such `prepare`.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        *,
        shuffle: bool = False,
        drop_last: bool = False,
        batch_sampler: Iterable[Sequence[int]] | None = None,
        seed: int = 0,
        threads: int = 2,
        prefetch: int = 2,
        size_divisibility: int = 0,
    ) -> None:
        counts = {"batch_size": batch_size, "threads": threads, "prefetch": prefetch}
        for name, value in counts.items():
            check_whole(f"Loader: {name}", value, 1)
        for name, value in {"seed": seed, "size_divisibility": size_divisibility}.items():
            check_whole(f"Loader: {name}", value, 0)
        if batch_sampler is not None and (batch_size != 1 or shuffle or drop_last):
            raise ValueError(
                "Loader: batch_sampler decides on batch_size, shuffle and drop_last: leave them out"
            )
        _check_items(dataset)
        self.dataset, self.seed = dataset, int(seed)  # torch.load takes no NumPy number in a state
        if batch_sampler is None:
            sampler = EpochSampler(len(dataset), shuffle=shuffle, seed=seed)
            batch_sampler = BatchSampler(sampler, int(batch_size), drop_last)
        self.batch_sampler: Any = batch_sampler
        self.threads, self.prefetch = threads, prefetch
        self.size_divisibility = size_divisibility
        # One more with the consumer, one in the making, and one that a free-threaded Python frees later than others:
        # when the thread that made it runs again.
        self.pool = BufferPool(keep=prefetch + 3)
        # Batches are counted from the run's first one, which the transforms' numbers depend on.
        started = isinstance(batch_sampler, IterationBatchSampler)
        self._first = batch_sampler.start if started else 0
        self._next = {"epoch": 0, "batch": self._first}
        self._position = dict(self._next)

    def state_dict(self) -> dict[str, Any]:
        """Where the latest iterator is: the epoch, and how many batches of it it has given."""
        return {**self._decides(), **self._position}

    def _decides(self) -> dict[str, Any]:
        """What the batches depend on, as far as it can be told."""
        return {"seed": self.seed, "batch_size": getattr(self.batch_sampler, "batch_size", None)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The next iterator goes on where `state_dict` was called, in batches that are the same again.

        An `EpochSampler` gives them so, and torch's RandomSampler, which draws from the process's generator, does not.

        Raises:
            ValueError: it is no such state, or one of a loader with another seed or batch size.
        """
        missing = self.state_dict().keys() - state.keys()
        if missing:
            raise ValueError(
                f"Loader: expected what state_dict() gave, got a state without {', '.join(sorted(missing))}"
            )
        for name, value in self._decides().items():
            if state[name] != value:
                raise ValueError(
                    f"Loader: the state is of a loader with {name} {state[name]}, this one's is {value}: "
                    "it would give other batches"
                )
        self._next = {"epoch": state["epoch"], "batch": state["batch"]}
        self._position = dict(self._next)

    def __iter__(self) -> Iterator[Batch]:
        epoch, start = self._next["epoch"], max(self._next["batch"], self._first)
        self._position = {"epoch": epoch, "batch": start}
        self._next = {"epoch": epoch + 1, "batch": self._first}
        begin_epoch(self.batch_sampler, epoch)
        batches = islice(enumerate(self.batch_sampler, self._first), start - self._first, None)
        dataset, seed = self.dataset, self.seed

        def prepare(batch: int, place: int, index: int) -> tuple[Picture, Any] | None:
            rng = random.Random(f"{seed} {epoch} {batch} {place} {index}")
            part, at = part_of(dataset, index, "prepare", "Loader", "ImageDataset", _INSTEAD)
            return part.prepare(at, rng)

        run = Run(self.pool, self.size_divisibility, _output_size(dataset), self.threads)
        return _LoaderIterator(run, batches, prepare, self.prefetch, self._position)

    def __len__(self) -> int:
        """Batches of an epoch."""
        return len(self.batch_sampler)
