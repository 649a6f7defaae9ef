"""What a call has cffi convert: pointers, lists, structs, texts; and variadic functions, which cffi calls."""

from __future__ import annotations

import ctypes
import inspect
from array import array
from pathlib import Path
from types import MethodType, SimpleNamespace

import numpy as np
import pytest
import torch

import ffi_ext

HEADER = """
int how_many(THFloatTensor **tensors, int n);
int longest(const char *const *texts, int n);
double total(double *values, int n);
double first_two(const double values[2]);
void shout(char *text);
int fill16(char text[16]);
double corner(const double (*rows)[3]);
int last_byte(const uint8_t *bytes, int n);
void clear(uint8_t constants[1]);
struct point { int x, y; };
struct point flip(struct point p);
void move(struct point *p);
int x_of(void *any, const struct point *p);
struct buffer { float *data; };
float front(struct buffer b);
int lowest(const uint8_t key[4]);
enum colour { RED, GREEN = 4 };
enum colour next_colour(enum colour c);
long double precise(long double x);
char upper(char c);
int apply(int (*f)(int), int x);
int variadic(int n, ...);
int written(char *text, size_t room, const char *format, ...);
int joined(int args, ...);
double sum_into(double *out, const float *values, int n, ...);
/* How many there are. */
int dimensions(const THFloatTensor *t, ...);
/* t itself, or a new tensor of n ones, or none. */
THFloatTensor *chosen(int n, THFloatTensor *t, ...);
float last_of(const float values[3], ...);
int any_dimensions(void *tensor);
struct picture { const float *pixels; int count; float scale[2]; };
float brightness(struct picture p);
float brightness_of(const struct picture *p);
int call_both(int (**functions)(int), int x);
double of_rows(double **rows, int n);
"""

SOURCE = r"""
#include <TH/TH.h>
#include <stdarg.h>
#include <stdio.h>
struct point { int x, y; };
enum colour { RED, GREEN = 4 };
int how_many(THFloatTensor **tensors, int n) { return tensors[0] ? n : 0; }
int longest(const char *const *texts, int n) {
  int most = 0;
  for (int i = 0; i < n; i++) if (strlen(texts[i]) > most) most = strlen(texts[i]);
  return most;
}
double first_two(const double values[2]) { return values[0] + values[1]; }
void shout(char *text) { for (; *text; text++) *text -= 32; }
int fill16(char text[16]) { memset(text, 7, 16); return text[15]; }
double corner(const double (*rows)[3]) { return rows[0][2]; }
void clear(uint8_t constants[1]) { *constants = 0; }
int last_byte(const uint8_t *bytes, int n) { return bytes[n - 1]; }
double total(double *values, int n) { double s = 0; while (n--) s += values[n]; return s; }
struct point flip(struct point p) { struct point r = {p.y, p.x}; return r; }
void move(struct point *p) { p->x++; }
int x_of(void *any, const struct point *p) { return any ? p->x : 0; }
struct buffer { float *data; };
float front(struct buffer b) { return *b.data; }
int lowest(const uint8_t key[4]) {
  int low = key[0];
  for (int i = 1; i < 4; i++) if (key[i] < low) low = key[i];
  return low;
}
enum colour next_colour(enum colour c) { return c == RED ? GREEN : RED; }
long double precise(long double x) { return x / 2; }
char upper(char c) { return c - 32; }
int apply(int (*f)(int), int x) { return f(x) + 1; }
int variadic(int n, ...) {
  va_list rest; int s = 0;
  va_start(rest, n);
  while (n--) s += va_arg(rest, int);
  va_end(rest);
  return s;
}
int joined(int args, ...) { return args; }
int written(char *text, size_t room, const char *format, ...) {
  va_list rest;
  va_start(rest, format);
  int n = vsnprintf(text, room, format, rest);
  va_end(rest);
  return n;
}
double sum_into(double *out, const float *values, int n, ...) {
  for (int i = 0; i < n; i++) *out += values[i];
  return *out;
}
float last_of(const float values[3], ...) { return values[2]; }
int dimensions(const THFloatTensor *t, ...) { if (t->nDimension > 3) THError("too many"); return t->nDimension; }
THFloatTensor *chosen(int n, THFloatTensor *t, ...) {
  if (n < 0) return NULL;
  if (n == 0) return t;
  THFloatTensor *made = THFloatTensor_newWithSize1d(n);
  THFloatTensor_fill(made, 1);
  return made;
}
int any_dimensions(void *tensor) { return ((THFloatTensor *)tensor)->nDimension; }
struct picture { const float *pixels; int count; float scale[2]; };
float brightness(struct picture p) {
  float s = 0;
  for (int i = 0; i < p.count; i++) s += p.scale[0] * p.pixels[i];
  return s;
}
float brightness_of(const struct picture *p) { return brightness(*p); }
double of_rows(double **rows, int n) { return n ? rows[n - 1][0] + of_rows(rows, n - 1) : 0; }
int call_both(int (**functions)(int), int x) { return functions[1](functions[0](x)); }
"""


@pytest.fixture(scope="module")
def module(build_once):
    return build_once(HEADER, SOURCE, extra_compile_args=["-std=gnu99"])


def test_what_cffi_carries(module):
    ffi = module._ffi
    assert module.total([1, 2, 3.5], 3) == 6.5
    assert module.total(ffi.new("double[]", [1, 2]), 2) == 3
    for bad in (None, torch.zeros(2), "x", 3):
        with pytest.raises(TypeError, match="argument 1 'values'"):
            module.total(bad, 2)
    point = module.flip({"x": 1, "y": 5})
    assert (point.x, point.y) == (5, 1)
    assert float(module.precise(3.0)) == 1.5
    assert module.upper(b"a") == b"A"
    double = ffi.callback("int(int)", lambda x: 2 * x)
    assert module.apply(double, 20) == 41
    assert module.variadic(2, ffi.cast("int", 3), ffi.cast("int", 4)) == 7
    assert module.dimensions(torch.zeros(2, 3)) == 2
    with pytest.raises(TypeError, match="float32"):
        module.dimensions(torch.zeros(2).double())
    for _ in range(2000):  # an error through the interpreter's frames leaves nothing behind
        with pytest.raises(ffi_ext.NativeError, match="too many"):
            module.dimensions(torch.zeros(1, 1, 1, 1))
    assert module.any_dimensions(torch.zeros(2, 2, 2, dtype=torch.int64)) == 3
    assert module.x_of(torch.zeros(2), ffi.new("struct point *", {"x": 3, "y": 0})) == 3
    with pytest.raises(TypeError, match="argument 2 'p'"):  # a tensor's record is no point
        module.x_of(torch.zeros(2), torch.zeros(2))


def test_tensors_that_a_variadic_function_returns(module):
    t = torch.rand(2)
    assert module.chosen(0, t) is t and module.chosen(-1, t) is None
    assert torch.equal(module.chosen(3, t), torch.ones(3))


def test_a_variadic_function_takes_64_arguments(module):
    ones = [module._ffi.cast("int", 1)] * 64
    assert module.variadic(63, *ones[1:]) == 63
    with pytest.raises(TypeError, match="more than 64 arguments"):
        module.variadic(64, *ones)


