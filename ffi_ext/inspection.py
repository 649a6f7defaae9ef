"""`ffi-ext inspect`: what a built module has: functions, prototypes, dependencies, ABI."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from ffi_ext import elf, types


def describe(folder: Path) -> dict[str, Any]:
    """Reads a generated package's directory without importing it.

    Raises:
        FileNotFoundError: It holds no binary of a generated module.
    """
    binaries = sorted(p for p in folder.glob("_*.*") if p.suffix in (".so", ".pyd"))
    if not binaries:
        raise FileNotFoundError(
            f"{folder} holds no binary _<name>.so: name the directory of a generated package, such as _ext/my_lib"
        )
    binary = binaries[0]
    symbols = elf.symbols(binary)
    stub = folder / "__init__.pyi"
    text = stub.read_text(encoding="utf-8") if stub.exists() else ""
    undefined = symbols.undefined if symbols else frozenset()
    return {
        "binary": str(binary),
        "bytes": binary.stat().st_size,
        "ABI": "abi3: every Python from 3.10 on"
        if ".abi3." in binary.name
        else "one Python version",
        "libraries": elf.needed(binary),
        "TH functions": sorted(name for name in undefined if types.is_th_name(name)),
        "functions": [line for line in text.splitlines() if line.startswith("def ")],
    }


def main(folder: str, as_json: bool) -> int:
    """Prints it. Returns the exit code."""
    try:
        facts = describe(Path(folder))
    except FileNotFoundError as error:
        print(f"ffi-ext inspect: {error}", file=sys.stderr)
        return 2
    if as_json:
        print(json.dumps(facts, indent=2))
        return 0
    for name, value in facts.items():
        if isinstance(value, list):
            print(f"{name}:" + ("" if value else " none"))
            for line in value:
                print(f"  {line}")
        else:
            print(f"{name}: {value}")
    return 0
