"""load and load_inline: build into a per-user cache, import, return the module."""

from __future__ import annotations

import contextlib
import importlib
import keyword
import linecache
import platform
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from ffi_ext import cache
from ffi_ext.builder.extension import add_directories, build_and_keep
from ffi_ext.builder.extension_arguments import (
    Arguments,
    Name,
    base_of,
    checked,
    name_of,
    refusals_of,
)
from ffi_ext.builder.extension_options import options_of
from ffi_ext.compilers import universal
from ffi_ext.errors import BuildError, HeaderError
from ffi_ext.headers import definitions, preprocess

_NAMED = {"name", "c_source", "header", "cuda_source", "verbose", "with_cuda"}  # of load_inline


@contextlib.contextmanager
def _folder(caller: str, name: str, content: object) -> Iterator[Path]:
    """The directory of the module with that content, held: the same content meets the same binary."""
    root = cache.root()
    if root is None:
        raise BuildError(
            f"{caller}() keeps modules in a directory that only you may write to; {cache.why_none()}. "
            "Set FFI_EXT_CACHE to another one"
        )
    # Machines may share a home: each kind keeps binaries of its own there.
    kind = universal.extension_suffix(universal.uses_limited_api(None)), platform.machine()
    key = cache.digest(repr((content, kind)).encode("utf-8", "surrogateescape"))[:20]
    folder = root / "modules" / f"{name}-{key}"
    with cache.hold(root):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        yield folder


def _checked_name(caller: str, name: object) -> str:
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
        raise ValueError(
            f"{caller}() argument 'name': expected a Python identifier and no keyword, got {name!r}"
        )
    return name


def _imported(name: str, folder: Path) -> ModuleType:
    """One built before under this name stays what it was.

    The dynamic linker takes a path for the library that it loaded from there once: each binary is
    imported from a directory of its own.
    """
    from ffi_ext import loaded  # it makes the cache's directory

    found = (folder / name).glob(f"_{name}.*")
    # two while another process installs
    binary = max(found, key=lambda path: path.stat().st_mtime_ns)
    place = folder / str(cache.file_digest(binary))[:20] / name
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    for file in (folder / name / "__init__.py", binary):
        if not (place / file.name).exists():
            cache.replace(place / file.name, file.read_bytes())
    loaded.look_in(folder.parent.parent)
    importlib.invalidate_caches()  # the folders may be new
    return importlib.import_module(f"{loaded.__name__}.{folder.name}.{place.parent.name}.{name}")


def _refuse_relative_to(caller: str, keywords: dict[str, Any]) -> None:
    if "relative_to" in keywords:
        raise TypeError(
            f"{caller}() got an unknown keyword argument 'relative_to'; relative paths start at the current directory"
        )


def load(
    name: str,
    sources: str | Path | Iterable[str | Path] = (),
    headers: str | Path | Iterable[str | Path] = (),
    *,
    verbose: bool = False,
    **kwargs: Any,
) -> ModuleType:
    """Builds an extension into the per-user cache and imports it.

    Args:
        name: The module's name, an identifier.
        sources: C, C++ and CUDA sources; none, to call a library. Relative paths, of the keywords, too, start at
            the current directory.
        headers: Header or headers whose functions are exported, at least one. It may be a library's:
            load("fft", headers="fftw3.h", libraries="fftw3").
        verbose: Print one line for each compiler that runs.
        **kwargs: As of `create_extension`.

    Returns:
        The module. When nothing has changed nothing is compiled, and in one process it is the same module.

    Raises:
        ValueError, TypeError, FileNotFoundError, HeaderError, BuildError: As `create_extension` and its
            `build()`.
    """
    name = _checked_name("load", name)
    _refuse_relative_to("load", kwargs)
    if not headers:
        raise ValueError(
            "load() argument 'headers': expected the header whose functions are to be exported, got none; "
            "load_inline() exports what its text defines"
        )
    with refusals_of("load()"):
        given = checked(
            Name((name,), Path()), base_of("."), headers, sources, verbose=verbose, **kwargs
        )
    with _folder("load", name, given.said) as folder:
        with refusals_of("load()"):
            given = replace(given, name=name_of(name, folder))
            build_and_keep(given, folder / "generated.json")
        return _imported(name, folder)


