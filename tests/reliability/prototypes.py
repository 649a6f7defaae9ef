"""Random C functions of every type, with values to pass, what C must make of them, and values it must refuse."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cffi
import numpy as np
import torch

from ffi_ext import types
from tests.reliability import arrays
from tests.reliability.values import MASK, Index, Kind, Raises, Subclass

LONGEST = 20  # arguments

PRELUDE = """#include <TH/TH.h>
#include <ffi_ext.h>
#include <string.h>
#include <stdbool.h>
#include "attack.h"
static __thread uint64_t attack_sum;
uint64_t attack_last(void) { return attack_sum; }
void attack_nap(int milliseconds) {
  struct timespec pause = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
  nanosleep(&pause, 0);
}
static uint64_t of_f(float x) { uint32_t bits; memcpy(&bits, &x, 4); return bits; }
static uint64_t of_d(double x) { uint64_t bits; memcpy(&bits, &x, 8); return bits; }
static uint64_t of_text(const char *s) {
  uint64_t h = 5381;
  if (s) while (*s) h = h * 33 + (unsigned char)*s++;
  return h;
}
static uint64_t of_pair(attack_pair p) { return (uint64_t)p.a * 7 + of_d(p.b); }
"""

# Of a tensor: dimensions, sizes, strides and the sum of its elements (a half's bits).
OF_RECORDS = """
static uint64_t add_{name}(const {c_type} *data, const int64_t *size, const int64_t *stride, int n) {{
  if (n == 0) return (uint64_t)(int64_t)READ_{letter}(*data);
  uint64_t total = 0;
  for (int64_t i = 0; i < *size; i++) total += add_{name}(data + i * *stride, size + 1, stride + 1, n - 1);
  return total;
}}
static uint64_t of_t{name}(const TH{name}Tensor *t) {{
  if (!t) return 11;
  uint64_t h = (uint64_t)t->nDimension;
  for (int d = 0; d < t->nDimension; d++)
    h = (h * 31 + (uint64_t)t->size[d]) * 31 + (uint64_t)t->stride[d];
  if (!t->nDimension) return h;
  return h + add_{name}(t->storage->data + t->storageOffset, t->size, t->stride, t->nDimension);
}}
static uint64_t of_g{name}(const TH{name}Storage *s) {{
  uint64_t total = s ? (uint64_t)s->size * 17 : 11;
  for (ptrdiff_t i = 0; s && i < s->size; i++) total += (uint64_t)(int64_t)READ_{letter}(s->data[i]);
  return total;
}}
"""


def _integers(c_type: str, bits: int, signed: bool, r: random.Random) -> Kind:
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    values: list[Any] = [0, 1, low, high, True, low + 1, high - 1]
    values += [r.randint(low, high) for _ in range(4)]
    values += [Index(r.randint(low, high)), np.int8(r.randint(0, 127)), np.uint8(r.randint(0, 127))]
    kind = Kind(c_type, "(uint64_t)(int64_t){}" if signed else "(uint64_t){}")
    kind.right = [(v, int(v.__index__()) & MASK) for v in values]
    beyond = [low - 1, high + 1, 1 << 64, -(1 << 63) - 1, 10**30, 10**5000, Index(high + 1)]
    kind.wrong = [(v, OverflowError) for v in beyond]
    others = [1.0, "1", b"1", None, [1], torch.tensor(1), {}, 1j, np.float32(1), object(), type]
    kind.wrong += [(v, TypeError) for v in others] + [(Raises(), ZeroDivisionError)]
    return kind


def _floats(c_type: str, r: random.Random) -> Kind:
    single = c_type == "float"
    bits = (lambda v: struct.unpack("I", struct.pack("f", v))[0]) if single else _double_bits
    values: list[Any] = [0.0, -0.0, 1, -1, True, 1.5, float("inf"), float("-inf"), 1e-40, Index(3)]
    values += [r.uniform(-1e6, 1e6), np.float32(0.1), np.float64(0.1), np.int16(3)]
    if not single:
        values += [5e-324, 1.7976931348623157e308]
    kind = Kind(c_type, "of_f({})" if single else "of_d({})")
    kind.right = [(v, bits(float(v))) for v in values]
    others = ["1", b"1", None, [1.0], torch.tensor(1.0), 1j, object()]
    kind.wrong = [(v, TypeError) for v in others] + [(Raises(), ZeroDivisionError)]
    kind.wrong += [(v, OverflowError) for v in (10**400, -(10**5000))]
    return kind


def _double_bits(value: float) -> int:
    return int(struct.unpack("Q", struct.pack("d", value))[0])


def _tensor_number(t: torch.Tensor) -> int:
    size, stride = list(t.shape), list(t.stride())
    if t.dim() == 0:
        size, stride = [1], [1]
    elif size == [0]:
        return 0
    h = len(size)
    for n, step in zip(size, stride, strict=True):
        h = (h * 31 + n) * 31 + step
    return (h + _element_sum(t)) & MASK


def _element_sum(t: torch.Tensor) -> int:
    t = t.detach().as_subclass(torch.Tensor)
    if t.dtype is torch.float16:
        return int((t.contiguous().view(torch.int16).long() & 0xFFFF).sum())
    return int(t.long().sum())


def _tensors(element: types.Element, const: bool, r: random.Random) -> Kind:
    dtype = getattr(torch, element.dtype)

    def make(*shape: int) -> torch.Tensor:
        return (
            torch.tensor([r.randint(0, 100) for _ in range(int(np.prod(shape)))])
            .to(dtype)
            .view(shape)
        )

    right: list[Any] = [
        make(3),
        make(2, 3).t(),
        make(5, 4)[1:4, ::2],
        make(1)[0],
        make(0),
        make(0, 4),
    ]
    right += [
        make(2, 1, 3),
        make(1, 1, 1, 1, 1, 1, 1, 1, 2, 2),
        make(6).expand(2, 6),
        make(40)[7:9],
    ]
    right += [make(2, 2).as_subclass(Subclass), make(3, 3).numpy(), make(4, 4).numpy()[::2, 1:]]
    if dtype.is_floating_point:
        right += [torch.nn.Parameter(make(2)), make(3).requires_grad_() * 1]
    kind = Kind(f"{'const ' if const else ''}TH{element.name}Tensor *", f"of_t{element.name}({{}})")
    kind.right = [(v, _tensor_number(torch.as_tensor(v))) for v in right]
    other = torch.int64 if dtype is not torch.int64 else torch.int32
    shrunk = make(6)
    shrunk.untyped_storage().resize_(element_size(dtype))
    wrong: list[Any] = [
        None,
        1,
        10**5000,
        1.0,
        "t",
        b"t",
        [1],
        make(2).to(other),
        make(2).numpy().astype(str),
    ]
    wrong += [torch.zeros(2, dtype=dtype, device="meta"), torch.zeros(2, 2).to_sparse(), shrunk]
    wrong += [torch.zeros(2, dtype=torch.complex64).conj(), torch.zeros(2, dtype=torch.bfloat16)]
    wrong += [
        make(2).untyped_storage(),
        torch._neg_view(torch.zeros(2)),
        torch.zeros(2, dtype=torch.bool),
    ]
    wrong += [make(3).numpy().astype(np.complex64), object(), {}, make(1).storage]
    wrong += [make(4).numpy()[::-1]]  # torch has no negative strides
    kind.wrong = [(v, TypeError) for v in wrong]
    read_only = make(3).numpy()
    read_only.flags.writeable = False
    if const:
        kind.right.append((read_only, _tensor_number(torch.tensor(read_only))))
    else:
        kind.wrong.append((read_only, ValueError))
    return kind


def element_size(dtype: torch.dtype) -> int:
    return torch.empty(0, dtype=dtype).element_size()


def _storages(element: types.Element, const: bool, r: random.Random) -> Kind:
    dtype = getattr(torch, element.dtype)
    kind = Kind(
        f"{'const ' if const else ''}TH{element.name}Storage *", f"of_g{element.name}({{}})"
    )
    for size in (0, 1, 5, 64):
        t = torch.tensor([r.randint(0, 100) for _ in range(size)]).to(dtype)
        storage = torch.storage.TypedStorage(
            wrap_storage=t.untyped_storage(), dtype=dtype, _internal=True
        )
        kind.right.append((storage, (size * 17 + _element_sum(t)) & MASK))
    other = torch.float64 if dtype is not torch.float64 else torch.float32
    foreign = torch.storage.TypedStorage(
        wrap_storage=torch.zeros(2).untyped_storage(), dtype=other, _internal=True
    )
    wrong = [None, torch.zeros(2, dtype=dtype), foreign, 1, "s", [1], np.zeros(3), object()]
    kind.wrong = [(v, TypeError) for v in wrong]
    return kind


def _text_number(text: bytes) -> int:
    h = 5381
    for byte in text.split(b"\0")[0]:
        h = (h * 33 + byte) & MASK
    return h


def kinds(r: random.Random) -> list[Kind]:
    """One of every row of ffi_ext/types.py that a CPU can be passed, and what cffi converts."""
    found = []
    sizes = {"b": 8, "h": 16, "i": 32, "l": 64, "q": 64}
    for c_type, scalar in types.SCALARS.items():
        if c_type == "_Bool":
            kind = Kind("bool", "(uint64_t){}", [(v, int(v)) for v in (True, False, 0, 1)])
            kind.wrong = [
                (2, OverflowError),
                (-1, OverflowError),
                (1.0, TypeError),
                (None, TypeError),
            ]
            found.append(kind)
        elif c_type == "char":
            letters = [bytes([r.randint(0, 255)]) for _ in range(4)]
            kind = Kind("char", "(uint64_t)(unsigned char){}", [(v, v[0]) for v in letters])
            kind.wrong = [(v, TypeError) for v in (1, "a", b"ab", b"", None, 1.0)]
            found.append(kind)
        elif c_type in ("float", "double"):
            found.append(_floats(c_type, r))
        else:
            found.append(_integers(c_type, sizes[scalar.code.lower()], scalar.member == "i", r))
    for element in types.ELEMENTS:
        for const in (False, True):
            found += [_tensors(element, const, r), _storages(element, const, r)]
    found += [arrays.kind(const, r) for const in (False, True)]
    texts = [b"", b"text", b"\xff" * 300, b"cut\0off"]
    for c_type in ("const char *", "char *"):
        kind = Kind(c_type, "of_text({})", [(v, _text_number(v)) for v in texts])
        kind.wrong = [(v, TypeError) for v in ("text", 1, None, 1.0, torch.zeros(1))]
        found.append(kind)
    ffi = cffi.FFI()
    pointer = Kind("const double *", "of_d({}[0])")
    pointer.right = [([v, 2.0], _double_bits(v)) for v in (0.5, -3.0)]
    pointer.right += [((7, 1), _double_bits(7.0)), (ffi.new("double *", 4), _double_bits(4.0))]
    memory = torch.tensor([2.5, -1.0], dtype=torch.float64)
    pointer.right += [(memory, _double_bits(2.5)), (memory[1:], _double_bits(-1.0))]
    pointer.right += [(memory.numpy(), _double_bits(2.5)), (memory[::2], _double_bits(2.5))]
    pointer.wrong = [(v, TypeError) for v in (1, "1", None, ["x"], torch.zeros(1), object())]
    gaps = torch.zeros(2, 2, dtype=torch.float64).t()
    others = memory.to("meta"), memory.to_sparse(), np.zeros(2, "f4")
    pointer.wrong += [(value, TypeError) for value in others]
    pointer.wrong += [(gaps, ValueError), (gaps.numpy(), ValueError)]
    pointer.wrong += [(ffi.new("float *"), TypeError), ([Raises()], ZeroDivisionError)]
    array = Kind("const uint8_t [3]", "(uint64_t){0}[0] + 3 * (uint64_t){0}[2]")
    array.right = [([5, 6, 7], 26), ((1, 2, 3, 4), 10), (ffi.new("uint8_t[3]", [1, 0, 2]), 7)]
    array.right += [(b"\1\2\3", 10), (bytearray(b"\1\2\3\4"), 10)]
    array.wrong = [(v, ValueError) for v in ([5, 6], (), b"ab", bytearray(2))]
    array.wrong += [([1, 2, 256], OverflowError), ([1, 2, "3"], TypeError), (3, TypeError)]
    mode = _integers("enum attack_mode", 32, False, r)
    pair = Kind("attack_pair", "of_pair({})")
    pair.right = [([-3, 0.5], (-3 * 7 + _double_bits(0.5)) & MASK)]
    pair.right += [({"a": 2, "b": 1.0}, (2 * 7 + _double_bits(1.0)) & MASK)]
    pair.wrong = [(v, TypeError) for v in (1, "1", None, object(), torch.zeros(1))]
    pair.wrong += [([1, 2, 3], ValueError), ([1 << 40, 0], OverflowError)]
    return [*found, pointer, array, mode, pair]


@dataclass
class Result:
    """A result type: C's spelling, how C makes it of the sum, how Python does, how what came is compared."""

    c_type: str
    make: str
    model: Callable[[int], Any]
    seen: Callable[[Any], Any] = staticmethod(lambda value: value)


