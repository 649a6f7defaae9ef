"""Headers: what is exported of them, with which names, comments and types; the stub and the module text."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cffi
import numpy as np
import pytest
import torch

import ffi_ext
from ffi_ext import BuildError, create_extension
from ffi_ext.headers import ctext, preprocessed, statements
from tests.processes import mypy

HEADER = r"""
#ifndef REAL_HEADER_H
#define REAL_HEADER_H
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <TH/TH.h>
#include "shared/types.h"
#define SIZE 12
#define TWICE (SIZE * 2)
#define HEX 0x10u
#define PI 3.14
#define TITLE "a title"
#define FUNCTION_LIKE(x) (x)
#ifdef MISSING
int not_there(void);
#endif
enum mode { FAST, SLOW = 7, SLOWER };
static const int LIMIT = 5;
extern int counter;
#ifdef __cplusplus
extern "C" {
#endif
/* Adds two numbers.
 *
 * Second paragraph, "quoted" and with a \ in it. */
TH_API int add(int a, const int b);
point_t mirror(point_t p);  // swaps x and y
// line one
// line two
double scale_all(const THDoubleTensor *restrict in, THDoubleTensor *out, double factor);

int64_t wide(int64_t x, uint8_t y, size_t z, bool flag) __attribute__((warn_unused_result));
int lambda(int import, int, int None);
int each(int (*callback)(int value, void *data), void *data);
int first_of(const int values[4]);
int formatted(const char *format, ...);
static inline int hidden(int x) { return x + 1; }
unsigned int flags(void);
THDoubleTensor *made(int n);
#ifdef __cplusplus
}
#endif
#endif
"""


SOURCE = r"""
#include <stdarg.h>
int counter = 1;
int add(int a, const int b) { return a + b; }
point_t mirror(point_t p) { point_t r = {p.y, p.x}; return r; }
double scale_all(const THDoubleTensor *restrict in, THDoubleTensor *out, double factor) {
  THDoubleTensor_resizeAs(out, (THDoubleTensor *)in);
  TH_TENSOR_APPLY2(double, out, double, in, *out_data = factor * *in_data;);
  return factor;
}
int64_t wide(int64_t x, uint8_t y, size_t z, bool flag) { return flag ? x + y + (int64_t)z : 0; }
int lambda(int import, int b, int None) { return import + 10 * b + 100 * None; }
int each(int (*callback)(int value, void *data), void *data) { return callback(20, data) + 1; }
int first_of(const int values[4]) { return values[0]; }
int formatted(const char *format, ...) {
  va_list rest; char text[64];
  va_start(rest, format);
  int n = vsnprintf(text, sizeof text, format, rest);
  va_end(rest);
  return n;
}
unsigned int flags(void) { return 0xffffffffu; }
THDoubleTensor *made(int n) { return THDoubleTensor_newWithSize1d(n); }
int of_types(void) { return 3; }
"""


@pytest.fixture(scope="module")
def module(build_once, tmp_path_factory):
    folder = tmp_path_factory.mktemp("inc")
    (folder / "shared").mkdir()
    (folder / "shared" / "types.h").write_text(
        "#ifndef TYPES_H\n#define TYPES_H\ntypedef int coordinate_t;\n"
        "typedef struct { coordinate_t x, y; } point_t;\nint of_types(void);\n#endif\n"
    )
    return build_once(HEADER, HEADER + SOURCE, include_dirs=[str(folder)])


def test_a_real_header(module):
    assert module.__all__ == [
        *("add", "mirror", "scale_all", "wide", "lambda_", "each", "first_of", "formatted"),
        *("flags", "made", "SIZE", "TWICE", "HEX", "PI", "TITLE", "FAST", "SLOW", "SLOWER"),
        *("LIMIT", "counter"),
    ]
    assert (module.SIZE, module.TWICE, module.HEX) == (12, 24, 16)
    assert (module.FAST, module.SLOW, module.SLOWER, module.LIMIT) == (0, 7, 8, 5)
    assert (module.PI, module.TITLE) == (3.14, b"a title")
    assert module.counter == 1
    assert module.add(a=1, b=2) == 3
    assert module.add.__doc__ == (
        "int add(int a, const int b)\n\nAdds two numbers.\n\n"
        'Second paragraph, "quoted" and with a \\ in it.'
    )
    assert module.mirror.__doc__.endswith("swaps x and y")
    assert module.scale_all.__doc__.endswith("line one\nline two")
    mirrored = module.mirror({"x": 1, "y": 2})
    assert (mirrored.x, mirrored.y) == (2, 1)
    out = torch.empty(0, dtype=torch.float64)
    module.scale_all(torch.ones(2, 2, dtype=torch.float64), out, 2.5)
    assert out.tolist() == [[2.5, 2.5], [2.5, 2.5]]
    assert module.wide(2**40, 255, 1, True) == 2**40 + 256
    assert module.lambda_(import_=1, arg1=2, None_=3) == 321
    callback = module._ffi.callback("int(int, void *)", lambda value, data: value * 2)
    assert module.each(callback, module._ffi.NULL) == 41
    assert module.first_of([7, 8, 9, 10]) == 7
    assert (
        module.formatted(b"%d-%s", module._ffi.cast("int", 42), module._ffi.new("char[]", b"xy"))
        == 5
    )
    for value, made in (
        (42, "cast('int', value)"),
        (0.5, "cast('double', value)"),
        (np.int64(42), "cast('int', value)"),
        (np.float32(0.5), "cast('double', value)"),
        (np.zeros(2), "from_buffer(value)"),
        (b"text", "new('char[]', value)"),
        ("text", "new('char[]', value.encode())"),
    ):
        text = (
            rf"formatted\(\): argument 2 passed in the variadic part.*module._ffi.{re.escape(made)}"
        )
        with pytest.raises(TypeError, match=text):
            module.formatted(b"%d", value)
    assert module.flags() == 2**32 - 1
    stub = Path(module.__file__).with_suffix(".pyi").read_text()
    assert "def add(a: int, b: int) -> int:" in stub and "SIZE: int" in stub
    assert "PI: float" in stub
    assert '    """unsigned int flags(void)"""\n' in stub
    assert '    """point_t mirror(point_t p)\n\n    swaps x and y\n    """\n' in stub
    assert "def lambda_(import_: int, arg1: int, None_: int) -> int:" in stub


def test_the_stub_is_valid(module):
    pytest.importorskip("mypy")
    folder = Path(module.__file__).parents[2]
    call = "lib.scale_all({}, lib._ffi.NULL, 2.0)"
    right = ["x: int = lib.add(1, 2)", "t = torch.ones(2)", call.format("t")]
    right += ["new: torch.Tensor | None = lib.made(2)"]
    texts = ("b'%d'", "bytearray(4)", "t.byte()", "t.byte().numpy()", "lib._ffi.NULL")
    right += [f"lib.formatted({text})" for text in texts]
    wrong = [
        "lib.add('1', 2)",
        "y: str = lib.add(1, 2)",
        call.format("[1.0]"),
        "lib.formatted('%d')",
        "lib.made(2).sum()",  # NULL is None
    ]
    lines = ["import torch", f"import {module.__name__} as lib", *right, *wrong]
    (folder / "user.py").write_text("\n".join([*lines, ""]))
    done = mypy("user.py", cwd=folder)
    places = re.findall(r"^(\S+?):(\d+): error", done.stdout, re.M)
    assert {file for file, _ in places} == {"user.py"}, done.stdout
    assert {lines[int(line) - 1] for _, line in places} == {*wrong}, done.stdout


def test_pyright_does_not_miss_the_names_that_are_bound_when_the_module_runs(module):
    """A comment of its own line, anywhere; pyright itself (1.1.414) marked each name of __all__ without it."""
    lines = Path(module.__file__).read_text().splitlines()
    assert "# pyright: basic, reportUnsupportedDunderAll=false" in lines


def test_a_build_script_is_typed_where_cffi_is(tmp_path):
    """Editors know cffi's FFI, which has no build()."""
    pytest.importorskip("mypy")
    (tmp_path / "cffi").mkdir()
    (tmp_path / "cffi" / "__init__.pyi").write_text("class FFI: ...\n")
    (tmp_path / "build.py").write_text(
        "import ffi_ext\nffi_ext.create_extension('a.b', 'b.h', ['b.c']).build()\n"
    )
    path = str(Path(ffi_ext.__file__).parents[1])
    done = mypy("build.py", cwd=tmp_path, PYTHONPATH=path)
    assert done.returncode == 0, done.stdout


