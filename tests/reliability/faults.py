"""Faults of the build: killed, out of disk, without a compiler ...; what was there stays, the next build succeeds."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import importlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch  # noqa: F401  # once here, not in each child

from ffi_ext import cache, create_extension
from tests.reliability import children

GCC = shutil.which("gcc") or "gcc"
Values = tuple[int, int, int]


class Project:
    """An extension of two sources and a header whose values say which texts it was built from.

    Texts come back: an object that was made from another state of the texts than its record says
    shows as a wrong value.
    """

    def __init__(self, home: Path, random_: random.Random) -> None:
        self.home, self.random = home, random_
        self.cache = home / "cache"
        self.target = home / "ext" / "lib"
        self.compiler = home / "cc"
        (home / "lib.h").write_text(
            "#include <stdint.h>\nint one(void);\nint two(void);\nint three(void);\n"
        )
        self.texts = (1, 1, 1)
        self.write()
        self.normal_compiler()
        os.environ["FFI_EXT_CACHE"] = str(self.cache)
        os.environ["CC"] = str(self.compiler)

    def write(self) -> None:
        value, two, three = self.texts
        (self.home / "value.h").write_text(f"#define VALUE {value}\n")
        include = '#include "value.h"\n'
        (self.home / "one.c").write_text(include + "int one(void) { return VALUE; }\n")
        (self.home / "two.c").write_text(f"int two(void) {{ return {two}; }}\n")
        text = f"int three(void) {{ return VALUE * 10 + {three}; }}\n"
        (self.home / "three.c").write_text(include + text)

    @property
    def expected(self) -> Values:
        value, two, three = self.texts
        return value, two, value * 10 + three

    def change(self) -> None:
        """Other texts, of few, so that earlier ones return."""
        before = self.texts
        while self.texts == before:
            kept = [self.random.random() < 0.4 for _ in before]
            self.texts = tuple(
                old if keep else self.random.randint(1, 3)
                for old, keep in zip(before, kept, strict=True)
            )  # type: ignore[assignment]
        self.write()

    def script(self, before: str = "", after: str = "") -> None:
        """A compiler: `before`, gcc, `after`; in `after` $out is the output."""
        text = (
            '#!/bin/sh\nout=; last=; for word in "$@"; do [ "$last" = -o ] && out=$word; last=$word; done\n'
            f'{before}\n{GCC} "$@" || exit 1\n{after}\n'
        )
        self.compiler.write_text(text)
        self.compiler.chmod(0o755)
        os.utime(
            self.compiler, (1e9, 1e9)
        )  # a compiler's time and size are part of what a build is

    def normal_compiler(self) -> None:
        self.script()

    def build(self) -> None:
        create_extension(
            "ext.lib",
            ["lib.h"],
            ["one.c", "two.c", "three.c"],
            relative_to=str(self.home / "build.py"),
            verbose=False,
        ).build()

    def values(self) -> Values:
        """Imports the module as it lies there, and computes."""
        sys.path.insert(0, str(self.home))
        importlib.invalidate_caches()
        module = importlib.import_module("ext.lib")
        return module.one(), module.two(), module.three()


def interrupt_at(
    number: int, action: Callable[[str, tuple[Any, ...]], None], home: Path
) -> Callable[[], int]:
    """Calls `action` at the number-th file or process operation of this process below `home`.

    Returns:
        How many there were.
    """
    count = 0
    events = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "fcntl.flock"}
    events |= {"subprocess.Popen", "shutil.rmtree", "os.listdir", "os.scandir"}
    inside = False

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count, inside
        if event not in events or inside:
            return
        if event not in ("subprocess.Popen", "fcntl.flock") and str(home) not in str(arguments[0]):
            return
        count += 1
        if count == number:
            inside = True
            try:
                action(event, arguments)
            finally:
                inside = False

    sys.addaudithook(hook)
    return lambda: count


def kill_me(event: str, arguments: tuple[Any, ...]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed_at_a_stage(p: Project) -> str:
    """SIGKILL before one of the build's operations on files and processes."""
    number = p.random.randint(1, 90)

    def work() -> None:
        interrupt_at(number, kill_me, p.home)
        p.build()

    outcome = children.run(work)
    assert outcome.fine or outcome.signal == signal.SIGKILL, outcome
    return "killed" if outcome.signal else "missed"


