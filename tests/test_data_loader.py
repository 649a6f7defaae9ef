"""Loader: the same batches whatever the threads, errors in their place, resuming, memory, clean ends."""

from __future__ import annotations

import gc
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler, ConcatDataset, Subset

pytest.importorskip("_ext.kernels", reason="run `python build_ffi.py` first")
pytest.importorskip("PIL", reason="needs Pillow")

import data  # noqa: E402
from data.buffers import BufferPool  # noqa: E402
from data.transforms import (  # noqa: E402
    ColorJitter,
    Compose,
    Normalize,
    Picture,
    RandomHorizontalFlip,
    RandomResizedCrop,
    Resize,
)
from tests.processes import python

TRANSFORMS = Compose([Resize((24, 32, 40), 60), RandomHorizontalFlip(), Normalize()])


def shapes(length: int = 14) -> data.Shapes:
    return data.Shapes(length, size=(30, 44), most=2, transforms=TRANSFORMS)


def kept(batches: Any) -> list[Any]:
    """Copies of what was given, in a form that can be compared."""
    return [
        (images.tensors.clone().numpy(), images.image_sizes, [t.boxes.tolist() for t in targets], i)
        for images, targets, i in batches
    ]


def assert_equal(ours: list[Any], theirs: list[Any]) -> None:
    assert len(ours) == len(theirs)
    for (a, *rest_a), (b, *rest_b) in zip(ours, theirs, strict=True):
        assert np.array_equal(a, b) and rest_a == rest_b


def no_threads_left() -> bool:
    return not any(thread.name.startswith("data.Loader") for thread in threading.enumerate())


def test_batches_are_those_of_pad_collate():
    plain = data.Shapes(7, size=(30, 44), transforms=Compose([Resize(40, 60), Normalize()]))
    loader = data.Loader(plain, np.int64(3), size_divisibility=32)
    expected = torch.utils.data.DataLoader(plain, 3, collate_fn=data.PadCollate(32))
    assert len(loader) == 3
    assert_equal(kept(loader), kept(expected))
    assert no_threads_left()


@pytest.mark.parametrize(("threads", "prefetch"), [(1, 1), (1, 3), (2, 2), (5, 1), (3, 9)])
def test_threads_change_nothing(threads, prefetch):
    reference = data.Loader(shapes(), 4, shuffle=True, seed=5, threads=1)
    loader = data.Loader(shapes(), 4, shuffle=True, seed=5, threads=threads, prefetch=prefetch)
    first = kept(reference)
    assert_equal(kept(loader), first)
    second = kept(reference)
    assert_equal(kept(loader), second)
    assert sorted(sum((batch[3] for batch in second), [])) == list(range(14))
    assert [batch[3] for batch in first] != [batch[3] for batch in second]
    other = kept(data.Loader(shapes(), 4, shuffle=True, seed=6))
    assert [batch[3] for batch in other] != [batch[3] for batch in first]


def test_batches_are_on_the_cpu_whatever_the_default_device():
    """Of torch.set_default_device("cuda"), meta takes the part."""
    expected = kept(data.Loader(shapes(4), 2, shuffle=True))
    jittered = Compose([ColorJitter(0.5), RandomResizedCrop(8), Normalize()])
    with torch.device("meta"):
        dataset = data.Shapes(4, size=(30, 44), most=2, on_error="skip", transforms=jittered)
        image, target, _ = dataset[0]
        polygons = data.Polygons([[[0, 0, 4, 0, 4, 4]]] * 2, (6, 8))
        masks = polygons[torch.tensor([True, False], device="cpu")].bitmaps()
        assert int(dataset.skipped) == 0
        assert_equal(kept(data.Loader(shapes(4), 2, shuffle=True)), expected)
    tensors = [image, target.boxes, target.labels, target.masks.bitmaps(), masks]
    assert all(tensor.is_cpu for tensor in tensors) and masks.sum() > 0


def test_transforms_are_drawn_anew_in_each_epoch():
    loader = data.Loader(shapes(8), 4)
    first, second = kept(loader), kept(loader)
    assert [batch[3] for batch in first] == [batch[3] for batch in second]
    assert [batch[1] for batch in first] != [batch[1] for batch in second]


