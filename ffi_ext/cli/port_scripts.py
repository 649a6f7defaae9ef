"""Build scripts, generated __init__ files, `.data[0]`, `.data.resize_()` and the like: what each becomes today."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Collection
from pathlib import PurePath

from ffi_ext.cli.edits import Source, last_name, with_import
from ffi_ext.cli.survey import is_called_build_extension, is_index, is_reshape
from ffi_ext.cli.survey_names import BROUGHT_BACK, optional_imports

OLD = "torch.utils.ffi"
# What a number's name looks like, for `.data[0]`, which on anything longer was an index.
NUMBER = re.compile(
    r"(?:loss|cost|err|error|acc|accuracy|norm|energy|entropy|nll|kld?|prec\d*|penalty|score_sum)s?(?:$|[_\d])",
    re.I,
)
REDUCTIONS = {"sum", "mean", "norm", "prod", "max", "min", "std", "var", "median", "dot", "dist"}
# What has the lines of a text in it. f-strings are several tokens from Python 3.12 on.
_TEXTS = (tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING))


def imports(text: str) -> str:
    """create_extension comes from ffi_ext; what else torch.utils.ffi had, from ffi_ext.torch_utils_ffi."""
    if "torch.utils" not in text:
        return text
    source = Source(text)
    called = [node.func for node in ast.walk(source.tree) if is_called_build_extension(node)]  # type: ignore[attr-defined]
    for name in called:
        source.replace(name, "create_extension")
    uses = [n for n in ast.walk(source.tree) if getattr(n, "id", "") == "BuildExtension"]
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom) and not node.level:
            lines = _from(node, bool(called), len(uses) > len(called))
        elif isinstance(node, ast.Import):
            lines = _import(node)
        else:
            continue
        if lines is not None:
            before = source.indent(node)  # or `try:`, and the like
            source.replace(node, ("; " if before.strip() else "\n" + before).join(lines))
    for node in ast.walk(source.tree):  # torch.utils.ffi.create_extension(...)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == OLD:
            home = "ffi_ext" if node.attr == "create_extension" else "ffi_ext.torch_utils_ffi"
            source.replace(node.value, home)
    return source.result()


def _line(start: str, names: list[ast.alias]) -> list[str]:
    """The import that begins so and brings these names, if there are any."""
    return [f"{start} {', '.join(map(ast.unparse, names))}"] if names else []


def _from(node: ast.ImportFrom, called: bool, used: bool) -> list[str] | None:
    """What an import becomes. BuildExtension may be called as create_extension, and be used as what it is."""
    if node.module == OLD:
        ours = [a for a in node.names if a.name in ("create_extension", "*")]
        rest = [a for a in node.names if a not in ours]
        lines = ["from ffi_ext import create_extension" + _as(a) for a in ours]
        return lines + _line("from ffi_ext.torch_utils_ffi import", rest)
    if node.module == "torch.utils" and any(a.name == "ffi" for a in node.names):
        ffi = [a for a in node.names if a.name == "ffi"]
        rest = [a for a in node.names if a.name != "ffi"]
        lines = [f"from ffi_ext import torch_utils_ffi as {a.asname or 'ffi'}" for a in ffi]
        return _line("from torch.utils import", rest) + lines
    if node.module == "torch.utils.cpp_extension":
        names = {(a.name, a.asname) for a in node.names}
        renamed, plain = ("BuildExtension", "create_extension"), ("BuildExtension", None)
        if renamed in names or (called and plain in names):
            gone = {renamed, plain} if called and not used else {renamed}
            rest = [a for a in node.names if (a.name, a.asname) not in gone]
            lines = _line("from torch.utils.cpp_extension import", rest)
            return [*lines, "from ffi_ext import create_extension"]
    return None


def _as(alias: ast.alias) -> str:
    return f" as {alias.asname}" if alias.asname else ""


def _import(node: ast.Import) -> list[str] | None:
    ours = [a for a in node.names if a.name == OLD]
    if not ours:
        return None
    rest = [a for a in node.names if a.name != OLD]
    lines = _line("import", rest)
    for alias in ours:
        if alias.asname:
            lines.append(f"from ffi_ext import torch_utils_ffi as {alias.asname}")
        else:  # it bound `torch`, too
            lines += ["import torch"] if "import torch" not in lines else []
            lines += ["import ffi_ext", "import ffi_ext.torch_utils_ffi"]
    return lines


def setup(text: str, file: PurePath, notes: list[str]) -> tuple[str, bool]:
    """A setup.py that builds extensions asks for ffi-ext when it is installed. Returns whether it is one."""
    of_its_own = "create_extension" in text and ".distutils_extension" in text
    if "cffi_modules" not in text and not of_its_own:
        return text, False
    source = Source(text)
    found = False
    for node in ast.walk(source.tree):
        if not (isinstance(node, ast.Call) and last_name(node.func) == "setup"):
            continue
        keywords = {keyword.arg: keyword for keyword in node.keywords}
        modules = keywords.get("cffi_modules") or (of_its_own and keywords.get("ext_modules"))
        if modules:
            found = True
            _require(source, keywords, modules, file, notes)
        elif None in keywords:  # **options
            notes.append(
                f"{file}:{node.lineno}: setup() gets its extensions by **: add 'ffi-ext' to install_requires, and to "
                "the requires of [build-system] in a pyproject.toml"
            )
    return source.result(), found


def _require(
    source: Source,
    keywords: dict[str | None, ast.keyword],
    modules: ast.keyword,
    file: PurePath,
    notes: list[str],
) -> None:
    """ffi-ext among install_requires, which a setup.py may not have."""
    if "install_requires" not in keywords:
        start = source.span(modules)[0]
        before = source.text[source.line_start(modules.lineno) : start]
        source.edit(
            start,
            start,
            'install_requires=["ffi-ext"],' + (" " if before.strip() else f"\n{before}"),
        )
        return
    required = keywords["install_requires"].value
    if "ffi" in source.of(required).replace("cffi", ""):
        return
    if isinstance(required, ast.List):
        start = source.span(required)[0] + 1
        source.edit(start, start, '"ffi-ext"' + (", " if required.elts else ""))
    else:
        notes.append(
            f"{file}:{required.lineno}: install_requires is no list here: add 'ffi-ext' to what it is"
        )


def gone(text: str, file: PurePath, notes: list[str]) -> None:
    """Names of torch's that `ffi-ext run` brings back, and nothing does for a script that runs by itself."""
    if not any(name.rpartition(".")[2] in text for name in BROUGHT_BACK):
        return
    tree = ast.parse(text)
    optional = set(optional_imports(tree))
    told: set[str] = set()
    for node in ast.walk(tree):
        names: set[str] = set()
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names = {alias.name for alias in node.names}
        elif isinstance(node, ast.Attribute):
            names = {ast.unparse(node)}
        for name in names & set(BROUGHT_BACK) - told:
            if node not in optional:
                told.add(name)
                line = node.lineno  # type: ignore[attr-defined]
                notes.append(f"{file}:{line}: torch has no {name} any more: {BROUGHT_BACK[name]}")


