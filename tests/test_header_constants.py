"""Macros of a header that are constants in Python: numbers and strings, as the compiler has them."""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path

import pytest

import ffi_ext
from ffi_ext.compilers import commands, toolchain
from ffi_ext.headers import preprocess

# Macros, and the values that C gives them (C99, 6.4.4, 6.5 and 6.6).
NUMBERS = {
    "POINT": ("1.5", 1.5),
    "BELOW_ZERO": ("(-2e-3)", -0.002),
    "NO_DIGIT_BEFORE": (".5f", 0.5),
    "NO_DIGIT_BEHIND": ("3.", 3.0),
    "EXPONENT": ("1e5", 100000.0),
    "A_BLANK": ("- 2.5L", -2.5),
    "TWO_PI": ("(2 * 3.25)", 6.5),
    "SINGLE": ("(float)1 / 3", 0.3333333432674408),
    "LETTER": ("'a'", 97),
    "SIZE": ("sizeof(int64_t)", 8),
    "ALL": ("((size_t)-1)", 2**64 - 1),
    "CAST": ("(unsigned char)300", 44),
    "CHOSEN": ("1 ? 2 : 3", 2),
    "SHIFTED": ("(UINT64_C(1) << 63)", 2**63),
    "OF_ARGUMENTS": ("TIMES(SIZE, 3)", 24),
    "WHAT_LIMITS_H_HAS": ("INT_MAX", 2**31 - 1),
    "OF_THE_HEADER": ("SECOND", 7),
    "LARGEST": ("DBL_MAX", sys.float_info.max),
    "ENDLESS": ("__builtin_inff()", math.inf),
    "DIVIDED": ("(-1.0 / 0)", -math.inf),
    "OF_ANOTHER_HEADER": ("INNER", 9),
    "QUOTIENT": ("(LETTER / 2 % 5)", 3),
    "OFFSET": ("offsetof(struct two, b)", 4),
}
TEXTS = {
    "TEXT": ('"some text"', b"some text"),
    "JOINED": ('"a\\"b" "c"', b'a"bc'),
    "FORMAT": ('"%" PRId64', b"%ld"),
    "IN_PARENTHESES": ('("text")', b"text"),
    "NAMED": ("TEXT", b"some text"),
    "UTF8": ('u8"\\u00fc"', "\u00fc".encode()),
    "ESCAPED": ('"a\\tb"', b"a\tb"),
    "OF_WORDS": ("AS_TEXT(my lib)", b"my lib"),
}
OTHERS = {
    "VERSION": "1.0.0",
    "TYPE": "float",
    "LINKAGE": "extern",
    "ATTRIBUTE": '__attribute__((visibility("default")))',
    "ADDRESS": "(&f)",
    "POINTER": "((void *)0)",
    "CALLED": "f() + 1",
    "UNKNOWN": "no_such_name + 1",
    "UNKNOWN_TOO": "no_such_name + 2",
    "STATEMENT": "do { } while (0)",
    "OPEN": "( 3",
    "CLOSED": "3 )",
    "TWO": "1; 2",
    "WIDE": 'L"wide"',
    "PAIR": "{1, 2}",
    "EMPTY": "",
    "STAR": "*",
    "VARIABLE": "(counter + 1)",
    "COMMA": "(f(), 1)",
    "BY_ZERO": "(SIZE / (LETTER - 97))",
    "OF_BY_ZERO": "(BY_ZERO + 1)",
    "COMPLEX": "(2 * 1.0fi)",
    "OF_128_BITS": "((__int128)1 << 100)",
    "WITH_A_NULL": '"ab\\0cd"',
    "FILE_NAME": '__FILE__ ":"',
    "OF_THE_LINE": "(__LINE__ + 0)",
    "OF_THAT": "(OF_THE_LINE + 1)",
}
OF_PYTHON = {"class": ("(1 + 1)", 2), "def": ('"x"', b"x"), "_lib": ('"z"', b"z")}


def header() -> str:
    lines = [f"#include <{name}.h>" for name in ("stdint", "stddef", "inttypes", "limits", "float")]
    lines += ["#define TIMES(x, y) ((x) * (y))", "#define AS_TEXT(x) #x", '#include "inner.h"']
    lines += ["enum number { FIRST = 6, SECOND };", "struct two { int a, b; };"]
    values = {n: v for n, (v, _) in {**NUMBERS, **TEXTS, **OF_PYTHON}.items()} | OTHERS
    lines += [f"#define {name} {value}" for name, value in values.items()]
    return "\n".join([*lines, "extern int counter;", "int f(void);", ""])


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("FFI_EXT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.h").write_text(header())
    (tmp_path / "inner.h").write_text("enum inner { INNER = 9 };\n")
    (tmp_path / "own.c").write_text("int counter;\nint f(void) { return 1; }\n")
    return tmp_path