def killed_at_random(p: Project) -> str:
    """SIGKILL after a random time; its compilers go on for a moment, as they would."""
    child = children.Child(p.build)
    time.sleep(p.random.random() * 0.35)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child.pid, signal.SIGKILL)
    outcome = child.wait(60)
    assert outcome.fine or outcome.signal == signal.SIGKILL, outcome
    return "killed" if outcome.signal else "missed"


def operation_refused(p: Project) -> str:
    """One file operation fails: no space, no permission, an input/output error, too many files."""
    number = p.random.randint(1, 60)
    code = p.random.choice([errno.ENOSPC, errno.EACCES, errno.EIO, errno.EMFILE, errno.EROFS])

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        raise OSError(code, os.strerror(code), str(arguments[0]))

    def work() -> None:
        interrupt_at(number, refuse, p.home)
        p.build()

    return must_explain(children.run(work), "refused")


def must_explain(outcome: children.Outcome, name: str) -> str:
    """A build either succeeds or raises what its documentation promises."""
    told = ("BuildError", "HeaderError", "FileNotFoundError")
    assert outcome.fine or outcome.error in told, f"{name}: {outcome}"
    return name if outcome.error else "missed"


def small_files(p: Project) -> str:
    """No file may grow beyond a few kilobytes (the compilers inherit the limit): a disk that fills up."""
    limit = p.random.choice([0, 100, 1000, 4000, 8000, 16000, 20000])

    def work() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        p.build()

    return must_explain(children.run(work), "write failed")


@contextlib.contextmanager
def full_disk(p: Project) -> Iterator[bool]:
    """The project on a file system of its own with a few free kilobytes. False: none can be mounted."""
    disk = p.home.parent / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        disk.rmdir()
        yield False
        return
    try:
        shutil.copytree(p.home, disk / "project", symlinks=True)
        free = p.random.choice([0, 4096, 8192, 20000, 40000, 60000])
        state = os.statvfs(disk)
        (disk / "filler").write_bytes(b"0" * max(0, state.f_bavail * state.f_frsize - free))
        subprocess.run(["mount", "--bind", str(disk / "project"), str(p.home)], check=True)
        try:
            yield True
        finally:
            subprocess.run(["umount", "-l", str(p.home)], check=True)
        shutil.copytree(disk / "project", p.home, symlinks=True, dirs_exist_ok=True)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
        disk.rmdir()


def disk_full(p: Project) -> str:
    """A disk of one megabyte, nearly full, under the project and its cache."""
    with full_disk(p) as mounted:
        if not mounted:
            return small_files(p)
        return must_explain(children.run(p.build), "disk full")


def read_only(p: Project) -> str:
    """The target folder takes no new files."""
    change = ["chattr", "+i"] if os.geteuid() == 0 else ["chmod", "555"]
    undo = ["chattr", "-i"] if os.geteuid() == 0 else ["chmod", "755"]
    change.append(str(p.target))
    if (
        not shutil.which(change[0])
        or subprocess.run(change, capture_output=True, check=False).returncode
    ):
        return operation_refused(p)
    try:
        outcome = children.run(p.build)
    finally:
        subprocess.run([*undo, str(p.target)], check=True)
    return must_explain(outcome, "read-only")


def no_compiler(p: Project) -> str:
    """$CC names nothing, or a file that cannot run."""
    p.compiler.unlink()
    if p.random.random() < 0.5:
        p.compiler.write_text("not a program")
        p.compiler.chmod(p.random.choice([0o644, 0o755]))
    return must_explain(children.run(p.build), "no compiler")


def compiler_fails(p: Project) -> str:
    """Some invocations fail, print rubbish, or die by a signal, before or after they have written."""
    event = p.random.choice(
        ["exit 1", "kill -9 $$", "kill -11 $$", "head -c 20000 /dev/urandom; exit 3"]
    )
    roll = f"[ $(od -An -N1 -tu1 /dev/urandom) -lt 100 ] && {{ {event}; }}"
    p.script(*((roll, "") if p.random.random() < 0.5 else ("", roll)))
    return must_explain(children.run(p.build), "compiler failed")


