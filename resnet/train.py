"""`python -m resnet.train`: a small ResNet learns the handwritten digits that scikit-learn carries.

Alone, or `torchrun --nproc-per-node 2 -m resnet.train` in parallel. A checkpoint is written after
each epoch, and `--resume` goes on from it to the same weights, bit for bit, that an unbroken run with as
many threads has.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import io
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

from resnet.classifier import ResNetClassifier
from resnet.progress import Progress
from resnet.stages import StageSpec
from resnet.weights import read_saved

# Of the settings; the batch size depends on the processes, too.
RANGES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "epochs": (lambda value: value >= 1, "at least 1"),
    "learning_rate": (lambda value: 0 <= value < math.inf, "a finite number from 0 on"),
    "momentum": (lambda value: 0 < value < 1, "a number between 0 and 1"),
    "weight_decay": (lambda value: 0 <= value < math.inf, "a finite number from 0 on"),
    "width": (lambda value: value >= 1, "at least 1"),
    "seed": (lambda value: 0 <= value < 2**32, "a number from 0 to 2^32 - 1"),  # NumPy's
}


@dataclasses.dataclass
class Settings:
    """What decides the result, beside the numbers of processes and threads, and torch's version."""

    epochs: int = 25
    batch_size: int = 64  # of all processes together
    learning_rate: float = 0.1  # at the start; falls to 0 as half a cosine
    momentum: float = 0.9
    weight_decay: float = 5e-4
    width: int = 16  # channels of the first stage
    seed: int = 0

    def __post_init__(self) -> None:
        for name, (holds, text) in RANGES.items():
            value = getattr(self, name)
            if not holds(value):
                raise ValueError(f"{name} must be {text}, got {value}")


@dataclasses.dataclass
class Digits:
    """Images (N, 1, 8, 8) float32 of about mean 0 and deviation 1, and their digits (N) int64."""

    train_images: torch.Tensor
    train_labels: torch.Tensor
    test_images: torch.Tensor
    test_labels: torch.Tensor


def load_digits(seed: int = 0) -> Digits:
    """scikit-learn's 1,797 digits, 80% to train and 20% to test, each digit in equal parts."""
    from sklearn.datasets import load_digits as load
    from sklearn.model_selection import train_test_split

    pixels, labels = load(return_X_y=True)  # grey levels 0..16
    parts = train_test_split(pixels, labels, test_size=0.2, stratify=labels, random_state=seed)
    train, test = (
        (torch.from_numpy(part).float().view(-1, 1, 8, 8) - 4.88) / 6.02 for part in parts[:2]
    )
    return Digits(train, torch.from_numpy(parts[2]), test, torch.from_numpy(parts[3]))


def build_model(settings: Settings) -> ResNetClassifier:
    """Three stages of one basic block each, on a stem that keeps the 8 x 8 pixels."""
    torch.manual_seed(settings.seed)
    return ResNetClassifier(
        [StageSpec(i, 1, False) for i in (1, 2, 3)],
        num_classes=10,
        stem="SmallStemWithBatchNorm",
        block="BasicBlockWithBatchNorm",
        in_channels=1,
        stem_out_channels=settings.width,
        res2_out_channels=settings.width,
        zero_init_residual=True,
    )


