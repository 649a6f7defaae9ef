"""torch.utils.ffi is back: repositories of 2017 build and run without an edited line."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import cffi
import pytest

import ffi_ext
from ffi_ext import cli
from ffi_ext.cli import enable, run
from tests.processes import python

HEADER = """
int my_lib_add_forward(THFloatTensor *input1, THFloatTensor *input2, THFloatTensor *output);
THFloatTensor *new_tensor(int a);
float int_to_float(int a);
void bad_func(THFloatTensor *tensor, int a, float b);
void fill_with(THFloatTensor *tensor, ...);
"""
SOURCE = """
#include <TH/TH.h>
int my_lib_add_forward(THFloatTensor *input1, THFloatTensor *input2, THFloatTensor *output)
{
    if (!THFloatTensor_isSameSizeAs(input1, input2))
        return 0;
    THFloatTensor_resizeAs(output, input1);
    THFloatTensor_cadd(output, input1, 1.0, input2);
    return 1;
}
THFloatTensor *new_tensor(int a)
{
    THFloatTensor *t = THFloatTensor_newWithSize2d(a, a);
    THFloatTensor_fill(t, a);
    return t;
}
float int_to_float(int a) { return a; }
void bad_func(THFloatTensor *tensor, int a, float b)
{
    THFloatTensor_mul(tensor, tensor, a);
    THArgCheck(a > 100, 2, "must be large");
}
void fill_with(THFloatTensor *tensor, ...)
{
    va_list rest;
    va_start(rest, tensor);
    THFloatTensor_fill(tensor, va_arg(rest, double));
    va_end(rest);
}
"""
BUILD = """
import os
import torch
from torch.utils.ffi import create_extension

sources = ['src/my_lib.c']
headers = ['src/my_lib.h']
defines = []
with_cuda = False
if torch.cuda.is_available():
    print('Including CUDA code.')

ffi = create_extension(
    '_ext.my_lib',
    headers=headers,
    sources=sources,
    define_macros=defines,
    relative_to=__file__,
    with_cuda=with_cuda
)

if __name__ == '__main__':
    ffi.build()
"""
TEST = """
import torch
from _ext import my_lib
out = torch.FloatTensor()
assert my_lib.my_lib_add_forward(torch.ones(2, 3), torch.ones(2, 3) * 2, out) == 1
assert out.tolist() == [[3.0] * 3] * 2
assert my_lib.my_lib_add_forward(torch.ones(2), torch.ones(3), out) == 0
assert torch.equal(my_lib.new_tensor(4), torch.ones(4, 4) * 4)
assert type(my_lib.int_to_float(5)) is float
t = torch.ones(2, 2)
try:
    my_lib.bad_func(t, 2, 1.5)
except torch.FatalError as error:
    assert 'invalid argument 2: must be large at ' in str(error), error
else:
    raise AssertionError('no error')
assert t.tolist() == [[2.0] * 2] * 2
my_lib.fill_with(t, my_lib._ffi.cast('double', 5))
assert t.tolist() == [[5.0] * 2] * 2
print('fine')
"""
OLD_INIT = """
from torch.utils.ffi import _wrap_function
from ._my_lib import lib as _lib, ffi as _ffi

__all__ = []
def _import_symbols(locals):
    for symbol in dir(_lib):
        fn = getattr(_lib, symbol)
        locals[symbol] = _wrap_function(fn, _ffi)
        __all__.append(symbol)

_import_symbols(locals())
"""


@pytest.fixture
def repository(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "my_lib.h").write_text(HEADER)
    (tmp_path / "src" / "my_lib.c").write_text(SOURCE)
    (tmp_path / "build.py").write_text(BUILD)
    (tmp_path / "test.py").write_text(TEST)
    return tmp_path


def ffi_ext_command(folder, *arguments):
    path = str(Path(ffi_ext.__file__).parents[1])
    return python("-m", "ffi_ext", *arguments, cwd=folder, PYTHONPATH=path)


def built_and_tested(repository, build):
    """Runs a build script and, in the same Python, the test. Returns what was said of the build."""
    (repository / "build.py").write_text(build + TEST)
    done = ffi_ext_command(repository, "run", "build.py")
    assert done.returncode == 0 and done.stdout.endswith("fine\n"), done.stderr
    return done.stderr


@pytest.fixture
def package(repository):
    """The repository's built package."""
    ffi_ext.create_extension(
        "_ext.my_lib",
        "src/my_lib.h",
        "src/my_lib.c",
        relative_to=repository / "build.py",
        verbose=False,
    ).build()
    return repository / "_ext" / "my_lib"


