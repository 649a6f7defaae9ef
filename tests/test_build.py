"""Builds: what is compiled again and what is not, and nothing that is ever lost."""

from __future__ import annotations

import ast
import errno
import fcntl
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cffi
import pytest

import ffi_ext
from ffi_ext import BuildError, elf
from ffi_ext.builder import plan
from ffi_ext.compilers import toolchain
from tests.binaries import OWN_SUFFIX, SUFFIX
from tests.processes import python
from tests.small_project import make, printed, value

GCC = shutil.which("gcc")


@pytest.fixture
def project(project, monkeypatch):
    """With a compiler that notes what it is called for: see compiled()."""
    wrapper = project / "counting-cc"
    wrapper.write_text(f'#!/bin/sh\necho "$@" >> "{project}/compilers.log"\nexec {GCC} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("CC", str(wrapper))
    return project


def compiled(project) -> list[str]:
    """The sources that compilers were started for since the last call; "link" for the link."""
    log = project / "compilers.log"
    lines = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    names = []
    for words in (line.split() for line in lines):
        names.append(Path(words[words.index("-c") + 1]).name if "-c" in words else "link")
    return sorted(names)


def test_only_what_changed_is_compiled(project):
    make(project).build()
    assert compiled(project) == ["_lib.c", "link", "one.c", "two.c"]
    make(project).build()
    assert compiled(project) == []
    (project / "value.h").write_text("#define VALUE 10\n")
    make(project).build()
    assert compiled(project) == ["link", "one.c"]
    assert value(project) == 10
    (project / "two.c").write_text("int two(void) { return 22; }\n")
    make(project).build()
    assert compiled(project) == ["link", "two.c"]
    make(project, define_macros=[("X", "1")]).build()
    assert compiled(project) == ["_lib.c", "link", "one.c", "two.c"]
    for text in ("1, 2", "3, 4"):
        (project / "rows.txt").write_text(text)
        make(project, depends=["rows.txt"]).build()
        assert compiled(project) == ["_lib.c", "link", "one.c", "two.c"]


def test_a_header_of_the_system_that_an_upgrade_changed(project, monkeypatch):
    monkeypatch.setattr("ffi_ext.paths._INSTALLED", (f"{project}/",))
    make(project).build()
    (project / "value.h").write_text("#define VALUE 9\n")  # as long as before
    make(project).build()
    assert value(project) == 9


@pytest.mark.parametrize(
    ("flag", "stale"),
    [("-mtune=native", ["_lib.c", "link", "one.c", "two.c"]), ("-mtune=generic", [])],
)
def test_what_is_native_to_another_processor_is_compiled_again(project, monkeypatch, flag, stale):
    """Machines of a cluster share the cache."""
    processors = project / "cpuinfo"
    monkeypatch.setattr(toolchain, "PROCESSORS", str(processors))
    for flags in ("sse avx", "sse"):
        processors.write_text(f"processor\t: 0\nflags\t\t: {flags}\n")
        make(project, extra_compile_args=[flag]).build()
        first = compiled(project)
        make(project, extra_compile_args=[flag]).build()
        assert compiled(project) == []
    assert first == stale


@pytest.mark.parametrize("damage", ["truncated", "foreign", "removed"])
def test_a_binary_that_is_not_the_recorded_one_is_made_again(project, damage):
    make(project).build()
    binary = project / "ext" / "lib" / f"_lib{SUFFIX}"
    if damage == "removed":
        binary.unlink()
    else:
        data = binary.read_bytes()
        binary.unlink()
        binary.write_bytes(data[: len(data) // 2] if damage == "truncated" else b"not a library")
    make(project).build()
    assert value(project) == 1


def test_binaries_that_would_shadow_the_new_one_are_removed(project):
    folder = project / "ext" / "lib"
    folder.mkdir(parents=True)
    stale = [folder / "_lib.so", folder / "_lib.cpython-311-x86_64-linux-gnu.so"]
    for path in stale:
        path.write_bytes(b"old")
    make(project).build()
    assert not any(path.exists() for path in stale)
    assert printed(project, "import ext.lib; print(ext.lib.two())") == 2


def test_a_compiler_whose_path_has_blanks(project, monkeypatch):
    (project / "my tools").mkdir()
    (project / "my tools" / "gcc").symlink_to(GCC)
    for words in (f"{project}/my tools/gcc", f"'{project}/my tools/gcc' -O1"):
        monkeypatch.setenv("CC", words)
        make(project).build()
        assert value(project, "two") == 2


def test_cflags_are_for_headers_and_for_the_link_too(project, monkeypatch):
    """As in setuptools and make; OpenMP's functions come from the library that the link adds."""
    (project / "else where").mkdir()
    (project / "else where" / "given.h").write_text("#define GIVEN 7\n")
    (project / "lib.h").write_text(
        "#include <given.h>\n#ifdef EXTRA\nenum { TAKEN = GIVEN };\nint one(void);\n#endif\nint two(void);\n"
    )
    (project / "one.c").write_text(
        "int one(void) {\n  int n = 0;\n#pragma omp parallel for reduction(+ : n)\n"
        "  for (int i = 0; i < 10; i++) n += i;\n  return n;\n}\n"
    )
    monkeypatch.setenv("CFLAGS", f"-DEXTRA '-I{project}/else where' -fopenmp")
    make(project).build()
    assert value(project) == 45
    needed = elf.needed(project / "ext" / "lib" / f"_lib{SUFFIX}")
    assert any("omp" in name for name in needed)


@pytest.mark.parametrize("by", ["arguments", "environment"])
def test_flags_mean_the_same_in_headers_and_in_sources(project, monkeypatch, by):
    """Of gcc's manual: what -fopenmp and -mavx2 define, and enums of the smallest type."""
    if platform.machine() != "x86_64":
        pytest.skip("-mavx2 is for x86-64")
    (project / "lib.h").write_text(
        "enum colour { RED, GREEN };\nstruct pixel { enum colour colour; char value; };\n"
        "int one(struct pixel *p);\n#if defined(_OPENMP) && defined(__AVX2__)\nint two(void);\n#endif\n"
    )
    (project / "one.c").write_text(
        '#include "lib.h"\nint one(struct pixel *p) { return sizeof *p; }\n'
    )
    words = ["-fopenmp", "-mavx2", "-fshort-enums"]
    if by == "environment":
        monkeypatch.setenv("CFLAGS", " ".join(words))
        words = []
    make(project, extra_compile_args=words).build()
    code = (  # the binary alone, which needs no torch
        "import sys; sys.path.insert(0, 'ext/lib'); from _lib import ffi, lib; "
        "print(lib.two() * lib.one(ffi.NULL) * ffi.sizeof('struct pixel'))"
    )
    assert printed(project, code) == 2 * 2 * 2


@pytest.mark.parametrize(
    ("suffix", "given"), [(".c", {}), (".cpp", {}), (".c", {"undef_macros": ["NDEBUG"]})]
)
def test_a_member_for_asserts_is_there_for_all_or_for_none(project, suffix, given):
    (project / "lib.h").write_text(
        '#ifdef __cplusplus\nextern "C" {\n#endif\n'
        "struct counted {\n#ifndef NDEBUG\n  int magic;\n#endif\n  int count;\n};\n"
        "int one(struct counted *c);\n#ifdef __cplusplus\n}\n#endif\n"
    )
    one = project / f"one{suffix}"
    one.write_text('#include "lib.h"\nint one(struct counted *c) { return c->count; }\n')
    make(project, sources=[str(one)], **given).build()
    code = (
        "import sys; sys.path.insert(0, 'ext/lib'); from _lib import ffi, lib; "
        "print(lib.one(ffi.new('struct counted *', {'count': 7})))"
    )
    assert printed(project, code) == 7


def test_a_flag_for_a_part_of_the_compiler_stays_with_what_names_that_part():
    """Apple's clang takes -fopenmp behind -Xpreprocessor alone, and no -m... of LLVM's without -mllvm."""
    words = ["-O2", "-Xpreprocessor", "-fopenmp", "-Wall", "-mllvm", "-misched=shuffle"]
    assert toolchain.preprocessor_words(words) == [*words[1:3], *words[4:]]


@pytest.mark.parametrize(("name", "is_gcc"), [("cc", False), ("g++", False), ("gcc-14", True)])
def test_gcc_of_macos_is_clang_which_does_not_know_its_flags(monkeypatch, name, is_gcc):
    monkeypatch.setattr(sys, "platform", "darwin")
    program = toolchain.Program((name,), f"/no/{name}")
    assert (program.is_gcc, program.is_clang) == (is_gcc, not is_gcc)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="linkers add this on x86-64 alone")
def test_no_import_has_denormal_numbers_taken_for_0(project, monkeypatch):
    monkeypatch.setenv("CFLAGS", "-Ofast")
    monkeypatch.setenv("LDFLAGS", "-ffast-math")
    make(project, extra_link_args=["-funsafe-math-optimizations"]).build()
    (binary,) = Path(project, "ext", "lib").glob("_lib.*so")
    code = f"import ctypes; ctypes.CDLL({str(binary)!r}); print(int(2.0**-1060 * 4 != 0))"
    assert printed(project, code) == 1


def test_a_function_that_compilers_know_is_the_one_that_was_built(build):
    module = build("int abs(int n);\n", "int abs(int n) { return n + 7; }\n")
    assert (module.abs(-3), module._lib.abs(-3)) == (4, 4)


def test_functions_of_the_c_library_need_no_source(project):
    (project / "sys.h").write_text("int getpid(void); double cos(double x);\n")
    module = ffi_ext.load("sys", headers=project / "sys.h")
    assert (module.getpid(), module.cos(0)) == (os.getpid(), 1)


WIDE = """\
typedef struct { int x; double w[2]; } point;
enum color { RED, GREEN = 5 };
typedef int (*compare)(const void *, const void *);
#define LIMIT 42
extern int counter;
int total(int count, ...);
point moved(point p, double by);
const char *name(enum color c);
bool before(compare by, long long a, unsigned char b, float c);
double weighed(const THFloatTensor *t, const ffi_ext_tensor *mask, const double *weights, int n);
"""
WIDE_SOURCE = """\
#include <stdarg.h>
#include <TH/TH.h>
#include <ffi_ext.h>
#include <stdbool.h>
#ifdef __cplusplus
extern "C" {
#endif
#include "wide.h"
int counter = 3;
int total(int count, ...) {
  va_list all;
  va_start(all, count);
  int sum = 0;
  while (count--) sum += va_arg(all, int);
  va_end(all);
  return sum;
}
point moved(point p, double by) { p.w[1] += by; return p; }
const char *name(enum color c) { return c == GREEN ? "green" : "red"; }
bool before(compare by, long long a, unsigned char b, float c) { return by(&a, &b) < c; }
double weighed(const THFloatTensor *t, const ffi_ext_tensor *mask, const double *weights, int n) {
  return THFloatTensor_data(t)[0] * weights[n - 1] + mask->numel;
}
#ifdef __cplusplus
}
#endif
"""
WIDE_CALLS = """
import torch
from ext.lib import _ffi, _lib, before, moved, name, weighed
assert _lib.LIMIT == 42 and _lib.GREEN == 5 and _lib.counter == 3
_lib.counter = 4
assert _lib.counter == 4 and _lib.total(2, _ffi.cast("int", 5), _ffi.cast("int", 6)) == 11
point = moved(_ffi.new("point *", {"x": 1, "w": [2, 3]})[0], 0.5)
assert point.x == 1 and list(point.w) == [2, 3.5] == list(_lib.moved(point, 0).w)
assert _ffi.string(_lib.name(_lib.GREEN)) == b"green"
by = _ffi.callback("compare", lambda a, b: 0)
assert before(by, 1, 2, 0.5) is True and _lib.before(by, 1, 2, -0.5) is False
assert weighed(torch.full((1,), 2.0), torch.ones(3), [1.0, 4.0], 2) == 11
"""


@pytest.mark.parametrize("language", [None, "c++"])
def test_pythons_own_headers_are_not_needed(project, monkeypatch, language):
    nowhere = dict.fromkeys(("include", "platinclude"), str(project / "nowhere"))
    monkeypatch.setattr(sysconfig, "get_paths", lambda: nowhere)
    monkeypatch.setenv("CXX", os.environ["CC"].replace("counting-cc", "counting-cxx"))
    wrapper = (project / "counting-cc").read_text().replace(GCC, shutil.which("g++"))
    (project / "counting-cxx").write_text(wrapper)
    (project / "counting-cxx").chmod(0o755)
    (project / "wide.h").write_text(WIDE)
    (project / "wide.c").write_text(WIDE_SOURCE)
    ext = make(project, headers=["wide.h"], sources=["wide.c"], language=language)
    compiled(project)
    ext.build()
    generated = "_lib.cpp" if language == "c++" else "_lib.c"
    assert compiled(project) == [generated, "link", "wide.c"]  # each once: the short way sufficed
    monkeypatch.syspath_prepend(project)
    for name in [name for name in sys.modules if name.partition(".")[0] == "ext"]:
        del sys.modules[name]
    exec(WIDE_CALLS, {})


@pytest.mark.parametrize(
    "body",
    [
        "float *f(THFloatTensor *t) { return THFloatTensor_data(t); }",
        "float f(float x) { return sqrtf(x); }",
    ],
)
def test_a_header_may_use_what_it_does_not_include(project, body):
    """What all of TH.h declares; the short way fails, the long one does not."""
    (project / "lib.h").write_text(f"static inline {body}\nint one(void);\n")
    (project / "one.c").write_text("int one(void) { return 1; }\n")
    ext = make(project, sources=["one.c"])
    compiled(project)
    ext.build()
    assert compiled(project) == ["_lib.c", "_lib.c", "link", "one.c"]
    assert value(project) == 1
    assert (project / "ext" / "lib" / f"_lib{OWN_SUFFIX}").is_file()
    compiled(project)
    ext.build()
    assert compiled(project) == []


def test_wrappers_and_environment_flags(project, monkeypatch):
    monkeypatch.setenv("CC", f"env WRAPPED=1 {project / 'counting-cc'}")
    monkeypatch.setenv("CFLAGS", "-DEXTRA=40")
    monkeypatch.setenv("CPPFLAGS", "-DMORE=2")
    monkeypatch.setenv("MAX_JOBS", "1")
    (project / "one.c").write_text("int one(void) { return EXTRA + MORE; }\n")
    make(project).build()
    assert value(project) == 42


def test_builds_are_reproducible(project, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1500000000")
    (project / "two.c").write_text(
        "int two(void) { return __DATE__[7] == '2' && __DATE__[10] == '7'; }\n"
    )
    binaries = []
    for _ in range(2):
        shutil.rmtree(project / "cache", ignore_errors=True)
        make(project).build()
        binaries.append((project / "ext" / "lib" / f"_lib{SUFFIX}").read_bytes())
    assert binaries[0] == binaries[1]
    assert value(project, "two") == 1
    # Under build isolation ffi_ext has another path each time.
    assert b"lib_call.h" not in binaries[0]
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1600000000")  # 2020
    make(project).build()
    assert value(project, "two") == 0


def test_a_read_only_target_loses_nothing(project):
    make(project).build()
    (project / "two.c").write_text("int two(void) { return 3; }\n")
    folder = project / "ext" / "lib"
    if os.geteuid() == 0:
        change = ["chattr", "+i", str(folder)]
        if shutil.which("chattr") is None or subprocess.run(change, check=False).returncode:
            pytest.skip("root may write everywhere, and chattr +i does not work here")
        undo = ["chattr", "-i", str(folder)]
    else:
        folder.chmod(0o555)
        undo = ["chmod", "755", str(folder)]
    try:
        with pytest.raises(BuildError, match="could not be written.*unchanged"):
            make(project).build()
    finally:
        subprocess.run(undo, check=True)
    assert value(project, "two") == 2


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own with one megabyte on it."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("full", ["target", "cache"])
def test_a_full_disk_loses_nothing(project, small_disk, monkeypatch, full):
    if full == "target":
        shutil.copytree(
            project, small_disk / "project", ignore=shutil.ignore_patterns("cache", "small")
        )
        target = small_disk / "project"
    else:
        monkeypatch.setenv("FFI_EXT_CACHE", str(small_disk / "cache"))
        target = project
    make(target).build()
    (target / "two.c").write_text("int two(void) { return 3; }\n")
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space left"), filler.open("wb", buffering=0) as file:
        while file.write(b"0" * 4096):
            pass
    with pytest.raises(BuildError, match="(?i)no space left"):
        make(target).build()
    assert value(target, "two") == 2
    filler.unlink()
    make(target).build()
    assert value(target, "two") == 3


@pytest.mark.parametrize("how", ["-isystem", "C_INCLUDE_PATH", "beside the source"])
def test_every_header_that_is_included_is_followed(project, monkeypatch, how):
    """Also those that compilers take for the system's, and in folders with white space of any script."""
    folder = project / "ideographic\u3000 no-break\u00a0, tab\t"
    folder.mkdir()
    source = folder / "one.c"
    source.write_text('#include "there.h"\nint one(void) { return THERE; }\n')
    place = folder if how == "beside the source" else project / "headers"
    place.mkdir(exist_ok=True)
    flags = []
    if how[0] == "-":
        flags = [how, str(place)]
    elif how.endswith("PATH"):
        monkeypatch.setenv(how, str(place))
    for number in (5, 6):
        (place / "there.h").write_text(f"#define THERE {number}\n")
        make(project, sources=[str(source), "two.c"], extra_compile_args=flags).build()
        assert value(project) == number
    compiled(project)
    make(project, sources=[str(source), "two.c"], extra_compile_args=flags).build()
    assert compiled(project) == []


def test_an_object_of_others_that_changed_is_linked_again(project):
    (project / "one.c").write_text("int of_object(void);\nint one(void) { return of_object(); }\n")
    for number in (5, 6):
        (project / "given.c").write_text(f"int of_object(void) {{ return {number}; }}\n")
        subprocess.run(["gcc", "-fPIC", "-c", "given.c"], cwd=project, check=True)
        make(project, extra_objects=["given.o"]).build()
        assert value(project) == number


def test_a_binary_that_another_tool_left_is_not_imported_in_place_of_the_new_one(project):
    """Python looks for names with its own version first."""
    make(project).build()
    own = project / "ext" / "lib" / f"_lib{sysconfig.get_config_var('EXT_SUFFIX')}"
    if own.exists():
        pytest.skip("this Python's binaries have that name")
    own.write_bytes(b"not this one")
    make(project).build()
    assert not own.exists() and value(project) == 1


def test_a_library_that_changed_is_linked_again(project):
    (project / "one.c").write_text(
        "int of_library(void);\nint one(void) { return of_library(); }\n"
    )
    options = {"libraries": ["given"], "library_dirs": ["."]}
    for number in (5, 6):
        (project / "given.c").write_text(f"int of_library(void) {{ return {number}; }}\n")
        (project / "libgiven.a").unlink(missing_ok=True)
        for command in ("gcc -fPIC -c given.c", "ar rcs libgiven.a given.o"):
            subprocess.run(command.split(), cwd=project, check=True)
        make(project, **options).build()
        assert value(project) == number
    compiled(project)
    make(project, **options).build()
    assert compiled(project) == []


@pytest.mark.parametrize(
    ("libraries", "words"),
    [
        (["given"], ["-L{}"]),
        ([], ["{}/libgiven.a"]),
        ([], ["-L{}", "-lgiven"]),
        ([], ["-L", "{}", "-l", "given"]),
        ([":libgiven.a"], ["-L{}"]),
        ([], ["-Wl,-L{}", "-Wl,-lgiven"]),
        ([], ["-Wl,--whole-archive,{}/libgiven.a,--no-whole-archive"]),
    ],
)
def test_every_way_to_name_a_library(tmp_path, libraries, words):
    library = tmp_path / "libgiven.a"
    library.touch()
    arguments = tuple(word.format(tmp_path) for word in words)
    generated = plan.Generated("", "", "", {}, {}, False, [])
    nothing = (tmp_path / "a.so", generated, ".c", (), (), frozenset())
    named = plan.Plan(*nothing, stable=True, libraries=tuple(libraries), link_args=arguments)
    assert plan.linked_libraries(named) == [library]


@pytest.mark.parametrize("where", [">&-", "> /dev/full"])
def test_a_build_needs_nobody_to_read_what_it_says(project, where):
    (project / "build.py").write_text(
        "from ffi_ext import create_extension\n"
        "create_extension('ext.lib', 'lib.h', ['one.c', 'two.c'], relative_to=__file__).build()\n"
    )
    command = f"{sys.executable} build.py {where}"
    done = subprocess.run(
        command, shell=True, cwd=project, capture_output=True, text=True, check=False
    )
    assert "build.py" not in done.stderr and value(project) == 1, done.stderr
    done = subprocess.run(
        f"{sys.executable} -m ffi_ext clean -n ext {where}",
        shell=True,
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr


@pytest.mark.parametrize("encoding", ["utf-8:strict", "ascii:strict"])
def test_what_a_terminal_cannot_show_is_escaped(project, encoding):
    """File names may have any bytes; Python's stdout is strict but in the locales C and POSIX."""
    odd = os.fsdecode(b"caf\xe9")
    (project / "two.c").rename(project / f"{odd}.c")
    (project / "build.py").write_text(
        "from ffi_ext import create_extension\nfrom glob import glob\n"
        "create_extension('ext.lib', 'lib.h', glob('*.c'), relative_to=__file__).build()\n"
    )
    environment = dict(os.environ, PYTHONIOENCODING=encoding)

    def said(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words], cwd=project, env=environment, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.decode()

    assert r"] caf\udce9.c" in said("build.py")
    (project / "ext").rename(project / odd)
    assert r"would remove caf\udce9/lib/" in said("-m", "ffi_ext", "clean", "-n")


def test_odd_file_names(project):
    for number, name in enumerate(
        ["with space.c", "quo'te\".c", "-dash.c", "sub/one.c", "new\nline.c"]
    ):
        path = project / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"int odd{number}(void) {{ return {number}; }}\n")
    (project / "a header\\ $(x) `y`.h").write_text(
        "".join(f"int odd{n}(void);\n" for n in range(5))
    )
    (project / "one.c").write_text("int unused_one(void) { return 1; }\n")
    make(
        project,
        headers=["a header\\ $(x) `y`.h"],
        sources=["with space.c", "quo'te\".c", "-dash.c", "sub/one.c", "new\nline.c", "one.c"],
        define_macros=[("TEXT", '"; rm -rf / #')],
    ).build()
    assert [value(project, f"odd{n}") for n in range(5)] == [0, 1, 2, 3, 4]
    for made in (project / "ext" / "lib").glob("*.py*"):  # which name the header
        ast.parse(made.read_text())


def test_a_source_that_changes_while_it_is_compiled_is_noticed(project):
    slow = project / "counting-cc"
    slow.write_text(
        f'#!/bin/sh\necho "$@" >> "{project}/compilers.log"\n{GCC} "$@" || exit 1\n'
        f'case "$*" in *two.c*) [ -e "{project}/done" ] || {{ touch "{project}/done"; '
        f'echo "int two(void) {{ return 99; }}" > "{project}/two.c"; }};; esac\n'
    )
    make(project).build()
    assert value(project, "two") == 99


@pytest.mark.parametrize("mask", [0o022, 0o027])
def test_files_are_made_by_the_umask_which_is_not_touched(project, monkeypatch, mask):
    """It is the whole process's: two threads that set it could leave 0, and all files open to everybody."""
    before = os.umask(mask)
    try:
        with monkeypatch.context() as patch:
            patch.delattr(os, "umask")
            make(project).build()
    finally:
        os.umask(before)
    modes = {p.suffix: p.stat().st_mode & 0o777 for p in (project / "ext" / "lib").iterdir()}
    assert modes == {".so": 0o777 & ~mask, ".py": 0o666 & ~mask, ".pyi": 0o666 & ~mask}


def test_where_locks_are_refused_builds_at_once_all_succeed(project, monkeypatch):
    """At the price of compiling twice; names are unique and files are replaced whole."""

    def refused(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refused)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: make(project).build(), range(8)))
    assert compiled(project).count("one.c") >= 1
    assert value(project) == 1
    make(project).build()  # the record that is left may be another build's than the binary
    compiled(project)
    make(project).build()
    assert compiled(project) == []


def test_old_and_new_init_import_with_either_binary(project):
    make(project).build()
    shutil.copytree(project / "ext", project / "old" / "ext")
    (project / "lib.h").write_text("int one(void);\nint three(void);\n#define SIZE 3\n")
    (project / "two.c").write_text("int three(void) { return 3; }\n")
    make(project).build()
    shutil.copytree(project / "ext", project / "new" / "ext")
    for init, binary in (("new", "old"), ("old", "new")):
        folder = shutil.copytree(project / init, project / f"{init} with {binary}")
        shutil.copy(
            *(place / "ext" / "lib" / f"_lib{SUFFIX}" for place in (project / binary, folder))
        )
    code = """if 1:
        import sys
        for place in ("old", "new", "new with old", "old with new"):
            sys.path.insert(0, place)
            import ext.lib
            print(ext.lib.__file__.split("/")[-4], ext.lib.one())
            function = ext.lib.__dict__.get("two")
            for name in ("ext", "ext.lib", "ext.lib._lib"):
                del sys.modules[name]
        function()
    """
    done = python("-c", code, cwd=project)
    assert done.stdout == "old 1\nnew 1\nnew with old 1\nold with new 1\n", done.stderr
    assert "build the extension again" in done.stderr


def test_a_build_says_that_this_process_has_the_old_binary(project):
    code = (
        "import importlib, pathlib, ffi_ext\n"
        "def make(*files):\n"
        "    for file, text in zip(('lib.h', 'one.c', 'two.c'), files): pathlib.Path(file).write_text(text)\n"
        "    ffi_ext.create_extension('ext.lib', ['lib.h'], ['one.c', 'two.c'], verbose=False).build()\n"
        "make(); make('int one(void);'); print('imported')\n"
        "import ext.lib; make('int one(void);')\n"
        "print('added'); make('int one(void); int new(void);', 'int one(void) { return 3; }',"
        " 'int new(void) { return 1; }')\n"
        "print(importlib.reload(ext.lib).one())\n"
        "try: ext.lib.new()\n"
        "except AttributeError as error: print(error)\n"
    )
    done = python("-c", code, cwd=project)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said[:3] == [
        "imported",
        "added",
        f"ffi_ext: _lib{SUFFIX} is in use here: restart Python to run the new one",
    ]
    assert said[3] == "1" and said[4].endswith("before that was done, restart Python")


def test_a_build_imports_neither_torch_nor_setuptools(project):
    code = (
        "import sys, ffi_ext\n"
        "ffi_ext.create_extension('ext.lib', ['lib.h'], ['one.c', 'two.c'], verbose=False).build()\n"
        "assert not {'torch', 'setuptools', 'numpy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=project, check=True)


def test_importing_a_module_imports_no_parser(project):
    with (project / "lib.h").open("a") as header, (project / "one.c").open("a") as source:
        header.write("int total(int count, ...);\n")
        source.write("int total(int count, ...) { return count; }\n")
    make(project).build()
    code = "import ext.lib, sys; assert not {'cffi', 'pycparser', 'setuptools', 'ffi_ext.types'} & set(sys.modules)"
    code += "; assert ext.lib.total(3) == 3"
    subprocess.run([sys.executable, "-c", code], cwd=project, check=True)


def test_a_freshly_read_ffi_is_genuine(project):
    assert isinstance(make(project), cffi.FFI)
