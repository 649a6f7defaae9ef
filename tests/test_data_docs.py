"""The examples of docs/data.md run."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("_ext.kernels", reason="run `python build_ffi.py` first")
Image = pytest.importorskip("PIL.Image", reason="needs Pillow")

TEXT = (Path(__file__).resolve().parent.parent / "docs" / "data.md").read_text()


def test_examples(tmp_path):
    batches, configured, _, own, transform = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names: dict = {}
    exec(batches, names)
    assert names["batch"].shape[:2] == (2, 3) and names["batch"].shape[2] % 32 == 0
    assert len(names["sizes"]) == 2 and names["boxes"].shape[1] == 4
    assert names["state"] == {"seed": 1, "batch_size": 2, "epoch": 0, "batch": 1}
    names = {}
    exec(configured, names)
    assert (
        len(names["loader"]) == 90000
        and names["loader"].batch_sampler.batch_sampler.batch_size == 2
    )
    names = {}
    exec(own, names)
    Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(tmp_path / "a.png")
    image, label, index = names["Mine"]([tmp_path / "a.png"], [3])[0]
    assert image.shape == (3, 4, 5) and (label, index) == (3, 0)
    own_names, names = names, {}
    exec(transform, names)
    files = own_names["Mine"]([tmp_path / "a.png"] * 9, range(9), transforms=names["transforms"])
    Image.fromarray(np.full((4, 5, 3), 0xFF, np.uint8)).save(tmp_path / "a.png")
    runs = [[b[0].tensors for b in names["data"].Loader(files, seed=1)] for _ in range(2)]
    levels = {int(image.amax()) for image in runs[0]}
    assert levels <= {0xFF, 0xF0, 0xE0} and len(levels) > 1
    assert all(map(np.array_equal, *runs)) and runs[0][0].shape == (1, 3, 640, 800)


def test_the_folder_of_pictures(tmp_path, monkeypatch, capsys):
    """With small numbers, and its cut out of the middle beside Pillow's."""
    _, _, example, *_ = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    noise = np.random.default_rng(0)
    for part, kind, count in [("train", "cat", 2), ("train", "dog", 1), ("test", "dog", 3)]:
        (tmp_path / "pictures" / part / kind).mkdir(parents=True)
        for number in range(count):
            pixels = noise.integers(0, 256, (96, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"pictures/{part}/{kind}/{number}.png")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for number, small in [("224", "28"), ("256", "32"), ("64", "2")]:
        example = re.sub(rf"(?<!\.)\b{number}\b", small, example)
    exec(example, names)
    assert re.fullmatch(r"\d of 3\n", capsys.readouterr().out)
    assert {names["testing"][index][1] for index in range(3)} == {1}

    whole = Image.fromarray(pixels).resize((32, 48), Image.Resampling.BILINEAR)
    expected = np.asarray(whole.crop((2, 10, 30, 38))).astype(float) / 255
    ours = names["testing"][2][0].permute(1, 2, 0).numpy() * [0.229, 0.224, 0.225]
    inside = np.s_[1:-1, 1:-1]  # where the filter does not reach beyond what is cut out
    apart = (ours + [0.485, 0.456, 0.406] - expected)[inside]
    assert names["testing"][2][0].shape == (3, 28, 28) and np.abs(apart).max() <= 1 / 255
