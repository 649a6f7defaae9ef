"""The demo: every stage beside plain torch, and the picture."""

from __future__ import annotations

import io

import numpy as np
import pytest

pytest.importorskip("_ext.kernels", reason="run `python build_ffi.py` first")
Image = pytest.importorskip("PIL.Image", reason="needs Pillow")
pytest.importorskip("sklearn", reason="needs scikit-learn")

from data.photographs import bundled_photographs  # noqa: E402
from resnet import demo  # noqa: E402
from resnet.progress import Progress  # noqa: E402


def test_demo_times_its_stages_and_draws(tmp_path, capsys):
    photograph = tmp_path / "part.png"
    with Image.open(bundled_photographs()[0]) as whole:
        whole.crop((60, 20, 260, 180)).save(photograph)
    output = tmp_path / "new" / "demo.png"
    assert demo.main([str(photograph), "--output", str(output), "--repeats", "1"]) == 0
    printed = capsys.readouterr().out
    assert "(1, 3, 160, 224)" in printed and "40 x 56, 20 x 28, 10 x 14, 5 x 7, 3 x 4" in printed
    rows = [line for line in printed.splitlines() if "x  " in line and line[-3:-2] in "-+"]
    assert [row[:26].strip() for row in rows] == [
        "backbone R-50-FPN",
        "the same, model.fuse()",
        "boxes: ROIAlign, NMS",
        "features of the boxes",
    ]
    for row in rows:
        assert float(row.split()[-1]) <= 1e-4
    picture = np.array(Image.open(output).convert("RGB"))
    # the photograph stands where it should, reduced to 8 x 8, as boxes are drawn over it
    with Image.open(photograph) as photo:
        expected = np.array(photo.convert("RGB").resize((8, 8)), np.float32)
    shown = Image.fromarray(picture[102 : 102 + 690 * 160 // 200, 28:718]).resize((8, 8))
    assert np.abs(np.array(shown, np.float32) - expected).mean() < 16


def test_demo_refuses(capsys, tmp_path):
    with pytest.raises(SystemExit):
        demo.main(["--repeats", "0"])
    assert "--repeats must be at least 1, got 0" in capsys.readouterr().err
    (tmp_path / "text.jpg").write_text("<html>")
    Image.new("RGB", (30, 50)).save(tmp_path / "small.png")
    for name, said in [
        ("missing.jpg", "No such file or directory: '"),
        ("text.jpg", "begins with b'<html>' and that Pillow knows no way to read"),
        ("small.png", "expected a photograph that a box of 72 pixels fits into, got 50 x 30"),
    ]:
        assert demo.main([str(tmp_path / name), "--repeats", "1"]) == 1
        error = capsys.readouterr().err
        assert name in error and said in error and "Traceback" not in error


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_bar():
    bar = Progress(4, Terminal())
    for text in ("one", "two"):
        bar.step(text)
    last = bar.stream.getvalue().rpartition("\x1b[K")[2]
    assert last.startswith("[" + "#" * 14 + "-" * 14 + "] 2/4") and last.endswith("two")
    silent = Progress(1, io.StringIO())
    silent.step("one")
    assert silent.stream.getvalue() == ""
