"""Libraries that lie somewhere else, called by their own headers: what is found, and what they lack."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import ffi_ext
from ffi_ext import BuildError, NativeError, cli, create_extension
from tests.processes import python

HEADER = """
#ifndef FAR_H
#define FAR_H
#define FAR_VERSION 7
extern const int far_size;
extern const char far_lost[];
extern struct far_hidden far_hidden;
int far_twice(int n);
int far_odd(int n);
int far_even(const char *text);
#endif
"""
SOURCE = "const int far_size = 3; int far_twice(int n) { return 2 * n; }\n"


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with include/sub/far.h, where the compiler looks, and lib/libfar.so, which has one of its functions."""
    (tmp_path / "include" / "sub").mkdir(parents=True)
    (tmp_path / "include" / "sub" / "far.h").write_text(HEADER)
    make_library(tmp_path, SOURCE)
    monkeypatch.setenv("CPATH", str(tmp_path / "include"))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path / "lib"))
    return tmp_path


def make_library(folder: Path, source: str) -> None:
    (folder / "lib").mkdir(exist_ok=True)
    (folder / "lib" / "far.c").write_text(source)
    library = folder / "lib" / "libfar.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, folder / "lib" / "far.c"], check=True)


def linked(far: Path) -> dict[str, list[str]]:
    return {
        "libraries": ["far"],
        "library_dirs": [str(far / "lib")],
        "runtime_library_dirs": [str(far / "lib")],
    }


def test_a_header_is_found_where_the_compiler_looks(far, monkeypatch):
    monkeypatch.setenv("CFLAGS", "-Werror -Wmissing-prototypes")  # for what is generated, too
    module = ffi_ext.load("far_one", headers="sub/far.h", **linked(far))
    assert (module.far_twice(21), module.FAR_VERSION) == (42, 7)
    assert "far_hidden" not in module.__all__


def test_a_header_is_found_in_include_dirs_and_beside_the_script_first(far, tmp_path, monkeypatch):
    monkeypatch.delenv("CPATH")
    monkeypatch.chdir(tmp_path)
    found = ffi_ext.load("far_two", headers=["far.h"], include_dirs="include/sub", **linked(far))
    assert found.far_twice(2) == 4
    (tmp_path / "far.h").write_text("int far_twice(int n);\n")
    own = ffi_ext.load("far_two", headers=["far.h"], include_dirs="include/sub", **linked(far))
    assert own.__all__ == ["far_twice"]


@pytest.mark.parametrize("of_c", [list, lambda flags: {"cc": flags}])
def test_a_header_is_found_by_the_flags_of_pkg_config(far, monkeypatch, of_c):
    monkeypatch.delenv("CPATH")
    flags = of_c([f"-I{far / 'include' / 'sub'}"])
    link = [f"-L{far / 'lib'}", "-lfar", f"-Wl,-rpath,{far / 'lib'}"]
    found = ffi_ext.load("far_pc", headers="far.h", extra_compile_args=flags, extra_link_args=link)
    assert found.far_twice(2) == 4


