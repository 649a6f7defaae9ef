"""TH's and THC's linear algebra: each result against the equation that it has to satisfy.

THC's functions get CPU records here, as in test_thc.py.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import signal

import ffi_ext

# Results, then inputs; T a double tensor, I an int tensor, s a text, i an int, d a double.
CALLS = {
    "gesv": "TT TT",
    "gels": "TT TT",
    "trtrs": "TT TTsss",
    "syev": "TT Tss",
    "geev": "TT Ts",
    "gesvd": "TTT Ts",
    "gesvd2": "TTTT Ts",
    "getri": "T T",
    "potrf": "T Ts",
    "potri": "T Ts",
    "potrs": "T TTs",
    "qr": "TT T",
    "geqrf": "TT T",
    "orgqr": "T TT",
    "ormqr": "T TTTss",
    "pstrf": "TI Tsd",
    "btrifact": "TII iT",
    "btrisolve": "T TTI",
}
ONLY_TH = {"trtrs", "geqrf", "orgqr", "ormqr", "pstrf"}
TYPES = {"T": "THDoubleTensor *", "I": "THIntTensor *", "s": "const char *"}
TYPES |= {"i": "int ", "d": "double "}
CUDA = {"T": "(THCudaDoubleTensor *)", "I": "(THCudaIntTensor *)", "s": "", "i": ""}
MORE = """
void conv(THFloatTensor *out, double beta, THFloatTensor *x, THFloatTensor *k, long rows,
          long columns, const char *kind);
void outer(THFloatTensor *out, double beta, double alpha, THFloatTensor *x, THFloatTensor *k,
           long rows, long columns);
void alias(THDoubleTensor *p, THLongTensor *J, THDoubleTensor *q, THLongTensor *draws);
void map(THFloatTensor *out, THFloatTensor *x, THFloatTensor *k, long columns, long rows, THFloatTensor *table,
         long fanin);
