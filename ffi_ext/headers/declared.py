"""What headers declare, as data: functions with their parameters, constants, variables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import cffi


def in_cffi(ffi: cffi.FFI) -> dict[str, tuple[Any, int]]:
    """What was declared to it, by "function f", "variable v", "struct s" ...: cffi's types, and their qualifiers.

    cffi itself tells of types alone, and of no names.
    """
    known: dict[str, tuple[Any, int]] = ffi._parser._declarations  # type: ignore[attr-defined]
    return known


@dataclass(frozen=True)
class Parameter:
    """A parameter: its name in Python, its C type, its signature code, what the header's comment asks of it."""

    name: str
    c_type: str
    code: str
    constraint: str = ""


@dataclass(frozen=True)
class Function:
    """A function that the extension exports."""

    name: str
    python_name: str
    result: str
    result_code: str
    parameters: tuple[Parameter, ...]
    variadic: bool
    prototype: str
    comment: str
    location: str
    has_body: bool = False  # in the header: a static one, which no library needs to have


@dataclass(frozen=True)
class Declarations:
    """What a list of headers declares."""

    functions: tuple[Function, ...]
    constants: dict[str, str]  # with their types in Python; "bytes" are macros that are strings
    variables: dict[str, str]  # with their places, "my_lib.h:12"
    headers: tuple[Path, ...]
    to_include: tuple[Path, ...] = ()  # those that no header before them includes
    with_linkage: frozenset[Path] = frozenset()  # which say extern "C" themselves
    has_bool: bool = False  # a type of its own by that name, as before C99
    # variables that a library's header has, and the library perhaps not
    may_lack: tuple[str, ...] = ()
    # variables that are const arrays; cffi itself refuses to write to other const ones
    read_only: tuple[str, ...] = ()
    data: frozenset[str] = frozenset()  # all variables, also of headers that these include

    @property
    def names(self) -> list[str]:
        """The module's __all__."""
        functions = [function.python_name for function in self.functions]
        return [*functions, *self.constants, *self.variables]

    @property
    def table(self) -> list[Function]:
        """The functions in the order of the binary's table: all but variadic ones, which cffi calls."""
        return [function for function in self.functions if not function.variadic]
