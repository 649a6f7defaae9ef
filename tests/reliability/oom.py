"""Memory that runs out: each allocation of a call fails in turn; MemoryError or an error of torch's, never a crash."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.binaries import FREE_THREADED
from tests.reliability import children

HEADER = """
float first(const THFloatTensor *t);
void grow(THFloatTensor *t, long n);
THFloatTensor *fresh(long n);
THFloatTensor *same(THFloatTensor *t);
void keep(THFloatTensor *t);
void let_go(void);
void fail(void);
int dimensions(const THFloatTensor *t);
THFloatStorage *storage(long n);
void add(THFloatTensor *r, THFloatTensor *a, THFloatTensor *b);
void summed(THFloatTensor *r, THFloatTensor *a);
double total(const double *values, int n);
"""
SOURCE = """
#include <TH/TH.h>
static THFloatTensor *kept;
float first(const THFloatTensor *t) { return THFloatTensor_data(t)[0]; }
void grow(THFloatTensor *t, long n) { THFloatTensor_resize1d(t, n); THFloatTensor_fill(t, 1); }
THFloatTensor *fresh(long n) {
  THFloatTensor *t = THFloatTensor_newWithSize1d(n);
  THFloatTensor_fill(t, 3);
  return t;
}
THFloatTensor *same(THFloatTensor *t) { return THFloatTensor_newSelect(t, 0, 0); }
void let_go(void) { if (kept) THFloatTensor_free(kept); kept = 0; }
void keep(THFloatTensor *t) { let_go(); THFloatTensor_retain(t); kept = t; }
void fail(void) { THError("as asked"); }
int dimensions(const THFloatTensor *t) { return t->nDimension; }
THFloatStorage *storage(long n) { return THFloatStorage_newWithSize(n); }
void add(THFloatTensor *r, THFloatTensor *a, THFloatTensor *b) { THFloatTensor_cadd(r, a, 2, b); }
void summed(THFloatTensor *r, THFloatTensor *a) { THFloatTensor_sum(r, a, 0, 1); }
double total(const double *values, int n) {
  double sum = 0;
  for (int i = 0; i < n; i++) sum += values[i];
  return sum;
}
"""
# KNOWN: torch.from_numpy ends the process where std::bad_alloc meets a function of its own that must not
# throw (c10::InefficientStdFunctionContext::makeDataPtr).

# What may come of a call: memory errors of Python, of TH and of torch, in their classes.
EXPECTED = ("MemoryError", "NativeError", "RuntimeError", "OutOfMemoryError")


def calls(lib: Any) -> dict[str, Callable[[], Any]]:
    """Each road through the runtime that allocates."""
    import numpy as np
    import torch

    t, deep, grad = torch.ones(4), torch.ones([1] * 12), torch.ones(3, requires_grad=True) * 1
    array = np.ones(3, dtype=np.float32)
    return {
        "tensor": lambda: lib.first(t),
        "many dimensions": lambda: lib.dimensions(deep),
        "requires grad": lambda: lib.grow(grad.detach(), 3),
        "numpy": lambda: lib.first(array),
        "grow": lambda: lib.grow(torch.ones(1), 100_000),
        "result": lambda: lib.fresh(10),
        "view": lambda: lib.same(torch.ones(3, 3)),
        "keep": lambda: (lib.keep(torch.ones(2)), lib.let_go()),
        "error in C": lambda: lib.fail(),
        "storage result": lambda: lib.storage(10),
        "pointwise": lambda: lib.add(torch.ones(0), t, t),
        "torch's": lambda: lib.summed(torch.ones(0), torch.ones(3, 3)),
        "list": lambda: lib.total([1.0, 2.0], 2),
        "wrong type": lambda: lib.first(t.double()),
        "keyword": lambda: lib.first(t=t),
    }


def one(lib: Any, shim: Any, call: Callable[[], Any], number: int) -> tuple[int, str]:
    """The call with its number-th allocation failing. How many there were, and the error's class."""
    failure: Exception | None = None
    shim.oom_arm(number)
    try:
        call()
    except Exception as caught:
        failure = caught
    while True:
        try:
            seen = shim.oom_disarm()
            break
        except MemoryError:  # the allocation was this one's
            continue
    error = type(failure).__name__ if failure else ""
    if error == "SystemError" and "ffi_ext" not in str(failure):
        error = "MemoryError"  # torch and CPython forget to set one here and there
    return seen, error


