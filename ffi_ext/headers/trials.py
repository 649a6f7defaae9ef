"""What the compiler alone knows of headers: which macros are constants, and which inline functions can be called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ffi_ext import types

if TYPE_CHECKING:
    from ffi_ext.headers.declared import Function
    from ffi_ext.headers.preprocess import Reader
    from ffi_ext.headers.read_headers import Headers

# What compiles, as C and as C++, only if {name} is a constant that is such a value in Python.
_CONSTANTS = {
    "int": "static char a[sizeof({name}) <= 8 ? 1 + (1 & ~({name})) : -1];",
    # 8: a floating-point number that is not complex
    "float": "static char a[__builtin_classify_type({name}) == 8 && __builtin_constant_p({name}) ? 1 : -1];",
    # without a null before the end
    "bytes": "static const char a[] = {name}; static char b[sizeof({name}) == __builtin_strlen({name}) + 1 ? 1 : -1];",
}


class Trials:
    """Asks a compiler about headers that are included as the generated C includes them."""

    def __init__(self, compiler: Reader, found: Headers) -> None:
        th = ["#include <TH/TH.h>", *(["#include <THC/THC.h>"] if compiler.with_cuda else [])]
        self._beginnings = [th] if compiler.with_cuda else [types.cpu_records(), th]
        self._includes = [f"#include <{name}>" for name in types.included_before(found.has_bool)]
        self._includes += [f'#include "{header}"' for header in found.to_include]
        self.compiler, self._texts = compiler, found.texts

    def constants(self, names: Sequence[str]) -> dict[str, str]:
        """Which of these macros are constants, and of which of Python's types: "int", "float" or "bytes"."""
        trials = {
            (name, kind): c.format(name=name) for name in names for kind, c in _CONSTANTS.items()
        }
        return dict(self._that_compile("constants", trials))

    def callable(self, functions: Sequence[Function]) -> list[Function]:
        """Which of these functions, that headers define, can be called: not those for some processors alone."""
        calls = {function: _call(function) for function in functions}
        return self._that_compile("calls", calls)

    def _that_compile(self, kind: str, trials: dict[Any, str]) -> list[Any]:
        """The keys of these trials of which the C compiles."""
        for beginning in self._beginnings:  # a header may use what all of TH.h declares
            lines = [*beginning, *self._includes]
            kept = self.compiler.compiling(kind, lines, list(trials.values()), self._texts)
            if kept is not None:
                return [key for index, key in enumerate(trials) if index in kept]
        self.compiler.is_sure = False
        return []


def _call(function: Function) -> str:
    """A call of a function with whatever values."""
    c_types = [f"__typeof__({parameter.c_type})" for parameter in function.parameters]
    values = [f"*({c_type} *)ffi_ext_a[{index}]" for index, c_type in enumerate(c_types)]
    return f"extern void **ffi_ext_a; (void){function.name}({', '.join(values)});"
