"""TH's maths, random numbers and BLAS against torch, NumPy, SciPy and the recorded streams of PyTorch 0.3.1."""

from __future__ import annotations

import resource

import numpy as np
import pytest
import scipy.special
import torch

import ffi_ext
from tests.th_types import ALL, C_TYPES, DTYPES, FLOATING

INTEGERS = tuple(set(ALL) - set(FLOATING))


def special(function):
    return lambda x: torch.from_numpy(function(x.double().numpy()))


# name: (types, the same from another library, values to try it on)
UNARY = {
    "abs": (("Float", "Double", "Long", "Int", "Short"), torch.abs, (-50, 50)),
    "neg": (ALL, torch.neg, (-50, 50)),
    "sign": (ALL, torch.sign, (-2, 3)),
    "digamma": (FLOATING, special(scipy.special.digamma), (-4.9, 20)),
    "trigamma": (FLOATING, special(lambda x: scipy.special.polygamma(1, x)), (0.1, 20)),
    "erfinv": (FLOATING, special(scipy.special.erfinv), (-0.999, 0.999)),
    "lgamma": (FLOATING, torch.lgamma, (0.1, 30)),
    "sigmoid": (FLOATING, torch.sigmoid, (-20, 20)),
    "rsqrt": (FLOATING, torch.rsqrt, (0.1, 9)),
    "frac": (FLOATING, torch.frac, (-9, 9)),
    "round": (FLOATING, torch.round, (-9, 9)),
}
BOUNDED = "acos asin atan ceil cos cosh erf erfc exp expm1 floor sin sinh tan tanh trunc"
for name in BOUNDED.split():
    UNARY[name] = (FLOATING, getattr(torch, name), (-0.99, 0.99))
for name in ["log", "log10", "log1p", "log2", "sqrt"]:
    UNARY[name] = (FLOATING, getattr(torch, name), (0.01, 9))

