"""Photographs from files, or the two that scikit-learn carries, as normalised float planes."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from data.dataset import Dataset
from data.files import read_rgb
from data.ops import normalize_image

# ImageNet's mean and standard deviation, red, green, blue, in grey levels of 0..255.
RGB_MEAN = (123.675, 116.28, 103.53)
RGB_STD = (58.395, 57.12, 57.375)


class Photograph(NamedTuple):
    """A sample: the planes that a network takes, and where they are from."""

    image: torch.Tensor  # (3, H, W) float32
    path: str


def sklearn_file(*names: str) -> Path:
    """A file or folder below scikit-learn's data sets, found without importing it.

    Raises:
        ModuleNotFoundError: scikit-learn is not installed.
    """
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise ModuleNotFoundError(
            f"expected {'/'.join(names)} of scikit-learn, which is not installed; `pip install scikit-learn`",
            name="sklearn",
        )
    return Path(package.origin).parent.joinpath("datasets", *names)


def bundled_photographs() -> list[Path]:
    """scikit-learn's photographs (china.jpg, flower.jpg; 640 x 427)."""
    return sorted(sklearn_file("images").glob("*.jpg"))


class Photographs(Dataset):
    """Photographs, normalised by the kernel.

    Args:
        paths: image files; None for the photographs that scikit-learn carries.
        mean: in grey levels, per channel of the result; broadcasts against (H, W, 3).
        std: likewise.
        to_bgr: give the channels in the order blue, green, red (Caffe2's weights expect it).

    Indexing gives a `Photograph`.
    """

    def __init__(
        self,
        paths: Sequence[str | Path] | None = None,
        *,
        mean: Sequence[float] = RGB_MEAN,
        std: Sequence[float] = RGB_STD,
        to_bgr: bool = False,
    ) -> None:
        if isinstance(paths, (str, Path)):
            raise TypeError(
                "Photographs: paths must be a list of image files, "
                f"got one {type(paths).__name__}; write Photographs([{str(paths)!r}])"
            )
        self.paths = [Path(path) for path in (bundled_photographs() if paths is None else paths)]
        self.mean = torch.as_tensor(mean, dtype=torch.float32, device="cpu")
        self.std = torch.as_tensor(std, dtype=torch.float32, device="cpu")
        self.to_bgr = to_bgr

    def __getitem__(self, index: int) -> Photograph:
        path = self.paths[index]
        image = normalize_image(read_rgb(path), self.mean, self.std, reverse_channels=self.to_bgr)
        return Photograph(image, str(path))

    def __len__(self) -> int:
        return len(self.paths)
