"""Builds that fail, and say why and what to do."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess

import pytest

from ffi_ext import BuildError
from ffi_ext.builder import symbols_check
from ffi_ext.compilers import compile_errors, toolchain, universal
from tests.binaries import SUFFIX
from tests.processes import python
from tests.small_project import litter, make, value


def test_a_compile_error_is_distilled_and_the_old_module_stays(project):
    make(project).build()
    before = {p: p.read_bytes() for p in (project / "ext").rglob("*") if p.is_file()}
    (project / "two.c").write_text("int two(void) {\n  return undeclared_name;\n}\n")
    with pytest.raises(
        BuildError,
        match=r"two\.c:2: .*undeclared.* .undeclared_name|two\.c:2: .undeclared_name. undeclared",
    ) as caught:
        make(project).build()
    assert "return undeclared_name;" in str(caught.value)
    assert "undeclared_name" in caught.value.log
    after = {p: p.read_bytes() for p in (project / "ext").rglob("*") if p.is_file()}
    assert after == before and litter(project) == []
    assert value(project, "two") == 2


@pytest.mark.parametrize(("setting", "is_told"), [("1", True), ("0", False)])
def test_the_whole_output_where_it_is_asked_for(setting, is_told, project, monkeypatch, capfd):
    monkeypatch.setenv("FFI_EXT_VERBOSE", setting)
    header = project / "lib.h"
    header.write_text(f'_Static_assert(0, "one");\n_Static_assert(0, "two");\n{header.read_text()}')
    with pytest.raises(BuildError, match='"one"') as caught:
        make(project).build()
    assert ("set FFI_EXT_VERBOSE=1" in str(caught.value)) is not is_told
    out = capfd.readouterr().out
    # what is compiled, by which command, and what comes of it
    said = ("[1/" in out, "-O3 -DNDEBUG" in out, '"two"' in out)
    assert set(said) == {is_told} and bool(out) is is_told


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("#include <TH/TF.h>\n", "did you mean TH/TH.h"),
        ("#include <THC/THCDeviceTensors.cuh>\n", "did you mean THC/THCDeviceTensor.cuh"),
        ("#include <THC/THCApply.cuh>\n", "templates .* a kernel over THCudaTensor_data"),
        ("#include <missing_thing.h>\n", "include_dirs"),
        ("#include <THIRD/party.h>\n", "include_dirs"),
        ('#include "cuda/cuda_utils.h"\n', "directory of cuda_utils.h in include_dirs"),
        ("#include <ATen/cuda/CUDAContext.h>\n", r"PyTorch's C\+\+ library"),
        ("#include <pybind11/numpy.h>\n", "not needed: a header of C prototypes is the binding"),
        ("#include <bits/none.h>\n", "one of C's own headers, .*: apt install libc6-dev"),
        ("#include <numpy/arrayobject.h>\n", r"include_dirs=\[numpy.get_include\(\)\]"),
        ("__global__ void k(int *p) { *p = 0; }\n", "name the file .cu"),
        ("#define __global__\n__global__ void k(int *p) { p[threadIdx.x] = 0; }\n", "the file .cu"),
        ("bool f(void);\n", "stdbool.h"),
        ("#include <vector>\n", r'this is C\+\+: pass language="c\+\+"'),
        ("template <class T> T g(T x) { return x; }\n", r"this is C\+\+"),
        ('extern "C" int g(void);\n', r"this is C\+\+"),
        ("int g(int a) { return std::max(a, 3); }\n", r"this is C\+\+"),
        (
            "int one(void) { return 1; }\n",
            "listed twice, or does a header have the function's body",
        ),
        (
            "#include <TH/TH.h>\nint select(int n) { return n; }\n",
            r"hint: /.*/select\.h has another select: make them equal, or .* rename",
        ),
        ("int g(const ffi_ext_tensor *x);\n", "include <ffi_ext.h>"),
        ("int g(void) { return FFI_EXT_BOOL; }\n", "include <ffi_ext.h>"),
        ('int g(int a) { FFI_CHECK(a, "no"); return a; }\n', "a macro of <ffi_ext.h>"),
        ("#include <TH/TH.h>\nvoid g(THTensor *t);\n", "write the type, .* THFloatTensor"),
        ("#include <TH/TH.h>\nreal g(void);\n", "write the type, such as float"),
        ("#include <TH/TH.h>\nvoid g(THFile *f);\n", "THFile is not in ffi_ext: .* in Python"),
        (
            "#include <TH/TH.h>\nvoid g(THFloatTensor *t) { THFloatTensor_sum(t, t, 0); }\n",
            "THFloatTensor_sum has other parameters .* no last argument keepdim",
        ),
        (
            "#include <ffi_ext.h>\nint g(int a) { FFI_CHECK(a > 0); return a; }\n",
            r"two\.c:2: expected .*\n.*FFI_CHECK\(a > 0\).*\nhint: these macros take a text",
        ),
        (
            "#include <TH/TH.h>\nvoid g(int a) { THArgCheck(a > 0); }\n",
            r"two\.c:2: too few .*\n.*THArgCheck\(a > 0\).*\nhint: these macros take a text",
        ),
        (
            "typedef int THGenerator;\n#include <TH/TH.h>\n#define M(x) x + lost\nint g(void) { return M(1); }\n",
            r"two\.c failed: .*/THRandom\.h:\d+: ",  # not where the macro is used
        ),
        (
            "#include <ffi_ext.h>\nint g(void) { return FFI_EXT_FLOAT; }\n",
            r"'FFI_EXT_FLOAT' undeclared .*did you mean 'FFI_EXT_FLOAT\d+'\?\n.*FLOAT; }\nThe comp",
        ),
        (
            "#include <TH/TH.h>\nvoid g(THFlaotTensor *t) {}\n",
            r"did you mean 'THFloatTensor'\?\n.*{}\nThe comp",
        ),
    ],
)
def test_hints(project, source, text):
    (project / "two.c").write_text(source + "int two(void) { return 2; }\n")
    with pytest.raises(BuildError, match=text):
        make(project).build()


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_a_header_without_extern_c_in_cxx(project, use_compiler, compiler):
    use_compiler(compiler, "CXX")
    declared, defined = "int three(void);\n", 'extern "C" int three(void) { return 3; }\n'
    (project / "three.h").write_text(declared)
    (project / "three.cpp").write_text(f'#include "three.h"\n{defined}')
    with pytest.raises(BuildError, match="hint: the header declares it as C.*#ifdef __cplusplus"):
        make(project, headers=["three.h"], sources=["three.cpp"]).build()
    (project / "three.cpp").write_text(f'#include "three.h"\n{defined[11:]}')
    with pytest.raises(
        BuildError, match='source defines it as C.+: three. Write extern "C" before'
    ):
        make(project, headers=["three.h"], sources=["three.cpp"]).build()


@pytest.mark.parametrize(
    ("arguments", "said", "hint"),
    [
        ({"sources": ["one.c", "two.txt"]}, "unused", r"two\.txt is no source .* extra_objects"),
        ({"sources": ["one.c", "two.o"]}, "unused", r"two\.o is no source .* extra_objects"),
        ({"extra_compile_args": ["-fplugin=nope"]}, "plugin", None),
        ({"extra_compile_args": ["nofile"]}, "nofile", "nofile is no file, and .* no flag"),
        ({"extra_link_args": ["nofile"]}, "cannot find nofile", None),
    ],
)
def test_what_is_missing_and_no_header_of_cxx(project, arguments, said, hint):
    if "nofile" in said and toolchain.c_compiler().is_clang:
        pytest.skip("clang says that there is no such file")
    for name in ("two.txt", "two.o"):
        (project / name).touch()
    with pytest.raises(BuildError, match=said) as caught:
        make(project, **arguments).build()
    assert "this is C++" not in str(caught.value)
    assert (
        re.search(f"hint: .*{hint}", str(caught.value)) if hint else "hint" not in str(caught.value)
    )


def test_pythons_headers_are_found_and_their_lack_is_told(project, monkeypatch):
    source = "#include <Python.h>\nint two(void) { return 2 + 0 * PY_MAJOR_VERSION; }\n"
    (project / "two.c").write_text(source)
    make(project).build()
    monkeypatch.setattr(universal, "python_headers", lambda: [str(project / "nowhere")])
    (project / "two.c").write_text(source + "\n")
    with pytest.raises(
        BuildError, match="(own headers are not in|needs all of Python.h).* python3-dev"
    ):
        make(project).build()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="ARM's code for programs is as good")
def test_a_library_of_code_for_programs_is_named(project):
    """A static one among extra_link_args, as Debian has that of libjpeg-turbo."""
    (project / "far.c").write_text("static int far[9];\nint *where(void) { return far; }\n")
    subprocess.run(["gcc", "-fno-pic", "-c", "far.c", "-o", "far.o"], cwd=project, check=True)
    subprocess.run(["ar", "rcs", "libfar.a", "far.o"], cwd=project, check=True)
    (project / "two.c").write_text("int *where(void);\nint two(void) { return *where(); }\n")
    with pytest.raises(BuildError, match=r"hint: \S*libfar\.a\(far\.o\) was compiled without"):
        make(project, extra_link_args=[f"-L{project}", "-lfar"]).build()


def test_openmp_for_the_compiler_alone_is_told(project):
    """By a process without torch, whose OpenMP would do."""
    (project / "one.c").write_text(
        "int one(void) {\n  int n = 0;\n#pragma omp parallel\n  n = 1;\n  return n;\n}\n"
    )
    words = ["-m", "ffi_ext", "build", "lib.h", "one.c", "two.c", "--cflag=-fopenmp"]
    done = python(*words, cwd=project)
    assert done.returncode == 0 and "nothing that is linked defines" in done.stderr
    assert "Add -fopenmp to extra_link_args." in done.stderr


@pytest.mark.parametrize(
    ("called", "flag"), [("__cxa_nowhere", "-lstdc++"), ("_gfortran_st_write", "-lgfortran")]
)
def test_the_library_of_another_language_is_named(project, capfd, called, flag):
    """Objects that g++ or gfortran made are linked by gcc. (torch 2.15 brings what C++ has to every later import.)"""
    text = f"void {called}(void);\nint two(void) {{ {called}(); return 2; }}\n"
    (project / "two.c").write_text(text)
    make(project).build()
    assert f"defines {called}: the import fails unless" in (said := capfd.readouterr().err)
    assert f"Add {flag} to extra_link_args." in said


@pytest.mark.parametrize("static", [["libstdc++"], ["libgcc"], ["libstdc++", "libgcc"]])
def test_an_unwinder_that_is_linked_in_is_told(project, capfd, static):
    """With both of these gcc links no libgcc_s, and the first exception ends the process by abort()."""
    (project / "two.cpp").write_text('extern "C" int two(void) { throw 2; }\n')
    flags = [f"-static-{name}" for name in static]
    make(project, sources=["one.c", "two.cpp"], extra_link_args=flags).build()
    assert ("Leave out -static-libgcc" in capfd.readouterr().err) == (len(static) == 2)


def test_binaries_of_macos_share_the_systems_unwinder(tmp_path, capfd):
    """A Mach-O file says what it needs where nobody looks, so every C++ that throws was warned of."""
    linked = tmp_path / "_lib.so"
    linked.write_bytes(b"\xcf\xfa\xed\xfe" + b"\0_Unwind_RaiseException\0")
    symbols_check.warn_of_unwinder(linked.read_bytes(), linked)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "log",
    [
        "/lib/avxintrin.h:909:1: error: inlining failed in call to 'always_inline' '_mm256_storeu_ps': target specific "
        "option mismatch\na.c:2:51: note: called from here\n",
        "a.c:2:3: error: always_inline function '_mm256_storeu_ps' requires target feature 'avx', but would be inlined",
    ],
)
def test_an_instruction_that_was_not_asked_for(log):
    """As gcc 12 and clang 14 say it."""
    said = str(compile_errors.explain("compiling a.c", log))
    assert "failed: a.c:2: " in said
    assert "not every processor of this kind has _mm256_storeu_ps: " in said and "-mavx2" in said


def test_what_a_linker_says_and_not_that_it_failed(project, monkeypatch):
    (project / "broken.o").write_bytes(b"no object")
    with pytest.raises(BuildError, match=rf"linking _lib{SUFFIX} failed: .*broken\.o"):
        make(project, extra_objects=["broken.o"]).build()
    with pytest.raises(BuildError, match="failed: unrecognized option '--no-such'"):
        make(project, extra_link_args=["-Wl,--no-such"]).build()
    monkeypatch.setenv("LDFLAGS", "-Wl,-z,defs")
    with pytest.raises(BuildError, match="take -Wl,-z,defs and -Wl,--no-undefined out of LDFLAGS"):
        make(project).build()


@pytest.mark.parametrize(
    ("log", "hint"),
    [
        ("clang: error: unsupported option '-fopenmp'", "takes -Xpreprocessor -fopenmp"),
        (
            "a.c:1:8: error: expected identifier or '('\n    1 | extern \"C\" int g(void);",
            r"this is C\+\+",
        ),
        (
            "a.c:1:18: error: use of undeclared identifier 'std'\n    1 | int g(int a) { return std::max(a, 3); }",
            r"this is C\+\+",
        ),
        (
            "a.c:2:9: error: too few arguments to function call, expected 4, have 3\n    2 |  THFloatTensor_sum(t);\n"
            "TH.h:3:6: note: 'THFloatTensor_sum' declared here",
            "no last argument keepdim",
        ),
        (
            "a.c:2:17: error: too few arguments to function call, expected at least 5, have 3\n"
            "TH/THGeneral.h:79:68: note: expanded from macro 'THArgCheck'\n"
            "TH/THGeneral.h:58:13: note: '_THArgCheck' declared here",
            "these macros take a text",
        ),
        (
            "a.c:2:16: error: expected expression\n    2 | int g(int a) { FFI_CHECK(a > 0); return a; }\n"
            "ffi_ext.h:61:63: note: expanded from macro 'FFI_CHECK'",
            "these macros take a text",
        ),
        ("gcc: fatal error: Killed signal terminated program cc1", "MAX_JOBS=1"),
        ("clang: error: unable to execute command: Killed", "MAX_JOBS=1"),
        ("nvcc error   : 'cicc' died due to signal 9 (Kill signal)", "MAX_JOBS=1"),
        ("ld.lld: error: unable to find library -lfoo", "the library foo is not installed"),
        ("mold: fatal: library not found: foo", "the library foo is not installed"),
        ("ld.lld: error: undefined symbol: PyList_New\n>>> referenced by a.c", "take -Wl,-z,defs"),
        ("ld.lld: error: duplicate symbol: one\n>>> defined at a.c", "define the same function"),
        ("mold: error: duplicate symbol: a.o: b.o: one", "define the same function"),
        (
            "ld.lld: error: relocation R_X86_64_PC32 cannot be used against symbol 'dat'; recompile with -fPIC",
            "a file in extra_objects was compiled",
        ),
        ("ld: cannot find -l-lz: No such file or directory", r"without -l, .* libraries=\['z'\]"),
        ("gcc: error: unrecognized command-line option '-fopenmp -g'", r"an item for each flag"),
        ("cc1: error: argument to '-O' should be a non-negative integer", r"an item for each flag"),
        ("clang: error: unknown argument: '-fopenmp -g'", r"an item for each flag"),
    ],
)
def test_hints_for_other_compilers_and_linkers(log, hint):
    """As Apple's clang, clang 19, lld 14 and mold 1.10 print it."""
    assert re.search(f"hint: .*{hint}", str(compile_errors.explain("linking _a.so", log)))


