"""Memory of images and batches that is used again as soon as nobody looks at it any more."""

from __future__ import annotations

import math
import threading
import weakref
from collections import deque
from typing import NamedTuple

import numpy as np
import torch

__all__ = ["BufferPool"]

_ALIGNMENT = 64  # bytes: a cache line


class _Block(NamedTuple):
    """Memory, and the first address in it that is aligned."""

    memory: np.ndarray
    address: int
    size: int  # in bytes, from there on

    @classmethod
    def of(cls, size: int) -> _Block:
        memory = np.empty(size + _ALIGNMENT, np.uint8)
        address = memory.ctypes.data
        return cls(memory, address + -address % _ALIGNMENT, size)


class _Lease:
    """The owner of an array's memory. (No array: NumPy replaces a base that is one by that one's.)"""

    def __init__(self, block: _Block, count: int) -> None:
        self.block = block
        self.__array_interface__ = {
            "version": 3,
            "typestr": "|u1",
            "shape": (count,),
            "data": (block.address, False),
        }


class BufferPool:
    """Arrays and tensors on recycled memory.

    Fresh memory costs a page fault per 4 KiB, more than the kernel that fills it: a fifth of the
    time that a JPEG takes to decode, and 10 MB per image of a detection batch. Memory comes back
    when the last view of an array or tensor is gone.

    Args:
        keep: how many free blocks are kept, at most.
        largest: bytes; a block that is larger is not kept.
    """

    def __init__(self, keep: int, largest: int = 1 << 40) -> None:
        self.keep, self.largest = keep, largest
        self.allocated = 0
        self._free: list[_Block] = []
        self._leased: dict[weakref.ref[_Lease], _Block] = {}
        # A reference whose lease has ended calls append, and no line of Python: Ctrl-C would be lost in it.
        self._ended: deque[weakref.ref[_Lease]] = deque()
        self._lock = threading.Lock()

    def array(self, *shape: int) -> np.ndarray:
        """A uint8 array of this shape; what it holds is undefined."""
        count = math.prod(shape)
        with self._lock:
            self._take_back()
            block = self._fitting(count)
            lease = _Lease(block, count)
            if block.size <= self.largest:
                self._leased[weakref.ref(lease, self._ended.append)] = block
        return np.asarray(lease).reshape(shape)

    def tensor(self, *shape: int) -> torch.Tensor:
        """A float32 tensor of this shape; what it holds is undefined."""
        memory = self.array(4 * math.prod(shape))
        return torch.from_numpy(memory.view(np.float32)).view(shape)

    def _take_back(self) -> None:
        while self._ended:  # leases end at any time, in any thread, so one at a time
            self._free.append(self._leased.pop(self._ended.popleft()))

    def _fitting(self, wanted: int) -> _Block:
        """The smallest free block that is large enough, or a new one in place of the smallest.

        Of equal ones the last that came back, which the cache may still hold.
        """
        free = sorted(reversed(self._free), key=lambda block: block.size)
        found = next((number for number, block in enumerate(free) if block.size >= wanted), None)
        if found is None:
            self.allocated += 1
            block = _Block.of(wanted)
            free = free[1:] if len(free) >= self.keep else free
        else:
            block = free.pop(found)
        self._free = list(reversed(free[-self.keep :]))
        return block
