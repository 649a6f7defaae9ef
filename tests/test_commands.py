"""The `ffi-ext` command, as a user would run it."""

from __future__ import annotations

import errno
import io
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

import ffi_ext
from ffi_ext import cli
from ffi_ext.cli import completion, terminal
from tests.processes import python

PACKAGES = Path(__file__).with_name("packages")


def test_inspect(build, capsys):
    module = build(
        "void f(THFloatTensor *t, int n);",
        "#include <TH/TH.h>\nvoid f(THFloatTensor *t, int n) { THFloatTensor_fill(t, n); }",
        extra_compile_args={"cc": ["-DMORE"]},
    )
    assert cli.main(["inspect", str(Path(module.__file__).parent), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["ABI"] == "abi3: every Python from 3.10 on, with a GIL and without"
    assert facts["TH functions"] == ["THFloatTensor_fill"]
    assert facts["built from"]["extra_compile_args"] == {"cc": ["-DMORE"]}
    assert len(facts["functions"]) == 1 and facts["functions"][0].startswith("def f(t: ")
    assert any(name.startswith("libc.") for name in facts["libraries"])


@pytest.mark.parametrize("flags", ["", "-Wl,--gc-sections"])  # conda's LDFLAGS have it
def test_inspect_and_the_stub_know_variadic_functions(build, capsys, monkeypatch, flags):
    monkeypatch.setenv("LDFLAGS", flags)
    text = "/* All of them. */\nint summed(int n, const char *text, ...)"
    module = build(f"#define PI 3.5\n{text};", text + " { return n; }")
    folder = Path(module.__file__).parent
    assert cli.main(["inspect", str(folder), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["prototypes"] == ["int summed(int n, const char *text, ...)"]
    assert "variadic" not in facts["built from"] and facts["built from"]["ffi_ext"]
    stub = (folder / "__init__.pyi").read_text()
    text = "bytes | bytearray | torch.Tensor | numpy.ndarray[Any, Any] | _CData"
    assert f"def summed(n: int, text: {text}, /, *args: Any) -> int:" in stub
    assert '__all__ = ["summed", "PI"]' in stub and module.__all__ == ["summed", "PI"]


def test_a_stub_knows_all_kinds_of_constants(build):
    module = build(
        '#define NAME "zlib"\n#define HALF 0.5\n#define N 3\nenum { A = 4 };\n'
        "struct point { int x, y; };\nstatic const struct point ORIGIN = {1, 2};\n"
        "static const int TABLE[2] = {5, 6};\nextern int level;\nint f(void);",
        "int level = 7; int f(void) { return 8; }",
    )
    stub = Path(module.__file__).with_name("__init__.pyi").read_text()
    for line in ("NAME: bytes", "HALF: float", "N: int", "A: int", "ORIGIN: Any", "level: Any"):
        assert f"\n{line}\n" in stub


@pytest.mark.parametrize("arguments", [["inspect", "/nonexistent"], ["inspect", str(PACKAGES)]])
def test_inspect_of_something_else(arguments, capsys):
    assert cli.main(arguments) == 2
    assert "holds no binary" in capsys.readouterr().err


HEADER = "/* Twice x. */\nint twice(int x);\nvoid fill(THFloatTensor *t, float value);\n"
SOURCE = (
    "#include <TH/TH.h>\nint twice(int x) { return 2 * x; }\n"
    "void fill(THFloatTensor *t, float value) { THFloatTensor_fill(t, value); }\n"
)


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "lib.h").write_text(HEADER)
    (tmp_path / "lib.c").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_help_and_completion_import_no_torch():
    for words in (["--help"], ["build", "--help"], ["--version"], ["completion", "bash"]):
        code = f"import sys; from ffi_ext import cli\ntry: cli.main({words})\nexcept SystemExit: pass\n"
        code += "assert not {'torch', 'numpy', 'cffi'} & set(sys.modules), sys.modules.keys()"
        done = python("-c", code)
        assert done.returncode == 0 and "ffi-ext" in done.stdout, done.stderr


def test_every_command_has_help(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for name, (_, text) in cli.COMMANDS.items():
        with pytest.raises(SystemExit) as ended:
            cli.main([name, "--help"])
        assert ended.value.code == 0
        shown = capsys.readouterr().out
        assert text.split(",")[0][1:20] in shown or name == "run"
        assert max(map(len, shown.splitlines())) <= 80
    with pytest.raises(SystemExit) as ended:
        cli.main(["biuld"])
    assert ended.value.code == 2 and "biuld" in capsys.readouterr().err


def test_build_inspect_stubs_and_clean(project, capfd, imported_from):
    assert cli.main(["build", "lib.h", "lib.c", "-n", "pkg._C.lib", "-DN=3", "--cflag=-O2"]) == 0
    assert "built pkg/_C/lib/_lib" in capfd.readouterr().out
    assert imported_from(project / "pkg" / "_C" / "lib").twice(4) == 8
    assert cli.main(["inspect", "pkg/_C/lib", "--json"]) == 0
    facts = json.loads(capfd.readouterr().out)
    assert facts["prototypes"] == ["int twice(int x)", "void fill(THFloatTensor *t, float value)"]
    assert facts["kind"] == "generated by ffi_ext" and facts["platform"].startswith("GLIBC ")
    origin = facts["built from"]
    assert origin["headers"] == ["lib.h"] and origin["sources"] == ["lib.c"]
    assert origin["define_macros"] == [["N", "3"]] and "compiler" in origin
    stub = project / "pkg" / "_C" / "lib" / "__init__.pyi"
    as_built = stub.read_text()
    check = ["stubs", "--check", "lib.h", "-o", "lib.pyi"]
    assert cli.main(check) == 1
    assert cli.main(["stubs", "lib.h", "-o", "lib.pyi"]) == 0 and cli.main(check) == 0
    capfd.readouterr()
    without_head = (project / "lib.pyi").read_text().split("\n", 1)[1]
    assert without_head == as_built.split("\n", 1)[1]
    (project / "pkg" / "mine.py").touch()
    assert cli.main(["clean", "--dry-run"]) == 0 and stub.exists()
    assert cli.main(["clean"]) == 0
    left = sorted(str(p.relative_to(project)) for p in (project / "pkg").rglob("*"))
    left = [name for name in left if "__pycache__" not in name]
    assert left == ["pkg/__init__.py", "pkg/mine.py"]  # what is not ours stays
    capfd.readouterr()
    assert cli.main(["clean"]) == 0 and "nothing here was made by ffi_ext" in capfd.readouterr().out


def test_build_of_what_a_makefile_has_built(project, capfd, imported_from):
    """A library's objects were taken for sources, and every header but .h and .hpp, too."""
    (project / "one.hh").write_text("int one(void);\n")
    (project / "one.c").write_text("int one(void) { return 1; }\n")
    subprocess.run(["cc", "-c", "-fPIC", "one.c"], check=True)
    subprocess.run(["ar", "rc", "libone.a", "one.o"], check=True)
    for number, built in enumerate(("one.o", "libone.a")):
        name = f"made{number}"
        assert cli.main(["build", "-q", "-n", name, "one.hh", built]) == 0
        assert imported_from(project / name).one() == 1
    assert capfd.readouterr().out == ""


def test_build_says_its_own_name_for_what_is_missing(project, capfd):
    (project / "lib.c").write_text('#include "elsewhere.h"\n')
    assert cli.main(["build", "-q", "lib.h", "lib.c"]) == 1
    assert capfd.readouterr().err.endswith("on the command line include_dirs is -I DIR\n")
    assert cli.main(["build", "-q", "lib.h", "libnone.a"]) == 1
    assert capfd.readouterr().err.startswith("ffi-ext: argument 'extra_objects': ")


def test_a_warning_that_is_to_be_an_error_is_told_as_one(project, capfd):
    (project / "lib.h").write_text("\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # PYTHONWARNINGS=error
        assert cli.main(["build", "-q", "lib.h", "lib.c"]) == 1
    assert capfd.readouterr().err.startswith("ffi-ext: build: lib.h declares no function")


@pytest.mark.parametrize("added", ["\nmine = 1\n", "TABLE = dict(\n    one=1,\n)\n"])
def test_clean_keeps_an_init_that_was_added_to(project, capfd, added):
    assert cli.main(["build", "-q", "lib.h", "lib.c"]) == 0
    assert capfd.readouterr().out == ""
    init = project / "_ext" / "lib" / "__init__.py"
    init.write_text(init.read_text() + added)
    assert cli.main(["clean", "."]) == 0
    assert init.exists() and not list(init.parent.glob("*.so"))


def test_build_runs_the_script_that_lies_here(project, capfd):
    script = (
        "from torch.utils.ffi import create_extension\ncreate_extension('a', 'lib.h', 'lib.c', "
    )
    (project / "build.py").write_text(script + "relative_to=__file__).build()\n")
    assert cli.main(["build"]) == 0 and "built a/_a" in capfd.readouterr().out
    (project / "build.py").write_text("raise SystemExit(7)")
    assert cli.main(["build"]) == 7


# Path.exists() raises OSError there until Python 3.13; the name is missing since.
TOO_LONG = 1 if sys.version_info < (3, 14) else 2


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "exit codes: "),
        (["build"], 2, "there is no build_ffi.py or build.py"),
        (["build", "lib.h"], 2, "a source (.c, .cpp, .cu) is missing"),
        (["build", "lbi.h"], 2, "did you mean lib.h?"),
        (["build", "string.h"], 0, ""),
        (["build", "lib.c"], 2, "a header (.h) is missing"),
        (["build", "lib.h", "x.py"], 2, "not both"),
        (["build", "x.py"], 2, "there is no script 'x.py'"),
        (["build", "lib.h", "lbi.c"], 2, "did you mean lib.c?"),
        (
            ["build", "lib.h", "lib.c", "-n", "a-b"],
            2,
            "on the command line argument 'name' is -n NAME",
        ),
        (["build", "lib.h", "lib.c", "-D", "1X"], 2, "'1X' is no macro name"),
        (["build", "lib.h", "bad.c"], 1, "bad.c:1: "),
        (["stubs", "nothing.h"], 2, "there is no header 'nothing.h'"),
        (["stubs", "bad.h"], 1, "bad.h:1: cannot parse this declaration"),
        (["stubs", "."], 2, ". is no header"),
        (["stubs", "lib.c"], 2, "lib.c is no header: name the one that declares its functions"),
        (["init", "cffi"], 2, "a package 'cffi' would hide another"),
        (["init", "test"], 2, "a package 'test' would hide another"),
        (["stubs", "--check", "lib.h"], 2, "needs -o FILE"),
        (["inspect", "_cut.so"], 1, "is damaged"),
        (["inspect", "_text.so"], 0, ""),
        (["clean", "nowhere"], 2, "there is no directory 'nowhere'"),
        (["clean", "--older-than", "3"], 2, "goes with --cache"),
        (["clean", "--cache", "."], 2, "--cache takes no directory, got '.'"),
        (["build", "folder"], 2, "folder is a directory: name a build script"),
        (["build", "n" * 300 + ".h", "lib.c"], TOO_LONG, "n.h"),
        (["run", "n" * 300], TOO_LONG, "nnn"),
        (["run", "--", "./no_such_command"], 2, "command not found: ./no_such_command"),
        (["run", "--", "./lib.c"], 2, "./lib.c may not be executed: chmod +x it"),
        (["doctor", "n" * 300], TOO_LONG, "nnn"),
        (
            ["stubs", "lib.h", "-o", "folder"],
            1,
            "stubs: folder could not be written (Is a directory)",
        ),
        (["port", "--no-backup"], 2, "goes with --write"),
        (["run"], 2, "nothing to run"),
    ],
)
def test_wrong_use_is_told(project, capfd, words, code, said):
    (project / "_cut.so").write_bytes(b"\x7fELF\x02\x01" + bytes(20))
    (project / "_text.so").write_text("no binary")
    (project / "folder").mkdir()
    (project / "bad.h").write_text("void f(unheard_of *p);\n")
    (project / "bad.c").write_text("int twice(int x) { return y; }\n")
    assert cli.main(words) == code
    shown = capfd.readouterr()
    assert said in shown.err and not re.search("Traceback|relative_to|\033", shown.err)


@pytest.mark.parametrize("days", ["-1", "nan", "x"])
def test_an_age_is_a_number_of_days(project, capsys, days):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["clean", "--cache", "--older-than", days, "--dry-run"])
    assert (
        f"--older-than: expected a number of days from 0 on, got {days!r}"
        in capsys.readouterr().err
    )


def test_init_on_a_full_disk_leaves_nothing_in_the_way(project, monkeypatch, capsys):
    write = Path.write_text

    def full(path, text, **how):
        write(path, "", **how)
        if path.suffix == ".c":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    assert cli.main(["init", "my_ops"]) == 1
    shown = capsys.readouterr()
    assert "init: my_ops/csrc/my_ops.c cannot be written: No space left" in shown.err
    assert "made" not in shown.out and not [p for p in Path("my_ops").rglob("*") if p.is_file()]
    monkeypatch.undo()
    monkeypatch.chdir(project)
    assert cli.main(["init", "my_ops"]) == 0


def test_a_header_of_any_name_makes_a_module_that_imports(project, capfd, imported_from):
    Path("gr\u00f6\u00dfe.h").write_text(Path("lib.h").read_text())
    assert cli.main(["build", "gr\u00f6\u00dfe.h", "lib.c"]) == 0
    assert imported_from(project / "_ext" / "gr__e").twice(21) == 42


def test_clean_of_the_cache(project, monkeypatch, capsys):
    monkeypatch.setenv("FFI_EXT_CACHE", str(project / "cache"))
    ffi_ext.load_inline("cleaned", "int f(void) { return 1; }")
    assert cli.main(["clean", "--cache", "--older-than", "1"]) == 0
    assert "removed 0 of 2" in capsys.readouterr().out
    assert cli.main(["clean", "--cache", "--dry-run"]) == 0
    assert "would remove 2 of 2" in capsys.readouterr().out
    assert cli.main(["clean", "--cache"]) == 0
    assert not list((project / "cache").rglob("*.o"))
    assert ffi_ext.load_inline("cleaned", "int f(void) { return 1; }").f() == 1


def test_clean_of_the_cache_keeps_what_lies_beside(project, monkeypatch):
    """$FFI_EXT_CACHE may be a folder of more, such as ~/.cache, or by mistake the home."""
    monkeypatch.setenv("FFI_EXT_CACHE", str(project / "cache"))
    (project / "cache").mkdir(mode=0o755)  # Debian's umask for users is 002
    others = ["pip/http", "modules/mine/a.c", "headers/my.h", "_private/a-0123456789abcdef"]
    for name in others:
        (project / "cache" / name).parent.mkdir(parents=True)
        (project / "cache" / name).touch()
    ffi_ext.load_inline("beside", "int f(void) { return 1; }")
    assert cli.main(["clean", "--cache"]) == 0
    assert not list((project / "cache").rglob("*.o"))
    assert all((project / "cache" / name).exists() for name in others)


def test_colours_on_a_terminal_only(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert terminal.coloured("a", terminal.RED, Terminal()) == "\033[31ma\033[0m"
    assert terminal.coloured("a", terminal.RED, io.StringIO()) == "a"
    monkeypatch.setenv("NO_COLOR", "1")
    assert terminal.coloured("a", terminal.RED, Terminal()) == "a"


def completions(line: str) -> list[str]:
    words = line.split(" ")
    script = f"{completion.bash()}\nCOMP_WORDS=({line}{' ' * line.endswith(' ')}"
    script += f"{chr(39) * 2 if line.endswith(' ') else ''}); COMP_CWORD={len(words) - 1}\n"
    script += 'COMPREPLY=(); _ffi_ext; echo "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_tab_completion():
    assert completions("ffi-ext ") == list(cli.COMMANDS)
    assert completions("ffi-ext do") == ["doctor"]
    assert completions("ffi-ext port --w") == ["--write"]
    assert completions("ffi-ext completion f") == ["fish"]
    assert completions("ffi-ext inspect _e") == []  # files


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_tab_completion_in_fish(tmp_path):
    (tmp_path / "ffi-ext.fish").write_text(completion.fish())

    def offered(line: str) -> list[str]:
        script = f"source ffi-ext.fish; complete -C '{line}'"
        done = subprocess.run(
            ["fish", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return [found.split("\t")[0] for found in done.stdout.splitlines()]

    assert offered("ffi-ext ") == sorted(cli.COMMANDS)
    assert offered("ffi-ext port --w") == ["--write"]
    assert offered("ffi-ext completion f") == ["fish"]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_tab_completion_in_zsh(tmp_path, capsys):
    """zsh completes only in a terminal: the keys are typed into one."""
    cli.main(["completion", "zsh"])
    (tmp_path / "setup").write_text(
        f"autoload -U compinit; compinit -D -u\n{capsys.readouterr().out}\nprint READY"
    )
    child, terminal_end = pty.fork()
    if child == 0:
        os.chdir(tmp_path)
        os.execvpe("zsh", ["zsh", "-f", "-i"], {**os.environ, "TERM": "dumb"})

    def typed(keys: str, wanted: str) -> str:
        os.write(terminal_end, keys.encode())
        shown, deadline = "", time.monotonic() + 60
        while wanted not in shown and time.monotonic() < deadline:
            if select.select([terminal_end], [], [], 0.1)[0]:
                shown += os.read(terminal_end, 4096).decode()
        return shown

    try:
        assert "READY\r" in typed(". ./setup\n", "READY\r")
        assert "ffi-ext inspect " in typed("ffi-ext insp\t", "inspect ")
        assert "ffi-ext port --write " in typed("\x15ffi-ext port --w\t", "--write ")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(terminal_end)
