"""Calls of every kernel with inputs of many kinds: what a twin is compared over, wherever it runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch

from tests.operators import ROIS, some_boxes

NAN = math.nan
INTEGERS = {"uint8": torch.uint8, "int32": torch.int32, "int64": torch.int64}


class Out(NamedTuple):
    """An argument that the function writes to."""

    tensor: torch.Tensor


class Call(NamedTuple):
    """A call of `function` (without _float or _double behind it, but for broadcast); None stands for NULL.

    A tensor of bfloat16 is passed as its bits.
    """

    name: str
    function: str
    arguments: list[Any]
    exact: bool  # one order of operations, so the same bits


def moved(tensor: torch.Tensor, device: str) -> torch.Tensor:
    """A copy with the same strides, as far from the start of its memory: not all are aligned."""
    spans = [(n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True)]
    first = tensor.storage_offset()
    room = torch.zeros(first + max(sum(spans) + 1, 0), dtype=tensor.dtype, device=device)
    return room.as_strided(tensor.shape, tensor.stride(), first).copy_(tensor)


def run(module: Any, call: Call, ending: str, device: str = "cpu") -> list[torch.Tensor]:
    """Calls module's function, and returns what it wrote, on the CPU."""
    outputs, arguments = [], []
    for value in call.arguments:
        given = value.tensor if isinstance(value, Out) else value
        dtype = given.dtype if isinstance(given, torch.Tensor) else None
        given = moved(given, device) if isinstance(given, torch.Tensor) else given
        given = given.view(torch.int16) if dtype == torch.bfloat16 else given
        arguments.append(module._ffi.NULL if given is None else given)
        if isinstance(value, Out):
            outputs.append((given, dtype))
    getattr(module, call.function + ending)(*arguments)
    return [output.cpu().view(dtype) for output, dtype in outputs]


def layouts(x: torch.Tensor) -> dict[str, torch.Tensor]:
    """The same (N, C, H, W) values in layouts that take other ways."""
    room = x.new_zeros(x.shape[0], x.shape[1] + 3, 2 * x.shape[2], 3 * x.shape[3])
    apart = room[:, 1:-2, ::2, ::3].copy_(x)
    shifted = x.new_zeros(x.numel() + 1)[1:].view(x.shape).copy_(x)
    return {
        "contiguous": x,
        "channels_last": x.contiguous(memory_format=torch.channels_last),
        "apart": apart,
        "shifted": shifted,
    }


def _frozen_bn(dtype: torch.dtype) -> Iterator[Call]:
    for shape in [(2, 8, 5, 8), (1, 5, 3, 7), (3, 4, 1, 1), (0, 4, 2, 2)]:
        x, residual = torch.randn(2, *shape, dtype=dtype)
        values = torch.float32 if dtype == torch.bfloat16 else dtype
        together = torch.randn(2, shape[1] * 2, dtype=values)
        if x.numel():
            x[0, 1, 0, 0] = NAN
        for (name, input), other in zip(
            layouts(x).items(), reversed(layouts(residual).values()), strict=True
        ):
            scale, bias = (
                together[:, ::2] if name == "apart" or shape[1] == 5 else together[:, : shape[1]]
            )
            for r, relu in itertools.product((None, other), (0, 1)):
                out = Out(torch.empty_like(input))
                label = f"frozen_bn {shape} {name} relu={relu} residual={r is not None}"
                yield Call(label, "frozen_bn_forward", [input, scale, bias, r, relu, out], True)
            grads = Out(torch.empty(0, dtype=dtype)), Out(torch.full_like(other, 7))
            for gi, gr in [grads, (grads[0], None), (None, grads[1])]:
                label = f"frozen_bn {shape} {name} backward {gi is None} {gr is None}"
                y = None if gr is None else other
                yield Call(label, "frozen_bn_backward", [input, y, scale, gi, gr], True)


