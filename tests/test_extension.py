"""create_extension: names, paths, keywords, packages, and the arguments it refuses."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import warnings
from pathlib import Path

import cffi
import pytest
import torch

import ffi_ext
from ffi_ext import create_extension
from tests.binaries import OWN_SUFFIX, SUFFIX
from tests.processes import python

HEADER = "int twice(int x);\n"
SOURCE = "int twice(int x) { return 2 * x; }\n"


def imported() -> list[str]:
    return [name for name in sys.modules if name.partition(".")[0] == "_ext"]


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "lib.h").write_text(HEADER)
    (tmp_path / "lib.c").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in imported():
        monkeypatch.delitem(sys.modules, name)  # this project's own _ext; it comes back afterwards
    yield tmp_path
    for name in imported():
        del sys.modules[name]


def create(project, name="_ext.lib", headers="lib.h", sources="lib.c", **kwargs):
    kwargs.setdefault("relative_to", str(project / "build.py"))
    kwargs.setdefault("verbose", False)
    return create_extension(name, headers, sources, **kwargs)


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def load(name):
    importlib.invalidate_caches()
    for known in list(sys.modules):
        if known == name or known.startswith(name.split(".")[0] + "."):
            del sys.modules[known]
    sys.modules.pop(name.split(".")[0], None)
    return importlib.import_module(name)


@pytest.mark.parametrize("name", ["_ext.lib", "top", "deep.er.still.lib", ".from_dot.lib"])
def test_names_make_nested_packages(project, name):
    before = files(project)
    ffi = create(project, name)
    packages = files(project) - before  # build scripts may append to them before they build
    assert all(Path(path).name == "__init__.py" for path in packages), packages
    assert isinstance(ffi, cffi.FFI)
    ffi.build()
    name = name.lstrip(".")
    folder = Path(*name.split("."))
    last = folder.name
    made = {str(folder / f) for f in ("__init__.py", "__init__.pyi", f"_{last}{SUFFIX}")}
    assert made <= files(project)
    assert load(name).twice(21) == 42


def test_no_module_of_python_is_replaced(project):
    before = {name: sys.modules[name] for name in ("_io", "_random")}
    for name in before:
        create(project, f"_ext.{name[1:]}").build()
        assert load(f"_ext.{name[1:]}").twice(2) == 4
    assert all(sys.modules[name] is module for name, module in before.items())
    assert not any(name.startswith("_random.") for name in sys.modules)


@pytest.mark.parametrize(
    "own", ["typedef enum { false, true } bool;", "typedef _Bool bool;", "#define bool int"]
)
def test_a_header_with_its_own_bool(project, own):
    (project / "lib.h").write_text(f"{own}\nint twice(bool b);\n")
    (project / "lib.c").write_text(f"{own}\nint twice(bool b) {{ return 2 * b; }}\n")
    create(project).build()
    assert load("_ext.lib").twice(1) == 2


def test_several_extensions_share_a_package_that_keeps_its_text(project):
    (project / "_ext").mkdir()
    (project / "_ext" / "__init__.py").write_text("KEPT = 1\n")
    create(project, "_ext.one").build()
    create(project, "_ext.two").build()
    assert load("_ext.one").twice(1) == 2
    from _ext import KEPT, two

    assert (KEPT, two.twice(2)) == (1, 4)


def test_relative_to_is_a_file_and_a_directory_means_its_parent(project, monkeypatch):
    create(project, "as_dir", relative_to=str(project / "sub")).build()
    assert (project / "as_dir" / "__init__.py").exists()
    monkeypatch.chdir(project)
    create_extension("from_cwd", ["lib.h"], ["lib.c"], verbose=False).build()
    assert load("from_cwd").twice(4) == 8


def test_a_reload_after_a_build_says_that_the_old_binary_stays(project):
    create(project, "again").build()
    module = load("again")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        importlib.reload(module)
    (project / "lib.c").write_text("int twice(int x) { return 3 * x; }\n")
    create(project, "again").build()
    with pytest.warns(UserWarning, match="again was built again .*: restart Python"):
        importlib.reload(module)
    assert module.twice(2) == 4


def test_a_script_written_on_windows_may_have_backslashes_in_its_paths(project):
    (project / "src" / "inc").mkdir(parents=True)
    (project / "src" / "inc" / "deep.h").write_text("#define DEEP 100\n")
    (project / "src" / "k.h").write_text("int k(int x);\n")
    (project / "src" / "k.c").write_text('#include "deep.h"\nint k(int x) { return x + DEEP; }\n')
    paths = dict(headers="src\\k.h", sources=["src\\k.c"], include_dirs=[".\\src\\inc"])
    create(project, "from_windows", **paths).build()
    assert load("from_windows").k(1) == 101
    with pytest.raises(FileNotFoundError, match=r"'src\\\\m.c' does not exist .* did you mean k.c"):
        create(project, "from_windows", **paths | dict(sources=["src\\m.c"]))


def test_empty_lists_give_an_empty_module(project):
    create(project, "empty_ext", [], []).build()
    assert load("empty_ext").__all__ == []


def test_keywords_of_a_setuptools_extension(project):
    (project / "inc").mkdir()
    (project / "inc" / "deep.h").write_text("#define DEEP 100\n")
    (project / "other.c").write_text("int other(void) { return 5; }\n")
    subprocess.run(["gcc", "-fPIC", "-c", "other.c", "-o", "other.o"], cwd=project, check=True)
    (project / "k.h").write_text("int k(int x); double root(double x);\n")
    (project / "k.c").write_text(
        '#include "deep.h"\n#include <math.h>\nint other(void);\n'
        "#ifdef GONE\n#error GONE is defined\n#endif\n"
        "int k(int x) { return x + DEEP + VALUE + other(); }\n"
        "double root(double x) { return sqrt(x) * SCALE; }\n"
    )
    create(
        project,
        "k_ext",
        "k.h",
        "k.c",
        include_dirs=["inc"],
        define_macros=[("VALUE", "1000"), ("GONE", None)],
        undef_macros=["GONE"],
        extra_objects=["other.o"],
        libraries=["m"],
        library_dirs=["."],
        runtime_library_dirs=[".", "$ORIGIN/../lib"],
        extra_compile_args={"cc": ["-DSCALE=2.0"], "cxx": []},
        extra_link_args=["-Wl,-O1"],
        depends=["lib.h"],
        language="c",
        py_limited_api=True,
    ).build()
    module = load("k_ext")
    assert module.k(1) == 1106
    binary = Path(module.__file__).with_name(f"_k_ext{OWN_SUFFIX}").read_bytes()
    assert f"{project}:$ORIGIN/../lib\0".encode() in binary
    assert module.root(9.0) == 6.0


@pytest.mark.parametrize("standard", ["-std=c++17", "-std=gnu99"])
def test_each_language_gets_its_standard_alone(project, standard):
    """gcc warns of the other's, which -Werror makes an error, and clang takes none."""
    (project / "both.h").write_text("int twice(int x);\nint thrice(int x);\n")
    (project / "thrice.cpp").write_text('extern "C" int thrice(int x) { return 3 * x; }\n')
    args = [standard, "-Werror"]
    sources = ["lib.c", "thrice.cpp"]
    create(project, "_ext.both", "both.h", sources, extra_compile_args=args).build()
    both = load("_ext.both")
    assert (both.twice(2), both.thrice(2)) == (4, 6)


