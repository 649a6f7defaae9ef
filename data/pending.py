"""Batches in the making, and the threads that make them.

A batch takes two rounds of tasks: `prepare` reads and decodes each image and draws the random
numbers of its transforms; when the last one is known, and with it the size of the batch, `draw` lets
the kernel write each into its place. Where the transforms give one size for all, each image is drawn
as soon as it is decoded, while the cache holds it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch

from data.buffers import BufferPool
from data.collate import ImageList, padded_size
from data.transforms import Picture

Batch = tuple[ImageList, list[Any], list[int]]


class Run:
    """What an iterator and its threads share."""

    def __init__(
        self,
        pool: BufferPool,
        size_divisibility: int,
        output_size: tuple[int, int] | None,
        threads: int,
    ) -> None:
        self.pool, self.size_divisibility = pool, size_divisibility
        self.output_size = output_size
        lock = threading.RLock()  # reentrant: the garbage collector may call stop() at any point
        self.work, self.done = threading.Condition(lock), threading.Condition(lock)
        self.tasks: deque[Callable[[], None]] = deque()
        self.closed = False
        self.threads = [
            threading.Thread(target=self.serve, name=f"data.Loader {number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self.threads:
            thread.start()

    def serve(self) -> None:
        """A worker thread."""
        torch.get_num_threads()  # tells OpenMP torch.set_num_threads' number, for what transforms compute
        while True:
            with self.work:
                while not self.tasks and not self.closed:
                    self.work.wait()
                if self.closed:
                    return
                task = self.tasks.popleft()
            task()
            del task  # or it would be kept, with its batch, until the next one comes

    def add(self, tasks: Iterable[Callable[[], None]], first: bool = False) -> None:
        """Put tasks in the queue; first: before what is there, since a batch waits for them."""
        with self.work:
            if first:
                self.tasks.extendleft(tasks)
            else:
                self.tasks.extend(tasks)
            self.work.notify_all()

    def stop(self) -> None:
        """Ends the threads after the tasks that they are at."""
        with self.work:
            self.closed = True
            self.tasks.clear()
            self.work.notify_all()
        if threading.current_thread() not in self.threads:
            for thread in self.threads:
                thread.join()


class PendingBatch:
    """A batch in the making."""

    def __init__(
        self, run: Run, prepare: Callable[[int, int], Any], number: int, indices: list[int]
    ) -> None:
        self.run, self.number, self.indices = run, number, indices
        self.prepare = prepare
        self.samples: list[Any] = [None] * len(self.indices)
        self.errors: dict[int, BaseException] = {}
        self.remaining = len(self.indices)
        self.ready = not self.indices
        self.result: Batch | None = None
        self.tensors: torch.Tensor | None = None
        if run.output_size is not None and self.indices:
            self.tensors = self.lease([run.output_size])
        run.add(partial(self.prepare_one, place) for place in range(len(self.indices)))

    def attempt(self, place: int, call: Callable[[], Any], then: Callable[[], None]) -> None:
        """call(), its error kept for the consumer; then(), if this was the last of its round."""
        result = None
        try:
            result = call()
        except BaseException as error:  # nothing may end a worker: the consumer would wait forever
            self.errors[place] = error
        self.samples[place] = result
        with self.run.work:
            self.remaining -= 1
            last = self.remaining == 0
        if last:
            try:
                if self.errors:
                    self.finish()
                else:
                    then()
            except BaseException as error:
                self.errors[place] = error
                self.finish()

    def lease(self, sizes: list[tuple[int, int]]) -> torch.Tensor:
        """Memory for the batch."""
        height, width = padded_size(sizes, self.run.size_divisibility)
        return self.run.pool.tensor(len(self.indices), 3, height, width)

    def prepare_one(self, place: int) -> None:
        self.attempt(place, lambda: self.prepared(place), self.allocate)

    def prepared(self, place: int) -> tuple[Picture | None, tuple[int, int], Any] | None:
        """The picture, or None if it is drawn already; its size; its target."""
        prepared = self.prepare(place, self.indices[place])
        if prepared is None:
            return None
        picture, target = prepared
        if self.tensors is None:
            return picture, picture.size, target
        picture.draw(self.tensors[place])
        return None, picture.size, target

    def allocate(self) -> None:
        """All images are known: takes memory for the batch and lets them be drawn."""
        kept = [place for place, sample in enumerate(self.samples) if sample is not None]
        if not kept:
            return self.finish()
        if self.tensors is not None and len(kept) < len(self.indices):
            self.tensors = self.tensors[kept]
        self.indices = [self.indices[place] for place in kept]
        pictures, sizes, targets = (
            list(column) for column in zip(*(self.samples[place] for place in kept), strict=True)
        )
        drawn = self.tensors is not None
        tensors = self.lease(sizes) if self.tensors is None else self.tensors
        self.result = (ImageList(tensors, sizes), targets, self.indices)
        self.samples = [None] * len(kept)
        if drawn:
            return self.finish()
        self.remaining = len(kept)
        self.run.add(
            [
                partial(self.draw_one, place, picture, tensors[place])
                for place, picture in enumerate(pictures)
            ],
            first=True,
        )

    def draw_one(self, place: int, picture: Picture, tensor: torch.Tensor) -> None:
        self.attempt(place, lambda: picture.draw(tensor) is None, self.finish)

    def finish(self) -> None:
        with self.run.done:
            self.ready = True
            self.run.done.notify_all()
