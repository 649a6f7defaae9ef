"""Builds that meet faults, each as a case of its own; then the harness of all of them, in short."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from ffi_ext import BuildError, cache, create_extension, elf
from tests.processes import python
from tests.reliability import children, faults
from tests.small_project import make, value

REPOSITORY = Path(__file__).parents[1]


def harness(name: str, *arguments: object) -> dict:
    """Runs a harness as the make target does. Returns its report."""
    done = python("-m", f"tests.reliability.{name}", *arguments, cwd=REPOSITORY)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def compiler(project, monkeypatch, text: str) -> None:
    """A compiler that runs `text` around gcc: $out is the output, "$@" the arguments."""
    path = project / "cc"
    find_out = 'out=; last=; for word in "$@"; do [ "$last" = -o ] && out=$word; last=$word; done\n'
    path.write_text("#!/bin/sh\n" + find_out + text)
    path.chmod(0o755)
    monkeypatch.setenv("CC", str(path))


def test_an_object_of_a_failed_build_is_not_taken_for_an_earlier_ones(project):
    make(project).build()
    (project / "value.h").write_text("#define VALUE 2\n")
    (project / "two.c").write_text("int two(void) { return broken; }\n")
    with pytest.raises(BuildError):
        make(project).build()  # one.c was compiled with 2
    (project / "value.h").write_text("#define VALUE 1\n")
    (project / "two.c").write_text("int two(void) { return 3; }\n")
    make(project).build()
    assert (value(project), value(project, "two")) == (1, 3)


def test_a_first_build_that_fails_leaves_no_package(project):
    """Its import would speak of a missing _lib, of a package that is none."""
    (project / "two.c").write_text("int two(void) { return broken; }\n")
    extension = make(project)
    with pytest.raises(BuildError):
        extension.build()
    assert not (project / "ext" / "lib").exists()
    (project / "two.c").write_text("int two(void) { return 2; }\n")
    extension.build()
    assert value(project, "two") == 2


@pytest.mark.parametrize("damage", [b"", b"not an object"])
def test_damaged_objects_in_the_cache_are_made_again(project, damage):
    make(project).build()
    for path in project.joinpath("cache").rglob("*.o"):
        path.write_bytes(damage)
    (project / "two.c").write_text("int two(void) { return 3; }\n")
    make(project).build()
    assert (value(project), value(project, "two")) == (1, 3)


def test_files_from_the_future_are_compiled_once_more_and_no_oftener(project, monkeypatch):
    """A clock that was set back since they were written, or another machine's."""
    log = project / "log"
    compiler(project, monkeypatch, f'echo x >> "{log}"\nexec gcc "$@"\n')
    later = time.time() + 1e8
    for name in ("lib.h", "value.h", "one.c"):
        os.utime(project / name, (later, later))
    make(project).build()
    assert value(project) == 1
    log.unlink()
    make(project).build()
    assert not log.exists()


def test_a_header_that_changes_under_the_compiler_with_an_old_time_is_noticed(project, monkeypatch):
    text = (
        'gcc "$@" || exit 1\ncase "$*" in *one.c*)\n'
        f'  [ -e "{project}/done" ] || {{ touch "{project}/done"; echo "#define VALUE 7" > "{project}/value.h"\n'
        f'  touch -d 2001-01-01 "{project}/value.h"; }};; esac\n'
    )
    compiler(project, monkeypatch, text)
    make(project).build()
    assert value(project) == 7


@pytest.mark.parametrize(
    "garbage",
    [
        'echo garbage > "$out"',
        'head -c 3000 "$out" > "$out.h"; mv "$out.h" "$out"',
        'gcc -shared -o "$out" -x c /dev/null',
    ],
)
def test_what_a_linker_leaves_is_looked_at_before_it_replaces_the_module(
    project, monkeypatch, garbage
):
    make(project).build()
    compiler(
        project,
        monkeypatch,
        f'gcc "$@" || exit 1\ncase "$*" in *-shared*) {garbage};; esac\nexit 0\n',
    )
    with pytest.raises(BuildError, match="reported success but did not make an extension module"):
        make(project).build()
    assert value(project) == 1


