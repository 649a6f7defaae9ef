"""create_extension: checked arguments -> a real cffi.FFI with .build()."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ffi_ext import cache
from ffi_ext.builder import build as builder
from ffi_ext.builder import generated, wheel_tags
from ffi_ext.builder.extension_arguments import Arguments, Name, base_of, checked, name_of
from ffi_ext.builder.plan import Generated, Plan
from ffi_ext.compilers import toolchain, universal
from ffi_ext.cuda import cuda_libraries, cuda_objects, toolkit
from ffi_ext.errors import warn
from ffi_ext.headers import included
from ffi_ext.paths import INCLUDE

if TYPE_CHECKING:
    import cffi

    class Extension(cffi.FFI):
        """What create_extension returns."""

        def build(self) -> None: ...


def create_extension(
    name: str,
    headers: str | Path | Iterable[str | Path],
    sources: str | Path | Iterable[str | Path],
    verbose: bool = True,
    with_cuda: bool = False,
    package: bool = False,
    relative_to: str | os.PathLike[str] = ".",
    **kwargs: Any,
) -> Extension:
    """Makes a Python module of C functions that take torch tensors.

    The interface and effects of `torch.utils.ffi.create_extension` (PyTorch 0.1.12 to 0.4.1).

    Args:
        name: Dotted name of the module, for example "_ext.my_lib"; nested packages are made.
        headers: Header or headers whose functions and constants are exported. One that is not there is looked for
            where the compiler finds its headers: "fftw3.h", with libraries=["fftw3"].
        sources: C, C++ and CUDA sources; none, to call a library.
        verbose: Print one line for each compiler that runs.
        with_cuda: Include <THC/THC.h>, and use the CUDA toolkit's headers and libraries.
        package: Build for a setup.py with cffi_modules.
        relative_to: A file, usually __file__: relative paths start at its directory.
        **kwargs: As of a setuptools Extension: define_macros, undef_macros, include_dirs,
            library_dirs, libraries, runtime_library_dirs, extra_objects, extra_compile_args (a
            list, of which .cu sources get what headers see, such as -DN=4, or a dict with "cc", "cxx"
            and "nvcc"), extra_link_args, depends, language, source_extension, py_limited_api, optional (setuptools
            leaves it out if it cannot be built).

    Returns:
        A cffi.FFI. Its `build()` compiles and installs the module; `compile()`,
        `distutils_extension()` and setuptools' cffi_modules work too.

    Raises:
        TypeError, ValueError: An argument is of the wrong type, or a name is none.
        FileNotFoundError: A header or a source does not exist.
        HeaderError: A header cannot be read. BuildError: There is no compiler to read it with.
    """
    target = name_of(name, base_of(relative_to))
    refuse_to_replace(target.folder / "__init__.py", target.package)
    if hidden := hidden_by(target.folder, target.package):
        warn(f"create_extension() argument 'name': {hidden}")
    return _make(
        checked(target, target.base, headers, sources, verbose, with_cuda, package, **kwargs)
    )


def of_table(table: dict[str, Any], folder: Path, home: Path) -> Extension:
    """create_extension() for a table of a pyproject.toml in the current directory.

    Args:
        folder: It gets the packages. One there without __init__.py is a namespace, and stays one.
        home: The extension's package in the project.
    """
    keywords = dict(table)
    target = replace(name_of(keywords.pop("name"), folder), home=home)
    return _make(checked(target, base_of("."), **keywords))


def add_directories(options: dict[str, Any], with_cuda: bool) -> None:
    """The directories that the original added, before the user's."""
    first = [str(INCLUDE), str(INCLUDE / "TH")]
    libraries: list[str] = []
    if with_cuda:
        first += [str(INCLUDE / "THC"), *toolkit.include_dirs()]
        libraries += map(str, toolkit.library_dirs())
    options["include_dirs"] = list(dict.fromkeys(first + options.get("include_dirs", [])))
    options["library_dirs"] = list(dict.fromkeys(libraries + options.get("library_dirs", [])))
    if with_cuda:
        _find_libraries_of_pip(options)


