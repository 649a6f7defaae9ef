"""Makes `torch.utils.ffi` importable again: a hook that does nothing until it is asked for.

No imports of weight here: interpreters in which the hook is enabled pay for them at each start.
"""

from __future__ import annotations

import sys

NAME = "torch.utils.ffi"


class Finder:
    """Finds `torch.utils.ffi`, and nothing else, before torch's own folder is searched."""

    @staticmethod
    def find_spec(name, path=None, target=None):  # type: ignore[no-untyped-def]
        if name != NAME:
            return None
        from importlib.util import spec_from_file_location

        from ffi_ext import torch_utils_ffi

        return spec_from_file_location(NAME, torch_utils_ffi.__file__)


class TorchFinder:
    """Finds torch as ever, and brings its old autograd back when it has been imported."""

    @staticmethod
    def find_spec(name, path=None, target=None):  # type: ignore[no-untyped-def]
        if name != "torch":
            return None
        from importlib.machinery import PathFinder

        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return spec
        loader = spec.loader
        execute = loader.exec_module

        def exec_module(module):  # type: ignore[no-untyped-def]
            execute(module)
            if TorchFinder in sys.meta_path:
                from ffi_ext import old_autograd

                old_autograd.install()

        loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def install(autograd: bool = False) -> None:
    """Makes `import torch.utils.ffi`, in every spelling, give ffi_ext's.

    Args:
        autograd: Also make old-style autograd Functions (instances with `forward` and `backward`,
            called as `F(arguments)(inputs)`) and `.data[0]` of a tensor without dimensions work.
    """
    if Finder not in sys.meta_path:
        sys.meta_path.insert(0, Finder)  # type: ignore[arg-type]
        sys.modules.pop(NAME, None)  # one of torch's own that was imported before
    if autograd and TorchFinder not in sys.meta_path:
        sys.meta_path.insert(0, TorchFinder)  # type: ignore[arg-type]
        if "torch" in sys.modules:
            from ffi_ext import old_autograd

            old_autograd.install()


def uninstall() -> None:
    """Takes both away; modules that were built with `torch.utils.ffi` stay usable."""
    if Finder in sys.meta_path:
        sys.meta_path.remove(Finder)  # type: ignore[arg-type]
        module = sys.modules.pop(NAME, None)
        utils = sys.modules.get("torch.utils")
        if module is not None and getattr(utils, "ffi", None) is module:
            del utils.ffi  # type: ignore[union-attr]
    if TorchFinder in sys.meta_path:
        sys.meta_path.remove(TorchFinder)  # type: ignore[arg-type]
        if "ffi_ext.old_autograd" in sys.modules:
            sys.modules["ffi_ext.old_autograd"].uninstall()


def explain_syntax_errors() -> None:
    """A script in Python 2, or with words that became keywords, is told apart from what we could repair."""
    show = sys.excepthook

    def hook(kind, value, traceback):  # type: ignore[no-untyped-def]
        show(kind, value, traceback)
        if issubclass(kind, SyntaxError) and value.filename:
            print(
                f"ffi_ext: line {value.lineno} of {value.filename} is no Python 3: Python 2's print and "
                "except, or async as a name, are errors of the language itself and out of ffi_ext's "
                "reach. Rewrite that line, or convert the file with `python -m lib2to3 -w` of a Python "
                "before 3.13",
                file=sys.stderr,
            )

    sys.excepthook = hook
