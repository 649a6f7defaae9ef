"""What one build makes and of what, and the compilers' command lines for it."""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ffi_ext.compilers import toolchain, universal
from ffi_ext.cuda import cuda_libraries, cuda_objects, host_compiler, toolkit
from ffi_ext.errors import BuildError


@dataclass(frozen=True)
class Generated:
    """What is generated of headers."""

    source: str  # the binary's C: cffi's, with our preamble
    init: str  # __init__.py
    stub: str  # __init__.pyi
    places: dict[str, str]  # function -> "my_lib.h:12", of those that are defined elsewhere
    prototypes: dict[str, str]  # function -> "int f(int n)", of the same
    has_inline: bool  # there are others, which libraries' headers define
    data: list[str]  # variables that headers declare


@dataclass(frozen=True)
class Plan:
    """Everything that a build needs to know. Paths are absolute."""

    target: Path  # the binary; with `own_target`, of the name that it has if it serves every Python
    generated: Generated
    generated_suffix: str  # of the binary's C
    sources: tuple[Path, ...]
    packages: tuple[Path, ...]  # __init__.py files to make where there are none
    of_libraries: frozenset[str]  # names of the headers that are not the project's own
    # Whether the binary may serve every Python, as it does if its code includes none of Python's own headers. With them
    # a binary made by a Python with a GIL serves all that have one (abi3), one made without a GIL that Python alone.
    stable: bool
    own_target: Path | None = None  # of one that serves this Python alone, on Pythons without a GIL
    # Of a project's table: what stands for the target, which an editable install has in another directory each time.
    home: Path | None = None
    include_dirs: tuple[str, ...] = ()
    define_macros: tuple[tuple[str, str | None], ...] = ()
    undef_macros: tuple[str, ...] = ()
    library_dirs: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    runtime_library_dirs: tuple[str, ...] = ()
    extra_objects: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()  # objects of CUDA code that cannot be made on this machine
    compile_args: dict[str, tuple[str, ...]] = field(default_factory=dict)  # cc, cxx, nvcc
    link_args: tuple[str, ...] = ()
    depends: tuple[str, ...] = ()
    language: str | None = None
    with_cuda: bool = False  # C sources may call the CUDA runtime
    is_new: bool = False  # the module's __init__.py was written for this build: if it fails, there is to be none
    gnu89_inline: bool = False  # `inline` without `static` defines the function, as before C99


def _named(plan: Plan, path: str | Path) -> str:
    """A file or directory as compilers are told of it, and as __FILE__ has it.

    Of a project's table from the project's directory, which builds run in: wheels are to tell neither where they were
    built nor one build from another.
    """
    is_within = plan.home and Path(path).is_relative_to(Path.cwd())
    return toolchain.safe_path(os.path.relpath(path) if is_within else path)


def is_cxx(path: Path, language: str | None) -> bool:
    """Whether a source is compiled as C++."""
    return path.suffix in toolchain.CXX_SUFFIXES or (language == "c++" and path.suffix == ".c")


# Of CFLAGS: what generated code is not compiled with. Its warnings as errors would have the quick command fail.
_FOR_THE_USERS = re.compile(r"-O|-W(?![alp],)|-pedantic")


