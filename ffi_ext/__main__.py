"""The command line: `ffi-ext run`, `enable`, `disable`, `doctor`, `inspect`; `python -m ffi_ext` is the same."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

HOOK = "ffi_ext_torch_utils_ffi.pth"
HOOK_TEXT = "import ffi_ext.legacy; ffi_ext.legacy.install(autograd=True)\n"


def _hook() -> Path:
    return Path(sysconfig.get_path("purelib")) / HOOK


def _complain(text: str) -> int:
    print(f"ffi-ext: {text}", file=sys.stderr)
    return 2


def _environment(wrappers: Path) -> dict[str, str]:
    """The user's, with the hook for every Python that the command starts, this Python and our nvcc first."""
    env = dict(os.environ)
    startup = str(Path(__file__).with_name("startup"))
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [startup, env.get("PYTHONPATH", "")]))
    first = [str(wrappers), str(Path(sys.executable).parent)]
    env["PATH"] = os.pathsep.join([*first, env.get("PATH", os.defpath)])
    env["FFI_EXT_WRAPPERS"] = str(wrappers)
    nvcc = wrappers / "nvcc"
    nvcc.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m ffi_ext.nvcc "$@"\n')
    nvcc.chmod(0o755)
    return env


def _without_isolation(command: list[str]) -> list[str]:
    """pip builds in an environment of its own, where neither torch nor ffi_ext is."""
    is_pip = any(Path(word).name in ("pip", "pip3") for word in command[:3])
    if not is_pip or "install" not in command or "--no-build-isolation" in command:
        return command
    print("ffi-ext: pip install runs with --no-build-isolation, so that the build sees this torch")
    at = command.index("install") + 1
    return [*command[:at], "--no-build-isolation", *command[at:]]


def run(command: list[str]) -> int:
    """Runs a script or, after `--`, a command, with torch.utils.ffi in place for all its children."""
    if command[:1] == ["--"]:
        command = _without_isolation(command[1:])
    elif command and not Path(command[0]).is_file():
        return _complain(f"there is no script {command[0]!r}; a command goes after --: run -- make")
    else:
        command = [sys.executable, *command] if command else []
    if not command:
        return _complain("nothing to run: ffi-ext run SCRIPT [ARGS], or ffi-ext run -- COMMAND ...")
    with tempfile.TemporaryDirectory(prefix="ffi_ext-run-") as wrappers:
        env = _environment(Path(wrappers))
        if shutil.which(command[0], path=env["PATH"]) is None:
            return _complain(f"command not found: {command[0]}")
        try:
            code = subprocess.call(command, env=env)
        except OSError as error:
            return _complain(f"{shlex.join(command)} cannot be started: {error.strerror}")
    return 128 - code if code < 0 else code  # ended by a signal: as a shell says it


def enable() -> int:
    """Brings torch.utils.ffi back for every start of this Python."""
    try:
        _hook().write_text(HOOK_TEXT)
    except OSError as error:
        return _complain(f"{_hook()} cannot be written: {error.strerror}")
    print(f"torch.utils.ffi is back in {sys.prefix} ({_hook()}); `ffi-ext disable` takes it away")
    return 0


def disable() -> int:
    """Takes it away again."""
    if not _hook().exists():
        print(f"torch.utils.ffi was not enabled in {sys.prefix}")
        return 0
    try:
        _hook().unlink()
    except OSError as error:
        return _complain(f"{_hook()} cannot be removed: {error.strerror}")
    print(f"torch.utils.ffi is gone from {sys.prefix}")
    return 0


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["run"] and arguments[1:2] not in (["-h"], ["--help"]):
        return run(arguments[1:])
    parser = argparse.ArgumentParser(
        prog="ffi-ext", description="torch.utils.ffi for today's PyTorch"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser(
        "run",
        usage="ffi-ext run SCRIPT [ARGS] | ffi-ext run -- COMMAND ...",
        help="run an unmodified script or command with torch.utils.ffi in place, children included",
    )
    commands.add_parser("enable", help="bring torch.utils.ffi back for this Python environment")
    commands.add_parser("disable", help="take it away again")
    doctor = commands.add_parser(
        "doctor", help="what is on this machine, and what a repository needs"
    )
    doctor.add_argument(
        "repository", nargs="?", help="read its scripts and sources; nothing is run"
    )
    inspect = commands.add_parser("inspect", help="what a built module has")
    inspect.add_argument("package", help="its directory, such as _ext/my_lib")
    for command in (doctor, inspect):
        command.add_argument("--json", action="store_true", help="for programs")
    options = parser.parse_args(arguments)
    if options.command == "doctor":
        from ffi_ext import doctor as examination

        return examination.main(options.repository, options.json)
    if options.command == "inspect":
        from ffi_ext import inspection

        return inspection.main(options.package, options.json)
    return {"enable": enable, "disable": disable}[options.command]()


if __name__ == "__main__":
    sys.exit(main())
