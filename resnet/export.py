"""Models as ONNX files."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from resnet.ops import plain_torch


def export_onnx(model: nn.Module, images: torch.Tensor, path: str | Path) -> None:
    """Write a model as ONNX, its norms folded into its convolutions, for images of any number and size.

    Args:
        model: a ResNet, backbone, head or classifier.
        images: (N, 3, H, W), an example.
        path: of the file.

    Raises:
        ModuleNotFoundError: onnx or onnxscript is not installed.
    """
    for name in ("onnx", "onnxscript"):
        try:
            __import__(name)
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f"export_onnx needs {name}, which is not installed; `pip install onnx onnxscript`",
                name=name,
            ) from error
    plain = model.fuse(preference=["torch"])  # type: ignore[operator]
    if len(images) == 1:  # which torch.export may take for a constant
        images = torch.cat([images, images])
    auto = torch.export.Dim.DYNAMIC
    sizes = {0: auto, 2: auto, 3: auto}
    with torch.no_grad(), plain_torch():  # which ONNX has words for; it has none for our operators
        torch.onnx.export(
            plain, (images,), str(path), dynamo=True, dynamic_shapes=(sizes,), external_data=False,
            verbose=False,
        )  # fmt: skip
