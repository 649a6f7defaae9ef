"""THC's functions on CUDA tensors that th_maths.py has not, by their names in C: one line a function.

Arguments come as there: in the order of the C prototype without the results. Integer tensors divide and
take remainders as C does, toward zero.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def _divide(a: Tensor, b: Any) -> Tensor:
    return torch.div(a, b) if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def _shift(a: Tensor, b: Any, left: bool) -> Tensor:
    if a.is_floating_point():
        return a * 2.0**b if left else a / 2.0**b
    return torch.bitwise_left_shift(a, b) if left else torch.bitwise_right_shift(a, b)


def _wide(t: Tensor) -> Tensor:
    """The elements as THC adds them up, as accreals: half's own numbers end at 65504."""
    if t.is_floating_point():
        return t.float() if t.dtype == torch.float16 else t
    return t.long()


def _series(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda *numbers: function(*numbers, dtype=torch.float64)


def _arange(start: float, end: float, step: float, inclusive: bool) -> Tensor:
    if not ((step > 0 and start <= end) or (step < 0 and start >= end)):
        raise ValueError(f"invalid argument: range from {start} to {end} in steps of {step}")
    count = (end - start) / step
    n = math.floor(count) + 1 if inclusive else math.ceil(count)
    return torch.arange(n, dtype=torch.float64) * step + start


def _in_shape_of(t: Tensor, other: Tensor) -> Tensor:
    """The elements of `other`, one for each of t's: THC goes by their order, and knows no broadcasting."""
    if t.numel() != other.numel():
        raise ValueError(f"sizes do not match: {tuple(t.shape)} and {tuple(other.shape)}")
    return other.reshape(t.shape)


def _in_order(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def called(t: Tensor, *rest: Any) -> Tensor:
        return function(t, *(_in_shape_of(t, x) if isinstance(x, Tensor) else x for x in rest))

    return called


def _copy(to: Tensor, source: Tensor) -> Tensor:
    return to.copy_(_in_shape_of(to, source))


def _masked_copy(t: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    return t.masked_scatter_(_in_shape_of(t, mask).bool(), source)


def _set_rng_state(state: Tensor) -> Tensor:
    torch.cuda.set_rng_state(state)
    return state


def _sort_pairs(keys: Tensor, values: Tensor, dimension: int, descending: int) -> Tensor:
    ordered, places = torch.sort(keys, dim=dimension, descending=bool(descending), stable=True)
    values.copy_(values.gather(dimension, places))
    return keys.copy_(ordered)


def _comparison(function: Callable[[Any, Any], Any]) -> Callable[..., Tensor]:
    return _in_order(lambda a, b: function(a, b).to(torch.uint8))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    # elementwise, of one tensor
    "abs": torch.abs,
    "neg": torch.neg,
    "sign": torch.sign,
    "cinv": torch.reciprocal,
    "frac": torch.frac,
    # of a tensor and numbers
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": _divide,
    "add_scaled": lambda t, value, scale: t + value * scale,
    "sub_scaled": lambda t, value, scale: t - value * scale,
    "fmod": torch.fmod,
    "remainder": torch.remainder,
    "lshift": lambda t, n: _shift(t, n, True),
    "rshift": lambda t, n: _shift(t, n, False),
    "bitand": torch.bitwise_and,
    "bitor": torch.bitwise_or,
    "bitxor": torch.bitwise_xor,
    "polygamma": torch.polygamma,
    "pow": torch.pow,
    "tpow": torch.pow,
    "clamp": torch.clamp,
    "cmaxValue": lambda t, value: t.clamp(min=value),
    "cminValue": lambda t, value: t.clamp(max=value),
    # of two tensors
    "cadd": lambda a, value, b: torch.add(a, b, alpha=value),
    "csub": lambda a, value, b: torch.sub(a, b, alpha=value),
    "cmul": torch.mul,
    "cdiv": _divide,
    "cpow": torch.pow,
    "cfmod": torch.fmod,
    "cremainder": torch.remainder,
    "cmax": torch.maximum,
    "cmin": torch.minimum,
    "cbitand": torch.bitwise_and,
    "cbitor": torch.bitwise_or,
    "cbitxor": torch.bitwise_xor,
    "clshift": lambda a, b: _shift(a, b, True),
    "crshift": lambda a, b: _shift(a, b, False),
    "atan2": torch.atan2,
    "lerp": torch.lerp,
    "addcmul": lambda t, value, a, b: t + value * (a * b),
    "addcdiv": lambda t, value, a, b: t + _divide(value * a, b),
    # numbers of whole tensors
    "sumall": lambda t: _wide(t).sum(),
    "prodall": lambda t: _wide(t).prod(),
    "meanall": lambda t: t.mean(dtype=torch.float64),
    "maxall": torch.max,
    "minall": torch.min,
    "normall": lambda t, p: torch.linalg.vector_norm(_wide(t), p),
    "stdall": lambda t, biased: torch.std(_wide(t), correction=0 if biased else 1),
    "varall": lambda t, biased: torch.var(_wide(t), correction=0 if biased else 1),
    "dist": lambda a, b, p: torch.dist(a.double(), b.double(), p),
    "dot": lambda a, b: (_wide(a) * _wide(b)).sum(),
    "trace": lambda t: torch.trace(_wide(t)),
    "equal": lambda a, b: torch.tensor(torch.equal(a, b)),
    # filling
    "fill": Tensor.fill_,
    "zero": Tensor.zero_,
    "zeros": torch.zeros,
    "ones": torch.ones,
    "zerosLike": torch.zeros_like,
    "onesLike": torch.ones_like,
    "rand": torch.rand,
    "randn": torch.randn,
    "arange": lambda start, end, step: _arange(start, end, step, False),
    "range": lambda start, end, step: _arange(start, end, step, True),
    "linspace": _series(torch.linspace),
    "logspace": _series(torch.logspace),
    "eye": lambda n, m: torch.eye(n, m if m > 0 else n),
    "copy": _copy,
    "spread": lambda t, one: t.copy_(one.expand_as(t)),
    "reshape": lambda t, size: t.reshape(size),
    # masks
    "maskedFill": lambda t, mask, value: t.masked_fill_(mask.bool(), value),
    "maskedCopy": _masked_copy,
    "maskedSelect": lambda t, mask: torch.masked_select(t, mask.bool()),
    "maskedFillByte": lambda t, mask, value: t.masked_fill_(mask.to(t.device).bool(), value),
    "maskedCopyByte": lambda t, mask, source: _masked_copy(t, mask.to(t.device), source),
    "maskedSelectByte": lambda t, mask: torch.masked_select(t, mask.to(t.device).bool()),
    # indices on the CPU
    "indexAdd_long": lambda t, d, index, source: t.index_add_(d, index.to(t.device), source),
    "indexCopy_long": lambda t, d, index, source: t.index_copy_(d, index.to(t.device), source),
    "indexFill_long": lambda t, d, index, value: t.index_fill_(d, index.to(t.device), value),
    "indexSelect_long": lambda t, d, index: t.index_select(d, index.to(t.device)),
    "sortKeyValueInplace": _sort_pairs,
    "logicalall": lambda t: t.bool().all(),
    "logicalany": lambda t: t.bool().any(),
    "logicalAndAll": lambda t: t.bool().all(),  # 0.4.1's names
    "logicalAnyAll": lambda t: t.bool().any(),
    # random, by torch's generator of the device
    "bernoulli": lambda t, p: t.bernoulli_(p),
    "bernoulli_Tensor": lambda t, p: t.bernoulli_(p),
    "bernoulli_FloatTensor": lambda t, p: t.bernoulli_(p),
    "bernoulli_DoubleTensor": lambda t, p: t.bernoulli_(p),
    "geometric": lambda t, p: t.geometric_(p),
    "random": Tensor.random_,
    "cappedRandom": lambda t, most: t.random_(most),
    "clampedRandom": lambda t, least, most: t.random_(least, most),
    "uniform": Tensor.uniform_,
    "normal": Tensor.normal_,
    "normal_means": torch.normal,
    "normal_stddevs": torch.normal,
    "normal_means_stddevs": torch.normal,
    "exponential": Tensor.exponential_,
    "cauchy": Tensor.cauchy_,
    "logNormal": Tensor.log_normal_,
    "multinomial": lambda p, n, replacement: torch.multinomial(p, n, bool(replacement)),
    "getRNGState": lambda: torch.cuda.get_rng_state(),
    "setRNGState": _set_rng_state,
}
_UNARY = """acos asin atan ceil cos cosh digamma erf erfc erfinv exp expm1 floor lgamma log log10 log1p
    log2 round rsqrt sigmoid sin sinh sqrt tan tanh trunc"""
FUNCTIONS |= {name: getattr(torch, name) for name in _UNARY.split()}
_OF_PAIRS = """cadd csub cmul cdiv cpow cfmod cremainder cmax cmin cbitand cbitor cbitxor clshift crshift
    atan2 lerp addcmul addcdiv dist dot maskedFill maskedFillByte maskedSelect maskedSelectByte
    bernoulli_Tensor bernoulli_FloatTensor bernoulli_DoubleTensor normal_means_stddevs"""
FUNCTIONS |= {name: _in_order(FUNCTIONS[name]) for name in _OF_PAIRS.split()}
for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    for _ending in ("Value", "ValueT", "Tensor", "TensorT"):
        FUNCTIONS[_name + _ending] = _comparison(getattr(operator, _name))
