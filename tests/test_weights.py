"""Weights from files and other libraries: what matches, what does not, and what is refused."""

from __future__ import annotations

import argparse
import collections
import os
import pickle
import re
import warnings
from functools import partial

import numpy as np
import pytest
import torch

pytest.importorskip("_ext.kernels", reason="run `python build_ffi.py` first")

from benchmarks import torchvision_cpu  # noqa: E402
from resnet import (  # noqa: E402
    NORMS,
    Config,
    FrozenBatchNorm2d,
    ResNet,
    StageSpec,
    build_backbone,
    build_resnet,
)
from resnet.caffe2 import from_caffe2, our_name  # noqa: E402
from resnet.pickles import load_pickle  # noqa: E402
from resnet.weights import load_weights, match, read_weights, unwrap  # noqa: E402

# What the names of maskrcnn-benchmark's c2_model_loading.py turn into.
CAFFE2 = {
    "conv1_w": "conv1.weight",
    "res_conv1_bn_s": "bn1.weight",
    "res_conv1_bn_b": "bn1.bias",
    "conv1_gn_s": "bn1.weight",
    "res2_0_branch2a_w": "layer1.0.conv1.weight",
    "res3_1_branch2b_w": "layer2.1.conv2.weight",
    "res4_22_branch2c_w": "layer3.22.conv3.weight",
    "res5_2_branch2a_bn_s": "layer4.2.bn1.weight",
    "res5_2_branch2b_bn_b": "layer4.2.bn2.bias",
    "res2_0_branch2c_gn_b": "layer1.0.bn3.bias",
    "res2_0_branch1_w": "layer1.0.downsample.0.weight",
    "res2_0_branch1_bn_s": "layer1.0.downsample.1.weight",
    "res2_0_branch1_gn_s": "layer1.0.downsample.1.weight",
    "fpn_inner_res5_2_sum_w": "fpn_inner4.weight",
    "fpn_inner_res4_5_sum_lateral_w": "fpn_inner3.weight",
    "fpn_inner_res4_22_sum_lateral_b": "fpn_inner3.bias",
    "fpn_inner_res3_7_sum_lateral_w": "fpn_inner2.weight",
    "fpn_inner_res2_2_sum_lateral_w": "fpn_inner1.weight",
    "fpn_res5_2_sum_w": "fpn_layer4.weight",
    "fpn_res4_35_sum_b": "fpn_layer3.bias",
    "fpn_res3_3_sum_gn_s": "fpn_layer2.1.weight",
    "fpn_6_w": "top_blocks.p6.weight",
    "fpn_7_w": "top_blocks.p7.weight",
    "fpn_7_b": "top_blocks.p7.bias",
    "pred_w": "fc1000.weight",
    "w": "w",  # no ending of a name
    "pred_b": "fc1000.bias",
    "conv_rpn_fpn2_w": "rpn.head.conv.weight",
    "rpn_cls_logits_fpn2_b": "rpn.head.cls_logits.bias",
    "rpn_bbox_pred_w": "rpn.head.bbox_pred.weight",
    "fc6_w": "fc6.weight",
    "lr": "lr",
}


@pytest.mark.parametrize(("theirs", "ours"), CAFFE2.items())
def test_names_of_caffe2(theirs, ours):
    assert our_name(theirs) == ours


def small_resnet(**settings):
    return ResNet(
        [StageSpec(1, 2, False), StageSpec(2, 1, True)],
        width_per_group=4,
        res2_out_channels=16,
        stem_out_channels=4,
        **settings,
    )


def fill(state, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.rand(value.shape, generator=generator) for name, value in state.items()}


