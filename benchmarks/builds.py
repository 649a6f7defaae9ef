"""What builds cost: cold, unchanged, one source of twenty, a thousand functions; beside their peers."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from peers import TORCH, TVM
from table import Table, wall

import ffi_ext
from ffi_ext.compilers import toolchain, universal

HEADER = """\
int add3(const THFloatTensor *a, const THFloatTensor *b, THFloatTensor *out, float scale);
int roi_pool(const THFloatTensor *input, const THFloatTensor *rois, THFloatTensor *output, int ph, int pw);
"""
ADD = """\
#include <TH/TH.h>
int add3(const THFloatTensor *a, const THFloatTensor *b, THFloatTensor *out, float scale) {
  float *x = THFloatTensor_data(a), *y = THFloatTensor_data(b), *z = THFloatTensor_data(out);
  for (long i = 0; i < THFloatTensor_nElement(a); i++) z[i] = x[i] + scale * y[i];
  return 1;
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


def build(folder: Path, name: str) -> None:
    """The two kernels under a name of their own: cold the first time, unchanged the second."""
    ffi_ext.create_extension(
        name,
        ["add.h"],
        ["add.c", "pool.c"],
        relative_to=str(folder / "build.py"),
        verbose=False,
    ).build()


def cold_and_unchanged(table: Table, folder: Path, rounds: int) -> float:
    """Returns the seconds of a cold build."""
    for name, text in (("add.h", HEADER), ("add.c", ADD), ("pool.c", POOL)):
        (folder / name).write_text(text)
    build(folder, "warm_up")
    cc = list(toolchain.c_compiler().command)
    generated = next(folder.joinpath("cache").glob("_warm_up-*/_warm_up.c"))
    includes = [
        f"-I{ffi_ext.get_include()}",
        *[f"-I{p}" for p in universal.python_includes(False, False)],
    ]
    sources = [(folder / "add.c", "-O3"), (folder / "pool.c", "-O3"), (generated, "-O0")]
    commands = [
        [*cc, level, "-w", "-fPIC", *includes, "-c", str(source), "-o", str(folder / f"{i}.o")]
        for i, (source, level) in enumerate(sources)
    ]
    objects = [str(folder / f"{i}.o") for i in range(3)]

    def bare() -> None:
        with ThreadPoolExecutor(toolchain.jobs()) as pool:
            list(pool.map(lambda command: subprocess.run(command, check=True), commands))
        subprocess.run([*cc, "-shared", *objects, "-o", str(folder / "bare.so")], check=True)

    cold, plain, unchanged = [], [], []
    for number in range(rounds):
        name = f"cold{number}"
        cold.append(wall(build, folder, name))
        plain.append(wall(bare))
        unchanged.append(wall(build, folder, name))
    ours = median(cold)
    claim = "cold build, 2 kernels, wall"
    table.add(claim, ours * 1e3, "the bare compiler commands", median(plain) * 1e3, "ms", 1.5)
    table.add("nothing changed", median(unchanged) * 1e3, "the mark: 25 ms", 25.0, "ms", 1.0)
    script = folder / "build_again.py"
    script.write_text(
        "from ffi_ext import create_extension\n"
        "create_extension('cold0', ['add.h'], ['add.c', 'pool.c'], relative_to=__file__, verbose=False).build()\n"
    )
    command = [sys.executable, str(script)]
    fresh = median(wall(lambda: subprocess.run(command, check=True)) for _ in range(3))
    bare_python = median(
        wall(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True)) for _ in range(3)
    )
    table.add("... from a fresh process", fresh * 1e3, "python -c pass", bare_python * 1e3, "ms")
    return ours


def inline(table: Table, folder: Path, rounds: int) -> None:
    """load_inline beside the builder that it uses: cold, and when the text is known."""
    source = ADD + "int number(void) { return %d; }\n"
    (folder / "inline.h").write_text(HEADER.splitlines(keepends=True)[0])

    def by_script(number: int) -> None:
        (folder / "inline.c").write_text(source % number)
        ffi_ext.create_extension(
            f"inline{number}",
            ["inline.h"],
            ["inline.c"],
            relative_to=str(folder / "build.py"),
            verbose=False,
        ).build()

    def by_text(number: int) -> None:
        ffi_ext.load_inline("inline", source % number, HEADER.splitlines(keepends=True)[0])

    for claim, first in (
        ("load_inline, cold, wall", True),
        ("load_inline, known text, wall", False),
    ):
        ours, theirs = [], []
        for number in range(rounds):
            ours.append(wall(by_text, number))
            theirs.append(wall(by_script, number))
        peer = "create_extension and build()"
        table.add(
            claim, median(ours) * 1e3, peer, median(theirs) * 1e3, "ms", 1.5 if first else None
        )


