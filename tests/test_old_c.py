"""C of 2017 that compilers and language standards of today reject or read differently still builds."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest
import torch

from ffi_ext import create_extension
from ffi_ext.compilers.toolchain import LENIENT_CXX, NEVER_FUSED, cxx_compiler, cxx_standard
from ffi_ext.cuda import toolkit
from ffi_ext.paths import INCLUDE, is_installed
from tests.processes import python

NEVER_INLINED = "__attribute__((noinline))"


def test_implicit_declarations_and_foreign_pointers_are_warnings(build, capfd):
    module = build(
        "int both(THFloatTensor *f, THLongTensor *l);",
        """
        #include <TH/TH.h>
        int both(THFloatTensor *f, THLongTensor *l) {
          return later(THLongTensor_isContiguous(f)) + THLongTensor_isContiguous(l);
        }
        int later(int x) { return 10 * x; }
        """,
    )
    assert module.both(torch.ones(2, 3), torch.ones(2, 3, dtype=torch.long).t()) == 10


# Errors of gcc 14 and clang 16 or later; clang takes "return" for a type's error since ever.
CARELESS = """
static count = 3;
helper(q) { return q + count; }
int positive(int a) { if (a < 0) return; return helper(a); }
int nothing(void) { return 4; }
void something(void) { return nothing(); }
"""


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("first", ["", "#include <TH/TH.h>\n"])
def test_types_and_returns_that_are_missing_are_warnings(build, use_compiler, compiler, first):
    use_compiler(compiler)
    assert build("int positive(int a);", first + CARELESS).positive(2) == 5


def test_a_variable_without_extern_in_a_header(build):
    """Of gcc before 10 and clang before 11 it was one, whoever included the header: here the module's code, too."""
    header = "int calls;\nint seen(void);\n"
    module = build(header, header + "int seen(void) { return ++calls; }")
    module.calls = 4
    assert (module.seen(), module.calls) == (5, 5)
    assert build(header, header + "int calls = 7; int seen(void) { return calls; }").calls == 7


def test_the_same_in_a_scripts_own_lines(tmp_path):
    """`gcc -c` of a make.sh: what TH.h says must do."""
    (tmp_path / "a.c").write_text("#include <TH/TH.h>\n" + CARELESS)
    command = ["gcc", "-std=gnu11", "-w", f"-I{INCLUDE}", "-c", "-o", "a.o", "a.c"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert (tmp_path / "a.o").exists()


def test_errors_of_templates_that_nothing_instantiates_are_warnings(build):
    """gcc 15 looks for them; Eigen of that time has one. To clang they were errors then, too."""
    if cxx_compiler().is_clang:
        pytest.skip("clang has no option for it")
    module = build(
        "int two(void);",
        """
        template <class T> struct Matrix {};
        template <class T> struct Transposed { int size() const; };
        template <class T> struct Transposed<Matrix<T>> {
          int of(const Transposed &other) const { return other.size(); }
        };
        extern "C" int two(void) { return 2; }
        """,
        suffix=".cpp",
    )
    assert module.two() == 2


PRODUCT = """
#ifdef __x86_64__
__attribute__((target("fma"))) /* which other processors have always */
#endif
double f(double a, double c) { return a * a + c; }
"""
WITHOUT_ITS_VALUE = """
static int add(int *total, int n) { *total += n; }
extern "C" int sum_below(int n) {
  int total = 0;
  for (int i = 0; i < n; i++) add(&total, i);
  return total;
}
"""


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
@pytest.mark.parametrize("variable", ["CXX", "CC"])
def test_cxx_functions_that_end_without_their_value_come_back(
    build, use_compiler, compiler, variable
):
    """Compilers of today take the end for a place that is never reached: the loop would not be entered."""
    use_compiler(compiler, variable)
    source, suffix = WITHOUT_ITS_VALUE, ".cpp"
    if variable == "CC":  # C by its name; see test_c_sources_that_a_cxx_compiler_reads
        source, suffix = source.replace('extern "C"', ""), ".c"
    assert build("int sum_below(int n);", source, suffix=suffix).sum_below(5) == 10


@pytest.mark.skipif(toolkit.nvcc() is None, reason="there is no nvcc on this machine")
def test_those_of_kernels_files_come_back_and_products_are_rounded_there(build, monkeypatch):
    """Those that launch kernels in 2017 often ended so. The products are of the CPU's half."""
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "9.0")
    header = "int sum_below(int n);\ndouble f(double a, double c);\n"
    source = f'{WITHOUT_ITS_VALUE}extern "C" {PRODUCT}'
    module = build(header, source, suffix=".cu", with_cuda=True)
    assert module.sum_below(5) == 10
    assert module.f(1 + 2.0**-27, -(1 + 2.0**-26)) == 0.0