def test_cxx_sources_throw_into_python(project):
    (project / "cc.h").write_text(
        '#ifdef __cplusplus\nextern "C" {\n#endif\nvoid boom(int n);\nint alive(void);\n#ifdef __cplusplus\n}\n#endif\n'
    )
    (project / "cc.cpp").write_text(
        '#include "cc.h"\n#include <TH/TH.h>\n#include <stdexcept>\n#include <string>\n'
        "static int living = 0;\nstruct Guard { Guard() { living++; } ~Guard() { living--; } };\n"
        'void boom(int n) { Guard g; if (n > 5) THError("n is %d", n); '
        'if (n == 5) throw 5; if (n == 4) throw "four"; if (n == 2) throw nullptr;'
        ' throw std::runtime_error("cxx " + std::to_string(n)); }\n'
        "int alive(void) { return living; }\n"
    )
    create(project, "cc_ext", "cc.h", "cc.cpp").build()
    module = load("cc_ext")
    texts = {3: "^cxx 3$", 4: "^four$", 7: "^n is 7 at ", 5: "not a std::exc", 2: "a null pointer$"}
    for n, text in texts.items():
        with pytest.raises(ffi_ext.NativeError, match=text):
            module.boom(n)
        assert module.alive() == 0, "the destructor ran"


