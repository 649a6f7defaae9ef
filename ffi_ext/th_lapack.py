"""LAPACK's routines as TH had them, THFloatLapack_gesv and its kin, computed by torch.

Arguments are tensors on C's memory: matrices in columns, pivots and `info` as int32. What LAPACK writes is written
into them, and `info` says what LAPACK's does: 0, or the place of what is singular, from 1. Workspaces are not needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ffi_ext import th_algebra
from ffi_ext.th_algebra import in_pairs, is_letter


def _zero_on_diagonal(a: Tensor) -> int:
    """The place of the first zero on the diagonal, from 1; 0 where there is none."""
    zeros = (a.diagonal() == 0).nonzero()
    return int(zeros[0]) + 1 if len(zeros) else 0


def _triangle(a: Tensor, uplo: str) -> Tensor:
    return a.triu() if is_letter(uplo, "U") else a.tril()


def _put_triangle(a: Tensor, uplo: str, values: Tensor) -> None:
    """Writes one triangle; the other one stays."""
    inside = _triangle(torch.ones_like(a, dtype=torch.bool), uplo)
    a.copy_(torch.where(inside, values, a))


def _getrf(_: str, a: Tensor, pivots: Tensor, info: Tensor) -> None:
    factors, found, status = torch.linalg.lu_factor_ex(a)
    a.copy_(factors)
    pivots.copy_(found)
    info.copy_(status)


def _getrs(trans: str, a: Tensor, pivots: Tensor, b: Tensor, info: Tensor) -> None:
    info.zero_()
    b.copy_(torch.linalg.lu_solve(a, pivots, b, adjoint=not is_letter(trans, "N")))


def _gesv(_: str, a: Tensor, pivots: Tensor, b: Tensor, info: Tensor) -> None:
    _getrf(_, a, pivots, info)
    if not info.any():
        _getrs("N", a, pivots, b, info)


def _getri(_: str, a: Tensor, pivots: Tensor, info: Tensor) -> None:
    info.fill_(_zero_on_diagonal(a))
    if not info.any():
        one = torch.eye(len(a), dtype=a.dtype)
        a.copy_(torch.linalg.lu_solve(a, pivots, one))


def _trtrs(letters: str, a: Tensor, b: Tensor, info: Tensor) -> None:
    info.fill_(0 if is_letter(letters[2], "U") else _zero_on_diagonal(a))
    if not info.any():
        b.copy_(th_algebra.FUNCTIONS["trtrs"](b, a, *letters)[0])


def _potrf(uplo: str, a: Tensor, info: Tensor) -> None:
    half = _triangle(a, uplo)
    whole = half + half.mT - torch.diag(a.diagonal())
    factor, status = torch.linalg.cholesky_ex(whole, upper=is_letter(uplo, "U"))
    info.copy_(status)
    if not info.any():
        _put_triangle(a, uplo, factor)


def _potri(uplo: str, a: Tensor, info: Tensor) -> None:
    info.fill_(_zero_on_diagonal(a))
    if not info.any():
        inverse = torch.cholesky_inverse(_triangle(a, uplo), upper=is_letter(uplo, "U"))
        _put_triangle(a, uplo, inverse)


def _potrs(uplo: str, a: Tensor, b: Tensor, info: Tensor) -> None:
    info.zero_()
    b.copy_(torch.cholesky_solve(b, _triangle(a, uplo), upper=is_letter(uplo, "U")))


def _pstrf(
    uplo: str, a: Tensor, pivots: Tensor, rank: Tensor, tolerance: Tensor, info: Tensor
) -> None:
    """P' A P = U' U with the largest diagonal element first, until it is not above the tolerance."""
    n = len(a)
    half = _triangle(a, uplo)
    rest = (half + half.mT - torch.diag(a.diagonal())).double()
    limit = float(tolerance)
    if limit < 0:
        limit = n * torch.finfo(a.dtype).eps * float(rest.diagonal().max())
    order, upper = torch.arange(n), torch.zeros_like(rest)
    found = n
    for j in range(n):
        k = j + int(rest.diagonal()[j:].argmax())
        if not rest[k, k] > limit:
            found = j
            break
        swapped = torch.arange(n)
        swapped[[j, k]] = swapped[[k, j]]
        rest, order = rest[swapped][:, swapped], order[swapped]
        upper[:j] = upper[:j][:, swapped]
        upper[j, j:] = rest[j, j:] / rest[j, j].sqrt()
        rest = rest - torch.outer(upper[j], upper[j])
        rest[: j + 1] = rest[:, : j + 1] = 0
    if found < n:
        upper[found:, found:] = rest[found:, found:].triu()
    _put_triangle(a, uplo, (upper if is_letter(uplo, "U") else upper.mT).to(a.dtype))
    pivots.copy_(order + 1)
    rank.fill_(found)
    info.fill_(int(found < n))


def _geqrf(_: str, a: Tensor, tau: Tensor, info: Tensor) -> None:
    info.zero_()
    factors, scales = torch.geqrf(a)
    a.copy_(factors)
    tau.copy_(scales)


def _orgqr(_: str, a: Tensor, tau: Tensor, info: Tensor) -> None:
    info.zero_()
    a.copy_(torch.linalg.householder_product(a, tau))


def _ormqr(letters: str, a: Tensor, tau: Tensor, c: Tensor, info: Tensor) -> None:
    side, trans = list(letters)
    info.zero_()
    c.copy_(torch.ormqr(a, tau, c, left=is_letter(side, "L"), transpose=not is_letter(trans, "N")))


def _gels(trans: str, a: Tensor, b: Tensor, info: Tensor) -> None:
    matrix = a if is_letter(trans, "N") else a.mT
    info.zero_()
    b.copy_(th_algebra.FUNCTIONS["gels"](b[: len(matrix)], matrix)[0])


def _syev(letters: str, a: Tensor, values: Tensor, info: Tensor) -> None:
    info.zero_()
    found, vectors = th_algebra.FUNCTIONS["syev"](a, *letters)
    values.copy_(found)
    if vectors is not None:
        a.copy_(vectors)


def _geev(
    letters: str,
    a: Tensor,
    real: Tensor,
    imaginary: Tensor,
    left: Tensor,
    right: Tensor,
    info: Tensor,
) -> None:
    want_left, want_right = (is_letter(letter, "V") for letter in letters)
    info.zero_()
    values, vectors = torch.linalg.eig(a)
    real.copy_(values.real)
    imaginary.copy_(values.imag)
    if want_right:
        right.copy_(in_pairs(vectors, values.imag))
    if want_left:
        rows = torch.linalg.inv(vectors).mH
        rows = rows / torch.linalg.vector_norm(rows, dim=0)
        largest = rows.gather(0, rows.abs().argmax(0, keepdim=True))
        left.copy_(in_pairs(rows * (largest.abs() / largest), values.imag))


def _gesvd(
    letters: str, a: Tensor, values: Tensor, left: Tensor, right: Tensor, info: Tensor
) -> None:
    info.zero_()
    smaller = min(a.shape)
    whole = any(is_letter(letter, "A") for letter in letters)
    u, found, vt = torch.linalg.svd(a, full_matrices=whole)
    values.copy_(found)
    for letter, target, vectors in ((letters[0], left, u), (letters[1], right, vt)):
        some = vectors[:, :smaller] if vectors is u else vectors[:smaller]
        if is_letter(letter, "A"):
            target.copy_(vectors)
        elif is_letter(letter, "S"):
            target.copy_(some)
        elif is_letter(letter, "O"):
            a[: some.shape[0], : some.shape[1]] = some


FUNCTIONS: dict[str, Callable[..., None]] = {
    "getrf": _getrf,
    "getrs": _getrs,
    "gesv": _gesv,
    "getri": _getri,
    "trtrs": _trtrs,
    "potrf": _potrf,
    "potri": _potri,
    "potrs": _potrs,
    "pstrf": _pstrf,
    "geqrf": _geqrf,
    "orgqr": _orgqr,
    "ormqr": _ormqr,
    "gels": _gels,
    "syev": _syev,
    "geev": _geev,
    "gesvd": _gesvd,
}


def call(name: str, tensors: tuple[Tensor, ...], letters: str) -> tuple[Any, ...]:
    """Runs a routine for C.

    Args:
        name: LAPACK's, without the letter of the type.
        tensors: In the order of LAPACK's arguments, without sizes and workspaces.
        letters: The characters among its arguments.
    """
    FUNCTIONS[name](letters, *tensors)
    return ()