def compiler_writes_garbage(p: Project) -> str:
    """The compiler or the linker says that all is well and leaves something else."""
    garbage = p.random.choice(
        [
            'head -c 5000 /dev/urandom > "$out"',
            ': > "$out"',
            'rm -f "$out"',
            'size=$(stat -c %s "$out"); head -c $((size / 2)) "$out" > "$out.h"; mv "$out.h" "$out"',
            'printf "\\177ELF\\002\\001\\001" > "$out"; head -c 4000 /dev/zero >> "$out"',
        ]
    )
    which = p.random.choice(["*-shared*", "*two.c*", "*value*|*one.c*", "*"])
    p.script(after=f'[ "$out" ] && case "$*" in {which}) {garbage};; esac; exit 0')
    return must_explain(children.run(p.build), "garbage")


def compiler_hangs(p: Project) -> str:
    """A compiler that never ends: an interrupt of the build ends both, soon."""
    marker = p.home / "hanging"
    kind = p.random.choice(["*-shared*", "*two.c*", "*"])
    p.script(
        before=f'case "$*" in {kind}) trap "" INT; echo $$ >> "{marker}"; while :; do sleep 5; done;; esac'
    )
    child = children.Child(p.build)
    deadline = time.monotonic() + 30
    while not marker.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(p.random.random() * 0.1)
    os.kill(child.pid, signal.SIGINT)
    started = time.monotonic()
    outcome = child.wait(10)
    took = time.monotonic() - started
    assert outcome.error == "KeyboardInterrupt", f"interrupted while the compiler hung: {outcome}"
    assert took < 5, f"the interrupt took {took:.1f} s"
    time.sleep(0.05)
    pids = [int(pid) for pid in marker.read_text().split()]
    marker.unlink()
    alive = [pid for pid in pids if Path(f"/proc/{pid}").exists() and state_of(pid) != "Z"]
    for pid in alive:
        os.kill(pid, signal.SIGKILL)
    assert not alive, f"compilers that outlive the interrupted build: {alive}"
    return "interrupted"


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def source_changes(p: Project) -> str:
    """A source or a header is another one when its compiler ends than when it began: what counts is the last."""
    before = p.texts
    p.change()
    after = p.texts
    final = {n: (p.home / n).read_text() for n in ("value.h", "one.c", "two.c", "three.c")}
    p.texts = before
    p.write()
    staged = p.home / "staged"
    staged.mkdir()
    for name, text in final.items():
        (staged / name).write_text(text)
        if p.random.random() < 0.3:  # a clock that was set back
            os.utime(staged / name, (1e9, 1e9))
    copy = (
        f'[ -e "{staged}/done" ] || {{ : > "{staged}/done"; cp -p "{staged}"/*.[ch] "{p.home}"/; }}'
    )
    p.script(*((copy, "") if p.random.random() < 0.3 else ("", copy)))
    outcome = children.run(p.build)
    shutil.rmtree(staged)
    p.texts = after
    assert outcome.fine, outcome
    p.normal_compiler()
    got = children.run(p.values)
    assert got.value == p.expected, (
        f"a change in mid-build went unnoticed: {got}, expected {p.expected}"
    )
    return "changed"


def clock_set_back(p: Project) -> str:
    """Files from the future or from long ago, and a clock that jumps while the build runs."""
    jump = p.random.choice([-1e6, -10.0, 1e6])
    for path in [*p.home.glob("*.[ch]"), *p.cache.rglob("*"), *p.target.glob("*")]:
        if path.is_file() and p.random.random() < 0.5:
            when = time.time() + p.random.choice([-1e8, -1, 1e8])
            os.utime(path, (when, when))

    def work() -> None:
        real, calls = cache.clock, iter(range(1 << 30))
        cache.clock = lambda: real() + int(jump * 1e9) * (next(calls) % 2)  # type: ignore[assignment]
        p.build()

    outcome = children.run(work)
    assert outcome.fine, outcome
    return "clock"


def cache_removed(p: Project) -> str:
    """rm -rf of the cache while the build runs: by a compiler, or before one of the build's operations."""
    if p.random.random() < 0.5:
        p.script(after=f'[ $(od -An -N1 -tu1 /dev/urandom) -lt 90 ] && rm -rf "{p.cache}"')
        return must_explain(children.run(p.build), "cache removed")
    number = p.random.randint(1, 70)

    def remove(event: str, arguments: tuple[Any, ...]) -> None:
        subprocess.run(["rm", "-rf", str(p.cache)], check=True)

    def work() -> None:
        interrupt_at(number, remove, p.home)
        p.build()

    return must_explain(children.run(work), "cache removed")


