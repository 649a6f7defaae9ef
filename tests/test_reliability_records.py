"""Records in wrong hands: C that keeps, leaks, frees too often; threads that end; forks; small stacks."""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from ffi_ext import NativeError, load_inline
from tests.processes import forks
from tests.reliability import children, ways

SOURCE = """
#include <TH/TH.h>
static THFloatTensor *kept[2000];
static int count;
static THFloatStorage *kept_storage;
void keep(THFloatTensor *t) { THFloatTensor_retain(t); kept[count++] = t; }
void let_go(void) { while (count) THFloatTensor_free(kept[--count]); }
float kept_first(void) { return THFloatTensor_data(kept[count - 1])[0]; }
/* Each is looked for, under the lock, among all that are kept, of which it is the last. */
void let_go_from_the_first(void) {
  for (int i = 0; i < count; i++) THFloatTensor_free(kept[i]);
  count = 0;
}
void leak(THFloatTensor *t) { THFloatTensor_retain(t); }
void free_it(THFloatTensor *t, int times) { while (times--) THFloatTensor_free(t); }
void free_storage(THFloatTensor *t, int times) { while (times--) THFloatStorage_free(t->storage); }
void free_own_twice(void) {
  THFloatTensor *t = THFloatTensor_newWithSize1d(3);
  THFloatTensor_free(t);
  THFloatTensor_free(t);
}
THFloatTensor *freed(void) {
  THFloatTensor *t = THFloatTensor_newWithSize1d(3);
  THFloatTensor_free(t);
  return t;
}
THFloatStorage *freed_storage(void) {
  THFloatStorage *s = THFloatStorage_newWithSize(3);
  THFloatStorage_free(s);
  return s;
}
void keep_storage(THFloatTensor *t) { kept_storage = t->storage; THFloatStorage_retain(kept_storage); }
void let_go_storage(void) { THFloatStorage_free(kept_storage); }
float first(const THFloatTensor *t) { return THFloatTensor_data(t)[0]; }
float two(const THFloatTensor *a, const THFloatTensor *b) {
  return THFloatTensor_data(a)[0] + 10 * THFloatTensor_data(b)[0];
}
int apply(int (*callback)(int), int n, THFloatTensor *t) { return callback(n) + (int)t->size[0]; }
int64_t kept_data(void) { return (int64_t)kept_storage->data; }
int is_kept_storage(THFloatTensor *t) { return t->storage == kept_storage; }
void swap_with_kept(THFloatTensor *t) { THFloatStorage_swap(kept_storage, t->storage); }
void grow(THFloatTensor *t, int64_t n) { THFloatTensor_resize1d(t, n); }
void grow_two(THFloatTensor *a, THFloatTensor *b, int64_t n) { grow(a, n); grow(b, n); }
void grow_int(THIntTensor *t, int64_t n) { THIntTensor_resize1d(t, n); }
void grow_one(int of_ints, THFloatTensor *a, THIntTensor *b, int64_t n) {
  if (of_ints) grow_int(b, n); else grow(a, n);
}
THFloatTensor *emptied(void) {
  THFloatTensor *t = THFloatTensor_newWithSize1d(3);
  THFloatTensor_resize1d(t, 0);
  return t;
}
THFloatTensor *made_beside_a_kept_view(void) {
  THFloatTensor *t = THFloatTensor_newWithSize1d(3);
  THFloatTensor_fill(t, 7);
  kept[count++] = THFloatTensor_newWithTensor(t);
  return t;
}
THFloatTensor *made_and_kept(void) {
  THFloatTensor *t = THFloatTensor_newWithSize1d(3);
  THFloatTensor_fill(t, 7);
  keep(t);
  return t;
}
static THFloatStorage *own;
THFloatTensor *foreign(void) {
  own = THFloatStorage_newWithData(THAlloc(4 * sizeof(float)), 4);
  THFloatStorage_fill(own, 2);
  return THFloatTensor_newWithStorage1d(own, 0, 4, 1);
}
THFloatStorage *foreign_storage(void) {
  THFloatTensor_free(foreign());
  THFloatStorage_retain(own);
  return own;
}
THFloatStorage *freed_and_returned(THFloatTensor *t) {
  THFloatStorage_free(t->storage);
  return t->storage;
}
void grow_foreign(int64_t n) { THFloatStorage_resize(own, n); }
void resize_own(int64_t n) {
  static THFloatStorage *s;
  if (!s) s = THFloatStorage_newWithData(THAlloc(sizeof(float)), 1);
  THFloatStorage_resize(s, n);
}
void make_own(int64_t n) { THFloatStorage_newWithAllocator(n, &THDefaultAllocator, NULL); }
"""


