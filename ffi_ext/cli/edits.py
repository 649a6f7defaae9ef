"""A Python source and edits of its text by the places of its syntax tree; what is not edited stays byte for byte."""

from __future__ import annotations

import ast
import functools
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence

from ffi_ext.legacy import async_names


def parse(text: str) -> ast.Module:
    """ast.parse() for others' files: without warnings of their "\\d", and Python 2's `except A, e` is an error.

    Raises:
        SyntaxError, ValueError: The text is no Python 3.
        RecursionError: It is nested too deeply for this Python.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(text)
        except MemoryError:  # of the parser's own stack; it has no text
            raise RecursionError("it is nested too deeply for Python's parser") from None
    lines: list[str] = []
    for node in nodes(tree):
        caught = node.type if isinstance(node, ast.ExceptHandler) else None
        if not isinstance(caught, ast.Tuple):
            continue
        lines = lines or re.split(r"\r\n|\n|\r", text)
        begin = lines[caught.lineno - 1].encode("utf-8")[caught.col_offset :]
        if not begin.startswith(b"("):  # Python 3.14 takes it for two exceptions
            place = (None, caught.lineno, caught.col_offset + 1, None)
            raise SyntaxError("multiple exception types must be parenthesized", place)
    return tree


def parse_old(text: str) -> tuple[ast.Module, str, int]:
    """parse() of what Python 3.6 takes, too: the tree, its text, and how often an `async` was renamed in that."""
    try:
        return parse(text), text, 0
    except SyntaxError:
        today, count = async_names.renamed(text)
        if not count:
            raise
        return parse(today), today, count


@functools.lru_cache(maxsize=1)
def nodes(tree: ast.AST) -> tuple[ast.AST, ...]:
    """What ast.walk gives, which takes most of doctor's time where every question walks anew."""
    return tuple(ast.walk(tree))


class Source:
    """Text, its tree, and the edits to make.

    Raises:
        SyntaxError, ValueError: The text is no Python 3.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.tree = parse(text)
        self.newline = "\r\n" if "\r\n" in text else "\n"
        self._starts = [0, *(m.end() for m in re.finditer(r"\r\n|\n|\r", text))]
        self._lines = [
            text[a:b] for a, b in zip(self._starts, [*self._starts[1:], len(text)], strict=True)
        ]
        self._edits: list[tuple[int, int, str]] = []
        self.parents = {
            id(child): node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)
        }

    def offset(self, line: int, column: int) -> int:
        """Of a line (from 1) and a column in UTF-8 bytes, as the tree has them."""
        in_line = self._lines[line - 1].encode("utf-8")[:column].decode("utf-8")
        return self._starts[line - 1] + len(in_line)

    def line_start(self, line: int) -> int:
        """Where a line (from 1) begins; the end of the text for the one after the last."""
        return self._starts[line - 1] if line <= len(self._starts) else len(self.text)

    def span(self, node: ast.AST) -> tuple[int, int]:
        where: ast.expr = node  # type: ignore[assignment]
        return (
            self.offset(where.lineno, where.col_offset),
            self.offset(where.end_lineno or 0, where.end_col_offset or 0),
        )

    def of(self, node: ast.AST) -> str:
        """The text of a node."""
        start, end = self.span(node)
        return self.text[start:end]

    def edit(self, start: int, end: int, text: str) -> None:
        self._edits.append((start, end, text.replace("\n", self.newline)))

    def insert(self, at: int, text: str) -> None:
        """Text of this source: its line breaks are the source's own."""
        self._edits.append((at, at, text))

    def remove(self, start: int, end: int) -> None:
        """A part goes, and with it the edits inside it."""
        self._edits = [e for e in self._edits if not (start <= e[0] and e[1] <= end)]
        self.edit(start, end, "")

    def replace(self, node: ast.AST, text: str) -> None:
        self.edit(*self.span(node), text)

    def edit_around(self, node: ast.AST, inner: Sequence[ast.AST], texts: Sequence[str]) -> None:
        """Nodes inside of a node stay, with the edits in them; what is around them becomes the texts."""
        spans = [self.span(one) for one in inner]
        starts = [self.span(node)[0], *(end for _, end in spans)]
        ends = [*(start for start, _ in spans), self.span(node)[1]]
        for start, end, text in zip(starts, ends, texts, strict=True):
            self.edit(start, end, text)

    def indent(self, node: ast.stmt) -> str:
        """The blanks before a statement."""
        start = self.line_start(node.lineno)
        return self.text[start : self.span(node)[0]]

    def result(self) -> str:
        """The text with the edits made."""
        return self.applied(0, len(self.text))

    def applied(self, start: int, end: int) -> str:
        """A part of the text with the edits inside it made. Edits do not overlap."""
        out, at = [], start
        for first, last, text in sorted(self._edits, key=lambda e: (e[0], e[1])):
            if start <= first and last <= end:
                assert first >= at, "edits overlap"
                out += [self.text[at:first], text]
                at = last
        return "".join([*out, self.text[at:end]])

    def body_of(self, node: ast.stmt) -> list[ast.stmt] | None:
        """The list of statements that a statement stands in."""
        parent = self.parents.get(id(node))
        for name in ("body", "orelse", "finalbody"):
            block = getattr(parent, name, None)
            if isinstance(block, list) and any(item is node for item in block):
                return block
        return None


def last_name(node: ast.expr) -> str:
    """The last name of a dotted one: Function of torch.autograd.Function."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function without those of functions inside it, in the order of the text."""
    waiting = [function]
    while waiting:  # a sum of 5000 terms is nested so deeply
        node = waiting.pop()
        if node is not function:
            yield node
        children = list(ast.iter_child_nodes(node))
        inner = (ast.FunctionDef, ast.Lambda, ast.ClassDef)
        waiting += [child for child in reversed(children) if not isinstance(child, inner)]


def imported(nodes: Iterable[ast.AST]) -> set[str]:
    """The names that `import` gives modules, where these statements are such."""
    return {a.asname or a.name for n in nodes if isinstance(n, ast.Import) for a in n.names}


def with_import(text: str, line: str) -> str:
    """The text with an import after its docstring and __future__ imports, unless it has it."""
    if re.search(rf"^{re.escape(line)}\s*$", text, re.M):
        return text
    source = Source(text)
    after = 0
    for node in source.tree.body:
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
        if not (docstring or future):
            break
        after = node.end_lineno or after
    if after == 0:  # below a #! line, an encoding and the licence above the first statement
        first = source.tree.body[0].lineno if source.tree.body else 1
        at = source.line_start(first)
    else:
        at = source.line_start(after + 1)
    source.edit(at, at, line + "\n")
    return source.result()
