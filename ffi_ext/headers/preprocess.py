"""Headers through the C compiler's preprocessor, and its answers kept from one build to the next."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ffi_ext import cache
from ffi_ext.compilers import commands, compile_errors, toolchain, universal
from ffi_ext.errors import BuildError
from ffi_ext.headers import ctext, preprocessed


class Reader:
    """Reads headers as the generated C is compiled, with the options of create_extension()."""

    def __init__(self, options: dict[str, Any], with_cuda: bool = False) -> None:
        self._options = options
        self._cxx = options.get("language") == "c++"
        self.with_cuda = with_cuda
        self.files: set[str] = set()  # that were read
        self.is_sure = True  # else the compiler could not answer, and another time perhaps can

    def __call__(self, headers: Sequence[Path]) -> str:
        """`$CC -E -dD` of the headers, one behind the other as the generated C includes them."""
        included = (word for header in headers for word in ("-include", str(header)))
        language = self._language_of(headers)
        dialect = () if language == "c++" else toolchain.c_dialect()  # clang refuses it in C++
        command = (*self._command(dialect), *included, "-x", language, os.devnull)
        text, files = _text(command, self.identity, headers[-1])
        self.files |= files
        return text

    def _language_of(self, headers: Sequence[Path]) -> str:
        """Generated C includes them as C, without what #ifdef __cplusplus guards; a .hpp of C++ is none without."""
        by_suffix = self._options.get("source_extension") in toolchain.CXX_SUFFIXES
        in_cxx = (self._cxx or by_suffix) and any(header.suffix != ".h" for header in headers)
        return "c++" if in_cxx or toolchain.c_compiler_is_cxx() else "c"

    @property
    def identity(self) -> tuple[str, ...]:
        """The compiler's."""
        return toolchain.c_compiler().identity

    @property
    def command(self) -> tuple[str, ...]:
        """The command that reads headers, but for their names."""
        return self._command(toolchain.c_dialect())

    def _command(self, dialect: Sequence[str]) -> tuple[str, ...]:
        return (*toolchain.c_compiler().command, "-E", "-dD", *dialect, *self._flags())

    def _flags(self) -> list[str]:
        options = self._options
        given = toolchain.environment_flags("CXXFLAGS" if self._cxx else "CFLAGS")
        flags = [toolchain.RELEASE, *toolchain.preprocessor_words(given)]
        flags += toolchain.environment_flags("CPPFLAGS")
        flags += toolchain.preprocessor_flags(
            options["include_dirs"],
            options.get("define_macros", ()),
            options.get("undef_macros", ()),
        )
        return flags + toolchain.preprocessor_words(
            options.get("extra_compile_args", {}).get("cxx" if self._cxx else "cc", ())
        )

    def may_change(self, text: str) -> bool:
        """Whether the options define a word of a text, or have a file included before it."""
        flags = " ".join(self._flags())
        defined = re.findall(r"(?<!\S)-D ?(\w+)", flags)
        before = re.search(r"(?<!\S)-i(?:nclude|macros)\b", flags)
        return before is not None or not {*defined}.isdisjoint(ctext.identifiers(text))

    def values(self, headers: Sequence[Path], expressions: Sequence[str]) -> list[int] | None:
        """What the compiler computes of constant expressions behind these headers; None if it cannot."""
        lines = [f'#include "{header}"' for header in headers]
        for index, expression in enumerate(expressions):
            lines.append(f"extern const unsigned long long ffi_ext_value_{index};")
            lines.append(f"const unsigned long long ffi_ext_value_{index} = ({expression});")
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "values.c")
            _write(source, lines)
            command = [*toolchain.c_compiler().command, *toolchain.c_dialect(), *self._flags()]
            command += ["-w", "-S", "-o", "-"]
            status, text = commands.run([*command, str(source)], apart=True)
        number = r"ffi_ext_value_(\d+):\s*\.(?:zero\s+8|(?:quad|xword|8byte)\s+(\d+))"
        found = dict(re.findall(number, text))
        if status or len(found) != len(expressions):
            return None
        return [int(found[str(index)] or 0) for index in range(len(expressions))]

    def of_source(self, source: Path) -> str | None:
        """A source as the preprocessor leaves it; None if that fails."""
        program, command = self._of_sources()
        try:
            return _text((*command, "-E", str(source)), program.identity, source)[0]
        except BuildError:
            return None

    def refusal_of(self, source: Path) -> BuildError | None:
        """What the compiler says of a source that it does not take."""
        _, command = self._of_sources()
        command += toolchain.environment_flags("CXXFLAGS" if self._cxx else "CFLAGS")
        given = self._options.get("extra_compile_args", {})
        command += given.get("cxx" if self._cxx else "cc", ())  # such as -std=c++20
        status, log = commands.run([*command, "-fsyntax-only", str(source)])
        return compile_errors.explain(f"compiling {source}", log) if status else None

    def _of_sources(self) -> tuple[toolchain.Program, list[str]]:
        """The compiler of sources, and its command."""
        program = toolchain.cxx_compiler() if self._cxx else toolchain.c_compiler()
        standard = toolchain.LENIENT_CXX if self._cxx else toolchain.c_standard()
        words = [*program.command, *standard, *self._flags(), *universal.python_headers_last()]
        return program, words

    def compiling(
        self, kind: str, includes: Sequence[str], trials: Sequence[str], texts: Sequence[str]
    ) -> set[int] | None:
        """Which of these statements compile, by their places; each stands in a function of its own.

        None if what is included does not compile itself.

        Args:
            kind: Of the trials: the last answer of each kind is kept.
            includes: The lines before them.
            texts: What these include: the answer is kept as long as it is the same.
        """
        program, command = self._of_sources()
        command += ["-Drestrict=__restrict"] if self._cxx or toolchain.c_compiler_is_cxx() else []
        # To gcc 1.0 / 0, an old INFINITY, is else no constant, since the division might be trapped.
        command += ["-fno-trapping-math", "-w", "-O0", "-S", "-o", os.devnull]
        kept = _kept(command, kind, includes)
        content = cache.digest(json.dumps([program.identity, trials, texts]).encode())
        record = cache.load_json(kept) if kept else {}
        if record.get("content") == content:
            return {*record["compiling"]}
        # Ten for each, which has one or two: compilers take seconds to tell all of what is wrong with a long header.
        command += program.errors_up_to(10 * len(trials))
        found = _compiling(command, ".cpp" if self._cxx else ".c", includes, trials)
        if kept and found is not None:
            cache.keep_json(kept, {"content": content, "compiling": sorted(found)})
        return found


