"""Datasets: the contract's errors, photographs, padding, and DataLoader's workers."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Subset

pytest.importorskip("_ext.kernels", reason="run `python build_ffi.py` first")
Image = pytest.importorskip("PIL.Image", reason="needs Pillow")

import data  # noqa: E402
from tests.processes import python  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
METHODS = {
    "__init__": lambda self: None,
    "__getitem__": lambda self, index: index,
    "__len__": lambda self: 3,
}


@pytest.mark.parametrize("built", ["kernels", ""])
def test_what_a_machine_has_built(built, tmp_path):
    """Without nvcc and libjpeg's header only the kernels; and a build of these may have failed."""
    (tmp_path / "_ext").mkdir()
    (tmp_path / "_ext" / "__init__.py").touch()
    if built:
        (tmp_path / "_ext" / built).symlink_to(ROOT / "_ext" / built)
    code = "import data.ops.native as door; print(door.kernels_cuda, door.jpeg)"
    done = python("-c", code, cwd=tmp_path, PYTHONPATH=str(ROOT))
    if built:
        assert done.stdout == "None None\n", done.stderr
    else:
        assert "ModuleNotFoundError: data needs the kernels in _ext.kernels" in done.stderr


@pytest.mark.parametrize("present", range(8))
def test_contract_names_what_is_missing(present):
    given = {name: METHODS[name] for i, name in enumerate(METHODS) if present >> i & 1}
    missing = [name for name in METHODS if name not in given]
    cls = type("Mine", (data.Dataset,), given)
    if not missing:
        assert list(DataLoader(cls(), batch_size=3)) == [pytest.approx([0, 1, 2])]
        return
    with pytest.raises(NotImplementedError) as caught:
        cls()
    text = str(caught.value)
    assert (
        "Mine is incomplete. A dataset defines __init__, __getitem__ and __len__; "
        f"missing: {', '.join(missing)}." in text
    )
    for name in METHODS:
        assert (f"    def {name}(" in text) == (name in missing)


def test_contract_of_the_base_class_and_what_it_shows_is_a_dataset(tmp_path):
    with pytest.raises(
        NotImplementedError, match=r"data\.Dataset is a base class: subclass it"
    ) as caught:
        data.Dataset()
    example = str(caught.value).split("\n\n", 1)[1]
    namespace = {"data": data, "Path": Path, "read": Path.read_text}
    exec(example, namespace)
    for name in "ba":
        (tmp_path / name).write_text(name)
    shown = namespace["MyDataset"](tmp_path)
    assert len(shown) == 2 and shown[1] == "b"


def test_contract_may_be_kept_by_bases_together():
    half = type(
        "Half", (data.Dataset,), {"__init__": METHODS["__init__"], "__len__": METHODS["__len__"]}
    )
    mixin = type("Mixin", (), {"__getitem__": METHODS["__getitem__"]})
    assert len(type("Whole", (mixin, half), {})()) == 3
    with pytest.raises(NotImplementedError, match="missing: __getitem__"):
        half()


@pytest.fixture
def pictures(tmp_path):
    """Three images of different sizes and modes, and their pixels as RGB."""
    rng = np.random.default_rng(0)
    paths, pixels = [], []
    for number, (height, width) in enumerate([(20, 31), (17, 40), (25, 8)]):
        rgb = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        path = tmp_path / f"{number}.png"
        if number == 2:
            rgb[:] = rgb[..., :1]
            Image.fromarray(rgb[..., 0]).save(path)
        else:
            Image.fromarray(rgb).save(path)
        paths.append(path)
        pixels.append(rgb)
    return paths, pixels


def expected_planes(rgb, mean, std):
    return ((rgb.astype(np.float32) - np.float32(mean)) / np.float32(std)).transpose(2, 0, 1)


def test_photographs_are_normalised(pictures):
    paths, pixels = pictures
    mean, std = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)
    plain = data.Photographs(paths)
    bgr = data.Photographs([str(path) for path in paths], mean=mean, std=std, to_bgr=True)
    assert len(plain) == len(bgr) == 3
    for index, rgb in enumerate(pixels):
        assert np.array_equal(plain[index].image, expected_planes(rgb, mean[::-1], std[::-1]))
        assert np.array_equal(bgr[index].image, expected_planes(rgb[..., ::-1], mean, std))
        assert plain[index].path == str(paths[index])


