"""The CUDA twins of the kernels: what they compute, compiled for the CPU; on a GPU, that they run."""

from __future__ import annotations

import contextlib
import importlib
import math
import re
import types
from pathlib import Path

import pytest
import torch

from ffi_ext import NativeError, elf
from ffi_ext.cuda import toolkit

kernels = pytest.importorskip("_ext.kernels", reason="run `python build_ffi.py` first")

from data import ops as data_ops  # noqa: E402
from resnet import ResNet, StageSpec  # noqa: E402
from resnet.ops import native  # noqa: E402
from tests import cuda_calls, cuda_on_cpu  # noqa: E402
from tests.operators import differentiable, selections  # noqa: E402

NAN = math.nan
# Arguments of wrong calls.
X, S, E = torch.rand(2, 3, 5, 6), torch.rand(3), torch.empty(0)
R, B, Q = torch.tensor([[0.0, 1, 1, 3, 4]]), torch.rand(3, 4), torch.rand(2, 4)
J, L = torch.empty(0, dtype=torch.int32), torch.empty(0, dtype=torch.int64)
# Numbers of a deformable ROI pooling, and its offsets.
P, T = (1.0, 3, 1, 2, 2, 4, 0.1), torch.rand(1, 2, 2, 2)
NAMES = [*differentiable(), *selections()]
DTYPES = {"float": torch.float32, "double": torch.float64}
ALL_DTYPES = DTYPES | {"bfloat16": torch.bfloat16}  # which frozen batch norm alone has
FLOATING = {
    name
    for name in kernels.__all__
    if name.endswith(tuple(f"_{ending}" for ending in ALL_DTYPES))
    and not name.startswith("broadcast_")
}
TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-12}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return cuda_on_cpu.build(tmp_path_factory.mktemp("cuda_on_cpu"))


@pytest.fixture(params=["forwards", "backwards"])
def twins(request, built):
    """The CUDA functions on the CPU, computing their indices in either order."""
    built.run_backwards(request.param == "backwards")
    return built


@contextlib.contextmanager
def computing(module):
    """Within this, `resnet.ops` computes on the CPU by these functions."""
    patch = pytest.MonkeyPatch()
    patch.setitem(native._loaded, "cpu", (module, ""))
    patch.setitem(native.MODULES, "cpu", ("kernels_cuda", "_cuda"))
    yield
    patch.undo()


def results(case):
    """What an operator returns, and the gradients."""
    y = case.call(*case.inputs)
    outputs = list(y) if isinstance(y, tuple) else [y]
    trained = [x for x in case.inputs if x.requires_grad]
    if trained:
        grad = torch.linspace(-1, 1, y.numel(), dtype=y.dtype, device=y.device).view(y.shape)
        outputs += torch.autograd.grad(y, trained, grad)
    return outputs


