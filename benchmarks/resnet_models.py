"""The whole ResNet-50 backbone beside torchvision's, OpenVINO and onnxruntime: CPU time of one thread.

`python benchmarks/resnet_models.py`, or as a part of `make bench`. The peer of the marks is
torchvision's resnet50 with its FrozenBatchNorm2d, run eagerly, whose features the others compute too.
"""

from __future__ import annotations

import argparse
import copy
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torchvision_cpu
from table import Table, interleaved

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # resnet and _ext stand there

from resnet import build_resnet  # noqa: E402
from resnet.export import export_onnx  # noqa: E402

# Input, and what is asked of the kernels alone and of fuse(), as times over the peer's.
CASES = {
    "1 x 800 x 1344": ((1, 3, 800, 1344), 1.2, 1.6),
    "8 x 224 x 224": ((8, 3, 224, 224), 1.08, 1.4),
}
PEER = "torchvision, FrozenBatchNorm2d"


def torchvision_backbone(
    state: dict[str, torch.Tensor], dtype: torch.dtype = torch.float32
) -> Callable[[torch.Tensor], Any]:
    """torchvision's resnet50 without its classifier, with our weights: images -> C2..C5."""
    from torchvision.models import resnet50
    from torchvision.ops import FrozenBatchNorm2d

    model = resnet50(norm_layer=lambda channels: FrozenBatchNorm2d(channels, eps=0.0)).eval()
    theirs = {name.removeprefix("stem."): value for name, value in state.items()}
    model.load_state_dict(theirs, strict=False)
    model = model.to(dtype)

    def backbone(x: torch.Tensor) -> list[torch.Tensor]:
        x = model.maxpool(model.relu(model.bn1(model.conv1(x))))
        features = []
        for name in ("layer1", "layer2", "layer3", "layer4"):
            x = getattr(model, name)(x)
            features.append(x)
        return features

    return backbone


def onnxruntime_backbone(path: Path) -> Callable[[torch.Tensor], Any]:
    """The exported model by onnxruntime, in float32 on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x.numpy()})


def openvino_backbone(path: Path) -> Callable[[torch.Tensor], Any]:
    """The exported model by OpenVINO, in float32 on one thread; its results are not copied to arrays of their own."""
    import openvino

    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.Core().compile_model(str(path), "CPU", settings)
    return lambda x: list(model(x.numpy(), share_outputs=True).values())


def check(name: str, found: Any, expected: list[torch.Tensor], tolerance: float = 1e-4) -> None:
    """A peer, or we, that compute something else are not to be compared."""
    for a, b in zip(found, expected, strict=True):
        error = float((torch.as_tensor(a) - b).abs().max() / b.abs().max())
        if not error < tolerance:
            raise AssertionError(f"{name} computes other features: {error:.0e} apart")


def whole_models(table: Table, rounds: int) -> None:
    """Rows of the whole backbone; what is not installed is said and left out."""
    reason = torchvision_cpu.load()
    if reason:
        print(f"whole models are left out: {reason}")
        return
    torch.manual_seed(0)
    model = build_resnet("R-50-FPN", stride_in_1x1=False).eval()
    fused = model.fuse()
    peer = torchvision_backbone(model.state_dict())
    others: dict[str, Callable[[torch.Tensor], Any]] = {}
    with tempfile.TemporaryDirectory(prefix="resnet-bench-") as folder, torch.no_grad():
        path = Path(folder, "model.onnx")
        for name, make in [
            ("onnxruntime, float32", onnxruntime_backbone),
            ("OpenVINO, float32", openvino_backbone),
        ]:
            try:
                if not path.exists():
                    export_onnx(model, torch.randn(2, 3, 64, 64), path)
                others[name] = make(path)
            except ModuleNotFoundError as error:
                print(f"{name} is left out: {error}")
        for case, (shape, alone, with_fuse) in CASES.items():
            images = torch.randn(shape)
            ways = {PEER: peer, "kernels": model, "fuse()": fused, **others}
            expected = peer(images)
            for name, way in ways.items():
                check(name, way(images), expected)  # and warms it up
            calls = {name: partial(way, images) for name, way in ways.items()}
            found = interleaved(calls, rounds, 1)
            times = {name: nanoseconds / 1e6 for name, nanoseconds in found.items()}
            for name, mark in [("kernels", alone), ("fuse()", with_fuse)]:
                claim = f"ResNet-50 {case}, {name}"
                table.add(claim, times[name], PEER, times[PEER], "ms", at_most=round(1 / mark, 3))
            for name in others:
                claim = f"ResNet-50 {case}, fuse()"
                table.add(claim, times["fuse()"], name, times[name], "ms")
        in_bfloat16(table, rounds, model)


def in_bfloat16(table: Table, rounds: int, model: torch.nn.Module) -> None:
    """Rows of the same in bfloat16, all of it channels_last, the layout that is faster in torchvision's."""
    dtype = torch.bfloat16
    peer = torchvision_backbone(model.state_dict(), dtype)
    low = copy.deepcopy(model).to(dtype)
    ways = {PEER: peer, "kernels": low, "fuse()": low.fuse()}
    for case, (shape, _, _) in CASES.items():
        exact = torch.randn(shape)
        images = exact.to(dtype, memory_format=torch.channels_last)
        expected = model(exact)
        for name, way in ways.items():
            check(name, way(images), expected, 3e-2)
        calls = {name: partial(way, images) for name, way in ways.items()}
        times = {name: taken / 1e6 for name, taken in interleaved(calls, rounds, 1).items()}
        for name in ("kernels", "fuse()"):
            claim = f"ResNet-50 {case}, bfloat16, {name}"
            table.add(claim, times[name], PEER, times[PEER], "ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="samples of each figure")
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = Table()
    whole_models(table, options.rounds)
    table.print()


if __name__ == "__main__":
    main()
