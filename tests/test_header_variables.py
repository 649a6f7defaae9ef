"""Variables that headers declare: read and written in Python, and those that only C knows."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest


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
    assert pickle.loads(pickle.dumps(module)) is module  # as cloudpickle does with every module
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


def test_variables_with_an_alignment(build):
    include = "#include <stdalign.h>\n"
    module = build(
        include + "extern _Alignas(64) int table[2]; alignas(sizeof(double)) extern char text[8];",
        include + "_Alignas(64) int table[2] = {3, 4}; alignas(8) char text[8];",
    )
    assert list(module.table) == [3, 4] and len(module.text) == 8
