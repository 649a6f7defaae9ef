"""Hostile text: mutated headers, compiler logs, ELF files, C texts, pickles, configurations and images."""

from __future__ import annotations

import io
import os
import pickle
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ffi_ext import elf
from ffi_ext.compilers import commands, compile_errors
from ffi_ext.errors import BuildError
from ffi_ext.headers import declarations, definitions, preprocess, preprocessed
from tests.reliability import children

REPOSITORY = Path(__file__).parents[2]
SECONDS = 10  # one input may take; the longest are some 20 kB
MEMORY = 2 << 30  # bytes that reading them may add
LARGEST = 20_000  # characters
TRAP = "owned-by-the-fuzzer"


@dataclass(frozen=True)
class Reader:
    """What is fed, the inputs that mutations start from, and the exceptions that it may raise."""

    feed: Callable[[bytes], Any]
    seeds: list[bytes]
    told: tuple[type[BaseException], ...]


class NoCompiler(preprocess.Reader):
    """Directives go through the compiler, whose work this is not."""

    def __call__(self, headers: Sequence[Path]) -> str:
        return headers[0].read_text(errors="replace")

    def may_change(self, text: str) -> bool:
        return False

    def values(self, headers: Any, expressions: Any) -> None:
        return None

    def compiling(self, kind: Any, includes: Any, trials: Any, texts: Any) -> set[int]:
        return set()


def _read_header(data: bytes) -> None:
    import cffi

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fuzz.h"
        path.write_bytes(data)
        declarations.read((path,), NoCompiler({}), cffi.FFI())


