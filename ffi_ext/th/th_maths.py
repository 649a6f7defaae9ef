"""TH's functions that torch does, by their names in C: what each means, one line a function.

Arguments come in the order of the C prototype without the results; what a function returns is
copied into the results, which take its shape. Functions without a result change their first
tensor. Indices start at 0 (TH_INDEX_BASE).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def _cross(a: Tensor, b: Tensor, dimension: int) -> Tensor:
    if dimension < 0:  # the first one of three elements
        dimension = next((i for i, n in enumerate(a.shape) if n == 3), 0)
    return torch.linalg.cross(a, b, dim=dimension)


def _cat(tensors: list[Tensor], dimension: int) -> Tensor:
    """Of tensors of any shapes: behind its last dimension each has a size of 1, so that vectors become columns."""
    longest = max([dimension + 1, *(t.dim() for t in tensors)])
    full = [
        t if t.shape == (0,) else t.reshape(*t.shape, *[1] * (longest - t.dim())) for t in tensors
    ]
    return torch.cat(full, dimension)


def _match(a: Tensor, b: Tensor, gain: float) -> Tensor:
    rows, columns = a.reshape(len(a), 1, -1), b.reshape(1, len(b), -1)
    if rows.shape[2] != columns.shape[2]:
        raise ValueError(
            f"m1 and m2 must have the same inner vector dim, got {list(a.shape)} and {list(b.shape)}"
        )
    return gain * (rows - columns).pow(2).sum(2)


def _bhistc(t: Tensor, bins: int, least: float, most: float) -> Tensor:
    """A row's histogram in each row; the range, where none is given, is the whole tensor's."""
    if least == most:
        least, most = (float(extreme) for extreme in torch.aminmax(t))
    return torch.stack([torch.histc(row, bins, least, most) for row in t])


def _check(t: Tensor, dimension: int) -> None:
    if not 0 <= dimension < t.dim():
        raise ValueError(
            f"invalid argument: dimension {dimension} out of range of {t.dim()}D tensor"
        )


def _mean(t: Tensor, dimension: int, keep: int) -> Tensor:
    if t.is_floating_point():
        return t.mean(dimension, bool(keep))
    total = t.sum(dimension, bool(keep), dtype=t.dtype)  # THC's, of integers
    return total.div(t.shape[dimension], rounding_mode="trunc")


def _of_batches(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """With TH's check, since torch speaks of a dimension out of range."""

    def checked(beta: float, t: Tensor, alpha: float, *batches: Tensor) -> Tensor:
        for batch in batches:
            if batch.dim() != 3:
                raise ValueError(f"expected 3D tensor, got {batch.dim()}D")
        return function(t, *batches, beta=beta, alpha=alpha)

    return checked


def _along(function: Callable[..., Any], place: int = 1) -> Callable[..., Any]:
    """With TH's check of the dimension, the argument at `place`: none counts from the end."""

    def along(t: Tensor, *rest: Any) -> Any:
        _check(t, rest[place - 1])
        return function(t, *rest)

    return along


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "addmm": lambda beta, t, alpha, a, b: torch.addmm(t, a, b, beta=beta, alpha=alpha),
    "addmv": lambda beta, t, alpha, a, b: torch.addmv(t, a, b, beta=beta, alpha=alpha),
    "addr": lambda beta, t, alpha, a, b: torch.addr(t, a, b, beta=beta, alpha=alpha),
    "addbmm": _of_batches(torch.addbmm),
    "baddbmm": _of_batches(torch.baddbmm),
    "match": _match,
    "cross": _cross,
    "sum": _along(lambda t, d, keep: t.sum(d, bool(keep), dtype=t.dtype)),
    "prod": _along(lambda t, d, keep: t.prod(d, bool(keep), dtype=t.dtype)),
    "cumsum": _along(lambda t, d: t.cumsum(d, dtype=t.dtype)),
    "cumprod": _along(lambda t, d: t.cumprod(d, dtype=t.dtype)),
    "max": _along(lambda t, d, keep: t.max(d, bool(keep))),
    "min": _along(lambda t, d, keep: t.min(d, bool(keep))),
    # dense, since torch's reads beside the elements of expanded tensors (2.13)
    "median": _along(lambda t, d, keep: t.contiguous().median(d, bool(keep))),
    "medianall": lambda t: t.median(),
    "mode": _along(lambda t, d, keep: t.mode(d, bool(keep))),
    "kthvalue": _along(lambda t, k, d, keep: t.kthvalue(k, d, bool(keep)), 2),
    "sort": _along(lambda t, d, descending: t.sort(d, bool(descending))),
    "topk": _along(lambda t, k, d, largest, order: t.topk(k, d, bool(largest), bool(order)), 2),
    "cat": lambda a, b, d: _cat([a, b], d),
    "catArray": _cat,
    "diag": torch.diag,
    "tril": torch.tril,
    "triu": torch.triu,
    "nonzero": torch.nonzero,
    "gather": _along(torch.gather),
    "scatter": _along(Tensor.scatter_),
    "scatterAdd": _along(Tensor.scatter_add_),
    "scatterFill": _along(Tensor.scatter_),
    "indexSelect": _along(torch.index_select),
    "indexCopy": _along(Tensor.index_copy_),
    "indexAdd": _along(Tensor.index_add_),
    "indexFill": _along(Tensor.index_fill_),
    "take": torch.take,
    "put": lambda t, index, source, accumulate: t.put_(index, source, bool(accumulate)),
    "logicalAnd": _along(lambda t, d, keep: t.all(d, bool(keep))),
    "logicalAny": _along(lambda t, d, keep: t.any(d, bool(keep))),
    "mean": _along(_mean),
    "std": _along(lambda t, d, biased, keep: t.std(d, not biased, bool(keep))),
    "var": _along(lambda t, d, biased, keep: t.var(d, not biased, bool(keep))),
    "norm": _along(lambda t, p, d, keep: torch.linalg.vector_norm(t, p, d, bool(keep)), 2),
    "renorm": _along(torch.renorm, 2),
    "histc": torch.histc,
    "bhistc": _bhistc,
}


def _function(name: str) -> Callable[..., Any]:
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    from ffi_ext.th import th_algebra, thc_maths

    return th_algebra.FUNCTIONS.get(name) or thc_maths.FUNCTIONS[name]


def call(name: str, arguments: tuple[Any, ...], cuda: int) -> tuple[Tensor, ...]:
    """Runs a function for C; its results as a tuple.

    They go to a GPU of the index + 1, or 0, the CPU, and so do what `torch.zeros` and the like make.
    """
    # A default device of the user's is a mode, too; asking for it costs more than most functions.
    elsewhere = cuda or torch._C._len_torch_function_stack()
    device = torch.device("cuda", cuda - 1) if cuda else torch.device("cpu")
    with (
        torch.no_grad(),
        device if elsewhere else contextlib.nullcontext(),
        # C asks for a product of the types that it has, which autocast would compute in half precision
        torch.autocast(device.type, enabled=False)
        if torch.is_autocast_enabled(device.type)
        else contextlib.nullcontext(),
    ):
        result = _function(name)(*arguments)
    return (result,) if isinstance(result, Tensor) else tuple(result)