def first_elements(text: str, file: PurePath, notes: list[str]) -> str:
    """`loss.data[0]` becomes `loss.item()` where it is a number by its name or by what computed it."""
    if not re.search(r"\.data\b", text):
        return text
    source = Source(text)
    computed = {
        ast.unparse(target)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Assign) and _is_number(node.value)
        for target in node.targets
    }
    for node in ast.walk(source.tree):
        if not (isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load)):
            continue
        if not (isinstance(node.slice, ast.Constant) and node.slice.value in (0,)):
            continue
        base = node.value
        if isinstance(base, ast.Call) and last_name(base.func) == "cpu" and not base.args:
            base = base.func.value if isinstance(base.func, ast.Attribute) else base
        if not (isinstance(base, ast.Attribute) and base.attr == "data"):
            continue
        name = last_name(base.value)
        if ast.unparse(base.value) in computed or _is_number(base.value) or NUMBER.search(name):
            source.replace(node, f"{source.of(base.value)}.item()")
        elif "torch" in text:  # else it is some other library's data
            tensor = source.of(base).rpartition(".")[0]  # with its parentheses
            notes.append(
                f"{file}:{node.lineno}: {source.of(node)} stays as it is: if it is a number write "
                f"{tensor}.item(); the first of several is {source.of(base)}[0] still"
            )
    return source.result()


def indices(text: str) -> str:
    """`tensor.index((rows,))` becomes `tensor[(rows,)]`."""
    if ".index(" not in text:
        return text
    source = Source(text)
    for node in ast.walk(source.tree):
        if is_index(node):
            _, end = source.span(node)
            first, last = source.span(node.args[0])  # type: ignore[attr-defined]
            dot = source.text.rindex(".", 0, source.span(node.func)[1])  # type: ignore[attr-defined]
            source.edit(dot, first, "[")
            source.edit(last, end, "]")
    return source.result()


def reshapes(text: str, file: PurePath, notes: list[str]) -> str:
    """`x.data.resize_(n).copy_(y)` becomes `x.data = x.data.resize_(n).copy_(y)`: `.data` has a shape of its own."""
    if not re.search(r"\.data\b", text):
        return text
    source = Source(text)
    for node in ast.walk(source.tree):
        if not is_reshape(node):
            continue
        data = node.func.value  # type: ignore[attr-defined]
        outer = source.parents[id(node)]
        while isinstance(outer, ast.Attribute) and outer.attr.endswith("_"):
            call = source.parents[id(outer)]  # each of these gives back what it changed
            outer = source.parents[id(call)]
        start, _ = source.span(node)
        if isinstance(outer, ast.Expr):
            source.edit(start, start, f"{source.of(data)} = ")
        elif not (
            isinstance(outer, ast.Assign) and source.of(data) in map(source.of, outer.targets)
        ):
            notes.append(
                f"{file}:{node.lineno}: {source.of(node)} changed {source.of(data.value)}, too; today it does not: "  # type: ignore[attr-defined]
                f"if that is wanted, assign what it gives to {source.of(data)}"
            )
    return source.result()


def _is_number(value: ast.expr) -> bool:
    """Whether a call's result has no dimensions: a loss, or a reduction of everything."""
    if not isinstance(value, ast.Call):
        return False
    name = last_name(value.func)
    reduced = name in REDUCTIONS and isinstance(value.func, ast.Attribute)
    if reduced and isinstance(value.func, ast.Attribute):
        return not value.args and not value.keywords or name in ("dot", "dist")
    return name == "criterion" or name.endswith(("_loss", "Loss")) and name != "Loss"


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
        names = {
            a.asname or a.name
            for n in ast.walk(source.tree)
            if isinstance(n, ast.Import)
            for a in n.names
        }
        if "torch" not in names:
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
