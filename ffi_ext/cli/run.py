"""`ffi-ext run`: an unmodified script or command with torch.utils.ffi in place, its children included."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import FrameType

from ffi_ext import cache
from ffi_ext.cli.terminal import complain
from ffi_ext.compilers import toolchain
from ffi_ext.cuda import cuda_libraries, host_compiler, toolkit
from ffi_ext.paths import INCLUDE_DIRS, PACKAGE


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = "ffi-ext run SCRIPT [ARGS] | run -m MODULE [ARGS] | run -- COMMAND ..."
    parser.epilog = (
        "Python's own options go before the script.\nexamples:\n  ffi-ext run build.py\n"
        "  ffi-ext run -- sh make.sh\n  ffi-ext run train.py --lr 0.1\n  ffi-ext run -m tools.train --lr 0.1"
    )
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="SCRIPT [ARGS]")


def main(options: argparse.Namespace) -> int:
    return run(options.words)


def _joined(*folders: str | None) -> str:
    return os.pathsep.join(filter(None, folders))


def _programs(temporary: Path) -> Path:
    """A folder with our nvcc, in what scripts that find it on PATH take for the toolkit: bin, include, lib64.

    In the cache, at the same place each time: CMake and configure scripts note it for the `make` that follows.
    """
    this_python = shlex.quote(sys.executable)
    scripts = {"nvcc": f'#!/bin/sh\nexec {this_python} -m ffi_ext.cuda.nvcc "$@"\n'}
    if not Path(sys.executable).with_name("python").exists():  # Debian has python3 alone
        scripts["python"] = f'#!/bin/sh\nexec {this_python} "$@"\n'
    name = cache.digest(os.fsencode(f"{scripts}{toolkit.home()}"))[:16]
    root = (cache.root() or temporary) / f"nvcc-{name}"
    folder = root / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / toolkit.OURS).touch()
    for program, script in scripts.items():
        if not (folder / program).exists():
            fresh = cache.fresh_name(folder / program)
            fresh.write_bytes(os.fsencode(script))
            fresh.chmod(0o755)
            fresh.replace(folder / program)
    for link, places in (("include", toolkit.include_dirs()), ("lib64", toolkit.library_dirs())):
        if places:
            with contextlib.suppress(FileExistsError):
                (root / link).symlink_to(places[0])
    return folder


def _environment(temporary: Path) -> dict[str, str]:
    """The user's, with the hook for every Python that the command starts, this Python and our nvcc first."""
    env = dict(os.environ)
    startup = str(PACKAGE / "legacy" / "startup")
    env["PYTHONPATH"] = _joined(startup, env.get("PYTHONPATH"))
    programs = _programs(temporary)
    first = [str(programs), str(Path(sys.executable).parent)]
    env["PATH"] = os.pathsep.join([*first, env.get("PATH", os.defpath)])
    if compiler := toolkit.nvcc():  # CMake's FindCUDA looks for it in the toolkit first
        env.setdefault("CUDA_NVCC_EXECUTABLE", str(programs / "nvcc"))
        # The toolkit's own nvcc, called by its path, finds what ours would tell it of this system.
        words = [*host_compiler.flags(compiler), *toolkit.as_system_headers()]
        if not any(re.search(r"\s", word) for word in words):
            env["NVCC_PREPEND_FLAGS"] = " ".join([*words, env.get("NVCC_PREPEND_FLAGS", "")])
    # What pip and uv read as --no-build-isolation: for a pip that a script calls, and for every uv.
    env["PIP_NO_BUILD_ISOLATION"] = "0"
    env["UV_NO_BUILD_ISOLATION"] = "1"
    # Where in the script C code crashed: no shell says "Segmentation fault" for a child of ours.
    env.setdefault("PYTHONFAULTHANDLER", "1")
    # CMake 4 refuses projects that ask for one before 3.5, unless it is told not to.
    env.setdefault("CMAKE_POLICY_VERSION_MINIMUM", "3.5")
    # Scripts that compile for themselves (g++ -I$TORCH/lib/include ...): torch's headers are ours now.
    # So are those of cuRAND, cuBLAS ...: the toolkit may lack what pip installed beside torch, libraries too. Last of
    # all, since the runtime may be there in another version than nvcc's.
    env["CPATH"] = _joined(*INCLUDE_DIRS, env.get("CPATH"), *toolkit.include_dirs())
    env["CPLUS_INCLUDE_PATH"] = _joined(str(toolchain.CXX_HEADERS), env.get("CPLUS_INCLUDE_PATH"))
    cuda_libraries.name_pip_libraries(temporary)
    env["LIBRARY_PATH"] = _joined(env.get("LIBRARY_PATH"), str(temporary))
    return env


