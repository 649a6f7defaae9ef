"""The models in the ways that people run them: compiled, exported, in half precision, channels_last."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("_ext.kernels", reason="run `python build_ffi.py` first")

from resnet import (  # noqa: E402
    FPN,
    Config,
    Deformable,
    ResNet,
    ResNetClassifier,
    StageSpec,
    build_backbone,
    build_classifier,
)
from resnet.deformable import DeformableConvolution  # noqa: E402
from resnet.export import export_onnx, outputs_of  # noqa: E402
from resnet.ops import plain_torch  # noqa: E402

SPECS = [StageSpec(1, 1, True), StageSpec(2, 1, True)]
SMALL = dict(width_per_group=4, stem_out_channels=8, res2_out_channels=16)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return ResNet(SPECS, **SMALL).eval()


def close(ours, theirs, tolerance):
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        assert float((a - b).abs().max()) <= tolerance * float(b.abs().max())


@pytest.mark.parametrize("train", [False, True])
def test_compiles_as_one_graph(model, train):
    """fullgraph: a graph break is an error. The backend that needs no compiler shows that."""
    model.train(train)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    images = torch.randn(2, 3, 32, 48)
    with torch.set_grad_enabled(train):
        ours, theirs = compiled(images), model(images)
    close(ours, theirs, 1e-5)
    if train:
        parameters = list(model.parameters())
        for a, b in zip(
            torch.autograd.grad(ours[1].square().sum(), parameters),
            torch.autograd.grad(theirs[1].square().sum(), parameters),
            strict=True,
        ):
            assert (a - b).abs().max() <= 1e-4 * b.abs().max()


@pytest.mark.skipif(
    not hasattr(torch.export.Dim, "AUTO"), reason="torch before 2.6 has no export.Dim.AUTO"
)
def test_exports_for_any_size(model):
    sizes = {0: torch.export.Dim("n", min=1, max=8), 2: torch.export.Dim.AUTO}
    program = torch.export.export(model, (torch.randn(2, 3, 64, 64),), dynamic_shapes=(sizes,))
    images = torch.randn(3, 3, 96, 64)
    with torch.no_grad():
        close(program.module()(images), model(images), 1e-5)


@pytest.mark.parametrize("deformable", [None, Deformable(), Deformable(True, 2)])
def test_onnx_computes_the_same(tmp_path, deformable):
    for name in ("onnx", "onnxscript"):
        pytest.importorskip(name, reason=f"{name} is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    path = tmp_path / "model.onnx"
    torch.manual_seed(0)
    model = ResNet(SPECS, **SMALL, deformable=[None, deformable, None, None]).eval()
    for name, parameter in model.named_parameters():
        if ".offset." in name:  # which begin at 0
            torch.nn.init.normal_(parameter, std=0.05)
    export_onnx(model, torch.randn(1, 3, 64, 64), path)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_outputs()] == ["layer1", "layer2"]
    for shape in [(1, 3, 64, 64), (2, 3, 96, 64)]:
        images = torch.randn(shape)
        found = session.run(None, {"images": images.numpy()})
        with torch.no_grad():
            close([torch.from_numpy(value) for value in found], model(images), 1e-5)


def test_what_becomes_no_onnx(model, tmp_path):
    with pytest.raises(TypeError, match="expected a ResNet, .* got a Conv2d"):
        export_onnx(torch.nn.Conv2d(3, 3, 1), torch.randn(1, 3, 8, 8), tmp_path / "a.onnx")
    with pytest.raises(ValueError, match=r"expected images \(N, C, H, W\), got \(3, 64, 64\)"):
        export_onnx(model, torch.randn(3, 64, 64), tmp_path / "a.onnx")
    for name, expected in [("R-50-FPN", ["P2", "P3", "P4", "P5", "P6"]), ("R-50-C4", ["layer3"])]:
        with torch.device("meta"):
            backbone = build_backbone(Config.from_dict({"MODEL.BACKBONE.CONV_BODY": name}))
        assert outputs_of(backbone) == expected
    assert outputs_of(ResNetClassifier(SPECS, 3, **SMALL)) == ["logits"]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("layer1.0.conv1", {}),
        ("layer1.0.conv1", {"deformable": [None, Deformable(True, 2), None, None]}),
        ("layer1.0.bn1", {"block": "BottleneckWithBatchNorm"}),
    ],
)
def test_fx_takes_features_out_by_name(name, settings):
    torch.manual_seed(0)
    model = ResNet(SPECS, **{**SMALL, **settings}).eval()
    images, kept, layer = torch.randn(2, 3, 32, 48), {}, model.get_submodule(name)
    layer.register_forward_hook(lambda _, __, y: kept.update(y=y.clone()))
    with torch.no_grad():
        expected = model(images)
        layer._forward_hooks.clear()
        traced = torch.fx.symbolic_trace(model)
        assert all(map(torch.equal, traced(images), expected))
        (node,) = [n for n in traced.graph.nodes if n.target == name]
        (end,) = [n for n in traced.graph.nodes if n.op == "output"]
        end.args = ((node, *end.args[0]),)
        traced.recompile()
        # and not what comes after it made of it in place
        assert torch.equal(traced(images)[0], kept["y"])


def test_fx_traces_an_fpn_alone():
    fpn, features = (
        FPN([4, 0, 8], 8),
        [torch.randn(1, c, s, s) for c, s in ((4, 8), (6, 4), (8, 2))],
    )
    traced = torch.fx.symbolic_trace(fpn)
    assert all(map(torch.equal, traced(features), fpn(features)))


def test_vmap_takes_plain_torch(model):
    images = torch.randn(3, 2, 3, 32, 32)
    for recorded in (False, True):  # norms write in place where nothing is recorded
        with torch.set_grad_enabled(recorded), pytest.raises(RuntimeError, match="plain_torch"):
            torch.vmap(model)(images)
    with torch.no_grad(), plain_torch():
        for ours, theirs in zip(torch.vmap(model)(images), model(images[1]), strict=True):
            torch.testing.assert_close(ours[1], theirs)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(model, dtype):
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = model(images)
        half = copy.deepcopy(model).to(dtype)(images.to(dtype))
    assert all(value.dtype == dtype for value in half)
    close([value.float() for value in half], expected, 3e-2)
    if dtype == torch.bfloat16:
        before = {name: value.dtype for name, value in model.state_dict().items()}
        with torch.no_grad(), torch.autocast("cpu", dtype):
            amp = model(images)
        close([value.float() for value in amp], expected, 3e-2)
        # the original's norm turned its buffers into half precision for ever
        assert {name: value.dtype for name, value in model.state_dict().items()} == before
        assert set(before.values()) == {torch.float32}


def test_channels_last(model):
    images = torch.randn(2, 3, 64, 48)
    with torch.no_grad():
        expected = model(images)
        found = copy.deepcopy(model).to(memory_format=torch.channels_last)(
            images.contiguous(memory_format=torch.channels_last)
        )
    assert all(value.is_contiguous(memory_format=torch.channels_last) for value in found)
    close(found, expected, 2e-6)


@pytest.mark.parametrize("modulated", [False, True])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("stride_in_1x1", [True, False])
def test_deformable_stages_begin_as_plain_ones(modulated, groups, stride_in_1x1):
    """With offsets of zero a deformable convolution is the plain one, times 1/2 if modulated."""
    torch.manual_seed(0)
    settings = dict(SMALL, stride_in_1x1=stride_in_1x1)
    model = ResNet(SPECS, **settings).eval()
    deformable = [None, Deformable(modulated, groups)]
    other = ResNet(SPECS, deformable=deformable, **settings).eval()
    names = set(other.state_dict()) - set(model.state_dict())
    assert names == {
        f"layer2.0.conv2.{name}" for name in ("conv.weight", "offset.weight", "offset.bias")
    }
    assert other.layer2[0].conv2.offset.out_channels == (27 if modulated else 18) * groups
    state = dict(model.state_dict())
    weight = state.pop("layer2.0.conv2.weight") * (2 if modulated else 1)
    other.load_state_dict({**state, "layer2.0.conv2.conv.weight": weight}, strict=False)
    images = torch.randn(2, 3, 64, 48)
    with torch.no_grad():
        close(other(images), model(images), 1e-5)
        close(other.fuse()(images), model(images), 1e-5)
        assert other(images[:0])[1].shape == (0, 32, 8, 6)
    other(images)[1].square().sum().backward()
    assert other.layer2[0].conv2.offset.weight.grad.abs().max() > 0


@pytest.mark.parametrize("stride, dilation, groups", [(2, 1, 1), (1, 2, 4), (2, 3, 2)])
def test_a_deformable_convolution_begins_as_the_plain_one(stride, dilation, groups):
    settings = dict(stride=stride, dilation=dilation, groups=groups)
    layer = DeformableConvolution(8, Deformable(), **settings)
    x = torch.randn(2, 8, 11, 9)
    with torch.no_grad():
        plain = F.conv2d(x, layer.conv.weight, padding=dilation, **settings)
        close([layer(x)], [plain], 1e-5)


@pytest.mark.parametrize("images", [1, 2])
def test_offsets_are_no_view(images):
    """Inductor fails on one that backward needs, where sizes are dynamic; to compile here would take a minute."""
    layer = DeformableConvolution(8, Deformable(True, 2))
    seen = []
    layer.conv.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    layer(torch.randn(images, 8, 5, 6))
    ((_, offset, mask),) = seen
    assert not offset._is_view() and not mask._is_view()


def test_deformable_configuration():
    values = {
        "MODEL.BACKBONE.CONV_BODY": "R-50-FPN",
        "MODEL.RESNETS.STAGE_WITH_DCN": (False, False, False, True),
        "MODEL.RESNETS.WITH_MODULATED_DCN": True,
        "MODEL.RESNETS.DEFORMABLE_GROUPS": 2,
    }
    with torch.device("meta"):
        state = build_backbone(Config.from_dict(values)).state_dict()
    offsets = {name: tuple(value.shape) for name, value in state.items() if "offset" in name}
    assert offsets["body.layer4.2.conv2.offset.weight"] == (54, 512, 3, 3)
    assert all(".layer4." in name for name in offsets) and len(offsets) == 6
    values["MODEL.RESNETS.DEFORMABLE_GROUPS"] = 3
    with pytest.raises(
        ValueError, match="MODEL.RESNETS.DEFORMABLE_GROUPS must divide the layer's 512"
    ):
        build_backbone(Config.from_dict(values))


def test_classifiers():
    torch.manual_seed(0)
    classifier = ResNetClassifier(SPECS, num_classes=5, **SMALL).eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        features = classifier.forward_features(images)
        assert features.shape == (2, 32, 4, 4)
        logits = features.mean((2, 3)) @ classifier.fc.weight.T + classifier.fc.bias
        torch.testing.assert_close(classifier(images), logits)
        torch.testing.assert_close(classifier.fuse()(images), logits, rtol=1e-4, atol=1e-5)
        assert classifier(images[:0]).shape == (0, 5)
    # parameters as torchvision counts them, without those of the 2 x C of each norm
    with torch.device("meta"):
        for name, parameters in [("R-18", 11_689_512 - 9_600), ("X-50-32x4d", 25_028_904 - 68_224)]:
            found = sum(p.numel() for p in build_classifier(name).parameters())
            assert found == parameters
    with pytest.raises(KeyError, match="no classifier 'R-51'; .*did you mean"):
        build_classifier("R-51")
    with pytest.raises(ValueError, match="num_classes must be a number of at least 1, got 0"):
        ResNetClassifier(SPECS, 0, **SMALL)


def test_the_documents_examples_run(capsys):
    text = (Path(__file__).resolve().parent.parent / "docs" / "resnet.md").read_text()
    names: dict = {}
    for example in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(example, names)
    assert capsys.readouterr().out.strip() in text
    assert str(names["backbone"].feature_strides) in text
    assert names["features"]["P2"].shape == (1, 256, 56, 80)
    assert names["body"].feature_channels["layer3"] == 1024
