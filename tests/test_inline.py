"""load and load_inline: the cache, modules that stay what they were, errors with the line."""

from __future__ import annotations

import base64
import importlib
import os
import pickle
import platform
import re
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

import ffi_ext
from ffi_ext import BuildError, HeaderError, cache, cli, inline
from ffi_ext.cuda import toolkit
from ffi_ext.headers import definitions
from tests.processes import python

SOURCE = """
/* twice(x) { } */
static int helper(int x) { return 2 * x; }
int twice(int x) { if (x) { return helper(x); } return 0; }
void scale(THFloatTensor *t, float by)
{
  THFloatTensor_mul(t, t, by);
}
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FFI_EXT_CACHE", str(tmp_path / "cache"))


def test_text_becomes_a_module():
    module = ffi_ext.load_inline("inl", SOURCE)
    assert module.twice(21) == 42 and module.__all__ == ["twice", "scale"]
    t = torch.ones(3)
    module.scale(t, 2.5)
    assert t.tolist() == [2.5] * 3


def test_the_same_text_compiles_once(tmp_path):
    header = "int twice(int x);"
    assert ffi_ext.load_inline("inl", SOURCE, header).twice(2) == 4
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("*.o")}
    assert len(before) == 2
    code = f"import ffi_ext; print(ffi_ext.load_inline('inl', {SOURCE!r}, {header!r}).twice(2))"
    again = python("-c", code)
    assert again.stdout == "4\n", again.stderr
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("*.o")} == before


def test_another_text_under_the_same_name_is_another_module():
    first = ffi_ext.load_inline("same", "int which(void) { return 1; }")
    second = ffi_ext.load_inline("same", "int which(void) { return 2; }")
    assert (first.which(), second.which(), first.which()) == (1, 2, 1)


def test_threads_load_at_once():
    def returned(number):
        return ffi_ext.load_inline("many", f"int f(void) {{ return {number}; }}").f()

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(returned, [0, 1, 2] * 3)) == [0, 1, 2] * 3


def test_errors_name_the_line():
    with pytest.raises(
        BuildError, match=r"broken \(c_source\):3: .*undeclared.*\n    return missing;\n"
    ):
        ffi_ext.load_inline("broken", "int f(void)\n{\n  return missing;\n}\n")
    with pytest.raises(ValueError, match="defines no function"):
        ffi_ext.load_inline("nothing", "static int f(void) { return 1; }")
    with pytest.raises(ValueError, match="identifier"):
        ffi_ext.load_inline("a-b", SOURCE)


def test_the_traceback_shows_the_line_of_c():
    with pytest.raises(BuildError) as caught:
        ffi_ext.load_inline("shown", "int f(void)\n{\n  return missing + 1;\n}\n")
    shown = "".join(traceback.format_exception(caught.value))
    # As of other code without a file: coverage ended with "No source for code" where the name has no angles.
    assert 'File "<shown (c_source)>", line 3, in <module>\n    return missing + 1;' in shown
    assert "build.py" not in shown and traceback.extract_tb(caught.tb)[-1].lineno == 3
    with pytest.raises(HeaderError) as caught:
        ffi_ext.load_inline(
            "shown", "int f(void) { return 1; }", "int f(void);\nint g(unheard *p);\n"
        )
    shown = "".join(traceback.format_exception(caught.value))
    assert '<shown.h>", line 2, in <module>\n    int g(unheard *p);' in shown


@pytest.mark.parametrize(
    "head",
    ["int g(int x", "int g(int x))", "int g(int x, y)", "int g(str x)", "int g(int x) return"],
)
def test_a_prototype_that_is_no_c_is_told_by_the_compiler(head):
    with pytest.raises(BuildError, match=rf"c_source\):2: .*\n    {re.escape(head)} {{ .*\n"):
        ffi_ext.load_inline("wrong", f'#include "wrong.h"\n{head} {{ return x; }}')
    with pytest.raises(BuildError, match=r"c_source\):3: "):  # another function is right
        ffi_ext.load_inline("wrong", f"\nint f(int x) {{ return x; }}\n{head} {{ return x; }}")


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("#include <Python.h>\nPyObject *f(PyObject *x) { return x; }", {}),
        (
            'struct s { int n; };\nextern "C" s f(s x) { constinit static s y; return y; }',
            {"language": "c++", "extra_compile_args": ["-std=c++20"]},
        ),
    ],
)
def test_a_type_that_only_the_compiler_knows_is_no_mistake(text, options):
    with pytest.raises(HeaderError, match="cannot parse .*\n.*\nhint: types that prototypes use"):
        ffi_ext.load_inline("wrong", text, **options)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("typedef struct { int a; } pair;\nint f(pair p) { return p.a; }\n", "int f\\(pair p\\);"),
        (
            "struct pair { int a; };\nint f(struct pair p) { return p.a; }\n",
            "value of 'struct pair'",
        ),
        ("enum hue { RED };\nenum hue f(void) { return RED; }\n", "a value of 'enum hue'"),
    ],
)
def test_types_of_the_c_text(source, said):
    with pytest.raises(
        HeaderError, match=rf"(?s)^own \(c_source\): .*{said}.*go into `header`"
    ) as e:
        ffi_ext.load_inline("own", source)
    assert "own.h:1" not in str(e.value)
    types, _, function = source.partition("\n")
    declared = f"{types}\n{function.partition(' {')[0]};\n"
    module = ffi_ext.load_inline("own", f'#include "own.h"\n{function}', declared)
    assert module.__all__[0] == "f"
    if "typedef" in types:
        with pytest.raises(BuildError, match='hint: #include "own.h" in c_source has the types'):
            ffi_ext.load_inline("own", function, declared)


def test_what_is_wrong_with_c_text_that_is_its_own_header():
    of_a_macro = (
        "#define SUM(t) t sum_##t(t a, t b) { return a + b; }\nSUM(int)\nint f(int x) { return x; }"
    )
    with pytest.raises(HeaderError, match="hint: is SUM a macro.* are named in `header`"):
        ffi_ext.load_inline("own", of_a_macro)
    with pytest.raises(HeaderError, match="hint: is API a macro.* are named in `header`"):
        ffi_ext.load_inline("own", "#define API\nAPI int f(int x) { return x; }")
    with pytest.raises(HeaderError, match="hint: this is CUDA, .* pass it as cuda_source, and its"):
        ffi_ext.load_inline("own", "__global__ void k(float *x) {}")
    with pytest.raises(HeaderError, match="hint: THTensor was PyTorch 0.4.1's"):
        ffi_ext.load_inline("own", "void f(THTensor *x) {}")
    with pytest.raises(HeaderError, match=r"^own \(c_source\).*\n.*\nhint: .* rename größe$"):
        ffi_ext.load_inline("own", "int f(int größe) { return größe; }")
    with pytest.raises(HeaderError, match=r"flot is an unknown type; did you mean float\?"):
        ffi_ext.load_inline("own", "int f(flot x) { return x; }")
    with pytest.raises(BuildError, match=r"hint: Python has made a line break of \\n in it"):
        ffi_ext.load_inline("own", 'void f(void) { printf("1\n"); }')
    with pytest.raises(BuildError, match="hint: C before C23 has bool in <stdbool.h>") as e:
        ffi_ext.load_inline("own", "bool f(bool x) { return x; }")
    assert "argument header" not in str(e.value)  # which was not given
    with pytest.raises(HeaderError, match=r"unknown item 'shape\(n\)'; a shape is \(n\) alone$"):
        text = "/** @param x [shape(n)] */\nvoid f(const ffi_ext_tensor *x) {}"
        ffi_ext.load_inline("own", text)
    for wrong in ("ffi_ext_tensor", "THFloatTensor"):
        with pytest.raises(HeaderError, match=rf"hint: .* or use a pointer: {wrong} \*$"):
            ffi_ext.load_inline("own", f"void f({wrong} x) {{ }}")
    with pytest.raises(HeaderError, match="array of tensors, .*: declare a parameter for each$"):
        ffi_ext.load_inline("own", "void f(ffi_ext_tensor xs[2]) { }")


def test_keywords_are_refused_in_the_name_of_the_function_that_was_called(tmp_path):
    with pytest.raises(TypeError, match=r"load_inline\(\) got .* 'verbos'; did you mean 'verbose'"):
        ffi_ext.load_inline("kw", "int f(void) { return 1; }", verbos=True)
    with pytest.raises(TypeError, match=r"^load_inline\(\) argument 'libraries': expected"):
        ffi_ext.load_inline("kw", "int f(void) { return 1; }", libraries=3)
    with pytest.raises(TypeError, match=r"^load\(\) got .* 'with_cdua'; did you mean 'with_cuda'"):
        ffi_ext.load("kw", [], "string.h", with_cdua=True)
    for name in ("sources", "headers"):
        with pytest.raises(
            TypeError, match=rf"^load_inline\(\) .*'{name}'; its texts are c_source"
        ):
            ffi_ext.load_inline("kw", "int f(void) { return 1; }", **{name: "x"})
    with pytest.raises(TypeError, match=r"'source'; did you mean 'c_source'"):
        ffi_ext.load_inline("kw", source="int f(void) { return 1; }", c_source="")
    with pytest.raises(
        TypeError, match="'kept'; known are c_source, cuda_source, define_"
    ) as caught:
        ffi_ext.load_inline("kw", "int f(void) { return 1; }", kept=True)
    assert not re.search("headers|sources|relative_to|package", str(caught.value))
    for name in ("kept", "relative_to"):
        with pytest.raises(TypeError, match=rf"^load\(\) got an unknown keyword argument '{name}'"):
            ffi_ext.load("kw", [], "string.h", **{name: "x"})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [((b"int x;",), "'c_source': expected C text"), (("int f();", 3), "'header': expected C text")],
)
def test_what_is_no_text(arguments, said):
    with pytest.raises(TypeError, match=said):
        ffi_ext.load_inline("no_text", *arguments)


def test_file_names_and_other_texts_that_are_no_c_text():
    for files in (("src/a.c",), ("int f(void) { return 1; }", "a.h")):
        with pytest.raises(
            ValueError, match=r"expected C text, got the name of a file, '.*a\.[ch]'"
        ):
            ffi_ext.load_inline("no_text", *files)
    with pytest.raises(
        TypeError, match="'cpp_sources'; its texts are c_source, header and cuda_so"
    ):
        ffi_ext.load_inline("no_text", "", cpp_sources="")


def test_other_processes_import_what_was_loaded():
    """A notebook's workers, of spawn or joblib, run no cell that would load it there."""
    ffi_ext.load_inline("sent", "int f(void) { return 1; }")
    module = ffi_ext.load_inline("sent", "int f(void) { return 2; }")
    sent = base64.b64encode(pickle.dumps((module.f, module.__name__))).decode()
    got = python(
        "-c",
        "import base64, importlib, pickle\n"
        f"f, name = pickle.loads(base64.b64decode({sent!r}))\n"
        "print(f(), importlib.import_module(name).f is f)",
    )
    assert got.stdout == "2 True\n"
    assert importlib.reload(module).f() == 2
    assert ffi_ext.load_inline("sent", "int f(void) { return 2; }") is module