void in_place(const char *name, THDoubleTensor *b, THDoubleTensor *a);
"""
MORE_SOURCE = """
#include <string.h>
void in_place(const char *name, THDoubleTensor *b, THDoubleTensor *a) {
#define IS(NAME) (strcmp(name, #NAME) == 0)
  if (IS(gesv)) THDoubleTensor_gesv(b, a, NULL, NULL);
  if (IS(gels)) THDoubleTensor_gels(b, a, NULL, NULL);
  if (IS(trtrs)) THDoubleTensor_trtrs(b, a, NULL, NULL, "U", "N", "N");
  if (IS(potrs)) THDoubleTensor_potrs(b, NULL, a, "U");
  if (IS(syev)) THDoubleTensor_syev(b, a, NULL, "V", "U");
  if (IS(gesvd2)) THDoubleTensor_gesvd2(b, b, b, a, NULL, "N");
  if (IS(getri)) THDoubleTensor_getri(a, NULL);
  if (IS(potrf)) THDoubleTensor_potrf(a, NULL, "U");
  if (IS(potri)) THDoubleTensor_potri(a, NULL, "U");
  if (IS(geqrf)) THDoubleTensor_geqrf(a, b, NULL);
  if (IS(orgqr)) THDoubleTensor_orgqr(a, NULL, b);
}
#define C(t) ((THCudaTensor *)t)
void conv(THFloatTensor *out, double beta, THFloatTensor *x, THFloatTensor *k, long rows,
          long columns, const char *kind) {
  if (x->nDimension == 4) THCudaTensor_conv2Dmm(state, C(out), beta, C(x), C(k), rows, columns, kind);
  else THCudaTensor_conv2Dmv(state, C(out), beta, C(x), C(k), rows, columns, kind);
}
void outer(THFloatTensor *out, double beta, double alpha, THFloatTensor *x, THFloatTensor *k,
           long rows, long columns) {
  if (x->nDimension == 4) THCudaTensor_conv2DRevgerm(state, C(out), beta, alpha, C(x), C(k), rows, columns);
  else THCudaTensor_conv2DRevger(state, C(out), beta, alpha, C(x), C(k), rows, columns);
}
void map(THFloatTensor *out, THFloatTensor *x, THFloatTensor *k, long columns, long rows, THFloatTensor *table,
         long fanin) {
  THCudaTensor_conv2Dmap(state, C(out), C(x), C(k), columns, rows, C(table), fanin);
}
void alias(THDoubleTensor *p, THLongTensor *J, THDoubleTensor *q, THLongTensor *draws) {
  THCudaDoubleTensor_multinomialAliasSetup(state, (THCudaDoubleTensor *)p, (THCudaLongTensor *)J,
                                           (THCudaDoubleTensor *)q);
  THCudaDoubleTensor_multinomialAliasDraw(state, (THCudaLongTensor *)draws, (THCudaLongTensor *)J,
                                          (THCudaDoubleTensor *)q);
}
"""


def c_text() -> tuple[str, str]:
    header, source = MORE, "#include <THC/THC.h>\nextern THCState *state;\n" + MORE_SOURCE
    for name, codes in CALLS.items():
        codes = codes.replace(" ", "")
        parameters = ", ".join(f"{TYPES[code]}a{i}" for i, code in enumerate(codes))
        plain = ", ".join(f"a{i}" for i in range(len(codes)))
        header += f"void th_{name}({parameters});\n"
        source += f"void th_{name}({parameters}) {{ THDoubleTensor_{name}({plain}); }}\n"
        if name not in ONLY_TH:
            cast = ", ".join(f"{CUDA[code]}a{i}" for i, code in enumerate(codes))
            header += f"void thc_{name}({parameters});\n"
            source += (
                f"void thc_{name}({parameters}) {{ THCudaDoubleTensor_{name}(state, {cast}); }}\n"
            )
    return header, source


@pytest.fixture(scope="module")
def module(build_once):
    return build_once(*c_text(), with_cuda=True)


@pytest.fixture(params=["th", "thc"])
def library(request, module):
    """library(name, *inputs): the results of a function."""

    def call(name, *inputs):
        codes = CALLS[name].split()[0]
        results = [torch.empty(0, dtype=torch.float64 if c == "T" else torch.int32) for c in codes]
        if request.param == "thc" and name in ONLY_TH:
            pytest.skip(f"THC has no {name}")
        given = [module._ffi.new("char[]", x.encode()) if isinstance(x, str) else x for x in inputs]
        getattr(module, f"{request.param}_{name}")(*results, *given)
        return results

    return call


torch.manual_seed(0)
A = torch.randn(5, 5, dtype=torch.float64)
TALL, WIDE = torch.randn(7, 4, dtype=torch.float64), torch.randn(3, 6, dtype=torch.float64)
SPD = A @ A.T + 5 * torch.eye(5, dtype=torch.float64)
B = torch.randn(5, 2, dtype=torch.float64)
close = torch.testing.assert_close


def unit(q):
    close(q.T @ q, torch.eye(q.shape[1], dtype=q.dtype))


@pytest.mark.parametrize("b", [B, B[:, 0]], ids=["matrix", "vector"])
def test_systems(library, b):
    x, factors = library("gesv", b, A)
    close(A @ x, b.view(5, -1))
    assert x.shape[1] == b.numel() // 5 and factors.shape == (5, 5)
    (inverse,) = library("getri", A)
    close(inverse @ A, torch.eye(5, dtype=A.dtype))


@pytest.mark.parametrize("uplo", ["U", "L"])
def test_cholesky(library, uplo):
    (factor,) = library("potrf", SPD, uplo)
    close(factor.T @ factor if uplo == "U" else factor @ factor.T, SPD)
    assert torch.equal(factor, factor.triu() if uplo == "U" else factor.tril())
    half = SPD.triu() if uplo == "U" else SPD.tril()  # the other triangle is not read
    close(library("potrf", half, uplo)[0], factor)
    close(SPD @ library("potri", factor, uplo)[0], torch.eye(5, dtype=A.dtype))
    close(SPD @ library("potrs", B, factor, uplo)[0], B)


@pytest.mark.parametrize("uplo", ["U", "l"])
@pytest.mark.parametrize("tolerance", [-1.0, 1e-3, 1e9])
def test_pivoted_cholesky(library, uplo, tolerance):
    """Of rank 4; each diagonal element is at least as large as those behind it, until none is above the tolerance."""
    whole = TALL @ TALL.T
    half = whole.triu() if uplo == "U" else whole.tril()  # the other triangle is not read
    factor, places = library("pstrf", half, uplo, tolerance)
    upper, order = factor if uplo == "U" else factor.T, places.long() - 1
    rank = 0 if tolerance == 1e9 else 4
    head, rest = upper[:rank], upper[rank:, rank:]
    ordered = whole[order][:, order]
    close(head[:, :rank].T @ head, ordered[:rank])
    close(rest, (ordered - head.T @ head)[rank:, rank:].triu())
    assert (head.diagonal().diff() <= 0).all() and torch.equal(upper, upper.triu())


def test_least_squares(library):
    b = torch.randn(7, 2, dtype=torch.float64)
    x, _ = library("gels", b, TALL)
    close(TALL.T @ (TALL @ x[:4] - b), torch.zeros(4, 2, dtype=torch.float64))
    close(x[4:].square().sum(0), (TALL @ x[:4] - b).square().sum(0))
    x, _ = library("gels", b[:3], WIDE)
    close(WIDE @ x, b[:3])
    close(
        WIDE.T @ torch.linalg.solve(WIDE @ WIDE.T, WIDE @ x), x
    )  # the shortest: in the rows' span


@pytest.mark.parametrize("letters", ["UNN", "UTN", "LNU", "LTU"])
def test_triangular_systems(library, letters):
    x, _ = library("trtrs", B, A, *letters)
    triangle = A.triu() if letters[0] == "U" else A.tril()
    if letters[2] == "U":
        triangle = triangle - triangle.diag().diag() + torch.eye(5, dtype=A.dtype)
    close((triangle.T if letters[1] == "T" else triangle) @ x, B)


def test_eigenvalues(library):
    values, vectors = library("syev", SPD, "V", "U")
    close(SPD @ vectors, vectors * values)
    assert torch.equal(values, values.sort()[0])
    assert library("syev", SPD, "N", "L")[1].numel() == 0
    values, vectors = library("geev", A, "V")
    assert (values[:, 1] != 0).any()  # pairs among them
    j = 0
    while j < 5:
        real, imaginary = values[j].tolist()
        if imaginary == 0:
            close(A @ vectors[:, j], real * vectors[:, j])
            j += 1
        else:
            close(values[j + 1], torch.tensor([real, -imaginary], dtype=torch.float64))
            u, v = vectors[:, j], vectors[:, j + 1]
            close(A @ u, real * u - imaginary * v)
            close(A @ v, imaginary * u + real * v)
            j += 2
    assert library("geev", A, "N")[1].numel() == 0


@pytest.mark.parametrize("matrix", [TALL, WIDE], ids=["tall", "wide"])
@pytest.mark.parametrize("job", ["S", "A"])
def test_singular_values(library, matrix, job):
    u, s, v = library("gesvd", matrix, job)
    k = min(matrix.shape)
    close(u[:, :k] * s @ v[:, :k].T, matrix)
    assert u.shape[1] == (matrix.shape[0] if job == "A" else k)
    unit(u), unit(v)
    assert library("gesvd2", matrix, job)[1].tolist() == s.tolist()
    assert library("gesvd", matrix, "N")[0].numel() == 0


def test_orthogonal_factors(library):
    q, r = library("qr", TALL)
    close(q @ r, TALL)
    unit(q)
    assert torch.equal(r, r.triu())


def test_reflectors(library):
    factors, tau = library("geqrf", TALL)
    (q,) = library("orgqr", factors, tau)
    unit(q)
    close(q @ factors[:4].triu(), TALL)
    c = torch.randn(7, 3, dtype=torch.float64)
    (turned,) = library("ormqr", factors, tau, c, "L", "T")
    close(turned[:4], q.T @ c)
    close(library("ormqr", factors, tau, turned, "L", "N")[0], c)


def test_reflectors_of_a_wide_matrix(library):
    factors, tau = library("geqrf", WIDE)
    (q,) = library("orgqr", factors, tau)
    unit(q[:, :3])
    close(q[:, :3] @ factors.triu(), WIDE)
    assert torch.equal(q[:, 3:], factors[:, 3:])
    close(library("ormqr", factors, tau, WIDE, "L", "T")[0], factors.triu())


@pytest.mark.parametrize(
    ("name", "rows", "inputs"),
    [
        ("gesv", [(5, 2), (5, 5)], (B, A)),
        ("gels", [(7, 2), (7, 4)], (TALL[:, :2], TALL)),
        ("trtrs", [(5, 2), (5, 5)], (B, A, "U", "N", "N")),
        ("syev", [None, (5, 5)], (SPD, "V", "U")),
        ("geev", [None, (5, 5)], (A, "V")),
        ("gesvd", [(7, 7), None, None], (TALL, "A")),
        ("getri", [(5, 5)], (A,)),
        ("potrf", [(5, 5)], (SPD, "U")),
        ("potri", [(5, 5)], (A, "U")),
        ("potrs", [(5, 2)], (B, A, "U")),
        ("qr", [(7, 4), None], (TALL,)),
        ("geqrf", [(7, 4), None], (TALL,)),
        ("orgqr", [(7, 4)], (TALL, TALL[0])),
        ("ormqr", [(7, 2)], (TALL, TALL[0], TALL[:, :2], "L", "N")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_matrices_of_lapack_lie_in_columns(module, name, rows, inputs):
    """As in 0.3.1: C of then gives their memory to LAPACK. What has its size, as a view does, keeps its strides."""
    given = [module._ffi.new("char[]", x.encode()) if isinstance(x, str) else x for x in inputs]
    fresh = [torch.empty(0, dtype=A.dtype) for _ in rows]
    getattr(module, f"th_{name}")(*fresh, *given)
    for result, shape in zip(fresh, rows, strict=True):
        if shape:
            assert result.shape == shape and result.stride() == (1, shape[0])
        else:
            assert result.is_contiguous()
    again = [torch.zeros(*result.shape, 2, dtype=A.dtype)[..., 0] for result in fresh]
    strides = [result.stride() for result in again]
    getattr(module, f"th_{name}")(*again, *given)
    assert [result.stride() for result in again] == strides
    close(again, fresh)


def test_a_matrix_that_is_NULL_is_the_results(module):
    def call(name, b, a):
        b, a = b.clone(), a.clone()
        module.in_place(module._ffi.new("char[]", name.encode()), b, a)
        return b, a

    one = torch.eye(5, dtype=A.dtype)
    close(A @ call("gesv", B, A)[0], B)
    close(A @ call("gels", B, A)[0], B)
    close(A.triu() @ call("trtrs", B, A)[0], B)
    close(A @ call("getri", B, A)[1], one)
    upper = call("potrf", B, SPD)[1]
    close(upper.T @ upper, SPD)
    close(SPD @ call("potri", B, upper)[1], one)
    close(SPD @ call("potrs", B, upper)[0], B)
    values, vectors = call("syev", B, SPD)
    close(SPD @ vectors, vectors * values)
    assert torch.equal(call("gesvd2", B, A)[1], A)
    tau, factors = call("geqrf", B, A)
    close(call("orgqr", tau, factors)[1] @ factors.triu(), A)


def test_batches(library):
    batch = torch.stack([A, SPD])
    b = torch.randn(2, 5, dtype=torch.float64)
    factors, pivots, info = library("btrifact", 1, batch)
    assert pivots.shape == (2, 5) and info.tolist() == [0, 0]
    (x,) = library("btrisolve", b, factors, pivots)
    close((batch @ x[:, :, None])[:, :, 0], b)


def test_errors_are_errors_of_the_call(library):
    with pytest.raises(ffi_ext.NativeError, match="[Ss]ingular|not positive-definite|cholesky"):
        library("potrf", -SPD, "U")
    with pytest.raises(ffi_ext.NativeError, match=r"A should be 2 dimensional, got \[3\]"):
        library("gels", torch.ones(3, 1).double(), torch.ones(3).double())


@pytest.mark.parametrize("kind", ["vx", "vc", "fx", "fc"])
@pytest.mark.parametrize("batch", [True, False])
def test_convolutions_of_thc(module, kind, batch):
    x, kernel = torch.randn(2, 3, 8, 9), torch.randn(4, 3, 3, 2)
    x = x if batch else x[0]
    stride = (1, 1) if kind[0] == "f" else (2, 1)
    text = module._ffi.new("char[]", kind.encode())
    out = torch.empty(0)
    module.conv(out, 0.5, x, kernel, *stride, text)
    tapped = kernel if kind[1] == "x" else kernel.flip(2, 3)
    padded = F.pad(x, (1, 1, 2, 2)) if kind[0] == "f" else x
    windows = padded.unfold(-2, 3, stride[0]).unfold(-2, 2, stride[1])
    expected = torch.einsum("...cyxij,ocij->...oyx", windows, tapped)
    close(out, expected)
    module.conv(out, 0.5, x, kernel, *stride, text)
    close(out, 1.5 * expected)


def test_mapped_convolutions_of_thc(module):
    """Each plane is the sum of correlations of the table's pairs, by SciPy."""
    x, kernels = torch.rand(3, 7, 8), torch.rand(4, 2, 3)
    table = torch.tensor([[[1, 1], [3, 2]], [[2, 4], [2, 3]]])  # (planes, fanin, plane and kernel)
    want = [
        sum(
            signal.correlate2d(x[i - 1].numpy(), kernels[k - 1].numpy(), "valid")[::2, ::3]
            for i, k in pairs
        )
        for pairs in table.tolist()
    ]
    want = torch.from_numpy(np.stack(want))
    out = torch.FloatTensor()
    module.map(out, x, kernels, 3, 2, table.float(), 2)
    torch.testing.assert_close(out, want)
    module.map(out, x, kernels, 3, 2, table.float(), 2)  # what is there is added to
    torch.testing.assert_close(out, 2 * want)