def test_scripts_that_compile_for_themselves_find_the_headers(tmp_path):
    (tmp_path / "own.c").write_text(
        "#include <TH/TH.h>\n#include <THTensor.h>\nTHFloatTensor *t;\n"
    )
    (tmp_path / "make.sh").write_text("cc -I/nowhere/torch/lib/include -c own.c -o own.o\n")
    done = ffi_ext_command(tmp_path, "run", "--", "sh", "make.sh")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "own.o").exists()


def test_a_package_generated_years_ago_works(repository, package):
    (package / "__init__.py").write_text(OLD_INIT)
    ran = ffi_ext_command(repository, "run", "test.py")
    assert ran.stdout == "fine\n", ran.stderr


def test_a_package_generated_years_ago_takes_no_tensor_for_a_number(repository, package):
    """The original's TypeError: converted, [1.5] would be 1."""
    (package / "__init__.py").write_text(OLD_INIT)
    (repository / "test.py").write_text("""
import torch
from _ext import my_lib
t = torch.ones(2)
for f, arguments in (
    (my_lib.int_to_float, (torch.tensor([1.5]),)),
    (my_lib.int_to_float, (torch.ones(2),)),
    (my_lib.bad_func, (t, 200, torch.tensor(1.5))),
):
    try:
        print(f(*arguments))
    except TypeError as error:
        assert "take the number out with .item()" in str(error), error
print(my_lib.int_to_float(torch.tensor(3).item()), t.tolist())
""")
    ran = ffi_ext_command(repository, "run", "test.py")
    assert ran.stdout == "3.0 [1.0, 1.0]\n", ran.stderr


def test_a_built_package_may_be_renamed(repository, package):
    (repository / "ops").mkdir()
    package.rename(repository / "ops" / "adding")
    test = TEST.replace("from _ext import my_lib", "from ops import adding as my_lib")
    (repository / "test.py").write_text(test)
    ran = ffi_ext_command(repository, "run", "test.py")
    assert ran.stdout == "fine\n", ran.stderr


def test_keywords_and_iterables_as_lenient_as_the_originals(repository):
    """'langauge' stands in a published script; Python 2's map and filter gave lists."""
    build = BUILD.replace(
        "headers=headers,", "headers=map(str, headers), langauge='c++', language='cc',"
    )
    build = build.replace(
        "sources=sources,", "sources=filter(None, sources), include_dirs={'src'},"
    )
    told = built_and_tested(repository, build)
    assert "ignores the unknown keyword 'langauge' (did you mean 'language'?)" in told
    assert "ignores language='cc', which is 'c' or 'c++'" in told


def test_flags_are_what_python_takes_for_true(repository):
    """As of `with_cuda=os.environ.get("CUDA_HOME")`."""
    given = "headers=headers,\n    sources=sources,"
    built_and_tested(repository, BUILD.replace(given, "headers, sources, None, package=0,"))


def test_sources_are_of_the_language_that_their_suffixes_say(repository):
    """language="c++" had distutils link as C++, and compile no C as that."""
    with (repository / "src" / "my_lib.c").open("a") as source:
        source.write("#include <stdlib.h>\nint *of_c(int class) { return malloc(class); }\n")
    built_and_tested(
        repository, BUILD.replace("headers=headers,", "headers=headers, language='c++',")
    )


SETUP = """
from setuptools import setup
setup(name="old", version="0.1", py_modules=["old"], setup_requires={requires})
"""


