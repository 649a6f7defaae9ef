"""How the runtime reads torch tensors: chooses the quickest tier that this torch verifiably supports."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import _disable_current_modes

from ffi_ext import constraints

Facts = tuple[int, tuple[int, ...], tuple[int, ...], int, int, int, int, int, int]

# torch's ScalarType numbers, as its C interfaces use them.
SCALAR_TYPES: dict[torch.dtype, int] = {
    getattr(torch, name): number
    for name, number in constraints.DTYPES.items()
    if hasattr(torch, name)
}
DTYPES = {number: dtype for dtype, number in SCALAR_TYPES.items()}


def facts_of(tensor: torch.Tensor) -> Facts:
    """Everything the runtime must know of a tensor, asked through Python.

    Returns:
        ScalarType, sizes, strides, storage offset (elements), StorageImpl address, storage data
        address, storage bytes, whether it requires grad, its GPU's index + 1 (0: the CPU).
    """
    storage = tensor.untyped_storage()
    return (
        SCALAR_TYPES[tensor.dtype],
        tuple(tensor.size()),
        tuple(tensor.stride()),
        int(tensor.storage_offset()),
        storage._cdata,
        storage.data_ptr(),
        storage.nbytes(),
        int(tensor.requires_grad),
        tensor.get_device() + 1 if tensor.is_cuda else 0,
    )


def _device(cuda: int) -> torch.device:
    """From a GPU's index + 1; 0 is the CPU."""
    return torch.device("cuda", cuda - 1) if cuda else torch.device("cpu")


def _create(scalar_type: int, cuda: int, elements: int) -> tuple[torch.Tensor, int, int]:
    tensor = torch.empty(elements, dtype=DTYPES[scalar_type], device=_device(cuda))
    storage = tensor.untyped_storage()
    return tensor, storage._cdata, storage.data_ptr()


def _grow(tensor: torch.Tensor, size: int) -> tuple[torch.Tensor, int, int]:
    storage = tensor.untyped_storage()
    # torch calls every CUDA tensor shared: it could be sent to another process as it is.
    if not storage.resizable() or (tensor.is_shared() and not tensor.is_cuda):
        raise RuntimeError("Trying to resize storage that is not resizable")
    if size != storage.nbytes():
        storage.resize_(size)
    return tensor, storage._cdata, storage.data_ptr()


def _torch_geometry(
    offset: int, size: tuple[int, ...], stride: tuple[int, ...]
) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    """TH's empty tensor has no dimensions; torch's has one, of size 0."""
    return (offset, size, stride) if size else (0, (0,), (1,))


def _assign(
    target: torch.Tensor,
    owner: torch.Tensor,
    offset: int,
    size: tuple[int, ...],
    stride: tuple[int, ...],
) -> None:
    with torch.no_grad():
        target.set_(owner.untyped_storage(), *_torch_geometry(offset, size, stride))


def _make(
    place: tuple[int, int],
    owner: torch.Tensor | None,
    offset: int,
    size: tuple[int, ...],
    stride: tuple[int, ...],
) -> torch.Tensor:
    scalar_type, cuda = place
    tensor = torch.empty(0, dtype=DTYPES[scalar_type], device=_device(cuda))
    storage = (tensor if owner is None else owner).untyped_storage()
    return tensor.set_(storage, *_torch_geometry(offset, size, stride))


def _alias(tensor: torch.Tensor) -> torch.Tensor:
    return torch.empty(0, dtype=tensor.dtype, device=tensor.device).set_(
        tensor.untyped_storage(), 0, (0,), (1,)
    )


class _CudaMemory:
    """Memory on a GPU, as NumPy's and torch's array interface describes it."""

    def __init__(self, address: int, size: int, owner: object) -> None:
        self.owner = owner
        self.__cuda_array_interface__ = {
            "version": 2,
            "shape": (size,),
            "typestr": "|u1",
            "data": (address, False),
        }


def _adopt(address: int, size: int, scalar_type: int, cuda: int, owner: object) -> torch.Tensor:
    """Memory that C allocated, as a 1-dim tensor that keeps `owner` alive."""
    dtype = DTYPES[scalar_type]
    if size == 0:
        return torch.empty(0, dtype=dtype, device=_device(cuda))
    if cuda:
        return torch.as_tensor(_CudaMemory(address, size, owner), device=_device(cuda)).view(dtype)
    memory = (ctypes.c_char * size).from_address(address)
    memory._owner = owner  # type: ignore[attr-defined]
    return torch.frombuffer(memory, dtype=dtype)


