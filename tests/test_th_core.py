"""The TH core: behaviour recorded from PyTorch 0.3.1, numbers from NumPy and torch."""

from __future__ import annotations

import re
import resource
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

import ffi_ext
from ffi_ext.compilers import toolchain
from tests.processes import python
from tests.th_types import DTYPES

SOURCES = Path(__file__).parent / "th"


def header() -> str:
    """The prototypes of the probe, from its definitions; the generic ones once for each type."""
    plain = re.sub(r"/\*.*?\*/", "", (SOURCES / "probe.c").read_text(), flags=re.S)
    generic = re.sub(r"/\*.*?\*/", "", (SOURCES / "generic_probe.c").read_text(), flags=re.S)
    lines = [m + ";" for m in re.findall(r"^((?!static)\w+ \*?\w+\([^)]*\)) \{", plain, re.M)]
    for real in DTYPES:
        for before, what, after in re.findall(
            r"^(\w+ \*?)NAME\((\w+)\)(\([^)]*\)) \{", generic, re.M
        ):
            text = f"{before}{real}_{what}{after};"
            lines.append(re.sub(r"\bTHTensor\b", f"TH{real}Tensor", text))
    return "\n".join(lines)


@pytest.fixture(scope="module")
def th(build_once):
    return build_once(header(), '#include "probe.c"\n', include_dirs=[str(SOURCES)])


@pytest.fixture(params=DTYPES)
def typed(request, th):
    """(call, dtype): call("fill", ...) is the function of this element type."""
    name = request.param
    return lambda what, *args: getattr(th, f"{name}_{what}")(*args), DTYPES[name]


def numbers(dtype, *shape):
    return torch.arange(int(np.prod(shape))).remainder(100).view(*shape).to(dtype)


def test_generic_functions_for_every_type(typed):
    call, dtype = typed
    t = numbers(dtype, 4, 6)
    assert call("bytes") == dtype.itemsize
    for view in (t, t.t(), t[1:, ::2], t[::2].t()):
        expected = view.numpy().astype(np.float64)
        assert call("apply_sum", view) == expected.sum()
        assert call("fast_sum", view) == expected.sum()
        assert call("get2d", view, 1, 1) == expected[1, 1]
        assert torch.equal(call("clone", view), view) and call("clone", view).is_contiguous()
        assert torch.equal(call("contiguous", view), view)
        assert torch.equal(call("transpose", view, 0, 1), view.t())
        assert torch.equal(call("select", view, 0, 1), view[1])
        assert torch.equal(call("narrow", view, 0, 1, 2), view[1:3])
        assert torch.equal(call("unfold", view, 0, 2, 1), view.unfold(0, 2, 1))
        out = torch.zeros(view.shape[0], 1, dtype=dtype)
        call("row_sums", out, view)
        np.testing.assert_array_equal(
            out.numpy(), view.numpy().sum(1, keepdims=True, dtype=view.numpy().dtype)
        )
    assert call("contiguous", t) is t


def test_writing_functions_for_every_type(typed):
    call, dtype = typed
    t = numbers(dtype, 4, 6)
    call("fill", t[:, ::2], 3.0)
    assert t[0].tolist() == [3, 1, 3, 3, 3, 5]
    call("set2d", t.t(), 5, 0, 77)
    assert t[0, 5] == 77
    call("zero", t[1:])
    assert t[1:].eq(0).all() and t[0, 5] == 77
    source = torch.tensor([[1.9, -2.9], [100.5, 3.0]], dtype=torch.float64)
    out = torch.zeros(4, dtype=dtype)
    call("copy_double", out, source.t())  # same number of elements, in element order
    assert torch.equal(out, source.t().reshape(4).to(dtype))  # -2.9 as a byte is 254
    call("copy_long", out, torch.tensor([1, 2, 3, 4]))
    assert out.tolist() == [1, 2, 3, 4]
    call("copy", out.view(2, 2).t(), torch.tensor([[5, 6], [7, 8]], dtype=dtype))
    assert out.tolist() == [5, 7, 6, 8]