@pytest.mark.parametrize(
    ("requires", "said"),
    [
        (["torch==0.3.1", "cffi"], ["torch==0.3.1: "]),
        ("torch==0.3.1\ncffi>=99\n", ["torch==0.3.1: ", "cffi>=99: "]),
    ],
)
def test_what_setup_requires_is_not_fetched_where_it_is_here(tmp_path, requires, said):
    (tmp_path / "setup.py").write_text(SETUP.format(requires=repr(requires)))
    (tmp_path / "old.py").touch()
    done = ffi_ext_command(tmp_path, "run", "setup.py", "build")
    assert done.returncode == 0 and (tmp_path / "build" / "lib" / "old.py").exists(), done.stderr
    found = [
        line for line in done.stderr.splitlines() if line.startswith("ffi_ext: setup_requires")
    ]
    assert [
        line.removeprefix("ffi_ext: setup_requires ")[: len(s)]
        for line, s in zip(found, said, strict=True)
    ] == said


def test_a_setup_that_does_not_import_distutils_ccompiler(tmp_path):
    (tmp_path / "setup.py").write_text(
        "from setuptools import distutils\nprint(distutils.ccompiler.CCompiler.compile.__name__)\n"
    )
    done = ffi_ext_command(tmp_path, "run", "setup.py")
    assert done.stdout == "compile\n", done.stderr


def test_what_is_not_here_is_left_to_setuptools():
    from setuptools.dist import Distribution

    original, asked = Distribution.fetch_build_eggs, []
    Distribution.fetch_build_eggs = lambda self, requires: asked.append(requires)
    ffi_ext.install()
    try:
        Distribution().fetch_build_eggs(["torch==0.1", "no-such-package-anywhere>=2"])
        assert asked == [["no-such-package-anywhere>=2"]]
    finally:
        ffi_ext.uninstall()
        Distribution.fetch_build_eggs = original


def test_build_extension_called_as_create_extension(repository):
    """What forums told scripts to write for PyTorch 1.0: a class of setuptools with create_extension's arguments."""
    build = BUILD.replace(
        "torch.utils.ffi import create_extension",
        "torch.utils.cpp_extension import BuildExtension as create_extension",
    )
    said = built_and_tested(repository, build)
    assert "BuildExtension(name, headers, ...) is create_extension here" in said


def test_build_extension_stays_the_command_that_it_is():
    from setuptools.dist import Distribution
    from torch.utils import cpp_extension

    original = cpp_extension.BuildExtension
    for _ in range(2):
        ffi_ext.install()
        try:
            ours = cpp_extension.BuildExtension
            assert ours is not original and issubclass(ours, original)
            assert isinstance(ours(Distribution()), original)
            command = ours.with_options(use_ninja=False)(Distribution())
            assert isinstance(command, ours) and command.use_ninja is False
            with pytest.raises(TypeError, match="missing 1 required positional argument: 'name'"):
                ours(headers=["a.h"], sources=["a.c"])
        finally:
            ffi_ext.uninstall()
        assert cpp_extension.BuildExtension is original


def test_asserts_are_left_out_as_by_distutils(repository):
    """Published sources have asserts on variables that were renamed since."""
    source = "#include <assert.h>\n" + SOURCE.replace(
        "{ return a; }", "{ assert(gone); return a; }"
    )
    (repository / "src" / "my_lib.c").write_text(source)
    built_and_tested(repository, BUILD)
    undefined = BUILD.replace("define_macros=defines", "undef_macros=['NDEBUG']")
    (repository / "build.py").write_text(undefined)
    built = ffi_ext_command(repository, "run", "build.py")
    assert built.returncode == 1 and "'gone' undeclared" in built.stderr


def test_a_misspelt_function_of_th_is_named_with_the_nearest(repository):
    source = SOURCE.replace("THFloatTensor_cadd(", "THFloatTensor_caddd(")
    (repository / "src" / "my_lib.c").write_text(source)
    built = ffi_ext_command(repository, "run", "build.py")
    assert built.returncode == 1
    assert "THFloatTensor_caddd (did you mean THFloatTensor_cadd?)" in built.stderr


