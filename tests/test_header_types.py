"""Types that headers declare: structs, unions, enums, typedefs, arrays, as the compiler lays them out."""

from __future__ import annotations

from pathlib import Path

import cffi
import numpy as np
import pytest
import torch

from ffi_ext import create_extension
from ffi_ext.headers import declarations
from tests.reliability.fuzz import NoCompiler


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


def test_what_has_no_name_is_laid_out_by_the_compiler(build):
    """cffi would give each field of a union without a name a place, and pack what is in a packed struct."""
    header = (
        "struct event { int type; union { struct { short n; union { long i; double d; }; } row[2]; int last; }; };\n"
        "struct info { union { struct { int i_code; } kill; } in; };\n#define i_code in.kill.i_code\n"  # siginfo_t's
        "struct around { char a; struct { char c; int n; } in; } __attribute__((packed));\n"
        "double of(const struct event *e);\n"
    )
    source = f"{header}double of(const struct event *e) {{ return e->row[1].n + e->row[1].d; }}\n"
    module = build(header, source)
    ffi = module._ffi
    event = ffi.new("struct event *", {"row": [{}, {"n": 5}]})
    event.row[1].d = 2.5
    assert (module.of(event), ffi.sizeof("struct event")) == (7.5, 40)
    assert (ffi.sizeof("struct info"), ffi.sizeof("struct around")) == (4, 9)
    assert ffi.offsetof("struct around", "in", "n") == 5


def test_types_that_python_has_not_are_for_c(build, tmp_path):
    """What names one, also by a typedef, is left out; of a struct its fields are, and C tells where the others lie."""
    (tmp_path / "wide.h").write_text(
        "typedef __int128 wide;\ntypedef wide pair[2];\n"
        "enum { ROWS = 2, CELLS = ROWS * 3 };\nunion table { int cells[CELLS + 1]; };\n"
    )
    header = (
        '#include <stdarg.h>\n#include "wide.h"\n'
        "typedef int (*printer)(const char *, va_list);\n"
        "#ifdef __SIZEOF_FLOAT128__\ntypedef __float128 quads[2];\n#else\ntypedef _Float128 quads[2];\n#endif\n"
        "struct state { int a; printer print; wide w; char b; };\n"
        "typedef struct { wide w; union { quads q; int k; } u; short c; } other;\n"
        "_Complex long double far(int n);\nint sized(const union table *t);\n"
        "void set(printer p);\nint low(pair of);\nvoid quad(quads *q);\nextern wide variable;\n"
        "int of(const struct state *s, const other *o);\nlong place(int which);\nint code(printer *none, int n);\n"
        "enum { LAST = sizeof(int) };\nextern wide row[LAST];\n"
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


@pytest.mark.parametrize(
    "typedef",
    [
        "typedef __Float32x4_t four;",
        "typedef __Int8x8_t four;",
        "typedef __Poly8_t four;",
        "typedef float32x4x2_t four;",
        "typedef __attribute__((neon_vector_type(4))) float four;",
        "typedef float four __attribute__((ext_vector_type(4)));",
        "typedef float four __attribute__ ((__vector_size__ (16), __may_alias__));",
    ],
)
def test_vectors_of_arm_and_of_clang_are_for_c(tmp_path, typedef):
    """As arm_neon.h of gcc 12 and of clang 14 begins, and x86's; the last but one is of any processor."""
    header = tmp_path / "vectors.h"
    header.write_text(
        f"{typedef}\ntypedef struct {{ four val[2]; int n; }} pair;\nfour twice(four x);\n"
        "void store(float *to, four x);\nint last(const pair *p);\nint one(int x);\n"
    )
    declared = declarations.read((header,), NoCompiler({}), cffi.FFI())
    assert [function.name for function in declared.functions] == ["last", "one"]


@pytest.mark.parametrize(
    "typedef",
    [
        "typedef float vector_type[3];",
        "typedef struct { int vector_size; } vector_type;",
        "typedef enum { no_vector_type } vector_type;",
        "typedef int (*vector_size_t)(void), vector_type;",
    ],
)
def test_what_is_named_after_vectors_is_none(tmp_path, typedef):
    (tmp_path / "named.h").write_text(f"{typedef}\nint length(vector_type *of);\n")
    declared = declarations.read((tmp_path / "named.h",), NoCompiler({}), cffi.FFI())
    assert [function.name for function in declared.functions] == ["length"]


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
