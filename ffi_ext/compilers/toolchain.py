"""Compilers found on the machine, and the command lines for them. Argument lists only, never a shell."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path

from ffi_ext.compilers import commands
from ffi_ext.errors import BuildError
from ffi_ext.paths import INCLUDE

CXX_SUFFIXES = (".cpp", ".cc", ".cxx", ".C", ".c++", ".mm")
CUDA_SUFFIXES = (".cu",)
HEADER_SUFFIXES = (".h", ".hpp", ".hh", ".hxx", ".cuh")  # compiled to no object

# As distutils, before the user's flags: asserts of old name variables that are gone. Headers are read with it, too, and
# generated code is compiled with it: without it a struct may have one member more.
RELEASE = "-DNDEBUG"

# By themselves gcc and clang fuse a * b + c where the processor can (aarch64's all do), and change results.
NEVER_FUSED = "-ffp-contract=off"

# What code of 2017 needs from a compiler of today: these were warnings then, or nothing. The header says it once more
# by pragmas, for compilers that do not know an option's name and for scripts that call a compiler themselves.
_LENIENT_HEADER = ("-include", str(INCLUDE / "ffi_ext" / "lenient.h"))
LENIENT = (
    "-Wno-error=implicit-function-declaration",
    "-Wno-error=implicit-int",
    "-Wno-error=incompatible-pointer-types",
    "-Wno-error=int-conversion",
    "-fcommon",  # `int calls;` in a header is one variable, whoever includes it
    *_LENIENT_HEADER,
)
CXX_HEADERS = INCLUDE / "ffi_ext" / "cxx"  # in the place of the compiler's own
LENIENT_CXX = (*_LENIENT_HEADER, f"-I{CXX_HEADERS}")
# A C++ function that ends without the value it promises came back to its caller all the same. Compilers of today take
# its end for a place that is never reached, and leave out whatever leads there. gcc does not where that is to trap.
_GCC_COMES_BACK = ("-fsanitize=unreachable", "-fsanitize-undefined-trap-on-error")
_CLANG_COMES_BACK = ("-fno-strict-return",)
# Its value may end with a quote, behind nvcc's -Xcompiler.
_LOOKS_FOR_UNDEFINED = re.compile(r"-fsanitize=(?!(?:address|thread|leak)\W?$)")

# gcc notes for each token the macros it came out of, a tenth of the time of TH's headers. Only the
# message of an error needs that.
NO_MACRO_NOTES = "-ftrack-macro-expansion=0"

# Generated code that reads less of Python's and TH's headers, where that is enough. What a function of
# a user's header calls must be declared there, or C takes it for one that returns an int.
QUICK = ("-DFFI_EXT_QUICK", "-Werror=implicit-function-declaration")


# What compilers ask the environment for: where headers are, and what __DATE__ and __TIME__ say.
_ASKED_FOR = ("CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "SOURCE_DATE_EPOCH")

PROCESSORS = "/proc/cpuinfo"  # Linux's, with what each of them has

_WRAPPERS = ("ccache", "distcc", "icecc", "sccache")


@dataclass(frozen=True)
class Program:
    """A compiler as it is called: its command, and the file that runs."""

    command: tuple[str, ...]
    path: str

    @property
    def identity(self) -> tuple[str, ...]:
        """Path, size and time of every program file in the command; asking for versions costs a process.

        And the environment's variables that compilers ask for.
        """
        parts = [f"{name}={os.environ.get(name)}" for name in _ASKED_FOR]
        for word in self.command:
            found = shutil.which(word)
            if found:
                status = os.stat(found)
                parts.append(f"{os.path.realpath(found)}:{status.st_size}:{status.st_mtime_ns}")
            else:
                parts.append(word)
        return tuple(parts)

    @property
    def is_gcc(self) -> bool:
        """Whether the file says so by its name; that of "ccache gcc" does not, and macOS's gcc is clang.

        conda's CC and CXX are x86_64-conda-linux-gnu-cc and -c++, files of their own.
        """
        return bool(re.search(r"gcc|g\+\+|-gnu-c(c|\+\+)$", self._name)) and not self.is_clang

    @property
    def is_clang(self) -> bool:
        """The same of clang."""
        is_apples = sys.platform == "darwin" and self._name in ("cc", "c++", "gcc", "g++")
        return is_apples or "clang" in self._name

    def errors_up_to(self, count: int) -> list[str]:
        """The words that have it end after so many errors, and tell of those in a macro where that is used."""
        if self.is_gcc:
            return [NO_MACRO_NOTES, f"-fmax-errors={count}"]
        return [f"-ferror-limit={count}"] if self.is_clang else []

    @property
    def _name(self) -> str:
        """The file's; that of a link to a wrapper, /usr/lib/ccache/g++, says what the wrapper calls."""
        name = os.path.basename(os.path.realpath(self.path))
        return os.path.basename(self.path) if name in _WRAPPERS else name


