"""ResNet: its table, names, counts and features, against torch's own operators."""

from __future__ import annotations

import pickle

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("_ext.kernels", reason="run `python build_ffi.py` first")

from resnet import (  # noqa: E402
    BLOCKS,
    FPN,
    NORMS,
    STAGE_SPECS,
    STEMS,
    Backbone,
    BasicBlock,
    Bottleneck,
    FrozenBatchNorm2d,
    Registry,
    ResNet,
    ResNetClassifier,
    ResNetHead,
    StageSpec,
    Stem,
    build_classifier,
    build_resnet,
)
from resnet.deformable import Deformable  # noqa: E402
from resnet.norms import group_norm  # noqa: E402

BASIC = dict(block="BasicBlockWithFixedBatchNorm", res2_out_channels=64)


# Entries of the state_dict and parameters, as counted on the original's models; those of 18 and 34
# are torchvision's without fc and num_batches_tracked.
@pytest.mark.parametrize(
    ("name", "entries", "parameters", "settings"),
    [
        ("R-50-C4", 215, 8_512_704, {}),
        ("R-50-C5", 265, 23_454_912, {}),
        ("R-101-C5", 520, 42_394_816, {}),
        ("R-50-FPN", 265, 23_454_912, {}),
        ("R-50-FPN-RETINANET", 265, 23_454_912, {}),
        ("R-101-FPN", 520, 42_394_816, {}),
        ("R-101-FPN-RETINANET", 520, 42_394_816, {}),
        ("R-152-FPN", 775, 57_992_384, {}),
        ("R-18-FPN", 100, 11_166_912, BASIC),
        ("R-34-FPN", 180, 21_267_648, BASIC),
    ],
)
def test_sizes_of_the_models(name, entries, parameters, settings):
    with torch.device("meta"):
        model = build_resnet(name, **settings)
    assert len(model.state_dict()) == entries
    assert sum(p.numel() for p in model.parameters()) == parameters
    returned = [stage for stage, flag in model.return_features.items() if flag]
    every = ["layer1", "layer2", "layer3", "layer4"]
    assert returned == {"C4": ["layer3"], "C5": ["layer4"]}.get(name[-2:], every)
    assert model.feature_strides == dict(
        zip(["stem", *model.stages], [4, 4, 8, 16, 32], strict=False)
    )


def test_names_of_the_state_dict():
    with torch.device("meta"):
        names = set(build_resnet("R-50-C5").state_dict())
    norm = ["weight", "bias", "running_mean", "running_var"]
    expected = {"stem.conv1.weight", *(f"stem.bn1.{field}" for field in norm)}
    for stage, blocks in enumerate([3, 4, 6, 3], start=1):
        for block in range(blocks):
            for number in (1, 2, 3):
                expected.add(f"layer{stage}.{block}.conv{number}.weight")
                expected |= {f"layer{stage}.{block}.bn{number}.{field}" for field in norm}
        expected.add(f"layer{stage}.0.downsample.0.weight")
        expected |= {f"layer{stage}.0.downsample.1.{field}" for field in norm}
    assert names == expected


def randomize_norms(model: torch.nn.Module) -> None:
    """Statistics and affine parameters that are not those of an untrained model."""
    for name, buffer in model.named_buffers():
        with torch.no_grad():
            if name.endswith(("running_var", "weight")):
                buffer.uniform_(0.5, 1.5)
            elif buffer.is_floating_point():  # a batch norm's count is not
                buffer.normal_(0, 0.1)


