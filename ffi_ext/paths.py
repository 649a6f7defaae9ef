"""Folders of this package that compilers are told of, and which files are no project's."""

import os
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent
INCLUDE = PACKAGE / "include"  # <TH/TH.h>, <THC/THC.h>, <ffi_ext.h>
# torch had them all on the compilers' paths: sources include "TH.h" and "THC.h", too.
INCLUDE_DIRS = [str(INCLUDE), *(str(INCLUDE / name) for name in ("TH", "THC", "THCUNN"))]

_INSTALLED = tuple(os.path.join(root, "") for root in (sys.base_prefix, str(INCLUDE), "/usr"))
# Where containers have their projects.
_PROJECTS = ("/usr/src/", "/usr/app/", "/usr/local/src/", "/usr/local/app/")


def is_installed(path: str) -> bool:
    """Whether a file came with the system, Python or ffi_ext."""
    return path.startswith(_INSTALLED) and not path.startswith(_PROJECTS)
