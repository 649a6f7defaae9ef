"""Parts of JPEGs: the same pixels as of the whole, and what becomes of damaged files."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest

pytest.importorskip("_ext.kernels", reason="run `python build_ffi.py` first")
Image = pytest.importorskip("PIL.Image", reason="needs Pillow")
simplejpeg = pytest.importorskip("simplejpeg", reason="needs simplejpeg")
pytest.importorskip("_ext.jpeg", reason="_ext.jpeg was not built: it needs libjpeg-turbo's header")

import data  # noqa: E402
from data import files, ops  # noqa: E402
from data.ops import image as image_ops  # noqa: E402
from data.transforms import Compose, Picture, RandomResizedCrop  # noqa: E402
from ffi_ext import NativeError  # noqa: E402

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (61, 80, 3), dtype=np.uint8)
PIXELS = np.array(Image.fromarray(NOISE).resize((321, 243), Image.Resampling.BICUBIC))


def encoded(subsampling: str, progressive: bool) -> bytes:
    if subsampling == "440":
        return simplejpeg.encode_jpeg(PIXELS, 90, colorsubsampling="440")
    file = io.BytesIO()
    image = Image.fromarray(PIXELS)
    if subsampling == "grey":
        image.convert("L").save(file, "JPEG", quality=90, progressive=progressive)
    else:
        number = {"444": 0, "422": 1, "420": 2}[subsampling]
        image.save(file, "JPEG", quality=90, progressive=progressive, subsampling=number)
    return file.getvalue()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", ["444", "422", "420", "440", "grey"])
def test_parts_equal_those_of_the_whole(subsampling, progressive):
    contents = encoded(subsampling, progressive)
    whole = simplejpeg.decode_jpeg(contents, "RGB").astype(int)
    for number in range(40):
        height, width = (int(RNG.integers(1, n + 1)) for n in whole.shape[:2])
        top, left = int(RNG.integers(0, 244 - height)), int(RNG.integers(0, 322 - width))
        if number == 0:
            top, left, height, width = 0, 0, 243, 321
        out = np.empty((height, width, 3), np.uint8)
        assert ops.decode_jpeg_part(contents, top, left, out)
        # 1: simplejpeg carries another version of the library
        assert np.abs(out - whole[top : top + height, left : left + width]).max() <= 1


def test_what_is_refused():
    contents, out = encoded("420", False), np.empty((100, 100, 3), np.uint8)
    for broken, text in [
        (contents[:2000], "Premature end"),
        (contents[:50], "Premature end"),
        (b"\xff\xd8\xff", "JPEG"),
        (bytes(100), "Not a JPEG file"),
        (b"", "Empty input"),
    ]:
        with pytest.raises(NativeError, match=text):
            ops.decode_jpeg_part(broken, 100, 0, out)
    for top, left in [(144, 0), (0, 222), (-1, 0), (2**40, 0)]:
        with pytest.raises(NativeError, match="the part must lie in the image"):
            ops.decode_jpeg_part(contents, top, left, out)
    with pytest.raises(NativeError, match=r"pixels must have the shape \(height, width, 3\)"):
        ops.decode_jpeg_part(contents, 0, 0, out[..., :2].copy())
    file = io.BytesIO()
    Image.fromarray(PIXELS).convert("CMYK").save(file, "JPEG")
    with pytest.raises(NativeError):
        ops.decode_jpeg_part(file.getvalue(), 0, 0, out)


def test_random_damage_gives_pixels_or_an_error():
    contents, out, failed = encoded("420", False), np.empty((50, 60, 3), np.uint8), 0
    for _ in range(400):
        damaged = bytearray(contents)
        for _ in range(int(RNG.integers(1, 4))):
            damaged[int(RNG.integers(len(damaged)))] = int(RNG.integers(256))
        try:
            ops.decode_jpeg_part(bytes(damaged), 190, 200, out)
        except NativeError:
            failed += 1
    assert 4 < failed < 400


@pytest.mark.parametrize("built", [True, False])
def test_random_crops_of_files(tmp_path, monkeypatch, built):
    if not built:
        monkeypatch.setattr(image_ops, "jpeg", None)
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "a.jpg").write_bytes(encoded("420", False))
    crop = RandomResizedCrop((60, 70), scale=(0.05, 1.0))
    dataset = data.ImageFolder(tmp_path, transforms=Compose([crop]))
    assert isinstance(dataset.read(0)[0], files.JpegFile)
    whole = data.read_rgb(tmp_path / "class" / "a.jpg")
    for seed in range(20):
        picture, _ = dataset.prepare(0, random.Random(seed))
        expected, _ = crop(Picture.of(whole), None, random.Random(seed))
        assert np.abs((picture.draw() - expected.draw()).numpy()).max() <= 1


def test_damaged_files_are_named_or_skipped(tmp_path):
    (tmp_path / "class").mkdir()
    path = tmp_path / "class" / "cut.jpg"
    path.write_bytes(encoded("420", False)[:5000])
    crop = Compose([RandomResizedCrop(60, scale=(0.05, 0.9))])
    for transforms in (crop, None):
        dataset = data.ImageFolder(tmp_path, transforms=transforms)
        with pytest.raises(data.ImageFileError, match=r"cut\.jpg: expected a readable image file"):
            for seed in range(20):  # what lies above the damage can still be read
                dataset.prepare(0, random.Random(seed))
    with pytest.warns(UserWarning, match=r"cut\.jpg"):
        assert data.ImageFolder(tmp_path, on_error="skip")[0] is None
