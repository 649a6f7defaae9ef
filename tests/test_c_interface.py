"""ffi_ext_tensor, FFI_CHECK and constraints: what C sees, and what a call refuses. (test_docs.py runs the examples.)"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch._subclasses import FakeTensorMode

from ffi_ext import HeaderError, constraints
from ffi_ext.calls import misfits
from tests.processes import python

SOURCE = """
#include <TH/TH.h>
#include <ffi_ext.h>
#include <stdio.h>

/* What C sees of a tensor, as text of at most 200 bytes. */
int seen(const ffi_ext_tensor *t, THByteTensor *text) {
  char *out = (char *)THByteTensor_data(text);
  int n = sprintf(out, "%d %d %d %lld %d.%d [", t->dtype, t->item_size, t->ndim, (long long)t->numel,
                  t->device_type, t->device);
  for (int i = 0; i < t->ndim; i++) n += sprintf(out + n, "%lld ", (long long)t->shape[i]);
  for (int i = 0; i < t->ndim; i++) n += sprintf(out + n, "/%lld", (long long)t->stride[i]);
  return n + sprintf(out + n, "] %d", t->numel ? *(unsigned char *)t->data : -1);
}
/* @param t [cpu] */
void zero(ffi_ext_tensor *t) { memset(t->data, 0, t->numel * t->item_size); }
int is_null(const ffi_ext_tensor *t) { return t == NULL; }
/* @param t [cuda] */
void on_gpu(ffi_ext_tensor *t) {}
/* @param a [float32|int64, (N, _, 3)]
 * @param b [dtype(a), (..., N)]
 * @param c [like(a), contiguous]
 * @param d [(2, ..., N), channels_last]
 */
int shapes(const ffi_ext_tensor *a, const ffi_ext_tensor *b, const ffi_ext_tensor *c,
           const ffi_ext_tensor *d) { return a && b && c && d; }
/* @param x [(N, N)] square
 * @param y [(N), contiguous, output] */
void th(const THFloatTensor *x, THFloatTensor *y) { THFloatTensor_fill(y, x->size[0]); }
/* @param x [output] */
void first(ffi_ext_tensor *x, const ffi_ext_tensor *y) {}
/* @param x [output, contiguous] */
void alone(ffi_ext_tensor *x) {}
/* @param out [output]
 * @param more [output] */
