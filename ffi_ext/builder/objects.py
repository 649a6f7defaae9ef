"""The objects of a build: kept from one build to the next, and compiled side by side where they are stale."""

from __future__ import annotations

import os
import shlex
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ffi_ext import cache, elf
from ffi_ext.builder import prototypes
from ffi_ext.builder.plan import Plan, compile_command, is_cxx
from ffi_ext.builder.units import Unit, dependencies_of, milliseconds, unit_of
from ffi_ext.compilers import commands, compile_errors, toolchain, universal
from ffi_ext.cuda import toolkit
from ffi_ext.errors import BuildError, warn

# What C calls that takes the GIL itself: its calls release the GIL.
TAKES_GIL = rb"PyGILState_Ensure"

States = dict[str, tuple[int, ...] | None]  # of files, see cache.state


class Objects:
    """Those of one build, kept in a folder; `known`: what the build before says of them, by their units' keys."""

    temporary: Path  # a folder in that one, while the build runs

    def __init__(
        self, folder: Path, known: dict[str, dict[str, Any]], by: commands.Compilers
    ) -> None:
        self.folder, self.known, self.compilers = folder, known, by
        self.states: States = {}  # of the files that units were made of
        self.compiled = 0
        self.mistakes: list[str] = []  # told where the compiler's warnings are not

    def of(self, unit: Unit) -> dict[str, Any]:
        """What is known of a unit's object: see compile()."""
        return self.known[unit.key]

    def units(self, plan: Plan) -> list[Unit]:
        """The generated source and the user's."""
        stem = plan.target.name.split(".")[0]
        generated = self.folder / f"{stem}{plan.generated_suffix}"
        cache.write_if_changed(generated, plan.generated.source)
        content = plan.generated.source.encode("utf-8", "surrogateescape")  # as it was written
        units = [unit_of(plan, generated, content, generated=True)]
        for source in plan.sources:
            try:
                content = source.read_bytes()
            except OSError as error:
                raise FileNotFoundError(
                    f"the source {source} cannot be read: {error.strerror}"
                ) from error
            units.append(unit_of(plan, source, content))
        return units

    def is_fresh(self, unit: Unit) -> bool:
        known = self.known.get(unit.key)
        if not known or cache.file_digest(self.folder / known["object"]) != known["digest"]:
            return False
        if known["python"] not in (None, universal.python_headers()):
            return False
        return cache.are_current(known["dependencies"])

    def compile(self, plan: Plan, unit: Unit, label: str, seen: States) -> None:
        """Compiles into the cache, and has it done again if a file changed meanwhile.

        An object's name says its content: neither a build that failed nor one beside this can put
        another object where a record tells of this one.

        Args:
            seen: The states of files in the round before. One that is stamped later than now, by a
                clock that was set back since, counts as unchanged if it had that state already.
        """
        # At once: those that begin together are in order then.
        self.compilers.say(f"{label} {unit.source.name}")
        started = cache.clock()
        output = self.temporary / f"{unit.key[:32]}.o"
        depfile = output.with_suffix(".d")
        output_flags = ["-MD", "-MF", str(depfile), "-o", str(output)]
        if commands.says_all():
            self.compilers.say(shlex.join(unit.command))
        status, log = self.compilers.run([*unit.command, *output_flags])
        whole, _ = compile_command(plan, unit.source, unit.generated)
        again = bool(status) and whole != unit.command
        if again:
            status, log = self.compilers.run([*whole, *output_flags])
        shown = not unit.generated or (bool(status) and commands.says_all())
        if log.strip() and shown:
            self.compilers.say(log.rstrip())
        if status or not output.exists():
            shown = shown and self.compilers.verbose
            raise compile_errors.explain(f"compiling {unit.source}", log, shown)
        if not self.compilers.verbose and not unit.generated:
            self.mistakes += compile_errors.mistakes(log)
        compiled = output.read_bytes()
        content = cache.digest(compiled)
        name = f"{content[:32]}.o"
        os.replace(output, self.folder / name)
        dependencies = {p: cache.signature(p) for p in dependencies_of(depfile, unit.source)}
        uses_python = again or any(map(universal.is_pythons_own, dependencies))
        for path in (str(unit.source), *dependencies):
            self.states[path] = state = cache.state(path)
            changed = cache.may_have_changed(path, started)
            if changed and (state is None or seen.get(path) != state):
                dependencies[str(unit.source)] = None  # never equal: compiled again, once more
        self.known[unit.key] = {
            "object": name,
            "digest": content,
            "dependencies": dependencies,
            "python": universal.python_headers() if uses_python else None,
            "calls_python": uses_python and elf.has_name(compiled, rb"_?Py[A-Z_]\w+"),
            "takes_gil": elf.has_name(compiled, TAKES_GIL),
        }
        self.compiled += 1

    def compile_all(self, plan: Plan) -> list[Unit]:
        """Brings every object up to date. Returns the units they belong to."""
        for _ in range(5):
            units = self.units(plan)
            stale = [unit for unit in units if not self.is_fresh(unit)]
            if not stale:
                return units
            # Else the longest may begin when all others are done.
            stale.sort(key=milliseconds, reverse=True)
            seen, self.states = self.states, dict(self.states)
            self.compile_at_once(plan, units, stale, seen)
            # Once more round: a source that changed while it was compiled has another key now.
        raise BuildError(
            "the sources change faster than they can be compiled; build again when they are still"
        )

    def compile_at_once(
        self, plan: Plan, units: Sequence[Unit], stale: Sequence[Unit], seen: States
    ) -> None:
        """Compiles the stale units, as many at once as there are jobs. Raises the error of the first that failed."""
        waiting = enumerate(stale)
        errors: list[BaseException | None] = [None] * len(stale)
        one_at_a_time = threading.Lock()

        def work() -> None:
            while True:
                with one_at_a_time:
                    index, unit = next(waiting, (-1, None))
                if unit is None:
                    return
                try:
                    self.compile(plan, unit, f"[{index + 1}/{len(stale)}]", seen)
                except BaseException as error:  # raised by the caller's thread
                    errors[index] = error

        # Daemons: Ctrl-C may come while one starts, and nobody then knows to wait for it.
        count = min(toolchain.jobs(), len(stale))
        workers = [threading.Thread(target=work, daemon=True) for _ in range(count)]
        try:
            for worker in workers:
                worker.start()
            self.warn_of(plan, units, stale)  # while the compilers run
            for worker in workers:
                # Python looks for signals between waits, not in one: Ctrl-C just before it would be seen after it.
                while worker.is_alive():
                    worker.join(timeout=0.2)
        except BaseException:
            self.compilers.end()
            for worker in workers:
                if worker.is_alive():
                    worker.join()
            raise
        for error in errors:
            if error is not None:
                raise error
        while self.mistakes:
            warn(self.mistakes.pop(0))

    def warn_of(self, plan: Plan, units: Iterable[Unit], stale: Iterable[Unit]) -> None:
        """What compiles and cannot work; a header may have changed, so all of the sources are compared."""
        kernels = any(unit.source.suffix in toolchain.CUDA_SUFFIXES for unit in stale)
        if kernels and (doubts := toolkit.doubts()):
            warn(doubts)
        for unit in units:
            if (
                unit.generated
                or unit.source.suffix != ".c"
                or unit.source.parent == self.folder
                or is_cxx(unit.source, plan.language)
            ):
                continue  # C++ tells functions apart by their types
            text = unit.source.read_text(encoding="utf-8", errors="replace")
            for name, head, line in prototypes.differences(text, plan.generated.prototypes):
                warn(
                    f"{unit.source.name}:{line} defines {head}, and {plan.generated.places[name]} declares "
                    f"{plan.generated.prototypes[name]}: a call hands over other values than the function reads. "
                    "Make them equal; a source that includes the header is checked by the compiler"
                )
