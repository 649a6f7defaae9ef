"""What calls and classes of before PyTorch 0.4 look like in a syntax tree."""

from __future__ import annotations

import ast
import re
from typing import Any

from ffi_ext import legacy
from ffi_ext.cli.edits import last_name, nodes, own_nodes


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


def is_index(node: ast.AST) -> bool:
    """`tensor.index((rows,))`, or `x.view(-1).index(rows)`. Without a tuple others may be of a list or a text."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return False
    (index, *more), of = node.args or [None], node.func.value
    is_tuple = isinstance(index, ast.Tuple) and len(index.elts) == 1
    is_tensors = index is not None and isinstance(of, ast.Call) and last_name(of.func) == "view"
    return node.func.attr == "index" and not (more or node.keywords) and (is_tuple or is_tensors)


def reshapes(tree: ast.Module) -> list[ast.Call]:
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
    return [n for n in filter(_is_reshape, nodes(tree)) if id(n) not in assigned]  # type: ignore[misc]


def _is_reshape(node: ast.AST) -> bool:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return False
    data = node.func.value
    return (
        node.func.attr in legacy.RESHAPES
        and isinstance(data, ast.Attribute)
        and data.attr == "data"
        and isinstance(data.value, (ast.Name, ast.Attribute, ast.Subscript))
        and last_name(data.value) != "self"  # a set of data, and its tensor
    )


def nexts(tree: ast.Module) -> list[ast.Call]:
    """`batches.next()` of what is an `iter(...)`, as a loader's."""
    made = [n for n in nodes(tree) if isinstance(n, ast.Assign) and _is_iter(n.value)]
    known = {ast.unparse(target) for node in made for target in node.targets}
    return [
        node
        for node in nodes(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "next"
        and not node.args
        and (_is_iter(node.func.value) or ast.unparse(node.func.value) in known)
    ]


def _is_iter(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "iter"


def adds_with_dot(node: ast.Call) -> bool:
    """`self.add_module("norm.1", ...)`."""
    name = node.args[0] if last_name(node.func) == "add_module" and node.args else None
    return isinstance(name, ast.Constant) and "." in str(name.value)


def compared_with_empty(tree: ast.Module) -> list[ast.Compare]:
    """`dets == []` of what is used as an array, `dets[:, 4]`: evaluations ask so for a class without detections."""
    arrays = {
        ast.unparse(node.value)
        for node in nodes(tree)
        if (isinstance(node, ast.Attribute) and node.attr in ("astype", "shape"))
        or (isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple))
    }
    return [
        node
        for node in nodes(tree)
        if isinstance(node, ast.Compare)
        and [type(op) for op in node.ops] == [ast.Eq]
        and ast.unparse(node.left) in arrays
        and ast.unparse(node.comparators[0]) == "[]"
    ]


def other_numbers(node: ast.AST) -> str:
    """What is said of code that runs, and gives other numbers than it did, or ""."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return ""
    keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
    name = node.func.attr
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
    if last_name(node.func.value) not in ("F", "functional", "nn"):
        return ""
    if re.fullmatch("dropout[23]?d?", name) and len(node.args) < 3 and "training" not in keywords:
        return (
            "dropout without training: it was False until PyTorch 1.0, and is True, so that it drops in evaluation, "
            "too: pass training=self.training"
        )
    if name in ("pairwise_distance", "PairwiseDistance") and "keepdim" not in keywords:
        return (
            "pairwise_distance without keepdim: it was True until PyTorch 0.4, and is False: beside labels of one "
            "column a loss is of each with each: pass keepdim=True"
        )
    return ""


def asked_whether_empty(tree: ast.Module) -> list[tuple[ast.expr, ast.Attribute]]:
    """What asks a tensor for the dimensions that an empty one had not until PyTorch 0.4.1, and its `x.size` or `x.dim`.

    `if x.size():`, and `x.dim() == 0` or `len(x.size()) > 0` of what nonzero() or a mask chose, which never is a number.
    """
    conditions = (node.test for node in nodes(tree) if isinstance(node, (ast.If, ast.IfExp)))
    found: list[Any] = [(call, call.func) for test in conditions for call in _sizes(test)]
    chosen = {
        ast.unparse(node.targets[0])
        for node in nodes(tree)
        if isinstance(node, ast.Assign) and _is_chosen(node.value)
    }
    for node in nodes(tree):
        if isinstance(node, ast.Compare) and re.search("(==|!=|>) 0$", ast.unparse(node)):
            asked = attribute = node.left
            if is_len := ast.unparse(asked).startswith("len(") and bool(getattr(asked, "args", 0)):
                attribute = asked.args[0]  # type: ignore[attr-defined]
            attribute = getattr(attribute, "func", attribute)
            names = ("size", "shape") if is_len else ("dim", "ndimension")
            if isinstance(attribute, ast.Attribute) and attribute.attr in names:
                if ast.unparse(attribute.value) in chosen or _is_chosen(attribute.value):
                    found.append((asked, attribute))
    return found


def _is_chosen(node: ast.AST) -> bool:
    """By nonzero() or a mask; squeezed it may be a number today."""
    text = ast.unparse(node)
    return bool(re.search(r"nonzero|masked_select|\[\w*mask\]$", text)) and "squeeze" not in text


def _sizes(test: ast.expr) -> list[ast.Call]:
    """The `x.size()` that an `if` has as its condition, also negated, or as a part of it."""
    if isinstance(test, ast.BoolOp):
        return [call for value in test.values for call in _sizes(value)]
    if isinstance(test, ast.UnaryOp):
        return _sizes(test.operand)
    is_size = isinstance(test, ast.Call) and last_name(test.func) == "size" and not test.args
    return [test] if is_size and isinstance(test.func, ast.Attribute) else []  # type: ignore[attr-defined,list-item]


def _is_class_of(node: ast.AST) -> bool:
    """`type(x)` or `x.__class__`."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "type" and len(node.args) == 1
    return isinstance(node, ast.Attribute) and node.attr == "__class__"


def asks_for_variable(node: ast.AST) -> bool:
    """`type(x) == Variable`, also with `is` and `!=`."""
    return (
        isinstance(node, ast.Compare)
        and isinstance(node.ops[0], (ast.Eq, ast.NotEq, ast.Is, ast.IsNot))
        and len(node.ops) == 1
        and _is_class_of(node.left)
        and last_name(node.comparators[0]) == "Variable"
    )


def loads_yaml(node: ast.AST) -> bool:
    """`yaml.load(file)`, without a Loader."""
    is_load = isinstance(node, ast.Call) and ast.unparse(node.func) == "yaml.load"
    return is_load and len(node.args) == 1 and not node.keywords  # type: ignore[attr-defined]


def counts_masks(node: ast.AST) -> bool:
    """`(x >= low) + (x < high) == 2`."""
    return (
        isinstance(node, ast.Compare)
        and isinstance(node.left, ast.BinOp)
        and isinstance(node.left.op, ast.Add)
        and isinstance(node.left.left, ast.Compare)
        and isinstance(node.left.right, ast.Compare)
        and ast.unparse(node).endswith(" == 2")
        and len(node.ops) == 1
    )


def sets_size_average(tree: ast.Module) -> list[ast.Assign]:
    """`criterion.size_average = False`, also of `self.criterion`, where no loss of the file's own has one."""
    found = [
        node
        for node in nodes(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Attribute)
        and node.targets[0].attr == "size_average"
        and ast.unparse(node.value) in ("False", "True")
    ]
    return [] if found and "self.size_average" in ast.unparse(tree) else found


_OF_INDICES = {"kthvalue", "max", "median", "min", "mode", "sort", "topk"}
_OF_ARRAYS = {"max", "min"}  # of NumPy, too, where `right, bottom = points.max(0)` are no indices


def divided_indices(tree: ast.Module) -> list[ast.BinOp]:
    """`best / words` of the places that `scores.topk(k)` gives, of which a beam search makes the rows in its beam."""
    found: list[ast.BinOp] = []
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
        found += [
            node
            for node in own
            if isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.Div)
            and ast.unparse(node.left) in places
            and not (isinstance(node.right, ast.Constant) and isinstance(node.right.value, float))
        ]
    return found


def _places(node: ast.Assign) -> str:
    """What `scores, places = x.topk(k)` or `places = x.topk(k)[1]` gives the places to, or ""."""
    target, value = node.targets[0], node.value
    is_left_out = False
    if isinstance(target, ast.Tuple) and len(target.elts) == 2:
        is_left_out = ast.unparse(target.elts[0]) == "_"
        target = target.elts[1]
    elif isinstance(value, ast.Subscript) and ast.unparse(value.slice) == "1":
        value = value.value
    else:
        return ""
    if not (isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute)):
        return ""
    name, of = value.func.attr, ast.unparse(value.func.value)
    if name not in _OF_INDICES or of in ("np", "numpy"):
        return ""
    is_of_tensors = name not in _OF_ARRAYS or is_left_out or of == "torch"
    return ast.unparse(target) if is_of_tensors else ""


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


def is_called_build_extension(node: ast.AST) -> bool:
    """Whether it is BuildExtension(headers=...): create_extension's arguments for a command of setuptools."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "BuildExtension"
        and any(keyword.arg == "headers" for keyword in node.keywords)
    )
