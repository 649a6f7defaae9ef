"""Datasets for torch's DataLoader whose image work runs in the kernels of `_ext.kernels`."""

from __future__ import annotations

from data.collate import ImageList, PadCollate, pad_images
from data.dataset import Dataset
from data.ops import broadcast_shapes, normalize_image
from data.photographs import Photographs

__all__ = [
    "Dataset",
    "ImageList",
    "PadCollate",
    "Photographs",
    "broadcast_shapes",
    "normalize_image",
    "pad_images",
]
