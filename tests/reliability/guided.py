"""Hostile text guided by coverage: the readers of fuzz.py under atheris (libFuzzer)."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.reliability import children

# The modules whose branches guide the mutations.
READERS = [
    f"ffi_ext.headers.{name}"
    for name in ("ctext", "statements", "header_constants", "declarations", "definitions")
]
READERS += ["ffi_ext.compilers.compile_errors", "ffi_ext.compilers.compile_hints", "ffi_ext.elf"]
READERS += ["resnet.weights", "resnet.yaml_file", "data.files", "yaml", "pickle"]
LONGEST = 4096  # bytes; the mutator of fuzz.py makes the long ones


def one(number: int, seconds: int) -> None:
    """Feeds a reader until the time is over or an input does harm; ends the process."""
    import atheris

    with atheris.instrument_imports(include=READERS):
        from tests.reliability import fuzz

        name, reader = list(fuzz.readers().items())[number]
    seeds = Path(tempfile.mkdtemp(prefix="guided-"))
    for index, seed in enumerate(reader.seeds):
        (seeds / str(index)).write_bytes(seed[:LONGEST])

    def feed(data: bytes) -> None:
        with contextlib.suppress(*reader.told):
            reader.feed(data)
        assert not Path(fuzz.TRAP).exists(), f"{name}: code of the input ran"

    limits = [f"-max_total_time={seconds}", f"-timeout={fuzz.SECONDS}", f"-max_len={LONGEST}"]
    limits += ["-rss_limit_mb=4096", "-print_final_stats=1", f"-artifact_prefix={seeds}/found-"]
    atheris.Setup([name, *limits, str(seeds)], feed)
    atheris.Fuzz()


def main(seconds: int) -> int:
    from tests.reliability import fuzz

    inputs, branches, failures = {}, {}, []
    for number, name in enumerate(fuzz.readers()):
        command = [sys.executable, "-m", "tests.reliability.guided", "--inside", str(number + 1)]
        command += ["--seconds", str(seconds)]
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False
        )
        units = re.search(r"stat::number_of_executed_units:\s*(\d+)", done.stderr)
        covered = re.findall(r"cov: (\d+)", done.stderr)
        inputs[name] = int(units.group(1)) if units else 0
        branches[name] = int(covered[-1]) if covered else 0
        if done.returncode or not units:
            failures.append(f"{name}: {done.stdout[-1000:]} {done.stderr[-1500:]}")
    report = {"seconds_each": seconds, "inputs": inputs, "covered": branches}
    return children.finish("guided", report, failures)


if __name__ == "__main__":
    options = children.arguments(__doc__ or "", seconds=60, inside=0)
    if options.inside:
        one(options.inside - 1, options.seconds)
    else:
        sys.exit(main(options.seconds))
