"""`make bench-data`: images into batches, and broadcasting, beside OpenCV, albumentations, torchvision, NumPy.

CPU time per image on one thread, interleaved, medians; Loader against DataLoader in wall time. The
images are 640 x 480 JPEGs of quality 90, made of scikit-learn's two photographs.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import gc
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import data_peers
import numpy as np
import torch
from table import Table, interleaved

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import data  # noqa: E402
from data import ops  # noqa: E402
from data.files import JpegFile, as_rgb  # noqa: E402
from data.photographs import bundled_photographs  # noqa: E402
from data.transforms import (  # noqa: E402
    Compose,
    Normalize,
    RandomHorizontalFlip,
    RandomResizedCrop,
    Resize,
)

IMAGES = 32


def make_jpegs() -> list[bytes]:
    """Crops of the photographs, mirrored and brightened at random, with a little noise."""
    rng = np.random.default_rng(0)
    photographs = [cv2.imread(str(path)) for path in bundled_photographs()]
    files = []
    for number in range(IMAGES):
        image = photographs[number % 2]
        top, left = rng.integers(0, 60), rng.integers(0, 80)
        crop = cv2.resize(image[top : top + 360, left : left + 480], (640, 480))
        crop = crop[:, ::-1] if rng.random() < 0.5 else crop
        noisy = crop * rng.uniform(0.7, 1.2) + rng.normal(0, 6, crop.shape)
        encoded = cv2.imencode(
            ".jpg", np.clip(noisy, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 90]
        )[1]
        files.append(encoded.tobytes())
    return files


class InMemory(data.ImageDataset):
    """JPEG files' contents, over and over up to a length."""

    def __init__(self, files: list[bytes], length: int, transforms: Any) -> None:
        super().__init__(transforms)
        self.files, self.length = files, length

    def read(self, index: int) -> tuple[np.ndarray | JpegFile, int]:
        return as_rgb(self.files[index % len(self.files)], f"number {index}"), index

    def __len__(self) -> int:
        return self.length


DETECTION = Compose([Resize(800, 1333), Normalize(data_peers.MEAN)])


def classification(antialias: bool) -> Compose:
    crop = RandomResizedCrop(data_peers.CROP, antialias=antialias)
    return Compose(
        [crop, RandomHorizontalFlip(), Normalize(data_peers.MEAN, (data_peers.STD,) * 3)]
    )


def epoch_of(loader: data.Loader) -> Callable[[], None]:
    def run() -> None:
        for _ in loader:
            pass

    return run


def epoch_of_peer(
    pipeline: data_peers.Pipeline, files: list[bytes], size: int
) -> Callable[[], None]:
    def run() -> None:
        for first in range(0, len(files), size):
            pipeline(files[first : first + size])

    return run


