"""What THC's C functions ask of torch.cuda: one line an answer, all of them integers; None is 0."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch

# Made for C, which may keep its address, or set by it; by device, too, since another one may get the address of what C
# has ended.
_STREAMS: dict[tuple[int, int], torch.cuda.Stream] = {}


def _set_stream(pointer: int) -> None:
    """On the current device. An ExternalStream of 0 would be a new stream, not the default one.

    The one from before is kept for when C sets it again: an ExternalStream of its address is unequal to it.
    """
    before = torch.cuda.current_stream()
    _STREAMS[before.device_index, before.cuda_stream] = before
    own = _STREAMS.get((before.device_index, pointer)) if pointer else torch.cuda.default_stream()
    torch.cuda.set_stream(own or torch.cuda.ExternalStream(pointer))


_PINNED: dict[int, torch.Tensor] = {}  # memory that C has asked for, by its address


def _new_stream(priority: int) -> int:
    stream = torch.cuda.Stream(priority=priority)
    pointer = int(stream.cuda_stream)
    _STREAMS[stream.device_index, pointer] = stream
    return pointer


def _host_malloc(size: int) -> int:
    memory = torch.empty(size, dtype=torch.uint8, device="cpu", pin_memory=True)
    _PINNED[memory.data_ptr()] = memory
    return memory.data_ptr()


def _host_free(pointer: int) -> None:
    if _PINNED.pop(pointer, None) is None:
        raise ValueError(f"THCudaHostFree: THCudaHostAlloc did not return {pointer:#x}")


def _host_record(pointer: int) -> None:
    """A copy of torch's own, in the current stream: torch reuses the memory when it has ended."""
    if pointer in _PINNED:
        _PINNED[pointer][:1].to("cuda", non_blocking=True)


# For compute-sanitizer, which is to know each piece of memory, torch's tensors have their own with this; the functions
# for raw memory do not ask it.
_UNCACHED: dict[int, torch.Tensor] | None = (
    {} if "PYTORCH_NO_CUDA_MEMORY_CACHING" in os.environ else None
)


def _malloc(size: int) -> int:
    if _UNCACHED is None:
        return int(torch.cuda.caching_allocator_alloc(size))
    memory = torch.empty(size, dtype=torch.uint8, device="cuda")
    _UNCACHED[memory.data_ptr()] = memory
    return memory.data_ptr()


def _free(pointer: int) -> None:
    if _UNCACHED is None:
        torch.cuda.caching_allocator_delete(pointer)
    else:
        del _UNCACHED[pointer]


def _seed(_: int) -> int:
    torch.cuda.seed()
    return torch.cuda.initial_seed()


def _seed_all(_: int) -> int:
    torch.cuda.seed_all()
    return torch.cuda.initial_seed()


def _exchange_device(device: int) -> int:
    before = torch.cuda.current_device()
    if before != device:
        torch.cuda.set_device(device)
    return before


ANSWERS: dict[str, Callable[[int], Any]] = {
    "current_device": lambda _: torch.cuda.current_device(),
    "exchange_device": _exchange_device,
    # not set_device: a GPU that nobody uses would get a context, hundreds of MB of its memory
    "return_to_device": lambda device: torch.cuda._maybe_exchange_device(device),
    "device_count": lambda _: torch.cuda.device_count(),
    # both devices in one number: the first one times 1000, and the other
    "peer_access": lambda pair: torch.cuda.can_device_access_peer(*divmod(pair, 1000)),
    "current_stream": lambda device: torch.cuda.current_stream(device).cuda_stream,
    "set_stream": _set_stream,
    "blas_handle": lambda _: torch.cuda.current_blas_handle(),
    "new_stream": _new_stream,
    "host_malloc": _host_malloc,
    "host_free": _host_free,
    "host_record": _host_record,
    "empty_cache": lambda _: torch.cuda.empty_cache(),
    "sleep": lambda cycles: torch.cuda._sleep(cycles),
    "malloc": _malloc,
    "free": _free,
    "free_bytes": lambda _: torch.cuda.mem_get_info()[0],
    "total_bytes": lambda _: torch.cuda.mem_get_info()[1],
    "manual_seed": lambda seed: torch.cuda.manual_seed(seed),
    "manual_seed_all": lambda seed: torch.cuda.manual_seed_all(seed),
    "seed": _seed,
    "seed_all": _seed_all,
    "initial_seed": lambda _: torch.cuda.initial_seed(),
}


def answer(name: str, number: int) -> int:
    """Asks torch.cuda; its errors, such as that there is no GPU, are raised in C.

    Returns:
        64 bits, which C may read as unsigned: seeds fill them.
    """
    return (int(ANSWERS[name](number) or 0) + 2**63) % 2**64 - 2**63
