"""Headers: what is exported of them, with which names, comments and types; the stub and the module text."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cffi
import numpy as np
import pytest
import torch

import ffi_ext
from ffi_ext import BuildError, create_extension
from ffi_ext.headers import ctext, statements
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
        *("flags", "SIZE", "TWICE", "HEX", "PI", "TITLE", "FAST", "SLOW", "SLOWER", "LIMIT"),
        "counter",
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
    texts = ("b'%d'", "bytearray(4)", "t.byte()", "t.byte().numpy()", "lib._ffi.NULL")
    right += [f"lib.formatted({text})" for text in texts]
    wrong = [
        "lib.add('1', 2)",
        "y: str = lib.add(1, 2)",
        call.format("[1.0]"),
        "lib.formatted('%d')",
    ]
    lines = ["import torch", f"import {module.__name__} as lib", *right, *wrong]
    (folder / "user.py").write_text("\n".join([*lines, ""]))
    done = mypy("user.py", cwd=folder)
    places = re.findall(r"^(\S+?):(\d+): error", done.stdout, re.M)
    assert {file for file, _ in places} == {"user.py"}, done.stdout
    assert {lines[int(line) - 1] for _, line in places} == {*wrong}, done.stdout


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


def test_types_of_headers_that_include_each_other(build):
    module = build(
        "#include <sys/types.h>\n#include <time.h>\noff_t twice(off_t x);\ntime_t later(time_t t);\n",
        "#include <sys/types.h>\n#include <time.h>\n"
        "off_t twice(off_t x) { return 2 * x; }\ntime_t later(time_t t) { return t + 1; }\n",
    )
    assert (module.twice(2**40), module.later(1)) == (2**41, 2)


def test_a_struct_of_an_included_header_is_declared_apart_from_its_typedef(tmp_path, build):
    """In either order, ahead of what it is made of, and beside declarations without fields."""
    (tmp_path / "types.h").write_text(
        "struct tail;\ntypedef struct a a;\ntypedef struct b b;\nstruct a { b *link; int n; };\n"
        "struct b { a whole; int n; };\nstruct tail { int n; };\nstruct later { int n; };\n"
        "typedef struct later later_t, *later_p;\ntypedef a pair[2];\n"
    )
    header = (
        f'#include "{tmp_path}/types.h"\ntypedef struct later mine;\nint of_a(const a *p);\n'
        "later_t added(later_p p, mine q);\nint of_tail(const struct tail *t);\nint of_pair(pair p);\n"
    )
    source = (
        f"{header}int of_a(const a *p) {{ return p->n + p->link->n + p->link->whole.n; }}\n"
        "later_t added(later_p p, mine q) { q.n += p->n; return q; }\n"
        "int of_tail(const struct tail *t) { return t->n; }\n"
        "int of_pair(pair p) { return p[0].n + p[1].n; }\n"
    )
    module = build(header, source)
    new = module._ffi.new
    b = new("b *", {"whole": {"n": 3}, "n": 4})
    assert module.of_a(new("a *", {"link": b, "n": 5})) == 12
    assert module.added(new("later_p", (3,)), (4,)).n == 7
    assert module.of_tail(new("struct tail *", (7,))) == 7
    assert module.of_pair([{"n": 1}, {"n": 2}]) == 3


PACKED = """\
#pragma pack(push, 1)
typedef struct { char tag[3]; int n; struct { char a; double d; } in; union { char c; int i; }; } by_pragma;
#pragma pack(pop)
typedef struct __attribute__((may_alias, packed)) { char a; int n; } by_attribute;
struct bits { char a; unsigned b : 3; int n; } __attribute__((__packed__));
struct plain { char packed; int n; };
"""


def test_structs_of_which_a_typedef_without_fields_comes_first(tmp_path, build):
    """C lets a typedef be repeated, and fields speak of their own struct by it, be it an included header's."""
    (tmp_path / "types.h").write_text(
        "#pragma once\ntypedef struct node *link;\ntypedef struct node node;\ntypedef double value;\n"
        "typedef enum mode mode;\nenum mode { OFF, ON };\n"
    )
    header = """#include "types.h"
struct node { value of; node *next; };
enum kind { FEW = 2, MANY };
typedef enum kind kind;
typedef struct table table;
typedef struct { int n; table *isa; } command;
typedef value (*run)(const command c, node *n);
typedef struct table { run exec; mode m; } table;
typedef struct { table of; node n; } whole;
value call(command c, node *n, link l);
value of(whole w);
"""
    source = (
        "static value next(const command c, node *n) { return c.n + n->next->of; }\n"
        "value call(command c, node *n, link l) {\n"
        "  table t = {next, ON}; c.isa = &t; return c.isa->exec(c, n) + l->of; }\n"
        "value of(whole w) { return w.n.of + w.of.m; }\n"
    )
    module = build(header, '#include "types.h"\n' + header + source, include_dirs=[str(tmp_path)])
    last = module._ffi.new("node *", {"of": 0.5})
    node = module._ffi.new("node *", {"of": 2, "next": last})
    assert module.call({"n": 4}, node, node) == 4 + 0.5 + 2
    assert module.of({"n": {"of": 2}, "of": {"m": 1}}) == 3 and module.FEW == 2