void several(const ffi_ext_tensor *a, ffi_ext_tensor *out, const ffi_ext_tensor *b, ffi_ext_tensor *more) {}
float halves(const ffi_ext_tensor *x, ffi_ext_tensor *y) {
  const uint16_t *from = x->data;
  uint16_t *to = y->data;
  for (int i = 0; i < x->numel; i++)
    to[i] = x->dtype == FFI_EXT_FLOAT16 ? ffi_ext_to_float16(ffi_ext_from_float16(from[i]) * 3)
                                        : ffi_ext_to_bfloat16(ffi_ext_from_bfloat16(from[i]) * 3);
  return 0;
}
/* The sum of `a`'s sizes and strides. */
long numbers_of(const ffi_ext_tensor *a, const ffi_ext_tensor *b) {
  long sum = 0;
  for (int i = 0; i < a->ndim; i++) sum += a->shape[i] + a->stride[i];
  return sum;
}
"""


@pytest.fixture(scope="module")
def module(build_once):
    return build_once(None, SOURCE)


def what_c_sees(module, tensor) -> str:
    text = torch.zeros(300, dtype=torch.uint8)
    return bytes(text[: module.seen(tensor, text)].tolist()).decode()


@pytest.mark.parametrize("name", constraints.DTYPES)
def test_every_element_type_reaches_c(module, name):
    dtype = getattr(torch, name, None)
    if dtype is None:
        pytest.skip(f"this torch has no {name}")
    tensor = torch.zeros(4, 6, dtype=dtype)[1:3, ::2]
    number, size = constraints.DTYPES[name], tensor.element_size()
    assert what_c_sees(module, tensor) == f"{number} {size} 2 6 1.0 [2 3 /6/2] 0"


def test_shapes_that_reach_c(module):
    assert what_c_sees(module, torch.tensor(7, dtype=torch.uint8)) == "0 1 0 1 1.0 [] 7"
    assert what_c_sees(module, torch.zeros(0, 3)) == "6 4 2 0 1.0 [0 3 /3/1] -1"
    many = torch.zeros(1, 2, 1, 2, 1, 2, 1, 2, 1, 3, dtype=torch.int8)
    strides = "".join(f"/{n}" for n in many.stride())
    assert what_c_sees(module, many) == f"1 1 10 48 1.0 [1 2 1 2 1 2 1 2 1 3 {strides}] 0"
    expanded = torch.ones(1, dtype=torch.bool).expand(5)
    assert what_c_sees(module, expanded) == "11 1 1 5 1.0 [5 /0] 1"
    assert what_c_sees(module, torch.arange(9, dtype=torch.uint8)[4:]) == "0 1 1 5 1.0 [5 /1] 4"
    for dimensions in range(7, 11):  # each has a room of its own, whatever the next one has
        a, b = torch.zeros([1] * dimensions), torch.zeros([3] * dimensions)
        assert module.numbers_of(a, b) == 2 * dimensions


def test_numpy_subclasses_null_and_parameters(module):
    array = np.ones((2, 3), np.uint16)
    assert what_c_sees(module, array).startswith("27 2 2 6 ")
    module.zero(array)
    assert not array.any()
    assert what_c_sees(module, torch.nn.Parameter(torch.ones(2))).startswith("6 4 1 2 ")
    assert module.is_null(module._ffi.NULL) == 1 and module.is_null(torch.ones(1)) == 0
    with pytest.raises(TypeError, match="expected a tensor on cuda, got a NumPy array of uint16"):
        module.on_gpu(array)
    array.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        module.zero(array)
    if np.lib.NumpyVersion(np.__version__) >= "2.0.0":  # before, NumPy had no more
        with pytest.raises(TypeError, match="more than 32 dimensions are not supported"):
            module.zero(np.ones([1] * 33))
    many = np.ones((1, 2) * 5, np.int8)
    assert what_c_sees(module, many).startswith("1 1 10 32 1.0 [1 2 1 2 1 2 1 2 1 2 ")
    with FakeTensorMode():  # it is real nevertheless
        module.zero(many)
        with pytest.raises(TypeError, match="has no memory behind it"):
            module.th(np.ones((2, 2), np.float32), np.ones(2, np.float32))
    assert not many.any()


NUMPY = "?", "b", "B", "h", "H", "i", "I", "l", "L", "e", "f", "d", "F", "D"


@pytest.mark.parametrize("kind", NUMPY)
def test_a_numpy_array_is_what_its_tensor_is(module, kind):
    rng = np.random.default_rng(0)
    plain = rng.integers(0, 2, (4, 6, 5)).astype(kind)
    for array in (plain, plain[1:3, ::2, 4:], plain.T, plain[:0], plain[0, 0, 0:1], plain[2, 1, 3]):
        array = np.asarray(array)
        assert what_c_sees(module, array) == what_c_sees(module, torch.from_numpy(array))


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.ones(3)[::-1], "negative"),
        (np.ones(3, ">f8"), "byte order|endian|not supported"),
        (np.ones(3, "i1,f8")["f1"], "not a multiple of the element"),
        (np.ones(3, "c8,f4")["f0"], "not a multiple of the element"),  # aligned
        (np.array([None]), "object"),
        (np.array(["a"]), "str"),
        (np.ones(2, "M8[s]"), "datetime"),
        (np.ones(2, np.longdouble), "longdouble|float128"),
    ],
    ids=str,
)
def test_numpy_arrays_that_c_cannot_work_on(module, array, text):
    with pytest.raises(TypeError, match=rf"zero\(\) argument 1 't': .*({text})"):
        module.zero(array)


def test_autograd_notices_writes(module):
    x = torch.ones(3, requires_grad=True)
    y = x * 2
    z = (y * y).sum()
    module.zero(y)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.backward()
    y = x * 2
    z = (y * y).sum()
    with torch.no_grad():
        module.zero(y)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.backward()
    w, data = (
        torch.ones(3, requires_grad=True),
        torch.ones(3),
    )  # saved, without a gradient of its own
    z = (w * data).sum()
    module.zero(data)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.backward()
    z = (w * data).sum()
    module.is_null(data)  # const: C only reads it
    z.backward()
    with torch.inference_mode():
        x = torch.ones(3)
        module.zero(x)  # has no version
        assert x.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "value", [None, 3, "text", [1.0], torch.zeros(2, device="meta"), torch.zeros(2, 2).to_sparse()]
)
def test_what_is_no_tensor_in_memory_is_refused(module, value):
    with pytest.raises(TypeError, match=r"zero\(\) argument 1 't': .*\n  in void zero"):
        module.zero(value)


def good():
    return [
        torch.zeros(5, 4, 3),
        torch.zeros(2, 2, 5),
        torch.zeros(5, 4, 3),
        torch.zeros(2, 7, 6, 5).to(memory_format=torch.channels_last),
    ]


def test_constraints_that_hold(module):
    assert module.shapes(*good()) == 1
    integers = [t.long() for t in good()]
    assert module.shapes(*integers) == 1
    assert module.shapes(*[module._ffi.NULL] * 4) == 0  # C itself must look at those
    empty = [t[:, :0] for t in good()]  # their strides do not matter
    assert empty[0].is_contiguous() and empty[0].stride() == (12, 3, 1)
    b, d = torch.zeros(0, 5), torch.zeros(2, 0, 5, 5).to(memory_format=torch.channels_last)
    assert module.shapes(empty[0], b, empty[2], d) == 1
    a, b, c, d = good()
    assert module.shapes(module._ffi.NULL, b, c, d) == 0  # nothing to compare b and c with
    with pytest.raises(ValueError, match=r"expected the shape \(2, ..., N\) with N = 5 from 'b'"):
        module.shapes(module._ffi.NULL, b, c, torch.zeros(2, 3))


@pytest.mark.parametrize(
    "place, value, kind, text",
    [
        (0, torch.zeros(5, 4, 3).double(), TypeError, "expected float32 or int64, got a tensor of float64"),
        (0, torch.zeros(5, 3), ValueError, r"expected the shape \(N, _, 3\), got \(5, 3\)"),
        (0, torch.zeros(5, 4, 2), ValueError, r"expected the shape \(N, _, 3\), got \(5, 4, 2\)"),
        (1, torch.zeros(5).long(), TypeError, r"expected float32, as 'a' has it, .* int64; .*\.to\(torch\.float32\)"),
        (1, np.zeros(5), TypeError, r"expected float32, .* an array of float64; .*\.astype\('float32'\)"),
        (1, torch.zeros(4), ValueError, r"expected the shape \(..., N\) with N = 5 from 'a', got \(4,\)"),
        (1, torch.zeros(()), ValueError, r"expected the shape \(..., N\) with N = 5 from 'a', got \(\)"),
        (2, torch.zeros(5, 4, 4), ValueError, r"expected the shape \(5, 4, 3\) of 'a', got \(5, 4, 4\)"),
        (2, torch.zeros(3, 4, 5).permute(2, 1, 0), ValueError, r"expected a contiguous tensor; .* \.contiguous\(\)"),
        (2, np.zeros((3, 4, 5), "f4").T, ValueError, "expected a contiguous tensor; .* numpy.ascontig"),
        (3, torch.zeros(2, 7, 6, 5), ValueError, r"expected a channels_last tensor.* with \.contiguous\("),
        (3, np.zeros((2, 7, 6, 5), "f4"), ValueError, r".* with torch\.from_numpy\(\.\.\.\)\.contiguous\("),
        (3, torch.zeros(2), ValueError, r"expected the shape \(2, ..., N\)"),
        (3, torch.zeros(3, 5), ValueError, r"expected the shape \(2, ..., N\)"),
    ],
)  # fmt: skip
def test_constraints_that_do_not_hold(module, place, value, kind, text):
    arguments = good()
    arguments[place] = value
    pattern = rf"^shapes\(\) argument {place + 1} '{'abcd'[place]}': {text}"
    with pytest.raises(kind, match=pattern):
        module.shapes(*arguments)


def test_constraints_at_th_parameters_and_outputs(module):
    y = torch.zeros(4)
    module.th(torch.zeros(4, 4), y)
    assert y.tolist() == [4.0] * 4
    with pytest.raises(ValueError, match=r"expected the shape \(N, N\)"):
        module.th(torch.zeros(4, 3), y)
    with pytest.raises(ValueError, match="contiguous tensor; C may write to it .*: create it so"):
        module.th(torch.zeros(4, 4), torch.zeros(8)[::2])
    for output in (torch.zeros(4).double(), np.zeros(4)):
        with pytest.raises(TypeError, match="got .*float64.*; C may write to it .*: create it so"):
            module.th(torch.zeros(4, 4), output)
    square = torch.zeros(4, 4)
    with pytest.raises(ValueError, match="share no memory, got one that overlaps 'x'"):
        module.th(square, square[2])
    with pytest.raises(ValueError, match="share no memory, got one that overlaps 'x'"):
        module.first(square, square.t())
    module.first(square[:2], square[2:])
    with pytest.raises(ValueError, match="share no memory"):
        module.first(square.view(-1)[:5], square.view(-1)[4:])  # one element
    array = np.zeros(8)
    rows = np.lib.stride_tricks.as_strided(np.zeros(4), (4, 4), (0, 8))
    for expanded in (torch.zeros(4, 1).expand(4, 4), rows):
        with pytest.raises(ValueError, match="a place for each element, got an expanded one"):
            module.first(expanded, square)
    with pytest.raises(ValueError, match="contiguous tensor; .* a copy would get the result"):
        module.alone(square.t())  # an output, though its header says const of nothing
    module.first(torch.zeros(1).as_strided((1, 1), (0, 0)), square)
    module.first(torch.zeros(1).expand(0, 4), square)
    for empty in (square[:0], array[4:][:0]):  # no elements, no overlap
        module.first(empty, square)
        module.first(empty, array[2:])


@pytest.mark.parametrize(
    ("places", "text"),  # of the bytes of a, out, b and more
    [
        ([(0, 4), (4, 8), (0, 4), (8, 12)], ""),  # inputs may share
        ([(8, 12), (4, 8), (0, 4), (12, 16)], ""),
        ([(4, 8), (0, 4), (3, 8), (8, 12)], "3 'b': .* got one that overlaps 'out'\n"),
        ([(0, 4), (4, 8), (0, 4), (7, 12)], "4 'more': .* got one that overlaps 'out'\n"),
        (
            [(8, 12), (4, 8), (8, 12), (0, 9)],
            "4 'more': .* got one that overlaps 'a', 'out', 'b'\n",
        ),
    ],
)
def test_the_tensors_that_an_output_overlaps_are_named(module, places, text):
    memory = torch.zeros(16, dtype=torch.uint8)
    arguments = [memory[first:last] for first, last in places]
    if not text:
        return module.several(*arguments)
    with pytest.raises(ValueError, match=rf"several\(\) argument {text}"):
        module.several(*arguments)


def test_sixteen_bits_round_as_torch_does(module):
    bits = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16)
    for dtype in (torch.float16, torch.bfloat16):
        x = bits.view(dtype)
        y = torch.empty_like(x)
        module.halves(x, y)
        expected = (x.float() * 3).to(dtype)
        same = (y == expected) | (y.isnan() & expected.isnan())
        assert same.all()


@pytest.mark.parametrize(
    "comment, text",
    [
        ("@param x [flaot32]", "unknown word 'flaot32'; did you mean 'float32'"),
        ("@param x [float]", "unknown word 'float'; did you mean 'float32'"),
        ("@param x [double|float]", "unknown word 'double'; did you mean 'float64'"),
        ("@param z [float32]", "there is no parameter z"),
        ("@param n [float32]", "n is no tensor"),
        ("@param x [like(y)]", r"like\(y\) must name an earlier parameter"),
        ("@param x [(N, ..., ...)]", "at most one ..."),
        ("@param x [(N, 1.5)]", "'1.5' is no size"),
        ("@param x [(N,,3)]", "'' is no size"),
        ("@param x [float32, N, 3]", r"'N'; sizes stand in brackets of their own, \(N, 3\)"),
        ("@param x [(n, 3)]", r"n is a parameter, and no shape is .*FFI_CHECK\(x->shape\[0\] == n"),
        (f"@param x [({', '.join(map(chr, range(97, 114)))})]", "a shape has at most 16 sizes"),
        ("@param x [float32, int8]", r"two items .* the dtype is; write float32\|float64"),
        ("@param x [cpu|float32]", "cpu is an item of its own: write it behind"),
        ("@param x [float32]\n * @param x [(N)]", "x has brackets already; write all items into"),
        ("@param x [float32] [contiguous]", "x has brackets already; write all items into"),
        ("@param x: [flaot32]", "did you mean 'float32'"),
        ("@param x, y - [flaot32]", "did you mean 'float32'"),
    ],
)
def test_constraints_that_cannot_be_read(build, comment, text):
    header = f"/* {comment} */\nvoid f(const ffi_ext_tensor *x, int n, const ffi_ext_tensor *y);"
    with pytest.raises(HeaderError, match=text):
        build(header, "")


def commented(build, comment, prototype, include):
    """A module with that function below the comment, and what its build has warned of."""
    source = f"#include <{include}>\n{prototype} {{ return 1; }}"
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        module = build(f"/* {comment} */\n{prototype};", source)
    return module, [str(warning.message) for warning in told]


@pytest.mark.parametrize(
    "comment, said",
    [
        ("@param x [contiguous]\n * @param n [1..4]", "n is no tensor"),
        ("@param x [contigous]", "did you mean 'contiguous'"),
        ("@param a [contiguous]", "there is no parameter a"),
        ("@param x [contiguous]\n * @param y [the second]", "unknown word 'the second'"),
        ("@param x [input] [contiguous]", "write all items into one pair"),
        ("@param x [input]\n * @param n [elements]", ""),  # of 2016
        ("@param x [in, optional]\n * @param y [output]", ""),
        ("@param x [N x C x H x W]\n * @param y [optional]", ""),
        ("@param x [contiguous]\n * @param n (1..4)", ""),
    ],
)
def test_constraints_of_th_functions_that_are_not_checked_are_told(build, comment, said):
    """All brackets of such a function are text where one is: the others were dropped without a word."""
    prototype = "int f(const THFloatTensor *x, int n, const THFloatTensor *y)"
    module, told = commented(build, comment, prototype, "TH/TH.h")
    assert [said in text for text in told] == [True] * bool(said), told
    if "(1..4)" in comment:
        with pytest.raises(ValueError, match="expected a contiguous tensor"):
            module.f(torch.ones(2, 3).t(), 1, torch.ones(2))


@pytest.mark.parametrize(
    "comment, ignored",
    [
        ("@param x the rows [float32, (N, C)]", "[float32, (N, C)]"),
        ("@param x and y [float32]", "[float32]"),
        ("@params x [contiguous]", "[contiguous]"),
        ("x: [(N, 3)]", "[(N, 3)]"),
        ("@param x [float32, (N,\n *   C)", "[float32, (N, C)]"),  # no bracket at its end
        ("@param x [float32] in [0, 1], [sorted], a row for each [item], not [bool]", ""),
    ],
)
def test_constraints_that_stand_where_none_is_read_are_told(build, comment, ignored):
    prototype = "int f(const ffi_ext_tensor *x, const ffi_ext_tensor *y)"
    _, told = commented(build, comment, prototype, "ffi_ext.h")
    said = f"f(): {ignored} in its comment checks nothing: write it behind the parameter's name, as"
    assert [said in text for text in told] == [True] * bool(ignored), told


def test_as_many_parameters_and_names_of_sizes_as_a_call_has_room_for(build):
    """The builder's limits are those of the runtime: more is refused here, not by the import."""
    names = [f"s{i}" for i in range(33)]
    comment = (
        f"/* @param x [({', '.join(names[:16])})] @param y [({', '.join(names[16:32])})] {{}}*/"
    )
    arguments = ["const ffi_ext_tensor *x", "const ffi_ext_tensor *y", "const ffi_ext_tensor *z"]
    arguments += [f"int i{i}" for i in range(61)]
    of_64 = f"int f({', '.join(arguments)})"
    module = build(
        f"{comment.format('')}\n{of_64};", f"#include <ffi_ext.h>\n{of_64} {{ return i60; }}"
    )
    x = torch.zeros([1] * 16)
    assert module.f(x, x, x, *range(61)) == 60
    with pytest.raises(HeaderError, match="f has 65 parameters, and a call passes at most 64"):
        build(of_64.replace(")", ", int more);"), "")
    with pytest.raises(HeaderError, match="the shapes of a function name at most 32 sizes"):
        build(f"{comment.format('@param z [(s32)] ')}\n{of_64};", "")


