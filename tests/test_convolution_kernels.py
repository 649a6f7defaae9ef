"""The convolutions of _ext.convolution against torch's in double precision, with vectors of either length."""

from __future__ import annotations

import importlib
import io
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from ffi_ext import NativeError, create_extension

shipped = pytest.importorskip("_ext.convolution", reason="run `python build_ffi.py` first")
if not shipped.convolution_lanes():
    pytest.skip("this processor has neither AVX-512 nor AVX2 with FMA", allow_module_level=True)

from resnet import ResNet, StageSpec, convolution_kernels  # noqa: E402
from resnet.convolution_kernels import PointwiseConvolution, WinogradConvolution  # noqa: E402
from resnet.convolutions import Geometry  # noqa: E402
from resnet.fuse import implementations_of  # noqa: E402
from tests.operators import by_threads  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
LAST = torch.channels_last
PLAIN = Geometry((1, 1), (1, 1), (1, 1), 1)
BARE = PLAIN._replace(padding=(0, 0))


@pytest.fixture(scope="module", params=[16, 8])
def module(request, tmp_path_factory):
    """Compiled for vectors of so many floats; 16 is what is shipped."""
    if request.param == 16:
        if shipped.convolution_lanes() < 16:
            pytest.skip("this processor has no AVX-512")
        yield shipped
        return
    folder = tmp_path_factory.mktemp("of_8")
    create_extension(
        "of_8.narrow",
        headers=[str(ROOT / "include" / "convolution.h")],
        sources=[str(ROOT / "src" / name) for name in ("winograd.c", "pointwise.c")],
        include_dirs=[str(ROOT / "include"), str(ROOT / "src")],
        define_macros=[("MOST_LANES", "8")],
        extra_compile_args=["-fopenmp", "-ffp-contract=fast"],
        extra_link_args=["-fopenmp"],
        relative_to=str(folder / "build.py"),
        verbose=False,
    ).build()
    sys.path.insert(0, str(folder))
    yield importlib.import_module("of_8.narrow")
    sys.path.remove(str(folder))


def winograd(module, x, weight, bias, residual=None, padding=(1, 1), relu=False, out=None):
    prepared = torch.empty(0)
    module.winograd_prepare(weight, prepared)
    if out is None:
        shape = F.conv2d(x[:, :1], weight[:, :1], padding=padding).shape
        out = torch.empty(shape).contiguous(memory_format=LAST)
    null = module._ffi.NULL
    residual = null if residual is None else residual
    module.winograd_convolution(x, prepared, bias, residual, *padding, int(relu), out)
    return out


def layer(n, c, o, h, w):
    generator = torch.Generator().manual_seed(n + c + o + h + w)
    x, weight, bias = (
        torch.randn(s, generator=generator) for s in ((n, c, h, w), (o, c, 3, 3), (o,))
    )
    return x.contiguous(memory_format=LAST), weight / (3 * c**0.5), bias


def close(ours, theirs, tolerance=3e-6):
    assert ours.shape == theirs.shape
    assert float((ours - theirs).abs().max() / theirs.abs().max()) <= tolerance