def reference_features(state, x, blocks, stride_in_1x1, groups=1):
    """The features of all stages in torch's operators, straight from a state_dict."""

    def norm(x, name):
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        return F.batch_norm(
            x, state[f"{name}.running_mean"], state[f"{name}.running_var"], weight, bias, eps=0.0
        )

    x = F.conv2d(x, state["stem.conv1.weight"], stride=2, padding=3)
    x = F.max_pool2d(F.relu(norm(x, "stem.bn1")), 3, 2, 1)
    features = []
    for stage, count in enumerate(blocks, start=1):
        for block in range(count):
            stride = 2 if stage > 1 and block == 0 else 1
            at = f"layer{stage}.{block}"
            first, second = (stride, 1) if stride_in_1x1 else (1, stride)
            y = F.relu(norm(F.conv2d(x, state[f"{at}.conv1.weight"], stride=first), f"{at}.bn1"))
            y = F.conv2d(y, state[f"{at}.conv2.weight"], stride=second, padding=1, groups=groups)
            y = F.relu(norm(y, f"{at}.bn2"))
            y = norm(F.conv2d(y, state[f"{at}.conv3.weight"]), f"{at}.bn3")
            if f"{at}.downsample.0.weight" in state:
                x = norm(
                    F.conv2d(x, state[f"{at}.downsample.0.weight"], stride=stride),
                    f"{at}.downsample.1",
                )
            x = F.relu(x + y)
        features.append(x)
    return features


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("stride_in_1x1", [True, False])
@pytest.mark.parametrize("grad", [True, False])
def test_features_equal_torchs(stride_in_1x1, memory_format, grad):
    torch.manual_seed(0)
    model = ResNet(STAGE_SPECS["R-50-FPN"], stride_in_1x1=stride_in_1x1)
    randomize_norms(model)
    model = model.to(memory_format=memory_format)
    images = torch.randn(2, 3, 65, 96).contiguous(memory_format=memory_format)
    before = images.clone()
    with torch.set_grad_enabled(grad):
        ours = model(images)
    assert torch.equal(images, before)
    with torch.no_grad():
        theirs = reference_features(model.state_dict(), images, [3, 4, 6, 3], stride_in_1x1)
    shapes = [(2, 256, 17, 24), (2, 512, 9, 12), (2, 1024, 5, 6), (2, 2048, 3, 3)]
    assert [tuple(feature.shape) for feature in ours] == shapes
    for feature, reference in zip(ours, theirs, strict=True):
        assert (feature - reference).abs().max() <= 1e-5 * reference.abs().max()


def test_gradients_equal_torchs():
    torch.manual_seed(0)
    model = ResNet(
        [StageSpec(1, 1, False), StageSpec(2, 2, True)], num_groups=2, width_per_group=16
    ).double()
    randomize_norms(model)
    images = torch.randn(2, 3, 33, 40, dtype=torch.float64)
    parameters = dict(model.named_parameters())
    (feature,) = model(images)
    ours = torch.autograd.grad(feature.square().sum(), list(parameters.values()))
    state = {**model.state_dict(), **parameters}
    *_, reference = reference_features(state, images, [1, 2], True, groups=2)
    theirs = torch.autograd.grad(reference.square().sum(), list(parameters.values()))
    for name, a, b in zip(parameters, ours, theirs, strict=True):
        assert (a - b).abs().max() <= 1e-10 * b.abs().max(), name


def test_frozen_batch_norm_layer():
    torch.manual_seed(0)
    layer = FrozenBatchNorm2d(5, eps=1e-5)
    randomize_norms(layer)
    x = torch.randn(2, 5, 4, 3)
    reference = F.batch_norm(
        x, layer.running_mean, layer.running_var, layer.weight, layer.bias, eps=1e-5
    )
    torch.testing.assert_close(layer(x), reference, rtol=1e-5, atol=1e-6)
    assert not list(layer.parameters()) and repr(layer) == "FrozenBatchNorm2d(5, eps=1e-05)"


def test_dilated_bottleneck_keeps_the_size():
    block = Bottleneck(64, 32, 128, stride=2, dilation=2)
    assert block(torch.randn(1, 64, 14, 14)).shape == (1, 128, 14, 14)
    assert block.conv2.padding == (2, 2)
    assert Stem(32)(torch.randn(1, 3, 64, 50)).shape == (1, 32, 16, 13)


