"""Memory of large results and copies."""

from __future__ import annotations

import ctypes
import mmap

import torch

from resnet.ops.native import is_traced

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


def in_dtype(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """x.to(dtype), in huge pages where that is a large copy."""
    if x.dtype == dtype:
        return x
    if is_traced(x) or torch._C._are_functorch_transforms_active():
        return x.to(dtype)
    return in_huge_pages(torch.empty_like(x, dtype=dtype)).copy_(x)