def per_image(functions: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """CPU milliseconds per image."""
    for function in functions.values():
        function()
    found = interleaved(functions, rounds, 1)
    return {name: nanoseconds / 1e6 / IMAGES for name, nanoseconds in found.items()}


def same_result(files: list[bytes]) -> None:
    """The detection pipelines compute one thing: otherwise the comparison means nothing."""
    [(images, _, _)] = data.Loader(InMemory(files, 2, DETECTION), 2, size_divisibility=32)
    for name, pipeline in data_peers.all_of()["detection"].items():
        theirs = pipeline(files[:2])
        if name == "torchvision v2":
            theirs = theirs[:, [2, 1, 0]]
        if name.startswith("albumentations"):
            theirs = theirs.float()
        difference = (images.tensors - theirs)[..., : data_peers.SIZE[1]].abs()
        assert images.tensors.shape == theirs.shape and difference.mean() < 1.5, (name, difference)


def pipelines(table: Table, files: list[bytes], rounds: int) -> None:
    peers = data_peers.all_of()
    loader = data.Loader(InMemory(files, IMAGES, DETECTION), 2, threads=1, size_divisibility=32)
    functions = {"ours": epoch_of(loader)}
    for name, pipeline in peers["detection"].items():
        functions[name] = epoch_of_peer(pipeline, files, 2)
    times = per_image(functions, rounds)
    ours = times.pop("ours")
    pillow = times.pop("maskrcnn-benchmark's pipeline")
    best = min(times.values())
    for name, value in times.items():
        table.add("detection, 800/1333, CPU per image", ours, name, value, "ms",
                  1 / 1.5 if value == best else None)  # fmt: skip
    table.add("detection, 800/1333, CPU per image", ours, "maskrcnn-benchmark's pipeline", pillow,
              "ms", 1 / 5)  # fmt: skip

    functions = {}
    for name, antialias in [("ours, two pixels per axis", False), ("ours, antialiased", True)]:
        dataset = InMemory(files, IMAGES, classification(antialias))
        functions[name] = epoch_of(data.Loader(dataset, IMAGES, threads=1))
    for name, pipeline in peers["classification"].items():
        functions[name] = epoch_of_peer(pipeline, files, IMAGES)
    times = per_image(functions, rounds)
    best = min(value for name, value in times.items() if not name.startswith("ours"))
    for name, value in times.items():
        if not name.startswith("ours"):
            for mine in ("ours, two pixels per axis", "ours, antialiased"):
                marked = value == best and mine != "ours, antialiased"
                kind = mine.removeprefix("ours, ")
                table.add(f"crop to 224, {kind}", times[mine], name, value, "ms",
                          1.0 if marked else None)  # fmt: skip


def loaders(table: Table, files: list[bytes], rounds: int) -> None:
    """Wall time per image, two threads against two processes; their start is not counted."""
    length = 160

    def measure(loader: Any) -> float:
        iterator = iter(loader)
        for _ in range(8):
            next(iterator)
        started = time.perf_counter()
        count = sum(len(indices) for _, _, indices in iterator)
        return (time.perf_counter() - started) / count * 1e3

    dataset = InMemory(files, length, DETECTION)
    ours = data.Loader(dataset, 2, threads=2, size_divisibility=32)
    theirs = torch.utils.data.DataLoader(dataset, 2, collate_fn=data.PadCollate(32), num_workers=2)
    samples = [(measure(ours), measure(theirs)) for _ in range(rounds)]
    mine, other = (statistics.median(column) for column in zip(*samples, strict=True))
    table.add("detection, 2 threads, wall per image", mine, "DataLoader, 2 workers, our kernel",
              other, "ms", 0.5)  # fmt: skip


def resident() -> float:
    """This process's memory in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def memory(table: Table, files: list[bytes], count: int) -> None:
    """Growth after two tenths, over images of changing sizes.

    Batches of the first tenth are held for a while, so that there are as many buffers as there will ever be. How many
    are in use at once is otherwise a matter of chance, and one that is first needed late would count as growth.
    """
    transforms = Compose(
        [Resize((320, 352, 384, 416, 448, 480)), RandomHorizontalFlip(), Normalize()]
    )
    loader = data.Loader(InMemory(files, count, transforms), 4, threads=2, size_divisibility=32)
    before, warm_up = 0.0, len(loader) // 10
    held: deque[Any] = deque(maxlen=loader.pool.keep)
    for number, batch in enumerate(loader):
        if number < warm_up:
            held.append(batch)
        elif number == warm_up:
            held.clear()
        elif number == 2 * warm_up:
            gc.collect()
            before = resident()
    gc.collect()
    table.add(f"growth over {count} images", max(resident() - before, 0.0), "the mark: 8 MB", 8.0,
              "MB", 1.0)  # fmt: skip


def broadcasting(table: Table, rounds: int) -> None:
    image = torch.rand(800, 1066, 3)
    mean, std = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.3, 0.4])
    arrays = [tensor.numpy() for tensor in (image, mean, std)]
    out, array_out = torch.empty_like(image), np.empty_like(arrays[0])

    def compare(claim: str, functions: dict[str, Any], inner: int, mark: str, ratio: float) -> None:
        for function in functions.values():
            function()
        times = interleaved(functions, rounds, inner)
        for name, value in times.items():
            if name != "ours":
                table.add(claim, times["ours"] / 1e3, name, value / 1e3, "us",
                          ratio if name == mark else None)  # fmt: skip

    compare(
        "(800,1066,3) - (3,) / (3,)",
        {
            "ours": lambda: ops.divide(ops.subtract(image, mean), std),
            "NumPy": lambda: (arrays[0] - arrays[1]) / arrays[2],
            "torch": lambda: (image - mean) / std,
        },
        3,
        "NumPy",
        1 / 4,
    )
    compare(
        "the same, out=",
        {
            "ours": lambda: ops.divide(ops.subtract(image, mean, out), std, out),
            "NumPy": lambda: np.divide(
                np.subtract(arrays[0], arrays[1], out=array_out), arrays[2], out=array_out
            ),
        },
        3,
        "NumPy",
        1 / 4,
    )
    for claim, left, right in [
        ("(64,1,256) + (1,64,256)", (64, 1, 256), (1, 64, 256)),
        ("(1000,1000) + (1000,1000)", (1000, 1000), (1000, 1000)),
    ]:
        a, b = torch.rand(left), torch.rand(right)
        compare(
            claim,
            {
                "ours": partial(ops.add, a, b),
                "torch": partial(torch.add, a, b),
                "NumPy": partial(np.add, a.numpy(), b.numpy()),
            },
            60,
            "torch",
            1.1,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="samples of each figure")
    parser.add_argument("--images", type=int, default=10_000, help="of the memory's figure")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    files = make_jpegs()
    print(f"{len(files)} JPEGs, {sum(map(len, files)) / len(files) / 1e3:.0f} kB each on average")
    same_result(files)
    table = Table()
    pipelines(table, files, options.rounds)
    loaders(table, files, options.rounds)
    broadcasting(table, options.rounds)
    memory(table, files, options.images)
    table.print()


if __name__ == "__main__":
    main()
