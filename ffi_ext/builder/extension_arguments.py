"""create_extension's arguments: checked, with paths resolved and names taken apart."""

from __future__ import annotations

import contextlib
import difflib
import glob
import keyword
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ffi_ext.builder.extension_options import flag, joined, options_of, refusal, texts, wrong
from ffi_ext.compilers import toolchain
from ffi_ext.paths import is_installed


@dataclass(frozen=True)
class Name:
    """An extension's dotted name and where it goes."""

    parts: tuple[str, ...]
    base: Path
    # Of a pyproject.toml's table: the package's folder in the project, whose packages without __init__.py, above the
    # first that has one, are namespaces.
    home: Path | None = None

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
            if folders or not self.home or init.exists():
                folders.append(init)
        return tuple(folders)


@dataclass(frozen=True)
class Arguments:
    """create_extension()'s arguments, checked; paths are absolute."""

    name: Name
    headers: tuple[Path, ...]
    of_libraries: frozenset[Path]  # those of the headers that are not the project's
    sources: tuple[Path, ...]
    verbose: bool
    with_cuda: bool
    package: bool
    options: dict[str, Any]  # the keywords, as a setuptools Extension has them

    @property
    def said(self) -> object:
        """What tells one extension from others, in every process: a set has another order in each."""
        return replace(self, of_libraries=frozenset(), verbose=False), sorted(self.of_libraries)


def checked(
    name: Name,
    base: Path,
    /,
    headers: object,
    sources: object,
    verbose: object = True,
    with_cuda: object = False,
    package: object = False,
    **keywords: Any,
) -> Arguments:
    """The arguments that follow the name, with paths that start at `base`; raises as create_extension() says."""
    options = options_of(keywords, base)
    header_paths, of_libraries = _headers(headers, base, options)
    source_paths = _files("sources", sources, base)
    return Arguments(
        name,
        header_paths,
        of_libraries,
        source_paths,
        bool(flag("verbose", verbose)),
        bool(flag("with_cuda", with_cuda)),
        bool(flag("package", package)),
        options,
    )


@contextlib.contextmanager
def refusals_of(giver: str) -> Iterator[None]:
    """Refusals of create_extension() name what the user has given the arguments to."""
    try:
        yield
    except (TypeError, ValueError, FileNotFoundError) as error:
        if not str(error).startswith("create_extension()"):
            raise  # its traceback tells what it is of: a quote left open in CFLAGS, for example
        raise type(error)(str(error).replace("create_extension()", giver, 1)) from None


def base_of(relative_to: object) -> Path:
    """The directory that relative paths start at."""
    if not isinstance(relative_to, (str, os.PathLike)):
        raise wrong("relative_to", "a file path, usually __file__", relative_to)
    path = os.fspath(relative_to)
    if not isinstance(path, str):
        raise wrong("relative_to", "a str path", relative_to)
    return Path(os.path.abspath(os.path.dirname(path)))


def name_of(name: object, base: Path) -> Name:
    """The extension that is called so below `base`."""
    if not isinstance(name, str):
        raise wrong("name", "a dotted name such as '_ext.my_lib'", name)
    parts = name.split(".")
    checked = parts[1:] if parts[0] == "" and len(parts) > 1 else parts  # '.ext.a' starts at base
    for part in checked:
        if not part.isidentifier() or keyword.iskeyword(part):
            raise refusal(
                "name",
                f"{name!r} is no module name: {part!r} must be a Python identifier and no keyword, since `import` "
                "and the C compiler both use it",
            )
    if not parts[-1].isascii():
        raise refusal(
            "name",
            f"{name!r}: {parts[-1]!r} must be of ASCII letters, digits and _, since the binary has a C function of "
            "that name, PyInit_...",
        )
    if parts[0] in ("torch", "ffi_ext"):
        raise refusal(
            "name",
            f"a package {parts[0]!r} in {base} would hide the one that its functions need; take another name",
        )
    return Name(tuple(parts), base)


def _headers(
    value: object, base: Path, options: dict[str, Any]
) -> tuple[tuple[Path, ...], frozenset[Path]]:
    """The headers, and those among them that are a library's, as `#include <fftw3.h>` finds them, not the project's."""
    found, given = {}, texts("headers", value)
    folders, flags = options.get("include_dirs", ()), options.get("extra_compile_args", {})
    for text in given:
        is_there = os.path.exists(joined(base, text))
        path = None if is_there else toolchain.find_header(text, folders, flags.get("cc", ()))
        if path:
            found[text] = os.path.abspath(path)
    paths = _files("headers", [found.get(text, text) for text in given], base)
    of_libraries = {p for p in paths if str(p) in found.values() or is_installed(str(p))}
    return paths, frozenset(of_libraries)


def _near(path: Path, argument: str) -> str | None:
    """A file of nearly that name, or of the name in a folder below; seen from the folder where it was looked for."""
    if not path.parent.is_dir():
        return None
    names = [entry.name for entry in os.scandir(path.parent) if entry.is_file()]
    if argument == "sources":
        names = [name for name in names if Path(name).suffix not in toolchain.HEADER_SUFFIXES]
    by_lower = {name.lower(): name for name in names}
    near = [by_lower[name] for name in difflib.get_close_matches(path.name.lower(), by_lower)]
    near.sort(key=lambda name: Path(name).suffix.lower() != path.suffix.lower())
    below = sorted(path.parent.glob(f"*/{glob.escape(path.name)}"))
    return next(iter([*(str(found.relative_to(path.parent)) for found in below), *near]), None)


def _files(argument: str, value: object, base: Path) -> tuple[Path, ...]:
    paths = []
    for text in texts(argument, value):
        path = Path(joined(base, text))
        if not path.is_file():
            kind, hint = "does not exist", ""
            if path.exists():
                kind = "is a directory" if path.is_dir() else "is no regular file"
            elif ";" in text or "{" in text:
                hint = "; C text is for load_inline()"
            elif near := _near(path, argument):
                hint = f"; did you mean {near}?"
            where = "" if os.path.isabs(text) else f" in {base}"
            if where and base != base_of("."):
                where += " (relative paths start at the directory of relative_to)"
            if argument == "headers" and not path.exists():
                where += " nor where the compiler looks for headers"
            raise refusal(argument, f"{text!r} {kind}{where}{hint}", FileNotFoundError)
        if argument == "sources" and path.suffix in toolchain.HEADER_SUFFIXES:
            raise refusal(
                argument,
                f"{text!r} is a header by its suffix, of which no object is made: take it out, or name it in "
                "`headers` to have its functions in Python",
            )
        paths.append(Path(os.path.normpath(path)))
        if argument == "headers" and {'"', "\n", "\r"} & set(str(paths[-1])):
            raise refusal(
                argument,
                f"C's #include cannot name {str(paths[-1])!r}; rename the file or its directory, without quotes and "
                "line breaks",
            )
    return tuple(paths)