def test_a_users_function_named_like_ths_is_the_one_called(build):
    module = build(
        "long ask(THFloatTensor *t);",
        "#include <TH/TH.h>\nptrdiff_t THFloatTensor_nElement(const THFloatTensor *t) { return 77; }\n"
        "long ask(THFloatTensor *t) { return THFloatTensor_nElement(t); }\n",
    )
    assert module.ask(torch.zeros(3)) == 77


def test_openmp_errors_on_the_master_thread_leave_the_next_region_whole(build):
    module = build(
        "void fail_inside(void); int count(void);",
        "#include <TH/TH.h>\n#include <omp.h>\n"
        "void fail_inside(void) {\n#pragma omp parallel for num_threads(2) schedule(static)\n"
        '  for (int i = 0; i < 2; i++) if (omp_get_thread_num() == 0) THError("inside");\n}\n'
        "int count(void) { int n = 0;\n#pragma omp parallel for num_threads(2) reduction(+:n)\n"
        "  for (int i = 0; i < 100; i++) n += i; return n + 10000 * omp_get_level(); }\n",
        extra_compile_args=["-fopenmp"],
        extra_link_args=["-fopenmp"],
    )
    for _ in range(50):
        with pytest.raises(ffi_ext.NativeError, match="inside"):
            module.fail_inside()
        assert module.count() == 4950


def test_an_error_that_no_thread_catches_is_printed_at_the_end_of_the_process(project):
    (project / "thr.h").write_text("void fail_elsewhere(void);\n")
    (project / "thr.c").write_text(
        "#include <TH/TH.h>\n#include <pthread.h>\n"
        'static void *work(void *p) { THError("nobody waits"); return p; }\n'
        "void fail_elsewhere(void) { pthread_t t; pthread_create(&t, 0, work, 0); pthread_join(t, 0); }\n"
    )
    create(project, "thr_ext", "thr.h", "thr.c", extra_link_args=["-pthread"]).build()
    done = python("-c", "import thr_ext; thr_ext.fail_elsewhere()", cwd=project)
    assert done.returncode == -6 and "nobody waits at" in done.stderr


def test_an_error_on_another_thread_is_for_cxx_to_catch(build):
    module = build(
        "int fail_elsewhere(int n);",
        """#include <ffi_ext.h>
        #include <future>
        extern "C" int fail_elsewhere(int n) {
          auto found = std::async(std::launch::async, [n] { FFI_CHECK(n > 0, "n is %d", n); return n; });
          return found.get();
        }""",
        suffix=".cpp",
        extra_link_args=["-pthread"],
    )
    assert module.fail_elsewhere(3) == 3
    with pytest.raises(ffi_ext.NativeError, match="n is -1 at"):
        module.fail_elsewhere(-1)


SETUP = """
import build
from setuptools import find_packages, setup
setup(name="my_package", version="1", packages=find_packages(exclude=["build"]), ext_package="",
      cffi_modules=["build.py:ffi"])
"""


