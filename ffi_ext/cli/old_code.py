"""What calls and classes of before PyTorch 0.4 look like in a syntax tree."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Callable
from typing import Any

from ffi_ext.cli.edits import last_name, nodes, own_nodes
from ffi_ext.legacy import old_names

Finder = Callable[[ast.Module], list[Any]]


def _each(is_one: Callable[[ast.AST], bool]) -> Finder:
    """Finds what of a tree is so."""

    @functools.wraps(is_one)
    def find(tree: ast.Module) -> list[Any]:
        return [node for node in nodes(tree) if is_one(node)]

    return find


def is_old_function(node: ast.AST) -> bool:
    """Whether a class is an autograd Function whose forward is no static method."""
    return (
        isinstance(node, ast.ClassDef)
        and any(last_name(base) in ("Function", "InplaceFunction") for base in node.bases)
        and any(
            isinstance(item, ast.FunctionDef) and item.name == "forward" and not item.decorator_list
            for item in node.body
        )
    )


@_each
def called_build_extensions(node: ast.AST) -> bool:
    """BuildExtension(headers=...): create_extension's arguments for a command of setuptools."""
    match node:
        case ast.Call(ast.Name("BuildExtension"), _, keywords):
            return any(keyword.arg == "headers" for keyword in keywords)
    return False


@_each
def first_elements(node: ast.AST) -> bool:
    """`loss.data[0]`, of its array, too."""
    end = r"\.data(\.cpu\(\))?(\.numpy\(\))?\[0\]$"
    return isinstance(node, ast.Subscript) and bool(re.search(end, ast.unparse(node)))


@_each
def indices(node: ast.AST) -> bool:
    """`tensor.index((rows,))`, `x.view(-1).index(rows)`. Without a tuple that of others may be of a list or a text."""
    match node:
        case ast.Call(ast.Attribute(attr="index"), [ast.Tuple([_])], []):
            return True
        case ast.Call(ast.Attribute(ast.Call(ast.Attribute(attr="view")), "index"), [_], []):
            return True
    return False


def reshapes(tree: ast.Module) -> list[Any]:
    """`x.data.resize_(n)` of an x that has a name, but for `x.data = x.data.resize_(n)` and `x = ...`."""
    assigned = {
        id(node)
        for one in nodes(tree)
        if isinstance(one, ast.Assign)
        for node in filter(_is_reshape, ast.walk(one.value))
        if {ast.unparse(target) for target in one.targets}.intersection(
            map(ast.unparse, (node.func.value, node.func.value.value))  # type: ignore[attr-defined]
        )
    }
    return [node for node in filter(_is_reshape, nodes(tree)) if id(node) not in assigned]


def _is_reshape(node: ast.AST) -> bool:
    match node:
        case ast.Call(ast.Attribute(ast.Attribute(of, "data"), name)):
            is_named = isinstance(of, (ast.Name, ast.Attribute, ast.Subscript))
            # self.data is a set of data, and its tensor
            return name in old_names.RESHAPES and is_named and last_name(of) != "self"
    return False


def nexts(tree: ast.Module) -> list[Any]:
    """`batches.next()` of what is an `iter(...)`, as a loader's."""
    made = [n for n in nodes(tree) if isinstance(n, ast.Assign) and _is_iter(n.value)]
    known = {ast.unparse(target) for node in made for target in node.targets}

    def is_next(node: ast.AST) -> bool:
        match node:
            case ast.Call(ast.Attribute(of, "next"), []):
                return _is_iter(of) or ast.unparse(of) in known
        return False

    return [*filter(is_next, nodes(tree))]


def _is_iter(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "iter"


@_each
def names_with_dots(node: ast.AST) -> bool:
    """`self.add_module("norm.1", ...)`, `main.add_module("pyramid.{0}.relu".format(n), ...)`."""
    match node:
        case ast.Call(
            function,
            [ast.Constant(name) | ast.Call(ast.Attribute(ast.Constant(name), "format")), *_],
        ):
            return last_name(function) == "add_module" and "." in str(name)
    return False


def compared_with_empty(tree: ast.Module) -> list[Any]:
    """`dets == []` of what is used as an array, `dets[:, 4]`: evaluations ask so for a class without detections."""
    arrays = {
        ast.unparse(node.value)
        for node in nodes(tree)
        if (isinstance(node, ast.Attribute) and node.attr in ("astype", "shape"))
        or (isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple))
    }

    def is_so(node: ast.AST) -> bool:
        match node:
            case ast.Compare(left, [ast.Eq()], [ast.List([])]):
                return ast.unparse(left) in arrays
        return False

    return [*filter(is_so, nodes(tree))]


