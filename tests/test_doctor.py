"""`ffi-ext doctor`: what it says of a machine and of repositories, which it reads and does not run."""

from __future__ import annotations

import json
import platform
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy
import torch

from ffi_ext import cli
from ffi_ext.cli import survey_names
from ffi_ext.cuda import toolkit
from ffi_ext.legacy import old_errors

PACKAGES = Path(__file__).with_name("packages")


@pytest.fixture
def doctor(tmp_path, capsys):
    """doctor(): what it says of tmp_path, or of another folder. Its exit code is 1 if there are problems."""

    def report(folder=tmp_path):
        code = cli.main(["doctor", str(folder), "--json"])
        said = json.loads(capsys.readouterr().out)
        assert code == bool(said["problems"])
        return said

    return report


def test_doctor_on_this_machine(capsys):
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "Python:" in out and "torch:" in out and "nothing here is known to fail" in out


def test_doctor_reads_a_repository_without_running_it(tmp_path, doctor):
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
    report = doctor(folder)
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


def test_doctor_reads_the_tables_of_a_pyproject_toml(tmp_path, capsys, doctor, monkeypatch):
    table = '[[tool.ffi-ext.extension]]\nname = "pkg.k"\nheaders = "csrc/k.h"\n'
    (tmp_path / "pyproject.toml").write_text(table + 'sources = ["csrc/k.c", "csrc/more.c"]\n')
    (tmp_path / "csrc").mkdir()
    for name in ("k.h", "k.c"):
        (tmp_path / "csrc" / name).write_text("void THFloatTensor_frobnicate(void);\n")
    report = doctor()
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
    monkeypatch.setitem(old_errors.GONE, "ffi_ext_elsewhere", "3.99")
    assert cli.main(["doctor", str(tmp_path)]) == 1
    assert "Python 3.99 dropped its module ffi_ext_elsewhere" in capsys.readouterr().out


def test_doctor_tells_of_an_extension_that_python_2_alone_finds(tmp_path, doctor):
    (tmp_path / "ops").mkdir()
    (tmp_path / "ops" / "__init__.py").write_text("from _ops import *\n")
    (tmp_path / "ops" / "c.h").touch()
    (tmp_path / "build.py").write_text("create_extension('ops._ops', 'ops/c.h', [])\n")
    (problem,) = doctor()["problems"]
    assert problem.startswith(
        "ops/__init__.py:1: _ops is built as ops._ops: import it by that name"
    )
    assert problem.endswith("write `from ._ops import ...`")


def test_doctor_finds_what_is_missing(tmp_path, doctor):
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
    report = doctor()
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


def test_doctor_tells_of_modules_with_dots(tmp_path, doctor):
    calls = [f"self.add_module({name!r}, x)\n" for name in ("norm", "norm.1", "norm.2")]
    (tmp_path / "densenet.py").write_text("".join(calls))
    (tmp_path / "wgan.py").write_text("main.add_module('final.{0}.conv'.format(n), x)\n")
    dense, wgan = (note for note in doctor()["notes"] if "dots" in note)
    assert dense.startswith("densenet.py:2: 'norm.1': names of modules have no dots")
    assert wgan.startswith("wgan.py:1: 'final.{0}.conv'.format(n): names of modules")


def test_doctor_tells_of_submodules_that_were_not_cloned(tmp_path, doctor):
    listed = "".join(
        f'[submodule "{p}"]\n\tpath = {p}\n' for p in ("model_zoo", "egs/data", "there")
    )
    (tmp_path / ".gitmodules").write_text(listed)
    (tmp_path / "model_zoo").mkdir()
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "a.c").touch()
    (tmp_path / "main.py").write_text("import model_zoo\n")
    report = doctor()
    said = ": a git submodule, not here: git submodule update --init --recursive"
    assert report["problems"] == [f"model_zoo{said}"] and f"egs/data{said}" in report["notes"]
    assert report["needs"] == [] and "there:" not in "".join(report["notes"])


