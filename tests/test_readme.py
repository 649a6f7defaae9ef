"""The README's example, run as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def blocks() -> dict[str, str]:
    """The code block after each line that ends in `name`:."""
    found = re.findall(r"^`(\S+)`:\n\n```\w+\n(.*?)```", README.read_text(), re.M | re.S)
    return dict(found)


def test_the_example_prints_what_it_says(tmp_path):
    files = blocks()
    assert set(files) == {"my_lib.h", "my_lib.c", "build.py", "use.py"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    shown = re.findall(r"```text\n(.*?)```", README.read_text(), re.S)
    built = subprocess.run(
        [sys.executable, "build.py"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    numbers = re.compile(r"\d+\.\d+ s")
    assert sorted(numbers.sub("N s", built.stdout).splitlines()) == sorted(
        numbers.sub("N s", shown[0]).splitlines()
    )
    used = subprocess.run(
        [sys.executable, "use.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    printed, error = shown[1].split("TypeError", 1)
    assert used.stdout == printed
    assert used.stderr.endswith("TypeError" + error)