def compile_command(
    plan: Plan, source: Path, generated: bool, quick: bool = False
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The command that compiles a source, without -o, and the compiler's identity.

    Args:
        quick: One that makes the same object sooner and without Python's own headers, or fails: then the other one
            tells.
    """
    include_dirs = [_named(plan, path) for path in plan.include_dirs]
    given = toolchain.preprocessor_flags(include_dirs, plan.define_macros, plan.undef_macros)
    common = [*toolchain.environment_flags("CPPFLAGS"), *given]
    if generated:
        common += [f"-I{path}" for path in universal.python_includes(plan.stable, quick)]
    if source.suffix in toolchain.CUDA_SUFFIXES:
        return _nvcc_command(plan, source, common)
    if is_cxx(source, plan.language):
        program = toolchain.cxx_compiler()
        flags = toolchain.environment_flags("CXXFLAGS")
        arguments = list(plan.compile_args.get("cxx", ()))
        standard = toolchain.cxx_standard(arguments)
    else:
        program = toolchain.c_compiler()
        flags = toolchain.environment_flags("CFLAGS")
        arguments = list(plan.compile_args.get("cc", ()))
        if generated:  # it includes the headers, and is not the user's to optimize or to warn of
            arguments = toolchain.preprocessor_words(arguments)
        standard = toolchain.c_standard(arguments)
        if plan.gnu89_inline and not generated:
            standard.append("-fgnu89-inline")
    if generated:
        # The user's own abs() is called, not the compiler's.
        optimize = ["-O0", "-fno-builtin", *(toolchain.QUICK if quick and plan.stable else ["-w"])]
        flags = [flag for flag in flags if not _FOR_THE_USERS.match(flag)]
    else:
        optimize = ["-O3"]
    always = [toolchain.RELEASE, "-fPIC", "-fasynchronous-unwind-tables"]
    if not generated and not quick:
        always += universal.python_headers_last()
    if quick and program.is_gcc:
        always.append(toolchain.NO_MACRO_NOTES)
    words = [*program.command, *standard, *optimize, *always, *flags, *common, *arguments]
    identity = (*program.identity, *toolchain.native_to(words))
    return (*words, "-c", _named(plan, source)), identity


def _nvcc_command(
    plan: Plan, source: Path, common: list[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    path = toolkit.nvcc()
    if path is None:
        raise BuildError(
            f"no nvcc: .cu sources need it: {toolkit.how_to_install()}. Or leave the .cu sources out to build "
            "the CPU part"
        )
    given = [*toolkit.of_host(common), *plan.compile_args.get("nvcc", ())]
    flags = toolkit.options(path, source, given, plan.include_dirs)
    identity = (*toolchain.Program((path,), path).identity, *host_compiler.variables())
    return (path, *flags, "-c", _named(plan, source)), identity


# At a link they bring code that has the whole process take denormal numbers for 0, torch's and NumPy's too.
_FOR_PROGRAMS = ("-Ofast", "-ffast-math", "-funsafe-math-optimizations")


def link_command(plan: Plan, sources: Iterable[Path], objects: Iterable[str | Path]) -> list[str]:
    """The command that links the objects of the sources, without -o."""
    with_nvcc = any(path.suffix in toolchain.CUDA_SUFFIXES for path in plan.sources)
    with_nvcc = with_nvcc or any(cuda_objects.is_compiled_cuda(path) for path in plan.extra_objects)
    with_runtime = with_nvcc or plan.with_cuda
    cxx = with_nvcc or any(is_cxx(source, plan.language) for source in sources)
    program = toolchain.cxx_compiler() if cxx else toolchain.c_compiler()
    # As setuptools and make do: -fopenmp, -fsanitize=... and -flto are for both.
    flags = toolchain.environment_flags("CXXFLAGS" if cxx else "CFLAGS")
    words = [*program.command, *flags, "-shared"]
    if sys.platform == "darwin":
        words += ["-undefined", "dynamic_lookup"]
    else:
        words += ["-Wl,-Bsymbolic"]
        if plan.gnu89_inline:  # of a header, it is in each object that includes it
            words += ["-Wl,-z,muldefs"]
    words += map(str, objects)
    words += [toolchain.safe_path(path) for path in plan.extra_objects]
    words += [f"-L{path}" for path in plan.library_dirs]
    for path in plan.runtime_library_dirs:  # -Wl would take a comma in the path apart
        words += ["-Xlinker", "-rpath", "-Xlinker", path]
    words += [f"-l{name}" for name in plan.libraries]
    if with_runtime:
        words += cuda_libraries.runtime_words(with_nvcc)
    words += [*plan.link_args, *toolchain.environment_flags("LDFLAGS")]
    return [word for word in words if word not in _FOR_PROGRAMS]


_SYSTEM = [sysconfig.get_config_var("LIBDIR"), "/usr/local/lib", "/usr/lib64", "/usr/lib", "/lib"]
_SYSTEM += [f"/usr/lib/{sysconfig.get_config_var('MULTIARCH')}"]


def linked_files(plan: Plan) -> list[Path]:
    """What the link reads beside what is compiled: objects and libraries."""
    return [*map(Path, plan.extra_objects), *linked_libraries(plan)]


def linked_libraries(plan: Plan) -> list[Path]:
    """The files of libraries that the link may read: those of given names where linkers look, and what flags name."""
    given = [*plan.link_args, *toolchain.environment_flags("LDFLAGS")]
    words = [part for word in given for part in word.removeprefix("-Wl,").split(",")]
    names, folders = list(plan.libraries), list(plan.library_dirs)
    for word, behind in zip(words, [*words[1:], ""], strict=False):
        for flag, found in (("-l", names), ("-L", folders)):
            if word.startswith(flag):
                found.append(word[2:] or behind)
    folders += [*os.environ.get("LIBRARY_PATH", "").split(os.pathsep), *filter(None, _SYSTEM)]
    tried = [
        Path(folder, file)
        for name in dict.fromkeys(names)
        for folder in dict.fromkeys(filter(None, folders))
        for file in _library_files(name)
    ]
    return [path for path in (*tried, *map(Path, words)) if path.is_file()]


def _library_files(name: str) -> list[str]:
    """What `-lname` is looked for as; `-l:file` is that file."""
    return [name[1:]] if name[:1] == ":" else [f"lib{name}.{end}" for end in ("so", "a", "dylib")]