def load_inline(
    name: str,
    c_source: str = "",
    header: str | None = None,
    cuda_source: str | None = None,
    *,
    verbose: bool = False,
    **kwargs: Any,
) -> ModuleType:
    """Builds an extension from C text and imports it.

    Args:
        name: The module's name, an identifier.
        c_source: C text, none where all is in `cuda_source`. <TH/TH.h> and <ffi_ext.h> are included before both (and
            <THC/THC.h> with CUDA).
        header: The declarations of the functions to export, with the types that they use; `c_source`
            may have `#include "NAME.h"` for it. Without it, every function of `c_source` that is
            defined at its top level and is neither static nor inline; with language="c++", those that are extern "C".
        cuda_source: CUDA text, compiled by nvcc beside it; sets with_cuda.
        verbose: Print one line for each compiler that runs.
        **kwargs: As of `create_extension`; relative paths start at the current directory.

    Returns:
        The module. The same texts give the same one in this process, and meet the same binary in later ones.

    Raises:
        TypeError, ValueError: An argument is of the wrong type, or no function can be exported.
        HeaderError, BuildError: The traceback ends at the line of the C text.
    """
    name = _checked_name("load_inline", name)
    _check_texts({"c_source": c_source, "header": header, "cuda_source": cuda_source}, kwargs)
    _refuse_relative_to("load_inline", kwargs)
    with_cuda = bool(kwargs.pop("with_cuda", False)) or cuda_source is not None
    with refusals_of("load_inline()"):
        options = options_of(kwargs, base_of("."), _NAMED)
    content = (c_source, header, cuda_source, with_cuda, sorted(options.items()))
    with _folder("load_inline", name, content) as folder:
        include = "#include <TH/TH.h>\n#include <ffi_ext.h>\n" + (
            "#include <THC/THC.h>\n" if with_cuda else ""
        )
        source = folder / f"{name}.c"
        cache.write_if_changed(source, f'{include}#line 1 "{name} (c_source)"\n{c_source}\n')
        texts = {f"{name}.h": header or ""}
        if cuda_source is not None:
            texts[f"{name}.cu"] = f'{include}#line 1 "{name} (cuda_source)"\n{cuda_source}\n'
        try:
            if header is None:
                texts[f"{name}.h"] = _exported(source, include, c_source, options, with_cuda)
            for file, text in texts.items():
                cache.write_if_changed(folder / file, text)
            with refusals_of("load_inline()"):
                target = name_of(name, folder)
                declaring, *others = [folder / file for file in texts]
                files = (declaring,), frozenset[Path](), (source, *others)
                given = Arguments(target, *files, bool(verbose), with_cuda, False, options)
                build_and_keep(given, folder / "generated.json")
        except BuildError as error:
            if header is None and isinstance(error, HeaderError):
                error = _of_c_source(error, source, options, with_cuda)
                error.__suppress_context__ = True
            _hint_at_header(error, name, c_source, header or "")
            shown = {f"{name} (c_source)": c_source, f"{name} (cuda_source)": cuda_source or ""}
            _raise_in_text(error, {**shown, f"{name}.h": texts[f"{name}.h"]})
        return _imported(name, folder)


def _check_texts(texts: dict[str, object], others: dict[str, Any]) -> None:
    for argument, text in texts.items():
        if not isinstance(text, str) and (argument == "c_source" or text is not None):
            raise TypeError(
                f"load_inline() argument '{argument}': expected C text, a str, got {type(text).__name__}"
            )
        if isinstance(text, str) and re.fullmatch(r"[\w./-]+\.\w+", text):
            raise ValueError(
                f"load_inline() argument '{argument}': expected C text, got the name of a file, {text!r}; load() takes "
                "files"
            )
    for argument in ("sources", "headers", "cpp_sources", "cuda_sources"):
        if argument in others:
            raise TypeError(
                f"load_inline() got an unknown keyword argument '{argument}'; its texts are c_source, header and "
                "cuda_source, and load() takes files"
            )


