"""TH's functions along dimensions, with indices and on matrices, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import ffi_ext
from tests.th_types import C_TYPES, DTYPES, FLOATING

TYPES = ("Float", "Double", "Long", "Byte")
PROTOTYPES = {
    "addmm": "T *r, real beta, T *t, real alpha, T *a, T *b",
    "addmv": "T *r, real beta, T *t, real alpha, T *a, T *b",
    "addr": "T *r, real beta, T *t, real alpha, T *a, T *b",
    "addbmm": "T *r, real beta, T *t, real alpha, T *a, T *b",
    "baddbmm": "T *r, real beta, T *t, real alpha, T *a, T *b",
    "match": "T *r, T *a, T *b, real gain",
    "cross": "T *r, T *a, T *b, int d",
    "sum": "T *r, T *t, int d, int keep",
    "prod": "T *r, T *t, int d, int keep",
    "cumsum": "T *r, T *t, int d",
    "cumprod": "T *r, T *t, int d",
    "max": "T *v, THLongTensor *i, T *t, int d, int keep",
    "min": "T *v, THLongTensor *i, T *t, int d, int keep",
    "median": "T *v, THLongTensor *i, T *t, int d, int keep",
    "mode": "T *v, THLongTensor *i, T *t, int d, int keep",
    "kthvalue": "T *v, THLongTensor *i, T *t, int64_t k, int d, int keep",
    "sort": "T *v, THLongTensor *i, T *t, int d, int descending",
    "topk": "T *v, THLongTensor *i, T *t, int64_t k, int d, int dir, int sorted",
    "cat": "T *r, T *a, T *b, int d",
    "diag": "T *r, T *t, int k",
    "tril": "T *r, T *t, int64_t k",
    "triu": "T *r, T *t, int64_t k",
    "nonzero": "THLongTensor *r, T *t",
    "gather": "T *r, T *t, int d, THLongTensor *i",
    "scatter": "T *t, int d, THLongTensor *i, T *u",
    "scatterAdd": "T *t, int d, THLongTensor *i, T *u",
    "scatterFill": "T *t, int d, THLongTensor *i, real v",
    "indexSelect": "T *r, T *t, int d, THLongTensor *i",
    "indexCopy": "T *t, int d, THLongTensor *i, T *u",
    "indexAdd": "T *t, int d, THLongTensor *i, T *u",
    "indexFill": "T *t, int d, THLongTensor *i, real v",
    "take": "T *r, T *t, THLongTensor *i",
    "put": "T *t, THLongTensor *i, T *u, int accumulate",
}
FLOATING_PROTOTYPES = {
    "mean": "T *r, T *t, int d, int keep",
    "std": "T *r, T *t, int d, int biased, int keep",
    "var": "T *r, T *t, int d, int biased, int keep",
    "norm": "T *r, T *t, real p, int d, int keep",
    "renorm": "T *r, T *t, real p, int d, real most",
    "histc": "T *r, T *t, int64_t bins, real least, real most",
    "bhistc": "T *r, T *t, int64_t bins, real least, real most",
}
LOGIC = "(THByteTensor *r, THByteTensor *t, int d, int keep)"
EXTRA = {
    f"void Byte_logicalAnd{LOGIC}": "THByteTensor_logicalAnd(r, t, d, keep);",
    f"void Byte_logicalAny{LOGIC}": "THByteTensor_logicalAny(r, t, d, keep);",
    "double medianall(THFloatTensor *t)": "return THFloatTensor_medianall(t);",
    "void cat_all(THFloatTensor *r, THFloatTensor *a, THFloatTensor *b, THFloatTensor *c, int d)": (
        "THFloatTensor *all[] = {a, b, c}; THFloatTensor_catArray(r, all, 3, d);"
    ),
}


@pytest.fixture(scope="module")
def th(build_once):
    heads = dict(EXTRA)
    for real in TYPES:
        for name, text in {
            **PROTOTYPES,
            **(FLOATING_PROTOTYPES if real in FLOATING else {}),
        }.items():
            parameters = text.replace("real ", f"{C_TYPES[real]} ")
            parameters = ", ".join(
                part.replace("T *", f"TH{real}Tensor *") if part.startswith("T ") else part
                for part in parameters.split(", ")
            )
            names = ", ".join(part.split()[-1].lstrip("*") for part in parameters.split(","))
            heads[f"void {real}_{name}({parameters})"] = f"TH{real}Tensor_{name}({names});"
    body = "".join(f"{head} {{ {code} }}\n" for head, code in heads.items())
    return build_once("".join(f"{head};\n" for head in heads), f"#include <TH/TH.h>\n{body}")


@pytest.fixture(params=TYPES)
def call(th, request):
    """call(name, *arguments): the function for this element type; `call.like` makes its tensors."""

    def function(name, *arguments):
        return getattr(th, f"{request.param}_{name}")(*arguments)

    dtype = DTYPES[request.param]

    def like(*values):
        return torch.tensor(np.array(values[0] if len(values) == 1 else values)).to(dtype)

    function.like = like
    function.real = request.param
    return function


def values_of(call, *shape, seed=0):
    """Distinct values, such that sorting has one answer."""
    count = int(np.prod(shape))
    values = np.random.default_rng(seed).permutation(count).reshape(shape) + 1
    return call.like(values)


def same(tensor, array):
    np.testing.assert_allclose(tensor.clone().numpy(), np.asarray(array), rtol=1e-4)
    assert tuple(tensor.shape) == np.shape(array)


INDICES = ["contiguous", "strided"]


@pytest.mark.parametrize("how", INDICES)
def test_reductions_along_a_dimension(call, how):
    t = values_of(call, 3, 4)
    t = t.t().contiguous().t() if how == "strided" else t
    n = t.clone().numpy()
    for d in (0, 1):
        for keep in (0, 1):
            out, i = call.like([]), torch.zeros(0, dtype=torch.int64)
            call("sum", out, t, d, keep)
            same(out, n.sum(d, keepdims=bool(keep), dtype=n.dtype))
            call("prod", out, t % 4, d, keep)
            same(out, (n % 4).prod(d, keepdims=bool(keep), dtype=n.dtype))
            for name, function, index in (("max", np.max, np.argmax), ("min", np.min, np.argmin)):
                call(name, out, i, t, d, keep)
                same(out, function(n, d, keepdims=bool(keep)))
                same(i, index(n, d, keepdims=bool(keep)))
            call("kthvalue", out, i, t, 2, d, keep)
            same(out, np.take(np.sort(n, d), [1] if keep else 1, d))
            call("median", out, i, t, d, keep)
            middle = (n.shape[d] - 1) // 2
            same(out, np.take(np.sort(n, d), [middle] if keep else middle, d))
        call("cumsum", out, t, d)
        same(out, n.cumsum(d, dtype=n.dtype))
        call("cumprod", out, t % 4, d)
        same(out, (n % 4).cumprod(d, dtype=n.dtype))
        call("sort", out, i, t, d, 0)
        same(out, np.sort(n, d))
        same(i, np.argsort(n, d))
        call("sort", out, i, t, d, 1)
        same(out, np.flip(np.sort(n, d), d))
        call("topk", out, i, t, 2, d, 1, 1)
        same(out, np.take(np.flip(np.sort(n, d), d), [0, 1], d))
    call("sum", out, t[0], 0, 0)  # nothing is left of a vector but one element
    same(out, [n[0].sum(dtype=n.dtype)])
    call("sum", t, t, 0, 0)  # in place
    same(t, n.sum(0, dtype=n.dtype))


def test_the_median_of_elements_that_are_one_in_memory(call):
    t = call.like([[4, 7, 5]]).expand(4, 3)
    out, i = call.like([]), torch.zeros(0, dtype=torch.int64)
    for d in (0, 1):
        call("median", out, i, t, d, 1)
        same(out, np.take(np.sort(t.numpy(), d), [1], d))


def test_errors_name_the_dimension(call):
    out, t = call.like([]), values_of(call, 3, 4)
    for d in (2, -1):
        with pytest.raises(ffi_ext.NativeError, match=f"dimension {d} out of range of 2D tensor"):
            call("sum", out, t, d, 0)
    assert out.numel() == 0
    with pytest.raises(ffi_ext.NativeError, match="shapes|size"):
        call("addmm", out, 1, t, 1, t, t)


def test_no_dimension_counts_from_the_end(call):
    """Of code that still subtracts 1 from dimension 0: the last dimension's numbers would look right."""
    t, v, one = call.like([[3, 1], [1, 2]]), call.like([0]), torch.LongTensor([0, 1])
    i, place = torch.LongTensor(), torch.LongTensor([[0, 1], [1, 0]])
    calls = {
        "kthvalue": (v, i, t, 1, -1, 0),
        "topk": (v, i, t, 1, -1, 1, 1),
        "gather": (v, t, -1, place),
        "scatter": (t, -1, place, t.clone()),
        "scatterAdd": (t, -1, place, t.clone()),
        "scatterFill": (t, -1, place, 9),
        "indexSelect": (v, t, -1, one),
        "indexCopy": (t, -1, one, t.clone()),
        "indexAdd": (t, -1, one, t.clone()),
        "indexFill": (t, -1, one, 9),
    }
    if t.is_floating_point():
        calls |= {"norm": (v, t, 2, -1, 0), "renorm": (v, t, 2, -1, 1)}
    for name, arguments in calls.items():
        with pytest.raises(ffi_ext.NativeError, match="dimension -1 out of range of 2D tensor"):
            call(name, *arguments)
    assert v.tolist() == [0] and t.tolist() == [[3, 1], [1, 2]]