@pytest.fixture(scope="module")
def lib(build_once):
    return build_once(None, SOURCE)


def still_works(lib) -> None:
    """Two arguments, in many calls: a record that lies in the pool twice would be both."""
    for i in range(100):
        assert lib.two(torch.full((3,), 1.0 + i), torch.full((2, 2), 2.0)) == 21.0 + i


def test_what_c_keeps_lives_until_c_lets_go(lib):
    t = torch.full((3,), 5.0)
    lib.keep(t)
    del t
    gc.collect()
    torch.zeros(3)  # takes the memory, had it been given back
    assert lib.kept_first() == 5.0
    lib.let_go()
    before = children.allocated_bytes()
    for _ in range(300):
        lib.keep(torch.ones(100_000))
        lib.let_go()
    assert children.allocated_bytes() - before < 1e6  # of 120
    still_works(lib)


def test_what_c_leaks_stays_and_nothing_else_suffers(lib):
    t = torch.full((3,), 5.0)
    for _ in range(1000):
        lib.leak(t)  # one record with a thousand references
    assert lib.first(t) == 5.0
    t.fill_(6)
    assert lib.first(t) == 6.0
    before = children.allocated_bytes()
    held = torch.ones(1_000_000)
    if children.allocated_bytes() - before < held.nbytes:
        pytest.skip("this torch does not take its memory from malloc, which counts it")
    del held
    before = children.allocated_bytes()
    for _ in range(50):
        lib.leak(torch.full((100_000,), 1.0))  # 400 kilobytes each, held for ever
    assert 20e6 <= children.allocated_bytes() - before < 21e6
    still_works(lib)


@pytest.mark.parametrize("times", [1, 2, 5])
@pytest.mark.parametrize("what", ["tensor", "storage"])
def test_an_argument_that_c_frees_without_a_reference(lib, what, times):
    """Once, as FlowNet2's correlation does, changes nothing; more is refused."""
    t = torch.full((3,), 5.0)
    free = lib.free_it if what == "tensor" else lib.free_storage
    for _ in range(50):
        if times == 1:
            free(t, 1)
        else:
            with pytest.raises(NativeError, match=f"{what} was freed once too often"):
                free(t, times)
        assert lib.first(t) == 5.0 and t.tolist() == [5.0] * 3
    still_works(lib)


def test_an_arguments_storage_that_c_frees_and_returns(lib):
    t = torch.full((3,), 5.0)
    for _ in range(50):
        assert lib.freed_and_returned(t).tolist() == [5.0] * 3
    still_works(lib)


def test_an_argument_that_c_kept_may_be_freed_once(lib):
    t = torch.full((3,), 5.0)
    lib.leak(t)
    lib.free_it(t, 1)  # what `leak` took
    with pytest.raises(NativeError, match="freed once too often"):
        lib.free_it(t, 2)
    lib.leak(t)
    lib.leak(t)
    with pytest.raises(NativeError, match="freed once too often"):
        lib.free_it(t, 4)
    assert lib.first(t) == 5.0
    still_works(lib)


def test_a_storage_that_c_keeps(lib):
    t = torch.full((3,), 5.0)
    for _ in range(20):
        lib.keep_storage(t)
        assert lib.first(t) == 5.0
        lib.let_go_storage()
    still_works(lib)


