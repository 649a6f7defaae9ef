"""What `ffi-ext doctor` finds in a repository: its extensions and their files, and what of its scripts is old."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from ffi_ext import wheels
from ffi_ext.builder import extension_options
from ffi_ext.cli import old_code, survey_names
from ffi_ext.cli.edits import last_name, nodes, parse_old
from ffi_ext.cli.report import Report
from ffi_ext.compilers import toolchain
from ffi_ext.cuda import cuda_objects, toolkit
from ffi_ext.legacy import old_errors

SKIPPED = {".git", ".venv", "venv", "node_modules", "__pycache__", "build", "dist"}
LISTS = ("headers", "sources", "extra_objects")


def files(folder: Path, *suffixes: str) -> list[Path]:
    """The files below a folder that end so, without those of environments and builds."""
    found = [p for p in sorted(folder.rglob("*")) if p.suffix in suffixes and p.is_file()]
    return [p for p in found if not SKIPPED.intersection(p.relative_to(folder).parts[:-1])]


def _modules(node: ast.AST) -> list[str]:
    """The modules that an import asks for, by the first of their names."""
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module.partition(".")[0]]
    return []


@dataclass
class _InAll:
    """What is told once for all scripts."""

    local: set[str]  # names of the repository's own modules
    built: set[str] = field(default_factory=set)  # modules that its extensions are
    imported: dict[str, str] = field(default_factory=dict)  # modules, and where each is first
    missing: dict[str, list[str]] = field(default_factory=dict)  # of libraries, and where
    given: set[str] = field(default_factory=set)  # what scripts themselves give to libraries
    old: list[str] = field(default_factory=list)
    others: dict[str, list[str]] = field(default_factory=dict)  # what is said, first in each file
    mistaken: dict[str, None] = field(default_factory=dict)  # files that mean create_extension


def scripts(folder: Path, report: Report) -> None:
    """Reads every Python file: extensions, what is missing, what today's torch does not take."""
    paths = files(folder, ".py")
    folders = {part for p in paths for part in p.relative_to(folder).parts[:-1]}
    found = _InAll({p.stem for p in paths} | folders | {folder.resolve().name, "_ext"})
    for path in paths:
        shown = str(path.relative_to(folder))
        if tree := _parsed(path, shown, report, found):
            _script(tree, path, shown, report, found)
    for name in sorted(found.missing.keys() - found.given):
        told = report.notes if survey_names.is_brought_back(name) else report.problems
        told.append(f"{_first(found.missing[name])}: {survey_names.without(name)}")
    report.notes += [f"{_first(places)}: {said}" for said, places in found.others.items()]
    if found.mistaken:
        report.notes.append(
            f"torch's BuildExtension is called as create_extension: {', '.join(found.mistaken)}. It works "
            "under `ffi-ext run` and after install(); `ffi-ext port` rewrites it"
        )
    if old := ", ".join(found.old):
        volatile = " (volatile saves no memory there)" if "volatile" in old else ""
        report.notes.append(
            f"of before PyTorch 0.4: {old}. They work under `ffi-ext run` and after "
            f"install(autograd=True){volatile}; `ffi-ext port` rewrites them"
        )
    found.local |= _submodules(folder, found.imported, report)
    survey_names.imports(found.imported, found.local, found.built, report)


def _submodules(folder: Path, imported: Collection[str], report: Report) -> set[str]:
    """The names of git's submodules; those that were not cloned are told."""
    listed = folder / ".gitmodules"
    text = listed.read_text(errors="replace") if listed.is_file() else ""
    names: set[str] = set()
    for path in re.findall(r"^\s*path\s*=\s*(.+?)\s*$", text, re.M):
        names |= set(Path(path).parts)
        if not any((folder / path).glob("*")):
            told = report.problems if set(Path(path).parts) & set(imported) else report.notes
            told.append(
                f"{path}: a git submodule, not here: git submodule update --init --recursive"
            )
    return names


def _first(places: list[str]) -> str:
    return places[0] + (f" (and {len(places) - 1} files more)" if len(places) > 1 else "")


def _script(tree: ast.Module, path: Path, shown: str, report: Report, found: _InAll) -> None:
    """Reads one."""
    _imports(tree, path, shown, report, found)
    called = old_code.called_build_extensions(tree)
    if called:
        found.mistaken[shown] = None
    for call in (node for node in nodes(tree) if isinstance(node, ast.Call)):
        if call in called or last_name(call.func) == "create_extension":
            made = _extension(tree, call, path, shown, report)
            found.built |= made
            found.local |= {name.partition(".")[0] for name in made}
        elif last_name(call.func) == "setup":
            given = [k.value for k in call.keywords if k.arg in ("packages", "py_modules")]
            listed = [text for value in given for text in _strings(value, tree)]
            found.local |= {text.partition(".")[0] for text in listed}
    functions = (node for node in nodes(tree) if old_code.is_old_function(node))
    found.old += [f"{node.name} ({shown}:{node.lineno})" for node in functions]  # type: ignore[attr-defined]
    counts = {what: len(find(tree)) for what, find in old_code.OLD.items()}
    found.old += [f"{what} ({count} in {shown})" for what, count in counts.items() if count]
    for said, line in old_code.other_numbers(tree).items():
        found.others.setdefault(said, []).append(f"{shown}:{line}")
    for call in old_code.names_with_dots(tree)[:1]:
        report.notes.append(
            f"{shown}:{call.lineno}: {ast.unparse(call.args[0])}: names of modules have no dots since PyTorch 0.4. "
            "They work under `ffi-ext run` and after install(autograd=True); elsewhere give it another, and rename the "
            "keys of checkpoints"
        )
    for node in nodes(tree):
        if question := old_code.asks_for_class(node):
            report.problems.append(f"{shown}:{node.lineno}: {question}")  # type: ignore[attr-defined]
    for name, line in sorted(survey_names.of_python_2(tree).items()):
        report.problems.append(
            f"{shown}:{line}: {name.lstrip('.')} is of Python 2: write {survey_names.OF_PYTHON_2[name]}"
        )
    copies = [n for n in nodes(tree) if isinstance(n, ast.Attribute) and n.attr == "_safe_call"]
    report.notes += [f"{shown}:{node.lineno}: {old_errors.COPIED}" for node in copies]
    asked, filled = survey_names.of_libraries(tree, found.local)
    for name, line in ({} if copies else asked).items():
        found.missing.setdefault(name, []).append(f"{shown}:{line}")
    found.given |= filled


