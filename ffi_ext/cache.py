"""Where builds keep their objects and records: a directory per target, a lock, atomic writes."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import math
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO

from ffi_ext.errors import BuildError
from ffi_ext.paths import is_installed

PATIENCE = 5.0  # seconds of waiting for another build before that is said


def root() -> Path | None:
    """$FFI_EXT_CACHE, else $XDG_CACHE_HOME/ffi_ext, else ~/.cache/ffi_ext; None if not ours alone to write."""
    base = _base()
    return None if _fault(base) else base.resolve()


def why_none() -> str:
    """The directory that root() refuses, and why."""
    base = _base()
    return f"{base} {_fault(base)}"


def _base() -> Path:
    usual = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "ffi_ext")
    # Only shells replace the ~ of what they set, and no container file or CI's table of variables does.
    return Path(os.path.expanduser(os.environ.get("FFI_EXT_CACHE") or usual))


def _fault(base: Path) -> str:
    if str(base).startswith("~"):
        return "is nowhere, since there is no home"  # a user without one, as in containers
    try:
        base.mkdir(parents=True, exist_ok=True, mode=0o700)
        status = base.stat()
    except OSError as error:
        return f"cannot be made ({error.strerror})"
    if status.st_uid != os.getuid():
        return f"belongs to user {status.st_uid}, not to you ({os.getuid()})"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "may be written to by others, who could plant objects there (chmod go-w)"
    return "" if os.access(base, os.W_OK | os.X_OK) else "cannot be written to"


_locked_files: set[BinaryIO] = set()


def _close_locked_files() -> None:
    for file in _locked_files:
        file.close()
    _locked_files.clear()


# A fork copies a lock, which would last as long as the child, though what forked is killed.
os.register_at_fork(after_in_child=_close_locked_files)


def _lock(path: Path, how: int) -> AbstractContextManager[object]:
    """Locks a file until its end."""
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(path.open("ab+"))  # NFS wants both for LOCK_SH
        _locked_files.add(file)
        stack.callback(_locked_files.discard, file)
        fcntl.flock(file, how)
        return stack.pop_all()


def hold(base: Path, alone: bool = False) -> AbstractContextManager[object]:
    """Holds the cache `base` until its end: builds do at the same time, who removes from it does alone.

    Raises:
        BlockingIOError: It was wanted alone, and others hold it.
    """
    try:
        return _lock(base / "lock", fcntl.LOCK_EX | fcntl.LOCK_NB if alone else fcntl.LOCK_SH)
    except BlockingIOError:
        raise
    except OSError:  # the file system has no locks, or no room for one
        return contextlib.nullcontext()


def kept(base: Path) -> list[Path]:
    """The directories that builds keep in the cache `base`, by their names: what else lies there is somebody's own."""
    found = [path for path in base.glob("_*") if re.fullmatch(r"_\w*-[0-9a-f]{16}", path.name)]
    modules = (base / "modules").glob("*")
    found += [path for path in modules if re.fullmatch(r"\w+-[0-9a-f]{20}", path.name)]
    headers = base / "headers"
    if all(re.match(r"\.?[0-9a-f]{32}\.json", path.name) for path in headers.glob("*")):
        found.append(headers)
    return sorted(path for path in found if path.is_dir())


@contextlib.contextmanager
def workplace(target: Path) -> Iterator[tuple[Path, bool]]:
    """The cache directory of a target, locked; a temporary one where there is no cache.

    Yields:
        The directory, and whether the lock is held (file systems may refuse locks; builds then
        rely on unique names and atomic replacement alone).
    """
    base = root()
    if base is None:
        with tempfile.TemporaryDirectory(prefix="ffi_ext-") as temporary:
            yield Path(temporary), False
        return
    with hold(base), _locked(base, target) as place:
        yield place


