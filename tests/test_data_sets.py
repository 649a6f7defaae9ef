"""Folder, digits, shapes and COCO sets; the contract of detection sets; files that are skipped."""

from __future__ import annotations

import copy
import json
import os
import pickle
import random
import shutil
import sys
import threading
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, RandomSampler, Subset
from torch.utils.data.distributed import DistributedSampler

pytest.importorskip("_ext.kernels", reason="run `python build_ffi.py` first")
Image = pytest.importorskip("PIL.Image", reason="needs Pillow")

import data  # noqa: E402
from data.dataset import SkipCount  # noqa: E402
from data.transforms import Compose, Normalize, Picture, Resize  # noqa: E402

RNG = np.random.default_rng(0)


def test_detection_sets_also_define_get_img_info():
    methods = {
        "__init__": lambda self: None,
        "__getitem__": lambda self, index: index,
        "__len__": lambda self: 3,
    }
    with pytest.raises(NotImplementedError) as caught:
        type("Boxes", (data.DetectionDataset,), methods)()
    text = str(caught.value)
    assert (
        "Boxes is incomplete. A dataset defines __init__, __getitem__, __len__ and get_img_info"
        in (text)
    )
    assert "missing: get_img_info." in text and "    def get_img_info(self, index):" in text
    assert "    def __len__" not in text
    methods["get_img_info"] = lambda self, index: {"height": 1, "width": 2}
    assert len(type("Boxes", (data.DetectionDataset,), methods)()) == 3


@pytest.mark.parametrize("present", [(), ("read",), ("__len__",)])
def test_image_sets_define_read_and_len(present):
    given = {"read": lambda self, index: None, "__len__": lambda self: 1}
    cls = type("Mine", (data.ImageDataset,), {name: given[name] for name in present})
    with pytest.raises(NotImplementedError) as caught:
        cls()
    for name in given:
        assert (f"    def {name}(" in str(caught.value)) == (name not in present)
    with pytest.raises(NotImplementedError, match="class MyDetectionDataset"):
        data.DetectionDataset()


def test_an_image_set_whose_init_forgets_its_base():
    methods = {"__init__": lambda self: None, "__len__": lambda self: 1, "read": lambda self, i: 0}
    forgetful = type("Mine", (data.ImageDataset,), methods)()
    with pytest.raises(NotImplementedError) as caught:
        forgetful[0]
    assert "Mine.__init__ must call that of data.ImageDataset" in str(caught.value)
    assert "        super().__init__(**options)" in str(caught.value)


@pytest.mark.parametrize(
    ("sample", "got"),
    [
        (None, "NoneType"),
        (np.zeros((4, 4, 3), np.uint8), r"ndarray \(4, 4, 3\) of uint8"),
        ((np.zeros((4, 4), np.uint8), 1), r"\(ndarray \(4, 4\) of uint8, int\)"),
        ((np.zeros((4, 4, 1), np.uint8), 1), r"\(ndarray \(4, 4, 1\) of uint8, int\)"),
        ((np.zeros((4, 4, 4), np.uint8), 1), r"\(ndarray \(4, 4, 4\) of uint8, int\)"),
        ((np.zeros((3, 4, 4), np.uint8), 1), r"\(ndarray \(3, 4, 4\) of uint8, int\)"),
        ((np.zeros((0, 4, 3), np.uint8), 1), r"\(ndarray \(0, 4, 3\) of uint8, int\)"),
        ((np.zeros((4, 4, 3), np.float32), 1), r"\(ndarray \(4, 4, 3\) of float32, int\)"),
        (
            (torch.zeros(4, 4, 3, dtype=torch.uint8), 1),
            r"\(Tensor \(4, 4, 3\) of torch.uint8, int\)",
        ),
        ((1, 2, 3), r"\(int, int, int\)"),
    ],
)
def test_what_read_gives_is_checked(sample, got):
    methods = {"__len__": lambda self: 1, "read": lambda self, index: sample}
    with pytest.raises(
        TypeError, match=rf"Mine.read\(0\): expected \(pixels, target\), .* got {got}$"
    ):
        type("Mine", (data.ImageDataset,), methods)()[0]


