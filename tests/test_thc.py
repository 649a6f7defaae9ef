"""THC: everything compiles and links without a GPU, and its functions compute what torch does.

A CUDA record differs from a CPU record in where its memory is, and torch does the work on either. So the
functions run here on CPU records under THC's names; new records, which are of the current GPU, must say
that there is none. On a GPU, the same C code takes CUDA tensors, and what torch keeps is asked for.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

import ffi_ext
from ffi_ext import elf
from ffi_ext.compilers import toolchain
from ffi_ext.cuda import toolkit
from ffi_ext.th import cuda_state, th_algebra, th_maths, thc_maths

INCLUDE = Path(ffi_ext.get_include())
LISTS = INCLUDE / "THC" / "generic"
NAMES = {"Byte": "CudaByte", "Char": "CudaChar", "Short": "CudaShort", "Int": "CudaInt"}
NAMES |= {"Long": "CudaLong", "Float": "Cuda", "Double": "CudaDouble"}


def functions(text: str) -> list[str]:
    return re.findall(r"^THC_(?:FUNCTION|VALUE)\((?:\w+, )?(\w+), \(THCState", text, re.M)


def test_every_function_of_the_lists_has_a_meaning_and_is_linked():
    text = (LISTS / "THCTensorMath.h").read_text()
    names = functions(text)
    assert len(names) > 170
    known = th_maths.FUNCTIONS | thc_maths.FUNCTIONS | th_algebra.FUNCTIONS
    assert [n for n in names if n not in known] == []
    (library,) = Path(ffi_ext.__file__).parent.glob("_runtime*.so")
    defined = elf.symbols(library).defined
    assert [
        n for n in names if {f"THCudaTensor_{n}", f"THCudaByteTensor_{n}"} & defined == set()
    ] == []
    structural = re.findall(r"THC(Tensor|Storage)_\((\w+)\)", (LISTS / "THCTensor.h").read_text())
    forwarded = re.findall(
        r"^THC_FORWARD\(.*?, (\w+), \(THC", (LISTS / "THCTensor.h").read_text(), re.M
    )
    for real in [*NAMES.values(), "CudaHalf"]:
        missing = [n for n in forwarded if f"TH{real}Tensor_{n}" not in defined]
        missing += [f"{k}_{n}" for k, n in structural if f"TH{real}{k}_{n}" not in defined]
        assert missing == [], real
    _, _, of_floats = text.partition("defined(THC_REAL_IS_HALF)\nTHC_FUNCTION(linspace")
    of_floats, _, _ = of_floats.partition("#endif")
    assert "exp" in functions(of_floats)
    assert [n for n in functions(of_floats) if f"THCudaHalfTensor_{n}" not in defined] == []


HEADER = """
void run(THFloatTensor *r, THFloatTensor *a, THFloatTensor *b, THLongTensor *index,
         THByteTensor *mask, int which);