def _imports(tree: ast.Module, path: Path, shown: str, report: Report, found: _InAll) -> None:
    optional = set(survey_names.optional_imports(tree))
    alone = path.name == "__init__.py" and not any(  # Python 3 finds nothing beside it
        isinstance(n, ast.Attribute) and n.attr == "path" and last_name(n.value) == "sys"
        for n in nodes(tree)
    )
    for node in nodes(tree):
        if not isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        if ("BuildExtension", "create_extension") in {(a.name, a.asname) for a in node.names}:
            found.mistaken[shown] = None
        for name in () if node in optional else _modules(node):
            place = f"{shown}:{node.lineno}"
            found.imported.setdefault(name, place)
            if alone and survey_names.is_beside(path, name):
                words = ast.unparse(node)
                today = words.replace("from ", "from .", 1)
                if isinstance(node, ast.Import):
                    words, today = f"import {name}", f"from . import {name}"
                report.problems.append(
                    f"{place}: `{words}` finds the {name} beside it in Python 2 alone: write `{today}`"
                )


def _parsed(path: Path, shown: str, report: Report, found: _InAll) -> ast.Module | None:
    try:
        tree, _, count = parse_old(path.read_text(encoding="utf-8-sig", errors="replace"))
        found.old += [f"`async` as a name ({count} in {shown})"] if count else []
        return tree
    except SyntaxError as error:
        cure = "convert that file by hand or with 2to3"
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
        adds = any(isinstance(n, ast.Constant) for n in ast.walk(node.elt))  # "src/{}.c".format(x)
        return [] if adds else _strings(node.generators[0].iter, tree, depth)
    if isinstance(node, ast.Name) and depth < 3:
        found: list[str] = []
        for other in nodes(tree):
            if isinstance(other, (ast.Assign, ast.AugAssign)):
                targets = other.targets if isinstance(other, ast.Assign) else [other.target]
                if any(isinstance(t, ast.Name) and t.id == node.id for t in targets):
                    found += _strings(other.value, tree, depth + 1)
        return found
    return []


def _extension(
    tree: ast.Module, call: ast.Call, path: Path, shown: str, report: Report
) -> set[str]:
    """Reads one; the modules that it makes, by their dotted names."""
    arguments: dict[str, ast.expr] = {k.arg: k.value for k in call.keywords if k.arg}
    arguments |= dict(zip(("name", "headers", "sources"), call.args, strict=False))
    name = arguments.get("name")
    report.extensions.append(f"{shown}:{call.lineno}: {ast.unparse(name) if name else '?'}")
    if name is None and not call.args and all(keyword.arg for keyword in call.keywords):
        report.problems.append(
            f"{shown}:{call.lineno}: the extension has no name: give it one, such as '_ext.my_lib'"
        )
    _files_of({key: _strings(arguments.get(key), tree) for key in LISTS}, path, shown, report)
    return set(_strings(name, tree))


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
        if found and not wheels.is_required(path):
            report.problems.append(
                f"{shown}: the requires of its [build-system] lack 'ffi-ext': pip, which builds in an environment of "
                "its own, leaves the extensions out and does not say so"
            )
        for table in found:
            report.extensions.append(f"{shown}: {table['name']!r}")
            lists = {key: wheels.listed(table.get(key, [])) for key in LISTS}
            _files_of(lists, path, shown, report)


def _files_of(lists: dict[str, list[str]], path: Path, shown: str, report: Report) -> None:
    """What is not there of the files that an extension names in this script or pyproject.toml."""
    for key, texts in lists.items():
        for text in dict.fromkeys(texts):
            if text.endswith(".cu") and toolkit.nvcc() is None:
                report.problems.append(
                    f"{shown}: {text} needs nvcc: {toolkit.how_to_install()}; or leave it out"
                )
            there = Path(extension_options.joined(path.parent, text))
            if there.exists():
                continue
            if key == "headers" and toolchain.find_header(text, ()):
                continue  # a library's
            is_object = key == "extra_objects"
            source = cuda_objects.source_of(there) if is_object else None
            if source is not None:
                report.notes.append(
                    f"{shown}: {text} is not there: it is made from {os.path.relpath(source, path.parent)}"
                    + ("" if toolkit.nvcc() else "; without nvcc it is left out")
                )
            elif is_object:
                cu, is_cuda = re.subn(r"(\.cu)?\.o$", ".cu", text)
                nor = f", nor {cu} to make it from" if is_cuda else ""
                report.problems.append(
                    f"{shown}: the object {text} is not there{nor}: run the repository's own make.sh or Makefile "
                    "first (ffi-ext run -- sh make.sh)"
                )
            else:
                report.notes.append(
                    f"{shown}: {text} is not there: does a script make it that must run before?"
                )
