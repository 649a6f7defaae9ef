"""`ffi-ext build`: a build script as it is, or an extension from headers and sources."""

from __future__ import annotations

import argparse
import os
import re
import shlex
from pathlib import Path

from ffi_ext.cli.terminal import OK, PROBLEMS, complain

OBJECT_SUFFIXES = (".o", ".a", ".so")
FLAGS = {  # what errors call create_extension's arguments
    "argument 'name'": "-n NAME",
    "include_dirs": "-I DIR",
    "library_dirs": "-L DIR",
    "libraries=": "-l NAME",
    "extra_compile_args": "--cflag=FLAG",
    "extra_link_args": "--ldflag=FLAG",
}
SCRIPTS = ("build_ffi.py", "build.py")
EXAMPLES = """\
examples:
  ffi-ext build                          the build script that lies here
  ffi-ext build tools/build.py           that one; torch.utils.ffi is in place
  ffi-ext build my_lib.h my_lib.c        _ext.my_lib, in the current directory
  ffi-ext build -n pkg._C a.h a.c k.cu   .cu sources are compiled by nvcc
  ffi-ext build zlib.h -l z              a library's own header
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="a build script, or headers (.h), sources and objects (.o, .a, .so)",
    )
    parser.add_argument(
        "-n", "--name", help="dotted name of the module; _ext.<first header> by default"
    )
    parser.add_argument(
        "--cuda",
        action="store_true",
        help="for <THC/THC.h> in C sources; .cu sources have it unasked",
    )
    for flag, argument, metavar, meaning in (
        ("-I", "include_dirs", "DIR", "headers lie there"),
        ("-L", "library_dirs", "DIR", "libraries lie there"),
        ("-R", "runtime_library_dirs", "DIR", "the import looks for libraries there"),
        ("-l", "libraries", "NAME", "link with it: z is libz.so"),
        ("-D", "macros", "NAME[=VALUE]", "define a macro, which headers see, too"),
        ("--cflag", "cflag", "FLAG", "for the C and C++ compilers, as --cflag=-march=native"),
        (
            "--ldflag",
            "ldflag",
            "FLAG",
            "for the linker; OpenMP is --cflag=-fopenmp --ldflag=-fopenmp",
        ),
    ):
        parser.add_argument(
            flag, dest=argument, action="append", default=[], metavar=metavar, help=meaning
        )
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing unless it fails")


def main(options: argparse.Namespace) -> int:
    from ffi_ext.compilers.toolchain import HEADER_SUFFIXES

    headers = [f for f in options.files if f.endswith(HEADER_SUFFIXES)]
    objects = [f for f in options.files if f.endswith(OBJECT_SUFFIXES)]
    scripts = [f for f in options.files if f.endswith(".py")]
    sources = [f for f in options.files if f not in (*headers, *objects, *scripts)]
    if not options.files:
        scripts = [name for name in SCRIPTS if Path(name).is_file()][:1]
        if not scripts:
            cure = "name a build script, or headers and sources: ffi-ext build my_lib.h my_lib.c"
            project = Path("pyproject.toml")
            if project.is_file() and b"tool.ffi-ext" in project.read_bytes():
                cure = "pip install --no-build-isolation -e . builds what pyproject.toml declares"
            return complain(f"there is no {' or '.join(SCRIPTS)} in {os.getcwd()}: {cure}")
    if scripts:
        if headers or sources or objects or len(scripts) > 1:
            return complain("one build script, or headers and sources; not both")
        from ffi_ext.cli.run import run

        return run([scripts[0]], options.quiet)
    folders = [f for f in sources if Path(f).is_dir()]
    if folders:
        return complain(
            f"{folders[0]} is a directory: name a build script, or headers and sources; for what lies there "
            f"`cd {shlex.quote(folders[0])} && ffi-ext build`"
        )
    of_c = headers and not os.path.exists(headers[0])  # string.h, which needs no -l
    if not headers or not (sources or objects or options.libraries or of_c):
        missing = "source (.c, .cpp, .cu)" if headers else "header (.h)"
        return complain(f"a {missing} is missing: its functions are what the module has")
    return _extension(headers, sources, objects, options)


def _extension(
    headers: list[str], sources: list[str], objects: list[str], options: argparse.Namespace
) -> int:
    from ffi_ext.builder.extension import create_extension
    from ffi_ext.errors import BuildError

    name = options.name or "_ext." + re.sub(r"\W", "_", Path(headers[0]).stem, flags=re.ASCII)
    macros = [tuple(macro.split("=", 1)) for macro in options.macros]
    with_cuda = options.cuda or any(source.endswith(".cu") for source in sources)
    try:
        create_extension(
            name,
            headers,
            sources,
            verbose=not options.quiet,
            with_cuda=with_cuda,
            include_dirs=options.include_dirs,
            library_dirs=options.library_dirs,
            runtime_library_dirs=options.runtime_library_dirs,
            libraries=options.libraries,
            define_macros=macros,
            extra_compile_args={"cc": options.cflag, "cxx": options.cflag, "nvcc": []},
            extra_link_args=options.ldflag,
            extra_objects=objects,
        ).build()
    except (FileNotFoundError, ValueError) as error:
        return complain(_said_here(error))
    except BuildError as error:
        return complain(_said_here(error), PROBLEMS)
    return OK


def _said_here(error: Exception) -> str:
    options = [f"{name} is {flag}" for name, flag in FLAGS.items() if name in str(error)]
    here = f"\non the command line {', '.join(options)}" if options else ""
    return str(error).removeprefix("create_extension() ") + here
