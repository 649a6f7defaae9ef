"""After the link: functions that nobody defines are reported at build time, not at import."""

from __future__ import annotations

import ctypes
import difflib
import functools
import re
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ffi_ext import elf, types
from ffi_ext.compilers import commands
from ffi_ext.errors import BuildError
from ffi_ext.headers import statements
from ffi_ext.paths import PACKAGE

# What compilers call for flags that the linker must be given, too, and in objects of other languages.
_OF_FLAGS = {
    "-fopenmp": re.compile("GOMP_|omp_|__kmpc_"),
    "-fsanitize=address": re.compile("__asan_"),
    "-fsanitize=undefined": re.compile("__ubsan_"),
    "--coverage": re.compile("__gcov_|llvm_gcov"),
    "-lstdc++": re.compile("__cxa_|__gxx_|_ZN?St|_Znw"),
    "-lgfortran": re.compile("_gfortran_"),
}

# As GNU's linkers say it, and as lld and mold do.
_UNRESOLVED = re.compile(r"undefined reference to [`']([^'`]+)'|undefined (?:\w+ )?symbol: (\S+)")


@dataclass(frozen=True)
class Missing:
    """Names that will not resolve when the binary is loaded."""

    declared: tuple[str, ...] = ()  # in the extension's headers
    as_cxx: tuple[str, ...] = ()  # those of them that a source defines as C++
    th: tuple[str, ...] = ()  # TH's or THC's, which the runtime does not have
    others: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return self.declared + self.th + self.others


def find(binary: Path, declared: dict[str, str], link: list[str]) -> Missing:
    """Looks for names that nothing defines in what `link`, without the output, has made in a folder to write in.

    Raises:
        BuildError: The file is not what a linker that succeeded leaves.
    """
    try:
        found = elf.symbols(binary)
    except elf.ElfError as error:
        raise _no_library(str(error)) from error
    if found is None:
        if sys.platform.startswith("linux") and sys.maxsize > 2**32 and sys.byteorder == "little":
            raise _no_library("it is no 64-bit ELF file")
        return Missing()
    if not any(name.startswith("PyInit") for name in found.defined):
        raise _no_library("it does not define the function that Python calls at the import")
    runtime, process = runtime_names(), ctypes.CDLL(None)  # which has the C library's and Python's
    suspects = [n for n in found.undefined if n not in runtime and not hasattr(process, n)]
    if not suspects:
        return Missing()
    nowhere = sorted(_unresolved(link, binary.with_name("trial")).intersection(suspects))
    rest = [name for name in nowhere if name not in declared]
    mangled = re.findall(
        r"^_Z(\d+)(.*)", "\n".join(found.defined), re.M
    )  # _Z3addff is add(float, float)
    cxx = {name[: int(length)] for length, name in mangled}
    return Missing(
        declared=tuple(name for name in nowhere if name in declared),
        as_cxx=tuple(name for name in nowhere if name in declared and name in cxx),
        th=tuple(name for name in rest if types.is_th_name(name)),
        others=tuple(name for name in rest if not types.is_th_name(name)),
    )


def _no_library(why: str) -> BuildError:
    return BuildError(
        f"the linker reported success but did not make an extension module: {why}. Is the disk full, "
        "or $CC or $CXX a program that is no compiler? What was there before is unchanged"
    )


def absent(missing: Missing, declared: dict[str, str], of_libraries: frozenset[str]) -> list[str]:
    """The functions of libraries' headers that the linked libraries lack: a header is for all ways to build one.

    If they have no function of a header, its library is not linked, which is an error.
    """
    there = {
        statements.file_of(place)
        for name, place in declared.items()
        if name not in missing.declared
    }
    usable = there & of_libraries
    return [name for name in missing.declared if statements.file_of(declared[name]) in usable]


def tell_of(absent: list[str]) -> None:
    """Says what an extension will not have."""
    print(
        f"ffi_ext: the libraries do not have {_some(absent)}: calling {'it' if len(absent) == 1 else 'one'} raises. "
        "Is another library to be linked?",
        file=sys.stderr,
    )


def _some(texts: list[str], separator: str = ", ") -> str:
    """The texts, or the first of many."""
    more = f" and {len(texts) - 8} more" if len(texts) > 9 else ""
    return separator.join(texts[:8] if more else texts) + more


def stand_ins(reasons: dict[str, tuple[str, str]]) -> str:
    """C text of functions that raise: a reason and a place "my_lib.h:12" for each name."""
    lines = ["#ifdef __cplusplus", 'extern "C" {', "#endif"]
    lines.append("void _THError(const char *file, const int line, const char *fmt, ...);")
    for name, (reason, place) in reasons.items():
        file, _, line = re.sub(r'[\\"\n\r%?]', "_", place).rpartition(":")
        head = f"void {name}(void)"  # declared, too, for who has CFLAGS=-Werror=missing-prototypes
        lines.append(f'{head};\n{head} {{ _THError("{file}", {line}, "{reason}"); }}')
    return "\n".join([*lines, "#ifdef __cplusplus", "}", "#endif", ""])