def test_words_of_a_type_in_any_order(build):
    """As VLFeat writes them; C99, 6.7.2, lets them stand in any."""
    header = """typedef char unsigned u8; typedef long long unsigned u64;
struct s { int unsigned a : 3, b; };
int unsigned wrapped(u8 x, u64 y, int const long z, double long *p, int longer, short int unsigned w);
"""
    source = (
        "int unsigned wrapped(u8 x, u64 y, int const long z, double long *p, int longer,\n"
        "                     short int unsigned w) { return x + y + z + (int)*p + longer + w - 10; }\n"
    )
    module = build(header, header + source)
    p = module._ffi.new("long double *", 1)
    assert module.wrapped(0, 2**32, 2, p, 3, 3) == 2**32 - 1
    with pytest.raises(OverflowError):
        module.wrapped(256, 0, 0, p, 0, 0)
    assert module._ffi.new("struct s *", {"a": 7, "b": 2**32 - 1}).b == 2**32 - 1


def test_numbers_that_the_compiler_computes(build):
    """Of enumerators and sizes of arrays cffi knows sums and shifts; the compiler knows all of them."""
    header = """enum sizes {
  A = sizeof(int) * 2, B, C = (int)0x80000000, D = ~0, E = 1 ? 2 : 3, F = '\\n', G = (1 << 3) | 0x10u, H = A > 3 && B,
  I = 'x', J, K = A && B, L = 0 || A
};
enum plain { COMMA = ',', P = (3), Q, R = 64 >> 2 & 24 ^ 1 };
typedef struct { char gap[8 - sizeof(int)]; __signed__ char v[sizeof(int)][3], w[P + 1]; double x; } padded;
enum sizes same(enum sizes size);
double sum(const padded *p);
padded made(int n);
int size(void);
"""
    source = f"""{header}
enum sizes same(enum sizes size) {{ return size; }}
double sum(const padded *p) {{ return p->v[3][2] + p->w[3] + p->x; }}
padded made(int n) {{ padded p = {{{{0}}}}; p.x = n; return p; }}
int size(void) {{ return sizeof(padded); }}
"""
    module = build(header, source)
    values = {name: getattr(module, name) for name in "ABCDEFGHIJKL"}
    first = {"A": 8, "B": 9, "C": -(2**31), "D": -1, "E": 2, "F": 10, "G": 24, "H": 1}
    assert values == first | {"I": ord("x"), "J": ord("y"), "K": 1, "L": 1}
    assert [module.COMMA, module.P, module.Q, module.R] == [44, 3, 4, 17]
    assert module.same(module.C) == -(2**31) and module.same(8) == 8
    p = module._ffi.new("padded *", {"x": 1.5})
    p.v[3][2], p.w[3] = -4, 5
    assert module.sum(p) == 2.5 and module.made(3).x == 3.0
    assert len(p.v) == 4 and module._ffi.sizeof("padded") == module.size()


def test_packed_structs(build):
    functions = "double sum(const by_pragma *p);\nby_attribute twice(by_attribute p);\nint of(struct bits *p);\n"
    functions += "int size_of(int which);\n"
    source = """double sum(const by_pragma *p) { return p->tag[2] + p->n + p->in.d + p->i; }
by_attribute twice(by_attribute p) { p.n *= 2; return p; }
int of(struct bits *p) { return p->b + p->n; }
int size_of(int which) {
  const int sizes[] = {sizeof(by_pragma), sizeof(by_attribute), sizeof(struct bits), sizeof(struct plain)};
  return sizes[which];
}
"""
    module = build(PACKED + functions, PACKED + source)
    ffi = module._ffi
    given = {"tag": [b"a", b"b", b"\x01"], "n": 2, "in": {"d": 3.5}, "i": 4}
    assert module.sum(ffi.new("by_pragma *", given)) == 10.5
    assert module.twice((b"a", 21)).n == 42
    assert module.of(ffi.new("struct bits *", {"b": 5, "n": 7})) == 12
    names = ("by_pragma", "by_attribute", "struct bits", "struct plain")
    assert [ffi.sizeof(name) for name in names] == [module.size_of(i) for i in range(4)]