# The original: freeze_at 2 leaves 42 of R-50's 53 convolutions to train.
@pytest.mark.parametrize(("freeze_at", "trained"), [(-1, 53), (0, 53), (1, 52), (2, 42), (5, 0)])
def test_freezing(freeze_at, trained):
    with torch.device("meta"):
        model = build_resnet("R-50-C5", freeze_at=freeze_at)
    assert sum(p.requires_grad for p in model.parameters()) == trained


def test_freezing_less_trains_more_again():
    stages = [StageSpec(i, 1, True) for i in (1, 2, 3)]
    model = ResNet(stages, block="BottleneckWithBatchNorm", res2_out_channels=32, freeze_at=4)
    for freeze_at, frozen in [(1, {"stem"}), (3, {"stem", "layer1", "layer2"}), (0, set())]:
        model.freeze(freeze_at)
        for name, part in model.named_children():
            trains = {p.requires_grad for p in part.parameters()} | {part.training}
            assert trains == {name not in frozen}


def test_hooks_keep_what_layers_gave():
    model = ResNet([StageSpec(1, 1, True)], res2_out_channels=32, stem_out_channels=8).eval()
    deformable = ResNet(
        [StageSpec(1, 1, True)],
        res2_out_channels=32,
        stem_out_channels=8,
        deformable=[Deformable()],
    )
    inner = deformable.layer1[0].conv2.conv
    model.layer1[0].bn1 = torch.nn.Sequential(model.layer1[0].bn1)
    for part, owner in [
        (model.layer1[0].conv1, model),
        (model.layer1[0].downsample[0], model),
        (model.layer1[0].bn1[0], model),
        (inner, deformable.eval()),
    ]:
        kept = []
        handle = part.register_forward_hook(lambda m, x, y, kept=kept: kept.append((y, y.clone())))
        with torch.no_grad():
            owner(torch.randn(1, 3, 32, 32))
        handle.remove()
        ((result, copy),) = kept
        assert torch.equal(result, copy)


def formula(norm, x):
    """What a norm in evaluation gives alone."""
    return F.batch_norm(
        x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
    )


@pytest.mark.parametrize("kind", ["FixedBatchNorm", "BatchNorm"])
def test_hooks_of_norms_see_what_the_norms_take_and_give(kind):
    model = ResNet(
        [StageSpec(1, 2, True)], block=f"BottleneckWith{kind}", res2_out_channels=32
    ).eval()
    randomize_norms(model)
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        expected = model(images)
    norms = [model.stem.bn1, model.layer1[0].downsample[1], model.layer1[1].bn3]
    kept = []
    for norm in norms:  # with the residual and the ReLU after them, and without
        norm.register_forward_hook(lambda m, x, y: kept.append((m, x, y)))
    with torch.no_grad():
        torch.testing.assert_close(model(images), expected)
        assert len(kept) == 3
        for norm, given, result in kept:
            assert len(given) == 1
            torch.testing.assert_close(result, formula(norm, given[0]), rtol=1e-4, atol=1e-5)
            assert result.min() < 0
    model.layer1[1].bn3.register_full_backward_hook(lambda *_: None)
    model(images)[0].sum().backward()
    assert model.layer1[0].conv1.weight.grad.abs().max() > 0


