"""`ffi-ext stubs`: the typed stub (.pyi) of headers, without a build, which writes it beside the module."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from ffi_ext.cli.terminal import OK, PROBLEMS, complain

EXAMPLES = """\
examples:
  ffi-ext stubs my_lib.h                 to the screen; nothing is built
  ffi-ext stubs my_lib.h -o my_lib.pyi   to a file
  ffi-ext stubs --check my_lib.h -o my_lib.pyi   exit code 1 if that differs
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    parser.add_argument("headers", nargs="+", metavar="HEADER", help="the headers of one module")
    parser.add_argument("-o", "--output", metavar="FILE", help="where to write it")
    parser.add_argument(
        "-I",
        dest="include_dirs",
        action="append",
        default=[],
        metavar="DIR",
        help="headers lie there",
    )
    parser.add_argument("--check", action="store_true", help="write nothing, compare with FILE")


def main(options: argparse.Namespace) -> int:
    from ffi_ext import cache

    if options.check and not options.output:
        return complain("--check needs -o FILE, the stub to compare with")
    if problem := _unfit(options.headers):
        return complain(problem)
    text = of_headers(options.headers, options.include_dirs)
    output = Path(options.output or "")
    if options.check:
        if output.is_file() and output.read_text(encoding="utf-8") == text:
            return OK
        return complain(f"{output} is missing or not what `ffi-ext stubs` writes", PROBLEMS)
    if options.output:
        cache.write_if_changed(output, text)
        print(f"wrote {output}")
    else:
        print(text, end="")
    return OK


def _unfit(headers: list[str]) -> str:
    """What is wrong with them, if one is none."""
    from ffi_ext.compilers.toolchain import CUDA_SUFFIXES, CXX_SUFFIXES

    for header in headers:
        if not os.path.exists(header):
            return f"there is no header {header!r}"
        if os.path.isdir(header) or header.endswith((".c", ".so", *CXX_SUFFIXES, *CUDA_SUFFIXES)):
            return f"{header} is no header: name the one that declares its functions"
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
