"""Names of C in Python. Apart from the table of types, which would cost the import of a module 1.5 ms."""

from __future__ import annotations

import keyword


def python_name(c_name: str) -> str:
    """The name that C's has in Python: keywords get a trailing underscore."""
    return c_name + "_" if keyword.iskeyword(c_name) else c_name