def _regions(dtype: torch.dtype) -> Iterator[Call]:
    more = [[1, -300, -200, 500, 700], [0, 21.9, 17.9, 22, 18], [1, 7, 6, 7.2, 6.5]]
    rois = torch.tensor([*ROIS, *more], dtype=dtype)
    wide = torch.cat([rois, rois], 1)[:, :5]
    for name, x in layouts(torch.randn(2, 6, 9, 11, dtype=dtype)).items():
        grad = torch.randn(len(rois), 6, 3, 2, dtype=dtype)
        out, argmax = Out(torch.empty(0, dtype=dtype)), Out(torch.empty(0, dtype=torch.int32))
        for ratio, aligned in [(0, 0), (0, 1), (2, 1), (3, 0), (12, 1), (70, 0)]:
            label = f"roi_align {name} {ratio} {aligned}"
            settings = [0.5, 3, 2, ratio, aligned]
            yield Call(label, "roi_align_forward", [x, wide, *settings, out], False)
            arguments = [grad, rois, *settings, Out(x)]
            yield Call(label + " backward", "roi_align_backward", arguments, False)
        ties = moved(x, "cpu").round_()
        ties[1, 2, 4, 5] = NAN
        yield Call(
            f"roi_pool {name}", "roi_pool_forward", [ties, wide, 0.5, 3, 2, out, argmax], True
        )
        places = torch.randint(-1, 99, grad.shape, dtype=torch.int32)
        arguments = [grad, rois, places, Out(x)]
        yield Call(f"roi_pool {name} backward", "roi_pool_backward", arguments, False)
    # so many outputs that an index computes several channels, which do not divide evenly
    corners = torch.rand(480, 2, dtype=dtype) * 12
    many = torch.cat([torch.zeros(480, 1), corners, corners + torch.rand(480, 2) * 9], 1).to(dtype)
    for name, x in layouts(torch.randn(1, 90, 20, 22, dtype=dtype)).items():
        out = Out(torch.empty(0, dtype=dtype))
        yield Call(f"many {name}", "roi_align_forward", [x, many, 1.0, 7, 7, 1, 1, out], False)
        grad = torch.randn(480, 90, 7, 7, dtype=dtype)
        arguments = [grad, many, 1.0, 7, 7, 1, 1, Out(x)]
        yield Call(f"many {name} backward", "roi_align_backward", arguments, False)


def _boxes(dtype: torch.dtype) -> Iterator[Call]:
    boxes = some_boxes(2300, dtype)  # more than a warp has lanes, times 64
    boxes[9, 2] = boxes[650, 0] = NAN
    scores = (torch.rand(2300) * 50).floor().to(dtype) / 50  # many are equal
    scores[3] = scores[600] = NAN
    scores[5], scores[6], scores[7] = math.inf, -math.inf, -0.0
    groups = torch.arange(4600)[::2] % 7 - 3
    wide = torch.cat([boxes, boxes], 1)[:, 2:6][:, [2, 3, 0, 1]]
    keep, kept = Out(torch.empty(3, dtype=torch.int64)), Out(torch.empty(0, dtype=dtype))
    for count, threshold, plus_one in (
        [(0, 0.5, 0), (1, 0.5, 0), (64, 0.1, 1), (65, 0.5, 0)]
        + [(700, t, p) for t, p in [(0.3, 0), (0.5, 1), (0.7, 0), (-1.0, 0)]]
        + [(2300, 0.8, 0)]
    ):
        b, s, g = wide[:count], scores[:count], groups[:count]
        label = f"{count} {threshold} {plus_one}"
        yield Call(f"nms {label}", "nms", [b, s, threshold, plus_one, keep], True)
        arguments = [b, s, g, threshold, plus_one, keep]
        yield Call(f"batched_nms {label}", "batched_nms", arguments, True)
    for count, method, least in itertools.product((0, 1, 100), (0, 1, 2), (0.0, 0.3)):
        arguments = [wide[:count], scores[:count], method, 0.5, 0.3, least, 1, keep, kept]
        yield Call(f"soft_nms {count} {method} {least}", "soft_nms", arguments, method == 2)
    for n, m in [(70, 45), (0, 5), (5, 0)]:
        # integers, so that edges coincide
        a, b = wide[:n].round(), wide[:m].round()
        iou, grad = torch.empty(m, n, dtype=dtype).t(), torch.randn(n, m, dtype=dtype)
        for extra in (0, 1):
            name = f"box_iou {n} {m} {extra}"
            yield Call(name, "box_iou_forward", [a, b, extra, Out(iou)], True)
            grads = Out(torch.empty(0, dtype=dtype)), Out(torch.empty(4, m, dtype=dtype).t())
            yield Call(name + " backward", "box_iou_backward", [grad, a, b, extra, *grads], False)