def cache_damaged(p: Project) -> str:
    """Records and objects that a crash of the machine left truncated, empty or with other bytes."""
    for path in p.cache.rglob("*"):
        if path.is_file() and p.random.random() < 0.5:
            data = path.read_bytes()
            kind = p.random.choice(["empty", "half", "bytes", "gone"])
            if kind == "gone":
                path.unlink()
            elif kind == "bytes":
                path.write_bytes(p.random.randbytes(len(data)))
            else:
                path.write_bytes(data[: len(data) // 2] if kind == "half" else b"")
    outcome = children.run(p.build)
    assert outcome.fine, outcome
    return "damaged"


def interrupted(p: Project) -> str:
    """Ctrl-C at a random moment."""
    child = children.Child(p.build)
    time.sleep(p.random.random() * 0.3)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child.pid, signal.SIGINT)
    outcome = child.wait(20)
    told = ("KeyboardInterrupt", "exit")  # the latter where it comes while the child answers
    assert outcome.fine or outcome.error in told, outcome
    return "interrupted" if outcome.error else "missed"


FAULTS: tuple[tuple[int, Callable[[Project], str]], ...] = (
    (6, killed_at_a_stage),
    (4, killed_at_random),
    (4, operation_refused),
    (2, small_files),
    (2, disk_full),
    (1, read_only),
    (1, no_compiler),
    (2, compiler_fails),
    (2, compiler_writes_garbage),
    (1, compiler_hangs),
    (2, source_changes),
    (2, clock_set_back),
    (2, cache_removed),
    (2, cache_damaged),
    (1, interrupted),
)


def after_the_fault(p: Project, good: Values) -> None:
    """The last good module or the new one is there; the next build succeeds and leaves nothing behind."""
    now = children.run(p.values)
    told = f"the module after the fault: {now}; {good} was there, {p.expected} is new"
    assert now.fine and now.value in (good, p.expected), told
    p.normal_compiler()
    built = children.run(p.build)
    assert built.fine, f"the next build: {built}"
    then = children.run(p.values)
    assert then.value == p.expected, f"after the next build: {then}, expected {p.expected}"
    left = children.litter(p.home)
    assert not left, f"left behind: {left}"
    for lock in p.cache.glob("*/lock"):
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises if somebody holds it


def main(count: int, seed: int) -> int:
    random_ = random.Random(seed)
    survived: Counter[str] = Counter()
    failures = []
    started = time.monotonic()
    everyone = [fault for weight, fault in FAULTS for _ in range(weight)]
    home = Path(tempfile.mkdtemp(prefix="faults-"))
    try:
        (home / "project").mkdir()
        p = Project(home / "project", random_)
        assert children.run(p.build).fine
        number = done = 0
        # Each kind until it has come in time, then at random by weight.
        due = [fault for _, fault in FAULTS]
        while done < count and number < 4 * count:
            fault = due.pop(0) if due else random_.choice(everyone)
            number += 1
            good = p.expected
            p.change()
            try:
                kind = fault(p)
                after_the_fault(p, good)
            except AssertionError as error:
                failures.append(f"{number} {fault.__name__}: {error}")
                shutil.rmtree(p.cache, ignore_errors=True)  # what follows is a fault of its own
                p.normal_compiler()
                p.write()
                assert children.run(p.build).fine
                kind = "failed"
            if kind == "missed":  # the build was over before the fault came
                if fault.__name__ not in survived:
                    due.append(fault)
            else:
                survived[fault.__name__] += 1
                done += 1
    finally:
        shutil.rmtree(home, ignore_errors=True)
    report = {
        "faults": done,
        "rounds": number,
        "seconds": round(time.monotonic() - started),
        "kinds": dict(sorted(survived.items())),
    }
    return children.finish("faults", report, failures)


if __name__ == "__main__":
    options = children.arguments(__doc__ or "", count=500, seed=1)
    sys.exit(main(options.count, options.seed))
