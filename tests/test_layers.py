"""The layers of resnet.layers and resnet.poolers against torch, torchvision and the formulas they state."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("_ext.kernels", reason="run `python build_ffi.py` first")

from resnet import layers, ops  # noqa: E402
from resnet.poolers import LevelMapper, Pooler  # noqa: E402


def test_frozen_batch_norm_under_autocast_and_in_bfloat16():
    torch.manual_seed(0)
    layer, convolution = layers.FrozenBatchNorm2d(8), torch.nn.Conv2d(3, 8, 3)
    layer.running_var.uniform_(0.5, 2)
    layer.running_mean.normal_()
    x = torch.randn(2, 3, 9, 9)
    with torch.autocast("cpu", torch.bfloat16):
        low = convolution(x)
        y = layer(low, relu=True)
    assert low.dtype == y.dtype == torch.bfloat16
    exact = F.batch_norm(low.float(), layer.running_mean, layer.running_var, eps=0.0).relu()
    # rounded once: half of bfloat16's 2^-8
    assert ((y.float() - exact).abs() <= exact.abs() * 2**-8).all()
    y.float().sum().backward()
    assert convolution.weight.grad.isfinite().all()
    assert layer.running_mean.dtype == torch.float32  # the original cast its buffers for good
    assert layer.bfloat16()(low).dtype == torch.bfloat16


def test_frozen_batch_norm_compiles_to_the_formula_and_exports():
    layer = layers.FrozenBatchNorm2d(4)
    layer.bias.normal_()
    x = torch.randn(2, 4, 5, 5)
    program = torch.export.export(layer, (x,), {"relu": True})
    targets = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert targets and all(target.startswith("aten.") for target in targets)
    torch.testing.assert_close(program.module()(x, relu=True), layer(x, relu=True))


def test_deform_conv_layer_is_torchvisions(tv):
    torch.manual_seed(0)
    ours = layers.DeformConv2d(6, 4, 3, 2, 1, groups=2, deformable_groups=3, bias=True)
    theirs = tv.DeformConv2d(6, 4, 3, 2, 1, groups=2, bias=True)
    theirs.load_state_dict(ours.state_dict())
    x, offset, mask = torch.randn(1, 6, 9, 9), torch.randn(1, 54, 5, 5), torch.rand(1, 27, 5, 5)
    for extra in ([], [mask]):
        torch.testing.assert_close(ours(x, offset, *extra), theirs(x, offset, *extra))
    assert "6, 4, kernel_size=(3, 3), stride=2" in repr(ours)
    with pytest.raises(ValueError, match="groups must divide in_channels 6, got 4"):
        layers.DeformConv2d(6, 4, 3, groups=4)
    with pytest.raises(ValueError, match="deformable_groups must divide in_channels 6, got 4"):
        layers.DeformConv2d(6, 4, 3, deformable_groups=4)
    with pytest.raises(ValueError, match="groups must divide out_channels 4, got 3"):
        layers.DeformConv2d(6, 4, 3, groups=3)


def test_level_mapper_follows_its_formula():
    torch.manual_seed(0)
    corners = torch.rand(500, 2) * 100
    boxes = torch.cat([corners, corners + torch.exp(torch.rand(500, 2) * 8)], 1)
    expected = [
        min(max(math.floor(4 + math.log2(math.sqrt((c - a) * (d - b)) / 224 + 1e-6)), 2), 5) - 2
        for a, b, c, d in boxes.tolist()
    ]
    assert LevelMapper(2, 5)(boxes).tolist() == expected and set(expected) == {0, 1, 2, 3}
    odd = torch.tensor([[5.0, 5, 5, 5], [9, 9, 1, 1], [0, 0, math.nan, 4], [0, 0, 223, 223]])
    assert LevelMapper(2, 5)(odd).tolist() == [0, 0, 0, 1]
    assert LevelMapper(2, 5, plus_one=True)(odd).tolist() == [0, 0, 0, 2]
    # by the formula boxes that are turned inside out have no area, however large they are
    inverted = torch.tensor([[500.0, 500, 0, 0], [0, 500, 500, 0], [500, 0, 0, 500]])
    assert LevelMapper(2, 5)(inverted).tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="k_min must not exceed k_max, got 5 and 2"):
        LevelMapper(5, 2)


def test_pooler_is_torchvisions(tv):
    torch.manual_seed(0)
    features = [torch.randn(2, 18, 256 // s, 320 // s, requires_grad=True) for s in (4, 8, 16, 32)]
    boxes = []
    for count in (60, 45):
        corners = torch.rand(count, 2) * 100
        boxes.append(torch.cat([corners, corners + torch.exp(torch.rand(count, 2) * 7)], 1))
    theirs = tv.MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2)(
        {str(i): f for i, f in enumerate(features)}, boxes, [(256, 320)] * 2
    )
    pooler = Pooler(7, [1 / 4, 1 / 8, 1 / 16, 1 / 32], 2)
    ours = pooler(features, boxes)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    grads = [torch.autograd.grad(y.square().sum(), features) for y in (ours, theirs)]
    for a, b in zip(*grads, strict=True):
        assert b.any() and (a - b).abs().max() <= 1e-4 * b.abs().max()
    single = Pooler(7, [1 / 8], 2)(features[1:2], boxes)
    rois = torch.cat([F.pad(b, (1, 0), value=i) for i, b in enumerate(boxes)])
    assert torch.equal(single, ops.roi_align(features[1], rois, 7, 1 / 8, 2))
    assert pooler(features, [torch.empty(0, 4)] * 2).shape == (0, 18, 7, 7)
    assert pooler([f[:0] for f in features], []).shape == (0, 18, 7, 7)
    with pytest.raises(ValueError, match="expected 4 feature maps, one per scale, got 1"):
        pooler(features[:1], boxes)
    with pytest.raises(ValueError, match="expected boxes of 2 images, got 1"):
        pooler(features, boxes[:1])
    with pytest.raises(ValueError, match="powers of two, each half of the one before"):
        Pooler(7, [1 / 4, 1 / 16], 2)


def test_roi_layers_carry_their_settings():
    x, rois = torch.randn(1, 3, 9, 9), torch.tensor([[0.0, 1, 1, 12, 9]])
    align, pool = layers.ROIAlign((2, 3), 0.5, 2, aligned=True), layers.ROIPool(2, 0.5)
    assert torch.equal(align(x, rois), ops.roi_align(x, rois, (2, 3), 0.5, 2, True))
    assert torch.equal(pool(x, rois), ops.roi_pool(x, rois, 2, 0.5))
    assert (
        repr(align)
        == "ROIAlign(output_size=(2, 3), spatial_scale=0.5, sampling_ratio=2, aligned=True)"
    )
    assert repr(pool) == "ROIPool(output_size=2, spatial_scale=0.5)"