@pytest.mark.parametrize("layers", [["conv1"], ["conv1", "bn1"]])
def test_a_layer_that_was_taken_out_gives_the_blocks_input_which_stays_what_it_is(layers):
    """As where one asks how much a layer does. What is added at the end is the block's own input."""
    block = BasicBlock(16, 16, 16)
    randomize_norms(block.eval())
    for name in layers:
        setattr(block, name, torch.nn.Identity())
    given = torch.randn(1, 16, 6, 5, requires_grad=True)
    x = given.relu()
    y = F.relu(x if "bn1" in layers else formula(block.bn1, x))
    y = F.relu(x + formula(block.bn2, F.conv2d(y, block.conv2.weight, padding=1)))
    torch.testing.assert_close(block(x), y, rtol=1e-4, atol=1e-5)
    grads = (torch.autograd.grad(z.sum(), given, retain_graph=True) for z in (block(x), y))
    (ours,), (theirs,) = grads
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(block(x.clone()), y, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "make",
    [ResNet, ResNetClassifier, lambda specs: Backbone(ResNet(specs), FPN([256], 32, relu=True))],
)
def test_hooks_of_all_modules_keep_what_they_see(make):
    model = make([StageSpec(1, 2, True)])
    randomize_norms(model.eval())
    kept = []

    def keep(module, given, result):
        results = [result] if isinstance(result, torch.Tensor) else result
        values = [value for value in (*given, *results) if isinstance(value, torch.Tensor)]
        kept.extend((value, value.clone()) for value in values)

    handle = torch.nn.modules.module.register_module_forward_hook(keep)
    try:
        with torch.no_grad():
            model(torch.randn(1, 3, 32, 32))
    finally:
        handle.remove()
    assert len(kept) > 40 and all(torch.equal(value, copy) for value, copy in kept)


@pytest.mark.parametrize("kind", ["full_backward_hook", "full_backward_pre_hook"])
@pytest.mark.parametrize("every", [False, True])
def test_hooks_of_gradients_change_none(kind, every):
    model = ResNet([StageSpec(1, 1, True)], block="BottleneckWithGN", stem="StemWithGN")
    images, seen = torch.randn(1, 3, 32, 32, requires_grad=True), []
    model(images)[0].sum().backward()
    expected = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    everywhere = getattr(torch.nn.modules.module, f"register_module_{kind}")
    registers = [everywhere] if every else [getattr(m, f"register_{kind}") for m in model.modules()]
    handles = [register(lambda module, *_: seen.append(module)) for register in registers]
    try:
        model(images)[0].sum().backward()
    finally:
        for handle in handles:
            handle.remove()
    torch.testing.assert_close([parameter.grad for parameter in model.parameters()], expected)
    assert {model.stem.bn1, model.layer1[0].bn3, model.layer1[0].downsample[1]} <= {*seen}


def test_models_of_norms_that_are_lambdas_can_be_pickled():
    norms = NORMS | {"FrozenBN": lambda channels: FrozenBatchNorm2d(channels, eps=1e-5)}
    for build in (ResNet, ResNetHead):
        pickle.dumps(build([StageSpec(1, 1, True)], norms=norms))


@pytest.mark.parametrize(("settings", "stem"), [({}, 64), (BASIC, 64)])
@pytest.mark.parametrize("first", [1, 2, 4])
def test_a_head_takes_what_the_stage_before_gives(settings, stem, first):
    body = ResNet([StageSpec(i, 1, True) for i in (1, 2, 3)], stem_out_channels=stem, **settings)
    x = torch.randn(1, 3, 64, 64)
    before = body.stem(x) if first == 1 else body(x)[first - 2]
    head = ResNetHead([StageSpec(first, 1, True)], **settings)
    assert head(before).shape[1] == head.out_channels


def test_a_trained_batch_norms_state_loads_into_a_frozen_one():
    trained = torch.nn.BatchNorm2d(4)
    trained(torch.randn(2, 4, 5, 5))
    frozen = FrozenBatchNorm2d(4, eps=trained.eps)
    state = trained.state_dict()
    frozen.load_state_dict(state)
    assert "num_batches_tracked" in state  # which is the caller's
    x = torch.randn(2, 4, 5, 5)
    torch.testing.assert_close(frozen(x), trained.eval()(x))
    with pytest.raises(RuntimeError, match="Unexpected key.*other"):
        frozen.load_state_dict({**state, "other": torch.ones(1)})


