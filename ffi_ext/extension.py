"""create_extension: arguments -> checked paths and names -> a real cffi.FFI with .build()."""

from __future__ import annotations

import difflib
import glob
import keyword
import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ffi_ext import build as builder
from ffi_ext import cache, cuda, cuda_objects, elf, preprocess, toolchain, wheels

if TYPE_CHECKING:
    import cffi

    from ffi_ext import declarations

    class Extension(cffi.FFI):
        """What create_extension returns."""

        def build(self) -> None: ...


LOADER_WORDS = ("$ORIGIN", "@loader_path", "@rpath")  # of runtime_library_dirs: known at import
PATH_LISTS = ("include_dirs", "library_dirs", "runtime_library_dirs", "extra_objects", "depends")
TEXT_LISTS = ("undef_macros", "libraries", "extra_link_args", "swig_opts", "export_symbols")
OTHERS = {
    "define_macros",
    "extra_compile_args",
    "language",
    "source_extension",
    "py_limited_api",
    "optional",
}
KEYWORDS = frozenset({*PATH_LISTS, *TEXT_LISTS, *OTHERS})
NAMED = {"name", "headers", "sources", "verbose", "with_cuda", "package", "relative_to"}


@dataclass(frozen=True)
class Name:
    """An extension's dotted name and where it goes."""

    parts: tuple[str, ...]
    base: Path
    has_namespaces: bool = False  # packages without __init__.py, above the first that has one

    @property
    def last(self) -> str:
        return self.parts[-1]

    @property
    def folder(self) -> Path:
        return self.base.joinpath(*[part for part in self.parts if part])

    @property
    def package(self) -> str:
        return ".".join(part for part in self.parts if part)

    @property
    def parents(self) -> tuple[Path, ...]:
        """The __init__.py of every package above the last, but for namespaces."""
        folders: list[Path] = []
        here = self.base
        for part in self.parts[:-1]:
            here = here / part if part else here
            init = here / "__init__.py"
            if folders or not self.has_namespaces or init.exists():
                folders.append(init)
        return tuple(folders)


