"""What old CUDA sources get of include/ffi_ext/cuda_shims.h, by what they use."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from ffi_ext.paths import INCLUDE

HEADER = INCLUDE / "ffi_ext" / "cuda_shims.h"

# What a source must have for a part of HEADER whose macros could hurt the toolkit's own headers.
_ASKED_FOR = {
    "FFI_EXT_OWN_ATOMIC_ADD": re.compile(
        rb"\b(?:double|void|half|__half)\s+atomicAdd\s*\(\s*(?:double|half|__half)\s*\*"
    ),
    "FFI_EXT_VOTES": re.compile(rb"\b__(?:any|all|ballot)\s*\("),
    "FFI_EXT_THRUST_FUNCTIONS": re.compile(rb"\b(?:unary_function|binary_function|identity)\s*<"),
    "FFI_EXT_MEMORY_TYPE": re.compile(rb"\.\s*memoryType\b|->\s*memoryType\b"),
}


def flags(source: Path, folders: Iterable[str] = ()) -> list[str]:
    """Options that give old CUDA code what newer toolkits took away: see include/ffi_ext/cuda_shims.h.

    Args:
        source: The .cu file; what it includes by a name in quotes is read too.
        folders: Where the compiler looks for that, beside the file's own folder.
    """
    asked: dict[str, None] = {}
    waiting, seen = [source], {source}
    while waiting:
        path = waiting.pop()
        try:
            text = path.read_bytes()
        except OSError:
            continue  # the compiler says it better
        asked |= {f"-D{name}": None for name, used in _ASKED_FOR.items() if used.search(text)}
        for quoted in re.findall(rb'^\s*#\s*include\s*"([^"\n]+)"', text, re.M):
            for folder in (str(path.parent), *folders):
                found = Path(folder, os.fsdecode(quoted))
                if found not in seen and found.is_file() and INCLUDE not in found.parents:
                    seen.add(found)
                    waiting.append(found)
                    break
    return ["-include", str(HEADER), *asked]