def asked_whether_empty(tree: ast.Module) -> list[tuple[ast.expr, ast.Attribute]]:
    """What asks a tensor for the dimensions that an empty one had not until PyTorch 0.4.1, and its `x.size` or `x.dim`.

    `if x.size():`, and `x.dim() == 0` or `len(x.size()) > 0` of what nonzero() or a mask chose: never a number.
    """
    conditions = (node.test for node in nodes(tree) if isinstance(node, (ast.If, ast.IfExp)))
    found: list[Any] = [(call, call.func) for test in conditions for call in _sizes(test)]
    functions = (node for node in nodes(tree) if isinstance(node, ast.FunctionDef))
    return found + [asked for scope in (tree, *functions) for asked in _dimensions_of_chosen(scope)]


def _dimensions_of_chosen(scope: ast.AST) -> list[Any]:
    found: list[Any] = []
    targets: set[ast.expr] = set()
    chosen: set[str] = set()  # what names are by then
    for node in own_nodes(scope):
        match node:
            case ast.Assign([target], value) if _is_chosen(value):
                targets.add(target)
            case ast.Name(ctx=ast.Store()) | ast.Attribute(ctx=ast.Store()):
                keep = chosen.add if node in targets else chosen.discard
                keep(ast.unparse(node))
            case ast.Compare(asked, [ast.Eq() | ast.NotEq() | ast.Gt()], [ast.Constant(0)]):
                attribute = _dimensions(asked)
                of = attribute and attribute.value
                if of and (_is_chosen(of) or ast.unparse(of) in chosen):
                    found.append((asked, attribute))
    return found


def _dimensions(node: ast.expr) -> ast.Attribute | None:
    """The `x.dim` of `x.dim()`, the `x.size` of `len(x.size())`, the `x.shape` of `len(x.shape)`."""
    match node:
        case (
            ast.Call(ast.Attribute(attr="dim" | "ndimension") as attribute, [])
            | ast.Call(ast.Name("len"), [ast.Call(ast.Attribute(attr="size") as attribute, [])])
            | ast.Call(ast.Name("len"), [ast.Attribute(attr="shape") as attribute])
        ):
            return attribute
    return None


def _is_chosen(node: ast.AST) -> bool:
    """By nonzero() or a mask, and no number today, as what is squeezed or summed may be."""
    while True:
        match node:
            case ast.BinOp(of) | ast.Call(
                ast.Attribute(of, "contiguous" | "cpu" | "cuda" | "long" | "view")
            ):
                node = of
            case ast.Subscript(_, ast.Name(name)):
                return name.endswith("mask")
            case ast.Call(ast.Attribute(attr="masked_select" | "nonzero")):
                return True
            case _:
                return False


def _sizes(test: ast.expr) -> list[Any]:
    """The `x.size()` that a condition is, also negated, or as a part of it."""
    match test:
        case ast.BoolOp(values=values):
            return [call for value in values for call in _sizes(value)]
        case ast.UnaryOp(operand=operand):
            return _sizes(operand)
        case ast.Call(ast.Attribute(attr="size"), []):
            return [test]
    return []


def _is_class_of(node: ast.AST) -> bool:
    """`type(x)` or `x.__class__`."""
    match node:
        case ast.Call(ast.Name("type"), [_]) | ast.Attribute(attr="__class__"):
            return True
    return False


@_each
def questions_for_variables(node: ast.AST) -> bool:
    """`type(x) == Variable`, also with `is` and `!=`."""
    match node:
        case ast.Compare(left, [ast.Eq() | ast.NotEq() | ast.Is() | ast.IsNot()], [other]):
            return _is_class_of(left) and last_name(other) == "Variable"
    return False