def _split_preprocessed(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    preprocessed.split(text, {Path("fuzz.h"): text.split("\n")})


def _read_c_text(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    asking = definitions.asking_for_rows(text)
    assert asking.count("\n") == text.count("\n")
    definitions.exported(text, answer=asking)


def _read_log(data: bytes) -> None:
    error = compile_errors.explain("compiling x.c", data.decode("utf-8", "replace"))
    assert isinstance(error, BuildError)


def _on_a_file(read: Callable[[Path], Any], name: str) -> Callable[[bytes], None]:
    def feed(data: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_bytes(data)
            read(path)

    return feed


def _headers() -> list[bytes]:
    texts = [p.read_bytes() for p in sorted(REPOSITORY.glob("include/*.h"))]
    texts.append(
        b"#define N 3\n#define M (N+1)\ntypedef struct { int a[N]; double b; } pair;\n/* doc */\n"
        b'extern "C" {\nint f(const THFloatTensor *t, int (*callback)(int), ...);\n}\n'
        b"enum e { A, B = 2 };\nstatic const int K = 4;\nextern int global;\n"
        b'# 1 "a.h" 1\nstatic inline int g(void) { return 1; }\n__attribute__((unused)) void h(void);\n'
    )
    return texts


_LOG = b"""src/a.c: In function 'f':
src/a.c:12:3: error: unknown type name 'bool'
   12 |   bool x;
/usr/bin/ld: cannot find -lfoo: No such file or directory
collect2: error: ld returned 1 exit status
a.cu(7): error: identifier "x" is undefined
fatal error: TH/TF.h: No such file or directory
"""


class _Runs:
    """A pickle that would run code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (TRAP, "w"))


def _pickles() -> list[bytes]:
    import numpy as np

    blobs = {"conv1_w": np.ones((2, 3), np.float32), "res_conv1_bn_s": np.zeros(2)}
    values: list[Any] = [
        {"blobs": blobs},
        {"model": blobs},
        blobs,
        _Runs(),
        {"blobs": {"x": _Runs()}},
    ]
    return [pickle.dumps(v, protocol=p) for v in values for p in (0, 2, 4)]


def _images() -> list[bytes]:
    import numpy as np
    from PIL import Image

    pixels = Image.fromarray(np.arange(12 * 9 * 3, dtype=np.uint8).reshape(12, 9, 3))
    made = []
    for format_ in ("JPEG", "PNG", "BMP", "PPM"):
        out = io.BytesIO()
        pixels.save(out, format_)
        made.append(out.getvalue())
    return made


def readers() -> dict[str, Reader]:
    """The readers of this repository; those of the application where it has them."""
    binary = next(Path(elf.__file__).parent.glob("_runtime*.so")).read_bytes()
    # A library of a few kilobytes, of which mutations hit something.
    small = _small_library() or binary[:LARGEST]
    unreadable = (BuildError, OSError, UnicodeError)
    found = {
        "header": Reader(_read_header, _headers(), unreadable),
        "preprocessed header": Reader(_split_preprocessed, _headers(), unreadable),
        "compiler log": Reader(_read_log, [_LOG, _LOG * 30], ()),
        "ELF symbols": Reader(_on_a_file(elf.symbols, "x.so"), [small], (elf.ElfError,)),
        "ELF libraries": Reader(_on_a_file(elf.needed, "x.so"), [small], (elf.ElfError,)),
        "C text": Reader(
            _read_c_text,
            [p.read_bytes()[:LARGEST] for p in sorted(REPOSITORY.glob("src/*.c"))[:4]],
            (ValueError,),
        ),
    }
    found |= _application()
    return found


def _application() -> dict[str, Reader]:
    import torch

    from data.files import read_rgb
    from resnet.weights import read_weights
    from resnet.yaml_file import read_yaml

    saved = io.BytesIO()
    torch.save({"model": {"conv1.weight": torch.ones(2, 3)}}, saved)
    configs = [p.read_bytes() for p in sorted(REPOSITORY.glob("resnet/**/*.yaml"))]
    configs.append(b"MODEL:\n  WEIGHT: 'x.pkl'\n  RESNETS: {NUM_GROUPS: 1, TRUE: [1, 2.5, null]}\n")
    configs.append(
        b"a: &x [1]\nb: *x\nc: !!python/object/apply:os.system ['touch " + TRAP.encode() + b"']\n"
    )
    told = (ValueError,)
    return {
        "Caffe2 weights": Reader(_on_a_file(read_weights, "w.pkl"), _pickles(), told),
        "torch weights": Reader(_on_a_file(read_weights, "w.pth"), [saved.getvalue()], told),
        "configuration": Reader(_on_a_file(read_yaml, "c.yaml"), configs, told),
        "image": Reader(_on_a_file(read_rgb, "i.jpg"), _images(), told),
    }


def _small_library() -> bytes:
    from ffi_ext.compilers import toolchain

    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "s.c", Path(folder) / "s.so"
        source.write_text("#include <math.h>\ndouble f(double x) { return cos(x); }\n")
        command = [*toolchain.c_compiler().command, "-shared", "-fPIC", "-o", str(out), str(source)]
        status, _ = commands.run([*command, "-lm", "-s"])
        return out.read_bytes() if status == 0 else b""


PIECES = [b"/*", b"*/", b"//", b'"', b"'", b"\\", b"\n", b"(", b")", b"{", b"}", b"[", b"]", b";"]
PIECES += [
    b"#",
    b"# 1 ",
    b"extern",
    b"typedef",
    b"struct",
    b"enum",
    b"static",
    b"const",
    b"*",
    b",",
]
PIECES += [
    b"__attribute__((",
    b"=",
    b"...",
    b"\xff",
    b"\0",
    b"\r",
    b"\xc3\xa9",
    b": error: ",
    b"ld",
]
PIECES += [b"No such file or directory", b"a" * 300, b"1" * 300, b" " * 300, b"\x7fELF", b"<", b">"]


def mutated(seeds: list[bytes], r: random.Random) -> bytes:
    """A seed with a few changes; now and then much of the same, for what takes quadratic time."""
    data = bytearray(r.choice(seeds))
    for _ in range(r.choice([1, 1, 2, 4, 16, 64])):
        at = r.randrange(len(data) + 1)
        end = min(len(data), at + r.choice([0, 1, 2, 8, 100]))
        kind = r.random()
        if kind < 0.3:
            data[at:end] = r.choice(PIECES)
        elif kind < 0.5:
            data[at:end] = r.randbytes(end - at)
        elif kind < 0.6:
            data[at:end] = b""
        elif kind < 0.75 and at < len(data):
            data[at] ^= 1 << r.randrange(8)
        elif kind < 0.85 and at + 8 <= len(data):
            number = r.choice([0, 1, 0xFF, 0xFFFF, 1 << 31, (1 << 63) - 1, (1 << 64) - 1])
            data[at : at + 8] = number.to_bytes(8, "little")
        elif kind < 0.95:
            other = r.choice(seeds)
            start = r.randrange(len(other) + 1)
            data[at:at] = other[start : start + r.choice([1, 10, 200])]
        else:
            data[at:at] = r.choice(PIECES) * r.choice([10, 100, 2000])
    return bytes(data[:LARGEST])


class _TooLong(BaseException):
    pass


def _ring(*_: Any) -> None:
    raise _TooLong


def fuzz(name: str, seconds: float, seed: int, first: int) -> tuple[int, str]:
    """Feeds a reader for a time. Returns the number of inputs, and the first that did harm."""
    reader = readers()[name]
    resource.setrlimit(resource.RLIMIT_AS, (children.address_space() + MEMORY,) * 2)
    signal.signal(signal.SIGALRM, _ring)
    directory = Path(tempfile.mkdtemp(prefix="fuzz-"))
    os.chdir(directory)
    sys.setrecursionlimit(1000)
    quiet = open(os.devnull, "w")  # noqa: SIM115
    sys.stdout = quiet
    until = time.monotonic() + seconds
    count = first
    while time.monotonic() < until:
        data = mutated(reader.seeds, random.Random(f"{name}-{seed}-{count}"))
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            reader.feed(data)
        except reader.told:
            pass  # it said what is wrong
        except BaseException as error:
            signal.setitimer(signal.ITIMER_REAL, 0)
            Path("input").write_bytes(data)
            what = f"more than {SECONDS} s" if isinstance(error, _TooLong) else repr(error)[:200]
            return count - first, f"{name}, input {count} ({Path('input').absolute()}): {what}"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        count += 1
        if Path(TRAP).exists():
            return count - first, f"{name}, input {count}: code of the input ran"
    shutil.rmtree(directory)
    return count - first, ""


def rounds(names: list[str], seconds: float, seed: int) -> Iterator[tuple[str, int, list[str]]]:
    for name in names:
        failures, count = [], 0
        until = time.monotonic() + seconds
        while time.monotonic() < until and len(failures) < 3:
            left = until - time.monotonic()
            outcome = children.run(lambda n=name, s=left, c=count: fuzz(n, s, seed, c), left + 60)  # type: ignore[misc]
            if not outcome.fine:
                failures.append(f"{name} after input {count}: {outcome}")
                break
            done, failure = outcome.value
            count += done
            if failure:
                failures.append(failure)
                count += 1
        yield name, count, failures


def main(seconds: float, seed: int) -> int:
    inputs, failures = {}, []
    for name, count, failed in rounds(list(readers()), seconds, seed):
        inputs[name] = count
        failures += failed
    return children.finish("fuzz", {"seconds_each": seconds, "inputs": inputs}, failures)


if __name__ == "__main__":
    options = children.arguments(__doc__ or "", seconds=60.0, seed=1)
    sys.exit(main(options.seconds, options.seed))