@pytest.mark.parametrize(
    "header, what",
    [
        ("int f(const ffi_ext_tensor *x, ...);", "ffi_ext_tensor"),
        ("/* @param x [(3)] */\nint f(int n, const THFloatTensor *x, ...);", "constraints"),
    ],
)
def test_variadic_functions_are_refused_what_cffi_would_not_do_for_them(build, header, what):
    with pytest.raises(HeaderError, match=f"h:[12]: f is variadic, and takes no {what}"):
        build(header, "")


def test_an_array_of_tensors_is_no_parameter(build):
    """C would read the second struct behind the only one."""
    for array in ("xs[2]", "xs[]"):
        with pytest.raises(
            HeaderError, match=r"h:1: '.*' of f is an array of tensors, .* for each"
        ):
            build(f"int f(int n, const ffi_ext_tensor {array});", "")


def test_ways_to_state_one_constraint(build):
    """As documentation is written, too: what was read over would be checked by nobody."""
    f = "int {}(const ffi_ext_tensor *x, ffi_ext_tensor *y)"
    comments = {
        "listed": "/** @param x, y [float32] */\n",
        "colon": "/* @param[in] x: [float32]\n * @param[out] y: [float32] */\n",
        "spaced": "/* @param [in] x [float32]\n * @param [in, out] y [float32] */\n",
        "dash": "// \\param x - [float32]\n// \\param y - [float32]\n",
        "apart": "/* @param x [float32]\n * @param y [float32] */\n\n",
        "of_python": "/* @param x [float32, (N,)]\n * @param y [ float32, ( N, ) ] */\n",
        "words": "/* @param x [float32] [in metres]\n * @param y [float32] [out] */\n",
    }
    header = "/* Of the file. */\n\nint plain(void);\n" + "".join(
        f"{comment}{f.format(name)};\n" for name, comment in comments.items()
    )
    source = "#include <ffi_ext.h>\nint plain(void) { return 1; }\n" + "".join(
        f"{f.format(name)} {{ return 2; }}\n" for name in comments
    )
    module = build(header, source)
    x = torch.ones(1)
    for name in comments:
        function = getattr(module, name)
        assert function(x, x) == 2
        for wrong in ((x.double(), x), (x, x.double())):
            with pytest.raises(TypeError, match="expected float32, got a tensor of float64"):
                function(*wrong)
    assert module.plain.__doc__ == "int plain(void)"