def test_a_header_of_the_list_that_another_includes_exports_once(tmp_path):
    (tmp_path / "a.h").write_text('#pragma once\n#include "b.h"\nb_t use_b(b_t x);\n')
    (tmp_path / "b.h").write_text("#pragma once\ntypedef double b_t;\nb_t of_b(b_t x);\n")
    (tmp_path / "ab.c").write_text(
        '#include "a.h"\nb_t use_b(b_t x) { return x / 2; }\nb_t of_b(b_t x) { return x * 2; }\n'
    )
    module = ffi_ext.load("ab", tmp_path / "ab.c", [tmp_path / "a.h", tmp_path / "b.h"])
    assert module.__all__ == ["use_b", "of_b"]
    assert (module.use_b(3.0), module.of_b(3.0)) == (1.5, 6.0)


def test_macros_of_the_extension_choose_declarations(build):
    header = "#ifdef WITH_EXTRA\nint extra(void);\n#endif\nint always(void);\n"
    header += "#define weak __attribute__((weak))\n"  # a word that the generated C has, too
    source = "int extra(void) { return 1; }\nint always(void) { return 2; }\n"
    assert build(header, source).__all__ == ["always"]
    assert build(header, source, define_macros=[("WITH_EXTRA", None)]).__all__ == [
        "extra",
        "always",
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"define_macros": [("API", ""), ("REAL", "float")]},
        {"extra_compile_args": ["-DAPI=", "-D", "REAL=float"]},
        {"extra_compile_args": ["-include", "given.h"]},
    ],
)
def test_macros_of_the_extension_in_a_header_without_directives(build, tmp_path, options):
    (tmp_path / "given.h").write_text("#define API\n#define REAL float\n")
    function = "API REAL half(REAL x)"
    module = build(
        f"{function};\n", f"{function} {{ return x / 2; }}\n", include_dirs=["."], **options
    )
    assert module.half(3) == 1.5 and module.half.__doc__ == "float half(float x)"


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("as_dict", [False, True])
def test_compile_args_of_the_preprocessor_hold_for_header_and_trampolines(
    build, tmp_path, apart, as_dict
):
    (tmp_path / "configured").mkdir(exist_ok=True)
    (tmp_path / "configured" / "half.h").write_text("#define HALF 0.5\n")
    header = '#include "half.h"\n#ifdef WITH_HALF\ndouble half(double x);\n#endif\n'
    source = "double half(double x) { return HALF * x; }"
    words = ["-D", "WITH_HALF", "-I", str(tmp_path / "configured"), "-include", "half.h"]
    if not apart:
        words = [a + b for a, b in zip(words[:4:2], words[1:4:2], strict=True)] + words[4:]
    module = build(header, source, extra_compile_args={"cc": words} if as_dict else words)
    assert module.half(7.0) == 3.5


