"""`_lib` of a generated module: the C functions as cffi itself would offer them."""

from __future__ import annotations

import importlib
import re
import sys

import cffi
import pytest

from ffi_ext import create_extension

HEADER = """
typedef struct { int x, y; } pair;
enum colour { RED, GREEN = 5 };
int narrow(signed char a, unsigned char b, short c, unsigned short d);
long long wide(int a, unsigned b, long c, unsigned long d, long long e, unsigned long long f);
double real(float a, double b);
float single(float a);
_Bool negate(_Bool a);
char next(char c);
unsigned char byte(int a);
unsigned long long largest(void);
void nothing(void);
int sum(const int *values, int count);
int length(const char *text);
int both(const int *a, int n, const double *b, int m);
const char *hello(void);
int *same(int *p);
int *middle(const int *unused, int *p, const int *again);
pair swapped(pair p);
enum colour other(enum colour c);
int apply(int (*f)(int), int value);
long double extended(long double a);
int added(int count, ...);
"""
SOURCE = (
    "#include <stdarg.h>\n#include <string.h>\n"
    + HEADER
    + """
int narrow(signed char a, unsigned char b, short c, unsigned short d) { return a + b + c + d; }
long long wide(int a, unsigned b, long c, unsigned long d, long long e, unsigned long long f) {
  return a + b + c + d + e + f;
}
double real(float a, double b) { return a + b; }
float single(float a) { return a; }
_Bool negate(_Bool a) { return !a; }
char next(char c) { return c + 1; }
unsigned char byte(int a) { return a; }
unsigned long long largest(void) { return -1; }
void nothing(void) {}
int sum(const int *values, int count) {
  int total = 0;
  for (int i = 0; i < count; i++) total += values[i];
  return total;
}
int length(const char *text) { return strlen(text); }
int both(const int *a, int n, const double *b, int m) { return sum(a, n) * 1000 + b[m - 1]; }
const char *hello(void) { return "hello"; }
int *same(int *p) { return p; }
int *middle(const int *unused, int *p, const int *again) { return unused == again ? p : 0; }
pair swapped(pair p) { return (pair){p.y, p.x}; }
enum colour other(enum colour c) { return c == RED ? GREEN : RED; }
int apply(int (*f)(int), int value) { return f(value); }
long double extended(long double a) { return a * 2; }
int added(int count, ...) {
  va_list list;
  va_start(list, count);
  int total = 0;
  for (int i = 0; i < count; i++) total += va_arg(list, int);
  va_end(list);
  return total;
}
"""
)


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    """(ffi, lib) as ffi_ext makes them, and as cffi alone does."""
    folder = tmp_path_factory.mktemp("lib")
    (folder / "all.h").write_text(HEADER)
    (folder / "all.c").write_text(SOURCE)
    place = str(folder / "build.py")
    create_extension("ours_lib", ["all.h"], ["all.c"], relative_to=place, verbose=False).build()
    alone = cffi.FFI()
    alone.cdef(HEADER.replace("_Bool", "bool"))
    alone.set_source("theirs_lib", "#include <stdbool.h>\n" + SOURCE)
    alone.compile(tmpdir=str(folder))
    sys.path.insert(0, str(folder))
    try:
        ours, theirs = importlib.import_module("ours_lib"), importlib.import_module("theirs_lib")
    finally:
        sys.path.remove(str(folder))
    return (ours._ffi, ours._lib), (theirs.ffi, theirs.lib)


def outcome(library, call):
    """What a call gives or raises, as text that does not name addresses."""
    ffi, lib = library
    try:
        result = call(ffi, lib)
    except Exception as error:
        return type(error).__name__, re.sub(
            r"ffi_ext:ours_lib\._ours_lib\.|theirs_lib\.", "", str(error)
        )
    return type(result).__name__, result