double number(THFloatTensor *a, THFloatTensor *b, int which);
void storages(THFloatTensor *r, THFloatTensor *a);
long logical(THByteTensor *mask);
long integers(THIntTensor *r, THIntTensor *a, THIntTensor *b, int which);
double halves(THHalfTensor *t, int which);
void two(THFloatTensor *r, THFloatTensor *second, THFloatTensor *a, THFloatTensor *b, int which);
void structure(THFloatTensor *t, THLongTensor *out);
void fresh(void);
void check(int error);
void generator(THByteTensor *bytes, int set);
uint64_t seed(int all);
long state_of(THLongTensor *out, THFloatTensor *pinned, int which);
"""
SOURCE = r"""
#include <THC/THC.h>
extern THCState *state;
void generator(THByteTensor *bytes, int set) {
  THCRandom_init(state, 1, 0);
  if (set) THCRandom_setRNGState(state, bytes);
  else THCRandom_getRNGState(state, bytes);
  THCRandom_shutdown(state);
}
uint64_t seed(int all) { return all ? THCRandom_seedAll(state) : THCRandom_seed(state); }
#define F(t) ((THCudaTensor *)(t))
#define L(t) ((THCudaLongTensor *)(t))
#define B(t) ((THCudaByteTensor *)(t))
#define I(t) ((THCudaIntTensor *)(t))
void run(THFloatTensor *r, THFloatTensor *a, THFloatTensor *b, THLongTensor *index,
         THByteTensor *mask, int which) {
  switch (which) {
    case 0: THCudaTensor_cadd(state, F(r), F(a), 2.5, F(b)); break;
    case 1: THCudaTensor_mul(state, F(r), F(a), 3); break;
    case 2: THCudaTensor_tpow(state, F(r), 2, F(a)); break;
    case 3: THCudaTensor_addmm(state, F(r), 0.5, F(a), 2, F(a), F(b)); break;
    case 4: THCudaTensor_sum(state, F(r), F(a), 1, 1); break;
    case 5: THCudaTensor_max(state, F(r), L(index), F(a), 0, 0); break;
    case 6: THCudaTensor_clamp(state, F(r), F(a), -0.5, 0.25); break;
    case 7: THCudaTensor_addcdiv(state, F(r), F(a), 3, F(a), F(b)); break;
    case 8: THCudaTensor_gtValue(state, B(mask), F(a), 0.5); break;
    case 9: THCudaTensor_ltTensorT(state, F(r), F(a), F(b)); break;
    case 10: THCudaTensor_sort(state, F(r), L(index), F(a), 1, 1); break;
    case 11: THCudaTensor_indexSelect(state, F(r), F(a), 1, L(index)); break;
    case 12: THCudaTensor_scatterAdd(state, F(r), 1, L(index), F(a)); break;
    case 13: THCudaTensor_fill(state, F(r), 7); break;
    case 14: THCudaTensor_maskedFill(state, F(r), B(mask), 9); break;
    case 15: THCudaTensor_copy(state, F(r), F(a)); break;
    case 16: THCudaTensor_sigmoid(state, F(r), F(r)); break;
    case 17: THCudaTensor_cumsum(state, F(r), F(a), 1); break;
    case 18: THCudaTensor_range(state, F(r), 1, 7, 2); break;
    case 41: THCudaTensor_arange(state, F(r), 1, 7, b->size[0] - 3); break;
    case 19: THCudaTensor_renorm(state, F(r), F(a), 2, 0, 1); break;
    case 20: { THLongStorage *s = THLongStorage_newWithSize2(2, 3);
               THCudaTensor_zeros(state, F(r), s); THLongStorage_free(s); break; }
    case 21: THCudaTensor_copyLong(state, F(r), index); break;
    case 22: THFloatTensor_copyCuda(state, r, F(a)); break;
    case 23: THCudaTensor_lerp(state, F(r), F(a), F(b), 0.25); break;
    case 24: THCudaTensor_cat(state, F(r), F(a), F(b), 0); break;
    case 25: THCudaTensor_atan2(state, F(r), F(a), F(b)); break;
    case 26: THCudaTensor_norm(state, F(r), F(a), 2, 1, 0); break;
    case 27: THCudaTensor_indexAdd_long(state, F(r), 1, index, F(a)); break;
    case 28: THCudaTensor_indexCopy_long(state, F(r), 1, index, F(a)); break;
    case 29: THCudaTensor_indexFill_long(state, F(r), 0, index, 4); break;
    case 30: THCudaTensor_indexSelect_long(state, F(r), F(a), 0, index); break;
    case 31: THCudaTensor_maskedFillByte(state, F(r), mask, -2); break;
    case 32: THCudaTensor_maskedSelectByte(state, F(r), F(a), mask); break;
    case 33: THCudaTensor_maskedCopyByte(state, F(r), mask, F(b)); break;
    case 34: THCudaTensor_copy(state, F(r), F(a));
             THCudaTensor_sortKeyValueInplace(state, F(r), L(index), 1, 1); break;
    case 35: THCudaTensor_copyIgnoringOverlaps(state, F(r), F(a)); break;
    case 36: { THCudaTensor *folded = THCudaTensor_newFoldBatchDim(state, F(r));
               THCDescBuff text = THCudaTensor_sizeDesc(state, folded);
               THAssertMsg(!strcmp(text.str, "[9]"), "%s", text.str);
               THCudaTensor_copy(state, folded, F(a));
               THCudaTensor_free(state, folded); break; }
    case 37: THCudaTensor_eye(state, F(r), 3, 0); break;
    case 38: THCudaTensor_normal_means(state, F(r), F(a), 0); break;
    case 39: THCudaTensor_cmul(state, F(r), F(a), F(b)); break;
    case 40: THCudaTensor_geTensorT(state, F(r), F(a), F(b)); break;
    default: THError("which");
  }
}
/* The storage's elements as another type and back, by way of every kind of copy. */
void storages(THFloatTensor *r, THFloatTensor *a) {
  const ptrdiff_t n = THFloatTensor_nElement(a);
  THIntStorage *whole = THIntStorage_newWithSize(n);
  THHalfStorage *half = THHalfStorage_newWithSize(n);
  THIntStorage_copyCudaFloat(state, whole, (THCudaStorage *)a->storage);
  THCudaStorage_copyInt(state, (THCudaStorage *)r->storage, whole);
  THCudaHalfStorage_copyCuda(state, (THCudaHalfStorage *)half, (THCudaHalfStorage *)half);
  THCudaHalfStorage_copyFloat(state, (THCudaHalfStorage *)half, r->storage);
  THCudaStorage_copyCudaHalf(state, (THCudaStorage *)r->storage, (THCudaHalfStorage *)half);
  THCudaStorage_rawCopy(state, (THCudaStorage *)a->storage, r->storage->data);
  THIntStorage_free(whole);
  THHalfStorage_free(half);
}
long logical(THByteTensor *mask) {
  const int all = THCudaByteTensor_logicalall(state, B(mask)), any = THCudaByteTensor_logicalany(state, B(mask));
  THAssert(THCudaByteTensor_logicalAndAll(state, B(mask)) == all);
  THAssert(THCudaByteTensor_logicalAnyAll(state, B(mask)) == any);
  return all + 10 * any;
}
double number(THFloatTensor *a, THFloatTensor *b, int which) {
  switch (which) {
    case 0: return THCudaTensor_sumall(state, F(a));
    case 1: return THCudaTensor_dot(state, F(a), F(b));
    case 2: return THCudaTensor_maxall(state, F(a));
    case 3: return THCudaTensor_stdall(state, F(a), 1);
    case 4: return THCudaTensor_normall(state, F(a), 1);
    case 5: return THCudaTensor_equal(state, F(a), F(a)) + 10 * THCudaTensor_equal(state, F(a), F(b));
    case 6: return THCudaTensor_get2d(state, F(a), 1, 2);
    case 7: THCudaTensor_set2d(state, F(a), 0, 1, 5.5); return THFloatTensor_get2d(a, 0, 1);
    case 8: return THCudaStorage_get(state, THCudaTensor_storage(state, F(a)), 3);
    default: return THCudaTensor_meanall(state, F(a));
  }
}
long integers(THIntTensor *r, THIntTensor *a, THIntTensor *b, int which) {
  switch (which) {
    case 0: THCudaIntTensor_cdiv(state, I(r), I(a), I(b)); return 0;
    case 1: THCudaIntTensor_cremainder(state, I(r), I(a), I(b)); return 0;
    case 2: THCudaIntTensor_lshift(state, I(r), I(a), 2); return 0;
    case 3: return THCudaIntTensor_sumall(state, I(a));
    case 4: THCudaIntTensor_mean(state, I(r), I(a), 0, 1); return 0;
    case 5: return THCudaIntTensor_meanall(state, I(a));
    case 6: return THCudaIntTensor_dist(state, I(a), I(b), 1);
    default: return THCudaIntTensor_minall(state, I(a));
  }
}
double halves(THHalfTensor *t, int which) {
  THCudaHalfTensor *half = (THCudaHalfTensor *)t;
  switch (which) {
    case 0: return THCudaHalfTensor_sumall(state, half);
    case 1: return THCudaHalfTensor_prodall(state, half);
    case 2: return THCudaHalfTensor_dot(state, half, half);
    case 4: return THCudaHalfTensor_normall(state, half, TH_float2half(2));
    case 5: return THCudaHalfTensor_stdall(state, half, 1);
    case 6:
      THCudaHalfTensor_exp(state, half, half);
      THCudaHalfTensor_pow(state, half, half, TH_float2half(2));
      return 0;
    default: return THCudaHalfTensor_trace(state, half);
  }
}
void two(THFloatTensor *r, THFloatTensor *second, THFloatTensor *a, THFloatTensor *b, int which) {
  switch (which) {
    case 0: THCudaTensor_geqrf(state, F(r), F(second), F(a)); break;
    case 1: THCudaTensor_trtrs(state, F(r), F(second), F(b), F(a), "U", "N", "N"); break;
    default: THCudaTensor_polygamma(state, F(r), 1, F(a)); break;
  }
}
void structure(THFloatTensor *t, THLongTensor *out) {
  THCudaTensor *row = THCudaTensor_newSelect(state, F(t), 0, 1);
  THCudaTensor *flipped = THCudaTensor_newTranspose(state, F(t), 0, 1);
  THCudaTensor *dense = THCudaTensor_newContiguous(state, flipped);
  THLongTensor_resize1d(out, 8);
  long *o = (long *)THLongTensor_data(out);
  o[0] = THCudaTensor_nDimension(state, row);
  o[1] = THCudaTensor_size(state, row, 0);
  o[2] = THCudaTensor_isContiguous(state, flipped);
  o[3] = THCudaTensor_stride(state, dense, 0);
  o[4] = THCudaTensor_data(state, row) - THCudaTensor_data(state, F(t));
  o[5] = THCudaTensor_nElement(state, dense);
  o[6] = (long)THFloatTensor_get2d((THFloatTensor *)dense, 2, 1);
  o[7] = THCudaTensor_getDevice(state, F(t));
  THCudaTensor_free(state, dense);
  THCudaTensor_free(state, flipped);
  THCudaTensor_free(state, row);
}
#include <THC/THCSleep.h>
#include <THC/THCThreadLocal.h>
#include <pthread.h>
static void *of_another_thread(void *local) {
  void *before = THCThreadLocal_get((THCThreadLocal)local);
  THCThreadLocal_set((THCThreadLocal)local, local);
  return before;
}
long state_of(THLongTensor *out, THFloatTensor *pinned, int which) {
  if (which == 0) {
    THCMagma_init(state);
    THCState_setCurrentStreamIndex(state, THCState_getCurrentStreamIndex(state));
    THCState_setCurrentBlasHandleIndex(state, THCState_getCurrentBlasHandleIndex(state));
    THCState_setCurrentSparseHandleIndex(state, THCState_getCurrentSparseHandleIndex(state));
    THCState_setDeviceAllocator(state, THCCachingAllocator_get());
    THCState_setKernelPeerToPeerAccessEnabled(state, 1);
    return THCState_getKernelPeerToPeerAccessEnabled(state);
  }
  if (which == 1) THCState_setCurrentStreamIndex(state, 3);
  if (which == 2) THCState_setDeviceAllocator(state, NULL);
  if (which == 3) THC_sleep(state, 1L << 40);
  if (which == 4) {
    THCThreadLocal local = THCThreadLocal_alloc();
    pthread_t thread;
    void *elsewhere = NULL;
    THCThreadLocal_set(local, out);
    pthread_create(&thread, NULL, of_another_thread, local);
    pthread_join(thread, &elsewhere);
    const long answer = (THCThreadLocal_get(local) == out) + 10 * (elsewhere == NULL);
    THCThreadLocal_free(local);
    return answer;
  }
  if (which == 5) {
    THFloatStorage *storage = THFloatStorage_newWithAllocator(3, THCState_getCudaHostAllocator(state), NULL);
    THFloatTensor_setStorage1d(pinned, storage, 0, 3, 1);
    THFloatTensor_fill(pinned, 2);
    THFloatStorage_free(storage);
    THLongTensor_resize1d(out, 1);
    THLongTensor_set1d(out, 0, (int64_t)THFloatTensor_data(pinned));
  }
  return 0;
}
void fresh(void) { THCudaTensor_free(state, THCudaTensor_newWithSize1d(state, 3)); }
void check(int error) { THCudaCheck((cudaError_t)error); }
"""


@pytest.fixture(scope="module")
def thc(build_once):
    return build_once(HEADER, SOURCE, with_cuda=True)


a = torch.tensor([[0.9, -1.5, 0.3], [2.0, 0.1, -0.2], [-0.7, 0.6, 1.2]])
b = torch.tensor([[1.0, 2.0, -0.5], [0.5, -1.0, 4.0], [3.0, 0.25, 1.0]])
columns = torch.tensor([[2, 0, 1], [1, 1, 0], [0, 2, 2]])
picks = torch.tensor([2, 0])
cycle = torch.tensor([2, 0, 1])
ones = torch.ones(3, 3)
where = (a > 0).byte()

CASES = [
    (0, a + 2.5 * b, None),
    (1, a * 3, None),
    (2, 2**a, None),
    (3, 0.5 * a + 2 * a @ b, None),
    (4, a.sum(1, keepdim=True), None),
    (5, a.max(0).values, None),
    (6, a.clamp(-0.5, 0.25), None),
    (7, a + 3 * a / b, None),
    (9, (a < b).float(), None),
    (10, a.sort(1, descending=True).values, None),
    (11, a[:, picks], picks),
    (12, ones.scatter_add(1, columns, a), columns),
    (13, torch.full((3, 3), 7.0), None),
    (14, ones.masked_fill(where.bool(), 9), None),
    (15, a, None),
    (16, ones.sigmoid(), None),
    (17, a.cumsum(1), None),
    (18, torch.tensor([1.0, 3, 5, 7]), None),
    (19, torch.renorm(a, 2, 0, 1), None),
    (20, torch.zeros(2, 3), None),
    (21, columns.float(), columns),
    (22, a, None),
    (23, torch.lerp(a, b, 0.25), None),
    (24, torch.cat([a, b]), None),
    (25, torch.atan2(a, b), None),
    (26, a.norm(2, 1), None),
    (27, ones.index_add(1, cycle, a), cycle),
    (28, a[:, [1, 2, 0]], cycle),
    (29, ones.index_fill(0, picks, 4), picks),
    (30, a[picks], picks),
    (31, ones.masked_fill(where.bool(), -2), None),
    (32, a[a > 0], None),
    (33, ones.masked_scatter(where.bool(), b), None),
    (34, a.sort(1, descending=True).values, columns),
    (35, a, None),
    (36, a, None),
    (37, torch.eye(3), None),
    (38, a, None),
    (39, a * b, None),
    (40, (a >= b).float(), None),
]


@pytest.mark.parametrize(("which", "want", "index"), CASES)
def test_maths(thc, which, want, index):
    r, mask = ones.clone(), where.clone()
    index = torch.LongTensor() if index is None else index.clone()
    # strided inputs as well as dense ones
    for left, right in ((a, b), (a.t().contiguous().t(), b.t().contiguous().t())):
        r = ones.clone()
        thc.run(r, left, right, index, mask, which)
        torch.testing.assert_close(r, want)
    if which == 34:  # what stood beside a key stands beside it still; sorted twice, as `a` is
        order = a.sort(1, descending=True).indices
        assert torch.equal(index, columns.gather(1, order).gather(1, order))
    if which == 5:
        assert index.tolist() == a.max(0).indices.tolist()


def test_autocast_does_not_reach_into_c(thc):
    r = ones.clone()
    with torch.autocast("cpu"):
        thc.run(r, a, b, torch.LongTensor(), where, 3)
    torch.testing.assert_close(r, 0.5 * a + 2 * a @ b)


def test_masks_and_bad_shapes(thc):
    mask = torch.ByteTensor()
    thc.run(a.clone(), a, b, torch.LongTensor(), mask, 8)
    assert torch.equal(mask, (a > 0.5).byte())
    with pytest.raises(torch.FatalError, match="shape|size"):
        thc.run(torch.FloatTensor(), a, torch.ones(2, 5), torch.LongTensor(), mask, 3)
    with pytest.raises(torch.FatalError, match="sizes do not match"):
        thc.run(torch.zeros(2), a, b, torch.LongTensor(), mask, 15)
    for other, step in ((b, 0), (b[:2], -1)):
        with pytest.raises(torch.FatalError, match=rf"range from 1.0 to 7.0 in steps of {step}.0"):
            thc.run(torch.zeros(2), a, other, torch.LongTensor(), mask, 41)


@pytest.mark.parametrize(
    ("which", "want"),
    [
        (0, lambda x, y: x + 2.5 * y),
        (7, lambda x, y: x + 3 * x / y),
        (9, lambda x, y: x < y),
        (23, lambda x, y: x + 0.25 * (y - x)),
        (39, lambda x, y: x * y),
        (40, lambda x, y: x >= y),
    ],
)
def test_elements_of_two_tensors_meet_in_their_order(thc, which, want):
    """Whatever the shapes, as in 0.3.1: nothing is broadcast."""
    r, index, mask = torch.zeros(0), torch.LongTensor(), torch.ByteTensor()
    for left, right in ((a[:, :1], b[0]), (a, b.flatten()), (a[:2], b[:, :2])):
        thc.run(r, left, right, index, mask, which)
        assert r.shape == left.shape
        torch.testing.assert_close(r.flatten(), want(left.flatten(), right.flatten()).float())
    with pytest.raises(torch.FatalError, match=r"sizes do not match: \(3, 3\) and \(3,\)"):
        thc.run(r, a, b[0], index, mask, which)


def test_normal_numbers_take_the_shape_of_their_means(thc):
    r = torch.zeros(0)
    thc.run(r, a, b, torch.LongTensor(), torch.ByteTensor(), 38)
    assert torch.equal(r, a)


def test_numbers(thc):
    expected = [
        a.sum(),
        (a * b).sum(),
        a.max(),
        a.std(correction=0),
        a.abs().sum(),
        1.0,
        a[1, 2],
        5.5,
    ]
    for which, want in enumerate(expected):
        assert thc.number(a.clone(), b, which) == pytest.approx(float(want), rel=1e-6)
    assert thc.number(a, b, 8) == pytest.approx(2.0) and thc.number(a, b, 9) == pytest.approx(
        float(a.double().mean())
    )
    x, y, r = torch.tensor([7, -7, 9]).int(), torch.tensor([2, 2, -4]).int(), torch.IntTensor()
    thc.integers(r, x, y, 0)
    assert r.tolist() == [3, -3, -2]  # C divides toward zero
    thc.integers(r, x, y, 1)
    assert r.tolist() == [1, 1, -3]  # the remainder has the divisor's sign
    thc.integers(r, x, y, 2)
    assert r.tolist() == [28, -28, 36]
    assert thc.integers(r, x, y, 3) == 9 and thc.integers(r, x, y, 7) == -7
    thc.integers(r, x[:2] - 1, y, 4)
    assert r.tolist() == [-1] and thc.integers(r, x[:2] - 1, y, 5) == -1  # of 6 and -8
    assert thc.integers(r, x, y, 6) == abs(7 - 2) + abs(-7 - 2) + abs(9 + 4)


def test_sums_of_halves_are_no_halves(thc):
    t = torch.full((30, 30), 300.0).half()
    assert thc.halves(t, 0) == 900 * 300
    assert thc.halves(t, 2) == 900 * 300**2
    assert thc.halves(torch.full((300, 300), 300.0).half(), 3) == 300 * 300
    assert thc.halves(t[0, :3], 1) == 300**3


def test_maths_of_halves(thc):
    t = torch.full((30, 30), 3000.0).half()
    assert thc.halves(t, 4) == pytest.approx(30 * 3000, rel=1e-5)  # on ARM
    t[::2] = -3000
    assert thc.halves(t, 5) == pytest.approx(3000)
    t = torch.tensor([-1.0, 0.0, 0.5]).half()
    thc.halves(t, 6)
    torch.testing.assert_close(t, torch.tensor([-2.0, 0.0, 1.0]).exp().half(), rtol=0.003, atol=0)


def test_what_0_4_1_has_more(thc):
    r, second = torch.empty(0), torch.empty(0)
    thc.two(r, second, a, b, 0)
    reflectors, scales = np.linalg.qr(a.numpy(), mode="raw")  # LAPACK's columns
    torch.testing.assert_close(r, torch.from_numpy(reflectors.T))
    torch.testing.assert_close(second, torch.from_numpy(scales))
    thc.two(r, second, a, b, 1)
    torch.testing.assert_close(a.triu() @ r, b)
    assert torch.equal(second, a)
    thc.two(r, second, a, b, 2)
    places = torch.arange(100_000, dtype=torch.double)  # trigamma is a series
    torch.testing.assert_close(r, (a.double()[..., None] + places).pow(-2).sum(-1).float())


def test_storages_and_logical(thc):
    source, r = torch.tensor([1.75, -2.5, 300.0]), torch.zeros(3)
    thc.storages(r, source)
    assert r.tolist() == [1.0, -2.0, 300.0] and source.tolist() == r.tolist()
    with pytest.raises(torch.FatalError, match="size does not match"):
        thc.storages(torch.zeros(2), source)
    for mask in ([1, 1], [1, 0], [0, 0]):
        assert thc.logical(torch.tensor(mask).byte()) == all(mask) + 10 * any(mask)


def test_structure(thc):
    t = torch.arange(12.0).view(3, 4)
    out = torch.LongTensor()
    thc.structure(t, out)
    assert out.tolist() == [1, 4, 0, 3, 4, 12, 6, -1]


def test_the_generators_state_and_seed_are_torchs(thc, monkeypatch):
    kept = torch.arange(16, dtype=torch.uint8)
    seeds = iter([(1 << 63) - 5, 7])
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda: kept)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state: kept.copy_(state))
    monkeypatch.setattr(torch.cuda, "seed", lambda: None)
    monkeypatch.setattr(torch.cuda, "seed_all", lambda: None)
    monkeypatch.setattr(torch.cuda, "initial_seed", lambda: next(seeds))
    state = torch.ByteTensor()
    thc.generator(state, 0)
    assert state.tolist() == list(range(16))
    thc.generator(state + 3, 1)
    assert kept.tolist() == list(range(3, 19))
    assert [thc.seed(0), thc.seed(1)] == [(1 << 63) - 5, 7]


def test_what_remains_of_the_state(thc, monkeypatch):
    out, pinned = torch.LongTensor(), torch.FloatTensor()
    assert thc.state_of(out, pinned, 0) == 1
    with pytest.raises(torch.FatalError, match="streams of torch have no numbers: 3"):
        thc.state_of(out, pinned, 1)
    with pytest.raises(torch.FatalError, match="THCudaStorage_newWithAllocator"):
        thc.state_of(out, pinned, 2)
    slept = []
    monkeypatch.setattr(torch.cuda, "_sleep", slept.append)
    thc.state_of(out, pinned, 3)
    assert slept == [1 << 40]
    assert thc.state_of(out, pinned, 4) == 11


def test_a_storage_in_pinned_memory_is_torchs(thc, monkeypatch):
    """Without a GPU no memory can be pinned; who gave it and takes it back is seen all the same."""
    memory, freed = torch.zeros(12, dtype=torch.uint8), []
    monkeypatch.setitem(cuda_state.ANSWERS, "host_malloc", lambda size: memory.data_ptr())
    monkeypatch.setitem(cuda_state.ANSWERS, "host_free", lambda address: freed.append(address) or 0)
    out, pinned = torch.LongTensor(), torch.FloatTensor()
    thc.state_of(out, pinned, 5)
    assert out.tolist() == [memory.data_ptr()]
    assert pinned.tolist() == [2.0, 2.0, 2.0]
    assert memory.view(torch.float32).tolist() == [2.0, 2.0, 2.0]
    del pinned
    gc.collect()
    assert freed == [memory.data_ptr()]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_what_needs_a_gpu_says_so(thc):
    with pytest.raises(torch.FatalError, match="(?i)cuda|nvidia"):
        thc.fresh()


def test_cuda_check(thc):
    thc.check(0)
    with pytest.raises(torch.FatalError, match=r"cuda runtime error \(2\) : .* at .*made\d+\.c:"):
        thc.check(2)


def test_generic_files_see_half_and_its_maths(tmp_path, monkeypatch):
    monkeypatch.setenv("FFI_EXT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "all.h").write_text(
        "int types(void);\nint doubled(void);\nfloat filled(THHalfTensor *t, float value);\n"
    )
    # A list of types of one's own goes by the names of the original's.
    (tmp_path / "some.h").write_text(
        "#define THCGenerateFloatTypes\n"
        '#include "THC/THCGenerateFloatType.h"\n#include "THC/THCGenerateDoubleType.h"\n'
        "#undef THCGenerateFloatTypes\n#undef THC_GENERIC_FILE\n"
    )
    (tmp_path / "double.c").write_text(
        '#ifndef THC_GENERIC_FILE\n#define THC_GENERIC_FILE "double.c"\n#else\n'
        "static int THCTensor_(twice)(void) { return 2 * sizeof(real); }\n#endif\n"
    )
    (tmp_path / "generic.c").write_text(
        '#ifndef THC_GENERIC_FILE\n#define THC_GENERIC_FILE "generic.c"\n#else\n'
        "static int THCTensor_(number)(THCTensor *t) { (void)t; return THCTypeIdx_(Real); }\n#endif\n"
    )
    (tmp_path / "all.c").write_text("""
#include <THC/THC.h>
#include "generic.c"
#include "THC/THCGenerateAllTypes.h"
#include "double.c"
#include "some.h"
extern THCState *state;
int doubled(void) { return THCudaTensor_twice() + 100 * THCudaDoubleTensor_twice(); }
int types(void) {
  return THCudaByteTensor_number(NULL) + 10 * THCudaTensor_number(NULL) + 100 * THCudaHalfTensor_number(NULL);
}
float filled(THHalfTensor *t, float value) {
  THCudaHalfTensor *half_tensor = (THCudaHalfTensor *)t;
  THCudaHalfTensor_fill(state, half_tensor, TH_float2half(value));
  THCudaHalfTensor_mul(state, half_tensor, half_tensor, TH_float2half(2));
  return TH_half2float(THCudaHalfTensor_maxall(state, half_tensor)) +
         THCudaHalfTensor_sumall(state, half_tensor);
}
""")
    ffi_ext.create_extension(
        "all_types.lib",
        ["all.h"],
        ["all.c"],
        with_cuda=True,
        include_dirs=["."],
        relative_to=str(tmp_path / "build.py"),
        verbose=False,
    ).build()
    monkeypatch.syspath_prepend(tmp_path)
    lib = importlib.import_module("all_types.lib")
    assert lib.types() == 1 + 10 * 6 + 100 * 8
    assert lib.doubled() == 2 * 4 + 100 * 2 * 8
    t = torch.zeros(2, 3, dtype=torch.half)
    assert lib.filled(t, 1.25) == 2.5 + 6 * 2.5
    assert t.tolist() == [[2.5] * 3] * 2


SHAPES = """
void shapes(THFloatTensor *x, THIntTensor *out) {
  THCudaTensor *a = (THCudaTensor *)x;
  int *of = THIntTensor_data(out);
  if (of[0]) { /* 0.4.1's way and 0.3.1's, which both need a GPU */
    void *memory = THCudaMalloc(state, 16);
    THCudaMalloc(state, &memory, 16);
  }
  of[0] = THFloatTensor_nDimension(a);
  of[1] = (int)THFloatTensor_size(a, 1);
  of[2] = (int)THFloatTensor_stride(a, 0);
  of[3] = (int)THFloatTensor_nElement(a);
  of[4] = THFloatTensor_isContiguous(a) + 10 * THIntTensor_isContiguous(out);
  of[5] = (int)THFloatTensor_storageOffset(a);
}
"""


@pytest.mark.parametrize("suffix", [".c", ".cpp"])
def test_what_0_4_1_writes_otherwise(build, suffix):
    opening, closing = ('extern "C" {', "}") if suffix == ".cpp" else ("", "")
    source = f"#include <THC/THC.h>\n{opening}\nextern THCState *state;\n{SHAPES}{closing}"
    header = "void shapes(THFloatTensor *x, THIntTensor *out);"
    module = build(header, source, suffix=suffix, with_cuda=True)
    out = torch.zeros(6, dtype=torch.int32)
    module.shapes(torch.zeros(4, 6)[1:, ::2], out)
    assert out.tolist() == [2, 3, 6, 9, 10, 6]


def test_prototypes_that_c_plus_plus_would_refuse(build):
    """0.3.1's: sums of floats are floats, as its objects read them, and copyCuda is between tensors of one type."""
    source = """
#include <THC/THC.h>
float (*const sum)(THCState *, THCudaTensor *) = THCudaTensor_sumall;
double (*const wide)(THCState *, THCudaDoubleTensor *) = THCudaDoubleTensor_sumall;
void (*const copy)(THCState *, THCudaLongTensor *, THCudaLongTensor *) = THCudaLongTensor_copyCuda;
extern "C" int there(void) { return sum && wide && copy; }
"""
    assert build("int there(void);", source, suffix=".cpp", with_cuda=True).there()


