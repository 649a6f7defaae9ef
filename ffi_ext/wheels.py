"""Wheels of packages with extensions carry the abi3 tag when every extension in them is abi3."""

from __future__ import annotations

from typing import Any

OLDEST = "cp310"  # the oldest Python that ffi_ext serves


def tag_abi3() -> None:
    """Inside a setup.py: makes bdist_wheel name the binary as what it is. Once is enough."""
    try:
        from setuptools.command.bdist_wheel import bdist_wheel
    except ImportError:  # setuptools before 70.1: the wheel package had it
        try:
            from wheel.bdist_wheel import bdist_wheel  # type: ignore[import-not-found,no-redef]
        except ImportError:
            return
    if getattr(bdist_wheel, "_ffi_ext", False):
        return
    get_tag = bdist_wheel.get_tag

    def tagged(self: Any) -> tuple[str, str, str]:
        extensions = self.distribution.ext_modules or []
        if extensions and all(getattr(e, "py_limited_api", False) for e in extensions):
            self.py_limited_api = self.py_limited_api or OLDEST
        tag: tuple[str, str, str] = get_tag(self)
        return tag

    bdist_wheel.get_tag = tagged  # type: ignore[method-assign]
    bdist_wheel._ffi_ext = True
