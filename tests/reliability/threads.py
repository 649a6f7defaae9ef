"""Threads that make, keep, resize and drop records at once: what `make tsan` runs under ThreadSanitizer."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import ModuleType

import numpy as np
import torch

from ffi_ext import NativeError, load_inline
from tests.reliability import children

HEADER = """
struct pair { double x, y; };
float first(const THFloatTensor *t);
void grow(THFloatTensor *t, long n);
THFloatTensor *fresh(long n);
THFloatTensor *row(THFloatTensor *t);
void fail(void);
void share(THFloatTensor *t);
void keep(THFloatTensor *t);
void reshape_kept(long times);
void let_go(void);
void let_go_later(void);
THFloatTensor *latest(long round);
THFloatStorage *latest_storage(void);
double norm(const struct pair *of);
float total(const ffi_ext_tensor *t);
void race(void);
"""
SOURCE = """#include <TH/TH.h>
#include <ffi_ext.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>
struct pair { double x, y; };
static THFloatTensor *shared;
static __thread THFloatTensor *kept;
float first(const THFloatTensor *t) {
  float sum = 0; /* C reads the record for a while, without the GIL */
  for (int i = 0; i < 50; i++)
    sum += t->storage->data[t->storageOffset] * t->size[0] / t->size[0] * t->nDimension;
  return sum / 50;
}
void grow(THFloatTensor *t, long n) { THFloatTensor_resize1d(t, n); THFloatTensor_fill(t, 1); }
THFloatTensor *fresh(long n) {
  THFloatTensor *t = THFloatTensor_newWithSize1d(n);
  THFloatTensor_fill(t, 3);
  return t;
}
THFloatTensor *row(THFloatTensor *t) { return THFloatTensor_newSelect(t, 0, 0); }
void fail(void) { THError("as asked"); }
void share(THFloatTensor *t) { THFloatTensor_retain(t); shared = t; }
void keep(THFloatTensor *t) { THFloatTensor_retain(t); kept = t; }
void reshape_kept(long times) {
  for (long i = 0; i < times; i++) THFloatTensor_resize2d(kept, i % 2 ? 6 : 2, i % 2 ? 1 : 3);
}
void let_go(void) { THFloatTensor_free(kept); kept = NULL; }
void let_go_later(void) {
  struct timespec pause = {0, 100000};
  nanosleep(&pause, NULL);
  let_go();
}
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static THFloatTensor *made; /* in the round `made_in` */
static long made_in = -1;
THFloatTensor *latest(long round) {
  pthread_mutex_lock(&lock);
  if (round > made_in) {
    if (made) THFloatTensor_free(made);
    made = THFloatTensor_newWithSize1d(4);
    THFloatTensor_fill(made, made_in = round);
  }
  THFloatTensor *t = made;
  THFloatTensor_retain(t);
  pthread_mutex_unlock(&lock);
  return t;
}
THFloatStorage *latest_storage(void) {
  pthread_mutex_lock(&lock);
  THFloatStorage *s = made->storage;
  THFloatStorage_retain(s);
  pthread_mutex_unlock(&lock);
  return s;
}
double norm(const struct pair *of) { return of->x * of->x + of->y * of->y; }
float total(const ffi_ext_tensor *t) {
  float sum = 0;
  for (int64_t i = 0; i < t->numel; i++) sum += ((const float *)t->data)[i];
  return sum;
}
void race(void) { /* the control: of two threads, once both are here, a race that must be found */
  static int here;
  static long count;
  __atomic_add_fetch(&here, 1, __ATOMIC_RELAXED);
  while (__atomic_load_n(&here, __ATOMIC_RELAXED) < 2) sched_yield();
  count++;
}
"""


def one_round(lib: ModuleType, number: int, shared: torch.Tensor) -> None:
    t = lib.fresh(1 + number % 50)
    lib.grow(t, 100)
    assert lib.first(t) == 1.0
    assert lib.row(torch.ones(3, 3)).shape == (3,)
    with suppress(NativeError):
        lib.fail()
    assert lib.total(torch.ones(5)) == lib.total(np.ones(5, dtype=np.float32)) == 5.0
    # A record that C kept, which every thread passes and reads.
    assert lib.first(shared) == 2.0 * shared.dim()
    # One that C made and goes on with, which several threads are given at once.
    made = lib.latest(number)
    assert made.tolist() == [number] * 4, made
    assert lib.latest_storage().nbytes() == 16
    assert lib.total(made) == 4 * number
    # One that this thread's C resizes while the calls of others end.
    own = torch.ones(6)
    lib.keep(own)
    lib.reshape_kept(2 * (number % 40) + 1)
    assert own.shape == (2, 3), own.shape
    lib.let_go()
    # The lists of what C keeps grow with the GIL and shrink without it, in the midst of other threads' calls.
    for _ in range(10):
        lib.keep(torch.ones(6))
        assert lib.first(shared) == 2.0 * shared.dim()
        lib.let_go_later()


def main(threads: int, rounds: int, control: int) -> int:
    lib = load_inline("threads", SOURCE, HEADER)
    if control:
        with ThreadPoolExecutor(2) as running:
            running.submit(lib.race)
            running.submit(lib.race)
        return 0  # the sanitizer makes another status of it
    shared = torch.full((3, 3), 2.0)
    lib.share(shared)
    failures: list[str] = []

    def reshape() -> None:
        """The records of what C kept are brought up to date by the calls that all threads begin now."""
        shared.resize_((3, 3) if shared.dim() > 2 else (1,) * 8 + (3, 3))

    together = threading.Barrier(threads, reshape)

    def work() -> None:
        try:
            for number in range(rounds):
                together.wait()
                assert lib.norm([{"x": 3, "y": 4}]) == 25  # at first: cffi's types are looked up
                one_round(lib, number, shared)
        except Exception as error:
            failures.append(repr(error))
            together.abort()

    with ThreadPoolExecutor(threads) as running:
        for _ in range(threads):
            running.submit(work)
    return children.finish("threads", {"threads": threads, "rounds": rounds}, failures)


if __name__ == "__main__":
    options = children.arguments(__doc__ or "", threads=8, rounds=100, control=0)
    sys.exit(main(options.threads, options.rounds, options.control))
