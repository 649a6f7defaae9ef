"""Compilers as they run: what they print, and how all of them are ended."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

from ffi_ext.errors import BuildError

_COLOURS = re.compile(r"\x1b\[[\d;]*[mK]")  # of messages, where flags ask for them


def says_all() -> bool:
    """Whether commands and all that they print are to be shown."""
    return os.environ.get("FFI_EXT_VERBOSE", "0") not in ("", "0")


class Compilers:
    """The compilers that one build runs, each the leader of a process group, so that all of them can be ended."""

    def __init__(self, verbose: bool = False) -> None:
        self.verbose = verbose
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._ended = False

    def say(self, text: str) -> None:
        if self.verbose and sys.stdout is not None:
            encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
            line = f"{text}\n".encode(encoding, "backslashreplace").decode(encoding)
            with contextlib.suppress(OSError):  # who reads it may have gone
                sys.stdout.write(line)  # one write: compilers run side by side
                sys.stdout.flush()

    def run(self, command: Sequence[str], apart: bool = False) -> tuple[int, str]:
        """Runs a compiler. Returns its exit status and all it printed.

        Args:
            apart: What it prints of errors and warnings is no part of its output: it is returned
                only if the compiler failed.

        Raises:
            BuildError: It could not be started.
        """
        environment = dict(os.environ, LC_ALL="C")  # the messages are read by errors' hints
        with self._lock:
            if self._ended:
                raise BuildError(f"{command[0]} was not started: the build was interrupted")
            try:
                process = subprocess.Popen(
                    list(command),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE if apart else subprocess.STDOUT,
                    env=environment,
                    start_new_session=True,
                )
            except OSError as error:
                raise BuildError(f"{command[0]} could not be started: {error}") from error
            self._running.add(process)
        try:
            output, errors = process.communicate()
        except BaseException:  # Ctrl-C: a compiler may hang, and has children of its own
            _kill_group(process)
            process.wait()
            raise
        finally:
            with self._lock:
                self._running.discard(process)
        # It names files, which may have any bytes in their names.
        if apart and not process.returncode:
            return 0, output.decode("utf-8", "surrogateescape")
        text = _COLOURS.sub("", (errors if apart else output).decode("utf-8", "replace"))
        if process.returncode and not text.strip():
            text = f"{shlex.join(command)} printed nothing and ended with {process.returncode}"
        return process.returncode, text

    def end(self) -> None:
        """Kills those that run, with their children, and starts no more."""
        with self._lock:
            self._ended = True
            for process in self._running:
                _kill_group(process)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def run(command: Sequence[str], apart: bool = False) -> tuple[int, str]:
    """Runs one compiler; as Compilers.run."""
    return Compilers().run(command, apart)


def printed(command: Sequence[str], environment: dict[str, str] | None = None) -> str:
    """What a tool says of itself or the machine; "" if it cannot be started, or hangs, as that of a lost GPU."""
    try:
        done = subprocess.run(
            command, capture_output=True, errors="replace", check=False, env=environment, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr
