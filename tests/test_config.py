"""The configuration: the original's keys, defaults and files, what it refuses, and what it builds."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("_ext.kernels", reason="run `python build_ffi.py` first")
yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")

from resnet import NORMS, Config, FrozenBatchNorm2d, build_backbone  # noqa: E402
from resnet.config import leaves  # noqa: E402
from resnet.config_checks import CHECKS  # noqa: E402

# The defaults of maskrcnn-benchmark's defaults.py for what this project uses.
DEFAULTS = {
    "MODEL.RESNETS.NUM_GROUPS": 1,
    "MODEL.RESNETS.WIDTH_PER_GROUP": 64,
    "MODEL.RESNETS.STRIDE_IN_1X1": True,
    "MODEL.RESNETS.TRANS_FUNC": "BottleneckWithFixedBatchNorm",
    "MODEL.RESNETS.STEM_FUNC": "StemWithFixedBatchNorm",
    "MODEL.RESNETS.RES5_DILATION": 1,
    "MODEL.RESNETS.BACKBONE_OUT_CHANNELS": 1024,
    "MODEL.RESNETS.RES2_OUT_CHANNELS": 256,
    "MODEL.RESNETS.STEM_OUT_CHANNELS": 64,
    "MODEL.RESNETS.STAGE_WITH_DCN": (False, False, False, False),
    "MODEL.RESNETS.WITH_MODULATED_DCN": False,
    "MODEL.RESNETS.DEFORMABLE_GROUPS": 1,
    "MODEL.BACKBONE.CONV_BODY": "R-50-C4",
    "MODEL.BACKBONE.FREEZE_CONV_BODY_AT": 2,
    "MODEL.FPN.USE_GN": False,
    "MODEL.FPN.USE_RELU": False,
    "MODEL.GROUP_NORM.DIM_PER_GP": -1,
    "MODEL.GROUP_NORM.NUM_GROUPS": 32,
    "MODEL.GROUP_NORM.EPSILON": 1e-5,
    "MODEL.RETINANET.USE_C5": True,
    "INPUT.MIN_SIZE_TRAIN": (800,),
    "INPUT.MAX_SIZE_TRAIN": 1333,
    "INPUT.MIN_SIZE_TEST": 800,
    "INPUT.MAX_SIZE_TEST": 1333,
    "INPUT.PIXEL_MEAN": (102.9801, 115.9465, 122.7717),
    "INPUT.PIXEL_STD": (1.0, 1.0, 1.0),
    "INPUT.TO_BGR255": True,
    "INPUT.BRIGHTNESS": 0.0,
    "INPUT.CONTRAST": 0.0,
    "INPUT.SATURATION": 0.0,
    "INPUT.HUE": 0.0,
    "INPUT.HORIZONTAL_FLIP_PROB_TRAIN": 0.5,
    "INPUT.VERTICAL_FLIP_PROB_TRAIN": 0.0,
    "DATALOADER.NUM_WORKERS": 4,
    "DATALOADER.SIZE_DIVISIBILITY": 0,
    "DATALOADER.ASPECT_RATIO_GROUPING": True,
}

# Written as the original's files are: tuples as text, an exponent without a point, sections of the
# detector, and one section in two places.
MODULATED = """\
INPUT:
  MIN_SIZE_TRAIN: (640, 800)
MODEL:
  META_ARCHITECTURE: "GeneralizedRCNN"
  WEIGHT: "catalog://ImageNetPretrained/MSRA/R-50"
  BACKBONE:
    CONV_BODY: "R-50-FPN"
  RESNETS:
    BACKBONE_OUT_CHANNELS: 256
    STAGE_WITH_DCN: (False, True, True, True)
    WITH_MODULATED_DCN: True
  GROUP_NORM:
    EPSILON: 1e-4
  RPN:
    USE_FPN: True
    ANCHOR_STRIDE: (4, 8, 16, 32, 64)
  RESNETS:
    STRIDE_IN_1X1: False
DATASETS:
  TEST: ("coco_2014_minival",)
DATALOADER:
  SIZE_DIVISIBILITY: 32
SOLVER:
  BASE_LR: 2e-2
  STEPS: (60000, 80000)
  WARMUP: {METHOD: linear, FACTORS: "(0.1, None)"}