def _write(source: Path, lines: Sequence[str]) -> None:
    """C text, with the names of headers, which may have any bytes."""
    source.write_bytes("\n".join([*lines, ""]).encode("utf-8", "surrogateescape"))


def _compiling(
    command: Sequence[str], suffix: str, includes: Sequence[str], trials: Sequence[str]
) -> set[int] | None:
    """The places of the trials that are left when those with errors are taken out; None if there are other errors."""
    left = dict(enumerate(trials))
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, f"trials{suffix}")
        while left:
            rows = [f"void ffi_ext_trial_{index}(void) {{ {row} }}" for index, row in left.items()]
            _write(source, [*includes, '#line 1 "ffi_ext_trials"', *rows])
            status, text = commands.run([*command, str(source)])
            if status == 0:
                break
            wrong = {int(line) for line in re.findall(r"^ffi_ext_trials:(\d+):", text, re.M)}
            if not wrong:
                return None
            left = {
                index: row
                for line, (index, row) in enumerate(left.items(), start=1)
                if line not in wrong
            }
    return {*left}


def _text(
    command: tuple[str, ...], identity: tuple[str, ...], header: Path
) -> tuple[str, set[str]]:
    """The compiler's answer, or the one kept from before if no file behind it changed; and the names of these."""
    kept = _kept(command, identity)
    if kept:
        record = cache.load_json(kept)
        files = record.get("files", {})
        if files and cache.are_current(files):
            return str(record["text"]), {*files}
    started = cache.clock()
    status, text = commands.run(command, apart=True)
    if status:
        raise compile_errors.explain(f"reading the header {header}", text)
    names = {str(header), *filter(os.path.isfile, preprocessed.names_of(text))}
    if kept:
        signatures = cache.signatures(names, started)
        if signatures is not None:
            cache.keep_json(kept, {"text": text, "files": signatures})
    return text, names


def _kept(*question: object) -> Path | None:
    """Where the answer to a question is kept from one build to the next."""
    root = cache.root()
    key = cache.digest(json.dumps(question).encode())[:32]
    return root / "headers" / f"{key}.json" if root else None