def _find_libraries_of_pip(options: dict[str, Any]) -> None:
    """`libraries=["cufft"]` where the toolkit has none: the one that pip installed beside torch."""
    for index, name in enumerate(options.get("libraries", ())):
        found = cuda_libraries.pip_library(name, options["library_dirs"])
        if found is not None:
            options["libraries"][index] = f":{found.name}"
            for key in ("library_dirs", "runtime_library_dirs"):
                options[key] = [*options.get(key, []), str(found.parent)]


def build_and_keep(given: Arguments, kept: Path) -> None:
    """create_extension(...).build(), for what every process builds again and is the same most times.

    Args:
        kept: A file for what is generated of the headers: as long as it is current they are not read again, which
            takes longer than all else where nothing has changed.
    """
    add_directories(given.options, given.with_cuda)
    builder.build(_plan(given, generated.kept_or_made(given, kept)), given.verbose)


def _make(given: Arguments) -> Extension:
    target, options = given.name, given.options
    add_directories(options, given.with_cuda)
    source = generated.Source(given)
    ffi, limited = source.ffi, generated.is_limited(given)
    ffi.set_source(
        f"{target.package}._{target.last}" if given.package else f"_{target.last}",
        source.preamble,
        source_extension=_suffix(given),
        **_for_setuptools(given, limited),
    )
    init_path = target.folder / "__init__.py"
    is_new = not init_path.exists()
    builder.make_packages(target.parents, target.folder)
    if given.package:  # setup.py's find_packages() looks for them before anything is built
        cache.write_if_changed(init_path, source.init)
        cache.write_if_changed(init_path.with_suffix(".pyi"), source.stub)
    elif is_new:  # build scripts may add to it before they build
        cache.replace(init_path, source.init.encode("utf-8", "surrogateescape"))
    before = included.text_at(init_path)

    def build() -> None:
        """Compiles the extension and installs it beside the build script."""
        made = source.generated()
        init_now = made.init + _added(before, included.text_at(init_path))
        plan = replace(_plan(given, replace(made, init=init_now)), is_new=is_new)
        builder.build(plan, given.verbose)

    to_extension = ffi.distutils_extension

    def distutils_extension(*arguments: Any, **keywords: Any) -> Any:
        """cffi's, with the CUDA objects that it links, and for every Python as with cffi_modules."""
        _make_objects(options)
        made = to_extension(*arguments, **keywords)
        made.py_limited_api = limited
        if limited:
            wheel_tags.tag_stable()
        return made

    if given.package and "setuptools" in sys.modules:  # cffi_modules of a setup.py
        _tell_setuptools(target, limited)
        _make_objects(options)
    ffi.distutils_extension = distutils_extension
    ffi.build = build
    return ffi


def _tell_setuptools(target: Name, limited: bool) -> None:
    """What a setup.py that runs a build script needs to know of the module before it is built."""
    if limited:
        wheel_tags.tag_stable()
    package, folder = target.package, target.folder
    while package:
        wheel_tags.made[package] = folder
        package, folder = package.rpartition(".")[0], folder.parent


def _plan(given: Arguments, made: Generated) -> Plan:
    target, options = given.name, given.options
    stable = universal.may_be_stable(options.get("py_limited_api"))
    own = f"_{target.last}{universal.extension_suffix(False)}"
    objects = cuda_objects.objects(options.get("extra_objects", ()))
    for path in objects.left_out:
        print(f"ffi_ext: {path} is missing and there is no nvcc to make it: left out")
    return Plan(
        target=target.folder / f"_{target.last}{universal.extension_suffix(stable)}",
        own_target=target.folder / own if stable and universal.is_free_threaded() else None,
        home=target.home and target.home / own,
        generated=made,
        generated_suffix=_suffix(given),
        sources=(*given.sources, *(p for p in objects.rebuilt if p not in given.sources)),
        extra_objects=objects.present,
        with_cuda=given.with_cuda,
        left_out=objects.left_out,
        packages=target.parents,
        of_libraries=frozenset(path.name for path in given.of_libraries),
        stable=stable,
        **_for_plan(options),
    )


