"""Fused models: the same features as the models they are made from, and what they refuse."""

from __future__ import annotations

import contextlib
import copy
import io
from functools import partial

import pytest
import torch
from torch.autograd import forward_ad
from torch.nn.utils import prune

pytest.importorskip("_ext.kernels", reason="run `python build_ffi.py` first")

from resnet import (  # noqa: E402
    BLOCKS,
    NORMS,
    Config,
    Deformable,
    ResNet,
    ResNetHead,
    StageSpec,
    build_backbone,
    build_classifier,
    load_weights,
)
from resnet.convolutions import (  # noqa: E402
    CONVOLUTIONS,
    Geometry,
    OneDnnConvolution,
    TorchConvolution,
    onednn_works,
)
from resnet.fuse import fold, fuse, implementations_of  # noqa: E402
from resnet.norms import group_norm  # noqa: E402

SPECS = [StageSpec(1, 2, True), StageSpec(2, 2, True)]
# res2_out_channels equals the stem's with basic blocks, so that layer1.0 has no downsample
SMALL = dict(width_per_group=8, stem_out_channels=32, res2_out_channels=32)


def randomize(model):
    """Weights and statistics that are not those of an untrained model."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in model.modules():
            if hasattr(module, "running_var"):
                for field, low in [("weight", 0.5), ("running_var", 0.5), ("running_mean", -0.5)]:
                    value = getattr(module, field)
                    value.copy_(torch.rand(value.shape, generator=generator) + low)
                module.bias.copy_(torch.randn(module.bias.shape, generator=generator) * 0.1)
    return model.eval()


def close(ours, theirs, tolerance=2e-6):
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape
        error = float((a - b).abs().max() / b.abs().max()) if b.numel() else 0.0
        assert error <= tolerance


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("way", ["onednn", "torch"])
def test_fused_features_are_the_models(block, way):
    if way == "onednn" and not onednn_works():
        pytest.skip("this torch has no prepared oneDNN convolutions")
    torch.manual_seed(0)
    kind = block.partition("With")[2]
    model = randomize(
        ResNet(
            SPECS,
            block=block,
            stem=f"StemWith{kind}",
            norms=NORMS | {"GN": partial(group_norm, num_groups=8)},
            **SMALL,
        )
    )
    fused = model.fuse(preference=[way])
    every = {n.removesuffix(".weight") for n, p in model.named_parameters() if p.dim() == 4}
    assert implementations_of(fused) == {} if kind == "GN" else dict.fromkeys(every, way)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        # several sizes, each twice, and none: what is prepared for one does not serve another
        for shape in [(2, 3, 64, 48), (1, 3, 33, 50), (0, 3, 64, 48), (1, 3, 64, 64)] * 2:
            images = torch.randn(shape, generator=generator)
            before = images.clone()
            features = fused(images)
            close(features, model(images))
            assert torch.equal(images, before)
    # the double-precision model is the formula itself
    double = model.double()
    with torch.no_grad():
        close([f.double() for f in fused(images)], double(images.double()))
        close(double.fuse()(images.double()), double(images.double()), 1e-13)


def test_hooks_that_change_something_still_do():
    """Also that of torch's prune, which computes the weights."""
    model = randomize(ResNet(SPECS, **SMALL)).requires_grad_(False)
    model.layer1[0].conv2.register_forward_hook(lambda module, x, y: 2 * y)
    model.layer1[0].bn1.register_forward_pre_hook(lambda module, x: 3 * x[0])
    pruned = model.layer2[0].conv2
    prune.random_unstructured(pruned, "weight", 0.5)
    pruned.weight_orig *= 2  # as an optimizer's step leaves it
    fused, images = model.fuse(), torch.randn(2, 3, 32, 32)
    names = implementations_of(fused)
    assert "layer1.0.conv3" in names and "layer1.0.conv2" not in names
    close(fused(images), model(images))


