"""Memory that runs out: each allocation of a call fails in turn; MemoryError or an error of torch's, never a crash."""

from __future__ import annotations

import ctypes
import mmap
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.binaries import FREE_THREADED
from tests.reliability import children, ways

# KNOWN: torch.from_numpy ends the process where std::bad_alloc meets a function of its own that must not
# throw (c10::InefficientStdFunctionContext::makeDataPtr).

# What may come of a call: memory errors of Python, of TH and of torch, in their classes.
EXPECTED = ("MemoryError", "NativeError", "RuntimeError", "OutOfMemoryError")


# Lets the allocation of that number fail. Returns what is wrong then; None where there was no such allocation.
Attempt = Callable[[int], "str | None"]


def outcome(call: Callable[[], Any], fails: Callable[[], None], works: Callable[[], Any]) -> str:
    """The class of the exception of a call between `fails` and `works`, or ""."""
    failure: Exception | None = None
    fails()
    try:
        call()
    except Exception as caught:
        failure = caught
    while True:
        try:
            works()
            break
        except MemoryError:  # the allocation was this one's
            continue
    if isinstance(failure, SystemError) and "ffi_ext" not in str(failure):
        return "MemoryError"  # torch and CPython forget to set one here and there
    return type(failure).__name__ if failure else ""


def each_in_turn(attempt: Attempt, most: int) -> tuple[int, list[tuple[int, str, int]]]:
    """The attempts 1, 2 ... in a child; where it ends, another one goes on behind that number.

    Returns:
        How many allocations failed; number, text and signal of those that did harm.
    """
    shared, harm, first = mmap.mmap(-1, 8), [], 1

    def work() -> tuple[int, list[tuple[int, str, int]]]:
        wrong = []
        for number in range(first, most + 1):
            shared[:8] = number.to_bytes(8, "little")
            text = attempt(number)
            if text is None:
                return number - 1, wrong
            if text:
                wrong.append((number, text, 0))
        return most, wrong

    while first <= most:
        outcome = children.run(work, 60)
        if outcome.fine:
            last, wrong = outcome.value
            return last, harm + wrong
        number = int.from_bytes(shared[:8], "little")
        harm.append((number, str(outcome), outcome.signal))
        first = number + 1
    return most, harm


def inside(most: int) -> int:
    """In the process that has the shim."""
    import importlib

    sys.path.insert(0, os.getcwd())
    lib = importlib.import_module("oom.lib")
    shim = ctypes.CDLL(os.environ["LD_PRELOAD"])
    shim.oom_arm.restype = None
    shim.oom_disarm.restype = ctypes.c_long
    shim.oom_arm.argtypes = [ctypes.c_long]
    try:
        import _testcapi  # CPython's own, which not every Python has
    except ImportError:
        _testcapi = None
    failures: list[str] = []
    counts = {"failed_allocations": 0, "failed_in_python": 0}
    found = ways.calls(lib)
    for name, call in found.items():
        usual = outcome(call, lambda: None, lambda: None)  # the first call sets things up

        def told(error: str, call=call, usual=usual) -> str:  # type: ignore[no-untyped-def]
            again = outcome(call, lambda: None, lambda: None)
            if again != usual:
                return f"{error or 'no error'}, and afterwards {again or 'no error'}"
            return "" if error in (*EXPECTED, usual, "") else error

        def c_fails(number: int, call=call, told=told) -> str | None:  # type: ignore[no-untyped-def]
            seen = 0

            def works() -> None:
                nonlocal seen
                seen = shim.oom_disarm()

            lib.hold(40)  # all records that the thread has ready
            error = outcome(call, lambda: shim.oom_arm(number), works)
            lib.drop()
            return told(error) or ("" if seen < 0 else None)

        def python_fails(number: int, call=call, usual=usual, told=told) -> str | None:  # type: ignore[no-untyped-def]
            error = outcome(
                call,
                lambda: _testcapi.set_nomemory(number - 1, number),
                _testcapi.remove_mem_hooks,
            )
            return told(error) or (None if error == usual else "")

        failed, harm = each_in_turn(c_fails, most)
        counts["failed_allocations"] += failed
        for number, text, ended in harm:
            if not (name == "numpy" and ended == signal.SIGABRT):  # see KNOWN
                failures.append(f"{name}, allocation {number}: {text}")
        if _testcapi:
            failed, harm = each_in_turn(python_fails, most)
            counts["failed_in_python"] += failed
            failures += [f"{name}, Python's allocation {n}: {text}" for n, text, _ in harm]
    return children.finish("oom", {"ways": len(found), **counts}, failures)


def main(most: int) -> int:
    """Builds the shim and the extension, and starts the process that has it preloaded."""
    from ffi_ext import create_extension

    home = Path(tempfile.mkdtemp(prefix="oom-"))
    try:
        shim = home / "oom.so"
        source = Path(__file__).with_name("oom.c")
        subprocess.run(
            [shutil.which("gcc") or "cc", "-O1", "-shared", "-fPIC", "-o", str(shim), str(source)],
            check=True,
        )
        (home / "lib.h").write_text(ways.HEADER)
        (home / "lib.c").write_text(ways.SOURCE)
        create_extension(
            "oom.lib", ["lib.h"], ["lib.c"], relative_to=str(home / "build.py"), verbose=False
        ).build()
        environment = os.environ | {
            "LD_PRELOAD": str(shim),
            "PYTHONPATH": os.getcwd(),
            # All that Python takes counts, too; a free-threaded one's allocator cannot be replaced.
            **({} if FREE_THREADED else {"PYTHONMALLOC": "malloc"}),
        }
        command = [
            sys.executable,
            "-m",
            "tests.reliability.oom",
            "--most",
            str(most),
            "--inside",
            "1",
        ]
        return subprocess.run(command, cwd=home, env=environment, check=False).returncode
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    options = children.arguments(__doc__ or "", most=400, inside=0)
    sys.exit(inside(options.most) if options.inside else main(options.most))
