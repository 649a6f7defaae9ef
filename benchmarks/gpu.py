"""`make bench-cuda`: the kernels on a GPU beside torchvision's and torch's, a copy's bandwidth, a call's cost.

Times of the GPU between events, interleaved, medians; a call's in process CPU time, beside the same on a CPU tensor.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import traceback
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import kernels
import torch
from run import machine
from table import Table, interleaved

from resnet import ops

Function = Callable[[], Any]
# What only moves memory has to reach so much of a copy's bandwidth; these have to beat torchvision.
OF_A_COPY = 0.8
TO_BEAT = ("ROIAlign", "NMS")


class Told(Table):
    """Each row is printed, and the page written, when it is there: a kernel that hangs leaves the others'."""

    def __init__(self, found: dict[str, str], markdown: str | None) -> None:
        super().__init__()
        self.found, self.markdown = found, markdown

    def add(self, *row: Any, **marks: Any) -> None:
        super().add(*row, **marks)
        print(self.lines()[-1], flush=True)
        if self.markdown:
            Path(self.markdown).write_text(page(self.found, self))


def why_not() -> str:
    """Why nothing can be measured here, or ""."""
    if not torch.cuda.is_available():
        build = "has no CUDA" if torch.version.cuda is None else f"is for CUDA {torch.version.cuda}"
        return f"there is no GPU for torch {torch.__version__}, which {build}"
    if not ops.available("cuda"):
        return "_ext.kernels_cuda is not built: run `python build_ffi.py` where nvcc is installed"
    return ""


@contextlib.contextmanager
def reported(name: str, failed: list[str]) -> Iterator[None]:
    """What fails is told, and the rest is measured all the same."""
    try:
        yield
    except Exception:
        traceback.print_exc()
        failed.append(name)


def milliseconds(functions: dict[str, Function], rounds: int) -> dict[str, float]:
    """The GPU's time for a call of each: medians over interleaved rounds of about 5 ms.

    Not under torch.device("cuda"), which makes each of torch's functions go through Python.
    """

    def once(function: Function, calls: int) -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(calls):
            function()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / calls

    for function in functions.values():  # the first call loads its kernels, and wakes the GPU
        once(function, 10)
    calls = {name: max(1, int(5 / once(f, 3))) for name, f in functions.items()}
    samples: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            samples[name].append(once(function, calls[name]))
    return {name: statistics.median(times) for name, times in samples.items()}


def bandwidths(table: Table, rounds: int, failed: list[str]) -> None:
    """Frozen batch norm and normalisation, in GB/s, beside a copy."""
    from _ext import kernels_cuda

    with torch.device("cuda"):
        source, target = torch.rand(2, 1 << 26)  # 256 MB each
        image = torch.randint(0, 256, (4000, 6000, 3), dtype=torch.uint8)
        planes, mean, std = torch.empty(3, 4000, 6000), torch.rand(3), torch.rand(3) + 1
        rows: dict[str, tuple[float, Function]] = {
            "copy": (2.0 * source.nbytes, lambda: target.copy_(source)),
            "normalize_image 4000 x 6000": (
                image.nbytes + planes.nbytes,
                lambda: kernels_cuda.normalize_image_float_cuda(image, mean, std, 0, planes),
            ),
        }
        for last in (False, True):
            layout = torch.channels_last if last else torch.contiguous_format
            x = torch.rand(32, 256, 56, 56).to(memory_format=layout)
            residual, scale = torch.rand_like(x), torch.rand(256)
            name = "frozen BN + add + ReLU 32 x 256 x 56 x 56" + (" last" if last else "")
            rows[name] = (
                3.0 * x.nbytes,
                lambda x=x, r=residual, s=scale: ops.frozen_batch_norm(
                    x, s, s, r, relu=True, inplace=True
                ),
            )
    times = milliseconds({name: function for name, (_, function) in rows.items()}, rounds)
    speed = {name: size / times[name] / 1e6 for name, (size, _) in rows.items()}
    for name in list(rows)[1:]:
        table.add(name, speed[name], "copy", speed["copy"], "GB/s", at_least=OF_A_COPY)