def _bump_version(tensor: torch.Tensor, always: int) -> None:
    if always or torch.is_grad_enabled():
        torch.autograd.graph.increment_version(tensor)


HOOKS: dict[str, Callable[..., Any]] = {  # what C asks of torch: ffi_hooks in csrc/function.h
    "create": _create,
    "grow": _grow,
    "assign": _assign,
    "make": _make,
    "alias": _alias,
    "bump_version": _bump_version,
    "adopt": _adopt,
}


def _dense_samples() -> list[torch.Tensor]:
    """Tensors that differ in every field the quick tier reads."""
    samples = [
        torch.zeros(3),
        torch.zeros(2, 3, dtype=torch.float64).t(),
        torch.arange(40).view(5, 8)[1:4, ::2],
        torch.zeros((), dtype=torch.int32),
        torch.zeros(7, dtype=torch.int16)[2:],
        torch.zeros(0, dtype=torch.int8),
        torch.zeros(0, 4, dtype=torch.uint8),
        torch.zeros(2, 1, 3, 1, 2, dtype=torch.float16),
        torch.zeros(1, 2, 3, 2, 1, 2).permute(5, 3, 1, 0, 2, 4),
        torch.zeros(1, 2, 1, 2, 1, 2, 1, 2, dtype=torch.uint8),
        torch.zeros(4, requires_grad=True),
        torch.nn.Parameter(torch.zeros(2, 2, dtype=torch.float64)),
    ]
    with torch.inference_mode():
        samples.append(torch.zeros(6))
    return samples


def _odd_samples() -> list[torch.Tensor]:
    """Tensors that C must not see as they are: the quick tier has to hand each of them on."""
    real = torch.zeros(3)
    return [
        torch._neg_view(real),
        torch.zeros(2, dtype=torch.complex64).conj(),
        torch.zeros(2, device="meta"),
        torch.zeros(2, 2).to_sparse(),
        torch.zeros(2, dtype=torch.bool),
        torch.zeros(2, dtype=torch.bfloat16),
    ]


def _probes(samples: list[torch.Tensor]) -> list[tuple[Any, ...]]:
    probes = []
    for tensor in samples:
        scalar_type, size, stride, offset, storage, data, size_bytes, *_ = facts_of(tensor)
        keys = torch._C._dispatch_keys(tensor).raw_repr()
        probes.append((tensor, keys, size, stride, offset, scalar_type, storage, data, size_bytes))
    return probes


def _libraries() -> list[str]:
    folder = Path(torch.__file__).with_name("lib")
    found = []
    for stem in ("torch_cpu", "torch_python", "c10", "c10_cuda", "torch_cuda"):
        for name in (f"lib{stem}.so", f"lib{stem}.dylib"):
            if (folder / name).exists():
                found.append(str(folder / name))
    return found


def choose(runtime: Any) -> str:
    """Sets up the runtime's tier.

    The native tier reads tensors where a search found their fields and is taken only if all it
    reads agrees with what Python says, and if it hands on every tensor that C must not see. The
    Python tier works with any torch. `FFI_EXT_TIER=python` asks for the latter.

    Returns:
        The name of the tier: "native" or "python".
    """
    # The first call may be made in any context, such as torch.func.grad or a FakeTensorMode, where the same calls of
    # torch make other tensors; the samples are plain CPU tensors.
    with (
        _disable_current_modes(),
        torch._C._DisableFuncTorch(),
        torch.inference_mode(False),
        torch.device("cpu"),
    ):
        return _choose(runtime)


def _choose(runtime: Any) -> str:
    header = object.__basicsize__
    if os.environ.get("FFI_EXT_TIER", "native") == "python":
        return runtime.choose_tier(_libraries(), [], header)
    samples = _dense_samples()
    try:
        probes = _probes(samples)
    except AttributeError:  # a torch without the introspection that the search needs
        probes = []
    # Where the C++ tensor lies in its Python object: before torch 2.10 behind a flag.
    for place in (header, header + 8):
        if (
            runtime.choose_tier(_libraries(), probes, place) == "native"
            and all(runtime.describe(tensor) == facts_of(tensor) for tensor in samples)
            and all(runtime.describe(tensor) is None for tensor in _odd_samples())
        ):
            return "native"
    return runtime.choose_tier(_libraries(), [], header)