@_each
def yaml_loads(node: ast.AST) -> bool:
    """`yaml.load(file)`, without a Loader."""
    match node:
        case ast.Call(ast.Attribute(ast.Name("yaml"), "load"), [_], []):
            return True
    return False


def transforms(tree: ast.Module) -> list[Any]:
    """`transforms.Scale(256)`, of torchvision's: programs have modules of that name, too."""
    theirs: set[str] = set()
    for node in nodes(tree):
        match node:
            case ast.Import([ast.alias("torchvision.transforms" as name, shorter)]):
                theirs.add(shorter or name)
            case ast.ImportFrom("torchvision", names):
                theirs |= {a.asname or a.name for a in names if a.name == "transforms"}

    def is_renamed(node: ast.AST) -> bool:
        match node:
            case ast.Attribute(of, name):
                return name in old_names.OF_TRANSFORMS and ast.unparse(of) in theirs
        return False

    return [*filter(is_renamed, nodes(tree))] if theirs else []


@_each
def volatiles(node: ast.AST) -> bool:
    """`Variable(x, volatile=True)`."""
    return isinstance(node, ast.Call) and any(k.arg == "volatile" for k in node.keywords)


@_each
def counted_masks(node: ast.AST) -> bool:
    """`(x >= low) + (x < high) == 2`."""
    match node:
        case ast.Compare(
            ast.BinOp(ast.Compare(), ast.Add(), ast.Compare()), [ast.Eq()], [ast.Constant(2)]
        ):
            return True
    return False


def size_averages(tree: ast.Module) -> list[Any]:
    """`criterion.size_average = False`, also of `self.criterion`, where no loss of the file's own has one."""

    def is_set(node: ast.AST) -> bool:
        match node:
            case ast.Assign([ast.Attribute(attr="size_average"), *_], ast.Constant(bool())):
                return True
        return False

    found = [*filter(is_set, nodes(tree))]
    return [] if found and "self.size_average" in ast.unparse(tree) else found


# What `ffi-ext run` has work and `ffi-ext port` rewrites, as doctor calls it.
OLD: dict[str, Finder] = {
    "`.next()`": nexts,
    "`.data.resize_()`": reshapes,
    "`.data[0]`": first_elements,
    "`.index((i,))`": indices,
    "`transforms.Scale`": transforms,
    "`yaml.load(f)`": yaml_loads,
    "`volatile`": volatiles,
    "`type(x) == Variable`": questions_for_variables,
    "`loss.size_average =`": size_averages,
    "`(x > a) + (x < b) == 2`": counted_masks,
}

_OF_INDICES = {"kthvalue", "max", "median", "min", "mode", "sort", "topk"}
_OF_ARRAYS = {"max", "min"}  # of NumPy, too, where `right, bottom = points.max(0)` are no indices


def divided_indices(tree: ast.Module) -> list[Any]:
    """`best / words` of the places that `scores.topk(k)` gives, of which a beam search makes the rows in its beam."""
    found: list[ast.AST] = []
    for function in (node for node in nodes(tree) if isinstance(node, ast.FunctionDef)):
        own = tuple(own_nodes(function))
        places = {_places(node) for node in own if isinstance(node, ast.Assign)} - {""}
        # `places = places.float()` are none any more
        places -= {
            ast.unparse(target)
            for node in own
            if isinstance(node, ast.Assign) and not _places(node)
            for target in node.targets
        }
        for node in own:
            match node:
                case ast.BinOp(_, ast.Div(), ast.Constant(float())):
                    continue
                case ast.BinOp(left, ast.Div()) if ast.unparse(left) in places:
                    found.append(node)
    return found


def _places(node: ast.Assign) -> str:
    """What `scores, places = x.topk(k)` or `places = x.topk(k)[1]` gives the places to, or ""."""
    is_left_out = False
    match node:
        case ast.Assign([ast.Tuple([first, target]), *_], value):
            is_left_out = ast.unparse(first) == "_"
        case ast.Assign([target, *_], ast.Subscript(value, ast.Constant(1))):
            pass
        case _:
            return ""
    match value:
        case ast.Call(ast.Attribute(owner, name)) if name in _OF_INDICES:
            of = ast.unparse(owner)
            is_of_tensors = name not in _OF_ARRAYS or is_left_out or of == "torch"
            return ast.unparse(target) if is_of_tensors and of not in ("np", "numpy") else ""
    return ""