ATOMICS = """
#include <TH/TH.h>
/* What nvcc has, for a GPU of Maxwell's; another thread always comes between a load and the first exchange. */
#define __device__
#define __CUDA_ARCH__ 500
template <typename Word>
static Word atomicCAS(Word *at, Word expected, Word value) {
  static int tried = 0;
  const Word found = *at;
  if (tried++ % 3 == 0) return found ^ 1; /* which the second try then expects in vain */
  if (found == expected) *at = value;
  return found;
}
static void atomicAdd(unsigned long long *at, unsigned long long by) { *at += by; }
static long long __double_as_longlong(double x) { long long bits; memcpy(&bits, &x, 8); return bits; }
static double __longlong_as_double(long long bits) { double x; memcpy(&x, &bits, 8); return x; }
struct half { THHalf bits; };
static float __half2float(half h) { return TH_half2float(h.bits); }
static half __float2half(float x) { return {TH_float2half(x)}; }
static half __ushort_as_half(unsigned short bits) { half h; memcpy(&h, &bits, 2); return h; }
static unsigned short __half_as_ushort(half h) { unsigned short bits; memcpy(&bits, &h, 2); return bits; }
#define THC_HALF_INC
#include <THC/THCAtomics.cuh>
#define ADD(NAME, TENSOR, T)                                                          \
  extern "C" void NAME(TENSOR *t, double by) {                                        \
    for (int64_t i = 0; i < t->size[0]; i++) atomicAdd((T *)TENSOR##_data(t) + i, of((T *)NULL, by)); \
  }
static half of(half *, double x) { return __float2half(x); }
template <typename T> static T of(T *, double x) { return (T)x; }
ADD(halves, THHalfTensor, half) ADD(doubles, THDoubleTensor, double) ADD(bytes, THByteTensor, unsigned char)
ADD(chars, THCharTensor, signed char) ADD(shorts, THShortTensor, short) ADD(longs, THLongTensor, int64_t)
"""