def test_resizing_keeps_data_and_never_shrinks_the_storage(typed):
    call, dtype = typed
    t = numbers(dtype, 6)
    call("resize2d", t, 4, 3)
    assert t.shape == (4, 3) and t.stride() == (3, 1) and t.view(-1)[:6].tolist() == list(range(6))
    size = t.untyped_storage().nbytes()
    call("resize2d", t, 1, 2)
    assert t.tolist() == [[0, 1]] and t.untyped_storage().nbytes() == size
    call("resize2d", t, -1, 5)  # a size that is not positive: the empty tensor
    assert t.shape == (0,)
    other = torch.zeros(3, 2, dtype=dtype)
    call("resize_as", t, other.t())
    assert t.shape == (2, 3) and t.is_contiguous()
    strided = other.t()
    call("resize2d", strided, 2, 3)  # the same sizes: the strides stay
    assert strided.stride() == (1, 2)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (2, 0, 2), (0, 0), (0,)])
def test_shapes_without_elements_stay_as_they_are(th, shape):
    source, t = torch.zeros(shape), torch.arange(6.0)
    th.Float_resize_as(t, source)
    assert t.shape == shape and t.stride() == source.stride()
    assert th.Float_clone(source).shape == shape
    fresh = torch.zeros(0)
    th.Float_resize_as(fresh, source)
    assert fresh.shape == shape
    th.Float_resize2d(fresh, 2, 3)
    assert fresh.shape == (2, 3)
    th.Float_resize2d(fresh, 4, 0)
    assert fresh.shape == (4, 0)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (2, 0, 4), (0,)])
def test_what_has_no_elements_is_contiguous_and_has_views(th, shape):
    t = torch.zeros(shape)
    assert th.contiguous(t) == 1
    assert th.view(t, 5, 0).shape == (5, 0)
    assert th.view(t, -1, 4).shape == (0, 4)
    assert th.view(torch.zeros(3, 4)[:, :0].t(), 0, 2).shape == (0, 2)


def test_shapes_across_the_border(th):
    assert (th.dims(torch.tensor(5.0)), th.size(torch.tensor(5.0), 0)) == (1, 1)
    assert (th.dims(torch.empty(0)), th.has_storage(torch.empty(0))) == (0, 0)
    assert (th.dims(torch.empty(0, 4)), th.elements(torch.empty(0, 4))) == (2, 0)
    assert th.empty().shape == (0,)
    nine = torch.arange(512.0).view((2,) * 9).permute(8, *range(8))
    assert th.dims(nine) == 9 and th.Float_apply_sum(nine) == 511 * 256
    assert list(th.sizes(torch.zeros(2, 3))) == [2, 3]
    assert th.describes(torch.zeros(2, 3), b"[2 x 3]") and th.describes(torch.empty(0), b"[]")
    assert (th.contiguous(torch.zeros(3, 3)), th.contiguous(torch.zeros(3, 3).t())) == (1, 0)
    assert th.contiguous(torch.zeros(9).as_strided((2, 1, 3), (3, 7, 1))) == 1


def test_sizes_of_the_empty_tensor_are_0_to_c_that_forgets_its_dimensions(th):
    kept = torch.zeros(2, 3, 4)
    th.keep(kept)
    kept.resize_(0)
    for d in range(3):
        th.size_field(torch.zeros(2, 3, 4), d)  # its record is taken again
        assert th.size_field(torch.empty(0), d) == th.size_field(kept, d) == 0
        assert th.size_field_of_new(d) == 0
    th.drop()


