"""THFloatLapack_ and THDoubleLapack_ against SciPy's LAPACK, which has the same names and arguments."""

from __future__ import annotations

import re
import resource

import numpy as np
import pytest
import torch

import ffi_ext

lapack = pytest.importorskip("scipy.linalg.lapack", reason="SciPy has the LAPACK to compare with")

HEADER = """
void LAPACK_getrf(int m, int n, real *a, int lda, int *ipiv, int *info);
void LAPACK_getrs(char trans, int n, int nrhs, real *a, int lda, int *ipiv, real *b, int ldb, int *info);
void LAPACK_gesv(int n, int nrhs, real *a, int lda, int *ipiv, real *b, int ldb, int *info);
void LAPACK_getri(int n, real *a, int lda, int *ipiv, real *work, int lwork, int *info);
void LAPACK_trtrs(char uplo, char trans, char diag, int n, int nrhs, real *a, int lda, real *b, int ldb, int *info);
void LAPACK_potrf(char uplo, int n, real *a, int lda, int *info);
void LAPACK_potri(char uplo, int n, real *a, int lda, int *info);
void LAPACK_potrs(char uplo, int n, int nrhs, real *a, int lda, real *b, int ldb, int *info);
void LAPACK_pstrf(char uplo, int n, real *a, int lda, int *piv, int *rank, real tol, real *work, int *info);
void LAPACK_geqrf(int m, int n, real *a, int lda, real *tau, real *work, int lwork, int *info);
void LAPACK_orgqr(int m, int n, int k, real *a, int lda, real *tau, real *work, int lwork, int *info);
void LAPACK_ormqr(char side, char trans, int m, int n, int k, real *a, int lda, real *tau, real *c, int ldc, real
  *work, int lwork, int *info);
void LAPACK_gels(char trans, int m, int n, int nrhs, real *a, int lda, real *b, int ldb, real *work, int lwork, int
  *info);
void LAPACK_syev(char jobz, char uplo, int n, real *a, int lda, real *w, real *work, int lwork, int *info);
void LAPACK_geev(char jobvl, char jobvr, int n, real *a, int lda, real *wr, real *wi, real *vl, int ldvl, real *vr,
  int ldvr, real *work, int lwork, int *info);
void LAPACK_gesvd(char jobu, char jobvt, int m, int n, real *a, int lda, real *s, real *u, int ldu, real *vt, int
  ldvt, real *work, int lwork, int *info);
void tensor_pstrf(TENSOR *ra, THIntTensor *rpiv, TENSOR *a, const char *uplo, real tol);
"""
SOURCE = "#include <TH/TH.h>\nvoid tensor_pstrf(TENSOR *ra, THIntTensor *rpiv, TENSOR *a, const char *uplo, real tol) "
SOURCE += "{ TENSOR_pstrf(ra, rpiv, a, uplo, tol); }\n"


class Routines:
    """LAPACK's routines of one element type, on arrays in columns; `info` is returned."""

    def __init__(self, name: str, dtype: torch.dtype) -> None:
        def typed(text: str) -> str:
            text = text.replace("LAPACK_", f"TH{name}Lapack_").replace("TENSOR", f"TH{name}Tensor")
            return re.sub(r"\breal\b", name.lower(), text)

        self.module = ffi_ext.load_inline(f"lapack_{name}", typed(SOURCE), header=typed(HEADER))
        self.prefix, self.dtype = f"TH{name}Lapack_", dtype
        self.scipy = "s" if name == "Float" else "d"
        self.tolerance = 2e-4 if name == "Float" else 1e-10

    def __call__(self, name: str, *arguments: object) -> int:
        info = torch.full((1,), -9, dtype=torch.int32)
        getattr(self.module, self.prefix + name)(*map(self.as_c, (*arguments, info)))
        return int(info)

    def as_c(self, value: object) -> object:
        if isinstance(value, torch.Tensor):
            of = {torch.int32: "int *", torch.float32: "float *", torch.float64: "double *"}
            return self.module._ffi.cast(of[value.dtype], value.data_ptr())
        return value.encode() if isinstance(value, str) else value

    def reference(self, name: str):
        return getattr(lapack, self.scipy + name)

    def columns(self, array: np.ndarray, lda: int | None = None) -> torch.Tensor:
        """The array in columns, `lda` apart: its transpose in rows."""
        room = torch.full((array.shape[1], lda or len(array)), 7.0, dtype=self.dtype)
        room[:, : len(array)] = torch.from_numpy(np.ascontiguousarray(array.T))
        return room

    def close(self, found: torch.Tensor, expected: np.ndarray) -> None:
        np.testing.assert_allclose(
            found.numpy().T, expected, rtol=self.tolerance, atol=self.tolerance
        )