def test_atomic_additions_that_a_gpu_has_no_instruction_for(build):
    """By compare-and-swap of the word around an element: its neighbours stay, also where another thread was first."""
    types = {"halves": torch.half, "doubles": torch.double, "bytes": torch.uint8}
    types |= {"chars": torch.int8, "shorts": torch.int16, "longs": torch.int64}
    names = zip(types, ("Half", "Double", "Byte", "Char", "Short", "Long"), strict=True)
    header = "".join(f"void {name}(TH{of}Tensor *t, double by);\n" for name, of in names)
    module = build(header, ATOMICS, suffix=".cpp", with_cuda=True)
    for name, dtype in types.items():
        whole = torch.arange(12).to(dtype)
        getattr(module, name)(whole[3:8], 120.0)
        want = torch.arange(12)
        want[3:8] += 120
        assert torch.equal(whole, want.to(dtype)), name


# NVIDIA's prototype, with cudaDataType and cublasOperation_t as int; the test computes.
CUBLAS = """
typedef int gemm(void *, int, int, int, int, int, const float *, void *, int, int, void *, int, int, const float *,
                 void *, int, int);
gemm *computed;
int cublasSgemmEx(void *handle, int opa, int opb, int m, int n, int k, const float *alpha, void *a, int type_a,
                  int lda, void *b, int type_b, int ldb, const float *beta, void *c, int type_c, int ldc) {
  return computed(handle, opa, opb, m, n, k, alpha, a, type_a, lda, b, type_b, ldb, beta, c, type_c, ldc);
}
"""
HGEMM = """
#include <THC/THC.h>
extern THCState *state;
#ifdef __CUDACC__
extern "C" {
typedef half element;
#define NUMBER(x) __float2half(x)
#else
typedef THHalf element;
#define NUMBER(x) TH_float2half(x)
#endif
void hgemm(THHalfTensor *a, THHalfTensor *b, THHalfTensor *c, int ta, int tb, int m, int n, int k, int lda, int ldb,
           int ldc) {
  THCudaBlas_Hgemm(state, ta, tb, m, n, k, NUMBER(1.5f), (element *)THHalfTensor_data(a), lda,
                   (element *)THHalfTensor_data(b), ldb, NUMBER(-0.25f), (element *)THHalfTensor_data(c), ldc);
}
#ifdef __CUDACC__
}
#endif
"""


