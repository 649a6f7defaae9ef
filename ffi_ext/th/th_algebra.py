"""TH's and THC's linear algebra, and THC's convolutions, by their names in C; see th_maths.py.

What LAPACK's letters ask for is read as in 0.3.1: "U" or "L" for the triangle, "N" for no vectors,
"S" or "A" for some or all of them. Results of None are left as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def _is_letter(letter: str, wanted: str) -> bool:
    return letter[:1].upper() == wanted


def _columns(b: Tensor) -> Tensor:
    """Right hand sides: a vector is one column."""
    return b[:, None] if b.dim() == 1 else b


def _gesv(b: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    factors, pivots = torch.linalg.lu_factor(a)
    return torch.linalg.lu_solve(factors, pivots, _columns(b)), factors


def _gels(b: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    """The solution, and below it, where there are more equations than unknowns, the residuals in a's frame."""
    if a.dim() != 2:
        raise ValueError(f"A should be 2 dimensional, got {list(a.shape)}")
    rows, unknowns = a.shape
    b = _columns(b)
    if rows < unknowns:
        solution = torch.linalg.lstsq(a, b, driver="gelsd" if not a.is_cuda else None).solution
        return solution, a
    factors, tau = torch.geqrf(a)
    turned = torch.ormqr(factors, tau, b, transpose=True)
    triangle = factors[:unknowns].triu()
    solution = torch.linalg.solve_triangular(triangle, turned[:unknowns], upper=True)
    return torch.cat([solution, turned[unknowns:]]), factors


def _trtrs(b: Tensor, a: Tensor, uplo: str, trans: str, diag: str) -> tuple[Tensor, Tensor]:
    upper, transposed = _is_letter(uplo, "U"), not _is_letter(trans, "N")
    triangle = a.triu() if upper else a.tril()
    solution = torch.linalg.solve_triangular(
        triangle.mT if transposed else triangle,
        _columns(b),
        upper=upper != transposed,
        unitriangular=_is_letter(diag, "U"),
    )
    return solution, a


def _syev(a: Tensor, jobz: str, uplo: str) -> tuple[Tensor, Tensor | None]:
    values, vectors = torch.linalg.eigh(a, UPLO=uplo[:1].upper())
    return values, None if _is_letter(jobz, "N") else vectors


def _geev(a: Tensor, jobvr: str) -> tuple[Tensor, Tensor | None]:
    """Eigenvalues as (real, imaginary); of a conjugate pair's vectors the real and the imaginary part."""
    values, vectors = torch.linalg.eig(a)
    pairs = torch.stack([values.real, values.imag], 1)
    if _is_letter(jobvr, "N"):
        return pairs, None
    packed = vectors.real.clone()
    first = (values.imag > 0).nonzero().flatten()  # of a pair
    packed[:, first + 1] = vectors.imag[:, first]
    return pairs, packed


def _gesvd(a: Tensor, jobu: str) -> tuple[Tensor | None, Tensor, Tensor | None]:
    if _is_letter(jobu, "N"):
        return None, torch.linalg.svdvals(a), None
    u, s, vh = torch.linalg.svd(a, full_matrices=_is_letter(jobu, "A"))
    return u, s, vh.mT


def _pstrf(a: Tensor, uplo: str, tolerance: float) -> tuple[Tensor, Tensor]:
    """P' A P = U' U with the largest diagonal element first, until it is not above the tolerance."""
    half = a.triu() if _is_letter(uplo, "U") else a.tril()
    rest = (half + half.mT - torch.diag(a.diagonal())).double()
    if tolerance < 0:
        tolerance = len(a) * torch.finfo(a.dtype).eps * float(rest.diagonal().max())
    order, upper = torch.arange(len(a)), torch.zeros_like(rest)
    for j in range(len(a)):
        k = j + int(rest.diagonal()[j:].argmax())
        if not rest[k, k] > tolerance:
            upper[j:, j:] = rest[j:, j:].triu()
            break
        swapped = torch.arange(len(a))
        swapped[[j, k]] = swapped[[k, j]]
        rest, order = rest[swapped][:, swapped], order[swapped]
        upper[:j] = upper[:j][:, swapped]
        upper[j, j:] = rest[j, j:] / rest[j, j].sqrt()
        rest = rest - torch.outer(upper[j], upper[j])
        rest[: j + 1] = rest[:, : j + 1] = 0
    return (upper if _is_letter(uplo, "U") else upper.mT).to(a.dtype), order + 1


def _orgqr(a: Tensor, tau: Tensor) -> Tensor:
    """Q in the columns of the reflectors; those beyond them, of a wide matrix, stay."""
    q = torch.linalg.householder_product(a[:, : len(tau)], tau)
    return torch.cat([q, a[:, len(tau) :]], 1)