@pytest.mark.parametrize(
    ("log", "hint"),
    [
        ("/usr/bin/ld: a.o: error adding symbols: file in wrong format", "a.o is for another"),
        ("ld.lld: error: a.o is incompatible with elf_x86_64", "a.o is for another"),
        (
            "ld: skipping incompatible /opt/libz.so when searching for -lz\nld: cannot find -lz: No such file",
            "/opt/libz.so is for another",
        ),
        (  # binutils 2.35
            "ld: skipping incompatible /opt/libz.so when searching for -lz\nld: cannot find -lz\ncollect2: error",
            "/opt/libz.so is for another",
        ),
        ("gcc: error: unrecognized command-line option '-mavx2'", "leave it out"),
        ("cc1: error: unknown value 'core-avx2' for '-march'", "leave it out"),
        ("cc1: error: bad value ('armv8-a') for '-march=' switch", "leave it out"),
        ("clang: error: the clang compiler does not support '-march=haswell'", "leave it out"),
        ("error: unknown target CPU 'armv8-a'", "leave it out"),
        ("clang: error: unsupported option '-mavx2' for target 'aarch64'", "leave it out"),
        ("clang: error: unsupported argument 'haswell' to option '-march='", "leave it out"),
        ("/tmp/a.s:13: Error: unknown mnemonic `movl' -- `movl $1,x0'", "plain C behind"),
        ("/tmp/a.s:13: Error: no such instruction: `fmadd d0,d0,d1,d2'", "plain C behind"),
        ("a.c:1:18: error: unknown register name 'ebx' in 'asm'", "plain C behind"),
        ("a.c:1:1: error: pragma or attribute 'target(\"avx2\")' is not valid", "plain C behind"),
        ("a.c:3:10: fatal error: xmmintrin.h: No such file or directory", "of x86 processors"),
        ("a.c:3:10: fatal error: x86intrin.h: No such file or directory", "of x86 processors"),
        ("a.c:3:10: fatal error: arm_neon.h: No such file or directory", "of ARM processors"),
    ],
)
def test_code_for_another_processor_is_told(log, hint):
    """As gcc 12, clang 14 to 21 and their linkers for x86-64 and for aarch64 print it."""
    said = str(compile_errors.explain("compiling a.c", log))
    assert re.search(f"hint: .*{hint}", said) and platform.machine() in said


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_errors_in_colours(project, monkeypatch, use_compiler, compiler):
    use_compiler(compiler)
    flag = "-fdiagnostics-color=always" if compiler == "gcc" else "-fcolor-diagnostics"
    monkeypatch.setenv("CFLAGS", flag)
    (project / "two.c").write_text("#include <TH/TF.h>\n")
    with pytest.raises(BuildError, match=r"two\.c:1: .*TF\.h.*\n.*#include <TH/TF\.h>\nhint: did"):
        make(project).build()