def test_every_spelling_of_the_import(monkeypatch):
    for name in [name for name in sys.modules if name == "torch.utils.ffi"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ImportError):
        import torch.utils.ffi
    ffi_ext.install()
    ffi_ext.install()
    try:
        import torch.utils.ffi
        from torch.utils import ffi
        from torch.utils.ffi import _wrap_function, create_extension

        assert ffi.create_extension is create_extension
        assert "ffi_ext's" in create_extension.__doc__
        assert torch.utils.ffi._wrap_function is _wrap_function
        assert ffi._cffi_to_torch["struct THCudaLongStorage"] == "torch.cuda.LongStorage"
        named = ffi._torch_to_cffi[torch.ones(2).type()] + "*"
        c = cffi.FFI()
        c.cdef(ffi._typedefs)
        assert c.typeof(named) is c.typeof("THFloatTensor *")
        assert "typedef struct THFloatTensor THFloatTensor;\n" in ffi._typedefs
        assert _wrap_function(3, None) == 3
        with pytest.raises(TypeError, match="a function of a cffi module's lib"):
            _wrap_function(print, None)
        source, includes, libraries = ffi._setup_wrapper(True)  # a Makefile asks for its -I words
        assert source.count("#include") == 2 and isinstance(libraries, list)
        assert any((Path(folder) / "THC" / "THC.h").is_file() for folder in includes)
        with pytest.raises(AttributeError, match="_build_extension"):
            _ = ffi._build_extension
    finally:
        ffi_ext.uninstall()
    assert not hasattr(torch.utils, "ffi")
    with pytest.raises(ImportError):
        import torch.utils.ffi  # noqa: F811


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("pkg_resources", "pip install 'setuptools<81'"),
        ("imp", "Python 3.12 dropped its module imp: "),
    ],
)
def test_a_module_that_was_dropped_is_told(tmp_path, module, said):
    (tmp_path / f"{module}.py").write_text(f"raise ModuleNotFoundError('gone', name={module!r})\n")
    (tmp_path / "build.py").write_text(f"import {module}\n")
    done = ffi_ext_command(tmp_path, "run", "build.py")
    assert done.returncode == 1 and said in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("import cPickle", "Python 2's module cPickle is pickle in Python 3"),
        ("from torch._utils import _accumulate", "this is a copy of torch.utils.ffi"),
        ("import torch; torch._C._safe_call(print)", "this is a copy of torch.utils.ffi"),
        ("import torch; {1: 'a'}[torch.arange(2).max()]", "names[index.max().item()]"),
        ("import torch; torch.ones(2, 0).max(1)", "write `if x.numel():`"),
        ("import numpy; assert not numpy.ones((3, 5)) == []", "ask `if len(x) == 0`"),
        ("import torch; torch.ones(2, 3).max(1)[0].squeeze(1)", "pass keepdim=True"),
        ("import torch; torch.ones(1, 1).squeeze().unsqueeze(2)", "write .view(-1), or squeeze(1)"),
        ("import numpy; numpy.ones((2, 2))[[slice(None), slice(0, 1)]]", "x[tuple(index)]"),
        ("import numpy; numpy.ones(2, numpy.uint8) * 256", "x.astype(int) * 256"),
        ("import torch; torch.ones(2).expand(2, 3)", "pass keepdim=True"),
        ("raise KeyError('bn.num_batches_tracked')", "pass over the keys that end in num_batches_"),
        (
            "import torch; torch.save(torch.nn.Linear(1, 1), 'm'); torch.load('m', weights_only=True)",
            "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1",
        ),
    ],
)
def test_what_else_an_old_script_asks_for_is_told(tmp_path, line, said):
    (tmp_path / "old.py").write_text(line)
    done = ffi_ext_command(tmp_path, "run", "old.py")
    assert done.returncode == 1 and said in done.stderr.splitlines()[-1]


def test_an_error_that_ends_a_thread_is_told(tmp_path):
    """As of SO-Net, which goes on without what the thread had to compute."""
    text = "import threading, torch\nthreading.Thread(target=torch.ones(2, 0).max, args=(1,)).start()\n"
    (tmp_path / "old.py").write_text(text)
    done = ffi_ext_command(tmp_path, "run", "old.py")
    assert done.returncode == 0 and "write `if x.numel():`" in done.stderr.splitlines()[-1]