def test_a_pruned_model_that_trains():
    """Its masked weights have a history, which deepcopy refuses; the model keeps it."""
    model = randomize(ResNet(SPECS, **SMALL))
    pruned = model.layer2[0].conv2
    prune.l1_unstructured(pruned, "weight", 0.5)
    images = torch.randn(2, 3, 32, 32)
    expected = model(images)
    close(model.fuse()(images), [feature.detach() for feature in expected])
    expected[-1].sum().backward()
    kept = pruned.weight_orig.grad != 0
    assert kept.any() and torch.equal(kept, kept & pruned.weight_mask.bool())


def test_a_fused_models_weights_are_in_no_state_dict():
    model = build_classifier("R-18", 3)
    fused = model.fuse()
    assert list(fused.state_dict()) == ["fc.weight", "fc.bias"]
    with pytest.raises(
        ValueError, match="load_weights: the model is fused, .* 100 of the source's"
    ):
        load_weights(fused, model.state_dict())
    head = {"fc.bias": torch.ones(3), "anchors": torch.ones(9, 4)}  # something of others beside it
    assert len(load_weights(fused, head).matched) == 1


def test_features_stay_what_they_were():
    """The next image does not write to the features of the one before."""
    fused = randomize(ResNet(SPECS, **SMALL)).fuse()
    with torch.no_grad():
        first = fused(torch.randn(1, 3, 32, 32))
        copies = [feature.clone() for feature in first]
        fused(torch.randn(1, 3, 32, 32))
    for a, b in zip(first, copies, strict=True):
        assert torch.equal(a, b)


def test_copies_and_pickles_of_a_model_that_was_used():
    fused = randomize(ResNet(SPECS, **{**SMALL, "width_per_group": 32})).fuse()
    images, file = torch.randn(2, 3, 64, 64), io.BytesIO()
    with torch.no_grad():
        features = fused(images)
        torch.save(fused, file)
        file.seek(0)
        for other in (copy.deepcopy(fused), torch.load(file, weights_only=False)):
            for ours, theirs in zip(other(images), features, strict=True):
                assert torch.equal(ours, theirs)


def test_a_heads_input_stays_what_it_was():
    torch.manual_seed(0)
    head = ResNetHead([StageSpec(1, 1, True)], block="BasicBlockWithFixedBatchNorm",
                      res2_out_channels=64, stride_init=1)  # fmt: skip
    head.layer1[0].downsample = None
    head.layer1[0].conv1 = torch.nn.Conv2d(16, 64, 3, padding=1, bias=False)
    head.layer1[0].conv2 = torch.nn.Conv2d(64, 16, 3, padding=1, bias=False)
    head.layer1[0].bn2 = type(head.layer1[0].bn1)(16)
    randomize(head)
    x = torch.randn(1, 16, 8, 8).contiguous(memory_format=torch.channels_last)
    before = x.clone()
    with torch.no_grad():
        close([head.fuse()(x)], [head(x)])
    assert torch.equal(x, before)


class Twice(torch.nn.Module):
    """A model of one's own, which still needs what its block has added to its result."""

    def __init__(self, *before, stage=torch.nn.Sequential):
        super().__init__()
        self.block = BLOCKS["BasicBlockWithFixedBatchNorm"](16, 16, 16)
        if before:
            self.block = stage(*before, self.block)

    def forward(self, x):
        return x + self.block(x)


def repeated():
    """One block several times in a stage, with the same weights."""
    block = Twice().block
    return torch.nn.Sequential(block, block, block)


class Dense(torch.nn.Sequential):
    def forward(self, x):
        for part in self:
            x = x + part(x)
        return x


@pytest.mark.parametrize(
    "make",
    [
        Twice,
        lambda: Twice().block,
        lambda: Twice(torch.nn.Dropout()),
        lambda: Twice(Twice().block, stage=Dense),
        repeated,
    ],
)
def test_the_input_of_a_block_outside_of_a_stage_stays_what_it_was(make):
    torch.manual_seed(0)
    model = randomize(make()).eval()
    x = torch.randn(1, 16, 8, 8).contiguous(memory_format=torch.channels_last)
    before = x.clone()
    with torch.no_grad():
        close([fuse(model)(x)], [model(before)])
    assert torch.equal(x, before)


