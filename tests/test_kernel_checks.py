"""What the kernels refuse where Python has not looked before: C keeps to the memory that it was given."""

from __future__ import annotations

import math

import pytest
import torch

kernels = pytest.importorskip("_ext.kernels", reason="run `python build_ffi.py` first")

NULL = kernels._ffi.NULL


def fitting(name):
    """Arguments that the function takes."""
    x, rois, boxes = torch.zeros(1, 4, 6, 5), torch.tensor([[0.0, 0, 0, 4, 4]]), torch.zeros(3, 4)
    columns = (torch.zeros(4, 6, 5), torch.zeros(18, 6, 5), torch.zeros(9, 6, 5))
    pixels, channels = torch.zeros(6, 5, 3, dtype=torch.uint8), torch.ones(3)
    out, places = torch.zeros(1), torch.zeros(1, dtype=torch.int64)
    return list(
        {
            "roi_align_forward_float": (x, rois, 1.0, 2, 2, 1, 0, out),
            "roi_pool_forward_float": (x, rois, 1.0, 2, 2, out, places.int()),
            "nms_float": (boxes, boxes[:, 0], 0.5, 0, places),
            "batched_nms_float": (boxes, boxes[:, 0], boxes[:, 0].long(), 0.5, 0, places),
            "box_iou_forward_float": (boxes, boxes, 0, out),
            "deform_columns_float": (
                *columns,
                *(3, 3, 1, 1, 1, 1, 1, 1, 0),
                torch.zeros(1, 30, 36),
            ),
            "deform_psroi_forward_float": (x, rois, NULL, 1.0, 1, 2, 2, 2, 1, 0.1, out, NULL),
            "focal_loss_forward_float": (boxes, boxes, 0.25, 2.0, out),
            "class_focal_loss_forward_float": (boxes, boxes[:, 0].long(), 0.25, 2.0, out),
            "broadcast_add_float": (boxes, boxes, out),
            "prepare_image": (
                pixels,
                0,
                0,
                6,
                5,
                3,
                4,
                1,
                0,
                0,
                channels,
                channels,
                torch.ones(3, 3, 4),
            ),
        }[name]
    )


