"""The call under attack: random prototypes, right and wrong arguments by the million, against a model in Python."""

from __future__ import annotations

import gc
import importlib
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

from ffi_ext import create_extension
from tests.reliability import children, prototypes


def build(made: list[prototypes.Function], home: Path) -> ModuleType:
    """One extension of all the functions, imported."""
    header, source = prototypes.sources(made)
    (home / "attack.h").write_text(header)
    (home / "attack.c").write_text(source)
    name = f"attacked_{os.getpid()}_{abs(hash(source))}"
    create_extension(
        f"{name}.attack",
        ["attack.h"],
        ["attack.c"],
        relative_to=str(home / "build.py"),
        extra_compile_args=["-O1"],
        verbose=False,
    ).build()
    sys.path.insert(0, str(home))
    importlib.invalidate_caches()
    return importlib.import_module(f"{name}.attack")


def shown(values: list[Any]) -> str:
    """repr, also of integers that Python does not write out."""
    huge = [isinstance(v, int) and v.bit_length() > 1000 for v in values]
    return str(["a huge integer" if h else v for h, v in zip(huge, values, strict=True)])


class Attack:
    """Calls the functions of a module at random and compares."""

    def __init__(
        self, module: ModuleType, made: list[prototypes.Function], r: random.Random
    ) -> None:
        self.module, self.made, self.random = module, made, r
        self.counts: Counter[str] = Counter()
        self._counting = threading.Lock()

    def once(self, r: random.Random | None = None) -> None:
        """One call of one function.

        Raises:
            AssertionError: The result, or the exception, is not the one that is defined.
        """
        r = r or self.random
        function = r.choice(self.made)
        chosen = [r.choice(kind.right) for kind in function.parameters]
        values = [value for value, _ in chosen]
        dice = r.random()
        if values and dice < 0.4:
            self.wrong_value(function, values, r)
        elif dice < 0.5:
            self.wrong_count(function, values, r)
        else:
            self.right(function, values, [number for _, number in chosen], r)

    def count(self, kind: str) -> None:
        with self._counting:
            self.counts[kind] += 1

    def right(
        self,
        function: prototypes.Function,
        values: list[Any],
        numbers: list[int],
        r: random.Random,
    ) -> None:
        call = getattr(self.module, function.name)
        cut = len(values) if r.random() < 0.7 else r.randint(0, len(values))
        named = {f"p{i}": values[i] for i in range(cut, len(values))}
        got = function.result.seen(call(*values[:cut], **named))
        total = function.total(numbers)
        expected = function.result.model(total)
        assert got == expected and type(got) is type(expected), (
            f"{function.prototype} of {shown(values)} gave {got!r}, expected {expected!r}"
        )
        if function.result.c_type == "void":
            last = self.module.attack_last()
            assert last == total, (
                f"{function.prototype} of {shown(values)}: {last} reached C, not {total}"
            )
        self.count("right")

    def refused(
        self,
        function: prototypes.Function,
        values: list[Any],
        named: dict[str, Any],
        wanted: type[BaseException],
        text: str = "",
    ) -> None:
        try:
            got = getattr(self.module, function.name)(*values, **named)
        except BaseException as error:
            if type(error) is wanted and text in str(error):
                return
            told = f"{function.prototype} of {shown(values)} {sorted(named)} raised {error!r}"
            raise AssertionError(f"{told}, expected {wanted.__name__} with {text!r}") from error
        raise AssertionError(
            f"{function.prototype} of {shown(values)} {sorted(named)} returned {got!r}"
        )

    def wrong_value(
        self, function: prototypes.Function, values: list[Any], r: random.Random
    ) -> None:
        at = r.randrange(len(values))
        values[at], wanted = r.choice(function.parameters[at].wrong)
        text = "" if wanted is ZeroDivisionError else f"argument {at + 1} 'p{at}'"
        self.refused(function, values, {}, wanted, text)
        self.count("wrong values")

    def wrong_count(
        self, function: prototypes.Function, values: list[Any], r: random.Random
    ) -> None:
        named: dict[str, Any] = {}
        kind = r.choice(["more", "fewer", "unknown", "twice", "many"])
        if kind == "fewer" and values:
            values.pop()
        elif kind == "twice" and values:
            named["p0"] = values[0]
        elif kind == "unknown":
            named["ünknown"] = 1
        else:
            values += [None] * (100 if kind == "many" else 1)
        self.refused(function, values, named, TypeError, function.name)
        self.count("wrong counts")


