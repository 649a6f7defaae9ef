"""The functions of TH that the other test_th_* files leave: each against torch, NumPy, SciPy or its formula.

Maths runs on dense, strided, one-element, empty and aliased tensors. Random functions are compared with
the formula of their distribution on the generator's uniform numbers, whose stream was recorded from 0.3.1.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import scipy.special
import torch

import ffi_ext
from ffi_ext import elf
from tests.th_types import ALL, C_TYPES, DTYPES, FLOATING

COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne")

# name: (types, arguments in C, the result in torch of t, u and the numbers v, w)
MATHS = {
    "add_scaled": (ALL, "t, v, w", lambda t, u, v, w: t + v * w),
    "sub_scaled": (ALL, "t, v, w", lambda t, u, v, w: t - v * w),
    "cinv": (FLOATING, "t", lambda t, u, v, w: 1 / t),
    "clshift": (ALL, "t, u", lambda t, u, v, w: t * 2**u),
    "crshift": (ALL, "t, u", lambda t, u, v, w: t / 2**u if t.is_floating_point() else t >> u),
    "rshift": (ALL, "t, v", lambda t, u, v, w: t / 2**v if t.is_floating_point() else t >> v),
    "cpow": (FLOATING, "t, u", lambda t, u, v, w: t**u),
    "onesLike": (ALL, "t", lambda t, u, v, w: torch.ones_like(t)),
    "tpow": (FLOATING, "v, t", lambda t, u, v, w: v**t),
    "zerosLike": (ALL, "t", lambda t, u, v, w: torch.zeros_like(t)),
}  # fmt: skip


def _comparison(function, number):
    if number:
        return lambda t, u, v, w: function(t, v).to(t.dtype)
    return lambda t, u, v, w: function(t, u).byte()


for _name in COMPARISONS:
    _function = getattr(torch, _name)
    MATHS[f"{_name}ValueT"] = (ALL, "t, v", _comparison(_function, True))
    MATHS[f"{_name}Tensor"] = (ALL, "t, u", _comparison(_function, False))

SOURCE = """
#include <TH/TH.h>
#include <TH/THMath.h>

/* One of the functions on the elements of n tensors, in an order of its own. */
double prodall_Float(THFloatTensor *t) { return THFloatTensor_prodall(t); }
double prodall_Long(THLongTensor *t) { return THLongTensor_prodall(t); }
double trace_Double(THDoubleTensor *t) { return THDoubleTensor_trace(t); }
double dist_Double(THDoubleTensor *t, THDoubleTensor *u, double p) { return THDoubleTensor_dist(t, u, p); }
void logspace_Double(THDoubleTensor *r, double a, double b, long n) { THDoubleTensor_logspace(r, a, b, n); }
/* Matrices are column-major: of tensors whose first stride is 1, the second the leading dimension. */
#define OF(t) THDoubleTensor_data(t), t->stride[t->nDimension - 1]
#define LETTER(transposed) "ntT"[transposed]
void vectors(int which, THDoubleTensor *x, THDoubleTensor *y, double a) {
  const long n = x->size[0];
  switch (which) {
    case 0: THDoubleBlas_axpy(n, a, OF(x), OF(y)); break;
    case 1: THDoubleBlas_copy(n, OF(x), OF(y)); break;
    case 2: THDoubleBlas_swap(n, OF(x), OF(y)); break;
    case 3: THDoubleBlas_scal(n, a, OF(y)); break;
  }
}
double dot(THDoubleTensor *x, THDoubleTensor *y) { return THDoubleBlas_dot(x->size[0], OF(x), OF(y)); }
void gemv(int t, double alpha, THDoubleTensor *a, THDoubleTensor *x, double beta, THDoubleTensor *y) {
  THDoubleBlas_gemv(LETTER(t), a->size[0], a->size[1], alpha, OF(a), OF(x), beta, OF(y));
}
void ger(double alpha, THDoubleTensor *x, THDoubleTensor *y, THDoubleTensor *a) {
  THDoubleBlas_ger(a->size[0], a->size[1], alpha, OF(x), OF(y), OF(a));
}
void gemm(int ta, int tb, double alpha, THDoubleTensor *a, THDoubleTensor *b, double beta, THDoubleTensor *c) {
  THDoubleBlas_gemm(LETTER(ta), LETTER(tb), c->size[0], c->size[1], a->size[!ta], alpha, OF(a), OF(b), beta, OF(c));
}

