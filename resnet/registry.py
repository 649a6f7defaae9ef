"""Named tables to which others may add: stems, blocks, stage tables, norms, backbones."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """ "; did you mean 'X'?" with the nearest of the names, or nothing if none is near."""
    near = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


class Registry(dict[str, Any]):
    """Names and what they stand for.

    `registry.register("name", thing)` adds one; `@registry.register("name")` adds the function or
    class below it and can be stacked, for several names.

    Args:
        kind: what the table holds, in the singular; the errors say so.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def register(self, name: str, thing: T | None = None) -> Callable[[T], T] | T:
        """Add a thing under a name; without a thing, a decorator that does so.

        Raises:
            ValueError: the name is taken.
        """

        def add(thing: T) -> T:
            if name in self:
                raise ValueError(
                    f"{self.kind} {name!r} is registered already, as {self[name]!r}; "
                    "take another name"
                )
            self[name] = thing
            return thing

        return add if thing is None else add(thing)

    def missing(self, name: str) -> str:
        """The text that says that there is no such name, and which there are."""
        return (
            f"there is no {self.kind} {name!r}; expected one of {', '.join(self)}"
            f"{did_you_mean(str(name), self)}"
        )

    def __missing__(self, name: str) -> Any:
        raise KeyError(self.missing(name))