def test_a_module_that_python_2_found_beside_the_file_is_told(tmp_path):
    package = tmp_path / "rpn"
    package.mkdir()
    (package / "layer.py").write_text("x = 1\n")
    (package / "net.py").write_text("import os\nfrom layer import x\n")
    (tmp_path / "train.py").write_text("import rpn.net\n")
    done = ffi_ext_command(tmp_path, "run", "train.py")
    said = done.stderr.splitlines()[-1]
    assert said.startswith(
        f"ffi_ext: layer lies beside {package / 'net.py'}, where Python 2 alone looks"
    )
    assert "in line 2 write `from .layer import ...`" in said and said.endswith(
        f"PYTHONPATH={package}"
    )
    (package / "layer.py").unlink()
    assert "lies beside" not in ffi_ext_command(tmp_path, "run", "train.py").stderr
    (package / "__init__.py").touch()
    (tmp_path / "train.py").write_text("import rpn.nothing\n")  # rpn itself was found
    done = ffi_ext_command(tmp_path, "run", "train.py")
    assert "rpn.nothing" in done.stderr and "lies beside" not in done.stderr


@pytest.mark.parametrize(
    "line",
    [
        "import torch; torch.zeros(2, 6 / 2)",
        "range(6 / 2)",
        "import torch; torch.ones(3)[2 / 2]",
        "import torch; torch.ones(3)[torch.arange(2) / 2]",
        "import torch; torch.nn.Embedding(3, 2)(torch.arange(2) / 2)",
        "import torch; torch.ones(3).index_select(0, torch.arange(2) / 2)",
    ],
)
def test_a_whole_number_that_became_a_float_is_told(tmp_path, line):
    (tmp_path / "old.py").write_text(line)
    done = ffi_ext_command(tmp_path, "run", "old.py")
    assert done.returncode == 1 and "Python 2's / of whole numbers is //" in done.stderr


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("import numpy\nnumpy.array([[1], [2, 3]])", "dtype=object"),
        (
            "import torch\nw = torch.ones(1, requires_grad=True)\n"
            "loss = (w * w).sum()\nwith torch.no_grad():\n    w += 1\nloss.backward()",
            "call step() behind both",
        ),
        ("import torch\nlist(torch.ones(1, 1).squeeze())", "write .view(-1)"),
        ("import torch\ntorch.arange(1, 3).dot(torch.ones(2))", "torch.arange(1.0, n)"),
        ("import torch\ntorch.arange(2).view(1, 2).mm(torch.ones(2, 2))", "torch.arange(1.0, n)"),
        ("def f():\n    yield 1\n    raise StopIteration\nlist(f())", "`return` since Python 3.7"),
    ],
)
def test_what_was_not_noticed_is_told(tmp_path, lines, told):
    (tmp_path / "old.py").write_text(lines)
    done = ffi_ext_command(tmp_path, "run", "old.py")
    assert done.returncode == 1 and told in done.stderr.splitlines()[-1]


def test_another_type_error_is_not_python_2s(tmp_path):
    (tmp_path / "other.py").write_text("raise TypeError('expected int, got str')\n")
    assert "Python 2" not in ffi_ext_command(tmp_path, "run", "other.py").stderr


def test_worker_processes_are_forked(tmp_path):
    """Python 3.14 would import the script again, which has no `if __name__`, and pickle the lambda."""
    (tmp_path / "train.py").write_text(
        "from torch.utils.data import DataLoader\n"
        "loader = DataLoader(list(range(8)), batch_size=4, num_workers=2, collate_fn=lambda b: 2 * sum(b))\n"
        "print(list(loader))\n"
    )
    assert ffi_ext_command(tmp_path, "run", "train.py").stdout == "[12, 44]\n"
    (tmp_path / "spawn.py").write_text(
        "import multiprocessing\n"
        "multiprocessing.set_start_method('spawn')\n"
        "print(multiprocessing.get_start_method())\n"
    )
    assert ffi_ext_command(tmp_path, "run", "spawn.py").stdout == "spawn\n"


@pytest.mark.skipif(shutil.which("cmake") is None, reason="there is no cmake on this machine")
def test_projects_for_an_old_cmake_are_configured(tmp_path):
    """CMake 4 refuses them, unless it is told not to."""
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 2.8)\nproject(old NONE)\n"
        'message(STATUS "at least $ENV{CMAKE_POLICY_VERSION_MINIMUM}")\n'
    )
    done = ffi_ext_command(tmp_path, "run", "--", "cmake", ".")
    assert done.returncode == 0, done.stderr
    assert "at least 3.5\n" in done.stdout


