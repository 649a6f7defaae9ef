"""Threads that make, keep, resize and drop records at once: what `make tsan` runs under ThreadSanitizer."""

from __future__ import annotations

import sys
import threading

import torch

from ffi_ext import NativeError, load_inline
from tests.reliability import children, oom


def work(lib: object, rounds: int, failures: list[str]) -> None:
    from contextlib import suppress

    module = lib  # type: ignore[assignment]
    try:
        for number in range(rounds):
            t = module.fresh(1 + number % 50)  # type: ignore[attr-defined]
            module.grow(t, 100)  # type: ignore[attr-defined]
            assert module.first(t) == 1.0  # type: ignore[attr-defined]
            row = module.same(torch.ones(3, 3))  # type: ignore[attr-defined]
            assert row.shape == (3,)
            with suppress(NativeError):
                module.fail()  # type: ignore[attr-defined]
    except Exception as error:
        failures.append(repr(error))


def main(threads: int, rounds: int) -> int:
    lib = load_inline("threads", oom.SOURCE.replace("#include <TH/TH.h>", ""), oom.HEADER)
    failures: list[str] = []
    running = [threading.Thread(target=work, args=(lib, rounds, failures)) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return children.finish("threads", {"threads": threads, "rounds": rounds}, failures)


if __name__ == "__main__":
    options = children.arguments(__doc__ or "", threads=8, rounds=300)
    sys.exit(main(options.threads, options.rounds))
