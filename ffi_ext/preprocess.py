"""Headers through the C compiler's preprocessor, and its answers kept from one build to the next."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ffi_ext import cache, compile_errors, toolchain
from ffi_ext.errors import BuildError


class Reader:
    """Reads headers as the generated C is compiled, with the options of create_extension()."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self.files: set[str] = set()  # that were read

    def __call__(self, header: Path) -> str:
        """`$CC -E -dD` of a header."""
        text, files = _text((*self.command, toolchain.safe_path(header)), self.identity, header)
        self.files |= files
        return text

    @property
    def identity(self) -> tuple[str, ...]:
        """The compiler's."""
        return toolchain.c_compiler().identity

    @property
    def command(self) -> tuple[str, ...]:
        """The command that reads a header, which comes last."""
        return (*toolchain.c_compiler().command, "-E", "-dD", *self._flags())

    def _flags(self) -> list[str]:
        options = self._options
        language = "cxx" if options.get("language") == "c++" else "cc"
        given = toolchain.environment_flags("CXXFLAGS" if language == "cxx" else "CFLAGS")
        flags = toolchain.c_dialect() + toolchain.preprocessor_words(given)
        flags += toolchain.environment_flags("CPPFLAGS")
        flags += toolchain.preprocessor_flags(
            options["include_dirs"],
            options.get("define_macros", ()),
            options.get("undef_macros", ()),
        )
        return flags + toolchain.preprocessor_words(
            options.get("extra_compile_args", {}).get(language, ())
        )

    def values(self, headers: Sequence[Path], expressions: Sequence[str]) -> list[int] | None:
        """What the compiler computes of constant expressions behind these headers; None if it cannot."""
        lines = [f'#include "{header}"' for header in headers]
        for index, expression in enumerate(expressions):
            lines.append(f"extern const unsigned long long ffi_ext_value_{index};")
            lines.append(f"const unsigned long long ffi_ext_value_{index} = ({expression});")
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "values.c")
            source.write_text("\n".join([*lines, ""]))
            command = [*toolchain.c_compiler().command, *self._flags(), "-w", "-S", "-o", "-"]
            status, text = toolchain.run([*command, str(source)], apart=True)
        number = r"ffi_ext_value_(\d+):\s*\.(?:zero\s+8|(?:quad|xword|8byte)\s+(\d+))"
        found = dict(re.findall(number, text))
        if status or len(found) != len(expressions):
            return None
        return [int(found[str(index)] or 0) for index in range(len(expressions))]


def _text(
    command: tuple[str, ...], identity: tuple[str, ...], header: Path
) -> tuple[str, set[str]]:
    """The compiler's answer, or the one kept from before if no file behind it changed; and the names of these."""
    root = cache.root()
    key = cache.digest(json.dumps([command, identity]).encode())[:32]
    kept = root / "headers" / f"{key}.json" if root else None
    if kept:
        record = cache.load_json(kept)
        files = record.get("files", {})
        if files and all(cache.file_digest(path) == seen for path, seen in files.items()):
            return str(record["text"]), {*files}
    started = cache.clock()
    status, text = toolchain.run(command, apart=True)
    if status:
        raise compile_errors.explain(f"reading the header {header}", text)
    names = {str(header), *_included(text)}
    if kept and not any(cache.may_have_changed(name, started) for name in names):
        record = {"text": text, "files": {name: cache.file_digest(name) for name in names}}
        try:
            kept.parent.mkdir(exist_ok=True, mode=0o700)
            cache.replace(kept, json.dumps(record).encode())
        except (OSError, BuildError):
            pass  # a full cache disk slows the next build, no more
    return text, names


def _included(text: str) -> set[str]:
    """The files named by line markers."""
    found = re.findall(r'^# \d+ "((?:[^"\\]|\\.)*)"', text, re.M)
    return {name for name in found if not name.startswith("<") and os.path.isfile(name)}