def _exported(
    source: Path, include: str, c_source: str, options: dict[str, Any], with_cuda: bool
) -> str:
    """The prototypes of what `c_source` defines, where #if leaves it."""
    cxx, answer = options.get("language") == "c++", None
    if definitions.has_conditions(c_source):
        asking = source.with_name(f"{source.stem}_rows{'.cpp' if cxx else '.c'}")
        cache.write_if_changed(asking, include + definitions.asking_for_rows(c_source))
        # None: the compiler will say what is wrong
        answer = _reader(options, with_cuda).of_source(asking)
    try:
        return definitions.exported(c_source, cxx, answer)
    except ValueError as error:  # perhaps since a prototype is no C
        raise (_refusal(source, options, with_cuda) or error) from None


def _reader(options: dict[str, Any], with_cuda: bool) -> preprocess.Reader:
    add_directories(options, with_cuda)
    return preprocess.Reader(options, with_cuda)


def _refusal(source: Path, options: dict[str, Any], with_cuda: bool) -> BuildError | None:
    """What the compiler says of `c_source` alone; it may include its own prototypes."""
    cache.write_if_changed(source.with_suffix(".h"), "")
    return _reader(options, with_cuda).refusal_of(source)


def _of_c_source(
    error: HeaderError, source: Path, options: dict[str, Any], with_cuda: bool
) -> BuildError:
    """A prototype of `c_source` that cannot be read: the header that it stands in is no file of the user's."""
    name, cxx = source.stem, options.get("language") == "c++"
    text = re.sub(rf"^{name}\.h:\d+: ", f"{name} (c_source): ", str(error))
    of_types = re.search(
        "cannot parse|declares none|value of '(?!ffi_ext_|TH).* no header has", text
    )
    if not of_types or re.search("did you mean|hint: (TH|names)", text):
        return HeaderError(text)
    if "__global__" in text:
        hint = "this is CUDA, which nvcc compiles: pass it as cuda_source, and its prototypes as header"
    elif "keep C++" in text and cxx:
        hint = 'what is extern "C" is read as C: a pointer for a reference, no namespace, no default value'
    elif "keep C++" in text:
        hint = 'this is C++: pass language="c++", and make what is to be exported extern "C"'
    elif refusal := _refusal(source, options, with_cuda):
        return refusal  # it is no C either
    elif macro := re.search(r"^ *(\w+)\([^()]*\) \w|^ *([A-Z][A-Z0-9_]+) \w+ ", text, re.M):
        hint = f"is {macro[1] or macro[2]} a macro? Functions that macros define, or begin, are named in `header`"
    else:
        hint = (
            "types that prototypes use go into `header`, with the prototypes; "
            f'#include "{name}.h" in c_source has them there'
        )
    return HeaderError(f"{text.partition(chr(10) + 'hint: ')[0]}\nhint: {hint}")


def _hint_at_header(error: BuildError, name: str, c_source: str, header: str) -> None:
    """Says of a type that `c_source` uses and `header` has how it comes there."""
    unknown = re.search(r"unknown type name '(\w+)'", str(error))
    is_in_header = unknown and re.search(rf"\b{unknown[1]}\b", header)
    if is_in_header and f'"{name}.h"' not in c_source:
        hint = f'hint: #include "{name}.h" in c_source has the types of the argument header'
        error.args = (f"{error}\n{hint}",)


def _raise_in_text(error: BuildError, texts: dict[str, str]) -> NoReturn:
    """Raises an error such that its traceback ends at the line of the C text that it names."""
    for file, text in texts.items():
        found = re.search(rf"(?<![\w/]){re.escape(file)}:(\d+): .*", str(error))
        if found is None:
            continue
        number, lines = int(found[1]), text.splitlines()
        # The header is a file, whose line is said already; that of a text Python shows from 3.13 on.
        if not file.endswith(".h") and number <= len(lines):
            line = f"{found[0]}\n    {lines[number - 1].strip()}"
            error.args = (str(error).replace(found[0], line, 1),)
        shown = f"<{file}>"  # no file: coverage and the like do not look for one
        linecache.cache[shown] = (len(text), None, text.splitlines(keepends=True), shown)
        code = compile("\n" * (number - 1) + "raise error", shown, "exec")
        error.__traceback__ = None  # the builder's own frames say nothing about the text
        exec(code, {"error": error})  # a frame at that line; notebooks and debuggers show it, too
    raise error
