"""Calls under attack: random prototypes with right and wrong values, re-entrance, signals, memory that runs out."""

from __future__ import annotations

import random
import signal
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.torch_version import TorchVersion

from ffi_ext import NativeError
from tests.processes import python
from tests.reliability import attack, prototypes
from tests.test_reliability_build import harness


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    r = random.Random(20)
    made = prototypes.functions(60, r)
    return attack.Attack(attack.build(made, tmp_path_factory.mktemp("attack")), made, r)


@settings(
    max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.randoms(use_true_random=False))
def test_a_call_gives_what_a_model_gives_or_the_exception_that_is_defined(attacked, r):
    attacked.once(r)


def test_some_thousand_calls_leave_references_and_memory_as_they_were():
    report = harness("attack", "--calls", 20_000, "--functions", 60)
    assert report["calls"] >= 20_000 and report["kinds"]["wrong values"] > 4000


SOURCE = """
#include <TH/TH.h>
#include <time.h>
int apply(int (*callback)(int), int n) { return callback(n) + 1; }
float first(const THFloatTensor *t, int extra) { return THFloatTensor_data(t)[0] + extra; }
void fail(THFloatTensor *t) { THFloatTensor_resize1d(t, 4); THError("as asked"); }
void nap(int milliseconds) {
  struct timespec pause = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
  nanosleep(&pause, 0);
}
"""


@pytest.fixture(scope="module")
def lib(build_once):
    return build_once(None, SOURCE)


def test_c_calls_python_calls_c(lib):
    t = torch.ones(3)

    def callback(n: int) -> int:
        with pytest.raises(NativeError, match="as asked"):
            lib.fail(torch.zeros(1))
        assert lib.first(t, n) == 1 + n
        return lib.apply(pointer, n - 1) if n else 0

    pointer = lib._ffi.callback("int(int)", callback)
    assert lib.apply(pointer, 20) == 21
    assert lib.first(t, 1) == 2


def test_endless_recursion_through_c_is_an_error_of_python(lib):
    code = textwrap.dedent(
        f"""
        import threading
        import {lib.__name__} as lib
        deepest = 0
        def callback(n):
            global deepest
            deepest = max(deepest, n)
            return lib.apply(pointer, n + 1)
        pointer = lib._ffi.callback("int(int)", callback, error=-1, onerror=lambda *e: None)
        lib.apply(pointer, 0)
        thread = threading.Thread(target=lib.apply, args=(pointer, 0))
        thread.start()
        thread.join()
        print(deepest)
        """
    )
    done = python("-c", code, cwd=Path(lib.__file__).parents[2])
    assert done.returncode == 0, (done.returncode, done.stderr[-500:])
    assert 20 < int(done.stdout) < 1000


def test_an_argument_whose_conversion_changes_an_earlier_one(lib):
    """C must not see memory that Python code freed while the other arguments were converted."""

    class Evil:
        def __init__(self, action):
            self.action = action

        def __index__(self):
            self.action()
            return 1

    for _ in range(20):
        t = torch.full((100_000,), 7.0)
        result = None
        try:
            result = lib.first(t, Evil(lambda t=t: t.set_(torch.full((2,), 3.0))))
        except RuntimeError as error:
            assert "changed" in str(error)
        assert result in (None, 4.0)


def test_errors_while_other_threads_are_in_c(lib):
    stop = time.monotonic() + 0.5

    def napping():
        while time.monotonic() < stop:
            lib.nap(1)

    def failing():
        while time.monotonic() < stop:
            t = torch.zeros(1)
            with pytest.raises(NativeError, match="as asked"):
                lib.fail(t)
            assert t.shape == (4,)
            with pytest.raises(TypeError):
                lib.first(t.double(), 1)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda work: work(), (napping, failing) * 4))


def test_calls_in_generators_and_under_signals(lib):
    class Alarm(Exception):
        pass

    def ring(*_):
        raise Alarm

    def numbers(t):
        try:
            while True:
                yield lib.first(t, 0)
        finally:
            lib.first(t, 0)

    generator = numbers(torch.full((2,), 5.0))
    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        started = time.monotonic()
        with pytest.raises(Alarm):
            lib.nap(100)
            next(generator)
            next(generator)
        assert time.monotonic() - started < 5
        rung = 0
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        for _ in range(20000):
            try:
                assert next(generator) == 5.0
            except (Alarm, StopIteration) as error:
                rung += isinstance(error, Alarm)
                generator = numbers(torch.full((2,), 5.0))
    except Alarm:
        rung = 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert rung > 0
    assert lib.first(torch.full((2,), 6.0), 0) == 6.0


def test_a_read_only_array_costs_no_reference_on_none(lib):
    array = np.ones(3, dtype=np.float32)
    array.flags.writeable = False
    lib.first(array, 0)
    before = sys.getrefcount(None)
    for _ in range(2000):
        lib.first(array, 0)
    assert abs(sys.getrefcount(None) - before) < 200


def test_numbers_too_long_to_write_out_are_refused_by_name(lib):
    with pytest.raises(OverflowError, match="argument 2 'extra': integer of .* bits"):
        lib.first(torch.ones(1), 10**5000)
    with pytest.raises(TypeError, match="argument 1 't'"):
        lib.first(10**5000, 1)


@pytest.mark.skipif(
    TorchVersion(torch.__version__) < "2.5",
    reason="torch 2.4 ends the process, or names no device, where memory runs out",
)
def test_memory_that_runs_out_anywhere_in_a_call():
    report = harness("oom", "--most", 40)
    assert report["failed_allocations"] > 100