def test_openmps_header_within_extern_c_in_a_scripts_own_lines(tmp_path):
    (tmp_path / "a.cpp").write_text('extern "C" {\n#include <omp.h>\nomp_lock_t lock;\n}\n')
    done = ffi_ext_command(tmp_path, "run", "--", "g++", "-std=c++11", "-c", "a.cpp")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.o").exists()


def test_exit_codes_and_messages(tmp_path):
    (tmp_path / "fails.py").write_text("import sys; sys.exit(7)")
    assert ffi_ext_command(tmp_path, "run", "fails.py").returncode == 7
    done = ffi_ext_command(tmp_path, "run", "missing.py")
    assert done.returncode == 2 and "there is no script 'missing.py'\n" in done.stderr
    assert "run -- make" in ffi_ext_command(tmp_path, "run", "make").stderr
    done = ffi_ext_command(tmp_path, "run", "--", "no-such-command")
    assert done.returncode == 2 and "command not found: no-such-command" in done.stderr


def test_a_crash_in_c_is_told_with_its_place_in_the_script(tmp_path):
    (tmp_path / "crash.py").write_text("import ctypes\n\nctypes.string_at(0)\n")
    done = ffi_ext_command(tmp_path, "run", "crash.py")
    assert done.returncode == 128 + signal.SIGSEGV
    assert 'crash.py", line 3 in <module>' in done.stderr
    assert "crash.py was ended by SIGSEGV, an error in its C code: build that with" in done.stderr


def test_options_before_the_script_are_pythons(tmp_path):
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "train.py").write_text(
        "import sys\nfrom torch.utils.ffi import create_extension\nprint(__package__, sys.argv[1:])\n"
    )
    done = ffi_ext_command(tmp_path, "run", "-m", "tools.train", "--lr", "0.1", "-h")
    assert done.stdout == "tools ['--lr', '0.1', '-h']\n", done.stderr
    done = ffi_ext_command(tmp_path, "run", "-W", "error", "tools/train.py")
    assert done.returncode == 0 and done.stdout.endswith(" []\n"), done.stderr
    done = ffi_ext_command(tmp_path, "run", "--lr", "0.1", "tools/train.py")
    assert done.returncode == 2 and re.search("[Uu]nknown option:? --lr", done.stderr)
    assert ffi_ext_command(tmp_path, "run", "-h").stdout.startswith("usage: ffi-ext run SCRIPT")


def test_a_shell_script_is_not_given_to_python(tmp_path):
    (tmp_path / "make.sh").write_text("cd src\nmake\n")
    done = ffi_ext_command(tmp_path, "run", "make.sh", "two words")
    assert done.returncode == 2
    assert "this runs it: ffi-ext run -- sh make.sh 'two words'\n" in done.stderr
    (tmp_path / "install").write_text("#!/usr/bin/env bash\necho $0\n")
    done = ffi_ext_command(tmp_path, "run", "install")
    assert "ffi-ext run -- /usr/bin/env bash install" in done.stderr
    (tmp_path / "Demo.ipynb").write_text('{"cells": null}')
    done = ffi_ext_command(tmp_path, "run", "Demo.ipynb")
    notebook = "run -- jupyter nbconvert --to notebook --execute Demo.ipynb"
    assert done.returncode == 2 and notebook in done.stderr
    (tmp_path / "tool").write_text("#!/usr/bin/env python2\nprint(3)\n")
    assert ffi_ext_command(tmp_path, "run", "tool").stdout == "3\n"


SAVES = """
import signal, time

def ended(number, frame):
    raise KeyboardInterrupt

signal.signal(signal.SIGTERM, ended)
try:
    print("training", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    time.sleep(0.5)
    open("saved", "w").close()
    print("saved")
"""


def test_a_script_has_the_time_that_it_takes_to_save_its_work_after_ctrl_c(tmp_path):
    (tmp_path / "train.py").write_text(SAVES)
    child, terminal = pty.fork()
    if child == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background job ignores it
        os.chdir(tmp_path)
        os.execv(sys.executable, [sys.executable, "-m", "ffi_ext", "run", "train.py"])
    shown = b""
    try:
        while b"training" not in shown:
            shown += os.read(terminal, 4096)
        os.write(terminal, b"\x03")
        with contextlib.suppress(OSError):  # all have ended
            while more := os.read(terminal, 4096):
                shown += more
    finally:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, shown
        os.close(terminal)
    assert (tmp_path / "saved").exists()  # a terminal's last words may be lost with it