def _btrifact(pivot: int, a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    factors, pivots, info = torch.linalg.lu_factor_ex(a, pivot=bool(pivot))
    return factors, pivots, info


def _btrisolve(b: Tensor, factors: Tensor, pivots: Tensor) -> Tensor:
    vectors = b.dim() == 2
    solution = torch.linalg.lu_solve(factors, pivots, b[:, :, None] if vectors else b)
    return solution[:, :, 0] if vectors else solution


def _added(output: Tensor, beta: float, fresh: Tensor) -> Tensor:
    """To what output holds, if it has the result's shape."""
    return fresh if beta == 0 or output.shape != fresh.shape else beta * output + fresh


def _conv2d(
    output: Tensor, beta: float, x: Tensor, kernel: Tensor, rows: int, columns: int, kind: str
) -> Tensor:
    full = _is_letter(kind, "F")
    if full and (rows, columns) != (1, 1):
        raise ValueError(f"a full convolution needs strides of 1, got {rows} and {columns}")
    if not _is_letter(kind[1:], "X"):
        kernel = kernel.flip(2, 3)
    padding = (kernel.shape[2] - 1, kernel.shape[3] - 1) if full else 0
    batch = x if x.dim() == 4 else x[None]
    result = F.conv2d(batch, kernel, stride=(rows, columns), padding=padding)
    return _added(output, beta, result if x.dim() == 4 else result[0])


def _conv2d_map(
    output: Tensor, x: Tensor, kernel: Tensor, columns: int, rows: int, table: Tensor, fanin: int
) -> Tensor:
    """Adds to each plane of output, for `fanin` rows (plane of x, kernel) of the table, both from 1."""
    planes = kernel.shape[0] // fanin
    pairs = table.reshape(-1)[: planes * fanin * 2].view(-1, 2).long() - 1
    kernels = kernel[pairs[:, 1]].view(planes, fanin, *kernel.shape[1:])
    result = F.conv2d(x[pairs[:, 0]][None], kernels, stride=(rows, columns), groups=planes)[0]
    return _added(output, 1, result)


def _conv2d_revger(
    output: Tensor, beta: float, alpha: float, x: Tensor, kernel: Tensor, rows: int, columns: int
) -> Tensor:
    """(kernel planes, input planes, ...): each plane of one with each of the other, summed over a batch."""
    batch, kernels = (x, kernel) if x.dim() == 4 else (x[None], kernel[None])
    both = F.conv2d(batch.transpose(0, 1), kernels.transpose(0, 1), dilation=(rows, columns))
    return _added(output, beta, alpha * both.transpose(0, 1))


def _alias_setup(probabilities: Tensor) -> tuple[Tensor, Tensor]:
    """Walker's tables (Vose 1991): column i is itself with probability q[i], else J[i]."""
    if not probabilities.numel():
        raise ValueError("probabilities expected")
    own = (probabilities.double().flatten() * probabilities.numel()).tolist()
    alias = list(range(len(own)))
    small = [i for i, p in enumerate(own) if p < 1]
    large = [i for i, p in enumerate(own) if p >= 1]
    while small and large:
        low, high = small.pop(), large.pop()
        alias[low] = high
        own[high] -= 1 - own[low]
        (small if own[high] < 1 else large).append(high)
    for rest in small + large:  # 1 but for rounding
        own[rest] = 1.0
    device = probabilities.device
    table = torch.tensor(own, dtype=probabilities.dtype, device=device)
    return torch.tensor(alias, device=device), table


def _alias_draw(self: Tensor, alias: Tensor, own: Tensor) -> Tensor:
    columns = torch.randint(alias.numel(), self.shape, device=self.device)
    kept = torch.rand(self.shape, device=self.device) < own[columns]
    return self.copy_(torch.where(kept, columns, alias[columns]))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "gesv": _gesv,
    "gels": _gels,
    "trtrs": _trtrs,
    "syev": _syev,
    "geev": _geev,
    "gesvd": _gesvd,
    "gesvd2": lambda a, jobu: (*_gesvd(a, jobu), a),
    "getri": torch.linalg.inv,
    "pstrf": _pstrf,
    "potrf": lambda a, uplo: torch.linalg.cholesky(a, upper=_is_letter(uplo, "U")),
    "potri": lambda a, uplo: torch.cholesky_inverse(a, upper=_is_letter(uplo, "U")),
    "potrs": lambda b, a, uplo: torch.cholesky_solve(_columns(b), a, upper=_is_letter(uplo, "U")),
    "qr": torch.linalg.qr,
    "geqrf": torch.geqrf,
    "orgqr": _orgqr,
    "ormqr": lambda a, tau, c, side, trans: torch.ormqr(
        a[:, : len(tau)], tau, c, left=_is_letter(side, "L"), transpose=not _is_letter(trans, "N")
    ),
    "btrifact": _btrifact,
    "btrisolve": _btrisolve,
    "conv2Dmv": _conv2d,
    "conv2Dmm": _conv2d,
    "conv2Dmap": _conv2d_map,
    "conv2DRevger": _conv2d_revger,
    "conv2DRevgerm": _conv2d_revger,
    "multinomialAliasSetup": _alias_setup,
    "multinomialAliasDraw": _alias_draw,
}