def create_extension(
    name: str,
    headers: str | Sequence[str],
    sources: str | Sequence[str],
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
            list, or a dict with "cc", "cxx" and "nvcc"), extra_link_args, depends, language,
            source_extension, py_limited_api.

    Returns:
        A cffi.FFI. Its `build()` compiles and installs the module; `compile()`,
        `distutils_extension()` and setuptools' cffi_modules work too.

    Raises:
        TypeError, ValueError: An argument is of the wrong type, or a name is none.
        FileNotFoundError: A header or a source does not exist.
        HeaderError: A header cannot be read. BuildError: There is no compiler to read it with.
    """
    return _create(
        _name(name, _base(relative_to)), headers, sources, verbose, with_cuda, package, kwargs
    )


def of_table(table: dict[str, Any], folder: Path, verbose: bool) -> Extension:
    """create_extension() for a table of a pyproject.toml, in `folder`, which has the project's packages.

    A package there without __init__.py is a namespace, and stays one.
    """
    arguments = dict(table)
    name = replace(_name(arguments.pop("name"), folder), has_namespaces=True)
    headers, sources = arguments.pop("headers"), arguments.pop("sources")
    flags = (arguments.pop("with_cuda", False), arguments.pop("package", False))
    return _create(name, headers, sources, verbose, *flags, arguments)


def _create(
    target: Name,
    headers: str | Sequence[str],
    sources: str | Sequence[str],
    verbose: bool,
    with_cuda: bool,
    package: bool,
    keywords: dict[str, Any],
) -> Extension:
    header_paths, of_libraries = _headers(headers, target.base, keywords.get("include_dirs"))
    source_paths = _files("sources", sources, target.base)
    for argument, value in (("verbose", verbose), ("with_cuda", with_cuda), ("package", package)):
        if not isinstance(value, (bool, int)):
            raise _wrong(argument, "True or False", value)
    options = _options(keywords, target.base)
    add_directories(options, with_cuda)
    flags = bool(verbose), bool(with_cuda), bool(package)
    return _make(target, header_paths, of_libraries, source_paths, *flags, options)


def _wrong(argument: str, expected: str, value: object) -> TypeError:
    return TypeError(
        f"create_extension() argument '{argument}': expected {expected}, got "
        f"{type(value).__name__} {value!r}"
    )


def _base(relative_to: object) -> Path:
    if not isinstance(relative_to, (str, os.PathLike)):
        raise _wrong("relative_to", "a file path, usually __file__", relative_to)
    path = os.fspath(relative_to)
    if not isinstance(path, str):
        raise _wrong("relative_to", "a str path", relative_to)
    return Path(os.path.abspath(os.path.dirname(path)))


def _name(name: object, base: Path) -> Name:
    if not isinstance(name, str):
        raise _wrong("name", "a dotted name such as '_ext.my_lib'", name)
    parts = name.split(".")
    checked = parts[1:] if parts[0] == "" and len(parts) > 1 else parts  # '.ext.a' starts at base
    for part in checked:
        if not part.isidentifier() or keyword.iskeyword(part):
            raise ValueError(
                f"create_extension() argument 'name': {name!r} is no module name: {part!r} must be a "
                "Python identifier and no keyword, since `import` and the C compiler both use it"
            )
    if parts[0] in ("torch", "ffi_ext"):
        raise ValueError(
            f"create_extension() argument 'name': a package {parts[0]!r} in {base} would hide the one that "
            "its functions need; take another name"
        )
    return Name(tuple(parts), base)


def _texts(argument: str, value: object) -> list[str]:
    if isinstance(value, (str, os.PathLike)):
        value = [value]
    if not isinstance(value, Iterable) or isinstance(value, (bytes, dict)):
        raise _wrong(argument, "a str or a list of str", value)
    texts = []
    for item in value:
        text = os.fspath(item) if isinstance(item, os.PathLike) else item
        if not isinstance(text, str):
            raise _wrong(argument, "a list of str", item)
        if "\0" in text:
            raise ValueError(f"create_extension() argument '{argument}': a null byte in {text!r}")
        texts.append(text)
    return texts


def _headers(
    value: object, base: Path, include_dirs: object
) -> tuple[tuple[Path, ...], frozenset[Path]]:
    """The headers, and those among them that are a library's, as `#include <fftw3.h>` finds them, not the project's."""
    found, given = {}, _texts("headers", value)
    for text in given:
        if not os.path.exists(_joined(base, text)):
            folders = [_joined(base, p) for p in _texts("include_dirs", include_dirs or ())]
            if path := toolchain.find_header(text, folders):
                found[text] = os.path.abspath(path)
    paths = _files("headers", [found.get(text, text) for text in given], base)
    of_libraries = {p for p in paths if str(p) in found.values() or builder.is_installed(str(p))}
    return paths, frozenset(of_libraries)


def _files(argument: str, value: object, base: Path) -> tuple[Path, ...]:
    paths = []
    for text in _texts(argument, value):
        path = Path(_joined(base, text))
        if not path.is_file():
            kind = "is a directory" if path.is_dir() else "does not exist"
            near = difflib.get_close_matches(path.name, _siblings(path), n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            places = f"in {base} (relative paths start at the directory of relative_to)"
            where = "" if os.path.isabs(text) else f" {places}"
            where += " nor where the compiler looks for headers" * (argument == "headers")
            raise FileNotFoundError(
                f"create_extension() argument '{argument}': {text!r} {kind}{where}{hint}"
            )
        paths.append(Path(os.path.normpath(path)))
        if argument == "headers" and {'"', "\n", "\r"} & set(str(paths[-1])):
            raise ValueError(
                f"create_extension() argument 'headers': C's #include cannot name {str(paths[-1])!r}; "
                "rename the file or its directory, without quotes and line breaks"
            )
    return tuple(paths)


def _joined(base: Path, text: str) -> str:
    """A path of a script, which may have been written on Windows, with backslashes."""
    path = os.path.join(base, text)
    if os.sep == "/" and not os.path.exists(path):
        path = os.path.join(base, text.replace("\\", "/"))
    return path


def _siblings(path: Path) -> list[str]:
    return os.listdir(path.parent) if path.parent.is_dir() else []


def _options(kwargs: dict[str, Any], base: Path) -> dict[str, Any]:
    """The keywords, checked, with relative paths resolved."""
    options: dict[str, Any] = {}
    for key, value in kwargs.items():
        if key not in KEYWORDS:
            known = sorted(KEYWORDS | NAMED)
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else f"; known are {', '.join(known)}"
            raise TypeError(f"create_extension() got an unknown keyword argument '{key}'{hint}")
        if value is None:
            continue
        if key in PATH_LISTS:
            options[key] = [
                p if p.startswith(LOADER_WORDS) else os.path.normpath(_joined(base, p))
                for p in _texts(key, value)
            ]
        elif key in TEXT_LISTS:
            options[key] = _texts(key, value)
        elif key == "define_macros":
            options[key] = _macros(value)
        elif key == "extra_compile_args":
            options[key] = _compile_args(value)
        elif key in ("language", "source_extension") and not isinstance(value, str):
            raise _wrong(key, "a str", value)
        else:
            options[key] = value
    if options.get("language") not in (None, "c", "c++"):
        raise ValueError(
            f"create_extension() argument 'language': expected 'c' or 'c++', got {options['language']!r}"
        )
    return options


def _macros(value: object) -> list[tuple[str, str | None]]:
    if not isinstance(value, (list, tuple)):
        raise _wrong("define_macros", "a list of (name, value) pairs", value)
    macros: list[tuple[str, str | None]] = []
    for item in value:
        pair = (
            (item, None)
            if isinstance(item, str)
            else tuple(item)
            if isinstance(item, (list, tuple))
            else ()
        )
        if len(pair) == 1:
            pair = (pair[0], None)
        if len(pair) != 2 or not isinstance(pair[0], str):
            raise _wrong("define_macros", "a list of (name, value) pairs", item)
        if not pair[0].isidentifier():
            raise ValueError(
                f"create_extension() argument 'define_macros': {pair[0]!r} is no macro name"
            )
        macros.append((pair[0], None if pair[1] is None else str(pair[1])))
    return macros


def _compile_args(value: object) -> dict[str, list[str]]:
    if isinstance(value, dict):
        unknown = set(value) - {"cc", "cxx", "nvcc"}
        if unknown:
            raise ValueError(
                "create_extension() argument 'extra_compile_args': a dict has the keys 'cc', 'cxx' "
                f"and 'nvcc', got {sorted(map(str, unknown))}"
            )
        return {key: _texts(f"extra_compile_args[{key!r}]", args) for key, args in value.items()}
    if isinstance(value, str):
        raise _wrong("extra_compile_args", "a list of str, or a dict of lists", value)
    args = _texts("extra_compile_args", value)
    return {
        "cc": args,
        "cxx": [a for a in args if not a.startswith("-std=c") or "++" in a],
        "nvcc": [],
    }


def add_directories(options: dict[str, Any], with_cuda: bool) -> None:
    """The directories that the original added, before the user's."""
    include = builder.INCLUDE
    first = [str(include), str(include / "TH")]
    libraries: list[str] = []
    if with_cuda:
        first.append(str(include / "THC"))
        first += cuda.include_dirs()
        libraries += map(str, cuda.library_dirs())
        first += glob.glob("/Developer/NVIDIA/CUDA-*/include")
        if sys.platform == "win32":
            for variable in ("CUDA_PATH", "NVTOOLSEXT_PATH"):
                root = os.environ.get(variable, "")
                first.append(os.path.join(root, "include"))
                libraries.append(os.path.join(root, "lib", "x64"))
    options["include_dirs"] = list(dict.fromkeys(first + options.get("include_dirs", [])))
    options["library_dirs"] = list(dict.fromkeys(libraries + options.get("library_dirs", [])))


