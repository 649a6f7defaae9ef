"""Memory of large results."""

from __future__ import annotations

import ctypes
import mmap

import torch

_LARGE = 4 << 20  # bytes, as for NumPy's arrays
_madvise = getattr(ctypes.CDLL(None), "madvise", None) if hasattr(mmap, "MADV_HUGEPAGE") else None
if _madvise is not None:
    _madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def in_huge_pages(new: torch.Tensor) -> torch.Tensor:
    """Asks for pages of 2 MiB for a tensor that nothing was written to yet, if it is large and on the CPU.

    Each page of 4 KiB costs a fault when it is first touched, for large results more than computing them.
    """
    if _madvise is not None and new.nbytes >= _LARGE and new.device.type == "cpu":
        page = mmap.PAGESIZE
        begin, end = new.data_ptr(), new.data_ptr() + new.nbytes
        begin = -(-begin // page) * page
        _madvise(begin, end - begin, mmap.MADV_HUGEPAGE)  # advice: nothing is lost where it fails
    return new