def test_comments_of_old_code_are_left_alone(build):
    module = build(
        "/* @param x [in] the input\n * @param y [out] nothing */\nint f(THFloatTensor *x);",
        "#include <TH/TH.h>\nint f(THFloatTensor *x) { return 5; }",
    )
    assert module.f(torch.ones(2)) == 5


@pytest.mark.parametrize(
    "constraint", ["[]", "[float16|bfloat16,(N,_,...,3),contiguous,output,optional]"]
)
def test_encoding_is_undone_by_decoding(constraint):
    assert constraints.decode(constraint).encoded() == constraint


def test_the_python_tier_gives_the_same(module):
    code = (
        f"import torch, {module.__name__} as m\n"
        "t = torch.zeros(300, dtype=torch.uint8)\n"
        "x = torch.zeros(1, 2, 1, 2, 1, 2, 1, 2, 1, 3, dtype=torch.bfloat16)\n"
        "print(bytes(t[:m.seen(x, t)].tolist()).decode())\n"
        "try: m.shapes(torch.zeros(2, 3), t, t, t)\n"
        "except ValueError as error: print(str(error).splitlines()[0])\n"
    )

    ran = python("-c", code, cwd=Path(module.__file__).parents[2], FFI_EXT_TIER="python")
    first, second = ran.stdout.splitlines()
    assert first.startswith("15 2 10 48 1.0 [1 2 1 2 1 2 1 2 1 3 /48"), ran.stderr
    assert second == "shapes() argument 1 'a': expected the shape (N, _, 3), got (2, 3)"