def column_major(memory, rows, columns, leading, transposed=0):
    """What BLAS reads: columns lie `leading` elements apart, of the matrix or of its transpose."""
    if transposed:
        return column_major(memory, columns, rows, leading).T
    assert leading >= max(1, rows)  # else cuBLAS refuses it
    halves = (ctypes.c_uint16 * (leading * columns)).from_address(memory)
    return np.ctypeslib.as_array(halves).view(np.float16).reshape(columns, leading).T[:rows]


@ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_void_p,
    *[ctypes.c_int] * 5,
    ctypes.POINTER(ctypes.c_float),
    *[ctypes.c_void_p, ctypes.c_int, ctypes.c_int] * 2,
    ctypes.POINTER(ctypes.c_float),
    *[ctypes.c_void_p, ctypes.c_int, ctypes.c_int],
)
def gemm(handle, opa, opb, m, n, k, alpha, a, type_a, lda, b, type_b, ldb, beta, c, type_c, ldc):
    if handle != 77 or {type_a, type_b, type_c} != {2}:  # CUDA_R_16F
        return 1
    result = column_major(c, m, n, ldc)
    product = column_major(a, m, k, lda, opa) @ column_major(b, k, n, ldb, opb)
    result[:] = alpha[0] * product + beta[0] * result
    return 0