def test_what_the_build_asks_for_comes_after_cppflags_for_headers_and_sources(
    build, tmp_path, monkeypatch
):
    for folder, value in (("theirs", 2), ("ours", 3)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "width.h").write_text(f"#define WIDTH {value}\n")
    monkeypatch.setenv("CPPFLAGS", f"-DWIDE=0 -I{tmp_path / 'theirs'}")
    header = """#include <width.h>
    #if WIDE && WIDTH == 2
    int wide(void);
    #endif
    """
    source = "#include <width.h>\n#if WIDE && WIDTH == 2\nint wide(void) { return 5; }\n#endif\n"
    module = build(header, source, define_macros=[("WIDE", "1")], include_dirs=["ours"])
    assert module.wide() == 5


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("int x", "x"),
        ("int", None),
        ("unsigned int", None),
        ("const THFloatTensor *", None),
        ("const THFloatTensor *input", "input"),
        ("struct point", None),
        ("struct point p", "p"),
        ("float values[3]", "values"),
        ("int (*callback)(int, char *)", "callback"),
        ("int (*)(int)", None),
        ("void (**hooks)(int)", "hooks"),
        ("void (*const hooks[2])(int)", "hooks"),
        ("void (**)(int)", None),
        ("void (*)(my_type_t)", None),
        ("unsigned char const", None),
        ("int (*const)(int)", None),
        ("my_type_t", None),
        ("const my_type_t x", "x"),
        ("int compare(const void *a, const void *b)", "compare"),
        ("double f(double)", "f"),
        ("float (a)[3]", "a"),
        ("int (*const *table)(int)", "table"),
        ("int (*volatile last)(int)", "last"),
        ("void (*(*of)(int))(double)", "of"),
        ("int apply(int (*)(int), double x)", "apply"),
        ("int apply(int (*f)(int))", "apply"),
    ],
)
def test_parameter_names(text, name):
    assert ctext.parameter_name(text) == name


@pytest.mark.parametrize(
    ("text", "comments"),
    [
        ("/* Above. */\nint f(int x);\nint g(int x);", ["Above.", ""]),
        ("/* Of f. */ int f(int x);\n/* Of g. */ int g(int x);", ["Of f.", "Of g."]),
        ("int f(int x); /* Of f. */\nint g(int x);  // Of g.", ["Of f.", "Of g."]),
        ("/* Above. */\n/* beside */ int f(int x);", ["Above."]),
        ("/* Long,\n * of f, \n *x of it. */ int f(int x);\n", ["Long,\nof f,\n*x of it."]),
        ("/* Of f.\n   a blank behind: */ \nint f(int n);", ["Of f.\na blank behind:"]),
        ("  // Of f.\nint f(int n);\n// Of none.", ["Of f."]),
        ("// of f */\nint f(int n);", [""]),
        ("/* @param n */ \n\n// clang-format off\nint f(int n);", ["@param n\n\nclang-format off"]),
        ("/* Of a section. */\n// Of f.\nint f(int n);", ["Of f."]),
        ("/* Of a section. */\n\nint f(int n);", [""]),
        ("int f(int x); /* Long,\n of f. */ int g(int x);", ["", ""]),
        ("/* Of f. */ int f(int x); /* beside */\nint g(int x);", ["Of f.", ""]),
        ("int f(int x); /* A,\n   b,\n   c. */\nint g(int x);", ["A,\nb,\nc.", ""]),
        (
            "/*! Of f. */\nint f(int x);\nint g(int x); /**< Of g. */\nint h(int x); ///< Of h.",
            ["Of f.", "Of g.", "Of h."],
        ),
    ],
)
def test_comments_of_functions(text, comments):
    assert [s.comment for s in statements.split(text, Path("h.h"))] == comments


@pytest.mark.parametrize("first", ["", "#define SIZE 3\n"])
def test_a_header_of_before_utf8(project, first):
    text = f"{first}/* Größe */\nint f(void);\n"
    (project / "old.h").write_text(text, encoding="latin-1")
    (project / "old.c").write_text("int f(void) { return 3; }\n")
    assert ffi_ext.load("old", project / "old.c", project / "old.h").f.__doc__.endswith("Größe")


