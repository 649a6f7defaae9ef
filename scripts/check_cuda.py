"""On a machine with a GPU: the CUDA tests, the kernels beside torchvision's, compute-sanitizer over them.

What is built is used as it is, and nothing is installed: `make test-cuda` builds first. A machine without a network
gets this project's folder with what another one has built, and runs `python3 scripts/check_cuda.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ffi_ext.cuda import toolkit  # noqa: E402

# Without one of these little would run; pycparser is cffi's.
NEEDED = ("cffi", "ffi_ext._runtime", "numpy", "PIL", "pycparser", "pytest", "setuptools", "torch")
TESTS = ["tests/test_cuda.py", "tests/test_thc.py", "tests/test_cuda_kernels.py"]
# This project's kernels only: with torch's it takes many times as long. Errors that CUDA's functions return are the
# tests' business: libraries ask the driver for functions that it need not have.
CHECKED = ["--kernel-name", "kns=run_", "--report-api-errors", "no", "--error-exitcode", "1"]
# These kernels share no memory: for races and barriers one element type is enough.
FEW, MANY = "gpu_every and float", "gpu and (function or images)"
SANITIZED = {"memcheck": MANY, "racecheck": FEW, "synccheck": FEW}
# Where compute-sanitizer cannot have the GPU, torch finds none, and tests that are skipped would pass.
ON_THE_GPU = "import pytest, sys, torch; torch.ones(1).cuda(); sys.exit(pytest.main(sys.argv[1:]))"
# Seconds, in the order of what a GPU that is lent for minutes is wanted for most. Where there are more, each has its
# share of them: slow machines need them.
PARTS = {"tests": 400, "bench": 200, "memcheck": 300, "racecheck": 300, "synccheck": 300}
LEAST = 5  # in which none of them gets anywhere
ONE_TEST = 120  # of which one that hangs is given up, and the others go on
ANSWER = 120  # a fresh machine reads torch from a slow disk
SPOKEN = 20  # last lines of a part that are shown where its log is a file
LAST_WORDS = 5  # in which what hangs says where


def sanitizer() -> str | None:
    """compute-sanitizer on PATH or in the toolkit."""
    home = toolkit.home()
    folders = [home / "bin", home / "compute-sanitizer"] if home else []
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *map(str, folders)])
    return shutil.which("compute-sanitizer", path=path)


def why_no_gpu() -> str:
    """Why torch has no GPU here, or ""."""
    question = "import torch; print(torch.cuda.is_available(), torch.__version__)"
    asked = [sys.executable, "-c", question]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=ANSWER)
    except subprocess.TimeoutExpired:
        return f"torch has not said within {ANSWER} s whether there is one"
    available, _, version = done.stdout.strip().partition(" ")
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:]  # a crash says nothing
        return f"torch cannot be imported: {last[0] if last else f'exit status {done.returncode}'}"
    if available != "True":  # torch warns of a driver that is too old, and the like
        print(done.stderr, end="", file=sys.stderr)
        return f"there is no GPU for torch {version}"
    return ""


def command(part: str, folder: Path | None) -> list[str]:
    """What a part runs; its results go to the folder."""
    python = [sys.executable]
    if part == "tests":
        # A process whose GPU has failed ends (tests/conftest.py), and so does one that hangs: another
        # takes over. Under --dist loadfile it would begin with the same test, and pytest-xdist has
        # worksteal from 3.2 on, Debian 12 an older one.
        at_once = ["-n", "3", "--dist", "load"]
        given_up = ["--timeout", str(ONE_TEST), "--timeout-method", "thread"]
        where = ["-o", f"faulthandler_timeout={ONE_TEST - 10}"]
        return [
            *(*python, "-m", "pytest", "-v", "-rs", "-p", "no:cacheprovider", *where, *TESTS),
            *(at_once if importlib.util.find_spec("xdist") else []),
            *(given_up if importlib.util.find_spec("pytest_timeout") else []),
        ]
    if part == "bench":
        page = ["--markdown", str(folder / "performance_cuda.md")] if folder else []
        return [*python, "benchmarks/gpu.py", *page]
    pytest = [*python, "-c", ON_THE_GPU, "-q", "-p", "no:cacheprovider"]
    chosen = ["tests/test_cuda_kernels.py", "-k", SANITIZED[part]]
    return [sanitizer() or "compute-sanitizer", "--tool", part, *CHECKED, *pytest, *chosen]


def processes(group: int) -> list[int]:
    """The living processes of a group, in the order in which they began."""
    living = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile, or is another user's
            # its name may have any bytes
            state, _, its_group = stat.read_text(errors="replace").rpartition(")")[2].split()[:3]
            if int(its_group) == group and state != "Z":
                living.append(int(stat.parent.name))
    return sorted(living)


def last_words(group: int) -> None:
    """Lets each process of a group say where it is, one after the other.

    They share a log, and what waits for a child would go on when that ends.
    """
    for process in processes(group):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGABRT)
        ends = time.monotonic() + LAST_WORDS
        while process in processes(group) and time.monotonic() < ends:
            time.sleep(0.01)


def run(words: list[str], seconds: float, log: Path | None) -> str:
    """Runs a command for so long at most, its children too. Returns "", or what went wrong.

    A kernel that never ends would tell nobody which it is: each Python writes where it is before it is ended.
    """
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {
        "PYTHONPATH": path,
        "PYTHONUNBUFFERED": "1",
        "PYTHONFAULTHANDLER": "1",
    }
    if "--tool" in words:  # which is to know each piece of memory
        environment["PYTORCH_NO_CUDA_MEMORY_CACHING"] = "1"
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("w")) if log else None
        # A SIGTERM meanwhile would leave behind a child whose number is not known yet.
        free = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        stack.callback(signal.pthread_sigmask, signal.SIG_SETMASK, free)

        def prepare() -> None:
            signal.pthread_sigmask(signal.SIG_SETMASK, free)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

        child = subprocess.Popen(
            words,
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=prepare,
        )
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, free)
            status = child.wait(seconds)
        except subprocess.TimeoutExpired:
            last_words(child.pid)
            return f"not done after {seconds:.0f} s"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):  # a driver may hold what it has
                child.wait(LAST_WORDS)
    return f"exit status {status}" if status else ""


def check(parts: Iterable[str], seconds: float, folder: Path | None) -> dict[str, str]:
    """Runs each part, whatever becomes of the others. Returns a line on each."""
    ends = time.monotonic() + seconds
    more = max(1, seconds / sum(PARTS.values()))
    missing = why_no_gpu()
    said: dict[str, str] = {}
    for part in parts:
        left = min(PARTS[part] * more, ends - time.monotonic())
        if missing and part != "tests":
            said[part] = f"not run: {missing}"
        elif part in SANITIZED and not sanitizer():
            said[part] = "not run: compute-sanitizer is neither on PATH nor in the toolkit"
        elif left < LEAST:
            said[part] = "failed: no time was left"
        else:
            print(f"\n{part}:", flush=True)
            log = folder / f"{part}.log" if folder else None
            begun = time.monotonic()
            wrong = run(command(part, folder), left, log)
            said[part] = f"failed: {wrong}" if wrong else "ok"
            said[part] += f", {time.monotonic() - begun:.0f} s"
            if log:
                lines = log.read_text(errors="replace").splitlines() or [""]
                said[part] += f": {lines[-1]}"
                print(*lines[-SPOKEN:], sep="\n", flush=True)
    return said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS) + "; else all")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="logs, and the page of figures")
    parser.add_argument("--seconds", type=float, default=3600, help="of all parts together")
    options = parser.parse_args()
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}, but {', '.join(PARTS)}")
    lacking = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if lacking:
        parser.error(
            f"{sys.executable} has no {', '.join(lacking)}: pyproject.toml says what to install, pillow and pytest "
            "beside it; `make build` makes ffi_ext._runtime"
        )
    if not (ROOT / "_ext" / "kernels_cuda").is_dir():
        print("_ext/kernels_cuda is not there: its tests are skipped, and nothing is measured")
    if options.out:
        options.out = options.out.resolve()
        options.out.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as timeout(1) ends us: by run()
    said = check(options.parts or PARTS, options.seconds, options.out)
    print("\n" + "\n".join(f"{part:<10} {line}" for part, line in said.items()))
    return int(any(line.startswith("failed") for line in said.values()))


if __name__ == "__main__":
    sys.exit(main())
