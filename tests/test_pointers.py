"""Tensors and NumPy arrays where C takes a plain pointer: their memory, checked as far as the pointer says."""

from __future__ import annotations

import subprocess
import tempfile

import numpy as np
import pytest
import torch

import ffi_ext

TYPES = {
    "float": "float32",
    "double": "float64",
    "_Bool": "bool",
    "signed char": "int8",
    "unsigned char": "uint8",
    "short": "int16",
    "int": "int32",
    "long": "int64",
    "int64_t": "int64",
    "uint16_t": "uint16",
    "uint32_t": "uint32",
    "size_t": "uint64",
    "double _Complex": "complex128",
    "float _Complex": "complex64",
}
HEADER = """
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
typedef double pair[2];
struct handle;
typedef struct { int x; } point;
double total(const double *values, int n);
void twice(double *values, int n);
double last_of(const float values[4]);
double corner(const double (*rows)[3]);
void conjugate(pair *z, int n);
double second(const pair z[2]);
double middle(const double rows[3][2]);
double deepest(const double cube[2][2][3]);
int count(const char *text, char letter);
void fill(char *text, char letter, int n);
int x_of(const point *p);
double first_of(double **rows);
int kept_in(struct handle *h);
int line_of(FILE *file, const char *text);
int is_null(const double *p);
double both(int n, const double *a, double by, const double *b);
""" + "".join(
    f"void copy{i}({c_type} *out, const {c_type} *in, int n);\n" for i, c_type in enumerate(TYPES)
)
SOURCE = """
double total(const double *values, int n) { double s = 0; while (n--) s += *values++; return s; }
void twice(double *values, int n) { while (n--) *values++ *= 2; }
double last_of(const float values[4]) { return values[3]; }
double corner(const double (*rows)[3]) { return rows[1][2]; }
void conjugate(pair *z, int n) { while (n--) z++[0][1] *= -1; }
double second(const pair z[2]) { return z[1][1]; }
double middle(const double rows[3][2]) { return rows[1][0]; }
double deepest(const double cube[2][2][3]) { return cube[1][1][2]; }
int count(const char *text, char letter) { int n = 0; for (; *text; text++) n += *text == letter; return n; }
void fill(char *text, char letter, int n) { while (n--) *text++ = letter; }
int x_of(const point *p) { return p->x; }
double first_of(double **rows) { return rows[0][0]; }
int kept_in(struct handle *h) { return h != NULL; }
int line_of(FILE *file, const char *text) { return fprintf(file, "%s\\n", text); }
int is_null(const double *p) { return !p; }
double both(int n, const double *a, double by, const double *b) { return n * by + a[0] + b[0]; }
""" + "".join(
    f"void copy{i}({c_type} *out, const {c_type} *in, int n) {{ while (n--) *out++ = *in++; }}\n"
    for i, c_type in enumerate(TYPES)
)


@pytest.fixture(scope="module")
def module(build_once):
    return build_once(HEADER, HEADER + SOURCE)


@pytest.mark.parametrize("c_type", TYPES)
def test_every_element_type(module, c_type):
    copy = getattr(module, f"copy{list(TYPES).index(c_type)}")
    dtype = getattr(torch, TYPES[c_type])
    values = torch.tensor([0, 1, 1, 0, 1]).to(dtype)
    for _ in range(2):  # the first call of a function, and the others
        out = torch.zeros(5, dtype=dtype)
        copy(out, values, 5)
        assert torch.equal(out, values)
        array = np.zeros(5, TYPES[c_type])
        copy(array, values.numpy(), 5)
        assert (array == values.numpy()).all()
    wrong = torch.zeros(5, dtype=torch.float16)
    with pytest.raises(
        TypeError,
        match=rf"'in_': expected elements of {TYPES[c_type]} for const {c_type} \*in, got a t",
    ):
        copy(out, wrong, 5)
    cure = rf"convert it with .astype\(numpy.{TYPES[c_type]}\)"
    with pytest.raises(TypeError, match=rf"'in_': expected .* NumPy array of float16; {cure}"):
        copy(out, wrong.numpy(), 5)
    cure = r"C may write to it \(it is not const\), and a copy would get the result: create it so"
    with pytest.raises(TypeError, match=rf"'out': expected .* NumPy array of float16; {cure}"):
        copy(wrong.numpy(), values, 5)