def test_a_full_disk_is_the_cause_of_what_it_makes_go_missing():
    """As gcc 12 and GNU as 2.40 printed it on a tmpfs of 64 KiB."""
    log = (
        "/tmp/ccF.s: Assembler messages:\n"
        "/tmp/ccF.s: Fatal error: can't write 304 bytes to section .data of tmp/f5.o: 'No space left on device'\n"
        "/tmp/ccF.s: Fatal error: can't close tmp/f5.o: No such file or directory\n"
    )
    said = str(compile_errors.explain("compiling a.c", log))
    assert "hint: the disk is full" in said and "include_dirs" not in said


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("omp.h", "apt install libomp-dev"),
        ("no/such.h", "is the directory of such.h in include_dirs?"),
        ("intrin.h", "is the directory of intrin.h in include_dirs?"),  # MSVC's, of any processor
        (r"TH\TH.h", "a path of Windows: write it with /"),
    ],
)
def test_a_missing_header_as_clang_tells_it(name, hint):
    """In clang 21's words."""
    said = str(
        compile_errors.explain("compiling a.c", f"a.c:3:10: fatal error: '{name}' file not found\n")
    )
    assert "hint: " in said and hint in said


def test_a_missing_library_is_named(project):
    with pytest.raises(BuildError, match="library no_such_library is not installed"):
        make(project, libraries=["no_such_library"]).build()
    with pytest.raises(BuildError, match=r"without -l, lib .*: libraries=\['m'\]"):
        make(project, libraries=["libm.so"]).build()
    with pytest.raises(BuildError, match="hint: .*the file /opt/libx.so goes into extra_objects"):
        make(project, libraries=["/opt/libx.so"]).build()


