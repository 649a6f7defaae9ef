"""How the files of binaries and the wheels with them are named for the Python that runs the tests."""

from __future__ import annotations

import sys
import sysconfig

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
# Without the GIL there is no stable ABI before Python 3.15.
_OWN = f"cp3{sys.version_info.minor}"
SUFFIX: str = sysconfig.get_config_var("EXT_SUFFIX") if FREE_THREADED else ".abi3.so"
WHEEL_TAG = f"{_OWN}-{_OWN}t" if FREE_THREADED else "cp310-abi3"
