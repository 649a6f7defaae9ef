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
    y = layer.bfloat16()(low)
    assert y.dtype == torch.bfloat16
    mean, variance = layer.running_mean.float(), layer.running_var.float()
    exact = F.batch_norm(low.float(), mean, variance, eps=0.0)
    assert ((y.float() - exact).abs() <= exact.abs() * 2**-8).all()


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
    odd = torch.tensor([[5.0, 5, 5, 5], [9, 9, 1, 1], [0, 0, math.nan, 4]])
    assert LevelMapper(2, 5)(odd).tolist() == [0, 0, 0]
    squares = torch.tensor([[0.0, 0, 222, 222], [0, 0, 223, 223], [0, 0, 224, 224]])
    assert LevelMapper(2, 5)(squares).tolist() == [1, 1, 2]
    assert LevelMapper(2, 5, plus_one=True)(squares).tolist() == [1, 2, 2]
    # by the formula boxes that are turned inside out have no area, however large they are
    inverted = torch.tensor([[500.0, 500, 0, 0], [0, 500, 500, 0], [500, 0, 0, 500]])
    assert LevelMapper(2, 5)(inverted).tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="k_min must not exceed k_max, got 5 and 2"):
        LevelMapper(5, 2)


def test_levels_of_boxes_in_half_precision():
    """Whose areas are infinite there."""
    boxes = torch.tensor([[0, 0, 300, 300], [0, 0, 256, 256], [8, 8, 400, 600]]).half()
    # 4 + log2(sqrt(area) / 224), from level 2 on
    assert LevelMapper(2, 5)(boxes).tolist() == [2, 2, 3]