@pytest.mark.parametrize("body", ["R-50-FPN", "R-50-FPN-RETINANET"])
@pytest.mark.parametrize("gn", [False, True])
def test_pyramids(body, gn):
    config = Config.from_dict(
        {
            "MODEL.BACKBONE.CONV_BODY": body,
            "MODEL.RESNETS.RES2_OUT_CHANNELS": 32,
            "MODEL.RESNETS.WIDTH_PER_GROUP": 8,
            "MODEL.RESNETS.BACKBONE_OUT_CHANNELS": 32,
            "MODEL.FPN.USE_GN": gn,
        }
    )
    torch.manual_seed(0)
    backbone = randomize(build_backbone(config))
    fused = backbone.fuse()
    assert fused.feature_strides == backbone.feature_strides
    names = implementations_of(fused)
    assert ("fpn.fpn_inner2" in names) == (not gn)
    assert ("fpn.top_blocks.p6" in names) == body.endswith("RETINANET")
    with torch.no_grad():
        for shape in [(1, 3, 64, 96), (1, 3, 70, 90)]:
            images = torch.randn(shape)
            # a norm over a few features makes rounding larger
            close(fused(images), backbone(images), 2e-5 if gn else 4e-6)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("way", ["export", "compile", "jit"])
def test_who_follows_a_fused_model_sees_torchs_operators(way):
    model = randomize(ResNet(SPECS[:1], **{**SMALL, "width_per_group": 32}))
    fused, images = model.fuse(), torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        if way == "export":
            followed = torch.export.export(fused, (images,)).module()
        elif way == "jit":
            followed = torch.jit.trace(fused, images)
        else:
            followed = torch.compile(fused, fullgraph=True, backend="aot_eager")
        close(followed(images), fused(images))


def test_a_convolution_of_ones_own_takes_the_place_of_one():
    calls = []

    @CONVOLUTIONS.register("of the test")
    class Own(TorchConvolution):
        @staticmethod
        def supports(weight, geometry):
            return weight.shape[2:] == (3, 3)

        def __call__(self, *arguments):
            calls.append(self.weight.shape)
            return super().__call__(*arguments)

    try:
        model = randomize(ResNet(SPECS, **SMALL))
        fused = model.fuse(implementations={"layer1.1.conv2": "of the test"})
        images = torch.randn(1, 3, 32, 32)
        with torch.no_grad():
            close(fused(images), model(images))
        assert calls == [(8, 8, 3, 3)]
        assert implementations_of(fused)["layer1.1.conv2"] == "of the test"
        with pytest.raises(
            ValueError, match=r"'of the test' does not support weights \(8, 32, 1, 1\)"
        ):
            model.fuse(implementations={"layer1.1.conv1": "of the test"})
    finally:
        del CONVOLUTIONS["of the test"]


def test_padding_that_differs_between_sides_stays():
    assert fold(torch.nn.Conv2d(16, 32, 3, padding="same"), None, None, None) is None