VALUE = {
    "add": (ALL, torch.add),
    "sub": (ALL, torch.sub),
    "mul": (ALL, torch.mul),
    "div": (ALL, lambda x, v: x / v if x.is_floating_point() else torch.div(x, v, rounding_mode="trunc")),
    "fmod": (ALL, torch.fmod),
    "remainder": (ALL, torch.remainder),
    "bitand": (INTEGERS, torch.bitwise_and),
    "bitor": (INTEGERS, torch.bitwise_or),
    "bitxor": (INTEGERS, torch.bitwise_xor),
    "lshift": (ALL, lambda x, v: x * 2**v),
    "cmaxValue": (ALL, lambda x, v: x.clamp(min=v)),
    "cminValue": (ALL, lambda x, v: x.clamp(max=v)),
    "pow": (FLOATING, lambda x, v: x**v),
}  # fmt: skip
BINARY = {
    "cmul": (ALL, torch.mul),
    "cdiv": (ALL, lambda x, y: x / y if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc")),
    "cfmod": (ALL, torch.fmod),
    "cremainder": (ALL, torch.remainder),
    "cbitand": (INTEGERS, torch.bitwise_and),
    "cbitor": (INTEGERS, torch.bitwise_or),
    "cbitxor": (INTEGERS, torch.bitwise_xor),
    "cmax": (ALL, torch.maximum),
    "cmin": (ALL, torch.minimum),
    "atan2": (FLOATING, torch.atan2),
}  # fmt: skip
# THVector's, of n numbers in memory: arguments, and what comes out of x and y.
VECTOR = {
    "fill": ("z, 3, n", lambda x, y: torch.full_like(x, 3)),
    "copy": ("z, x, n", lambda x, y: x),
    "adds": ("z, x, 3, n", lambda x, y: x + 3),
    "muls": ("z, x, 3, n", lambda x, y: x * 3),
    "divs": ("z, x, 3, n", lambda x, y: VALUE["div"][1](x, 3)),
    "cadd": ("z, x, y, 3, n", lambda x, y: x + 3 * y),
    "cmul": ("z, x, y, n", torch.mul),
    "cdiv": ("z, x, y, n", BINARY["cdiv"][1]),
}
COMPARE = {name: getattr(torch, name) for name in ("lt", "le", "gt", "ge", "eq", "ne")}
NUMBERS = {
    "sumall": (ALL, lambda x: x.double().sum()),
    "minall": (ALL, torch.min),
    "maxall": (ALL, torch.max),
    "meanall": (FLOATING, torch.mean),
    "numel": (ALL, torch.numel),
}
OTHERS = """
static THGenerator *seeded(long seed) {
  THGenerator *g = THGenerator_new();
  THRandom_manualSeed(g, (uint64_t)seed);
  return g;
}
#define WITH(CALL) THGenerator *g = seeded(seed); CALL; THGenerator_free(g);
long first(long seed) { WITH(long r = (long)THRandom_random(g)) return r; }
void uniform(THFloatTensor *t, long seed) { WITH(THFloatTensor_uniform(t, g, 0, 1)) }
void uniform_double(THDoubleTensor *t, long seed) { WITH(THDoubleTensor_uniform(t, g, 0, 1)) }
void normal(THFloatTensor *t, long seed) { WITH(THFloatTensor_normal(t, g, 0, 1)) }
void randperm(THLongTensor *t, long seed, long n) { WITH(THLongTensor_randperm(t, g, n)) }
void bernoulli(THByteTensor *t, long seed, double p) { WITH(THByteTensor_bernoulli(t, g, p)) }
void scalars(THDoubleTensor *t, long seed) {
  WITH(double *d = THDoubleTensor_data(t); d[0] = THRandom_uniform(g, 0, 1);
       d[1] = THRandom_normal(g, 0, 1); d[2] = THRandom_normal(g, 0, 1))
}
void gemm(int ta, int tb, THFloatTensor *c, THFloatTensor *a, THFloatTensor *b, long m, long n, long k) {
  THFloatBlas_gemm(ta ? 't' : 'n', tb ? 't' : 'n', m, n, k, 2, THFloatTensor_data(a), ta ? k : m,
                   THFloatTensor_data(b), tb ? n : k, 3, THFloatTensor_data(c), m);
}
"""


def wrappers() -> str:
    """A C function `<Type>_<name>` for each TH function under test."""
    lines = ["#include <TH/TH.h>"]

    def add(result: str, real: str, name: str, parameters: str) -> None:
        parameters = parameters.replace("T *", f"TH{real}Tensor *")
        parameters = parameters.replace("real ", C_TYPES[real] + " ")
        names = ", ".join(part.split()[-1].lstrip("*") for part in parameters.split(","))
        call = f"TH{real}Tensor_{name}({names})"
        back = "return " if result != "void" else ""
        lines.append(f"{result} {real}_{name}({parameters}) {{ {back}{call}; }}")

    for table, parameters in (
        (UNARY, "T *r, T *t"),
        (VALUE, "T *r, T *t, real v"),
        (BINARY, "T *r, T *t, T *u"),
    ):
        for name, (types, *_) in table.items():
            for real in types:
                add("void", real, name, parameters)
    for name, (arguments, _) in VECTOR.items():
        for real in ALL:
            t = f"TH{real}Tensor"
            head = f"void {real}Vector_{name}({t} *r, {t} *t, {t} *u)"
            data = ", ".join(f"*{a} = {t}_data({b})" for a, b in zip("zxy", "rtu", strict=True))
            memory = f"{C_TYPES[real]} {data}; ptrdiff_t n = {t}_nElement(t)"
            call = f"TH{real}Vector_{name}({arguments})"
            lines.append(f"{head} {{ {memory}; (void)x, (void)y; {call}; }}")
    for real in ALL:
        for name in COMPARE:
            add("void", real, f"{name}Value", "THByteTensor *r, T *t, real v")
            add("void", real, f"{name}TensorT", "T *r, T *t, T *u")
        add("void", real, "cadd", "T *r, T *t, real v, T *u")
        add("void", real, "csub", "T *r, T *t, real v, T *u")
        add("void", real, "addcmul", "T *r, T *t, real v, T *u, T *w")
        add("void", real, "addcdiv", "T *r, T *t, real v, T *u, T *w")
        add("void", real, "clamp", "T *r, T *t, real v, real w")
        add("void", real, "maskedFill", "T *t, THByteTensor *mask, real v")
        add("void", real, "maskedSelect", "T *r, T *t, THByteTensor *mask")
        add("void", real, "maskedCopy", "T *t, THByteTensor *mask, T *u")
        add("void", real, "eye", "T *r, long n, long m")
    for name, (types, _) in NUMBERS.items():
        for real in types:
            add("double", real, name, "T *t")
    for real in FLOATING:
        add("double", real, "normall", "T *t, real v")
        add("double", real, "varall", "T *t, int biased")
        add("void", real, "linspace", "T *r, real a, real b, long n")
    add("void", "Float", "arange", "T *r, double a, double b, double c")
    return "\n".join(lines) + OTHERS


@pytest.fixture(scope="module")
def th(build_once):
    return build_once(None, wrappers())


def inputs(real, low=-50, high=50):
    """Contiguous, strided, one-element and empty tensors."""
    dtype = DTYPES[real]
    if dtype == torch.uint8:
        low = max(low, 1)
    torch.manual_seed(0)
    values = torch.rand(6, 8, dtype=torch.float64) * (high - low) + low
    values = values.to(dtype)
    return [
        values.clone(),
        values.clone()[::2, 1::3],
        values.clone().t(),
        values[0, :1].clone(),
        values[:0, 0].clone(),
    ]


def close(actual, expected, real):
    tolerance = {
        "rtol": 1e-5 if real == "Float" else 1e-12,
        "atol": 1e-6 if real == "Float" else 1e-12,
    }
    expected = expected.to(actual.dtype)
    torch.testing.assert_close(
        actual, expected, **(tolerance if real in FLOATING else {"rtol": 0, "atol": 0})
    )


@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one_tensor(th, name):
    types, expected, (low, high) = UNARY[name]
    for real in types:
        for t in inputs(real, low, high):
            wanted = expected(t)
            out = torch.zeros(0, dtype=t.dtype)
            getattr(th, f"{real}_{name}")(out, t)
            close(out, wanted, real)
            getattr(th, f"{real}_{name}")(t, t)
            close(t, wanted, real)


@pytest.mark.parametrize("real", FLOATING)
def test_zeros_have_signs(th, real):
    t = torch.tensor([0.0, -0.0], dtype=DTYPES[real])
    for name, function in (("abs", np.abs), ("neg", np.negative)):
        out = torch.zeros(0, dtype=t.dtype)
        getattr(th, f"{real}_{name}")(out, t)
        np.testing.assert_array_equal(np.signbit(out.numpy()), np.signbit(function(t.numpy())))


@pytest.mark.parametrize("name", VALUE)
def test_functions_of_a_tensor_and_a_number(th, name):
    types, expected = VALUE[name]
    for real in types:
        for t in inputs(real, 0 if name == "pow" else -50):
            wanted = expected(t, 3) if name != "lshift" else expected(t % 8, 3)
            out = torch.zeros(1, 2, dtype=t.dtype)
            getattr(th, f"{real}_{name}")(out, t % 8 if name == "lshift" else t, 3)
            close(out, wanted, real)


@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two_tensors(th, name):
    types, expected = BINARY[name]
    for real in types:
        for t, u in zip(inputs(real), inputs(real, 1, 9), strict=True):
            wanted = expected(t, u)
            out = torch.zeros(0, dtype=t.dtype)
            getattr(th, f"{real}_{name}")(out, t, u)
            close(out, wanted, real)
            getattr(th, f"{real}_{name}")(u, t, u)
            close(u, wanted, real)


@pytest.mark.parametrize("name", VECTOR)
def test_functions_of_numbers_in_memory(th, name):
    for real in ALL:
        t, u = inputs(real)[0], inputs(real, 1, 9)[0]
        wanted = VECTOR[name][1](t, u)
        for out in (torch.zeros_like(t), t):
            getattr(th, f"{real}Vector_{name}")(out, t, u)
            close(out, wanted, real)


@pytest.mark.parametrize("name", COMPARE)
def test_comparisons(th, name):
    for real in ALL:
        for t, u in zip(inputs(real, -3, 3), inputs(real, -3, 3), strict=True):
            u = u.flip(0)
            out, same = torch.zeros(0, dtype=torch.uint8), torch.zeros(0, dtype=t.dtype)
            getattr(th, f"{real}_{name}Value")(out, t, 1)
            assert torch.equal(out, COMPARE[name](t, 1).byte())
            getattr(th, f"{real}_{name}TensorT")(same, t, u)
            assert torch.equal(same, COMPARE[name](t, u).to(t.dtype))


@pytest.mark.parametrize("real", ALL)
def test_sums_products_masks_and_clamps(th, real):
    def call(name, *arguments):
        return getattr(th, f"{real}_{name}")(*arguments)

    for t, u in zip(inputs(real, -5, 5), inputs(real, 1, 5), strict=True):
        out = torch.zeros(0, dtype=t.dtype)
        call("cadd", out, t, 3, u)
        close(out, t + 3 * u, real)
        call("csub", out, t, 2, u)
        close(out, t - 2 * u, real)
        call("addcmul", out, t, 2, u, u)
        close(out, t + 2 * u * u, real)
        call("clamp", out, t, 1, 3)
        assert torch.equal(out, t.clamp(1, 3))
        mask = (u > 2).byte()
        call("maskedSelect", out, t, mask)
        assert torch.equal(out, t[mask.bool()])
        filled = t.clone()
        call("maskedFill", filled, mask, 7)
        assert torch.equal(filled, t.masked_fill(mask.bool(), 7))
        copied = t.clone()
        call("maskedCopy", copied, mask, u)
        assert torch.equal(copied, t.clone().masked_scatter_(mask.bool(), u.contiguous()))
    call("eye", out, 3, 4)
    assert torch.equal(out, torch.eye(3, 4, dtype=out.dtype))
    with pytest.raises(ffi_ext.NativeError, match="0 and 1"):
        call("maskedFill", t.new_zeros(2), torch.tensor([0, 2], dtype=torch.uint8), 1)


@pytest.mark.parametrize("name", NUMBERS)
def test_all_elements_to_one_number(th, name):
    types, expected = NUMBERS[name]
    for real in types:
        for t in inputs(real)[:-1]:
            assert getattr(th, f"{real}_{name}")(t) == pytest.approx(float(expected(t)), rel=1e-5)


@pytest.mark.parametrize("real", FLOATING)
def test_what_is_no_number_is_the_least_and_the_greatest(th, real):
    for place in (0, 2, 4):
        t = torch.arange(5, dtype=DTYPES[real])
        t[place] = torch.nan
        assert all(np.isnan(getattr(th, f"{real}_{name}")(t)) for name in ("minall", "maxall"))
    t = torch.tensor([1.0, 2, 0], dtype=DTYPES[real])
    for name in ("remainder", "fmod"):
        out = torch.zeros(0, dtype=t.dtype)
        getattr(th, f"{real}_{name}")(out, t, 0)
        assert out.isnan().all()


def test_products_are_rounded_before_they_are_subtracted_or_added(th):
    """As NumPy, step by step. Where processors fuse the two, as ARM's can, 0.5 % 0.1 was -2.8e-17."""
    x = torch.arange(1, 100, dtype=torch.float64) / 10
    y, out = torch.full_like(x, 0.1), torch.zeros(0, dtype=torch.float64)
    a, b = x.numpy(), y.numpy()
    th.Double_cremainder(out, x, y)
    assert np.array_equal(out.numpy(), a - b * np.floor(a / b))
    th.Double_cadd(out, x, 0.1, x)
    assert np.array_equal(out.numpy(), a + 0.1 * a)


@pytest.mark.parametrize("real", sorted({*INTEGERS} - {"Byte"}))
def test_divisors_below_zero(th, real):
    dtype = DTYPES[real]
    bits, least = torch.iinfo(dtype).bits, torch.iinfo(dtype).min
    values = [least, least + 1, -7, -6, 0, 6, 7, -(least + 1)]

    def wrapped(n):
        return (n - least) % 2**bits + least

    for v in (-1, -3, least):
        quotients = [abs(x) // -v * (1 if x < 0 else -1) for x in values]
        want = {
            "div": [wrapped(q) for q in quotients],
            "fmod": [x - q * v for x, q in zip(values, quotients, strict=True)],
            "remainder": [x % v for x in values],  # Python's has the sign of the divisor
        }
        t, out = torch.tensor(values, dtype=dtype), torch.zeros(0, dtype=dtype)
        for name, numbers in want.items():
            getattr(th, f"{real}_{name}")(out, t, v)
            assert out.tolist() == numbers, name
            getattr(th, f"{real}_c{name}")(out, t, torch.full_like(t, v))
            assert out.tolist() == numbers, name


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0)])
@pytest.mark.parametrize("name", ["minall", "maxall"])
def test_no_element_is_the_greatest_of_none(th, name, shape):
    """0.3.1 knew one empty tensor, without dimensions; it refused that with these words."""
    with pytest.raises(ffi_ext.NativeError, match="argument 1: tensor must have one dimension"):
        getattr(th, f"Float_{name}")(torch.zeros(shape))
    with pytest.raises(ffi_ext.NativeError, match="argument 1: empty Tensor"):
        th.Float_varall(torch.zeros(shape), 0)