def test_named_parameters_of_a_variadic_function_take_text_and_memory(module):
    ffi = module._ffi
    kept, seven, half = b"unchanged", ffi.cast("int", 7), ffi.cast("float", 0.5)
    assert module.written(kept, 4, b"%d", seven) == 1 and kept == b"un" + b"changed"
    text, array = bytearray(8), np.zeros(8, dtype=np.uint8)
    for room in (text, array, torch.from_numpy(array)):
        assert module.written(room, 8, b"%d %.1f", seven, half) == 5  # a float is a double there
        assert bytes(room.tolist() if room is not text else room) == b"7 0.5\0\0\0"
    out = torch.zeros(1, dtype=torch.float64)
    assert module.sum_into(out, np.arange(4, dtype=np.float32), 4) == out.item() == 6
    assert out._version == 1
    with torch.inference_mode():  # of tensors without a version
        assert module.sum_into(torch.zeros(1, dtype=torch.float64), [2.0], 1) == 2
    for wrong in (torch.zeros(1), out.expand(3), torch.zeros(1, dtype=torch.float64).to_sparse()):
        with pytest.raises((TypeError, ValueError), match=r"sum_into\(\) argument 1 'out': "):
            module.sum_into(wrong, [1.0], 1)
    assert (
        module.dimensions.__doc__
        == "int dimensions(const THFloatTensor *t, ...)\n\nHow many there are."
    )
    assert repr(module.dimensions).endswith("cffi: int dimensions(const THFloatTensor *t, ...)>")
    assert str(inspect.signature(module.written)) == "(text, room, format, /, *args)"
    assert str(inspect.signature(module.joined)) == "(args, /, *args_)"
    stub = Path(module.__file__).with_suffix(".pyi").read_text()
    assert "def joined(args: int, /, *args_: Any) -> int:" in stub
    frozen, saved = np.arange(3, dtype="f"), torch.arange(3.0)
    frozen.flags.writeable = False
    assert module.last_of(frozen) == module.last_of(saved) == module.last_of([0, 1, 2]) == 2
    assert module.dimensions(frozen) == module.dimensions(saved) == 1 and saved._version == 0
    for short in (saved[:2], frozen[:2], [1, 2]):
        with pytest.raises(
            ValueError, match=r"'values': expected 3 values for const float v.*got 2"
        ):
            module.last_of(short)
    with pytest.raises(
        TypeError, match=r"last_of\(\) takes positional arguments only, got values="
    ):
        module.last_of(values=frozen)
    with pytest.raises(TypeError, match=r"written\(\) argument 3 'format': .*use .encode\(\)"):
        module.written(text, 8, "%d", seven)


def test_pointers_in_structs_and_lists_of_callbacks(module):
    ffi, pixels = module._ffi, torch.arange(4.0)
    picture = {"pixels": ffi.from_buffer("float[]", pixels.numpy()), "count": 4, "scale": [2, 0]}
    for _ in range(2):
        assert module.brightness(picture) == module.brightness_of([picture]) == 12
    rows = [ffi.from_buffer("double[]", np.full(2, n, float)) for n in (3, 4)]
    assert module.of_rows(rows, 2) == 7
    functions = [ffi.callback("int(*)(int)", f) for f in (lambda x: x + 1, lambda x: 10 * x)]
    for _ in range(2):
        assert module.call_both(functions=functions, x=2) == 30


def test_text_that_c_writes_to(module):
    text, memory, buffer = b"abc", bytearray(b"abc\0"), module._ffi.new("char[]", b"abc")
    module.shout(text)
    module.shout(memory)
    module.shout(buffer)
    assert (text, memory, module._ffi.string(buffer)) == (b"abc", b"ABC\0", b"ABC")
    module.clear(text)
    assert text == b"abc"
    assert module.last_byte(b"ab", 2) == module.last_byte(bytearray(b"ab"), 2) == ord("b")


def test_wide_texts(build):
    header = "#include <wchar.h>\nint length(const wchar_t *text);\n"
    module = build(header, header + "int length(const wchar_t *text) { return (int)wcslen(text); }")
    with pytest.raises(TypeError, match=r"module\._ffi\.new\('wchar_t\[\]', text\)") as caught:
        module.length("na\u00efve")
    assert "encode" not in str(caught.value)
    assert module.length(module._ffi.new("wchar_t[]", "na\u00efve")) == 5


def test_a_list_of_texts(module):
    assert module.longest([b"a", b"four", bytes(0)], 3) == 4
    with pytest.raises(TypeError, match=r"argument 1 'texts': .*use .encode\(\)"):
        module.longest([b"a", "four"], 2)
    assert module.longest((module._ffi.new("char[]", b"four"), b"fiver"), 2) == 5
    with pytest.raises(TypeError, match="argument 1 'texts'.*not str"):
        module.longest(["a"], 1)


