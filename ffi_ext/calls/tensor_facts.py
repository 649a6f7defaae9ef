"""Whether C can work on a tensor as it lies in memory, and what it has to know of it."""

from __future__ import annotations

import torch

from ffi_ext import types
from ffi_ext.calls import tiers
from ffi_ext.calls.refusals import DTYPES

_TH_DTYPES = frozenset(DTYPES.values())


def without_dead_wrappers(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor inside of what a transform of torch.func that has returned leaves around it.

    Such is what the function that `vjp` gives has saved. torch's own operators look inside, too.
    """
    unwrap = torch._C._functorch.unwrap_if_dead
    while (inner := unwrap(tensor)) is not tensor:
        tensor = inner
    return tensor


def facts_or_problem(code: str, tensor: torch.Tensor) -> tiers.Facts | str:
    """What C has to know of a tensor where it takes one of that code, or why it cannot work on it."""
    if tensor.is_nested:
        return (
            "a nested tensor has no strided memory; pad it with torch.nested.to_padded_tensor(..., 0), or pass the "
            "tensors of .unbind()"
        )
    if tensor.layout is not torch.strided:
        layout = str(tensor.layout).removeprefix("torch.")
        return f"a {layout} tensor has no strided memory; convert it with .to_dense()"
    if tensor.is_conj() or tensor.is_neg():
        return "its values are conjugated or negated lazily; use .resolve_conj().resolve_neg()"
    wrapping = torch._C._functorch
    if wrapping.is_functorch_wrapped_tensor(tensor) or wrapping.is_legacy_batchedtensor(tensor):
        return "it is wrapped by torch.func (vmap, grad ...) or is_grads_batched; C functions need a plain tensor"
    if tensor.dtype not in tiers.SCALAR_TYPES:
        return f"C has no view on {tensor.dtype}"
    takes_any = code in (*types.ARRAY_CODES, *types.MEMORY_CODES)
    if tensor.dtype not in _TH_DTYPES and not takes_any:
        return f"{tensor.dtype} has no TH type"
    if type(tensor).__name__ in ("FakeTensor", "FunctionalTensor"):
        return (
            "it has no memory behind it: torch.export, torch.compile and their like see through operators alone, which "
            "ffi_ext.library.register(module) makes"
        )
    try:
        address = tensor.data_ptr()  # gives a copy-on-write tensor memory of its own
        facts = tiers.facts_of(tensor)
    except RuntimeError as error:
        if "allocate" in str(error) and not isinstance(error, NotImplementedError):
            raise MemoryError(str(error)) from error
        return (
            f"a {type(tensor).__name__} has no memory of its own ({str(error).splitlines()[0]}); give the plain tensor "
            "that it stands for, as .to_local() of a DTensor or .wait() of an AsyncCollectiveTensor does"
        )
    if tensor.numel() and not (address and facts[5]):
        return "it has no memory behind it (a wrapper subclass, or a storage that was freed)"
    if not _covers(facts):
        return "its storage is smaller than its shape needs (it was resized below the view)"
    return facts


def _covers(facts: tiers.Facts) -> bool:
    scalar_type, size, stride, offset, _, _, storage_bytes, *_ = facts
    if 0 in size:
        return True
    last = offset
    for n, step in zip(size, stride, strict=True):
        last += (n - 1) * step
    return (last + 1) * tiers.DTYPES[scalar_type].itemsize <= storage_bytes