def test_what_c_made_and_freed_twice(lib):
    with pytest.raises(NativeError, match="freed once too often"):
        lib.free_own_twice()
    still_works(lib)


@pytest.mark.parametrize("name", ["freed", "freed_storage"])
def test_a_result_that_c_has_freed(lib, name):
    with pytest.raises(RuntimeError, match="returned a record that it had freed"):
        getattr(lib, name)()
    still_works(lib)


def test_no_way_of_a_call_leaves_anything_behind():
    """A block of Python's, a byte of malloc's, a reference on what was passed."""
    lib = load_inline("ways", ways.SOURCE, ways.HEADER)
    gc.collect()
    gc.freeze()  # what is there already: each collection is quick
    try:
        for name, call in ways.calls(lib).items():
            passed = [cell.cell_contents for cell in call.__closure__]

            def hundred(call=call) -> None:
                for _ in range(100):
                    with contextlib.suppress(TypeError, ValueError, NativeError):
                        call()

            hundred()
            before = [*map(sys.getrefcount, passed)]
            children.refuse_growth(hundred, name)
            assert [*map(sys.getrefcount, passed)] == before, name
    finally:
        gc.unfreeze()


def test_threads_that_end_give_their_records_back(lib):
    """A pool that stayed would be some 600 bytes of tensors and 900 of storages a thread."""

    def work() -> None:
        tensors = [torch.ones(2) for _ in range(8)]
        for t in tensors:
            lib.two(t, tensors[0])

    def hundred() -> None:
        for _ in range(100):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()

    children.refuse_growth(hundred, "a hundred threads")


def test_a_child_forked_while_a_thread_of_c_has_the_lock(lib):
    """Each child passes a kept tensor, for which it needs the lock that the other thread takes all the time."""
    kept = torch.zeros(1)
    for _ in range(12):
        tensors = [torch.full((1,), float(i)) for i in range(1999)]
        for t in (*tensors, kept):
            lib.keep(t)
        thread = threading.Thread(target=lib.let_go_from_the_first)
        thread.start()
        outcome = children.run(lambda: lib.first(kept), 5)
        thread.join()
        assert outcome.fine and outcome.value == 0.0, outcome


STACK = """
deepest = 0
def callback(n):
    global deepest
    deepest = max(deepest, n)
    return lib.apply(pointer, n + 1, t) if n < {depth} else 0
pointer = lib._ffi.callback("int(int)", callback, error=-1, onerror=lambda *e: None)
threading.stack_size({size})
thread = threading.Thread(target=lib.apply, args=(pointer, 0, t))
thread.start()
thread.join()
print(deepest)
"""


def test_nested_calls_on_small_stacks(lib):
    setup = f"import threading, torch, {lib.__name__} as lib\nt = torch.ones(3)\nlib.first(t)\n"
    depths = {128: 1, 1024: 20, 8192: 1000}  # by kilobytes
    codes = [STACK.format(depth=depth, size=size << 10) for size, depth in depths.items()]
    reached = forks(setup, *codes, cwd=Path(lib.__file__).parents[2])
    for text, depth in zip(reached, depths.values(), strict=True):
        assert int(text) >= min(depth, 90)


def test_what_one_threads_c_resizes_is_left_to_its_call(build):
    """Calls that end meanwhile must not give torch a shape that is half written: 2 x 3 or 6 x 1, never 6 x 3."""
    lib = build(None, RESIZE_SOURCE)
    t = torch.ones(6)
    lib.keep(t)
    thread = threading.Thread(target=lib.resize_while, args=(300,))
    seen = set()
    thread.start()
    while thread.is_alive():
        lib.nothing(torch.ones(1))
        seen.add(tuple(t.shape))
    thread.join()
    assert seen == {(6,)} or seen == {(6,), tuple(t.shape)}, seen
    assert tuple(t.shape) in {(2, 3), (6, 1)}
    lib.let_go()