def test_views_in_place_change_the_torch_tensor(th):
    t = torch.zeros(1, 3, 1)
    th.squeeze(t)
    assert t.shape == (3,)
    th.unsqueeze1d(t, 0)
    assert t.shape == (1, 3)
    th.squeeze1d(t, 0)
    assert t.shape == (3,)
    ones = torch.zeros(1, 1)
    th.squeeze(ones)
    assert ones.shape == (1,)
    th.squeeze1d(ones, 0)  # there are no tensors without dimensions
    assert ones.shape == (1,)
    row = torch.zeros(2, 3)
    th.unsqueeze1d(row, 0)
    assert row.stride() == (6, 3, 1)
    source, target = torch.arange(10.0), torch.zeros(3)
    th.set(target, source)
    assert target.data_ptr() == source.data_ptr() and target.shape == (10,)
    th.set_strided(target, source, 1, 3, 3)
    assert target.tolist() == [1, 4, 7]
    th.set_strided(target, source, 0, 2, -1)  # stride -1: contiguous
    assert target.tolist() == [0, 1]
    a, b = torch.zeros(2), torch.ones(3)
    addresses = a.data_ptr(), b.data_ptr()
    th.swap(a, b)
    assert (b.data_ptr(), a.data_ptr()) == addresses
    assert (a.tolist(), b.tolist()) == ([1, 1, 1], [0, 0])
    assert th.view(torch.arange(6.0), 2, -1).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert th.expand(torch.tensor([1.0, 2.0]), 2, 2).tolist() == [[1, 2], [1, 2]]
    assert th.expand(torch.ones(1), 2, 3).stride() == (0, 0)
    assert th.expand(torch.ones(3), 1, 3).stride() == (3, 1)
    grown = torch.arange(4.0)
    th.resize_view(grown, 50)
    assert grown.tolist() == [7] * 4 and grown.untyped_storage().nbytes() == 200


def test_views_of_others_and_of_itself(th):
    t = torch.arange(24.0).view(1, 4, 1, 6)
    for d in (-1, 0, 1, 2):
        view, want = th.squeezed(t, d), t.squeeze() if d < 0 else t.squeeze(d)
        assert torch.equal(view, want) and view.stride() == want.stride()
        assert view.data_ptr() == t.data_ptr() and t.shape == (1, 4, 1, 6)
    for d in range(5):
        view = th.unsqueezed(t, d)
        assert torch.equal(view, t.unsqueeze(d)) and view.stride() == t.unsqueeze(d).stride()
    want = t.narrow(3, 2, 3).unfold(1, 2, 2)
    th.narrow(t, 3, 2, 3)
    th.unfold(t, 1, 2, 2)
    assert torch.equal(t, want) and t.stride() == want.stride()


def test_a_copy_into_what_it_is_made_of(th):
    t = torch.arange(100.0)
    th.Float_copy(t[1:], t[:-1])
    assert t.tolist() == [0, *range(99)]


@pytest.mark.parametrize(
    "t",
    [
        torch.rand(2, 3, 4),
        torch.rand(4, 3, 2).transpose(0, 2),
        torch.rand(3, 2, 4).transpose(0, 1),
        torch.rand(2, 3, 8)[..., :4],
        torch.rand(4, 3, 4)[::2],
        torch.rand(1, 24, 1).transpose(0, 1),
        torch.rand(6, 1, 8)[:, :, ::2],
        torch.rand(24).as_strided((2, 1, 12), (12, 7, 1)),
        torch.rand(4, 6).t(),
    ],
    ids=lambda t: f"{tuple(t.shape)} {t.stride()}",
)
def test_a_tensor_has_the_views_that_torch_gives_it(th, t):
    for shape in [(24, 1), (1, 24), (2, 12), (12, 2), (3, 8), (8, 3), (4, 6), (6, 4)]:
        try:
            want = t.view(shape)
        except RuntimeError:
            with pytest.raises(ffi_ext.NativeError, match="spans across two contiguous subspaces"):
                th.view(t, *shape)
        else:
            got = th.view(t, *shape)
            assert torch.equal(got, want) and got.data_ptr() == t.data_ptr()


def test_slices_come_in_the_order_of_0_3_1(th):
    """The first dimension runs fastest: code of then counts slices, and draws random numbers for them."""
    t = torch.zeros(2, 3, 4)
    th.number_slices(t, 1)
    order = np.arange(8).reshape(2, 4, order="F")
    np.testing.assert_array_equal(t, np.repeat(order[:, None], 3, axis=1))
    t = torch.zeros(4, 3, 2).permute(2, 1, 0)  # whatever the strides
    th.number_slices(t, 2)
    np.testing.assert_array_equal(t[:, :, 3], np.arange(6).reshape(2, 3, order="F"))