@pytest.mark.skipif(torch.version.cuda is not None, reason="torch has a cuBLAS of its own")
def test_matrices_of_halves_are_multiplied_by_cublas(build, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "9.0")
    monkeypatch.setitem(cuda_state.ANSWERS, "blas_handle", lambda _: 77)
    (tmp_path / "cublas.c").write_text(CUBLAS)
    library = tmp_path / "libcublas.so"
    command = [*toolchain.c_compiler().command, "-shared", "-fPIC", "-o", library]
    subprocess.run([*command, tmp_path / "cublas.c"], check=True)
    cublas = ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)
    ctypes.c_void_p.in_dll(cublas, "computed").value = ctypes.cast(gemm, ctypes.c_void_p).value
    header = re.search(r"void hgemm\([^)]*\)", HGEMM)[0] + ";"
    for suffix in (".c", ".cu") if toolkit.nvcc() else (".c",):
        hgemm = build(header, HGEMM, suffix=suffix, with_cuda=True).hgemm
        for ta, tb in ("nn", "nT", "tn", "Ct"):
            for m, n, k in ((4, 3, 2), (1, 3, 2), (4, 1, 2), (4, 3, 1)):
                # As BLAS stores them, a column a row of torch's; a single column's stride says nothing.
                stored = [(k, m) if ta == "n" else (m, k), (n, k) if tb == "n" else (k, n), (n, m)]
                a, b, c = (torch.randint(-3, 4, (r, width + 2)).half() for r, width in stored)
                strides = [1 if r == 1 else width + 2 for r, width in stored]
                want = c.clone()
                views = [x[:, :width] for x, (_, width) in zip((a, b, want), stored, strict=True)]
                left, right = (
                    views[0].T if ta == "n" else views[0],
                    views[1].T if tb == "n" else views[1],
                )
                views[2].copy_(1.5 * (left @ right).T - 0.25 * views[2])
                hgemm(a, b, c, ord(ta), ord(tb), m, n, k, *strides)
                assert torch.equal(c, want), (ta, tb, m, n, k)


@pytest.mark.skipif(
    torch.version.cuda is None or torch.cuda.is_available(),
    reason="of a torch with CUDA, without a GPU",
)
def test_the_libraries_that_torch_has_loaded_are_found(build):
    """Newer ones hide them from other libraries. What comes next, torch's handle, says that there is no driver."""
    body = "THCudaBlas_Hgemm(NULL, 'n', 'n', 1, 1, 1, one, &one, 1, &one, 1, one, &one, 1);"
    source = f"#include <THC/THC.h>\nvoid blas(void) {{ THHalf one = TH_float2half(1); {body} }}\n"
    source += "void sparse(void) { THCState_getCurrentSparseHandle(NULL); }\n"
    module = build(None, source, with_cuda=True)
    for function in (module.blas, module.sparse):
        with pytest.raises(torch.FatalError, match="(?i)nvidia"):
            function()


# --------------------------------------------------------------------------------------- on a GPU

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU for torch")

