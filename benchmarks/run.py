"""`make bench`: each claim beside its peers, measured in one run. One table, or --json FILE.

Times are process CPU time, runs are interleaved, figures are medians; compare ratios, not the absolute numbers, which a
busy machine changes. The pybind11 peer is compiled by torch.utils.cpp_extension (half a minute) with --pybind.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

import ffi_ext
from ffi_ext import toolchain

HEADER = """\
int add3(const THFloatTensor *a, const THFloatTensor *b, THFloatTensor *out, float scale);
int ready(void *a, void *b, void *out, float scale);
THFloatTensor *make(void);
double resize_as_ns(THFloatTensor *t, THFloatTensor *other, int rounds);
void nap(int milliseconds);
"""
ADD = """\
#include <TH/TH.h>
#include <time.h>
int add3(const THFloatTensor *a, const THFloatTensor *b, THFloatTensor *out, float scale) {
  float *x = THFloatTensor_data(a), *y = THFloatTensor_data(b), *z = THFloatTensor_data(out);
  z[0] = x[0] + scale * y[0];
  return 1;
}
int ready(void *a, void *b, void *out, float scale) { return a == b && b == out && scale > 0; }
THFloatTensor *make(void) { return THFloatTensor_newWithSize1d(1); }
double resize_as_ns(THFloatTensor *t, THFloatTensor *other, int rounds) {
  clock_t start = clock();
  for (int i = 0; i < rounds; i++) THFloatTensor_resizeAs(t, other);
  return (double)(clock() - start) * 1e9 / CLOCKS_PER_SEC / rounds;
}
void nap(int milliseconds) {
  clock_t end = clock() + (clock_t)milliseconds * (CLOCKS_PER_SEC / 1000);
  while (clock() < end) {}
}
"""
POOL = """\
#include <TH/TH.h>
int roi_pool(const THFloatTensor *input, const THFloatTensor *rois, THFloatTensor *output, int ph, int pw) {
  long channels = input->size[0], height = input->size[1], width = input->size[2], n = rois->size[0];
  THFloatTensor_resize4d(output, n, channels, ph, pw);
  const float *in = THFloatTensor_data(input), *r = THFloatTensor_data(rois);
  float *out = THFloatTensor_data(output);
  for (long k = 0; k < n; k++)
    for (long c = 0; c < channels; c++)
      for (int i = 0; i < ph; i++)
        for (int j = 0; j < pw; j++) {
          long y0 = (long)(r[k * 4 + 1] + i * (r[k * 4 + 3] - r[k * 4 + 1]) / ph), x0 = (long)r[k * 4];
          float best = -FLT_MAX;
          for (long y = y0; y < height && y < y0 + 2; y++)
            for (long x = x0; x < width && x < x0 + 2; x++) {
              float v = in[(c * height + y) * width + x];
              if (v > best) best = v;
            }
          out[((k * channels + c) * ph + i) * pw + j] = best;
        }
  return 1;
}
"""
PYBIND = """\
#include <torch/extension.h>
int add3(const torch::Tensor &a, const torch::Tensor &b, torch::Tensor out, double scale) {
  TORCH_CHECK(a.scalar_type() == torch::kFloat && b.scalar_type() == torch::kFloat);
  TORCH_CHECK(out.scalar_type() == torch::kFloat);
  out.data_ptr<float>()[0] = a.data_ptr<float>()[0] + scale * b.data_ptr<float>()[0];
  return 1;
}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("released", &add3, pybind11::call_guard<pybind11::gil_scoped_release>());
  m.def("kept", &add3);
}
"""


class Table:
    """Rows of claim, ours, peer, ratio and mark."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(
        self,
        claim: str,
        ours: float,
        peer: str,
        theirs: float,
        unit: str,
        at_most: float | None = None,
    ) -> None:
        ratio = ours / theirs
        met = "" if at_most is None else "yes" if ratio <= at_most else "no"
        self.rows.append(
            dict(
                claim=claim,
                ours=ours,
                peer=peer,
                theirs=theirs,
                unit=unit,
                ratio=ratio,
                mark=at_most,
                met=met,
            )
        )

    def print(self) -> None:
        print(f"{'claim':<42}{'ours':>10}  {'peer':<38}{'theirs':>10}{'ratio':>8}{'mark':>8}  met")
        for row in self.rows:
            mark = "" if row["mark"] is None else f"<{row['mark']:g}x"
            print(
                f"{row['claim']:<42}{row['ours']:>7.3g} {row['unit']:<2}  {row['peer']:<38}{row['theirs']:>7.3g} "
                f"{row['unit']:<2}{row['ratio']:>7.3f}x{mark:>7}  {row['met']}"
            )


