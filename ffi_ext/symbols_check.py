"""After the link: functions that nobody defines are reported at build time, not at import."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

from ffi_ext import elf, toolchain, types
from ffi_ext.errors import BuildError


def check(binary: Path, declared: dict[str, str], link: list[str], temporary: Path) -> None:
    """Looks for names that will not resolve when the binary is loaded.

    Args:
        binary: The linked extension.
        declared: The functions it must have, and where each is declared.
        link: The command that linked it, without the output.
        temporary: A directory to write in.

    Raises:
        BuildError: A declared function is defined nowhere, or a TH function is not part of the
            runtime.
    """
    found = elf.symbols(binary)
    if found is None:
        return
    missing = [name for name in declared if name in found.undefined]
    th_names = [n for n in found.undefined if types.is_th_name(n) and n not in _runtime_names()]
    if not missing and not th_names:
        return
    nowhere = _unresolved(link, temporary)
    missing = [name for name in missing if name in nowhere and not _in_process(name)]
    if missing:
        places = "; ".join(f"{name} ({declared[name]})" for name in missing)
        raise BuildError(
            f"declared in a header but defined in none of the sources: {places}. Define "
            f"{'it' if len(missing) == 1 else 'them'} in a source of the list (a C++ source needs "
            'extern "C"), add the object or library that has the definition, or remove the '
            "declaration"
        )
    th_names = sorted(name for name in th_names if name in nowhere)
    if th_names:
        raise BuildError(
            "the sources use functions of TH or THC that this version of ffi_ext does not have: "
            f"{', '.join(th_names)}. Is the name spelt right? Otherwise write the operation out over "
            "the tensor's data, or do it in Python before the call"
        )


def _runtime_names() -> frozenset[str]:
    for path in Path(__file__).parent.glob("_runtime*.so"):
        found = elf.symbols(path)
        if found:
            return found.defined
    return frozenset()


def _unresolved(link: list[str], temporary: Path) -> set[str]:
    """The names that the libraries of the link do not have either."""
    options = ["-Wl,--unresolved-symbols=report-all", "-Wl,--warn-unresolved-symbols"]
    _, log = toolchain.run([*link, *options, "-o", str(temporary / "trial")])
    return set(re.findall(r"undefined reference to [`']([^'`]+)'", log))


def _in_process(name: str) -> bool:
    """Whether the C library or the interpreter has it (cos, getpid ...)."""
    return hasattr(ctypes.CDLL(None), name)
