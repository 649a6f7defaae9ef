"""`make bench`: each claim beside its peers, measured in one run. One table, or --json FILE.

Calls are in process CPU time, interleaved, medians; builds in wall time. Compare ratios, not the absolute
numbers, which a busy machine changes. The peers take a minute to compile; --quick leaves them out.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path

import builds
import calls
import operators
import peers
import resnet_models
import torch
from table import Table

import ffi_ext
from ffi_ext import BuildError
from ffi_ext.compilers import commands, toolchain


def machine() -> dict[str, str]:
    """What the figures were taken on."""
    try:
        compiler = commands.run([*toolchain.c_compiler().command, "--version"])[1].splitlines()[0]
    except BuildError:  # what another machine has built can be measured all the same
        compiler = "no compiler"
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else model
    return {
        "processor": f"{model}, {os.cpu_count()} cores",
        "load": f"{os.getloadavg()[0]:.1f}",
        "versions": f"Python {platform.python_version()}, torch {torch.__version__}, {compiler}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", metavar="FILE", help="write machine and rows there, too")
    parser.add_argument("--rounds", type=int, default=7, help="samples of each figure")
    parser.add_argument("--quick", action="store_true", help="without the peers that are compiled")
    options = parser.parse_args()
    torch.set_num_threads(1)
    facts = machine()
    for name, value in facts.items():
        print(f"{name}: {value}")
    folder = Path(tempfile.mkdtemp(prefix="ffi_ext-bench-"))
    os.environ["FFI_EXT_CACHE"] = str(folder / "cache")
    os.environ["TORCH_EXTENSIONS_DIR"] = str(folder / "torch_extensions")
    os.environ["TVM_FFI_CACHE_DIR"] = str(folder / "tvm_cache")
    table = Table()
    try:
        (folder / "calls.h").write_text(calls.HEADER)
        (folder / "calls.c").write_text(calls.SOURCE)
        ffi_ext.create_extension(
            "bench_ext",
            ["calls.h"],
            ["calls.c"],
            relative_to=str(folder / "build.py"),
            verbose=False,
        ).build()
        sys.path.insert(0, str(folder))
        module = importlib.import_module("bench_ext")
        calls.short_calls_of_threads(table, module, options.rounds)
        found = {"add3": {}, "add8": {}} if options.quick else peers.all_of(folder)
        calls.costs(table, module, found, options.rounds)
        calls.other_arguments(table, module, found, options.rounds)
        calls.other_paths(table, module, options.rounds)
        calls.th_maths(table, module, options.rounds)
        operators.costs(table, options.rounds)
        calls.memory(table, module)
        calls.threads(table, module, options.rounds)
        calls.imports(table, folder, options.rounds)
        ours = builds.cold_and_unchanged(table, folder, options.rounds)
        builds.inline(table, folder, options.rounds)
        if not options.quick:
            builds.against_peers(table, folder, ours)
            resnet_models.whole_models(table, min(options.rounds, 5))
        builds.many_sources(table, folder)
        builds.thousand_functions(table, folder)
        table.print()
        if options.json:
            report = {"machine": facts, "rows": table.rows}
            Path(options.json).write_text(json.dumps(report, indent=2))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