def test_training_step_lowers_the_loss():
    torch.manual_seed(0)
    model = ResNet(
        [StageSpec(1, 1, True)], stem_out_channels=8, res2_out_channels=16, width_per_group=4
    )
    images = torch.randn(4, 3, 32, 32)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = (model(images)[0].mean((1, 2, 3)) - torch.arange(4.0)).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_bad_settings_are_explained():
    with pytest.raises(
        KeyError, match=r"no stage table 'R-50-FNP'; expected one of .*; did you mean 'R-50-FPN'"
    ):
        build_resnet("R-50-FNP")
    with pytest.raises(ValueError, match=r"stages 1, 2, ... up to 4 in order, got \[2\]"):
        ResNet([StageSpec(2, 3, True)])
    with pytest.raises(
        ValueError,
        match="freeze_at must be at most 4 for the parts stem, layer1, layer2, layer3, got 5",
    ):
        build_resnet("R-50-C4", freeze_at=5)
    for name in ("R-18-C5", "R-34-FPN"):
        text = f"{name} is made of basic blocks, .* got BottleneckWithFixedBatchNorm"
        with pytest.raises(ValueError, match=text):
            build_resnet(name)
        text = f"res2_out_channels: expected 64 for {name}, .* got 256"
        with pytest.raises(ValueError, match=text), torch.device("meta"):  # 1.4 GB of weights
            build_resnet(name, block=BASIC["block"])
    for build in (ResNet, ResNetHead):
        for wrong in ("R-50", 3, [1]):
            with pytest.raises(ValueError, match=f"{build.__name__}: stage_specs must be a table"):
                build(wrong)
    with pytest.raises(ValueError, match="num_classes must be a number of at least 1, got 'a'"):
        build_classifier("R-50", num_classes="a")
    with pytest.raises(ValueError, match="one entry for each of the 4 stages, got 1"):
        build_resnet("R-50-C5", deformable=[None])
    with pytest.raises(ValueError, match="stage 1: block_count must be at least 1, got 0"):
        ResNet([StageSpec(1, 0, True)])
    with pytest.raises(ValueError, match=r"stages that follow each other.*got \[2, 4\]"):
        ResNetHead([StageSpec(2, 1, False), StageSpec(4, 1, False)])
    for channels in ([], [8, 0]):
        with pytest.raises(ValueError, match="FPN: in_channels must end with the channels of a"):
            FPN(channels, 8)
    with pytest.raises(ValueError, match="FPN: expected features of 2 stages, .* got 1"):
        FPN([4, 8], 8)([torch.ones(1, 8, 2, 2)])
    with pytest.raises(ValueError, match="BasicBlock has neither groups.*got num_groups=2"):
        BasicBlock(8, 8, 8, num_groups=2)
    with pytest.raises(ValueError, match="needs a norm whose weight trains, got FrozenBatchNorm2d"):
        ResNet([StageSpec(1, 1, True)], zero_init_residual=True)
    with pytest.raises(
        ValueError, match="MODEL.GROUP_NORM.NUM_GROUPS must divide the layer's 48 .*, got 32"
    ):
        group_norm(48)
    with pytest.raises(
        ValueError, match="either MODEL.GROUP_NORM.NUM_GROUPS or .*NUM_GROUPS 32 and DIM_"
    ):
        group_norm(64, dim_per_gp=8)


def test_registries():
    things = Registry("thing")
    things.register("called", 1)

    @things.register("stacked")
    @things.register("once")
    def function():
        return 2

    assert things == {"called": 1, "once": function, "stacked": function}
    with pytest.raises(ValueError, match="thing 'once' is registered already.*another name"):
        things.register("once", 3)
    with pytest.raises(KeyError, match="no thing 'stackd'; .*did you mean 'stacked'"):
        things["stackd"]
    for registry, parts in [(STEMS, ["Stem", "SmallStem"]), (BLOCKS, ["Bottleneck", "BasicBlock"])]:
        suffixes = ["FixedBatchNorm", "GN", "BatchNorm"]
        assert list(registry) == [f"{part}With{suffix}" for part in parts for suffix in suffixes]


