"""The CUDA kernels of src/cuda compiled for the CPU: indices in either order, one by one; a warp's lanes take turns.

A CUDA tensor's record differs from a CPU tensor's in where its memory is, so the functions take CPU tensors here.
"""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType

from ffi_ext import create_extension

ROOT = Path(__file__).resolve().parent.parent
HEADER = ROOT / "include" / "kernels_cuda.h"
# A CUDA tensor's type, and the CPU's.
TYPES = {"THCudaTensor": "THFloatTensor", "THCudaDoubleTensor": "THDoubleTensor"}
TYPES |= {f"THCuda{t}Tensor": f"TH{t}Tensor" for t in ("Byte", "Short", "Int", "Long")}


def on_cpu(text: str) -> str:
    """C text with the CPU's types in place of the CUDA ones."""
    text = text.replace("THC/THC.h", "TH/TH.h")
    return re.sub(r"\bTHCuda\w*Tensor\b", lambda match: TYPES[match[0]], text)


def build(folder: Path) -> ModuleType:
    """Builds and imports all functions of the header, from the sources that nvcc compiles on a machine with one.

    A function `run_backwards(int)` sets the order.
    """
    import build_ffi  # which asks a compiler of headers: a machine with a GPU need not have one

    (folder / "twins.h").write_text(on_cpu(HEADER.read_text()) + "void run_backwards(int yes);\n")
    sources = [str(ROOT / "tests" / "cuda_on_cpu.cpp")]
    for source in build_ffi.SOURCES:
        path = folder / f"{source}.cpp"
        path.write_text(f'#include "{ROOT}/src/cuda/{source}.cu"\n')
        sources.append(str(path))
    create_extension(
        "cuda_on_cpu.twins",
        headers=["twins.h"],
        sources=sources,
        include_dirs=[str(ROOT / "include"), str(ROOT / "src")],
        # A GPU faults where 16 bytes that are read at once are not aligned, and so does this.
        extra_compile_args=[
            *("-O1", "-Wno-unknown-pragmas", "-ffp-contract=off"),
            *("-fsanitize=alignment", "-fsanitize-undefined-trap-on-error"),
        ],
        relative_to=str(folder / "build.py"),
        verbose=False,
    ).build()
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module("cuda_on_cpu.twins")
    finally:
        sys.path.remove(str(folder))
