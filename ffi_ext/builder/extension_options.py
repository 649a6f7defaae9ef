"""create_extension's keywords, which are a setuptools Extension's: checked, with relative paths resolved."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ffi_ext.compilers import toolchain
from ffi_ext.cuda import toolkit

LOADER_WORDS = ("$ORIGIN", "@loader_path", "@rpath")  # of runtime_library_dirs: known at import
PATH_LISTS = ("include_dirs", "library_dirs", "runtime_library_dirs", "extra_objects", "depends")
TEXT_LISTS = ("undef_macros", "libraries", "swig_opts", "export_symbols")
LANGUAGES = ("c", "c++")
_OF_CPP_EXTENSION = {  # what torch.utils.cpp_extension calls them
    "extra_cflags": ["extra_compile_args"],
    "extra_cuda_cflags": ["extra_compile_args"],
    "extra_include_paths": ["include_dirs"],
    "extra_ldflags": ["extra_link_args"],
}
FLAGS = ("verbose", "with_cuda", "package")  # in the signature's order
NAMED = {"name", "headers", "sources", "relative_to", *FLAGS}


def refusal(argument: str, text: str, kind: type[Exception] = ValueError) -> Exception:
    return kind(f"create_extension() argument '{argument}': {text}")


def wrong(argument: str, expected: str, value: object) -> Exception:
    text = f"expected {expected}, got {type(value).__name__} {value!r}"
    return refusal(argument, text, TypeError)


def texts(argument: str, value: object) -> list[str]:
    if isinstance(value, (str, os.PathLike)):
        value = [value]
    if isinstance(value, (bytes, dict)) or not isinstance(value, Iterable):  # Path.glob() is one
        raise wrong(argument, "a str or a list of str", value)
    found = []
    # A set has another order in each process.
    for item in sorted(value, key=str) if isinstance(value, (set, frozenset)) else value:
        text = os.fspath(item) if isinstance(item, os.PathLike) else item
        if not isinstance(text, str):
            raise wrong(argument, "a list of str", item)
        if "\0" in text:
            raise refusal(argument, f"a null byte in {text!r}")
        found.append(text)
    return found


def joined(base: Path, text: str) -> str:
    """A path of a script, which may have been written on Windows, with backslashes."""
    path = os.path.join(base, text)
    if not os.path.exists(path):
        path = os.path.join(base, text.replace("\\", "/"))
    return path


def options_of(kwargs: dict[str, Any], base: Path, named: set[str] = NAMED) -> dict[str, Any]:
    """The keywords, checked, with relative paths resolved; `named`: the caller's own parameters."""
    options: dict[str, Any] = {}
    for key, value in kwargs.items():
        if key not in KEYWORDS:
            known = sorted((KEYWORDS | named) - {key})
            near = _OF_CPP_EXTENSION.get(key) or difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else f"; known are {', '.join(known)}"
            raise TypeError(f"create_extension() got an unknown keyword argument '{key}'{hint}")
        if value is None:
            continue
        options[key] = _CHECKS[key](key, value)
        if key in PATH_LISTS:
            options[key] = [
                p if p.startswith(LOADER_WORDS) else os.path.normpath(joined(base, p))
                for p in options[key]
            ]
    return options


def flag(argument: str, value: object) -> object:
    if not isinstance(value, (bool, int)):
        raise wrong(argument, "True or False", value)
    return value


def _text(argument: str, value: object) -> str:
    if not isinstance(value, str):
        raise wrong(argument, "a str", value)
    return value


def _link_args(argument: str, value: object) -> list[str]:
    if isinstance(value, str) and " -" in value:
        raise wrong(argument, "a list of str, one for each flag", value)
    return texts(argument, value)


def _language(argument: str, value: Any) -> str:
    if _text(argument, value) not in LANGUAGES:
        raise refusal(argument, f"expected 'c' or 'c++', got {value!r}")
    return value


def _macros(argument: str, value: object) -> list[tuple[str, str | None]]:
    if not isinstance(value, (list, tuple)):
        raise wrong(argument, "a list of (name, value) pairs", value)
    macros: list[tuple[str, str | None]] = []
    for item in value:
        pair = [item] if isinstance(item, str) else item
        if not isinstance(pair, (list, tuple)) or len(pair) not in (1, 2):
            raise wrong(argument, "a list of (name, value) pairs", item)
        name, text = pair[0], pair[1] if len(pair) == 2 else None
        if not isinstance(name, str):
            raise wrong(argument, "a list of (name, value) pairs", item)
        if not name.isidentifier():
            bare, given, number = name.removeprefix("-D").partition("=")
            hint = f"; write {(bare, number if given else None)!r}" if bare.isidentifier() else ""
            raise refusal(argument, f"{name!r} is no macro name{hint}")
        macros.append((name, None if text is None else str(text)))
    return macros


def _compile_args(argument: str, value: object) -> dict[str, list[str]]:
    if isinstance(value, dict):
        unknown = set(value) - {"cc", "cxx", "nvcc"}
        if unknown:
            given = sorted(map(str, unknown))
            raise refusal(argument, f"a dict has the keys 'cc', 'cxx' and 'nvcc', got {given}")
        return {key: texts(f"{argument}[{key!r}]", args) for key, args in value.items()}
    if isinstance(value, str):
        raise wrong(argument, "a list of str, or a dict of lists", value)
    args = texts(argument, value)
    of_c = [a for a in args if not a.startswith(("-std=c++", "-std=gnu++"))]
    # What headers see; -march=native is known to bring intrinsics that nvcc cannot read.
    of_headers = [a for a in toolchain.preprocessor_words(args) if not a.startswith(("-m", "-std"))]
    return {
        "cc": args if toolchain.c_compiler_is_cxx() else of_c,
        "cxx": [a for a in args if not a.startswith("-std=") or "++" in a],
        "nvcc": toolkit.of_host(of_headers),
    }


# How a keyword's value is checked, and what it is in a setuptools Extension.
_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys((*PATH_LISTS, *TEXT_LISTS), texts),
    "define_macros": _macros,
    "extra_compile_args": _compile_args,
    "extra_link_args": _link_args,
    "language": _language,
    "source_extension": _text,
    "py_limited_api": flag,
    "optional": flag,
}
KEYWORDS = frozenset(_CHECKS)