def test_two_epochs_resumed_anywhere_give_the_same_batches():
    def make() -> data.Loader:
        return data.Loader(shapes(), 3, shuffle=True, seed=9, size_divisibility=16)

    whole = make()
    expected = kept(whole) + kept(whole)
    assert len(expected) == 10
    assert whole.state_dict() == {"seed": 9, "batch_size": 3, "epoch": 2, "batch": 0}
    for stop in range(11):
        first, got = make(), []
        while len(got) < stop:
            for batch in first:
                got += kept([batch])
                if len(got) == stop:
                    break
        resumed = make()
        resumed.load_state_dict(first.state_dict())
        while len(got) < 10:
            got += kept(resumed)
        assert_equal(got, expected)
    # numbers that torch.load(weights_only=True) takes, and json
    grouped = data.GroupedBatchSampler(range(4), [0] * 4, np.int64(2))
    for loader in (
        data.Loader(shapes(), np.int64(3), seed=np.uint32(9)),
        data.Loader(shapes(), batch_sampler=grouped),
    ):
        assert {type(value) for value in loader.state_dict().values()} == {int}
    with pytest.raises(ValueError, match="seed 9, this one's is 1: it would give other batches"):
        data.Loader(shapes(), seed=1).load_state_dict(make().state_dict())
    with pytest.raises(ValueError, match="batch_size 3, this one's is 4: it would give other"):
        data.Loader(shapes(), 4, seed=9).load_state_dict(make().state_dict())
    with pytest.raises(ValueError, match="got a state without batch, batch_size, epoch, seed"):
        make().load_state_dict({})


def test_subsets_concatenations_and_batch_samplers():
    dataset = data.Shapes(6, size=(30, 44))
    combined = ConcatDataset([Subset(dataset, [5, 1]), dataset])
    batches = [[0, 7], [2], [1, 0]]
    loader = data.Loader(combined, batch_sampler=batches)
    assert [indices for _, _, indices in loader] == batches  # of what the loader was given
    for (images, targets, indices), expected in zip(loader, [[5, 5], [0], [1, 5]], strict=True):
        for image, target, index in zip(images.tensors, targets, expected, strict=True):
            pixels, plain = dataset.read(index)
            height, width = plain.size
            assert np.array_equal(image[:, :height, :width].permute(1, 2, 0), pixels)
            assert torch.equal(target.boxes, plain.boxes)
        assert len(indices) == len(expected)
    for index in (-1, -8, 7, -9, 8):
        chosen = Subset(combined, [index])
        if -8 <= index < 8:
            ((images, _, _),) = data.Loader(chosen)
            assert torch.equal(images.tensors[0], chosen[0][0])
        else:
            with pytest.raises(IndexError, match=f"index {index} is not in a set of 8 samples"):
                list(data.Loader(chosen))
    by_tensor = Subset(dataset, torch.tensor([5, 1]))  # as of torch.randperm(6)[:2]
    ((images, _, _),) = data.Loader(by_tensor, 2)
    assert torch.equal(images.tensors[0], dataset[5][0]) and by_tensor[1][2] == 1
    assert type(by_tensor[1][2]) is int
    grouped = data.GroupedBatchSampler(data.EpochSampler(6, seed=1), data.aspect_groups(dataset), 2)
    loader = data.Loader(dataset, batch_sampler=grouped)
    orders = [[batch[2] for batch in loader] for _ in range(2)]
    assert orders[0] != orders[1] and sorted(sum(orders[1], [])) == list(range(6))
    with pytest.raises(
        TypeError,
        match="expected a data.ImageDataset, .* got a builtins.list, which .*; torch's DataLoader",
    ):
        list(data.Loader([1, 2, 3]))
    for wrong, least in [
        (dict(threads=0), 1),
        (dict(threads=1.5), 1),
        (dict(batch_size="2"), 1),
        (dict(prefetch=True), 1),
        (dict(seed=-1), 0),
        (dict(seed=None), 0),
        (dict(size_divisibility=-32), 0),
    ]:
        ((name, value),) = wrong.items()
        text = f"Loader: {name}: expected a whole number of at least {least}, got {value!r}"
        with pytest.raises(ValueError, match=text):
            data.Loader(dataset, **wrong)
    with pytest.raises(ValueError, match="PadCollate: size_divisibility: .* got -32"):
        data.PadCollate(-32)
    with pytest.raises(ValueError, match="batch_sampler decides on batch_size"):
        data.Loader(dataset, 2, batch_sampler=[[0]])