@pytest.fixture(scope="module", params=[("Float", torch.float32), ("Double", torch.float64)])
def routines(request):
    return Routines(*request.param)


@pytest.fixture
def random(routines):
    generator = np.random.default_rng(0)
    kind = np.float32 if routines.dtype is torch.float32 else np.float64
    return lambda *shape: generator.standard_normal(shape).astype(kind)


def ints(n):
    return torch.zeros(n, dtype=torch.int32)


def test_general_systems(routines, random):
    a, b = random(4, 4), random(4, 2)
    lu, pivots, x, status = routines.reference("gesv")(a, b)
    assert status == 0
    mine, ipiv, solved = routines.columns(a, lda=6), ints(4), routines.columns(b)
    assert routines("gesv", 4, 2, mine, 6, ipiv, solved, 4) == 0
    routines.close(mine[:, :4], lu)
    assert (mine[:, 4:] == 7).all()  # between the columns
    assert ipiv.tolist() == (pivots + 1).tolist()
    routines.close(solved, x)
    factored, ipiv2 = routines.columns(a), ints(4)
    assert routines("getrf", 4, 4, factored, 4, ipiv2) == 0 and torch.equal(ipiv, ipiv2)
    for letter, trans in (("N", 0), ("T", 1)):
        solved = routines.columns(b)
        assert routines("getrs", letter, 4, 2, factored, 4, ipiv2, solved, 4) == 0
        routines.close(solved, routines.reference("getrs")(lu, pivots, b, trans=trans)[0])
    work = torch.zeros(4, dtype=routines.dtype)
    assert routines("getri", 4, factored, 4, ipiv2, work, -1) == 0 and work[0] >= 1
    assert routines("getri", 4, factored, 4, ipiv2, work, 4) == 0
    routines.close(factored, np.linalg.inv(a))
    singular = routines.columns(np.zeros((3, 3)))
    kept = routines.columns(b[:3])
    assert routines("gesv", 3, 2, singular, 3, ints(3), kept, 3) == 1
    routines.close(kept, b[:3])
    tall = random(5, 3)
    mine = routines.columns(tall)
    assert routines("getrf", 5, 3, mine, 5, ints(3)) == 0
    routines.close(mine, routines.reference("getrf")(tall)[0])


@pytest.mark.parametrize("uplo", ["U", "l"])
def test_triangles_and_positive_matrices(routines, random, uplo):
    lower = int(uplo == "l")
    a, b = random(4, 4), random(4, 2)
    for trans in ("N", "T"):
        for diag in ("N", "U"):
            solved = routines.columns(b)
            assert (
                routines("trtrs", uplo, trans, diag, 4, 2, routines.columns(a), 4, solved, 4) == 0
            )
            expected, _ = routines.reference("trtrs")(
                a, b, lower=lower, trans=int(trans == "T"), unitdiag=int(diag == "U")
            )
            np.testing.assert_allclose(
                solved.T.numpy(), expected, rtol=1e-2 if routines.scipy == "s" else 1e-9
            )
    gap = a.copy()
    gap[2, 2] = 0
    assert (
        routines("trtrs", uplo, "N", "N", 4, 2, routines.columns(gap), 4, routines.columns(b), 4)
        == 3
    )
    positive = a @ a.T + np.eye(4, dtype=a.dtype)
    mine = routines.columns(np.triu(positive) if uplo == "U" else np.tril(positive))
    other = np.tril(np.full((4, 4), 5.0), -1) if uplo == "U" else np.triu(np.full((4, 4), 5.0), 1)
    mine += torch.from_numpy(other.T.copy())  # the other triangle is not read, and stays
    assert routines("potrf", uplo, 4, mine, 4) == 0
    factor, _ = routines.reference("potrf")(positive, lower=lower, clean=1)
    routines.close(mine - torch.from_numpy(other.T.copy()), factor)
    solved = routines.columns(b)
    assert routines("potrs", uplo, 4, 2, mine, 4, solved, 4) == 0
    routines.close(solved, np.linalg.solve(positive, b))
    assert routines("potri", uplo, 4, mine, 4) == 0
    inverse = np.linalg.inv(positive)
    half = np.tril(inverse) if lower else np.triu(inverse)
    routines.close(mine - torch.from_numpy(other.T.copy()), half)
    assert routines("potrf", uplo, 4, routines.columns(-positive), 4) == 1