def test_the_compiler_tells_which_macros_are_constants(project):
    module = ffi_ext.load("own", "own.c", "own.h")
    expected = {name: value for name, (_, value) in {**NUMBERS, **TEXTS}.items()}
    expected |= {f"{name}_": value for name, (_, value) in OF_PYTHON.items()}
    assert {name: getattr(module, name) for name in expected} == expected
    assert {*module.__all__} == {*expected, "FIRST", "SECOND", "counter", "f"}
    types = {name: type(getattr(module, name)) for name in NUMBERS}
    assert types == {name: type(value) for name, (_, value) in NUMBERS.items()}
    (stub,) = (project / "cache").rglob("own/__init__.pyi")
    lines = stub.read_text().splitlines()
    kinds = {name: type(value).__name__ for name, value in expected.items()}
    assert {f"{name}: {kind}" for name, kind in kinds.items()} <= {*lines}


@pytest.mark.parametrize("compiler", ["clang", "g++", "ccache gcc"])
def test_other_compilers_tell_the_same(project, use_compiler, compiler):
    use_compiler(compiler)
    module = ffi_ext.load("own", "own.c", "own.h")
    expected = {name: value for name, (_, value) in {**NUMBERS, **TEXTS}.items()}
    if compiler == "g++":
        del expected["UTF8"]  # of another type from C++20 on, which gcc 16 takes for C++
    assert {name: getattr(module, name, None) for name in expected} == expected
    assert not {*OTHERS} & {*module.__all__}


def test_a_number_costs_the_compiler_no_function(build):
    """Of which cffi has one for each; libraries' headers have a thousand numbers."""
    numbers = {
        "LOW": -5,
        "NEXT": -4,
        "TOP": 2**32 - 1,
        "NONE": 0,
        "ALL": 2**64 - 1,
        "MIN": -(2**63),
    }
    module = build(
        "enum e { LOW = -5, NEXT, TOP = 4294967295u };\n#define NONE 0\n#define ALL (~0ull)\n"
        "#define MIN (-9223372036854775807LL - 1)\n#define HALF 0.5\nvoid between(void);\nextern const int OWN;\n",
        "const int OWN = 8;\nvoid between(void) { }\n",
    )
    assert {name: getattr(module, name) for name in numbers} == numbers
    assert (module.HALF, module.OWN) == (0.5, 8)
    assert module._ffi.sizeof("char[TOP]") == 2**32 - 1
    (binary,) = Path(module.__file__).parent.glob("*.so")
    text = binary.read_bytes()
    assert b"ffi_ext_number" in text and b"_cffi_const_TOP" not in text


def test_a_number_that_no_table_can_have_is_one(build, use_compiler):
    """clang computes strlen() where an array's size stands, and in generated code it may not."""
    use_compiler("clang")
    header = '#include <string.h>\n#define LENGTH strlen("four")\n#define SEVEN 7\nvoid f(void);\n'
    module = build(header, "void f(void) { }\n")
    assert (module.LENGTH, module.SEVEN) == (4, 7)


def test_the_compiler_is_asked_once(project, monkeypatch, imported_from):
    def build():
        ffi_ext.create_extension("own", "own.h", "own.c", verbose=False).build()

    asked = []
    ask = preprocess._compiling
    monkeypatch.setattr(preprocess, "_compiling", lambda *a: asked.append(a) or ask(*a))
    build()
    build()
    assert len(asked) == 1
    text = (project / "own.h").read_text()
    (project / "own.h").write_text(f"{text}#define MORE (2 * SIZE)\n")
    build()
    own = imported_from(project / "own")
    assert len(asked) == 2 and (own.MORE, own.TEXT) == (16, b"some text")


def test_what_needs_no_answer_asks_no_compiler(project, monkeypatch):
    monkeypatch.setattr(preprocess, "_compiling", lambda *a: pytest.fail("the compiler was asked"))
    (project / "own.h").write_text(
        '#define N 3\n#define X 1.5\n#define S "s"\n#define real float\n#define API extern\n'
        '#define EXPORTED __attribute__((visibility("default")))\n#define F(x) x\nint f(void);\n'
    )
    module = ffi_ext.load("own", "own.c", "own.h")
    assert module.__all__ == ["f", "N", "X", "S"] and module.S == b"s"


def test_headers_that_need_what_is_included_before_them(project):
    (project / "own.h").write_text(
        "size_t g(THFloatTensor *a, bool b);\n#define SCALE (2 * 3.5)\nint f(void);\n"
    )
    (project / "own.c").write_text(
        "#include <TH/TH.h>\n#include <stdbool.h>\nint f(void) { return 1; }\n"
        "size_t g(THFloatTensor *a, bool b) { return a->size[0] + b; }\n"
    )
    assert ffi_ext.load("own", "own.c", "own.h").SCALE == 7.0


