"""What a call costs, beside its peers; what it never costs: memory, and the other threads' time."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from peers import EIGHT, Peers
from table import Table, interleaved, wall

HEADER = """\
int add3(const THFloatTensor *a, const THFloatTensor *b, THFloatTensor *out, float scale);
int add8(%s, THFloatTensor *t7, float scale);
int add3_arrays(const ffi_ext_tensor *a, const ffi_ext_tensor *b, ffi_ext_tensor *out, float scale);
int ready(void *a, void *b, void *out, float scale);
struct state { double x; };
struct state *same(struct state *s);
THFloatTensor *make(void);
void shape(THFloatTensor *t, long rows);
double resize_as_ns(THFloatTensor *t, THFloatTensor *other, int rounds);
double resize_ns(THFloatTensor *t, int rounds);
void th_cadd(THFloatTensor *r, THFloatTensor *a, THFloatTensor *b);
void th_exp(THFloatTensor *r, THFloatTensor *a);
double burn(long rounds);
""" % ", ".join(f"const THFloatTensor *{name}" for name in EIGHT[:7])
SOURCE = """\
#include <TH/TH.h>
#include <ffi_ext.h>
#include <time.h>
struct state { double x; };
struct state *same(struct state *s) { return s; }
int add3(const THFloatTensor *a, const THFloatTensor *b, THFloatTensor *out, float scale) {
  float *x = THFloatTensor_data(a), *y = THFloatTensor_data(b), *z = THFloatTensor_data(out);
  z[0] = x[0] + scale * y[0];
  return 1;
}
int add3_arrays(const ffi_ext_tensor *a, const ffi_ext_tensor *b, ffi_ext_tensor *out, float scale) {
  const float *x = a->data, *y = b->data;
  FFI_CHECK(a->dtype == FFI_EXT_FLOAT32, "float32 is wanted");
  *(float *)out->data = x[0] + scale * y[0];
  return 1;
}
int add8(%(eight)s, THFloatTensor *t7, float scale) {
  THFloatTensor_data(t7)[0] = scale * (%(sum)s);
  return 1;
}
int ready(void *a, void *b, void *out, float scale) { return a == b && b == out && scale > 0; }
THFloatTensor *make(void) { return THFloatTensor_newWithSize1d(1); }
void shape(THFloatTensor *t, long rows) { THFloatTensor_resize2d(t, rows, 5); }
double resize_as_ns(THFloatTensor *t, THFloatTensor *other, int rounds) {
  clock_t start = clock();
  for (int i = 0; i < rounds; i++) THFloatTensor_resizeAs(t, other);
  return (double)(clock() - start) * 1e9 / CLOCKS_PER_SEC / rounds;
}
double resize_ns(THFloatTensor *t, int rounds) {
  clock_t start = clock();
  for (int i = 0; i < rounds; i++) THFloatTensor_resize2d(t, 4 + (i & 1), 5);
  return (double)(clock() - start) * 1e9 / CLOCKS_PER_SEC / rounds;
}
void th_cadd(THFloatTensor *r, THFloatTensor *a, THFloatTensor *b) { THFloatTensor_cadd(r, a, 1, b); }
void th_exp(THFloatTensor *r, THFloatTensor *a) { THFloatTensor_exp(r, a); }
double burn(long rounds) {
  volatile double x = 1; /* what would be computed at compile time otherwise */
  for (long i = 0; i < rounds; i++) x = x * 0.999999 + 1e-6;
  return x;
}
""" % {
    "eight": ", ".join(f"const THFloatTensor *{name}" for name in EIGHT[:7]),
    "sum": " + ".join(f"THFloatTensor_data({name})[0]" for name in EIGHT[:7]),
}


def costs(table: Table, module: Any, peers: Peers, rounds: int) -> None:
    """The cost of a call with three and with eight tensors."""
    a, b, out = torch.ones(1), torch.ones(1), torch.zeros(1)
    null, ready = module._ffi.NULL, module._lib.ready

    def three(function: Callable[..., object]) -> Callable[[], object]:
        return lambda: function(a, b, out, 2.0)

    functions: dict[str, Callable[[], object]] = {"ours": three(module.add3)}
    functions |= {name: three(function) for name, function in peers["add3"].items()}
    functions["torch.add(out=)"] = lambda: torch.add(a, b, alpha=2.0, out=out)
    functions["three tensor.data_ptr()"] = lambda: (a.data_ptr(), b.data_ptr(), out.data_ptr())
    functions["cffi lib.f, ready pointers"] = lambda: ready(null, null, null, 2.0)
    for function in functions.values():
        function()
    measured = interleaved(functions, rounds, 20000)
    marks = {"pybind11, GIL released": 0.8}
    for peer in list(functions)[1:]:
        claim = "call, 3 tensors and a float"
        table.add(claim, measured["ours"], peer, measured[peer], "ns", marks.get(peer))
    tensors = [torch.ones(1) for _ in EIGHT]

    def eight(function: Callable[..., object]) -> Callable[[], object]:
        return lambda: function(*tensors, 2.0)

    functions = {"ours": eight(module.add8)}
    functions |= {name: eight(function) for name, function in peers["add8"].items()}
    measured = interleaved(functions, rounds, 20000)
    for peer in list(functions)[1:]:
        claim = "call, 8 tensors and a float"
        table.add(claim, measured["ours"], peer, measured[peer], "ns", marks.get(peer))


def other_arguments(table: Table, module: Any, peers: Peers, rounds: int) -> None:
    """What is no tensor: NumPy arrays, and pointers to structs."""
    a, b, out = np.ones(1, np.float32), np.ones(1, np.float32), np.zeros(1, np.float32)
    functions = {"ours": module.add3_arrays}
    functions |= {name: f for name, f in peers["add3"].items() if name == "nanobind"}
    calls = {name: lambda f=f: f(a, b, out, 2.0) for name, f in functions.items()}
    measured = interleaved(calls, rounds, 5000)
    for peer in list(functions)[1:]:
        claim = "call, 3 NumPy arrays and a float"
        table.add(claim, measured["ours"], peer, measured[peer], "ns")
    state, cffi_same = module._ffi.new("struct state *"), module._lib.same
    measured = interleaved(
        {"ours": lambda: module.same(state), "cffi": lambda: cffi_same(state)}, rounds, 20000
    )
    claim = "a struct's pointer, there and back"
    table.add(claim, measured["ours"], "cffi lib.f", measured["cffi"], "ns")


def other_paths(table: Table, module: Any, rounds: int) -> None:
    """A returned tensor, a refused one, and resizes."""
    made = interleaved({"ours": module.make, "torch.empty": lambda: torch.empty(1)}, rounds, 5000)
    table.add("a returned tensor", made["ours"], "torch.empty(1)", made["torch.empty"], "ns")
    table.add("a returned tensor", made["ours"], "the mark: 1 us", 1000.0, "ns", 1.0)
    a, out, doubles = torch.ones(1), torch.zeros(1), torch.ones(1, dtype=torch.float64)

    def refused() -> None:
        try:
            module.add3(a, doubles, out, 2.0)
        except TypeError:
            return
        raise AssertionError("a wrong dtype was accepted")

    def torch_refuses() -> None:
        try:
            torch.mm(a, out)
        except RuntimeError:
            return
        raise AssertionError("torch multiplied vectors as matrices")

    errors = interleaved({"ours": refused, "torch": torch_refuses}, rounds, 2000)
    table.add(
        "refusing a wrong dtype", errors["ours"], "torch.mm of vectors", errors["torch"], "ns"
    )
    table.add("refusing a wrong dtype", errors["ours"], "the mark: 5 us", 5000.0, "ns", 1.0)
    same = module.resize_as_ns(torch.zeros(4, 5), torch.zeros(4, 5), 2_000_000)
    table.add("resizeAs to the same size, from C", same, "the mark: 20 ns", 20.0, "ns", 1.0)
    real = module.resize_ns(torch.zeros(5, 5), 2_000_000)
    table.add("resize2d to another size, from C", real, "the mark: 200 ns", 200.0, "ns", 1.0)
    t, u = torch.zeros(9, 5), torch.zeros(9, 5)
    shape, rows = module.shape, [0]

    def resized() -> None:
        rows[0] ^= 1
        shape(t, 8 + rows[0])

    def kept() -> None:
        rows[0] ^= 1
        shape(u, 9)

    def torch_resizes() -> None:
        rows[0] ^= 1
        t.resize_(8 + rows[0], 5)

    costs = interleaved({"ours": resized, "kept": kept, "torch": torch_resizes}, rounds, 5000)
    extra = max(costs["ours"] - costs["kept"], 1.0)
    table.add("... and its way back to torch", extra, "the mark: 200 ns", 200.0, "ns", 1.0)
    table.add("a call that resizes", costs["ours"], "tensor.resize_()", costs["torch"], "ns")


def th_maths(table: Table, module: Any, rounds: int) -> None:
    """TH's elementwise maths on a small tensor, the call included, beside torch's own with out=."""
    a, b, r = torch.rand(4, 5), torch.rand(4, 5), torch.zeros(4, 5)
    for name, ours, theirs in (
        ("cadd", lambda: module.th_cadd(r, a, b), lambda: torch.add(a, b, out=r)),
        ("exp", lambda: module.th_exp(r, a), lambda: torch.exp(a, out=r)),
    ):
        costs = interleaved({"ours": ours, "theirs": theirs}, rounds, 10000)
        peer = f"torch.{name.removeprefix('c')}(out=)"
        table.add(f"TH's {name} on (4, 5)", costs["ours"], peer, costs["theirs"], "ns", 1.0)


def _resident() -> float:
    """MiB that this process occupies now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def memory(table: Table, module: Any) -> None:
    """Growth over ten million calls, a million returned tensors and 100,000 errors."""
    a, b, out = torch.ones(1), torch.ones(1), torch.zeros(1)

    def work(calls: int) -> None:
        add3, make = module.add3, module.make
        for _ in range(calls):
            add3(a, b, out, 2.0)
        for _ in range(calls // 10):
            make()
        for _ in range(calls // 100):
            with contextlib.suppress(TypeError):
                add3(a, None, out, 2.0)

    work(100_000)
    gc.collect()
    before = _resident()
    work(10_000_000)
    gc.collect()
    grown = max(_resident() - before, 0.0)
    table.add("growth over 10,000,000 calls", grown, "the mark: 1 MiB", 1.0, "MB", 1.0)


def _speedup(function: Callable[[int], object], count: int, rounds: int) -> float:
    """What a second thread brings: the best of some rounds, since whatever else runs only takes away."""

    def threads(number: int) -> None:
        workers = [threading.Thread(target=function, args=(count,)) for _ in range(number)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    one, two = (min(wall(threads, number) for _ in range(3 * rounds)) for number in (1, 2))
    return 2 * one / two


def threads(table: Table, module: Any, rounds: int) -> None:
    """Two Python threads in C at once."""
    count = 1_000_000
    while wall(module.burn, count) < 0.05:
        count = count * 5 // 4
    speedup = _speedup(module.burn, count, rounds)
    table.add("two threads in a 50 ms function", speedup, "one", 1.0, "x", at_least=1.9)


# A global, as an imported module is, and numbers of each thread's own: on what a closure or the code's constants hold,
# the threads would count references.
_imported: Any = None


def _calls(count: int) -> None:
    a, b, out = (torch.ones(1) for _ in range(3))
    scale = 1 / count
    for _ in range(count):
        _imported.add3(a, b, out, scale)


def short_calls_of_threads(table: Table, module: Any, rounds: int) -> None:
    """Two Python threads that do nothing but call, where there is no GIL: peers' modules, once imported, enable it."""
    if not hasattr(sys, "_is_gil_enabled") or sys._is_gil_enabled():
        return

    global _imported
    _imported = module
    speedup = _speedup(_calls, 1_000_000, rounds)
    table.add("two threads that do nothing but call", speedup, "one", 1.0, "x", at_least=1.7)


def imports(table: Table, folder: Path, rounds: int) -> None:
    """The import of a generated module after torch's."""
    code = (
        "import sys, time, torch\nsys.path.insert(0, sys.argv[1])\nt = time.perf_counter()\n"
        "import bench_ext\nprint(time.perf_counter() - t)"
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", code, str(folder)]

    def one() -> float:
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        return float(done.stdout)

    one()  # writes the byte code
    times = [one() for _ in range(rounds)]
    table.add("import after torch, wall", median(times) * 1e3, "the mark: 2 ms", 2.0, "ms", 1.0)