def interleaved(
    functions: dict[str, Callable[[], object]], rounds: int, inner: int
) -> dict[str, float]:
    """CPU nanoseconds per call of each, medians over interleaved rounds; the loop is part of all alike."""
    samples: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            started = time.process_time_ns()
            for _ in range(inner):
                function()
            samples[name].append((time.process_time_ns() - started) / inner)
    return {name: statistics.median(values) for name, values in samples.items()}


def build(folder: Path, name: str) -> None:
    ffi_ext.create_extension(
        name, ["add.h"], ["add.c", "pool.c"], relative_to=str(folder / "build.py"), verbose=False
    ).build()


def bench_calls(table: Table, module: Any, pybind: Any, rounds: int) -> None:
    a, b, out = torch.ones(1), torch.ones(1), torch.zeros(1)
    null, ready = module._ffi.NULL, module._lib.ready
    functions: dict[str, Callable[[], object]] = {
        "ours": lambda: module.add3(a, b, out, 2.0),
        "torch.add(out=)": lambda: torch.add(a, b, alpha=2.0, out=out),
        "three tensor.data_ptr()": lambda: (a.data_ptr(), b.data_ptr(), out.data_ptr()),
        "cffi lib.f, ready pointers": lambda: ready(null, null, null, 2.0),
    }
    if pybind is not None:
        functions["pybind11, GIL released"] = lambda: pybind.released(a, b, out, 2.0)
        functions["pybind11, GIL kept"] = lambda: pybind.kept(a, b, out, 2.0)
    measured = interleaved(functions, rounds, 20000)
    marks = {"pybind11, GIL released": 0.8}
    for peer in list(functions)[1:]:
        table.add(
            "call, 3 tensors and a float",
            measured["ours"],
            peer,
            measured[peer],
            "ns",
            marks.get(peer),
        )
    made = interleaved({"ours": module.make, "torch.empty": lambda: torch.empty(1)}, rounds, 5000)
    table.add("a returned tensor", made["ours"], "torch.empty(1)", made["torch.empty"], "ns")

    def refused() -> None:
        try:
            module.add3(a, b.double(), out, 2.0)
        except TypeError:
            return
        raise AssertionError("a wrong dtype was accepted")

    def torch_refuses() -> None:
        try:
            torch.mm(a, b)
        except RuntimeError:
            return

    errors = interleaved({"ours": refused, "torch": torch_refuses}, rounds, 500)
    table.add(
        "refusing a wrong dtype",
        errors["ours"],
        "torch.mm of vectors refused",
        errors["torch"],
        "ns",
    )
    same = module.resize_as_ns(torch.zeros(4, 5), torch.zeros(4, 5), 2_000_000)
    table.add("resizeAs to the same size, from C", same, "the mark: 20 ns", 20.0, "ns", 1.0)


def wall(function: Callable[..., object], *arguments: object) -> float:
    """Seconds of wall time."""
    started = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - started