def test_shapes_that_broadcast_are_expanded_together(th):
    a, b, out = torch.arange(3.0).view(3, 1), torch.arange(8.0).view(2, 1, 4), torch.zeros(0)
    assert list(th.expand_both(out, a, b)) == [2, 3, 4]
    assert torch.equal(out, a + b)
    with pytest.raises(RuntimeError, match=r"size of tensor 0 \(3\) must match .* tensor 1 \(4\)"):
        th.expand_both(out, torch.zeros(3), torch.zeros(4))
    shape = torch.LongStorage()
    assert th.infer_size(shape, a, b) == 0 and list(shape) == [2, 3, 4]
    with pytest.raises(
        RuntimeError,
        match=r"tensor a \(3\) must match the size of tensor b \(2\) at non-singleton dimension 1",
    ):
        th.infer_size(shape, torch.zeros(1, 3), torch.zeros(2, 2))


def test_the_same_tensor_and_the_same_storage_meet_one_record(th):
    t = torch.zeros(4)
    assert th.same_record(t, t) == 1
    assert th.same_record(t, t[:2]) == 0
    assert th.same_storage(t, t[1:3]) == 1
    assert th.same_storage(t, t.clone()) == 0


def test_records_that_c_keeps(th):
    t = torch.zeros(2)
    th.keep(t)
    assert th.is_kept(t) == 1 and th.get_kept() is t
    th.grow_kept(6)
    assert t.tolist() == [9] * 6
    t.resize_(200).fill_(1)  # Python moves the memory: C's record follows at the next call
    assert th.is_kept(t) == 1
    th.grow_kept(300)
    assert t.shape == (300,) and t[0] == 9
    th.drop()
    th.keep(torch.zeros(3))  # nobody else holds this one
    th.grow_kept(4)
    assert th.get_kept().tolist() == [9] * 4
    th.drop()
    made = th.make_and_keep(3)
    th.grow_kept(5)
    assert made.tolist() == [9] * 5 and th.get_kept() is made
    th.drop()


def test_what_python_does_to_a_kept_tensor_c_sees_at_the_next_call(th):
    memory = torch.arange(8.0)
    t = memory[:4].view(2, 2)
    th.keep(t)
    t.t_()
    assert th.Float_get2d(t, 0, 1) == 2
    t.set_(memory.untyped_storage(), 4, (2, 2), (1, 2))
    assert th.is_kept(t) == 1 and th.Float_get2d(t, 0, 1) == 6
    t.requires_grad_()
    assert th.is_kept(t) == 1
    with pytest.raises(ffi_ext.NativeError, match="it requires grad"):
        th.grow_kept(9)
    t.requires_grad_(False)
    t.data = t.double()  # as module.double() does
    assert th.Double_get2d(t, 0, 1) == 6
    th.drop()