def _make(
    target: Name,
    headers: tuple[Path, ...],
    of_libraries: frozenset[Path],
    sources: tuple[Path, ...],
    verbose: bool,
    with_cuda: bool,
    package: bool,
    options: dict[str, Any],
) -> Extension:
    import cffi

    from ffi_ext import ctext, declarations
    from ffi_ext.codegen import cffi_source, csource, module, stub

    ffi = cffi.FFI()
    declared = declarations.read(headers, preprocess.Reader(options), ffi, of_libraries)
    if headers and not (declared.functions or declared.constants or declared.variables):
        import warnings

        warnings.warn(
            f"create_extension(): {csource.header_names(headers)} declares no function, constant or variable: "
            f"{target.package} will be empty. Is all of it static, behind an #ifdef, or in a header that it "
            "includes? Only what stands in the named headers themselves is exported",
            stacklevel=4,
        )
    init = module.init_py(target.package, target.last, declared)
    pyi = stub.stub_pyi(target.package, declared)
    preamble = csource.preamble(
        declared,
        with_cuda=with_cuda,
        cxx_names=toolchain.c_compiler_is_cxx(),
        keeps_gil=_works_on_objects((*headers, *sources)),
        may_lack=[
            name
            for name, place in declared.variables.items()
            if ctext.file_of(place) in {path.name for path in of_libraries}
            and f"variable {name}"
            in ffi._parser._declarations  # cffi reads numbers that are const at once
        ],
    )
    preamble += _origin(declared, sources, with_cuda, options)
    full_name = f"{target.package}._{target.last}"
    suffix = options.get("source_extension", ".cpp" if options.get("language") == "c++" else ".c")
    ffi.set_source(
        full_name if package else f"_{target.last}",
        preamble,
        source_extension=suffix,
        **_for_setuptools(options, sources, with_cuda),
    )
    limited = toolchain.uses_limited_api(options.get("py_limited_api"))
    binary = target.folder / f"_{target.last}{toolchain.extension_suffix(limited)}"
    init_path = target.folder / "__init__.py"
    texts = ((init_path, init), (target.folder / "__init__.pyi", pyi))
    for path in target.parents:
        builder.Build.make_folder(path.parent)
        if not path.exists():
            cache.replace(path, b"")
    builder.Build.make_folder(target.folder)
    if package:  # setup.py's find_packages() looks for them before anything is built
        if "setuptools" in sys.modules and limited:
            wheels.tag_abi3()
        for path, text in texts:
            cache.write_if_changed(path, text)
    elif not init_path.exists():  # build scripts may add to it before they build
        cache.replace(init_path, init.encode("utf-8", "surrogateescape"))
    before = _text_at(init_path)

    def plan() -> builder.Plan:
        objects = cuda_objects.objects(options.get("extra_objects", ()))
        for path in objects.left_out:
            print(f"ffi_ext: {path} is missing and there is no nvcc to make it: left out")
        return builder.Plan(
            target=binary,
            generated=cffi_source.cffi_source(ffi, full_name, preamble, declared, limited),
            generated_suffix=suffix,
            sources=(*sources, *(path for path in objects.rebuilt if path not in sources)),
            extra_objects=objects.present,
            with_cuda=with_cuda,
            left_out=objects.left_out,
            texts=((init_path, init + _added(before, _text_at(init_path))), texts[1]),
            packages=target.parents,
            declared={f.name: f.location for f in declared.functions},
            prototypes={f.name: f.prototype for f in declared.functions},
            of_libraries=frozenset(path.name for path in of_libraries),
            limited=limited,
            **_for_plan(options),
        )

    def build() -> None:
        """Compiles the extension and installs it beside the build script."""
        builder.build(plan(), verbose)

    to_extension = ffi.distutils_extension

    def distutils_extension(*arguments: Any, **keywords: Any) -> Any:
        """cffi's, with the CUDA objects that it links."""
        make_objects()
        return to_extension(*arguments, **keywords)

    def make_objects() -> None:
        flags = toolchain.preprocessor_flags(
            *(options.get(name, ()) for name in ("include_dirs", "define_macros", "undef_macros"))
        )
        cuda_objects.make(options.get("extra_objects", ()), flags, builder.INCLUDE)

    if package and "setuptools" in sys.modules:  # cffi_modules of a setup.py
        make_objects()
    ffi.distutils_extension = distutils_extension
    ffi.build = build  # type: ignore[attr-defined]
    return ffi