def test_a_registered_block_builds_a_stage():
    class Halved(Bottleneck):
        norm_type = "BN"

    model = ResNet([StageSpec(1, 1, True)], block=Halved)
    assert isinstance(model.layer1[0], Halved)
    assert isinstance(model.layer1[0].bn1, torch.nn.BatchNorm2d)
    assert isinstance(model.stem.bn1, FrozenBatchNorm2d)


# The original's head: (2, 1024, 14, 14) -> (2, 2048, 7, 7), and 14 x 14 if dilated or so told.
@pytest.mark.parametrize(
    ("settings", "size"), [({}, 7), ({"dilation": 2}, 14), ({"stride_init": 1}, 14)]
)
def test_head_of_one_stage(settings, size):
    head = ResNetHead([StageSpec(4, 1, False)], **settings)
    with torch.no_grad():
        assert head(torch.randn(2, 1024, 14, 14)).shape == (2, 2048, size, size)
        assert head(torch.randn(0, 1024, 14, 14)).shape == (0, 2048, size, size)
    assert head.out_channels == 2048
    assert set(head.state_dict()) == {
        name for name in build_resnet("R-50-C5").state_dict() if name.startswith("layer4.0.")
    }


def test_head_of_several_stages_is_the_end_of_the_body():
    torch.manual_seed(0)
    body = build_resnet("R-50-FPN").eval()
    randomize_norms(body)
    head = ResNetHead([StageSpec(3, 6, False), StageSpec(4, 3, False)]).eval()
    state = {k: v for k, v in body.state_dict().items() if k.startswith(("layer3", "layer4"))}
    head.load_state_dict(state)
    with torch.no_grad():
        features = body(torch.randn(1, 3, 64, 64))
        assert torch.equal(head(features[1]), features[3])
    assert ResNetHead([StageSpec(1, 1, False)])(torch.zeros(1, 64, 4, 4)).shape == (1, 256, 4, 4)


def test_dilation_of_res5_replaces_its_stride():
    model = build_resnet("R-50-C5", res5_dilation=2, width_per_group=8, res2_out_channels=32)
    assert model.layer4[0].conv2.dilation == (2, 2) and model.layer3[0].conv2.dilation == (1, 1)
    (feature,) = model(torch.randn(1, 3, 64, 64))
    assert feature.shape == (1, 256, 4, 4) and model.feature_strides["layer4"] == 16


def test_frozen_batch_norms_do_not_train():
    model = ResNet(
        [StageSpec(1, 1, True), StageSpec(2, 1, True)],
        stem="StemWithBatchNorm",
        block="BottleneckWithBatchNorm",
        freeze_at=2,
    ).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model(torch.randn(2, 3, 32, 32))
    changed = {name for name, value in model.state_dict().items() if (value != before[name]).any()}
    assert changed and all(name.startswith("layer2") for name in changed)


def test_zero_init_residual_begins_as_the_identity():
    model = ResNet([StageSpec(1, 2, True)], block="BottleneckWithGN", zero_init_residual=True)
    assert model.layer1[1].bn3.weight.abs().max() == 0
    x = torch.randn(1, 256, 4, 4).relu()
    assert torch.equal(model.layer1[1](x), x)


def test_checkpointing_gives_the_same_gradients():
    torch.manual_seed(0)
    model = ResNet([StageSpec(1, 2, True)], res2_out_channels=32, width_per_group=8)
    images = torch.randn(1, 3, 32, 32)
    parameters = list(model.parameters())
    plain = torch.autograd.grad(model(images)[0].square().sum(), parameters)
    calls = []
    hook = model.layer1[0].register_forward_pre_hook(lambda *_: calls.append(1))
    model.set_grad_checkpointing()
    again = torch.autograd.grad(model(images)[0].square().sum(), parameters)
    hook.remove()
    assert len(calls) == 2  # forward, and once more for the backward pass
    for a, b in zip(plain, again, strict=True):
        assert torch.equal(a, b)
