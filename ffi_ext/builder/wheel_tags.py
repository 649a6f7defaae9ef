"""What builds tell setuptools: that binaries and wheels are for every Python that they serve, and what they made."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

OLDEST = "cp310"  # the oldest Python that ffi_ext serves
# Pythons and ABIs of wheels whose binaries are universal: abi3 is for all with a GIL, cp314t and abi3t (which is for
# 3.15t and later) for those without.
EVERY = (f"{OLDEST}.cp314", "abi3.abi3t.cp314t")

made: dict[str, Path] = {}  # packages that build scripts made in this process, and their folders


def check_setuptools() -> None:
    """Says what to do about the one that new environments of Python 3.10 and 3.11 begin with, which makes no wheels.

    Raises:
        ImportError: It is that old.
    """
    import setuptools

    try:
        import setuptools.command.bdist_wheel  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"ffi_ext needs setuptools 70.1 or newer, got {setuptools.__version__}: pip install -U setuptools"
        ) from error


def tag_stable() -> None:
    """Makes setuptools name binaries and wheels as what they are: for every Python. Once is enough."""
    check_setuptools()
    from setuptools.command.bdist_wheel import bdist_wheel
    from setuptools.command.build_ext import build_ext

    if getattr(bdist_wheel, "_ffi_ext", False):
        return
    get_tag = bdist_wheel.get_tag

    def tagged(self: Any) -> tuple[str, str, str]:
        extensions = self.distribution.ext_modules or []
        is_given = (self.py_limited_api or OLDEST) != OLDEST
        if extensions and all(getattr(e, "py_limited_api", False) for e in extensions):
            self.py_limited_api = self.py_limited_api or OLDEST
        tag: tuple[str, str, str] = get_tag(self)
        if extensions and not is_given and all(_is_universal(self, e) for e in extensions):
            return (*EVERY, tag[2])
        return tag

    get_ext_filename = build_ext.get_ext_filename

    def named(self: Any, fullname: str) -> str:
        # Python 3.15 has the platform in the name, which 3.13 and older do not look for.
        return re.sub(r"\.abi3-[\w-]+\.so$", ".abi3.so", get_ext_filename(self, fullname))

    bdist_wheel.get_tag = tagged  # type: ignore[method-assign]
    build_ext.get_ext_filename = named  # type: ignore[method-assign]
    bdist_wheel._ffi_ext = True


def _is_universal(command: Any, extension: Any) -> bool:
    from ffi_ext.compilers import universal

    built = Path(command.get_finalized_command("build_ext").get_ext_fullpath(extension.name))
    return built.is_file() and universal.is_universal(built)