"""


def test_defaults():
    found = {key: value for key, _, value in leaves(Config())}
    assert {key: found[key] for key in DEFAULTS} == DEFAULTS
    assert set(CHECKS) <= set(DEFAULTS)


def test_a_file_of_the_originals_form(tmp_path):
    path = tmp_path / "modulated.yaml"
    path.write_text(MODULATED)
    config = Config.from_yaml(path, {"MODEL.RESNETS.DEFORMABLE_GROUPS": 2, "SOLVER.GAMMA": 0.5})
    changed = {
        "INPUT.MIN_SIZE_TRAIN": (640, 800),
        "MODEL.BACKBONE.CONV_BODY": "R-50-FPN",
        "MODEL.RESNETS.BACKBONE_OUT_CHANNELS": 256,
        "MODEL.RESNETS.STAGE_WITH_DCN": (False, True, True, True),
        "MODEL.RESNETS.WITH_MODULATED_DCN": True,
        "MODEL.RESNETS.STRIDE_IN_1X1": False,
        "MODEL.RESNETS.DEFORMABLE_GROUPS": 2,
        "MODEL.GROUP_NORM.EPSILON": 1e-4,
        "DATALOADER.SIZE_DIVISIBILITY": 32,
    }
    found = {key: value for key, _, value in leaves(config)}
    assert {key: found[key] for key in DEFAULTS} == DEFAULTS | changed
    assert found["MODEL.WEIGHT"] == "catalog://ImageNetPretrained/MSRA/R-50"
    assert found["MODEL.RPN"] == {"USE_FPN": True, "ANCHOR_STRIDE": (4, 8, 16, 32, 64)}
    assert found["DATASETS"] == {"TEST": ("coco_2014_minival",)}
    warmup = {"METHOD": "linear", "FACTORS": (0.1, None)}
    assert found["SOLVER"] == {
        "BASE_LR": 0.02,
        "GAMMA": 0.5,
        "STEPS": (60000, 80000),
        "WARMUP": warmup,
    }
    assert Config().MODEL.RESNETS.STRIDE_IN_1X1 and not Config().SOLVER  # defaults are not shared


def test_a_section_in_two_places_counts_with_all_keys_of_both(tmp_path):
    path = tmp_path / "twice.yaml"
    path.write_text("""\
MODEL:
  RPN: {ANCHORS: &anchors {SIZES: {SMALL: 1}}, OTHER: *anchors}
  RESNETS:
    NUM_GROUPS: 32
MODEL:
  RPN: {ANCHORS: {SIZES: {LARGE: 2}}}
  RESNETS:
    WIDTH_PER_GROUP: 8
""")
    model = Config.from_yaml(path).MODEL
    assert (model.RESNETS.NUM_GROUPS, model.RESNETS.WIDTH_PER_GROUP) == (32, 8)
    assert model.RPN["ANCHORS"] == {"SIZES": {"SMALL": 1, "LARGE": 2}}
    assert model.RPN["OTHER"] == {"SIZES": {"SMALL": 1}}


def test_sections_that_take_over_others_keys(tmp_path):
    path = tmp_path / "merge.yaml"
    path.write_text("""\
