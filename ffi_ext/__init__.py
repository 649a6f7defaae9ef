"""torch.utils.ffi.create_extension for today's PyTorch.

`create_extension` describes an extension, whose `build()` makes the module; `load` and `load_inline` build and import
in one call. `ffi_ext.library` has gradients and operators; `install` brings torch.utils.ffi back.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in typing, whose import every interpreter with the hook would pay for
if TYPE_CHECKING:
    from typing import Any

    from ffi_ext.builder.extension import create_extension
    from ffi_ext.errors import BuildError, HeaderError
    from ffi_ext.inline import load, load_inline
    from ffi_ext.legacy.import_hooks import install, uninstall
    from ffi_ext.runtime import NativeError

__version__ = "0.1.0"
__all__ = [
    "BuildError",
    "HeaderError",
    "NativeError",
    "create_extension",
    "get_include",
    "install",
    "load",
    "load_inline",
    "uninstall",
]

# Imported when asked for: a generated module needs no compilers, and a build no torch.
_HOMES = {
    "BuildError": "errors",
    "HeaderError": "errors",
    "NativeError": "runtime",
    "create_extension": "builder.extension",
    "install": "legacy.import_hooks",
    "load": "inline",
    "load_inline": "inline",
    "uninstall": "legacy.import_hooks",
}


def get_include() -> str:
    """The directory to put on a C compiler's include path for <ffi_ext.h>, <TH/TH.h> and <THC/THC.h>."""
    from ffi_ext.paths import INCLUDE

    return str(INCLUDE)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        import importlib

        value = getattr(importlib.import_module(f"ffi_ext.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'ffi_ext' has no attribute {name!r}: it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
