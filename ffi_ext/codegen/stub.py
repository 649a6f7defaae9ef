"""The generated package's stub: a typed signature for every function, the header's comments as docstrings."""

from __future__ import annotations

from ffi_ext import constraints, types
from ffi_ext.codegen import module
from ffi_ext.codegen.csource import documentation
from ffi_ext.headers.declared import Declarations, Function, Parameter
from ffi_ext.names import name_of_the_rest

_HEAD = '''\
"""Types of {package}, made by ffi_ext; changes are lost at the next build."""

from typing import Any

import numpy
import torch

class _CData: ...  # of _ffi, such as _ffi.NULL

_lib: Any
_ffi: Any
'''


def stub_pyi(package: str, declarations: Declarations) -> str:
    """The text of `<package>/__init__.pyi`."""
    text = _HEAD.format(package=package) + module.all_of(declarations)
    text += "".join(f"{name}: {kind}\n" for name, kind in declarations.constants.items())
    text += "".join(f"{name}: Any\n" for name in declarations.variables)
    return text + "".join("\n" + _function(function) for function in declarations.functions)


def _annotation(parameter: Parameter) -> str:
    optional = constraints.decode(parameter.constraint).optional
    return types.annotation_for(parameter.code) + (" | None" if optional else "")


def _function(function: Function) -> str:
    parameters = [f"{p.name}: {_annotation(p)}" for p in function.parameters]
    if function.variadic:  # which takes no keywords
        rest = f"*{name_of_the_rest([p.name for p in function.parameters])}: Any"
        parameters += ["/", rest] if parameters else [rest]
    result = types.annotation_for(function.result_code, result=True)
    if len(function.result_code) == 2:
        result += " | None"
    doc = documentation(function).replace("\\", "\\\\").replace('"""', "'''")
    lines = doc.split("\n")
    body = "\n".join([lines[0], *(f"    {line}".rstrip() for line in lines[1:])])
    end = "" if len(lines) == 1 else "\n    "
    return (
        f'def {function.python_name}({", ".join(parameters)}) -> {result}:\n    """{body}{end}"""\n'
    )