def test_what_may_stand_between_a_comment_and_its_function():
    """The preprocessor leaves none of it."""
    rows = ["/* @param n */", "#ifdef __cplusplus", 'extern "C" {', "", "#endif", "int f(int n);"]
    assert ctext.comment_of(rows, 6, 6) == "@param n"
    rows[1:5] = ["#pragma omp declare simd", "EXPORT"]  # where a macro EXPORT is empty
    assert ctext.comment_of(rows, 4, 4) == "@param n"
    rows[1] = "#include <ffi_ext.h>"
    assert ctext.comment_of(rows, 4, 4) == "@param n"
    for other in ("#define N 3", "DECLARE_OPERATORS(float)", "int g(int n);"):
        rows[1] = other
        assert ctext.comment_of(rows, 4, 4) == ""


def test_parameters_without_names_of_their_own():
    names = ctext.parameter_names(["int arg1", "int", "int in", "int in_"], 4)
    assert names == ["arg1", "arg1_", "in_", "in__"]


def test_linkage_is_read_over():
    text = 'extern "C" {\nint f(int x);\n}\nextern "C" int g(void);\nextern "C++" { int h(void); }'
    found = statements.split(text, Path("h.h"))
    assert [(s.name, s.where) for s in found] == [("f", "h.h:2"), ("g", "h.h:4"), ("h", "h.h:5")]
    assert found[1].declaration == "int g(void);"


