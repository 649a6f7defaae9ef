"""A long run of building, importing and calling: memory, file descriptors and latency must stay flat."""

from __future__ import annotations

import gc
import os
import random
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import torch

from ffi_ext import BuildError, NativeError, create_extension, load_inline
from tests.reliability import attack, children, prototypes, ways

WARM_UP = 0.2  # of the time, before the first measurement


def build_step(home: Path, number: int) -> None:
    """A project whose sources change: built, failed, up to date."""
    (home / "soak.h").write_text("int soak(void);\n")
    broken = number % 5 == 4
    text = (
        "int soak(void) { return undeclared; }\n"
        if broken
        else f"int soak(void) {{ return {number}; }}\n"
    )
    (home / "soak.c").write_text(text)

    def build() -> None:
        create_extension(
            "soaked.soak", ["soak.h"], ["soak.c"], relative_to=str(home / "b.py"), verbose=False
        ).build()

    try:
        build()
        assert not broken, "a source with an error was built"
        build()
    except BuildError:
        assert broken


def call_step(under: attack.Attack, calls: int) -> float:
    """Right and wrong calls. Returns the microseconds of one of torch's, as the measure, and of ours."""
    for _ in range(calls):
        under.once()
    started = time.process_time()
    for _ in range(2000):
        under.module.attack_last()
    return (time.process_time() - started) / 2000 * 1e6


def churn_step(module: Any) -> None:
    """Results, resizes, kept tensors, errors."""
    for n in (1, 100, 10_000):
        t = module.fresh(n)
        assert t.shape == (n,) and t.sum() == 3 * n
        module.grow(t, 2 * n)
        assert t.shape == (2 * n,) and t.sum() == 2 * n
        module.keep(t)
    module.let_go()
    try:
        module.fail()
    except NativeError:
        return
    raise AssertionError("an error of C was lost")


def main(minutes: int, seconds: int) -> int:
    home = Path(tempfile.mkdtemp(prefix="soak-"))
    os.environ["FFI_EXT_CACHE"] = str(home / "cache")
    r = random.Random(1)
    made = prototypes.functions(60, r)
    under = attack.Attack(attack.build(made, home), made, r)
    churned = load_inline("soak_churn", ways.SOURCE, ways.HEADER)
    length = minutes * 60 + seconds
    started = time.monotonic()
    rounds, samples, failures = 0, [], []
    try:
        while (elapsed := time.monotonic() - started) < length:
            rounds += 1
            build_step(home, rounds)
            # A few texts in turn: an imported module stays loaded, as every Python module does.
            text = f"int number(void) {{ return {rounds % 5}; }}"
            if rounds < 20:
                assert load_inline("soak_inline", text).number() == rounds % 5
            latency = call_step(under, 2000)
            with ThreadPoolExecutor(1) as ending:  # a thread that ends leaves nothing behind, too
                ending.submit(churn_step, churned).result()
            gc.collect()
            if elapsed > WARM_UP * length:
                samples.append((children.resident_bytes(), children.open_files(), latency))
    except BaseException as error:
        failures.append(f"round {rounds}: {type(error).__name__}: {error}")
    finally:
        shutil.rmtree(home, ignore_errors=True)
    report: dict[str, Any] = {"minutes": round((time.monotonic() - started) / 60, 1)}
    report |= {"rounds": rounds, "calls": sum(under.counts.values()), "torch": torch.__version__}
    if len(samples) >= 10:
        fifth = len(samples) // 5
        first, last = samples[:fifth], samples[-fifth:]
        for index, name in enumerate(("megabytes", "files", "call_us")):
            scale = 1e-6 if index == 0 else 1
            report[name] = [
                round(median(s[index] for s in part) * scale, 3) for part in (first, last)
            ]
        grown = report["megabytes"][1] - report["megabytes"][0]
        if grown > 4 + 0.001 * rounds:
            failures.append(f"memory grew by {grown:.1f} MB")
        if report["files"][0] != report["files"][1]:
            failures.append(f"file descriptors: {report['files']}")
        if report["call_us"][1] > 2 * report["call_us"][0]:
            failures.append(f"a call's microseconds: {report['call_us']}")
    elif not failures:
        failures.append(f"{len(samples)} samples are too few: run it longer")
    return children.finish("soak", report, failures)


if __name__ == "__main__":
    options = children.arguments(__doc__ or "", minutes=60, seconds=0)
    sys.exit(main(options.minutes, options.seconds))