def test_doctor_asks_for_no_module_that_a_script_does_without(tmp_path, doctor):
    (tmp_path / "old.py").write_text(
        "import sys\n"
        "try:\n    import cPickle as pickle\nexcept ImportError:\n    import pickle\n"
        "try:\n    import no_such_logger\nexcept:\n    no_such_logger = None\n"
        "try:\n    import no_such_a\nexcept ImportError:\n    import no_such_b\n"
        "if sys.version_info[0] == 2:\n    from urllib2 import urlopen\nelse:\n    from urllib.request import urlopen\n"
        "try:\n    import no_such_c\nfinally:\n    pass\n"
        "from StringIO import StringIO\n"
    )
    report = doctor()
    assert report["needs"] == ["StringIO", "no_such_b", "no_such_c"]
    problems = "\n".join(report["problems"])
    assert "Python 2's module StringIO is io in Python 3: rewrite what imports it" in problems
    assert "pip install StringIO" not in problems


def test_doctor_finds_what_libraries_have_no_more(tmp_path, doctor, monkeypatch):
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
    report = doctor()
    python, numpy = platform.python_version(), np.__version__
    rewrite = "rewrite what needs it, or use a version that has it"
    assert report["problems"] == [
        f"old.py:11: numpy {numpy} has no numpy.no_such_place: {rewrite}",
        f"old.py:14: scipy {scipy.__version__} has no scipy.signal.hamming: write scipy.signal.windows.hamming",
        f"old.py:2: torch {torch.__version__} has no torch._thnn: {rewrite}",
        f"old.py:3: torch {torch.__version__} has no torch.nn._functions: {rewrite}",
    ]
    back = "`ffi-ext run` and install(autograd=True) bring it back"
    assert [note for note in report["notes"] if back in note] == [
        f"old.py:8: Python {python} has no collections.Mapping: write collections.abc.Mapping; {back}",
        f"more.py:2 (and 1 files more): numpy {numpy} has no numpy.float: write float; {back}",
        f"old.py:12: scipy {scipy.__version__} has no scipy.misc.imread: write imageio.v2.imread; {back}",
        f"old.py:4: torch {torch.__version__} has no torch._six: string_classes is (str, bytes), int_classes int, "
        f"container_abcs collections.abc, inf math.inf; {back}",
        f"old.py:9: torch {torch.__version__} has no torch.btrifact: write torch.linalg.lu_factor(A); {back}",
    ]


def test_doctor_tells_questions_for_the_class_of_a_tensor(tmp_path, doctor):
    """transducer, lgamma, torch-unique and torch-spline-conv of PyTorch 0.3 ask so, and take the wrong way or stop."""
    (tmp_path / "old.py").write_text(
        "a = type(x) is torch.FloatTensor\nb = x.__class__ not in [torch.cuda.IntTensor, torch.ByteTensor]\n"
        "c = type(x).__name__.replace('Tensor', '')\n"
        "d = type(x) is type(y) or type(x) == torch.Tensor or isinstance(x, torch.FloatTensor)\n"
        "e = type(self).__name__ + x.type() == torch.FloatTensor\n"
        "f = type(self).__name__.replace('Loss', ''), type(x) in (torch.Tensor, torch.FloatTensor)\n"
    )
    every = "every tensor is a torch.Tensor since PyTorch 0.4: ask isinstance(x, "
    several = "(torch.cuda.IntTensor, torch.ByteTensor)"
    assert doctor()["problems"] == [
        f"old.py:1: type(x) is torch.FloatTensor: {every}torch.FloatTensor)",
        f"old.py:2: x.__class__ not in [{several[1:-1]}]: {every}{several})",
        "old.py:3: type(x).__name__ is 'Tensor' for every tensor since PyTorch 0.4: take x.type(), 'torch.FloatTensor' "
        "still",
    ]


def test_doctor_knows_what_a_repository_makes_itself(tmp_path, doctor):
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
    report = doctor()
    unknown = "THDoubleTensor_cubic: not part of ffi_ext's TH"
    assert [p.split(": ", 1)[1][: len(unknown)] for p in report["problems"]] == [
        "THTensor_(cubic): not part of ffi_ext's TH and THC; write the"[: len(unknown)],
        unknown,
    ]
    # told of the torch before 2.7, and not of the repository
    assert not [n for n in report["notes"] if "tensors are read through Python" not in n]


