"""What modules and classes are given for a while, and give back at uninstall()."""

from __future__ import annotations

_ABSENT = object()
_given: list = []  # type: ignore[type-arg] # modules and classes, their names, what these are now, and were before


def give(owner, name, value) -> None:  # type: ignore[no-untyped-def]
    """Makes a module's or class's name mean something else, until uninstall()."""
    if isinstance(value, type(give)):  # pickled, and asked for its name, it is what it stands for
        value.__name__, place = name, getattr(owner, "__qualname__", None)
        value.__qualname__ = f"{place}.{name}" if place else name
        value.__module__ = owner.__module__ if place else owner.__name__
    _given.append((owner, name, value, vars(owner).get(name, _ABSENT)))
    setattr(owner, name, value)


def take_back() -> None:
    while _given:
        owner, name, value, before = _given.pop()
        if vars(owner).get(name) is not value:  # somebody else's by now
            continue
        if before is _ABSENT:
            delattr(owner, name)
        else:
            setattr(owner, name, before)


def lend(module, names) -> None:  # type: ignore[no-untyped-def]
    for name, value in names.items():
        if name not in vars(module):
            give(module, name, value)
