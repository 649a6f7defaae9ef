"""`ffi-ext enable` and `disable`: torch.utils.ffi at every start of this Python environment."""

from __future__ import annotations

import argparse
import sys
import sysconfig
from pathlib import Path

from ffi_ext.cli.terminal import OK, complain

HOOK = "ffi_ext_torch_utils_ffi.pth"
HOOK_TEXT = (
    "import ffi_ext.legacy.import_hooks; ffi_ext.legacy.import_hooks.install(autograd=True)\n"
)


def add(parser: argparse.ArgumentParser) -> None:
    parser.epilog = f"The hook is one file, {HOOK},\nin this environment's site-packages."


def _hook() -> Path:
    return Path(sysconfig.get_path("purelib")) / HOOK


def main(options: argparse.Namespace) -> int:
    return enable() if options.command == "enable" else disable()


def enable() -> int:
    """Brings torch.utils.ffi back for every start of this Python."""
    try:
        _hook().write_text(HOOK_TEXT)
    except OSError as error:
        return complain(f"{_hook()} cannot be written: {error.strerror}")
    print(f"torch.utils.ffi is back in {sys.prefix} ({_hook()}); `ffi-ext disable` takes it away")
    return OK


def disable() -> int:
    """Takes it away again."""
    if not _hook().exists():
        print(f"torch.utils.ffi was not enabled in {sys.prefix}")
        return OK
    try:
        _hook().unlink()
    except OSError as error:
        return complain(f"{_hook()} cannot be removed: {error.strerror}")
    print(f"torch.utils.ffi is gone from {sys.prefix}")
    return OK