def test_doctor_tells_samplings_whose_default_has_changed(tmp_path, doctor):
    (tmp_path / "old.py").write_text(
        "import torch.nn as nn, torch.nn.functional as F\ny = F.grid_sample(x, g)\nz = F.affine_grid(t, s)\n"
    )
    (tmp_path / "older.py").write_text("up = nn.Upsample(scale_factor=2, mode='bilinear')\n")
    (tmp_path / "new.py").write_text(
        "y = F.grid_sample(x, g, align_corners=False)\nz = nn.Upsample(scale_factor=2)\nw = grid_sample(x)\n"
        "v = F.upsample(x, 3, mode='nearest')\n"
    )
    ups, grids = sorted(n for n in doctor()["notes"] if "align_corners" in n)[::-1]
    assert ups.startswith("older.py:1: no align_corners: it was True in upsample")
    assert grids.startswith(
        "old.py:2: no align_corners: it was True in grid_sample and affine_grid"
    )


def test_doctor_counts_first_elements_of_data(tmp_path, doctor):
    (tmp_path / "old.py").write_text("loss.data[0], loss.data.cpu().numpy()[0]\n")
    (tmp_path / "new.py").write_text("first = batch.cpu().numpy()[0] + batch.detach().numpy()[0]\n")
    (note,) = [note for note in doctor()["notes"] if "before PyTorch 0.4" in note]
    assert "`.data[0]` (2 in old.py). They" in note


def test_doctor_tells_what_gives_other_numbers_today(tmp_path, doctor):
    (tmp_path / "old.py").write_text(
        "import torch.nn as nn, torch.nn.functional as F\n"
        "y = F.dropout(F.relu(x), 0.5)\nd = nn.PairwiseDistance(2)(a, b)\n"
        "if y.nonzero().size() and not d.size():\n    z = 1 if y.size() else 2\n"
        "if boxes == []:\n    boxes[:, 4]\n"
        "def advance(flat):\n    scores, best = flat.topk(5)\n    return best / flat.size(1)\n"
    )
    (tmp_path / "new.py").write_text(
        "a = [] == b or c == [1] or f() == [] or a == []\n"
        "y = F.dropout(x, 0.5, self.training) + F.dropout(x, training=True) + self.dropout(x)\n"
        "d = F.pairwise_distance(a, b, keepdim=True) + pairwise_distance(a, b)\n"
        "if y.size(0) or y.size() == d.size():\n    y = F.alpha_dropout(x)\n"
        "y = tf.nn.dropout(x, 0.5)\n"
    )
    told = (
        "`if x.size()` or",
        "`if x == []`",
        "dropout without",
        "pairwise_distance without",
        "a quotient of",
    )
    notes = [n for n in doctor()["notes"] if any(words in n for words in told)]
    starts = [f"old.py:{line}: {words}" for line, words in zip((4, 6, 2, 3, 10), told, strict=True)]
    assert sorted(n.startswith(s) for n in notes for s in starts) == [False] * 20 + [True] * 5


