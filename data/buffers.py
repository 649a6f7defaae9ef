"""Batch memory that is used again as soon as nobody looks at it any more."""

from __future__ import annotations

import math
import threading
import weakref

import numpy as np
import torch

__all__ = ["BufferPool"]

_ALIGNMENT = 16  # in float32: a cache line


class BufferPool:
    """float32 tensors on recycled memory.

    Fresh memory costs a page fault per 4 KiB, more than the kernel that fills it: 10 MB per image of
    a detection batch. A tensor's memory comes back when the last view of it is gone.

    Args:
        keep: how many free blocks are kept, at most.
    """

    def __init__(self, keep: int) -> None:
        self.keep = keep
        self.allocated = 0
        self._free: list[np.ndarray] = []
        self._lock = threading.Lock()

    def lease(self, *shape: int) -> torch.Tensor:
        """A tensor of this shape; what it holds is undefined."""
        wanted = math.prod(shape) + _ALIGNMENT
        with self._lock:
            block = self._fitting(wanted)
        skip = -(block.ctypes.data // block.itemsize) % _ALIGNMENT
        view = block[skip : skip + wanted - _ALIGNMENT]
        # torch holds `view` as long as the storage lives, and its end tells the pool
        weakref.finalize(view, self._free.append, block).atexit = False
        return torch.from_numpy(view).view(shape)

    def _fitting(self, wanted: int) -> np.ndarray:
        """The smallest free block that is large enough, or a new one in place of the smallest."""
        free: list[np.ndarray] = []
        while self._free:  # blocks come back at any time, from any thread: no other lock is needed
            free.append(self._free.pop())
        free.sort(key=len)
        found = next((number for number, block in enumerate(free) if len(block) >= wanted), None)
        if found is None:
            self.allocated += 1
            block = np.empty(wanted, np.float32)
            free = free[1:]
        else:
            block = free.pop(found)
        self._free.extend(free[-self.keep :])
        return block