def test_packing_that_ends_goes_back_to_the_one_around_it(build):
    header = (
        "#pragma pack(push, 1)\nstruct a { char c; int n; };\n#pragma pack(push, 2)\nstruct b { char c; int n; };\n"
        "#pragma pack(pop)\n#pragma pack(push)\nstruct c { char c; int n; };\n"
        "#pragma pack(pop)\n#pragma pack(pop)\nstruct d { char c; int n; };\n"
        "struct __attribute__ ( ( packed ) ) e { char c; int n; };\n"
        "int sum(struct a a, struct b b, struct c c, struct d d, struct e e);\n"
    )
    source = "int sum(struct a a, struct b b, struct c c, struct d d, struct e e)"
    module = build(header, header + source + "{ return a.n + b.n + c.n + d.n + e.n; }\n")
    assert module.sum(*[{"n": 10**i} for i in range(5)]) == 11111
    sizes = [module._ffi.sizeof(f"struct {name}") for name in "abcde"]
    assert sizes == [5, 6, 5, 8, 5]


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


def test_complex_types_in_either_order(build):
    header = (
        "#include <complex.h>\ncomplex double turned(complex double z, const complex float *w);\n"
    )
    source = (
        "double _Complex turned(complex double z, const complex float *w) { return z * I + *w; }"
    )
    assert build(header, header + source).turned(2 + 1j, [0.5]) == -0.5 + 2j


def test_a_typedef_of_a_function_names_the_function_and_not_its_parameters(tmp_path):
    (tmp_path / "inner.h").write_text(
        "#include <stdarg.h>\ntypedef int logger(const char *format, va_list rest);\n"
        "typedef int nested(int (*rest)(int), int n);\ntypedef int (*taker)(nested *);\n"
    )
    (tmp_path / "one.h").write_text('#include "inner.h"\nint rest(int format, taker t);\n')
    ffi = create_extension("typed.one", "one.h", [], relative_to=str(tmp_path / "b.py"))
    assert ffi.typeof("taker").args[0].args[0].args == (ffi.typeof("int"),)
    with pytest.raises(cffi.CDefError, match="logger"):
        ffi.typeof("logger *")  # nobody uses it


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
        "extern int table[];\nextern int table[2];\n"
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


def test_functions_of_one_declaration(build):
    header = "/* Both. */\nint one(void), *same(int *p), (*chosen(void))(int);\nextern int n, twice(int x);\n"
    source = "int n = 3; int one(void) { return 1; } int *same(int *p) { return p; }\n"
    source += "int twice(int x) { return 2 * x; } int (*chosen(void))(int) { return twice; }\n"
    module = build(header, source)
    assert module.__all__ == ["one", "same", "chosen", "twice", "n"]
    assert (module.one(), module.same([7])[0], module.chosen()(4), module.n) == (1, 7, 8, 3)
    assert module.same.__doc__ == "int *same(int *p)\n\nBoth."


def test_functions_that_take_a_half_are_told_of(tmp_path):
    """A kernel on `_Float16 *` was not there, without a word."""
    (tmp_path / "half.h").write_text("int f(int n, const _Float16 *x);\nint g(void);\n")
    (tmp_path / "half.c").touch()
    with pytest.warns(
        UserWarning, match=r"f\(\) is left out, since Python has no _Float16: take a"
    ):
        create_extension("half", "half.h", "half.c", relative_to=str(tmp_path / "build.py"))


def test_functions_that_take_a_va_list_are_for_c(build):
    header = "#include <stdarg.h>\nint sum(int n, va_list all);\nint two(int n, ...);\n"
    source = (
        "int sum(int n, va_list all) { int s = 0; while (n--) s += va_arg(all, int); return s; }\n"
    )
    source += "int two(int n, ...) { va_list all; va_start(all, n); n = sum(2, all); va_end(all); return n; }"
    module = build(header, header + source)
    assert module.__all__ == ["two"]
    assert module.two(2, module._ffi.cast("int", 3), module._ffi.cast("int", 4)) == 7


def test_sizes_that_the_compiler_computes_inside_of_what_has_no_name(build, tmp_path):
    (tmp_path / "types.h").write_text(
        "enum kind { SMALL, LARGE = sizeof(long) };\nstruct address { char zero[sizeof(long) - sizeof(int)]; };\n"
        "typedef struct {\n  enum kind kind;\n  union {\n    struct { void *to; int n; } frame;\n"
        "    char pad[64 - sizeof(enum kind)];\n  } data;\n  struct { struct address a[2]; } both;\n"
        "  int end, none[(int)sizeof(char) - 1];\n} packet;\n"
    )
    header = '#include "types.h"\nint end_of(const packet *p);\nlong place(int which);\n'
    source = (
        f"{header}#include <stddef.h>\n"
        "int end_of(const packet *p) { return p->end + p->data.frame.n + p->data.pad[59]; }\n"
        "long place(int which) { return which == 0 ? sizeof(packet) : which == 1 ? offsetof(packet, both) : "
        "offsetof(packet, end); }\n"
    )
    module = build(header, source)
    ffi = module._ffi
    p = ffi.new("packet *", {"end": 3})
    p.data.frame.n = 4
    p.data.pad[59] = b"\5"
    assert module.end_of(p) == 12
    places = [ffi.sizeof("packet"), ffi.offsetof("packet", "both"), ffi.offsetof("packet", "end")]
    assert places == [module.place(i) for i in range(3)]