@pytest.mark.parametrize("dtype", DTYPES.values())
@pytest.mark.parametrize("name", NAMES)
def test_operators_compute_what_they_do_on_the_cpu(twins, name, dtype):
    case = (differentiable(dtype) | selections(dtype))[name]
    expected = results(case)
    with computing(twins):
        found = results(case)
    torch.testing.assert_close(found, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


def compare(expected, found, call, dtype):
    """The same bits, or within rounding of the largest value."""
    for x, y in zip(expected, found, strict=True):
        assert x.dtype == y.dtype and x.shape == y.shape, call.name
        finite = x[x.isfinite()] if x.is_floating_point() else x
        largest = max(1.0, float(finite.abs().max()) if finite.numel() else 0.0)
        bound = 0 if call.exact else TOLERANCE[dtype] * largest
        torch.testing.assert_close(y, x, rtol=0, atol=bound, equal_nan=True)


def compare_all(module, calls, ending, dtype, device="cpu"):
    """Every call of the kernels and of their twins; tells all that differ, since a GPU is seldom at hand."""
    differences = []
    for call in calls:
        expected = cuda_calls.run(kernels, call, ending)
        try:
            found = cuda_calls.run(module, call, f"{ending}_cuda", device)
            compare(expected, found, call, dtype)
        except (AssertionError, RuntimeError) as error:
            differences.append(f"{call.name}: {error}")
    assert not differences, "\n".join(differences)


@pytest.mark.parametrize("ending", ALL_DTYPES)
def test_every_function_computes_what_its_twin_does(twins, ending):
    dtype = ALL_DTYPES[ending]
    calls = cuda_calls.floating(dtype)
    compare_all(twins, calls, f"_{ending}", dtype)
    called = {f"{call.function}_{ending}" for call in calls}
    assert called == {name for name in FLOATING if name.endswith(f"_{ending}")}


def test_the_functions_of_other_types_too(twins):
    calls = cuda_calls.others()
    compare_all(twins, calls, "", torch.float32)
    assert {call.function for call in calls} == set(kernels.__all__) - FLOATING


def test_a_result_that_repeats_one_element_leaves_its_neighbours_alone(twins):
    x, one = torch.full((1, 1, 1, 8), 5.0), torch.ones(1)
    base = torch.arange(12.0)
    none = twins._ffi.NULL
    twins.frozen_bn_forward_float_cuda(x, one, one, none, 0, base[:1].expand(1, 1, 1, 8))
    assert base.tolist() == [6.0, *range(1, 12)]


def test_only_atomic_additions_depend_on_the_order(built):
    depend = set()
    for call in cuda_calls.floating(torch.float32):
        if not re.search("many|2300", call.name):
            bits = set()
            for backwards in (False, True):
                built.run_backwards(backwards)
                results = cuda_calls.run(built, call, "_float_cuda")
                bits.add(b"".join(x.numpy().tobytes() for x in results))
            depend |= {call.function} if len(bits) > 1 else set()
    assert depend == set(native.IN_ANY_ORDER)


@pytest.fixture
def deterministic():
    yield torch.set_deterministic_debug_mode
    torch.set_deterministic_debug_mode("default")


def test_where_deterministic_algorithms_are_asked_for(built, deterministic, monkeypatch):
    """As torch and torchvision say it of their own atomic additions."""
    monkeypatch.setitem(native._loaded, "cuda", (built, ""))
    tensor = types.SimpleNamespace(device=torch.device("cuda"), dtype=torch.float32)
    native.kernel("roi_pool_backward", tensor)
    deterministic("error")
    native.kernel("roi_pool_forward", tensor)
    native.kernel("roi_pool_backward", torch.zeros(1))
    with pytest.raises(RuntimeError, match="roi_pool_backward: on a GPU .* may differ"):
        native.kernel("roi_pool_backward", tensor)
    deterministic("warn")
    with pytest.warns(UserWarning, match="pass warn_only=True"):
        native.kernel("roi_pool_backward", tensor)


WRONG = [
    ("frozen_bn_forward", [X[0], S, S, None, 0, X]),
    ("frozen_bn_forward", [X, S[:2], S, None, 0, X]),
    ("frozen_bn_forward", [X, S, S[:2], None, 0, X]),
    ("frozen_bn_forward", [X, S, S, X[:1], 0, X]),
    ("frozen_bn_backward", [X[0], None, S, X, None]),
    ("frozen_bn_backward", [X, X[:1], S, X, None]),
    ("frozen_bn_backward", [X, X, S[:2], X, None]),
    ("roi_align_forward", [X[0], R, 1.0, 2, 2, 0, 0, E]),
    ("roi_align_forward", [X, R[:, :4], 1.0, 2, 2, 0, 0, E]),
    ("roi_align_forward", [X, R, math.nan, 2, 2, 0, 0, E]),
    ("roi_align_forward", [X, R, 1.0, 2, 0, 0, 0, E]),
    ("roi_align_forward", [X, R, 1.0, 2, 2, 5000, 0, E]),
    ("roi_align_forward", [X[:, :, :0], R, 1.0, 2, 2, 0, 0, E]),
    ("roi_align_backward", [X, R, 1.0, 2, 2, 0, 0, X]),
    ("roi_align_backward", [X[:1, :, :2, :2], R, 1.0, 2, 2, 0, 0, X[0]]),
    ("roi_pool_forward", [X[0], R, 1.0, 2, 2, E, J]),
    ("roi_pool_forward", [X, R, 1.0, -1, 2, E, J]),
    ("roi_pool_backward", [X[:2], R, J, X]),
    ("roi_pool_backward", [X[:1], R, J, X]),
    ("nms", [R, S, 0.5, 0, L]),
    ("nms", [B, S[:2], 0.5, 0, L]),
    ("nms", [B, S[:3], math.nan, 0, L]),
    ("nms", [B, S[:3], 0.5, 0, torch.empty(6, dtype=torch.int64)[::2]]),
    ("batched_nms", [B, S[:3], torch.zeros(2, dtype=torch.int64), 0.5, 0, L]),
    ("soft_nms", [B, S[:2], 0, 0.5, 0.3, 0.1, 0, L, E]),
    ("soft_nms", [B, S[:3], 3, 0.5, 0.3, 0.1, 0, L, E]),
    ("soft_nms", [B, S[:3], 0, 0.0, 0.3, 0.1, 0, L, E]),
    ("soft_nms", [B, S[:3], 0, 0.5, math.nan, 0.1, 0, L, E]),
    ("soft_nms", [B, S[:3], 0, 0.5, 0.3, -1.0, 0, L, E]),
    ("box_iou_forward", [B, R, 0, E]),
    ("box_iou_backward", [B, B, B, 0, E, E]),
    ("focal_loss_forward", [X, X[:1], 0.5, 2.0, E]),
    ("focal_loss_forward", [X, X, 0.5, -2.0, E]),
    ("focal_loss_backward", [X[:1], X, X, 0.5, 2.0, E]),
    ("class_focal_loss_forward", [X, L, 0.5, 2.0, E]),
    ("class_focal_loss_forward", [B, L, 0.5, 2.0, E]),
    ("deform_columns", [X, X[0], None, *[1] * 4, 0, 0, 1, 1, 0, X[0]]),
    ("deform_columns", [X[0], X[0], None, *[1] * 4, -1, 0, 1, 1, 0, X[0]]),
    ("deform_columns", [X[0], X[0], None, *[2] * 4, 0, 0, 1, 1, 0, X[0]]),
    ("deform_columns", [X[0], X[0], X[0, :1, :1], *[1] * 4, 0, 0, 1, 1, 0, X[0]]),
    ("deform_columns", [X[0], X[0], None, *[1] * 4, 0, 0, 1, 1, 0, X[0]]),
    ("deform_columns", [X[0], X[0], None, *[1] * 4, 0, 0, 1, 1, 29, X[0, :1, :2, :4]]),
    ("deform_input_backward", [X[0], X[0], None, *[1] * 4, 0, 0, 1, 1, 0, X]),
    (
        "deform_offset_backward",
        [X[0, :1, :2, :4], X[0], X[0], None, *[1] * 4, 0, 0, 1, 1, 0, X[0, :1], None],
    ),
    ("deform_psroi_forward", [X[0], R, None, *P, E, None]),
    ("deform_psroi_forward", [X, R[:, :4], None, *P, E, None]),
    ("deform_psroi_forward", [X, R, None, 0.0, *P[1:], E, None]),
    ("deform_psroi_forward", [X, R, None, 1.0, 3, 0, *P[3:], E, None]),
    ("deform_psroi_forward", [X, R, None, 1.0, 3, 1, 2, -2, 4, 0.1, E, None]),
    ("deform_psroi_forward", [X, R, None, 1.0, 3, 1, 2, 2, 0, 0.1, E, None]),
    ("deform_psroi_forward", [X, R, None, 1.0, 3, 1, 2, 2, 5000, 0.1, E, None]),
    ("deform_psroi_forward", [X, R, None, *P[:-1], math.nan, E, None]),
    ("deform_psroi_forward", [X, R, None, *P[:-1], 1.5, E, None]),
    ("deform_psroi_forward", [X, R, None, 1.0, 2, *P[2:], E, None]),
    ("deform_psroi_forward", [X, R, None, 1.0, 1, 2, *P[3:], E, None]),
    ("deform_psroi_forward", [X, R, T[:, :, :1], *P, E, None]),
    ("deform_psroi_forward", [X, R, T[:0], *P, E, None]),
    ("deform_psroi_forward", [X, R, T[:, :1], *P, E, None]),
    ("deform_psroi_forward", [X, R, torch.cat([T, T], 1), *P, E, None]),
    ("deform_psroi_forward", [X[..., :0], R, T, *P, E, None]),
    ("deform_psroi_input_backward", [X[:1, :, :2, :3], R, None, *P, X]),
    ("deform_psroi_input_backward", [X[:1, :, :2, :2], R, None, *P, X[:, :2]]),
    ("deform_psroi_trans_backward", [X[:1, :, :2, :2], R, None, *P, X, T]),
    ("deform_psroi_trans_backward", [X[:1, :2, :2, :2], R, T, *P, X, T]),
    ("deform_psroi_trans_backward", [X[:1, :, :2, :2], R, T, *P, X, T[:, :1]]),
    ("normalize_image", [X[0, 0].byte(), S, S, 0, E]),
    ("normalize_image", [X[0].byte(), X, S, 0, E]),
    ("normalize_image", [X[0].byte(), S[:2], S, 0, E]),
]
# Of another shape than the result's, and an input, too.
OUTPUTS = [
    ("box_iou_forward", [B, Q, 0, B]),
    ("box_iou_backward", [torch.rand(3, 2), B, Q, 0, Q, torch.rand(2, 4)]),
    ("roi_align_forward", [X, R, 1.0, 2, 2, 0, 0, X]),
    ("roi_align_forward", [X, R, 1.0, 2, 2, 0, 0, R]),
    ("roi_pool_forward", [X, R, 1.0, 2, 2, X, J]),
    ("deform_psroi_forward", [X, R, T, *P, T, None]),
    ("deform_psroi_forward", [X, R, T, *P, torch.rand(1, 3, 2, 2), R]),
    ("frozen_bn_forward", [X, S, S, None, 0, S]),
    ("frozen_bn_backward", [X, None, S, S, None]),
    ("normalize_image", [torch.ones(5, 6, 3).byte(), S, S, 0, S]),
    ("soft_nms", [B, S, 0, 0.5, 0.5, 0.1, 0, L, B]),
    ("broadcast_add", [S, torch.rand(2, 3), S]),
]


def what_both_say(twins, function, arguments):
    said = []
    for module, ending in ((kernels, ""), (twins, "_cuda")):
        given = [module._ffi.NULL if x is None else x for x in arguments]
        with pytest.raises(NativeError) as caught:
            getattr(module, f"{function}_float{ending}")(*given)
        words = str(caught.value).replace("_cuda", "")
        said.append(re.sub(r" at \S+:\d+", "", words))
    assert said[0] == said[1]
    return said[0]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_checks_speak_the_same_words(twins, number):
    assert "invalid argument" in what_both_say(twins, *WRONG[number])


@pytest.mark.parametrize("number", range(len(OUTPUTS)))
def test_an_output_that_is_resized_is_no_input(twins, number):
    function, arguments = OUTPUTS[number]
    shapes = [x.shape for x in arguments if isinstance(x, torch.Tensor)]
    assert "must be no input" in what_both_say(twins, function, arguments)
    assert shapes == [x.shape for x in arguments if isinstance(x, torch.Tensor)]


def test_regions_that_are_none_give_nan_and_no_gradient(twins):
    x = torch.rand(2, 3, 8, 9)
    rois = torch.tensor([[0.0, 1, 1, 5, 6], [2, 1, 1, 5, 6], [0.5, 1, 1, 5, 6], [1, 1, NAN, 5, 6]])
    rois = torch.cat([rois, torch.tensor([[-1.0, 1, 1, 5, 6], [1, 1, 1, 1e30, 6]])])
    for size in (2, 700):  # few outputs, and so many that an index has several channels
        align, pool, where = torch.empty(0), torch.empty(0), torch.empty(0, dtype=torch.int32)
        twins.roi_align_forward_float_cuda(x, rois, 1.0, size, size // 2, 0, 0, align)
        assert align[0].isfinite().all() and align[1:].isnan().all()
    twins.roi_pool_forward_float_cuda(x, rois, 1.0, 2, 2, pool, where)
    assert pool[0].isfinite().all() and pool[1:].isnan().all()
    assert (where[0] >= 0).all() and (where[1:] == -1).all()
    ones, expected, found = torch.ones(6, 3, 2, 2), torch.empty_like(x), torch.empty_like(x)
    kernels.roi_align_backward_float(ones[:1], rois[:1], 1.0, 2, 2, 0, 0, expected)
    twins.roi_align_backward_float_cuda(ones, rois, 1.0, 2, 2, 0, 0, found)
    torch.testing.assert_close(found, expected)
    where[1:5] = 3  # of regions whose index is none; how far one reaches, forward alone asks
    where[0, 0, 0, 0] = 8 * 9  # beyond the plane
    twins.roi_pool_backward_float_cuda(ones, rois, where, found)
    assert found.sum() == 3 * 2 * 2 - 1 and found[1].sum() == 0
    offsets, numbers = T.repeat(6, 1, 1, 1), P
    count, grad = torch.empty(0), torch.empty_like(offsets)
    twins.deform_psroi_forward_float_cuda(x, rois, offsets, *numbers, pool, count)
    assert pool[0].isfinite().all() and pool[1:].isnan().all()
    assert (count[0] > 0).all() and not count[1:].any()
    kernels.deform_psroi_input_backward_float(ones[:1], rois[:1], offsets[:1], *numbers, expected)
    twins.deform_psroi_input_backward_float_cuda(ones, rois, offsets, *numbers, found)
    torch.testing.assert_close(found, expected)
    twins.deform_psroi_trans_backward_float_cuda(ones, rois, offsets, *numbers, x, grad)
    assert grad[0].any() and grad.isfinite().all() and not grad[1:].any()
    loss = torch.empty(0)
    classes = torch.tensor([0, 4, 5])
    twins.class_focal_loss_forward_float_cuda(torch.rand(3, 4), classes, 0.5, 2.0, loss)
    assert loss[:2].isfinite().all() and loss[2].isnan().all()


def test_the_page_of_figures(monkeypatch):
    """Which benchmarks/gpu.py writes."""
    monkeypatch.syspath_prepend(cuda_on_cpu.ROOT / "benchmarks")
    gpu, table = importlib.import_module("gpu"), importlib.import_module("table").Table()
    table.add("a claim", 3.0, "a peer", 4.0, "ms", at_most=1.0)
    table.add("another", 1.0, "a peer", 2.0, "GB/s", at_least=0.8)
    facts, _, rows = gpu.page({"GPU": "a GPU"}, table).partition("```text\n")
    assert "\n* GPU: a GPU\n" in facts
    head, first, second, end = rows.splitlines()
    assert (
        head.split() == ["claim", "ours", "peer", "theirs", "ratio", "mark", "met"] and end == "```"
    )
    assert first.split()[-4:] == ["ms", "0.75x", "<1x", "yes"]
    assert second.split()[-4:] == ["GB/s", "0.5x", ">0.8x", "no"]


# --------------------------------------------------------------------------------------- with nvcc


@pytest.fixture(scope="module")
def cuda_module():
    if toolkit.nvcc() is None and not native.available("cuda"):  # another machine may have built it
        pytest.skip("there is no nvcc on this machine")
    return importlib.import_module("_ext.kernels_cuda")


def test_every_kernel_has_a_twin_with_its_prototype(cuda_module):
    assert set(cuda_module.__all__) == {f"{name}_cuda" for name in kernels.__all__}
    for name in kernels.__all__:
        ours = getattr(kernels, name).__doc__.split("\n\n")[0]
        twin = getattr(cuda_module, f"{name}_cuda").__doc__.split("\n\n")[0]
        assert cuda_on_cpu.on_cpu(twin).replace("_cuda(", "(").replace("( ", "(") == ours.replace(
            "( ", "("
        )
    assert {f"{n}_{e}_cuda" for n in native.FUNCTIONS for e in DTYPES} <= set(cuda_module.__all__)


def test_tensors_of_the_cpu_are_refused(cuda_module):
    with pytest.raises(TypeError, match=r"'boxes': expected .* on a CUDA device.*\.to\('cuda'\)"):
        cuda_module.nms_float_cuda(B, S[:3], 0.5, 0, L)


def test_it_needs_no_driver_and_no_cuda_library(cuda_module):
    (library,) = Path(cuda_module.__file__).parent.glob("_kernels_cuda*.so")
    undefined = elf.symbols(library).undefined
    assert "THCudaTensor_data" in undefined
    assert not [name for name in undefined if name.startswith(("cu", "__cuda"))]


# --------------------------------------------------------------------------------------- on a GPU

needs_gpu = pytest.mark.skipif(
    not (torch.cuda.is_available() and native.available("cuda")),
    reason="there is no GPU for torch, or _ext.kernels_cuda is not built",
)


@needs_gpu
@pytest.mark.parametrize("ending", ALL_DTYPES)
def test_gpu_every_function_computes_what_its_twin_does(cuda_module, ending):
    dtype = ALL_DTYPES[ending]
    compare_all(cuda_module, cuda_calls.floating(dtype), f"_{ending}", dtype, "cuda")


@needs_gpu
def test_gpu_the_functions_of_other_types_too(cuda_module):
    compare_all(cuda_module, cuda_calls.others(), "", torch.float32, "cuda")


def on_gpu(case):
    return case._replace(
        inputs=[x.detach().cuda().requires_grad_(x.requires_grad) for x in case.inputs]
    )


@needs_gpu
@pytest.mark.parametrize("dtype", DTYPES.values())
@pytest.mark.parametrize("name", [n for n in NAMES if not n.startswith("frozen_bn")])
def test_gpu_operators(name, dtype):
    case = (differentiable(dtype) | selections(dtype))[name]
    found = [x.cpu() for x in results(on_gpu(case))]
    torch.testing.assert_close(found, results(case), rtol=1e-4, atol=TOLERANCE[dtype] * 10)


@needs_gpu
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gpu_a_model_and_its_gradients(layout):
    assert_model_is_torchs("cuda", layout)


def test_the_model_that_a_gpu_is_asked_for():
    assert_model_is_torchs("cpu", torch.contiguous_format)


def assert_model_is_torchs(device, layout):
    """A small ResNet with the kernels and without, in double precision, which convolutions do not round to TF32."""
    torch.manual_seed(0)
    stages = [StageSpec(1, 1, True), StageSpec(2, 1, True)]
    model = ResNet(stages, width_per_group=4, stem_out_channels=8, res2_out_channels=16)
    model = model.double().to(device, memory_format=layout)
    images = torch.randn(2, 3, 32, 48, dtype=torch.float64).to(device, memory_format=layout)
    parameters = [p for p in model.parameters() if p.requires_grad]

    def computed():
        outputs = model(images)
        return [*outputs, *torch.autograd.grad(outputs[-1].square().sum(), parameters)]

    found = computed()
    with native.plain_torch():
        torch.testing.assert_close(found, computed(), rtol=1e-9, atol=1e-9)


@needs_gpu
def test_gpu_opcheck():
    x, rois = torch.rand(2, 3, 8, 9).cuda(), torch.tensor([[1.0, 1, 1, 5, 6]]).cuda()
    scale = torch.rand(3).cuda()
    for operator, arguments in [
        ("roi_align", (x.requires_grad_(), rois, 1.0, 2, 2, 0, False)),
        ("roi_pool", (x, rois, 1.0, 2, 2)),
        ("deform_roi_pooling", (x, rois, torch.rand(1, 2, 2, 2).cuda(), 1.0, [3, 1, 2, 2, 4], 0.1)),
        ("frozen_bn", (x, scale, scale, None, True)),
        ("box_iou", (torch.rand(3, 4).cuda(), torch.rand(2, 4).cuda(), False)),
        ("focal_loss", (x, torch.rand_like(x), 0.5, 2.0)),
    ]:
        torch.library.opcheck(getattr(torch.ops.resnet, operator).default, arguments)


@needs_gpu
def test_gpu_the_current_stream_and_a_graph(cuda_module):
    x, scale = torch.rand(4, 8, 5, 6).cuda(), torch.full((8,), 2.0).cuda()
    bias = torch.zeros(8).cuda()
    call = [x, scale, bias, cuda_module._ffi.NULL, 0, x]
    cuda_module.frozen_bn_forward_float_cuda(*call)  # the first launch loads the kernels
    torch.cuda.synchronize()
    want = x.cpu() * 2
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        torch.cuda._sleep(200_000_000)  # a tenth of a second
        cuda_module.frozen_bn_forward_float_cuda(*call)
        assert not stream.query()  # nobody waited
    stream.synchronize()
    torch.testing.assert_close(x.cpu(), want)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        cuda_module.frozen_bn_forward_float_cuda(*call)
    graph.replay()
    graph.replay()
    torch.testing.assert_close(x.cpu(), want * 4)


@needs_gpu
def test_gpu_more_elements_than_an_int_counts(cuda_module):
    """In 64 bits, and in more blocks than other tests need."""
    if torch.cuda.mem_get_info()[0] < 16 << 30:
        pytest.skip("it takes 16 GB of a GPU's memory")
    half = (1 << 30) + 512
    x, scale = torch.ones(1, 2, 1, half, device="cuda"), torch.tensor([2.0, 3.0], device="cuda")
    cuda_module.frozen_bn_forward_float_cuda(x, scale, scale, cuda_module._ffi.NULL, 0, x)
    assert x[0, 0].eq(4).all() and x[0, 1].eq(6).all()
    del x
    a, b = torch.ones(2 * half, dtype=torch.uint8, device="cuda"), scale[:1].byte()
    out = torch.empty_like(a)
    cuda_module.broadcast_add_uint8_cuda(a, b, out)
    assert out.eq(3).all()
    del a, out
    torch.cuda.empty_cache()


@needs_gpu
def test_gpu_images():
    image = torch.randint(0, 256, (30, 40, 3), dtype=torch.uint8)
    mean, std = [100.0, 110.0, 120.0], [2.0, 3.0, 4.0]
    on_gpu = data_ops.normalize_image(image.cuda(), mean, std, reverse_channels=True)
    assert torch.equal(
        on_gpu.cpu(), data_ops.normalize_image(image, mean, std, reverse_channels=True)
    )
    places = torch.empty(3, 24, 32), torch.empty(3, 24, 32).cuda()
    for place in places:
        data_ops.prepare_image(image.to(place.device), place, (21, 28), mean=mean, std=std)
    torch.testing.assert_close(places[1].cpu(), places[0], rtol=0, atol=1e-3)
