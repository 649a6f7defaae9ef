"""Each way of a call through the runtime that allocates, for the harnesses that watch what becomes of the memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

HEADER = """
struct number { int whole; double real; };
float first(const THFloatTensor *t);
void grow(THFloatTensor *t, long n);
THFloatTensor *fresh(long n);
THFloatTensor *same(THFloatTensor *t);
THFloatTensor *back(THFloatTensor *t);
THFloatTensor *retained(THFloatTensor *t);
void hold(int count);
void drop(void);
void keep(THFloatTensor *t);
void let_go(void);
void fail(void);
int dimensions(const THFloatTensor *t);
THFloatStorage *storage(long n);
float stored(const THFloatStorage *s);
void add(THFloatTensor *r, THFloatTensor *a, THFloatTensor *b);
void summed(THFloatTensor *r, THFloatTensor *a);
double total(const double *values, int n);
int axes(const ffi_ext_tensor *t);
/* @param rows [float32, (N, 3)]
   @param sums [float32, (N), output] */
void sums(const ffi_ext_tensor *rows, ffi_ext_tensor *sums);
struct number twice(struct number of);
char upper(char *text);
int apply(int (*callback)(int), int n);
int is_null(void *pointer);
"""
SOURCE = """
#include <TH/TH.h>
#include <ffi_ext.h>
struct number { int whole; double real; };
static THFloatTensor *kept;
float first(const THFloatTensor *t) { return THFloatTensor_data(t)[0]; }
void grow(THFloatTensor *t, long n) { THFloatTensor_resize1d(t, n); THFloatTensor_fill(t, 1); }
THFloatTensor *fresh(long n) {
  THFloatTensor *t = THFloatTensor_newWithSize1d(n);
  THFloatTensor_fill(t, 3);
  return t;
}
THFloatTensor *same(THFloatTensor *t) { return THFloatTensor_newSelect(t, 0, 0); }
THFloatTensor *back(THFloatTensor *t) { return t; }
THFloatTensor *retained(THFloatTensor *t) { THFloatTensor_retain(t); return t; }
static THFloatTensor *held[100];
static int holds;
void hold(int count) {
  while (holds < count) {
    THFloatTensor *t = THFloatTensor_newWithSize1d(1); /* which may not come back */
    held[holds++] = t;
  }
}
void drop(void) { while (holds) THFloatTensor_free(held[--holds]); }
void let_go(void) { if (kept) THFloatTensor_free(kept); kept = 0; }
void keep(THFloatTensor *t) { let_go(); THFloatTensor_retain(t); kept = t; }
void fail(void) { THError("as asked"); }
int dimensions(const THFloatTensor *t) { return t->nDimension; }
THFloatStorage *storage(long n) { return THFloatStorage_newWithSize(n); }
float stored(const THFloatStorage *s) { return s->data[0]; }
void add(THFloatTensor *r, THFloatTensor *a, THFloatTensor *b) { THFloatTensor_cadd(r, a, 2, b); }
void summed(THFloatTensor *r, THFloatTensor *a) { THFloatTensor_sum(r, a, 0, 1); }
double total(const double *values, int n) {
  double sum = 0;
  for (int i = 0; i < n; i++) sum += values[i];
  return sum;
}
int axes(const ffi_ext_tensor *t) { return t->ndim; }
void sums(const ffi_ext_tensor *rows, ffi_ext_tensor *sums) {
  const float *x = rows->data;
  for (int64_t i = 0; i < rows->shape[0]; i++, x += 3) ((float *)sums->data)[i] = x[0] + x[1] + x[2];
}
struct number twice(struct number of) { of.whole *= 2; of.real *= 2; return of; }
char upper(char *text) { return text[0] -= 32; }
int apply(int (*callback)(int), int n) { return callback(n); }
int is_null(void *pointer) { return !pointer; }
"""


def calls(lib: Any) -> dict[str, Callable[[], Any]]:
    """A call for each way, of values that last and of fresh ones."""
    import numpy as np
    import torch

    ffi = lib._ffi
    t, deep, grad = torch.ones(4), torch.ones([1] * 12), torch.ones(3, requires_grad=True) * 1
    array, values = np.ones(3, dtype=np.float32), [1.0, 2.0]
    rows, sums = torch.ones(4, 3), torch.zeros(4)
    storage = torch.storage.TypedStorage(
        wrap_storage=torch.ones(3).untyped_storage(), dtype=torch.float32, _internal=True
    )
    two, million, callback = ffi.cast("int", 2), 10**6, ffi.callback("int(int)", lambda n: n + 1)
    return {
        "tensor": lambda: lib.first(t),
        "many dimensions": lambda: lib.dimensions(deep),
        "requires grad": lambda: lib.grow(grad.detach(), 3),
        "numpy": lambda: lib.first(array),
        "grow": lambda: lib.grow(torch.ones(1), 100_000),
        "result": lambda: lib.fresh(10),
        "view": lambda: lib.same(torch.ones(3, 3)),
        "argument back": lambda: lib.back(t),
        "retained argument back": lambda: lib.retained(torch.ones(4)),
        "more records than a thread keeps": lambda: (lib.hold(80), lib.drop()),
        "keep": lambda: (lib.keep(torch.ones(2)), lib.let_go()),
        "error in C": lambda: lib.fail(),
        "storage": lambda: lib.stored(storage),
        "storage result": lambda: lib.storage(10),
        "pointwise": lambda: lib.add(torch.ones(0), t, t),
        "torch's": lambda: lib.summed(torch.ones(0), torch.ones(3, 3)),
        "list": lambda: lib.total(values, 2),
        "number of C's": lambda: lib.total(values, two),
        "any element type": lambda: lib.axes(deep),
        "constraints": lambda: lib.sums(rows, sums),
        "refused constraint": lambda: lib.sums(rows, t[:3]),
        "struct": lambda: lib.twice({"whole": 1, "real": 2.0}),
        "text": lambda: lib.upper(b"text"),
        "callback": lambda: lib.apply(callback, million),
        "any pointer": lambda: lib.is_null(t),
        "wrong type": lambda: lib.first(t.double()),
        "wrong number": lambda: lib.total(values, 1.5),
        "keyword": lambda: lib.first(t=t),
    }
