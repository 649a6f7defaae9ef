"""Classification sets: folders of images by class, and the digits that scikit-learn carries."""

from __future__ import annotations

import gzip
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.dataset import ImageDataset
from data.files import JpegFile, open_rgb
from data.photographs import sklearn_file

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}


def images_below(folder: Path) -> list[Path]:
    """The image files below a folder, by name. Links to folders are followed; each folder is looked at once, so
    that a link to one above ends. Hidden names are not looked at: Jupyter's copies in .ipynb_checkpoints, the "._1.jpg"
    that macOS adds for 1.jpg."""
    found: list[Path] = []
    seen = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        # sorted: of two links to one folder, the first by name
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        shown = (name for name in names if not name.startswith("."))
        found += [Path(place, name) for name in shown if Path(name).suffix.lower() in SUFFIXES]
    return sorted(found)


class ImageFolder(ImageDataset):
    """One folder per class below `root`, in the order of their names; targets are class numbers.

    Args:
        root: the folder of the class folders, which are searched to any depth, links to folders included, hidden
            files and folders (.ipynb_checkpoints) not.
        classes: their names in the order of their numbers, such as the `classes` of another set, whose
            numbers these are to be: root may lack some of the folders then. None: those that there are.
        **options: of `ImageDataset`.

    Raises:
        FileNotFoundError: no such folder, no class folder in it, or one without images.
        ValueError: a folder that is none of the classes.
    """

    def __init__(
        self, root: str | Path, *, classes: Sequence[str] | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.root = Path(root)
        if not self.root.is_dir():
            raise FileNotFoundError(f"ImageFolder: {root} is no folder")
        folders = (entry.name for entry in self.root.iterdir() if entry.is_dir())
        found = sorted(name for name in folders if not name.startswith("."))
        if not found:
            raise FileNotFoundError(
                f"ImageFolder: expected a folder per class in {root}, such as {root}/cat/1.jpg"
            )
        self.classes = found if classes is None else list(classes)
        self.samples: list[tuple[Path, int]] = []
        numbers = {name: number for number, name in enumerate(self.classes)}
        for name in found:
            if name not in numbers:
                raise ValueError(
                    f"ImageFolder: expected folders of the classes {', '.join(self.classes)} in {root}, got {name!r}, "
                    "too; move it away, or give classes that have it"
                )
            files = images_below(self.root / name)
            if not files:
                raise FileNotFoundError(
                    f"ImageFolder: class {name!r} has no images in {self.root / name}; "
                    f"expected files that end in {', '.join(sorted(SUFFIXES))}"
                )
            self.samples += [(path, numbers[name]) for path in files]

    def read(self, index: int) -> tuple[np.ndarray | JpegFile, int]:
        path, number = self.samples[index]
        return open_rgb(path), number

    def __len__(self) -> int:
        return len(self.samples)


class Digits(ImageDataset):
    """1797 handwritten digits of 8 x 8 pixels, from scikit-learn; targets are 0 to 9.

    (Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, 1998.) Its 17 grey levels are
    spread over 0..255.

    Args:
        **options: of `ImageDataset`.

    Raises:
        ModuleNotFoundError: scikit-learn is not installed.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        with gzip.open(sklearn_file("data", "digits.csv.gz"), "rt") as lines:
            table = np.loadtxt(lines, delimiter=",")
        grey = np.rint(table[:, :64] * (255 / 16)).astype(np.uint8)
        self.images = grey.reshape(-1, 8, 8)
        self.labels = table[:, 64].astype(np.int64)

    def read(self, index: int) -> tuple[np.ndarray, int]:
        return np.repeat(self.images[index][..., None], 3, 2), int(self.labels[index])

    def __len__(self) -> int:
        return len(self.labels)