class Failing(data.ImageDataset):
    """Fails for the indices that it is told, in a way that it is told."""

    def __init__(self, failing: dict[int, BaseException], **options: Any) -> None:
        super().__init__(**options)
        self.failing = failing

    def read(self, index: int) -> tuple[np.ndarray, int]:
        if index in self.failing:
            raise self.failing[index]
        return np.full((3 + index % 3, 4, 3), index, np.uint8), index

    def __len__(self) -> int:
        return 12


def test_batches_of_tensors_and_a_sampler_in_the_batch_samplers_place():
    order = torch.tensor([3, 0, 2, 1])
    expected = kept(data.Loader(shapes(4), batch_sampler=[[3, 0], [2, 1]]))
    for batches in (order.split(2), BatchSampler(order, 2, False)):
        assert_equal(kept(data.Loader(shapes(4), batch_sampler=batches)), expected)
    for sampler in (data.EpochSampler(4, shuffle=False), order[1:]):
        with pytest.raises(TypeError, match="expected a batch_sampler that gives lists .* got .*0"):
            iter(data.Loader(shapes(4), batch_sampler=sampler))
    gc.collect()
    assert no_threads_left()


def test_a_thousand_random_failures():
    rng = random.Random(0)
    kinds = [ValueError, data.ImageFileError, OSError, KeyError, MemoryError, SystemExit]
    ended = {"whole": 0, "error": 0, "break": 0}
    for number in range(1000):
        failing = {
            rng.randrange(12): rng.choice(kinds)(f"failure {number}")
            for _ in range(rng.choice([0, 1, 1, 2]))
        }
        size = rng.randrange(1, 6)
        loader = data.Loader(
            Failing(failing), size, threads=rng.randrange(1, 4), prefetch=rng.randrange(1, 5)
        )
        first = min(failing, default=12)
        stop = rng.choice([None, None, rng.randrange(12)])
        given: list[int] = []
        try:
            for images, targets, indices in loader:
                assert targets == indices
                assert images.tensors[:, 0, 0, 0].tolist() == [float(index) for index in indices]
                given += indices
                if stop is not None and len(given) > stop:
                    ended["break"] += 1
                    break
            else:
                assert not failing and given == list(range(12))
                ended["whole"] += 1
        except tuple(kinds) as error:
            assert error is failing[first]
            assert given == list(range(first // size * size))
            ended["error"] += 1
    gc.collect()
    assert no_threads_left()
    assert sum(ended.values()) == 1000 and min(ended.values()) > 100


def test_an_iterator_that_ends_in_a_sample_does_not_end_the_epoch():
    """As next() of nothing does: the rest of the images would be left out in silence."""
    iterator = iter(data.Loader(Failing({5: StopIteration()}), 4))
    assert next(iterator)[2] == [0, 1, 2, 3]
    with pytest.raises(RuntimeError, match="Loader: a sample of batch 1 raised StopIteration"):
        next(iterator)


def test_an_ended_iterator_gives_nothing_more():
    iterator = iter(data.Loader(Failing({5: ValueError("here")}), 4))
    assert next(iterator)[2] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="here"):
        next(iterator)
    with pytest.raises(StopIteration):
        next(iterator)
    iterator = iter(data.Loader(Failing({}), 4))
    next(iterator)
    iterator.close()
    assert no_threads_left()
    with pytest.raises(StopIteration):
        next(iterator)


@pytest.mark.parametrize("kind", [data.Shapes, Subset, ConcatDataset])
def test_samples_by_a_getitem_of_ones_own_are_not_left_out(kind):
    """As a Subset often gives another transform to a part of a set."""
    methods = ("__getitem__", "__getitems__")  # Subset asks for both
    own = type("Own", (kind,), dict.fromkeys(methods, lambda self, index: None))
    arguments = {data.Shapes: (4,), Subset: (shapes(), [1]), ConcatDataset: ([shapes()],)}[kind]
    for dataset in (own(*arguments), Subset(own(*arguments), [0])):
        with pytest.raises(TypeError, match="got Own with a __getitem__ of its own, which is"):
            data.Loader(dataset)


def test_a_set_that_says_both_what_samples_are_and_what_threads_call_is_taken_at_its_word():
    class Second(data.Shapes):
        datasets = None  # ConcatDataset's, of which this is none

        def prepare(self, index, rng):
            return super().prepare(1, rng)

        def __getitem__(self, index):
            return super().__getitem__(1)

    first, second = (target for _, (target,), _ in data.Loader(Second(2), 1))
    assert torch.equal(first.boxes, second.boxes)


def test_skipped_files_leave_smaller_batches():
    broken = data.ImageFileError("x.jpg: broken")
    dataset = Failing(dict.fromkeys([1, 4, 5, 6, 7, 11], broken), on_error="skip")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        batches = [indices for _, _, indices in data.Loader(dataset, 4)]
    assert batches == [[0, 2, 3], [8, 9, 10]] and dataset.skipped == 6


def test_a_transform_behind_a_crop_may_change_the_size():
    def turned(picture, target, rng):
        picture = picture.decoded()
        top, left, height, width = picture.crop
        pixels = picture.pixels[top : top + height, left : left + width].swapaxes(0, 1)
        crop, size = (0, 0, width, height), picture.size[::-1]
        return replace(picture, pixels=pixels, crop=crop, size=size), target

    dataset = Failing({}, transforms=Compose([RandomResizedCrop((4, 6)), turned]))
    images, _, _ = next(iter(data.Loader(dataset, 3)))
    assert images.tensors.shape == (3, 3, 6, 4)


def test_images_of_one_size_are_drawn_at_once_with_the_same_result():
    transforms = Compose([RandomResizedCrop((17, 22)), RandomHorizontalFlip(), Normalize()])
    assert transforms.output_size == (17, 22)
    assert Compose([RandomResizedCrop(9), Resize(12)]).output_size is None
    assert Compose([RandomResizedCrop(9), lambda *sample: sample[:2]]).output_size is None

    class Sized(Failing):
        def prepare(self, index: int, rng: random.Random) -> Any:
            prepared = super().prepare(index, rng)
            return prepared and (prepared[0], 0)

    broken = dict.fromkeys([1, 4, 5, 6, 7, 11], data.ImageFileError("x.jpg: broken"))
    at_once = Sized(broken, on_error="skip", transforms=transforms)
    later = Sized(broken, on_error="skip", transforms=lambda *sample: transforms(*sample))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, theirs = (
            [(i.tensors.numpy().copy(), i.image_sizes, n) for i, _, n in loader]
            for loader in (data.Loader(set_, 4, size_divisibility=8) for set_ in (at_once, later))
        )
    assert [batch[2] for batch in ours] == [[0, 2, 3], [8, 9, 10]]
    assert ours[0][0].shape == (3, 3, 24, 24)
    assert_equal(ours, theirs)


def test_decoded_images_do_not_share_memory(tmp_path):
    """Their memory is used again, but not before the last view of it is gone."""
    files = [np.full((40, 50, 3), 40 * number, np.uint8) for number in range(6)]
    for number, pixels in enumerate(files):
        data.files.Image.fromarray(pixels).save(tmp_path / f"{number}.jpg")
    read = [data.read_rgb(tmp_path / f"{number}.jpg") for number in range(6)]
    views = [pixels[3:, 5:][::2] for pixels in read]
    tensors = [torch.from_numpy(pixels)[7] for pixels in read]
    del read
    gc.collect()
    again = [data.read_rgb(tmp_path / "5.jpg") for _ in range(6)]
    for number in range(6):
        assert np.abs(views[number] - 40.0 * number).max() <= 1
        assert (tensors[number].float() - 40.0 * number).abs().max() <= 1
    assert all(np.abs(pixels - 200.0).max() <= 1 for pixels in again)


def test_errors_of_the_kernel_are_raised_too():
    class Wrong(Failing):
        def prepare(self, index: int, rng: random.Random) -> tuple[Picture, int]:
            picture, target = super().prepare(index, rng)
            return (Picture(picture.pixels, (0, 0, 99, 99), (4, 4)) if index == 6 else picture), 0

    given = []
    with pytest.raises(RuntimeError, match="must lie in the image of 3 x 4 pixels"):
        for _, _, indices in data.Loader(Wrong({}), 4):
            given += indices
    assert given == [0, 1, 2, 3]


def test_batch_memory_is_used_again_and_never_too_early():
    dataset = data.Shapes(
        60, size=(30, 44), transforms=Compose([RandomResizedCrop(16), Normalize()])
    )
    loader = data.Loader(dataset, 4, shuffle=True, prefetch=2)
    for _ in range(3):
        for _batch in loader:
            pass
    assert loader.pool.allocated <= 8  # 45 batches
    held = [
        (images.tensors[1, :, 3:9], images.tensors[1, :, 3:9].clone()) for images, _, _ in loader
    ]
    assert all(torch.equal(view, copy) for view, copy in held)  # views alone keep the memory


def test_pool_of_growing_and_shrinking_batches():
    pool = BufferPool(keep=3)
    rng = random.Random(0)
    held: list[torch.Tensor] = []
    for number in range(500):
        tensor = pool.tensor(rng.randrange(1, 5), 3, rng.randrange(1, 40), rng.randrange(1, 40))
        assert tensor.is_contiguous() and tensor.data_ptr() % 64 == 0
        tensor.fill_(number)
        held.append(tensor[0, 0, :1])
        del tensor
        if len(held) > 2:
            held.pop(rng.randrange(len(held)))
        assert sorted({float(view[0, 0]) for view in held}) == sorted(float(v[0, 0]) for v in held)
    assert pool.allocated < 60


def test_a_pool_keeps_so_many_blocks_and_none_that_is_too_large():
    pool = BufferPool(keep=2, largest=1000)
    held = [pool.array(100) for _ in range(5)]
    assert pool.allocated == 5
    held.clear()  # the memory of three is gone, which their user had in the end
    held = [pool.array(100) for _ in range(3)]
    assert pool.allocated == 6
    held.clear()
    pool.array(1000)  # more than a block had so far, but the one of that size is used again
    pool.array(1000)
    assert pool.allocated == 7
    pool.array(1001)
    pool.array(1001)
    assert pool.allocated == 9


FORKING = """
import os, signal, sys, threading, time
from data.buffers import BufferPool
from data.dataset import SkipCount
pool, count = BufferPool(keep=3), SkipCount()
def use():
    while True:
        pool.array(100)
        count.add()
sys.setswitchinterval(1e-6)  # so that a thread is often in the middle of it
for _ in range(3):
    threading.Thread(target=use, daemon=True).start()
for _ in range(60):
    child = os.fork()
    if not child:
        signal.alarm(5)  # which ends a child that waits
        pool.array(100)
        count.add()
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        os.write(1, b"a child waited for a thread that it does not have")
        os._exit(1)
os._exit(0)
"""


def test_forked_workers_wait_for_no_thread_of_their_parent():
    run = python("-W", "ignore", "-c", FORKING, cwd=Path(__file__).resolve().parent.parent)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


SCRIPT = """
import signal, sys, time, threading
import data
from data.transforms import Compose, Resize
loader = data.Loader(data.Shapes(10**6, size=(60, 80), transforms=Compose([Resize(200)])), 8)
if sys.argv[1] == "exit":
    iterator = iter(loader)
    next(iterator)
    sys.exit(3)  # with an iterator that is alive
signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell's & had it ignored
running = False
try:
    for batch in loader:  # which alone knows the iterator: Ctrl-C may come here, too
        if not running:
            print("running", flush=True)
        running = True
except KeyboardInterrupt:
    alive = [thread.name for thread in threading.enumerate() if "Loader" in thread.name]
    print("interrupted", alive, flush=True)
"""


@pytest.mark.parametrize("how", ["exit", "interrupt"])
def test_the_program_ends_cleanly(how):
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, how],
        cwd=Path(__file__).resolve().parent.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if how == "interrupt":
        assert process.stdout.readline() == "running\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert error == ""
    assert process.returncode == (3 if how == "exit" else 0)
    assert out == ("" if how == "exit" else "interrupted []\n")
