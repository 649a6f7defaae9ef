"""data.ops' elementwise functions against NumPy: shapes, strides, element types, out=, errors."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

pytest.importorskip("_ext.kernels", reason="run `python build_ffi.py` first")

from data import ops  # noqa: E402

OPERATIONS = ["add", "subtract", "multiply", "divide", "minimum", "maximum"]
TYPES = [np.uint8, np.int32, np.int64, np.float32, np.float64]


def values(rng: np.random.Generator, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """Numbers over the type's whole range, with zeros; for floats also NaN, infinities and -0."""
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        array = rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
        return np.where(rng.random(shape) < 0.1, 0, array).astype(dtype)
    array = rng.standard_normal(shape).astype(dtype)
    special = rng.choice(np.array([np.nan, np.inf, -np.inf, 0.0, -0.0], dtype), shape)
    return np.where(rng.random(shape) < 0.15, special, array)


def strided(rng: np.random.Generator, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """An array of this shape: transposed, reversed, with gaps, repeated or dense."""
    order = rng.permutation(len(shape))
    steps = rng.choice([1, 1, 1, 2, 3, -1], len(shape))
    base = np.asarray(values(rng, tuple(shape[i] * abs(steps[i]) for i in order), dtype))
    array = base.transpose(np.argsort(order))
    array = array[(..., *(slice(None, None, step) for step in steps))]
    assert array.shape == shape
    if shape and rng.random() < 0.1:
        axis = rng.integers(len(shape))
        array = np.broadcast_to(array.take([0] if shape[axis] else [], axis), shape)
    return array


def shapes(rng: np.random.Generator) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two shapes that broadcast; small, with some long and some empty axes."""
    full = [int(rng.choice([0, 1, 2, 3, 5, 8, 17])) for _ in range(rng.integers(0, 6))]
    if full and rng.random() < 0.2:
        full[rng.integers(len(full))] = 300
    while np.prod(full) > 60000:
        full.pop()
    pair = []
    for _ in range(2):
        kept = [1 if rng.random() < 0.3 else n for n in full]
        pair.append(tuple(kept[int(rng.integers(0, len(full) + 1)) if rng.random() < 0.4 else 0 :]))
    return pair[0], pair[1]


def assert_same(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
    assert np.array_equal(ours, theirs, equal_nan=theirs.dtype.kind == "f")


def test_broadcast_shapes_is_numpys():
    rng = np.random.default_rng(2)
    agreed = refused = 0
    for _ in range(3000):
        given = [
            tuple(rng.choice([0, 1, 2, 3], rng.integers(0, 5)).tolist())
            for _ in range(rng.integers(1, 4))
        ]
        try:
            expected = np.broadcast_shapes(*given)
        except ValueError:
            refused += 1
            with pytest.raises(ValueError, match="do not broadcast: axis -"):
                ops.broadcast_shapes(*given)
        else:
            agreed += 1
            assert ops.broadcast_shapes(*given) == expected
    assert agreed > 300 and refused > 300


@pytest.mark.parametrize("operation", OPERATIONS)
def test_like_numpy_for_generated_shapes_and_strides(operation):
    rng = np.random.default_rng(OPERATIONS.index(operation))
    ours, theirs = getattr(ops, operation), getattr(np, operation)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("error")
        for number in range(600):
            dtype = TYPES[number % len(TYPES)]
            a, b = (strided(rng, shape, dtype) for shape in shapes(rng))
            expected = np.asarray(theirs(a, b))
            result = ours(a, b)
            assert isinstance(result, np.ndarray)
            assert_same(result, expected)
            out = strided(rng, expected.shape, expected.dtype.type)
            if not out.flags.writeable:
                continue
            assert ours(a, b, out=out) is out
            assert_same(out, expected)
            if all(s >= 0 for s in out.strides):
                out.fill(0)
                tensor = torch.from_numpy(out)
                assert ours(torch.from_numpy(a.copy()), b, out=tensor) is tensor
                assert_same(out, expected)


def test_fields_of_structured_arrays():
    rows = np.zeros(4, [("kind", np.uint8), ("value", np.float64)])
    rows["value"] = [1, 2, 3, 4]
    expected = rows["value"] + np.arange(4)
    assert_same(ops.add(rows["value"], np.arange(4)), expected)
    ops.add(rows["value"], np.arange(4), out=rows["value"])
    assert_same(rows["value"].copy(), expected)
    assert not rows["kind"].any()


def test_out_that_is_reversed_may_overlap_an_operand():
    ours, theirs = np.arange(6.0), np.arange(6.0)
    ops.add(ours, 1, out=ours[::-1])
    np.add(theirs, 1, out=theirs[::-1])
    assert_same(ours, theirs)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(
    ("a_shape", "b_shape"),
    [
        ((97, 531, 3), (3,)),  # repeated as a tile, on several threads
        ((3,), (97, 531, 3)),
        ((5, 2000, 7), (5, 1, 7)),  # another tile in each row
        ((211, 307, 1), (211, 307, 3)),  # the longest axis becomes the row
        ((64, 1, 256), (1, 64, 256)),
        ((70001,), (70001,)),
        ((70001,), ()),
        ((), ()),
    ],
)
def test_shapes_of_the_fast_paths(operation, dtype, a_shape, b_shape):
    rng = np.random.default_rng(0)
    a, b = values(rng, a_shape, dtype), values(rng, b_shape, dtype)
    with np.errstate(all="ignore"):
        expected = np.asarray(getattr(np, operation)(a, b))
    assert_same(getattr(ops, operation)(a, b), expected)
    out = np.empty((2, *expected.shape), expected.dtype)[1, ...]
    assert getattr(ops, operation)(a, b, out=out) is out
    assert_same(out, expected)


@pytest.mark.parametrize("a_type", TYPES)
@pytest.mark.parametrize("b_type", TYPES)
def test_element_types_are_promoted_as_numpy_does(a_type, b_type):
    a, b = np.arange(6, dtype=a_type).reshape(2, 3), np.array([1, 2, 4], b_type)
    for operation in OPERATIONS:
        expected = getattr(np, operation)(a, b)
        result = getattr(ops, operation)(torch.from_numpy(a), b)
        assert isinstance(result, torch.Tensor)
        assert_same(result.numpy(), expected)


@pytest.mark.parametrize("dtype", TYPES)
def test_python_numbers_are_weak(dtype):
    a = np.array([1, 2, 250], dtype)
    for number in (3, 2.5):
        assert_same(ops.multiply(a, number), np.multiply(a, number))
        assert_same(ops.subtract(number, a), np.subtract(number, a))
    for number in (-1, 300, 2**63):  # which are divided by, but not of every type
        assert_same(ops.divide(a, number), np.divide(a, number))
        assert_same(ops.divide(number, a), np.divide(number, a))
    if dtype is np.uint8:
        with pytest.raises(OverflowError):
            ops.add(a, 300)


def test_out_may_be_or_overlap_an_operand():
    memory = np.arange(20.0)
    expected = memory.copy()
    ops.add(memory, 1.0, out=memory)
    expected += 1.0
    assert_same(memory, expected)
    ops.add(memory[:-1], memory[1:], out=memory[1:])
    np.add(expected[:-1], expected[1:], out=expected[1:])
    assert_same(memory, expected)
    square, numpy_square = np.arange(9.0).reshape(3, 3), np.arange(9.0).reshape(3, 3)
    ops.subtract(square, square.T, out=square)
    np.subtract(numpy_square, numpy_square.T, out=numpy_square)
    assert_same(square, numpy_square)


@pytest.mark.parametrize(
    ("a_shape", "b_shape", "axis", "got", "wanted"),
    [
        ((2, 3), (2, 4), -1, 4, 3),
        ((5, 1, 3), (4, 2, 3), -3, 4, 5),
        ((0,), (3,), -1, 3, 0),
        ((2, 3, 4), (2, 1, 1, 1, 5), -1, 5, 4),
    ],
)
def test_errors_name_axis_and_rule(a_shape, b_shape, axis, got, wanted):
    with pytest.raises(ValueError) as numpys:
        np.broadcast_shapes(a_shape, b_shape)
    assert "mismatch" in str(numpys.value)
    with pytest.raises(ValueError) as caught:
        ops.add(np.zeros(a_shape), np.zeros(b_shape))
    assert (
        f"axis {axis} of shape number 1 is {got}, expected {wanted} or 1 "
        "(an axis fits if it is equal or 1)" in str(caught.value)
    )


def test_the_kernel_names_axis_and_rule_too():
    from _ext import kernels

    with pytest.raises(
        RuntimeError, match=r"axis -2 has length 3 in a and 4 in b \(an axis fits if it is equal or"
    ):
        kernels.broadcast_add_float(torch.ones(3, 1), torch.ones(4, 2), torch.empty(0))
    out, null = torch.empty(0), kernels._ffi.NULL
    assert kernels.broadcast_add_float(torch.ones(3, 1), torch.ones(2), out) is out
    assert torch.equal(out, torch.full((3, 2), 2.0))
    new = kernels.broadcast_add_float(torch.ones(3, 1), torch.ones(2), null)
    assert torch.equal(new, out) and new.data_ptr() != out.data_ptr()
    for result in (out, null):  # TH knows one empty tensor only
        empty = kernels.broadcast_add_float(torch.ones(3, 0), torch.ones(1), result)
        assert empty.shape == (0,)


def test_large_results_use_memory_again_and_never_too_early():
    a, b = torch.rand(600, 1, 900), torch.rand(4, 900)
    expected = {op: op(a, b) for op in (torch.add, torch.mul, torch.sub, torch.maximum)}
    computed = dict(zip(expected, (ops.add, ops.multiply, ops.subtract, ops.maximum), strict=True))
    results = {op: compute(a, b) for op, compute in computed.items()}
    views = {op: result[3, :, 5] for op, result in results.items()}
    del results
    for _ in range(5):
        ops.minimum(a, b)
    for op, view in views.items():
        assert torch.equal(view, expected[op][3, :, 5])
    array = ops.divide(a.numpy(), b.numpy())
    assert isinstance(array, np.ndarray) and np.array_equal(array, a.numpy() / b.numpy())
    address = ops.minimum(a, b).data_ptr()
    assert ops.minimum(a, b).data_ptr() == address


def test_what_is_refused():
    ones = np.ones((2, 3), np.float32)
    with pytest.raises(TypeError, match="add: b must be a tensor on the CPU or an array of uint8,"):
        ops.add(ones, np.ones(3, np.int16))
    with pytest.raises(TypeError, match="add: a must be .* got bool"):
        ops.add(True, ones)
    with pytest.raises(TypeError, match="add: .* without a mask, .* got a MaskedArray as b"):
        ops.add(ones, np.ma.masked_less(ones, 2))
    with pytest.raises(TypeError, match="divide: out must be a tensor or an array of float64, got"):
        ops.divide(np.ones(3, np.int32), 2, out=np.ones(3, np.int32))
    with pytest.raises(ValueError, match=r"out must have the result's shape \(2, 3\), got \(3,\)"):
        ops.add(ones, ones, out=np.ones(3, np.float32))
    with pytest.raises(ValueError, match="elements of out share memory"):
        ops.add(ones, ones, out=torch.ones(1, 3).expand(2, 3))
    with pytest.raises(TypeError, match="out must be a tensor or an array of float32, got float32"):
        ops.add(ones[0, 0], ones[0, 0], out=np.float32(1))


@pytest.mark.parametrize("step", [1, -1])
def test_read_only_arrays_are_not_written_to(step):
    memory = bytes(12)
    out = np.frombuffer(memory, np.float32)[::step]
    for add in (np.add, ops.add):
        with pytest.raises(ValueError, match="read-only"):
            add(np.ones(3, np.float32), np.ones(3, np.float32), out=out)
    assert memory == bytes(12)


@pytest.mark.parametrize("place", ["a", "b", "out"])
def test_gradients_are_not_lost_silently(place):
    tensors = {name: torch.ones(3) for name in ("a", "b", "out")}
    tensors[place].requires_grad_()
    with pytest.raises(RuntimeError, match="requires grad"):  # torch's own text
        torch.add(tensors["a"], tensors["b"], out=tensors["out"])
    with pytest.raises(RuntimeError, match=f"without requires_grad.* got one as {place}; detach"):
        ops.add(**tensors)
    if place != "out":
        with pytest.raises(RuntimeError, match="without requires_grad"):
            ops.add(tensors["a"], tensors["b"])
    with torch.no_grad():
        assert torch.equal(ops.add(**tensors), torch.full((3,), 2.0))
        assert torch.equal(ops.add(tensors["a"], tensors["b"]), torch.full((3,), 2.0))
