"""Run by other Pythons than the one that built: calls that need no torch, through the runtime's own dispatcher."""

import importlib.util
import os
import sys

import _cffi_backend

sys.setdlopenflags(sys.getdlopenflags() | os.RTLD_GLOBAL)
from ffi_ext import _runtime  # noqa: E402


class NativeError(RuntimeError):
    """In the place of ffi_ext.NativeError, which is torch's FatalError, too."""


class Hooks(dict):
    """What the runtime asks Python for: here whatever it asks for refuses."""

    def __missing__(self, name):
        def hook(*arguments):
            raise TypeError(name)

        return hook


hooks = Hooks(tensor_type=type("Tensor", (), {}), parameter_type=type("Parameter", (), {}))
hooks |= {"cdata_type": _cffi_backend._CDataBase, "native_error": NativeError}
_runtime.on_first_call(lambda: _runtime.configure(hooks))

spec = importlib.util.spec_from_file_location(
    os.path.basename(sys.argv[1]).split(".")[0], sys.argv[1]
)
binary = importlib.util.module_from_spec(spec)
spec.loader.exec_module(binary)
table = _runtime.bind(os.path.abspath(sys.argv[1]), "plain", binary, lambda name: name)
for function in table.values():
    function.__self__.origin = (binary.ffi, binary.lib, function.__name__)
twice, halved = table["twice"], table["halved"]
assert (twice(21), halved(x=3), binary.lib.twice(4)) == (42, 1.5, 8)
for wrong, kind, text in ((-1, NativeError, "negative"), ("a", TypeError, "convert")):
    try:
        twice(wrong)
    except kind as error:
        assert text in str(error), error
    else:
        raise AssertionError(f"twice({wrong!r}) did not raise")
assert "torch" not in sys.modules
print("called by", ".".join(map(str, sys.version_info[:2])))