def blobs_of(state):
    """The arrays of a state_dict under Caffe2's names, as Detectron writes them."""
    blobs = {}
    fields = {"weight": "s", "bias": "b"}
    for name, value in state.items():
        *parts, field = name.split(".")
        if field.startswith("running"):
            continue
        if parts[0] == "stem":
            theirs = "conv1_w" if parts[1] == "conv1" else f"res_conv1_bn_{fields[field]}"
        else:
            theirs = f"res{int(parts[0][-1]) + 1}_{parts[1]}_branch"
            if parts[2] == "downsample":
                theirs += "1_w" if parts[3] == "0" else f"1_bn_{fields[field]}"
            else:
                letter = "abc"[int(parts[2][-1]) - 1]
                ending = "w" if parts[2].startswith("conv") else f"bn_{fields[field]}"
                theirs += f"2{letter}_{ending}"
        blobs[theirs] = value.numpy()
        blobs[f"{theirs}_momentum"] = value.numpy() * 0
    return {"blobs": blobs}


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_detectrons_pickles(tmp_path, protocol):
    model = small_resnet()
    values = fill(model.state_dict())
    path = tmp_path / "R.pkl"
    path.write_bytes(pickle.dumps(blobs_of(values), protocol))
    report = load_weights(model, path, strict=True)
    assert not report.missing and not report.unused and len(report.matched) == len(values)
    for name, value in model.state_dict().items():
        if name.endswith("running_mean"):
            assert (value == 0).all()
        elif name.endswith("running_var"):
            assert (value == 1).all()
        else:
            assert torch.equal(value, values[name]), name


def test_pickles_of_python_2(tmp_path):
    # protocol 2 of Python 2: texts are bytes ('U'), here {'blobs': {'conv1_w': array([1, 2], '<f4')}}
    text = (
        b"\x80\x02}U\x05blobs}U\x07conv1_wcnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
        b"K\x00\x85U\x01b\x87R(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNN"
        b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x08\x00\x00\x80?\x00\x00\x00@tbss."
    )
    path = tmp_path / "old.pkl"
    path.write_bytes(text)
    state = read_weights(path)
    assert list(state) == ["conv1.weight"] and state["conv1.weight"].tolist() == [1.0, 2.0]


def test_group_norm_in_the_pyramid():
    ones = np.ones(2, np.float32)
    names = ["fpn_inner_res5_2_sum_w", "fpn_inner_res5_2_sum_gn_s", "fpn_inner_res5_2_sum_gn_b"]
    state = from_caffe2({name: ones for name in names})
    assert list(state) == ["fpn_inner4.0.weight", "fpn_inner4.1.weight", "fpn_inner4.1.bias"]


class Opened:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (Opened("touched"), r"asks for _?io.open; weights are NumPy arrays"),
        ({"blobs": Opened("touched")}, r"asks for _?io.open"),
        ({"x": collections.Counter()}, "asks for collections.Counter"),
        ({"x": torch.nn.ReLU}, "asks for torch.nn.modules.activation.ReLU"),
    ],
)
def test_other_pickles_are_refused_by_name(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=f"evil.pkl: expected a pickle file of weights.*{message}"):
        load_pickle(path)
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("data", [b"", b"<html>", b"\x80\x02}U\x05bl", b"\x80\x04\x95\xff"])
def test_broken_files_are_explained(tmp_path, data):
    for name, text in [("a.pkl", "pickle file of"), ("a.pth", "that torch.save")]:
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(ValueError, match=f"{name}: expected .*{text}"):
            read_weights(path)


def test_code_in_a_pth_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": Opened("touched")}, "evil.pth")
    with pytest.raises(ValueError, match="evil.pth: expected weights that torch.save wrote, but"):
        read_weights("evil.pth")
    assert not (tmp_path / "touched").exists()
    torch.save([1, 2], "list.pth")
    with pytest.raises(ValueError, match="list.pth: expected a dictionary of weights, got a list"):
        read_weights("list.pth")
    torch.save({"epoch": 3}, "other.pth")
    with pytest.raises(ValueError, match="expected a dictionary of weights, .* got one of epoch"):
        read_weights("other.pth")
    with pytest.raises(FileNotFoundError):
        read_weights("missing.pth")