def refuse(missing: Missing, declared: dict[str, str], of_libraries: frozenset[str]) -> None:
    """Raises for what makes the binary useless, and warns of what another library may bring.

    Raises:
        BuildError: A declared function is defined nowhere, or a TH function is not part of the
            runtime.
    """
    if missing.declared:
        places = _some([f"{name} ({declared[name]})" for name in missing.declared], "; ")
        headers = sorted(
            of_libraries & {statements.file_of(declared[name]) for name in missing.declared}
        )
        if headers:
            raise BuildError(
                f"no library that is linked has a function of {', '.join(headers)}: {places}. Name the library in "
                "`libraries`: of libz.so it is libraries=['z']; of one that is all header, define what it lacks in "
                "a source"
            )
        if missing.as_cxx:
            raise BuildError(
                f"declared in a header as C, but a source defines it as C++: {', '.join(missing.as_cxx)}. Write extern "
                '"C" before the function there, or around the #include of the header'
            )
        raise BuildError(
            f"declared in a header but defined in none of the sources: {places}. Define "
            f"{'it' if len(missing.declared) == 1 else 'them'} in a source of the list (not static; C++ and CUDA need "
            'extern "C"), add the object or library that has the definition, or remove the '
            "declaration; in a library's header, which you do not change, it may stay: name that header as the "
            "compiler finds it, by its bare name and its directory in include_dirs"
        )
    if missing.th:
        raise BuildError(
            "the sources use functions of TH or THC that this version of ffi_ext does not have: "
            f"{', '.join(_with_the_nearest(name) for name in missing.th)}. Is the name spelt right? Otherwise "
            "write the operation out over the tensor's data, or do it in Python before the call"
        )
    if "FFI_CHECK" in missing.others:
        raise BuildError("FFI_CHECK is a macro of <ffi_ext.h>: include it where it is used")
    if missing.others:
        flags = {f for f, names in _OF_FLAGS.items() if any(map(names.match, missing.others))}
        hint = f" Add {' '.join(sorted(flags))} to extra_link_args." if flags else ""
        print(
            f"warning: nothing that is linked defines {', '.join(missing.others)}: the import fails unless "
            f"a library that the process has loaded by then does. Is a source or a library missing?{hint}",
            file=sys.stderr,
        )


def warn_of_unwinder(binary: bytes, linked: Path) -> None:
    """C++ that throws finds what catches in the runtime by the unwinder that both share, the system's."""
    if not binary.startswith(b"\x7fELF"):
        return  # macOS's linker has no other
    has_one = elf.has_name(binary, b"_Unwind_RaiseException")
    if has_one and not any(re.search("gcc_s|unwind", name) for name in elf.needed(linked)):
        print(
            "warning: what unwinds C++'s stack is linked in: an exception that leaves C++ ends the process. "
            "Leave out -static-libgcc, or catch all in C++",
            file=sys.stderr,
        )


def tell_of_lost(binary: Path, libraries: Iterable[Path]) -> None:
    """Says which of the linked libraries the import will not find: -L and a path are for the linker alone."""
    shared = {path.parent for path in libraries if ".so" in path.suffixes}
    if not shared or not (ldd := shutil.which("ldd")):
        return
    _, listed = commands.run([ldd, str(binary)])
    for name in re.findall(r"^\s*(\S+) => not found", listed, re.MULTILINE):
        folder = next((folder for folder in sorted(shared) if (folder / name).exists()), None)
        if folder is not None:
            print(
                f"ffi_ext: the import will not find {name}, unless the process has loaded it by then: it lies in "
                f"{folder.absolute()}. Name that directory in runtime_library_dirs (-R of `ffi-ext build`), where "
                "$ORIGIN is the module's own",
                file=sys.stderr,
            )


def _with_the_nearest(name: str) -> str:
    near = difflib.get_close_matches(name, runtime_names(), n=1, cutoff=0.9)
    return f"{name} (did you mean {near[0]}?)" if near else name


@functools.cache
def runtime_names() -> frozenset[str]:
    """What the runtime defines: some thousand names, read once in a process (6 ms)."""
    for path in PACKAGE.glob("_runtime*.so"):
        found = elf.symbols(path)
        if found:
            return found.defined
    return frozenset()


def _unresolved(link: list[str], output: Path) -> set[str]:
    """The names that the libraries of the link do not have either."""
    options = ["-Wl,--no-demangle", "-Wl,--unresolved-symbols=report-all"]
    options += ["-Wl,-z,defs", "-Wl,--warn-unresolved-symbols"]  # mold asks for the first
    options += ["-o", str(output)]
    status, log = commands.run([*link, *options])
    if status:  # GNU's ld looks into what libraries need themselves, and then wants it named
        at = next(index for index, word in enumerate(link) if word.endswith(".o"))
        deep = [*link[:at], "-Wl,--copy-dt-needed-entries", *link[at:]]
        _, log = commands.run([*deep, *options])
    found = _UNRESOLVED.findall(log)
    return {name or other for name, other in found}