ERRORS = [
    (
        lambda th: th.Float_select(torch.zeros(3), 0, 0),
        "invalid argument 1: cannot select on a vector at ",
    ),
    (lambda th: th.Float_select(torch.zeros(3, 3), 2, 0), "invalid argument 2: out of range at "),
    (lambda th: th.Float_select(torch.zeros(3, 3), 0, 3), "invalid argument 3: out of range at "),
    (lambda th: th.Float_select(torch.zeros(3, 3), 0, -1), "invalid argument 3: out of range at "),
    (lambda th: th.Float_narrow(torch.zeros(3), 0, 0, 0), "invalid argument 4: out of range at "),
    (lambda th: th.Float_narrow(torch.zeros(3), 0, -1, 1), "invalid argument 3: out of range at "),
    (lambda th: th.Float_narrow(torch.zeros(3), 0, 1, 3), "invalid argument 4: out of range at "),
    (lambda th: th.Float_narrow(torch.zeros(3), 1, 0, 1), "invalid argument 2: out of range at "),
    (lambda th: th.Float_narrow(torch.zeros(3), -1, 0, 1), "invalid argument 2: out of range at "),
    (
        lambda th: th.Float_narrow(torch.zeros(3), 0, 1, 2**63 - 1),
        "invalid argument 4: out of range at ",
    ),
    (
        lambda th: th.Float_get2d(torch.zeros(3), 0, 0),
        "invalid argument 1: tensor must have two dimensions at ",
    ),
    (
        lambda th: th.Float_get2d(torch.zeros(0), 0, 0),  # which has no storage
        "invalid argument 1: tensor must have two dimensions at ",
    ),
    (lambda th: th.Float_get2d(torch.zeros(3, 3), 0, 3), "invalid argument 2: out of range at "),
    (lambda th: th.Float_get2d(torch.zeros(3, 3), 0, -1), "invalid argument 2: out of range at "),
    (lambda th: th.Float_select(torch.zeros(3, 3), -1, 0), "invalid argument 2: out of range at "),
    (lambda th: th.Float_narrow(torch.zeros(3), 0, 3, 1), "invalid argument 3: out of range at "),
    (lambda th: th.Float_transpose(torch.zeros(3), 1, 0), "invalid argument 1: out of range at "),
    (lambda th: th.Float_transpose(torch.zeros(3), -1, 0), "invalid argument 1: out of range at "),
    (lambda th: th.Float_transpose(torch.zeros(3), 0, 1), "invalid argument 2: out of range at "),
    (lambda th: th.Float_transpose(torch.zeros(3), 0, -1), "invalid argument 2: out of range at "),
    (lambda th: th.squeeze1d(torch.zeros(3), 1), "invalid argument 2: dimension out of range at "),
    (lambda th: th.squeeze1d(torch.zeros(3), -1), "invalid argument 2: dimension out of range at "),
    (
        lambda th: th.unsqueeze1d(torch.zeros(3), 2),
        "invalid argument 2: dimension out of range at ",
    ),
    (
        lambda th: th.unsqueeze1d(torch.zeros(3), -1),
        "invalid argument 2: dimension out of range at ",
    ),
    (lambda th: th.unsqueeze1d(torch.zeros(0), 0), "invalid argument 2: cannot unsqueeze empty "),
    (lambda th: th.size(torch.zeros(3), 1), "invalid argument 2: dimension 1 out of range of 1D "),
    (
        lambda th: th.size(torch.zeros(3), -1),
        "invalid argument 2: dimension -1 out of range of 1D ",
    ),
    (lambda th: th.Float_unfold(torch.zeros(3), 1, 2, 1), "invalid argument 2: out of range at "),
    (lambda th: th.Float_unfold(torch.zeros(3), -1, 2, 1), "invalid argument 2: out of range at "),
    (lambda th: th.Float_unfold(torch.zeros(0), 0, 1, 1), "invalid argument 1: cannot unfold an "),
    (lambda th: th.Float_unfold(torch.zeros(3), 0, 4, 1), "invalid argument 3: out of range at "),
    (lambda th: th.Float_unfold(torch.zeros(3), 0, 0, 1), "invalid argument 3: out of range at "),
    (lambda th: th.Float_unfold(torch.zeros(3), 0, 2, 0), "invalid argument 4: invalid step at "),
    (
        lambda th: th.set_strided(torch.zeros(1), torch.zeros(3), -1, 1, 1),
        "Tensor: invalid storage offset at ",
    ),
    (
        lambda th: th.Float_copy(torch.zeros(3), torch.zeros(4)),
        "inconsistent tensor size, expected ",
    ),
    (
        lambda th: th.storage_get(torch.zeros(2, dtype=torch.float64).storage(), 2),
        "invalid argument 2: out of bounds at ",
    ),
    (lambda th: th.make_storage(-1), "$ Torch: invalid memory size -- maybe an overflow? at "),
    (lambda th: th.alloc_negative(), "$ Torch: invalid memory size -- maybe an overflow? at "),
    (
        lambda th: th.Float_resize2d(torch.zeros(1), 2**40, 2**40),
        "$ Torch: invalid memory size -- maybe an overflow?",
    ),
    (
        lambda th: th.set_strided(torch.zeros(1), torch.zeros(3), 2**63 - 1, 2, 1),
        "$ Torch: invalid memory size -- maybe an overflow? at ",
    ),
    (lambda th: th.many_dimensions(257), "tensors of more than 256 dimensions are not supported, "),
    (lambda th: th.view_in(257), "tensors of more than 256 dimensions are not supported, got 257"),
    (
        lambda th: th.expand_in(257),
        "tensors of more than 256 dimensions are not supported, got 257",
    ),
    (
        lambda th: th.expand_many(0),
        "invalid argument 3: between 1 and 64 tensors can be expanded at ",
    ),
    (lambda th: th.expand_many(65), "invalid argument 3: between 1 and 64 tensors can be expanded"),
    (
        lambda th: th.view(torch.arange(6.0), 4, -1),
        "invalid argument 2: size '[4 x -1]' is invalid for input with 6 elements",
    ),
    (
        lambda th: th.view(torch.arange(6.0), 0, -1),
        "invalid argument 2: size '[0 x -1]' is invalid for input with 6 elements",
    ),
    (
        lambda th: th.view(torch.arange(6.0), 4, 2),
        "invalid argument 2: size '[4 x 2]' is invalid for input with 6 elements",
    ),
    (
        lambda th: th.view(torch.arange(6.0), -1, -1),
        "invalid argument 1: only one dimension can be inferred at ",
    ),
    (
        lambda th: th.expand(torch.zeros(2, 2, 2), 2, 2),
        "invalid argument 1: the number of sizes provided (2) must be greater or equal",
    ),
    (
        lambda th: th.expand(torch.zeros(3), 3, 4),
        "The expanded size of the tensor (4) must match the existing size (3)",
    ),
    (
        lambda th: th.expand(torch.zeros(3), -1, 3),
        "The expanded size of the tensor (-1) isn't allowed in a leading, non-existing dimension 0.",
    ),
    (
        lambda th: th.expand(torch.zeros(0), 4, 2),  # the numbers would be memory that nobody wrote
        "invalid argument 0: can't expand an empty tensor at ",
    ),
]