def test_views_and_memory(module):
    base = torch.arange(12, dtype=torch.float64).view(3, 4)
    assert module.total(base[1], 4) == 4 + 5 + 6 + 7
    module.twice(base[2], 4)
    assert base[2].tolist() == [16, 18, 20, 22]
    array = np.arange(12.0).reshape(3, 4)
    module.twice(array[1:], 8)
    assert array[1].tolist() == [8, 10, 12, 14]
    assert module.corner(base[:2, :3].contiguous()) == 6
    for value, cure in ((base.T, r"\(1, 4\).*\.contiguous"), (array[:, 1], r"\(4,\).*ascontig")):
        with pytest.raises(
            ValueError, match=f"one behind the other for const double .*, got the strides {cure}"
        ):
            module.total(value, 3)
    assert module.total(torch.empty(0, dtype=torch.float64), 0) == 0
    assert module.total(torch.tensor(2.5, dtype=torch.float64), 1) == 2.5
    assert module.total([1, 2], 2) == 3 and module.is_null(module._ffi.NULL) == 1


def test_sizes_that_the_header_says(module):
    assert module.last_of(torch.arange(4.0)) == 3 and module.last_of(np.arange(5, dtype="f")) == 3
    for short in (torch.zeros(3), np.zeros(3, "f")):
        with pytest.raises(ValueError, match="expected 4 values for const float values.4., got 3"):
            module.last_of(short)


# How C writes "three floats", and by its own rule for numbers that begin with 0, eight: gcc's sizeof says so.
SPELLINGS = {
    "float a[const 3]": 3,
    "float a[static const 3]": 3,
    "float a[volatile 3]": 3,
    "float a[0x3]": 3,
    "float a[3u]": 3,
    "float a[3L]": 3,
    "float a[(3)]": 3,
    "float a[1+2]": 3,
    "float a[ONE_MORE]": 3,
    "float a[THREE]": 3,
    "float (a)[3]": 3,
    "vec3 a": 3,
    "const vec3 a": 3,
    "float a[010]": 8,
    "float a[2][3]": 6,
    "const mat23 a": 6,
    "vec3 a[2]": 6,
}


def test_every_spelling_of_a_length(build):
    head = "#define TWO 2\n#define ONE_MORE (TWO + 1)\nenum { THREE = 3 };\n"
    head += "typedef float vec3[3];\ntypedef float mat23[2][3];\n"
    names = [f"last{i}" for i in range(len(SPELLINGS))]
    prototypes = [f"float {f}({p})" for f, p in zip(names, SPELLINGS, strict=True)]
    bodies = [f"((const float *)a)[{count - 1}]" for count in SPELLINGS.values()]
    module = build(
        head + "".join(f"{prototype};\n" for prototype in prototypes),
        head + "".join(f"{p} {{ return {b}; }}\n" for p, b in zip(prototypes, bodies, strict=True)),
    )
    for name, (spelling, count) in zip(names, SPELLINGS.items(), strict=True):
        last = getattr(module, name)
        for _ in range(2):  # the first call of a function, and the others
            exact, short = torch.arange(float(count)), torch.zeros(count - 1)
            assert last(exact) == last(exact.numpy()) == count - 1, spelling
            for value in (short, short.numpy()):
                with pytest.raises(
                    ValueError, match=rf"expected {count} values for .* got {count - 1}"
                ):
                    last(value)
        rows = [[0.0] * 3] * 2 if count == 6 else [0.0] * count
        assert last(rows) == 0
        with pytest.raises(
            ValueError, match=rf"expected {len(rows)} values for .*, got {len(rows) - 1}"
        ):
            last(rows[1:])


def test_a_length_that_is_not_known_is_not_checked(build):
    header = "float first(int n, const float a[n], float (*rows)[3]);\n"
    source = "{ return n ? a[0] : rows[0][2]; }"
    module = build(header, header.replace(";", source))
    assert module.first(1, torch.ones(1), torch.ones(0)) == 1
    assert module.first(0, [], torch.arange(3.0)) == 2


def test_signs_text_and_complex_numbers(module):
    sizes = getattr(module, f"copy{list(TYPES).index('size_t')}")
    out = torch.zeros(2, dtype=torch.int64)
    sizes(out, torch.tensor([3, 4]), 2)
    assert out.tolist() == [3, 4]
    sizes(out, torch.zeros(5, 0, dtype=torch.int64), 0)  # no elements need no memory
    text = torch.tensor(list(b"hello\0"), dtype=torch.uint8)
    assert module.count(text, b"l") == 2 and module.count(b"hello", b"l") == 2
    module.fill(text, b"x", 3)
    assert bytes(text.tolist()) == b"xxxlo\0"
    z = torch.tensor([1 + 2j, 3 - 4j], dtype=torch.complex128)
    module.conjugate(z, 2)
    assert z.tolist() == [1 - 2j, 3 + 4j]
    assert module.second(torch.arange(4.0).double()) == 3  # as of a matrix, double m[2][2]
    with pytest.raises(TypeError, match=r"expected elements of float64 for const pair z\[2\]"):
        module.second(torch.ones(2, 2))
    module.conjugate(torch.view_as_real(z), 2)
    assert module.second(z) == module.second(torch.view_as_real(z)) == -4
    for real in (
        torch.zeros(4, dtype=torch.float64),
        np.zeros((2, 4)),
    ):  # C would read twice as much
        said = r"expected elements of complex128 for .*; or pass its \.\w+\(-1, 2\) if"
        with pytest.raises(TypeError, match=said):
            module.conjugate(real, 4)
    for short, wanted in ((z[:1], 2), (torch.zeros(1, 2, dtype=torch.float64), 4)):
        with pytest.raises(ValueError, match=f"expected {wanted} values for const pair z"):
            module.second(short)
    assert z.tolist() == [1 + 2j, 3 - 4j]