def test_norms_variances_and_steps(th):
    for real in FLOATING:
        t = inputs(real)[1]
        for p in (0, 1, 2, 3.5):
            wanted = np.linalg.norm(t.numpy().ravel().astype(np.float64), p)
            assert getattr(th, f"{real}_normall")(t, p) == pytest.approx(wanted, rel=1e-5)
        for biased in (0, 1):
            wanted = np.var(t.numpy().astype(np.float64), ddof=1 - biased)
            assert getattr(th, f"{real}_varall")(t, biased) == pytest.approx(wanted, rel=1e-5)
        out = torch.zeros(0, dtype=t.dtype)
        getattr(th, f"{real}_linspace")(out, -1, 3, 9)
        torch.testing.assert_close(out, torch.linspace(-1, 3, 9, dtype=t.dtype))
        getattr(th, f"{real}_linspace")(out, 3, 3, 1)
        assert out.tolist() == [3]
        with pytest.raises(ffi_ext.NativeError, match="invalid number of points"):
            getattr(th, f"{real}_linspace")(out, 3, 4, 1)
        getattr(th, f"{real}_pow")(out, t, 2)
        torch.testing.assert_close(out, t * t)
        assert getattr(th, f"{real}_normall")(torch.tensor([0, 3, 0], dtype=t.dtype), 0) == 1
    assert th.Double_sumall(torch.tensor([1 + 2.0**-40], dtype=torch.float64)) == 1 + 2.0**-40
    out = torch.zeros(0)
    th.Float_eye(out, 3, 0)
    assert torch.equal(out, torch.eye(3))
    out = torch.zeros(0)
    th.Float_arange(out, 1, 2, 0.25)
    assert torch.equal(out, torch.arange(1, 2, 0.25))
    spread = torch.zeros(2, 4)
    th.Float_arange(spread[:, ::2], 1, 2, 0.25)  # of as many elements: its shape stays
    assert spread.tolist() == [[1, 0, 1.25, 0], [1.5, 0, 1.75, 0]]
    with pytest.raises(ffi_ext.NativeError, match="invalid argument 2: upper bound"):
        th.Float_arange(out, 2, 1, 0.25)
    with pytest.raises(ffi_ext.NativeError, match="invalid argument 3: step must be nonzero"):
        th.Float_arange(out, 1, 2, 0)


