"""torchvision's models beside a torch without CUDA, as peers of tests and benchmarks.

torchvision's wheels are built for CUDA. Beside another torch their C++ library does not load (unless
`torchvision_cpu` can help it), and the import fails where it describes operators that are then missing.
With those declared first its Python parts import; the operators themselves cannot be called.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import torch

from benchmarks import torchvision_cpu

_BOXES = "Tensor input, Tensor rois, float spatial_scale, int pooled_height, int pooled_width"
_SIZE = "int batch_size, int channels, int height, int width"
SCHEMAS = [
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    f"roi_align({_BOXES}, int sampling_ratio, bool aligned) -> Tensor",
    f"roi_pool({_BOXES}) -> (Tensor, Tensor)",
    f"ps_roi_align({_BOXES}, int sampling_ratio) -> (Tensor, Tensor)",
    f"ps_roi_pool({_BOXES}) -> (Tensor, Tensor)",
    "deform_conv2d(Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias, "
    "int stride_h, int stride_w, int pad_h, int pad_w, int dilation_h, int dilation_w, "
    "int groups, int offset_groups, bool use_mask) -> Tensor",
    "_roi_align_backward(Tensor grad, Tensor rois, float spatial_scale, int pooled_height, "
    f"int pooled_width, {_SIZE}, int sampling_ratio, bool aligned) -> Tensor",
    "_roi_pool_backward(Tensor grad, Tensor rois, Tensor argmax, float spatial_scale, "
    f"int pooled_height, int pooled_width, {_SIZE}) -> Tensor",
    "_ps_roi_align_backward(Tensor grad, Tensor rois, Tensor mapping, float spatial_scale, "
    f"int pooled_height, int pooled_width, int sampling_ratio, {_SIZE}) -> Tensor",
    "_ps_roi_pool_backward(Tensor grad, Tensor rois, Tensor mapping, float spatial_scale, "
    f"int pooled_height, int pooled_width, {_SIZE}) -> Tensor",
    "_deform_conv2d_backward(Tensor grad, Tensor input, Tensor weight, Tensor offset, "
    "Tensor mask, Tensor bias, int stride_h, int stride_w, int pad_h, int pad_w, "
    "int dilation_h, int dilation_w, int groups, int offset_groups, bool use_mask) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
]
_declared: list[torch.library.Library] = []  # a declaration lives as long as this


def torchvision_models() -> ModuleType:
    """The module torchvision.models.

    Raises:
        ImportError: torchvision is not installed, or does not fit this torch.
    """
    if "torchvision" not in sys.modules and torchvision_cpu.load():
        library = torch.library.Library("torchvision", "FRAGMENT")
        for schema in SCHEMAS:
            name = schema.partition("(")[0]
            if not hasattr(torch.ops.torchvision, name):
                library.define(schema)
        _declared.append(library)
    try:
        return importlib.import_module("torchvision.models")
    except (RuntimeError, AttributeError) as error:
        raise ImportError(f"torchvision does not fit torch {torch.__version__}: {error}") from error
