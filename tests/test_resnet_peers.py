"""ResNet beside torchvision's and timm's, with the same weights."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("_ext.kernels", reason="run `python build_ffi.py` first")

from benchmarks import torchvision_cpu  # noqa: E402
from resnet import (  # noqa: E402
    NORMS,
    Config,
    FrozenBatchNorm2d,
    build_backbone,
    build_resnet,
    load_weights,
)
from resnet.ops import plain_torch  # noqa: E402

X_50_32X4D = dict(num_groups=32, width_per_group=4)
PEERS = [
    ("resnet50", "R-50-FPN", {}),
    ("resnet101", "R-101-FPN", {}),
    ("resnet152", "R-152-FPN", {}),
    ("resnext50_32x4d", "R-50-FPN", X_50_32X4D),
    ("resnet18", "R-18-FPN", dict(block="BasicBlockWithFixedBatchNorm", res2_out_channels=64)),
]


@pytest.fixture(scope="module")
def models():
    reason = torchvision_cpu.load()
    if reason:
        pytest.skip(reason)
    import torchvision.models

    return torchvision.models


def random_state(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A state_dict with statistics that are not those of an untrained model.

    Small scales keep 152 layers' sums finite.
    """
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, value in model.state_dict().items():
        if name.endswith("running_var"):
            state[name] = torch.rand(value.shape, generator=generator) + 0.5
        elif value.dim() == 1:
            low = 0.3 if name.endswith("weight") else -0.1
            state[name] = torch.rand(value.shape, generator=generator) * 0.2 + low
        elif value.is_floating_point():
            fan_in = value[0].numel()
            state[name] = torch.randn(value.shape, generator=generator) * (2 / fan_in) ** 0.5
        else:
            state[name] = value.clone()
    return state


def in_our_names(state):
    """torchvision's names as ours: the stem's have a module of their own, fc and counts go."""
    ours = {}
    for name, value in state.items():
        if name.startswith(("conv1.", "bn1.")):
            name = f"stem.{name}"
        if not name.startswith("fc.") and not name.endswith("num_batches_tracked"):
            ours[name] = value
    return ours


def peer_features(model, images):
    x = model.maxpool(model.relu(model.bn1(model.conv1(images))))
    features = []
    for name in ["layer1", "layer2", "layer3", "layer4"]:
        x = getattr(model, name)(x)
        features.append(x)
    return features


@pytest.mark.parametrize(("theirs", "ours", "settings"), PEERS)
def test_features_equal_torchvisions(models, theirs, ours, settings):
    from torchvision.ops.misc import FrozenBatchNorm2d as TheirFrozenBatchNorm2d

    peer = getattr(models, theirs)(
        norm_layer=lambda channels: TheirFrozenBatchNorm2d(channels, eps=0.0)
    ).eval()
    state = random_state(peer)
    peer.load_state_dict(state)
    model = build_resnet(ours, stride_in_1x1=False, **settings).eval()
    images = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    model.load_state_dict(in_our_names(state))
    with torch.no_grad():
        expected = peer_features(peer, images)
        assert all(feature.isfinite().all() and feature.std() > 1e-3 for feature in expected)
        with plain_torch():
            for a, b in zip(model(images), expected, strict=True):
                assert torch.equal(a, b)
        for ours in (model, model.fuse()):
            for a, b in zip(ours(images), expected, strict=True):
                assert (a - b).abs().max() <= 2e-6 * b.abs().max()


@pytest.mark.parametrize("use_c5", [None, False, True])
def test_pyramids_equal_torchvisions(models, use_c5):
    """Of Faster R-CNN, and of both RetinaNets, whose first level is stage 2's."""
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
    from torchvision.ops.feature_pyramid_network import LastLevelP6P7

    keys = {"MODEL.RESNETS.RES2_OUT_CHANNELS": 64, "MODEL.RESNETS.BACKBONE_OUT_CHANNELS": 256,
            "MODEL.RESNETS.TRANS_FUNC": "BasicBlockWithFixedBatchNorm"}  # fmt: skip
    retina = {}
    if use_c5 is not None:
        top = LastLevelP6P7(512 if use_c5 else 256, 256)
        retina = dict(returned_layers=[2, 3, 4], extra_blocks=top)
        keys["MODEL.RETINANET.USE_C5"] = use_c5
    peer = resnet_fpn_backbone(backbone_name="resnet18", weights=None, **retina).eval()
    state = random_state(peer)
    peer.load_state_dict(state)
    keys["MODEL.BACKBONE.CONV_BODY"] = "R-18-FPN-RETINANET" if retina else "R-18-FPN"
    model = build_backbone(Config.from_dict(keys)).eval()
    detector = {f"backbone.{name}": value for name, value in state.items()}
    detector["rpn.head.conv.0.0.weight"] = torch.zeros(1)
    report = load_weights(model, detector, eps=1e-5, strict=True)
    assert report.unused == ["rpn.head.conv.0.0.weight"]
    images = torch.randn(1, 3, 70, 100, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for a, b in zip(model(images), peer(images).values(), strict=True):
            assert (a - b).abs().max() <= 1e-5 * b.abs().max()


def test_features_equal_timms(models):
    timm = pytest.importorskip("timm", reason="timm is not installed")
    peer = timm.create_model("resnext50_32x4d", features_only=True).eval()
    state = random_state(peer)
    peer.load_state_dict(state)
    model = build_resnet(
        "R-50-FPN",
        stride_in_1x1=False,
        norms=NORMS | {"FrozenBN": lambda channels: FrozenBatchNorm2d(channels, eps=1e-5)},
        **X_50_32X4D,
    ).eval()
    model.load_state_dict(in_our_names(state))
    images = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for a, b in zip(model(images), peer(images)[1:], strict=True):
            assert (a - b).abs().max() <= 1e-5 * b.abs().max()
