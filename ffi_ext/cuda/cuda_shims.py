"""What old CUDA sources get of include/ffi_ext/cuda_shims.h, by what they use."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ffi_ext.headers import included
from ffi_ext.paths import INCLUDE

HEADER = INCLUDE / "ffi_ext" / "cuda_shims.h"

# What a source must have for a part of HEADER whose macros could hurt the toolkit's own headers.
_ASKED_FOR = {
    "FFI_EXT_OWN_ATOMIC_ADD": re.compile(
        r"\b(?:double|void|half|__half)\s+atomicAdd\s*\(\s*(?:double|half|__half)\s*\*"
    ),
    "FFI_EXT_OWN_HALF_NUMERICS": re.compile(r"#\s*define\s+THC_HALF_AUTO_NUMERICS_INC\b"),
    "FFI_EXT_VOTES": re.compile(r"\b__(?:any|all|ballot)\s*\("),
    "FFI_EXT_THRUST_FUNCTIONS": re.compile(r"\b(?:unary_function|binary_function|identity)\s*<"),
    "FFI_EXT_MEMORY_TYPE": re.compile(r"\.\s*memoryType\b|->\s*memoryType\b"),
}


def flags(source: Path, folders: Sequence[str] = ()) -> list[str]:
    """Options that give old CUDA code what newer toolkits took away: see include/ffi_ext/cuda_shims.h.

    Args:
        source: The .cu file; what it includes by a name in quotes is read too.
        folders: Where the compiler looks for that, beside the file's own folder.
    """
    texts = included.texts([source], folders).values()
    asked = [f"-D{name}" for name, used in _ASKED_FOR.items() if any(map(used.search, texts))]
    return ["-include", str(HEADER), *asked]