def test_cxx_of_a_header_that_says_its_linkage(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    both = "#ifdef __cplusplus\n#include <initializer_list>\nint most(std::initializer_list<int> of);\n"
    both += 'extern "C" {\n#endif\nint larger(int a, int b);\n#ifdef __cplusplus\n}\n#endif\n'
    (tmp_path / "both.h").write_text(both)
    (tmp_path / "plain.h").write_text('/* Not extern "C". */\nint *same(int *restrict p);\n')
    (tmp_path / "both.cpp").write_text(
        '#include "both.h"\nint most(std::initializer_list<int> of) { int n = 0; for (int x : of) n = x > n ? x : n; '
        "return n; }\nint larger(int a, int b) { return most({a, b}); }\n"
        'extern "C" int *same(int *p) { return p; }\n'
    )
    module = ffi_ext.load("both", ["both.cpp"], ["plain.h", "both.h"], language="c++")
    assert module.__all__ == ["same", "larger"]
    assert (module.larger(3, 8), module.same([4])[0]) == (8, 4)


def test_a_header_without_directives_starts_no_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", "no-such-compiler")
    (tmp_path / "plain.h").write_text("/* # no directive */ int plain(int x); // #either\n")
    ffi = create_extension("plain_ext", "plain.h", [], relative_to=str(tmp_path / "b.py"))
    assert "int(*)(int)" in str(ffi.typeof("int(*)(int)"))


def test_a_header_is_read_again_where_cpath_names_another_folder(tmp_path, monkeypatch):
    """The command is the same, and so are the files of the answer that was kept."""
    monkeypatch.setenv("FFI_EXT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "one.h").write_text("#include <of_cpath.h>\nnumber f(void);\n")
    for c_type in ("int", "double", "int"):
        (tmp_path / c_type).mkdir(exist_ok=True)
        (tmp_path / c_type / "of_cpath.h").write_text(f"typedef {c_type} number;\n")
        monkeypatch.setenv("CPATH", str(tmp_path / c_type))
        ffi = create_extension("of_cpath", "one.h", [], relative_to=str(tmp_path / "b.py"))
        assert ffi.typeof("number").cname == c_type


def test_functions_whose_names_stand_in_parentheses(build):
    header = (
        "typedef struct state *handle;\nextern handle (make)(int n);\nextern handle (same) (handle h);\n"
        "int (of)(handle h, int (*f)(int));\ntypedef int (binary)(int, int);\n"
    )
    source = (
        f"{header}struct state {{ int n; }};\nstatic struct state one;\n"
        "handle (make)(int n) { one.n = n; return &one; }\nhandle (same)(handle h) { return h; }\n"
        "int (of)(handle h, int (*f)(int)) { return f ? f(h->n) : h->n; }\n"
    )
    header += "typedef double(joined)(double);\ndouble call(joined *f, double x);\n"
    source += "double call(double (*f)(double), double x) { return f(x); }\n"
    module = build(header, source)
    assert module.of(module.same(module.make(5)), module._ffi.NULL) == 5
    assert module.call(module._ffi.callback("joined", lambda x: x + 1), 2.5) == 3.5
    assert "def of(h: Any, f: Any) -> int:" in Path(module.__file__).with_suffix(".pyi").read_text()


def test_functions_whose_result_stands_around_them(build):
    header = "int (*operation(char which))(int, int);\nconst int (*pair(int first))[2];\n"
    header += "extern int (*chosen)(int, int);\nextern int (*const fixed)(int, int);\n"
    source = r"""
    #include <ffi_ext.h>
    static int add(int a, int b) { return a + b; }
    int (*chosen)(int, int) = add, (*const fixed)(int, int) = add;
    int (*operation(char which))(int, int) {
      FFI_CHECK(which == '+', "no operation %c", which);
      return add;
    }
    const int (*pair(int first))[2] {
      static int two[2];
      two[0] = first, two[1] = first + 1;
      return (const int(*)[2])&two;
    }
    """
    module = build(header, header + source)
    assert module.__all__ == ["operation", "pair", "chosen", "fixed"]
    assert module.operation(which=b"+")(2, 3) == module.chosen(2, 3) == module.fixed(2, 3) == 5
    assert list(module.pair(4)[0]) == [4, 5]
    with pytest.raises(ffi_ext.NativeError, match="no operation x"):  # not the end of the process
        module.operation(b"x")


def test_headers_in_an_order_of_their_own(tmp_path):
    """As C takes it, the first includes the second; `enum mode` is mentioned before its body is read."""
    (tmp_path / "b.h").write_text(
        "#pragma once\ntypedef enum mode mode;\nenum mode { OFF = 3, ON };\n"
        "struct b;\ntypedef struct a { struct b *b; mode m; } a;\ntypedef struct b { a of; int n; } b;\n"
        "typedef struct owner owner;\ntypedef int (*visit)(const owner *o);\nstruct owner { visit v; };\n"
        "typedef int count;\ncount second(const b *p);\n"
    )
    (tmp_path / "a.h").write_text(
        '#include "b.h"\ntypedef count pair[2];\ncount first(const a *p, pair q, mode m);\n'
    )
    (tmp_path / "a.c").write_text(
        '#include "a.h"\ncount second(const b *p) { return p->n; }\n'
        "count first(const a *p, pair q, mode m) { return p->b->n + q[1] + m + p->m; }\n"
    )
    module = ffi_ext.load("ordered", tmp_path / "a.c", [tmp_path / "a.h", tmp_path / "b.h"])
    b = module._ffi.new("b *", {"n": 5})
    a = module._ffi.new("a *", {"b": b, "m": module.ON})
    assert (module.second(b), module.first(a, [10, 20], module.OFF)) == (5, 5 + 20 + 3 + 4)


def test_what_c_lets_be_repeated(build):
    """With other names, or fewer words; whether they agree is the compiler's to say."""
    header = (
        "int one(int n);\nint two(void);\nint   one(int n);\nint three();\nunsigned four(int);\n"
        "int three(const int n);\n/* Of the fourth. */\nunsigned int four(int m);\n"
        "typedef struct s *handle;\ntypedef int (*visit)(int);\nextern const char *text;\n"
        "typedef struct s *handle;\ntypedef int (*visit)(int n);\nextern const char *text;\n"
        "extern int table[ ];\nextern int table[2];\n"
    )
    source = (
        "int one(int n) { return n; }\nint two(void) { return 2; }\n"
        "int three(int n) { return n; }\nunsigned four(int n) { return n; }\n"
        'const char *text = "a";\nint table[2] = {3, 4};\n'
    )
    module = build(header, source)
    assert module.__all__ == ["one", "two", "three", "four", "text", "table"]
    assert (module._ffi.string(module.text), list(module.table)) == (b"a", [3, 4])
    assert (module.one(4), module.three(3)) == (4, 3)
    assert module.four.__doc__ == "unsigned int four(int m)\n\nOf the fourth."
    with pytest.raises(
        BuildError, match=r"h:\d+: conflicting types for 'one'[\s\S]*has another one: make"
    ):
        build(header + "int one(void);\n", source)


def test_two_headers_of_one_include_guard(tmp_path):
    for name, text in (("a", "int f(int n);"), ("b", "typedef int number;\nint g(number *n);")):
        (tmp_path / f"{name}.h").write_text(f"#ifndef A_H\n#define A_H\n{text}\n#endif\n")
    (tmp_path / "a.c").write_text("int f(int n) { return n; } int g(int *n) { return *n; }\n")
    with pytest.raises(BuildError, match=r"b\.h has the include guard of .*a\.h, A_H, by which"):
        create_extension("guard.m", ["a.h", "b.h"], ["a.c"], relative_to=str(tmp_path / "b.py"))
    (tmp_path / "c.h").write_text('#include "a.h"\nint h(int n);\n')
    with pytest.raises(BuildError, match=r"b\.h has the include guard of .*a\.h, A_H, by which"):
        create_extension("guard.m", ["c.h", "b.h"], ["a.c"], relative_to=str(tmp_path / "b.py"))
    (tmp_path / "b.h").write_text((tmp_path / "a.h").read_text())
    create_extension("guard.m", ["a.h", "b.h"], ["a.c"], relative_to=str(tmp_path / "b.py"))


def test_a_default_is_no_include_guard(tmp_path):
    default = "#ifndef API\n#define API extern\n#endif\n"
    headers = {
        "a": "API int f(int n);",
        "b": "#define N 3",
        "c": "#ifdef GPU\nAPI int g(int n);\n#endif",
    }
    for name, text in headers.items():
        (tmp_path / f"{name}.h").write_text(f"{default}{text}\n")
    (tmp_path / "a.c").write_text("int f(int n) { return n; }\n")
    names = [f"{name}.h" for name in headers]
    create_extension("default.m", names, ["a.c"], relative_to=str(tmp_path / "b.py"))
    for name in ("b", "c"):  # nor is a switch
        (tmp_path / f"{name}.h").write_text(f"#ifndef CPU_ONLY\nint {name}(int n);\n#endif\n")
    options = {"define_macros": [("CPU_ONLY", None)], "relative_to": str(tmp_path / "b.py")}
    create_extension("default.m", names, ["a.c"], **options)


def test_functions_of_one_declaration(build):
    header = "/* Both. */\nint one(void), *same(int *p), (*chosen(void))(int);\nextern int n, twice(int x);\n"
    source = "int n = 3; int one(void) { return 1; } int *same(int *p) { return p; }\n"
    source += "int twice(int x) { return 2 * x; } int (*chosen(void))(int) { return twice; }\n"
    module = build(header, source)
    assert module.__all__ == ["one", "same", "chosen", "twice", "n"]
    assert (module.one(), module.same([7])[0], module.chosen()(4), module.n) == (1, 7, 8, 3)
    assert module.same.__doc__ == "int *same(int *p)\n\nBoth."


def test_a_header_that_is_included_once_for_each_type(tmp_path):
    (tmp_path / "template.h").write_text(
        "/* The sum. */\nTYPE NAME(sum_of)\n  (const TYPE *v,\n   int n);\n"
    )
    whole = "".join(
        f'#define TYPE {t}\n#define NAME(x) x##_{t}\n#include "template.h"\n#undef TYPE\n#undef NAME\n'
        for t in ("int", "double")
    )
    (tmp_path / "whole.h").write_text(f"#pragma once\n{whole}")
    (tmp_path / "all.c").write_text(
        '#include "whole.h"\n'
        + "".join(
            f"{t} sum_of_{t}(const {t} *v, int n) {{ {t} s = 0; while (n--) s += *v++; return s; }}\n"
            for t in ("int", "double")
        )
    )
    headers = [tmp_path / "whole.h", tmp_path / "template.h"]
    module = ffi_ext.load("typed", tmp_path / "all.c", headers)
    assert module.__all__ == ["sum_of_int", "sum_of_double"]
    assert (module.sum_of_int([1, 2], 2), module.sum_of_double([0.5, 1], 2)) == (3, 1.5)
    assert module.sum_of_double.__doc__.endswith("The sum.")


def test_a_header_that_another_includes_is_read_as_a_part_of_it(tmp_path):
    """Of libraries' headers some are unfit to be included by themselves, and say so."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "whole.h").write_text(
        "#define API extern\n#define WITH_WHOLE 1\n#define INSIDE\ntypedef int number;\n#define SIZE 3\n"
        '#include "sub/../sub/part.h"\n#undef INSIDE\nAPI int whole(void);\n'
    )
    (tmp_path / "sub" / "part.h").write_text(
        "#ifndef INSIDE\n#error include whole.h\n#endif\n#define PART 5\n/* Of the part. */\n"
        "API number part(const number v[SIZE]);\n"
    )
    (tmp_path / "all.c").write_text(
        '#include "whole.h"\nint whole(void) { return 1; }\n'
        "number part(const number v[SIZE]) { return v[SIZE - 1]; }\n"
    )
    headers = [tmp_path / "whole.h", tmp_path / "sub" / "part.h"]
    module = ffi_ext.load("parts", tmp_path / "all.c", headers)
    assert module.__all__ == ["whole", "part", "WITH_WHOLE", "SIZE", "PART"]
    assert (module.whole(), module.part([4, 5, 6]), module.PART) == (1, 6, 5)
    assert module.part.__doc__.endswith("Of the part.")
    with pytest.raises(BuildError, match=r"part\.h:2: (#error )?include whole\.h"):
        ffi_ext.load("parts", tmp_path / "all.c", headers[1:])


def test_a_header_may_use_macros_of_those_before_it(tmp_path):
    """As the generated C does, which includes all of them: a config.h, or X11/Xlib.h before its extensions."""
    (tmp_path / "config.h").write_text(
        "#define API(type) extern type\n#define HAVE_MORE 1\n#define REAL double\n"
    )
    (tmp_path / "plain.h").write_text("API(int) plain(int x);\n")
    (tmp_path / "more.h").write_text("#ifdef HAVE_MORE\nint more(int x);\n#endif\n")
    (tmp_path / "part.h").write_text("#ifndef HAVE_MORE\n#error config.h?\n#endif\n#define N 3\n")
    (tmp_path / "real.h").write_text(
        "#ifndef REAL\n#define REAL float\n#endif\nREAL first(REAL *p);\n"
    )
    (tmp_path / "types.h").write_text(
        "#ifdef HAVE_MORE\ntypedef short id;\n#else\ntypedef int id;\n#endif\n"
    )
    (tmp_path / "last.h").write_text('#include "types.h"\nid last(id *p);\n')
    names = ("config.h", "plain.h", "more.h", "part.h", "real.h", "last.h")
    headers = [tmp_path / name for name in names]
    source = tmp_path / "all.c"
    source.write_text(
        "int plain(int x) { return x; }\nint more(int x) { return x + 1; }\n"
        "double first(double *p) { return *p; }\nshort last(short *p) { return p[1]; }\n"
    )
    module = ffi_ext.load("behind", source, headers)
    assert module.__all__ == ["plain", "more", "first", "last", "HAVE_MORE", "N"]
    assert (module.plain(3), module.more(3), module.first([0.5])) == (3, 4, 0.5)
    assert module.last(torch.tensor([2, 3], dtype=torch.int16)) == 3
    with pytest.raises(TypeError, match="float64"):
        module.first(torch.ones(1))  # whose floats C would read as doubles


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_lines_that_a_header_says_are_of_another_file(build, use_compiler, compiler):
    """As flex and bison write them: `#line` changes names and numbers, and not whose text it is."""
    use_compiler(compiler)
    header = r"""int first(int a,
    int b);
#line 1 "grammar.y"
typedef struct { int n;
  double d; } token;
#line 7 "parser.h"
#include <stddef.h>
/* Of the second. */
int second(token *t,
    size_t n);
#line 7
#define SIZE 3
/* Of the third. */
int third(token *t);
#line 1
/* Of the fourth. */
int fourth(int a,
    int b);
"""
    source = (
        "int first(int a, int b) { return a - b; }\nint third(token *t) { return t->n; }\n"
        "int fourth(int a, int b) { return a * b; }\n"
        "int second(token *t, size_t n) { return (int)(t->d * n); }\n"
    )
    module = build(header, header + source)
    assert module.__all__ == ["first", "second", "third", "fourth", "SIZE"]
    for name in ("second", "third", "fourth"):
        assert getattr(module, name).__doc__.endswith(f"\n\nOf the {name}.")
    token = module._ffi.new("token *", {"n": 7, "d": 1.5})
    assert (module.first(5, 3), module.second(token, 4), module.third(token)) == (2, 6, 7)
    assert module.fourth(5, 3) == 15


def test_brackets_in_quotes_are_none(build):
    text = "static inline int o(char c) { return c == '{' || c == '\"'; }\nint f(void);\n"
    text += 'static inline const char *e(void) { return "}(\\""; }\nint g(int n);\n'
    module = build(text, text + "int f(void) { return o('{'); }\nint g(int n) { return e()[n]; }\n")
    assert module.__all__ == ["f", "g"] and (module.f(), module.g(0)) == (1, ord("}"))


def test_a_prototype_is_as_written(build):
    text = "#include <stdbool.h>\nbool negated(bool of, int * by);\n"
    module = build(text, text.replace(";", " { return !of; }"))
    assert module.negated.__doc__ == "_Bool negated(_Bool of, int *by)"


@pytest.mark.parametrize("suffix", [".hpp", ".hh", ".inc"])
def test_headers_of_any_suffix_are_read_as_c(tmp_path, monkeypatch, suffix):
    """Of a .hpp compilers defined __cplusplus, and of a name that says nothing to them they read nothing."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"both{suffix}").write_text(
        "#ifdef __cplusplus\n#include <vector>\ntemplate <class T> T same(T x) { return x; }\n"
        'extern "C" {\n#endif\nint f(int x);\n#ifdef __cplusplus\n}\n#endif\n'
    )
    (tmp_path / "both.cpp").write_text(
        f'#include "both{suffix}"\nint f(int x) {{ return same(x); }}\n'
    )
    assert ffi_ext.load("both", "both.cpp", f"both{suffix}").f(3) == 3


@pytest.mark.parametrize("compiler", ["gcc", "clang"])  # which refuses C's -std for C++
def test_headers_of_modules_in_cxx_are_read_as_cxx(tmp_path, monkeypatch, use_compiler, compiler):
    use_compiler(compiler)
    monkeypatch.chdir(tmp_path)
    for header in ("in.hpp", "in.inc"):
        (tmp_path / header).write_text('#include <vector>\nextern "C" int f(int x);\n')
        (tmp_path / "in.cpp").write_text(f'#include "{header}"\nint f(int x) {{ return x; }}\n')
        for keywords in ({"language": "c++"}, {"source_extension": ".cpp"}):
            assert ffi_ext.load("in_cxx", "in.cpp", header, **keywords).f(3) == 3


def test_attributes_of_c23(build):
    header = """
    [[nodiscard]] int f(int x);
    [[deprecated("use f(), not \\"g\\" [[at all]]"), gnu::pure]] int g([[maybe_unused]] int x);
    """
    source = "int f(int x) { return 2 * x; } int g(int x) { return 3; }"
    module = build(header, header + source, extra_compile_args=["-std=gnu2x"])
    assert (module.f(4), module.g(1)) == (8, 3)


def test_brackets_within_the_texts_of_attributes(build):
    prototypes = """
int f(int x) __attribute__((deprecated("use g() :)")));
[[deprecated("a ] or (")]] int g(int x);
__attribute__((deprecated("(("))) int h(int x);
"""
    module = build(prototypes, "".join(f"int {f}(int x) {{ return x; }}\n" for f in "fgh"))
    assert module.__all__ == ["f", "g", "h"] and module.f(3) == module.g(3) == module.h(3) == 3


def test_lines_that_a_backslash_joins_and_digraphs(build):
    source = "int f(int a, int b) { return a - b; }\n"
    assert build("int f(int a, \\\n  int b);\n", source).f(5, 3) == 2
    assert build("%:define TWO 2\nint f(int a, int b);\n", source).TWO == 2
    in_comment = "// a path: C:\\headers\\\nint none(void);\nint f(int a, int b);\n"
    assert build(in_comment, source).__all__ == ["f"]


def test_a_directory_whose_name_is_no_utf8(tmp_path):
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(folder)
    header = Path(os.fsdecode(folder), "lib.h")
    header.write_text(
        "#define SIZE 4\n#define LONGS (2 * sizeof(long))\nint size(void);\n"
        "struct outer { struct { char text[sizeof(long)]; } inner; };\n"
    )
    header.with_suffix(".c").write_text('#include "lib.h"\nint size(void) { return SIZE; }\n')
    module = ffi_ext.load("no_utf8", str(header.with_suffix(".c")), str(header))
    assert module.__all__ == ["size", "SIZE", "LONGS"] and module.size() == 4
    of_long = ctypes.sizeof(ctypes.c_long)
    assert (module.LONGS, module._ffi.sizeof("struct outer")) == (2 * of_long, of_long)


def test_names_as_gcc_and_as_clang_write_them():
    markers = '# 1 "/home/josé/a\\\\101\\".h" 1\n# 1 "/home/jos\\303\\251/\\351.h" 1\n'
    names = {'/home/josé/a\\101".h', os.fsdecode(b"/home/jos\xc3\xa9/\xe9.h")}
    assert preprocessed.names_of(markers) == names


def test_the_words_of_c23(build, tmp_path):
    header = """
    enum shade : unsigned char { RED = 1, BLUE };
    typedef struct { alignas(16) float v[4]; int last; } aligned;
    constexpr int LIMIT = 7;
    static_assert(sizeof(int) == 4);
    bool negated(bool x);
    int other(enum shade x);
    int last_of(aligned *a);
    """
    source = (
        header
        + """
    bool negated(bool x) { return !x; }
    int other(enum shade x) { return RED + BLUE - x; }
    int last_of(aligned *a) { return a->last - LIMIT * (nullptr == 0); }
    """
    )
    (tmp_path / "probe.c").write_text(source)
    command = ["gcc", "-std=gnu2x", "-fsyntax-only", str(tmp_path / "probe.c")]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this machine's gcc knows too little of C23")
    module = build(header, source, extra_compile_args=["-std=gnu2x"])
    assert module.negated(False) is True
    assert module.other(module.RED) == 2
    assert module.LIMIT == 7
    aligned = module._ffi.new("aligned *", {"last": 9})
    assert module._ffi.sizeof("aligned") == 32
    assert module.last_of(aligned) == 2


def test_the_words_of_gnu_c(build):
    """Headers that are read by `gcc -ansi`, too, write keywords so."""
    header = (
        '__inline__ int first(__const char *__restrict__ text, __const__ int *__volatile__ n) __asm("first_of");\n'
        "extern __thread int own;\ntypedef __typeof__(sizeof(int)) size;\nsize for_c(typeof(int) n);\n"
    )
    source = (
        'int first(const char *text, const int *n) __asm("first_of");\n'
        "int first(const char *text, const int *n) { return text[0] + *n; }\n"
        "__thread int own = 4;\nunsigned long for_c(int n) { return n; }\n"
    )
    module = build(header, source)
    assert module.__all__ == ["first", "own"]
    assert module.first(b"0", np.array([2], np.int32)) == 50
    module.own += 1
    with ThreadPoolExecutor() as threads:
        assert (module.own, threads.submit(lambda: module.own).result()) == (5, 4)


def test_characters_that_are_brackets_commas_and_quotes(build):
    header = "enum sign { OPEN = '[', CLOSE = ']', BODY = '{', END = '}', COMMA = ',', LAST = ';', "
    header += "QUOTE = '\"', APOSTROPHE = '\\'', BACKSLASH = '\\\\', AFTER };\nenum sign next(enum sign s);\n"
    module = build(header, header + "enum sign next(enum sign s) { return s + 1; }\n")
    found = [getattr(module, name) for name in module.__all__ if name.isupper()]
    assert found == [*map(ord, "[]{},;\"'\\"), 93] and module.next(module.OPEN) == ord("\\")


def test_functions_are_those_that_cffi_declares(tmp_path):
    """Whose parser reads the types of most of them once."""
    types = (
        "typedef void nothing; typedef struct own own_t; struct pair { int a, b; }; enum e { ONE, TWO };\n"
        "typedef int array_t[3]; typedef int function_t(int n); typedef int (*pointer_t)(int n);\n"
    )
    functions = (
        "void none(void); void unsaid(); nothing of_nothing(nothing); const char *text(const char *, unsigned);\n"
        "unsigned long long wide(unsigned long long a, long long unsigned b, short *const *c, char **d);\n"
        "struct pair paired(struct pair a, struct pair *b, const struct unknown *c, enum e d, own_t *e);\n"
        "void decayed(array_t a, function_t b, pointer_t c, int d[3], int (*e)[4], void (*f)(void));\n"
        "void same_names(int a, int *a2); int again(int a, int *a2); int sum(int count, ...); void *pointer(void *v);\n"
        "pointer_t returned(int); const int constant(const int n, volatile int *v); _Bool b(_Bool b);\n"
    )
    (tmp_path / "k.h").write_text(types + functions)
    theirs = cffi.FFI()
    theirs.cdef(types + functions)
    at = str(tmp_path / "build.py")
    ours = create_extension("k", "k.h", [], relative_to=at, verbose=False)

    def declared(ffi):
        found = ffi._parser._declarations.items()
        return {
            name: (tp.result.get_c_name(), [a.get_c_name() for a in tp.args], tp.ellipsis)
            for name, (tp, _) in found
            if name.startswith("function ")
        }

    assert declared(ours) == declared(theirs) and len(declared(ours)) == 14