def test_outer_convolutions_of_thc(module):
    x, kernel = torch.randn(2, 3, 8, 9), torch.randn(2, 4, 3, 4)
    expected = torch.zeros(4, 3, 8 - 2 * 2, 9 - 3)
    for k in range(4):
        for i in range(3):
            for dy in range(3):
                for dx in range(4):
                    part = (
                        x[:, i, 2 * dy : 2 * dy + 4, dx : dx + 6] * kernel[:, k, dy, dx, None, None]
                    )
                    expected[k, i] += part.sum(0)
    out = torch.ones(4, 3, 4, 6)
    module.outer(out, 2, 0.5, x, kernel, 2, 1)
    close(out, 2 + 0.5 * expected)
    one = torch.empty(0)
    module.outer(one, 0, 1, x[0], kernel[0], 2, 1)
    assert one.shape == (4, 3, 4, 6)


def test_the_alias_method_of_thc(module):
    p = torch.tensor([0.5, 0.05, 0.25, 0.0, 0.2], dtype=torch.float64)
    J, q = torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.float64)
    draws = torch.empty(20000, dtype=torch.int64)
    module.alias(p, J, q, draws)
    mass = q.clone()
    for i, other in enumerate(J.tolist()):
        mass[other] += 1 - q[i]
    close(mass / 5, p)
    found = torch.bincount(draws, minlength=5) / len(draws)
    assert (found - p).abs().max() < 0.02 and found[3] == 0