def _truncated(bits: int, signed: bool) -> Callable[[int], int]:
    def model(total: int) -> int:
        value = total & ((1 << bits) - 1)
        return value - (1 << bits) if signed and value >> (bits - 1) else value

    return model


def _pair(total: int) -> tuple[int, float]:
    return total & 255, (total & 0xFFFF) / 4


def results() -> list[Result]:
    found = [Result("void", "return", lambda total: None)]
    sizes = {"b": 8, "h": 16, "i": 32, "l": 64, "q": 64}
    for c_type, scalar in types.SCALARS.items():
        if c_type == "_Bool":
            found.append(Result("bool", "return sum & 1", lambda total: bool(total & 1)))
        elif c_type == "char":
            found.append(Result("char", "return (char)sum", lambda total: bytes([total & 255])))
        elif c_type in ("float", "double"):
            make = f"return ({c_type})(sum & 0xffff) / 4"
            found.append(Result(c_type, make, lambda total: (total & 0xFFFF) / 4))
        else:
            model = _truncated(sizes[scalar.code.lower()], scalar.member == "i")
            found.append(Result(c_type, f"return ({c_type})sum", model))
    pair = "attack_pair pair = {(int)(sum & 255), (double)(sum & 0xffff) / 4}"
    kept = f"static __thread attack_pair kept; {pair}; kept = pair; return &kept"
    for c_type, make in (("attack_pair", f"{pair}; return pair"), ("attack_pair *", kept)):
        found.append(Result(c_type, make, _pair, lambda pair: (pair.a, pair.b)))
    make = "return sum & 1 ? ATTACK_B : ATTACK_A"
    found.append(Result("enum attack_mode", make, lambda total: 5 if total & 1 else 0))
    for element in types.ELEMENTS:
        if element.name == "Half":
            continue
        name = element.name
        make = f"TH{name}Tensor *t = TH{name}Tensor_newWithSize1d(2); "
        make += f"TH{name}Tensor_fill(t, ({element.c_type})(sum & 63)); return t"
        found.append(
            Result(f"TH{name}Tensor *", make, lambda total: [total & 63] * 2, lambda t: t.tolist())
        )
        make = f"TH{name}Storage *s = TH{name}Storage_newWithSize(1); "
        make += f"s->data[0] = ({element.c_type})(sum & 63); return s"
        found.append(
            Result(f"TH{name}Storage *", make, lambda total: [total & 63], lambda s: list(s))
        )
    return found