def _words(variable: str) -> list[str]:
    """What CC, CFLAGS and the like hold, split as a shell does."""
    return shlex.split(os.environ.get(variable, ""))


def _command(variable: str) -> list[str]:
    """A compiler and its arguments; a program whose path has blanks needs no quotes."""
    text = os.environ.get(variable, "")
    return [text] if shutil.which(text) else _words(variable)


def _program(variable: str, default: str, package: str) -> Program:
    command = tuple(_command(variable)) or (default,)
    path = shutil.which(command[0])
    if path is None:
        named = f"{variable}={os.environ[variable]!r}" if os.environ.get(variable) else default
        raise BuildError(
            f"no compiler: {named} was not found on PATH. Install one (Debian and Ubuntu: apt install "
            f"{package}; Fedora: dnf install {package}; macOS: xcode-select --install), or set "
            f"{variable} to the one to use"
        )
    return Program(command, path)


def c_compiler() -> Program:
    """$CC, else gcc, else cc."""
    return _program("CC", "gcc" if shutil.which("gcc") or not shutil.which("cc") else "cc", "gcc")


def c_compiler_is_cxx() -> bool:
    """Whether $CC is a C++ compiler (CC=g++, CC="ccache clang++"); it need not be there."""
    words = [word for word in _command("CC") if not word.startswith("-")]
    return any("++" in os.path.basename(word) for word in words)


def c_dialect() -> list[str]:
    """-std of headers and sources, where nothing else is said; no C++ compiler takes C's.

    Compilers of 2017 took C99 with GNU's extensions (typeof, asm, drand48 in the headers).
    """
    return [] if c_compiler_is_cxx() else ["-std=gnu11"]


def c_standard(given: Iterable[str] = ()) -> list[str]:
    """What C means, where the user's flags behind it, `given`, say nothing else."""
    if c_compiler_is_cxx():
        return cxx_standard(given, "CC")
    return [*c_dialect(), NEVER_FUSED, *LENIENT]


def _default_cxx() -> str:
    return "g++" if shutil.which("g++") or not shutil.which("c++") else "c++"


def cxx_compiler() -> Program:
    """$CXX, else g++, else c++."""
    return _program("CXX", _default_cxx(), "g++" if shutil.which("apt-get") else "gcc-c++")


def cxx_standard(given: Iterable[str], variable: str = "CXX") -> list[str]:
    """What C++ means, where the user's flags behind it, `given`, say nothing else; the compiler need not be there."""
    command = _command(variable) or [_default_cxx()]
    words = [word for word in command if not word.startswith("-")]
    # Behind "ccache g++", and before what -isystem names.
    named = next((word for word in words if "++" in os.path.basename(word)), command[0])
    return [NEVER_FUSED, *LENIENT_CXX, *comes_back(named, given)]