def peers(table: Table, rounds: int, failed: list[str]) -> None:
    """Each operator beside torchvision's on the GPU."""
    try:
        import torchvision.ops as tv

        with torch.device("cuda"):
            tv.nms(torch.rand(1, 4), torch.rand(1), 0.5)
    except (ImportError, RuntimeError, NotImplementedError) as error:
        print(f"without torchvision: {str(error).splitlines()[0]}")
        tv = None
    families = [kernels.pooling, kernels.boxes, kernels.deformable, kernels.losses]
    claims: list[kernels.Claim] = []
    for make in families if tv is not None else []:
        with reported(make.__name__, failed), torch.device("cuda"):
            claims += make(tv)
    with torch.device("cuda"):
        claims += kernels.frozen_bn()
    for claim in claims:
        with reported(claim.name, failed):
            claim.check()
            times = milliseconds({"ours": claim.ours, "theirs": claim.theirs}, rounds)
            most = 1.0 if claim.name.startswith(TO_BEAT) else None
            table.add(claim.name, times["ours"], claim.peer, times["theirs"], "ms", at_most=most)


def call_overhead(table: Table, rounds: int, failed: list[str]) -> None:
    """The CPU's time for a call that has nothing to compute: a launch is the driver's, and has no counterpart."""
    from _ext import kernels as on_cpu
    from _ext import kernels_cuda

    def call(function: Callable[..., None], device: str) -> Function:
        x, one = torch.rand(0, 1, 1, 1, device=device), torch.rand(1, device=device)
        null = on_cpu._ffi.NULL
        return lambda: function(x, one, one, null, 0, x)

    functions = {
        "cuda": call(kernels_cuda.frozen_bn_forward_float_cuda, "cuda"),
        "cpu": call(on_cpu.frozen_bn_forward_float, "cpu"),
    }
    found = interleaved(functions, rounds, 2000)
    ours, theirs = found["cuda"] / 1e3, found["cpu"] / 1e3
    table.add("a call on a CUDA tensor", ours, "on a CPU tensor", theirs, "us", at_most=1.2)


def facts() -> dict[str, str]:
    """What the figures were taken on."""
    found = {**machine(), "GPU": torch.cuda.get_device_name(), "CUDA": str(torch.version.cuda)}
    with contextlib.suppress(metadata.PackageNotFoundError):
        found["torchvision"] = metadata.version("torchvision")
    return found


PAGE = """# Performance on a GPU

`make bench-cuda` prints the table of this page, `--markdown FILE` writes the page. Times are the GPU's between events,
medians of interleaved rounds; a call's is process CPU time.

{facts}

```text
{table}
```
"""


def page(found: dict[str, str], table: Table) -> str:
    """The page that docs/ has of a GPU: its facts and the table, in Markdown."""
    listed = "\n".join(f"* {name}: {value}" for name, value in found.items())
    return PAGE.format(facts=listed, table="\n".join(table.lines()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", metavar="FILE", help="write machine and rows there, too")
    parser.add_argument("--markdown", metavar="FILE", help="write them there as a page")
    parser.add_argument("--rounds", type=int, default=7, help="samples of each figure")
    options = parser.parse_args()
    reason = why_not()
    if reason:
        print(f"nothing was measured: {reason}")
        return
    found = facts()
    for name, value in found.items():
        print(f"{name}: {value}")
    torch.manual_seed(0)
    table = Told(found, options.markdown)
    failed: list[str] = []
    print(table.lines()[0])
    for part in (bandwidths, peers, call_overhead):
        with reported(part.__name__, failed):
            part(table, options.rounds, failed)
    if options.json:
        Path(options.json).write_text(json.dumps({"machine": found, "rows": table.rows}, indent=2))
    if failed:
        sys.exit(f"not measured: {', '.join(failed)}")


if __name__ == "__main__":
    main()