def test_what_is_no_refusal_keeps_its_traceback(monkeypatch):
    """Python says of a quote left open that it is; the line that reads the variable says of what."""
    monkeypatch.setenv("CFLAGS", "-DX='a")
    with pytest.raises(ValueError, match="quotation") as error:
        ffi_ext.load_inline("quoted", "int f(void) { return 1; }")
    assert any('"CFLAGS")' in str(entry.statement) for entry in error.traceback)


def test_where_modules_are_kept(tmp_path, monkeypatch):
    monkeypatch.delenv("FFI_EXT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    module = ffi_ext.load_inline("kept", "int f(void) { return 1; }")
    assert Path(module.__file__).is_relative_to(tmp_path / "xdg" / "ffi_ext" / "modules")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    module = ffi_ext.load_inline("kept", "int f(void) { return 2; }")
    assert Path(module.__file__).is_relative_to(tmp_path / "home" / ".cache" / "ffi_ext")


def test_kinds_of_machines_that_share_a_home_keep_binaries_of_their_own(monkeypatch):
    """x86 login nodes and ARM compute nodes rebuilt each other's at every change, or imported them."""
    here = ffi_ext.load_inline("kinds", "int one(void) { return 1; }")
    monkeypatch.setattr(platform, "machine", lambda: "other")
    there = ffi_ext.load_inline("kinds", "int one(void) { return 1; }")
    folders = {Path(module.__file__).parents[2] for module in (here, there)}
    assert len(folders) == 2


def test_the_cache_is_not_removed_under_a_build(monkeypatch, capsys):
    """Else the compiler, or the import, misses files, and the error tells of a wrong include directory."""
    build, codes = inline.build_and_keep, []

    def cleaned(*arguments, **keywords):
        codes.append(cli.main(["clean", "--cache"]))
        build(*arguments, **keywords)

    monkeypatch.setattr(inline, "build_and_keep", cleaned)
    assert ffi_ext.load_inline("held", "int f(void) { return 5; }").f() == 5
    assert codes == [1] and "something is being built in" in capsys.readouterr().err
    assert cli.main(["clean", "--cache"]) == 0
    assert not list(cache.root().rglob("_held.*"))


def test_a_tilde_is_the_home_and_no_folder_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FFI_EXT_CACHE", "~/kept")
    assert cache.root() == tmp_path / "home" / "kept"
    monkeypatch.delenv("FFI_EXT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "~/xdg")
    assert cache.root() == tmp_path / "home" / "xdg" / "ffi_ext"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(os.path, "expanduser", lambda path: os.fspath(path))  # has no home
    assert cache.root() is None
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


@pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="Python imports nothing in C from such a path from 3.12 on"
)
def test_a_cache_whose_name_the_locale_cannot_say(tmp_path):
    """Python reads it as surrogates then, and they go back to the same bytes."""
    code = "import ffi_ext; print(ffi_ext.load_inline('m', 'int f(void) { return 7; }').f())"
    own = {"FFI_EXT_CACHE": str(tmp_path / "\u00fc"), "LC_ALL": "POSIX"}
    run = python("-c", code, PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", **own)
    assert run.stdout == "7\n", run.stderr


def test_a_cache_that_others_may_write_to_is_refused(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    refused = {"file": r"cannot be made \(File exists\)"}
    for name, mode in (("of_a_group", 0o720), ("of_all", 0o702)):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(mode)
        refused[name] = r"may be written to by others, .*chmod go-w"
    for name, why in refused.items():
        path = tmp_path / name
        monkeypatch.setenv("FFI_EXT_CACHE", str(path))
        with pytest.raises(BuildError, match=f"only you may write to; {path} {why}"):
            ffi_ext.load_inline("inl", SOURCE)
    monkeypatch.setenv("FFI_EXT_CACHE", str(tmp_path))
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(BuildError, match=r"belongs to user \d+, not to you \(\d+\)"):
        ffi_ext.load_inline("inl", SOURCE)


def test_files(tmp_path, monkeypatch):
    (tmp_path / "lib.h").write_text("int value(void);\n")
    (tmp_path / "lib.c").write_text("int value(void) { return 3; }\n")
    monkeypatch.chdir(tmp_path)
    assert ffi_ext.load("lib", "lib.c", "lib.h").value() == 3
    (tmp_path / "lib.c").write_text("int value(void) { return 4; }\n")
    assert ffi_ext.load("lib", ["lib.c"], ["lib.h"]).value() == 4
    with pytest.raises(
        ValueError, match=r"^load\(\) argument 'headers': expected .*got none; load_in"
    ):
        ffi_ext.load("lib", "lib.c")
    with pytest.raises(ValueError, match=r"^load\(\) argument 'sources': '.*lib.h' is a header by"):
        ffi_ext.load("lib", "lib.h", "lib.c")
    with pytest.raises(FileNotFoundError, match="'lbi.c' does not exist in .*; did you mean lib.c"):
        ffi_ext.load("lib", "lbi.c", "lib.h")
    with pytest.raises(TypeError, match="argument 'include_dirs': expected "):
        ffi_ext.load("lib", "lib.c", "lib.h", include_dirs=3)


def test_files_as_glob_finds_them(tmp_path, monkeypatch):
    (tmp_path / "lib.h").write_text("int value(void);\n")
    (tmp_path / "lib.c").write_text("int value(void) { return 3; }\n")
    monkeypatch.chdir(tmp_path)
    for folder, headers in [(Path(), {"lib.h"}), (tmp_path, tmp_path.glob("*.h"))]:
        module = ffi_ext.load("lib", folder.glob("*.c"), headers)
        assert module.value() == 3
    assert len(list((tmp_path / "cache" / "modules").iterdir())) == 1  # it was built once


def test_relative_directories_start_at_the_current_one(tmp_path, monkeypatch):
    (tmp_path / "inc").mkdir()
    (tmp_path / "inc" / "number.h").write_text("#define NUMBER 9\n")
    source = '#include "number.h"\nint value(void) { return NUMBER; }\n'
    (tmp_path / "lib.h").write_text("int value(void);\n")
    (tmp_path / "lib.c").write_text(source)
    monkeypatch.chdir(tmp_path)
    assert ffi_ext.load("lib", "lib.c", "lib.h", include_dirs=["inc"]).value() == 9
    assert ffi_ext.load_inline("numbered", source, include_dirs="inc").value() == 9


def test_exported():
    text = "struct s { int a; };\nextern int g;\n#define F(x) { x }\nstatic void h(void) {}\n"
    text += 'const char *n(struct s *p) { int b = 2; if (b) b = 1; { p->a = b; } return "}{"; }'
    assert definitions.exported(text) == "const char *n(struct s *p);\n"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_macro_of_several_lines_is_no_function(end):
    lines = [
        "#define DEFINE(n) \\",
        "  int n##_1(int a) \\",
        "  { return a; }",
        "int g(int a) { return a; }",
    ]
    assert definitions.exported(end.join(lines)) == "int g(int a);\n"


def test_what_the_preprocessor_leaves_out_is_not_exported():
    text = """
#include <limits.h>
#if INT_MAX > 5
int f(int x) { if (x) {
#else
int f(long x) { {
#endif
  } return x; }
#if 0
int never(int x) { return x; } /* a comment of
two rows { */
#elif defined(_WIN32) || !defined(TH_API)
int elsewhere(int x) { return x; }
#else
/* Here. */
int here(int x) \
  { return f(x) + EXTRA; }
#endif
"""
    for _ in range(2):  # the second time the preprocessor's answer was kept
        module = ffi_ext.load_inline("left", text, define_macros=[("EXTRA", "1")])
        assert module.__all__ == ["f", "here"] and module.here(4) == 5
        assert "Here." in module.here.__doc__
    with pytest.raises(BuildError, match=r"broken \(c_source\):1: '?missing.h"):
        ffi_ext.load_inline("broken", "#include <missing.h>\n#ifdef X\n#endif\nint f(void) {}")
    with pytest.raises(TypeError, match=r"^load_inline\(\) argument 'libraries': expected"):
        ffi_ext.load_inline("left", text, libraries=3)
    cxx = """
#include <vector>
#ifdef __cplusplus
extern "C" {
#endif
int n(int x) { return (int)std::vector<int>(x).size(); }
#ifdef __cplusplus
}
#endif
"""
    assert ffi_ext.load_inline("left_cxx", cxx, language="c++").n(7) == 7


def test_heads_of_functions():
    text = """
__attribute__((section(".text.a"), unused)) int a(int x) { return x; }
int __attribute__((noinline)) b(int x) { return x; }
int static there(int x) { return x; }
inline int helper(int x) { return x + 1; }
inline static int too(int x) { return helper(x); }
extern inline int c(int x) { return too(x); }
#include <complex.h>
double complex times(const complex float *z, double complex by) { return *z * by; }
"""
    module = ffi_ext.load_inline("heads", text)
    assert module.__all__ == ["a", "b", "c", "times"] and module.a(2) + module.b(3) == 5
    assert module.times(torch.tensor([1 + 2j]), 3j) == -6 + 3j
    assert module.c(1) == 2
    module = ffi_ext.load_inline(
        "heads",
        """
extern "C" inline int helper(int x) { return x; }
extern "C" int a(int x) noexcept { return helper(x); }
extern "C" [[nodiscard]] int b(int x) noexcept(true) { return x; }
extern "C" auto c(const double *x) -> double { return *x; }
""",
        language="c++",
    )
    assert module.__all__ == ["a", "b", "c"]
    assert module.a(2) + module.b(3) == 5 and module.c([1.5]) == 1.5


def test_of_cxx_what_is_extern_c_is_exported():
    module = ffi_ext.load_inline(
        "cxx_text",
        """#include <vector>
template <class T> T twice(const T &x) { return x + x; }
std::vector<int> numbers(int n) { return std::vector<int>(n, 3); }
extern "C" int length(int n) { return numbers(twice(n)).size(); }
extern "C" {
static int hidden(int n) { return n; }
/* The sum of n threes. */
int sum(int n) {
  int s = 0;
  for (int x : numbers(n)) { s += x; }
  return hidden(s);
}
}
struct S { int m() { return 1; } };
int behind(int n) { return n; }
""",
        language="c++",
    )
    assert module.__all__ == ["length", "sum"] and "n threes" in module.sum.__doc__
    assert (module.length(2), module.sum(4)) == (4, 12)
    with pytest.raises(ValueError, match='no function that is extern "C"'):
        ffi_ext.load_inline("cxx_text", "int f(void) { return 1; }", language="c++")
    with pytest.raises(HeaderError, match=r'pass language="c\+\+", and make .* extern "C"'):
        ffi_ext.load_inline("cxx_text", "std::vector<int> f(void) { return {}; }")
    with pytest.raises(HeaderError, match=r"is read as C: a pointer for a reference, no nam"):
        ffi_ext.load_inline("cxx_text", 'extern "C" int f(int &a) { return a; }', language="c++")


def test_comments_come_along():
    module = ffi_ext.load_inline(
        "commented",
        """
/* The sum of x.
 * @param x [float32, (N), contiguous] */
float total(const ffi_ext_tensor *x) {
  float sum = 0;
  for (int64_t i = 0; i < x->numel; i++) sum += ((float *)x->data)[i];
  return sum;
}

/* Of the next function, not of the one after it. */

// @param[in] x [float32]
int first(const ffi_ext_tensor *x) { const char *text = "}{ /* "; return text[0]; }
int second(void) { return 2; }
/* Begins the line. @param x [float32] */ int third(const ffi_ext_tensor *x) { return 3; }
""",
    )
    assert "The sum of x." in module.total.__doc__ and "next" not in (module.first.__doc__ or "")
    assert module.total(torch.arange(4.0)) == 6
    for wrong in (torch.ones(4).double(), torch.ones(8)[::2], torch.ones(2, 2)):
        with pytest.raises((TypeError, ValueError), match="argument 1 'x'"):
            module.total(wrong)
    for constrained in (module.first, module.third):
        with pytest.raises(TypeError, match="argument 1 'x'"):
            constrained(torch.ones(2).double())
    assert module.second() == 2


def test_comments_of_prototypes_above_their_functions_come_along():
    """As where a header and its source are one text; what the comment asks for was not checked."""
    module = ffi_ext.load_inline(
        "declared",
        """
/* Of both. @param x [float32] */
int first(const ffi_ext_tensor *x);
/* @param x [float32] */
int second(const ffi_ext_tensor *x);
int third(const ffi_ext_tensor *x); // @param x [float32]

int first(const ffi_ext_tensor *x) { return second(x); }
/* Its own. @param x [int64] */
int second(const ffi_ext_tensor *x) { return 2; }
/* The slow way. */
int third(const ffi_ext_tensor *x) { return 3; }
""",
    )
    assert "Of both." in module.first.__doc__ and "Its own." in module.second.__doc__
    for checked in (module.first, module.third):
        with pytest.raises(TypeError, match="argument 1 'x': expected .*float32"):
            checked(torch.ones(2).double())
    assert module.second(torch.ones(2).long()) == 2


@pytest.mark.parametrize("language", ["c", "c++"])
def test_prototypes_say_whether_others_see_a_function(language):
    """A header of C++ says extern "C" for its source; static need not be said twice in C."""
    header = """
#ifdef __cplusplus
extern "C" {
#endif
/* One more. */
int more(int x);
#ifdef __cplusplus
}
#endif
static int own(int x);
extern int of_files(int x);  /* which is not C's in C++ */
"""
    source = "int more(int x) { return own(x) + 1; }\nint own(int x) { return x; }\n"
    source += "int of_files(int x) { return x; }\n"
    module = ffi_ext.load_inline("declared_before", header + source, language=language)
    assert module.__all__ == ["more", "of_files"][: 2 if language == "c" else 1]
    assert "One more." in module.more.__doc__ and module.more(2) == 3


@pytest.mark.skipif(toolkit.nvcc() is None, reason="there is no nvcc on this machine")
def test_cuda_text():
    module = ffi_ext.load_inline(
        "gpu",
        "int run(void *p); int launch(float *p);\nint run(void *p) { return launch(p); }",
        "int run(void *p);",
        "__global__ void k(float *p) { *p = 1; }\n"
        'extern "C" int launch(float *p) { k<<<1, 1>>>(p); return 5; }',
    )
    assert module.run(module._ffi.NULL) == 5
    ffi_ext.load_inline(  # it may use what is included before C text
        "gpu",
        header="void f(const ffi_ext_tensor *x);",
        cuda_source='extern "C" void f(const ffi_ext_tensor *x) { }',
    )
    with pytest.raises(BuildError, match=r"gpu \(cuda_source\):2: identifier") as error:
        ffi_ext.load_inline("gpu", header="void f(void);", cuda_source="\nvoid f(void) { g(); }")
    last = traceback.extract_tb(error.tb)[-1]
    assert (last.filename, last.lineno) == ("<gpu (cuda_source)>", 2)


def test_a_function_that_nothing_declares_is_told_where_warnings_are_not_shown():
    source = 'double f(void) { return wcstod(L"2.5", 0) + cabs(-1); }\nint g(void) { return iswalpha(65); }'
    with pytest.warns(UserWarning, match=r"un \(c_source\):[12]: \w+\(\) is called") as said:
        ffi_ext.load_inline("un", source)
    names = [str(one.message).split()[2] for one in said]
    assert names == ["wcstod()", "iswalpha()"]  # the compiler knows cabs
    declared = f"#include <complex.h>\n#include <wctype.h>\n#include <wchar.h>\n{source}"
    assert ffi_ext.load_inline("declared", declared).f() == 3.5


def test_a_pointer_of_another_type_is_told_where_warnings_are_not_shown():
    """A double tensor read as floats gave numbers, in silence."""
    source = """
    double a(THDoubleTensor *t) { return THFloatTensor_sumall(t); }
    double b(THDoubleTensor *t) { const float *p = THDoubleTensor_data(t); return p[0]; }
    double c(double *p, int n) { double *end = n; return p < end; }
    """
    with pytest.warns(UserWarning, match="for the other type") as said:
        ffi_ext.load_inline("mixed", source)
    lines = [str(warning.message).partition(": ")[0] for warning in said]
    assert lines == [f"mixed (c_source):{line}" for line in (2, 3, 4)]
