"""Whether the kernel was asked for huge pages of memory."""

from __future__ import annotations

import re
from pathlib import Path

import pytest


def asked_for(address: int) -> bool:
    """Of the mapping that holds the address; skips the test where there are no such pages."""
    if not Path("/sys/kernel/mm/transparent_hugepage").exists():
        pytest.skip("this system has no transparent huge pages")
    flags: list[str] = []
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if bounds := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            here = int(bounds[1], 16) <= address < int(bounds[2], 16)
        elif here and line.startswith("VmFlags:"):
            flags = line.split()
    return "hg" in flags
