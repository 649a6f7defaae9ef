"""Image files of every kind: the pixels they give, or the error that names them."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest

pytest.importorskip("_ext.kernels", reason="run `python build_ffi.py` first")
Image = pytest.importorskip("PIL.Image", reason="needs Pillow")
ImageOps = pytest.importorskip("PIL.ImageOps", reason="needs Pillow")

from data import ImageFolder, files  # noqa: E402
from data.files import ImageFileError, read_rgb  # noqa: E402

RGB = np.random.default_rng(0).integers(0, 256, (24, 37, 3), dtype=np.uint8)
GREY = RGB[..., 0]
SMOOTH = np.asarray(Image.fromarray(RGB[:6, :9]).resize((37, 24), Image.Resampling.BICUBIC))


def repeated(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, 2)


def palette() -> Image.Image:
    image = Image.fromarray((GREY % 5).astype(np.uint8), "P")
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 8, 7])
    return image


COLOURS = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 8, 7]], np.uint8)
SIXTEEN = (np.arange(24 * 37).reshape(24, 37) * 73).astype(np.uint16)
LOSSLESS = {
    "rgb.png": (Image.fromarray(RGB), RGB),
    "rgb.bmp": (Image.fromarray(RGB), RGB),
    "rgb.tif": (Image.fromarray(RGB), RGB),
    "grey.png": (Image.fromarray(GREY), repeated(GREY)),
    "bits.png": (Image.fromarray(GREY > 99), repeated(np.where(GREY > 99, 255, 0))),
    "palette.png": (palette(), COLOURS[GREY % 5]),
    "palette.gif": (palette(), COLOURS[GREY % 5]),
    "rgba.png": (Image.fromarray(np.dstack([RGB, GREY])), RGB),
    "grey_alpha.png": (
        Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(RGB[..., 1])]),
        repeated(GREY),
    ),
    "sixteen.png": (Image.fromarray(SIXTEEN), repeated(SIXTEEN >> 8)),
    "sixteen.ppm": (Image.fromarray(SIXTEEN), repeated(SIXTEEN >> 8)),
    "sixteen.tif": (Image.fromarray(SIXTEEN), repeated(SIXTEEN >> 8)),
    "cmyk.tif": (
        Image.fromarray(np.dstack([255 - RGB, np.zeros_like(GREY)]), "CMYK"),
        RGB,
    ),
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_files_give_their_pixels(tmp_path, name):
    image, expected = LOSSLESS[name]
    image.save(tmp_path / name)
    pixels = read_rgb(tmp_path / name)
    assert pixels.dtype == np.uint8 and pixels.flags.c_contiguous
    assert np.array_equal(pixels, expected)


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpegs_give_what_pillow_gives(tmp_path, mode, subsampling, progressive):
    path = tmp_path / "a.jpg"
    options = {} if mode == "L" else {"subsampling": subsampling}
    Image.fromarray(SMOOTH).convert(mode).save(path, quality=95, progressive=progressive, **options)
    expected = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert np.abs(read_rgb(path) - expected).max() <= 2  # two versions of one library


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_exif_orientation_is_applied(tmp_path, orientation, suffix):
    """The image as the camera's sensor saw it, after the table in the Exif standard."""
    upright = SMOOTH
    seen = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    options = {"quality": 95, "subsampling": 0} if suffix == "jpg" else {}
    Image.fromarray(np.ascontiguousarray(seen[orientation])).save(path, exif=exif, **options)
    pixels = read_rgb(path)
    assert pixels.shape == upright.shape
    assert np.abs(pixels - upright.astype(int)).max() <= (12 if suffix == "jpg" else 0)


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.fromarray(SMOOTH).save(file, "JPEG", quality=90)
    return file.getvalue()


def png() -> bytes:
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, "PNG")
    return file.getvalue()