def test_a_list_that_is_shorter_than_the_declared_array(module):
    assert module.first_two([1, 2]) == module.first_two((1, 2, 5)) == 3
    assert module.corner([[1, 2, 3]]) == 3
    room = bytearray(16)
    assert module.fill16(b"short") == module.fill16(room) == 7 and room == bytes([7] * 16)
    with pytest.raises(ValueError, match=r"expected 16 values for char text\[16\], got 5"):
        module.fill16(bytearray(5))
    with pytest.raises(ValueError, match=r"'values': expected 2 values for .*values\[2\], got 1"):
        module.first_two([1])
    assert module.lowest(b"zebra") == ord("b")
    with pytest.raises(ValueError, match=r"'key': expected 4 values for .*key\[4\], got 3"):
        module.lowest(b"abc")


def test_a_struct_within_another_that_cffi_refuses(build):
    header = "struct point { int x, y; };\nstruct line { struct point a, b; };\nint first(struct line l);\n"
    module = build(header, header + "int first(struct line l) { return l.a.x; }")
    with pytest.raises(ValueError, match="argument 1 'l': field 'b': too many initializers for"):
        module.first({"b": (1, 2, 3)})


def test_pointers_at_every_call(build):
    """cffi's types are not known at the first call, and from then on they are."""
    header = "struct point { int x, y; };\nstruct point *right_of(struct point *p);\n"
    header += "void ignored(struct point *p);\n"
    module = build(
        header,
        header + "struct point *right_of(struct point *p) { return p ? p + 1 : p; }\n"
        "void ignored(struct point *p) { (void)p; }",
    )
    ffi = module._ffi
    points = ffi.new("struct point[2]", [{"x": 1}, {"x": 2}])
    opaque = ffi.cast("void *", points)
    for _ in range(3):
        for given in (points, ffi.addressof(points, 0), opaque):
            right = module.right_of(given)
            assert ffi.typeof(right) is ffi.typeof("struct point *") and right == points + 1
        assert module.right_of(ffi.NULL) == ffi.NULL
        wrong = [points[0], ffi.new("int *"), ffi.cast("int", 1), ffi.typeof("int"), b"text", None]
        for value in wrong:
            with pytest.raises(
                TypeError, match=r"right_of\(\) argument 1 'p': .*'struct point \*'"
            ):
                module.right_of(value)
    function = module.right_of.__self__
    types = function.types
    with pytest.raises(TypeError, match="bad argument"):
        function.types = (1, 2)
    function.types = ((1, 2), (0, 0), (0, 0), (0, 0))  # calls of other threads look at the first
    assert function.types is types
    module.ignored.__self__.types = ((1, 2), (0, 0), (0, 0), (0, 0))
    with pytest.raises(AttributeError):  # what is no type of cffi's does not reach it
        module.ignored(b"text")


LISTS = {
    "double sum(const double *of, int n)": [([1, 2.5], 2), ((True, np.float32(2)), 2), ([], 0)],
    "int at(const int (*rows)[2], int n)": [([[1, 2], (3, 4)], 1)],
    "int first(struct pair *of, int n)": [([(5, 6), {"x": 7}], 1)],
    "int second(const int of[2], int n)": [
        ([8, 9], 0),
        ((8, 9, 10), 0),
        ([8, np.int64(9)], 0),
        ([np.bool_(True), torch.tensor(9)], 0),
    ],
    "int size(const char *const *of, int n)": [([b"a", b"bc"], 1)],
}


SUMS = """
double sum(const double *of, int n) { double s = 0; while (n--) s += of[n]; return s; }
int at(const int (*rows)[2], int n) { return rows[n][1]; }
int first(struct pair *of, int n) { return of[n].x++; }
int second(const int of[2], int n) { return of[1]; }
int size(const char *const *of, int n) { return of[n][1]; }
"""


NO_LISTS = {
    "sum": [(["a"], 1), ([None], 1), ([[1.0]], 1), ("ab", 1), ({1.0}, 1), ([1, 2**2000], 2)],
    "at": [([1, 2], 0), ([[1, 2, 3]], 0)],
    "first": [([5], 0), ([{"z": 1}], 0)],
    "second": [
        ([8], 0),
        *(
            ([8, wrong], 0)
            for wrong in (2**31, 1.5, np.float32(1.5), torch.tensor(1.5), torch.tensor([1.5]), "1")
        ),
    ],
    "size": [(["a"], 0)],
    "run": [([1], 0), ((), 0)],
    "any": [([1, 2], 0)],
}


