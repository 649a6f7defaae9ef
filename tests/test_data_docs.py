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
    batches, configured, own, transform = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names: dict = {}
    exec(batches, names)
    assert names["batch"].shape[:2] == (2, 3) and names["batch"].shape[2] % 32 == 0
    assert len(names["sizes"]) == 2 and names["boxes"].shape[1] == 4
    assert names["state"] == {"seed": 1, "batch_size": 2, "epoch": 0, "batch": 1}
    exec(configured, names)
    assert (
        len(names["loader"]) == 90000
        and names["loader"].batch_sampler.batch_sampler.batch_size == 2
    )
    exec(own, names)
    Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(tmp_path / "a.png")
    image, label, index = names["Mine"]([tmp_path / "a.png"], [3])[0]
    assert image.shape == (3, 4, 5) and (label, index) == (3, 0)
    exec(transform, names)
    files = names["Mine"]([tmp_path / "a.png"] * 9, range(9), transforms=names["transforms"])
    Image.fromarray(np.full((4, 5, 3), 0xFF, np.uint8)).save(tmp_path / "a.png")
    runs = [[b[0].tensors for b in names["data"].Loader(files, seed=1)] for _ in range(2)]
    levels = {int(image.amax()) for image in runs[0]}
    assert levels <= {0xFF, 0xF0, 0xE0} and len(levels) > 1
    assert all(map(np.array_equal, *runs)) and runs[0][0].shape == (1, 3, 640, 800)