def test_matrices(call):
    a, b, t = values_of(call, 2, 3), values_of(call, 3, 4, seed=1), values_of(call, 2, 4, seed=2)
    x, y, z = a.numpy(), b.numpy(), t.clone().numpy()
    out = call.like([])
    call("addmm", out, 2, t, 3, a, b)
    same(out, 2 * z + 3 * (x @ y))
    call("addmm", t, 1, t, 1, a, b)
    same(t, z + x @ y)
    t = call.like(z)
    call("addmv", out, 2, t[:, 0], 3, a, b[:, 0])
    same(out, 2 * z[:, 0] + 3 * (x @ y[:, 0]))
    call("addr", out, 2, t, 3, a[:, 0], b[0])
    same(out, 2 * z + 3 * np.outer(x[:, 0], y[0]))
    stack_a, stack_b = torch.stack([a, a]), torch.stack([b, b])
    call("addbmm", out, 1, t, 2, stack_a, stack_b)
    same(out, z + 4 * (x @ y))
    call("baddbmm", out, 1, torch.stack([t, t]), 2, stack_a, stack_b)
    same(out, np.stack([z + 2 * (x @ y)] * 2))
    for name in ("addbmm", "baddbmm"):
        with pytest.raises(ffi_ext.NativeError, match="expected 3D tensor, got 2D"):
            call(name, out, 1, t, 2, stack_a, b)
    call("cross", out, a, a.flip(0), -1)
    if call.real != "Byte":
        same(out, np.cross(x, x[::-1]))
        call("match", out, a, a.flip(0), 2)
        same(out, 2 * ((x[:, None] - x[::-1][None]) ** 2).sum(2))
        call("match", out, a[0], a[1], 1)
        same(out, (x[0][:, None] - x[1][None]) ** 2)
        with pytest.raises(
            ffi_ext.NativeError, match=r"inner vector dim, got \[2, 3\] and \[3, 1\]"
        ):
            call("match", out, a, a[:1].t(), 1)