def test_a_target_of_an_image_of_another_size_is_refused():
    """As one is that took Pillow's size, (width, height), for the height and the width."""
    target = data.Target((30, 20), torch.ones(1, 4), torch.ones(1))
    sample = np.zeros((20, 30, 3), np.uint8), target
    methods = {"__len__": lambda self: 1, "read": lambda self, index: sample}
    with pytest.raises(
        ValueError, match=r"Mine.read\(0\): .* \(20, 30\), got one of \(30, 20\); a Pil"
    ):
        type("Mine", (data.ImageDataset,), methods)()[0]


def test_a_transform_that_forgets_the_target_is_told():
    def halved(picture, target, rng):
        return replace(picture, size=(picture.size[0] // 2, picture.size[1] // 2)), target

    with pytest.raises(
        ValueError, match=r"Shapes: transforms: .* \(20, 30\), got one of \(40, 60\)"
    ):
        data.Shapes(1, size=(40, 60), transforms=halved)[0]


@pytest.fixture
def folder(tmp_path):
    for name, count in [("cat", 3), ("dog", 2)]:
        (tmp_path / name / "deep").mkdir(parents=True)
        for number in range(count):
            pixels = RNG.integers(0, 256, (9 + number, 12, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / "deep" / f"{number}.PNG")
        (tmp_path / name / "notes.txt").write_text("no image")
    return tmp_path


def test_image_folder(folder):
    dataset = data.ImageFolder(folder)
    assert dataset.classes == ["cat", "dog"] and len(dataset) == 5
    assert [number for _, number in dataset.samples] == [0, 0, 0, 1, 1]
    image, target, index = dataset[4]
    expected = np.asarray(Image.open(folder / "dog" / "deep" / "1.PNG"))
    assert target == 1 and index == 4
    assert np.array_equal(image, expected.transpose(2, 0, 1).astype(np.float32))
    (folder / "bird").mkdir()
    with pytest.raises(FileNotFoundError, match="class 'bird' has no images"):
        data.ImageFolder(folder)
    endings = [".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"]
    for ending in endings:  # torchvision's IMG_EXTENSIONS
        Image.new("L", (4, 5), 7).save(folder / "bird" / f"a{ending}")
    birds = [path.suffix for path, number in data.ImageFolder(folder).samples if number == 0]
    assert birds == endings and (data.ImageFolder(folder)[3][0] == 7).all()
    with pytest.raises(FileNotFoundError, match="is no folder"):
        data.ImageFolder(folder / "absent")
    with pytest.raises(FileNotFoundError, match="expected a folder per class"):
        data.ImageFolder(folder / "bird")
    with pytest.raises(ValueError, match="on_error must be 'raise' or 'skip', got 'ignore'"):
        data.ImageFolder(folder, on_error="ignore")


@pytest.mark.parametrize(("workers", "context"), [(0, None), (1, "fork"), (2, "fork")])
def test_broken_files_are_skipped_and_counted(folder, workers, context):
    (folder / "cat" / "deep" / "1.PNG").write_bytes(b"broken")
    (folder / "dog" / "deep" / "0.PNG").write_bytes(b"")
    with pytest.raises(ValueError, match=r"1\.PNG: expected a readable image file"):
        data.ImageFolder(folder)[1]
    dataset = data.ImageFolder(folder, on_error="skip")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loader = DataLoader(
            dataset,
            1 if workers == 1 else 2,
            collate_fn=data.PadCollate(),
            num_workers=workers,
            multiprocessing_context=context,
        )
        batches = list(loader)
    assert [index for batch in batches if batch for index in batch[2]] == [0, 2, 4]
    assert dataset.skipped == 2
    assert sum(batch is None for batch in batches) == (2 if workers == 1 else 0)
    with pytest.warns(UserWarning, match=r"skipped sample 3: .*0\.PNG: .* an empty one"):
        assert dataset[3] is None
    assert dataset.skipped == 3


def test_a_folder_that_lacks_a_class_keeps_the_others_numbers(folder):
    dataset = data.ImageFolder(folder, classes=["bird", "cat", "cow", "dog"])
    assert dataset.classes == ["bird", "cat", "cow", "dog"]
    assert [number for _, number in dataset.samples] == [1, 1, 1, 3, 3] and dataset[4][1] == 3
    with pytest.raises(ValueError, match="folders of the classes bird, dog in .*, got 'cat', too"):
        data.ImageFolder(folder, classes=["bird", "dog"])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_count_what_their_workers_skip(folder, copied):
    (folder / "cat" / "broken.png").write_bytes(b"no image")
    dataset = copied(data.ImageFolder(folder, on_error="skip"))
    with pytest.warns(UserWarning, match="skipped sample"):
        assert dataset[0] is None
    workers = dict(num_workers=1, multiprocessing_context="fork")
    loader = DataLoader(dataset, collate_fn=data.PadCollate(), **workers)
    assert len(list(loader)) == len(dataset) and dataset.skipped == 2


def test_datasets_that_skip_nothing_take_no_file_descriptors():
    """Of which a process has 1,024 as a rule: a dataset for each video, say, in one ConcatDataset."""
    before = len(os.listdir("/proc/self/fd"))
    sets = [data.Shapes(1) for _ in range(50)]
    assert len(os.listdir("/proc/self/fd")) - before < len(sets)


def test_threads_count_each_skipped_sample():
    count, interval = SkipCount(), sys.getswitchinterval()

    def add() -> None:
        for _ in range(20_000):
            count.add()

    threads = [threading.Thread(target=add) for _ in range(8)]
    sys.setswitchinterval(1e-6)  # so that threads meet in the middle of it
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert int(count) == 160_000


def test_digits():
    pytest.importorskip("sklearn", reason="needs scikit-learn")
    from sklearn.datasets import load_digits

    theirs = load_digits()
    dataset = data.Digits()
    assert len(dataset) == len(theirs.target) == 1797
    assert np.array_equal(dataset.labels, theirs.target)
    for index in (0, 700, 1796):
        image, target, _ = dataset[index]
        assert target == theirs.target[index]
        assert np.array_equal(np.rint(image[1].numpy() * 16 / 255), theirs.images[index])


def test_shapes_have_exact_boxes_and_masks():
    dataset = data.Shapes(20, size=(60, 90), seed=3)
    counts = []
    for index in range(len(dataset)):
        pixels, target = dataset.read(index)
        info = dataset.get_img_info(index)
        assert pixels.shape[:2] == target.size == (info["height"], info["width"])
        assert target.size == ((60, 90) if index % 2 == 0 else (90, 60))
        counts.append(len(target))
        for box, mask in zip(target.boxes, target.masks.bitmaps(), strict=True):
            rows, columns = np.nonzero(mask.numpy())
            assert box.tolist() == [
                columns.min(),
                rows.min(),
                columns.max() + 1,
                rows.max() + 1,
            ]
            colours = pixels[rows, columns]
            assert (colours == colours[0]).all()  # one shape, and nothing that hides it
        assert (target.masks.bitmaps().sum(0) <= 1).all()
    assert 1 <= np.mean(counts) < 6 and {len(dataset.classes)} == {4}
    again = data.Shapes(20, size=(60, 90), seed=3).read(7)
    assert np.array_equal(again[0], dataset.read(7)[0])
    assert not np.array_equal(data.Shapes(20, size=(60, 90), seed=4).read(7)[0], again[0])
    with pytest.raises(IndexError, match=r"index 20 is not in 0\.\.19"):
        dataset[20]


def write_coco(folder, contents):
    path = folder / "annotations.json"
    path.write_text(contents if isinstance(contents, str) else json.dumps(contents))
    return path


@pytest.fixture
def coco(tmp_path):
    """Three images, the second without objects, the third with a crowd and thin boxes."""
    for number, (height, width) in enumerate([(20, 30), (16, 16), (30, 20)]):
        pixels = RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    square = [2.0, 3.0, 12.0, 3.0, 12.0, 9.0, 2.0, 9.0]
    runs = [5 * 20 + 4, 6, 14, 6, 20 * 30 - 130]
    objects = [
        {"image_id": 7, "category_id": 18, "bbox": [2, 3, 10, 6], "segmentation": [square]},
        {"image_id": 7, "category_id": 3, "bbox": [5, 4, 2, 6],
         "segmentation": {"size": [20, 30], "counts": runs}},
        {"image_id": 9, "category_id": 3, "bbox": [0, 0, 20, 30], "iscrowd": 1,
         "segmentation": {"size": [30, 20], "counts": [0, 600]}},
        {"image_id": 9, "category_id": 3, "bbox": [4, 4, 0.5, 9], "segmentation": [square]},
    ]  # fmt: skip
    contents = {
        "images": [
            {"id": 9, "file_name": "2.png", "height": 30, "width": 20},
            {"id": 7, "file_name": "0.png", "height": 20, "width": 30},
            {"id": 8, "file_name": "1.png", "height": 16, "width": 16},
        ],
        "categories": [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}],
        "annotations": [
            {"id": n, "iscrowd": 0, "area": 1, **entry} for n, entry in enumerate(objects)
        ],
    }
    return tmp_path, contents


def test_coco(coco):
    folder, contents = coco
    dataset = data.CocoDetection(folder, write_coco(folder, contents))
    assert [info["id"] for info in dataset.images] == [7, 8, 9]
    assert dataset.contiguous_ids == {3: 1, 18: 2} and dataset.category_ids == [3, 18]
    assert dataset.get_img_info(2)["width"] == 20
    pixels, target = dataset.read(0)
    assert np.array_equal(pixels, np.asarray(Image.open(folder / "0.png")))
    assert target.boxes.tolist() == [[2, 3, 12, 9], [5, 4, 7, 10]]
    assert target.labels.tolist() == [2, 1]
    masks = target.masks.bitmaps()
    expected = torch.zeros(2, 20, 30, dtype=torch.uint8)
    expected[0, 3:9, 2:12] = 1
    expected[1, 4:10, 5:7] = 1
    assert torch.equal(masks, expected)
    assert len(dataset.read(1)[1]) == 0
    thin = dataset.read(2)[1]
    assert thin.boxes.tolist() == [[4, 4, 4.5, 13]]  # the crowd is left out

    training = data.CocoDetection(folder, write_coco(folder, contents), remove_empty=True)
    assert [info["id"] for info in training.images] == [7]
    legacy = data.CocoDetection(folder, write_coco(folder, contents), plus_one=True)
    assert legacy.target(0).boxes.tolist() == [[2, 3, 11, 8], [5, 4, 6, 9]]
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copy[0][0], dataset[0][0])
    with torch.device("meta"):  # in a program whose default device is a GPU
        assert torch.equal(dataset[0][0], copy[0][0]) and dataset.target(0).boxes.is_cpu


def changed(contents, **values):
    """The file with other values in its first annotation."""
    first, *others = contents["annotations"]
    return {**contents, "annotations": [{**first, **values}, *others]}


def of_image(contents, **values):
    """The file with other values in its first image."""
    first, *others = contents["images"]
    return {**contents, "images": [{**first, **values}, *others]}


def without(contents, key):
    first = {name: value for name, value in contents["annotations"][0].items() if name != key}
    return {**contents, "annotations": [first]}


@pytest.mark.parametrize("installed", [True, False])
def test_coco_polygons_of_fewer_than_three_points_cover_nothing(coco, installed, monkeypatch):
    if not installed:
        monkeypatch.setitem(sys.modules, "pycocotools", None)
    folder, contents = coco
    square = contents["annotations"][0]["segmentation"][0]
    short = [[], [4, 4], [4, 4, 9, 9]]

    def mask_of(segmentation):
        path = write_coco(folder, changed(contents, segmentation=segmentation))
        return data.CocoDetection(folder, path).target(0).masks.bitmaps()[0]

    assert not mask_of(short).any()
    assert torch.equal(mask_of([*short, square]), mask_of([square]))


def test_coco_without_annotations(coco):
    folder, contents = coco
    del contents["annotations"]
    dataset = data.CocoDetection(folder, write_coco(folder, contents))
    image, target, _ = dataset[2]
    assert len(dataset) == 3 and image.shape == (3, 30, 20)
    assert target.boxes.shape == (0, 4) and len(target.labels) == len(target.masks) == 0


@pytest.mark.parametrize(
    ("segmentation", "text"),
    [
        ({"size": [20, 30]}, "annotation 0: expected polygons or a mask with size and counts"),
        (
            {"size": [20, 30], "counts": [5, 5]},
            "annotation 0: expected counts of 600 pixels, .* got",
        ),
        ({"size": [20, 30], "counts": [601, -1]}, "annotation 0: expected counts of 600 pixels"),
        ({"size": [30, 20], "counts": [600]}, "annotation 0: a mask of .* for an image of"),
        ({"size": None, "counts": [600]}, "annotation 0: a mask of None for an image of"),
        (
            {"size": [20, 30], "counts": None},
            "annotation 0: expected counts of 600 pixels, as a list or compressed, got None",
        ),
        ({"size": [20, 30], "counts": [0.5, 599.5]}, "annotation 0: expected counts of 600 pixels"),
        ({"size": [20, 30], "counts": ["600"]}, "annotation 0: expected counts of 600 pixels"),
        ({"size": [20, 30], "counts": "garb~age"}, "expected counts of 600 pixels, .* 'garb~age'"),
        (
            {"size": [20, 30], "counts": ""},
            "annotation 0: expected counts of 600 pixels, .* got ''",
        ),
        ({"size": [20, 30], "counts": "oooooo"}, "annotation 0: expected counts of 600 pixels"),
    ],
)
def test_coco_run_lengths_that_are_wrong(coco, segmentation, text):
    folder, contents = coco
    path = write_coco(folder, changed(contents, segmentation=segmentation))
    with pytest.raises(ValueError, match=text):
        data.CocoDetection(folder, path).target(0)


def test_polygons_that_are_none():
    with pytest.raises(ValueError, match="expected pairs of coordinates .* got 5 numbers"):
        data.Polygons([[[1, 2, 3, 4, 5]]], (10, 10))
    for number in (np.nan, np.inf, 1e10):  # with which pycocotools never comes to an end
        with pytest.raises(ValueError, match="expected coordinates below 1e\\+06 pixels, got"):
            data.Polygons([[[1, 2, number, 4, 5, 6]]], (10, 10)).bitmaps()


def test_coco_like_pycocotools(coco):
    COCO = pytest.importorskip("pycocotools.coco", reason="needs pycocotools").COCO
    from pycocotools import mask as coco_mask

    folder, contents = coco
    bitmap = np.zeros((20, 30), np.uint8, order="F")
    bitmap[4:11, 6:20] = RNG.integers(0, 2, (7, 14))
    compressed = coco_mask.encode(bitmap)
    contents["annotations"][0]["segmentation"] = {
        "size": [20, 30],
        "counts": compressed["counts"].decode(),
    }
    path = write_coco(folder, contents)
    theirs = COCO(path)
    dataset = data.CocoDetection(folder, path)
    target = dataset.target(0)
    entries = theirs.loadAnns(theirs.getAnnIds(7, iscrowd=False))
    assert len(entries) == len(target) == 2
    for entry, box, mask in zip(entries, target.boxes, target.masks.bitmaps(), strict=True):
        x, y, width, height = entry["bbox"]
        assert box.tolist() == [x, y, x + width, y + height]
        assert np.array_equal(mask, theirs.annToMask(entry))
    assert np.array_equal(target.masks.bitmaps()[0], bitmap)


def test_compressed_run_lengths(coco, monkeypatch):
    """As pycocotools writes them; every part of such a text is refused."""
    coco_mask = pytest.importorskip("pycocotools.mask", reason="needs pycocotools")
    folder, contents = coco
    bitmaps = [RNG.random((20, 30)) < share for share in (0, 0.02, 0.5, 0.98, 1)]
    bitmaps += [np.indices((20, 30)).sum(0) // width % 2 == 0 for width in (1, 7, 25)]
    texts = [
        coco_mask.encode(np.asfortranarray(b.astype(np.uint8)))["counts"].decode() for b in bitmaps
    ]
    monkeypatch.setitem(sys.modules, "pycocotools", None)  # which it does without

    def mask_of(counts):
        segmentation = {"size": [20, 30], "counts": counts}
        path = write_coco(folder, changed(contents, segmentation=segmentation))
        return data.CocoDetection(folder, path).target(0).masks.bitmaps()[0]

    for bitmap, text in zip(bitmaps, texts, strict=True):
        assert np.array_equal(mask_of(text), bitmap)
    for text in texts[1], texts[-1]:
        for length in range(len(text)):
            with pytest.raises(ValueError, match="annotation 0: expected counts of 600 pixels"):
                mask_of(text[:length])


def test_coco_sizes_that_are_whole_floats(coco):
    folder, contents = coco
    contents["images"] = [
        {**image, "height": float(image["height"]), "width": float(image["width"])}
        for image in contents["images"]
    ]
    dataset = data.CocoDetection(folder, write_coco(folder, contents))
    assert json.dumps([dataset.get_img_info(i)["height"] for i in range(3)]) == "[20, 16, 30]"
    for index, size in enumerate([(20, 30), (16, 16), (30, 20)]):
        image, target, _ = dataset[index]
        assert image.shape[1:] == size == target.masks.bitmaps().shape[1:]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda c: "no json", "expected a COCO file in JSON"),
        (lambda c: [], "expected a COCO file with a list 'images'"),
        (lambda c: {**c, "categories": None}, "expected a COCO file with a list 'categories'"),
        (
            lambda c: {**c, "annotations": [{**c["annotations"][0], "category_id": 5}]},
            "annotation 0 has the category_id 5, which the file does not define",
        ),
        (
            lambda c: {**c, "annotations": [{**c["annotations"][0], "image_id": 1}]},
            "annotation 0 has the image_id 1, which the file does not define",
        ),
        (
            lambda c: {**c, "images": [{"id": 1}]},
            "expected images with id, file_name, height, width",
        ),
        (lambda c: {**c, "categories": [3]}, "expected categories with id, name, got 3"),
        (lambda c: without(c, "bbox"), "expected annotations with id, .*, bbox, got {'id': 0"),
        (
            lambda c: changed(c, bbox=[1, 2, 3]),
            "annotation 0: expected a bbox of four finite numbers",
        ),
        (lambda c: changed(c, bbox=[1, 2, np.nan, 4]), r"annotation 0: .* got \[1, 2, nan, 4\]"),
        (lambda c: changed(c, bbox=None), "annotation 0: expected a bbox of four .* got None"),
        (
            lambda c: changed(c, segmentation=[[1, 2, 3, 4, 5, 6, 7]]),
            r"annotations.json: annotation 0: expected polygons .* got \[1, 2, 3, 4, 5, 6, 7\]",
        ),
        (
            lambda c: changed(c, segmentation=[[1, 2, 3, np.inf, 5, 6]]),
            "annotation 0: expected polygons of finite numbers",
        ),
        (lambda c: changed(c, image_id=[7]), r"annotation 0 has the image_id \[7\], which"),
        (lambda c: changed(c, image_id="7"), "annotation 0 has the image_id '7', which"),
        (
            lambda c: of_image(c, height=None),
            "images whose height is a whole number of pixels, got",
        ),
        (lambda c: of_image(c, width=0), "images whose width is a whole number of pixels, got"),
        (lambda c: of_image(c, width=20.5), "whose width is a whole number of pixels, got .*20.5"),
        (lambda c: of_image(c, id=[1]), "images whose id is a number or a text, got"),
        (lambda c: of_image(c, file_name=None), "images whose file_name is a text, got"),
        (
            lambda c: {**c, "images": [c["images"][0], {**c["images"][0], "file_name": "b.png"}]},
            r"expected images with an id for each, got .* and .*b\.png",
        ),
        (
            lambda c: {**c, "categories": [*c["categories"], {"id": "x", "name": "y"}]},
            "categories with ids of one kind, got int and str",
        ),
        (
            lambda c: "[" * 100_000,
            "expected a COCO file in JSON, got: (maximum recursion|Stack overflow)",
        ),
    ],
)
def test_coco_files_that_are_wrong(coco, change, text):
    folder, contents = coco
    with pytest.raises(ValueError, match=text):
        data.CocoDetection(folder, write_coco(folder, change(contents)))


