"""On the path of what `ffi-ext run` starts: brings torch.utils.ffi back, then runs the user's own sitecustomize."""

import os
import sys

_here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != _here]

try:
    from ffi_ext.legacy.import_hooks import fork_workers, install
    from ffi_ext.legacy.old_errors import explain_errors
except ImportError as error:  # another Python of the build, which does not have ffi_ext
    print(f"ffi_ext: not available in {sys.executable} ({error})", file=sys.stderr)
else:
    install(autograd=True)
    fork_workers()
    explain_errors()

_this = sys.modules.pop("sitecustomize", None)
try:
    import sitecustomize  # noqa: F401
except ImportError as error:
    if error.name != "sitecustomize":
        raise
    if _this is not None:
        sys.modules["sitecustomize"] = _this
