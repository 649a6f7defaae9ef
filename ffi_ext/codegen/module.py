"""The generated package's __init__.py: short, and the same for every binary of these declarations."""

from __future__ import annotations

import re

from ffi_ext.codegen.csource import documentation, header_names
from ffi_ext.headers.declared import Declarations

# The names of __all__ are bound when the module runs, and the stub has their types: an editor that opens this file
# beside it would mark each as missing.
_FOR_EDITORS = "# pyright: basic, reportUnsupportedDunderAll=false"

MADE = re.compile(r'"""([\w.]*): made by ffi_ext from ')  # how it begins, with the package's name


def init_py(package: str, last: str, declarations: Declarations) -> str:
    """The text of `<package>/__init__.py` beside the binary `_<last>`."""
    functions = [function.python_name for function in declarations.functions]
    source = header_names(declarations.headers)
    arguments = [f"functions={_listed(functions)}"]
    texts = [name for name, kind in declarations.constants.items() if kind == "bytes"]
    if numbers := [name for name in declarations.constants if name not in texts]:
        arguments.append(f"constants={_listed(numbers)}")
    if texts:
        arguments.append(f"texts={_listed(texts)}")
    if declarations.variables:
        arguments.append(f"variables={_listed([*declarations.variables])}")
    if declarations.read_only:
        arguments.append(f"read_only={_listed(declarations.read_only)}")
    # Of the others the binary's table has it.
    if variadic := [function for function in declarations.functions if function.variadic]:
        rows = (f'        "{f.python_name}": {ascii(documentation(f))},\n' for f in variadic)
        arguments.append(f"variadic={{\n{''.join(rows)}    }}")
    listed = "".join(f"\n    {argument}," for argument in arguments)
    return (
        f'"""{package}: made by ffi_ext from {_plain(source)}; changes are lost at the next build."""'
        f"\n\n{_FOR_EDITORS}\nfrom ffi_ext.runtime import bind as _bind\n\n"
        f"from ._{last} import ffi as _ffi, lib as _lib\n\n"
        f"{all_of(declarations)}\n"
        f"_bind(\n    globals(),{listed}\n)\n"
    )


def all_of(declarations: Declarations) -> str:
    """A module's and its stub's __all__."""
    return f"__all__ = {_listed(declarations.names, indent='')}\n"


def _plain(text: str) -> str:
    """Safe inside a docstring."""
    return text.replace("\\", "/").replace('"', "'").replace("\n", " ")


def _listed(names: list[str] | tuple[str, ...], indent: str = "    ") -> str:
    one_line = "[" + ", ".join(f'"{name}"' for name in names) + "]"
    if len(one_line) + len(indent) < 80:
        return one_line
    return "[\n" + "".join(f'{indent}    "{name}",\n' for name in names) + f"{indent}]"
