"""`ffi_ext_tensor *` among the random prototypes: values of every element type, and what C must make of them."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

from tests.reliability.values import MASK, Kind, Subclass

C = """
static uint64_t add_bytes(const unsigned char *data, const ffi_ext_tensor *t, int d) {
  uint64_t total = 0;
  if (d == t->ndim)
    for (int i = 0; i < t->item_size; i++) total += data[i];
  else
    for (int64_t i = 0; i < t->shape[d]; i++)
      total += add_bytes(data + i * t->stride[d] * t->item_size, t, d + 1);
  return total;
}
static uint64_t of_array(const ffi_ext_tensor *t) {
  uint64_t h = (uint64_t)t->ndim * 100 + (uint64_t)t->dtype;
  for (int d = 0; d < t->ndim; d++)
    h = (h * 31 + (uint64_t)t->shape[d]) * 31 + (uint64_t)t->stride[d];
  h = h * 31 + (uint64_t)t->numel;
  return t->numel ? h + add_bytes(t->data, t, 0) : h;
}
"""

# torch's ScalarType numbers (c10/core/ScalarType.h).
ARRAY_DTYPES = {
    "uint8": 0,
    "int8": 1,
    "int16": 2,
    "int32": 3,
    "int64": 4,
    "float16": 5,
    "float32": 6,
    "float64": 7,
    "complex64": 9,
    "complex128": 10,
    "bool": 11,
    "bfloat16": 15,
    "uint16": 27,
    "uint64": 29,
}


def number_of(t: torch.Tensor) -> int:
    h = t.dim() * 100 + ARRAY_DTYPES[str(t.dtype).removeprefix("torch.")]
    for n, step in zip(t.shape, t.stride(), strict=True):
        h = (h * 31 + n) * 31 + step
    plain = t.detach().as_subclass(torch.Tensor).contiguous().reshape(-1)
    return (h * 31 + t.numel() + int(plain.view(torch.uint8).long().sum())) & MASK


def kind(const: bool, r: random.Random) -> Kind:
    """The modern interface: every element type, shape and stride."""

    def make(dtype: str, *shape: int) -> torch.Tensor:
        numbers = torch.tensor([r.randint(0, 100) for _ in range(int(np.prod(shape)))])
        return numbers.to(getattr(torch, dtype)).view(shape)

    right: list[Any] = [make(dtype, 2, 3) for dtype in ARRAY_DTYPES]
    right += [make("float32", 1)[0], make("int16", 0), make("float64", 0, 4), make("bool", 7)[2:]]
    right += [
        make("bfloat16", 4, 5).t(),
        make("uint8", 9, 8)[1:4, ::2],
        make("int64", 3).expand(2, 3),
    ]
    right += [
        make("float32", 1, 1, 1, 1, 1, 1, 1, 1, 2, 2),
        make("float16", 2).as_subclass(Subclass),
    ]
    right += [make("int32", 3, 3).numpy(), make("float64", 6, 6).numpy()[::2, 1:]]
    right += [torch.nn.Parameter(make("float32", 2)), make("float64", 3).requires_grad_() * 1]
    made = Kind(f"{'const ' if const else ''}ffi_ext_tensor *", "of_array({})")
    made.right = [(v, number_of(torch.as_tensor(v))) for v in right]
    t = make("float32", 4)
    wrong = [1, 10**5000, 1.0, "t", b"t", [1.0], {}, object(), t.untyped_storage(), t.numpy()[::-1]]
    wrong += [t.to_sparse(), torch.zeros(2, device="meta"), torch._neg_view(torch.zeros(2))]
    wrong += [torch.zeros(2, dtype=torch.complex64).conj(), t.numpy().astype(str)]
    made.wrong = [(v, TypeError) for v in wrong]
    read_only = make("int16", 3).numpy()
    read_only.flags.writeable = False
    if const:
        made.right.append((read_only, number_of(torch.tensor(read_only))))
    else:
        made.wrong.append((read_only, ValueError))
    return made