@contextlib.contextmanager
def _locked(base: Path, target: Path) -> Iterator[tuple[Path, bool]]:
    key = hashlib.sha256(os.fsencode(target)).hexdigest()[:16]
    folder = base / f"{target.name.split('.')[0][:40]}-{key}"
    folder.mkdir(exist_ok=True, mode=0o700)
    patient_until = time.monotonic() + PATIENCE
    lock = None
    while lock is None:
        try:
            lock = _lock(folder / "lock", fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > patient_until:
                patient_until = math.inf
                print(
                    f"ffi_ext: waiting for another build of {target}", file=sys.stderr, flush=True
                )
            time.sleep(0.02)
        except OSError:
            break
    with lock or contextlib.nullcontext():
        yield folder, lock is not None


def fresh_name(path: Path) -> Path:
    """A name beside `path` for a file on its way there."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")


def _is_under_way(temporary: Path) -> bool:
    """Whether a file with a fresh_name() may be another process's that is writing it."""
    try:
        os.kill(int(temporary.name.split(".")[-2].partition("-")[0]), 0)
        return time.time() - temporary.stat().st_mtime < 60  # else the number is another's by now
    except PermissionError:
        return True
    except (OSError, ValueError, IndexError, OverflowError):
        return False


def sweep(folder: Path, name: str = "*") -> None:
    """Removes what killed builds left of files `name` in a folder."""
    for leftover in folder.glob(f".{name}.*-*.tmp"):
        if not _is_under_way(leftover):
            with contextlib.suppress(OSError):
                leftover.unlink()


def sweep_folder(folder: Path) -> None:
    """Removes what killed builds left in a cache directory. Only under the lock."""
    for leftover in folder.glob("tmp-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    sweep(folder)
    sweep(folder.parent / "headers")


def replace(path: Path, data: bytes) -> None:
    """Writes a file such that a reader sees the old or the new one, also after a crash.

    Raises:
        BuildError: The disk is full, the target read-only ...; the old file is untouched.
    """
    temporary = fresh_name(path)
    try:
        mode = 0o777 if path.suffix == ".so" else 0o666  # less the umask
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise BuildError(
            f"{path} could not be written ({error.strerror}); what was there before is unchanged. "
            "Make room on the disk, or the directory writable"
        ) from error


def remove_namesakes(binary: Path) -> None:
    """Removes a module's other binaries, which could be imported in place of this one."""
    for other in binary.parent.glob(f"{binary.name.partition('.')[0]}.*"):
        if other != binary and other.suffix == ".so":
            other.unlink()


def write_if_changed(path: Path, text: str) -> bool:
    """Writes a text file unless it holds that text already. Returns whether it wrote."""
    data = text.encode("utf-8", "surrogateescape")
    try:
        if path.read_bytes() == data:
            return False
    except OSError:
        pass  # it is not there yet
    replace(path, data)
    return True


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def file_digest(path: Path | str) -> str | None:
    """The digest of a file's content; None if it cannot be read."""
    try:
        return digest(Path(path).read_bytes())
    except OSError:
        return None


def clock() -> int:
    """Now, in ns, by the clock that the kernel stamps files with: it is a few ms coarser than time.time_ns()."""
    coarse = getattr(time, "CLOCK_REALTIME_COARSE", None)
    return time.time_ns() if coarse is None else time.clock_gettime_ns(coarse)


def state(path: Path | str) -> tuple[int, ...] | None:
    """What changes when a file does: its inode, size and times. None if it is not there."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def may_have_changed(path: Path | str, since: int) -> bool:
    """Whether a file was written, or given other times, after the moment `since` of clock()."""
    status = state(path)
    return status is None or max(status[2:]) >= since


Signature = str | list[int] | None


def signature(path: str) -> Signature:
    """What tells whether a file has changed: its content's digest; of installed ones size and time."""
    if not is_installed(path):
        return file_digest(path)
    status = state(path)
    return None if status is None else [*status[1:3]]


def signatures(paths: Iterable[str], since: int) -> dict[str, Signature] | None:
    """The files'; None if one may have changed since that moment of clock(): what was read is not known."""
    names = sorted(paths)
    if any(may_have_changed(name, since) for name in names):
        return None
    return {name: signature(name) for name in names}


def are_current(known: dict[str, Signature]) -> bool:
    """Whether all files still have these signatures."""
    return all(signature(path) == seen for path, seen in known.items())


def keep_json(path: Path, record: dict[str, Any]) -> None:
    """Writes a record that spares work another time: on a full disk there is none, no more."""
    with contextlib.suppress(OSError, BuildError):
        path.parent.mkdir(exist_ok=True, mode=0o700)
        replace(path, json.dumps(record).encode())


def load_json(path: Path) -> dict[str, Any]:
    """A record, or {} if it is missing or damaged: the build then starts anew."""
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return loaded if isinstance(loaded, dict) else {}