def _focal_loss(dtype: torch.dtype) -> Iterator[Call]:
    logits = (torch.randn(12, 5, 4, dtype=dtype) * 20).transpose(0, 2)
    logits[0, 0, 0] = NAN
    targets, grad = torch.rand(4, 5, 12, dtype=dtype), torch.randn(12, 4, 5, dtype=dtype)
    grad = grad.permute(1, 2, 0)
    out = Out(torch.empty(0, dtype=dtype))
    rows, classes = logits[:, 0], torch.tensor([0, 3, -1, 12])
    for alpha, gamma in [(0.25, 2.0), (-1.0, 1.5), (0.5, 0.0)]:
        numbers = [alpha, gamma, out]
        label = f"focal_loss {alpha} {gamma}"
        yield Call(label, "focal_loss_forward", [logits, targets, *numbers], False)
        arguments = [grad, logits, targets, *numbers]
        yield Call(label + " backward", "focal_loss_backward", arguments, False)
        yield Call("class_" + label, "class_focal_loss_forward", [rows, classes, *numbers], False)
        arguments = [grad[:, 1], rows, classes, *numbers]
        yield Call(f"class_{label} backward", "class_focal_loss_backward", arguments, False)


def _deform_conv(dtype: torch.dtype) -> Iterator[Call]:
    for masked, last in itertools.product((False, True), (False, True)):
        image = torch.randn(12, 7, 6, dtype=dtype)
        image = image.permute(1, 2, 0).contiguous().permute(2, 0, 1) if last else image
        offset = torch.randn(2 * 2 * 6, 5, 4, dtype=dtype) * 3
        offset[1, 2, 2] = NAN
        offset[:, 3:].round_()  # samples on pixels, and one before the first
        mask = torch.rand(2 * 6, 5, 4, dtype=dtype) if masked else None
        # kernel 2 x 3, strides, pads, dilations, and the positions 7 .. 16 of 20
        settings = [2, 3, 1, 2, 0, 2, 2, 1, 7]
        columns = torch.randn(3, 10, 6 * 4, dtype=dtype)
        label = f"deform {masked} {last}"
        arguments = [image, offset, mask, *settings, Out(columns)]
        yield Call(label + " columns", "deform_columns", arguments, False)
        arguments = [columns, offset, mask, *settings, Out(image)]
        yield Call(label + " input", "deform_input_backward", arguments, False)
        grads = Out(torch.full_like(offset, 7)), Out(torch.full_like(mask, 7)) if masked else None
        arguments = [columns, image, offset, mask, *settings, *grads]
        yield Call(label + " offset", "deform_offset_backward", arguments, False)


def _deform_psroi(dtype: torch.dtype) -> Iterator[Call]:
    more = [[1, -300, -200, 500, 700], [0, 21.9, 17.9, 22, 18], [1, 7, 6, 7.2, 6.5]]
    rois = torch.tensor([*ROIS, *more], dtype=dtype)
    wide, out = torch.cat([rois, rois], 1)[:, :5], Out(torch.empty(0, dtype=dtype))
    counts = Out(torch.empty(0, dtype=dtype))
    # classes (0: no trans), output_dim, group_size, pooled_size, part_size, sample_per_part
    sizes = [(0, 20, 1, 3, 3, 4), (1, 20, 1, 7, 2, 2), (3, 6, 2, 3, 3, 3), (2, 4, 3, 2, 4, 1)]
    for classes, *numbers in sizes:
        x = torch.randn(2, numbers[0] * numbers[1] ** 2, 9, 11, dtype=dtype)
        grad = torch.randn(len(rois), numbers[0], numbers[2], numbers[2], dtype=dtype)
        trans = torch.randn(numbers[3], len(rois), numbers[3], 2 * classes, dtype=dtype)
        trans = trans.permute(1, 3, 0, 2) if classes else None
        if classes > 1:
            trans[2, 1, 0, 0], trans[3, 0, 1, 1] = NAN, math.inf
        for name, image in layouts(x).items():
            settings = [0.5, *numbers, 0.3]
            label = f"deform_psroi {classes} {numbers} {name}"
            for count in (counts, None) if name == "apart" else (counts,):
                arguments = [image, wide, trans, *settings, out, count]
                yield Call(label, "deform_psroi_forward", arguments, False)
            arguments = [grad, rois, trans, *settings, Out(image)]
            yield Call(label + " input", "deform_psroi_input_backward", arguments, False)
            if trans is not None:
                arguments = [grad, wide, trans, *settings, image, Out(torch.full_like(trans, 7))]
                yield Call(label + " trans", "deform_psroi_trans_backward", arguments, False)


