"""`ffi-ext port`: code for torch.utils.ffi and old autograd becomes today's. A diff first; --write applies it."""

from __future__ import annotations

import argparse
import difflib
import io
import re
import sys
import tokenize
from dataclasses import dataclass
from pathlib import Path

from ffi_ext.cli.edits import parse_old
from ffi_ext.cli.terminal import BOLD, OK, PROBLEMS, YELLOW, coloured, complain, print_diff

EXAMPLES = """\
What is rewritten: imports of torch.utils.ffi (and BuildExtension in its place);
autograd Functions with instance methods, and their calls; what torch, Python,
NumPy and PyYAML have changed since, such as `.data[0]`, `volatile`,
`cuda(async=True)`; the setup.py of an extension. docs/porting.md lists it.
What cannot be rewritten safely stays, and is listed. Run the repository's
tests afterwards.
examples:
  ffi-ext port old-model              the diff; nothing is changed
  ffi-ext port old-model > d.patch    for `git apply`
  ffi-ext port --write old-model      the files; FILE.orig keeps the original
"""

PYPROJECT = """\
[build-system]
requires = ["setuptools>=70.1", "ffi-ext"]
"""  # without a build-backend setup.py may import what lies beside it, as it always could


@dataclass
class File:
    """A file, as it is and as it becomes."""

    path: Path
    encoding: str
    before: str | None  # None: it is made
    after: str


def add(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    parser.add_argument(
        "paths", nargs="*", default=["."], help="directories or files; here by default"
    )
    parser.add_argument("--write", action="store_true", help="apply the changes")
    parser.add_argument(
        "--no-backup",
        action="store_true",
        help="with --write: keep no FILE.orig (you have version control)",
    )


def main(options: argparse.Namespace) -> int:
    missing = [p for p in options.paths if not Path(p).exists()]
    if missing:
        return complain(f"port: there is no {missing[0]!r}")
    if options.no_backup and not options.write:
        return complain("--no-backup goes with --write")
    notes: list[str] = []
    files = port([Path(p) for p in options.paths], notes)
    if not files:
        print("nothing to port")
    for file in files:
        if options.write:
            try:
                print(_write(file, not options.no_backup))
            except OSError as error:
                return complain(f"{file.path} cannot be written: {error.strerror}", PROBLEMS)
        else:
            print_diff(_diff(file), file.encoding.removesuffix("-sig"))
    out = sys.stdout if options.write else sys.stderr  # the diff is to be a patch
    if notes:
        print("\n" + coloured("left to you:", YELLOW, out), file=out)
        for note in notes:
            print(f"  {note}", file=out)
    if files and not options.write:
        hint = f"{len(files)} files would change; --write applies it"
        print(coloured(hint, BOLD, out), file=out)
    return OK


def port(paths: list[Path], notes: list[str]) -> list[File]:
    """What the files become; only those that change. `notes` takes what is left to the user."""
    from ffi_ext.cli import port_calls, port_functions, port_scripts, port_volatile, survey

    found = [
        file for path in paths for file in (survey.files(path, ".py") if path.is_dir() else [path])
    ]
    local = {path.stem for path in found} | {path.resolve().parent.name for path in found}
    local.discard("torch")
    # A file that links name, too, is one file, by its own name.
    named = {path.resolve(): path for path in sorted(found, key=Path.is_symlink, reverse=True)}
    read = (_read(path, notes) for path in sorted(named.values()))
    files = [file for file in read if file is not None]
    both = [port_functions.classes(file.after, file.path) for file in files]
    old = [one for functions, _ in both for one in functions]
    shared = {one.name for one in old} & {name for _, others in both for name in others}
    repository = port_calls.Repository(frozenset(local), frozenset(shared))
    bases = [
        one for file in files for one in port_calls.bases(file.after, file.path, old, repository)
    ]
    known = []
    for file in files:
        file.after = port_scripts.imports(file.after)
        of_file = {base.name for base in bases if base.file == file.path}
        file.after, converted = port_functions.functions(file.after, file.path, notes, of_file)
        known += converted
    for file in list(files):
        text = port_calls.calls(file.after, file.path, known, repository, notes)
        text = port_scripts.first_elements(text, file.path, notes)
        text = port_scripts.expressions(text)
        text = port_scripts.reshapes(text, file.path, notes)
        text = port_volatile.volatile(text, file.path, notes)
        port_scripts.gone(text, file.path, local, notes)
        file.after, builds = port_scripts.setup(text, file.path, notes)
        project = file.path.with_name("pyproject.toml")
        if builds and not project.exists():
            files.append(File(project, "utf-8", None, PYPROJECT))
        elif builds and not re.search(rb"ffi[-_]ext", project.read_bytes()):
            notes.append(f"{project}: add 'ffi-ext' to the requires of its [build-system]")
    if known:
        port_calls.set_elsewhere(
            {file.path: file.after for file in files if file.before is not None}, known, notes
        )
    return [file for file in files if file.before != file.after]


def _read(path: Path, notes: list[str]) -> File | None:
    try:
        data = path.read_bytes()
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = data.decode(encoding)
        _, today, _ = parse_old(text)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        if path.suffix not in (".py", ""):
            notes.append(f"{path}: no Python by its suffix, and port rewrites Python alone")
            return None
        notes.append(
            f"{path}{f':{line}' if line else ''}: no Python 3 ({getattr(error, 'msg', error)}): convert it by "
            "hand or with 2to3, then port again"
        )
        return None
    except (OSError, RecursionError) as error:  # the last of a sum of 50000 terms
        notes.append(f"{path}: cannot be read ({error})")
        return None
    return File(path, encoding, text, today)


def _diff(file: File) -> list[str]:
    mark = "\ufeff" if file.encoding.endswith("-sig") else ""
    # Lines as those who apply patches know them: they end at \n alone.
    before, after = (
        list(io.StringIO(mark + text if text else "", newline="\n"))
        for text in (file.before, file.after)
    )
    name = file.path.as_posix().lstrip("/")
    old = "/dev/null" if file.before is None else f"a/{name}"
    return list(difflib.unified_diff(before, after, old, f"b/{name}"))


def _write(file: File, backup: bool) -> str:
    from ffi_ext import cache

    if file.before is None:
        cache.replace(file.path, file.after.encode(file.encoding))
        return f"made {file.path}"
    data = file.path.read_bytes()
    if data.decode(file.encoding) != file.before:
        raise OSError(0, "it changed meanwhile")
    kept = ""
    if backup:
        original = file.path.with_name(file.path.name + ".orig")
        number = 1
        while original.exists():
            original = file.path.with_name(f"{file.path.name}.orig{number}")
            number += 1
        original.write_bytes(data)
        kept = f" (the original: {original.name})"
    target = file.path.resolve()  # a link stays one
    mode = target.stat().st_mode
    cache.replace(target, file.after.encode(file.encoding))
    target.chmod(mode)
    return f"rewrote {file.path}{kept}"
