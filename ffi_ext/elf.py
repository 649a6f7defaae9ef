"""The dynamic symbols of an ELF file: what a binary defines, and what it leaves to others."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path

_DYNSYM = 11  # SHT_DYNSYM
_WEAK = 2  # STB_WEAK
_DYNAMIC = 6  # SHT_DYNAMIC
_NEEDED = 1  # DT_NEEDED
_LONGEST = 1 << 16  # bytes of a name; C++ names of some thousand occur


@dataclass(frozen=True)
class Symbols:
    """Names of dynamic symbols. `undefined` has no weak ones: those may stay undefined."""

    defined: frozenset[str]
    undefined: frozenset[str]


class ElfError(ValueError):
    """An ELF file that is damaged, or cut short."""


class _File:
    """The sections of a 64-bit little-endian ELF file, each access checked."""

    def __init__(self, path: Path) -> None:
        self.path, self.data = path, path.read_bytes()
        self.is_elf = self.data[:6] == b"\x7fELF\x02\x01"

    def unpack(self, layout: str, at: int) -> tuple[int, ...]:
        try:
            return struct.unpack_from(layout, self.data, at)
        except (struct.error, OverflowError) as error:
            raise ElfError(f"{self.path} is damaged: it ends before byte {at}") from error

    def headers(self) -> list[tuple[int, ...]]:
        (at,) = self.unpack("<Q", 0x28)
        size, count = self.unpack("<HH", 0x3A)
        return [self.unpack("<IIQQQQIIQQ", at + index * size) for index in range(count)]

    def named_sections(self) -> list[tuple[str, int, int]]:
        """(name, offset, length) of each section."""
        headers = self.headers()
        (names,) = self.unpack("<H", 0x3E)
        if headers and names >= len(headers):
            raise ElfError(f"{self.path} is damaged: its sections have no names")
        return [(self.name(headers[names][4] + h[0]), h[4], h[5]) for h in headers]

    def sections(self, kind: int) -> list[tuple[int, int, int, int]]:
        """(offset, length, entry size, offset of its names) of the sections of a kind.

        There is one of each kind that is read here; more than a few are damage, and would be read
        for hours.
        """
        headers = self.headers()
        found = []
        for _, this, _, _, offset, length, link, _, _, entry in headers:
            if this == kind:
                if link >= len(headers) or offset + length > len(self.data):
                    raise ElfError(f"{self.path} is damaged: a section lies outside of it")
                found.append((offset, length, entry, headers[link][4]))
        if len(found) > 4:
            raise ElfError(f"{self.path} is damaged: {len(found)} sections of the same kind")
        return found

    def name(self, at: int) -> str:
        end = self.data.find(b"\0", at, at + _LONGEST)
        if end < 0:
            raise ElfError(f"{self.path} is damaged: a name without an end at byte {at}")
        return self.data[at:end].decode("utf-8", "replace")


def symbols(path: Path) -> Symbols | None:
    """Reads a 64-bit little-endian ELF file. None for anything else, such as Mach-O.

    Raises:
        ElfError: It begins as one, and is damaged.
    """
    file = _File(path)
    if not file.is_elf:
        return None
    defined, undefined = set(), set()
    for offset, length, entry, names_at in file.sections(_DYNSYM):
        for at in range(offset, offset + length, max(entry, 24)):
            name_at, info, _, section = file.unpack("<IBBH", at)
            name = file.name(names_at + name_at)
            if section:
                defined.add(name)
            elif name and info >> 4 != _WEAK:
                undefined.add(name)
    return Symbols(frozenset(defined), frozenset(undefined))


ORIGIN = ".ffi_ext"  # the section in which extensions keep what they were built from


def section(path: Path, wanted: str) -> bytes | None:
    """The content of a section of a 64-bit little-endian ELF file; None if there is none.

    Raises:
        ElfError: It begins as an ELF file, and is damaged.
    """
    file = _File(path)
    if not file.is_elf:
        return None
    for name, offset, length in file.named_sections():
        if name == wanted:
            return file.data[offset : offset + length]
    return None


def needed(path: Path) -> list[str]:
    """The libraries that an ELF file names as needed.

    Raises:
        ElfError: It begins as an ELF file, and is damaged.
    """
    file = _File(path)
    if not file.is_elf:
        return []
    names = []
    for offset, length, _, names_at in file.sections(_DYNAMIC):
        for at in range(offset, offset + length, 16):
            tag, value = file.unpack("<QQ", at)
            if tag == _NEEDED:
                names.append(file.name(names_at + value))
    return names


def has_name(compiled: bytes, pattern: bytes) -> bool:
    """Whether an object, a static or a shared library has a symbol whose whole name is like that.

    Read without its format: tables of symbols end each name with a null byte. Those of clang's -flto have nothing
    between names.
    """
    if compiled.startswith((b"\x7fELF", b"!<arch>")):
        pattern = rb"\0(?:" + pattern + rb")\0"
    return re.search(pattern, compiled) is not None