def test_integers_divided_by_zero_raise_and_change_nothing(th):
    t, zero = torch.tensor([4, 5]), torch.tensor([1, 0])
    for call in (
        lambda: th.Long_div(t, t, 0),
        lambda: th.Long_remainder(t, t, 0),
        lambda: th.Long_cdiv(t, t, zero),
        lambda: th.Long_cfmod(t, t, zero),
        lambda: th.LongVector_cdiv(t, t, zero),
    ):
        with pytest.raises(ffi_ext.NativeError, match="divided by zero"):
            call()
        assert t.tolist() == [4, 5]
    least = torch.tensor([-(2**63)])
    th.Long_div(least, least, -1)  # overflows: wraps as two's complement does
    assert least.tolist() == [-(2**63)]
    with pytest.raises(ffi_ext.NativeError, match="inconsistent tensor size"):
        th.Float_cadd(torch.zeros(2), torch.zeros(2), 1, torch.zeros(3))


def test_a_result_that_is_the_second_tensor_is_not_resized_first(th):
    """Its new elements would be what is divided by, which ended the process where they were 0."""
    t, u = torch.arange(5), torch.ones(1, dtype=torch.int64)
    for call in (
        lambda: th.Long_cdiv(u, t, u),
        lambda: th.Long_cadd(u, t, 1, u),
        lambda: th.Long_csub(u, t, 1, u),
        lambda: th.Long_eqTensorT(u, t, u),
    ):
        with pytest.raises(
            ffi_ext.NativeError, match=r"\[5\] and \w+ \[1\] to have the same number"
        ):
            call()
        assert u.tolist() == [1]