@pytest.mark.parametrize("number", range(len(ERRORS)))
def test_error_texts(th, number):
    call, text = ERRORS[number]
    with pytest.raises(ffi_ext.NativeError) as caught:
        call(th)
    assert str(caught.value).startswith(text)
    assert th.elements(torch.zeros(2)) == 2


def test_the_most_that_there_may_be(th):
    assert th.many_dimensions(256) == th.view_in(256) == th.expand_in(256) == 256
    assert th.expand_many(64) == 64


def test_a_description_is_cut_where_its_room_ends(th):
    t = torch.zeros([1] * 30)
    assert th.describes(t, ("[" + "1 x " * 30)[:59].encode() + b"...]")


def test_a_failed_resize_changes_nothing(th):
    t = torch.arange(3.0)
    before = (t.data_ptr(), t.shape, t.tolist())
    for sizes in ((2**40, 2**40), (2**31, 2**20)):  # an overflow, and more than there is
        with pytest.raises(ffi_ext.NativeError):
            th.Float_resize2d(t, *sizes)
        assert (t.data_ptr(), t.shape, t.tolist()) == before


def test_more_memory_than_there_is(th):
    with pytest.raises(ffi_ext.NativeError, match="allocate"):
        th.make_storage(2**50)


def test_storages_and_memory_of_c(th):
    storage = th.make_storage(3)
    assert storage.dtype == torch.float64 and list(storage) == [2.5] * 3
    th.storage_resize(storage, 100)
    assert len(storage) == 100 and storage[2] == 2.5
    t = th.of_c_memory(5)
    assert t.tolist() == [0, 1, 2, 3, 4]
    assert th.alloc_zero_is_null() == 1


def test_half_conversion_equals_numpys(th):
    values = [
        0.0,
        -0.0,
        1.0,
        0.1,
        -2.5,
        65504.0,
        65519.9,
        65520.0,
        1e9,
        6e-8,
        2.9e-8,
        3e-5,
        6.1e-5,
        float("inf"),
    ]
    values += np.random.default_rng(0).normal(size=2000).tolist()
    values += (np.random.default_rng(1).normal(size=2000) * 1e-6).tolist()
    with np.errstate(over="ignore"):
        expected = np.array(values, np.float32).astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal([th.through_half(v) for v in values], expected)
    assert np.isnan(th.through_half(float("nan")))