@pytest.mark.parametrize("name", ["winograd", "pointwise", "onednn", "torch"])
@pytest.mark.parametrize("residual", ["none", "kept", "overwritten"])
def test_a_relu_keeps_nans(name, residual):
    size = 1 if name == "pointwise" else 3
    weight, bias = torch.randn(32, 16, size, size), torch.randn(32)
    geometry = Geometry((1, 1), (size // 2, size // 2), (1, 1), 1)
    if not CONVOLUTIONS[name].supports(weight, geometry):
        pytest.skip(f"there is no {name} here")
    x, other = torch.randn(1, 16, 16, 16), torch.randn(1, 32, 16, 16)
    x[0, 3, 8, 8] = float("nan")
    expected = torch.nn.functional.conv2d(x, weight, bias, padding=size // 2)
    if residual != "none":
        other[0, 1, 2, 2] = float("nan")
        expected = expected + other
    added = None if residual == "none" else other.contiguous(memory_format=torch.channels_last)
    way = CONVOLUTIONS[name](weight, bias, geometry)
    found = way(x, added, True, residual == "overwritten").isnan()
    spread = found & ~expected.isnan()
    assert not (expected.isnan() & ~found).any()
    assert not spread.any() or name == "winograd"  # in its tile of 4 x 4 outputs


def test_the_features_of_a_diverged_model_are_not_finite():
    model = randomize(ResNet(SPECS, **SMALL))
    with torch.no_grad():
        for spoilt in (model.stem.conv1.weight, model.layer2[0].conv2.weight):
            spoilt[0, 0, 0, 0] = float("nan")
            assert model.fuse()(torch.randn(1, 3, 64, 64))[-1].isnan().any()
            spoilt[0, 0, 0, 0] = 0


def test_large_results_are_the_same_by_onednn(monkeypatch):
    """Which lie in memory that is not the allocator's."""
    if not onednn_works():
        pytest.skip("this torch has no prepared oneDNN convolutions")
    x, weight, bias = torch.randn(2, 8, 9, 11), torch.randn(16, 8, 3, 3), torch.randn(16)
    way = OneDnnConvolution(weight, bias, Geometry((2, 1), (1, 0), (1, 2), 1))
    with torch.no_grad():
        expected = [way(x, None, relu, False) for relu in (False, True)]
        monkeypatch.setattr(OneDnnConvolution, "LARGE", 0)
        for relu, theirs in zip((False, True), expected, strict=True):
            ours = way(x, None, relu, False)
            assert torch.equal(ours, theirs) and ours.stride() == theirs.stride()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("geometry", [((1, 1), (1, 1), (1, 1), 1), ((2, 1), (1, 0), (1, 2), 2)])
def test_onednn_in_half_precision(dtype, geometry, monkeypatch):
    """Sums are of float32, rounded at most twice: before the addition of the residual, as torch does, and after it."""
    if not onednn_works(dtype):
        pytest.skip(f"no prepared oneDNN convolutions of {dtype} here")
    geometry, unit = Geometry(*geometry), torch.finfo(dtype).eps / 2
    weight, bias = torch.randn(16, 8 // geometry.groups, 3, 3).to(dtype), torch.randn(16).to(dtype)
    ours = OneDnnConvolution(weight, bias, geometry)
    exact = TorchConvolution(weight.double(), bias.double(), geometry)
    for shape, large in [((2, 8, 9, 11), ours.LARGE), ((1, 8, 7, 5), 0), ((0, 8, 9, 9), 0)]:
        monkeypatch.setattr(OneDnnConvolution, "LARGE", large)
        x = torch.randn(shape).to(dtype)
        residual = torch.randn(geometry.result(x, weight)).to(dtype)
        for other, overwrite in [(None, False), (residual, False), (residual.clone(), True)]:
            alone = exact(x.double(), None, False, False)
            expected = (alone if other is None else alone + residual.double()).relu()
            found = ours(x, other, True, overwrite)
            assert found.dtype == dtype
            rounding = unit * (expected if other is None else alone.abs() + expected)
            assert ((found.double() - expected).abs() <= 1.01 * rounding + 1e-4).all()


def test_a_fused_model_in_half_precision():
    model = randomize(ResNet(SPECS, **SMALL))
    images = torch.randn(2, 3, 64, 48)
    with torch.no_grad():
        expected = model(images)
        low = model.bfloat16()
        fused = low.fuse()
        found = fused(images.bfloat16())
    assert all(value.dtype == torch.bfloat16 for value in found)
    close([value.float() for value in found], expected, 3e-2)
    if onednn_works(torch.bfloat16):
        assert set(implementations_of(fused).values()) == {"onednn"}


def test_threads_do_not_meet_where_onednns_weights_are_kept():
    """What one thread looks through stays as it is while others prepare for images of other sizes."""
    if not onednn_works():
        pytest.skip("this torch has no prepared oneDNN convolutions")
    weight, bias = torch.randn(16, 8, 3, 3), torch.randn(16)
    way = OneDnnConvolution(weight, bias, Geometry((1, 1), (1, 1), (1, 1), 1))
    shapes = [torch.Size((1, 8, 5, width)) for width in (4, 5, 6, 7)]
    with torch.no_grad():
        for shape in shapes[:2]:
            way(torch.zeros(shape), None, False, False)
        for _, shape in zip(way.prepared, shapes[2:], strict=True):
            x = torch.randn(shape)
            theirs = torch.conv2d(x, weight, bias, padding=1)
            assert torch.allclose(way(x, None, False, False), theirs, atol=1e-5)
    assert list(way.prepared) == shapes[2:]


@contextlib.contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


CALLERS = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "default dtype": lambda: default_dtype(torch.float64),
    "default device": lambda: torch.device("meta"),
}


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("large", [0, OneDnnConvolution.LARGE])
def test_what_a_caller_has_set_changes_no_result(caller, large, monkeypatch):
    monkeypatch.setattr(OneDnnConvolution, "LARGE", large)  # results in memory of our own
    model = randomize(ResNet(SPECS, **{**SMALL, "width_per_group": 32}))
    images = torch.randn(1, 3, 96, 96)
    works = onednn_works()
    with torch.no_grad():
        fused = model.fuse()
        expected = fused(images)
        with CALLERS[caller]():
            onednn_works.cache_clear()
            assert onednn_works() == works
            again = model.fuse()
            assert implementations_of(again) == implementations_of(fused)
            features = [*fused(images), *again(images)]
    for found, wanted in zip(features, expected * 2, strict=True):
        assert found.dtype == torch.float32 and torch.equal(found, wanted)


def test_layers_that_are_not_fused_follow_autocast():
    """And give half precision to those that are."""
    deformable = [None, Deformable(True)]
    model = randomize(ResNet(SPECS, deformable=deformable, **SMALL))
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected, fused = model(images), model.fuse()
        with torch.autocast("cpu", torch.bfloat16):
            close(fused(images), expected, 3e-2)
            compiled = torch.compile(fused, fullgraph=True, backend="aot_eager")
            close(compiled(images), expected, 3e-2)


def test_what_fused_models_refuse():
    model = ResNet(SPECS, **SMALL)
    with pytest.raises(ValueError, match="no convolution 'layer1.0.conv9' to fuse; did you mean"):
        model.fuse(implementations={"layer1.0.conv9": "torch"})
    with pytest.raises(TypeError, match=r"a list of names, got 'onednn'; give \['onednn'\]"):
        model.fuse(preference="onednn")
    with pytest.raises(KeyError, match="no convolution 'onednm'; .*did you mean 'onednn'"):
        model.fuse(implementations={"layer1.0.conv1": "onednm"})
    with pytest.raises(KeyError, match="no convolution 'winogard'; .*did you mean 'winograd'"):
        model.fuse(preference=["torch", "winogard"])
    with pytest.raises(ValueError, match=r"preference must have one of .*onednn.* got \[\]"):
        model.fuse(preference=[])
    with pytest.raises(
        ValueError, match="stem.conv1: the convolution 'pointwise' does not support"
    ):
        model.fuse(preference=["pointwise"])
    other = ResNet(SPECS, block="BottleneckWithGN", **{**SMALL, "width_per_group": 32})
    for name in ("layer1.0.conv2", "layer1.0"):
        with pytest.raises(ValueError, match=f"no convolution '{name}' to fuse; .*the model has s"):
            other.fuse(implementations={name: "torch"})
    with pytest.raises(ValueError, match="no convolution 'a' to fuse; the model has none"):
        ResNet(
            SPECS, block="BottleneckWithGN", stem="StemWithGN", **{**SMALL, "width_per_group": 32}
        ).fuse(implementations={"a": "torch"})
    with pytest.raises(ValueError, match="'onednn' does not support .* torch.float64 .* torch"):
        model.double().fuse(preference=["onednn"])
    model.float()
    fused = model.fuse()
    for wrong in (
        torch.rand(1, 3, 32, 32).double(),
        torch.rand(3, 32, 32),
        torch.rand(1, 4, 32, 32),
    ):
        with pytest.raises(
            ValueError, match=r"expects x \(N, 3, H, W\) of torch.float32 on cpu, got"
        ):
            fused(wrong)
    images = torch.randn(1, 3, 32, 32, requires_grad=True)
    with pytest.raises(RuntimeError, match="a fused model computes no gradients"):
        fused(images)
    with forward_ad.dual_level(), pytest.raises(RuntimeError, match="or has a tangent"):
        fused(forward_ad.make_dual(images.detach(), images.detach()))