def _images(dtype: torch.dtype) -> Iterator[Call]:
    image = torch.randint(0, 256, (13, 17, 3), dtype=torch.uint8)
    per_channel, everywhere = torch.rand(3, dtype=dtype) * 90 + 1, torch.rand(13, 1, 1, dtype=dtype)
    for reverse, pixels in itertools.product((0, 1), (image, image.transpose(0, 1))):
        std = everywhere if pixels is image else per_channel
        out = Out(torch.empty(0, dtype=dtype))
        arguments = [pixels, per_channel, std, reverse, out]
        yield Call(f"normalize {reverse} {pixels.shape}", "normalize_image", arguments, True)
    # four neighbouring pixels at once: in planes without gaps, and in a part of larger ones
    image, room = image[:8, :12].contiguous(), torch.zeros(3, 10, 16, dtype=dtype)
    for reverse, place in itertools.product((0, 1), (out, Out(room[:, :8, :12]))):
        arguments = [image, per_channel, per_channel.flip(0), reverse, place]
        yield Call(f"normalize part {reverse}", "normalize_image", arguments, True)
        arguments = [image, per_channel, per_channel.flip(0), reverse, Out(room[:, 1:9, 1:13])]
        yield Call(f"normalize shifted {reverse}", "normalize_image", arguments, True)
    # crops, of which the first alone can be read four bytes at once in every row
    wide, wider = torch.randint(0, 256, (2, 8, 17, 3), dtype=torch.uint8)[:, :, :16].unbind()
    wider = torch.cat([wide, wider], 1)
    for reverse, crop in itertools.product((0, 1), (wider[:, 4:16], wider[:, 1:13], wide[:, :12])):
        arguments = [crop, per_channel, per_channel.flip(0), reverse, out]
        label = f"normalize crop {crop.stride()} {crop.storage_offset()} {reverse}"
        yield Call(label, "normalize_image", arguments, True)


def floating(dtype: torch.dtype) -> list[Call]:
    """All calls of functions that end with _float, _double or _bfloat16."""
    torch.manual_seed(0)
    makers = [_frozen_bn, _regions, _boxes, _focal_loss, _deform_conv, _deform_psroi, _images]
    makers = makers[:1] if dtype == torch.bfloat16 else makers
    return [call for make in makers for call in make(dtype)]


def others() -> list[Call]:
    """All calls of the functions whose names say no precision, or another."""
    torch.manual_seed(0)
    calls = []
    operations = ("add", "subtract", "multiply", "divide", "minimum", "maximum")
    types = INTEGERS | {"float": torch.float32, "double": torch.float64}
    shapes = [((3, 1, 5), (4, 1)), ((7,), (7,)), ((1,), (2, 3)), ((0, 3), (3,)), ((6, 40, 3), (3,))]
    for (ending, dtype), operation, (left, right) in itertools.product(
        types.items(), operations, shapes
    ):
        a, b = (torch.randint(-200, 200, shape).to(dtype) for shape in (left, right))
        if dtype.is_floating_point and a.numel():
            a.view(-1)[0] = NAN
        else:
            a = a * (torch.iinfo(dtype).max // 150) if not dtype.is_floating_point else a
        floats = operation == "divide" and not dtype.is_floating_point
        out = torch.empty(0, dtype=torch.float64 if floats else dtype)
        name = f"broadcast_{operation}_{ending}"
        calls.append(Call(f"{name} {left} {right}", name, [a.flip(0), b, Out(out)], True))
    for size, crop, antialias, flip in [
        ((9, 30), (0, 0, 40, 60), 1, 0),
        ((9, 30), (0, 0, 40, 60), 0, 1),
        ((50, 70), (3, 5, 20, 31), 1, 2),
        ((1, 1), (0, 0, 40, 60), 1, 3),
    ]:
        for channels in (1, 3):
            image = torch.randint(0, 256, (40, 60, channels), dtype=torch.uint8)
            mean, std = torch.rand(2, channels) * 100 + 1
            place = torch.empty(channels, size[0] + 2, size[1] + 3)
            arguments = [image, *crop, *size, antialias, flip, channels % 2, mean, std, Out(place)]
            label = f"prepare {size} {antialias} {flip} {channels}"
            calls.append(Call(label, "prepare_image", arguments, False))
    return calls