LAYOUTS = {
    "enum { N = sizeof(int), M }; typedef struct { int v[N]; char w[M + 1]; int last; } s": "",
    "typedef struct { int v; short last; } __attribute__((aligned(64))) s": "",
    "typedef struct { unsigned a : 3, b : 5; int v : 2; short last; } __attribute__((aligned(8))) s": "",
    "typedef struct { char a; int v; short last; } __attribute__((packed, aligned(4))) s": "",
    "struct [[gnu::packed]] t { char a; int v; }; typedef struct { struct t t; short last; } s": "",
    "typedef struct { unsigned aligned : 1, v : 3; short last; } s": "",
    "typedef struct { unsigned v : 3; char pad[16 - sizeof(int)]; short last; } s": "",
    "typedef struct { unsigned a : 7, v : (sizeof(unsigned) * 8 - 7); short last; } s": "",
    "enum { N = sizeof(int), M }; struct t { int v[M]; }; "
    "typedef struct { unsigned v : 3; char pad[16 - sizeof(int)], end[N]; struct t t; short last; } s": "",
    "typedef struct { char a; int v __attribute__((aligned(16))); short last; } s": "",
    "typedef struct { _Alignas(32) float v[4]; int last; } s": "",
    "typedef struct { alignas(16) float v[4]; int last; } s": "#include <stdalign.h>\n",
    "typedef struct { char a; double v; short last; } s": "#pragma pack(push, 2)\n",
    "struct t { char a; long v; }; typedef union { struct t t; int last; } s": "#pragma pack(4)\n",
}


@pytest.mark.parametrize("types", LAYOUTS)
def test_layouts_that_the_compiler_knows(build, types):
    header = f"{LAYOUTS[types]}{types};\n#pragma pack()\nint size(void);\nint place(void);\ns same(s of);\n"
    source = (
        f"{header}#include <stddef.h>\nint size(void) {{ return sizeof(s); }}\n"
        "int place(void) { return offsetof(s, last); }\ns same(s of) { return of; }\n"
    )
    module = build(header, source)
    ffi = module._ffi
    assert (ffi.sizeof("s"), ffi.offsetof("s", "last")) == (module.size(), module.place())
    assert module.same({"last": 5}).last == 5
    if "aligned :" in types:
        assert module.same({"last": 5, "v": 6}).v == 6


def test_a_layout_inside_of_what_has_no_name(build):
    """Only that struct is out of reach."""
    header = (
        "struct wide { int v; } __attribute__((aligned(64)));\n"
        "typedef struct { union { struct wide w; int i; } u; int last; } s;\nint of(const s *p);\nint one(void);\n"
    )
    source = f"{header}int of(const s *p) {{ return p->last; }}\nint one(void) {{ return 1; }}\n"
    module = build(header, source)
    assert module.one() == 1
    with pytest.raises(module._ffi.error, match="wrong"):
        module._ffi.new("s *")


def test_variables_sized_by_the_compiler_and_vectors(build):
    header = (
        "typedef float four __attribute__((vector_size(16)));\nfour add(four a);\nint at(four *p);\n"
        "enum { N = sizeof(int) };\nextern short table[N], other[sizeof(int) / 2];\nint of(const int v[N]);\n"
        "typedef float row[sizeof(int)];\nfloat last(const row r);\nint at_most(int n, const int v[(int)8.0]);\n"
    )
    source = (
        f"{header}short table[N] = {{1, 2, 3, 4}};\nfour add(four a) {{ return a; }}\n"
        "int at(four *p) { return 1; }\nint of(const int *v) { return v[3]; }\nshort other[2] = {5, 6};\n"
        "float last(const row r) { return r[3]; }\nint at_most(int n, const int *v) { return v[n - 1]; }\n"
    )
    module = build(header, source)
    assert module.__all__ == ["of", "last", "at_most", "N", "table", "other"]
    assert list(module.table) == [1, 2, 3, 4] and module.of([5, 6, 7, 8]) == 8
    assert list(module.other) == [5, 6] and module.at_most(2, [7, 8]) == 8
    assert module.last([0, 1, 2, 3]) == 3
    with pytest.raises(ValueError, match="expected 4 values for const row r, got 3"):
        module.last([1, 2, 3])