@pytest.mark.parametrize("none", [None, [], [[]]])
def test_coco_objects_without_a_segmentation(coco, none):
    """[] is what Roboflow and others write beside a box; masks of nothing would train a model to see nothing."""
    folder, contents = coco
    dataset = data.CocoDetection(folder, write_coco(folder, changed(contents, segmentation=none)))
    target = dataset.target(0)
    assert len(target) == 2 and target.masks is None


def test_coco_image_of_another_size(coco):
    folder, contents = coco
    dataset = data.CocoDetection(folder, write_coco(folder, contents))
    for size, got in [
        ((20, 30), "30 x 20; if Exif's orientation turned it, .*"),
        ((9, 9), "9 x 9"),
    ]:
        Image.new("RGB", size).save(folder / "0.png")
        with pytest.raises(ValueError, match=rf"0\.png: expected 20 x 30 .* got {got}$"):
            dataset[0]


def test_image_folder_leaves_hidden_names_out(folder):
    """Copies that Jupyter keeps were samples or a class, and so were the files that macOS writes into archives."""
    for hidden in (".ipynb_checkpoints/0.PNG", "cat/.ipynb_checkpoints/0.PNG", "dog/deep/._0.PNG"):
        (folder / hidden).parent.mkdir(exist_ok=True)
        shutil.copy(folder / "cat" / "deep" / "0.PNG", folder / hidden)
    dataset = data.ImageFolder(folder)
    assert dataset.classes == ["cat", "dog"] and len(dataset) == 5


