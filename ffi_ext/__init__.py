"""torch.utils.ffi.create_extension for today's PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ffi_ext.errors import BuildError, HeaderError
from ffi_ext.extension import create_extension

if TYPE_CHECKING:
    from ffi_ext.runtime import NativeError

__version__ = "0.1.0"
__all__ = ["BuildError", "HeaderError", "NativeError", "create_extension", "get_include"]


def get_include() -> str:
    """The directory to put on a C compiler's include path for <TH/TH.h> and <ffi_ext/abi.h>."""
    return str(Path(__file__).parent / "include")


def __getattr__(name: str) -> Any:
    if name == "NativeError":  # needs torch, which a build does not
        from ffi_ext.runtime import NativeError

        return NativeError
    raise AttributeError(f"module 'ffi_ext' has no attribute {name!r}")