# Sizes that leave rests of tiles, of a microkernel's rows, and of a chunk.
SHAPES = [
    (1, 64, 64, 56, 56, (1, 1)),
    (2, 16, 32, 7, 9, (1, 1)),
    (1, 32, 64, 3, 3, (0, 0)),
    (3, 48, 96, 14, 13, (1, 0)),
    (1, 16, 32, 1, 1, (1, 1)),
    (2, 16, 32, 9, 5, (2, 2)),
    (1, 64, 32, 77, 90, (0, 2)),
    (4, 256, 256, 14, 14, (1, 1)),
    *[(1, 16, 32, 4, 4 * tiles, (1, 1)) for tiles in range(1, 20)],
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_winograd(module, shape):
    *sizes, padding = shape
    x, weight, bias = layer(*sizes)
    expected = F.conv2d(x.double(), weight.double(), bias.double(), padding=padding)
    close(winograd(module, x, weight, bias, padding=padding), expected)
    residual = torch.randn(expected.shape).contiguous(memory_format=LAST)
    whole = (expected + residual).relu()
    close(winograd(module, x, weight, bias, residual, padding, True), whole)
    # into the memory of what is added, and with gaps between rows, columns and images
    wide = torch.zeros(*(n + 2 for n in whole.shape)).contiguous(memory_format=LAST)
    place = wide[1:-1, 1:-1, 1:-1, 1:-1].copy_(residual)
    apart = torch.empty(*(n + 3 for n in x.shape)).contiguous(memory_format=LAST)
    moved = apart[1:-2, :-3, 2:-1, :-3].copy_(x)
    winograd(module, moved, weight, bias, place, padding, True, out=place)
    close(place, whole)
    place.zero_()
    assert not wide.any()  # nothing beside it was written to


def pointwise(module, x, weight, bias, residual=None, relu=False, out=None):
    prepared = torch.empty(0)
    module.pointwise_prepare(weight, prepared)
    if out is None:
        out = torch.empty(len(x), len(weight), *x.shape[2:]).contiguous(memory_format=LAST)
    residual = module._ffi.NULL if residual is None else residual
    module.pointwise_convolution(x, prepared, bias, residual, int(relu), out)
    return out


@pytest.mark.parametrize(
    "shape",
    [
        *[(1, 16, 32, 1, pixels) for pixels in range(1, 32)],
        (2, 48, 96, 13, 17),
        (1, 512, 64, 30, 41),  # more pixels than the second-level cache holds
        (1, 64, 512, 90, 70),
        (3, 2048, 32, 7, 7),
    ],
    ids=str,
)
def test_pointwise(module, shape):
    x, weight, bias = layer(*shape)
    weight = weight[:, :, 0, 0]  # with gaps
    expected = F.conv2d(x.double(), weight[..., None, None].double(), bias.double())
    close(pointwise(module, x, weight, bias), expected)
    residual = torch.randn(expected.shape).contiguous(memory_format=LAST)
    whole = (expected + residual).relu()
    close(pointwise(module, x, weight, bias, residual, True), whole)
    pointwise(module, x, weight, bias, residual, True, out=residual)
    close(residual, whole)


def test_pointwise_writes_nothing_beside_its_result(module):
    x, weight, bias = layer(1, 16, 32, 5, 5)
    room = torch.full((3, 5, 5, 32), 7.0)
    out = room[1:2].permute(0, 3, 1, 2)
    close(
        pointwise(module, x, weight[:, :, 1, 1], bias, out=out),
        F.conv2d(x.double(), weight[:, :, 1:2, 1:2].double(), bias.double()),
    )
    assert (room[[0, 2]] == 7).all()


def test_no_result_depends_on_threads(module):
    for sizes in [(1, 64, 64, 30, 30), (2, 32, 32, 100, 90), (1, 1024, 64, 7, 7)]:
        x, weight, bias = layer(*sizes)
        for compute, w in [(winograd, weight), (pointwise, weight[..., 0, 0])]:
            one, *others = by_threads(partial(compute, module, x, w, bias), 1, 2, 5)
            assert all(torch.equal(one, other) for other in others)


def test_nan_and_infinity_stay_where_they_are(module):
    """In the tile's 4 x 4 outputs at most, as NaN: a tile's values are mixed."""
    x, weight, bias = layer(1, 16, 32, 24, 24)
    clean = winograd(module, x, weight, bias, relu=True)
    x[0, 3, 10, 10] = float("nan")
    spoilt = winograd(module, x, weight, bias, relu=True)
    assert spoilt[0, :, 9:12, 9:12].isnan().all()
    changed = (spoilt != clean).any(1)[0].nonzero()
    assert changed.min() >= 8 and changed.max() < 16

    assert pointwise(module, x, weight[..., 0, 0], bias, relu=True)[0, :, 10, 10].isnan().all()


def test_no_images(module):
    x, weight, bias = layer(2, 16, 32, 8, 8)
    assert winograd(module, x[:0], weight, bias).shape == (0, 32, 8, 8)
    assert pointwise(module, x[:0], weight[..., 0, 0], bias).shape == (0, 32, 8, 8)


def test_wrong_arguments(module):
    x, weight, bias = layer(1, 16, 32, 8, 8)
    with pytest.raises(NativeError, match=r"weight must be .* got \[32 x 16 x 3 x 2\]"):
        winograd(module, x, weight[..., :2], bias)
    with pytest.raises(NativeError, match="O a multiple of 32 and C of 16"):
        winograd(module, x, weight[:31], bias)
    with pytest.raises(NativeError, match=r"channels_last.*strides of 64 for channels"):
        winograd(module, x.contiguous(), weight, bias)
    with pytest.raises(NativeError, match=r"bias must be \(32\)"):
        winograd(module, x, weight, bias[:31])
    with pytest.raises(NativeError, match=r"output must be \(1, 32, 8, 8\)"):
        winograd(module, x, weight, bias, out=torch.empty(1, 32, 8, 8))
    with pytest.raises(NativeError, match="residual must have output's shape"):
        winograd(module, x, weight, bias, x)
    square, kernel = layer(1, 32, 32, 8, 8)[:2]
    with pytest.raises(NativeError, match="memory of its own, got input's"):
        winograd(module, square, kernel, bias, out=square)
    with pytest.raises(NativeError, match="memory of its own, got input's"):
        pointwise(module, square, kernel[..., 0, 0], bias, out=square)
    with pytest.raises(NativeError, match="pad_width must be 0 .. 2, got 3"):
        winograd(module, x, weight, bias, padding=(1, 3))
    with pytest.raises(NativeError, match="input must be 3 x 3 with its padding"):
        winograd(module, x[:, :, :2], weight, bias, padding=(0, 0), out=x)
    with pytest.raises(NativeError, match="prepared must be what winograd_prepare made"):
        module.winograd_convolution(x, weight, bias, module._ffi.NULL, 1, 1, 0, x)


def test_wrong_arguments_of_pointwise(module):
    x, weight, bias = layer(1, 16, 32, 8, 8)
    plain = weight[..., 0, 0]
    with pytest.raises(NativeError, match=r"weight must be \(O, C\).* got \[32 x 16 x 3 x 3\]"):
        pointwise(module, x, weight, bias)
    with pytest.raises(NativeError, match="O a multiple of 32 and C of 16"):
        pointwise(module, x, plain[:, :15], bias)
    for wrong in (x.contiguous(), x[:, :, :, ::2], layer(1, 32, 32, 8, 8)[0]):
        with pytest.raises(NativeError, match=r"input must be \(N, 16, H, W\), channels_last"):
            pointwise(module, wrong, plain, bias, out=x)
    with pytest.raises(NativeError, match=r"bias must be \(32\)"):
        pointwise(module, x, plain, bias[:31])
    with pytest.raises(NativeError, match=r"output must be \(1, 32, 8, 8\), channels_last"):
        pointwise(module, x, plain, bias, out=torch.empty(1, 32, 8, 8))
    with pytest.raises(NativeError, match="residual must have output's shape"):
        pointwise(module, x, plain, bias, x)
    with pytest.raises(NativeError, match="prepared must be what pointwise_prepare made"):
        module.pointwise_convolution(x, plain, bias, module._ffi.NULL, 0, x)


def test_fused_models_take_them_and_compute_the_same():
    torch.manual_seed(0)
    specs = [StageSpec(1, 2, True), StageSpec(2, 2, True)]
    model = ResNet(specs, width_per_group=32, stem_out_channels=32, res2_out_channels=64).eval()
    fused = model.fuse()
    names = implementations_of(fused)
    for way, some in [
        ("winograd", ["layer1.0.conv2", "layer1.1.conv2", "layer2.1.conv2"]),
        ("pointwise", ["layer1.0.conv1", "layer1.0.downsample.0", "layer2.1.conv3"]),
    ]:
        assert {names[name] for name in some} == {way}
    assert not {names["stem.conv1"], names["layer2.0.conv1"]} & {"winograd", "pointwise"}
    with torch.no_grad():
        for shape in [(2, 3, 96, 128), (1, 3, 33, 50), (1, 3, 32, 32), (0, 3, 64, 64)]:
            images = torch.randn(shape)
            double = model.double()(images.double())
            model.float()
            for ours, theirs in zip(fused(images), double, strict=True):
                if len(images):
                    close(ours, theirs, 2e-6)


class NoVectors:
    """The module on a processor that it has no vectors for."""

    convolution_lanes = staticmethod(lambda: 0)


@pytest.mark.parametrize("there", [None, NoVectors()], ids=["no module", "no vectors"])
def test_a_fused_model_that_was_saved_computes_where_they_are_not(monkeypatch, there):
    model = ResNet([StageSpec(1, 1, True)], stem_out_channels=32, res2_out_channels=64).eval()
    file = io.BytesIO()
    torch.save(model.fuse(), file)
    monkeypatch.setattr(convolution_kernels, "_kernels", there)
    fused = torch.load(io.BytesIO(file.getvalue()), weights_only=False)
    assert {"winograd", "pointwise"} <= set(implementations_of(fused).values())
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        close(fused(images)[0], model(images)[0])


@pytest.mark.parametrize("there", [None, NoVectors()], ids=["no module", "no vectors"])
def test_without_them_others_compute(monkeypatch, there):
    monkeypatch.setattr(convolution_kernels, "_kernels", there)
    model = ResNet([StageSpec(1, 1, True)], stem_out_channels=32, res2_out_channels=64).eval()
    fused, images = model.fuse(), torch.randn(1, 3, 64, 64)
    assert not set(implementations_of(fused).values()) & {"winograd", "pointwise"}
    with torch.no_grad():
        close(fused(images)[0], model(images)[0])


def test_few_tiles_are_computed_otherwise(monkeypatch):
    x, weight, bias = layer(1, 32, 32, 4, 24)
    way = WinogradConvolution(weight, bias, PLAIN)
    sizes = []
    otherwise = way.otherwise
    monkeypatch.setattr(
        way, "otherwise", lambda x, *rest: sizes.append(x.shape) or otherwise(x, *rest)
    )
    expected = F.conv2d(x.double(), weight.double(), bias.double(), padding=1)
    close(way(x, None, False, False), expected)
    many = x.repeat(2, 1, 1, 1)
    close(way(many, None, False, False), expected.repeat(2, 1, 1, 1))
    assert sizes == [x.shape]
    kept = expected.float().repeat(2, 1, 1, 1).contiguous(memory_format=LAST)
    copy = kept.clone(memory_format=torch.preserve_format)
    close(way(many, kept, True, False), (2 * expected).relu().repeat(2, 1, 1, 1))
    assert torch.equal(kept, copy)
    assert way(many, kept, True, True) is kept


@pytest.mark.parametrize(
    ("way", "shape", "settings"),
    [
        (WinogradConvolution, (32, 16, 3, 3), {"stride": (2, 2)}),
        (WinogradConvolution, (32, 16, 3, 3), {"dilation": (2, 2)}),
        (WinogradConvolution, (32, 16, 3, 3), {"groups": 2}),
        (WinogradConvolution, (32, 16, 3, 3), {"padding": (3, 1)}),
        (WinogradConvolution, (32, 16, 1, 1), {}),
        (WinogradConvolution, (24, 16, 3, 3), {}),
        (WinogradConvolution, (32, 24, 3, 3), {}),
        (PointwiseConvolution, (32, 16, 1, 1), {"stride": (2, 2)}),
        (PointwiseConvolution, (32, 16, 1, 1), {"padding": (0, 1)}),
        (PointwiseConvolution, (32, 16, 1, 1), {"groups": 2}),
        (PointwiseConvolution, (32, 16, 3, 3), {}),
        (PointwiseConvolution, (24, 16, 1, 1), {}),
        (PointwiseConvolution, (32, 24, 1, 1), {}),
    ],
)
def test_what_is_not_supported(way, shape, settings):
    side, plain = (3, PLAIN) if way is WinogradConvolution else (1, BARE)
    good = torch.ones(32, 16, side, side)
    assert way.supports(good, plain)
    assert not way.supports(good.double(), plain)
    assert not way.supports(torch.ones(shape), plain._replace(**settings))


@pytest.mark.parametrize(
    ("prepare", "shape"), [("winograd", (32, 16, 3, 3)), ("pointwise", (32, 16))]
)
def test_weights_are_not_prepared_in_place(module, prepare, shape):
    weight = torch.rand(shape)
    before = weight.clone()
    with pytest.raises(NativeError, match="must be no input"):
        getattr(module, f"{prepare}_prepare")(weight, weight)
    assert torch.equal(weight, before)
