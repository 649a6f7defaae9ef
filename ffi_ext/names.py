"""Names of C in Python. Apart from the table of types, which would cost the import of a module 1.5 ms."""

from __future__ import annotations

import keyword
from collections.abc import Sequence

# What a generated module needs itself, or Python of it.
_OF_MODULES = frozenset(
    ("_bind", "_ffi", "_lib", "__all__", "__annotations__", "__builtins__", "__cached__", "__dir__")
    + ("__doc__", "__file__", "__getattr__", "__loader__", "__name__", "__package__", "__path__")
    + ("__spec__",)
)


def python_name(c_name: str) -> str:
    """The name that C's has in Python: keywords and a module's own attributes get a trailing underscore."""
    return c_name + "_" if keyword.iskeyword(c_name) or c_name in _OF_MODULES else c_name


def name_of_the_rest(names: Sequence[str]) -> str:
    """What signatures call the arguments that C takes as `...`, behind parameters of these names."""
    return "args_" if "args" in names else "args"