/* Which functions say yes, one decimal each. */
long structure(THFloatTensor *t, THLongTensor *sizes) {
  long yes = 0, digit = 1;
#define CHECK(CONDITION) do { if (CONDITION) yes += digit; digit *= 10; } while (0)
  THLongStorage *size = THFloatTensor_newSizeOf(t), *stride = THFloatTensor_newStrideOf(t);
  THFloatTensor *same = THFloatTensor_newWithTensor(t), *other = THFloatTensor_newWithSize3d(2, 3, 4);
  THFloatTensor *four = THFloatTensor_newWithSize4d(2, 1, 3, 2), *moved = THFloatTensor_new();
  THFloatTensor *view = THFloatTensor_newWithStorage(t->storage, t->storageOffset, size, stride);
  CHECK(THFloatTensor_isSetTo(same, t) && !THFloatTensor_isSetTo(same, other));
  CHECK(THFloatTensor_isSize(t, size) && !THFloatTensor_isSize(other, size));
  CHECK(THFloatTensor_isSetTo(view, t));
  THFloatTensor_set3d(other, 1, 2, 3, 8);
  CHECK(THFloatTensor_get3d(other, 1, 2, 3) == 8 && THFloatTensor_data(other)[23] == 8);
  THFloatTensor_set4d(four, 1, 0, 2, 1, 9);
  CHECK(THFloatTensor_get4d(four, 1, 0, 2, 1) == 9 && THFloatTensor_data(four)[11] == 9);
  THFloatTensor_resize3d(moved, 2, 2, 2);
  THFloatTensor_resize4d(moved, 2, 2, 2, 2);
  THFloatTensor_resize5d(moved, 1, 2, 3, 4, 5);
  CHECK(THFloatTensor_nDimension(moved) == 5 && THFloatTensor_nElement(moved) == 120);
  THFloatTensor_resize1d(moved, 0);
  const int none = !moved->nDimension; /* 0.3.1's empty tensor */
  int64_t nd[] = {7, 2, 2};
  THFloatTensor_resizeNd(moved, 2, nd, NULL);
  CHECK(none && moved->nDimension == 2 && moved->size[0] == 7 && moved->stride[0] == 2);
  THFloatTensor_setStorage2d(moved, t->storage, 1, 2, 3, 2, 1);
  CHECK(THFloatTensor_get2d(moved, 1, 1) == THFloatTensor_data(t)[1 + 3 + 1]);
  THFloatTensor_setStorage3d(moved, t->storage, 0, 2, 6, 2, 3, 3, 1);
  CHECK(THFloatTensor_isContiguous(moved) && moved->storage == t->storage);
  THFloatTensor_setStorage4d(moved, t->storage, 0, 1, 12, 2, 6, 2, 3, 3, 1);
  CHECK(THFloatTensor_nElement(moved) == 12);
  int64_t strides[] = {1, 4};
  THFloatTensor_setStorageNd(moved, t->storage, 2, 2, nd + 1, strides);
  THFloatTensor_setStorage(moved, t->storage, 0, size, stride);
  CHECK(THFloatTensor_isSetTo(moved, t));
  THFloatTensor_resize2d(four, 3, 3), THFloatTensor_transpose(four, NULL, 0, 1);
  for (int row = 0; row < 2; row++) THFloatTensor_select(moved, t, 0, row); /* of one shape, as those are */
  CHECK(four->stride[1] == 3 && THFloatTensor_data(moved) == THFloatTensor_data(t) + t->stride[0]);
  THFloatTensor_resize1d(other, 24);
  THFloatTensor_narrow(moved, other, 0, 20, 4);
  THFloatTensor_resize1d(moved, 24);
  CHECK(moved->storage->size == 44);
  THFloatTensor_clearFlag(moved, TH_TENSOR_REFCOUNTED);
  CHECK(!(moved->flag & TH_TENSOR_REFCOUNTED));
  THFloatTensor_setFlag(moved, TH_TENSOR_REFCOUNTED);
  CHECK(moved->flag & TH_TENSOR_REFCOUNTED);
  CHECK(strstr(THFloatTensor_desc(t).str, "2 x 6") != NULL);
  THLongTensor_resize1d(sizes, 2);
  THLongTensor_data(sizes)[0] = size->data[0], THLongTensor_data(sizes)[1] = stride->data[0];
  THFloatTensor *clone = THFloatTensor_newClone(t);
  THFloatTensor_set(moved, t), THFloatTensor_set(moved, clone);
  CHECK(THFloatTensor_isSetTo(moved, clone));
  THFloatTensor_fill(clone, 4);
  THFloatTensor_freeCopyTo(clone, t); /* t holds 4s now, the clone is gone */
  CHECK(THFloatTensor_get2d(t, 1, 5) == 4);
  for (int i = 0; i < 1; i++) {
    THFloatTensor *parts[] = {
        THFloatTensor_newWithStorage2d(t->storage, 0, 2, 6, 3, 1),
        THFloatTensor_newWithStorage3d(t->storage, 0, 1, 6, 2, 3, 3, 1),
        THFloatTensor_newWithStorage4d(t->storage, 0, 1, 6, 1, 6, 2, 3, 3, 1)};
    CHECK(parts[0]->size[1] == 3 && parts[1]->size[2] == 3 && parts[2]->size[3] == 3 &&
          THFloatTensor_sumall(parts[0]) == 24 && THFloatTensor_sumall(parts[2]) == 24);
    for (int k = 0; k < 3; k++) THFloatTensor_free(parts[k]);
  }
  THFloatTensor_free(same), THFloatTensor_free(other), THFloatTensor_free(four);
  THFloatTensor_free(moved), THFloatTensor_free(view);
  THLongStorage_free(size), THLongStorage_free(stride);
  return yes;
}

static int live; /* blocks of the allocator below */
static void *counted_malloc(void *context, ptrdiff_t size) { live += *(int *)context; return malloc(size); }
static void *counted_realloc(void *context, void *p, ptrdiff_t size) { (void)context; return realloc(p, size); }
static void counted_free(void *context, void *p) { live -= *(int *)context; free(p); }

long storages(THFloatTensor *out) {
  static THAllocator counted = {counted_malloc, counted_realloc, counted_free};
  static int step = 1;
  long yes = 0, digit = 1;
  THFloatStorage *one = THFloatStorage_newWithSize1(1), *three = THFloatStorage_newWithSize3(1, 2, 3);
  THFloatStorage *four = THFloatStorage_newWithSize4(1, 2, 3, 4);
  CHECK(one->size == 1 && three->data[2] == 3 && four->data[3] == 4);
  CHECK(THFloatStorage_elementSize() == 4 && THDoubleStorage_elementSize() == 8);
  THFloatStorage_clearFlag(four, TH_STORAGE_RESIZABLE);
  CHECK(!(four->flag & TH_STORAGE_RESIZABLE));
  THFloatStorage_setFlag(four, TH_STORAGE_RESIZABLE);
  CHECK(four->flag & TH_STORAGE_RESIZABLE);
  THFloatStorage *own = THFloatStorage_newWithAllocator(5, &counted, &step);
  CHECK(live == 1 && own->size == 5);
  THFloatStorage_fill(own, 6);
  THFloatStorage_resize(own, 50);
  CHECK(own->data[4] == 6 && own->size == 50);
  THFloatStorage_free(own);
  CHECK(live == 0);
  static THAllocator plain = {counted_malloc, NULL, counted_free}; /* no realloc: a block is copied */
  own = THFloatStorage_newWithAllocator(5, &plain, &step);
  THFloatStorage_fill(own, 6);
  THFloatStorage_resize(own, 50);
  int kept = own->data[0] == 6 && own->data[4] == 6 && live == 1;
  own->data[1] = 7;
  THFloatStorage_resize(own, 2);
  CHECK(kept && own->data[0] == 6 && own->data[1] == 7 && own->size == 2 && live == 1);
  THFloatStorage_resize(own, 0);
  CHECK(!own->data && live == 0);
  THFloatStorage_free(own); /* which counts it once more, as of a storage without memory */
  live = 0;
  own = THFloatStorage_newWithData(THAlloc(8), 2), THFloatStorage_fill(own, 6);
  THFloatStorage_resize(own, 100);
  CHECK(own->data[1] == 6 && own->size == 100);
  THFloatStorage_free(own);
  own = THFloatStorage_newWithAllocator(3, &THDefaultAllocator, NULL);
  CHECK(own->size == 3 && (uintptr_t)own->data % 64 == 0);
  THFloatStorage_free(own);
  /* An allocator hears of the end of a storage without memory, too: it may keep something for each. */
  own = THFloatStorage_newWithAllocator(0, &counted, &step);
  THFloatStorage_free(own);
  own = THFloatStorage_newWithAllocator(5, &counted, &step);
  THFloatStorage_resize(own, 0);
  THFloatStorage_free(own);
  CHECK(live == 0);
  THFloatStorage *alike = THFloatStorage_newWithAllocator(3, three->allocator, three->allocatorContext);
  CHECK(alike->size == 3 && alike->data != three->data);
  THFloatStorage_free(alike);
  float *block = counted_malloc(&step, 2 * sizeof(float));
  block[0] = 7, block[1] = 8;
  THFloatStorage *given = THFloatStorage_newWithDataAndAllocator(block, 2, &counted, &step);
  THFloatTensor_setStorage1d(out, given, 0, 2, 1); /* lives on in torch's tensor */
  THFloatStorage_free(given);
  CHECK(live == 1);
  THFloatStorage_free(one), THFloatStorage_free(three), THFloatStorage_free(four);
  return yes;
}
int blocks(void) { return live; }

