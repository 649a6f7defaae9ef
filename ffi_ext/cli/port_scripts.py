"""Build scripts, generated __init__ files, `.data[0]`, `.data.resize_()` and the like: what each becomes today."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection
from pathlib import PurePath

from ffi_ext.cli import old_code, survey_names
from ffi_ext.cli.edits import Source, imported, last_name, parse
from ffi_ext.legacy import old_names

OLD = "torch.utils.ffi"
# What a number's name looks like, for `.data[0]`, which on anything longer was an index.
NUMBER = re.compile(
    r"(?:loss|cost|err|error|acc|accuracy|norm|energy|entropy|nll|kld?|prec\d*|penalty|score_sum)s?(?:$|[_\d])",
    re.I,
)
REDUCTIONS = {"sum", "mean", "norm", "prod", "max", "min", "std", "var", "median", "dot", "dist"}
# What may have a name of survey_names.BROUGHT_BACK, of old_names.OF_NUMPY or of collections.
_GONE = re.compile(
    "|".join(n.rpartition(".")[2] for n in (*survey_names.BROUGHT_BACK, *survey_names.OF_TORCH))
    + rf"|\b(np|numpy)\.({'|'.join(old_names.OF_NUMPY)})\b|\bcollections\b"
)


def imports(text: str) -> str:
    """create_extension comes from ffi_ext; what else torch.utils.ffi had, from ffi_ext.torch_utils_ffi."""
    if "torch.utils" not in text:
        return text
    source = Source(text)
    called = old_code.called_build_extensions(source.tree)
    for call in called:
        source.replace(call.func, "create_extension")
    uses = [n for n in ast.walk(source.tree) if getattr(n, "id", "") == "BuildExtension"]
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom) and not node.level:
            lines = _from(node, bool(called), len(uses) > len(called))
        elif isinstance(node, ast.Import):
            lines = _import(node, source.tree)
        else:
            continue
        if lines is not None:
            before = source.indent(node)  # or `try:`, and the like
            source.replace(node, ("; " if before.strip() else "\n" + before).join(lines))
    for node in ast.walk(source.tree):  # torch.utils.ffi.create_extension(...)
        if isinstance(node, ast.Attribute) and _is_old(node.value):
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


def _import(node: ast.Import, tree: ast.Module) -> list[str] | None:
    ours = [a for a in node.names if a.name == OLD]
    if not ours:
        return None
    rest = [a for a in node.names if a.name != OLD]
    lines = _line("import", rest)
    for alias in ours:
        if alias.asname:
            lines.append(f"from ffi_ext import torch_utils_ffi as {alias.asname}")
            continue
        if "torch" not in imported([node, *(n for n in tree.body if n.lineno < node.lineno)]):
            lines.append("import torch")  # which it bound, too
        lines.append("import ffi_ext")
        used = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and _is_old(n.value)}
        if used != {"create_extension"}:
            lines.append("import ffi_ext.torch_utils_ffi")
    return lines


def _is_old(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and ast.unparse(node) == OLD


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


def gone(text: str, file: PurePath, local: Collection[str], notes: list[str]) -> None:
    """Names of libraries that `ffi-ext run` brings back, and nothing does for a script that runs by itself."""
    if not _GONE.search(text):  # to look at libraries takes long
        return
    asked, given = survey_names.of_libraries(parse(text), set(local))
    for name, line in asked.items():
        if name not in given and survey_names.is_brought_back(name):
            notes.append(f"{file}:{line}: {survey_names.without(name)}")


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
        while _is_call_of(base, "numpy", "cpu"):
            base = base.func.value  # type: ignore[attr-defined]
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


def _is_call_of(node: ast.expr, *names: str) -> bool:
    is_method = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    return is_method and node.func.attr in names and not node.args  # type: ignore[attr-defined]


def expressions(text: str) -> str:
    """What is rewritten where it stands, by each of _REWRITES, in one reading."""
    source = Source(text)
    for rewrite in _REWRITES:
        rewrite(source)
    return source.result()


def _indices(source: Source) -> None:
    """`tensor.index((rows,))` becomes `tensor[(rows,)]`."""
    for call in old_code.indices(source.tree):
        first, last = source.span(call.args[0])
        dot = source.text.rindex(".", 0, source.span(call.func)[1])
        source.edit(dot, first, "[")
        source.edit(last, source.span(call)[1], "]")


def _variables(source: Source) -> None:
    """`type(x) == Variable` becomes `isinstance(x, Variable)`."""
    for compared in old_code.questions_for_variables(source.tree):
        asked = compared.left
        one = asked.args[0] if isinstance(asked, ast.Call) else asked.value
        negated = "not " * isinstance(compared.ops[0], (ast.NotEq, ast.IsNot))
        around = f"{negated}isinstance(", ", ", ")"
        source.edit_around(compared, (one, compared.comparators[0]), around)


def _masks(source: Source) -> None:
    """`(x >= low) + (x < high) == 2` becomes `((x >= low) & (x < high))`: bools that are added are no numbers."""
    for node in old_code.counted_masks(source.tree):
        source.edit_around(node, (node.left.left, node.left.right), ("((", ") & (", "))"))


def _sizes(source: Source) -> None:
    """`if x.size():` becomes `if x.numel():`, `x.dim() == 0` too: an empty tensor has a dimension since 0.4.1."""
    for asked, attribute in old_code.asked_whether_empty(source.tree):
        (start, last), (first, end) = source.span(asked), source.span(attribute)
        source.edit(start, first, "")
        source.edit(end - len(attribute.attr), last, "numel()")


def _empties(source: Source) -> None:
    """`if boxes == []:` becomes `if len(boxes) == 0:`: with an array that was False, and is an error."""
    for node in old_code.compared_with_empty(source.tree):
        source.edit_around(node, (node.left,), ("len(", ") == 0"))


def _divisions(source: Source) -> None:
    """`best / words` of indices becomes `best // words`: so whole numbers were divided until torch 1.5."""
    for node in old_code.divided_indices(source.tree):
        _, end = source.span(node.left)
        slash = source.text.index("/", end)
        source.edit(slash, slash + 1, "//")


def _averages(source: Source) -> None:
    """`criterion.size_average = False` becomes `criterion.reduction = "sum"`: nothing reads the other any more."""
    for node in old_code.size_averages(source.tree):
        end = source.span(node.targets[0])[1]
        source.edit(end - len("size_average"), end, "reduction")
        source.replace(node.value, '"mean"' if source.of(node.value) == "True" else '"sum"')


def _yaml_loads(source: Source) -> None:
    """`yaml.load(file)` becomes `yaml.full_load(file)`."""
    for node in old_code.yaml_loads(source.tree):
        source.replace(node.func, "yaml.full_load")


def _transforms(source: Source) -> None:
    """`transforms.Scale` becomes `transforms.Resize`."""
    for node in old_code.transforms(source.tree):
        new = old_names.OF_TRANSFORMS[node.attr]
        source.replace(node, f"{source.of(node.value)}.{new}")


def _iterators(source: Source) -> None:
    """`batches.next()` becomes `next(batches)`."""
    for node in old_code.nexts(source.tree):
        start, _ = source.span(node)
        _, end = source.span(node.func.value)
        end = source.text.index(".", end)  # behind its parentheses
        source.edit(start, start, "next(")
        source.edit(end, source.span(node)[1], ")")


_REWRITES = (
    _indices,
    _variables,
    _masks,
    _sizes,
    _empties,
    _divisions,
    _averages,
    _yaml_loads,
    _transforms,
    _iterators,
)


def reshapes(text: str, file: PurePath, notes: list[str]) -> str:
    """`x.data.resize_(n).copy_(y)` becomes `x.data = x.data.resize_(n).copy_(y)`: `.data` has a shape of its own."""
    if not re.search(r"\.data\b", text):
        return text
    source = Source(text)
    for node in old_code.reshapes(source.tree):
        data = node.func.value
        outer = source.parents[id(node)]
        while isinstance(outer, ast.Attribute) and outer.attr.endswith("_"):
            call = source.parents[id(outer)]  # each of these gives back what it changed
            outer = source.parents[id(call)]
        if isinstance(outer, ast.Expr):
            start, _ = source.span(outer)
            source.edit(start, start, f"{source.of(data)} = ")
        else:
            notes.append(
                f"{file}:{node.lineno}: {source.of(node)} changed {source.of(data.value)}, too; today it does not: "
                f"if that is wanted, assign what it gives to {source.of(data)}"
            )
    return source.result()


def _is_number(value: ast.expr) -> bool:
    """Whether a call's result has no dimensions: a loss, or a reduction of everything."""
    if not isinstance(value, ast.Call):
        return False
    name, function = last_name(value.func), value.func
    if name in REDUCTIONS and isinstance(function, ast.Attribute):
        tensors = 2 if name in ("dot", "dist") else 1
        others = tensors - (ast.unparse(function.value) != "torch")  # x.sum(), torch.sum(x)
        return len(value.args) == others and not value.keywords
    if {"reduce", "reduction"} & {keyword.arg for keyword in value.keywords}:
        return False
    losses = ("_loss", "Loss", "cross_entropy")
    return name == "criterion" or name.endswith(losses) and name != "Loss"