def _works_on_objects(paths: Iterable[Path]) -> bool:
    """Whether C code works on Python's objects and takes for granted that it may: the GIL then stays with the call.

    The original released it there, too, which went well as long as Python did without its thread's state.
    """
    texts = [_text_at(path) for path in paths]
    include = re.compile(r'^[ \t]*#[ \t]*include[ \t]*[<"]Python\.h', re.M)
    return any(map(include.search, texts)) and not any("PyGILState_Ensure" in t for t in texts)


def _origin(
    declared: declarations.Declarations,
    sources: tuple[Path, ...],
    with_cuda: bool,
    options: dict[str, Any],
) -> str:
    """C that keeps in the binary what it was built from, for `ffi-ext inspect`.

    Paths are relative to the folder that has all of them, so that binaries do not tell of the machine.
    """
    import json

    from ffi_ext import __version__
    from ffi_ext.codegen import csource

    headers = declared.headers
    base = os.path.commonpath([path.parent for path in (*headers, *sources)] or [Path("/")])
    facts: dict[str, Any] = {
        "ffi_ext": __version__,
        "headers": [os.path.relpath(path, base) for path in headers],
        "sources": [os.path.relpath(path, base) for path in sources],
    }
    if with_cuda:
        facts["with_cuda"] = True
    variadic = {f.python_name: _described(f) for f in declared.functions if f.variadic}
    if variadic:  # which the table of functions does not have
        facts["variadic"] = variadic
    for name in ("define_macros", "libraries", "extra_link_args"):
        if options.get(name):
            facts[name] = options[name]
    flags = {k: v for k, v in options.get("extra_compile_args", {}).items() if v}
    if flags:
        facts["extra_compile_args"] = flags
    text = csource.quoted(json.dumps(facts, sort_keys=True))
    where = f'__attribute__((used, section("{elf.ORIGIN}")))'
    return f"#ifdef __ELF__\nstatic const char ffi_ext_origin[] {where} = {text};\n#endif\n"