def test_pooler_of_many_images_with_boxes_in_bfloat16():
    """Which has no 257."""
    x = torch.arange(300.0).view(-1, 1, 1, 1).expand(-1, 1, 4, 4)
    box = torch.tensor([[0.0, 0, 4, 4]], dtype=torch.bfloat16)
    assert torch.equal(Pooler(1, [1.0], 1)([x], [box] * 300).flatten(), torch.arange(300.0))


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
    for wrong, got in [({"P2": features[0]}, "dict"), (features[0], "Tensor")]:
        with pytest.raises(TypeError, match=f"a list of feature maps, one per scale, got a {got}"):
            pooler(wrong, boxes)
    with pytest.raises(ValueError, match="expected boxes of 2 images, got 1"):
        pooler(features, boxes[:1])
    # an image without objects as torch.tensor([]) makes it; regions in place of boxes; a list
    for wrong, got in [(torch.tensor([]), r"\(0,\)"), (rois, r"\(105, 5\)"), ([], "a list")]:
        with pytest.raises(
            (ValueError, TypeError), match=rf"Pooler: boxes\[1\] must be .* got {got}"
        ):
            pooler(features, [boxes[0], wrong])
    with pytest.raises(ValueError, match="powers of two, each half of the one before"):
        Pooler(7, [1 / 4, 1 / 16], 2)
    assert Pooler(7, {"P2": 1 / 4, "P3": 1 / 8}.values(), 2).scales == [1 / 4, 1 / 8]
    for wrong, got in [(0.25, "0.25"), ([4, 0], r"\[4, 0\]"), (None, "None")]:
        with pytest.raises(ValueError, match=f"scales must be powers of two, .* got {got}"):
            Pooler(7, wrong, 2)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_a_traced_pooler_takes_any_number_of_boxes():
    pooler = Pooler(2, [1 / 4, 1 / 8], 2)
    features = [torch.randn(1, 3, 32 // s, 32 // s) for s in (1, 2)]
    boxes = torch.tensor([[0.0, 0, 30, 20], [0, 0, 100, 128], [8, 8, 20, 20]])
    traced = torch.jit.trace(lambda a, b, boxes: pooler([a, b], [boxes]), (*features, boxes))
    fewer = boxes[1:] / 2
    assert torch.equal(traced(*features, fewer), pooler(features, [fewer]))


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


def test_deform_roi_pooling_layers_carry_their_settings():
    torch.manual_seed(0)
    x, rois = torch.randn(2, 12, 9, 9), torch.tensor([[0.0, 1, 1, 12, 9], [1, 3, 4, 17, 17]])
    offset = torch.randn(2, 2, 4, 4)
    layer = layers.DeformRoIPooling(0.5, 2, 3, False, 2, 4, 3, 0.1)
    expected = ops.deform_roi_pooling(x, rois, offset, 0.5, 2, 3, False, 2, 4, 3, 0.1)
    assert torch.equal(layer(x, rois, offset), expected)
    still = layers.DeformRoIPooling(0.5, 2, 3, no_trans=True, group_size=2)
    expected = ops.deform_roi_pooling(x, rois, None, 0.5, 2, 3, True, 2)
    assert torch.equal(still(x, rois), expected) and torch.equal(still(x, rois, offset), expected)
    assert (
        repr(layer)
        == "DeformRoIPooling(spatial_scale=0.5, out_size=2, out_channels=3, no_trans=False, "
        "group_size=2, part_size=4, sample_per_part=3, trans_std=0.1)"
    )
    with pytest.raises(ValueError, match="DeformRoIPooling: offset must be a tensor .* got None"):
        layer(x, rois)
    for kind in (layers.DeformRoIPoolingPack, layers.ModulatedDeformRoIPoolingPack):
        with pytest.raises(ValueError, match=f"{kind.__name__}: part_size must be out_size 2"):
            kind(0.5, 2, 3, False, part_size=3)


@pytest.mark.parametrize("modulated", [False, True])
def test_deform_roi_pooling_packs_are_their_formula(modulated):
    """With weights given: two or three products, a ReLU after all but the last, and a pooling at what they give."""
    kind = layers.ModulatedDeformRoIPoolingPack if modulated else layers.DeformRoIPoolingPack
    torch.manual_seed(0)
    x = torch.randn(2, 5, 9, 9, dtype=torch.float64, requires_grad=True)
    rois = torch.tensor([[0.0, 1, 1, 12, 9], [1, 3, 4, 17, 17], [1, 0, 0, 5, 17]]).double()
    layer = kind(0.5, 3, 5, False, sample_per_part=2, trans_std=0.1, deform_fc_channels=6).double()
    shapes = {name: tuple(p.shape) for name, p in layer.state_dict().items()}
    expected_shapes = {"offset_fc.0": (6, 45), "offset_fc.2": (6, 6), "offset_fc.4": (18, 6)}
    if modulated:
        expected_shapes |= {"mask_fc.0": (6, 45), "mask_fc.2": (9, 6)}
    for name, (rows, columns) in expected_shapes.items():
        assert shapes.pop(f"{name}.weight") == (rows, columns)
        assert shapes.pop(f"{name}.bias") == (rows,)
    assert not shapes

    still = ops.deform_roi_pooling(x, rois, None, 0.5, 3, 5, True, sample_per_part=2)
    begins_as = still / 2 if modulated else still
    torch.testing.assert_close(layer(x, rois), begins_as, rtol=1e-12, atol=1e-12)

    weights = {k: torch.randn(v.shape, dtype=v.dtype) for k, v in layer.state_dict().items()}
    layer.load_state_dict(weights)

    def product(values, name):
        return values @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    flat = still.reshape(3, 45)
    hidden = product(product(flat, "offset_fc.0").clamp_min(0), "offset_fc.2").clamp_min(0)
    offset = product(hidden, "offset_fc.4").reshape(3, 2, 3, 3)
    expected = ops.deform_roi_pooling(x, rois, offset, 0.5, 3, 5, False, 1, 3, 2, 0.1)
    assert (expected - still).abs().max() > 0.1
    if modulated:
        mask = product(product(flat, "mask_fc.0").clamp_min(0), "mask_fc.2")
        expected = expected / (1 + torch.exp(-mask)).reshape(3, 1, 3, 3)
    ours = layer(x, rois)
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)
    grads = [torch.autograd.grad(y.square().sum(), x)[0] for y in (ours, expected)]
    torch.testing.assert_close(*grads, rtol=1e-10, atol=1e-10)
    layer(x, rois).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in layer.parameters())

    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, rois), ours, rtol=1e-12, atol=1e-12)
    assert layer(x, rois[:0]).shape == (0, 5, 3, 3)
    plain = kind(0.5, 3, 5, no_trans=True, sample_per_part=2)
    assert not list(plain.parameters())
    assert torch.equal(plain(x, rois), still)
