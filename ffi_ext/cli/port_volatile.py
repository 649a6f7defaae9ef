"""`Variable(x, volatile=True)`, kept for no gradient, becomes `with torch.no_grad():` around what follows."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Collection
from pathlib import PurePath

from ffi_ext.cli.edits import Source, imported, with_import

# What has the lines of a text in it. f-strings are several tokens from Python 3.12 on.
_TEXTS = (tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING))


def volatile(text: str, file: PurePath, notes: list[str]) -> str:
    """`Variable(x, volatile=True)` becomes `Variable(x)`, and what follows it runs under torch.no_grad()."""
    while "volatile" in text:  # one a round: places move
        source = Source(text)
        calls = [
            (node, keyword)
            for node in ast.walk(source.tree)
            if isinstance(node, ast.Call)
            for keyword in node.keywords
            if keyword.arg == "volatile"
        ]
        if not calls:
            return text
        call, keyword = calls[0]
        _drop_keyword(source, call, keyword)
        text, value = source.result(), keyword.value
        if isinstance(value, ast.Constant) and not value.value:  # volatile=False
            continue
        statement = _statement(source, call)
        words = "torch.no_grad()"
        if not isinstance(value, ast.Constant):
            words = f"torch.set_grad_enabled(torch.is_grad_enabled() and not ({source.of(value)}))"
        if _is_within(source, statement, ("torch.no_grad()", words)):
            continue
        block = source.body_of(statement)
        rest = block[block.index(statement) :] if block else []
        if why := _why_no_block(source, statement, rest):
            notes.append(
                f"{file}:{call.lineno}: volatile is removed and no `with {words}:` put in its place, since "
                f"{why}: put one around what needs no gradient"
            )
            continue
        if _is_returned(call, statement, rest):
            notes.append(
                f"{file}:{call.lineno}: what was volatile here is returned: put `with torch.no_grad():` around what "
                "is computed of it, too"
            )
        text = _wrapped(source, text, rest, words)
        if "torch" not in imported(ast.walk(source.tree)):
            text = with_import(text, "import torch")
    return text


def _why_no_block(source: Source, statement: ast.stmt, rest: list[ast.stmt]) -> str:
    """Why no `with` can be put around a statement and the rest of its block; "" if it can."""
    inside = [node for one in rest for node in ast.walk(one)]
    if any(isinstance(node, ast.Attribute) and node.attr == "backward" for node in inside):
        return "something after it calls backward()"
    if any(isinstance(node, (ast.Yield, ast.YieldFrom)) for node in inside):
        return "a block that yields is left to those who take what it gives"
    owner = source.parents.get(id(statement))
    wrappable = isinstance(owner, (ast.FunctionDef, ast.For, ast.While, ast.With, ast.Module))
    # a value of a parameter, or in a decorator, which stands above the line of its `def`
    wrappable = wrappable and not isinstance(statement, (ast.FunctionDef, ast.ClassDef))
    if not wrappable or source.indent(statement).strip():  # or not the first on its line
        return "what depends on it stands outside this block"
    return ""


def _drop_keyword(source: Source, call: ast.Call, keyword: ast.keyword) -> None:
    """With the comma before it, or after it where it is the first."""
    start = source.span(keyword)[0]
    end = source.span(keyword)[1]
    before = [*call.args, *(k for k in call.keywords if k is not keyword)]
    before = [node for node in before if source.span(node)[0] < start]
    if before:
        start = max(source.span(node)[1] for node in before)
        inside = source.text[start : source.span(keyword)[0]]
        if "#" in inside:  # a comment between them stays
            start += inside.index(",")
            source.edit(start, start + 1, "")
            start = source.span(keyword)[0]
    else:
        comma = re.match(r"\s*,\s*", source.text[end:])
        end += comma.end() if comma else 0
    source.edit(start, end, "")


def _statement(source: Source, node: ast.AST) -> ast.stmt:
    while not isinstance(node, ast.stmt):
        node = source.parents[id(node)]
    return node


def _is_within(source: Source, node: ast.AST, words: Collection[str]) -> bool:
    """Whether it stands in a `with` of one of these in its function."""
    while not isinstance(node, (ast.FunctionDef, ast.Module)):
        node = source.parents[id(node)]
        if isinstance(node, ast.With) and any(
            source.of(item.context_expr) in words for item in node.items
        ):
            return True
    return False


def _is_returned(call: ast.Call, statement: ast.stmt, rest: list[ast.stmt]) -> bool:
    """Whether a function gives away what the call makes, itself or in a tuple."""
    names = {t.id for t in getattr(statement, "targets", []) if isinstance(t, ast.Name)}
    returned = [n.value for s in rest for n in ast.walk(s) if isinstance(n, ast.Return)]
    single = [one for v in returned for one in (v.elts if isinstance(v, ast.Tuple) else [v])]
    return any(one is call or isinstance(one, ast.Name) and one.id in names for one in single)


def _wrapped(source: Source, bare: str, rest: list[ast.stmt], words: str) -> str:
    """`bare`, the text without the keyword, with `with words:` around the statements of `rest`.

    Lines inside texts in three quotes are not moved.
    """
    first, last = rest[0].lineno, rest[-1].end_lineno or 0
    lines = re.findall(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+\Z", bare)
    last -= len(re.findall(r"\r\n|\n|\r", source.text)) - len(re.findall(r"\r\n|\n|\r", bare))
    inside: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(bare).readline):
        if token.type in _TEXTS:
            inside |= set(range(token.start[0] + 1, token.end[0] + 1))
    indent = source.indent(rest[0])
    step = "\t" if indent.startswith("\t") else "    "
    moved = [
        line if number in inside or not line.strip() else step + line
        for number, line in enumerate(lines[first - 1 : last], start=first)
    ]
    head = f"{indent}with {words}:{source.newline}"
    return "".join([*lines[: first - 1], head, *moved, *lines[last:]])
