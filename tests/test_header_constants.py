"""Macros of a header that are constants in Python: numbers and strings, as the compiler has them."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ffi_ext
from ffi_ext import preprocess, toolchain

# Macros, and the values that C gives them (C99, 6.4.4, 6.5 and 6.6).
NUMBERS = {
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
}
TEXTS = {
    "TEXT": ('"some text"', b"some text"),
    "JOINED": ('"a\\"b" "c"', b'a"bc'),
    "FORMAT": ('"%" PRId64', b"%ld"),
    "IN_PARENTHESES": ('("text")', b"text"),
    "NAMED": ("TEXT", b"some text"),
    "UTF8": ('u8"\\u00fc"', "\u00fc".encode()),
}
OTHERS = {
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
    "VARIABLE": "(counter + 1)",
    "COMMA": "(f(), 1)",
}


def header() -> str:
    lines = [f"#include <{name}.h>" for name in ("stdint", "stddef", "inttypes", "limits", "float")]
    lines += ["#define TIMES(x, y) ((x) * (y))", "enum number { FIRST = 6, SECOND };"]
    values = {n: v for n, (v, _) in {**NUMBERS, **TEXTS}.items()} | OTHERS
    lines += [f"#define {name} {value}" for name, value in values.items()]
    return "\n".join([*lines, "extern int counter;", "int f(void);", ""])


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("FFI_EXT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.h").write_text(header())
    (tmp_path / "own.c").write_text("int counter;\nint f(void) { return 1; }\n")
    return tmp_path


def test_the_compiler_tells_which_macros_are_constants(project):
    module = ffi_ext.load("own", "own.c", "own.h")
    expected = {name: value for name, (_, value) in {**NUMBERS, **TEXTS}.items()}
    assert {name: getattr(module, name) for name in expected} == expected
    assert {*module.__all__} == {*expected, "FIRST", "SECOND", "counter", "f"}
    types = {name: type(getattr(module, name)) for name in NUMBERS}
    assert types == {name: type(value) for name, (_, value) in NUMBERS.items()}
    (stub,) = (project / "cache").rglob("own/__init__.pyi")
    lines = stub.read_text().splitlines()
    kinds = {name: type(value).__name__ for name, value in expected.items()}
    assert {f"{name}: {kind}" for name, kind in kinds.items()} <= {*lines}


@pytest.mark.skipif(shutil.which("clang") is None, reason="there is no clang here")
def test_clang_tells_the_same(project, monkeypatch):
    monkeypatch.setenv("CC", "clang")
    module = ffi_ext.load("own", "own.c", "own.h")
    expected = {name: value for name, (_, value) in {**NUMBERS, **TEXTS}.items()}
    assert {name: getattr(module, name, None) for name in expected} == expected
    assert not {*OTHERS} & {*module.__all__}


def test_the_compiler_is_asked_once(project, monkeypatch):
    def build():
        ffi_ext.create_extension("own", "own.h", "own.c", verbose=False).build()

    asked = []
    ask = preprocess._asked
    monkeypatch.setattr(preprocess, "_asked", lambda *a: asked.append(a) or ask(*a))
    build()
    build()
    assert len(asked) == 1
    text = (project / "own.h").read_text()
    (project / "own.h").write_text(f"{text}#define MORE (2 * SIZE)\n")
    build()
    code = "import own; print(own.MORE, own.TEXT)"
    said = subprocess.check_output([sys.executable, "-c", code], cwd=project, text=True)
    assert len(asked) == 2 and said == "16 b'some text'\n"


def test_what_needs_no_answer_asks_no_compiler(project, monkeypatch):
    monkeypatch.setattr(preprocess, "_asked", lambda *a: pytest.fail("the compiler was asked"))
    (project / "own.h").write_text(
        '#define N 3\n#define X 1.5\n#define S "s"\n#define real float\n#define API extern\n'
        '#define EXPORTED __attribute__((visibility("default")))\n#define F(x) x\nint f(void);\n'
    )
    module = ffi_ext.load("own", "own.c", "own.h")
    assert module.__all__ == ["f", "N", "X", "S"] and module.S == b"s"


def test_a_header_that_no_c_compiler_takes_has_the_plain_ones(project):
    """cffi is told no more than this; the binary is C++."""
    (project / "own.h").write_text(
        "#ifndef __cplusplus\nint half(a, b;\n#endif\n#define N 3\n#define M (2 * sizeof(int))\nint f(void);\n"
    )
    asked = preprocess.Reader({"include_dirs": [], "language": "c++"})
    assert asked.kinds([project / "own.h"], ["N", "M"], ["text"]) == {}


def test_a_static_array_stays_what_cffi_makes_of_it(project):
    (project / "own.h").write_text(
        'struct p { int x; };\nstatic const char NAME[] = "name";\nstatic const struct p P = {3};\nint f(void);\n'
    )
    module = ffi_ext.load("own", "own.c", "own.h")
    assert module._ffi.string(module.NAME) == b"name" and module.P.x == 3
    (stub,) = (project / "cache").rglob("own/__init__.pyi")
    assert "NAME: Any" in stub.read_text() and "P: Any" in stub.read_text()


@pytest.mark.parametrize(
    ("name", "constant", "value"),
    [
        ("limits.h", "INT_MIN", -(2**31)),
        ("float.h", "DBL_EPSILON", sys.float_info.epsilon),
        ("math.h", "M_PI", math.pi),
        ("inttypes.h", "PRIu16", b"u"),
        ("stdlib.h", "EXIT_FAILURE", 1),
    ],
)
def test_constants_of_cs_own_headers(project, name, constant, value):
    module = ffi_ext.load("of_c", headers=name)
    assert getattr(module, constant) == value


def test_an_enumerator_that_is_a_cast(project):
    Path("own.h").write_text(
        "enum e { ALL = (unsigned long) -1, ONE = (ALL) - (ALL) + 1 };\nint f(void);\n"
    )
    assert toolchain.c_compiler().command  # a compiler tells the values
    module = ffi_ext.load("own", "own.c", "own.h")
    assert (module.ALL, module.ONE) == (2**64 - 1, 1)