@pytest.mark.parametrize("how", ["cffi_modules", "build()"])
def test_package_mode(project, how):
    (project / "my_package").mkdir()
    (project / "my_package" / "__init__.py").write_text("")
    script = (
        "import ffi_ext\nffi = ffi_ext.create_extension('my_package._ext.lib', headers=['lib.h'], "
        "sources=['lib.c'], package=True, relative_to=__file__, verbose=False)\n"
    )
    (project / "build.py").write_text(script + ("ffi.build()\n" if how == "build()" else ""))
    (project / "setup.py").write_text(SETUP)
    arguments = (
        ["setup.py", "-q", "build_ext", "--inplace"] if how == "cffi_modules" else ["build.py"]
    )
    done = python(*arguments, cwd=project)
    assert done.returncode == 0, done.stderr
    suffix = OWN_SUFFIX if how == "cffi_modules" else SUFFIX
    assert {"__init__.py", f"_lib{suffix}"} <= set(
        os.listdir(project / "my_package" / "_ext" / "lib")
    )
    module = load("my_package._ext.lib")
    assert module.twice(5) == 10 and type(module.twice).__name__ == "builtin_function_or_method"


def test_ffi_compile_gives_the_same_functions(project):
    create(project, "through.lib", package=True).compile(tmpdir=str(project))
    module = load("through.lib")
    assert module.twice(6) == 12 and type(module.twice).__name__ == "builtin_function_or_method"


def test_with_cuda_builds_the_cpu_part(project):
    (project / "gpu.h").write_text("int twice(int x); int on_gpu(THCudaTensor *t);\n")
    (project / "gpu.c").write_text(
        "#include <THC/THC.h>\nextern THCState *state;\n"
        "int twice(int x) { return 2 * x + (state != NULL); }\n"
        "int on_gpu(THCudaTensor *t) { return t->nDimension; }\n"
    )
    create(project, "cuda_ext", "gpu.h", "gpu.c", with_cuda=True).build()
    module = load("cuda_ext")
    assert module.twice(3) == 7  # there is a state
    with pytest.raises(TypeError, match="CUDA device"):
        module.on_gpu(torch.zeros(2))


WRONG = [
    (dict(name=3), TypeError, "argument 'name'.*int 3"),
    (dict(name="a-b"), ValueError, "'a-b' must be a Python identifier"),
    (dict(name="a..b"), ValueError, "identifier"),
    (dict(name="../out"), ValueError, "identifier"),
    (dict(name="class"), ValueError, "keyword"),
    (dict(name=""), ValueError, "identifier"),
    (dict(name="_ext.na\u00efve"), ValueError, "must be of ASCII letters.* PyInit_"),
    (dict(headers=b"lib.h"), TypeError, "argument 'headers'"),
    (dict(headers=["lib.h", 3]), TypeError, "argument 'headers'.*int 3"),
    (dict(headers="lbi.h"), FileNotFoundError, "did you mean lib.h"),
    (dict(headers="own.h"), FileNotFoundError, "did you mean include/own.h"),
    (dict(sources="LIB.C"), FileNotFoundError, "did you mean lib.c"),
    (dict(sources="lib.cc"), FileNotFoundError, r"did you mean lib.c\?"),
    (dict(sources="own.h", headers="int f(int);"), FileNotFoundError, "C text is for load_inline"),
    (dict(sources="nowhere/lib.c"), FileNotFoundError, "argument 'sources'.*does not exist"),
    (dict(sources=None), TypeError, "argument 'sources'"),
    (dict(sources="."), FileNotFoundError, r"is a directory in .* relative_to\)$"),
    (dict(headers="."), FileNotFoundError, r"is a directory in .* relative_to\)$"),
    (dict(py_limited_api="cp310"), TypeError, "'py_limited_api': expected True or False, got str"),
    (dict(sources="/dev/null"), FileNotFoundError, "'/dev/null' is no regular file$"),
    (dict(sources=["lib.c", "lib.h"]), ValueError, "lib.h' is a header .* take it out"),
    (dict(verbose="yes"), TypeError, "argument 'verbose'"),
    (dict(with_cuda=None), TypeError, "argument 'with_cuda'"),
    (dict(package=[]), TypeError, "argument 'package'"),
    (dict(relative_to=5), TypeError, "argument 'relative_to'"),
    (dict(extra_compile_arg=["-O3"]), TypeError, "did you mean 'extra_compile_args'"),
    (dict(extra_cflags=["-O3"]), TypeError, "did you mean 'extra_compile_args'"),
    (dict(extra_include_paths=["."]), TypeError, "did you mean 'include_dirs'"),
    (dict(extra_compile_args="-O3"), TypeError, "extra_compile_args"),
    (dict(extra_link_args="-lm -lz"), TypeError, "expected a list of str, one for each flag, got"),
    (dict(extra_compile_args={"gcc": []}), ValueError, "'cc', 'cxx' and 'nvcc'"),
    (dict(define_macros={"A": 1}), TypeError, "define_macros"),
    (dict(define_macros=[("A B", "1")]), ValueError, "'A B' is no macro name$"),
    (dict(define_macros=["N=4"]), ValueError, r"no macro name; write \('N', '4'\)"),
    (dict(define_macros=["-DN=4"]), ValueError, r"no macro name; write \('N', '4'\)"),
    (dict(define_macros=[("-DN", None)]), ValueError, r"no macro name; write \('N', None\)"),
    (dict(include_dirs=[3]), TypeError, "include_dirs"),
    (dict(language="fortran"), ValueError, "language"),
]


