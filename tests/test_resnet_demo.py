"""The demo: every stage beside plain torch, and the picture."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch

pytest.importorskip("_ext.kernels", reason="run `python build_ffi.py` first")
Image = pytest.importorskip("PIL.Image", reason="needs Pillow")
pytest.importorskip("sklearn", reason="needs scikit-learn")

from data.photographs import bundled_photographs  # noqa: E402
from resnet import demo, train  # noqa: E402
from resnet.picture import CAPTION, LINE, LINES, layout  # noqa: E402
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
        "scores of boxes: ROIAlign",
        "the best of them: NMS",
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


def test_boxes_whose_scores_differ_by_rounding_may_come_in_any_order(tmp_path, monkeypatch):
    """As those of an even background do, which plain torch's ROIAlign ranks in another way."""
    photograph = tmp_path / "even.png"
    Image.new("RGB", (160, 128), "grey").save(photograph)
    true_scores, noise = demo.score_boxes, torch.Generator().manual_seed(0)

    def rounded_otherwise(*arguments, **settings):
        boxes, scores = true_scores(*arguments, **settings)
        return boxes, 1 + 1e-7 * torch.randint(0, 3, scores.shape, generator=noise)

    monkeypatch.setattr(demo, "score_boxes", rounded_otherwise)
    arguments = [str(photograph), "--output", str(tmp_path / "demo.png"), "--repeats", "1"]
    assert demo.main(arguments) == 0


@pytest.mark.parametrize("size", [(427, 640), (100, 900), (900, 100)])
def test_maps_beside_a_photograph_of_any_shape_do_not_overlap(size):
    place = layout(*size)
    assert place.lower >= place.tile + CAPTION  # the first row's texts
    assert place.height >= place.lower + max(place.tile + CAPTION, LINES * LINE)
    assert place.height >= 690 * size[0] // size[1]


@pytest.mark.parametrize("module", [demo, train])
def test_python_without_docstrings_has_commands(module, monkeypatch):
    """As with PYTHONOPTIMIZE=2."""
    monkeypatch.setattr(module, "__doc__", None)
    with pytest.raises(SystemExit, match="^0$"):
        module.main(["--help"])


def test_demo_refuses(capsys, tmp_path):
    with pytest.raises(SystemExit):
        demo.main(["--repeats", "0"])
    assert "--repeats must be at least 1, got 0" in capsys.readouterr().err
    (tmp_path / "text.jpg").write_text("<html>")
    Image.new("RGB", (30, 50)).save(tmp_path / "small.png")
    for name, said in [
        ("missing.jpg", "No such file or directory: '"),
        ("text.jpg", "begins with b'<html>' and that Pillow knows no way to read"),
        ("small.png", "a photograph of at least 88 pixels a side, for boxes, got 50 x 30"),
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
