"""Calls of old-style autograd Functions, which `port_functions.py` has made static, become `.apply`."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import PurePath

from ffi_ext.cli.edits import Source, nodes, parse, with_import
from ffi_ext.cli.port_functions import Converted, Refused


@dataclass(frozen=True)
class Repository:
    """What is ported: names of its modules and packages, and those of old Functions that other classes have, too."""

    local: frozenset[str]
    shared: frozenset[str]


def calls(
    text: str, file: PurePath, known: list[Converted], repository: Repository, notes: list[str]
) -> str:
    """`F(p)(a)` becomes `F.apply(p, a)`, and `F(p)` elsewhere a partial of it."""
    said: set[str] = set()
    names = [made.name for made in known]
    # one a round: a call may stand in another's arguments
    while any(name in text for name in names):
        source = Source(text)
        visible = named(source, file, known, repository)
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


def bases(
    text: str, file: PurePath, known: list[Converted], repository: Repository
) -> list[Converted]:
    """Those that classes of a file derive from."""
    if not any(made.name in text for made in known):
        return []
    source = Source(text)
    visible = named(source, file, known, repository)
    classes = [node for node in ast.walk(source.tree) if isinstance(node, ast.ClassDef)]
    words = [ast.unparse(base) for node in classes for base in node.bases]
    return [visible[base] for base in words if base in visible]


def named(
    source: Source, file: PurePath, known: list[Converted], repository: Repository
) -> dict[str, Converted]:
    """How a file names the classes: by their own name, and through modules that it imports."""
    names: dict[str, Converted] = {}
    modules: dict[str, tuple[str, ...]] = {}  # as they are called here, and their path
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom):
            path = tuple(filter(None, (node.module or "").split(".")))
            if node.level:
                path = (*file.parents[min(node.level, len(file.parents)) - 1].parts, *path)
            elif path[0] not in repository.local:
                continue
            for alias in node.names:
                modules[alias.asname or alias.name] = (*path, alias.name)
                for name in {made.name for made in known}:
                    if alias.name in (name, "*") and (one := _one(known, name, path, repository)):
                        names[name if alias.name == "*" else alias.asname or name] = one
        elif isinstance(node, ast.Import):
            for alias in node.names:
                path = tuple(alias.name.split("."))
                if path[0] in repository.local:
                    modules[alias.asname or path[0]] = path if alias.asname else path[:1]
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute):
            words = ast.unparse(node)
            *path_here, name = words.split(".")
            if path_here and path_here[0] in modules:
                path = (*modules[path_here[0]], *path_here[1:])
                if one := _one(known, name, path, repository):
                    names[words] = one
    return names | {made.name: made for made in known if made.file == file}


def _one(
    known: list[Converted], name: str, module: tuple[str, ...], repository: Repository
) -> Converted | None:
    """The class of that name in the module, or in the package; else the only one, which others import from there.

    Where other classes have the name, too, such as the Module around it, it is that in just this module.
    """
    found = [made for made in known if made.name == name]
    if name in repository.shared:
        ends = [(made, made.file.with_suffix("").parts) for made in found]
        found = [made for made, parts in ends if parts[len(parts) - len(module) :] == module]
    last = module[-1] if module else ""
    near = [made for made in found if last in (made.file.stem, made.file.parent.name)]
    kinds = {(made.parameters, tuple(made.defaults.items())) for made in near or found}
    return (near or found)[0] if len(kinds) == 1 else None


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
    if isinstance(outer, ast.Attribute):
        raise Refused(f"its {outer.attr} is asked for, and there are no instances any more")
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


def set_elsewhere(texts: dict[PurePath, str], known: list[Converted], notes: list[str]) -> None:
    """`model.grl.factor = f` of a `self.grl` that was an instance: a partial takes it, and does nothing with it."""
    trees = {file: parse(text) for file, text in texts.items()}
    names = "|".join(re.escape(made.name) for made in known)
    kept = {
        target.attr
        for tree in trees.values()
        for node in nodes(tree)
        if isinstance(node, ast.Assign)
        and re.match(rf"functools\.partial\(([\w.]+\.)?({names})\.apply\b", ast.unparse(node.value))
        for target in node.targets
        if isinstance(target, ast.Attribute)
    }
    parameters = {name for made in known for name in made.parameters}
    for file, tree in trees.items():
        for node in nodes(tree):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.ctx, ast.Store)
                and node.attr in parameters
                and isinstance(node.value, ast.Attribute)
                and node.value.attr in kept
                and ast.unparse(node.value) != f"self.{node.value.attr}"  # _stored() tells of these
            ):
                notes.append(
                    f"{file}:{node.lineno}: {ast.unparse(node)} was set on an instance, and there are none any more: "
                    "give it to the call"
                )


def _stored(
    source: Source, file: PurePath, visible: dict[str, Converted], notes: list[str]
) -> None:
    """Instances that were kept and whose attributes are used: those are gone. Classes that go elsewhere uncalled."""
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
        outer = source.parents.get(id(node))
        is_name = isinstance(node, (ast.Name, ast.Attribute)) and ast.unparse(node) in visible
        is_called = isinstance(outer, ast.Call) and outer.func is node
        if is_name and not is_called and not isinstance(outer, ast.Attribute):
            notes.append(
                f"{file}:{node.lineno}: {ast.unparse(node)} is not called here: where its instances were, and were "  # type: ignore[attr-defined]
                "called, write .apply"
            )
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in kept:
            notes.append(
                f"{file}:{node.lineno}: {ast.unparse(node)} was kept on an instance, and there are none any "
                "more: return it from forward, or compute it here"
            )