@pytest.mark.parametrize(("arguments", "error", "text"), WRONG)
def test_wrong_arguments_are_refused_before_anything_is_written(project, arguments, error, text):
    (project / "include").mkdir()
    (project / "include" / "own.h").touch()
    before = files(project)
    with pytest.raises(error, match=text):
        create(project, **arguments)
    assert files(project) == before


def test_what_the_package_has():
    assert set(ffi_ext.__all__) <= set(dir(ffi_ext))
    with pytest.raises(AttributeError, match="no attribute 'lod': it has .*load_inline"):
        ffi_ext.lod  # noqa: B018


def test_a_module_of_the_packages_name_is_not_hidden_in_silence(project, monkeypatch):
    (project / "sub").mkdir()
    (project / "sub" / "fast.py").touch()
    with pytest.warns(UserWarning, match=r"importing sub.fast .* never .*fast.py: .* 'sub._fast'"):
        create(project, "sub.fast")
    script = str(project / "sub" / "fast.py")
    # xdist's workers have no file
    monkeypatch.setattr(sys.modules["__main__"], "__file__", script, raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        create(project, "sub.fast")  # its build script


@pytest.mark.parametrize("package", [False, True])
def test_a_package_of_somebodys_own_is_not_replaced(project, package):
    own = project / "my_ops" / "__init__.py"
    own.parent.mkdir()
    own.write_text("def precious():\n    return 42\n")
    for _ in range(2):
        with pytest.raises(ValueError, match=r"would replace .*my_ops/__init__\.py.*'my_ops\._C'"):
            create(project, "my_ops", package=package)
        assert own.read_text() == "def precious():\n    return 42\n"
    assert os.listdir(own.parent) == ["__init__.py"]
    create(project, "my_ops._C", package=package).build()
    own.write_text("# mine, and empty\n\n")
    create(project, "my_ops", package=package).build()


@pytest.mark.parametrize("name", ["torch", "torch.mine", "ffi_ext.mine"])
def test_a_name_that_would_hide_torch_is_refused(tmp_path, name):
    (tmp_path / "a.h").write_text("int f(void);\n")
    with pytest.raises(ValueError, match="would hide the one"):
        create_extension(name, "a.h", [], relative_to=str(tmp_path / "b.py"))
    assert not (tmp_path / "torch").exists() and not (tmp_path / "ffi_ext").exists()