def bench_builds(table: Table, folder: Path, rounds: int) -> None:
    build(folder, "warm_up")
    cc = list(toolchain.c_compiler().command)
    generated = next(folder.joinpath("cache").glob("_warm_up-*/_warm_up.c"))
    includes = [f"-I{ffi_ext.get_include()}", *[f"-I{p}" for p in toolchain.python_includes()]]
    commands = [
        [*cc, "-O3", "-fPIC", *includes, "-c", str(folder / "add.c"), "-o", str(folder / "1.o")],
        [*cc, "-O3", "-fPIC", *includes, "-c", str(folder / "pool.c"), "-o", str(folder / "2.o")],
        [*cc, "-O0", "-w", "-fPIC", *includes, "-c", str(generated), "-o", str(folder / "3.o")],
    ]
    link = [
        *cc,
        "-shared",
        *[str(folder / f"{i}.o") for i in (1, 2, 3)],
        "-o",
        str(folder / "bare.so"),
    ]

    def bare() -> None:
        with ThreadPoolExecutor(toolchain.jobs()) as pool:
            list(pool.map(lambda command: subprocess.run(command, check=True), commands))
        subprocess.run(link, check=True)

    cold, plain, unchanged = [], [], []
    for number in range(rounds):
        name = f"cold{number}"
        cold.append(wall(build, folder, name))
        plain.append(wall(bare))
        unchanged.append(wall(build, folder, name))
    ms = 1e3
    table.add(
        "cold build, 2 kernels, wall",
        statistics.median(cold) * ms,
        "the bare compiler commands",
        statistics.median(plain) * ms,
        "ms",
        1.5,
    )
    table.add(
        "nothing changed, wall",
        statistics.median(unchanged) * ms,
        "the mark: 25 ms",
        25.0,
        "ms",
        1.0,
    )


def bench_import(table: Table, folder: Path, rounds: int) -> None:
    code = (
        "import sys, time, torch\nsys.path.insert(0, sys.argv[1])\nt = time.perf_counter()\n"
        "import bench_ext\nprint(time.perf_counter() - t)"
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", code, str(folder)]
    times = [
        float(
            subprocess.run(
                command, capture_output=True, text=True, check=True, env=environment
            ).stdout
        )
        for _ in range(rounds + 1)
    ]
    table.add(
        "import after torch, wall",
        statistics.median(times[1:]) * 1e3,
        "the mark: 2 ms",
        2.0,
        "ms",
        1.0,
    )


def pybind_peer() -> Any:
    from torch.utils.cpp_extension import load_inline

    started = time.perf_counter()
    module = load_inline("ffi_ext_bench_peer", PYBIND, extra_cflags=["-O3"], with_cuda=False)
    print(
        f"torch.utils.cpp_extension built the pybind11 peer in {time.perf_counter() - started:.1f} s"
    )
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", metavar="FILE", help="write the rows there, too")
    parser.add_argument("--rounds", type=int, default=7, help="samples of each figure")
    parser.add_argument(
        "--pybind", action="store_true", help="compile the pybind11 peer (needs ninja)"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    compiler = toolchain.run([*toolchain.c_compiler().command, "--version"])[1].splitlines()[0]
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    print(f"Python {platform.python_version()}, torch {torch.__version__}, {compiler}")
    folder = Path(tempfile.mkdtemp(prefix="ffi_ext-bench-"))
    os.environ["FFI_EXT_CACHE"] = str(folder / "cache")
    try:
        for name, text in (("add.h", HEADER), ("add.c", ADD), ("pool.c", POOL)):
            (folder / name).write_text(text)
        build(folder, "bench_ext")
        sys.path.insert(0, str(folder))
        module = importlib.import_module("bench_ext")
        table = Table()
        pybind = pybind_peer() if options.pybind else None
        bench_calls(table, module, pybind, options.rounds)
        bench_import(table, folder, options.rounds)
        bench_builds(table, folder, options.rounds)
        table.print()
        if options.json:
            Path(options.json).write_text(json.dumps(table.rows, indent=2))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