@dataclass
class Function:
    """A random prototype, and the numbers that its arguments are multiplied with."""

    name: str
    result: Result
    parameters: list[Kind]
    factors: list[int]

    @property
    def prototype(self) -> str:
        parts = [(kind.c_type.partition("["), f"p{i}") for i, kind in enumerate(self.parameters)]
        texts = [f"{head} {name}{bracket}{rest}" for (head, bracket, rest), name in parts]
        return f"{self.result.c_type} {self.name}({', '.join(texts) or 'void'})"

    @property
    def body(self) -> str:
        terms = [
            f"{factor}ull * ({kind.number.format(f'p{i}')})"
            for i, (kind, factor) in enumerate(zip(self.parameters, self.factors, strict=True))
        ]
        total = " + ".join(terms) or "42"
        return f"{self.prototype} {{ uint64_t sum = {total}; attack_sum = sum; {self.result.make}; }}\n"

    def total(self, numbers: list[int]) -> int:
        if not numbers:
            return 42
        return sum(f * n for f, n in zip(self.factors, numbers, strict=True)) & MASK


def functions(count: int, r: random.Random) -> list[Function]:
    """Random prototypes; every kind of parameter and result occurs if there are enough of them."""
    every, made = kinds(r), results()
    pool: list[Kind] = []
    found = []
    for index in range(count):
        length = r.choice([0, 1, 1, 2, 3, 5, 8, LONGEST])
        parameters = []
        for _ in range(length):
            pool = pool or r.sample(every, len(every))
            parameters.append(pool.pop())
        factors = [r.randrange(1, 1 << 32) for _ in parameters]
        found.append(Function(f"attack{index}", made[index % len(made)], parameters, factors))
    return found


def sources(made: list[Function]) -> tuple[str, str]:
    """The header and the C text."""
    header = "typedef struct { int a; double b; } attack_pair;\n"
    header += "enum attack_mode { ATTACK_A, ATTACK_B = 5 };\n"
    header += "uint64_t attack_last(void);\nvoid attack_nap(int milliseconds);\n"
    header += "".join(f"{f.prototype};\n" for f in made)
    text = "#define _GNU_SOURCE\n#include <time.h>\n" + PRELUDE + arrays.C
    for element in types.ELEMENTS:
        read = "(x)" if element.name != "Half" else "attack_bits(&(x))"
        text += f"#define READ_{element.letter}(x) {read}\n"
        if element.name == "Half":
            text += "static uint64_t attack_bits(const void *x) { uint16_t b; memcpy(&b, x, 2); return b; }\n"
        text += OF_RECORDS.format(name=element.name, c_type=element.c_type, letter=element.letter)
    return header, text + "".join(f.body for f in made)