def test_a_type_of_a_header_without_directives_changes(project):
    (project / "inner.h").write_text("typedef int T; int f(void);\n")
    (project / "own.h").write_text("#define HALF ((T)3 / 2)\n")
    assert ffi_ext.load("own", "own.c", ["inner.h", "own.h"]).HALF == 1
    (project / "inner.h").write_text("typedef double T; int f(void);\n")
    assert ffi_ext.load("own", "own.c", ["inner.h", "own.h"]).HALF == 1.5


def test_a_compiler_that_died_is_asked_again(project, monkeypatch):
    real = commands.run
    died = "gcc: fatal error: Killed signal terminated program cc1\n"
    monkeypatch.setattr(commands, "run", lambda c, **k: (1, died) if "-S" in c else real(c, **k))
    for _ in range(3):
        assert "SHIFTED" not in ffi_ext.load("own", "own.c", "own.h").__all__
    monkeypatch.undo()
    monkeypatch.setenv("FFI_EXT_CACHE", str(project / "cache"))
    monkeypatch.chdir(project)
    assert ffi_ext.load("own", "own.c", "own.h").SHIFTED == 2**63


def test_a_name_that_nobody_knows_takes_no_more_runs_of_the_compiler(project, monkeypatch):
    rows = [f"#define REG_{i} (no_such_base + {i})\n" for i in range(200)]
    (project / "own.h").write_text("".join([*rows, "#define N (2 * sizeof(char))\nint f(void);\n"]))
    runs = []
    real = commands.run
    monkeypatch.setattr(commands, "run", lambda c, **k: runs.append(c) or real(c, **k))
    assert ffi_ext.load("own", "own.c", "own.h").__all__ == ["f", "N"]
    assert sum("-S" in command for command in runs) == 2


def test_constants_of_a_module_in_cxx(project):
    """The compiler that is asked is the one that compiles what was generated."""
    (project / "own.h").write_text(
        "#define OF_C (__builtin_types_compatible_p(int, int) + 2)\n"
        "#define N (int(4.5) + 0)\nint f(const int *restrict p);\n"
    )
    (project / "own.cpp").write_text('extern "C" int f(const int *p) { return *p; }\n')
    module = ffi_ext.load("own", "own.cpp", "own.h", language="c++")
    assert module.__all__ == ["f", "N"] and module.N == 4


def test_a_variable_is_no_constant_though_a_macro_has_its_name(project):
    (project / "own.h").write_text(
        "static const double HALF = 0.5;\n#define ONE (HALF * 2)\nextern const char *version;\n"
        '#define version "1.2"\nint f(void);\n'
    )
    (project / "own.c").write_text('const char *version = "1.1"; int f(void) { return 1; }\n')
    module = ffi_ext.load("own", "own.c", "own.h")
    assert module.__all__.count("version") == 1 and module.HALF == 0.5


def test_constants_that_are_static_variables(project):
    """An array or a struct stays what cffi makes of it."""
    (project / "own.h").write_text(
        'struct p { int x; };\nstatic const char NAME[] = "name";\nstatic const struct p P = {3};\nint f(void);\n'
        "static const int BASE = 2;\n#define NEXT (BASE + 1)\nstatic const float PART = 0.25f;\n"
        "enum kind { FIRST = 4 };\nstatic const enum kind KIND = FIRST;\n#define CALLED f\n"
    )
    module = ffi_ext.load("own", "own.c", "own.h")
    assert module._ffi.string(module.NAME) == b"name" and module.P.x == 3
    assert (module.BASE, module.NEXT, module.PART, module.KIND) == (2, 3, 0.25, 4)
    assert "CALLED" not in module.__all__
    (stub,) = (project / "cache").rglob("own/__init__.pyi")
    types = dict(re.findall(r"^(\w+): (\w+)$", stub.read_text(), re.M))
    integers = dict.fromkeys(["BASE", "NEXT", "KIND", "FIRST"], "int")
    assert types.items() >= {"NAME": "Any", "P": "Any", "PART": "float", **integers}.items()


@pytest.mark.parametrize(
    ("name", "constant", "value"),
    [
        ("limits.h", "INT_MIN", -(2**31)),
        ("float.h", "DBL_EPSILON", sys.float_info.epsilon),
        ("math.h", "M_PI", math.pi),
        ("inttypes.h", "PRIu64", b"lu"),
        ("stdlib.h", "EXIT_FAILURE", 1),
    ],
)
def test_constants_of_cs_own_headers(project, name, constant, value):
    if name == "inttypes.h" and toolchain.c_compiler().is_clang:
        pytest.skip("clang has a header of its own, which includes C's")
    module = ffi_ext.load("of_c", headers=name)
    assert getattr(module, constant) == value


def test_an_enumerator_that_is_a_cast(project):
    Path("own.h").write_text(
        "enum e { ALL = (unsigned long) -1, ONE = (ALL) - (ALL) + 1 };\nint f(void);\n"
    )
    assert toolchain.c_compiler().command  # a compiler tells the values
    module = ffi_ext.load("own", "own.c", "own.h")
    assert (module.ALL, module.ONE) == (2**64 - 1, 1)
