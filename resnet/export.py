"""Models as ONNX files."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn


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
    auto = torch.export.Dim.DYNAMIC
    sizes = {0: auto, 2: auto, 3: auto}
    with torch.no_grad():
        torch.onnx.export(
            plain, (images,), str(path), dynamo=True, dynamic_shapes=(sizes,), external_data=False,
            verbose=False,
        )  # fmt: skip