@pytest.mark.parametrize("linker", ["", "gold", "lld", "mold"])
def test_a_function_that_nobody_defines_is_reported_at_build_time(project, monkeypatch, linker):
    if linker:
        if shutil.which(f"ld.{linker}") is None:
            pytest.skip(f"there is no ld.{linker}")
        monkeypatch.setenv("LDFLAGS", f"-fuse-ld={linker}")
    (project / "two.c").write_text("int too(void) { return 2; }\n")
    with pytest.raises(BuildError, match=r"two \(lib\.h:2\)"):
        make(project).build()
    assert not list((project / "ext").rglob("*.so"))


def test_th_functions_that_do_not_exist_are_named(project):
    (project / "two.c").write_text(
        "#include <TH/TH.h>\nint two(void) { THFloatTensor_frobnicate(0); return 2; }\n"
    )
    with pytest.raises(BuildError, match="does not have: THFloatTensor_frobnicate"):
        make(project).build()


def test_no_compiler(project, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(BuildError, match="no compiler: CC='no-such-compiler'.*apt install gcc"):
        make(project).build()


@pytest.mark.parametrize("header", ["int one(void);\n", "#define ONE 1\nint one(void);\n"])
def test_a_compiler_that_says_nothing(project, monkeypatch, header):
    monkeypatch.setenv("CC", "false")
    (project / "lib.h").write_text(header)
    with pytest.raises(BuildError, match=r"failed: false -.* printed nothing and ended with 1"):
        make(project, sources=["one.c"]).build()


def test_a_header_name_that_c_cannot_include_is_refused(project):
    (project / 'quo"te.h').write_text("int one(void);\n")
    with pytest.raises(ValueError, match="#include cannot name"):
        make(project, headers=['quo"te.h'])
