"""Training: digits, exact resumption, two processes, and what is refused; all in short form."""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("_ext.kernels", reason="run `python build_ffi.py` first")
pytest.importorskip("sklearn", reason="needs scikit-learn")

from resnet.train import Digits, Settings, Trainer, load_digits, main, shifted  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
SHORT = Settings(epochs=2, width=4)


@pytest.fixture(autouse=True)
def one_thread():
    """Threads do not pay for images of 8 x 8 pixels."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def digits():
    return load_digits()


def part(digits, count=256):
    return Digits(digits.train_images[:count], digits.train_labels[:count],
                  digits.test_images, digits.test_labels)  # fmt: skip


def test_split_of_the_digits(digits):
    assert digits.train_images.shape == (1437, 1, 8, 8) and len(digits.test_labels) == 360
    # each digit has its part of 1,797 in both: 10% each, but for rounding
    for labels in (digits.train_labels, digits.test_labels):
        shares = torch.bincount(labels) / len(labels)
        assert (shares - 0.1).abs().max() < 0.005
    rows = torch.cat([digits.train_images, digits.test_images]).flatten(1)
    assert abs(rows.mean()) < 0.01 and abs(rows.std() - 1) < 0.01
    again = load_digits()
    assert torch.equal(again.test_images, digits.test_images)
    assert not torch.equal(load_digits(1).test_labels, digits.test_labels)


def test_images_are_moved_by_one_pixel(digits):
    images = digits.train_images[:50]
    moved = shifted(images, torch.Generator().manual_seed(0))
    seen = set()
    for image, result in zip(images[:, 0], moved[:, 0], strict=True):
        padded = torch.full((10, 10), float(images.min()))
        padded[1:9, 1:9] = image
        fits = {(y, x) for y in range(3) for x in range(3)
                if torch.equal(padded[y : y + 8, x : x + 8], result)}  # fmt: skip
        assert fits
        seen |= fits
    assert len(seen) == 9


def test_it_learns(digits):
    """Six epochs tell nearly all digits; the whole run of 25 passes 98%."""
    trainer = Trainer(Settings(epochs=6), digits)
    losses = [trainer.run_epoch() for _ in range(6)]
    assert losses[-1] < losses[0] / 4
    assert trainer.accuracy() > 0.93


def test_resuming_is_exact(digits, tmp_path):
    whole = Trainer(SHORT, part(digits))
    whole.run_epoch()
    whole.save(tmp_path / "first.pth")
    whole.run_epoch()

    resumed = Trainer(SHORT, part(digits))
    resumed.resume(tmp_path / "first.pth")
    assert resumed.epoch == 1
    resumed.run_epoch()
    for (name, a), b in zip(
        whole.model.state_dict().items(), resumed.model.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name
    a, b = whole.optimizer.state_dict(), resumed.optimizer.state_dict()
    assert a["param_groups"] == b["param_groups"]
    for key, state in a["state"].items():
        assert torch.equal(state["momentum_buffer"], b["state"][key]["momentum_buffer"])
    assert [path.name for path in tmp_path.iterdir()] == ["first.pth"]

    with pytest.raises(ValueError, match="same settings, got learning_rate 0.1 there, 0.2 here"):
        Trainer(Settings(epochs=2, width=4, learning_rate=0.2), part(digits)).resume(
            tmp_path / "first.pth"
        )


def test_a_link_leads_to_the_checkpoint(digits, tmp_path):
    (tmp_path / "latest.pth").symlink_to("runs/1.pth")
    Trainer(SHORT, part(digits)).save(tmp_path / "latest.pth")
    assert (tmp_path / "latest.pth").is_symlink()
    Trainer(SHORT, part(digits)).resume(tmp_path / "runs" / "1.pth")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "expected a checkpoint that torch.save wrote, but torch.load gave EOFError"),
        (b"hello", "expected a checkpoint that torch.save wrote"),
        ({"conv1.weight": torch.ones(1)}, "with its settings, got conv1.weight"),
        ([1], "with its settings, got list"),
        (lambda c: c["settings"].pop("width"), "the same settings, got width None there"),
        (lambda c: c.pop("world"), "the same settings, got world None there"),
        (lambda c: c["model"].pop("fc.bias"), "expected a whole checkpoint .*fc.bias"),
        (lambda c: c.pop("optimizer"), "expected a whole checkpoint .*'optimizer'"),
        (lambda c: c.update(epoch=None), "expected a whole checkpoint"),
    ],
)
def test_what_is_no_checkpoint(digits, tmp_path, content, text):
    path = tmp_path / "a.pth"
    trainer = Trainer(SHORT, part(digits))
    if callable(content):
        trainer.save(path)
        saved = torch.load(path, weights_only=True)
        content(saved)
        content = saved
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(ValueError, match=rf"a\.pth: {text}" if text[0] == "e" else text):
        trainer.resume(path)


def test_a_checkpoint_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").touch()
    for where in (tmp_path / "file" / "a.pth", tmp_path / "file" / "b" / "a.pth"):
        assert main(["--epochs", "1", "--checkpoint", str(where)]) == 1
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for where in (tmp_path, pipe):
        with pytest.raises(SystemExit, match="2"):
            main(["--epochs", "1", "--width", "2", "--checkpoint", str(where)])
    assert pipe.is_fifo()
    pipe.unlink()
    shown = capsys.readouterr()
    assert "expected a file, got the directory" in shown.err
    assert "expected a file, got the device or pipe" in shown.err
    assert "epoch 1" not in shown.out + shown.err  # it is told before an epoch is lost

    # a disk that is full after 4,096 bytes, more or less
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        assert main(["--epochs", "1", "--width", "2", "--checkpoint", str(tmp_path / "a.pth")]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert "File too large" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_run_that_diverges_ends_and_keeps_its_checkpoint(tmp_path, capsys, monkeypatch):
    arguments = ["--epochs", "2", "--width", "2", "--checkpoint", str(tmp_path / "a.pth")]
    assert main([*arguments, "--stop-after", "1"]) == 0
    kept = (tmp_path / "a.pth").read_bytes()
    spoilt = lambda images, generator: images * torch.nan  # noqa: E731
    monkeypatch.setattr("resnet.train.shifted", spoilt)
    capsys.readouterr()
    assert main([*arguments, "--resume"]) == 1
    shown = capsys.readouterr()
    assert "expected a finite loss, got nan in epoch 2" in shown.err and "epoch 2" not in shown.out
    assert (tmp_path / "a.pth").read_bytes() == kept


@pytest.mark.parametrize(
    "wrong",
    [
        "--epochs=0",
        "--width=0",
        "--learning-rate=nan",
        "--learning-rate=inf",
        "--momentum=nan",
        "--momentum=0.0",
        "--weight-decay=nan",
        "--weight-decay=-1.0",
        "--seed=-1",
        "--seed=4294967296",
    ],
)
def test_settings_that_train_nothing(wrong, capsys):
    assert main([wrong]) == 1
    option, _, value = wrong.partition("=")
    name = option.strip("-").replace("-", "_")
    error = capsys.readouterr().err
    assert f"resnet.train: {name} must be " in error and error.endswith(f", got {value}\n")


@pytest.mark.parametrize(
    ("name", "value"),
    [("WORLD_SIZE", "abc"), ("WORLD_SIZE", "0"), ("RANK", "-1"), ("LOCAL_RANK", "")],
)
def test_processes_that_cannot_be(name, value, monkeypatch, capsys):
    monkeypatch.setenv(name, value)
    assert main([]) == 1
    error = capsys.readouterr().err
    assert (
        f"resnet.train: {name} must be a whole number of at least" in error
        and f"got {value!r}" in error
    )


def test_command_line(tmp_path, capsys):
    checkpoint = tmp_path / "new" / "digits.pth"
    short = ["--epochs", "2", "--width", "2", "--checkpoint", str(checkpoint)]
    assert main([*short, "--stop-after", "1"]) == 0
    assert torch.load(checkpoint, weights_only=True)["epoch"] == 1
    assert main([*short, "--resume"]) == 0
    printed = capsys.readouterr().out
    assert "1437 digits to train, 360 to test" in printed and "after 2 epochs" in printed
    assert main([*short, "--resume", "--seed", "3"]) == 1
    assert "got seed 0 there, 3 here" in capsys.readouterr().err
    assert main(["--batch-size", "1"]) == 1
    assert "batch_size must be a multiple of the 1 processes" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--resume"])
    assert "--resume needs --checkpoint FILE" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--stop-after", "-1"])
    assert "--stop-after must be at least 0, got -1" in capsys.readouterr().err


def test_more_processes_than_gpus(monkeypatch, capsys):
    """NCCL's own words are of an invalid device ordinal, or of a duplicate GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name, number in (("WORLD_SIZE", "2"), ("RANK", "1"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, number)
    assert main([]) == 1
    said = capsys.readouterr().err
    assert "expected a GPU for each process, got process 1 (from 0 on) and 1 GPU;" in said
    assert "--nproc-per-node 1" in said


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_two_processes_learn_the_same(digits):
    """The first epoch's loss differs by batch statistics over 32 instead of 64 images only."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--master-port", str(free_port()), "-m", "resnet.train"]
    command += ["--epochs", str(SHORT.epochs), "--width", str(SHORT.width)]
    # Two processes cannot share a GPU.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    run = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240
    )
    assert run.returncode == 0, run.stderr
    assert "2 processes: test accuracy" in run.stdout
    loss = float(re.search(r"epoch 1: loss ([\d.]+)", run.stdout)[1])
    alone = Trainer(SHORT, digits).run_epoch()
    assert abs(loss - alone) < 0.1 * alone