def test_what_is_refused_is_named(tmp_path):
    """Detectron2 and others save their arguments beside the weights."""
    path = tmp_path / "with_arguments.pth"
    torch.save({"model": {"a": torch.ones(1)}, "args": argparse.Namespace(lr=1)}, path)
    with pytest.raises(ValueError, match=r"torch.load gave UnpicklingError: .*argparse\.Namespace"):
        read_weights(path)
    path.write_bytes(b"hello, this is a text")
    with pytest.raises(ValueError, match=r"torch.load gave [A-Z]\w+Error") as caught:
        read_weights(path)
    assert "weights_only" not in str(caught.value)  # advice to run whatever stands there
    torch.save({"a": Caller()}, path)
    with pytest.raises(ValueError, match=r"torch.load gave .*Unpickl.* posix\.getcwd") as caught:
        read_weights(path)
    assert "weights_only" not in str(caught.value)


class Caller:
    """A pickle of it calls a function when it is read."""

    def __reduce__(self):
        return os.getcwd, ()


@pytest.mark.parametrize("source", [None, 3, b"a.pth", torch.nn.Linear(1, 1)])
def test_what_is_no_source(source):
    with pytest.raises(TypeError, match=f"source must be a file.* got a {type(source).__name__}"):
        load_weights(torch.nn.Linear(1, 1), source)


def test_a_detectors_checkpoint(tmp_path):
    """maskrcnn-benchmark saves the whole detector, as it trained in parallel."""
    config = Config.from_dict(
        {
            "MODEL.BACKBONE.CONV_BODY": "R-18-FPN",
            "MODEL.RESNETS.TRANS_FUNC": "BasicBlockWithFixedBatchNorm",
            "MODEL.RESNETS.RES2_OUT_CHANNELS": 8,
            "MODEL.RESNETS.BACKBONE_OUT_CHANNELS": 8,
        }
    )
    backbone = build_backbone(config)
    values = fill(backbone.state_dict())
    saved = {f"module.backbone.{name}": value for name, value in values.items()}
    saved["module.rpn.head.conv.weight"] = torch.zeros(3)
    torch.save({"model": saved, "iteration": 7}, tmp_path / "model_final.pth")
    report = load_weights(backbone, tmp_path / "model_final.pth", strict=True)
    assert report.unused == ["rpn.head.conv.weight"]
    for name, value in backbone.state_dict().items():
        assert torch.equal(value, values[name])