@pytest.mark.parametrize("noticed", ["at once", "by another thread"])
def test_an_interrupt_ends_a_compiler_that_hangs_and_its_children(project, monkeypatch, noticed):
    """Ctrl-C that another thread takes does not wake the main one, nor does one that comes just before it waits."""
    pids = project / "pids"
    compiler(
        project, monkeypatch, f'trap "" INT\nsleep 600 &\necho $$ $! > "{pids}"\nwait\nsleep 600\n'
    )
    code = (
        "import ffi_ext, signal, sys, threading\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def take():\n"
        "    if sys.stdin.readline():\n"
        "        signal.pthread_kill(threading.get_ident(), signal.SIGINT)\n"
        "threading.Thread(target=take, daemon=True).start()\n"
        "ffi_ext.create_extension('ext.lib', ['lib.h'], ['one.c', 'two.c']).build()\n"
    )
    building = subprocess.Popen(
        [sys.executable, "-c", code], cwd=project, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (pids.exists() and pids.read_text().strip()):
        time.sleep(0.02)
    if noticed == "at once":
        building.send_signal(signal.SIGINT)
    _, errors = building.communicate(b"" if noticed == "at once" else b"take it\n", timeout=20)
    assert b"KeyboardInterrupt" in errors
    for pid in pids.read_text().split():
        state = Path(f"/proc/{pid}/stat")
        assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"


def test_files_that_killed_builds_left_are_removed_and_those_under_way_are_not(project):
    make(project).build()
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    cache = next(project.joinpath("cache").glob("_lib-*"))
    folders = (cache, project / "ext" / "lib", project / "ext")
    names = (".record.json", ".__init__.py", ".__init__.py")
    dead = [f / f"{n}.{process.pid}-00ff.tmp" for f, n in zip(folders, names, strict=True)]
    alive = project / "ext" / "lib" / f".__init__.py.{os.getpid()}-00ff.tmp"
    # Of a process whose number is another's now.
    dead.append(alive.with_name(alive.name.replace("00ff", "00fe")))
    for path in (*dead, alive):
        path.write_text("half")
    os.utime(dead[-1], (0, 0))
    make(project).build()
    assert not any(path.exists() for path in dead)
    assert alive.exists()


def test_a_cache_that_vanishes_is_told_and_costs_nothing(project, monkeypatch):
    make(project).build()
    (project / "two.c").write_text("int two(void) { return 3; }\n")
    compiler(project, monkeypatch, f'gcc "$@" || exit 1\nrm -rf "{project}/cache"\n')
    with pytest.raises(BuildError):
        make(project).build()
    assert value(project, "two") == 2
    monkeypatch.delenv("CC")
    make(project).build()
    assert value(project, "two") == 3


def test_damaged_elf_files_are_told(tmp_path):
    path = tmp_path / "x.so"
    for data in (b"\x7fELF\x02\x01", b"\x7fELF\x02\x01" + b"\xff" * 300):
        path.write_bytes(data)
        with pytest.raises(elf.ElfError, match="damaged"):
            elf.symbols(path)
        with pytest.raises(elf.ElfError, match="damaged"):
            elf.needed(path)


NASTY = (
    r"""/* ends here? * / \" ' \\ ??/ %s {0} ''' """
    + '"""'
    + r""" \
   import os; os.system("touch owned") #$(touch owned) `touch owned` \N{DASH} "é" */
"""
)


def test_texts_of_headers_and_macros_run_nothing(project):
    """Comments, macros and names of files reach generated files and command lines as what they are."""
    odd = project / "$(touch owned)" / "`touch owned`;touch owned #"
    odd.mkdir(parents=True)
    (odd / "-o owned.h").write_text(NASTY + "int one(int a); // \"\"\" + open('owned', 'w') #\n")
    (odd / "@one.c").write_text(
        '#include "-o owned.h"\n#include <string.h>\nint one(int a) { return a + (int)strlen(TEXT); }\n'
    )
    text = '\\"; touch owned\n@owned -o owned $(touch owned) `touch owned`'
    create_extension(
        "ext.lib",
        [str(odd / "-o owned.h")],
        [str(odd / "@one.c")],
        relative_to=str(project / "build.py"),
        verbose=False,
        define_macros=[("TEXT", json.dumps(text))],
        include_dirs=["-o owned", "$(touch owned)"],
        library_dirs=["-o owned"],
        runtime_library_dirs=["/nowhere,-o,owned", "-o owned"],
    ).build()
    check = textwrap.dedent(
        """
        import ast, sys, ext.lib
        assert "touch owned" in ext.lib.one.__doc__
        ast.parse(open("ext/lib/__init__.pyi").read())
        print(ext.lib.one(0))
        """
    )
    done = python("-c", check, cwd=project)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(text)
    assert not [path for path in project.rglob("owned") if path.is_file()]


def test_a_forked_child_does_not_hold_the_locks_of_a_build_that_was_killed(project):
    code = (
        "import os, signal; from pathlib import Path; from ffi_ext import cache\n"
        "with cache.workplace(Path('m.so')):\n"
        "    child = os.fork()\n"
        "    if child == 0: os.close(1); os.close(2); signal.pause()\n"
        "    print(child, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = python("-c", code, cwd=project)
    try:
        with cache.hold(cache.root(), alone=True):
            (workplace,) = cache.root().glob("m-*")
            with (workplace / "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.kill(int(done.stdout), signal.SIGKILL)


def test_no_process_of_a_build_is_a_shell_and_nothing_is_written_elsewhere(project):
    """Asked of the interpreter: each process that starts, and each file opened for writing."""
    code = textwrap.dedent(
        """
        import os, sys, ffi_ext
        started, written = [], []
        def hook(event, arguments):
            if event == "subprocess.Popen":
                started.append(arguments[1])
            elif event in ("os.system", "os.exec", "os.posix_spawn", "pty.spawn"):
                started.append(event)
            elif event == "open" and isinstance(arguments[0], (str, bytes)):
                if arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                    written.append(os.path.realpath(arguments[0]))
        sys.addaudithook(hook)
        ffi_ext.create_extension("ext.lib", ["lib.h"], ["one.c", "two.c"], verbose=False).build()
        assert len(started) == 4, started
        assert all(isinstance(c, list) and "gcc" in c[0] for c in started), started
        home = os.path.realpath(".")
        outside = [p for p in written if not p.startswith(home) and p != "/dev/null"]
        assert written and not outside, outside
        """
    )
    done = python("-c", code, cwd=project, CC="gcc", PYTHONDONTWRITEBYTECODE="1")
    assert done.returncode == 0, done.stderr


def test_each_kind_of_fault_in_a_row():
    report = harness("faults", "--count", len(faults.FAULTS), "--seed", 7)
    assert report["faults"] == len(faults.FAULTS) and len(report["kinds"]) >= 14


def test_a_build_that_an_interrupt_does_not_end_is_a_failure(tmp_path, monkeypatch):
    ready = tmp_path / "ready"

    def deaf():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        ready.touch()
        time.sleep(60)

    def moment():
        while not ready.exists():
            time.sleep(0.01)
        return 0

    wait = children.Child.wait
    monkeypatch.setattr(children.Child, "wait", lambda child, _: wait(child, 0.3))
    project = SimpleNamespace(build=deaf, random=SimpleNamespace(random=moment))
    with pytest.raises(AssertionError, match="did not end within its time"):
        faults.interrupted(project)