def test_lists_at_every_call(build):
    extra = "int run(int (*of)(int), int n);\nint any(const void *of, int n);\n"
    header = "struct pair { int x, y; };\n" + "".join(f"{text};\n" for text in LISTS) + extra
    ends = (
        "int run(int (*of)(int), int n) { return 0; }\nint any(const void *of, int n) { return 0; }"
    )
    module = build(header, header + SUMS + ends)
    expected = {
        "sum": [3.5, 3.0, 0.0],
        "at": [4],
        "first": [7],
        "second": [9, 9, 9, 9],
        "size": [ord("c")],
    }
    for _ in range(3):
        for text, calls in LISTS.items():
            name = text.partition("(")[0].split()[1]
            assert [getattr(module, name)(*call) for call in calls] == expected[name]
        for name, calls in NO_LISTS.items():
            for call in calls:
                with pytest.raises(
                    (TypeError, ValueError, OverflowError, IndexError), match=rf"^{name}\(\) arg"
                ):
                    getattr(module, name)(*call)
    with pytest.raises(TypeError) as refused:  # a number of the wrong kind, and no array of tensors
        module.second([8, torch.tensor(1.5)], 0)
    assert "torch.cat" not in str(refused.value)


def test_an_interrupt_in_a_conversion_is_not_lost(build):
    class Interrupted:
        asked = 0

        def __float__(self):
            self.asked += 1
            if self.asked == 1:
                raise KeyboardInterrupt
            return 2.0

    module = build(
        "double first(const double *of);", "double first(const double *of) { return *of; }"
    )
    assert module.first([1.0]) == 1.0
    value = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        module.first([value])
    assert module.first([value]) == 2.0


VALUES = """
struct inner { char tag; long double wide; };
struct outer { int n; struct inner in[2]; double (*f)(double); unsigned low : 3, high : 5; };
union either { int i; double d; };
"""


def test_values_of_c_that_are_no_integers(module):
    ffi = module._ffi
    for value in (ffi.cast("int", 3), ffi.cast("enum colour", 4), ffi.cast("unsigned char", 5)):
        assert module.apply(ffi.callback("int(int)", lambda x: 2 * x), value) == 2 * int(value) + 1
    said = {
        ffi.new("int *", 3): r"an integer is required for 'int', got C's 'int \*': .* value\[0\]",
        ffi.NULL: r"an integer is required for 'int', got C's 'void \*'$",
        ffi.cast("double", 2.5): "got C's 'double'$",
        ffi.new("struct point *")[0]: "got C's 'struct point'$",
    }
    for value, words in said.items():
        with pytest.raises(TypeError, match=rf"(?m)^apply\(\) argument 2 'x': .*{words}"):
            module.apply(ffi.NULL, value)


def test_structs_for_wide_vectors(build):
    """Of which C takes for granted that they lie at multiples of 64 bytes."""
    header = (
        "#include <stdint.h>\ntypedef struct __attribute__((aligned(64))) { float x[16]; } wide;\n"
    )
    header += (
        "wide same(char c, wide of);\nint misplaced(const wide *p);\nint misplaced_value(wide p);\n"
    )
    source = (
        "static uintptr_t behind(const volatile void *p) { return (uintptr_t)p % 64; }\n"
        "wide same(char c, wide of) { return of; }\nint misplaced(const wide *p) { return behind(p); }\n"
        "int misplaced_value(wide p) { return behind(&p); }\n"
    )
    # In these registers, if the processor has them, what is misplaced ends the process.
    flags = ["-O3", "-march=native"]
    module = build(header, header + source, extra_compile_args=flags)
    given = [float(i) for i in range(16)]
    kept = []  # so that the places differ
    for _ in range(8):
        kept.append(module.same(b"c", [given]))
        kept.append(module.same(b"c", kept[-1]))
        assert list(kept[-1].x) == given
        assert module.misplaced([{"x": given}, kept[-1]]) == module.misplaced_value([given]) == 0