LONG = list(range(1000))  # more than the memory that a call has at hand
CALLS = {
    "narrow": lambda ffi, lib: lib.narrow(-128, 255, -32768, 65535),
    "narrow overflow": lambda ffi, lib: lib.narrow(128, 0, 0, 0),
    "narrow negative": lambda ffi, lib: lib.narrow(0, -1, 0, 0),
    "narrow float": lambda ffi, lib: lib.narrow(0, 0, 1.5, 0),
    "narrow None": lambda ffi, lib: lib.narrow(0, 0, None, 0),
    "too few": lambda ffi, lib: lib.narrow(1, 2, 3),
    "too many": lambda ffi, lib: lib.narrow(1, 2, 3, 4, 5),
    "none for one": lambda ffi, lib: lib.single(),
    "one for none": lambda ffi, lib: lib.largest(1),
    "wide": lambda ffi, lib: lib.wide(-(2**31), 2**32 - 1, -1, 2**40, 7, 2**63),
    "wide overflow": lambda ffi, lib: lib.wide(2**31, 0, 0, 0, 0, 0),
    "real": lambda ffi, lib: lib.real(0.1, 2),
    "real text": lambda ffi, lib: lib.real("a", 2),
    "single": lambda ffi, lib: lib.single(1.1),
    "negate": lambda ffi, lib: [lib.negate(0), lib.negate(True)],
    "negate 2": lambda ffi, lib: lib.negate(2),
    "next": lambda ffi, lib: lib.next(b"a"),
    "next of two": lambda ffi, lib: lib.next(b"ab"),
    "byte": lambda ffi, lib: lib.byte(-1),
    "largest": lambda ffi, lib: lib.largest(),
    "nothing": lambda ffi, lib: lib.nothing(),
    "a list": lambda ffi, lib: lib.sum([1, 2, 3], 3),
    "an empty list": lambda ffi, lib: lib.sum([], 0),
    "a long list": lambda ffi, lib: lib.sum(LONG, 1000),
    "a wrong list": lambda ffi, lib: lib.sum([1, "2"], 2),
    "two long lists": lambda ffi, lib: lib.both(LONG, 1000, [0.0] * 999 + [7.0], 1000),
    "lists that share the memory": lambda ffi, lib: lib.both([3] * 100, 100, [5.0] * 30, 30),
    "an array": lambda ffi, lib: lib.sum(ffi.new("int[]", [4, 5]), 2),
    "NULL": lambda ffi, lib: lib.sum(ffi.NULL, 0),
    "None for a pointer": lambda ffi, lib: lib.sum(None, 0),
    "another pointer": lambda ffi, lib: lib.sum(ffi.new("double[2]"), 2),
    "bytes": lambda ffi, lib: lib.length(b"hello"),
    "text": lambda ffi, lib: lib.length("hello"),
    "hello": lambda ffi, lib: ffi.string(lib.hello()),
    "a pointer back": lambda ffi, lib: lib.same(ffi.new("int *", 7))[0],
    "repeated types": lambda ffi, lib: lib.middle(ffi.NULL, ffi.new("int *", 3), ffi.NULL)[0],
    "a struct": lambda ffi, lib: (lambda p: (p.x, p.y))(lib.swapped({"x": 1, "y": 2})),
    "an enum": lambda ffi, lib: lib.other(0),
    "a callback": lambda ffi, lib: lib.apply(ffi.callback("int(int)", lambda x: x + 1), 41),
    "no callback": lambda ffi, lib: lib.apply(3, 41),
    "long double": lambda ffi, lib: float(lib.extended(1.5)),
    "variadic": lambda ffi, lib: lib.added(2, ffi.cast("int", 3), ffi.cast("int", 4)),
    "addressof": lambda ffi, lib: ffi.addressof(lib, "narrow")(1, 2, 3, 4),
    "typeof": lambda ffi, lib: ffi.typeof(lib.middle).cname,
}


@pytest.mark.parametrize("name", CALLS)
def test_lib_is_what_cffi_would_have_made(libraries, name):
    ours, theirs = libraries
    assert outcome(ours, CALLS[name]) == outcome(theirs, CALLS[name])


def test_errno_is_kept_for_ffi(build):
    module = build(
        "int failing(int code); int quiet(void);",
        "#include <errno.h>\nint failing(int code) { errno = code; return -1; } int quiet(void) { return errno; }",
    )
    for functions in (module, module._lib):
        assert functions.failing(13) == -1 and module._ffi.errno == 13
        assert functions.quiet() == 13 == module._ffi.errno  # as from one C function to the next
        module._ffi.errno = 0
        assert functions.failing(13) == -1 and module._ffi.errno == 13
        module._ffi.errno = 7
        assert functions.quiet() == 7 == module._ffi.errno
        assert functions.failing(0) == -1 and module._ffi.errno == 0


@pytest.mark.parametrize("language", ["c", "c++"])
def test_names_of_errno_h_are_the_headers_own(build, language):
    """Of those that <errno.h> has as macros."""
    types = "enum status { OK, EAGAIN = 2, ETIMEDOUT = 3 };\ntypedef struct { int EIO, errno_of; } counts;\n"
    linkage = 'extern "C" ' if language == "c++" else ""
    module = build(
        types + "#define EINVAL 77\n#ifndef EOVERFLOW\n#define EOVERFLOW 1079\n#endif\n"
        "static const int ENOENT = 9;\nenum status ERANGE(int n);\nint sum(counts c);",
        types + linkage + "enum status ERANGE(int n) { return n > 2 ? ETIMEDOUT : EAGAIN; }\n"
        f"{linkage}int sum(counts c) {{ return c.EIO + c.errno_of; }}",
        language=language,
    )
    assert (module.EAGAIN, module.ETIMEDOUT, module.EINVAL) == (2, 3, 77)
    assert (module.EOVERFLOW, module.ENOENT) == (1079, 9)
    assert module.ERANGE(3) == module.ETIMEDOUT and module.ERANGE(1) == module.EAGAIN
    assert module.sum({"EIO": 3, "errno_of": 4}) == 7