@pytest.mark.parametrize(
    ("compiler", "flag"),
    [
        ("g++", "-fsanitize=unreachable"),
        ("ccache g++ -pipe", "-fsanitize=unreachable"),
        ("g++ -isystem /opt/include", "-fsanitize=unreachable"),
        ("/opt/conda/bin/x86_64-conda-linux-gnu-c++", "-fsanitize=unreachable"),
        ("ccache /opt/bin/clang++", "-fno-strict-return"),
    ],
)
def test_which_flag_that_is(monkeypatch, compiler, flag):
    monkeypatch.setenv("CXX", compiler)
    assert flag in cxx_standard(["-fsanitize=address"])


def test_which_flag_that_is_where_the_compilers_names_are_links_to_ccache(tmp_path, monkeypatch):
    """As of Debian's /usr/lib/ccache in PATH."""
    (tmp_path / "ccache").touch(0o755)
    for name in ("g++", "clang++"):
        (tmp_path / name).symlink_to("ccache")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert "-fsanitize=unreachable" in cxx_standard([])
    monkeypatch.setenv("CXX", "clang++")
    assert "-fno-strict-return" in cxx_standard([])


def test_what_looks_for_undefined_behaviour_tells_of_them_itself(monkeypatch):
    monkeypatch.setenv("CXX", "g++")
    assert cxx_standard(["-fsanitize=undefined"]) == [NEVER_FUSED, *LENIENT_CXX]
    monkeypatch.setenv("CXXFLAGS", "-fsanitize=address,undefined")
    assert cxx_standard([]) == [NEVER_FUSED, *LENIENT_CXX]


@pytest.mark.parametrize(("suffix", "before"), [(".c", ""), (".cpp", 'extern "C"')])
def test_openmps_header_within_extern_c(build, suffix, before):
    """gcc 15's has templates. `-fopenmp` is not needed for its types."""
    braces = "{ %s }" if before else "%s"
    source = before + braces % "\n#include <omp.h>\nint size(void) { return sizeof(omp_lock_t); }\n"
    assert build("int size(void);", source, suffix=suffix).size() > 0


def test_setuptools_gets_them_for_cxx_too(tmp_path):
    (tmp_path / "a.h").write_text("int two(void);")
    (tmp_path / "a.cpp").write_text('extern "C" int two(void) { return 2; }')
    ffi = create_extension("_ext.a", "a.h", ["a.cpp"], relative_to=str(tmp_path / "build.py"))
    flags = ffi.distutils_extension(str(tmp_path)).extra_compile_args
    assert set(cxx_standard([])) <= set(flags)


HEADERS = sorted(path.name for path in (INCLUDE / "TH").glob("*.h") if "Generate" not in path.name)


@pytest.mark.parametrize("compiler", [["gcc", "-xc", "-std=gnu11"], ["g++", "-xc++", "-std=c++11"]])
def test_each_header_of_th_may_be_the_only_one(compiler):
    for name in HEADERS:
        command = [*compiler, f"-I{INCLUDE}", "-fsyntax-only", "-"]
        text = f"#include <TH/{name}>\n"
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{name}\n{done.stderr}"


def test_gnu_c_is_the_default(build):
    module = build(
        "double twice(double x); double draw(void); int which(int linux_);",
        """
        #include <TH/TH.h>
        #include <stdlib.h>
        #define max(a, b) ({ typeof(a) _a = (a); typeof(b) _b = (b); _a > _b ? _a : _b; })
        double twice(double x) { asm volatile(""); return max(x, x + x) + 0 * M_PI; }
        double draw(void) { srand48(3); return drand48(); }
        int which(int linux_) { return linux_; }
        """,
    )
    assert module.twice(1.5) == 3.0
    # drand48's formula: X = (0x5DEECE66D X0 + 0xB) mod 2^48 with X0 = seed << 16 | 0x330E
    assert module.draw() == ((0x5DEECE66D * (3 << 16 | 0x330E) + 0xB) % 2**48) / 2**48