def test_image_folder_follows_links(folder, tmp_path_factory):
    """As os.walk(followlinks=True) and torchvision do."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    Image.new("RGB", (3, 2)).save(elsewhere / "a.png")
    (folder / "cat" / "linked").symlink_to(elsewhere)
    (folder / "cat" / "round").symlink_to(folder / "cat")  # which would never end
    (folder / "dog" / "folder.jpg").mkdir()
    names = [str(path.relative_to(folder)) for path, _ in data.ImageFolder(folder).samples]
    deep = [
        f"{name}/deep/{n}.PNG" for name, count in [("cat", 3), ("dog", 2)] for n in range(count)
    ]
    assert names == [*deep[:3], "cat/linked/a.png", *deep[3:]]


@pytest.mark.parametrize(("workers", "context"), [(0, None), (2, "fork"), (2, "spawn")])
def test_data_loader_with_workers_samplers_and_combinations(workers, context):
    transforms = Compose([Resize(32, 50), Normalize()])
    dataset = data.Shapes(6, size=(40, 50), transforms=transforms)
    combined = ConcatDataset([Subset(dataset, [5, 1]), dataset])
    generator = torch.Generator().manual_seed(0)
    order = list(RandomSampler(combined, generator=torch.Generator().manual_seed(0)))
    loader = DataLoader(
        combined,
        batch_size=3,
        sampler=RandomSampler(combined, generator=generator),
        collate_fn=data.PadCollate(32),
        num_workers=workers,
        multiprocessing_context=context,
    )
    order = [([5, 1] + list(range(6)))[index] for index in order]
    seen = []
    for images, targets, indices in loader:
        for image, size, target, index in zip(
            images.tensors, images.image_sizes, targets, indices, strict=True
        ):
            pixels, plain = dataset.read(index)
            expected = transforms(Picture.of(pixels), plain, random.Random(0))
            assert target.size == size and torch.equal(target.boxes, expected[1].boxes)
            assert torch.equal(image[:, : size[0], : size[1]], expected[0].draw())
            seen.append(index)
    assert seen == order


def test_distributed_sampler_of_torch():
    dataset = data.Shapes(7, size=(40, 50))
    shares = [
        list(DataLoader(dataset, sampler=DistributedSampler(dataset, 2, rank), batch_size=None))
        for rank in range(2)
    ]
    indices = [[int(index) for _, _, index in share] for share in shares]
    assert [len(share) for share in indices] == [4, 4]
    assert set(indices[0]) | set(indices[1]) == set(range(7))