ROI = torch.tensor([0.0, 0, 0, 4, 4])
REFUSED = [
    *(
        (f"{name}_forward_float", changed, message)
        for name in ("roi_align", "roi_pool")
        for changed, message in [
            (
                {0: torch.zeros(4, 6, 5)},
                r"input must have 4 dimensions \(N, C, H, W\), got \[4 x 6 x 5\]",
            ),
            ({0: torch.zeros(1, 4, 0, 5)}, "input must have pixels to "),
            ({0: torch.zeros(1, 4, 6, 0)}, "input must have pixels to "),
            ({1: ROI}, r"rois must be \(K, 5\) .* got \[5\]"),
            ({1: ROI[None, :4]}, r"rois must be \(K, 5\) .* got \[1 x 4\]"),
            ({1: ROI[None] + 1}, r"batch index of ROI 0 must be one of 0\.\.0, got 1"),
            ({1: ROI[None] - 1}, r"batch index of ROI 0 must be one of 0\.\.0, got -1"),
            ({1: ROI[None] + 0.5}, r"batch index of ROI 0 must be one of 0\.\.0, got 0.5"),
            ({1: ROI[None] * math.nan}, "batch index of ROI 0 must"),
            *(
                (
                    {1: torch.stack([ROI, ROI.index_fill(0, torch.tensor(i), value)])},
                    f"{side} of ROI 1 must",
                )
                for i, side in enumerate(("x1", "y1", "x2", "y2"), 1)
                for value in (math.nan, -math.inf, 2.0**25)
            ),
            ({2: 0.0}, "spatial_scale must be a positive number, got 0"),
            ({2: math.nan}, "spatial_scale must be a positive number, got "),
            ({2: 2.0**25}, "spatial_scale must be a positive number, got "),
            ({3: 0}, "pooled size must be positive, got 0 x 2"),
            ({4: -1}, "pooled size must be positive, got 2 x -1"),
        ]
    ),
    ("roi_align_forward_float", {5: 4097}, "sampling_ratio must be at most 4096 .* got 4097"),
    ("roi_pool_forward_float", {0: torch.zeros(1).expand(1, 1, 2**16, 2**16)}, r"2\^31"),
    *(
        (name, {place: wrong}, r"must be \(N, 4\) with rows of x1, y1, x2, y2, got")
        for name, place in [
            ("nms_float", 0),
            ("box_iou_forward_float", 0),
            ("box_iou_forward_float", 1),
        ]
        for wrong in (torch.zeros(4), torch.zeros(3, 5))
    ),
    (
        "nms_float",
        {1: torch.zeros(2)},
        r"scores must have one value per box, shape \[3\], got \[2\]",
    ),
    ("nms_float", {2: math.nan}, "threshold must be a number, got NaN"),
    ("batched_nms_float", {2: torch.zeros(2).long()}, "groups must have one value per box"),
    ("batched_nms_float", {3: math.nan}, "threshold must be a number, got NaN"),
    ("deform_columns_float", {0: torch.zeros(6, 5)}, r"image must be \(C, H, W\) and have pixels"),
    (
        "deform_columns_float",
        {0: torch.zeros(4, 0, 5)},
        r"image must be \(C, H, W\) and have pixels",
    ),
    (
        "deform_columns_float",
        {0: torch.zeros(4, 6, 0)},
        r"image must be \(C, H, W\) and have pixels",
    ),
    *(
        (
            "deform_columns_float",
            {place: value},
            "kernel, stride and dilation must be positive, padding",
        )
        for place, value in [(3, 0), (4, -1), (5, 0), (6, 0), (7, -1), (8, -1), (9, 0), (10, 0)]
    ),
    (
        "deform_columns_float",
        {1: torch.zeros(17, 6, 5)},
        r"offset must be \(2 \* deformable groups \* 9",
    ),
    ("deform_columns_float", {1: torch.zeros(0, 6, 5)}, "offset must be"),
    ("deform_columns_float", {1: torch.zeros(54, 6, 5)}, "offset must be .* for 4 channels"),
    (
        "deform_columns_float",
        {2: torch.zeros(18, 6, 5)},
        "mask must be NULL or have half of offset's",
    ),
    (
        "deform_columns_float",
        {2: torch.zeros(9, 5, 5)},
        "mask must be NULL or have half of offset's",
    ),
    (
        "deform_columns_float",
        {2: torch.zeros(9, 6, 4)},
        "mask must be NULL or have half of offset's",
    ),
    (
        "deform_columns_float",
        {12: torch.zeros(30, 36)},
        r"columns must be \(groups, positions, 9 \*",
    ),
    ("deform_columns_float", {12: torch.zeros(3, 30, 12)}, "columns must be"),
    ("deform_columns_float", {12: torch.zeros(1, 30, 35)}, "columns must be"),
    ("deform_columns_float", {12: torch.zeros(1, 30, 72)[..., ::2]}, "columns must be"),
    (
        "deform_columns_float",
        {12: torch.zeros(1, 31, 36)},
        "31 positions from 0 on do not lie within",
    ),
    (
        "deform_psroi_forward_float",
        {0: torch.zeros(1, 4, 0, 5)},
        "the map must have pixels to sample",
    ),
    *(
        (
            "deform_psroi_forward_float",
            {2: torch.zeros(shape)},
            r"trans must be NULL or \(K, 2 \* classes",
        )
        for shape in [
            (1, 0, 2, 2),
            (2, 2, 2, 2),
            (1, 3, 2, 2),
            (1, 4, 2, 2),
            (1, 2, 3, 2),
            (1, 2, 2, 3),
        ]
    ),
    ("deform_psroi_forward_float", {3: 0.0}, "spatial_scale must be a positive number, got 0"),
    *(
        ("deform_psroi_forward_float", {place: 0}, "part_size must be positive, got")
        for place in (4, 5, 6, 7)
    ),
    ("deform_psroi_forward_float", {8: 0}, "sample_per_part must be 1 to 4096 .* got 0"),
    ("deform_psroi_forward_float", {8: 4097}, "sample_per_part must be 1 to 4096 .* got 4097"),
    ("focal_loss_forward_float", {1: torch.zeros(4, 3)}, "targets must have the shape of logits"),
    ("focal_loss_forward_float", {3: -1.0}, "gamma must not be negative, got -1"),
    ("class_focal_loss_forward_float", {0: torch.zeros(3)}, r"logits must be \(N, C\), got \[3\]"),
    (
        "class_focal_loss_forward_float",
        {1: torch.zeros(2).long()},
        "classes must have one number per row",
    ),
    (
        "class_focal_loss_forward_float",
        {1: torch.tensor([0, 5, 0])},
        "class 5 of row 1 is beyond the 4",
    ),
    ("class_focal_loss_forward_float", {3: -1.0}, "gamma must not be negative, got -1"),
    (
        "broadcast_add_float",
        {0: torch.zeros([1] * 65)},
        "a must have at most 64 dimensions, got 65",
    ),
    (
        "broadcast_add_float",
        {1: torch.zeros([1] * 65)},
        "b must have at most 64 dimensions, got 65",
    ),
    (
        "prepare_image",
        {0: torch.zeros(6, 5).byte()},
        r"image must have 3 dimensions \(H, W, C\), got 2",
    ),
    ("prepare_image", {0: torch.zeros(3, 6, 5).byte().permute(1, 2, 0)}, "must lie side by side"),
    ("prepare_image", {0: torch.zeros(6, 10, 3).byte()[:, ::2]}, "must lie side by side"),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_kernels_refuse_what_python_has_not_looked_at(number):
    name, changed, message = REFUSED[number]
    arguments = fitting(name)
    getattr(kernels, name)(*arguments)
    for place, value in changed.items():
        arguments[place] = value
    with pytest.raises(RuntimeError, match=message):
        getattr(kernels, name)(*arguments)