def comes_back(compiler: str, given: Iterable[str]) -> tuple[str, ...]:
    """The flags for C++ functions that end without their value, of a compiler that need not be there."""
    flags = [*environment_flags("CFLAGS", "CXXFLAGS"), *given]
    if any(_LOOKS_FOR_UNDEFINED.search(flag) for flag in flags):
        return ()  # what looks for undefined behaviour shall tell of it, and not trap
    program = Program((compiler,), shutil.which(compiler) or compiler)
    if program.is_gcc:
        return _GCC_COMES_BACK
    return _CLANG_COMES_BACK if program.is_clang else ()


def environment_flags(*names: str) -> list[str]:
    """The words of CFLAGS, CPPFLAGS and the like."""
    return [word for name in names for word in _words(name)]


# Options that change what a header says: its keywords (bool, alignas), macros that it tests (__AVX2__), sizes of types.
_OF_HEADERS = re.compile(
    r"-std=(?:c|gnu)2[3xy]$|-m|-fopenmp|-f(?:no-)?(?:short-enums|(?:un)?signed-char)"
)
_OF_PREPROCESSOR = ("-D", "-I", "-U", "-include", "-imacros", "-iquote", "-isystem", "-idirafter")
_FOR_A_PART = ("-Xpreprocessor", "-Xclang", "-mllvm")  # behind which Apple has -fopenmp


def preprocessor_flags(
    include_dirs: Iterable[str],
    define_macros: Iterable[tuple[str, str | None]],
    undef_macros: Iterable[str],
) -> list[str]:
    """Include directories and macros, as compilers take them."""
    flags = [f"-I{path}" for path in include_dirs]
    flags += [f"-D{n}" if v is None else f"-D{n}={v}" for n, v in define_macros]
    return flags + [f"-U{name}" for name in undef_macros]


def preprocessor_words(arguments: Iterable[str]) -> list[str]:
    """Those of a compiler's arguments that change what a header says; a value in a word of its own goes with them."""
    words = iter(arguments)
    found: list[str] = []
    for word in words:
        if word in (*_OF_PREPROCESSOR, *_FOR_A_PART):
            found += [word, *islice(words, 1)]
        elif word.startswith(_OF_PREPROCESSOR) or _OF_HEADERS.match(word):
            found.append(word)
    return found


def find_header(
    name: str, include_dirs: Iterable[str], arguments: Sequence[str] = ()
) -> str | None:
    """The file that `#include <name>` means, in these directories or where the compiler looks with these arguments."""
    if os.path.isabs(name):
        return None
    flags = preprocessor_words([*environment_flags("CFLAGS", "CPPFLAGS"), *arguments])
    folders = list(include_dirs)
    with contextlib.suppress(BuildError):  # there is no compiler
        command = (*c_compiler().command, *flags)
        folders += _include_path(command, os.environ.get("CPATH"))
    found = (os.path.join(folder, name) for folder in folders)
    return next((path for path in found if os.path.isfile(path)), None)


@cache
def _include_path(command: tuple[str, ...], cpath: str | None) -> list[str]:
    """Where a compiler looks for headers, as gcc and clang tell; asked for once in a process and for each $CPATH."""
    _, text = commands.run([*command, "-E", "-v", "-x", "c", os.devnull])
    _, _, listed = text.partition("search starts here:")
    return re.findall(r"^ (/.*)$", listed.partition("End of search list")[0], re.M)


def native_to(words: Iterable[str]) -> list[str]:
    """What -march=native means here: a cluster's machines share a home, and have several kinds of processors."""
    if not any(word.endswith("=native") for word in words):
        return []
    with contextlib.suppress(OSError), open(PROCESSORS, encoding="utf-8") as lines:
        return [*islice((line for line in lines if line.startswith(("flags", "Features"))), 1)]
    return []


def safe_path(path: str | Path) -> str:
    """A file name that no program takes for an option."""
    text = str(path)
    return os.path.join(".", text) if text.startswith("-") else text


def jobs() -> int:
    """How many compilers run at once: $MAX_JOBS, else the cores that this process may use."""
    value = os.environ.get("MAX_JOBS", "")
    if value.isdigit() and int(value) > 0:
        return int(value)
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1
