"""Builds ffi_ext's C runtime; everything else is declared in pyproject.toml."""

import os
import re
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

if sys.platform == "win32":
    raise SystemExit(
        "ffi_ext: expected Linux or macOS, got Windows: the C runtime is written for their compilers, threads and "
        "dynamic linkers. In WSL (wsl --install) ffi_ext installs as on Linux"
    )

CSRC = Path("ffi_ext/csrc")
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


# Headers, and the lists of functions for each element type that they expand.
DECLARED = {
    "TH/THStorage.h": ["THStorage"],
    "TH/THBlas.h": ["THBlas"],
    "TH/THVector.h": ["THVector"],
    "TH/THTensor.h": ["THTensor", "THTensorCopy", "THTensorRandom", "THTensorMath", "THTensorConv", "THTensorLapack"],
    "THC/THCStorage.h": ["THCStorage"],
    "THC/THCStorageCopy.h": ["THCStorageCopy"],
    "THC/THCTensor.h": ["THCTensor"],
    "THC/THCTensorCopy.h": ["THCTensorCopy"],
    "THC/THCTensorMath.h": ["THCTensorMath"],
}  # fmt: skip


def declare() -> None:
    """Writes include/TH/declared and include/THC/declared, which the headers prefer to their lists; see THGeneral.h.

    What the lists declare, as the compiler expands them; TH_API stays, which differs in C and C++.
    """
    compiler = shlex.split(os.environ.get("CC") or str(sysconfig.get_config_var("CC")))
    flags = ["-E", "-DFFI_EXT_DECLARE", "-DFFI_EXT_NO_CUDA_HEADERS", "-Iffi_ext/include"]
    try:
        done = subprocess.run(
            [*compiler, *flags, "-xc", "-"],
            input='#include "THC/THC.h"',  # and TH
            stdout=subprocess.PIPE,  # what is wrong is there to read
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(
            f"ffi_ext: its C runtime is compiled when it is installed, and the C compiler failed: {error}. A C and a "
            "C++ compiler with the C library's headers are needed: apt install gcc g++ libc6-dev (dnf install gcc "
            "gcc-c++; xcode-select --install), or set CC and CXX"
        ) from None
    header_of = {
        f"generic/{name}.h": header for header, names in DECLARED.items() for name in names
    }
    kept: dict[str | None, list[str]] = {header: [] for header in DECLARED}
    kept[None] = []  # all that is in no list
    header = None
    for line in done.stdout.splitlines():
        marker = re.match(r'#\s*\d+ "([^"]*)"', line)
        if marker:
            header = header_of.get("/".join(marker[1].split("/")[-2:]))
        else:
            kept[header].append(line)
    for name in DECLARED:
        include = Path("ffi_ext/include", name)
        target = include.parent / "declared" / include.name
        words = " ".join(" ".join(kept[name]).split())
        text = re.sub("; (?=TH_API|typedef)", ";\n", words)
        if name.startswith("THC/"):
            text = re.sub(r"\bTHHalf\b", "FFI_EXT_CUDA_HALF", text)
        text = f"/* Made by setup.py from the files of generic/. */\n{text}\n"
        if not target.exists() or target.read_text() != text:
            target.parent.mkdir(exist_ok=True)
            target.write_text(text)


class BuildRuntime(build_ext):
    """C files are C11 with GNU extensions, the one C++ file is C++17: setuptools has one list of flags for both."""

    def get_ext_filename(self, fullname: str) -> str:
        # Python 3.15 has the platform in the name, which 3.13 and older do not look for.
        return re.sub(r"\.abi3-[\w-]+\.so$", ".abi3.so", super().get_ext_filename(fullname))

    def build_extension(self, ext: Extension) -> None:
        compile_one = self.compiler._compile

        def compile_by_language(obj, src, ext, cc_args, extra, pp_opts):
            standard = "-std=c++17" if src.endswith(".cpp") else "-std=gnu11"
            compile_one(obj, src, ext, cc_args, [*extra, standard], pp_opts)

        self.compiler._compile = compile_by_language
        try:
            super().build_extension(ext)
        finally:
            self.compiler._compile = compile_one


# The call goes through five C files; compiled as one they are a tenth quicker. Only gcc is sure to have the linker
# plugin that this needs.
LINUX_GCC = sys.platform.startswith("linux") and "gcc" in (
    os.environ.get("CC") or str(sysconfig.get_config_var("CC"))
)
LINK_TIME = ["-flto=auto"] if LINUX_GCC and "-fno-lto" not in os.environ.get("CFLAGS", "") else []

declare()
# Exceptions pass through C: inlined into what catches them, it must not count as code that never throws.
compile_args = [
    "-O3",
    "-g0",
    "-Wall",
    "-Wextra",
    "-Wno-unused-parameter",  # of THC's functions, which take a state, of Python's, of callbacks
    "-fasynchronous-unwind-tables",
    "-fexceptions",
    # TH's numbers are those of plain C where processors can fuse a * b + c, too: the remainder of 0.5 and 0.1,
    # x - y * floor(x / y), is 0, and -2.8e-17 when fused.
    "-ffp-contract=off",
    *LINK_TIME,
]
# A link that compiles has the last word on -g, which setuptools passes: half of the binary, and where it was built.
link_args = ["-Wl,-Bsymbolic-functions", f"-Wl,--version-script={CSRC / 'exports.map'}", "-O3"]
link_args += ["-g0", *LINK_TIME]

setup(
    options={} if FREE_THREADED else {"bdist_wheel": {"py_limited_api": "cp310"}},
    cmdclass={"build_ext": BuildRuntime},
    ext_modules=[
        Extension(
            "ffi_ext._runtime",
            sources=[str(path) for path in sorted([*CSRC.glob("*.c"), *CSRC.glob("*.cpp")])],
            depends=[
                str(path)
                for pattern in ("csrc/*.h", "csrc/*.map", "csrc/generic/*.c", "include/**/*.h")
                for path in sorted(Path("ffi_ext").glob(pattern))
            ],
            include_dirs=["ffi_ext/include", str(CSRC)],
            define_macros=[] if FREE_THREADED else [("Py_LIMITED_API", "0x030A0000")],
            py_limited_api=not FREE_THREADED,
            extra_compile_args=compile_args,
            extra_link_args=link_args if sys.platform.startswith("linux") else [],
            language="c++",
        )
    ],
)