def _without_isolation(command: list[str]) -> list[str]:
    """pip and build make wheels in an environment of their own, where neither torch nor ffi_ext is."""
    at = 2 if command[1:2] == ["-m"] else 0  # python -m pip
    tool = Path(command[at]).name if at < len(command) else ""
    option = ""
    if tool in ("pip", "pip3"):
        verb = next((word for word in command[at:] if word in ("install", "wheel")), None)
        if verb is not None:
            at, tool = command.index(verb), f"{tool} {verb}"
            option = "--no-build-isolation"
    elif tool == "pyproject-build" or (tool == "build" and at):
        option = "--no-isolation"
    if not option or option in command:
        return command
    print(f"ffi-ext: {tool} runs with {option}, so that the build sees this torch")
    return [*command[: at + 1], option, *command[at + 1 :]]


def _of_another_language(script: Path) -> str:
    """What runs a script that is none of Python's, by its name or its first line."""
    if script.suffix == ".py":
        return ""
    if script.suffix == ".ipynb":
        return "jupyter nbconvert --to notebook --execute"
    with script.open("rb") as file:
        first = os.fsdecode(file.readline(200)).strip()
    if first.startswith("#!") and "python" not in first:
        return first.removeprefix("#!").strip()
    return "sh" if script.suffix in (".sh", ".bash") else ""


def _call(command: list[str], env: dict[str, str], out: int | None) -> int:
    """Runs it to its end, however long it takes to answer what asks it to end: it may save its work then.

    As if it ran without us: Ctrl-C reaches all that the terminal has in the foreground, other signals come to us alone.
    """
    with subprocess.Popen(command, env=env, stdout=out) as process:

        def pass_on(number: int, frame: FrameType | None) -> None:
            if number != signal.SIGINT or not _is_in_foreground():
                process.send_signal(number)

        ours = {  # what nohup has us ignore, the command ignores, too
            number: signal.signal(number, pass_on)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
            if signal.getsignal(number) != signal.SIG_IGN
        }
        try:
            return process.wait()
        finally:
            for number, handler in ours.items():
                signal.signal(number, handler)


def _is_in_foreground() -> bool:
    try:
        with open("/dev/tty", "rb", buffering=0) as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:  # there is no terminal
        return False


CRASHES = (signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV)


def _ended_by(number: int, words: list[str]) -> int:
    """The exit code of what a signal ended, as a shell gives it; a shell also says that it crashed."""
    if number in CRASHES:
        complain(
            f"{shlex.join(words)} was ended by {signal.Signals(number).name}, an error in its C code: build that with "
            "CFLAGS='-g -fsanitize=address', run it with LD_PRELOAD=$(gcc -print-file-name=libasan.so), and its line "
            "is named"
        )
    return 128 + number


def run(command: list[str], quiet: bool = False) -> int:
    """Runs a script or, after `--`, a command, with torch.utils.ffi in place for all its children."""
    words = command
    if command[:1] == ["--"]:
        command = _without_isolation(command[1:])
    elif command and command[0].startswith("-"):  # -m MODULE, -u SCRIPT: Python's options
        command = _without_isolation([sys.executable, *command])
    elif command and not Path(command[0]).is_file():
        hint = (
            f"; a command goes after --: ffi-ext run -- {command[0]}"
            if shutil.which(command[0])
            else ""
        )
        return complain(f"there is no script {command[0]!r}{hint}")
    elif command and (program := _of_another_language(Path(command[0]))):
        return complain(
            f"{command[0]} is no Python script; this runs it: ffi-ext run -- {program} {shlex.join(command)}"
        )
    else:
        command = [sys.executable, *command] if command else []
    if not command:
        return complain("nothing to run: ffi-ext run SCRIPT [ARGS], or ffi-ext run -- COMMAND ...")
    with tempfile.TemporaryDirectory(prefix="ffi_ext-run-") as temporary:
        env = _environment(Path(temporary))
        if shutil.which(command[0], path=env["PATH"]) is None:
            if Path(command[0]).is_file():
                return complain(
                    f"{command[0]} may not be executed: chmod +x it, or name what runs it: run -- sh {command[0]}"
                )
            return complain(f"command not found: {command[0]}")
        try:
            code = _call(command, env, subprocess.DEVNULL if quiet else None)
        except OSError as error:
            code = complain(f"{shlex.join(command)} cannot be started: {error.strerror}")
    return _ended_by(-code, words) if code < 0 else code
