"""Which Pythons a binary serves: one, all that have a GIL (abi3), or every one, of which it uses functions alone."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import sys
import sysconfig
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path

from ffi_ext import elf
from ffi_ext.paths import INCLUDE

PYTHON_H = INCLUDE / "ffi_ext" / "python"  # the folder of ours
# A symbol of binaries with code that may have read Python's own headers: the link has it defined.
USES_PYTHON_H = "ffi_ext_uses_python_h"


@functools.cache
def python_headers() -> list[str]:
    """The directories of Python's own headers, which need not be installed."""
    paths = sysconfig.get_paths()
    return list(dict.fromkeys([paths["include"], paths["platinclude"]]))


def python_headers_last() -> list[str]:
    """The flags by which any source may include Python.h, as distutils had it, behind all other headers."""
    return [word for path in python_headers() for word in ("-idirafter", path)]


def python_includes(stable: bool, quick: bool) -> list[str]:
    """The directories of Python.h: of Python's own, or of what suffices for nearly all code that cffi generates.

    The latter for a binary that may serve every Python, where the `quick` command may fail or there is no other.
    """
    own = python_headers()
    is_there = os.path.isfile(os.path.join(own[0], "Python.h"))
    return [str(PYTHON_H)] if stable and (quick or not is_there) else own


def extension_suffix(stable: bool) -> str:
    """How a binary's name ends: .abi3.so where one serves every Python."""
    suffix = str(sysconfig.get_config_var("EXT_SUFFIX") or ".so")
    return ".abi3.so" if stable else suffix


def is_free_threaded() -> bool:
    """Whether this is a Python without a GIL."""
    return bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def may_be_stable(py_limited_api: bool | None) -> bool:
    """Whether the binary may serve every Python: not where it is refused, nor on debug Pythons."""
    return not (py_limited_api is False or hasattr(sys, "gettotalrefcount"))


def uses_limited_api(py_limited_api: bool | None) -> bool:
    """Whether C that includes Python's own headers keeps to abi3, which free-threaded Pythons do not have."""
    return may_be_stable(py_limited_api) and not is_free_threaded()


@functools.cache
def _functions() -> frozenset[str]:
    """What our Python.h declares, all of which is in every Python and says nothing of how its objects are laid out."""
    return frozenset(re.findall(r"\b_?Py\w+", (PYTHON_H / "Python.h").read_text()))


def is_pythons_own(header: str) -> bool:
    """Whether it is a Python.h, and not ours."""
    folder, name = os.path.split(header)
    return name == "Python.h" and folder != str(PYTHON_H)


def _symbols_of_ours(binary: Path) -> elf.Symbols | None:
    """Its symbols, if it is a module of ours."""
    try:
        found = elf.symbols(binary)
    except elf.ElfError:
        return None
    return found if found and "ffi_ext_table" in found.defined else None


def is_universal(binary: Path) -> bool:
    """Whether it is a module of ours that uses nothing of Python but the functions that our Python.h declares."""
    found = _symbols_of_ours(binary)
    if found is None or USES_PYTHON_H in found.defined:
        return False
    return {name for name in found.undefined if re.match(r"_?Py[A-Z_]", name)} <= _functions()


class Finder:
    """Imports `_kernels.abi3.so` where Python does not look for it: a free-threaded one has no abi3."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: object = None
    ) -> ModuleSpec | None:
        last = name.rpartition(".")[2]
        for folder in path or ():
            binary = Path(folder, f"{last}.abi3.so")
            if binary.is_file() and _symbols_of_ours(binary):
                if is_universal(binary):
                    return importlib.util.spec_from_file_location(name, binary)
                raise ImportError(
                    f"{binary} works on the objects of Pythons that have a GIL: build the extension again with "
                    "this Python",
                    name=name,
                    path=str(binary),
                )
        return None