RESIZE_SOURCE = """
#include <TH/TH.h>
#include <time.h>
static THFloatTensor *kept;
void keep(THFloatTensor *t) { THFloatTensor_retain(t); kept = t; }
void let_go(void) { THFloatTensor_free(kept); }
void nothing(const THFloatTensor *t) { (void)t; }
void resize_while(int milliseconds) {
  struct timespec start, now;
  clock_gettime(CLOCK_MONOTONIC, &start);
  do {
    for (int i = 0; i < 100; i++) THFloatTensor_resize2d(kept, i % 2 ? 6 : 2, i % 2 ? 1 : 3);
    clock_gettime(CLOCK_MONOTONIC, &now);
  } while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < milliseconds);
}
"""


def test_a_kept_storage_is_not_moved_behind_its_back(lib):
    x = torch.arange(4.0)
    lib.keep_storage(x)
    with pytest.raises(NativeError, match="not resizable"):
        lib.grow_int(x.view(torch.int32), 100_000)  # as integers, of which the record knows nothing
    lib.grow(x[:], 100_000)
    assert lib.kept_data() == x.untyped_storage().data_ptr()
    lib.let_go_storage()
    lib.grow_int(x.view(torch.int32), 200_000)
    still_works(lib)


@pytest.mark.parametrize("of_ints", [0, 1])
def test_one_memory_as_two_element_types_is_not_moved(lib, of_ints):
    x = torch.arange(4.0)
    with pytest.raises(NativeError, match="not resizable"):
        lib.grow_one(of_ints, x, x.view(torch.int32), 100_000)
    assert x.tolist() == [0, 1, 2, 3]


def test_swapped_storages_stay_known(lib):
    other, kept, argument = torch.arange(3.0), torch.arange(4.0), torch.arange(5.0)
    lib.keep(other)
    lib.keep_storage(kept)
    lib.swap_with_kept(argument)
    assert lib.is_kept_storage(argument) and not lib.is_kept_storage(kept)
    lib.grow(other[:], 100_000)
    assert lib.kept_first() == 0
    lib.let_go_storage()
    lib.let_go()
    still_works(lib)


def test_a_result_whose_memory_c_keeps_too(lib):
    t = lib.made_beside_a_kept_view()
    t.set_(torch.zeros(5))  # the memory is C's alone now
    others = [torch.full((3,), 9.0) for _ in range(20)]
    assert lib.kept_first() == 7 and len(others) == 20
    lib.let_go()
    view = lib.made_and_kept()[1:]
    lib.grow(view, 100_000)  # which moves it
    others = [torch.full((3,), 9.0) for _ in range(20)]
    assert lib.kept_first() == 7 and len(others) == 20
    lib.let_go()
    assert lib.emptied().shape == (0,)


@pytest.mark.parametrize("name", ["foreign", "foreign_storage"])
def test_memory_of_c_that_torch_has_stays_where_it_is(lib, name):
    t = getattr(lib, name)()
    with pytest.raises(NativeError, match="not resizable"):
        lib.grow_foreign(1 << 22)
    assert t.tolist() == [2, 2, 2, 2]


@pytest.mark.parametrize("size", [2**62 + 1, -1])
def test_sizes_that_no_memory_has(lib, size):
    for function in (lib.resize_own, lib.make_own):
        with pytest.raises(NativeError, match="invalid memory size"):
            function(size)


def test_the_first_of_several_errors_is_told(lib):
    fixed = [torch.from_numpy(np.zeros(0, np.float32)) for _ in range(2)]
    with pytest.raises(RuntimeError, match="resize storage that is not resizable"):
        lib.grow_two(*fixed, 9)
    free = torch.empty(0)
    with pytest.raises(RuntimeError, match="resize storage that is not resizable"):
        lib.grow_two(fixed[0], free, 9)
    assert free.shape == (9,) and fixed[0].shape == (0,)
    still_works(lib)