def test_variables_that_only_c_knows(build):
    header = (
        "typedef const struct codec codec;\nextern codec first;\n"
        "codec *get(void);\nint is_first(codec *c);\n"
    )
    source = (
        f"{header}struct codec {{ int n; }};\ncodec first = {{1}};\n"
        "codec *get(void) { return &first; }\nint is_first(codec *c) { return c == &first; }\n"
    )
    module = build(header, source)
    assert module.__all__ == ["get", "is_first"] and module.is_first(module.get()) == 1


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


def test_types_that_python_has_not_are_for_c(build, tmp_path):
    """What names one, also by a typedef, is left out; of a struct its fields are, and C tells where the others lie."""
    (tmp_path / "wide.h").write_text(
        "typedef __int128 wide;\ntypedef wide pair[2];\n"
        "enum { ROWS = 2, CELLS = ROWS * 3 };\nunion table { int cells[CELLS + 1]; };\n"
    )
    header = (
        '#include <stdarg.h>\n#include "wide.h"\n'
        "typedef int (*printer)(const char *, va_list);\ntypedef __float128 quads[2];\n"
        "struct state { int a; printer print; wide w; char b; };\n"
        "typedef struct { wide w; union { quads q; int k; } u; short c; } other;\n"
        "_Complex long double far(int n);\nint sized(const union table *t);\n"
        "void set(printer p);\nint low(pair of);\nvoid quad(quads *q);\nextern wide variable;\n"
        "int of(const struct state *s, const other *o);\nlong place(int which);\nint code(printer *none, int n);\n"
        "enum { LAST = 9 };\n"
    )
    source = (
        f"{header}#include <stddef.h>\nint of(const struct state *s, const other *o) {{ return s->a + s->b + o->c; }}\n"
        "int sized(const union table *t) { return t->cells[CELLS]; }\n"
        "long place(int which) { return which == 0 ? sizeof(struct state) : which == 1 ? "
        "offsetof(struct state, b) : which == 2 ? sizeof(other) : offsetof(other, c); }\n"
    )
    module = build(header, source)
    assert module.__all__ == ["sized", "of", "place", "LAST"]
    ffi = module._ffi
    assert module.sized(ffi.new("union table *", ([0, 1, 2, 3, 4, 5, 6],))) == 6
    s, o = ffi.new("struct state *", {"a": 1, "b": b"\2"}), ffi.new("other *", {"c": 4})
    assert module.of(s, o) == 7
    places = [ffi.sizeof("struct state"), ffi.offsetof("struct state", "b")]
    places += [ffi.sizeof("other"), ffi.offsetof("other", "c")]
    assert places == [module.place(i) for i in range(4)]


def test_functions_of_types_without_a_name_are_for_c(build):
    header = """
    typedef struct { int n; } one[1], *any;
    typedef enum { RED, BLUE } two[2];
    struct holder { one x; int after; };
    int of_one(const one x), of_two(two x), called(int (*by)(one x));
    extern one variable;
    int any_of(any x), after(struct holder h);
    """
    source = f"""{header}
    int any_of(any x) {{ return x->n; }}
    int after(struct holder h) {{ return h.after; }}
    """
    module = build(header, source)
    assert module.__all__ == ["any_of", "after", "RED", "BLUE"]
    assert module.any_of(module._ffi.new("one", [[3]])) == 3
    assert module.after({"x": [[4]], "after": 5}) == 5


