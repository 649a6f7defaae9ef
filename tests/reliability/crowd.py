"""Many at once: processes and threads that build, import and call the same and different extensions."""

from __future__ import annotations

import errno
import fcntl
import importlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ffi_ext import create_extension, load_inline
from tests.reliability import children

HEADER = "int number(void);\nint sum(const THIntTensor *t);\n"
SOURCE = """#include <TH/TH.h>
#ifdef _OPENMP
#include <omp.h>
#endif
int number(void) { return %d; }
int sum(const THIntTensor *t) {
  const int *data = THIntTensor_data(t);
  int total = 0;
#pragma omp parallel for reduction(+ : total)
  for (long i = 0; i < THIntTensor_nElement(t); i++) total += data[i];
  return total;
}
"""


# Two threads that invalidate at once make CPython delete an entry of sys.path_importer_cache twice.
_invalidating = threading.Lock()


class Crowd:
    """A folder with extensions whose compilers are counted."""

    def __init__(self, home: Path, size: int) -> None:
        self.home, self.size = home, size
        self.log = home / "compilers.log"
        cc = home / "cc"
        cc.write_text(f'#!/bin/sh\necho "$@" >> "{self.log}"\nexec {shutil.which("gcc")} "$@"\n')
        cc.chmod(0o755)
        os.environ["CC"] = str(cc)
        os.environ["FFI_EXT_CACHE"] = str(home / "cache")
        sys.path.insert(0, str(home))

    def fresh(self) -> None:
        """Nothing is built, nothing was compiled."""
        for folder in ("cache", "crowd"):
            shutil.rmtree(self.home / folder, ignore_errors=True)
        self.log.unlink(missing_ok=True)

    def write(self, name: str, number: int) -> None:
        (self.home / f"{name}.h").write_text(HEADER)
        (self.home / f"{name}.c").write_text(SOURCE % number)

    def build(self, name: str) -> None:
        create_extension(
            f"crowd.{name}",
            [f"{name}.h"],
            [f"{name}.c"],
            relative_to=str(self.home / "build.py"),
            extra_compile_args=["-fopenmp"],
            extra_link_args=["-fopenmp"],
            verbose=False,
        ).build()

    def use(self, name: str, number: int) -> None:
        """Imports the module and calls it."""
        with _invalidating:
            importlib.invalidate_caches()
        module = importlib.import_module(f"crowd.{name}")
        t = torch.arange(1000, dtype=torch.int32)
        assert module.number() == number
        assert module.sum(t) == 499500

    def compiles(self) -> list[str]:
        """The user's sources that compilers were started for."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        words = [line.split() for line in lines]
        names = [Path(w[w.index("-c") + 1]).name for w in words if "-c" in w]
        return sorted(name for name in names if not name.startswith("_"))


def all_fine(outcomes: list[children.Outcome]) -> None:
    bad = [str(o) for o in outcomes if not o.fine]
    assert not bad, f"{len(bad)} of {len(outcomes)}: {bad[:3]}"


def processes(count: int, work: Callable[[int], None]) -> None:
    running = [children.Child(lambda i=i: work(i)) for i in range(count)]  # type: ignore[misc]
    all_fine([child.wait(120) for child in running])


def threads(count: int, work: Callable[[int], object]) -> None:
    with ThreadPoolExecutor(count) as running:
        list(running.map(work, range(count)))


def one_extension(c: Crowd) -> None:
    """Processes build the same extension at once: one compile, and each imports what it built."""
    c.write("same", 5)

    def work(index: int) -> None:
        c.build("same")
        c.use("same", 5)

    processes(c.size, work)
    assert c.compiles() == ["same.c"], c.compiles()


def one_extension_in_threads(c: Crowd) -> None:
    """The same in threads of one process."""
    c.write("threaded", 6)

    def work() -> None:
        threads(c.size, lambda index: (c.build("threaded"), c.use("threaded", 6)))

    all_fine([children.run(work)])
    assert c.compiles() == ["threaded.c"], c.compiles()


def many_extensions(c: Crowd) -> None:
    """Each process builds all of a few extensions in an order of its own, in threads."""
    names = [f"ext{i}" for i in range(4)]
    for i, name in enumerate(names):
        c.write(name, i)

    def work(index: int) -> None:
        def one(thread: int) -> None:
            number = (index + thread) % len(names)
            c.build(names[number])
            c.use(names[number], number)

        threads(len(names), one)

    processes(c.size, work)
    assert c.compiles() == [f"{name}.c" for name in names], c.compiles()


def inline_texts(c: Crowd) -> None:
    """load_inline of the same text in processes and threads: one compile."""
    text = "int seven(void) { return 7; }"

    def work(index: int) -> None:
        assert load_inline("inline_crowd", text).seven() == 7

    processes(c.size, work)
    all_fine([children.run(lambda: threads(c.size, work))])
    assert c.compiles() == ["inline_crowd.c"], c.compiles()


def readers_beside_a_builder(c: Crowd) -> None:
    """The module is rebuilt over and over while others import it: no import meets half a file."""
    c.write("moving", 0)
    c.build("moving")
    stop = c.home / "stop"

    def rebuild() -> int:
        number = 0
        while not stop.exists():
            number += 1
            c.write("moving", number)
            c.build("moving")
        return number

    def read() -> int:
        return int(importlib.import_module("crowd.moving").number())

    builder = children.Child(rebuild)
    seen = []
    try:
        for _ in range(4 * c.size):
            outcome = children.run(read)
            assert outcome.fine, f"an import while the module was rebuilt: {outcome}"
            seen.append(outcome.value)
    finally:
        stop.touch()
        built = builder.wait(60)
    assert built.fine and seen == sorted(seen), (built, seen)
    last = children.run(read)
    assert last.value == built.value, f"number {built.value} was built last: {last}"


def killed_holders(c: Crowd) -> None:
    """Whoever holds the lock is killed, again and again, while others wait for it."""
    c.write("killed", 1)
    running = [children.Child(lambda: c.build("killed")) for _ in range(c.size)]
    for child in running[: c.size // 2]:
        time.sleep(0.05)
        os.kill(child.pid, signal.SIGKILL)
    outcomes = [child.wait(120) for child in running]
    assert not any(o.late for o in outcomes), "the lock of a killed build was not free"
    all_fine(outcomes[c.size // 2 :])
    c.use("killed", 1)
    c.build("killed")
    assert not children.litter(c.home), children.litter(c.home)


def a_fork_during_a_build(c: Crowd) -> None:
    """A child forked while a thread of its parent builds does not hold the lock when that is killed."""
    c.write("forked", 2)

    def parent() -> None:
        thread = threading.Thread(target=lambda: c.build("forked"), daemon=True)
        thread.start()
        while not list(c.home.joinpath("cache").glob("_forked-*/tmp-*")):
            time.sleep(0.001)
        if os.fork() == 0:
            time.sleep(6)
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)

    assert children.run(parent).signal == signal.SIGKILL
    started = time.monotonic()
    all_fine([children.run(lambda: c.build("forked"))])
    waited = time.monotonic() - started
    assert waited < 5, f"the build waited {waited:.1f} s for a child that builds nothing"


@contextmanager
def refused_locks(code: int) -> Iterator[None]:
    real = fcntl.flock

    def flock(*arguments: Any) -> None:
        raise OSError(code, os.strerror(code))

    fcntl.flock = flock  # type: ignore[assignment]
    try:
        yield
    finally:
        fcntl.flock = real


def locks_refused(c: Crowd) -> None:
    """A file system without locks: compiles may double, modules are whole, kills leave nothing held."""
    for code in (errno.ENOLCK, errno.ENOSYS, errno.EIO):
        c.fresh()
        c.write("unlocked", code)

        def work(index: int, code: int = code) -> None:
            with refused_locks(code):
                c.build("unlocked")
                c.use("unlocked", code)

        victims = [children.Child(lambda: work(0)) for _ in range(4)]
        time.sleep(0.2)
        for victim in victims:
            os.kill(victim.pid, signal.SIGKILL)
        for victim in victims:
            victim.wait(60)
        processes(c.size, work)
        c.build("unlocked")
        all_fine([children.run(lambda code=code: c.use("unlocked", code))])  # type: ignore[misc]


def after_a_fork(c: Crowd) -> None:
    """Imported and called, with OpenMP, in the parent; called in forked children and in their threads."""
    c.write("parent", 3)

    def parent() -> None:
        c.build("parent")
        c.use("parent", 3)

        def child(index: int) -> None:
            torch.set_num_threads(
                1
            )  # as DataLoader workers do: a forked OpenMP pool has no threads
            c.use("parent", 3)
            threads(4, lambda i: [c.use("parent", 3) for _ in range(50)])

        processes(4, child)

    all_fine([children.run(parent)])


class Squares(torch.utils.data.Dataset[int]):
    """Items computed by a C function, in whichever process asks."""

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> int:
        module = importlib.import_module("crowd.worker")
        return int(module.sum(torch.full((index,), index, dtype=torch.int32)))


def loader_workers(c: Crowd) -> None:
    """DataLoader workers, forked and spawned, call the module that the parent has called."""
    c.write("worker", 4)
    c.build("worker")

    def parent() -> None:
        c.use("worker", 4)
        for context in ("fork", "spawn"):
            loader = torch.utils.data.DataLoader(
                Squares(), batch_size=8, num_workers=2, multiprocessing_context=context
            )
            got = [int(n) for batch in loader for n in batch]
            assert got == [i * i for i in range(64)], got

    os.environ["PYTHONPATH"] = os.pathsep.join([str(c.home), os.getcwd()])
    all_fine([children.run(parent, 240)])


RANK = """
import os, sys
import torch, torch.distributed as dist
from ffi_ext import create_extension, load_inline
home = sys.argv[1]
sys.path.insert(0, home)
dist.init_process_group("gloo")
create_extension("crowd.ranks", ["ranks.h"], ["ranks.c"], relative_to=home + "/build.py", verbose=False).build()
import crowd.ranks
total = torch.tensor([crowd.ranks.number() + load_inline("rank", "int one(void) { return 1; }").one()])
dist.all_reduce(total)
assert total.item() == 10 * dist.get_world_size(), total
dist.barrier()
dist.destroy_process_group()  # without it gloo's threads end the process by SIGABRT now and then
"""


def torchrun(c: Crowd) -> None:
    """All ranks of a torchrun build the same extension first."""
    c.write("ranks", 9)
    (c.home / "ranks.py").write_text(RANK)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "4",
    ]
    done = subprocess.run(
        [*command, str(c.home / "ranks.py"), str(c.home)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert c.compiles() == ["rank.c", "ranks.c"], c.compiles()


CROWDS = (
    one_extension,
    one_extension_in_threads,
    many_extensions,
    inline_texts,
    readers_beside_a_builder,
    killed_holders,
    a_fork_during_a_build,
    locks_refused,
    after_a_fork,
    loader_workers,
    torchrun,
)


def main(size: int, rounds: int) -> int:
    failures = []
    seconds: dict[str, float] = {}
    for round_ in range(rounds):
        for crowd in CROWDS:
            home = Path(tempfile.mkdtemp(prefix="crowd-"))
            started = time.monotonic()
            outcome = children.run(lambda crowd=crowd, home=home: crowd(Crowd(home, size)), 400)  # type: ignore[misc]
            if not outcome.fine:
                failures.append(f"{crowd.__name__} (round {round_}): {outcome}")
            seconds[crowd.__name__] = round(time.monotonic() - started, 1)
            shutil.rmtree(home, ignore_errors=True)
    report = {"size": size, "rounds": rounds, "crowds": len(CROWDS), "seconds": seconds}
    return children.finish("crowd", report, failures)


if __name__ == "__main__":
    options = children.arguments(__doc__ or "", size=16, rounds=3)
    sys.exit(main(options.size, options.rounds))