def test_rows_of_two_numbers_are_numbers_too(module):
    rows = torch.arange(6, dtype=torch.float64)
    for value in (rows, rows.view(3, 2), rows.view(2, 3).numpy()):
        assert module.middle(value) == 2
    cube = torch.arange(12, dtype=torch.float64)
    for value in (
        cube,
        cube.view(2, 2, 3),
        cube.view(2, 2, 3).numpy(),
        cube.view(2, 2, 3).tolist(),
    ):
        assert module.deepest(value) == 11
    # A complex number for each would be twice as many, of which C reads the first half.
    for wrong in (rows.float(), rows.float().view(3, 2)):
        with pytest.raises(TypeError, match=r"elements of float64 for .*with .to\(torch.float64\)"):
            module.middle(wrong)
    # What a function does that returns nothing is in what it was given: a converted copy would get it.
    with pytest.raises(TypeError, match="elements of float64 for .*: create it so"):
        module.conjugate(rows.float().view(3, 2), 3)
    with pytest.raises(TypeError, match="elements of complex128 for .*: create it so"):
        module.conjugate(torch.zeros(3, dtype=torch.complex64), 3)


def test_what_is_neither_0_nor_1_is_no_bool(module):
    copy = getattr(module, f"copy{list(TYPES).index('_Bool')}")
    out, values = torch.zeros(2, dtype=torch.bool), np.array([255, 2], "uint8")
    for wrong in (values, torch.from_numpy(values), torch.from_numpy(values).char()):
        with pytest.raises(TypeError, match="expected elements of bool for const _Bool"):
            copy(out, wrong, 2)
    bytes_of = getattr(module, f"copy{list(TYPES).index('unsigned char')}")
    bytes_of(values, torch.tensor([True, False]), 2)
    assert values.tolist() == [1, 0]


def test_what_has_no_memory_for_c(module):
    x = torch.ones(2, dtype=torch.float64)
    for wrong, said in (
        (x.to("meta"), "expected a tensor on the CPU, got a tensor of torch.float64 on meta"),
        (x.to_sparse(), "convert it with .to_dense"),
        (torch._neg_view(x), "resolve_conj"),
    ):
        with pytest.raises(TypeError, match=said):
            module.total(wrong, 2)
    with pytest.raises(TypeError, match=r"'z'.* a nested tensor .*to_padded_tensor"):
        module.conjugate(torch.nested.as_nested_tensor([x, x[:1]]), 2)
    frozen = np.ones(2)
    frozen.flags.writeable = False
    assert module.total(frozen, 2) == 2
    with pytest.raises(ValueError, match="read-only; pass a copy"):
        module.twice(frozen, 2)
    for value, memory in ((torch.full((1,), 5).int(), "tensor.numpy"), (np.ones(1, "i"), "array")):
        with pytest.raises(TypeError, match=rf"expected point \*, .*buffer\('point\[\]', {memory}"):
            module.x_of(value)
    assert module.x_of(module._ffi.from_buffer("point[]", np.full(1, 5, "i"))) == 5
    for value in (torch.full((1, 2), 3.0, dtype=torch.float64), np.full((1, 2), 3.0)):
        with pytest.raises(TypeError, match=r"a list of its rows, \[.* for row in .*\]") as caught:
            module.first_of(value)
        as_said = str(caught.value).splitlines()[0].partition("its rows, ")[2]
        known = {"module": module, "array": value, "tensor": value}
        assert module.first_of(eval(as_said, known)) == 3  # its address alone ends the process


@pytest.mark.parametrize("wrong", [torch.ones(2), np.ones(2)])
def test_a_tensor_for_a_struct_that_only_c_knows(module, wrong):
    """To ask cffi 2.1 for the fields of one ended the process."""
    with pytest.raises(TypeError, match=r"expected struct handle \*, got .*: only C makes one"):
        module.kept_in(wrong)
    with pytest.raises(TypeError, match=r"must be a cdata pointer, not str\n"):
        module.kept_in("name")