@pytest.mark.parametrize("uplo", ["U", "L"])
def test_pivoted_cholesky(routines, random, uplo):
    half = random(5, 3)
    a = half @ half.T  # of rank 3
    lower = int(uplo == "L")
    expected, order, rank, _ = routines.reference("pstrf")(a, tol=1e-3, lower=lower)
    assert rank == 3
    mine, pivots, found = routines.columns(a), ints(5), ints(1)
    work = torch.zeros(10, dtype=routines.dtype)
    assert routines("pstrf", uplo, 5, mine, 5, pivots, found, 1e-3, work) == 1
    assert int(found) == 3 and pivots.tolist() == order.tolist()
    rows = (lambda x: np.tril(x)[:, :3]) if lower else (lambda x: np.triu(x)[:3])
    np.testing.assert_allclose(
        rows(mine.T.numpy()), rows(expected), atol=1e-3 if routines.scipy == "s" else 1e-10
    )
    factor, places = torch.zeros(0, dtype=routines.dtype), torch.IntTensor()
    whole = a + np.eye(5, dtype=a.dtype)
    routines.module.tensor_pstrf(factor, places, torch.from_numpy(whole), uplo.encode(), -1.0)
    assert factor.stride() == (1, 5)  # in columns, as LAPACK's results of 0.3.1
    sorted_by = whole[places.numpy() - 1][:, places.numpy() - 1]
    product = factor @ factor.T if lower else factor.T @ factor
    np.testing.assert_allclose(
        product.numpy(), sorted_by, atol=1e-3 if routines.scipy == "s" else 1e-10
    )


def test_orthogonal_factors(routines, random):
    a, c = random(5, 3), random(5, 2)
    work = torch.zeros(1, dtype=routines.dtype)
    for name, sizes in (("geqrf", [5, 3]), ("orgqr", [5, 3, 3])):
        assert routines(name, *sizes, work, 5, work, work, -1) == 0
    mine, tau = routines.columns(a), torch.zeros(3, dtype=routines.dtype)
    assert routines("geqrf", 5, 3, mine, 5, tau, work, 3) == 0
    factors, scales, _, _ = routines.reference("geqrf")(a)
    routines.close(mine, factors)
    routines.close(tau, scales)
    for side, trans, given in (("L", "T", c), ("L", "N", c), ("R", "T", c.T.copy())):
        turned = routines.columns(given)
        m, n = given.shape
        assert routines("ormqr", side, trans, m, n, 3, mine, 5, tau, turned, m, work, 64) == 0
        expected = routines.reference("ormqr")(side, trans, factors, scales, given, 64)[0]
        routines.close(turned, expected)
    assert routines("orgqr", 5, 3, 3, mine, 5, tau, work, 3) == 0
    routines.close(mine, routines.reference("orgqr")(factors, scales)[0])


@pytest.mark.parametrize(("m", "n"), [(5, 3), (3, 5)])
@pytest.mark.parametrize("trans", ["N", "T"])
def test_least_squares(routines, random, m, n, trans):
    a = random(m, n)
    rows = m if trans == "N" else n
    b = np.zeros((max(m, n), 2), a.dtype)
    b[:rows] = random(rows, 2)
    solved = routines.columns(b)
    work = torch.zeros(1, dtype=routines.dtype)
    assert (
        routines("gels", trans, m, n, 2, routines.columns(a), m, solved, max(m, n), work, 64) == 0
    )
    matrix = a if trans == "N" else a.T
    expected = np.linalg.lstsq(matrix, b[:rows], rcond=None)[0]
    routines.close(solved[:, : matrix.shape[1]], expected)


