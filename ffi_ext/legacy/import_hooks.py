"""Makes `torch.utils.ffi` importable again: a hook that does nothing until it is asked for.

No imports of weight here: interpreters in which the hook is enabled pay for them at each start.
"""

from __future__ import annotations

import sys

from ffi_ext.legacy import old_libraries
from ffi_ext.legacy.old_names import NAME
from ffi_ext.legacy.patches import take_back


class Finder:
    """Finds `torch.utils.ffi`, and nothing else, before torch's own folder is searched."""

    @staticmethod
    def find_spec(name, path=None, target=None):  # type: ignore[no-untyped-def]
        if name != NAME:
            return None
        from importlib.util import spec_from_file_location

        from ffi_ext import torch_utils_ffi

        return spec_from_file_location(NAME, torch_utils_ffi.__file__)


class After:
    """Finds one module as ever, and does something with it when it has been imported."""

    def __init__(self, name, act):  # type: ignore[no-untyped-def]
        self.name, self.act = name, act

    def find_spec(self, name, path=None, target=None):  # type: ignore[no-untyped-def]
        if name != self.name:
            return None
        from importlib.machinery import PathFinder

        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return spec
        loader = spec.loader
        execute = loader.exec_module

        def exec_module(module):  # type: ignore[no-untyped-def]
            execute(module)
            if self in sys.meta_path:
                self.act(module)

        loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec

    def install(self) -> None:
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)  # type: ignore[arg-type]
            if self.name in sys.modules:
                self.act(sys.modules[self.name])

    def uninstall(self) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)  # type: ignore[arg-type]


def _fork(context) -> None:  # type: ignore[no-untyped-def]
    default = context._default_context
    default._default_context = context._concrete_contexts["fork"]


BUILDS = (
    After("torch.utils.cpp_extension", old_libraries.called_build_extension),
    After("setuptools.dist", old_libraries.old_setup),
)
LIBRARIES = (
    After("torch", old_libraries.old_torch),
    After("torch.utils.serialization", old_libraries.old_lua),
    After("torchvision.transforms", old_libraries.old_torchvision),
    After("torchvision.models", old_libraries.old_models),
    After("torchvision.utils", old_libraries.old_grids),
    After("numpy", old_libraries.old_numpy),
    # apart from numpy, which imports it when it is asked for
    After("numpy.random", old_libraries.old_choices),
    After("scipy.misc", old_libraries.old_scipy),
    After("PIL.Image", old_libraries.old_pil),
    After("yaml", old_libraries.old_yaml),
    After("inspect", old_libraries.old_python),
)


def install(autograd: bool = False) -> None:
    """Makes `import torch.utils.ffi`, in every spelling, give ffi_ext's, and BuildExtension called like it build.

    Args:
        autograd: Also make old-style autograd Functions work (instances with `forward` and `backward`,
            called as `F(arguments)(inputs)`), `.data[0]` of a tensor without dimensions,
            `x.cuda(async=True)`, `numpy.float`, and the rest of what docs/porting.md lists.
    """
    if Finder not in sys.meta_path:
        sys.meta_path.insert(0, Finder)  # type: ignore[arg-type]
    for hook in (*BUILDS, *(LIBRARIES if autograd else ())):
        hook.install()
    if autograd:
        old_libraries.old_collections()
        old_libraries.old_async()


def uninstall() -> None:
    """Takes away what install() brought; modules that were built with `torch.utils.ffi` stay usable."""
    if Finder in sys.meta_path:
        sys.meta_path.remove(Finder)  # type: ignore[arg-type]
        module = sys.modules.pop(NAME, None)
        utils = sys.modules.get("torch.utils")
        if module is not None and getattr(utils, "ffi", None) is module:
            del utils.ffi  # type: ignore[union-attr]
    for hook in (*BUILDS, *LIBRARIES):
        hook.uninstall()
    take_back()
    sys.modules.pop("torch._six", None)  # old_torch.py's


def fork_workers() -> None:
    """Processes start by fork unless the script says otherwise, as on Linux before Python 3.14.

    Scripts that start a DataLoader's workers without `if __name__ == "__main__"`, or hand them lambdas,
    rely on it.
    """
    if sys.platform == "linux" and sys.version_info >= (3, 14):
        After("multiprocessing.context", _fork).install()