def test_the_command_and_a_pyproject_toml_take_a_librarys_header(
    far, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    library = ["-l", "far", "-L", "lib", "--ldflag=-Wl,-rpath," + str(tmp_path / "lib")]
    assert cli.main(["build", "sub/far.h", "-n", "_cmd.far", *library]) == 0
    assert next((tmp_path / "_cmd" / "far").glob("_far.*so")).is_file()
    table = '[[tool.ffi-ext.extension]]\nname = "pkg.far"\nheaders = "HEADER"\nsources = []\n'
    for header, notes in (("sub/far.h", 0), ("absent.h", 1)):
        (tmp_path / "pyproject.toml").write_text(table.replace("HEADER", header))
        capsys.readouterr()
        cli.main(["doctor", str(tmp_path)])
        assert capsys.readouterr().out.count(f"{header} is not there") == notes


def test_options_among_files_and_a_library_that_the_import_will_not_find(
    far, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LD_LIBRARY_PATH")
    (far / "lib" / "more.c").write_text("int far_odd(int n) { return n % 2; }\n")
    for where, lost in ("", True), ("-R lib", False):
        words = f"build -L lib -l far -q -n _cmd.far sub/far.h {where} lib/more.c"
        assert cli.main(words.split()) == 0
        said = f"will not find libfar.so, .*: it lies in {tmp_path / 'lib'}. Name that directory"
        assert bool(re.search(said, capfd.readouterr().err)) == lost, where


def test_a_table_of_a_pyproject_toml_is_built_with_a_library(far, tmp_path, monkeypatch):
    """Its paths start at the project, those of runtime_library_dirs too, but for the loader's words."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LD_LIBRARY_PATH")
    folders = 'library_dirs = ["lib"]\nruntime_library_dirs = ["$ORIGIN/x", "lib"]\n'
    (tmp_path / "pyproject.toml").write_text(
        '[[tool.ffi-ext.extension]]\nname = "pkg.far"\nheaders = "sub/far.h"\nsources = []\n'
        f'libraries = ["far"]\n{folders}'
    )
    (tmp_path / "setup.py").write_text(
        "import setuptools\nsetuptools.setup(name='p', packages=[])\n"
    )
    done = python("setup.py", "-q", "build_ext", "--build-lib", "out")
    assert done.returncode == 0, done.stderr
    use = "import sys; sys.path.insert(0, 'out'); import pkg.far; print(pkg.far.far_twice(4))"
    done = python("-c", use)
    assert done.stdout == "8\n", done.stderr
    binary = next((tmp_path / "out" / "pkg" / "far").glob("_far.*so"))
    dynamic = subprocess.run(["readelf", "-d", binary], check=True, capture_output=True, text=True)
    assert f"[$ORIGIN/x:{tmp_path}/lib]" in dynamic.stdout


def test_a_header_that_is_nowhere(tmp_path):
    for make in (
        lambda: ffi_ext.load("far_none", headers="no_such_far.h"),
        lambda: create_extension("far.none", "no_such_far.h", [], relative_to=tmp_path / "b.py"),
    ):
        with pytest.raises(
            FileNotFoundError, match=r"no_such_far\.h' does not exist.* nor where the"
        ):
            make()


def test_what_a_library_lacks_raises_when_it_is_called(far, capfd):
    module = ffi_ext.load("far_three", headers="sub/far.h", **linked(far))
    said = capfd.readouterr().err
    assert "the libraries do not have far_even, far_odd: calling one raises" in said
    assert module.far_twice(4) == 8
    with pytest.raises(NativeError, match=r"far_odd: .* do not have this .* declared at far\.h:9"):
        module.far_odd(3)
    assert module.far_size == 3
    with pytest.raises(AttributeError, match="do not have far_lost: .* NULL"):
        _ = module.far_lost
    with pytest.raises(TypeError, match="argument 1 'text'"):
        module.far_even(3)
    ffi_ext.load("far_three", headers="sub/far.h", **linked(far))
    assert capfd.readouterr().err == ""  # it is up to date


def test_another_library_brings_what_the_first_lacks(far, capfd):
    ffi = dict(headers="sub/far.h", sources=[], relative_to=str(far / "b.py"), verbose=False)
    create_extension("_far.four", **ffi, **linked(far)).build()
    assert "far_even, far_odd" in capfd.readouterr().err
    source = far / "more.c"
    source.write_text("int far_odd(int n) { return n & 1; }\n")
    ffi["sources"] = ["more.c"]
    create_extension("_far.four", **ffi, **linked(far)).build()
    assert "do not have far_even: calling it raises" in capfd.readouterr().err
    binary = next((far / "_far" / "four").glob("_four.*so"))
    names = subprocess.run(["nm", "-D", binary], capture_output=True, text=True, check=True).stdout
    assert "T far_odd" in names
    source.write_text(
        "int far_odd(int n) { return n & 1; }\nint far_even(const char *t) { return !*t; }\n"
    )
    create_extension("_far.four", **ffi, **linked(far)).build()
    assert capfd.readouterr().err == ""


def test_a_header_that_calls_what_the_library_needs_itself(far, capfd):
    """What the library lacks is found then, too."""
    header = "int deep(void);\nstatic inline int far_through(void) { return deep(); }\n"
    (far / "include" / "upper.h").write_text(f"{header}int far_up(void);\nint far_odd(int n);\n")
    (far / "deep.c").write_text("int deep(void) { return 4; }\n")
    (far / "upper.c").write_text("int deep(void);\nint far_up(void) { return deep(); }\n")
    for name, needs in (("deep", []), ("upper", [f"-L{far / 'lib'}", "-ldeep"])):
        library = far / "lib" / f"lib{name}.so"
        command = ["gcc", "-shared", "-fPIC", "-o", library, far / f"{name}.c", *needs]
        subprocess.run([*command, f"-Wl,-rpath,{far / 'lib'}"], check=True)
    module = ffi_ext.load("far_up", headers="upper.h", **{**linked(far), "libraries": ["upper"]})
    assert (module.far_up(), module.far_through()) == (4, 4)
    assert "the libraries do not have far_odd: calling it raises" in capfd.readouterr().err


def test_a_library_that_is_not_named_is_an_error(far):
    with pytest.raises(
        BuildError,
        match=r"no library that is linked has a function of far\.h: .*far_twice \(far\.h:8\).*`libraries`",
    ):
        ffi_ext.load("far_five", headers="sub/far.h")


INLINE = """
#include <stdint.h>
typedef struct far_pair { int32_t a, b; } far_pair;
int far_twice(int n);
int far_odd(int n);
/** The sum of both. */
static inline int32_t far_sum(const far_pair *pair) { return pair->a + pair->b; }
static __inline__ __attribute__((always_inline)) int far_four_times(int n) { return far_twice(far_twice(n)); }
__attribute__((unused)) static far_pair far_swapped(far_pair p) { far_pair r = {p.b, p.a}; return r; }
static int far_of_many(const char *format, ...) { return format[0]; }
static inline __attribute__((const)) int far_later(int n);
static inline int far_of_list(__builtin_va_list list) { return 0; }
inline int far_not_static(int n) { return n; }
int far_later(int n) { return n; }
"""


def test_functions_that_the_header_of_a_library_has_itself(far):
    (far / "include" / "sub" / "far.h").write_text(INLINE)
    module = ffi_ext.load("far_inline", headers="sub/far.h", **linked(far))
    names = ["far_twice", "far_odd", "far_sum", "far_four_times", "far_swapped", "far_of_many"]
    assert module.__all__ == [*names, "far_later"] and module.far_later(3) == 3
    assert module.far_sum(module._ffi.new("far_pair *", (40, 2))) == 42
    assert module.far_sum.__doc__ == "int32_t far_sum(const far_pair *pair)\n\nThe sum of both."
    swapped = module.far_swapped((1, 2))
    assert (swapped.a, swapped.b, module.far_four_times(3)) == (2, 1, 12)
    assert module.far_of_many(b"*") == 42
    with pytest.raises(BuildError, match=r"no library .* has a function of far\.h: far_odd .*h:5"):
        ffi_ext.load("far_inline_alone", headers="sub/far.h")


def test_a_function_in_a_header_that_only_c_reads_leaves_the_others(far):
    (far / "include" / "sub" / "far.h").write_text(
        "int far_twice(int n);\nstatic inline int far_same(int n) { return n; }\n"
        "static inline int far_strange(__typeof__(3) n) { return n; }\n"
    )
    module = ffi_ext.load("far_odd_one", headers="sub/far.h", **linked(far))
    assert module.__all__ == ["far_twice", "far_same"] and module.far_same(4) == 4


def test_functions_in_a_header_for_which_more_is_needed(far):
    """Calls into another library, which is not linked; and into what only some processors, or no callers, have."""
    folder = far / "include" / "sub"
    (folder / "foreign.h").write_text("int elsewhere(int n);\nextern int its_level;\n")
    (folder / "far.h").write_text(
        'int far_twice(int n);\n#include "foreign.h"\n'
        "static inline int far_helper(int n) { return elsewhere(n); }\n"
        "#define ONLY static inline __attribute__\n"
        'ONLY((error("never"))) int far_never(int n) { return n; }\n#ifdef __x86_64__\n'
        'ONLY((always_inline, target("avx512f"))) int far_wide(int n) { return n; }\n#endif\n'
    )
    module = ffi_ext.load("far_more", headers="sub/far.h", **linked(far))
    assert module.__all__ == ["far_twice", "far_helper"] and module.far_twice(4) == 8
    with pytest.raises(NativeError, match="elsewhere: the libraries that are linked do not have"):
        module.far_helper(1)


def test_functions_in_headers_of_the_project_are_for_c(far, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.h").write_text(
        "int far_twice(int n);\nstatic inline int f(int n) { return n; }\n"
    )
    module = ffi_ext.load("far_own", headers="own.h", **linked(far))
    assert module.__all__ == ["far_twice"]
    (tmp_path / "own").mkdir()
    (tmp_path / "own.h").rename(tmp_path / "own" / "own.h")
    own = dict(include_dirs=["own"], relative_to=str(tmp_path / "build.py"), verbose=False)
    create_extension("_far_mine", "own.h", [], **own, **linked(far)).build()
    assert "'far_twice'" not in (tmp_path / "_far_mine" / "__init__.py").read_text()
    assert '__all__ = ["far_twice"]' in (tmp_path / "_far_mine" / "__init__.py").read_text()


def test_what_the_project_declares_itself_must_be_there(far, tmp_path):
    (tmp_path / "own.h").write_text('#include "sub/far.h"\nint far_off(void);\n')
    with pytest.raises(BuildError, match=r"defined in none of the sources: far_off \(own\.h:2\)"):
        ffi_ext.load("far_six", headers=[str(tmp_path / "own.h"), "sub/far.h"], **linked(far))


def test_a_library_that_is_there_as_sources(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "near").mkdir()
    (tmp_path / "near" / "near.h").write_text("int near_twice(int n);\nint near_off(void);\n")
    (tmp_path / "near" / "near.c").write_text("int near_twice(int n) { return 2 * n; }\n")
    with pytest.raises(BuildError, match="near_off .*by its bare name and its directory"):
        ffi_ext.load("near", "near/near.c", "near/near.h")
    module = ffi_ext.load("near", "near/near.c", "near.h", include_dirs="near")
    assert module.near_twice(4) == 8
    with pytest.raises(NativeError, match="near_off: the libraries that are linked do not have"):
        module.near_off()