static THGenerator *seeded(long seed) {
  THGenerator *g = THGenerator_new();
  THRandom_manualSeed(g, (uint64_t)seed);
  return g;
}
void stream(THDoubleTensor *t, long seed, int normal) {
  THGenerator *g = seeded(seed);
  for (long i = 0; i < THDoubleTensor_nElement(t); i++)
    THDoubleTensor_data(t)[i] = normal ? THRandom_normal(g, 0, 1) : THRandom_uniform(g, 0, 1);
  THGenerator_free(g);
}
void integers(THLongTensor *t, long seed, int wide) {
  THGenerator *g = seeded(seed);
  for (long i = 0; i < THLongTensor_nElement(t); i++)
    THLongTensor_data(t)[i] = (long)(wide ? THRandom_random64(g) : THRandom_random(g));
  THGenerator_free(g);
}
void whole_range(THIntTensor *t, THLongTensor *l, long seed) {
  THGenerator *g = seeded(seed);
  THIntTensor_clampedRandom(t, g, INT32_MIN, INT32_MAX + 1LL);
  THRandom_manualSeed(g, (uint64_t)seed);
  THLongTensor_cappedRandom(l, g, 1LL << 40);
  THGenerator_free(g);
}
void drawn(THDoubleTensor *t, THDoubleTensor *u, THFloatTensor *f, long seed, int which) {
  THGenerator *g = seeded(seed);
  switch (which) {
    case 0: THDoubleTensor_exponential(t, g, 2); break;
    case 1: THDoubleTensor_cauchy(t, g, 1, 3); break;
    case 2: THDoubleTensor_geometric(t, g, 0.3); break;
    case 3: THDoubleTensor_bernoulli_DoubleTensor(t, g, u); break;
    case 4: THDoubleTensor_bernoulli_FloatTensor(t, g, f); break;
    case 5: THDoubleTensor_normal(t, g, 0, 1); break;
    case 6: THDoubleTensor_logNormal(t, g, 0.5, 2); break;
    case 7: THDoubleTensor_normal_means(t, g, u, 2); break;
    case 8: THDoubleTensor_normal_stddevs(t, g, 3, u); break;
    case 9: THDoubleTensor_normal_means_stddevs(t, g, u, u); break;
    case 10: { THLongStorage *s = THLongStorage_newWithSize1(THDoubleTensor_nElement(u));
               THDoubleTensor_randn(t, g, s); THLongStorage_free(s); break; }
    case 11: THDoubleTensor_cappedRandom(t, g, 10); break;
    case 12: THDoubleTensor_clampedRandom(t, g, -5, 6); break;
    case 13: THDoubleTensor_bernoulli_Tensor(t, g, u); break;
    case 14: { THLongStorage *s = THFloatTensor_newSizeOf(f);
               THDoubleTensor_rand(t, g, s); THLongStorage_free(s); break; }
  }
  THGenerator_free(g);
}
long generators(THByteTensor *state) {
  long yes = 0, digit = 1;
  THGenerator *g = seeded(11), *copy = THGenerator_new(), *other = THGenerator_new();
  CHECK(THGenerator_isValid(copy) && THRandom_initialSeed(copy) != THRandom_initialSeed(other));
  THGenerator_free(other);
  CHECK(THGenerator_isValid(g) && THRandom_initialSeed(g) == 11);
  THRandom_random(g);
  THGenerator_copy(copy, g);
  CHECK(THRandom_random(copy) == THRandom_random(g));
  THByteTensor_getRNGState(g, state);
  const uint64_t next = THRandom_random(g);
  THByteTensor_setRNGState(copy, state);
  CHECK(THRandom_random(copy) == next);
  CHECK(THRandom_seed(g) == THRandom_initialSeed(g) && THRandom_seed(g) != THRandom_seed(copy));
  const double u = THRandom_standard_uniform(g);
  const float v = THRandom_uniformFloat(g, 2, 3);
  CHECK(u >= 0 && u < 1 && v >= 2 && v <= 3);
  THGenerator_free(g), THGenerator_free(copy);
  return yes;
}
int stays_within_its_state(int miscounted) {
  THGenerator *g = seeded(3);
  for (int i = 0; i < 600; i++) THRandom_random(g);
  g->left += miscounted; /* it was 25 */
  int yes = 1;
  for (int i = 0; i < 2000; i++) yes &= THRandom_random(g) <= UINT32_MAX && THGenerator_isValid(g);
  THGenerator_free(g);
  return yes;
}

