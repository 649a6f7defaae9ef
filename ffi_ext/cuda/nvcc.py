"""nvcc as scripts of 2017 call it: `ffi-ext run` puts this before the toolkit's on PATH.

Architectures that the toolkit no longer compiles for are left out, GPUs newer than all of a line get PTX, the
TH and THC headers are found, and a machine without nvcc is told so instead of stopping the script: the build
then goes on without the CUDA part.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ffi_ext.cuda import cuda_shims, host_compiler, toolkit
from ffi_ext.errors import BuildError
from ffi_ext.paths import INCLUDE_DIRS

_ONE_GPU = ("-arch", "--gpu-architecture", "-code", "--gpu-code")  # none stands without the other
_PAIRED = ("-gencode", "--generate-code", *_ONE_GPU)
# Thrust and CUB, which sources include without a word of the dialect, refuse these since CUDA 13.
_DIALECT = ("-std", "--std")
_OLD_DIALECTS = ("c++03", "c++0x", "c++11", "c++14")
_HOST_COMPILER = ("-ccbin", "--compiler-bindir")
_TO_HOST = ("-Xcompiler", "--compiler-options")
# With its quotes, if these are its own, as in CMake's -Xcompiler ,"-fPIC","-std=c++11".
_OLD_DIALECT_OF_HOST = re.compile(r"""[\s,]*(["']?)(-std=(?:c|gnu)\+\+(?:03|0x|11|1y|14)\b)\1""")
# Of CUDA before 10; scripts link it whether their kernels call cuBLAS or not.
_GONE = "-lcublas_device"
_CUBIN = {"-cubin", "--cubin"}
_FOR_ONE_GPU = _CUBIN | {"-ptx", "--ptx"}


def repaired(arguments: Sequence[str], known: Sequence[int]) -> tuple[list[str], list[str]]:
    """The arguments without options for architectures that are not in `known`, and those left out.

    `-gencode arch=compute_30,code=sm_30`, `-gencode=...`, `-arch=sm_30`, `-arch sm_30` and `-code` alike;
    so are C++ dialects before nvcc's own default, C++17 (behind -Xcompiler, too), a library that no toolkit has had
    since, and a compiler of the time (`-ccbin gcc-4.9`) that is not installed.
    """
    kept: list[str] = []
    dropped: list[str] = []
    one_gpu = " ".join(
        re.findall(rf"\0(?:{'|'.join(_ONE_GPU)})[=\0]([^\0]+)", "\0".join(["", *arguments]))
    )
    words = iter(arguments)
    for word in words:
        option = [word]
        if word in (*_PAIRED, *_DIALECT, *_HOST_COMPILER, *_TO_HOST):
            option += [value for value in [next(words, None)] if value is not None]
        name, _, value = "=".join(option).partition("=")
        if name in _HOST_COMPILER and _is_default(value):
            continue
        if name in _TO_HOST and (old := _OLD_DIALECT_OF_HOST.search(value)):
            dropped.append(old[2])
            value = _OLD_DIALECT_OF_HOST.sub("", value).strip(" ,")
            option = [name, value] if value else []
        named = one_gpu if name in _ONE_GPU else value
        numbers = [int(n) for n in re.findall(r"(?:sm|compute|lto)_(\d+)", named)]
        dead = name in _PAIRED and known and any(number not in known for number in numbers)
        dead = dead or (name in _DIALECT and value in _OLD_DIALECTS) or word == _GONE
        dead = dead or (name in _HOST_COMPILER and not _is_installed(value))
        (dropped if dead else kept).extend(option)
    return kept, dropped


def ptx(arguments: Sequence[str]) -> list[str]:
    """PTX of the newest architecture of a line that names some without: later GPUs have no code for them else.

    Not of sm_90a and its kin, whose instructions no other GPU has; a cubin is code for one GPU.
    """
    codes = re.findall(r"(?<!generate-)\bcode[= ](\S+)", " ".join(arguments))
    numbers = [int(n) for code in codes for n in re.findall(r"sm_(\d+)\b", code)]
    if not numbers or any("compute_" in code for code in codes) or _CUBIN.intersection(arguments):
        return []
    return [f"-gencode=arch=compute_{max(numbers)},code=compute_{max(numbers)}"]


def _is_installed(compiler: str) -> bool:
    """Whether there is a host compiler of that name or path, or a folder with one."""
    return shutil.which(compiler) is not None or os.path.isdir(compiler)


def _architectures(words: Sequence[str]) -> list[str]:
    return [word for word in words if word.startswith(_PAIRED)]


def _is_default(compiler: str) -> bool:
    """Whether nvcc would call it anyway: CMake's FindCUDA names cc, also where an older gcc has to be found."""
    chosen, *defaults = (
        path and os.path.realpath(path) for path in map(shutil.which, (compiler, "gcc", "g++"))
    )
    return chosen is not None and chosen in defaults


def main() -> int:
    os.environ.update(toolkit.environment())
    real = toolkit.nvcc()
    if real is None:
        print(
            "ffi_ext: there is no nvcc on this machine: the CUDA part is left out. To have it, "
            + toolkit.how_to_install(),
            file=sys.stderr,
        )
        return 0
    arguments, dropped = repaired(sys.argv[1:], toolkit.supported(real))
    if dropped:
        instead = ""
        if not _architectures(arguments) and _architectures(dropped):
            try:
                flags = toolkit.architecture_flags(real)
                if _FOR_ONE_GPU.intersection(arguments):
                    flags = [flag for flag in flags if flag.startswith("-gencode")][:1]
            except BuildError as error:
                print(f"ffi_ext: {error}", file=sys.stderr)
                return 1
            arguments += flags
            instead = f", now {' '.join(flags)}"
        print(
            f"ffi_ext: {real} of today does not go with {' '.join(dropped)}: left out{instead}",
            file=sys.stderr,
        )
    arguments += host_compiler.flags(real, arguments)
    folders = [*(f"-I{folder}" for folder in INCLUDE_DIRS), *toolkit.as_system_headers()]
    if any(word.endswith(".cu") for word in arguments):
        arguments += [*host_compiler.comes_back(arguments), *ptx(arguments)]
    for word in sys.argv[1:]:
        if word.endswith(".cu"):
            searched = re.findall(r"(?:^|\0)-I\0?([^\0]+)", "\0".join(sys.argv[1:]))
            folders += cuda_shims.flags(Path(word), searched)
    try:
        return subprocess.call([real, *arguments, *folders])
    except OSError as error:
        print(f"ffi_ext: {real} cannot be started: {error.strerror}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
