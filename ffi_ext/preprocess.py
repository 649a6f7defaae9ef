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

    def kinds(
        self, headers: Sequence[Path], names: Sequence[str], texts: Sequence[str]
    ) -> dict[str, str]:
        """Which of these macros are constants, and of which of Python's types: "int", "float" or "bytes".

        Args:
            texts: What the compiler gave of the headers: all that the answer depends on.
        """
        command = [*toolchain.c_compiler().command, *self._flags(), "-w", "-fsyntax-only"]
        command.append(_ALL_ERRORS[toolchain.c_compiler().is_gcc])
        key = cache.digest(json.dumps([command, self.identity, names, [*texts]]).encode())[:32]
        kept = _kept(key)
        record = cache.load_json(kept) if kept else {}
        if "kinds" not in record:
            includes = "".join(f'#include "{header}"\n' for header in headers)
            record = {"kinds": _asked(command, includes, names)}
            _keep(kept, record)
        return dict(record["kinds"])


# What compiles only if the macro {name} is a constant of that kind.
_TRIALS = {
    "int": "extern char ffi_ext_i{i}[1 + (1 & ~({name}))];",
    "float": "extern char ffi_ext_g{i}[_Generic(({name}), float: 1, double: 1, long double: 1)]; "
    "static const double ffi_ext_f{i} = ({name});",
    "bytes": "static const char ffi_ext_t{i}[] = {name};",
}
# By whether it is gcc, which then names the line of the trial and not that of the macro.
_ALL_ERRORS = {True: toolchain.NO_MACRO_NOTES, False: "-ferror-limit=0"}


def _asked(command: Sequence[str], includes: str, names: Sequence[str]) -> dict[str, str]:
    """Each macro's kind: trials that do not compile are taken out until all others do.

    One error can hide another, as an unknown name is told of once.
    """
    trials = [(name, kind) for name in names for kind in _TRIALS]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "macros.c")
        while trials:
            rows = [_TRIALS[kind].format(i=i, name=name) for i, (name, kind) in enumerate(trials)]
            source.write_text("\n".join([f'{includes}#line 1 "ffi_ext_macros"', *rows, ""]))
            status, text = toolchain.run([*command, str(source)])
            if status == 0:
                return dict(trials)
            wrong = {int(line) for line in re.findall(r"^ffi_ext_macros:(\d+):", text, re.M)}
            if not wrong:
                return {}  # the headers do not compile by themselves
            trials = [trial for line, trial in enumerate(trials, start=1) if line not in wrong]
    return {}


def _text(
    command: tuple[str, ...], identity: tuple[str, ...], header: Path
) -> tuple[str, set[str]]:
    """The compiler's answer, or the one kept from before if no file behind it changed; and the names of these."""
    kept = _kept(cache.digest(json.dumps([command, identity]).encode())[:32])
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
        _keep(kept, {"text": text, "files": {name: cache.file_digest(name) for name in names}})
    return text, names


def _kept(key: str) -> Path | None:
    """Where an answer is kept from one build to the next."""
    root = cache.root()
    return root / "headers" / f"{key}.json" if root else None


def _keep(kept: Path | None, record: dict[str, Any]) -> None:
    if kept:
        try:
            kept.parent.mkdir(exist_ok=True, mode=0o700)
            cache.replace(kept, json.dumps(record).encode())
        except (OSError, BuildError):
            pass  # a full cache disk slows the next build, no more


def _included(text: str) -> set[str]:
    """The files named by line markers."""
    found = re.findall(r'^# \d+ "((?:[^"\\]|\\.)*)"', text, re.M)
    return {name for name in found if not name.startswith("<") and os.path.isfile(name)}