def test_doctor_passes_over_names_that_a_repository_brings_back_and_those_of_elsewhere(
    tmp_path, doctor, monkeypatch
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
    assert doctor()["problems"] == []


def test_doctor_knows_the_folders_of_a_repository_and_extensions_without_a_name(tmp_path, doctor):
    """Folders without __init__.py can be imported from the repository's own."""
    (tmp_path / "lib" / "nms").mkdir(parents=True)
    (tmp_path / "lib" / "nms" / "wrapper.py").write_text("from lib.nms.wrapped import nms\n")
    build = "from torch.utils.cpp_extension import BuildExtension\nBuildExtension(headers=[], sources=[])\n"
    (tmp_path / "build.py").write_text(build)
    assert doctor()["problems"] == [
        "build.py:2: the extension has no name: give it one, such as '_ext.my_lib'"
    ]


def test_doctor_tells_scripts_whose_nvcc_run_cannot_reach(tmp_path, doctor, monkeypatch):
    monkeypatch.setattr(toolkit, "nvcc", lambda: sys.executable)
    monkeypatch.setattr(toolkit, "supported", lambda compiler: (75, 90))
    line = " -c k.cu -gencode arch=compute_52,code=sm_52 -gencode arch=compute_90,code=sm_90\n"
    (tmp_path / "Makefile").write_text(
        f"NVCC := /usr/local/cuda-8.0/bin/nvcc\nk.o:\n\t$(NVCC){line}"
    )
    (tmp_path / "make.sh").write_text(f"CUDA_PATH=/usr/local/cuda\n${{CUDA_PATH}}/bin/nvcc{line}")
    (tmp_path / "rules.mk").write_text(f"main:\n\t/opt/cuda/bin/nvcc{line}\tpython build.py\n")
    (tmp_path / "stops.sh").write_text(f"set -ex\n/opt/cuda/bin/nvcc{line}python build.py\n")
    (tmp_path / "other.sh").write_text(f"# /usr/local/cuda/bin/nvcc\nnvcc{line}")
    report = doctor()
    gone = "architectures 52 are gone from this nvcc"
    stops = "which it calls as /opt/cuda/bin/nvcc: it stops at that line; run the build script alone, which makes "
    stops += "the objects itself"
    assert sorted(report["problems"]) == [
        f"Makefile: {gone}, which it calls as /usr/local/cuda-8.0/bin/nvcc: `ffi-ext run -- make NVCC=nvcc` calls "
        "ffi-ext's, which repairs the line",
        f"rules.mk: {gone}, {stops}",
        f"stops.sh: {gone}, {stops}",
    ]
    called, alone = (note for note in report["notes"] if gone in note)
    assert called.startswith(f"make.sh: {gone}, which it calls as ${{CUDA_PATH}}/bin/nvcc: ")
    assert alone == f"other.sh: {gone}: left out under `ffi-ext run`"


def test_doctor_tells_of_a_toolkit_that_may_not_go_with_torch(tmp_path, doctor, monkeypatch):
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "cuda_runtime.h").touch()
    (tmp_path / "include" / "cuda_runtime_api.h").write_text("#define CUDART_VERSION 12040\n")
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    monkeypatch.setattr(toolkit, "nvcc", lambda: sys.executable)
    monkeypatch.setattr(toolkit, "_torch_cuda", lambda: "13.0")
    said = f"the toolkit in {tmp_path} is CUDA 12.4, torch is built for CUDA 13.0: "
    assert f"; {said}" in doctor()["machine"]["nvcc"]


def test_doctor_tells_of_a_nvcc_that_is_not_there(tmp_path, doctor, monkeypatch):
    """Not of one that is only asked for; what a variable has behind it stays."""
    monkeypatch.setattr(toolkit, "nvcc", lambda: None)
    (tmp_path / "Makefile").write_text(
        "NVCC_COMPILE := /no/cuda/bin/nvcc -c -o # as CUDA 8 has it\nk.o:\n\t$(NVCC_COMPILE) $@ k.cu\n"
    )
    (tmp_path / "rules.mk").write_text("NVCC = $(CUDA_HOME)/bin/nvcc\n")
    (tmp_path / "make.sh").write_text(
        "set -e\nif [ -x /no/cuda/bin/nvcc ]; then nvcc -c k.cu; fi\n"
    )
    (tmp_path / "stops.sh").write_text("set -e\n/no/cuda/bin/nvcc -c k.cu -arch=sm_52\n")
    assert sorted(doctor()["problems"]) == [
        "Makefile: there is no /no/cuda/bin/nvcc, which it calls: `ffi-ext run -- make 'NVCC_COMPILE=nvcc -c -o'` "
        "calls ffi-ext's, which repairs the line",
        "stops.sh: there is no /no/cuda/bin/nvcc, which it calls: it stops at that line; run the build script "
        "alone, which makes the objects itself",
    ]


def test_doctor_finds_copies_of_torch_utils_ffi(tmp_path, doctor):
    (tmp_path / "ffiext.py").write_text(
        "import torch\ndef _wrap(f, *a):\n    return torch._C._safe_call(f, *a)\n"
    )
    report = doctor()
    assert "ffiext.py:3: this is a copy of torch.utils.ffi" in "\n".join(report["notes"])
    assert report["problems"] == []  # not what torch has no more


def test_doctor_finds_names_of_python_2(tmp_path, doctor):
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
    assert [p for p in doctor()["problems"] if "of Python 2" in p] == [
        "old.py:3: iteritems is of Python 2: write .items",
        "old.py:2: xrange is of Python 2: write range",
    ]
