"""`make bench-kernels`: the kernels of _ext.kernels beside torchvision's CPU operators and eager torch.

One thread, process CPU time, interleaved, medians. Then what a second thread brings, in wall time: the best of
interleaved rounds, since work beside this only ever adds. Beside it stands what two threads bring torch's own mm, bound
by arithmetic, and its add, bound by memory. A call shorter than a millisecond, which has little to share, has no mark.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
import torch.nn.functional as F
import torchvision_cpu
from run import machine
from table import Table, interleaved, wall

from resnet import ops

Function = Callable[[], Any]


class Claim(NamedTuple):
    """A row: ours, the peer, and how many times faster ours has to be (None: no mark)."""

    name: str
    ours: Function
    peer: str
    theirs: Function
    least: float | None
    repeats: int = 1

    def check(self) -> None:
        """What computes something else is not to be compared. (Ours may write to its input: theirs comes first.)"""
        theirs, ours = (as_tuple(function()) for function in (self.theirs, self.ours))
        for a, b in zip(ours, theirs, strict=True):
            alike = a.shape == b.shape  # NMS may keep another number
            error = float((a - b).abs().max() / b.abs().max()) if alike else math.inf
            if not error < (2e-2 if a.dtype == torch.bfloat16 else 1e-3):
                raise AssertionError(f"{self.name}: {error:.0e} from {self.peer}")


def as_tuple(result: Any) -> tuple[torch.Tensor, ...]:
    return (result,) if isinstance(result, torch.Tensor) else result


def regions(count: int, height: int, width: int, scale: float) -> torch.Tensor:
    """(count, 5) regions of a map, of up to half of its size."""
    size = torch.tensor([float(width), float(height)]) / scale
    corners = torch.rand(count, 2) * size * 0.7
    return torch.cat([torch.zeros(count, 1), corners, corners + torch.rand(count, 2) * size / 2], 1)


def gradient(of: torch.Tensor) -> torch.Tensor:
    """The same numbers for us and the peer."""
    generator = torch.Generator(of.device).manual_seed(0)
    return torch.randn(of.shape, generator=generator, device=of.device)


def with_backward(function: Callable[..., torch.Tensor], trained: list[torch.Tensor]) -> Function:
    grad = gradient(function())
    return lambda: torch.autograd.grad(function(), trained, grad)


def backward_alone(function: Callable[..., torch.Tensor], trained: list[torch.Tensor]) -> Function:
    y = function()
    grad = gradient(y)
    return lambda: torch.autograd.grad(y, trained, grad, retain_graph=True)


def pooling(tv: Any) -> list[Claim]:
    x = torch.randn(1, 256, 100, 168)
    rois = regions(512, 100, 168, 0.25)
    trained = x.clone().requires_grad_()
    c4, c4_rois = torch.randn(1, 1024, 50, 84), regions(128, 50, 84, 1 / 16)
    align = lambda m, x, rois=rois: lambda: m.roi_align(x, rois, 7, 0.25, 2, True)  # noqa: E731
    pool = lambda m, x, rois=rois: lambda: m.roi_pool(x, rois, 7, 0.25)  # noqa: E731
    few = rois[:10]  # an image's detections
    adaptive = lambda m: lambda: m.roi_align(c4, c4_rois, 14, 1 / 16, 0)  # noqa: E731
    pair = lambda make: [with_backward(make(m, trained), [trained]) for m in (ops, tv)]  # noqa: E731
    align_pair, pool_pair = pair(align), pair(pool)
    peer = "torchvision"
    return [
        Claim("ROIAlign forward", align(ops, x), peer, align(tv, x), 8),
        Claim("ROIAlign forward+backward", align_pair[0], peer, align_pair[1], 5),
        Claim("ROIAlign of 10 regions", align(ops, x, few), peer, align(tv, x, few), None, 3),
        Claim(
            "ROIAlign 1024 x 50 x 84, 14 x 14, adaptive", adaptive(ops), peer, adaptive(tv), None
        ),
        Claim("ROIPool forward", pool(ops, x), peer, pool(tv, x), None),
        Claim("ROIPool forward+backward", pool_pair[0], peer, pool_pair[1], 4),
        Claim("ROIPool of 10 regions", pool(ops, x, few), peer, pool(tv, x, few), None, 3),
    ]


def boxes(tv: Any) -> list[Claim]:
    claims = []
    for count, least in [(1000, 12), (6000, 18)]:
        corners = torch.rand(count, 2) * 500
        found = torch.cat([corners, corners + torch.rand(count, 2) * 100], 1)
        # No two are equal, of which each could come first.
        scores, groups = torch.randperm(count) / count, torch.randint(0, 80, (count,))
        nms = lambda m, b=found, s=scores: lambda: m.nms(b, s, 0.5)  # noqa: E731
        batched = lambda m, b=found, s=scores, g=groups: lambda: m.batched_nms(b, s, g, 0.5)  # noqa: E731
        peer = "torchvision"
        claims.append(Claim(f"NMS of {count:,} boxes", nms(ops), peer, nms(tv), least, 3))
        claims.append(
            Claim(
                f"batched NMS, {count:,} boxes, 80 classes",
                batched(ops),
                peer,
                batched(tv),
                None,
                3,
            )
        )
    iou = lambda m: lambda: m.box_iou(found[:2000], found[-100:])  # noqa: E731
    return [*claims, Claim("box IoU 2000 x 100", iou(ops), "torchvision", iou(tv), 2, 10)]


def deformable(tv: Any) -> list[Claim]:
    x, weight = torch.randn(1, 128, 50, 84), torch.randn(128, 128, 3, 3) * 0.03
    offset, mask = torch.randn(1, 18, 50, 84), torch.rand(1, 9, 50, 84)
    claims = []
    for version, extra in [("v1", []), ("v2", [mask])]:
        inputs = [x, offset, weight, *extra]
        trained = [t.clone().requires_grad_() for t in inputs]

        def call(m: Any, given: list[torch.Tensor]) -> Function:
            x, offset, weight, *rest = given
            mask = rest[0] if rest else None
            return lambda: m.deform_conv2d(x, offset, weight, padding=1, mask=mask)

        backward = [backward_alone(call(m, trained), trained) for m in (ops, tv)]
        peer = "torchvision"
        claims += [
            Claim(
                f"deformable conv {version} forward", call(ops, inputs), peer, call(tv, inputs), 2
            ),
            Claim(f"deformable conv {version} backward", backward[0], peer, backward[1], 1.5),
        ]
    return claims


def frozen_bn() -> list[Claim]:
    claims = []
    for shape, kind in [
        ((1, 256, 56, 56), ""),
        ((1, 2048, 7, 7), ""),
        ((8, 256, 56, 56), ""),
        ((8, 256, 56, 56), " last"),
        ((8, 256, 56, 56), " bf16"),
    ]:
        layout = torch.channels_last if kind == " last" else torch.contiguous_format
        dtype = torch.bfloat16 if kind == " bf16" else torch.float32
        x, residual = (torch.randn(shape).to(dtype, memory_format=layout) for _ in range(2))
        mean, var, bias = torch.randn(3, shape[1])
        var, weight = var.abs() + 0.5, torch.full((shape[1],), 0.3)
        scale = weight * var.rsqrt()
        shift = bias - mean * scale

        def ours(x=x, scale=scale, shift=shift, residual=residual) -> torch.Tensor:
            return ops.frozen_batch_norm(x, scale, shift, residual, relu=True, inplace=True)

        def theirs(x=x, residual=residual, mean=mean, var=var, weight=weight, bias=bias) -> Any:
            return F.batch_norm(x, mean, var, weight, bias).add_(residual).relu_()

        name = "frozen BN + add + ReLU " + " x ".join(map(str, shape)) + kind
        claims.append(Claim(name, ours, "batch_norm, add_, relu_", theirs, 1.5, 3))
    return claims


def losses(tv: Any) -> list[Claim]:
    logits, targets = torch.randn(20000, 80) * 4, (torch.rand(20000, 80) < 0.02).float()
    trained = logits.clone().requires_grad_()
    loss = lambda m, x: lambda: m.sigmoid_focal_loss(x, targets)  # noqa: E731
    both = [with_backward(loss(m, trained), [trained]) for m in (ops, tv)]
    other = lambda m: lambda: m.sigmoid_focal_loss(logits, targets, gamma=1.5)  # noqa: E731
    doubles = logits.double(), targets.double()
    double = lambda m: lambda: m.sigmoid_focal_loss(*doubles)  # noqa: E731
    peer = "torchvision"
    return [
        Claim("focal loss 20000 x 80 forward", loss(ops, logits), peer, loss(tv, logits), 2),
        Claim("focal loss 20000 x 80 forward+backward", both[0], peer, both[1], None),
        Claim("focal loss 20000 x 80, gamma 1.5", other(ops), peer, other(tv), None),
        Claim("focal loss 20000 x 80 of doubles", double(ops), peer, double(tv), None),
    ]


def second_thread(function: Function, rounds: int) -> tuple[float, float]:
    """Wall milliseconds of a call with one thread and with two: the best of interleaved rounds."""
    torch.set_num_threads(1)
    calls = max(1, int(0.02 / wall(function)))
    best = {1: math.inf, 2: math.inf}
    for _ in range(rounds):
        for threads in best:
            torch.set_num_threads(threads)
            function()
            took = wall(lambda: [function() for _ in range(calls)]) / calls * 1e3
            best[threads] = min(best[threads], took)
    torch.set_num_threads(1)
    return best[1], best[2]


def of_the_machine() -> dict[str, Function]:
    """What the second thread of this machine can bring: to arithmetic, and to memory."""
    square, image, out = torch.randn(768, 768), torch.randn(8, 256, 56, 56), torch.empty(0)
    return {
        "torch.mm 768 x 768": lambda: torch.mm(square, square),
        "torch.add 8 x 256 x 56 x 56": lambda: torch.add(image, image, out=out),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", metavar="FILE", help="write machine and rows there, too")
    parser.add_argument("--rounds", type=int, default=7, help="samples of each figure")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    facts = machine()
    for name, value in facts.items():
        print(f"{name}: {value}")
    why_not = torchvision_cpu.load()
    claims = frozen_bn()
    if why_not:
        print(f"without torchvision: {why_not}")
    else:
        import torchvision.ops as tv

        claims = [*pooling(tv), *boxes(tv), *deformable(tv), *claims, *losses(tv)]
    table = Table()
    with torch.autograd.set_grad_enabled(True):
        for claim in claims:
            claim.check()  # and warms both up
            pair = {"ours": claim.ours, "theirs": claim.theirs}
            found = interleaved(pair, options.rounds, claim.repeats)
            most = None if claim.least is None else 1 / claim.least
            ours, theirs = found["ours"] / 1e6, found["theirs"] / 1e6
            table.add(claim.name, ours, claim.peer, theirs, "ms", at_most=most)
        table.print()
        threads = Table()
        for name, function in {**of_the_machine(), **{c.name: c.ours for c in claims}}.items():
            one, two = second_thread(function, 4 * options.rounds)
            marked = one >= 1 and not name.startswith("torch.")
            threads.add(name, two, "one thread", one, "ms", at_most=1 / 1.7 if marked else None)
    print("\ntwo threads, wall:")
    threads.print()
    if options.json:
        report = {"machine": facts, "rows": table.rows, "threads": threads.rows}
        Path(options.json).write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
