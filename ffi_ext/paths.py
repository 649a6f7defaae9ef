"""Folders of this package that compilers are told of."""

from pathlib import Path

INCLUDE = Path(__file__).parent / "include"  # <TH/TH.h>, <THC/THC.h>, <ffi_ext.h>
# torch had them all on the compilers' paths: sources include "TH.h" and "THC.h", too.
INCLUDE_DIRS = [str(INCLUDE), *(str(INCLUDE / name) for name in ("TH", "THC", "THCUNN"))]