TEST: &first {A: 1, B: {C: 1}}
DATASETS: &second {<<: *first, A: 2, D: 2}
SOLVER: {<<: [*first, *second], B: {E: 3}}
""")
    config = Config.from_yaml(path)
    theirs = yaml.safe_load(path.read_text())
    assert tuple(theirs.values()) == (config.TEST, config.DATASETS, config.SOLVER)
    assert config.SOLVER == {"A": 1, "B": {"E": 3}, "D": 2}


def test_earlier_name_of_a_key():
    config = Config.from_dict({"MODEL": {"BACKBONE": {"OUT_CHANNELS": 256}}})
    assert config.MODEL.RESNETS.BACKBONE_OUT_CHANNELS == 256


@pytest.mark.parametrize("key", DEFAULTS)
def test_every_value_of_a_wrong_type_is_named(key):
    default = DEFAULTS[key]
    wrong = 7 if isinstance(default, str) else "seven"
    with pytest.raises(ValueError, match=rf"^{key}: expected .*, got {wrong!r}$"):
        Config.from_dict({key: wrong})
    with pytest.raises(ValueError, match=rf"^{key}: expected .*, got None$"):
        Config.from_dict({key: None})


BAD = {
    "MODEL.RESNETS.NUM_GROUPS": 0,
    "MODEL.RESNETS.WIDTH_PER_GROUP": -8,
    "MODEL.RESNETS.TRANS_FUNC": "",
    "MODEL.RESNETS.STEM_FUNC": "",
    "MODEL.RESNETS.RES5_DILATION": 0,
    "MODEL.RESNETS.BACKBONE_OUT_CHANNELS": 0,
    "MODEL.RESNETS.RES2_OUT_CHANNELS": 0,
    "MODEL.RESNETS.STEM_OUT_CHANNELS": 0,
    "MODEL.RESNETS.STAGE_WITH_DCN": (True, False),
    "MODEL.RESNETS.DEFORMABLE_GROUPS": 0,
    "MODEL.BACKBONE.CONV_BODY": "",
    "MODEL.BACKBONE.FREEZE_CONV_BODY_AT": 6,
    "MODEL.GROUP_NORM.DIM_PER_GP": 0,
    "MODEL.GROUP_NORM.NUM_GROUPS": -2,
    "MODEL.GROUP_NORM.EPSILON": 0,
    "INPUT.MIN_SIZE_TRAIN": (800, 0),
    "INPUT.MAX_SIZE_TRAIN": 0,
    "INPUT.MIN_SIZE_TEST": 0,
    "INPUT.MAX_SIZE_TEST": 0,
    "INPUT.PIXEL_MEAN": (1.0, 2.0),
    "INPUT.PIXEL_STD": (1.0, 0.0, 1.0),
    "INPUT.BRIGHTNESS": -1,
    "INPUT.CONTRAST": -1.0,
    "INPUT.SATURATION": -1.0,
    "INPUT.HUE": 0.6,
    "INPUT.HORIZONTAL_FLIP_PROB_TRAIN": 1.5,
    "INPUT.VERTICAL_FLIP_PROB_TRAIN": -0.5,
    "DATALOADER.NUM_WORKERS": -1,
    "DATALOADER.SIZE_DIVISIBILITY": -32,
}


@pytest.mark.parametrize("key", BAD)
def test_every_value_out_of_range_is_named(key):
    with pytest.raises(ValueError, match=rf"^{key}: expected .*, got "):
        Config.from_dict({key: BAD[key]})


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("key", ["INPUT.PIXEL_MEAN", "INPUT.PIXEL_STD"])
@pytest.mark.parametrize("place", range(3))
def test_numbers_that_are_none(key, number, place):
    values = [1.0, 1.0, 1.0]
    values[place] = number
    with pytest.raises(ValueError, match=f"^{key}: expected three finite numbers"):
        Config.from_dict({key: values})


@pytest.mark.parametrize(
    "key", ["INPUT.BRIGHTNESS", "INPUT.CONTRAST", "INPUT.SATURATION", "MODEL.GROUP_NORM.EPSILON"]
)
@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_single_numbers_that_are_none(key, number):
    with pytest.raises(ValueError, match=f"^{key}: expected a finite number .*, got {number}"):
        Config.from_dict({key: number})


def test_what_is_no_configuration():
    with pytest.raises(TypeError, match=r"build_backbone: expected a Config, got a int; make one"):
        build_backbone(3)
    config = Config.from_dict({"MODEL.BACKBONE.CONV_BODY": "R-18-FPN"})
    with pytest.raises(ValueError, match="MODEL.RESNETS.TRANS_FUNC: R-18-FPN is made of basic"):
        build_backbone(config)
    config.MODEL.RESNETS.TRANS_FUNC = "BasicBlockWithFixedBatchNorm"
    with torch.device("meta"):
        with pytest.raises(
            ValueError,
            match="MODEL.RESNETS.RES2_OUT_CHANNELS: expected 64 for R-18-FPN, .* got 256",
        ):
            build_backbone(config)
        config.MODEL.RESNETS.RES2_OUT_CHANNELS = 128  # on purpose
        assert build_backbone(config).body.feature_channels["layer1"] == 128


def test_every_range_has_such_a_case():
    assert set(BAD) == set(CHECKS)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"MODEL.RESNET.NUM_GROUPS": 1}, "MODEL.RESNET: there is no such key.*mean 'RESNETS'"),
        ({"MODEL": {"RESNETS": {"NUM_GROUP": 1}}}, "MODEL.RESNETS.NUM_GROUP: .*mean 'NUM_GROUPS'"),
        ({"MODELS": {}}, "MODELS: there is no such key; expected one of MODEL, INPUT, .*'MODEL'"),
        ({"MODEL": 3}, "MODEL: expected a section with keys, got 3"),
        ({"SOLVER": [1]}, r"SOLVER: expected a section with keys, got \[1\]"),
        ({"OUTPUT_DIR.X": 1}, "OUTPUT_DIR.X: there is no such key; OUTPUT_DIR is no section"),
        ({"MODEL.RESNETS.NUM_GROUPS": True}, "NUM_GROUPS: expected an int, got True"),
        ({"MODEL.RESNETS.NUM_GROUPS": 1.0}, "NUM_GROUPS: expected an int, got 1.0"),
        ({"MODEL.RESNETS.STRIDE_IN_1X1": 1}, "STRIDE_IN_1X1: expected true or false, a bool"),
        ({"MODEL.RESNETS.STAGE_WITH_DCN": (0, 1, 1, 1)}, "expected a tuple of bools"),
        ({"MODEL.GROUP_NORM.DIM_PER_GP": 8}, "GROUP_NORM: expected either .*NUM_GROUPS 32 and D"),
    ],
)
def test_other_mistakes_are_explained(values, text):
    with pytest.raises(ValueError, match=text):
        Config.from_dict(values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("MODEL:\n  WEIGTH: x\n", "bad.yaml: MODEL.WEIGTH: .*did you mean 'WEIGHT'"),
        ("DTYPE: a\nDTYPE: b\n", "bad.yaml: line 2: DTYPE stands there twice"),
        (
            "MODEL:\n  RPN: {X: {Y: 1}}\nMODEL:\n  RPN: {X: {Y: 2}}\n",
            "bad.yaml: line 3: MODEL.RPN.X.Y stands there twice",
        ),
        ("MODEL: {RPN: 1}\nMODEL: {RPN: {X: 1}}\n", "line 2: MODEL.RPN stands there twice"),
        ("MODEL:\n  <<: [1]\n", "bad.yaml: line 2: expected a section with keys behind <<, got 1"),
        ("MODEL: [", "bad.yaml: expected YAML, got"),
        ("A: 1\n? [1]\n: 2\n", r"bad.yaml: line 2: expected a name as key, got \[1\]"),
        ("A: {TRUE: ,[1]}\n", "bad.yaml: "),
        ("[" * 5000, "bad.yaml: expected YAML, got: maximum recursion"),
        ("- 1\n", r"bad.yaml: configuration: expected a section with keys, got \[1\]"),
        ("X: !!python/object/apply:os.getcwd []\n", "bad.yaml: expected YAML, got: could not"),
    ],
)
def test_bad_files_are_explained(tmp_path, text, message):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        Config.from_yaml(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_files_encoding_is_yamls_not_the_systems(tmp_path, encoding):
    """YAML 1.2, section 5.2: its first bytes tell."""
    path = tmp_path / "new.yaml"
    path.write_bytes("OUTPUT_DIR: Ausgänge\n".encode(encoding))
    assert Config.from_yaml(path).OUTPUT_DIR == "Ausgänge"


@pytest.mark.parametrize("end", ["DTYPE: *a30", "MODEL: *a30", "INPUT: {HUE: *a30}", "? *a30"])
def test_what_aliases_make_large_is_explained_in_short(tmp_path, end):
    lines = [f"  a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 31)]  # 2^30 numbers
    path = tmp_path / "bad.yaml"
    path.write_text("\n".join(["SOLVER:", "  a0: &a0 [1]", *lines, end]))
    with pytest.raises(ValueError, match=r"expected a .* got \[\[") as error:
        Config.from_yaml(path)
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize(
    "overrides",
    [
        {"TEST.AUG.ENABLED": True, "SOLVER.GAMMA": 0.5},
        {"TEST": {"AUG": {"ENABLED": True}}, "SOLVER": {"GAMMA": 0.5}},
        {"TEST.AUG": {"ENABLED": True}, "SOLVER": {"GAMMA": "0.5"}},
    ],
)
def test_overrides_leave_the_other_keys_of_a_section(tmp_path, overrides):
    path = tmp_path / "small.yaml"
    path.write_text("""
