"""Datasets for torch's DataLoader, and a loader in threads, whose image work runs in `_ext.kernels`."""

from __future__ import annotations

from data.coco import CocoDetection
from data.collate import ImageList, PadCollate, pad_images
from data.configured import build_transforms, make_data_loader
from data.dataset import Dataset, DetectionDataset, ImageDataset
from data.files import ImageFileError, open_rgb, read_rgb
from data.folder import Digits, ImageFolder
from data.loader import Loader
from data.masks import Bitmaps, Polygons
from data.ops import broadcast_shapes, normalize_image, prepare_image
from data.photographs import Photographs
from data.samplers import (
    EpochSampler,
    GroupedBatchSampler,
    IterationBatchSampler,
    aspect_groups,
)
from data.shapes import Shapes
from data.target import Target

__all__ = [
    "Bitmaps",
    "CocoDetection",
    "Dataset",
    "DetectionDataset",
    "Digits",
    "EpochSampler",
    "GroupedBatchSampler",
    "ImageDataset",
    "ImageFileError",
    "ImageFolder",
    "ImageList",
    "IterationBatchSampler",
    "Loader",
    "PadCollate",
    "Photographs",
    "Polygons",
    "Shapes",
    "Target",
    "aspect_groups",
    "broadcast_shapes",
    "build_transforms",
    "make_data_loader",
    "normalize_image",
    "open_rgb",
    "pad_images",
    "prepare_image",
    "read_rgb",
]