@pytest.mark.parametrize(
    ("devices", "said"),
    [
        (("cuda:0", "cuda:1"), "cuda:0, where 'a' is, got one on cuda:1"),
        (("cpu", "cuda:1", "cuda:0"), "cuda:1, where 'b' is, got one on cuda:0"),
        (("cpu", "cuda:0"), "cpu, where 'a' is, got one on cuda:0"),
    ],
)
def test_tensors_on_different_devices(devices, said):
    """What is said of the last one; whether it is refused is the dispatcher's, on machines with GPUs."""
    passed = [
        misfits.Passed(name, "float32", (2,), device, True, False, False, (0, 0), False, False)
        for name, device in zip("abc", devices, strict=False)
    ]
    found = misfits.problem([None] * len(passed), passed)
    assert found == (TypeError, f"expected a tensor on {said}")


def test_arrays_of_other_libraries_are_told_of_dlpack(module):
    class Array:
        def __init__(self, tensor):
            self.tensor = tensor

        def __dlpack__(self, **kwargs):
            return self.tensor.__dlpack__(**kwargs)

        def __dlpack_device__(self):
            return self.tensor.__dlpack_device__()

    tensor = torch.ones(2, 2)
    for call in (lambda x: module.zero(x), lambda x: module.th(x, torch.ones(2))):
        with pytest.raises(TypeError, match=r"got Array: .*memory with torch.from_dlpack\(...\)"):
            call(Array(tensor))
    module.zero(torch.from_dlpack(Array(tensor)))
    with pytest.raises(TypeError, match=r"it is a class; make a tensor, as torch.empty\(0\) does"):
        module.zero(torch.FloatTensor)  # without the parentheses
    assert not tensor.any()


def test_constraints_are_nothing_to_the_bare_functions(module):
    null = module._ffi.NULL
    assert module._lib.is_null(null) == 1
    assert module._lib.shapes(null, null, null, null) == 0
    module._lib.first(null, null)
    module._lib.on_gpu(null)
    with pytest.raises(TypeError, match="first expected 2 arguments, got 3"):
        module._lib.first(null, null, null)