TEST: {IMS_PER_BATCH: 4, AUG: &aug {ENABLED: False, SCALES: "(400, 500)"}}
SOLVER: {BASE_LR: 0.1}
DATASETS: {AUG: *aug}
""")
    config = Config.from_yaml(path, overrides)
    test, solver, others = config.TEST, config.SOLVER, config.DATASETS
    assert test == {"IMS_PER_BATCH": 4, "AUG": {"ENABLED": True, "SCALES": (400, 500)}}
    assert solver == {"BASE_LR": 0.1, "GAMMA": 0.5}
    assert others == {"AUG": {"ENABLED": False, "SCALES": (400, 500)}}
    with pytest.raises(ValueError, match=r"small.yaml with overrides: MODEL.MASK: there is no"):
        Config.from_yaml(path, {"MODEL.MASK": True, **overrides})


@pytest.mark.parametrize("text", ["-" * 50_000 + "1", "1+" * 50_000 + "1", "[" * 500, "{[]: 1}"])
def test_texts_that_are_no_literals_stay_texts(text):
    assert {"NOTE": text} == Config.from_dict({"SOLVER": {"NOTE": text}}).SOLVER


def test_sections_that_aliases_make_large_are_read(tmp_path):
    path = tmp_path / "small.yaml"
    lines = [f"  A{i}: &a{i} {{X: *a{i - 1}, Y: *a{i - 1}}}" for i in range(1, 31)]
    path.write_text("\n".join(["SOLVER:", '  A0: &a0 "(1, 2)"', *lines]))
    section = Config.from_yaml(path).SOLVER["A30"]
    while isinstance(section, dict):
        section = section["X"]
    assert section == (1, 2)


# What only a model can judge.
@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"MODEL.BACKBONE.CONV_BODY": "R-50-FNP"}, "CONV_BODY: there is no backbone.*'R-50-FPN'"),
        ({"MODEL.RESNETS.TRANS_FUNC": "BottleneckWithGM"}, "TRANS_FUNC: .*mean 'BottleneckWithGN'"),
        ({"MODEL.RESNETS.STEM_FUNC": "StemWithGM"}, "STEM_FUNC: .*mean 'StemWithGN'"),
        (
            {"MODEL.BACKBONE.FREEZE_CONV_BODY_AT": 5},
            "MODEL.BACKBONE.FREEZE_CONV_BODY_AT: expected at most 4 for R-50-C4, got 5",
        ),
        (
            {
                "MODEL.RESNETS.TRANS_FUNC": "BottleneckWithGN",
                "MODEL.GROUP_NORM.NUM_GROUPS": 48,
            },
            "MODEL.GROUP_NORM.NUM_GROUPS must divide the layer's 256 channels, got 48",
        ),
    ],
)
def test_values_that_do_not_fit_together_are_explained(values, text):
    with pytest.raises(ValueError, match=text):
        build_backbone(Config.from_dict(values))


def test_assigned_values_are_checked():
    config = Config()
    config.MODEL.RESNETS.NUM_GROUPS = "32"
    config.check()
    assert config.MODEL.RESNETS.NUM_GROUPS == 32
    config.MODEL.RESNETS.STAGE_WITH_DCN = (True,)
    with pytest.raises(ValueError, match="MODEL.RESNETS.STAGE_WITH_DCN: expected four truth"):
        build_backbone(config)
    with pytest.raises(AttributeError, match="NUM_GROUP"):
        config.MODEL.RESNETS.NUM_GROUP = 32


SMALL = {
    "MODEL.RESNETS.RES2_OUT_CHANNELS": 32,
    "MODEL.RESNETS.WIDTH_PER_GROUP": 8,
    "MODEL.RESNETS.STEM_OUT_CHANNELS": 16,
    "MODEL.RESNETS.BACKBONE_OUT_CHANNELS": 24,
    "MODEL.GROUP_NORM.NUM_GROUPS": 8,
}


# Names and shapes: with images of 64 x 96, level i has sides of 64 / 2 ** i and 96 / 2 ** i, rounded up.
@pytest.mark.parametrize(
    ("body", "strides", "channels"),
    [
        ("R-50-C4", {"layer3": 16}, 128),
        ("R-50-C5", {"layer4": 32}, 256),
        ("R-50-FPN", {"P2": 4, "P3": 8, "P4": 16, "P5": 32, "P6": 64}, 24),
        ("R-50-FPN-RETINANET", {"P3": 8, "P4": 16, "P5": 32, "P6": 64, "P7": 128}, 24),
    ],
)
@pytest.mark.parametrize("batch", [2, 0])
def test_backbones_name_their_features(body, strides, channels, batch):
    backbone = build_backbone(Config.from_dict(SMALL | {"MODEL.BACKBONE.CONV_BODY": body}))
    assert backbone.feature_strides == strides and backbone.out_channels == channels
    with torch.no_grad():
        features = backbone.named(torch.randn(batch, 3, 64, 96))
    assert {name: tuple(value.shape) for name, value in features.items()} == {
        name: (batch, channels, -(-64 // stride), -(-96 // stride))
        for name, stride in strides.items()
    }


def test_other_norms_stand_for_the_configurations_names():
    norms = NORMS | {"FrozenBN": lambda channels: FrozenBatchNorm2d(channels, eps=1e-5)}
    body = build_backbone(Config.from_dict(SMALL), norms=norms).body
    frozen = [part for part in body.modules() if isinstance(part, FrozenBatchNorm2d)]
    assert len(frozen) > 5 and {norm.eps for norm in frozen} == {1e-5}


def test_weights_begin_as_the_originals():
    """kaiming_uniform_ with a = 1, uniform up to sqrt(3 / inputs of an output); biases are 0."""
    torch.manual_seed(0)
    body = {"MODEL.BACKBONE.CONV_BODY": "R-50-FPN-RETINANET"}
    layers = build_backbone(Config.from_dict(SMALL | body)).modules()
    convolutions = [layer for layer in layers if isinstance(layer, torch.nn.Conv2d)]
    assert {layer.bias is None for layer in convolutions} == {True, False}
    for layer in convolutions:
        bound = (3 / layer.weight[0].numel()) ** 0.5
        assert 0.9 * bound < layer.weight.abs().max() <= bound
        assert layer.bias is None or not layer.bias.any()


def test_names_of_the_pyramid():
    def names(**values):
        config = Config.from_dict(SMALL | {"MODEL.BACKBONE.CONV_BODY": "R-50-FPN"} | values)
        return {name for name in build_backbone(config).state_dict() if name.startswith("fpn.")}

    layers = [f"fpn.fpn_{kind}{i}" for kind in ("inner", "layer") for i in (1, 2, 3, 4)]
    assert names() == {f"{layer}.{field}" for layer in layers for field in ("weight", "bias")}
    with_gn = {f"{layer}.0.weight" for layer in layers}
    with_gn |= {f"{layer}.1.{field}" for layer in layers for field in ("weight", "bias")}
    assert names(**{"MODEL.FPN.USE_GN": True, "MODEL.FPN.USE_RELU": True}) == with_gn
    retina = {f"fpn.top_blocks.{name}.{field}" for name in ("p6", "p7") for field in
              ("weight", "bias")}  # fmt: skip
    retina |= {
        f"{layer}.{field}"
        for layer in layers
        if not layer.endswith("1")
        for field in ("weight", "bias")
    }
    assert names(**{"MODEL.BACKBONE.CONV_BODY": "R-50-FPN-RETINANET"}) == retina


@pytest.mark.parametrize("use_c5", [True, False])
def test_pyramid_equals_its_formula(use_c5):
    """In NumPy's terms: each level is the 3x3 of the 1x1 plus the level above, repeated 2 x 2."""
    torch.manual_seed(0)
    config = Config.from_dict(
        SMALL | {"MODEL.BACKBONE.CONV_BODY": "R-50-FPN-RETINANET", "MODEL.RETINANET.USE_C5": use_c5}
    )
    backbone = build_backbone(config).double()
    fpn = {name: value for name, value in backbone.fpn.state_dict().items()}
    images = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        c2, c3, c4, c5 = backbone.body(images)
        levels = backbone(images)

        def conv(name, x, stride=1):
            weight = fpn[f"{name}.weight"]
            padding = weight.shape[2] // 2
            return F.conv2d(x, weight, fpn[f"{name}.bias"], stride, padding)

        inner = conv("fpn_inner4", c5)
        expected = [conv("fpn_layer4", inner)]
        for i, feature in [(3, c4), (2, c3)]:
            above = inner.repeat_interleave(2, 2).repeat_interleave(2, 3)
            inner = conv(f"fpn_inner{i}", feature) + above
            expected.insert(0, conv(f"fpn_layer{i}", inner))
        p6 = conv("top_blocks.p6", c5 if use_c5 else expected[-1], stride=2)
        expected += [p6, conv("top_blocks.p7", p6.clamp_min(0), stride=2)]
    for ours, theirs in zip(levels, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_group_norm_comes_from_the_configuration():
    config = Config.from_dict(
        SMALL
        | {
            "MODEL.RESNETS.TRANS_FUNC": "BottleneckWithGN",
            "MODEL.RESNETS.STEM_FUNC": "StemWithGN",
            "MODEL.GROUP_NORM.NUM_GROUPS": -1,
            "MODEL.GROUP_NORM.DIM_PER_GP": 4,
            "MODEL.GROUP_NORM.EPSILON": 1e-3,
        }
    )
    norm = build_backbone(config).body.layer1[0].bn3
    assert (norm.num_groups, norm.num_channels, norm.eps) == (8, 32, 1e-3)
