"""The project of the fixture `project`: ext.lib of two sources, of which one includes a header."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ffi_ext import create_extension
from tests.processes import python


def write(folder: Path) -> None:
    """lib.h, one.c, two.c and value.h: one() is VALUE, which is 1, and two() is 2."""
    (folder / "lib.h").write_text("int one(void);\nint two(void);\n")
    (folder / "one.c").write_text('#include "value.h"\nint one(void) { return VALUE; }\n')
    (folder / "two.c").write_text("int two(void) { return 2; }\n")
    (folder / "value.h").write_text("#define VALUE 1\n")


def make(project: Path, **kwargs: Any) -> Any:
    """What create_extension() returns; keywords replace the project's own arguments."""
    kwargs = {"headers": ["lib.h"], "sources": ["one.c", "two.c"], "verbose": False} | kwargs
    return create_extension("ext.lib", relative_to=str(project / "build.py"), **kwargs)


def printed(project: Path, code: str) -> int:
    """The number that a Python in the project's folder prints."""
    done = python("-c", code, cwd=project)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def value(project: Path, name: str = "one") -> int:
    """What the installed binary computes; by ctypes, which spares the import of torch."""
    (binary,) = Path(project, "ext", "lib").glob("_lib.*so")
    return printed(project, f"import ctypes; print(ctypes.CDLL({str(binary)!r}).{name}())")


def litter(project: Path) -> list[Path]:
    """What a build has left behind."""
    return [p for p in project.rglob("*") if ".tmp" in p.name or p.name.startswith("tmp-")]