def test_divisors_that_become_zero_on_the_way_raise(th):
    spread = torch.tensor([3]).expand(4)
    with pytest.raises(ffi_ext.NativeError, match="divided by zero"):
        th.Long_cremainder(spread, spread, spread)  # 3 % 3 is what is divided by next
    t, divisors = torch.zeros(2, dtype=torch.int64), torch.ones(2, dtype=torch.int64)
    with pytest.raises(ffi_ext.NativeError, match="divided by zero"):
        th.Long_addcdiv(divisors, t, 1, t, divisors)  # the result begins as `t`


def test_bytes_have_no_negative_divisors(th):
    t = torch.arange(256).byte()
    for divisor in (1, 128, 254, 255):
        whole, out = torch.full_like(t, divisor), t.new_zeros(0)
        for name, by in (
            ("fmod", divisor),
            ("remainder", divisor),
            ("cfmod", whole),
            ("cremainder", whole),
        ):
            getattr(th, f"Byte_{name}")(out, t, by)
            np.testing.assert_array_equal(out.numpy(), t.numpy() % np.uint8(divisor))


def test_memory_stays_flat_when_a_result_cannot_be_written(th):
    def work(rounds: int) -> int:
        for _ in range(rounds):
            result, t = torch.zeros(3, requires_grad=True), torch.ones(100_000)
            with pytest.raises(ffi_ext.NativeError, match="requires grad"):
                th.Float_maskedSelect(result, t, t.byte())
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before = work(10)
    assert work(100) - before < 20_000  # kB; what is picked of one call is 400