def test_files(module, tmp_path):
    with (tmp_path / "lines").open("w") as file:
        file.write("first\n")
        assert module.line_of(file, b"second") == 7
        file.write("third\n")
    assert (tmp_path / "lines").read_text() == "first\nsecond\nthird\n"
    with tempfile.NamedTemporaryFile("w+") as named:
        assert module.line_of(named, b"named") == 6
        named.seek(0)
        assert named.read() == "named\n"
    with pytest.raises(ValueError, match="'file': I/O operation on closed file"):
        module.line_of(file, b"fourth")
    with pytest.raises(TypeError, match=r"'FILE \*' .*, not str \(C takes a file that Python has"):
        module.line_of("lines", b"fourth")


def test_autograd_is_told_of_what_c_may_write(module):
    weight = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    result = (weight * weight).sum()
    module.total(weight, 2)
    result.backward(retain_graph=True)
    module.twice(weight, 2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        result.backward()


def test_memory_that_another_argument_changes(module):
    class Growing:
        def __float__(self):
            tensor.resize_(4096).fill_(5)
            return 2.0

    tensor = torch.ones(1, dtype=torch.float64)
    other = torch.full((1,), 3.0, dtype=torch.float64)
    assert module.both(1, tensor, Growing(), other) == 2 + 5 + 3


def test_void_pointers_of_own_headers_get_records(build):
    text = "#include <TH/TH.h>\nint dimensions(const void *tensor)"
    module = build(text + ";", text + " { return ((const THFloatTensor *)tensor)->nDimension; }")
    for _ in range(2):  # the first call of a function asks Python
        for dtype in (torch.float32, torch.int64, torch.float16):
            assert module.dimensions(torch.zeros(2, 3, dtype=dtype)) == 2
        with pytest.raises(TypeError, match="torch.bfloat16 has no TH type"):
            module.dimensions(torch.zeros(2, dtype=torch.bfloat16))


def test_void_pointers_where_nothing_uses_th_are_memory(build):
    """As of a library whose sources and header are the project's: the TH record that C overwrote was torch's."""
    prototype = "/* THIS WAS A THFloatTensor */ int sum_bytes(const void *from, int n)"
    body = " { int s = 0; while (n--) s += ((const unsigned char *)from)[n]; return s; }"
    values = torch.tensor([[256, 3]], dtype=torch.int16)
    built = build(prototype + ";", f"#include <TH/TH.h>\n{prototype}{body}")
    for module in (built, ffi_ext.load_inline("bytes_of", prototype + body)):
        for given in (values, values.numpy(), b"\0\1\3\0"):
            assert module.sum_bytes(given, 4) == 4
        with pytest.raises(ValueError, match="one behind the other for const void"):
            module.sum_bytes(values.expand(2, 2), 4)


def test_void_pointers_of_sources_that_include_what_uses_th_get_records(tmp_path, monkeypatch):
    monkeypatch.setenv("FFI_EXT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "shared").mkdir()
    (tmp_path / "mine.h").write_text("int length(void *of);\n")
    (tmp_path / "mine.c").write_text(
        '#include "part.h"\nint length(void *of) { return length_of(of); }\n'
    )
    part = '#ifndef HERE\n#define HERE\n#include "shared/../part.h"\n#include "of_th.h"\n#endif\n'
    (tmp_path / "part.h").write_text(part)
    body = "static int length_of(void *of) { return *(unsigned char *)of; }\n"
    (tmp_path / "shared/of_th.h").write_text(body)
    monkeypatch.chdir(tmp_path)

    def length() -> int:
        module = ffi_ext.load("mine", "mine.c", "mine.h", include_dirs=["shared"])
        return module.length(torch.full((7,), 9, dtype=torch.uint8))

    assert length() == 9
    record = "#include <TH/TH.h>\n" + body.replace(
        "*(unsigned char *)of", "THByteTensor_nElement(of)"
    )
    (tmp_path / "shared/of_th.h").write_text(record)
    assert length() == 7


def test_void_pointers_of_a_library_are_memory(tmp_path, monkeypatch):
    (tmp_path / "far.h").write_text(
        "int far_sum(const void *bytes, int n);\nvoid far_clear(void *to, int n);\n"
    )
    (tmp_path / "far.c").write_text(
        "int far_sum(const unsigned char *b, int n) { int s = 0; while (n--) s += *b++; return s; }\n"
        "void far_clear(unsigned char *to, int n) { while (n--) *to++ = 0; }\n"
    )
    monkeypatch.setenv("CPATH", str(tmp_path))
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-o", "libfar_memory.so", "far.c"], check=True, cwd=tmp_path
    )
    where = {"library_dirs": str(tmp_path), "runtime_library_dirs": str(tmp_path)}
    module = ffi_ext.load("far_memory", headers="far.h", libraries="far_memory", **where)
    for values in (torch.tensor([256, 3], dtype=torch.int16), np.array([256, 3], "int16")):
        assert module.far_sum(values, 4) == 4
        module.far_clear(values, 2)
        assert values.tolist() == [0, 3]
    assert module.far_sum(b"\1\2", 2) == 3
