"""`ffi-ext doctor` and `inspect`, as a user would run them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ffi_ext import __main__ as cli

PACKAGES = Path(__file__).with_name("packages")


def test_doctor_on_this_machine(capsys):
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "Python:" in out and "torch:" in out and "nothing here is known to fail" in out


def test_doctor_reads_a_repository_without_running_it(tmp_path, capsys):
    folder = tmp_path / "repo"
    shutil.copytree(PACKAGES / "tutorial", folder)
    (folder / "build.py").write_text(
        (folder / "build.py").read_text() + "\nraise SystemExit('was run')\n"
    )
    (folder / "old.py").write_text("print 'hello'\n")
    (folder / "mistake.py").write_text(
        "from torch.utils.cpp_extension import BuildExtension as create_extension\n"
    )
    (folder / "src" / "more.c").write_text(
        "#include <TH/TH.h>\nstatic void THFloatTensor_mine(int x) {}\n"
        "/* THFloatTensor_comment(x) */ void f(THFloatTensor *t) {\n"
        "  THFloatTensor_mine(1); THFloatTensor_frobnicate(t); THFloatTensor_zero(t); }\n"
    )
    assert cli.main(["doctor", str(folder), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert any("'_ext.add'" in line for line in report["extensions"])
    problems = "\n".join(report["problems"])
    assert "old.py:1: no Python 3" in problems and "mistake.py:1: BuildExtension" in problems
    assert "THFloatTensor_frobnicate" in problems
    assert not any(name in problems for name in ("_mine", "_comment", "_zero"))
    assert any("Add is an old-style autograd Function" in note for note in report["notes"])
    assert cli.main(["doctor", str(tmp_path / "nowhere")]) == 2


def test_inspect(build, capsys):
    module = build(
        "void f(THFloatTensor *t, int n);",
        "#include <TH/TH.h>\nvoid f(THFloatTensor *t, int n) { THFloatTensor_fill(t, n); }",
    )
    assert cli.main(["inspect", str(Path(module.__file__).parent), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["ABI"].startswith("abi3") and facts["TH functions"] == ["THFloatTensor_fill"]
    assert len(facts["functions"]) == 1 and facts["functions"][0].startswith("def f(t: ")
    assert any(name.startswith("libc.") for name in facts["libraries"])


@pytest.mark.parametrize("arguments", [["inspect", "/nonexistent"], ["inspect", str(PACKAGES)]])
def test_inspect_of_something_else(arguments, capsys):
    assert cli.main(arguments) == 2
    assert "holds no binary" in capsys.readouterr().err