def test_random_streams(th):
    assert th.first(42) == 1608637542
    out = torch.zeros(3, dtype=torch.float64)
    th.scalars(out, 1)  # recorded from 0.3.1 as printf evaluated its arguments: the last one first
    np.testing.assert_allclose(out.numpy()[[0, 2, 1]][0], 0.0610532747, rtol=1e-8)
    np.testing.assert_allclose(sorted(out.numpy()[1:]), [0.116313617, 0.721302139], rtol=1e-8)
    for seed, uniform, normal in (
        (7, [0.534923, 0.198803, 0.659212], [-0.146795, 0.786141, 0.946822]),
    ):
        t = torch.zeros(3)
        th.normal(t, seed)
        np.testing.assert_allclose(t.numpy(), normal, rtol=1e-5)
        th.uniform(t, seed)
        np.testing.assert_allclose(t.numpy(), uniform, rtol=1e-5)


def test_random_tensors(th):
    t = torch.zeros(100000)
    th.normal(t, 3)
    assert abs(t.mean().item()) < 0.02 and abs(t.std().item() - 1) < 0.02
    permutation = torch.zeros(0, dtype=torch.int64)
    th.randperm(permutation, 5, 1000)
    assert permutation.tolist() != list(range(1000))
    assert sorted(permutation.tolist()) == list(range(1000))
    coins = torch.zeros(100000, dtype=torch.uint8)
    th.bernoulli(coins, 1, 0.25)
    assert abs(coins.float().mean().item() - 0.25) < 0.01
    with pytest.raises(ffi_ext.NativeError, match=">= 0 and <= 1"):
        th.bernoulli(coins, 1, 1.5)


@pytest.mark.parametrize("ta", [0, 1])
@pytest.mark.parametrize("tb", [0, 1])
@pytest.mark.parametrize(("m", "n", "k"), [(5, 7, 4), (2, 3, 6), (4, 1, 0)])
def test_gemm(th, ta, tb, m, n, k):
    a, b, c = torch.rand(m, k), torch.rand(k, n), torch.rand(m, n)

    def columns(x):  # column-major
        return x.t().clone(memory_format=torch.contiguous_format)

    out = columns(c)
    th.gemm(ta, tb, out, a if ta else columns(a), b if tb else columns(b), m, n, k)
    torch.testing.assert_close(out.t(), 2 * a @ b + 3 * c)