def test_what_ends_the_runner_ends_the_script(tmp_path):
    """As `kill`, `docker stop` and the like do; the script went on, as nobody's child."""
    (tmp_path / "train.py").write_text(SAVES)
    runner = subprocess.Popen(
        [sys.executable, "-m", "ffi_ext", "run", "train.py"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    with runner:
        assert runner.stdout is not None and runner.stdout.readline() == "training\n"
        runner.terminate()
        assert runner.stdout.read() == "saved\n"
    assert runner.returncode == 0
    assert not list(tmp_path.glob("ffi_ext-run-*"))


def test_the_users_own_sitecustomize_runs(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text("import builtins; builtins.own = 42")
    (tmp_path / "script.py").write_text("from torch.utils.ffi import create_extension; print(own)")
    path = os.pathsep.join([str(tmp_path), str(Path(ffi_ext.__file__).parents[1])])
    done = python("-m", "ffi_ext", "run", "script.py", cwd=tmp_path, PYTHONPATH=path)
    assert done.stdout == "42\n", done.stderr


def test_enable_and_disable(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(enable, "_hook", lambda: tmp_path / enable.HOOK)
    assert cli.main(["enable"]) == 0
    program = (
        f"import site; site.addsitedir({str(tmp_path)!r}); import sys; print('torch' in sys.modules); "
        "import torch.utils.ffi; print(torch.utils.ffi.create_extension.__module__)"
    )
    done = python("-c", program, PYTHONPATH=str(Path(ffi_ext.__file__).parents[1]))
    assert done.stdout.split() == ["False", "torch.utils.ffi"], done.stderr
    assert cli.main(["disable"]) == 0
    assert list(tmp_path.iterdir()) == []
    assert cli.main(["disable"]) == 0
    assert "was not enabled" in capsys.readouterr().out


def test_pip_builds_without_isolation():
    command = run._without_isolation(["pip", "install", "."])
    assert command == ["pip", "install", "--no-build-isolation", "."]
    command = run._without_isolation(["python", "-m", "pip", "-q", "wheel", "."])
    assert command == ["python", "-m", "pip", "-q", "wheel", "--no-build-isolation", "."]
    command = run._without_isolation(["python3", "-m", "build", "--wheel"])
    assert command == ["python3", "-m", "build", "--no-isolation", "--wheel"]
    for other in (["make", "install"], ["build", "wheel"], ["pip", "list"], ["pip"], []):
        assert run._without_isolation(other) == other


def test_pip_and_uv_in_a_script_build_without_isolation(tmp_path):
    """Both read it from the environment, pip inverted: 0 and false switch isolation off."""
    (tmp_path / "make.sh").write_text(
        "python -m pip config debug\necho uv $UV_NO_BUILD_ISOLATION\n"
    )
    done = ffi_ext_command(tmp_path, "run", "--", "sh", "make.sh")
    assert "PIP_NO_BUILD_ISOLATION='0'" in done.stdout, done.stdout + done.stderr
    assert "uv 1\n" in done.stdout


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_a_build_script_appends_to_the_package_stays(repository, when):
    build = (  # without torch, whose import takes longer than all else
        "from ffi_ext import create_extension\n"
        "ffi = create_extension('_ext.my_lib', 'src/my_lib.h', 'src/my_lib.c', relative_to=__file__)\n"
    )
    append = "open('_ext/my_lib/__init__.py', 'a').write('\\nEXTRA = [int_to_float(3)]\\n')\n"
    steps = [append, "ffi.build()\n"] if when == "before" else ["ffi.build()\n", append]
    (repository / "build.py").write_text(build + "".join(steps))
    for _ in range(2):
        assert python("build.py", cwd=repository).returncode == 0
        text = (repository / "_ext/my_lib/__init__.py").read_text()
        assert text.count("EXTRA") == 1 and text.count("_bind(") == 1
    done = python("-c", "from _ext import my_lib; print(my_lib.EXTRA)", cwd=repository)
    assert done.stdout.strip() == "[3.0]", done.stderr
