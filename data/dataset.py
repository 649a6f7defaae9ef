"""The Dataset base classes: they check that a class keeps DataLoader's contract when it is used."""

from __future__ import annotations

import random
import warnings
from bisect import bisect_right
from collections.abc import Callable
from typing import Any

import numpy as np
import torch.utils.data
from torch.utils.data import ConcatDataset, Subset

from data.files import ImageFileError, JpegFile
from data.locks import fork_safe_lock
from data.target import Target
from data.transforms import Picture, check_transform, transformed

# What a dataset must define, and how: the lines stand in the error as they are here.
CONTRACT = {
    "__init__": """\
    def __init__(self, folder):
        self.paths = sorted(Path(folder).iterdir())  # what there is; open nothing yet""",
    "__getitem__": """\
    def __getitem__(self, index):
        return read(self.paths[index])               # the sample, 0 <= index < len(self)""",
    "__len__": """\
    def __len__(self):
        return len(self.paths)                       # how many samples there are""",
    "get_img_info": """\
    def get_img_info(self, index):
        return {"height": 480, "width": 640}         # known without opening the image""",
    "read": """\
    def read(self, index):
        return data.open_rgb(self.paths[index]), 0   # (H, W, 3) uint8 pixels, and the target""",
}

SUPER = """\
    def __init__(self, folder, **options):
        super().__init__(**options)
        self.paths = sorted(Path(folder).iterdir())"""


def _described(sample: Any) -> str:
    """A sample's types and shapes."""
    if isinstance(sample, (tuple, list)):
        return f"({', '.join(_described(part) for part in sample)})"
    shape = f" {tuple(sample.shape)}" if hasattr(sample, "shape") else ""
    kind = f" of {sample.dtype}" if hasattr(sample, "dtype") else ""
    return f"{type(sample).__name__}{shape}{kind}"


def _is_rgb(pixels: Any) -> bool:
    """Whether these are (H, W, 3) uint8, at least one, or a JPEG of them."""
    if isinstance(pixels, JpegFile):
        return True
    fits = isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8 and pixels.size > 0
    return fits and pixels.shape[2:] == (3,)


def _check_size(name: str, picture: Picture, target: Any, hint: str) -> None:
    """Raises a ValueError for boxes of an image of another size than the picture's."""
    if isinstance(target, Target) and tuple(target.size) != tuple(picture.size):
        raise ValueError(
            f"{name}: expected a Target of the picture's height and width {tuple(picture.size)}, got one of "
            f"{tuple(target.size)}; {hint}"
        )


