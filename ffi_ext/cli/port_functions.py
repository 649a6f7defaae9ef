"""Old-style autograd Functions become static ones; `port_calls.py` rewrites their calls.

The original (PyTorch 0.1.12 to 0.3.1): `F(p, q)(a, b)` made an instance with `__init__(self, p, q)`, and called its
`forward(self, a, b)`. Now `F.apply(p, q, a, b)` calls the static `forward(ctx, p, q, a, b)`, and `backward` also
returns a None for each of p and q. They come first, so that an instance that is kept, `f = F(p, q)`, becomes
`functools.partial(F.apply, p, q)`.
"""

from __future__ import annotations

import ast
from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePath
from typing import TypeGuard

from ffi_ext.cli.edits import Source, last_name, own_nodes, parse, with_import
from ffi_ext.cli.old_code import is_old_function

ONCE = "from torch.autograd.function import once_differentiable"


@dataclass(frozen=True)
class Converted:
    """A class that was made static, and the parameters that its __init__ had."""

    name: str
    file: PurePath
    parameters: tuple[str, ...]
    defaults: dict[str, str]


class Refused(Exception):
    """Why a class stays as it is."""


def classes(text: str, file: PurePath) -> tuple[list[Converted], list[str]]:
    """The old-style Functions of a text, whatever becomes of them, and the names of its other classes."""
    found = [node for node in ast.walk(parse(text)) if isinstance(node, ast.ClassDef)]
    old = [Converted(node.name, file, (), {}) for node in found if is_old_function(node)]
    return old, [node.name for node in found if not is_old_function(node)]


def functions(
    text: str, file: PurePath, notes: list[str], bases: Collection[str] = ()
) -> tuple[str, list[Converted]]:
    """Makes the old-style Functions of a text static. Returns it and what was made.

    Args:
        bases: Names of those that other classes derive from.
    """
    converted: list[Converted] = []
    refused: set[str] = set()
    while "Function" in text:  # one a round: places move
        source = Source(text)
        found = [
            node
            for node in ast.walk(source.tree)
            if isinstance(node, ast.ClassDef) and is_old_function(node) and node.name not in refused
        ]
        if not found:
            return text, converted
        try:
            if found[0].name in bases:
                raise Refused("other classes derive from it; make them static together, by hand")
            made = _Class(source, found[0], file).convert()
        except Refused as reason:
            refused.add(found[0].name)
            notes.append(f"{file}:{found[0].lineno}: {found[0].name} stays as it is: {reason}")
            continue
        converted.append(made)
        text = source.result()
        if any(
            n.id == "once_differentiable" for n in ast.walk(parse(text)) if isinstance(n, ast.Name)
        ):
            text = _import_once(text)
    return text, converted


def _import_once(text: str) -> str:
    """After the import that brings Function, or at the top."""
    source = Source(text)
    imports = [n for n in source.tree.body if isinstance(n, (ast.Import, ast.ImportFrom))]
    if any("once_differentiable" in source.of(node) for node in imports):
        return text
    for node in imports:
        if isinstance(node, ast.ImportFrom) and any(a.name == "Function" for a in node.names):
            end = source.span(node)[1]
            source.edit(end, end, f"\n{ONCE}")
            return source.result()
    return with_import(text, ONCE)


def _is_set(node: ast.AST) -> TypeGuard[ast.Attribute]:
    return isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)


def _is_made_anew(name: str, method: ast.FunctionDef) -> bool:
    """Whether a method's first statement with that attribute sets it, and to what does not count on it."""
    for statement in method.body:
        found = [n for n in ast.walk(statement) if isinstance(n, ast.Attribute) and n.attr == name]
        if found:
            return isinstance(statement, ast.Assign) and all(map(_is_set, found))
    return False


