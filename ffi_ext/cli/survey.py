"""What `ffi-ext doctor` finds in a repository: in its scripts, its pyproject.toml, its C and CUDA."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ffi_ext import cuda, cuda_objects, elf, extension_arguments, legacy, toolchain, wheels
from ffi_ext.cli.edits import parse
from ffi_ext.paths import INCLUDE

if TYPE_CHECKING:
    from ffi_ext.cli.doctor import Report

SKIPPED = {".git", ".venv", "venv", "node_modules", "__pycache__", "build", "dist"}
LISTS = ("headers", "sources", "extra_objects")
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


def files(folder: Path, *suffixes: str) -> list[Path]:
    """The files below a folder that end so, without those of environments and builds."""
    found = [p for p in sorted(folder.rglob("*")) if p.suffix in suffixes and p.is_file()]
    return [p for p in found if not SKIPPED.intersection(p.relative_to(folder).parts[:-1])]


def last_name(node: ast.expr) -> str:
    """The last name of a dotted one: Function of torch.autograd.Function."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


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


def is_called_build_extension(node: ast.AST) -> bool:
    """Whether it is BuildExtension(headers=...): create_extension's arguments for a command of setuptools."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "BuildExtension"
        and any(keyword.arg == "headers" for keyword in node.keywords)
    )


def scripts(folder: Path, report: Report) -> None:
    """Reads every Python file: extensions, what is missing, what today's torch does not take."""
    paths = files(folder, ".py")
    local = {p.stem for p in paths} | {p.parent.name for p in paths} | {"_ext"}
    imported: dict[str, str] = {}
    old: list[str] = []
    mistaken: set[str] = set()
    for path in paths:
        shown = str(path.relative_to(folder))
        tree = _parsed(path, shown, report)
        if tree is None:
            continue
        counts = {"`.data[0]`": 0, "`volatile`": 0}
        optional = set(_optional_imports(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    first = alias.name.partition(".")[0]
                    if node not in optional:
                        imported.setdefault(first, f"{shown}:{node.lineno}")
                    if path.name == "__init__.py" and _is_beside(path, first):
                        report.problems.append(
                            f"{shown}:{node.lineno}: `import {first}` finds the {first} beside it in Python 2 "
                            f"alone: write `from . import {first}`"
                        )
            elif isinstance(node, ast.ImportFrom):
                if node.module and not node.level and node not in optional:
                    imported.setdefault(node.module.partition(".")[0], f"{shown}:{node.lineno}")
                if ("BuildExtension", "create_extension") in {
                    (a.name, a.asname) for a in node.names
                }:
                    mistaken.add(shown)
            elif isinstance(node, ast.Call):
                called = is_called_build_extension(node)
                if called:
                    mistaken.add(shown)
                if called or last_name(node.func) == "create_extension":
                    _extension(tree, node, path, shown, report)
                counts["`volatile`"] += any(k.arg == "volatile" for k in node.keywords)
            elif isinstance(node, ast.Subscript):
                counts["`.data[0]`"] += ast.unparse(node).endswith(".data[0]")
            elif is_old_function(node):
                old.append(f"{node.name} ({shown}:{node.lineno})")  # type: ignore[attr-defined]
            elif isinstance(node, ast.Attribute) and node.attr == "_safe_call":
                report.notes.append(f"{shown}:{node.lineno}: {legacy.COPIED}")
        for what, count in counts.items():
            if count:
                old.append(f"{what} ({count} in {shown})")
        for name, line in sorted(_of_python_2(tree).items()):
            report.problems.append(
                f"{shown}:{line}: {name.lstrip('.')} is of Python 2: write {OF_PYTHON_2[name]}"
            )
    if mistaken:
        report.notes.append(
            f"torch's BuildExtension is called as create_extension: {', '.join(sorted(mistaken))}. It works "
            "under `ffi-ext run` and after install(); `ffi-ext port` rewrites it"
        )
    if old:
        volatile = " (volatile saves no memory there)" if "volatile" in " ".join(old) else ""
        report.notes.append(
            f"of before PyTorch 0.4: {', '.join(old)}. They work under `ffi-ext run` and after "
            f"install(autograd=True){volatile}; `ffi-ext port` rewrites them"
        )
    _imports(imported, local, report)


def _optional_imports(tree: ast.Module) -> Iterator[ast.AST]:
    """The imports that a script does without: it catches their ImportError, or asks for Python's version before."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ASKS_FOR_PYTHON.search(ast.unparse(node.test)):
            yield from (*node.body, *node.orelse)
        elif isinstance(node, ast.Try):
            types = [ast.unparse(h.type) if h.type else "Exception" for h in node.handlers]
            if any(re.search(r"ImportError|ModuleNotFound|\bException", words) for words in types):
                yield from node.body
                names = [a.name for n in node.body if isinstance(n, ast.Import) for a in n.names]
                names += [n.module or "" for n in node.body if isinstance(n, ast.ImportFrom)]
                if all(_is_installed(name.partition(".")[0]) for name in names):
                    yield from (found for handler in node.handlers for found in handler.body)


def _of_python_2(tree: ast.Module) -> dict[str, int]:
    """Names of Python 2 that a script uses and does not define or import, and where it does first."""
    used: dict[str, int] = {}
    known: set[str] = set()
    guarded: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Try):
            types = [ast.unparse(h.type) if h.type else "Exception" for h in node.handlers]
            if any(re.search(r"NameError|AttributeError|\bException", words) for words in types):
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


def _is_beside(init: Path, name: str) -> bool:
    """Whether a package has a module or package of that name, and there is no other that would be found."""
    there = (init.with_name(f"{name}.py"), init.parent / name / "__init__.py")
    if name in sys.stdlib_module_names or not any(path.exists() for path in there):
        return False
    return not _is_installed(name)


def _parsed(path: Path, shown: str, report: Report) -> ast.Module | None:
    try:
        return parse(path.read_text(encoding="utf-8-sig", errors="replace"))  # -sig: a mark first
    except SyntaxError as error:
        cure = "convert that file by hand or with 2to3"
        if "async" in (error.text or ""):
            cure = "`async` is a keyword since Python 3.7: write non_blocking=True for async=True"
        line = f":{error.lineno}" if error.lineno else ""  # a null byte has none
        report.problems.append(f"{shown}{line}: no Python 3 ({error.msg}): {cure}")
    except (OSError, ValueError, RecursionError) as error:  # the last of a sum of 50000 terms
        report.problems.append(f"{shown}: cannot be read ({error})")
    return None


def _strings(node: ast.expr | None, tree: ast.Module, depth: int = 0) -> list[str]:
    """The texts that an expression's lists hold, through the names that they were given."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    if isinstance(node, (ast.List, ast.Tuple)):
        return [text for item in node.elts for text in _strings(item, tree, depth)]
    if isinstance(node, ast.BinOp):
        return _strings(node.left, tree, depth) + _strings(node.right, tree, depth)
    if isinstance(node, ast.ListComp):
        return _strings(node.generators[0].iter, tree, depth)
    if isinstance(node, ast.Name) and depth < 3:
        found: list[str] = []
        for other in ast.walk(tree):
            if isinstance(other, (ast.Assign, ast.AugAssign)):
                targets = other.targets if isinstance(other, ast.Assign) else [other.target]
                if any(isinstance(t, ast.Name) and t.id == node.id for t in targets):
                    found += _strings(other.value, tree, depth + 1)
        return found
    return []


def _extension(tree: ast.Module, call: ast.Call, path: Path, shown: str, report: Report) -> None:
    arguments: dict[str, ast.expr] = {k.arg: k.value for k in call.keywords if k.arg}
    arguments |= dict(zip(("name", "headers", "sources"), call.args, strict=False))
    name = arguments.get("name")
    report.extensions.append(f"{shown}:{call.lineno}: {ast.unparse(name) if name else '?'}")
    _files_of({key: _strings(arguments.get(key), tree) for key in LISTS}, path, shown, report)


def tables(folder: Path, report: Report) -> None:
    """Reads every pyproject.toml: the extensions that it declares."""
    for path in files(folder, ".toml"):
        if path.name != "pyproject.toml":
            continue
        shown = str(path.relative_to(folder))
        try:
            found = wheels.tables_of(path)
        except ValueError as error:
            report.problems.append(f"{shown}: {str(error).removeprefix('pyproject.toml: ')}")
            continue
        for table in found:
            report.extensions.append(f"{shown}: {table['name']!r}")
            lists = {key: wheels.listed(table.get(key, [])) for key in LISTS}
            _files_of(lists, path, shown, report)


def _files_of(lists: dict[str, list[str]], path: Path, shown: str, report: Report) -> None:
    """What is not there of the files that an extension names in this script or pyproject.toml."""
    for key, texts in lists.items():
        for text in dict.fromkeys(texts):
            if text.endswith(".cu") and cuda.nvcc() is None:
                report.problems.append(
                    f"{shown}: {text} needs nvcc: {cuda.how_to_install()}; or leave it out"
                )
            there = Path(extension_arguments.joined(path.parent, text))
            if there.exists():
                continue
            if key == "headers" and toolchain.find_header(text, ()):
                continue  # a library's
            is_object = key == "extra_objects"
            source = cuda_objects.source_of(there) if is_object else None
            if source is not None:
                report.notes.append(
                    f"{shown}: {text} is not there: it is made from {os.path.relpath(source, path.parent)}"
                    + ("" if cuda.nvcc() else "; without nvcc it is left out")
                )
            elif is_object:
                cu = re.sub(r"(\.cu)?\.o$", "", text) + ".cu"
                report.problems.append(
                    f"{shown}: the object {text} is not there, nor {cu} to make it from: run the "
                    "repository's own make.sh or Makefile first (ffi-ext run -- sh make.sh)"
                )
            else:
                report.notes.append(
                    f"{shown}: {text} is not there: does a script make it that must run before?"
                )


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _imports(imported: dict[str, str], local: set[str], report: Report) -> None:
    """What the scripts import and this Python does not have."""
    known = set(sys.stdlib_module_names) | local
    for name, where in sorted(imported.items()):
        if name in known:
            continue
        report.needs.append(name)
        found = _is_installed(name)
        if not found and legacy.gone(name):
            report.problems.append(f"{where}: {legacy.gone(name)}")
        elif not found:
            package = PACKAGES.get(name, name)
            report.problems.append(f"{where}: {name} is not installed: pip install {package}")


def _known_names() -> set[str]:
    """What the runtime defines and the headers declare."""
    package = Path(__file__).parents[1]
    headers = "\n".join(p.read_text() for p in INCLUDE.rglob("*.*h"))
    known = set(re.findall(r"\b_*THC?\w+", headers))
    for library in package.glob("_runtime*.so"):
        symbols = elf.symbols(library)
        known |= symbols.defined if symbols else set()
    return known


def sources(folder: Path, report: Report) -> None:
    """Names of TH and THC that are used and that nothing here or in the runtime defines; dead CUDA."""
    text = {
        p: p.read_text(encoding="utf-8", errors="replace")
        for p in files(folder, ".c", ".cpp", ".cc", ".cu", ".h")
    }
    everything = "\n".join(text.values())
    known = _known_names()
    for path, content in text.items():
        shown = path.relative_to(folder)
        code = re.sub(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"", " ", content, flags=re.S)
        used = set(
            re.findall(
                r"\b(THC?[A-Z]\w*?(?:Tensor|Storage|Blas|Random|Vector|State)_\w+)\s*\(", code
            )
        )
        generic = {  # THTensor_(name): its float kind stands for all
            f"{'THCuda' if cuda_kind else 'THFloat'}{kind}_{name}": f"TH{cuda_kind}{kind}_({name})"
            for cuda_kind, kind, name in re.findall(r"\bTH(C?)(Tensor|Storage)_\((\w+)\)", code)
        }
        unknown = {
            generic.get(name, name)
            for name in (used | set(generic)) - known
            if not _is_defined(generic.get(name, name), everything)
        }
        if unknown:
            report.problems.append(
                f"{shown}: {', '.join(sorted(unknown))}: not part of ffi_ext's TH and THC; write the "
                "operation out over the tensor's data, or do it in Python before the call"
            )
        if re.search(r"\btexture\s*<", code):
            report.problems.append(
                f"{shown}: texture references are gone since CUDA 12: use texture objects or plain loads "
                "(__ldg)"
            )
    _architectures(folder, report)


def _is_defined(name: str, text: str) -> bool:
    escaped = re.escape(name)
    return bool(re.search(rf"{escaped}\s*\([^;{{}}]*\)\s*\{{|#\s*define\s+{escaped}(?!\w)", text))


def _architectures(folder: Path, report: Report) -> None:
    nvcc = cuda.nvcc()
    if nvcc is None:
        return
    known = set(cuda.supported(nvcc))
    for path in files(folder, ".sh", ".mk", ".py") + [
        p for p in folder.rglob("Makefile") if p.is_file()
    ]:
        text = path.read_text(encoding="utf-8", errors="replace")
        gone = sorted({int(n) for n in re.findall(r"(?:sm|compute)_(\d+)", text)} - known)
        if gone and known:
            report.notes.append(
                f"{path.relative_to(folder)}: architectures {', '.join(map(str, gone))} are gone from this "
                "nvcc: left out under `ffi-ext run`"
            )