def python_level(
    lib: Any, ways: dict[str, Callable[[], Any]], most: int, failures: list[str]
) -> int:
    """The same with Python's own allocations, by CPython's test module where it is there."""
    try:
        import _testcapi
    except ImportError:
        return 0
    failed = 0
    for name, call in ways.items():
        for number in range(most):
            outcome = children.run(lambda: call_without_memory(_testcapi, call, number), 20)  # noqa: B023
            if not outcome.fine:
                failures.append(f"{name}, Python's allocation {number}: {outcome}")
            failed += outcome.value == "MemoryError"
            if outcome.value == "none":
                break
    return failed


def call_without_memory(testcapi: Any, call: Callable[[], Any], number: int) -> str:
    """The class of the error, "none" where there was none."""
    answer = "none"
    testcapi.set_nomemory(number, number + 1)
    try:
        call()
    except Exception as error:
        testcapi.remove_mem_hooks()
        answer = type(error).__name__
    testcapi.remove_mem_hooks()
    return answer


def inside(most: int) -> int:
    """In the process that has the shim."""
    import importlib

    sys.path.insert(0, os.getcwd())
    lib = importlib.import_module("oom.lib")
    shim = ctypes.CDLL(os.environ["LD_PRELOAD"])
    shim.oom_arm.restype = None
    shim.oom_disarm.restype = ctypes.c_long
    shim.oom_arm.argtypes = [ctypes.c_long]
    ways = calls(lib)
    failures: list[str] = []
    failed = 0
    for name, call in ways.items():
        usual = one(lib, shim, call, 1 << 40)[1]  # the first call sets things up
        for number in range(1, most + 1):

            def work(call=call, number=number, usual=usual) -> tuple[int, str]:  # type: ignore[no-untyped-def]
                answer = one(lib, shim, call, number)
                again = one(lib, shim, call, 1 << 40)[1]  # afterwards all is well
                return answer if again == usual else (0, f"afterwards {again}")

            outcome = children.run(work, 20)
            if not outcome.fine:
                if not (name == "numpy" and outcome.signal == signal.SIGABRT):  # see KNOWN
                    failures.append(f"{name}, allocation {number}: {outcome}")
                continue
            seen, error = outcome.value
            if error not in (*EXPECTED, usual, ""):
                failures.append(f"{name}, allocation {number}: {error}")
            if seen > 0:
                break  # there were fewer
            failed += 1
    python = python_level(lib, ways, most, failures)
    report = {"ways": len(ways), "failed_allocations": failed, "failed_in_python": python}
    return children.finish("oom", report, failures)


def main(most: int) -> int:
    """Builds the shim and the extension, and starts the process that has it preloaded."""
    from ffi_ext import create_extension

    home = Path(tempfile.mkdtemp(prefix="oom-"))
    try:
        shim = home / "oom.so"
        source = Path(__file__).with_name("oom.c")
        subprocess.run(
            [shutil.which("gcc") or "cc", "-O1", "-shared", "-fPIC", "-o", str(shim), str(source)],
            check=True,
        )
        (home / "lib.h").write_text(HEADER)
        (home / "lib.c").write_text(SOURCE)
        create_extension(
            "oom.lib", ["lib.h"], ["lib.c"], relative_to=str(home / "build.py"), verbose=False
        ).build()
        environment = os.environ | {
            "LD_PRELOAD": str(shim),
            "PYTHONPATH": os.getcwd(),
            # All that Python takes counts, too; a free-threaded one's allocator cannot be replaced.
            **({} if FREE_THREADED else {"PYTHONMALLOC": "malloc"}),
        }
        command = [
            sys.executable,
            "-m",
            "tests.reliability.oom",
            "--most",
            str(most),
            "--inside",
            "1",
        ]
        return subprocess.run(command, cwd=home, env=environment, check=False).returncode
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    options = children.arguments(__doc__ or "", most=400, inside=0)
    sys.exit(inside(options.most) if options.inside else main(options.most))
