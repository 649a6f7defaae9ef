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
    batches, configured, own = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
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
