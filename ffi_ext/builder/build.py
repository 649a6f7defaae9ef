"""One build: what changed is compiled, linked, checked and installed atomically."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from ffi_ext import cache, elf
from ffi_ext.builder import symbols_check
from ffi_ext.builder.objects import TAKES_GIL, Objects
from ffi_ext.builder.plan import Plan, is_cxx, link_command, linked_files, linked_libraries
from ffi_ext.builder.units import RECORD_VERSION, Unit
from ffi_ext.compilers import commands, compile_errors, universal
from ffi_ext.cuda import cuda_libraries
from ffi_ext.errors import BuildError
from ffi_ext.paths import is_installed

# A symbol of binaries with C that works on Python's objects: calls keep the GIL. The link has it defined.
KEEPS_GIL = "ffi_ext_keeps_gil"


def _is_loaded(binary: Path) -> bool:
    """Whether this process has imported it: the dynamic linker then keeps what it loaded, whatever is built."""
    if "ffi_ext.runtime" not in sys.modules:
        return False
    import ctypes  # torch, which the runtime needs, has imported it

    try:
        ctypes.CDLL(str(binary), mode=os.RTLD_NOLOAD)
    except OSError:
        return False
    return True


def make_packages(packages: Iterable[Path], folder: Path) -> None:
    """Makes a module's folder and the packages above it, given by their __init__.py, where there are none."""
    for path in packages:
        _make_folder(path.parent)
        if not path.exists():
            cache.replace(path, b"")
    _make_folder(folder)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BuildError(f"the directory {folder} could not be made: {error.strerror}") from error


