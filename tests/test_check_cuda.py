"""scripts/check_cuda.py, which a machine with a GPU runs: its parts, without one."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def check_cuda(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    module = importlib.import_module("check_cuda")
    monkeypatch.setattr(module, "why_no_gpu", lambda: "")
    return module


def test_each_part_is_told_of_whatever_becomes_of_the_others(check_cuda, tmp_path, monkeypatch):
    texts = {"tests": "print('3 passed')", "bench": "import sys; sys.exit('wrong')"}
    texts |= {"memcheck": "import time; time.sleep(60)", "racecheck": ""}
    monkeypatch.setattr(check_cuda, "LEAST", 0.1)
    monkeypatch.setattr(
        check_cuda, "PARTS", {"tests": 60, "bench": 60, "memcheck": 0.2, "racecheck": 0}
    )
    monkeypatch.setattr(check_cuda, "sanitizer", lambda: "compute-sanitizer")
    monkeypatch.setattr(
        check_cuda, "command", lambda part, folder: [sys.executable, "-c", texts[part]]
    )
    said = check_cuda.check(texts, 60, tmp_path)
    lines = [re.sub(r", \d+ s", "", line) for line in said.values()]
    lines[2] = re.sub("(?<=s: ).*", "", lines[2])  # where it was, if it had begun
    assert lines == [
        "ok: 3 passed",
        "failed: exit status 1: wrong",
        "failed: not done after 0 s: ",
        "failed: no time was left",
    ]
    assert (tmp_path / "tests.log").read_text() == "3 passed\n"


def test_parts_get_their_share_of_more_time(check_cuda, monkeypatch):
    given = []
    monkeypatch.setattr(check_cuda, "run", lambda words, seconds, log: given.append(seconds) or "")
    for seconds, want in ((500, 400), (3600, 960)):  # of 1500 in all, tests have 400
        check_cuda.check(["tests"], seconds, None)
        assert given.pop() == pytest.approx(want, abs=1)


def test_what_is_given_up_takes_its_children_along(check_cuda, tmp_path):
    """compute-sanitizer starts what it checks: both would keep the GPU."""
    log = tmp_path / "log"
    words = ["sh", "-c", "sleep 60 & echo $!; wait"]
    assert check_cuda.run(words, 0.6, log) == "not done after 1 s"
    assert_ends(log)


def test_what_hangs_says_where(check_cuda, tmp_path, monkeypatch):
    """And so do its children, as pytest's workers."""
    begun = tmp_path / "begun"
    (tmp_path / "hangs.py").write_text(
        "import subprocess, sys, time\n"
        f"def in_a_kernel(): open({str(begun)!r}, 'w').close(); time.sleep(60)\n"
        "def in_a_test(): subprocess.run([sys.executable, __file__, 'worker'])\n"
        "in_a_kernel() if sys.argv[1:] else in_a_test()\n"
    )

    def wait_until_it_hangs(child, seconds):
        while not begun.exists():
            assert child.poll() is None
            time.sleep(0.01)
        monkeypatch.undo()
        raise subprocess.TimeoutExpired(child.args, seconds)

    monkeypatch.setattr(subprocess.Popen, "wait", wait_until_it_hangs)
    log = tmp_path / "log"
    words = [sys.executable, str(tmp_path / "hangs.py")]
    assert check_cuda.run(words, 1, log) == "not done after 1 s"
    assert "in in_a_kernel" in log.read_text() and "in in_a_test" in log.read_text()


def assert_ends(log: Path) -> None:
    """The process of which a part has written the number."""
    child = Path("/proc", log.read_text().strip(), "stat")
    ends = time.monotonic() + 10
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it is gone
        while child.read_text().rpartition(")")[2].split()[0] != "Z":
            assert time.monotonic() < ends


def test_a_time_limit_on_all_of_it_takes_the_part_that_runs_along(tmp_path):
    """timeout 600 python3 scripts/check_cuda.py: what ran went on, and kept the GPU."""
    script = (
        "import sys; sys.path.insert(0, 'scripts'); import check_cuda\n"
        "check_cuda.why_no_gpu = lambda: ''\n"
        "check_cuda.command = lambda *_: ['sh', '-c', 'echo $$; exec sleep 60']\n"
        f"sys.argv = ['check_cuda.py', 'tests', '--out', {str(tmp_path)!r}]\n"
        "sys.exit(check_cuda.main())"
    )
    log = tmp_path / "tests.log"
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT) as process:
        ends = time.monotonic() + 30
        while not (log.exists() and log.read_text()):
            assert time.monotonic() < ends
            time.sleep(0.02)
        process.terminate()
    assert process.returncode == 143
    assert_ends(log)