def passed_values(made: list[prototypes.Function]) -> list[Any]:
    """Every value that is passed."""
    kinds = {id(k): k for f in made for k in f.parameters}.values()
    return [value for kind in kinds for value, _ in (*kind.right, *kind.wrong)]


def is_everybodys(value: Any) -> bool:
    """Whether it is one object in the whole process, such as None and the small integers."""
    return sys.getrefcount(value) > 500 or (isinstance(value, int) and -5 <= value <= 256)


def in_threads(attack: Attack, calls: int, threads: int, seed: int) -> None:
    """The same from threads, while one thread is in C and another raises."""

    def work(number: int) -> None:
        r = random.Random(seed * 1000 + number)
        for i in range(calls // threads):
            attack.once(r)
            if i % 200 == 0:
                attack.module.attack_nap(1)

    with ThreadPoolExecutor(threads) as running:
        list(running.map(work, range(threads)))


def attack_one_module(functions: int, calls: int, seed: int, home: Path) -> dict[str, Any]:
    """Builds, calls, and looks at references and memory."""
    r = random.Random(seed)
    made = prototypes.functions(functions, r)
    attack = Attack(build(made, home), made, r)
    passed = passed_values(made)

    def the_same_calls() -> None:
        again = random.Random(seed)
        for _ in range(calls // 8):
            attack.once(again)

    the_same_calls()
    before = [*map(sys.getrefcount, passed)]
    # Torch and NumPy go on filling caches of their own for a while.
    children.refuse_growth(the_same_calls, "the same calls once more", most=50 + calls // 200)
    memory = children.resident_bytes()
    in_threads(attack, calls // 2, 8, seed)
    gc.collect()
    after, grown = [*map(sys.getrefcount, passed)], children.resident_bytes() - memory
    # Those of what is everybody's must not follow the calls. (A function keeps a small integer for each parameter.)
    some = 1000 + prototypes.LONGEST * functions + calls // 100
    changed = [
        (a, b)
        for value, a, b in zip(passed, before, after, strict=True)
        if abs(a - b) > (some if is_everybodys(value) else 0)
    ]
    assert not changed, f"reference counts before and after: {changed[:5]}"
    # Ten threads' stacks and malloc arenas are some megabytes; a leak of 64 bytes a call would be more.
    assert grown < 12e6 + 16 * calls, f"{grown} bytes more after {calls} calls"
    return {**attack.counts, "bytes": grown}


def main(calls: int, functions: int, seed: int) -> int:
    started = time.monotonic()
    failures, total = [], Counter[str]()
    modules = max(1, calls // 125_000)
    for number in range(modules):
        home = Path(tempfile.mkdtemp(prefix="attack-"))
        outcome = children.run(
            lambda number=number, home=home: attack_one_module(  # type: ignore[misc]
                functions, calls // modules, seed + number, home
            ),
            1800,
        )
        shutil.rmtree(home, ignore_errors=True)
        if outcome.fine:
            total.update(outcome.value)
        else:
            failures.append(f"module {number}: {outcome}")
    grown = total.pop("bytes", 0)
    report = {
        "calls": sum(total.values()),
        "functions": functions * modules,
        "grown_bytes": grown,
        "seconds": round(time.monotonic() - started),
        "kinds": dict(total),
    }
    return children.finish("attack", report, failures)


if __name__ == "__main__":
    options = children.arguments(__doc__ or "", calls=1_000_000, functions=120, seed=1)
    sys.exit(main(options.calls, options.functions, options.seed))