def shifted(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Each image moved by up to one pixel in each direction."""
    windows = F.pad(images, (1, 1, 1, 1), value=float(images.min()))
    windows = windows.unfold(2, 8, 1).unfold(3, 8, 1)  # (N, 1, 3, 3, 8, 8)
    dy, dx = torch.randint(0, 3, (2, len(images)), generator=generator)
    return windows[torch.arange(len(images)), :, dy, dx]


class Trainer:
    """Model and optimizer, and one epoch after another.

    Which images come when, and how they are moved, depends on the seed and the epoch only: that is
    what lets a run be resumed, and processes share each batch.

    Args:
        settings: the batch size is checked.
        data: see `load_digits`.
        device: of the model.
        rank, world: this process and how many there are.
    """

    def __init__(
        self,
        settings: Settings,
        data: Digits,
        device: torch.device | str = "cpu",
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if settings.batch_size < 2 * world or settings.batch_size % world:
            raise ValueError(
                f"batch_size must be a multiple of the {world} processes, with two images or more "
                f"for each, got {settings.batch_size}"
            )
        if settings.batch_size > len(data.train_labels):
            raise ValueError(
                f"batch_size must be at most the {len(data.train_labels)} images to train on, "
                f"got {settings.batch_size}"
            )
        self.settings, self.data, self.rank, self.world = settings, data, rank, world
        self.device = torch.device(device)
        self.model = build_model(settings).to(self.device)
        self.parallel: nn.Module = self.model
        if world > 1:
            self.parallel = nn.parallel.DistributedDataParallel(self.model)
        self.optimizer = torch.optim.SGD(
            self.model.parameters(),
            settings.learning_rate,
            settings.momentum,
            weight_decay=settings.weight_decay,
            nesterov=True,
        )
        self.epoch = 0

    def run_epoch(self) -> float:
        """Train on each image once (without what does not fill a batch); the mean loss."""
        settings = self.settings
        generator = torch.Generator().manual_seed(settings.seed * 100_003 + self.epoch)
        order = torch.randperm(len(self.data.train_labels), generator=generator)
        images = shifted(self.data.train_images, generator)
        steps = len(order) // settings.batch_size
        total = steps * settings.epochs
        self.model.train()
        losses = torch.zeros((), device=self.device)
        for step in range(steps):
            first = step * settings.batch_size
            mine = order[first : first + settings.batch_size][self.rank :: self.world]
            done = (self.epoch * steps + step) / total
            rate = settings.learning_rate * 0.5 * (1 + torch.cos(torch.tensor(torch.pi * done)))
            for group in self.optimizer.param_groups:
                group["lr"] = float(rate)
            logits = self.parallel(images[mine].to(self.device))
            loss = F.cross_entropy(logits, self.data.train_labels[mine].to(self.device))
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            losses += loss.detach()
        self.epoch += 1
        if self.world > 1:
            dist.all_reduce(losses)
        return float(losses) / steps / self.world

    def accuracy(self) -> float:
        """The part of the test images whose digit is told right."""
        self.model.eval()
        with torch.no_grad():
            found = self.model(self.data.test_images.to(self.device)).argmax(1).cpu()
        return float((found == self.data.test_labels).float().mean())

    def save(self, path: Path) -> None:
        """Write a checkpoint: to a temporary file beside it, which then takes its place."""
        content = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "settings": dataclasses.asdict(self.settings),
            "world": self.world,
        }
        contents = io.BytesIO()  # a full disk makes torch.save say that positions differ
        torch.save(content, contents)
        path = path.resolve()  # of a link, the file that it leads to
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            temporary.write_bytes(contents.getbuffer())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            FileNotFoundError: there is none.
            ValueError: it is no checkpoint, or one of a run with other settings or another number of
                processes.
        """
        content: Any = read_saved(path, "a checkpoint", self.device)
        if not isinstance(content, dict) or not isinstance(content.get("settings"), dict):
            raise ValueError(
                f"{path}: expected a checkpoint of resnet.train, with its settings, got "
                f"{', '.join(map(str, list(content)[:5])) if isinstance(content, dict) else type(content).__name__}"
            )
        mine = {**dataclasses.asdict(self.settings), "world": self.world}
        other = {**content["settings"], "world": content.get("world")}
        differ = [f"{key} {other.get(key)} there, {mine[key]} here" for key in mine
                  if mine[key] != other.get(key)]  # fmt: skip
        if differ:
            raise ValueError(
                f"{path}: expected a checkpoint of a run with the same settings, got "
                f"{'; '.join(differ)}"
            )
        try:
            self.model.load_state_dict(content["model"])
            self.optimizer.load_state_dict(content["optimizer"])
            self.epoch = int(content["epoch"])
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise ValueError(
                f"{path}: expected a whole checkpoint of resnet.train, but {error!r}"
            ) from error


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m resnet.train", description=(__doc__ or "").partition("\n\n")[0]
    )
    for field in dataclasses.fields(Settings):
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=type(field.default),
            default=field.default,
            help="(default: %(default)s)",
        )
    parser.add_argument("--checkpoint", type=Path, help="written after each epoch")
    parser.add_argument("--resume", action="store_true", help="go on from --checkpoint")
    parser.add_argument("--stop-after", type=int, metavar="N", help="end after N epochs, for now")
    options = parser.parse_args(arguments)
    if options.resume and options.checkpoint is None:
        parser.error("--resume needs --checkpoint FILE")
    where = options.checkpoint
    if where is not None and where.exists() and not where.is_file():
        # what a checkpoint would take the place of: root may replace /dev/null, which the system needs
        kind = "directory" if where.is_dir() else "device or pipe"
        parser.error(f"--checkpoint: expected a file, got the {kind} {where}")
    if options.stop_after is not None and options.stop_after < 0:
        parser.error(f"--stop-after must be at least 0, got {options.stop_after}")
    return options


