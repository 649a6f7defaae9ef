"""The self-check: what it prints, what it draws, and that it notices a wrong kernel."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch

kernels = pytest.importorskip("_ext.kernels", reason="run `python build_ffi.py` first")
convolution = pytest.importorskip("_ext.convolution", reason="run `python build_ffi.py` first")
Image = pytest.importorskip("PIL.Image", reason="needs Pillow")
pytest.importorskip("sklearn", reason="needs scikit-learn")

from data.photographs import bundled_photographs  # noqa: E402
from resnet import checks, convolution_kernels, demo, selfcheck  # noqa: E402
from resnet.ops import boxes as boxes_module  # noqa: E402
from resnet.ops import native, norm, pooling  # noqa: E402
from resnet.proposals import propose  # noqa: E402


def test_selfcheck_prints_every_prototype_and_draws(tmp_path, capsys):
    output = tmp_path / "new" / "picture.png"
    assert selfcheck.main(["--output", str(output)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    checked = [getattr(kernels, name) for name in kernels.__all__]
    if convolution_kernels.available():
        checked += [convolution.winograd_convolution, convolution.pointwise_prepare]
    for function in checked:
        prototype = function.__doc__.partition("\n\n")[0]
        assert " ".join(prototype.split()) in printed
    assert "(2, 2048, 14, 20)" in printed and "FAILED" not in printed

    picture = np.array(Image.open(output).convert("RGB"))
    assert picture.shape[1] == 1676 and picture.shape[0] > 1400
    # the first photograph stands where it should: reduced to 8 x 8, as boxes are drawn over it
    with Image.open(bundled_photographs()[0]) as photo:
        expected = np.array(photo.convert("RGB").resize((8, 8)), np.float32)
    shown = Image.fromarray(picture[102:562, 28:718]).resize((8, 8))
    assert np.abs(np.array(shown, np.float32) - expected).mean() < 12


@pytest.mark.parametrize("command", [selfcheck.main, demo.main])
def test_what_cannot_be_written_is_told_first(command, tmp_path, capsys, monkeypatch):
    (tmp_path / "file").touch()
    read_only = tmp_path / "read-only"
    read_only.mkdir()
    locked, is_dir = tmp_path / "locked" / "e.png", Path.is_dir

    def enters(path):
        if path == locked:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return is_dir(path)

    # root may enter and write everywhere
    monkeypatch.setattr(Path, "is_dir", enters)
    monkeypatch.setattr(os, "access", lambda place, mode: place != read_only)
    for output, text in [
        (tmp_path, f"expected a file, got the directory {tmp_path}"),
        (tmp_path / "a.xyz", f"expected the name of a picture, such as a.png, got {tmp_path}"),
        (tmp_path / "b", "such as b.png"),
        (tmp_path / "file" / "c.png", "expected a file in a folder that is there or can be made"),
        (read_only / "d.png", f"expected a file that you may write, got {read_only / 'd.png'}"),
        (locked, "that is there or can be made, got: [Errno 13] Permission denied"),
    ]:
        with pytest.raises(SystemExit, match="2"):
            command(["--output", str(output)])
        shown = capsys.readouterr()
        assert "argument --output: " in shown.err and text in shown.err
        assert shown.out == ""


def test_selfcheck_refuses_workers_below_none(capsys):
    with pytest.raises(SystemExit, match="2"):
        selfcheck.main(["--workers", "-1"])
    assert "--workers must be at least 0, got -1" in capsys.readouterr().err


def test_selfcheck_does_not_compare_torch_with_itself(capsys):
    with native.plain_torch(), pytest.raises(SystemExit, match="2"):
        selfcheck.main([])
    assert "resnet.ops uses none: unset RESNET_OPS" in capsys.readouterr().err


def test_selfcheck_notices_a_wrong_kernel(monkeypatch):
    torch.manual_seed(0)
    features, corners = torch.randn(1, 16, 24, 32), 16 * torch.rand(200, 2)
    boxes, scores = torch.cat([corners, corners + 1 + 7 * torch.rand(200, 2)], 1), torch.rand(200)

    def rows():
        found = checks.check_operators(features, boxes, scores, 1.0, 1e-5)
        return {row.function: row.passed for row in found + checks.check_frozen_bn(features, 1e-5)}

    def wrong(name, tensor):
        def call(*arguments):
            native.kernel(name, tensor)(*arguments)
            for x in arguments[-2:]:  # the results
                if isinstance(x, torch.Tensor) and (x.is_floating_point() or "nms" in name):
                    x += 1

        return call

    assert all(rows().values())
    for module in (boxes_module, norm, pooling):
        monkeypatch.setattr(module, "kernel", wrong)
    families = ("frozen_bn", "roi_", "box_iou", "nms", "batched_nms", "soft_nms")
    for function, passed in rows().items():
        assert passed != function.startswith(families), function
    assert checks.apart(boxes, boxes[:9]) == float("inf")
    assert checks.apart([boxes, boxes * float("nan")], [boxes, boxes]) == float("inf")
    if convolution_kernels.available():
        features = torch.randn(1, 32, 16, 16)
        assert all(row.passed for row in checks.check_convolutions(features))
        monkeypatch.setattr(checks.F, "conv2d", lambda *_, **__: features.double())
        assert [row.passed for row in checks.check_convolutions(features)] == [True, False] * 2


def test_proposals_find_what_stands_out():
    features = torch.zeros(1, 4, 50, 80)
    features[:, :, 20:38, 30:48] = 1.0  # pixels 80..152 and 120..192 at stride 4
    boxes, scores, kept = propose(features, (200, 320), stride=4)
    x1, y1, x2, y2 = boxes[kept[0]].tolist()
    assert (
        abs(x1 - 120) <= 16 and abs(x2 - 192) <= 16 and abs(y1 - 80) <= 16 and abs(y2 - 152) <= 16
    )
    assert torch.equal(scores[kept], scores[kept].sort(descending=True).values)
    assert boxes.min() >= 0 and boxes[:, 2].max() <= 320 and boxes[:, 3].max() <= 200