def test_structs_at_every_call(build):
    header = VALUES + (
        "struct outer turned(struct outer of, int by);\nunion either other(union either of);\n"
    )
    source = (
        "struct outer turned(struct outer of, int by) { struct inner first = of.in[0];\n"
        "  of.n += by; of.in[0] = of.in[1]; of.in[1] = first; of.high = of.low; return of; }\n"
        "union either other(union either of) { of.d = of.i + 0.5; return of; }\n"
    )
    module = build(header, header + source)
    ffi = module._ffi
    inner = [{"tag": b"a", "wide": 1.5}, (b"b", 2.5)]
    given = [{"n": 1, "in": inner, "low": 5}, (1, inner, ffi.NULL, 5)]
    given.append(ffi.new("struct outer *", given[0])[0])
    for _ in range(3):
        for value in given:
            got = module.turned(value, 2)
            assert ffi.typeof(got) is ffi.typeof("struct outer")
            assert (got.n, getattr(got, "in")[0].tag, got.high, got.f) == (3, b"b", 5, ffi.NULL)
            assert float(getattr(got, "in")[1].wide) == 1.5
        assert given[2].n == 1  # a copy went to C
        assert module.other({"i": 3}).d == 3.5
        wrong = [
            {"n": "1"},
            {"m": 1},
            {"low": 8},
            (1, 2, 3, 4, 5, 6),
            None,
            3,
            ffi.new("struct outer *"),
        ]
        for value in wrong:
            with pytest.raises(
                (TypeError, ValueError, OverflowError), match=r"^turned\(\) arg.* 'of'"
            ):
                module.turned(value, 2)


