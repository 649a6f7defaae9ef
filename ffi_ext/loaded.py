"""The package of what load and load_inline have imported, which other processes of the user find in the cache, too.

A spawned worker, joblib's, or who reads a pickle imports the module, `ffi_ext.loaded.<folder>.<digest>.<name>`,
whose function it gets.
"""

from __future__ import annotations

from ffi_ext import cache

__path__: list[str] = []  # makes it a package


def look_in(root: object) -> None:
    """Modules of that cache can be imported."""
    if (modules := f"{root}/modules") not in __path__:
        __path__.append(modules)


if (_root := cache.root()) is not None:
    look_in(_root)
