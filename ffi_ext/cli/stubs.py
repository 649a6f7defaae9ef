"""`ffi-ext stubs`: the typed stub (.pyi) of headers, or of a module that was built."""

from __future__ import annotations

import argparse
import importlib.util
import os
import shlex
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from ffi_ext.cli.terminal import OK, PROBLEMS, complain

EXAMPLES = """\
examples:
  ffi-ext stubs my_lib.h                 to the screen; nothing is built
  ffi-ext stubs my_lib.h -o my_lib.pyi   to a file
  ffi-ext stubs _ext/my_lib              beside the module, which is imported
  ffi-ext stubs --check _ext/my_lib      exit code 1 if that file differs
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    parser.add_argument(
        "targets", nargs="+", metavar="TARGET", help="headers, or one generated package's directory"
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="where to write it")
    parser.add_argument(
        "-I",
        dest="include_dirs",
        action="append",
        default=[],
        metavar="DIR",
        help="headers lie there",
    )
    parser.add_argument("--check", action="store_true", help="write nothing, compare")


def main(options: argparse.Namespace) -> int:
    from ffi_ext import cache
    from ffi_ext.errors import BuildError

    if problem := _unfit(options.targets):
        return complain(problem)
    folder = Path(options.targets[0])
    output = Path(options.output) if options.output else None
    if folder.is_dir():
        output = output or folder / "__init__.pyi"
        try:
            text = of_module(_imported(folder), _package(folder))
        except (ImportError, TypeError) as error:
            return complain(f"{folder} cannot be imported: {error}", PROBLEMS)
    else:
        try:
            text = of_headers(options.targets, options.include_dirs)
        except BuildError as error:
            return complain(str(error), PROBLEMS)
    if options.check:
        if output is None:
            return complain("--check of headers needs -o FILE, the stub to compare with")
        if output.is_file() and output.read_text(encoding="utf-8") == text:
            return OK
        return complain(f"{output} is missing or not what `ffi-ext stubs` writes", PROBLEMS)
    if output is None:
        print(text, end="")
    else:
        cache.write_if_changed(output, text)
        print(f"wrote {output}")
    return OK


def _unfit(targets: list[str]) -> str:
    """What is wrong with them, if they are neither headers nor one package."""
    from ffi_ext.toolchain import CUDA_SUFFIXES, CXX_SUFFIXES

    folder = Path(targets[0])
    if folder.is_dir():
        if len(targets) > 1:
            return "one package at a time, or headers"
        if not (folder / "__init__.py").is_file():
            return f"{folder} is no package: name a generated one, such as _ext/my_lib"
        return ""
    for target in targets:
        suffix = Path(target).suffix
        if not Path(target).is_file():
            return f"there is no header or package directory {target!r}"
        if suffix == ".so":
            package = shlex.quote(os.path.dirname(target) or ".")
            return f"{target} is no header: for a built module, ffi-ext stubs {package}"
        if suffix in (".c", *CXX_SUFFIXES, *CUDA_SUFFIXES):
            return f"{target} is a source: a stub has the functions of headers; name its header"
    return ""


def of_headers(headers: list[str], include_dirs: list[str]) -> str:
    """The stub of a module that is built from these headers."""
    import cffi

    from ffi_ext.codegen import stub
    from ffi_ext.headers import declarations, preprocess
    from ffi_ext.paths import INCLUDE_DIRS

    read = preprocess.Reader({"include_dirs": INCLUDE_DIRS + include_dirs})
    paths = [Path(os.path.abspath(header)) for header in headers]
    return stub.stub_pyi(paths[0].stem, declarations.read(paths, read, cffi.FFI()))


def _package(folder: Path) -> str:
    """The dotted name that its __init__.py begins with."""
    from ffi_ext.codegen import module

    head = (folder / "__init__.py").read_text(encoding="utf-8", errors="replace")[:200]
    match = module.MADE.match(head)
    return match[1] if match else folder.name


def imported_as(name: str, package: Path) -> ModuleType:
    """The package in a directory, as a module of that name."""
    spec = importlib.util.spec_from_file_location(
        name, package / "__init__.py", submodule_search_locations=[str(package)]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _imported(folder: Path) -> ModuleType:
    from ffi_ext import legacy

    name = f"_ffi_ext_stubs.{folder.name}"  # beside Python's own zlib, say
    there = legacy.Finder in sys.meta_path
    legacy.install()  # packages that were generated long ago ask for torch.utils.ffi
    try:
        return imported_as(name, folder)
    finally:
        if not there:
            legacy.uninstall()


def of_module(module: ModuleType, package: str) -> str:
    """The stub of an imported module, from the prototypes that its binary holds."""
    from ffi_ext.cli import inspect
    from ffi_ext.codegen import stub
    from ffi_ext.headers import declared

    names = getattr(module, "__all__", None)
    if names is None or not hasattr(module, "_lib"):
        raise TypeError("it was not made by ffi_ext or torch.utils.ffi")
    assert module.__file__ is not None
    binary = inspect.binary_of(Path(module.__file__).parent)
    variadic = inspect.origin(binary).get("variadic", {})
    functions, constants = [], {}
    for name in names:
        if name not in vars(module):
            continue  # a variable, read at each access
        value: Any = vars(module)[name]
        record, doc = getattr(value, "__self__", value), value.__doc__ or ""
        if not hasattr(record, "codes"):
            kind = type(value) if isinstance(value, (int, float, bytes)) else None
            constants[name] = "Any" if kind is None else kind.__name__
            continue
        if name in variadic:
            record, doc = SimpleNamespace(**variadic[name]), variadic[name]["doc"]
        prototype, _, comment = doc.partition("\n\n")
        said = getattr(record, "constraints", ()) or [""] * len(record.names)
        parameters = tuple(
            declared.Parameter(n, "", code, constraint)
            for n, code, constraint in zip(record.names, record.codes[1:], said, strict=True)
        )
        functions.append(
            declared.Function(
                name=name,
                python_name=name,
                result="",
                result_code=record.codes[0],
                parameters=parameters,
                variadic=bool(getattr(getattr(value, "ctype", None), "ellipsis", False)),
                prototype=prototype,
                comment=comment,
                location="",
            )
        )
    variables = {name: "" for name in names if name not in vars(module)}
    found = declared.Declarations(tuple(functions), constants, variables, ())
    return stub.stub_pyi(package, found)