def test_torchvisions_weights():
    reason = torchvision_cpu.load()
    if reason:
        pytest.skip(reason)
    import torchvision.models as models

    torch.manual_seed(0)
    peer = models.resnet50().eval()
    with torch.no_grad():
        for module in peer.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_var.uniform_(1e-5, 1)
                module.running_mean.normal_(0, 0.1)
    model = build_resnet("R-50-C5", stride_in_1x1=False).eval()
    report = load_weights(model, peer.state_dict(), eps=1e-5, strict=True)
    assert report.unused == ["fc.weight", "fc.bias"] and len(report.matched) == 265
    assert report.matched["stem.bn1.running_var"] == "bn1.running_var"
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        x = peer.maxpool(peer.relu(peer.bn1(peer.conv1(images))))
        expected = peer.layer4(peer.layer3(peer.layer2(peer.layer1(x))))
        (feature,) = model(images)
    assert (feature - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_suffixes_end_at_dots_and_go_to_the_nearest():
    given = ["bn1.weight", "conv1.weight", "layer1.0.bn1.weight", "xconv2.weight"]
    wanted = [
        "stem.bn1.weight",
        "layer1.0.bn1.weight",
        "layer1.1.bn1.weight",
        "layer1.0.conv2.weight",
    ]
    assert match(dict.fromkeys(wanted), dict.fromkeys(given))[0] == {
        "stem.bn1.weight": "bn1.weight",
        "layer1.0.bn1.weight": "layer1.0.bn1.weight",
    }
    # two heads of one detector share a backbone's weights
    heads = ["box.head.layer4.0.conv1.weight", "mask.head.layer4.0.conv1.weight"]
    assert match(dict.fromkeys(heads), {"layer4.0.conv1.weight": 0})[0] == dict.fromkeys(
        heads, "layer4.0.conv1.weight"
    )
    # and none is taken where two would do
    name = "layer4.0.conv1.weight"
    assert match({name: 0}, dict.fromkeys(heads)) == ({}, {name: heads})
    # names of deformable convolutions, of plain weights and of their own
    assert match(
        dict.fromkeys(["layer2.0.conv2.conv.weight", "layer2.0.conv2.offset.weight"]),
        dict.fromkeys(["layer2.0.conv2.weight"]),
    )[0] == {"layer2.0.conv2.conv.weight": "layer2.0.conv2.weight"}
    assert match({"fc.bias": 0}, {"fc1000.bias": 0})[0] == {"fc.bias": "fc1000.bias"}


@pytest.mark.parametrize("before", ["backbone.body.", "model.", "backbone.0.body.", "encoder_q."])
@pytest.mark.parametrize("blocks", [1, 3])  # the model has two in its first stage
def test_torchvisions_stem_below_another_name(before, blocks):
    """As in its detectors, Lightning's, DETR's and MoCo's files: nothing tells "conv1" from a block's but its place."""
    model = small_resnet()
    theirs = ResNet(
        [StageSpec(1, blocks, False), StageSpec(2, 1, True)],
        width_per_group=4,
        res2_out_channels=16,
        stem_out_channels=4,
    )
    values = fill(theirs.state_dict())
    saved = {before + name.removeprefix("stem."): value for name, value in values.items()}
    saved["roi_heads.mask_head.conv1.weight"] = torch.zeros(3)
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    report = load_weights(model, saved)
    assert [n.split(".")[:2] for n in report.missing] == [["layer1", "1"]] * (
        15 if blocks == 1 else 0
    )
    for name, value in model.state_dict().items():
        assert torch.equal(value, (values if name in values else kept)[name])
    del saved[f"{before}conv1.weight"]  # and none of the blocks' takes its place
    assert "stem.conv1.weight" in load_weights(model, saved).missing


def test_a_prefix_chooses_among_several():
    """As of a teacher and a student in one file, or of two heads."""
    model = small_resnet()
    parts = {name: fill(model.state_dict(), seed) for seed, name in enumerate(["first", "second"])}
    saved = {
        f"{part}.body.{n}": value for part, state in parts.items() for n, value in state.items()
    }
    with pytest.raises(ValueError, match="do not fit the model: 0 matched") as caught:
        load_weights(model, saved)
    text = r"ambiguous     stem.conv1.weight +one of first.body.stem.conv1.weight, second.body.\S+; choose with prefix="
    assert re.search(text, str(caught.value))
    for part in parts:
        report = load_weights(model, saved, prefix=f"{part}.", strict=True)
        assert not report.unused and not report.ambiguous
        for name, value in model.state_dict().items():
            assert torch.equal(value, parts[part][name])
    with pytest.raises(ValueError, match="begin with the prefix 'third', got first.body"):
        load_weights(model, saved, prefix="third")


def test_norms_that_add_an_eps_get_no_other():
    """As in a model whose body is frozen, and whose other norms learn."""
    model = torch.nn.ModuleDict({"body": small_resnet(), "head": torch.nn.BatchNorm2d(4)})
    load_weights(model, {n: torch.ones_like(v) for n, v in model.state_dict().items()}, eps=1e-5)
    frozen = model["body"].stem.bn1.running_var
    assert torch.equal(frozen, torch.ones_like(frozen) + 1e-5)
    assert torch.equal(model["head"].running_var, torch.ones(4))
    alone = FrozenBatchNorm2d(4)
    load_weights(alone, alone.state_dict(), eps=1e-5)
    assert torch.equal(alone.running_var, torch.ones(4) + 1e-5)


@pytest.mark.parametrize("eps", [-5.0, float("nan"), float("inf")])
def test_variances_that_are_none(eps):
    model = small_resnet()
    before = model.stem.bn1.running_var.clone()
    with pytest.raises(ValueError, match=f"eps must be a finite number of at least 0, got {eps}"):
        load_weights(model, small_resnet().state_dict(), eps=eps)
    assert torch.equal(model.stem.bn1.running_var, before)


def test_variances_of_trained_batch_norms_without_an_eps_are_told_of():
    """Which count their batches; with torch's 1e-5 left out, a channel that is nearly always the same explodes."""
    small = dict(width_per_group=4, stem_out_channels=4, res2_out_channels=8)
    of_batches = dict(stem="StemWithBatchNorm", block="BottleneckWithBatchNorm")
    trained = ResNet([StageSpec(1, 1, True)], **small, **of_batches)
    frozen, values = ResNet([StageSpec(1, 1, True)], **small), trained.state_dict()
    with pytest.warns(
        UserWarning, match="the model's stem.bn1 and 4 others add none; give eps=1e-5"
    ):
        load_weights(frozen, values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_weights(frozen, values, eps=1e-5)
        load_weights(frozen, frozen.state_dict())
        load_weights(trained, values)
        norms = NORMS | {"FrozenBN": partial(FrozenBatchNorm2d, eps=1e-5)}
        load_weights(ResNet([StageSpec(1, 1, True)], norms=norms, **small), values)
        # a frozen body's variances have theirs, if the norm of a head beside it was trained
        whole = torch.nn.ModuleDict({"body": frozen, "head": torch.nn.BatchNorm2d(4)})
        load_weights(whole, whole.state_dict())


def test_models_without_memory_are_refused():
    with torch.device("meta"):
        model = small_resnet()
    values = fill(model.state_dict())
    with pytest.raises(ValueError, match=r'on meta, .*; call model.to_empty\(device="cpu"\) first'):
        load_weights(model, values)
    model.to_empty(device="cpu")
    load_weights(model, values, strict=True)
    assert torch.equal(model.stem.conv1.weight, values["stem.conv1.weight"])


def test_arrays_below_the_usual_names(tmp_path):
    """As detectron2 writes them; and what torch.save wrote under such a file's name."""
    model = small_resnet()
    values = fill(model.state_dict())
    arrays = {name: value.numpy() for name, value in values.items()}
    path = tmp_path / "R-50.pkl"
    path.write_bytes(pickle.dumps({"model": arrays, "__author__": "torchvision"}))
    for _ in range(2):
        load_weights(model, path, strict=True)
        assert all(torch.equal(value, values[n]) for n, value in model.state_dict().items())
        values = fill(values, seed=2)
        torch.save(values, path)
    with pytest.raises(
        ValueError, match=r"names and tensors, got one of stem.conv1.weight \(ndarray\)"
    ):
        load_weights(model, arrays)


def detectron2s(name):
    """A name of ours as detectron2 calls it (convert-torchvision-to-d2.py, modeling/backbone/fpn.py, resnet.py)."""
    body = name.startswith("body.")
    name = name.removeprefix("body.").removeprefix("fpn.")
    for stage in range(1, 5):
        name = name.replace(f"layer{stage}.", f"res{stage + 1}.", 1 if body else 0)
        name = name.replace(f"fpn_inner{stage}.", f"fpn_lateral{stage + 1}.")
        name = name.replace(f"fpn_layer{stage}.", f"fpn_output{stage + 1}.")
    for number in (1, 2, 3):
        name = name.replace(f"bn{number}.", f"conv{number}.norm.")
    name = name.replace("downsample.0.", "shortcut.").replace("downsample.1.", "shortcut.norm.")
    name = name.replace("conv2.conv.", "conv2.").replace("conv2.offset.", "conv2_offset.")
    if name.startswith("fpn_"):
        name = name.replace(".0.", ".").replace(".1.", ".norm.")
    return name.replace("top_blocks.", "top_block.")


@pytest.mark.parametrize(
    "keys",
    [
        {"MODEL.BACKBONE.CONV_BODY": "R-50-C4"},
        {"MODEL.BACKBONE.CONV_BODY": "R-50-FPN-RETINANET", "MODEL.RETINANET.USE_C5": False},
        {
            "MODEL.BACKBONE.CONV_BODY": "R-50-FPN",
            "MODEL.RESNETS.TRANS_FUNC": "BottleneckWithGN",
            "MODEL.FPN.USE_GN": True,
            "MODEL.RESNETS.STAGE_WITH_DCN": (False, True, True, True),
        },
    ],
)
def test_detectron2s_names(tmp_path, keys):
    sizes = {"RES2_OUT_CHANNELS": 32, "STEM_OUT_CHANNELS": 32, "WIDTH_PER_GROUP": 32}
    sizes["BACKBONE_OUT_CHANNELS"] = 32
    model = build_backbone(Config.from_dict({**keys, "MODEL.RESNETS": sizes}))
    values = fill(model.state_dict())
    pyramid = hasattr(model, "fpn")
    arrays = {"roi_heads.box_head.fc1.weight": np.zeros((2, 2), np.float32)}
    for name, value in values.items():
        below = "bottom_up." if pyramid and name.startswith("body.") else ""
        arrays[f"backbone.{below}{detectron2s(name)}"] = value.numpy()
    path = tmp_path / "model_final.pkl"
    path.write_bytes(pickle.dumps({"model": arrays, "__author__": "Detectron2 Model Zoo"}))
    report = load_weights(model, path, strict=True)
    assert report.unused == ["roi_heads.box_head.fc1.weight"]
    assert all(torch.equal(value, values[name]) for name, value in model.state_dict().items())
    # of an image classifier: nothing before the stem and the stages
    body = {detectron2s(name): value for name, value in fill(values, 2).items() if "body." in name}
    load_weights(model.body, body, strict=True)
    assert all(
        torch.equal(value, body[detectron2s(f"body.{name}")])
        for name, value in model.body.state_dict().items()
    )


@pytest.mark.filterwarnings("ignore:load_weights")
def test_the_report():
    model = small_resnet()
    values = fill(model.state_dict())
    del values["layer2.0.conv3.weight"]
    values["layer1.0.conv1.weight"] = torch.zeros(4, 5, 1, 1)
    values["fc.weight"] = torch.zeros(3)
    values["bn1.num_batches_tracked"] = torch.tensor(1)
    before = model.layer1[0].conv1.weight.clone()
    report = load_weights(model, values)
    count = len(values) - 3
    assert str(report).splitlines() == [
        f"{count} matched, 1 missing, 1 of another shape, 1 not used",
        "  missing       layer2.0.conv3.weight",
        "  another shape layer1.0.conv1.weight  "
        "expected (4, 4, 1, 1), got (4, 5, 1, 1) in layer1.0.conv1.weight",
        "  not used      fc.weight",
    ]
    assert torch.equal(model.layer1[0].conv1.weight, before)
    assert torch.equal(model.layer1[0].conv2.weight, values["layer1.0.conv2.weight"])
    with pytest.raises(ValueError, match="do not fit the model: .* 1 missing"):
        load_weights(model, values, strict=True)
    with pytest.raises(ValueError, match="expected a dictionary of weights, .* got an empty one"):
        load_weights(model, {})
    with pytest.raises(TypeError, match=r"model must be a torch.nn.Module, got a int"):
        load_weights(3, values)
    with pytest.raises(ValueError, match="do not fit the model: 0 matched"):
        load_weights(model, {"encoder.weight": torch.zeros(1)})


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_of_every_layout(tmp_path, protocol):
    a = np.random.default_rng(0).random((3, 4, 5)).astype(">f4")
    arrays = [a, a.T, a.transpose(0, 2, 1), a.transpose(1, 2, 0), a[::2], a[:, ::-1], a[:, :1, :0]]
    arrays += [np.array(3.5), np.array([True]), np.array(["ab", "c"]), np.float32(3)]
    path = tmp_path / "arrays.pkl"
    path.write_bytes(pickle.dumps(arrays, protocol))
    for found, array in zip(load_pickle(path), arrays, strict=True):
        assert found.dtype.newbyteorder("=") == array.dtype.newbyteorder("=")
        assert found.shape == array.shape
        assert (found == array).all()


class _Hostile:
    """An array's pickle with a state of its own."""

    def __init__(self, state):
        self.state = state

    def __reduce__(self):
        return (*np.ones(2, np.float32).__reduce__()[:2], self.state)


class _HostileBuffer:
    """An array as protocol 5 has it, with arguments of its own."""

    def __init__(self, *arguments):
        self.arguments = arguments

    def __reduce__(self):
        return np.ones(2, np.float32).__reduce_ex__(5)[0], self.arguments


@pytest.mark.parametrize(
    "arguments",
    [
        (b"\0" * 8, np.dtype("f4"), (1000,), "C"),
        (b"\0" * 8, np.dtype("f4"), (-1,), "C"),
        (b"\0" * 8, np.dtype("f4"), (-1, -2), "F"),
        (b"\0" * 7, np.dtype("f4"), (1,), "C"),
        (b"\0" * 8, np.dtype("O"), (1,), "C"),
        (b"\0" * 8, np.dtype("f4"), (2,), "K", (0, 0)),
        (8, np.dtype("f4"), (2,), "C"),
        (1 << 62, np.dtype("f4"), (2,), "C"),
        (b"\0" * 8, "f4", (2,), "C"),
    ],
)
def test_buffers_that_are_not_what_they_say(tmp_path, arguments):
    path = tmp_path / "hostile.pkl"
    path.write_bytes(pickle.dumps({"blobs": {"conv1_w": _HostileBuffer(*arguments)}}))
    with pytest.raises(ValueError, match="hostile.pkl: expected a pickle file of weights"):
        load_pickle(path)


@pytest.mark.parametrize(
    "state",
    [
        (1, (1000,), np.dtype("f4"), False, b"\0" * 8),  # memory behind the bytes
        (1, (1,), np.dtype("O"), False, [1]),
        (1, (1,), np.dtype([("x", "O")]), False, b"\1" * 8),  # an address
        (1, (-1,), np.dtype("f4"), False, b""),
        (1, ("a",), np.dtype("f4"), False, b""),
        (1, (1,), None, False, b"\0" * 4),
        7,
    ],
)
def test_arrays_that_are_not_what_they_say(tmp_path, state):
    path = tmp_path / "hostile.pkl"
    path.write_bytes(pickle.dumps({"blobs": {"conv1_w": _Hostile(state)}}))
    with pytest.raises(ValueError, match="hostile.pkl: expected a pickle file of weights"):
        load_pickle(path)


@pytest.mark.parametrize("kind", ["O8", ",", "i4,f4", "V8", "f", "m8[s]", 3])
def test_element_types_that_no_weights_have(tmp_path, kind):
    text = pickle.dumps({"x": np.ones(1, np.float32)}, protocol=2)
    path = tmp_path / "kind.pkl"
    wanted = pickle.dumps(kind, protocol=2)[2:-1].replace(b"q\x00", b"")
    assert b"X\x02\x00\x00\x00f4" in text
    path.write_bytes(text.replace(b"X\x02\x00\x00\x00f4", wanted, 1))
    with pytest.raises(
        ValueError, match="kind.pkl: expected .*expected arrays of numbers or texts"
    ):
        load_pickle(path)


def test_what_is_no_dictionary_of_weights(tmp_path):
    path = tmp_path / "list.pkl"
    for content in ((1, 2), {"blobs": (1, 2)}):
        path.write_bytes(pickle.dumps(content))
        with pytest.raises(
            ValueError, match="list.pkl: expected a dictionary of weights, got a tuple"
        ):
            read_weights(path)
    path.write_bytes(pickle.dumps({1: np.ones(1), "conv1_w": np.ones(1)}))
    assert list(read_weights(path)) == ["conv1.weight"]
    assert list(unwrap({1: torch.ones(1), "module.a": torch.ones(1)})) == ["a"]
