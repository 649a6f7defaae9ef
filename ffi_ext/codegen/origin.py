"""What a binary was built from, as C that keeps it there for `ffi-ext inspect`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ffi_ext import __version__, elf
from ffi_ext.codegen import csource
from ffi_ext.headers.declared import Declarations


def origin(
    declared: Declarations,
    sources: tuple[Path, ...],
    with_cuda: bool,
    options: dict[str, Any],
) -> str:
    """C that keeps in the binary what it was built from, for `ffi-ext inspect`.

    Paths are relative to the folder that has all of them, so that binaries do not tell of the machine.
    """
    headers = declared.headers
    base = os.path.commonpath([path.parent for path in (*headers, *sources)] or [Path("/")])
    facts: dict[str, Any] = {
        "ffi_ext": __version__,
        "headers": [os.path.relpath(path, base) for path in headers],
        "sources": [os.path.relpath(path, base) for path in sources],
    }
    if with_cuda:
        facts["with_cuda"] = True
    if variadic := [function.prototype for function in declared.functions if function.variadic]:
        facts["variadic"] = variadic  # which the table of functions does not have
    for name in ("define_macros", "libraries", "extra_link_args"):
        if options.get(name):
            facts[name] = options[name]
    flags = {k: v for k, v in options.get("extra_compile_args", {}).items() if v}
    if flags:
        facts["extra_compile_args"] = flags
    text = csource.quoted(json.dumps(facts, sort_keys=True))
    # Exported: a link by --gc-sections, which conda's LDFLAGS ask for, would leave it out.
    where = f'__attribute__((__visibility__("default"), __section__("{elf.ORIGIN}")))'
    head = f"extern const char ffi_ext_origin[] {where};"
    return f"#ifdef __ELF__\n{head}\nconst char ffi_ext_origin[] = {text};\n#endif\n"