def test_a_header_that_another_includes_is_read_as_a_part_of_it(tmp_path):
    """Of libraries' headers some are unfit to be included by themselves, and say so."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "whole.h").write_text(
        "#define API extern\n#define WITH_WHOLE 1\ntypedef int number;\n#define SIZE 3\n"
        '#include "sub/../sub/part.h"\nAPI int whole(void);\n'
    )
    (tmp_path / "sub" / "part.h").write_text(
        "#ifndef WITH_WHOLE\n#error include whole.h\n#endif\n#define PART 5\n/* Of the part. */\n"
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
    with pytest.raises(BuildError, match=r"part\.h:2: #error include whole\.h"):
        ffi_ext.load("parts", tmp_path / "all.c", headers[1:])


def test_a_header_may_use_macros_of_those_before_it(tmp_path):
    """As the generated C does, which includes all of them: a config.h, or X11/Xlib.h before its extensions."""
    (tmp_path / "config.h").write_text("#define API(type) extern type\n#define HAVE_MORE 1\n")
    (tmp_path / "plain.h").write_text("API(int) plain(int x);\n")
    (tmp_path / "more.h").write_text("#ifdef HAVE_MORE\nint more(int x);\n#endif\n")
    (tmp_path / "part.h").write_text("#ifndef HAVE_MORE\n#error config.h?\n#endif\n#define N 3\n")
    headers = [tmp_path / name for name in ("config.h", "plain.h", "more.h", "part.h")]
    source = tmp_path / "all.c"
    source.write_text("int plain(int x) { return x; }\nint more(int x) { return x + 1; }\n")
    module = ffi_ext.load("behind", source, headers)
    assert module.__all__ == ["plain", "more", "HAVE_MORE", "N"]
    assert (module.plain(3), module.more(3)) == (3, 4)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_lines_that_a_header_says_are_of_another_file(build, monkeypatch, compiler):
    """As flex and bison write them: `#line` changes names and numbers, and not whose text it is."""
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no {compiler} on this machine")
    monkeypatch.setenv("CC", compiler)
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


def test_enumerators_that_are_macros_of_themselves_too(build):
    header = "enum kind { A,\n#define A A\n  B = 5\n#define B B\n};\nint f(enum kind k);\n"
    module = build(header, "int f(int k) { return k; }\n")
    assert (module.A, module.B, module.f(module.B)) == (0, 5, 5)


ENUMS = {
    "enum few { A, B = 0xFFFFFFFF }": (0, 2**32 - 1),
    "typedef enum { C = -2147483647 - 1, D = 2147483647 } few": (-(2**31), 2**31 - 1),
    "enum few { E = 1, F = 1L << 32 }": (0, 2**64 - 1),
    "typedef enum { G = -1, H = 1L << 31 } few": (-(2**63), 2**63 - 1),
}


@pytest.mark.parametrize("suffix", [".c", ".cpp"])
@pytest.mark.parametrize("declared", ENUMS)
def test_an_enum_is_the_integer_that_the_compiler_takes_for_it(build, declared, suffix):
    few = "few" if declared.startswith("typedef") else "enum few"
    header = f"{declared};\n{few} same({few} value);\nint size(void);\n"
    opened = f'extern "C" {{\n{header}}}\n' if suffix == ".cpp" else header
    source = f"{few} same({few} value) {{ return value; }}\n"
    source += f"int size(void) {{ return sizeof({few}); }}\n"
    module = build(header, opened + source, suffix)
    low, high = ENUMS[declared]
    assert 8 * module.size() == (high - low).bit_length()
    assert [module.same(value) for value in (low, 1, high)] == [low, 1, high]
    for value in (low - 1, high + 1):
        with pytest.raises(OverflowError, match=f"integer {value} does not fit '{few}'"):
            module.same(value)
    stub = Path(module.__file__).with_suffix(".pyi").read_text()
    assert "def same(value: int) -> int:" in stub


def test_macros_that_are_numbers(build):
    names = {"A": "1.5", "B": "(-2e-3)", "C": ".5f", "D": "3.", "E": "1e5", "F": "- 2.5L"}
    others = {"G": "1.0 * x", "J": "1.0.0"}
    header = "".join(f"#define {n} {v}\n" for n, v in (names | others).items()) + "int f(void);\n"
    module = build(header + "static const float K = 0.25f;\n", "int f(void) { return 1; }")
    assert module.__all__ == ["f", *names, "K"]
    values = [getattr(module, name) for name in names]
    assert values == [1.5, -0.002, 0.5, 3.0, 100000.0, -2.5] and module.K == 0.25
    stub = Path(module.__file__).with_suffix(".pyi").read_text()
    assert "E: float" in stub and "K: float" in stub


def test_brackets_in_quotes_are_none(build):
    text = "static inline int o(char c) { return c == '{' || c == '\"'; }\nint f(void);\n"
    text += 'static inline const char *e(void) { return "}(\\""; }\nint g(int n);\n'
    module = build(text, text + "int f(void) { return o('{'); }\nint g(int n) { return e()[n]; }\n")
    assert module.__all__ == ["f", "g"] and (module.f(), module.g(0)) == (1, ord("}"))


def test_a_prototype_is_as_written(build):
    text = "#include <stdbool.h>\nbool negated(bool of, int * by);\n"
    module = build(text, text.replace(";", " { return !of; }"))
    assert module.negated.__doc__ == "_Bool negated(_Bool of, int *by)"


def test_variables_and_constants_of_one_declaration(build):
    module = build(
        "static const int A = 1, B = 2;\nstatic int const C = 3;\nstatic int own, of_c(int n);\n"
        "extern int first, second[3];\nextern double* fourth, third; // none\n"
        "extern int (*fifth)(void), (*sixth)(int), f(void);\n"
        "typedef double real; extern real (*seventh)(real); extern void (*eighth)(int);",
        "int first = 3, second[3] = {4, 5, 6};\ndouble third = 1.5, *fourth;\n"
        "int f(void) { return first; }\nint (*fifth)(void) = f, (*sixth)(int);\n"
        "static double twice(double x) { return 2 * x; }\n"
        "double (*seventh)(double) = twice; void (*eighth)(int);\n",
    )
    assert module.__all__ == [
        *("f", "A", "B", "C", "first", "second", "fourth", "third"),
        *("fifth", "sixth", "seventh", "eighth"),
    ]
    assert (module.A, module.B, module.C) == (1, 2, 3)
    assert (module.first, list(module.second)) == (3, [4, 5, 6])
    assert (module.third, module.fourth) == (1.5, module._ffi.NULL)
    assert (module.fifth(), module.sixth) == (3, module._ffi.NULL)
    assert (module.seventh(1.5), module.eighth) == (3.0, module._ffi.NULL)
    module.first = 7
    assert module.f() == 7


def test_variables_that_bring_their_types(build):
    header = """
    extern struct limits { int low, high[2]; } limits; /* of all */
    extern enum mode { OFF, ON = 4 } mode, other;
    extern struct { int n; } unnamed;
    extern enum { FIRST = 2 } first;
    static const struct pair { int a, b; } ORIGIN = {1, 2};
    static const struct { int key; const char *text; } table[] = {{1, "a"}, {2, "b"}};
    extern _Atomic(long) hits;
    int high(const struct limits *l);
    """
    source = (
        "struct limits limits = {1, {2, 3}}; enum mode mode = ON, other; _Atomic(long) hits = 6;\n"
        "int high(const struct limits *l) { return l->high[1]; }"
    )
    module = build(header, header + source)
    names = ["high", "OFF", "ON", "FIRST", "ORIGIN", "limits", "mode", "other", "hits"]
    assert sorted(module.__all__) == sorted(names)
    assert all(hasattr(module, name) for name in names)
    assert (module.mode, module.other, module.hits, module.ORIGIN.b) == (4, 0, 6, 2)
    module.limits = {"low": 7, "high": [8, 9]}
    assert module.high(module._ffi.addressof(module.limits)) == 9


def test_variables_and_enumerators_named_as_keywords(build):
    header = "extern double lambda, from; enum { None, in = 4 }; static const int pass = 5; int f(void);\n"
    source = "double lambda = 1.5, from = 3.5; int f(void) { return 10 * from; }"
    module = build(header, source)
    assert module.__all__ == ["f", "None_", "in_", "pass_", "lambda_", "from_"]
    module.from_ = 4.5
    assert (module.f(), module.lambda_, module.from_) == (45, 1.5, 4.5)
    assert (module.None_, module.in_, module.pass_) == (0, 4, 5)
    compile(Path(module.__file__).with_suffix(".pyi").read_text(), "stub", "exec")


def test_const_variables_are_not_written_to(build):
    header = "extern const int one; extern const char text[]; extern const int grid[2][2]; extern int pair[2];\n"
    source = 'const int one = 1; const char text[] = "abc"; const int grid[2][2] = {{1, 2}, {3, 4}}; int pair[2];'
    module = build(header, source)
    module.pair = [5, 6]
    values = {"one": 2, "text": b"x", "grid": [[0, 0], [0, 0]]}
    for name, value in values.items():  # the process would end
        with pytest.raises(AttributeError, match=f"cannot write to .*{name}"):
            setattr(module, name, value)
    assert (module.one, module._ffi.string(module.text), module.grid[1][0]) == (1, b"abc", 3)
    assert list(module.pair) == [5, 6]


def test_a_handle_to_a_struct_without_a_name(build):
    text = "typedef struct { int a; } *handle;\nint of(handle h)"
    module = build(text + ";", text + " { return h->a; }")
    assert module.of(module._ffi.new("handle", [5])) == 5


def test_static_asserts_and_sizes_that_are_parameters(build):
    text = '_Static_assert(sizeof(int) > 1, "small; (int)");\nint last(int n, const int v[n], int w[2 * n])'
    declared = text.replace("v[n]", "v[*]") + ";"
    module = build(declared, text + " { return v[n - 1] + w[2 * n - 1]; }")
    assert module.last(2, [3, 4], [0, 0, 0, 30]) == 34


def test_static_asserts_inside_of_structs(build):
    text = """
    #include <assert.h>
    typedef struct { char a; _Static_assert(sizeof(int[2]) == 8, "[;"); int b; static_assert(1 < 2, "}"); } pair;
    int of(pair p)"""
    module = build(text + ";", text + " { return p.b; }")
    assert module.of((b"a", 7)) == 7


def test_variables_with_an_alignment(build):
    include = "#include <stdalign.h>\n"
    module = build(
        include + "extern _Alignas(64) int table[2]; alignas(sizeof(double)) extern char text[8];",
        include + "_Alignas(64) int table[2] = {3, 4}; alignas(8) char text[8];",
    )
    assert list(module.table) == [3, 4] and len(module.text) == 8


def test_packing_by_an_operator_in_a_header_without_directives(build):
    text = """
    _Pragma("pack(push, 1)") typedef struct { char a; int b; } pair; _Pragma("pack(pop)")
    int of(pair p)"""
    module = build(text + ";", text + " { return p.b; }")
    assert module._ffi.sizeof("pair") == 5 and module.of((b"a", 7)) == 7


def test_rows_of_a_number_of_values(build):
    text = "double last(int n, const double points[n][3])"
    module = build(text + ";", text + " { return points[n - 1][2]; }")
    assert module.last(2, [[1, 2, 3], [4, 5, 6]]) == 6
    assert module.last(2, np.arange(6.0).reshape(2, 3)) == 5


def test_rows_that_are_as_long_as_a_parameter_says(build):
    text = "void multiply(int n, int k, const double a[n][k], const double b[static k][n], double c[n][n])"
    body = """ {
      for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
          c[i][j] = 0;
          for (int l = 0; l < k; l++) c[i][j] += a[i][l] * b[l][j];
        }
    }"""
    declared = text.replace("a[n][k]", "a[*][*]").replace("c[n][n]", "c[2][sizeof(double) / 4]")
    module = build(declared + ";", text + body)
    a, b = torch.rand(2, 3, dtype=torch.float64), torch.rand(3, 2, dtype=torch.float64)
    c = torch.empty(2, 2, dtype=torch.float64)
    module.multiply(2, 3, a, b.numpy(), c)
    torch.testing.assert_close(c, a @ b)
    with pytest.raises(ValueError, match="expected elements one behind the other"):
        module.multiply(2, 3, b.T, b, c)


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


def test_headers_of_modules_in_cxx_are_read_as_cxx(tmp_path, monkeypatch):
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
    header.write_text("#define SIZE 4\nint size(void);\n")
    header.with_suffix(".c").write_text('#include "lib.h"\nint size(void) { return SIZE; }\n')
    module = ffi_ext.load("no_utf8", str(header.with_suffix(".c")), str(header))
    assert module.__all__ == ["size", "SIZE"] and module.size() == 4


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


def test_types_whose_members_are_in_included_files(build, tmp_path):
    """A list of names for several uses is a file of its own."""
    (tmp_path / "colours.def").write_text("COLOUR(RED)\n/* sizeof(int) */\nCOLOUR(BLUE)\n")
    (tmp_path / "fields.inc").write_text("int x;\ndouble y[2];\n")
    (tmp_path / "end.inc").write_text("int end;\n};\n")
    (tmp_path / "other.h").write_text("int of_another_header(int n);\n")
    header = """#define COLOUR(name) name,