def test_joining_and_cutting(call, th):
    a, b = values_of(call, 2, 3), values_of(call, 2, 3, seed=1)
    out = call.like([])
    for d in (0, 1):
        call("cat", out, a, b, d)
        same(out, np.concatenate([a.numpy(), b.numpy()], d))
    for k in (-1, 0, 1):
        call("tril", out, a, k)
        same(out, np.tril(a.numpy(), k))
        call("triu", out, a, k)
        same(out, np.triu(a.numpy(), k))
        call("diag", out, a, k)
        same(out, np.diag(a.numpy(), k))
    found = torch.zeros(0, dtype=torch.int64)
    call("nonzero", found, a % 2)
    same(found, np.argwhere(a.numpy() % 2))
    t = torch.zeros(0)
    th.cat_all(t, torch.ones(1, 2), torch.zeros(2, 2), torch.ones(1, 2) * 3, 0)
    assert t.tolist() == [[1, 1], [0, 0], [0, 0], [3, 3]]


def test_vectors_are_joined_as_columns(th):
    """What a tensor lacks in dimensions has the size 1, behind its own: published code made tables so."""
    x, y, nothing, out = torch.arange(3.0), torch.arange(3.0) + 5, torch.empty(0), torch.empty(0)
    th.cat_all(out, x, y, x, 1)
    np.testing.assert_array_equal(out, np.column_stack([x, y, x]))
    th.cat_all(out, torch.stack([x, y], 1), x, nothing, 1)
    np.testing.assert_array_equal(out, np.column_stack([x, y, x]))
    th.cat_all(out, x, nothing, torch.stack([x, y], 1), -1)
    np.testing.assert_array_equal(out, np.column_stack([x, x, y]))
    with pytest.raises(ffi_ext.NativeError, match="Sizes of tensors must match"):
        th.cat_all(out, x, y[:2], x, 1)


