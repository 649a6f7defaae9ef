"""Calls of old-style autograd Functions, which `port_functions.py` has made static, become `.apply`."""

from __future__ import annotations

import ast
from pathlib import PurePath

from ffi_ext.cli.edits import Source, with_import
from ffi_ext.cli.port_functions import Converted, Refused


def calls(text: str, file: PurePath, known: list[Converted], notes: list[str]) -> str:
    """`F(p)(a)` becomes `F.apply(p, a)`, and `F(p)` elsewhere a partial of it."""
    said: set[str] = set()
    names = [made.name for made in known]
    # one a round: a call may stand in another's arguments
    while any(name in text for name in names):
        source = Source(text)
        visible = _visible(source, file, known)
        changed, needs_functools = False, False
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.Call):
                continue
            made = visible.get(ast.unparse(node.func))
            if made is None:
                continue
            try:
                arguments = _positional(source, node, made)
                needs_functools = _rewrite(source, node, arguments)
            except Refused as reason:
                note = f"{file}: {source.of(node)} stays as it is: {reason}"
                if note not in said:
                    said.add(note)
                    notes.append(note)
                continue
            changed = True
            break
        if not changed:
            _stored(source, file, visible, notes)
            return text
        text = source.result()
        if needs_functools:
            text = with_import(text, "import functools")
    return text


def _visible(source: Source, file: PurePath, known: list[Converted]) -> dict[str, Converted]:
    """How a file may name the converted classes."""
    names: dict[str, Converted] = {}
    for made in known:
        if made.file == file:
            names[made.name] = made
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom):
            last = (node.module or "").rpartition(".")[2]
            for alias in node.names:
                for made in known:
                    homes = (made.file.stem, made.file.parent.name)
                    if last in homes and alias.name in (made.name, "*"):
                        names[made.name if alias.name == "*" else alias.asname or alias.name] = made
                    elif alias.name == made.file.stem:
                        names[f"{alias.asname or alias.name}.{made.name}"] = made
        elif isinstance(node, ast.Import):
            for alias in node.names:
                for made in known:
                    if alias.name.rpartition(".")[2] == made.file.stem:
                        names[f"{alias.asname or alias.name}.{made.name}"] = made
    return names


def _positional(source: Source, call: ast.Call, made: Converted) -> list[str]:
    """The arguments of `F(...)` in the order of __init__'s parameters."""
    if any(isinstance(a, ast.Starred) for a in call.args) or any(not k.arg for k in call.keywords):
        raise Refused("its arguments are unpacked; write them out")
    given = dict(zip(made.parameters, map(source.of, call.args), strict=False))
    given |= {k.arg: source.of(k.value) for k in call.keywords if k.arg}
    if len(call.args) > len(made.parameters) or not set(given) <= set(made.parameters):
        raise Refused(f"{made.name} takes ({', '.join(made.parameters)})")
    values = {**made.defaults, **given}
    missing = [name for name in made.parameters if name not in values]
    if missing:
        raise Refused(f"it has no {missing[0]}")
    return [values[name] for name in made.parameters]


def _rewrite(source: Source, call: ast.Call, arguments: list[str]) -> bool:
    """Returns whether functools is needed."""
    name = source.of(call.func)
    outer = source.parents.get(id(call))
    if isinstance(outer, ast.Call) and outer.func is call:
        if outer.keywords:
            raise Refused("apply() takes no keywords; pass its inputs by position")
        source.replace(call, f"{name}.apply")
        at = source.text.index("(", source.span(call)[1]) + 1
        source.edit(
            at, at, "".join(f"{a}, " for a in arguments) if outer.args else ", ".join(arguments)
        )
        return False
    if arguments:
        source.replace(call, f"functools.partial({name}.apply, {', '.join(arguments)})")
        return True
    source.replace(call, f"{name}.apply")
    return False


def _stored(
    source: Source, file: PurePath, visible: dict[str, Converted], notes: list[str]
) -> None:
    """Instances that were kept and whose attributes are used: those are gone."""
    kept: set[str] = set()
    applies = {f"{name}.apply" for name in visible}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Assign):
            value = node.value
            inner = value.args[0] if isinstance(value, ast.Call) and value.args else value
            if ast.unparse(inner) in applies and (
                inner is value or ast.unparse(value).startswith("functools.partial(")
            ):
                kept |= {ast.unparse(target) for target in node.targets}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in kept:
            notes.append(
                f"{file}:{node.lineno}: {ast.unparse(node)} was kept on an instance, and there are none any "
                "more: return it from forward, or compute it here"
            )
