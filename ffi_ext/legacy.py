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


def install() -> None:
    """Makes `import torch.utils.ffi`, in every spelling, give ffi_ext's."""
    if Finder not in sys.meta_path:
        sys.meta_path.insert(0, Finder)  # type: ignore[arg-type]
        sys.modules.pop(NAME, None)  # one of torch's own that was imported before


def uninstall() -> None:
    """Takes `torch.utils.ffi` away; modules that were built with it stay usable."""
    if Finder in sys.meta_path:
        sys.meta_path.remove(Finder)  # type: ignore[arg-type]
        module = sys.modules.pop(NAME, None)
        utils = sys.modules.get("torch.utils")
        if utils is not None and getattr(utils, "ffi", None) is module:
            del utils.ffi