class Build:
    """The steps of one build, with what they share."""

    def __init__(self, plan: Plan, folder: Path, locked: bool, verbose: bool) -> None:
        self.folder = folder
        self.locked = locked  # else others may build here: nothing that could be theirs is removed
        self.record_path = folder / "record.json"
        record = cache.load_json(self.record_path)
        self.record = record if record.get("version") == RECORD_VERSION else {}
        self.sources = plan.sources  # the user's; the plan may come to have stand-ins beside them
        self.made = plan.generated
        self.plan = replace(plan, gnu89_inline=bool(self.record.get("gnu89_inline")))
        own = plan.own_target
        self.target = own if own and self.record.get("target") == own.name else plan.target
        self.absent: list[str] = self.record.get("absent", [])  # what the libraries do not have
        self.stand_ins = folder / "absent.c"
        if self.absent:
            self.plan = replace(self.plan, sources=(*plan.sources, self.stand_ins))
        self.compilers = commands.Compilers(verbose)
        known = self.record.get("objects", {})
        self.objects = Objects(folder, known, self.compilers)

    @property
    def linked(self) -> Path:
        """What the link makes, before it is installed."""
        return self.objects.temporary / self.plan.target.name

    def link_command(self, units: list[Unit]) -> list[str]:
        objects = [self.folder / self.objects.of(unit)["object"] for unit in units]
        command = link_command(self.plan, [unit.source for unit in units], objects)
        if sys.platform.startswith("linux"):
            known = [(unit, self.objects.of(unit)) for unit in units]
            if self.plan.extra_objects or any(made["python"] for _, made in known):
                command.append(f"-Wl,--defsym={universal.USES_PYTHON_H}=1")
            on_objects = any(made["calls_python"] for unit, made in known if not unit.generated)
            if on_objects and not any(made["takes_gil"] for _, made in known):
                others = linked_files(self.plan)
                of_users = (path for path in others if not is_installed(str(path)))
                if not any(elf.has_name(path.read_bytes(), TAKES_GIL) for path in of_users):
                    command.append(f"-Wl,--defsym={KEEPS_GIL}=ffi_ext_table")
        return command

    def link_key(self, units: list[Unit]) -> str:
        objects = [cache.file_digest(path) for path in self.plan.extra_objects]
        libraries = [(str(path), cache.state(path)) for path in linked_libraries(self.plan)]
        declared = sorted(self.made.places.items())
        described = json.dumps([self.link_command(units), objects, libraries, declared])
        return cache.digest(described.encode())

    def link(self, command: list[str]) -> tuple[bytes, symbols_check.Missing]:
        """Links, and once more with the toolkit's libraries whose functions are missing."""
        binary, missing = self.link_once(command)
        words = cuda_libraries.library_words(missing.others)
        return self.link_once([*command, *words]) if words else (binary, missing)

    def link_once(self, command: list[str]) -> tuple[bytes, symbols_check.Missing]:
        if commands.says_all():
            self.compilers.say(f"linking {self.linked.name}\n{shlex.join(command)}")
        status, log = self.compilers.run([*command, "-o", str(self.linked)])
        if log.strip():
            self.compilers.say(log.rstrip())
        if status or not self.linked.exists():
            what = f"linking {self.plan.target.name}"
            raise compile_errors.explain(what, log, self.compilers.verbose)
        missing = symbols_check.find(self.linked, self.made.places, command)
        return self.linked.read_bytes(), missing

    def says_inline(self, units: Iterable[Unit]) -> bool:
        """Whether a C source, or a header of the user's that it includes, says `inline`."""
        for unit in units:
            if not is_cxx(unit.source, self.plan.language):
                paths = [str(unit.source), *self.objects.of(unit)["dependencies"]]
                for path in paths:
                    if not is_installed(path) and b"inline" in Path(path).read_bytes():
                        return True
        return False

    def link_all(self, units: list[Unit]) -> tuple[list[Unit], bytes]:
        """Links, and once more by the inline rules before C99 if functions are missing by C99's."""
        if self.absent:  # other libraries may be linked now
            self.absent, self.plan = [], replace(self.plan, sources=self.sources)
            units = [unit for unit in units if unit.source != self.stand_ins]
        binary, missing = self.link(self.link_command(units))
        useful = (missing.declared or missing.others) and not self.plan.gnu89_inline
        if useful and self.says_inline(unit for unit in units if not unit.generated):
            as_c99 = self.plan
            self.plan = replace(self.plan, gnu89_inline=True)
            old_units = self.objects.compile_all(self.plan)
            old_binary, old_missing = self.link(self.link_command(old_units))
            if len(old_missing.names) < len(missing.names):
                self.compilers.say("`inline` without `static` is read as before C99")
                units, binary, missing = old_units, old_binary, old_missing
            else:
                self.plan = as_c99
        if self.plan.left_out and (missing.declared or missing.others):
            files = ", ".join(Path(path).name for path in self.plan.left_out)
            why = "is CUDA code that was left out: there was no nvcc when this was built"
            names = missing.declared + missing.others
            reasons = {name: (f"{name} {why}", f"{files}:0") for name in names}
            units, binary, missing = self.link_with(self.folder / "left_out.c", reasons)
        where = self.made.places
        absent = symbols_check.absent(missing, where, self.plan.of_libraries)
        if self.made.has_inline:  # which call functions of libraries that need not be linked
            absent += [name for name in missing.others if name not in self.made.data]
        if absent:
            why = "the libraries that are linked do not have this function, which is declared"
            reasons = {name: (f"{name}: {why}", where.get(name, "header:0")) for name in absent}
            units, binary, missing = self.link_with(self.stand_ins, reasons)
            self.absent = absent
            symbols_check.tell_of(absent)
        symbols_check.refuse(missing, where, self.plan.of_libraries)
        symbols_check.warn_of_unwinder(binary, self.linked)
        return units, binary

    def named(self) -> Path:
        """The target of what was linked: a binary for this Python alone has another name, if that can happen."""
        own = self.plan.own_target
        return own if own and not universal.is_universal(self.linked) else self.plan.target

    def link_with(
        self, stand_ins: Path, reasons: dict[str, tuple[str, str]]
    ) -> tuple[list[Unit], bytes, symbols_check.Missing]:
        """Links with functions that raise in the place of those that nothing defines."""
        cache.write_if_changed(stand_ins, symbols_check.stand_ins(reasons))
        self.plan = replace(self.plan, sources=(*self.plan.sources, stand_ins))
        units = self.objects.compile_all(self.plan)
        return units, *self.link(self.link_command(units))

    def install(self, binary: bytes | None) -> None:
        """The binary first: the old and the new __init__.py both import with it."""
        target = self.target
        init = target.with_name("__init__.py")
        texts = {init: self.made.init, init.with_suffix(".pyi"): self.made.stub}
        make_packages(self.plan.packages, target.parent)
        if self.locked:
            for path in (target, *texts, *self.plan.packages):
                cache.sweep(path.parent, path.name)
        if binary is not None:
            if _is_loaded(target):
                print(f"ffi_ext: {target.name} is in use here: restart Python to run the new one")
            cache.replace(target, binary)
        cache.remove_namesakes(target)
        for path, text in texts.items():
            cache.write_if_changed(path, text)

    def remove_what_is_new(self) -> None:
        """The __init__.py that a first build has not come to use, whose import would speak of a missing binary."""
        folder = self.plan.target.parent
        with contextlib.suppress(OSError):
            if self.plan.is_new and os.listdir(folder) == ["__init__.py"]:
                (folder / "__init__.py").unlink()
                folder.rmdir()  # not of what another build puts there now

    def save(self, units: list[Unit], link_key: str, binary: str) -> None:
        used = {unit.key: self.objects.of(unit) for unit in units}
        record = {
            "version": RECORD_VERSION,
            "objects": used,
            "link": link_key,
            "binary": binary,
            "target": self.target.name,
            "gnu89_inline": self.plan.gnu89_inline,
            "absent": self.absent,
        }
        cache.replace(self.record_path, json.dumps(record).encode())
        kept = {entry["object"] for entry in used.values()}
        for leftover in self.folder.glob("*.o"):
            if self.locked and leftover.name not in kept:
                leftover.unlink(missing_ok=True)

    def run(self) -> bool:
        """Builds what is not up to date. Returns whether anything was."""
        if self.locked:
            cache.sweep_folder(self.folder)
        self.objects.temporary = Path(tempfile.mkdtemp(prefix="tmp-", dir=self.folder))
        try:
            if self.plan.gnu89_inline and not all(
                map(self.objects.is_fresh, self.objects.units(self.plan))
            ):
                self.plan = replace(self.plan, gnu89_inline=False)
            units = self.objects.compile_all(self.plan)
            link_key = self.link_key(units)
            installed = cache.file_digest(self.target)
            binary = None
            if (
                self.objects.compiled
                or installed is None
                or self.record.get("link") != link_key
                or self.record.get("binary") != installed
            ):
                units, binary = self.link_all(units)
                self.target = self.named()
                link_key = self.link_key(units)
                installed = cache.digest(binary)
            self.install(binary)
            if binary is not None:
                self.save(units, link_key, installed)
                symbols_check.tell_of_lost(self.target, linked_files(self.plan))
            return binary is not None
        except BaseException:
            self.remove_what_is_new()
            raise
        finally:
            shutil.rmtree(self.objects.temporary, ignore_errors=True)


def build(plan: Plan, verbose: bool = True) -> None:
    """Builds and installs an extension, or finds that it is up to date.

    Raises:
        BuildError: With the first cause; the module that was there before is unchanged.
    """
    started = time.perf_counter()
    verbose = verbose or commands.says_all()
    try:
        with cache.workplace(plan.home or plan.target) as (folder, locked):
            work = Build(plan, folder, locked, verbose)
            changed = work.run()
    except OSError as error:
        if error.errno is None:  # not the system's: a missing source, with a text of ours
            raise
        raise BuildError(
            f"the build of {plan.target} could not go on ({error.strerror}: {error.filename}); the "
            "module that was there before is unchanged. Were its files or the cache changed or "
            "removed meanwhile? Build again"
        ) from error
    took = time.perf_counter() - started
    name = os.path.relpath(work.target)
    work.compilers.say(
        f"built {name} in {took:.2f} s" if changed else f"{name} is up to date ({took:.3f} s)"
    )
