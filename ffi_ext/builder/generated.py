"""What is generated of headers: made, and kept from one process to the next by those that build the same each time."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from ffi_ext import cache, types
from ffi_ext.builder.plan import Generated
from ffi_ext.compilers import toolchain, universal
from ffi_ext.errors import warn
from ffi_ext.headers import ctext, included, preprocess
from ffi_ext.paths import PACKAGE

if TYPE_CHECKING:
    from ffi_ext.builder.extension_arguments import Arguments


def is_limited(given: Arguments) -> bool:
    return universal.uses_limited_api(given.options.get("py_limited_api"))


class Source:
    """An extension's headers, read: a cffi.FFI with what they declare, and the C before cffi's."""

    def __init__(self, given: Arguments, reader: preprocess.Reader | None = None) -> None:
        import cffi

        from ffi_ext.headers import declarations

        self.given = given
        self.ffi = cffi.FFI()
        # The headers and sources, and what these include.
        self.texts = included.texts((*given.headers, *given.sources), given.options["include_dirs"])
        # Headers in the project's folder define functions for the project's own sources.
        inline = {h for h in given.of_libraries if not h.is_relative_to(given.name.base)}
        self.declared = declarations.read(
            given.headers,
            reader or preprocess.Reader(given.options, given.with_cuda),
            self.ffi,
            given.of_libraries,
            with_inline=frozenset(inline),
            knows_th=any(map(_uses_th, self.texts.values())),
        )
        self.is_empty = bool(given.headers) and not self.declared.names
        if self.is_empty:
            _warn_of_nothing(given)
        self.preamble = self._preamble()

    def _preamble(self) -> str:
        """The headers, our trampolines and table, and what the binary is built from."""
        from ffi_ext.codegen import csource, origin

        given = self.given
        # The compiler knows better what is included (build.KEEPS_GIL); setuptools does not ask.
        named = [self.texts.get(path, "") for path in (*given.headers, *given.sources)]
        text = csource.preamble(
            self.declared,
            with_cuda=given.with_cuda,
            cxx_names=toolchain.c_compiler_is_cxx(),
            keeps_gil=_works_on_objects(named, "PyGILState_Ensure"),
            needs_gil=universal.is_free_threaded() and _works_on_objects(named, "Py_GIL_DISABLED"),
        )
        return text + origin.origin(self.declared, given.sources, given.with_cuda, given.options)

    @property
    def init(self) -> str:
        """The text of __init__.py."""
        from ffi_ext.codegen import module

        return module.init_py(self.given.name.package, self.given.name.last, self.declared)

    @property
    def stub(self) -> str:
        """The text of __init__.pyi."""
        from ffi_ext.codegen import stub

        return stub.stub_pyi(self.given.name.package, self.declared)

    def generated(self) -> Generated:
        from ffi_ext.codegen import cffi_source

        target, declared = self.given.name, self.declared
        elsewhere = [function for function in declared.functions if not function.has_body]
        return Generated(
            source=cffi_source.cffi_source(
                self.ffi,
                f"{target.package}._{target.last}",
                self.preamble,
                declared,
                is_limited(self.given),
            ),
            init=self.init,
            stub=self.stub,
            places={function.name: function.location for function in elsewhere},
            prototypes={function.name: function.prototype for function in elsewhere},
            has_inline=len(elsewhere) < len(declared.functions),
            data=sorted(declared.data),
        )


def _uses_th(text: str) -> bool:
    """Not in a comment or in quotes alone."""
    return types.names_th(text) and types.names_th(ctext.blank_quoted(ctext.blank_comments(text)))


def _works_on_objects(texts: Sequence[str], unless: str) -> bool:
    """Whether C code works on Python's objects and takes for granted that it may, as none does that names `unless`.

    Where it does not take the GIL itself (PyGILState_Ensure), the GIL stays with the call; the original released it,
    which went well as long as Python did without its thread's state. Where it knows of no Python without a GIL
    (Py_GIL_DISABLED), a free-threaded one enables it.
    """
    include = re.compile(r'^[ \t]*#[ \t]*include[ \t]*[<"]Python\.h', re.M)
    if not any(map(include.search, texts)):  # nearly all
        return False
    code = [ctext.blank_comments(text) for text in texts]
    return any(map(include.search, code)) and not any(unless in text for text in code)


def _warn_of_nothing(given: Arguments) -> None:
    from ffi_ext.codegen import csource

    warn(
        f"{csource.header_names(given.headers)} declares no function, constant or variable: "
        f"{given.name.package} will be empty. Is all of it static, a function with its body, behind an #ifdef, or "
        "in a header that it includes? Only what the named headers themselves declare is exported"
    )


def kept_or_made(given: Arguments, kept: Path) -> Generated:
    """What is generated, as the file `kept` has it from before, or else kept there now."""
    reader = preprocess.Reader(given.options, given.with_cuda)
    key = _key(given, reader)
    made = _find(kept, key)
    if made is None:
        started = cache.clock()
        source = Source(given, reader)
        made = source.generated()
        if reader.is_sure and not source.is_empty:  # which is warned of each time
            _keep(kept, key, made, {*reader.files, *map(str, source.texts)}, started)
    return made


def _key(given: Arguments, read: preprocess.Reader) -> str:
    """What the generated depends on beside the content of files: arguments, compiler, and the generators."""
    said = (given.said, is_limited(given))
    tools = (read.command, read.identity, *_generators())
    return cache.digest(repr((said, tools)).encode("utf-8", "surrogateescape"))


@functools.cache  # a process keeps the code that it has imported
def _generators() -> tuple[object, ...]:
    code = [(str(path), cache.state(path)) for path in sorted(PACKAGE.rglob("*.py"))]
    return version("cffi"), version("pycparser"), code


def _find(kept: Path, key: str) -> Generated | None:
    """What was kept under that key, if no file behind it has changed since."""
    record = cache.load_json(kept)
    if record.get("key") != key or not cache.are_current(record["files"]):
        return None
    return Generated(**record["generated"])


def _keep(kept: Path, key: str, made: Generated, files: Iterable[str], started: int) -> None:
    """Keeps it, unless one of the files that it was made of may have changed since `started`."""
    signatures = cache.signatures(files, started)
    if signatures is not None:
        cache.keep_json(kept, {"key": key, "files": signatures, "generated": asdict(made)})