@pytest.mark.parametrize(("workers", "context"), [(0, None), (2, "fork"), (1, "spawn")])
def test_loader_gives_padded_batches(pictures, workers, context):
    paths, pixels = pictures
    dataset = data.Photographs(paths)
    large = np.zeros((300, 300, 3), np.uint8)
    data.normalize_image(large, 0.0, 1.0)  # threads have run here before the fork
    loader = DataLoader(
        dataset,
        batch_size=2,
        collate_fn=data.PadCollate(32),
        num_workers=workers,
        multiprocessing_context=context,
    )
    batches = list(loader)
    assert [list(names) for _, names in batches] == [[str(p) for p in paths[:2]], [str(paths[2])]]
    assert [images.image_sizes for images, _ in batches] == [[(20, 31), (17, 40)], [(25, 8)]]
    assert [tuple(images.tensors.shape) for images, _ in batches] == [
        (2, 3, 32, 64),
        (1, 3, 32, 32),
    ]
    expected = np.zeros((2, 3, 32, 64), np.float32)
    for place, rgb in zip(expected, pixels[:2], strict=True):
        place[:, : rgb.shape[0], : rgb.shape[1]] = expected_planes(
            rgb, data.photographs.RGB_MEAN, data.photographs.RGB_STD
        )
    assert np.array_equal(batches[0][0].tensors, expected)


def test_dataset_pickles_and_combines(pictures):
    paths, _ = pictures
    dataset = data.Photographs(paths)
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copy[1].image, dataset[1].image)
    assert len(Subset(dataset, [2, 0])) == 2 and len(ConcatDataset([dataset, copy])) == 6
    assert torch.equal(Subset(dataset, [2, 0])[1].image, dataset[0].image)


def test_bad_files_are_named(tmp_path, pictures):
    paths, _ = pictures
    broken = tmp_path / "broken.png"
    broken.write_bytes(paths[0].read_bytes()[:200])
    text = tmp_path / "text.jpg"
    text.write_text("no image")
    dataset = data.Photographs([broken, text, tmp_path / "absent.png"])
    for index, name in enumerate(["broken.png", "text.jpg"]):
        with pytest.raises(ValueError, match=f"{name}: expected a readable image file"):
            dataset[index]
    with pytest.raises(FileNotFoundError, match=r"absent\.png"):
        dataset[2]
    with pytest.raises(TypeError, match="must be a list of image files, got one str; write"):
        data.Photographs("a.png")


def test_pad_images_refuses_what_does_not_fit():
    assert data.pad_images([torch.ones(3, 5, 6)]).tensors.shape == (1, 3, 5, 6)
    assert data.pad_images(torch.ones(2, 3, 5, 6), 8).tensors.sum() == 2 * 3 * 5 * 6
    with pytest.raises(ValueError, match="at least one image"):
        data.pad_images([])
    with pytest.raises(TypeError, match=r"tensors \(C, H, W\), got a ndarray as number 1; torch"):
        data.PadCollate()([(torch.ones(3, 5, 6), 0), (np.ones((5, 6, 3)), 0)])
    with pytest.raises(ValueError, match="PadCollate: expected at least one sample, got an empty"):
        data.PadCollate()([])
    for sample, got in [(torch.ones(3, 5, 6), "Tensor"), ({"image": torch.ones(3, 5, 6)}, "dict")]:
        with pytest.raises(
            TypeError, match=rf"samples \(image, ...\), got a {got}; data.pad_images"
        ):
            data.PadCollate()([sample])
    with pytest.raises(TypeError, match="got a Tensor; data.pad_images"):
        data.PadCollate()(torch.ones(2, 3, 5, 6))
    with pytest.raises(ValueError, match=r"got \(1, 5, 6\) of torch.float32 as number 1"):
        data.pad_images([torch.ones(3, 5, 6), torch.ones(1, 5, 6)])
    for wrong in (torch.ones(5, 6), torch.tensor(1.0)):
        with pytest.raises(ValueError, match=r"expected images \(C, H, W\), got \(.* as number 0"):
            data.pad_images([wrong])


def test_padded_images_get_gradients():
    """As who looks for adversarial ones wants."""
    images = [torch.rand(3, 5, 6, requires_grad=True), torch.rand(3, 4, 8, requires_grad=True)]
    weights = torch.rand(2, 3, 8, 8)
    (data.pad_images(images, 8).tensors * weights).sum().backward()
    assert torch.equal(images[0].grad, weights[0, :, :5, :6])
    assert torch.equal(images[1].grad, weights[1, :, :4])


def test_bundled_photographs():
    pytest.importorskip("sklearn", reason="needs scikit-learn")
    from sklearn.datasets import load_sample_image

    dataset = data.Photographs(mean=(0, 0, 0), std=(1, 1, 1))
    assert [Path(path).name for path in dataset.paths] == ["china.jpg", "flower.jpg"]
    for index, path in enumerate(dataset.paths):
        pixels = load_sample_image(path.name)
        assert np.array_equal(dataset[index].image, pixels.transpose(2, 0, 1).astype(np.float32))