BROKEN = {
    "empty.jpg": b"",
    "text.jpg": b"no image",
    "start.jpg": b"\xff\xd8\xff",
    "cut.jpg": jpeg()[:-200],
    "cut_header.jpg": jpeg()[:100],
    "cut.png": png()[:500],
    "no_pixels.png": png()[:33],
    "flipped.png": png()[:200] + bytes(byte ^ 0xFF for byte in png()[200:240]) + png()[240:],
    "html.png": b"<html><body>404</body></html>",
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_named(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(BROKEN[name])
    with pytest.raises(ImageFileError, match=f"{name}: expected a readable image file, got"):
        read_rgb(path)


def test_random_damage_gives_pixels_or_an_error(tmp_path):
    rng = np.random.default_rng(0)
    failed = 0
    for number in range(300):
        contents = bytearray(jpeg() if number % 2 else png())
        for _ in range(int(rng.integers(1, 4))):
            contents[int(rng.integers(len(contents)))] = int(rng.integers(256))
        try:
            pixels = files.decode_rgb(bytes(contents), "damaged", max_pixels=1 << 22)
            assert pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8
        except ImageFileError as error:
            assert "damaged" in str(error)
            failed += 1
    assert 50 < failed < 300


def bomb(width: int, height: int) -> bytes:
    """A PNG's beginning that promises so many pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99))


@pytest.mark.filterwarnings("ignore:Image size")
@pytest.mark.parametrize("size", [(10_000, 9_000), (60_000, 60_000)])
def test_decompression_bombs_are_refused(tmp_path, size):
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(*size))
    with pytest.raises(ImageFileError, match=r"bomb\.png: .*(decompression bomb|exceeds limit)"):
        read_rgb(path)


def test_postscript_is_not_run(tmp_path, monkeypatch):
    """For which Pillow starts Ghostscript, whatever the file is called."""
    from PIL import EpsImagePlugin

    started = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: started.append(1))
    path = tmp_path / "photograph.jpg"
    Image.new("RGB", (20, 30), "red").save(path, "EPS")
    with pytest.raises(ImageFileError, match=r"photograph\.jpg: .* got PostScript, .* is not run"):
        read_rgb(path)
    assert not started


def test_limits_can_be_set(tmp_path, monkeypatch):
    for name, contents in [("a.png", png()), ("a.jpg", jpeg())]:
        path = tmp_path / name
        path.write_bytes(contents)
        with pytest.raises(ImageFileError, match=f"{name}: 37 x 24 pixels are more than the 887 "):
            read_rgb(path, max_pixels=887)
        assert read_rgb(path, max_pixels=888).shape == (24, 37, 3)
    monkeypatch.setattr(files, "MAX_BYTES", 100)
    with pytest.raises(
        ImageFileError, match=r"a\.png: expected an image file, got \d+ bytes, more"
    ):
        read_rgb(tmp_path / "a.png")


@pytest.mark.parametrize("contents", [png(), jpeg()], ids=["png", "jpeg"])
def test_datasets_go_by_the_limit_that_is_set(tmp_path, monkeypatch, contents):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "a").with_suffix(".png").write_bytes(contents)
    monkeypatch.setattr(files, "MAX_PIXELS", 887)
    with pytest.raises(ImageFileError, match=r"than the 887 .*set data\.files\.MAX_PIXELS"):
        ImageFolder(tmp_path)[0]
    monkeypatch.setattr(files, "MAX_PIXELS", 888)
    assert ImageFolder(tmp_path)[0][0].shape == (3, 24, 37)


def test_pillows_own_limit_says_how_to_set_it(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(png())
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(
        ImageFileError, match=r"a\.png: .*888 pixels.* PIL\.Image\.MAX_IMAGE_PIXELS"
    ):
        read_rgb(tmp_path / "a.png", max_pixels=10**9)


def test_pillows_own_limit_on_a_photograph_that_lies_on_its_side(tmp_path, monkeypatch):
    """Of which Pillow tells the orientation, when the pixels are there already."""
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "cat").mkdir()
    Image.fromarray(SMOOTH).save(tmp_path / "cat" / "a.jpg", exif=exif)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(
        ImageFileError, match=r"a\.jpg: .*888 pixels.* PIL\.Image\.MAX_IMAGE_PIXELS"
    ):
        ImageFolder(tmp_path)[0]
    with pytest.warns(UserWarning, match=r"skipped sample 0: .*a\.jpg"):
        assert ImageFolder(tmp_path, on_error="skip")[0] is None


def with_tags(contents: bytes, tags: dict[int, int]) -> bytes:
    """A little-endian TIFF with other numbers for tags that it has."""
    changed = bytearray(contents)
    (start,) = struct.unpack_from("<I", contents, 4)
    (count,) = struct.unpack_from("<H", contents, start)
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        (tag,) = struct.unpack_from("<H", contents, entry)
        if tag in tags:
            struct.pack_into("<I", changed, entry + 8, tags[tag])
    return bytes(changed)


def test_tiffs_whose_grey_pillow_leaves_as_it_stands_there(tmp_path):
    """TIFF 6.0: PhotometricInterpretation (262) 0 is white at zero; BitsPerSample (258) 12, packed."""
    path = tmp_path / "a.tif"
    Image.fromarray(SIXTEEN).save(path)
    path.write_bytes(with_tags(path.read_bytes(), {262: 0}))
    assert np.array_equal(read_rgb(path), repeated(255 - (SIXTEEN >> 8)))

    twelve = SIXTEEN[:, :36] >> 4
    pairs = twelve.reshape(24, 18, 2).astype(int)
    packed = np.stack(
        [pairs[..., 0] >> 4, (pairs[..., 0] & 15) << 4 | pairs[..., 1] >> 8, pairs[..., 1] & 255], 2
    )
    Image.fromarray(packed.astype(np.uint8).reshape(24, 54)).save(path)
    path.write_bytes(with_tags(path.read_bytes(), {256: 36, 258: 12}))
    assert np.array_equal(read_rgb(path), repeated((twelve >> 4).astype(np.uint8)))


@pytest.mark.filterwarnings("error")
def test_transparent_colours_of_a_palette_are_dropped_without_a_warning(tmp_path):
    palette().save(tmp_path / "a.png", transparency=bytes([0, 99, 255]))
    assert np.array_equal(read_rgb(tmp_path / "a.png"), COLOURS[GREY % 5])


def test_what_has_no_defined_range_is_refused(tmp_path):
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(ImageFileError, match=r"float\.tif: floating-point pixels have no defined"):
        read_rgb(tmp_path / "float.tif")
    for grey in (7, 70000):  # of which nobody knows what is white
        Image.fromarray(np.full((4, 4), grey, np.int32)).save(tmp_path / "wide.tif")
        with pytest.raises(ImageFileError, match=r"wide\.tif: 32-bit pixels have no defined range"):
            read_rgb(tmp_path / "wide.tif")


@pytest.mark.parametrize("fill", [0, 1, 5, 1000])
def test_exif_behind_fill_bytes(tmp_path, fill):
    """Any number of bytes 0xFF may come before a marker (ITU T.81, B.1.1.2)."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "a.jpg"
    Image.fromarray(SMOOTH).save(path, exif=exif)
    contents = path.read_bytes()
    path.write_bytes(contents[:2] + b"\xff" * fill + contents[2:])
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    for pixels in (read_rgb(path), files.open_rgb(path)):
        assert pixels.shape == (37, 24, 3)
        assert np.abs(pixels - expected.astype(int)).max() <= 2


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_xmps_orientation_is_that_of_pillow(tmp_path, orientation):
    """Adobe's programs write it, and Pillow goes by it where there is no Exif."""
    path = tmp_path / "a.jpg"
    xmp = f'<x:xmpmeta><rdf:Description tiff:Orientation="{orientation}"/></x:xmpmeta>'
    Image.fromarray(SMOOTH).save(path, xmp=xmp.encode())
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    for pixels in (read_rgb(path), files.open_rgb(path)):
        assert pixels.shape == expected.shape
        assert np.abs(np.asarray(pixels) - expected.astype(int)).max() <= 2


def test_a_folder_or_an_absent_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_rgb(tmp_path / "absent.png")
    with pytest.raises(ImageFileError, match="expected a readable image file"):
        read_rgb(tmp_path)


def test_without_simplejpeg_pillow_reads(tmp_path, monkeypatch):
    (tmp_path / "a.jpg").write_bytes(jpeg())
    expected = read_rgb(tmp_path / "a.jpg").astype(int)
    monkeypatch.setattr(files, "simplejpeg", None)
    assert np.abs(read_rgb(tmp_path / "a.jpg") - expected).max() <= 2