def against_peers(table: Table, folder: Path, ours: float) -> None:
    """The builders of torch and tvm_ffi on a function of the same kind."""
    claim = "cold build, 2 kernels, wall"
    if importlib.util.find_spec("ninja"):
        from torch.utils.cpp_extension import load

        (folder / "add.cpp").write_text(TORCH + "\nPYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {}\n")
        (folder / "pool.cpp").write_text(
            '#include <torch/extension.h>\nextern "C" int one() { return 1; }\n'
        )
        target = folder / "cpp_extension"
        target.mkdir()
        sources = [str(folder / "add.cpp"), str(folder / "pool.cpp")]
        theirs = wall(lambda: load("ffi_ext_bench_load", sources, build_directory=str(target)))
        table.add(claim, ours, "cpp_extension.load", theirs, "s", 0.01)
        _loads(table, folder, sources, target)
    if importlib.util.find_spec("tvm_ffi"):
        import tvm_ffi.cpp

        started = time.perf_counter()
        tvm_ffi.cpp.load_inline(
            f"ffi_ext_bench_{os.getpid()}",
            cpp_sources=TVM,
            functions=["add3"],
            extra_cflags=["-O3"],
            build_directory=str(folder / "tvm"),
        )
        table.add(claim, ours, "tvm_ffi.cpp.load_inline", time.perf_counter() - started, "s", 0.125)


def _loads(table: Table, folder: Path, sources: list[str], target: Path) -> None:
    """What load() takes in processes that find everything built."""
    ours = "load('add', ['add.c', 'pool.c'], 'add.h')"
    theirs = f"load('ffi_ext_bench_load', {sources!r}, build_directory={str(target)!r})"

    def seconds(module: str, call: str) -> float:
        code = (
            f"import time, torch\nstarted = time.perf_counter()\nfrom {module} import load\n{call}\n"
            "print(time.perf_counter() - started)"
        )
        run = [sys.executable, "-c", code]
        return float(subprocess.check_output(run, cwd=folder, text=True).split()[-1])

    for _ in range(2):  # files as young as their build are not taken for unchanged
        seconds("ffi_ext", ours)
    times = [
        (seconds("ffi_ext", ours), seconds("torch.utils.cpp_extension", theirs)) for _ in range(5)
    ]
    mine, other = (median(column) * 1e3 for column in zip(*times, strict=True))
    table.add("load() in a new process, built before", mine, "cpp_extension.load", other, "ms", 1.0)


def many_sources(table: Table, folder: Path) -> None:
    """Twenty sources: the time per source, on one core and on all, and after one has changed."""
    work = folder / "many"
    work.mkdir()
    names = [f"f{i}" for i in range(20)]
    (work / "all.h").write_text("".join(f"int {name}(THFloatTensor *t);\n" for name in names))
    for name in names:
        text = POOL.replace("roi_pool", f"pool_{name}")
        (work / f"{name}.c").write_text(f"{text}int {name}(THFloatTensor *t) {{ return !t; }}\n")

    def make(count: int, jobs: int, tag: str) -> float:
        os.environ["MAX_JOBS"] = str(jobs)
        header = work / f"{tag}.h"
        header.write_text("".join(f"int {name}(THFloatTensor *t);\n" for name in names[:count]))
        extension = ffi_ext.create_extension(
            tag,
            [header.name],
            [f"{name}.c" for name in names[:count]],
            relative_to=str(work / "build.py"),
            verbose=False,
        )
        took = wall(extension.build)
        del os.environ["MAX_JOBS"]
        return took

    cores = toolchain.jobs()
    five, twenty = make(5, 1, "five"), make(20, 1, "twenty")
    per_source = (twenty - five) / 15
    table.add("twenty sources, per source", per_source * 1e3, "five", five / 5 * 1e3, "ms", 1.1)
    parallel = make(20, cores, "parallel")
    table.add(f"twenty sources on {cores} cores", parallel, "on one", twenty, "s", 1.4 / cores)
    with (work / "f7.c").open("a") as file:
        file.write("/* changed */\n")
    again = make(20, cores, "parallel")
    table.add("one of twenty changed", again, "all", parallel, "s")


def thousand_functions(table: Table, folder: Path) -> None:
    """A header of a thousand functions."""
    names = [f"g{i}" for i in range(1000)]
    prototype = "int {}(THFloatTensor *a, const THDoubleTensor *b, int c, float d, long e)"
    (folder / "k.h").write_text("".join(prototype.format(name) + ";\n" for name in names))
    body = "".join(f"{prototype.format(name)} {{ return c; }}\n" for name in names)
    (folder / "k.c").write_text(f"#include <TH/TH.h>\n{body}")
    started = time.perf_counter()
    ffi_ext.create_extension(
        "thousand", ["k.h"], ["k.c"], relative_to=str(folder / "build.py"), verbose=False
    ).build()
    took = time.perf_counter() - started
    table.add("a header of 1,000 functions", took, "the mark: 1.5 s", 1.5, "s", 1.0)
    shutil.rmtree(folder / "thousand")
