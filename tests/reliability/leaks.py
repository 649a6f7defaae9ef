"""Memory that nobody frees: calls under LeakSanitizer, of whose report only what our own code allocated counts.

A suppression file will not do: every stack passes through libpython, and LeakSanitizer suppresses by any frame.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.reliability import children

# The C of the control: a leak that must be found.
HEADER = "void leak(int bytes);\n"
SOURCE = "#include <stdlib.h>\nvoid leak(int bytes) { *(volatile char *)malloc(bytes) = 1; }\n"
CONTROL = 4321  # bytes
FORMAT = '"    #%n %f [%m]"'  # of a frame: number, function, module
OURS = re.compile(r"\[[^]]*/_(?:runtime|kernels|leaks|threads|ways)[^/]*\.so\]")
ALLOCATOR = re.compile(r"#\d+ (?:__interceptor_|operator new)|/libasan[^/]*\]")


def calls(rounds: int) -> None:
    """Runtime, records, errors, kernels forward and backward."""
    import torch

    from ffi_ext import NativeError, load_inline
    from resnet import ops
    from tests.reliability import threads, ways

    lib = load_inline("ways", ways.SOURCE, ways.HEADER)
    shared = torch.full((3, 3), 2.0)
    many = load_inline("threads", threads.SOURCE, threads.HEADER)
    many.share(shared)
    found = ways.calls(lib).values()
    for number in range(rounds):
        for call in found:
            with contextlib.suppress(NativeError, TypeError, ValueError):
                call()
        threads.one_round(many, number, shared)
    boxes = torch.rand(50, 4).mul(20) + torch.tensor([0.0, 0, 20, 20])
    boxes.requires_grad_()
    rois = torch.cat([torch.zeros(50, 1), boxes.detach()], 1)
    image = torch.rand(1, 4, 40, 40, requires_grad=True)
    for _ in range(min(rounds, 3)):
        kept = ops.nms(boxes.detach(), torch.rand(50), 0.5)
        ops.soft_nms(boxes.detach(), torch.rand(50))
        total = ops.box_iou(boxes, boxes.detach()[:5]).sum() + kept.numel()
        total = total + ops.roi_align(image, rois, (3, 3), 0.5).sum()
        total = total + ops.roi_pool(image, rois, (3, 3), 0.5).sum()
        total = total + ops.sigmoid_focal_loss(image, (image > 0.5).float()).sum()
        total = total + ops.frozen_batch_norm(image, torch.ones(4), torch.ones(4)).sum()
        offset = torch.rand(1, 18, 38, 38, requires_grad=True)
        total = total + ops.deform_conv2d(image, offset, torch.rand(2, 4, 3, 3)).sum()
        bins = torch.rand(50, 2, 3, 3, requires_grad=True)
        total = total + ops.deform_roi_pooling(image, rois, bins, 0.5, 3, 4, False).sum()
        total.backward()


def work() -> None:
    """The control, and the calls.

    Whatever holds a number that is the address of a block makes it count as used. At first no block has had an earlier
    owner, whose address may still lie about, and what the control leaves on the stack is written over by the calls.
    """
    from ffi_ext import load_inline

    control = load_inline("leaks", SOURCE, HEADER)
    for _ in range(5):
        control.leak(CONTROL)
    calls(rounds=20)


def leaks(report: str) -> list[tuple[int, str]]:
    """Bytes and stacks of the leaks whose memory our own code asked for: the first frame that is no allocator."""
    found = []
    for block in re.split(r"\n\s*\n", report):
        size = re.match(r"\s*(?:Direct|Indirect) leak of (\d+) byte", block)
        frames = re.findall(r"^ +#\d+ .*$", block, re.MULTILINE)
        outside = [frame for frame in frames if not ALLOCATOR.search(frame)]
        if size and outside and OURS.search(outside[0]):
            found.append((int(size.group(1)), block.strip()))
    return found


def main() -> int:
    """Runs the calls in a process of their own, and reads what the sanitizer says at its end."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "report"
        options = f"detect_leaks=1:handle_segv=0:exitcode=0:log_path={log}:malloc_context_size=12"
        options += f":stack_trace_format={FORMAT}"
        environment = os.environ | {"ASAN_OPTIONS": options, "PYTHONMALLOC": "malloc"}
        command = [sys.executable, "-m", "tests.reliability.leaks", "--inside", "1"]
        status = subprocess.run(command, env=environment, check=False).returncode
        report = "".join(p.read_text() for p in Path(folder).glob("report*"))
    ours = leaks(report)
    failures = [block for size, block in ours if size % CONTROL]
    if status:
        failures.append(f"the calls ended with status {status}")
    if all(size % CONTROL for size, _ in ours):
        failures.append(
            f"the leak that the control makes was not found in: {report[:2000] or 'no report'}"
        )
    others = len(re.findall(r"(?:Direct|Indirect) leak of", report)) - len(ours)
    return children.finish("leaks", {"leaks_of_others": others}, failures)


if __name__ == "__main__":
    if children.arguments(__doc__ or "", inside=0).inside:
        work()
    else:
        sys.exit(main())