def test_memory_stays_flat(th):
    def peak() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    t = torch.zeros(100, 100)

    def work(rounds: int) -> None:
        for _ in range(rounds):
            th.Float_clone(t)
            th.of_c_memory(10000)
            th.make_storage(5000)
            th.Float_transpose(t, 0, 1)
            fresh = torch.zeros(100, 100)
            with pytest.raises(ffi_ext.NativeError):
                th.Float_select(fresh, 5, 0)

    work(500)
    before = peak()
    work(4000)  # 160 MB were any of the results, or the tensors without a view, kept
    assert peak() - before < 20_000


@pytest.mark.parametrize(("header", "least"), [("TH/TH.h", 3400), ("THC/THC.h", 6100)])
def test_declared_headers_declare_what_the_lists_do(header, least):
    """Which setup.py has expanded; without them, or while it does so, the compiler does."""
    include = Path(ffi_ext.get_include())
    assert (include / header.split("/")[0] / "declared").is_dir()
    statements = []
    for how in ([], ["-DFFI_EXT_DECLARE"]):
        flags = ["-E", "-P", "-w", "-DTH_API=extern", "-DFFI_EXT_NO_CUDA_HEADERS", *how]
        done = subprocess.run(
            [*toolchain.c_compiler().command, *flags, f"-I{include}", "-xc", "-"],
            input=f"#include <{header}>",
            capture_output=True,
            text=True,
            check=True,
        )
        words = done.stdout.replace("(", " ( ").replace(")", " ) ").replace("*", " * ")
        statements.append(sorted(" ".join(part.split()) for part in words.split(";")))
    assert len(statements[0]) > least
    assert statements[0] == statements[1]


def test_the_table_of_functions_in_the_docs_is_up_to_date():
    script = Path(__file__).parent.parent / "scripts" / "th_api.py"
    done = python(script, "--check")
    assert done.returncode == 0, done.stderr


def test_half_tensors_copy_from_every_type_and_reductions_get_their_dimension_back(build):
    types = ["Float", "Double", "Long", "Int", "Short", "Char", "Byte", "Half"]
    cases = "\n".join(
        f"    case {i}: THHalfTensor_copy{name}(h, (TH{name}Tensor *)from); break;"
        for i, name in enumerate(types)
    )
    parameters = ", ".join(f"TH{name}Tensor *t{i}" for i, name in enumerate(types))
    chosen = ", ".join(f"t{i}" for i in range(len(types)))
    module = build(
        f"void to_half(THHalfTensor *h, int which, {parameters});\n"
        "void restore(THLongTensor *r, int dimensions, int dimension, int keepdim);",
        f"""
#include <TH/TH.h>
void to_half(THHalfTensor *h, int which, {parameters}) {{
  void *all[] = {{{chosen}}}, *from = all[which];
  switch (which) {{
{cases}
  }}
}}
void restore(THLongTensor *r, int dimensions, int dimension, int keepdim) {{
  THLongTensor_preserveReduceDimSemantics(r, dimensions, dimension, keepdim);
}}
""",
    )
    dtypes = [torch.float32, torch.float64, torch.int64, torch.int32, torch.int16, torch.int8]
    dtypes += [torch.uint8, torch.float16]
    tensors = [torch.tensor([[1, 100, 7], [3, 0, 5]]).t().to(dtype) for dtype in dtypes]
    for which, tensor in enumerate(tensors):
        half = torch.zeros(3, 2, dtype=torch.float16)
        module.to_half(half, which, *tensors)
        assert torch.equal(half, tensor.half())
    for shape, keepdim, expected in [((2, 3), 0, (2, 1, 3)), ((2, 3), 1, (2, 3)), ((4,), 0, (4,))]:
        result = torch.zeros(shape, dtype=torch.int64)
        module.restore(result, 3, 1, keepdim)
        assert tuple(result.shape) == expected