def test_eigenvalues(routines, random):
    a = random(5, 5)
    symmetric = a + a.T
    work, w = torch.zeros(1, dtype=routines.dtype), torch.zeros(5, dtype=routines.dtype)
    for uplo, half in (("U", np.triu), ("L", np.tril)):
        mine = routines.columns(half(symmetric))
        assert routines("syev", "V", uplo, 5, mine, 5, w, work, 64) == 0
        routines.close(w, np.linalg.eigvalsh(symmetric))
        vectors = mine.T.numpy()
        np.testing.assert_allclose(symmetric @ vectors, vectors * w.numpy(), atol=1e-4)
    wr, wi, vl, vr, _ = routines.reference("geev")(a)
    assert (wi != 0).any()  # a pair
    real, imaginary = torch.zeros_like(w), torch.zeros_like(w)
    left, right = torch.zeros(5, 5, dtype=routines.dtype), torch.zeros(5, 5, dtype=routines.dtype)
    given = routines.columns(a)
    assert (
        routines("geev", "V", "V", 5, given, 5, real, imaginary, left, 5, right, 5, work, 64) == 0
    )
    routines.close(real, wr)
    routines.close(imaginary, wi)
    for found, expected in ((left, vl), (right, vr)):
        columns = found.T.numpy()
        signs = np.sign((columns * expected).sum(0))
        np.testing.assert_allclose(
            columns * signs, expected, atol=5e-4 if routines.scipy == "s" else 1e-9
        )
    nothing = routines.module._ffi.NULL
    real.zero_()
    given = routines.columns(a)
    assert (
        routines("geev", "N", "N", 5, given, 5, real, imaginary, nothing, 1, nothing, 1, work, 64)
        == 0
    )
    routines.close(real, wr)


@pytest.mark.parametrize(("m", "n"), [(5, 3), (3, 5)])
@pytest.mark.parametrize(("jobu", "jobvt"), [("A", "A"), ("S", "S"), ("N", "N"), ("A", "N")])
def test_singular_values(routines, random, m, n, jobu, jobvt):
    a, smaller = random(m, n), min(m, n)
    sizes = {"A": (m, n), "S": (smaller, smaller), "N": (0, 0)}
    columns, rows = sizes[jobu][0], sizes[jobvt][1]
    s = torch.zeros(smaller, dtype=routines.dtype)
    u = torch.zeros(columns, m, dtype=routines.dtype)
    vt = torch.zeros(n, max(rows, 1), dtype=routines.dtype)
    work = torch.zeros(1, dtype=routines.dtype)
    arguments = [jobu, jobvt, m, n, routines.columns(a), m, s, u, m, vt, max(rows, 1), work, 64]
    assert routines("gesvd", *arguments) == 0
    routines.close(s, np.linalg.svd(a, compute_uv=False))
    if jobvt == "N":
        arguments[4], arguments[9], null = routines.columns(a), routines.module._ffi.NULL, s.clone()
        assert routines("gesvd", *arguments) == 0 and torch.equal(s, null)
    if jobvt != "N":
        product = u.T.numpy()[:, :smaller] * s.numpy() @ vt.T.numpy()[:smaller]
        np.testing.assert_allclose(product, a, atol=1e-5)
    if columns:
        np.testing.assert_allclose(u.numpy() @ u.T.numpy(), np.eye(columns), atol=1e-5)


def test_memory_stays_flat_when_torch_refuses(routines):
    a, values = torch.zeros(2, 2, 2, dtype=routines.dtype)

    def work(rounds: int) -> int:
        for _ in range(rounds):
            with pytest.raises(ffi_ext.NativeError, match="UPLO"):
                routines("syev", "V", "?", 2, a, 2, values, values, 64)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before = work(1000)
    assert work(10_000) - before < 4000  # kB; the records of the arguments are a kilobyte a call
