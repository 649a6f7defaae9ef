"""The `ffi-ext` command, as a user would run it."""

from __future__ import annotations

import errno
import io
import json
import os
import platform
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

import numpy as np
import pytest
import scipy
import torch

import ffi_ext
from ffi_ext import cli, cuda, legacy
from ffi_ext.cli import completion, survey_names, terminal
from ffi_ext.inline import imported_as
from tests.processes import python

PACKAGES = Path(__file__).with_name("packages")


def test_doctor_on_this_machine(capsys):
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "Python:" in out and "torch:" in out and "nothing here is known to fail" in out


def test_doctor_reads_a_repository_without_running_it(tmp_path, capsys):
    folder = tmp_path / "repo"
    shutil.copytree(PACKAGES / "tutorial", folder)
    (folder / "build.py").write_text(
        "\ufeff" + (folder / "build.py").read_text() + "\nraise SystemExit('was run')\n",
        encoding="utf-8",  # with the mark that editors on Windows write
    )
    (folder / "old.py").write_text("print 'hello'\n")
    (folder / "mistake.py").write_text(
        "from torch.utils.cpp_extension import BuildExtension as create_extension\n"
    )
    (folder / "forum.py").write_text("ffi = BuildExtension('_ext.more', headers=[], sources=[])\n")
    (folder / "src" / "more.c").write_text(
        "#include <TH/TH.h>\nstatic void THFloatTensor_mine(int x) {}\n"
        "/* THFloatTensor_comment(x) */ void f(THFloatTensor *t) {\n"
        "  THFloatTensor_mine(1); THFloatTensor_frobnicate(t); THFloatTensor_zero(t); }\n"
    )
    assert cli.main(["doctor", str(folder), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert any("'_ext.add'" in line for line in report["extensions"])
    assert any(line == "forum.py:1: '_ext.more'" for line in report["extensions"])
    assert any("called as create_extension: forum.py, mistake.py." in n for n in report["notes"])
    problems = "\n".join(report["problems"])
    assert "old.py:1: no Python 3" in problems
    assert "THFloatTensor_frobnicate" in problems
    assert not any(name in problems for name in ("_mine", "_comment", "_zero"))
    assert any("Add (functions/add.py:6)" in note for note in report["notes"])
    assert cli.main(["doctor", str(tmp_path / "nowhere")]) == 2


@pytest.mark.parametrize("command", ["doctor", "port"])
def test_a_script_that_python_cannot_read_stops_nobody(tmp_path, capsys, command):
    (tmp_path / "table.py").write_text("x = " + "+".join(["1"] * 100_000))
    (tmp_path / "image.py").write_bytes(bytes(100))
    (tmp_path / "deep.py").write_text("x = " + "-" * 100_000 + "1")  # Python: a MemoryError
    (tmp_path / "ours.py").write_text("from torch.utils.ffi import create_extension as c\n")
    cli.main([command, str(tmp_path)])
    shown = capsys.readouterr()
    said = shown.out + shown.err
    if sys.version_info >= (3, 11):  # Python 3.10 reads it
        assert "table.py: cannot be read (" in said
    # a SyntaxError since Python 3.11.4, a ValueError before
    why = r"\(source code (string )?cannot contain null bytes\)"
    assert re.search(rf"image\.py: (no Python 3|cannot be read) {why}", said)
    assert "deep.py: cannot be read (" in said
    assert "torch" in shown.out  # of ours.py


def test_doctor_reads_the_tables_of_a_pyproject_toml(tmp_path, capsys, monkeypatch):
    table = '[[tool.ffi-ext.extension]]\nname = "pkg.k"\nheaders = "csrc/k.h"\n'
    (tmp_path / "pyproject.toml").write_text(table + 'sources = ["csrc/k.c", "csrc/more.c"]\n')
    (tmp_path / "csrc").mkdir()
    for name in ("k.h", "k.c"):
        (tmp_path / "csrc" / name).write_text("void THFloatTensor_frobnicate(void);\n")
    assert cli.main(["doctor", str(tmp_path), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["extensions"] == ["pyproject.toml: 'pkg.k'"]
    absent = [note for note in report["notes"] if "is not there" in note]
    assert len(absent) == 1 and absent[0].startswith("pyproject.toml: csrc/more.c is")
    said = "pyproject.toml: the requires of its [build-system] lack 'ffi-ext'"
    assert any(problem.startswith(said) for problem in report["problems"])
    monkeypatch.chdir(tmp_path)
    assert cli.main(["build"]) == 2
    assert "-e . builds what pyproject.toml declares" in capsys.readouterr().err
    (tmp_path / "pyproject.toml").write_text(table)
    assert cli.main(["doctor", str(tmp_path)]) == 1
    assert (
        "pyproject.toml: [[tool.ffi-ext.extension]] 'pkg.k': 'sources' is"
        in capsys.readouterr().out
    )


def test_doctor_finds_nothing_wrong_with_a_project_made_by_init(tmp_path, capsys):
    assert cli.main(["init", "ops", str(tmp_path)]) == 0
    assert cli.main(["doctor", str(tmp_path)]) == 0, capsys.readouterr().out


def test_doctor_names_the_package_of_a_module(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(survey_names.PACKAGES, "ffi_ext_nowhere", "'nowhere<8'")
    (tmp_path / "build.py").write_text("import ffi_ext_nowhere, ffi_ext_elsewhere\n")
    assert cli.main(["doctor", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "ffi_ext_nowhere is not installed: pip install 'nowhere<8'" in out
    assert "ffi_ext_elsewhere is not installed: pip install ffi_ext_elsewhere" in out
    monkeypatch.setitem(legacy.GONE, "ffi_ext_elsewhere", "3.99")
    assert cli.main(["doctor", str(tmp_path)]) == 1
    assert "Python 3.99 dropped its module ffi_ext_elsewhere" in capsys.readouterr().out


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
def test_inspect_and_stubs_know_variadic_functions(build, capsys, monkeypatch, flags):
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
    assert cli.main(["stubs", "--check", str(folder)]) == 0


def test_stubs_of_a_module_know_all_kinds_of_constants(build, capsys):
    module = build(
        '#define NAME "zlib"\n#define HALF 0.5\n#define N 3\nenum { A = 4 };\n'
        "struct point { int x, y; };\nstatic const struct point ORIGIN = {1, 2};\n"
        "static const int TABLE[2] = {5, 6};\nextern int level;\nint f(void);",
        "int level = 7; int f(void) { return 8; }",
    )
    folder = Path(module.__file__).parent
    stub = (folder / "__init__.pyi").read_text()
    for line in ("NAME: bytes", "HALF: float", "N: int", "A: int", "ORIGIN: Any", "level: Any"):
        assert f"\n{line}\n" in stub
    assert cli.main(["stubs", "--check", str(folder)]) == 0, capsys.readouterr().err
    assert folder.name not in sys.modules  # it could be zlib, which Python itself imports


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


def test_every_command_has_help(capsys):
    for name, (_, text) in cli.COMMANDS.items():
        with pytest.raises(SystemExit) as ended:
            cli.main([name, "--help"])
        assert ended.value.code == 0
        assert text.split(",")[0][1:20] in capsys.readouterr().out or name == "run"
    with pytest.raises(SystemExit) as ended:
        cli.main(["biuld"])
    assert ended.value.code == 2 and "biuld" in capsys.readouterr().err


def test_build_inspect_stubs_and_clean(project, capfd):
    assert cli.main(["build", "lib.h", "lib.c", "-n", "pkg._C.lib", "-DN=3", "--cflag=-O2"]) == 0
    assert "built pkg/_C/lib/_lib" in capfd.readouterr().out
    assert imported_as("_of_commands", project / "pkg" / "_C" / "lib").twice(4) == 8
    assert cli.main(["inspect", "pkg/_C/lib", "--json"]) == 0
    facts = json.loads(capfd.readouterr().out)
    assert facts["prototypes"] == ["int twice(int x)", "void fill(THFloatTensor *t, float value)"]
    assert facts["kind"] == "generated by ffi_ext" and facts["platform"].startswith("GLIBC ")
    origin = facts["built from"]
    assert origin["headers"] == ["lib.h"] and origin["sources"] == ["lib.c"]
    assert origin["define_macros"] == [["N", "3"]] and "compiler" in origin
    stub = project / "pkg" / "_C" / "lib" / "__init__.pyi"
    as_built = stub.read_text()
    assert cli.main(["stubs", "--check", "pkg/_C/lib"]) == 0
    stub.unlink()
    assert cli.main(["stubs", "--check", "pkg/_C/lib"]) == 1
    assert cli.main(["stubs", "pkg/_C/lib"]) == 0 and stub.read_text() == as_built
    assert cli.main(["stubs", "lib.h", "-o", "lib.pyi"]) == 0
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


def test_build_of_what_a_makefile_has_built(project, capfd):
    """A library's objects were taken for sources, and every header but .h and .hpp, too."""
    (project / "one.hh").write_text("int one(void);\n")
    (project / "one.c").write_text("int one(void) { return 1; }\n")
    subprocess.run(["cc", "-c", "-fPIC", "one.c"], check=True)
    subprocess.run(["ar", "rc", "libone.a", "one.o"], check=True)
    for number, built in enumerate(("one.o", "libone.a")):
        name = f"made{number}"
        assert cli.main(["build", "-q", "-n", name, "one.hh", built]) == 0
        assert imported_as(f"_of_a_makefile{number}", project / name).one() == 1
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
        (["stubs", "nothing.h"], 2, "no header or package directory 'nothing.h'"),
        (["stubs", "bad.h"], 1, "bad.h:1: cannot parse this declaration"),
        (["stubs", "."], 2, "is no package"),
        (["stubs", "_cut.so"], 2, "is no header: for a built module, ffi-ext stubs .\n"),
        (["stubs", "lib.c"], 2, "lib.c is a source: a stub has the functions of headers"),
        (["init", "cffi"], 2, "a package 'cffi' would hide another"),
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


def test_a_header_of_any_name_makes_a_module_that_imports(project, capfd):
    Path("gr\u00f6\u00dfe.h").write_text(Path("lib.h").read_text())
    assert cli.main(["build", "gr\u00f6\u00dfe.h", "lib.c"]) == 0
    assert imported_as("_of_any_name", project / "_ext" / "gr__e").twice(21) == 42


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


def test_doctor_finds_what_is_missing(tmp_path, capsys):
    (tmp_path / "build.py").write_text(
        "from torch.utils.ffi import create_extension\nimport no_such_package, helper\n"
        "objects = ['k.cu.o', 'made/gone.o', 'made/pool.cu.o']\n"
        "sources = ['a.c', r'pkg\\fft.py']\nsources += ['made.c']\n"
        "create_extension('a', ['a.h'], sources, extra_objects=[x for x in objects])\n"
    )
    (tmp_path / "helper.py").write_text("print 'x'\n")
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text(
        "import numpy\nimport fft, sys\nfrom . import sys\nfrom fft import ffts\n"
        "try:\n    import fft\nexcept ImportError:\n    from . import fft\n"
    )
    (tmp_path / "pkg" / "fft.py").touch()
    (tmp_path / "pkg" / "sys.py").touch()
    (tmp_path / "pkg" / "numpy.py").touch()  # of the package; Python finds the installed one
    (tmp_path / "k.cu").touch()
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "pool_kernel.cu").touch()
    (tmp_path / "a.h").touch()
    in_step = "__global__ void k(int i) {{ __shared__ {} s[32]; s[i] += s[i + 16]; {} }}"
    (tmp_path / "in_step.cu").write_text(in_step.format("volatile float", ""))
    (tmp_path / "synced.cu").write_text(in_step.format("volatile float", "__syncwarp();"))
    (tmp_path / "aten.cu").write_text("#include <ATen/ATen.h>\n#include <THC/THC.h>\n")
    (tmp_path / "asm.cu").write_text(in_step.format("float", 'asm volatile("");'))
    (tmp_path / "a.c").write_text(
        "void THTensor_(mine)(THTensor *t) {}\nvoid f() { THTensor_(mine)(t); THTensor_(fill)(t, 1);\n"
        "THTensor_(invented)(t); texture<float> x; }\n"
    )
    assert cli.main(["doctor", str(tmp_path), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    problems = "\n".join(report["problems"])
    for text in (
        "no_such_package is not installed",
        "the object made/gone.o is not there, nor made/gone.cu",
        "helper.py:1: no Python 3",
        "pkg/__init__.py:2: `import fft` finds the fft beside it in Python 2 alone: write `from . import fft`",
        "pkg/__init__.py:4: `from fft import ffts` finds the fft beside it in Python 2 alone: write `from .fft ",
        "a.c: THTensor_(invented): not part",
        "texture references are gone",
    ):
        assert text in problems
    assert "mine" not in problems and "fill" not in problems and "import sys" not in problems
    assert "import numpy" not in problems and "pkg/__init__.py:6" not in problems
    notes = "\n".join(report["notes"])
    assert "pool.cu.o is not there: it is made from src/pool_kernel.cu" in notes
    assert "aten.cu: <THC/THC.h> went with torch 1.11" in notes and notes.count("1.11") == 1
    assert "in_step.cu: volatile shared memory" in notes and notes.count("volatile") == 1
    assert "fft.py is not there" not in notes  # of a script that was written on Windows
    assert "k.cu.o is not there: it is made from k.cu" in notes and "made.c is not there" in notes
    assert report["needs"] == ["no_such_package", "torch"]


def test_doctor_tells_of_submodules_that_were_not_cloned(tmp_path, capsys):
    listed = "".join(
        f'[submodule "{p}"]\n\tpath = {p}\n' for p in ("model_zoo", "egs/data", "there")
    )
    (tmp_path / ".gitmodules").write_text(listed)
    (tmp_path / "model_zoo").mkdir()
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "a.c").touch()
    (tmp_path / "main.py").write_text("import model_zoo\n")
    assert cli.main(["doctor", str(tmp_path), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    said = ": a git submodule, not here: git submodule update --init --recursive"
    assert report["problems"] == [f"model_zoo{said}"] and f"egs/data{said}" in report["notes"]
    assert report["needs"] == [] and "there:" not in "".join(report["notes"])


def test_doctor_asks_for_no_module_that_a_script_does_without(tmp_path, capsys):
    (tmp_path / "old.py").write_text(
        "import sys\n"
        "try:\n    import cPickle as pickle\nexcept ImportError:\n    import pickle\n"
        "try:\n    import no_such_logger\nexcept:\n    no_such_logger = None\n"
        "try:\n    import no_such_a\nexcept ImportError:\n    import no_such_b\n"
        "if sys.version_info[0] == 2:\n    from urllib2 import urlopen\nelse:\n    from urllib.request import urlopen\n"
        "try:\n    import no_such_c\nfinally:\n    pass\n"
        "from StringIO import StringIO\n"
    )
    cli.main(["doctor", str(tmp_path), "--json"])
    report = json.loads(capsys.readouterr().out)
    assert report["needs"] == ["StringIO", "no_such_b", "no_such_c"]
    problems = "\n".join(report["problems"])
    assert "Python 2's module StringIO is io in Python 3: rewrite what imports it" in problems
    assert "pip install StringIO" not in problems


def test_doctor_finds_what_libraries_have_no_more(tmp_path, capsys, monkeypatch):
    """Names that NumPy 1.24, Python 3.10 and torch 1.0 dropped."""
    monkeypatch.delattr("numpy.float", raising=False)  # older ones have it still
    (tmp_path / "old.py").write_text(
        "import numpy as np, collections, torch, torch.backends.cudnn as cudnn\n"
        "from torch._thnn import type2backend\nfrom torch.nn import _functions, Module as M, functional as F\n"
        "from torch._six import inf\nimport torch.nn as nn\n"
        "a = np.zeros(3).astype(np.float)\nb = np.float\nc = collections.Mapping\nd = torch.btrifact(a)\n"
        "e = F.relu(nn.Linear(2, 3), M, cudnn.benchmark, np.linalg.norm(a), torch.FloatTensor)\n"
        "f = np.no_such_place.deeper\nfrom scipy.misc import imread\n"
        "import scipy.signal\ng = scipy.signal.hamming(3)\n"
    )
    (tmp_path / "both.py").write_text(
        "import numpy as np, collections\nimport torch.utils.ffi\n"
        "try:\n    real = np.float\nexcept AttributeError:\n    real = np.floating_\n"
        "if hasattr(np, 'float'):\n    real = np.float\n"
        "try:\n    from torch._thnn import type2backend\nexcept ImportError:\n    pass\n"
        "def g(torch):\n    return torch.utils.ffi, torch.nonsense\n"
        "import torch as t\ncollections.mine = t.ops.mine.scale(1)\nt.classes.mine.Store.of.more\n"
    )
    (tmp_path / "more.py").write_text("import numpy\nx = numpy.float(3)\n")
    assert cli.main(["doctor", str(tmp_path), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    python, numpy = platform.python_version(), np.__version__
    rewrite = "rewrite what needs it, or use a version that has it"
    assert report["problems"] == [
        f"old.py:11: numpy {numpy} has no numpy.no_such_place: {rewrite}",
        f"old.py:12: scipy {scipy.__version__} has no scipy.misc.imread: write imageio.v2.imread",
        f"old.py:14: scipy {scipy.__version__} has no scipy.signal.hamming: write scipy.signal.windows.hamming",
        f"old.py:2: torch {torch.__version__} has no torch._thnn: {rewrite}",
        f"old.py:9: torch {torch.__version__} has no torch.btrifact: {rewrite}",
        f"old.py:3: torch {torch.__version__} has no torch.nn._functions: {rewrite}",
    ]
    back = "`ffi-ext run` and install(autograd=True) bring it back"
    assert [note for note in report["notes"] if back in note] == [
        f"old.py:8: Python {python} has no collections.Mapping: write collections.abc.Mapping; {back}",
        f"more.py:2 (and 1 files more): numpy {numpy} has no numpy.float: write float; {back}",
        f"old.py:4: torch {torch.__version__} has no torch._six: string_classes is (str, bytes), int_classes int, "
        f"container_abcs collections.abc, inf math.inf; {back}",
    ]


def test_doctor_tells_questions_for_the_class_of_a_tensor(tmp_path, capsys):
    """transducer, lgamma, torch-unique and torch-spline-conv of PyTorch 0.3 ask so, and take the wrong way or stop."""
    (tmp_path / "old.py").write_text(
        "a = type(x) is torch.FloatTensor\nb = x.__class__ not in [torch.cuda.IntTensor, torch.ByteTensor]\n"
        "c = type(x).__name__.replace('Tensor', '')\n"
        "d = type(x) is type(y) or type(x) == torch.Tensor or isinstance(x, torch.FloatTensor)\n"
        "e = type(self).__name__ + x.type() == torch.FloatTensor\n"
        "f = type(self).__name__.replace('Loss', ''), type(x) in (torch.Tensor, torch.FloatTensor)\n"
    )
    assert cli.main(["doctor", str(tmp_path), "--json"]) == 1
    every = "every tensor is a torch.Tensor since PyTorch 0.4: ask isinstance(x, "
    several = "(torch.cuda.IntTensor, torch.ByteTensor)"
    assert json.loads(capsys.readouterr().out)["problems"] == [
        f"old.py:1: type(x) is torch.FloatTensor: {every}torch.FloatTensor)",
        f"old.py:2: x.__class__ not in [{several[1:-1]}]: {every}{several})",
        "old.py:3: type(x).__name__ is 'Tensor' for every tensor since PyTorch 0.4: take x.type(), 'torch.FloatTensor' "
        "still",
    ]


def test_doctor_knows_what_a_repository_makes_itself(tmp_path, capsys):
    """Modules of its own build and setup.py, functions of generic files, paths that a script puts together."""
    (tmp_path / "build.py").write_text(
        "from torch.utils.ffi import create_extension\nnames = ['Basis']\n"
        "create_extension('no_such_engine.core', headers=['TH{}.h'.format(n) for n in names], sources=[])\n"
    )
    (tmp_path / "setup.py").write_text(
        "setup(packages=['no_such_made.more'], package_dir={'no_such_made.more': '.'})\n"
    )
    (tmp_path / "__init__.py").write_text(
        "import os, sys\nsys.path.append(os.path.dirname(__file__))\nfrom no_such_common import add\n"
        "import no_such_engine\nimport no_such_made.more\n"
    )
    (tmp_path / "no_such_common.py").touch()
    (tmp_path / "THBasis.h").write_text(
        "void THFloatTensor_linear(THFloatTensor *b);\nvoid THCudaDoubleTensor_linear(THCudaDoubleTensor *b);\n"
        "void THDoubleTensor_cubic(THDoubleTensor *b);\n"
    )
    (tmp_path / "THBasis.c").write_text(
        "void THTensor_(linear)(THTensor *b) {\n}\nvoid THCTensor_(linear)(THCTensor *b) {\n}\n"
        "void THTensor_(cubic)(THTensor *b);\n"
    )
    assert cli.main(["doctor", str(tmp_path), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    unknown = "THDoubleTensor_cubic: not part of ffi_ext's TH"
    assert [p.split(": ", 1)[1][: len(unknown)] for p in report["problems"]] == [
        "THTensor_(cubic): not part of ffi_ext's TH and THC; write the"[: len(unknown)],
        unknown,
    ]
    # told of the torch before 2.7, and not of the repository
    assert not [n for n in report["notes"] if "tensors are read through Python" not in n]


def test_doctor_tells_samplings_whose_default_has_changed(tmp_path, capsys):
    (tmp_path / "old.py").write_text(
        "import torch.nn as nn, torch.nn.functional as F\ny = F.grid_sample(x, g)\nz = F.affine_grid(t, s)\n"
    )
    (tmp_path / "older.py").write_text("up = nn.Upsample(scale_factor=2, mode='bilinear')\n")
    (tmp_path / "new.py").write_text(
        "y = F.grid_sample(x, g, align_corners=False)\nz = nn.Upsample(scale_factor=2)\nw = grid_sample(x)\n"
        "v = F.upsample(x, 3, mode='nearest')\n"
    )
    cli.main(["doctor", str(tmp_path), "--json"])
    (note,) = [n for n in json.loads(capsys.readouterr().out)["notes"] if "align_corners" in n]
    assert note.startswith("old.py:2 (and 1 files more): no align_corners: it was True")


def test_doctor_passes_over_names_that_a_repository_brings_back_and_those_of_elsewhere(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.delattr("numpy.float", raising=False)
    (tmp_path / "compat.py").write_text(
        "import numpy as np\nif not hasattr(np, 'float'):\n    np.float = float\n"
    )
    (tmp_path / "train.py").write_text(
        "import compat, ctypes, numpy, os, platform, sys, time\nx = numpy.float(3)\n"
        "clock = time.no_clock if sys.platform == 'win32' else time.time\n"
        "if os.name == 'nt':\n    ctypes.no_windll.kernel32.SetConsoleMode(7, 7)\n"
        "if platform.system() == 'Windows':\n    import no_such_winreg\n    os.no_startfile(x)\n"
        "import torch\ngather, set_title = torch._C._no_gather, lambda: ctypes.windll.kernel32\n"
    )
    assert cli.main(["doctor", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["problems"] == []


def test_doctor_knows_the_folders_of_a_repository_and_extensions_without_a_name(tmp_path, capsys):
    """Folders without __init__.py can be imported from the repository's own."""
    (tmp_path / "lib" / "nms").mkdir(parents=True)
    (tmp_path / "lib" / "nms" / "wrapper.py").write_text("from lib.nms.wrapped import nms\n")
    build = "from torch.utils.cpp_extension import BuildExtension\nBuildExtension(headers=[], sources=[])\n"
    (tmp_path / "build.py").write_text(build)
    assert cli.main(["doctor", str(tmp_path), "--json"]) == 1
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert problems == ["build.py:2: the extension has no name: give it one, such as '_ext.my_lib'"]


def test_doctor_tells_scripts_whose_nvcc_run_cannot_reach(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cuda, "nvcc", lambda: sys.executable)
    monkeypatch.setattr(cuda, "supported", lambda compiler: (75, 90))
    line = " -c k.cu -gencode arch=compute_52,code=sm_52 -gencode arch=compute_90,code=sm_90\n"
    (tmp_path / "Makefile").write_text(
        f"NVCC := /usr/local/cuda-8.0/bin/nvcc\nk.o:\n\t$(NVCC){line}"
    )
    (tmp_path / "make.sh").write_text(f"CUDA_PATH=/usr/local/cuda\n${{CUDA_PATH}}/bin/nvcc{line}")
    (tmp_path / "rules.mk").write_text(f"main:\n\t/opt/cuda/bin/nvcc{line}\tpython build.py\n")
    (tmp_path / "stops.sh").write_text(f"set -ex\n/opt/cuda/bin/nvcc{line}python build.py\n")
    (tmp_path / "other.sh").write_text(f"# /usr/local/cuda/bin/nvcc\nnvcc{line}")
    cli.main(["doctor", str(tmp_path), "--json"])
    report = json.loads(capsys.readouterr().out)
    gone = "architectures 52 are gone from this nvcc"
    stops = "which it calls as /opt/cuda/bin/nvcc: it stops at that line; run the build script alone, which makes "
    stops += "the objects itself"
    assert sorted(report["problems"]) == [
        f"Makefile: {gone}, which it calls as /usr/local/cuda-8.0/bin/nvcc: `ffi-ext run -- make NVCC=nvcc` leaves "
        "them out",
        f"rules.mk: {gone}, {stops}",
        f"stops.sh: {gone}, {stops}",
    ]
    called, alone = (note for note in report["notes"] if gone in note)
    assert called.startswith(f"make.sh: {gone}, which it calls as ${{CUDA_PATH}}/bin/nvcc: ")
    assert alone == f"other.sh: {gone}: left out under `ffi-ext run`"


def test_doctor_finds_copies_of_torch_utils_ffi(tmp_path, capsys):
    (tmp_path / "ffiext.py").write_text(
        "import torch\ndef _wrap(f, *a):\n    return torch._C._safe_call(f, *a)\n"
    )
    cli.main(["doctor", str(tmp_path), "--json"])
    report = json.loads(capsys.readouterr().out)
    assert "ffiext.py:3: this is a copy of torch.utils.ffi" in "\n".join(report["notes"])
    assert report["problems"] == []  # not what torch has no more


def test_doctor_finds_names_of_python_2(tmp_path, capsys):
    (tmp_path / "old.py").write_text(  # with a byte order mark, as editors of Windows write it
        "\ufeffimport six\nfor i in xrange(3):\n    d.iteritems()\n    six.iteritems(d)\n    xrange(i)\n",
        encoding="utf-8",
    )
    (tmp_path / "both.py").write_text(
        "from functools import reduce\ntry:\n    xrange\nexcept NameError:\n    xrange = range\n"
        "reduce(f, xrange(3))\ndef g(long):\n    return long\n"
        "try:\n    text = (str, unicode)\nexcept NameError:\n    text = (str,)\n"
        "if sys.version_info[0] < 3:\n    input = raw_input\nPY2 and isinstance(x, basestring)\n"
    )
    cli.main(["doctor", str(tmp_path), "--json"])
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert [p for p in problems if "of Python 2" in p] == [
        "old.py:3: iteritems is of Python 2: write .items",
        "old.py:2: xrange is of Python 2: write range",
    ]