static void on_error(const char *text, void *data) {
  char seen[200];
  strncpy(seen, text, 150)[150] = 0;
  THSetDefaultErrorHandler(NULL, NULL); /* of this error, too */
  THError("mine: %s%s", seen, (char *)data);
}
static void on_argument(int index, const char *text, void *data) { (void)data; THError("mine: %d %s", index, text); }
void handlers(int which) {
  if (which == 4) THSetDefaultErrorHandler(on_error, " (seen)"), THError("of all threads");
  if (which == 5) THSetDefaultErrorHandler(NULL, NULL), THError("of none");
  if (which == 6) THSetDefaultArgErrorHandler(on_argument, NULL), THArgCheck(0, 7, "of all threads");
  if (which == 7) THSetDefaultArgErrorHandler(NULL, NULL), THArgCheck(0, 7, "of none");
  THSetErrorHandler(which == 1 ? on_error : NULL, " (seen)");
  THSetArgErrorHandler(which == 2 ? on_argument : NULL, NULL);
  if (which == 1) THSetErrorHandler(NULL, NULL);
  if (which == 2) THArgCheck(0, 7, "wrong %s", "way");
  THSetArgErrorHandler(NULL, NULL);
  if (which == 3) THArgCheck(0, 7, "wrong %s", "way");
}

static void quiet(const char *text, void *data) { (void)text, (void)data; }
static void quiet_argument(int index, const char *text, void *data) { (void)index, (void)text, (void)data; }
void handlers_that_return(int which) {
  THSetErrorHandler(which == 1 ? quiet : NULL, NULL);
  THSetArgErrorHandler(which == 2 ? quiet_argument : NULL, NULL);
  if (which == 1) THError("all the same");
  if (which == 2) THArgCheck(0, 7, "all the same");
}

/* A check each. */
void refused(int which) {
  static THGenerator *g;
  static THDoubleTensor *t;
  static THByteTensor *state, *mask;
  static THLongStorage *one, *two;
  static THFloatStorage *two_floats;
  if (!g) g = seeded(1), t = THDoubleTensor_newWithSize1d(3), state = THByteTensor_new(), mask = THByteTensor_new();
  if (!one) one = THLongStorage_newWithSize1(1), two = THLongStorage_newWithSize2(1, 2);
  if (!two_floats) two_floats = THFloatStorage_newWithSize(2);
  THByteTensor_getRNGState(g, state);
  THByteTensor_resize1d(mask, 2);
  THByteTensor_fill(mask, 1);
  switch (which) {
    case 0: THDoubleTensor_cappedRandom(t, g, 0); break;
    case 1: THDoubleTensor_clampedRandom(t, g, 3, 3); break;
    case 2: THRandom_normal(g, 0, 0); break;
    case 3: THRandom_logNormal(g, 0, -1); break;
    case 4: THRandom_geometric(g, 1); break;
    case 5: THRandom_bernoulli(g, 1.5); break;
    case 6: THByteTensor_setRNGState(g, mask); break;
    case 7: ((THGenerator *)THByteTensor_data(state))->left = 10000; THByteTensor_setRNGState(g, state); break;
    case 8: THDoubleTensor_setStorage(t, t->storage, 0, two, one); break;
    case 9: THDoubleTensor_resize(t, two, one); break;
    case 10: THFloatStorage_copyLong(two_floats, one); break;
    case 11: THLongStorage_copy(two, one); break;
    case 12: THFloatStorage_set(two_floats, 2, 1); break;
    case 13: THFloatStorage_set(two_floats, -1, 1); break;
    case 14: THDoubleTensor_maskedCopy(t, mask, t); break;
    case 15: THByteTensor_resize1d(mask, 3); THByteTensor_fill(mask, 1);
             THDoubleTensor_maskedCopy(t, mask, THDoubleTensor_newWithSize1d(2)); break;
    case 16: THDoubleTensor_lerp(t, t, THDoubleTensor_newWithSize1d(2), 0.5); break;
    case 17: THDoubleTensor_polygamma(t, 2, t); break;
    case 18: THLogSub(1, 2); break;
  }
}