STATE = """
#include <THC/THC.h>
extern THCState *state;
/* cuBLAS has columns where tensors have rows: r' = b' a' */
void gemm(THCudaTensor *r, THCudaTensor *a, THCudaTensor *b) {
  const int64_t m = a->size[0], k = a->size[1], n = b->size[1];
  THCudaTensor_resize2d(state, r, m, n);
  THCudaBlas_Sgemm(state, 'n', 'n', n, m, k, 1, THCudaTensor_data(state, b), n, THCudaTensor_data(state, a), k, 0,
                   THCudaTensor_data(state, r), n);
}
void hgemm(THCudaHalfTensor *r, THCudaHalfTensor *a, THCudaHalfTensor *b) {
  const int64_t m = a->size[0], k = a->size[1], n = b->size[1];
  THCudaHalfTensor_resize2d(state, r, m, n);
  THCudaBlas_Hgemm(state, 'n', 'n', n, m, k, TH_float2half(1), (THHalf *)THCudaHalfTensor_data(state, b), n,
                   (THHalf *)THCudaHalfTensor_data(state, a), k, TH_float2half(0),
                   (THHalf *)THCudaHalfTensor_data(state, r), n);
}
double dot(THCudaTensor *a, THCudaTensor *b) {
  return THCudaBlas_Sdot(state, THCudaTensor_nElement(state, a), THCudaTensor_data(state, a), 1,
                         THCudaTensor_data(state, b), 1);
}
int handles(void) {
  const cusparseHandle_t sparse = THCState_getCurrentSparseHandle(state);
  const int same = sparse && sparse == THCState_getCurrentSparseHandle(state);
  const int scratch = THCState_getCurrentDeviceScratchSpace(state) != NULL;
  return same + 10 * scratch + 100 * (THCState_getCurrentBlasHandle(state) != NULL);
}
int own_stream(THCudaTensor *t) {
  THCStream *before = THCState_getStream(state), *own = THCStream_new(0);
  THCState_setStream(state, own);
  const int set = THCState_getCurrentStream(state) == THCStream_stream(own);
  THCudaTensor_fill(state, t, 4);
  THCState_setStream(state, before);
  THCStream_free(own);
  return set + 10 * (THCState_getCurrentStream(state) == THCStream_stream(before)) +
         100 * (THCStream_stream(own) != THCStream_stream(before));
}
void random_numbers(THCudaTensor *t, int seed) {
  THCRandom_manualSeed(state, seed);
  THCudaTensor_uniform(state, t, 0, 1);
}
int devices(THCudaTensor *t) {
  size_t free_bytes = 0, total = 0;
  THCudaMemGetInfo(state, &free_bytes, &total);
  return THCState_getNumDevices(state) + 100 * THCudaTensor_getDevice(state, t) +
         1000 * (free_bytes > 0 && free_bytes <= total);
}
/* A tensor made here, grown, with what it held before. */
THCudaTensor *kept_across(THCudaTensor *t, int rows) {
  THCudaTensor *result = THCudaTensor_newClone(state, t);
  THCudaTensor_resize2d(state, result, rows, t->size[1]);
  return result;
}
"""


@pytest.fixture(scope="module")
def gpu_maths(build_once):
    """HEADER's functions for CUDA tensors. Those that leave the elements to THC take records of either kind."""
    cuda_names = {"Float": "Cuda", "Long": "CudaLong", "Byte": "CudaByte", "Int": "CudaInt"}
    header = re.sub(
        r"TH(Float|Long|Byte|Int)Tensor \*",
        lambda match: f"TH{cuda_names[match[1]]}Tensor *",
        HEADER,
    )
    with pytest.warns(UserWarning, match="a call hands over other values"):
        return build_once(header, SOURCE, with_cuda=True)


@pytest.fixture(scope="module")
def gpu_state(build_once):
    return build_once(None, STATE, with_cuda=True)


@needs_gpu
@pytest.mark.parametrize(("which", "want", "index"), CASES)
def test_gpu_maths(gpu_maths, which, want, index):
    index = torch.LongTensor() if index is None else index
    for left, right in ((a, b), (a.t().contiguous().t(), b.t().contiguous().t())):
        r = ones.cuda()
        gpu_maths.run(r, left.cuda(), right.cuda(), index.cuda(), where.cuda(), which)
        assert r.is_cuda
        torch.testing.assert_close(r.cpu(), want)


@needs_gpu
def test_gpu_numbers_and_storages(gpu_maths):
    for which, want in ((0, a.sum()), (1, (a * b).sum()), (2, a.max()), (5, 1), (6, a[1, 2])):
        found = gpu_maths.number(a.cuda(), b.cuda(), which)
        assert found == pytest.approx(float(want), rel=1e-5)
    x, y, r = torch.tensor([7, -7, 9]).int(), torch.tensor([2, 2, -4]).int(), torch.zeros(3).int()
    r = r.cuda()
    gpu_maths.integers(r, x.cuda(), y.cuda(), 0)
    assert r.tolist() == [3, -3, -2]
    source, r = torch.tensor([1.75, -2.5, 300.0]).cuda(), torch.zeros(3).cuda()
    gpu_maths.storages(r, source)
    assert r.tolist() == [1.0, -2.0, 300.0] and source.tolist() == r.tolist()
    assert gpu_maths.logical(torch.tensor([1, 0]).byte().cuda()) == 10
    gpu_maths.fresh()


@needs_gpu
def test_gpu_libraries_and_state(gpu_state):
    x, y, r = torch.rand(3, 5).cuda(), torch.rand(5, 4).cuda(), torch.empty(0).cuda()
    gpu_state.gemm(r, x, y)
    torch.testing.assert_close(r, x @ y)
    halves = torch.empty(0).half().cuda()
    gpu_state.hgemm(halves, x.half(), y.half())
    torch.testing.assert_close(halves, x.half() @ y.half())
    assert gpu_state.dot(x, x) == pytest.approx(float((x * x).sum()), rel=1e-5)
    assert gpu_state.handles() == 111
    assert gpu_state.devices(x) == 1000 + torch.cuda.device_count()
    for stream in (torch.cuda.default_stream(), torch.cuda.Stream()):
        with torch.cuda.stream(stream):
            assert gpu_state.own_stream(x) == 111
            assert torch.cuda.current_stream() == stream
    torch.cuda.synchronize()
    assert x.eq(4).all()
    gpu_state.random_numbers(x, 5)
    torch.cuda.manual_seed(5)
    assert torch.equal(x, torch.empty_like(x).uniform_(0, 1))
    grown = gpu_state.kept_across(y, 9)
    assert grown.is_cuda and grown.shape == (9, 4) and torch.equal(grown[:5], y)


@needs_gpu
def test_gpu_pinned_memory(thc):
    out, pinned = torch.LongTensor(), torch.FloatTensor()
    thc.state_of(out, pinned, 5)
    assert pinned.is_pinned() and pinned.tolist() == [2.0, 2.0, 2.0]
    del pinned
    gc.collect()
    assert cuda_state._PINNED == {}
