"""`ffi-ext clean`: removes generated packages below a directory, or the cache. What is not ours stays."""

from __future__ import annotations

import argparse
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from ffi_ext.cli.terminal import OK, PROBLEMS, complain

_SKIPPED = {".git", ".venv", "venv", "node_modules", "site-packages"}


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "directory", nargs="?", help="where generated packages lie; here by default"
    )
    parser.add_argument(
        "--cache",
        action="store_true",
        help="remove what the cache keeps (objects, headers, modules of load and load_inline) instead",
    )
    parser.add_argument(
        "--older-than",
        type=_days,
        metavar="DAYS",
        help="with --cache: only what was built so long ago",
    )
    parser.add_argument("-n", "--dry-run", action="store_true", help="say it, and do nothing")


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = -1
    if not days >= 0:  # a NaN is not
        raise argparse.ArgumentTypeError(f"expected a number of days from 0 on, got {text!r}")
    return days


def main(options: argparse.Namespace) -> int:
    if options.older_than is not None and not options.cache:
        return complain("--older-than goes with --cache")
    if options.cache and options.directory is not None:
        return complain(
            f"--cache takes no directory, got {options.directory!r}: there is one cache"
        )
    if options.cache:
        return _cache(options.older_than, options.dry_run)
    folder = Path(options.directory or ".")
    if not folder.is_dir():
        return complain(f"there is no directory {options.directory!r}")
    found = list(generated(folder))
    failed = False
    for package in found:
        for path in parts(package):
            failed |= not _remove(path, options.dry_run)
        if not options.dry_run:
            _remove_if_empty(package, folder)
    if not found:
        print("nothing here was made by ffi_ext")
    return PROBLEMS if failed else OK


def generated(folder: Path) -> Iterator[Path]:
    """The directories of generated packages."""
    from ffi_ext.codegen import module

    for init in sorted(folder.rglob("__init__.py")):
        if _SKIPPED.intersection(init.relative_to(folder).parts):
            continue
        with init.open("rb") as file:
            head = file.read(200).decode("utf-8", "replace")
        if module.MADE.match(head):
            yield init.parent


def parts(package: Path) -> list[Path]:
    """The files of a generated package that the next build makes again."""
    init = package / "__init__.py"
    text = init.read_text(encoding="utf-8", errors="replace")
    imported = re.search(r"^from \.(_\w+) import ffi as _ffi", text, re.M)
    files = [
        path
        for path in sorted(package.glob(f"{imported[1]}.*" if imported else "_*.*"))
        if path.suffix == ".so"
    ]
    files += [p for p in (package / "__init__.pyi", package / "__pycache__") if p.exists()]
    if re.search(r"^_bind\(\n(?:    .*\n)*\)\n\Z", text, re.M):
        files.append(init)
    else:
        print(f"kept: {init} (more was written into it)")
    return files


def _remove(path: Path, dry_run: bool) -> bool:
    print(f"{'would remove' if dry_run else 'removed'} {path}")
    if dry_run:
        return True
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError as error:
        complain(f"{path} cannot be removed: {error.strerror}")
        return False
    return True


def _remove_if_empty(folder: Path, top: Path) -> None:
    """Removes a package that nothing is left in, and those above it that a build makes: empty __init__.py."""
    while folder != top and folder.is_dir():
        left = [path for path in folder.iterdir() if path.name != "__pycache__"]
        empty_init = left and all(p.name == "__init__.py" and not p.stat().st_size for p in left)
        if left and not empty_init:
            return
        shutil.rmtree(folder)
        print(f"removed {folder}")
        folder = folder.parent


def _cache(days: float | None, dry_run: bool) -> int:
    from ffi_ext import cache

    root = cache.root()
    if root is None:
        return complain(f"nothing to remove: {cache.why_none()}")
    try:
        lock = cache.hold(root, alone=True)
    except BlockingIOError:
        return complain(f"something is being built in {root}: again when that is done", PROBLEMS)
    with lock:
        return _directories(root, cache.kept(root), days, dry_run)


def _directories(root: Path, folders: list[Path], days: float | None, dry_run: bool) -> int:
    limit = None if days is None else time.time() - days * 86400
    size = 0
    count = 0
    failed = False
    for folder in folders:
        files = [path for path in folder.rglob("*") if path.is_file()]
        newest = max((p.stat().st_mtime for p in files), default=folder.stat().st_mtime)
        if limit is not None and newest > limit:
            continue
        of_folder = sum(path.stat().st_size for path in files)
        if not dry_run:
            try:
                shutil.rmtree(folder)
            except OSError as error:
                complain(f"{error.filename or folder} cannot be removed: {error.strerror}")
                failed = True
                continue
        size += of_folder
        count += 1
    print(
        f"{'would remove' if dry_run else 'removed'} {count} of {len(folders)} directories, "
        f"{size / 2**20:.1f} MiB, of {root}"
    )
    return PROBLEMS if failed else OK
