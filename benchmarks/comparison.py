"""The README's table of ffi_ext and its peers: builds one function with each tool, and checks every cell by running it.

`python benchmarks/comparison.py` prints the table with the build times of this machine, and fails if a cell is
not so or not what the README says. A tool that is not installed is left out, and said.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
TOOLS = ["ffi_ext", "cpp_extension", "tvm-ffi", "nanobind", "pybind11", "cffi"]
QUESTIONS = {
    "source": ["C", "C++", "C++", "C++", "C++", "C"],
    "takes a torch tensor": ["yes", "yes", "yes", "yes", "as a NumPy array", "no: a pointer"],
    "a tensor of the wrong element type": [
        "TypeError",
        "RuntimeError",
        "goes through, unless you check",
        "a converted copy is written to",
        "a converted copy is written to",
        "not known",
    ],
    "the GIL during the call": ["released", "held", "released", "held", "held", "released"],
    "one binary for every Python": ["yes", "no", "yes", "no", "no", "no"],
    "the binary needs libtorch": ["no", "yes", "no", "no", "no", "no"],
    "writes a typed stub": ["yes", "no", "no", "no", "no", "no"],
}

C = """\
#include <TH/TH.h>
int PyGILState_Check(void);
int fill(THFloatTensor *t, float value) {
  for (int64_t i = 0; i < THFloatTensor_nElement(t); i++) THFloatTensor_data(t)[i] = value;
  return PyGILState_Check();
}
"""
CFFI = """\
int PyGILState_Check(void);
int fill(float *t, long n, float value) {
  for (long i = 0; i < n; i++) t[i] = value;
  return PyGILState_Check();
}
"""
TORCH = """\
#include <torch/extension.h>
int64_t fill(torch::Tensor t, double value) {
  float *data = t.data_ptr<float>();
  for (int64_t i = 0; i < t.numel(); i++) data[i] = value;
  return PyGILState_Check();
}
"""
TVM = """\
#include <tvm/ffi/container/tensor.h>
extern "C" int PyGILState_Check(void);
int64_t fill(tvm::ffi::TensorView t, double value) {
  float *data = static_cast<float *>(t.data_ptr());
  for (int64_t i = 0; i < t.numel(); i++) data[i] = value;
  return PyGILState_Check();
}
"""
NANOBIND = """\
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
namespace nb = nanobind;
NB_MODULE(nanobind_fill, m) {
  m.def("fill", [](nb::ndarray<float, nb::device::cpu> t, double value) {
    for (size_t i = 0; i < t.size(); i++) t.data()[i] = value;
    return PyGILState_Check();
  });
}
"""
PYBIND = """\
#include <pybind11/numpy.h>
PYBIND11_MODULE(pybind_fill, m) {
  m.def("fill", [](pybind11::array_t<float> t, double value) {
    for (ssize_t i = 0; i < t.size(); i++) t.mutable_data()[i] = value;
    return PyGILState_Check();
  });
}
"""


@dataclass
class Built:
    """What a tool made: the function, its binary, the source, and whether there is a stub."""

    fill: Callable[..., Any]
    binary: Path
    source: str
    stub: bool


def _one(folder: Path, pattern: str) -> Path:
    (found,) = folder.rglob(pattern)
    return found


def _imported(folder: Path, name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, _one(folder, f"{name}*.so"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ffi_ext(folder: Path) -> Built:
    from ffi_ext import load_inline

    module = load_inline("comparison_fill", C, "int fill(THFloatTensor *t, float value);")
    kept = Path(module.__file__).parents[2] / "comparison_fill"
    return Built(module.fill, _one(kept, "*.so"), C, bool(list(kept.glob("*.pyi"))))


def cpp_extension(folder: Path) -> Built:
    from torch.utils.cpp_extension import load_inline

    name = "comparison_torch"
    module = load_inline(
        name, TORCH, functions=["fill"], build_directory=str(folder), with_cuda=False
    )
    return Built(module.fill, _one(folder, "*.so"), TORCH, bool(list(folder.rglob("*.pyi"))))


def tvm(folder: Path) -> Built:
    import tvm_ffi.cpp

    module: Any = tvm_ffi.cpp.load_inline(
        "comparison_tvm", cpp_sources=TVM, functions=["fill"], build_directory=str(folder)
    )
    return Built(module.fill, _one(folder, "*.so"), TVM, bool(list(folder.rglob("*.pyi"))))


def _compiled(folder: Path, name: str, text: str, *more: str) -> None:
    source = folder / f"{name}.cpp"
    source.write_text(text)
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    flags = ["-std=c++17", "-O3", "-fPIC", "-shared", "-fvisibility=hidden", "-DNDEBUG"]
    flags += [f"-I{sysconfig.get_path('include')}", *more, "-o", str(folder / f"{name}{suffix}")]
    subprocess.run(["g++", str(source), *flags], check=True)


def nanobind(folder: Path) -> Built:
    import nanobind

    root = Path(nanobind.include_dir()).parent
    more = [f"-I{nanobind.include_dir()}", f"-I{root / 'ext' / 'robin_map' / 'include'}"]
    _compiled(folder, "nanobind_fill", NANOBIND, *more, str(root / "src" / "nb_combined.cpp"))
    fill = _imported(folder, "nanobind_fill").fill
    return Built(fill, _one(folder, "*.so"), NANOBIND, bool(list(folder.rglob("*.pyi"))))


def pybind11(folder: Path) -> Built:
    from torch.utils.cpp_extension import include_paths

    _compiled(folder, "pybind_fill", PYBIND, *[f"-I{path}" for path in include_paths()])
    fill = _imported(folder, "pybind_fill").fill
    return Built(fill, _one(folder, "*.so"), PYBIND, bool(list(folder.rglob("*.pyi"))))


def cffi(folder: Path) -> Built:
    from cffi import FFI

    ffi = FFI()
    ffi.cdef("int fill(float *t, long n, float value);")
    ffi.set_source("_cffi_fill", CFFI)
    ffi.compile(tmpdir=str(folder))
    binary = _one(folder, "*.so")
    module = _imported(folder, "_cffi_fill")

    def fill(tensor: Any, value: float) -> Any:
        if isinstance(tensor, int):  # the address, as a caller has to get it
            return module.lib.fill(module.ffi.cast("float *", tensor), 2, value)
        return module.lib.fill(tensor, 2, value)

    return Built(fill, binary, CFFI, bool(list(folder.rglob("*.pyi"))))


MAKERS = dict(zip(TOOLS, [ffi_ext, cpp_extension, tvm, nanobind, pybind11, cffi], strict=True))
MODULES = {"cpp_extension": "ninja", "tvm-ffi": "tvm_ffi", "pybind11": "torch"}


def answers(built: Built) -> list[str]:
    """What was seen, in the words of the table."""
    import torch

    from ffi_ext import elf

    probe = "extern int PyGILState_Check(void);\n"
    syntax = ["gcc", "-x", "c", "-fsyntax-only", "-w", "-"]
    include = f"-I{ROOT / 'ffi_ext' / 'include'}"
    as_c = subprocess.run(
        [*syntax, include], input=probe + built.source, text=True, capture_output=True
    )
    seen = ["C++" if as_c.returncode else "C"]

    floats = torch.zeros(2)
    try:
        held = built.fill(floats, 3.0)
        takes = "yes" if floats.tolist() == [3.0, 3.0] else "no"
        if "array_t" in built.source:
            takes = "as a NumPy array"
            assert built.fill(floats.numpy(), 4.0) is not None and floats.tolist() == [4.0, 4.0]
    except TypeError:
        held = built.fill(floats.data_ptr(), 3.0)
        assert floats.tolist() == [3.0, 3.0]
        takes = "no: a pointer"
    seen.append(takes)

    doubles = torch.zeros(2, dtype=torch.float64)
    try:
        if takes.startswith("no"):
            built.fill(doubles.data_ptr(), 1.0)
            wrong = "not known"
        else:
            built.fill(doubles, 1.0)
            untouched = doubles.tolist() == [0.0, 0.0]
            wrong = (
                "a converted copy is written to" if untouched else "goes through, unless you check"
            )
    except (TypeError, RuntimeError) as error:
        wrong = type(error).__name__
    seen.append(wrong)

    seen.append("held" if held else "released")
    symbols = elf.symbols(built.binary)
    assert symbols is not None
    uses_python = any(
        name.startswith(("Py", "_Py")) for name in symbols.undefined - {"PyGILState_Check"}
    )
    one = ".abi3." in built.binary.name or not uses_python
    seen.append("yes" if one else "no")
    seen.append(
        "yes"
        if any("torch" in name or "c10" in name for name in elf.needed(built.binary))
        else "no"
    )
    return [*seen, "yes" if built.stub else "no"]


def table(seconds: dict[str, float] | None = None) -> str:
    """The table in Markdown; with times where there are some."""
    rows = [["", *TOOLS], ["---"] * (len(TOOLS) + 1)]
    rows += [[question, *cells] for question, cells in QUESTIONS.items()]
    if seconds:
        rows.append(
            ["cold build", *(f"{seconds[t]:.2f} s" if t in seconds else "-" for t in TOOLS)]
        )
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def main() -> int:
    import torch.utils.cpp_extension  # noqa: F401 - its import is no part of a build

    failed = []
    seconds: dict[str, float] = {}
    top = Path(tempfile.mkdtemp(prefix="ffi_ext-comparison-"))
    os.environ["FFI_EXT_CACHE"] = str(top / "cache")
    try:
        for column, (tool, make) in enumerate(MAKERS.items()):
            if importlib.util.find_spec(MODULES.get(tool, tool)) is None:
                print(
                    f"{tool} is left out: {MODULES.get(tool, tool)} is not installed (pip install -e .[bench])"
                )
                continue
            folder = top / tool
            folder.mkdir()
            started = time.perf_counter()
            built = make(folder)
            seconds[tool] = time.perf_counter() - started
            for (question, cells), seen in zip(QUESTIONS.items(), answers(built), strict=True):
                if cells[column] != seen:
                    failed.append(
                        f"{tool}, {question}: the table says {cells[column]!r}, seen: {seen!r}"
                    )
    finally:
        shutil.rmtree(top, ignore_errors=True)
    print(table(seconds))
    if table() not in (ROOT / "README.md").read_text():
        failed.append("the README has another table")
    for line in failed:
        print(f"NOT SO: {line}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