@pytest.mark.parametrize(("suffix", "before"), [(".c", ""), (".cpp", 'extern "C" ')])
def test_products_are_rounded_before_they_are_added(build, suffix, before):
    """(1 + 2^-27)^2 - 1 - 2^-26 is 2^-54 when fused, 0 when the product is rounded to double."""
    module = build("double f(double a, double c);", before + PRODUCT, suffix=suffix)
    a = 1 + 2.0**-27
    assert module.f(a, -(1 + 2.0**-26)) == 0.0


def test_inline_without_static(tmp_path, monkeypatch, capfd):
    """gcc before 5 defined such functions; C99 leaves the definition to another file."""
    monkeypatch.setenv("FFI_EXT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "lib.h").write_text("float clipped(float x);\nint clipped_long(int x);\n")
    (tmp_path / "clip.h").write_text(
        f"{NEVER_INLINED} inline float clip(float x) {{ return x > 1 ? 1 : x < 0 ? 0 : x; }}\n"
    )
    (tmp_path / "a.c").write_text('#include "clip.h"\nfloat clipped(float x) { return clip(x); }\n')
    (tmp_path / "b.c").write_text(
        '#include "clip.h"\nint clipped_long(int x) { return (int)(10 * clip(x)); }\n'
    )

    def build(verbose):
        create_extension(
            "inl.lib",
            headers=["lib.h"],
            sources=["a.c", "b.c"],
            relative_to=str(tmp_path / "build.py"),
            verbose=verbose,
        ).build()
        return capfd.readouterr().out

    assert "`inline` without `static` is read as before C99" in build(True)
    code = "from inl.lib import *; print(clipped(.25), clipped(3), clipped_long(7))"
    done = python("-c", code, cwd=tmp_path)
    assert done.stdout.split() == ["0.25", "1.0", "10"], done.stderr
    assert "is up to date" in build(True)


@pytest.mark.parametrize(
    ("path", "installed"),
    [
        ("/usr/include/stdio.h", True),
        (f"{INCLUDE}/TH/TH.h", True),
        (f"{sys.base_prefix}/include/python3/Python.h", True),
        ("/usr/src/app/clip.h", False),  # where containers have their programs
        ("/usr/app/include/clip.h", False),
        ("/usr2/clip.h", False),
        (f"{sys.base_prefix}-and-more/clip.h", False),
    ],
)
def test_whose_files_are_looked_through_for_inline(path, installed):
    assert is_installed(path) == installed


def test_a_declared_function_that_is_inline(build):
    module = build("int three(void);", f"{NEVER_INLINED} inline int three(void) {{ return 3; }}")
    assert module.three() == 3


def test_a_name_that_nothing_defines_is_said_at_build_time(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("FFI_EXT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "lib.h").write_text("int f(void);\n")
    (tmp_path / "a.c").write_text("int f(void) { return brought_by_another_library(); }\n")
    create_extension(
        "und.lib", ["lib.h"], ["a.c"], relative_to=str(tmp_path / "b.py"), verbose=False
    ).build()
    assert "nothing that is linked defines brought_by_another_library" in capfd.readouterr().err


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_c_sources_that_a_cxx_compiler_reads(tmp_path, monkeypatch, use_compiler, compiler):
    """CC=g++ python build.py: how scripts had templates in their .c files."""
    monkeypatch.setenv("FFI_EXT_CACHE", str(tmp_path / "cache"))
    use_compiler(compiler)
    (tmp_path / "lib.h").write_text("int twice(int x);\n")
    (tmp_path / "a.c").write_text(
        '#include "lib.h"\ntemplate <typename T> T two(T x) { return x + x; }\n'
        "int twice(int x) { return two(x); }\n"
    )
    build_script = str(tmp_path / "b.py")
    create_extension("cxx.lib", ["lib.h"], ["a.c"], relative_to=build_script, verbose=False).build()
    monkeypatch.syspath_prepend(tmp_path)
    assert importlib.import_module("cxx.lib").twice(21) == 42
