"""torch's linear algebra by LAPACK's names, functions and methods, as it had them until PyTorch 1.2."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ffi_ext.th.th_algebra import FUNCTIONS


def _symeig(a: Tensor, eigenvectors: bool = False, upper: bool = True) -> tuple[Tensor, Tensor]:
    values, vectors = torch.linalg.eigh(a, UPLO="U" if upper else "L")
    return values, vectors if eigenvectors else a.new_empty(0)


def _eig(a: Tensor, eigenvectors: bool = False) -> tuple[Tensor, Tensor]:
    """Eigenvalues as (real, imaginary), which torch's complex numbers have taken the place of."""
    values, vectors = FUNCTIONS["geev"](a, "V" if eigenvectors else "N")
    return values, vectors if eigenvectors else a.new_empty(0)


def _btrifact(a: Tensor, info: Any = None, pivot: bool = True) -> tuple[Tensor, Tensor]:
    factors, pivots = torch.linalg.lu_factor(a, pivot=pivot)
    if info is not None:
        info.resize_(a.shape[:-2]).zero_()
    return factors, pivots


def _potrf(a: Tensor, upper: bool = True) -> Tensor:
    return torch.linalg.cholesky(a, upper=upper)


def _potri(factor: Tensor, upper: bool = True) -> Tensor:
    return torch.cholesky_inverse(factor, upper=upper)


def _potrs(b: Tensor, factor: Tensor, upper: bool = True) -> Tensor:
    return FUNCTIONS["potrs"](b, factor, "U" if upper else "L")  # type: ignore[no-any-return]


def _trtrs(
    b: Tensor, a: Tensor, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> tuple[Tensor, Tensor]:
    letters = "U" if upper else "L", "T" if transpose else "N", "U" if unitriangular else "N"
    return FUNCTIONS["trtrs"](b, a, *letters)  # type: ignore[no-any-return]


ALGEBRA: dict[str, Any] = {
    **{name: FUNCTIONS[name] for name in ("gesv", "gels", "btrisolve")},
    "btrifact": _btrifact,
    "btriunpack": torch.lu_unpack,
    "eig": _eig,
    "potrf": _potrf,
    "potri": _potri,
    "potrs": _potrs,
    "symeig": _symeig,
    "trtrs": _trtrs,
}
