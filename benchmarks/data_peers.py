"""What `benchmarks/data.py` compares with: the same tasks as others write them.

A pipeline takes a list of JPEG files' contents and gives their batch. Each is written as its users
write it where speed matters to them; none reads from disk.
"""

from __future__ import annotations

import importlib.util
import io
import random
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import simplejpeg
import torch
import torchvision_cpu
from PIL import Image

Pipeline = Callable[[list[bytes]], torch.Tensor]

MEAN = (102.9801, 115.9465, 122.7717)  # blue, green, red, as in maskrcnn-benchmark; its std is 1
STD = 57.0  # of the classification, for all colours
SIZE, PADDED = (800, 1066), (800, 1088)  # of 480 x 640 pixels, and up to a multiple of 32
CROP = 224


def random_crop(height: int, width: int) -> tuple[int, int, int, int]:
    """Top, left, height, width as torchvision draws them."""
    for _ in range(10):
        area = height * width * random.uniform(0.08, 1.0)
        ratio = np.exp(random.uniform(np.log(3 / 4), np.log(4 / 3)))
        w, h = int(round((area * ratio) ** 0.5)), int(round((area / ratio) ** 0.5))
        if 0 < w <= width and 0 < h <= height:
            return random.randint(0, height - h), random.randint(0, width - w), h, w
    return 0, 0, height, width


def _imdecode(contents: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(contents, np.uint8), cv2.IMREAD_COLOR)


def opencv_detection(files: list[bytes]) -> torch.Tensor:
    """Padded with the mean while it is uint8, then one blobFromImages."""
    padded = []
    for contents in files:
        image = cv2.resize(_imdecode(contents), SIZE[::-1])
        bottom, right = PADDED[0] - SIZE[0], PADDED[1] - SIZE[1]
        padded.append(
            cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=MEAN)
        )
    return torch.from_numpy(cv2.dnn.blobFromImages(padded, 1.0, mean=MEAN))


def opencv_classification(files: list[bytes]) -> torch.Tensor:
    crops = []
    for contents in files:
        image = _imdecode(contents)
        top, left, h, w = random_crop(*image.shape[:2])
        crop = cv2.resize(image[top : top + h, left : left + w], (CROP, CROP))
        crops.append(cv2.flip(crop, 1) if random.random() < 0.5 else crop)
    return torch.from_numpy(cv2.dnn.blobFromImages(crops, 1 / STD, mean=MEAN))


def _albumentations() -> dict[str, dict[str, Pipeline]]:
    import albumentations
    from albumentations.pytorch import ToTensorV2

    normalize, scaled = (
        albumentations.Normalize(MEAN, (std,) * 3, max_pixel_value=1.0) for std in (1.0, STD)
    )
    pad = albumentations.PadIfNeeded(*PADDED, position="top_left", border_mode=0)
    detection = albumentations.Compose([albumentations.Resize(*SIZE), normalize, pad, ToTensorV2()])
    crop = albumentations.RandomResizedCrop((CROP, CROP))
    flip = albumentations.HorizontalFlip()
    classification = albumentations.Compose([crop, flip, scaled, ToTensorV2()])

    def pipeline(compose: Any) -> Pipeline:
        return lambda files: torch.stack([compose(image=_imdecode(f))["image"] for f in files])

    return {
        "detection": {"albumentations": pipeline(detection)},
        "classification": {"albumentations": pipeline(classification)},
    }


def _torchvision() -> dict[str, dict[str, Pipeline]]:
    """v2 on uint8 tensors; decoded by simplejpeg, which is faster than torchvision's reader."""
    from torchvision.transforms import v2

    normalize, scaled = (v2.Normalize(MEAN[::-1], [std] * 3, inplace=True) for std in (1.0, STD))
    right, bottom = PADDED[1] - SIZE[1], PADDED[0] - SIZE[0]
    float32 = v2.ToDtype(torch.float32)
    detection = v2.Compose([v2.Resize(SIZE), float32, normalize, v2.Pad([0, 0, right, bottom])])
    crop = [v2.RandomResizedCrop(CROP, antialias=True), v2.RandomHorizontalFlip()]
    classification = v2.Compose([*crop, float32, scaled])

    def pipeline(compose: Any) -> Pipeline:
        def run(files: list[bytes]) -> torch.Tensor:
            decoded = [torch.from_numpy(simplejpeg.decode_jpeg(f)).permute(2, 0, 1) for f in files]
            return torch.stack([compose(image) for image in decoded])

        return run

    return {
        "detection": {"torchvision v2": pipeline(detection)},
        "classification": {"torchvision v2": pipeline(classification)},
    }


def maskrcnn_benchmark(files: list[bytes]) -> torch.Tensor:
    """Its steps: Pillow, ToTensor, BGR times 255, Normalize, to_image_list."""
    images = []
    for contents in files:
        image = Image.open(io.BytesIO(contents)).convert("RGB")
        image = image.resize(SIZE[::-1], Image.Resampling.BILINEAR)
        tensor = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div(255)
        tensor = tensor[[2, 1, 0]] * 255
        mean, std = torch.tensor(MEAN), torch.ones(3)
        images.append(tensor.sub_(mean[:, None, None]).div_(std[:, None, None]))
    batch = images[0].new_zeros(len(images), 3, *PADDED)
    for image, place in zip(images, batch, strict=True):
        place[:, : image.shape[1], : image.shape[2]].copy_(image)
    return batch


def all_of() -> dict[str, dict[str, Pipeline]]:
    """task -> peer -> pipeline; what is not installed is left out, and said."""
    peers: dict[str, dict[str, Pipeline]] = {
        "detection": {
            "OpenCV + blobFromImages": opencv_detection,
            "maskrcnn-benchmark's pipeline": maskrcnn_benchmark,
        },
        "classification": {"OpenCV + blobFromImages": opencv_classification},
    }
    missing = torchvision_cpu.load()
    if missing:
        print(f"left out: {missing}")
    makers = [] if missing else [_torchvision]
    if importlib.util.find_spec("albumentations") is None:
        print("left out: albumentations is not installed (pip install albumentations)")
    else:
        makers.append(_albumentations)
    for maker in makers:
        for task, found in maker().items():
            peers[task] |= found
    return peers
