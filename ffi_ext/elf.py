"""The dynamic symbols of an ELF file: what a binary defines, and what it leaves to others."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

_DYNSYM = 11  # SHT_DYNSYM
_WEAK = 2  # STB_WEAK


@dataclass(frozen=True)
class Symbols:
    """Names of dynamic symbols. `undefined` has no weak ones: those may stay undefined."""

    defined: frozenset[str]
    undefined: frozenset[str]


def symbols(path: Path) -> Symbols | None:
    """Reads a 64-bit little-endian ELF file. None for anything else, such as Mach-O."""
    data = path.read_bytes()
    if data[:6] != b"\x7fELF\x02\x01":
        return None
    (sections_at,) = struct.unpack_from("<Q", data, 0x28)
    size, count = struct.unpack_from("<HH", data, 0x3A)
    headers = [
        struct.unpack_from("<IIQQQQIIQQ", data, sections_at + index * size)
        for index in range(count)
    ]
    defined, undefined = set(), set()
    for _, kind, _, _, offset, length, link, _, _, entry in headers:
        if kind != _DYNSYM:
            continue
        names_at = headers[link][4]
        for at in range(offset, offset + length, entry):
            name_at, info, _, section = struct.unpack_from("<IBBH", data, at)
            start = names_at + name_at
            name = data[start : data.index(b"\0", start)].decode("utf-8", "replace")
            if section:
                defined.add(name)
            elif name and info >> 4 != _WEAK:
                undefined.add(name)
    return Symbols(frozenset(defined), frozenset(undefined))


ORIGIN = ".ffi_ext"  # the section in which extensions keep what they were built from


def section(path: Path, wanted: str) -> bytes | None:
    """The content of a section of a 64-bit little-endian ELF file; None if there is none."""
    data = path.read_bytes()
    if data[:6] != b"\x7fELF\x02\x01":
        return None
    (sections_at,) = struct.unpack_from("<Q", data, 0x28)
    size, count, names_index = struct.unpack_from("<HHH", data, 0x3A)
    headers = [
        struct.unpack_from("<IIQQQQ", data, sections_at + index * size) for index in range(count)
    ]
    if not headers:
        return None
    names_at = headers[names_index][4]
    for name_at, _, _, _, offset, length in headers:
        start = names_at + name_at
        if data[start : data.index(b"\0", start)] == wanted.encode():
            return data[offset : offset + length]
    return None


_DYNAMIC = 6  # SHT_DYNAMIC
_NEEDED = 1  # DT_NEEDED


def needed(path: Path) -> list[str]:
    """The libraries that an ELF file names as needed."""
    data = path.read_bytes()
    if data[:6] != b"\x7fELF\x02\x01":
        return []
    (sections_at,) = struct.unpack_from("<Q", data, 0x28)
    size, count = struct.unpack_from("<HH", data, 0x3A)
    headers = [
        struct.unpack_from("<IIQQQQIIQQ", data, sections_at + index * size)
        for index in range(count)
    ]
    names = []
    for _, kind, _, _, offset, length, link, *_ in headers:
        if kind == _DYNAMIC:
            for at in range(offset, offset + length, 16):
                tag, value = struct.unpack_from("<QQ", data, at)
                if tag == _NEEDED:
                    start = headers[link][4] + value
                    names.append(data[start : data.index(b"\0", start)].decode("utf-8", "replace"))
    return names