/* What other files do not try. */
int equal(THDoubleTensor *a, THDoubleTensor *b) { return THDoubleTensor_equal(a, b); }
int is_set_to(THDoubleTensor *a, THDoubleTensor *b) { return THDoubleTensor_isSetTo(a, b); }
void range(THLongTensor *r, long a, long b, long step) { THLongTensor_range(r, a, b, step); }
void reshape(THDoubleTensor *r, THDoubleTensor *t, long a, long b) {
  THLongStorage *size = THLongStorage_newWithSize2(a, b);
  THDoubleTensor_reshape(r, t, size);
  THLongStorage_free(size);
}
void lerp(THDoubleTensor *r, THDoubleTensor *a, THDoubleTensor *b, double v) { THDoubleTensor_lerp(r, a, b, v); }
void polygamma(THDoubleTensor *r, long n, THDoubleTensor *t) { THDoubleTensor_polygamma(r, n, t); }
double log_zero(void) { return THLogZero; }
double scalar(int which, double a, double b) {
  switch (which) {
    case 0: return TH_digamma(a);
    case 1: return TH_trigamma(a);
    case 2: return TH_erfinv(a);
    case 3: return THLogAdd(a, b);
    default: return THLogSub(a, b);
  }
}
/* Functions of one line. */
double numbers_of(int which, THDoubleTensor *t, THDoubleTensor *u, THByteTensor *mask) {
  switch (which) {
    case 0: return THDoubleTensor_dot(t, u);
    case 1: return THDoubleTensor_stdall(t, 0);
    case 2: return THDoubleTensor_stdall(t, 1);
    case 3: return THByteTensor_logicalall(mask) + THByteTensor_logicalAndAll(mask);
    case 4: return THByteTensor_logicalany(mask) + THByteTensor_logicalAnyAll(mask);
    case 5: return THSize_nElement(t->nDimension, t->size);
    case 6: return THSize_nElement(0, t->size);
    default: return THExpMinusApprox(2);
  }
}
void filled(THDoubleTensor *ones, THDoubleTensor *zeros, THLongTensor *sizes, THDoubleTensor *strided) {
  THLongStorage *size = sizes->storage, *stride = THLongStorage_newWithSize2(1, size->data[0]);
  THDoubleTensor_ones(ones, size), THDoubleTensor_zeros(zeros, size);
  THDoubleTensor *t = THDoubleTensor_newWithSize(size, stride);
  THDoubleTensor_fill(t, 3), THDoubleTensor_set(strided, t);
  THDoubleTensor_free(t), THLongStorage_free(stride);
}
/* The numbers of a storage of every type, by way of a storage of the next one. */
void through(THDoubleTensor *t) {
#define NEXT(TO, FROM) \
  TH##TO##Storage *TO = TH##TO##Storage_newWithSize(FROM->size); \
  TH##TO##Storage_copy##FROM(TO, FROM);
  THDoubleStorage *Double = THDoubleStorage_newWithSize(t->storage->size);
  THDoubleStorage_rawCopy(Double, THDoubleStorage_data(t->storage));
  THDoubleStorage_fill(t->storage, -1);
  NEXT(Float, Double) NEXT(Half, Float) NEXT(Long, Half) NEXT(Int, Long) NEXT(Short, Int) NEXT(Char, Short)
  NEXT(Byte, Char)
  THDoubleStorage_copyByte(t->storage, Byte);
#define FREE(TYPE) TH##TYPE##Storage_free(TYPE);
  FREE(Double) FREE(Float) FREE(Half) FREE(Long) FREE(Int) FREE(Short) FREE(Char) FREE(Byte)
}
long atomics(int which) {
#define ATOMICS(SUFFIX, TYPE) \\
  { \\
    TYPE a = 0; \\
    THAtomicSet##SUFFIX(&a, 5); \\
    const TYPE before = THAtomicAdd##SUFFIX(&a, -2); \\
    const int swapped = THAtomicCompareAndSwap##SUFFIX(&a, 3, 7), refused = !THAtomicCompareAndSwap##SUFFIX(&a, 3, 9); \\
    return 1000 * (long)before + 100 * (long)THAtomicGet##SUFFIX(&a) + 10 * swapped + refused; \\
  }
  if (which == 0) ATOMICS(, int32_t)
  if (which == 1) ATOMICS(Long, int64_t)
  ATOMICS(Ptrdiff, ptrdiff_t)
}
int count_up(int count) {
  int32_t references = count;
  THAtomicIncrementRef(&references);
  return references;
}
static int collected;
static void collect(void *data) { collected += *(int *)data; }
int without_memory(int again) {
  static int step = 10;
  THSetGCHandler(collect, &step);
  void *block = again ? THAlloc(8) : NULL;
  again ? THRealloc(block, PTRDIFF_MAX) : THAlloc(PTRDIFF_MAX);
  return 0;
}
int collections(void) { THSetGCHandler(NULL, NULL); return collected; }
long memory(void) {
  long yes = 0, digit = 1;
  double *block = THRealloc(NULL, 16);
  CHECK(block != NULL);
  CHECK(THRealloc(block, 0) == NULL);
  int32_t count = 2;
  CHECK(!THAtomicDecrementRef(&count) && THAtomicDecrementRef(&count) && count == 0);
  THFloatStorage *s = THFloatStorage_newWithSize(1);
  THFloatStorage_clearFlag(s, TH_STORAGE_REFCOUNTED);
  THFloatStorage_retain(s);
  THFloatStorage_free(s), THFloatStorage_free(s);
  CHECK(s->refcount == 1);
  THFloatStorage_setFlag(s, TH_STORAGE_REFCOUNTED);
  THFloatStorage_free(s);
  return yes;
}
double general(THDoubleTensor *t) {
  double *d = THDoubleTensor_data(t), *block = THAlloc(16), *more = THRealloc(block, 64);
  more[7] = 3;
  d[0] = more[7], THFree(more);
  d[1] = THLog1p(1e-10), d[2] = TH_digamma(2.5), d[3] = TH_trigamma(2.5), d[4] = TH_erfinv(0.5);
  d[5] = TH_sigmoid(0.5), d[6] = TH_frac(-2.75), d[7] = TH_rsqrt(16), d[8] = TH_lerp(2, 4, 0.25);
  d[9] = TH_digammaf(2.5f), d[10] = TH_sigmoidf(0.5f), d[11] = TH_fracf(2.75f), d[12] = TH_rsqrtf(4);
  float value = -1.5f;
  unsigned short bits;
  TH_float2halfbits(&value, &bits);
  TH_halfbits2float(&bits, &value);
  d[13] = value, d[14] = bits, d[15] = THGetNumCores() >= 1;
  THInferNumThreads();
  d[16] = TH_lerpf(1, 3, 0.5f);
  THHeapUpdate(10);
  return strlen(_THSizeDesc((int64_t[]){12, 3}, 2).str);
}
"""  # noqa: E501


@pytest.fixture(scope="module")
def th(build_once):
    source = "#include <stdlib.h>\n#include <string.h>\n" + SOURCE
    for name, (types, arguments, _) in MATHS.items():
        for real in types:
            result = "Byte" if name.endswith("Tensor") else real
            head = f"void {real}_{name}(TH{result}Tensor *r, TH{real}Tensor *t, TH{real}Tensor *u"
            head += f", {C_TYPES[real]} v, {C_TYPES[real]} w)"
            source += f"{head} {{ TH{real}Tensor_{name}(r, {arguments}); }}\n"
    for real in ALL:
        source += (
            f"void {real}_random(TH{real}Tensor *t, long seed) {{ THGenerator *g = seeded(seed); "
        )
        source += f"TH{real}Tensor_random(t, g); THGenerator_free(g); }}\n"
    return build_once(None, source)


def shapes(real):
    """Pairs of dense, strided, one-element and empty tensors."""
    generator = torch.Generator().manual_seed(3)
    t = torch.randint(1, 4, (6, 8), generator=generator).to(DTYPES[real])
    u = torch.randint(1, 4, (6, 8), generator=generator).to(DTYPES[real])
    yield t, u
    yield t.clone()[::2, 1::3], u.clone()[1::2, ::3]
    yield t.clone().t(), u.clone().t()
    yield t[0, :1].clone(), u[0, :1].clone()
    yield t[:0, 0].clone(), u[:0, 0].clone()


@pytest.mark.parametrize("name", MATHS)
def test_maths_on_each_element(th, name):
    types, _, expected = MATHS[name]
    for real in types:
        function = getattr(th, f"{real}_{name}")
        for t, u in shapes(real):
            want = expected(t.clone(), u.clone(), 2, 1)
            out = torch.zeros(1, 1, dtype=want.dtype)
            function(out, t, u, 2, 1)
            torch.testing.assert_close(out, want.to(out.dtype))
            if out.dtype == t.dtype:  # into one of its inputs
                function(t, t, u, 2, 1)
                torch.testing.assert_close(t, want.to(t.dtype))


def test_numbers_of_whole_tensors(th):
    t = torch.tensor([[1.5, 2.0], [-3.0, 4.0]])
    assert th.prodall_Float(t) == pytest.approx(-36.0)
    assert th.prodall_Long(torch.tensor([[3, 5], [7, 2]]).t()) == 210
    d, e = torch.rand(4, 5).double(), torch.rand(4, 5).double()
    for matrix in (d, d.t()):
        assert th.trace_Double(matrix) == pytest.approx(np.trace(matrix.numpy()))
    for p in (1, 2, 3.5):
        want = np.linalg.norm((d - e).numpy().ravel(), p)
        assert th.dist_Double(d, e, p) == pytest.approx(want)
    out = torch.zeros(0).double()
    th.logspace_Double(out, -1, 2, 7)
    np.testing.assert_allclose(out.numpy(), np.logspace(-1, 2, 7))


def spread(values):
    """The same in memory with gaps of NaN: a vector of stride 3, a column-major matrix with two unused rows."""
    values = torch.as_tensor(values)
    if values.dim() == 1:
        return torch.full((len(values), 3), torch.nan, dtype=torch.float64)[:, 0].copy_(values)
    room = torch.full(values.t().shape, torch.nan, dtype=torch.float64)
    return torch.nn.functional.pad(room, (0, 2), value=torch.nan)[:, :-2].t().copy_(values)


def written(out, want, function, *arguments):
    """Of function(*arguments), `out` among them: what it holds; what lies in its gaps must stay."""
    function(*arguments)
    np.testing.assert_allclose(out.numpy(), want)
    last = sum((n - 1) * step for n, step in zip(out.shape, out.stride(), strict=True))
    memory = torch.as_strided(out, (last + 1,), (1,))
    assert memory.isfinite().sum() == out.numel()


def test_blas_of_vectors(th):
    x, y = np.random.default_rng(0).random((2, 5))
    for which, a, want in [(0, 2.5, y + 2.5 * x), (1, 0, x), (3, -2, -2 * y)]:
        out = spread(y)
        written(out, want, th.vectors, which, spread(x), out, a)
    out, other = spread(x), spread(y)
    written(out, y, th.vectors, 2, other, out, 0)
    assert other.tolist() == x.tolist()
    out = spread(y * np.nan)
    written(out, 0 * y, th.vectors, 3, out, out, 0)
    assert th.dot(spread(x), spread(y)) == pytest.approx(x @ y)


@pytest.mark.parametrize("shape", [(3, 5), (5, 3)])
def test_blas_of_a_matrix_and_vectors(th, shape):
    a, x, y = (np.random.default_rng(1).random(n) for n in (shape, shape[1], shape[0]))
    for beta, before in ((3, y), (0, y * np.nan)):  # nothing of what is multiplied by 0
        want = 2 * a @ x + (beta * y if beta else 0)
        for turned, matrix in ((0, spread(a)), (1, spread(a.T.copy())), (2, spread(a.T.copy()))):
            out = spread(before)
            written(out, want, th.gemv, turned, 2, matrix, spread(x), beta, out)
    out = spread(a)
    written(out, a + 2 * np.outer(y, x), th.ger, 2, spread(y), spread(x), out)


@pytest.mark.parametrize("rows", [2, 5])
@pytest.mark.parametrize("ta", [0, 1, 2])
@pytest.mark.parametrize("tb", [0, 2])
def test_blas_of_matrices(th, ta, tb, rows):
    r = np.random.default_rng(2)
    a, b, c = r.random((rows, 4)), r.random((4, 3)), r.random((rows, 3))
    left, right = spread(a.T.copy() if ta else a), spread(b.T.copy() if tb else b)
    for beta, before in ((3, c), (0, c * np.nan)):
        out = spread(before)
        want = 2 * a @ b + (beta * c if beta else 0)
        written(out, want, th.gemm, ta, tb, 2, left, right, beta, out)


@pytest.mark.parametrize("real", ["Long", "Int", "Short", "Char"])
def test_shifts_to_the_right_bring_zeros_in(th, real):
    """Not the sign: 0.3.1 shifted the unsigned integer of the same bits."""
    bits, values = torch.iinfo(DTYPES[real]).bits, [-1, -8, -100, 100]
    t, out = torch.tensor(values, dtype=DTYPES[real]), torch.zeros(0, dtype=DTYPES[real])
    for name in ("rshift", "crshift"):
        getattr(th, f"{real}_{name}")(out, t, torch.full_like(t, 2), 2, 0)
        assert out.tolist() == [x % 2**bits >> 2 for x in values]


def test_what_compares_and_makes_whole_tensors(th):
    t = torch.arange(6.0).double().view(2, 3)
    assert th.equal(t, t.t().contiguous().t()) == 1 and th.equal(t, t + 1) == 0
    assert th.equal(t, t.view(3, 2)) == 0
    square = torch.arange(9.0).double().view(3, 3)[:2, :2]
    assert th.is_set_to(square, square.view(2, 2)) == 1 and th.is_set_to(square, square.t()) == 0
    assert th.is_set_to(square[0], square[1]) == 0
    out = torch.zeros(0, dtype=torch.int64)
    th.range(out, 1, 9, 4)
    assert out.tolist() == [1, 5, 9]
    th.range(out, 1, -6, -3)
    assert out.tolist() == [1, -2, -5]
    out = torch.zeros(0, dtype=torch.float64)
    th.reshape(out, t.t(), 2, 3)
    assert torch.equal(out, t.t().reshape(2, 3))
    th.lerp(out, t, t.t(), 0.25)
    assert torch.equal(out, t + 0.25 * (t.t().reshape(2, 3) - t))
    for n in (0, 1):
        th.polygamma(out, n, t + 1)
        np.testing.assert_allclose(out.numpy(), scipy.special.polygamma(n, t.numpy() + 1))


def test_structure(th):
    t = torch.arange(12.0).view(2, 6).clone()
    sizes = torch.LongTensor()
    assert th.structure(t, sizes) == 1111111111111111111
    assert sizes.tolist() == [2, 6] and t.tolist() == [[4.0] * 6] * 2


def test_storages_and_allocators(th):
    out = torch.FloatTensor()
    assert th.storages(out) == 11111111111111
    assert out.tolist() == [7.0, 8.0] and th.blocks() == 1
    del out
    assert th.blocks() == 0  # torch's tensor was the last that held the memory


def numbers(th, count, seed, normal=0):
    """The generator's numbers, one by one."""
    stream = torch.zeros(count, dtype=torch.float64)
    th.stream(stream, seed, normal)
    return stream.numpy()


