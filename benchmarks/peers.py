"""The peers: the same functions through pybind11, torch.ops, load_inline's default, tvm_ffi, nanobind and ctypes.

Each is built by its own tool. One that is not installed is left out, and said.
"""

from __future__ import annotations

import ctypes
import importlib.util
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ffi_ext.compilers import toolchain

EIGHT = [f"t{i}" for i in range(8)]

# Each checks the element type of every tensor; ours its device and memory, too.
TORCH = """\
#include <torch/extension.h>
#include <torch/library.h>
int64_t add3(const torch::Tensor &a, const torch::Tensor &b, torch::Tensor out, double scale) {
  out.data_ptr<float>()[0] = a.data_ptr<float>()[0] + scale * b.data_ptr<float>()[0];
  return 1;
}
int64_t add8(%(eight)s, double scale) {
  t7.data_ptr<float>()[0] = scale * (%(sum)s);
  return 1;
}
""" % {
    # As add3: by value, each would cost a reference's count more.
    "eight": ", ".join(f"const torch::Tensor &{name}" for name in EIGHT[:7]) + ", torch::Tensor t7",
    "sum": " + ".join(f"{name}.data_ptr<float>()[0]" for name in EIGHT[:7]),
}
PYBIND = (
    TORCH
    + """
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("add3_released", &add3, pybind11::call_guard<pybind11::gil_scoped_release>());
  m.def("add3_kept", &add3);
  m.def("add8_released", &add8, pybind11::call_guard<pybind11::gil_scoped_release>());
  m.def("add8_kept", &add8);
}
TORCH_LIBRARY(ffi_ext_bench, m) {
  m.def("add3(Tensor a, Tensor b, Tensor(a!) out, float scale) -> int", &add3);
  m.def("add8(%s, float scale) -> int", &add8);
}
"""
    % ", ".join([f"Tensor {name}" for name in EIGHT[:7]] + ["Tensor(a!) t7"])
)
TVM = """\
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/error.h>
using tvm::ffi::TensorView;
static float *data(TensorView t) {
  if (t.dtype().code != kDLFloat || t.dtype().bits != 32) TVM_FFI_THROW(TypeError) << "float32";
  return static_cast<float *>(t.data_ptr());
}
int64_t add3(TensorView a, TensorView b, TensorView out, double scale) {
  data(out)[0] = data(a)[0] + scale * data(b)[0];
  return 1;
}
int64_t add8(%(eight)s, double scale) {
  data(t7)[0] = scale * (%(sum)s);
  return 1;
}
""" % {
    "eight": ", ".join(f"TensorView {name}" for name in EIGHT),
    "sum": " + ".join(f"data({name})[0]" for name in EIGHT[:7]),
}
NANOBIND = """\
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
namespace nb = nanobind;
using T = nb::ndarray<float, nb::device::cpu>;
NB_MODULE(nanobind_peer, m) {
  m.def("add3", [](T a, T b, T out, double scale) {
    nb::gil_scoped_release release;
    out.data()[0] = a.data()[0] + scale * b.data()[0];
    return 1;
  });
  m.def("add8", [](%(eight)s, double scale) {
    nb::gil_scoped_release release;
    t7.data()[0] = scale * (%(sum)s);
    return 1;
  });
}
""" % {
    "eight": ", ".join(f"T {name}" for name in EIGHT),
    "sum": " + ".join(f"{name}.data()[0]" for name in EIGHT[:7]),
}
CTYPES = """\
int add3(const float *a, const float *b, float *out, float scale) {
  out[0] = a[0] + scale * b[0];
  return 1;
}
"""

Peers = dict[str, dict[str, Callable[..., object]]]  # function -> peer -> callable


def _with_torch(folder: Path) -> Peers:
    from torch.utils.cpp_extension import load_inline

    flags = ["-O3"]
    started = time.perf_counter()
    own = load_inline("ffi_ext_bench_pybind", PYBIND, extra_cflags=flags, with_cuda=False)
    plain = load_inline(
        "ffi_ext_bench_plain",
        TORCH,
        functions=["add3", "add8"],
        extra_cflags=flags,
        with_cuda=False,
    )
    print(f"the two pybind11 peers were built in {time.perf_counter() - started:.0f} s")
    peers: Peers = {}
    for name in ("add3", "add8"):
        peers[name] = {
            "pybind11, GIL released": getattr(own, f"{name}_released"),
            "pybind11, GIL kept": getattr(own, f"{name}_kept"),
            "load_inline's default": getattr(plain, name),
            "torch.ops": getattr(torch.ops.ffi_ext_bench, name).default,
        }
    return peers


def _with_tvm(folder: Path) -> Peers:
    import tvm_ffi.cpp

    module: Any = tvm_ffi.cpp.load_inline(
        "ffi_ext_bench_tvm", cpp_sources=TVM, functions=["add3", "add8"], extra_cflags=["-O3"]
    )
    return {name: {"tvm_ffi": getattr(module, name)} for name in ("add3", "add8")}


def _with_nanobind(folder: Path) -> Peers:
    import nanobind

    root = Path(nanobind.include_dir()).parent
    source = folder / "nanobind_peer.cpp"
    source.write_text(NANOBIND)
    includes = [nanobind.include_dir(), root / "ext" / "robin_map" / "include"]
    includes += [sysconfig.get_path("include")]
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    command = [*toolchain.cxx_compiler().command, "-std=c++17", "-O3", "-DNDEBUG", "-fPIC"]
    command += ["-shared", "-fvisibility=hidden", "-fno-strict-aliasing"]
    command += [f"-I{path}" for path in includes]
    command += [str(source), str(root / "src" / "nb_combined.cpp")]
    subprocess.run([*command, "-o", str(folder / f"nanobind_peer{suffix}")], check=True)
    sys.path.insert(0, str(folder))
    module = importlib.import_module("nanobind_peer")
    return {name: {"nanobind": getattr(module, name)} for name in ("add3", "add8")}


def _with_ctypes(folder: Path) -> Peers:
    (folder / "ctypes_peer.c").write_text(CTYPES)
    library = folder / "ctypes_peer.so"
    command = [*toolchain.c_compiler().command, "-O3", "-fPIC", "-shared"]
    subprocess.run([*command, str(folder / "ctypes_peer.c"), "-o", str(library)], check=True)
    function = ctypes.CDLL(str(library)).add3
    function.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_float]

    def add3(a: Any, b: Any, out: Any, scale: float) -> object:
        return function(a.data_ptr(), b.data_ptr(), out.data_ptr(), scale)

    return {"add3": {"ctypes, nothing checked": add3}}


def all_of(folder: Path) -> Peers:
    """Every peer that this machine can build."""
    peers: Peers = {"add3": {}, "add8": {}}
    makers = {"ninja": _with_torch, "tvm_ffi": _with_tvm, "nanobind": _with_nanobind}
    makers["ctypes"] = _with_ctypes
    for module, maker in makers.items():
        if importlib.util.find_spec(module) is None:
            print(f"{module} is not installed: left out (pip install -e .[bench])")
            continue
        for name, found in maker(folder).items():
            peers[name] |= found
    return peers