enum colour {
  NONE,
#include "colours.def"
  N_COLOURS
};
#undef COLOUR
#define COLOUR(name) name ## _AGAIN,
enum again {
#include "colours.def"
  OTHER,
#undef COLOUR
#define COLOUR(name) OTHER_ ## name,
#include "colours.def"
};
static const char text[] = "is {";
#include "other.h"
struct range {
#include "end.inc"
#include "other.h"
struct point {
#include "fields.inc"
};
/* The sum. */
double sum(struct point p, enum colour c);
"""
    source = header + "double sum(struct point p, enum colour c) { return p.x + p.y[1] + c; }\n"
    module = build(header, source)
    assert (module.RED, module.BLUE, module.N_COLOURS) == (1, 2, 3)
    assert (module.RED_AGAIN, module.OTHER, module.OTHER_BLUE) == (0, 2, 4)
    assert module.sum({"x": 4, "y": [0, 2.5]}, module.BLUE) == 8.5
    assert module.sum.__doc__.endswith("The sum.") and "of_another_header" not in module.__all__


def test_functions_that_are_declared_by_their_type(build):
    header = """
    typedef double fold(const float *values, int n);
    typedef int (*choose(int which))(int);
    /* The sum. */
    extern fold sum, *chosen;
    choose one_of;
    """
    source = f"""{header}
    double sum(const float *values, int n) {{ double s = 0; while (n--) s += values[n]; return s; }}
    double (*chosen)(const float *, int) = sum;
    static int next(int n) {{ return n + 1; }}
    int (*one_of(int which))(int) {{ return next; }}
    """
    module = build(header, source)
    assert module.sum(np.float32([1, 2, 0.5]), 3) == 3.5 and module.sum.__doc__.endswith("The sum.")
    assert module.one_of(0)(4) == 5 and module.__all__ == ["sum", "one_of", "chosen"]


def test_a_name_for_an_enum_behind_it(build):
    header = "enum hue { RED, BLUE = 3 };\ntypedef enum hue hue;\nhue same(hue of);\n"
    module = build(header, header + "hue same(hue of) { return of; }\n")
    assert module.same(module.BLUE) == 3


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