def drawn(th, count, which, u=None):
    u = torch.zeros(count, dtype=torch.float64) if u is None else u
    t = torch.zeros(count, dtype=torch.float64)
    th.drawn(t, u, u.float(), 5, which)
    return t.numpy()


def test_distributions_are_their_formulas_on_the_uniform_stream(th):
    count = 50
    x = numbers(th, count, 5)
    np.testing.assert_allclose(drawn(th, count, 0), -np.log(1 - x) / 2)
    np.testing.assert_allclose(drawn(th, count, 1), 1 + 3 * np.tan(np.pi * (x - 0.5)))
    np.testing.assert_array_equal(drawn(th, count, 2), np.floor(np.log(1 - x) / np.log(0.3)) + 1)
    p = torch.linspace(0, 1, count, dtype=torch.float64)
    np.testing.assert_array_equal(drawn(th, count, 3, p), x <= p.numpy())
    np.testing.assert_array_equal(drawn(th, count, 4, p), x <= p.float().double().numpy())
    np.testing.assert_array_equal(drawn(th, count, 13, p), x <= p.numpy())
    np.testing.assert_array_equal(drawn(th, count, 14), x)


def test_normal_numbers_are_scaled_standard_ones(th):
    count = 40
    z = drawn(th, count, 5)
    # Box and Muller on one pair of uniform numbers after the other, whatever the tensor's length: 0.3.1's way
    angle, u = 2 * np.pi * numbers(th, count, 5)[::2], numbers(th, count, 5)[1::2]
    pairs = np.sqrt(-2 * np.log(1 - u)) * [np.cos(angle), np.sin(angle)]
    np.testing.assert_allclose(z, pairs.T.ravel())
    u = torch.linspace(0.5, 3, count, dtype=torch.float64)
    np.testing.assert_allclose(drawn(th, count, 6), np.exp(0.5 + 2 * numbers(th, count, 5, 1)))
    np.testing.assert_allclose(drawn(th, count, 7, u), u.numpy() + 2 * z)
    np.testing.assert_allclose(drawn(th, count, 8, u), 3 + u.numpy() * z)
    np.testing.assert_allclose(drawn(th, count, 9, u), u.numpy() * (1 + z))
    np.testing.assert_allclose(drawn(th, count, 10), z)


