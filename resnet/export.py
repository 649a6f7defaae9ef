"""Models as ONNX files."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from resnet.backbone import Backbone
from resnet.classifier import ResNetClassifier
from resnet.model import ResNet, Stages
from resnet.ops import plain_torch


def outputs_of(model: nn.Module) -> list[str]:
    """What a model's results are called: logits, layer2, P3 ..."""
    if isinstance(model, Backbone):
        return list(model.feature_strides)
    if isinstance(model, ResNetClassifier):
        return ["logits"]
    if isinstance(model, ResNet):
        return [name for name, flag in model.return_features.items() if flag]
    return ["features"]


def export_onnx(model: nn.Module, images: torch.Tensor, path: str | Path) -> None:
    """Write a model as ONNX, its norms folded into its convolutions, for images of any number and size.

    The input is called images, the outputs as in `outputs_of`.

    Args:
        model: a ResNet, backbone, head or classifier.
        images: (N, 3, H, W), an example.
        path: of the file.

    Raises:
        ModuleNotFoundError: onnx or onnxscript is not installed.
        TypeError: model is none of this project's.
        ValueError: images are not (N, C, H, W).
    """
    if not isinstance(model, (Stages, Backbone)):
        raise TypeError(
            "export_onnx: expected a ResNet, backbone, head or classifier of resnet, got a "
            f"{type(model).__name__}; torch.onnx.export takes any module"
        )
    if images.dim() != 4:
        raise ValueError(
            f"export_onnx: expected images (N, C, H, W), got {tuple(images.shape)}; images[None] is a batch"
        )
    for name in ("onnx", "onnxscript"):
        try:
            __import__(name)
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f"export_onnx needs {name}, which is not installed; `pip install onnx onnxscript`",
                name=name,
            ) from error
    plain = model.fuse(preference=["torch"])
    if len(images) == 1:  # which torch.export may take for a constant
        images = torch.cat([images, images])
    auto = torch.export.Dim.DYNAMIC
    sizes = {0: auto, 2: auto, 3: auto}
    with torch.no_grad(), plain_torch():  # which ONNX has words for; it has none for our operators
        torch.onnx.export(
            plain, (images,), str(path), dynamo=True, dynamic_shapes=(sizes,), external_data=False,
            verbose=False, input_names=["images"], output_names=outputs_of(model),
        )  # fmt: skip