def test_what_cffi_refuses_says_what_to_do(module):
    with pytest.raises(
        TypeError, match=r"argument 1 'f'.*module._ffi.callback\('int\(\*\)\(int\)'"
    ):
        module.apply(lambda x: x, 1)
    with pytest.raises(TypeError, match=r"'f': expected int\(\*\)\(int\), got a tensor"):
        module.apply(torch.ones(1), 1)
    with pytest.raises(TypeError, match=r"is module._ffi.addressof\(module._lib, 'apply'\)"):
        module.apply(module.apply, 1)
    image = SimpleNamespace(origin=(0, 0))
    with pytest.raises(TypeError, match=r"module._ffi.callback\("):
        module.apply(MethodType(lambda self, x: x, image), 1)
    with pytest.raises(TypeError, match=r"got memoryview.*from_buffer\('double\[\]'"):
        module.total(memoryview(np.ones(2)), 2)
    ffi, rows = module._ffi, np.arange(6.0).reshape(2, 3)
    assert module.corner(ffi.from_buffer("double[][3]", rows)) == 2
    with pytest.raises(TypeError, match=r"from_buffer\(value\)"):
        module.any_dimensions(rows)
    with pytest.raises(TypeError, match=r"one: module._ffi.new\('double \*', value\)"):
        module.total(3, 1)
    assert module.total(ffi.new("double *", 3), 1) == 3
    with pytest.raises(
        TypeError, match=r"for memory pass the tensor or the array, not its address"
    ):
        module.total(torch.ones(1).double().data_ptr(), 1)
    with pytest.raises(TypeError, match=r"module._ffi.new\('struct point \*', value\)"):
        module.move({"x": 1})
    with pytest.raises(TypeError, match="'tensors': .*no array of tensors .*torch.cat"):
        module.how_many([torch.ones(1), torch.ones(1)], 2)
    tensor = torch.ones(1)
    for value in ({"data": tensor}, [tensor]):
        with pytest.raises(TypeError, match=r"'b': .*cast\('float \*', tensor.data_ptr\(\)\)"):
            module.front(value)
    assert module.front([ffi.cast("float *", tensor.data_ptr())]) == 1
    for row in (torch.ones(1), np.ones(1), [1.0]):
        with pytest.raises(
            TypeError, match=r"a row is an address, .*buffer\('double\[\]', array\)"
        ):
            module.of_rows([row], 1)
    with pytest.raises(TypeError, match=r"module._ffi.addressof\(value\)"):
        module.move(module.flip((1, 2)))
    for value in (array("d", [1, 2]), (ctypes.c_double * 2)(1, 2)):
        with pytest.raises(TypeError, match=r"from_buffer\('double\[\]', value\)"):
            module.total(value, 2)
    assert module.total(ffi.from_buffer("double[]", array("d", [1, 2])), 2) == 3
    with pytest.raises(TypeError, match="'f': .*NULL is module._ffi.NULL"):
        module.apply(0, 1)
    with pytest.raises(TypeError, match=r"'f': .*address: module._ffi.cast\('int\(\*\)\(int\)'"):
        module.apply(4096, 1)
    with pytest.raises(TypeError, match=r"'tensor': .*address: module._ffi.cast\('void \*'"):
        module.any_dimensions(torch.ones(1).data_ptr())
    with pytest.raises(TypeError, match=r"'text': .*os.fsencode\(value\)"):
        module.shout(Path("text"))
    with pytest.raises(TypeError, match=r"'tensor': .*module._ffi.new_handle\(value\)"):
        module.any_dimensions({})
    with pytest.raises(TypeError, match=r"'c': .*bytes\(\[100\]\)"):
        module.upper(ord("d"))
    assert module.upper(bytes([100])) == b"D"
    for several in (b"", b"de"):
        with pytest.raises(TypeError, match=r"argument 1 'c'"):
            module.upper(several)
    row = ffi.new("double *", 5)
    with pytest.raises(TypeError, match=r"one: module._ffi.new\('double \* \*', value\)"):
        module.of_rows(row, 1)  # cffi has no addressof() of a pointer
    assert module.of_rows(ffi.new("double * *", row), 1) == 5
    for f, given in ((module.move, "struct point * *"), (module.flip, "struct point *")):
        with pytest.raises(TypeError, match=r"'p': .*\(what it points to is value\[0\]\)"):
            f(ffi.new(given))
    with pytest.raises(TypeError, match=r"a pointer takes a list of structs: \[value\]"):
        module.move((1, 2))
    module.move([(1, 2)])
    with pytest.raises(
        TypeError,
        match="an integer is required for 'enum colour', got str 'RED': pass .* RED or GREEN",
    ):
        module.next_colour("RED")
    with pytest.raises(
        TypeError, match="argument 1 'p': no field is named 'z'; struct point has x, y"
    ):
        module.flip({"z": 1})
    with pytest.raises(TypeError, match="'p': no field is named 'z'; struct point has x, y"):
        module.move([(1, 2), {"z": 1}])
    for f, value in ((module.flip, (1, "x")), (module.move, [{"x": 1}, {"x": 1, "y": "x"}])):
        with pytest.raises(TypeError, match="argument 1 'p': field 'y': an integer is required"):
            f(value)
    with pytest.raises(TypeError, match="argument 1 'p': initializer .* not dict"):
        module.move({"x": 1, "y": "x"})
    picture = {"pixels": torch.ones(2), "count": 2}
    for wrong in (torch.ones(2), np.ones(2, np.float32), b"x", [1.0], len):
        for f, value in ((module.brightness, picture), (module.brightness_of, [picture])):
            picture["pixels"] = wrong
            with pytest.raises(TypeError, match="a pointer in a struct is an address, .*keep"):
                f(value)
    with pytest.raises(TypeError, match="NULL is module._ffi.NULL"):
        module.brightness({"pixels": None})
    with pytest.raises(TypeError, match=r"'float\[2\]' must be .*of a tensor .*\.tolist\(\)"):
        module.brightness({"scale": torch.ones(2)})
    with pytest.raises(TypeError, match=r"variadic\(\) argument 1 'n': expected int, got str 'x'"):
        module.variadic("x")
    with pytest.raises(OverflowError, match=r"variadic\(\) argument 1 'n'"):
        module.variadic(2**40)
    with pytest.raises(
        TypeError, match=r"(?s)variadic\(\): .*_ffi.cast\('int', value\).*int variadic"
    ):
        module.variadic(1, 2)
    said = r"variadic\(\) takes positional arguments only, got n=\n  in int variadic"
    with pytest.raises(TypeError, match=said):
        module.variadic(n=1)