def _suffix(given: Arguments) -> str:
    """Of the generated source."""
    default = ".cpp" if given.options.get("language") == "c++" else ".c"
    return str(given.options.get("source_extension", default))


def refuse_to_replace(init: Path, package: str) -> None:
    """A package of somebody's own stays: what builds have written, in 2017 too, takes the binary's _ffi."""
    text = included.text_at(init)
    says_something = re.search(r"^\s*[^\s#]", text, re.M)
    if says_something and "ffi as _ffi" not in text:
        raise ValueError(
            f"create_extension() argument 'name': the build would replace {init}, which no build has written: "
            f"take another name, such as '{package}._C', or remove that file"
        )


def hidden_by(folder: Path, package: str) -> str:
    """Says which module nobody can import beside the package; a build script of its name nobody means to."""
    module = folder.with_name(f"{folder.name}.py")
    script = getattr(sys.modules["__main__"], "__file__", None) or ""
    if not module.is_file() or os.path.abspath(script) == os.path.abspath(module):
        return ""
    name = package.rpartition(".")[2]
    return (
        f"importing {package} would find the folder {folder.name}, and never {module}: take another name, such as "
        f"'{package[: -len(name)]}_{name}'"
    )


def _make_objects(options: dict[str, Any]) -> None:
    """The CUDA objects among extra_objects, for setuptools."""
    flags = toolchain.preprocessor_flags(
        *(options.get(name, ()) for name in ("include_dirs", "define_macros", "undef_macros"))
    )
    cuda_objects.make(options.get("extra_objects", ()), flags)


def _added(before: str, now: str) -> str:
    """What the build script added to a file since create_extension()."""
    return now[len(before) :] if now.startswith(before) else ""


def _for_setuptools(given: Arguments, limited: bool) -> dict[str, Any]:
    """The keywords for cffi's set_source, as a setuptools Extension takes them."""
    options, sources = given.options, given.sources
    keywords = {k: v for k, v in options.items() if k != "source_extension"}
    args = options.get("extra_compile_args", {})
    cxx = any(path.suffix in toolchain.CXX_SUFFIXES for path in sources)
    in_c = not cxx and options.get("language") != "c++"
    given_flags = args.get("cxx", []) if cxx else args.get("cc", args.get("cxx", []))
    standard = (toolchain.c_standard if in_c else toolchain.cxx_standard)(given_flags)
    flags = [*standard, "-fasynchronous-unwind-tables", *given_flags]
    keywords["extra_compile_args"] = flags
    keywords["sources"] = [str(path) for path in sources]
    if any(path.suffix in toolchain.CUDA_SUFFIXES for path in sources):
        # setuptools compiles no .cu: the setup.py has a build_ext that does, as torch's, by such a dict.
        keywords["extra_compile_args"] = {"cxx": flags, "nvcc": args.get("nvcc", [])}
    if sys.platform.startswith("linux"):
        kernels = bool(options.get("extra_objects"))
        runtime = cuda_libraries.runtime_words(kernels) if given.with_cuda else []
        runtime += ["-lstdc++"] if runtime else []  # which nvcc's objects call
        words = options.get("extra_link_args", [])
        keywords["extra_link_args"] = ["-Wl,-Bsymbolic", *words, *runtime]
    if cxx:
        keywords.setdefault("language", "c++")
    if not limited:
        # else cffi would choose: for free-threaded Pythons their own stable ABI, abi3t
        keywords["py_limited_api"] = False
    return keywords


def _for_plan(options: dict[str, Any]) -> dict[str, Any]:
    """The fields of a Plan that are options as they stand."""
    names = ["include_dirs", "define_macros", "undef_macros", "library_dirs", "libraries"]
    names += ["runtime_library_dirs", "depends"]
    fields: dict[str, Any] = {name: tuple(options.get(name, ())) for name in names}
    fields["link_args"] = tuple(options.get("extra_link_args", ()))
    fields["language"] = options.get("language")
    args = options.get("extra_compile_args", {})
    fields["compile_args"] = {key: tuple(value) for key, value in args.items()}
    return fields