def _described(function: declarations.Function) -> dict[str, Any]:
    from ffi_ext.codegen import csource

    return {
        "names": [parameter.name for parameter in function.parameters],
        "codes": [function.result_code, *(parameter.code for parameter in function.parameters)],
        "doc": csource.documentation(function),
    }


def _text_at(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError:
        return ""


def _added(before: str, now: str) -> str:
    """What the build script added to a file since create_extension()."""
    return now[len(before) :] if now.startswith(before) else ""


def _for_setuptools(
    options: dict[str, Any], sources: tuple[Path, ...], with_cuda: bool
) -> dict[str, Any]:
    """The keywords for cffi's set_source, as a setuptools Extension takes them."""
    keywords = {k: v for k, v in options.items() if k not in ("source_extension", "optional")}
    args = options.get("extra_compile_args", {})
    cxx = any(path.suffix in toolchain.CXX_SUFFIXES for path in sources)
    in_c = not cxx and options.get("language") != "c++"
    standard = [*toolchain.C_STANDARD, *toolchain.LENIENT] if in_c else []
    given_flags = args.get("cxx", []) if cxx else args.get("cc", args.get("cxx", []))
    flags = [*standard, "-fasynchronous-unwind-tables", *given_flags]
    keywords["extra_compile_args"] = flags if sys.platform != "win32" else args.get("cc", [])
    keywords["sources"] = [str(path) for path in sources]
    if any(path.suffix in toolchain.CUDA_SUFFIXES for path in sources):
        # setuptools compiles no .cu: the setup.py has a build_ext that does, as torch's, by such a dict.
        host = keywords["extra_compile_args"]
        keywords["extra_compile_args"] = {"cxx": host, "nvcc": args.get("nvcc", [])}
    if sys.platform.startswith("linux"):
        kernels = bool(options.get("extra_objects"))
        runtime = cuda.runtime_words(kernels) if with_cuda else []
        runtime += ["-lstdc++"] if runtime else []  # which nvcc's objects call
        given = options.get("extra_link_args", [])
        keywords["extra_link_args"] = ["-Wl,-Bsymbolic", *given, *runtime]
    if cxx:
        keywords.setdefault("language", "c++")
    return keywords


def _for_plan(options: dict[str, Any]) -> dict[str, Any]:
    names = ("include_dirs", "define_macros", "undef_macros", "library_dirs", "libraries")
    names += ("runtime_library_dirs", "depends")  # type: ignore[assignment]
    fields: dict[str, Any] = {name: tuple(options.get(name, ())) for name in names}
    fields["link_args"] = tuple(options.get("extra_link_args", ()))
    fields["language"] = options.get("language")
    args = options.get("extra_compile_args", {})
    fields["compile_args"] = {key: tuple(value) for key, value in args.items()}
    return fields
