"""How the files of binaries and the wheels with them are named for the Python that runs the tests."""

from __future__ import annotations

import sys
import sysconfig

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
SUFFIX = ".abi3.so"
WHEEL_TAG = "cp310.cp314-abi3.abi3t.cp314t"
# Of C that includes Python's own headers, for which Pythons without a GIL have no stable ABI before 3.15.
OWN_SUFFIX: str = sysconfig.get_config_var("EXT_SUFFIX") if FREE_THREADED else SUFFIX
_OWN = f"cp3{sys.version_info.minor}"
OWN_WHEEL_TAG = f"{_OWN}-{_OWN}t" if FREE_THREADED else "cp310-abi3"
