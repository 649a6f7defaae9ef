"""Memory of images and batches that is used again as soon as nobody looks at it any more."""

from __future__ import annotations

import math
import weakref
from typing import Any

import numpy as np
import torch

from data.locks import fork_safe_lock

_ALIGNMENT = 64  # bytes: a cache line
_lending = fork_safe_lock()  # of all pools


class _Block:
    """Memory for one array at a time."""

    __slots__ = ("lent", "memory", "offset", "size")

    def __init__(self, size: int) -> None:
        memory = np.empty(size + _ALIGNMENT, np.uint8)
        self.offset = -memory.ctypes.data % _ALIGNMENT
        self.memory = memoryview(memory)  # an array would become the base of all views itself
        self.size = size  # in bytes, from there on
        self.lent: weakref.ref[Any] | None = None  # the base of the array and of all views of it

    def is_unused(self) -> bool:
        return self.lent is None or self.lent() is None

    def array(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        flat = np.frombuffer(self.memory, dtype, math.prod(shape), self.offset)
        self.lent = weakref.ref(flat)
        return flat.reshape(shape)


class BufferPool:
    """Arrays and tensors on recycled memory.

    Fresh memory costs a page fault per 4 KiB, more than the kernel that fills it: a fifth of the
    time that a JPEG takes to decode, and 10 MB per image of a detection batch. Memory is used again
    when the last view of an array or tensor is gone.

    Args:
        keep: how many blocks are known, in use or not.
        largest: bytes; a block that is larger is not kept.
    """

    def __init__(self, keep: int, largest: int = 1 << 40) -> None:
        self.keep, self.largest = keep, largest
        self.allocated = 0
        self._size = 0  # of new blocks: the largest asked for so far, so that each serves all
        self._blocks: list[_Block] = []  # in the order in which they were taken

    def array(self, *shape: int, dtype: Any = np.uint8) -> np.ndarray:
        """An array of this shape and type; what it holds is undefined."""
        wanted = math.prod(shape) * np.dtype(dtype).itemsize
        with _lending:
            block = self._unused(wanted) or self._new(wanted)
            return block.array(shape, dtype)

    def tensor(self, *shape: int, dtype: Any = np.float32) -> torch.Tensor:
        """The same as a tensor; dtype is NumPy's."""
        return torch.from_numpy(self.array(*shape, dtype=dtype))

    def _unused(self, wanted: int) -> _Block | None:
        """The smallest that is large enough; of equal ones the last taken, which the cache may still hold."""
        found = None
        for block in self._blocks:
            if (
                block.size >= wanted
                and (found is None or block.size <= found.size)
                and block.is_unused()
            ):
                found = block
        if found is not None and found is not self._blocks[-1]:
            self._blocks.remove(found)
            self._blocks.append(found)
        return found

    def _new(self, wanted: int) -> _Block:
        """In place of the smallest that is unused, or of the one taken first, whose memory its user frees."""
        self.allocated += 1
        if wanted > self.largest:
            return _Block(wanted)
        self._size = max(self._size, wanted)
        block = _Block(self._size)
        if len(self._blocks) >= self.keep:
            unused = [known for known in self._blocks if known.is_unused()]
            self._blocks.remove(min(unused, key=lambda known: known.size, default=self._blocks[0]))
        self._blocks.append(block)
        return block