class _Class:
    """One class on its way."""

    def __init__(self, source: Source, node: ast.ClassDef, file: PurePath) -> None:
        self.source, self.node, self.file = source, node, file
        self.methods = {m.name: m for m in node.body if isinstance(m, ast.FunctionDef)}
        self.variables = {
            target.id
            for item in node.body
            if isinstance(item, ast.Assign)
            for target in item.targets
            if isinstance(target, ast.Name)
        }

    def convert(self) -> Converted:
        self.check()
        init, forward = self.methods.get("__init__"), self.methods["forward"]
        if init is not None:
            self.check_counters(init)
        parameters = self.parameters(init)
        names = tuple(name for name, _ in parameters)
        for name, method in self.methods.items():
            if name != "__init__" and not method.decorator_list:
                extra = ", ".join(text for _, text in parameters) if name == "forward" else ""
                self.make_static(method, extra, len(parameters))
        if init is not None:
            self.rename(init, len(parameters))
            self.move_body(init, forward)
        if "backward" in self.methods and parameters:
            inputs = forward.args
            one = len(inputs.args) == 2 and not inputs.vararg
            self.returns(self.methods["backward"], len(parameters), one)
        return Converted(self.node.name, self.file, names, self.defaults(init))

    def check(self) -> None:
        if len(self.node.bases) != 1 or last_name(self.node.bases[0]) != "Function":
            raise Refused("its base is not Function alone; make it static by hand")
        called = {n.attr for n in ast.walk(self.node) if isinstance(n, ast.Attribute)}
        for name, method in self.methods.items():
            decorators = [ast.unparse(d) for d in method.decorator_list]
            if decorators and decorators != ["staticmethod"]:
                raise Refused(f"{name} has the decorator {decorators[0]}")
            if name.startswith("__") and name != "__init__":
                raise Refused(f"it has a method {name}")
            if decorators:
                continue
            if not method.args.args:
                raise Refused(f"{name} has no parameter self")
            if name not in ("__init__", "forward", "backward", *called):
                raise Refused(
                    f"{name} is for others to call on an instance, and there would be none"
                )
            this = method.args.args[0].arg
            for node in ast.walk(method):
                if isinstance(node, ast.Name) and node.id == "ctx" and this != "ctx":
                    raise Refused(f"{name} uses the name ctx for something else")
                if name != "__init__" and isinstance(node, ast.Name) and node.id == "super":
                    raise Refused(f"{name} calls super()")
                if not (
                    isinstance(node, ast.Attribute)
                    and isinstance(node.value, ast.Name)
                    and node.value.id == this
                ):
                    continue
                if node.attr in ("forward", "backward", "__class__"):
                    raise Refused(f"{name} uses self.{node.attr}")
                if isinstance(node.ctx, ast.Store) and node.attr in self.variables:
                    raise Refused(f"{node.attr} is a variable of the class and of self; rename one")

    def check_counters(self, init: ast.FunctionDef) -> None:
        """`self.calls += 1` goes on from call to call; each call of a static Function has a ctx of its own."""
        forward = self.methods["forward"]
        kept = {n.attr for n in ast.walk(init) if _is_set(n)}
        kept = {name for name in kept if not _is_made_anew(name, forward)}
        for name, method in self.methods.items():
            for node in ast.walk(method) if method is not init else ():
                if not isinstance(node, (ast.AugAssign, ast.Assign)):
                    continue
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                written = {t.attr for t in targets if _is_set(t)}
                read = {n.attr for n in ast.walk(node.value) if isinstance(n, ast.Attribute)}
                if isinstance(node, ast.AugAssign):
                    read |= written
                for counter in sorted(kept & written & read):
                    raise Refused(
                        f"{name} goes on from the {counter} that the call before left on self, and a ctx is of one "
                        "call alone; count in the module that calls it"
                    )

    def parameters(self, init: ast.FunctionDef | None) -> list[tuple[str, str]]:
        """Names and texts of __init__'s parameters, without self."""
        if init is None:
            return []
        arguments = init.args
        if arguments.vararg or arguments.kwarg or arguments.posonlyargs:
            raise Refused("its __init__ takes *args or **kwargs")
        own = [*arguments.args[1:], *arguments.kwonlyargs]
        stored = {
            n.id for n in ast.walk(init) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        }
        forward = self.methods["forward"]
        # A local of forward's that it assigns itself may have the name: nothing reads it before that.
        names = [n for n in ast.walk(forward) if isinstance(n, ast.Name)]
        assigned = {n.id for n in names if isinstance(n.ctx, ast.Store)}
        taken = {n.id for n in names} - assigned
        taken |= {a.arg for a in ast.walk(forward) if isinstance(a, ast.arg)}
        clash = sorted(({a.arg for a in own} | stored) & taken - {"self"})
        if clash:
            raise Refused(f"__init__ and forward both have a {clash[0]}; rename one")
        return [(a.arg, self.source.of(a)) for a in own]

    def defaults(self, init: ast.FunctionDef | None) -> dict[str, str]:
        if init is None:
            return {}
        arguments = init.args
        positional = arguments.args[len(arguments.args) - len(arguments.defaults) :]
        pairs = list(zip(positional, arguments.defaults, strict=True))
        pairs += [
            (a, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d
        ]
        for argument, value in pairs:
            if any(isinstance(n, (ast.Name, ast.Call)) for n in ast.walk(value)):
                raise Refused(f"the default of {argument.arg} is no constant")
        return {argument.arg: self.source.of(value) for argument, value in pairs}

    def make_static(self, method: ast.FunctionDef, extra: str, shift: int) -> None:
        indent = self.source.indent(method)
        marks = "@staticmethod\n" + indent
        if method.name == "backward":  # C code has no second derivative
            marks += "@once_differentiable\n" + indent
        start = self.source.span(method)[0]
        self.source.edit(start, start, marks)
        this = method.args.args[0]
        self.source.replace(this, ", ".join(filter(None, ["ctx", extra])))
        self.rename(method, shift)

    def rename(self, method: ast.FunctionDef, shift: int) -> None:
        """self becomes ctx, or the class where it stood for the class."""
        this, source = method.args.args[0].arg, self.source
        helpers = {name for name in self.methods if name not in ("__init__", "forward", "backward")}
        for node in ast.walk(method):
            if not (isinstance(node, ast.Name) and node.id == this):
                continue
            parent = source.parents.get(id(node))
            attribute = parent.attr if isinstance(parent, ast.Attribute) else ""
            if attribute in helpers:
                call = source.parents.get(id(parent))
                source.replace(node, self.node.name)
                if not self.methods[attribute].decorator_list:
                    if not (isinstance(call, ast.Call) and call.func is parent):
                        raise Refused(f"{method.name} uses self.{attribute} without calling it")
                    at = source.span(parent)[1] + 1 if parent else 0
                    source.edit(at, at, "ctx, " if call.args or call.keywords else "ctx")
            elif attribute in self.variables and isinstance(parent.ctx, ast.Load):  # type: ignore[union-attr]
                source.replace(node, self.node.name)
            elif attribute == "needs_input_grad" and shift:
                source.replace(parent, f"ctx.needs_input_grad[{shift}:]")  # type: ignore[arg-type]
            elif attribute == "saved_variables":
                source.replace(parent, "ctx.saved_tensors")  # type: ignore[arg-type]
            elif attribute == "mark_shared_storage":
                raise Refused("it calls mark_shared_storage, which is gone: remove that line")
            else:
                source.replace(node, "ctx")

    def move_body(self, init: ast.FunctionDef, forward: ast.FunctionDef) -> None:
        """__init__'s statements to the start of forward; then __init__ goes."""
        source = self.source
        first, target = init.body[0], forward.body[0]
        lone = len(forward.body) == 1 and _is_text(target)
        if target.lineno == forward.lineno or first.lineno == init.lineno or lone:
            raise Refused("__init__ or forward stands on one line; break it")
        if first.col_offset != target.col_offset:
            raise Refused("__init__ and forward are indented differently")
        for node in ast.walk(init):
            if isinstance(node, ast.Return):
                raise Refused("its __init__ returns early")
        kept = [s for s in init.body if not isinstance(s, ast.Pass) and not _is_super(s)]
        for before, after in pairwise(init.body):
            if before.end_lineno == after.lineno and (before in kept) != (after in kept):
                raise Refused("two statements of its __init__ stand on one line; break it")
        header = _header_end(source, init)
        text = ""
        if kept:
            at = source.line_start(header + 1)
            for statement in init.body:
                if statement not in kept:
                    text += source.applied(at, source.line_start(statement.lineno))
                    at = source.line_start((statement.end_lineno or 0) + 1)
            text += source.applied(at, source.line_start((init.end_lineno or 0) + 1))
            if not text.endswith(("\n", "\r")):
                text += source.newline
        here = (target.end_lineno or 0) if _is_text(target) else _header_end(source, forward)
        at = source.line_start(here + 1)
        # The edits inside __init__ are in `text` now: it goes as a whole.
        start = source.line_start(init.lineno)
        following = [m for m in self.node.body if m.lineno > (init.end_lineno or 0)]
        end = source.line_start((init.end_lineno or 0) + 1)
        while following and end < len(source.text):
            line_end = source.text.find("\n", end) + 1
            if line_end == 0 or source.text[end:line_end].strip():
                break
            end = line_end
        source.remove(start, end)
        source.insert(at, text)

    def returns(self, backward: ast.FunctionDef, count: int, one_input: bool) -> None:
        source = self.source
        nones = "None, " * count
        for node in own_nodes(backward):
            if not isinstance(node, ast.Return) or node.value is None:
                continue
            value = node.value
            if isinstance(value, ast.Tuple) and value.elts:
                at = source.span(value.elts[0])[0]
                source.edit(at, at, nones)
            elif one_input or isinstance(value, ast.Constant):
                at = source.span(value)[0]
                source.edit(at, at, nones)
            else:
                simple = isinstance(value, (ast.Name, ast.Attribute, ast.Call))
                start, end = source.span(value)
                source.edit(start, start, f"({nones}*" + ("" if simple else "("))
                source.edit(end, end, ")" if simple else "))")


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _is_super(statement: ast.stmt) -> bool:
    """super().__init__() or Function.__init__(self): nothing to do any more."""
    if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)):
        return False
    function = statement.value.func
    return isinstance(function, ast.Attribute) and function.attr == "__init__"


def _header_end(source: Source, function: ast.FunctionDef) -> int:
    """The line of the colon that ends `def f(...):`."""
    import io
    import tokenize

    start = source.line_start(function.lineno)
    depth = 0
    for token in tokenize.generate_tokens(io.StringIO(source.text[start:]).readline):
        if token.string and token.string in "([{":
            depth += 1
        elif token.string and token.string in ")]}":
            depth -= 1
        elif token.string == ":" and depth == 0:
            return function.lineno + token.start[0] - 1
    raise Refused("its header cannot be read")