def test_integers_of_the_generator(th):
    numbers = torch.zeros(6, dtype=torch.int64)
    th.integers(numbers, 42, 0)
    assert numbers.tolist() == np.random.RandomState(42).randint(0, 2**32, 6, np.uint32).tolist()
    wide = torch.zeros(3, dtype=torch.int64)
    th.integers(wide, 42, 1)
    low, high = numbers[1::2].numpy().astype(np.uint64), numbers[::2].numpy().astype(np.uint64)
    assert wide.numpy().view(np.uint64).tolist() == (high << np.uint64(32) | low).tolist()
    th.integers(numbers, 5, 0)
    assert drawn(th, 6, 11).tolist() == (numbers % 10).tolist()
    assert drawn(th, 6, 12).tolist() == (numbers % 11 - 5).tolist()
    ints, longs = torch.zeros(6, dtype=torch.int32), torch.zeros(3, dtype=torch.int64)
    th.whole_range(ints, longs, 5)  # 0.3.1 draws 64 bits for what can hold more than 32 alone
    assert ints.tolist() == (numbers - 2**31).tolist()
    assert longs.tolist() == (numbers[::2] % 2**8 * 2**32 + numbers[1::2]).tolist()


@pytest.mark.parametrize(
    ("real", "beyond"),
    [("Byte", 2**8), ("Char", 2**7), ("Short", 2**15), ("Int", 2**31), ("Long", 2**63)]
    + [("Float", 2**24 + 1), ("Double", 2**53 + 1)],
)
def test_random_numbers_of_all_that_a_type_counts(th, real, beyond):
    words = torch.zeros(6, dtype=torch.int64)
    th.integers(words, 5, int(beyond > 2**32))
    t = torch.zeros(6, dtype=DTYPES[real])
    getattr(th, f"{real}_random")(t, 5)
    assert t.tolist() == [word % 2**64 % beyond for word in words.tolist()]


def test_generators(th):
    state = torch.ByteTensor()
    assert th.generators(state) == 111111 and state.numel() > 624 * 8


def test_a_generator_that_threads_have_shared_ends_where_its_state_does(th):
    """Of two decrements at once one is lost, or none meets the 0."""
    assert th.stays_within_its_state(500) == th.stays_within_its_state(-25) == 1


def test_error_handlers(th):
    th.handlers(0)
    with pytest.raises(ffi_ext.NativeError, match=r"^mine: 7 wrong way at .*\.c:\d+ at"):
        th.handlers(2)
    with pytest.raises(ffi_ext.NativeError, match="^invalid argument 7: wrong way at"):
        th.handlers(3)
    th.handlers(1)
    for which, text in [
        (4, r"^mine: of all threads at .*\(seen\) at"),
        (5, "^of none at"),
        (6, "^mine: 7 of all threads at"),
        (7, "^invalid argument 7: of none at"),
    ]:
        with pytest.raises(ffi_ext.NativeError, match=text):
            th.handlers(which)


@pytest.mark.parametrize("which", [1, 2])
def test_a_handler_that_returns_does_not_let_c_go_on(th, which):
    try:
        with pytest.raises(ffi_ext.NativeError, match="all the same at "):
            th.handlers_that_return(which)
    finally:
        th.handlers_that_return(0)


REFUSED = [
    "1: max must be positive, but got: max = 0",
    "2: max must be greater than min, but got: min = 3, max = 3",
    "2: standard deviation must be strictly positive",
    "2: standard deviation must be strictly positive",
    "1: must be > 0 and < 1",
    "1: must be >= 0 and <= 1",
    "1: RNG state is wrong size",
    "1: Invalid RNG state",
    "5: inconsistent size/stride sizes",
    "3: invalid stride",
    "2: size mismatch",
    "2: size mismatch",
    "2: out of bounds",
    "2: out of bounds",
    "Number of elements of destination tensor != Number of elements in mask",
    "Number of elements of src < number of ones in mask",
    "2: sizes do not match",
    "polygamma(n,x) is not implemented for n>=2",
    "LogSub: log_a (1.000000) should be greater than log_b (2.000000)",
]