def _joined(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def required_methods(cls: type) -> list[str]:
    """What cls or a base of it asks for, in CONTRACT's order."""
    asked = {name for base in cls.__mro__ for name in base.__dict__.get("required", ())}
    return [name for name in CONTRACT if name in asked]


def missing_methods(cls: type) -> list[str]:
    """The required methods that neither cls nor a base of it below `Dataset` defines."""
    own = cls.__mro__[: cls.__mro__.index(Dataset)]
    defined = {name for base in own for name in base.__dict__}
    return [name for name in required_methods(cls) if name not in defined]


class Dataset(torch.utils.data.Dataset[Any]):
    """A map-style dataset: subclasses define `__init__`, `__getitem__` and `__len__`.

    torch's own base class finds a missing `__getitem__` only when a worker asks for the first
    sample, and a missing `__len__` only in the sampler; this one says so when the object is made.

    Raises:
        NotImplementedError: a method is missing; the text names it and shows how to write it.
    """

    required = ("__init__", "__getitem__", "__len__")

    def __new__(cls, *args: Any, **kwargs: Any) -> Dataset:
        missing = missing_methods(cls)
        if missing:
            is_base = cls.__module__ == __name__
            subject = (
                f"data.{cls.__name__} is a base class: subclass it"
                if is_base
                else f"{cls.__qualname__} is incomplete"
            )
            base = cls if is_base else next(b for b in cls.__mro__ if b.__module__ == __name__)
            head = f"My{base.__name__}" if is_base else cls.__name__
            example = "\n\n".join(CONTRACT[name] for name in missing)
            raise NotImplementedError(
                f"{subject}. A dataset defines {_joined(required_methods(cls))}; "
                f"missing: {', '.join(missing)}. Write, for example:\n\n"
                f"class {head}(data.{base.__name__}):\n{example}"
            )
        return super().__new__(cls)


class DetectionDataset(Dataset):
    """A dataset of images with boxes; subclasses also define `get_img_info`.

    `get_img_info(index)` gives a dictionary with the image's height and width without opening it:
    samplers group images by their shape with it.
    """

    required = ("get_img_info",)


def plain(index: Any) -> Any:
    """An index of a tensor as a number: Subset(dataset, torch.randperm(n)[:k]) and samplers give tensors."""
    return index.item() if isinstance(index, torch.Tensor) else index


def part_of(
    dataset: Any, index: int, method: str, caller: str, kind: str, instead: str
) -> tuple[Any, int]:
    """The set that has `method`, below torch's Subsets and ConcatDatasets, and the index there."""
    while not hasattr(dataset, method):
        if isinstance(dataset, Subset):
            index, dataset = plain(dataset.indices[index]), dataset.dataset
        elif isinstance(dataset, ConcatDataset):
            if index < -len(dataset) or index >= len(dataset):
                raise IndexError(
                    f"{caller}: index {index} is not in a set of {len(dataset)} samples"
                )
            index %= len(dataset)
            number = bisect_right(dataset.cumulative_sizes, index)
            index -= dataset.cumulative_sizes[number - 1] if number else 0
            dataset = dataset.datasets[number]
        else:
            raise TypeError(
                f"{caller}: expected a data.{kind}, or a Subset or ConcatDataset of such, got a "
                f"{type(dataset).__module__}.{type(dataset).__qualname__}, which has no {method}(); {instead}"
            )
    return dataset, index


_counting = fork_safe_lock()  # of this process's threads: data.Loader's workers are some


class SkipCount:
    """How many samples were skipped, counted over threads, and over worker processes in shared memory.

    Args:
        shared: in memory shared with worker processes, which takes a file descriptor: a process has 1,024 as a
            rule, and may have as many datasets that skip nothing.
    """

    # a cell for each worker, so that no two processes write to one
    CELLS = 256

    def __init__(self, shared: bool = True) -> None:
        self.shared = shared
        self.cells = torch.zeros(self.CELLS, dtype=torch.int64, device="cpu")
        if shared:
            self.cells.share_memory_()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy counts for itself, in shared memory, too; what a worker process is sent is shared already."""
        self.__dict__.update(state)
        if self.shared:
            self.cells.share_memory_()

    def add(self) -> None:
        worker = torch.utils.data.get_worker_info()
        with _counting:
            self.cells[(0 if worker is None else worker.id + 1) % self.CELLS] += 1

    def __int__(self) -> int:
        return int(self.cells.sum())


class ImageDataset(Dataset):
    """Images with targets, through transforms; subclasses define `read` and `__len__`.

    Indexing gives (image, target, index) with image (3, H, W) float32; None for a file that was
    skipped, which `PadCollate` leaves out.

    Args:
        transforms: of `data.transforms`; None leaves images as they are, RGB in grey levels.
        on_error: "raise": a file that cannot be read ends the run with an error that names it.
            "skip": it is left out, warned of and counted in `skipped`.
    """

    required = ("read",)
    read: Callable[[int], tuple[np.ndarray | JpegFile, Any]]

    def __init__(
        self,
        transforms: Callable[[Picture, Any, random.Random], tuple[Picture, Any]] | None = None,
        on_error: str = "raise",
    ) -> None:
        if on_error not in ("raise", "skip"):
            raise ValueError(
                f"{type(self).__name__}: on_error must be 'raise' or 'skip', got {on_error!r}"
            )
        if transforms is not None:
            check_transform(f"{type(self).__name__}: transforms", transforms)
        self.transforms = transforms
        self.on_error = on_error
        self._skipped = SkipCount(shared=on_error == "skip")

    @property
    def skipped(self) -> int:
        """How many samples on_error="skip" has left out, in all processes."""
        return int(self._skipped)

    def prepare(self, index: int, rng: random.Random) -> tuple[Picture, Any] | None:
        """The picture, yet to be drawn, and its target; None if its file was skipped."""
        if not hasattr(self, "on_error"):
            raise NotImplementedError(
                f"{type(self).__qualname__}.__init__ must call that of data.ImageDataset, which takes "
                f"transforms and on_error:\n\n{SUPER}"
            )
        try:
            sample = self.read(index)
            pixels = sample[0] if isinstance(sample, (tuple, list)) and len(sample) == 2 else None
            if not _is_rgb(pixels):
                raise TypeError(
                    f"{type(self).__qualname__}.read({index}): expected (pixels, target), pixels an array "
                    f"(H, W, 3) of uint8 or what data.open_rgb gave, got {_described(sample)}"
                )
            picture, target = Picture.of(pixels), sample[1]
            hint = "a Pillow image's size is (width, height)"
            _check_size(f"{type(self).__qualname__}.read({index})", picture, target, hint)
            if self.transforms is not None:
                name = f"{type(self).__qualname__}: transforms"
                picture, target = transformed(name, self.transforms, picture, target, rng)
                hint = "what moves the picture moves its target, too: see Target's methods"
                _check_size(name, picture, target, hint)
            return picture.decoded(), target
        except (ImageFileError, FileNotFoundError) as error:
            if self.on_error == "raise":
                raise
            warnings.warn(f"skipped sample {index}: {error}", stacklevel=2)
            self._skipped.add()
            return None

    def __getitem__(self, index: int) -> tuple[torch.Tensor, Any, int] | None:
        index = plain(index)
        # seeded by torch's generator, which DataLoader seeds in each worker
        rng = random.Random(int(torch.randint(2**62, (), device="cpu")))
        prepared = self.prepare(index, rng)
        if prepared is None:
            return None
        picture, target = prepared
        return picture.draw(), target, index