def test_indices(call):
    t, u = values_of(call, 3, 4), values_of(call, 2, 4, seed=1)
    n, m = t.numpy().copy(), u.numpy()
    index = torch.tensor([[2, 0, 1, 1], [0, 1, 2, 0]])
    rows = torch.tensor([2, 0])
    out = call.like([])
    call("gather", out, t, 0, index)
    same(out, np.take_along_axis(n, index.numpy(), 0))
    call("indexSelect", out, t, 0, rows)
    same(out, n[rows.numpy()])
    call("take", out, t, torch.tensor([11, 0, 5]))
    same(out, n.ravel()[[11, 0, 5]])

    def after(name, *arguments):
        changed = call.like(n)
        call(name, changed, *arguments)
        return changed

    expected = n.copy()
    np.put_along_axis(expected, index.numpy(), m, 0)
    same(after("scatter", 0, index, u), expected)
    np.put_along_axis(expected, index.numpy(), 9, 0)
    expected = n.copy()
    np.put_along_axis(expected, index.numpy(), 9, 0)
    same(after("scatterFill", 0, index, 9), expected)
    expected = n.copy()
    for i in range(2):
        for j in range(4):
            expected[index[i, j], j] += m[i, j]
    same(after("scatterAdd", 0, index, u), expected)
    expected = n.copy()
    expected[rows] = m
    same(after("indexCopy", 0, rows, u), expected)
    expected = n.copy()
    expected[rows] += m
    same(after("indexAdd", 0, rows, u), expected)
    expected = n.copy()
    expected[rows] = 7
    same(after("indexFill", 0, rows, 7), expected)
    expected = n.copy()
    expected.ravel()[[1, 5]] += m.ravel()[:2]
    same(after("put", torch.tensor([1, 5]), u.flatten()[:2], 1), expected)
    with pytest.raises(ffi_ext.NativeError, match="out of"):
        after("indexFill", 0, torch.tensor([7]), 1)


@pytest.mark.parametrize("real", FLOATING)
def test_statistics(th, real):
    def call(name, *arguments):
        return getattr(th, f"{real}_{name}")(*arguments)

    dtype = DTYPES[real]
    t = torch.rand(4, 5, dtype=dtype)
    n, out = t.numpy(), torch.zeros(0, dtype=dtype)
    for d in (0, 1):
        call("mean", out, t, d, 1)
        same(out, n.mean(d, keepdims=True))
        for biased in (0, 1):
            call("var", out, t, d, biased, 0)
            same(out, n.var(d, ddof=1 - biased))
            call("std", out, t, d, biased, 0)
            same(out, n.std(d, ddof=1 - biased))
        for p in (1, 2, 3):
            call("norm", out, t, p, d, 0)
            same(out, np.linalg.norm(n, p, axis=d) if p != 3 else (n**3).sum(d) ** (1 / 3))
    call("renorm", out, t, 2, 0, 0.5)
    norms = np.linalg.norm(n, axis=1, keepdims=True)
    same(out, n * np.minimum(1, 0.5 / norms))
    call("histc", out, t, 4, 0, 1)
    same(out, np.histogram(n, 4, (0, 1))[0])
    for least, most in ((0, 1), (0, 0)):  # equal: as far as the tensor goes
        call("bhistc", out, t, 4, least, most)
        ends = (least, most) if least < most else (n.min(), n.max())
        same(out, [np.histogram(row, 4, ends)[0] for row in n])


def test_logic_medians_and_modes(th):
    t, out = torch.tensor([[1, 0], [1, 1]], dtype=torch.uint8), torch.zeros(0, dtype=torch.uint8)
    th.Byte_logicalAnd(out, t, 1, 0)
    assert out.tolist() == [0, 1]
    th.Byte_logicalAny(out, t, 0, 1)
    assert out.tolist() == [[1, 1]]
    assert th.medianall(torch.tensor([5.0, 1, 4, 2])) == 2  # the lower of the two in the middle
    with pytest.raises(ffi_ext.NativeError, match="argument 1: tensor must have one dimension"):
        th.medianall(torch.zeros(0))
    values, index = torch.zeros(0), torch.zeros(0, dtype=torch.int64)
    th.Float_mode(values, index, torch.tensor([[3.0, 1, 3]]), 1, 0)
    assert values.tolist() == [3] and index.tolist()[0] in (0, 2)