def processes() -> list[int]:
    """How many processes there are, this one's number, and that on its machine, as torchrun says them.

    Raises:
        ValueError: one is no such number.
    """
    numbers = []
    for name, least in [("WORLD_SIZE", 1), ("RANK", 0), ("LOCAL_RANK", 0)]:
        text = os.environ.get(name, str(least))
        if not text.isdecimal() or int(text) < least:
            raise ValueError(
                f"{name} must be a whole number of at least {least}, as torchrun sets it, got {text!r}"
            )
        numbers.append(int(text))
    return numbers


def device_of(local: int) -> torch.device:
    """The GPU of process `local` of this machine; the CPU where there is no GPU.

    Raises:
        ValueError: There are fewer GPUs than processes, and two cannot share one.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    count = torch.cuda.device_count()
    if local >= count:
        gpus = f"{count} GPU{'s' if count > 1 else ''}"
        raise ValueError(
            f"expected a GPU for each process, got process {local} (from 0 on) and {gpus}; start it with "
            f"--nproc-per-node {count}, or with CUDA_VISIBLE_DEVICES= on the CPU"
        )
    return torch.device("cuda", local)


def train(options: argparse.Namespace, rank: int, world: int, device: torch.device) -> Trainer:
    """Run the epochs that are left; rank 0 reports and writes checkpoints."""
    names = [field.name for field in dataclasses.fields(Settings)]
    settings = Settings(**{name: getattr(options, name) for name in names})
    trainer = Trainer(settings, load_digits(settings.seed), device, rank, world)
    if options.resume:
        trainer.resume(options.checkpoint)
    if options.checkpoint is not None:  # what cannot be written is told before the first epoch
        options.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    stop_after = settings.epochs if options.stop_after is None else options.stop_after
    last = min(settings.epochs, stop_after)
    bar = Progress(last - trainer.epoch)
    start = time.perf_counter()
    while trainer.epoch < last:
        loss = trainer.run_epoch()
        if not math.isfinite(loss):  # in all processes alike; what was saved stays as it is
            raise ValueError(
                f"expected a finite loss, got {loss} in epoch {trainer.epoch}, from which no training comes back; "
                "try a smaller --learning-rate"
            )
        if rank == 0:
            accuracy = trainer.accuracy()
            text = f"epoch {trainer.epoch}: loss {loss:.4f}, test accuracy {accuracy:.2%}"
            bar.step(text)
            if not sys.stderr.isatty():
                print(text, flush=True)
            if options.checkpoint is not None:
                trainer.save(options.checkpoint)
    if rank == 0:
        counts = len(trainer.data.train_labels), len(trainer.data.test_labels)
        parameters = sum(p.numel() for p in trainer.model.parameters())
        print(
            f"{counts[0]} digits to train, {counts[1]} to test, {parameters} parameters, "
            f"{world} process{'es' if world > 1 else ''}: test accuracy {trainer.accuracy():.2%} "
            f"after {trainer.epoch} epochs, {time.perf_counter() - start:.1f} s"
        )
    return trainer


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    try:
        world, rank, local = processes()
        device = device_of(local)
    except ValueError as error:
        print(f"resnet.train: {error}", file=sys.stderr)
        return 1
    if world > 1:
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        train(options, rank, world, device)
    except (ValueError, OSError) as error:
        print(f"resnet.train: {error}", file=sys.stderr)
        return 1
    finally:
        if world > 1:
            # The parallel model is a cycle, and holds the group: its threads would outlive it, let go of tensors
            # while the interpreter ends, and abort the process.
            gc.collect()
            dist.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main())