@pytest.mark.parametrize("which", range(len(REFUSED)))
def test_what_is_refused(th, which):
    with pytest.raises(ffi_ext.NativeError) as caught:
        th.refused(which)
    assert str(caught.value).removeprefix("invalid argument ").startswith(REFUSED[which])


def test_poles_and_limits(th):
    inf, nan = np.inf, np.nan
    for which, arguments, want in [
        (0, (0.0, 0), -inf),
        (0, (-0.0, 0), inf),
        (0, (-1, 0), nan),
        (1, (-1, 0), inf),
        (1, (-2.25, 0), scipy.special.polygamma(1, 0.75) + 1 / 0.25**2 + 1 / 1.25**2 + 1 / 2.25**2),
        (2, (1, 0), inf),
        (2, (-1, 0), -inf),
        (2, (1.5, 0), nan),
        (3, (-inf, 2), 2),
        (3, (-inf, -inf), -inf),
        (3, (1, 2), np.logaddexp(1, 2)),
        (4, (2, -inf), 2),
        (3, (nan, 2), nan),
        (3, (2, nan), nan),
        (3, (th.log_zero(), -1), -1),
        (4, (2, 2), -np.finfo(float).max),  # THLogZero, with which published code compares
        (4, (2, 1), 2 + np.log1p(-np.exp(-1))),
    ]:
        np.testing.assert_allclose(th.scalar(which, *arguments), want, err_msg=str(arguments))


def test_memory_and_references(th):
    assert th.memory() == 1111
    assert [th.atomics(which) for which in range(3)] == [5711] * 3
    assert th.count_up(3) == 4
    for again in (0, 1):  # asked twice: the handler may have freed something
        with pytest.raises(
            ffi_ext.NativeError, match=r"not enough memory: you tried to (re)?allocate"
        ):
            th.without_memory(again)
    assert th.collections() == 20


def test_functions_of_one_line(th):
    t, u = torch.rand(2, 5, dtype=torch.float64)
    yes = torch.tensor([[1, 1], [0, 1], [0, 0]], dtype=torch.uint8)
    for which, want in [(0, t @ u), (1, t.std()), (2, t.numpy().std()), (7, np.exp(-2))]:
        assert th.numbers_of(which, t, u, yes) == pytest.approx(float(want))
    assert [th.numbers_of(3, t, u, mask) for mask in yes] == [2, 0, 0]
    assert [th.numbers_of(4, t, u, mask) for mask in yes] == [2, 2, 0]
    assert th.numbers_of(5, torch.rand(3, 4).double(), u, yes) == 12
    assert th.numbers_of(6, t, u, yes) == 0
    ones, zeros, strided = (torch.rand(1, dtype=torch.float64) for _ in range(3))
    th.filled(ones, zeros, torch.tensor([2, 3]), strided)
    assert torch.equal(ones, torch.ones(2, 3).double()) and torch.equal(zeros, 0 * ones)
    assert torch.equal(strided, 3 * ones) and strided.stride() == (1, 2)
    t = torch.tensor([0.0, 7.5, 100.0, 3.25], dtype=torch.float64)
    th.through(t)
    assert t.tolist() == [0, 7, 100, 3]


def test_mapped_files(build, tmp_path):
    """As 0.3.1's newWithMapping: of a shared file the elements are the file's, which grows as asked."""
    module = build(
        "THIntStorage *map(const char *path, long size, int flags);",
        """
#include <TH/TH.h>
THIntStorage *map(const char *path, long size, int flags) {
  return THIntStorage_newWithMapping(path, size, flags);
}
""",
    )
    path = tmp_path / "numbers"
    np.arange(5, dtype=np.int32).tofile(path)
    name = str(path).encode()
    own = torch.tensor([]).int().set_(module.map(name, 3, 0))
    own[0] = 7
    assert own.tolist() == [7, 1, 2] and np.fromfile(path, np.int32)[0] == 0
    shared = torch.tensor([]).int().set_(module.map(name, 0, 1))
    shared[0] = 8
    assert np.fromfile(path, np.int32).tolist() == [8, 1, 2, 3, 4] == shared.tolist()
    module.map(str(tmp_path / "new").encode(), 6, 1)
    assert np.fromfile(tmp_path / "new", np.int32).tolist() == [0] * 6
    for arguments, text in [
        (
            (name, 6, 0),
            "unable to map 24 bytes of file <.*numbers> in read-only mode: it is shorter",
        ),
        (
            (name + b".gone", 6, 0),
            "of file <.*numbers.gone> in read-only mode: No such file or directory",
        ),
        ((name, 6, 2), "argument 3: expected 0 or TH_ALLOCATOR_MAPPED_SHARED, got 2"),
    ]:
        with pytest.raises(ffi_ext.NativeError, match=text):
            module.map(*arguments)


def test_what_the_runtime_has_its_headers_declare():
    """A function that they do not is taken for one that returns an int, and is none in C++."""
    include = Path(ffi_ext.get_include())
    text = "".join(path.read_text() for path in include.rglob("*.h"))
    (library,) = Path(ffi_ext.__file__).parent.glob("_runtime*.so")
    names = {name for name in elf.symbols(library).defined if name.startswith("TH")}
    of_the_library = {"THHalfTensor_fill"}  # 0.3.1 has none
    assert names - set(re.findall(r"\w+", text)) == of_the_library


def test_scalar_functions(th):
    out = torch.zeros(17, dtype=torch.float64)
    assert th.general(out) == len("[12 x 3]")
    special = scipy.special
    want = [
        3,
        np.log1p(1e-10),
        special.digamma(2.5),
        special.polygamma(1, 2.5),
        special.erfinv(0.5),
    ]
    want += [special.expit(0.5), -0.75, 0.25, 2.5, special.digamma(2.5), special.expit(0.5), 0.75]
    want += [0.5, -1.5, 0xBE00, 1, 2]
    np.testing.assert_allclose(out.numpy(), want, rtol=1e-6)