def other_numbers(tree: ast.Module) -> dict[str, int]:
    """What is said of code that runs, and gives other numbers than it did, and the line of the first such code."""
    found = [
        (
            "`if x.size()` or `x.dim() == 0`: an empty tensor had no dimensions until PyTorch 0.4.1, and has one: ask "
            "for x.numel(), as `ffi-ext port` does",
            [asked for asked, _ in asked_whether_empty(tree)],
        ),
        (
            "`if x == []` of an array was False until NumPy 1.25, and is an error: ask `if len(x) == 0`, as `ffi-ext "
            "port` writes",
            compared_with_empty(tree),
        ),
        (
            "a quotient of indices, which was rounded down until torch 1.5: write //, as `ffi-ext port` does",
            divided_indices(tree),
        ),
    ]
    found += [(_of_another_default(node), [node]) for node in nodes(tree)]
    return {said: those[0].lineno for said, those in reversed(found) if said and those}


def _of_another_default(node: ast.AST) -> str:
    """What is said of a call that leaves out an argument whose default was another, or ""."""
    match node:
        case ast.Call(ast.Attribute(of, name), arguments, given):
            keywords = {k.arg: ast.unparse(k.value) for k in given}
        case _:
            return ""
    scales = name in ("upsample", "Upsample") and "linear" in keywords.get("mode", "")
    if scales and "align_corners" not in keywords:
        return (
            "no align_corners: it was True in upsample until PyTorch 0.4, and is False: pass align_corners=True for "
            "the numbers of that time"
        )
    if name in ("grid_sample", "affine_grid") and "align_corners" not in keywords:
        return (
            "no align_corners: it was True in grid_sample and affine_grid until torch 1.3, as it is under `ffi-ext "
            "run`, and is False: pass align_corners=True for the numbers of that time"
        )
    if name == "PairwiseDistance" and last_name(of) == "nn":
        name = "pairwise_distance"
    elif last_name(of) not in ("F", "functional"):
        return ""  # tf.nn.dropout
    if re.fullmatch("dropout[23]?d?", name) and len(arguments) < 3 and "training" not in keywords:
        return (
            "dropout without training: it was False until PyTorch 1.0, as it is under `ffi-ext run`, and is True, so "
            "that it drops in evaluation, too: pass training=self.training"
        )
    if name == "pairwise_distance" and "keepdim" not in keywords:
        return (
            "pairwise_distance without keepdim: it was True until PyTorch 0.4, and is False: beside labels of one "
            "column a loss is of each with each: pass keepdim=True"
        )
    return ""


def asks_for_class(node: ast.AST) -> str:
    """What is wrong with a question for the class that tensors of one element type had until PyTorch 0.4, or ""."""
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        others = [side for side in sides if not _is_class_of(side)]
        if len(others) == len(sides):
            return ""
        classes = " ".join(
            # isinstance takes no lists
            ast.unparse(ast.Tuple(side.elts) if isinstance(side, (ast.List, ast.Set)) else side)
            for side in others
        )
        old = r"\btorch\.(cuda\.)?[A-Z]\w+Tensor\b"
        if re.search(old, classes) and not re.search(r"\btorch\.Tensor\b", classes):
            asked = ast.unparse(node)
            return f"{asked}: every tensor is a torch.Tensor since PyTorch 0.4: ask isinstance(x, {classes})"
    elif isinstance(node, ast.Call) and last_name(node.func) == "replace":
        asks = r"(type\(.+\)|.+\.__class__)\.__name__(?=\.replace\('Tensor',)"
        if found := re.match(asks, ast.unparse(node)):
            cure = "take x.type(), 'torch.FloatTensor' still"
            return f"{found[0]} is 'Tensor' for every tensor since PyTorch 0.4: {cure}"
    return ""