def test_a_torch_that_crashes_is_told_of(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    monkeypatch.setattr(sys, "executable", "false")
    why = importlib.import_module("check_cuda").why_no_gpu()
    assert why == "torch cannot be imported: exit status 1"


def test_what_torch_says_of_the_driver_is_shown(tmp_path, monkeypatch, capsys):
    """As beside a driver that is older than torch's CUDA."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    torch = tmp_path / "python"
    torch.write_text("#!/bin/sh\necho the NVIDIA driver is too old >&2; echo False 2.13.0+cu130\n")
    torch.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(torch))
    why = importlib.import_module("check_cuda").why_no_gpu()
    assert why == "there is no GPU for torch 2.13.0+cu130"
    assert capsys.readouterr().err == "the NVIDIA driver is too old\n"


def test_packages_that_lie_elsewhere_are_found_and_memory_is_not_cached(
    check_cuda, tmp_path, monkeypatch
):
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    text = "import os; print(os.environ['PYTHONPATH'], os.environ.get('PYTORCH_NO_CUDA_MEMORY_CACHING'))"
    for more, cached in ([], "None"), (["--tool"], "1"):
        assert check_cuda.run([sys.executable, "-c", text, *more], 60, tmp_path / "log") == ""
        assert (tmp_path / "log").read_text() == f"{ROOT}{os.pathsep}/elsewhere {cached}\n"


def test_a_gpu_that_is_lost_in_one_test_is_not_in_the_others(tmp_path):
    """An illegal address fails all that its process does afterwards."""
    pytest.importorskip("xdist")
    test = tmp_path / "test_lost.py"
    test.write_text(
        "import torch\n"
        "lost = False\n"
        "def synchronize():\n"
        "    if lost: raise RuntimeError('an illegal memory access')\n"
        "def test_launch():\n"
        "    global lost\n"
        "    torch.cuda.is_initialized, torch.cuda.synchronize, lost = lambda: True, synchronize, True\n"
        "def test_next(): assert not lost\n"
        "def test_last(): assert not lost\n"
    )
    words = [sys.executable, "-m", "pytest", "-n1", "-p", "tests.conftest", str(test)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    environment.pop("PYTEST_XDIST_WORKER", None)
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=environment)
    lines = done.stdout.splitlines()
    assert "RuntimeError: an illegal memory access" in done.stdout
    assert "worker 'gw0' crashed while running 'test_lost.py::test_launch'" in lines
    assert "1 failed, 3 passed, 1 error" in lines[-1]


def test_without_a_gpu_there_is_nothing_to_measure(check_cuda, monkeypatch):
    monkeypatch.setattr(check_cuda, "why_no_gpu", lambda: "there is no GPU for torch 2.13.0")
    assert check_cuda.check(["bench", "synccheck"], 60, None) == {
        "bench": "not run: there is no GPU for torch 2.13.0",
        "synccheck": "not run: there is no GPU for torch 2.13.0",
    }


def test_the_sanitizer_of_the_toolkit_is_found(check_cuda, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    assert check_cuda.sanitizer() is None
    tool = tmp_path / "compute-sanitizer" / "compute-sanitizer"
    tool.parent.mkdir()
    tool.write_text("")
    tool.chmod(0o755)
    assert check_cuda.sanitizer() == str(tool)
    assert check_cuda.command("racecheck", None)[:3] == [str(tool), "--tool", "racecheck"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_sanitizer_without_the_gpu_is_no_success(check_cuda, tmp_path, monkeypatch):
    """As where the system lends the GPU to programs, and not to what watches them."""
    monkeypatch.setattr(check_cuda, "sanitizer", lambda: "env")
    monkeypatch.setattr(check_cuda, "CHECKED", [])
    words = [
        word
        for word in check_cuda.command("synccheck", None)
        if word not in ("--tool", "synccheck")
    ]
    assert check_cuda.run(words, 60, tmp_path / "log") == "exit status 1"
    assert re.search("CUDA|NVIDIA", (tmp_path / "log").read_text().splitlines()[-1])


def test_a_python_that_lacks_something_is_told_before_anything_runs(
    check_cuda, monkeypatch, capsys
):
    monkeypatch.setattr(check_cuda, "NEEDED", ("pytest", "no_such_module"))
    monkeypatch.setattr(sys, "argv", ["check_cuda.py"])
    with pytest.raises(SystemExit):
        check_cuda.main()
    assert f"{sys.executable} has no no_such_module: pyproject.toml says" in capsys.readouterr().err


def test_what_needs_a_gpu_runs_first(tmp_path):
    test = tmp_path / "test_order.py"
    test.write_text(
        "import pytest\n"
        "def test_other(): pass\n"
        "@pytest.mark.skipif(False, reason='there is no GPU for torch')\n"
        "def test_gpu(): pass\n"
    )
    words = [sys.executable, "-m", "pytest", "-v", "-p", "tests.conftest", str(test)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert re.findall(r"::(\w+) PASSED", done.stdout) == ["test_gpu", "test_other"]
