"""What the scripts of a repository ask Python for: modules that are not installed, and names of Python 2."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ffi_ext import legacy
from ffi_ext.cli.edits import last_name

if TYPE_CHECKING:
    from ffi_ext.cli.doctor import Report

# What to install for a module of another name.
PACKAGES = {
    "PIL": "pillow",
    "cv2": "opencv-python",
    "distutils": "setuptools",
    "mpl_toolkits": "matplotlib",
    "pkg_resources": "'setuptools<81'",
    "pyximport": "cython",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}

# Names that Python 2 has, and what they are today; methods begin with a dot.
OF_PYTHON_2 = {
    "basestring": "str",
    "long": "int",
    "raw_input": "input",
    "reduce": "functools.reduce",
    "unichr": "chr",
    "unicode": "str",
    "xrange": "range",
    ".has_key": "key in dict",
    ".iteritems": ".items",
    ".iterkeys": ".keys",
    ".itervalues": ".values",
}
# In what a script asks before it does the one thing or the other.
ASKS_FOR_PYTHON = re.compile(r"version|\bPY_?[23]\b", re.I)


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def imports(imported: dict[str, str], local: set[str], report: Report) -> None:
    """What the scripts import and this Python does not have."""
    known = set(sys.stdlib_module_names) | local
    for name, where in sorted(imported.items()):
        if name in known:
            continue
        report.needs.append(name)
        found = _is_installed(name)
        if not found and (cure := legacy.gone(name)):
            report.problems.append(f"{where}: {cure}")
        elif not found:
            package = PACKAGES.get(name, name)
            report.problems.append(f"{where}: {name} is not installed: pip install {package}")


def optional_imports(tree: ast.Module) -> Iterator[ast.AST]:
    """The imports that a script does without: it catches their ImportError, or asks for Python's version before."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ASKS_FOR_PYTHON.search(ast.unparse(node.test)):
            yield from (*node.body, *node.orelse)
        elif isinstance(node, ast.Try) and _catches(node, "ImportError|ModuleNotFound"):
            yield from node.body
            names = [a.name for n in node.body if isinstance(n, ast.Import) for a in n.names]
            names += [n.module or "" for n in node.body if isinstance(n, ast.ImportFrom)]
            if all(_is_installed(name.partition(".")[0]) for name in names):
                yield from (found for handler in node.handlers for found in handler.body)


def of_python_2(tree: ast.Module) -> dict[str, int]:
    """Names of Python 2 that a script uses and does not define or import, and where it does first."""
    used: dict[str, int] = {}
    known: set[str] = set()
    guarded: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Try):
            if _catches(node, "NameError|AttributeError"):
                guarded |= {found for part in node.body for found in ast.walk(part)}
        elif isinstance(node, (ast.If, ast.IfExp, ast.BoolOp)):
            test = node if isinstance(node, ast.BoolOp) else node.test
            if ASKS_FOR_PYTHON.search(ast.unparse(test)):
                guarded |= set(ast.walk(node))
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            known.add(node.id)
        elif isinstance(node, ast.alias):
            known.add(node.asname or node.name)
        elif isinstance(node, ast.arg):
            known.add(node.arg)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            known.add(node.name)
    for node in ast.walk(tree):
        name = ""
        if isinstance(node, ast.Name):
            name = node.id
        elif isinstance(node, ast.Attribute) and last_name(node.value) not in ("six", "future"):
            name = f".{node.attr}"
        if (
            name in OF_PYTHON_2
            and node not in guarded
            and not {name, name.lstrip("."), "*"} & known
        ):
            used.setdefault(name, node.lineno)  # type: ignore[attr-defined]
    return used


def is_beside(init: Path, name: str) -> bool:
    """Whether a package has a module or package of that name, and there is no other that would be found."""
    there = (init.with_name(f"{name}.py"), init.parent / name / "__init__.py")
    if name in sys.stdlib_module_names or not any(path.exists() for path in there):
        return False
    return not _is_installed(name)


def _catches(node: ast.Try, words: str) -> bool:
    """Whether a handler is for one of these errors, or for all."""
    types = (ast.unparse(h.type) if h.type else "Exception" for h in node.handlers)
    return any(re.search(rf"{words}|\bException", text) for text in types)
