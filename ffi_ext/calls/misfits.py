"""What does not fit of the tensors that were passed: the constraint that one breaks, in words.

No torch here: what was passed comes as data. csrc/constraints.c has found that something does not fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ffi_ext.constraints import Constraint, Size


@dataclass(frozen=True)
class Passed:
    """What was passed for a tensor parameter."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    device: str
    contiguous: bool
    channels_last: bool
    expanded: bool  # several elements in one place
    memory: tuple[int, int]  # first byte, and the one behind the last
    is_array: bool  # NumPy's
    is_written: bool  # C may write to it: a converted copy would get the result


def bind_sizes(
    shape: Sequence[Size], got: Sequence[int], known: dict[str, tuple[int, str]], name: str
) -> bool:
    """Whether sizes fit a shape; adds the names' sizes and the argument that gave them to `known`."""
    wanted = list(shape)
    if "..." in wanted:
        at = wanted.index("...")
        wanted[at : at + 1] = ["_"] * (len(got) - len(wanted) + 1)
    if len(wanted) != len(got):
        return False
    for size, actual in zip(wanted, got, strict=True):
        if isinstance(size, int):
            if size != actual:
                return False
        elif size != "_" and known.setdefault(size, (actual, name))[0] != actual:
            return False
    return True


Problem = tuple[type[Exception], str]  # an exception's type and "expected ..., got ..."
Earlier = list[tuple[Constraint, Passed]]


def problem(constraints: Sequence[Constraint | None], passed: Sequence[Passed | None]) -> Problem:
    """Why the last that was passed does not fit; None: a parameter without a constraint, what is no tensor."""
    *before, (constraint, got) = [
        (constraint or Constraint(), value)
        for constraint, value in zip(constraints, passed, strict=True)
        if value
    ]
    return (
        _of_type(constraint, got, passed)
        or _of_shape(constraint, got, passed, before)
        or _of_layout(constraint, got)
        or _of_expansion(constraint, got)
        or _of_device(got, before)
        or _of_overlap(constraint, got, before)
    )


def _of_type(
    constraint: Constraint, got: Passed, passed: Sequence[Passed | None]
) -> Problem | None:
    if constraint.dtypes and got.dtype not in constraint.dtypes:
        wanted = _either(constraint.dtypes)
        return TypeError, f"expected {wanted}, {_got_dtype(got, constraint.dtypes)}"
    for reference in (constraint.dtype_of, constraint.like):
        other = passed[reference] if reference is not None else None
        if other and other.dtype != got.dtype:
            text = f"expected {other.dtype}, as '{other.name}' has it"
            return TypeError, f"{text}, {_got_dtype(got, [other.dtype])}"
    return None


def _of_shape(
    constraint: Constraint, got: Passed, passed: Sequence[Passed | None], before: Earlier
) -> Problem | None:
    other = passed[constraint.like] if constraint.like is not None else None
    if other and other.shape != got.shape:
        return ValueError, f"expected the shape {other.shape} of '{other.name}', got {got.shape}"
    known: dict[str, tuple[int, str]] = {}
    for earlier, value in before:
        bind_sizes(earlier.shape or ["..."], value.shape, known, value.name)
    wanted = constraint.shape
    if wanted is None or bind_sizes(wanted, got.shape, dict(known), got.name):
        return None
    given = [
        f"{size} = {known[size][0]} from '{known[size][1]}'"
        for size in dict.fromkeys(wanted)
        if isinstance(size, str) and size in known
    ]
    text = f"expected the shape ({', '.join(map(str, wanted))})"
    return ValueError, f"{text}{' with ' if given else ''}{', '.join(given)}, got {got.shape}"


def _of_layout(constraint: Constraint, got: Passed) -> Problem | None:
    if constraint.layout == "contiguous" and not got.contiguous:
        wanted = "contiguous tensor"
        cure = "numpy.ascontiguousarray(...)" if got.is_array else ".contiguous()"
    elif constraint.layout == "channels_last" and not got.channels_last:
        wanted = "channels_last tensor (N, C, H, W)"
        cure = f"{_torchs(got)}.contiguous(memory_format=torch.channels_last)"
    else:
        return None
    return ValueError, f"expected a {wanted}; {cure_of(got.is_written, f'make it one with {cure}')}"


def _of_expansion(constraint: Constraint, got: Passed) -> Problem | None:
    if not (constraint.output and got.expanded):
        return None
    return ValueError, (
        "expected an output with a place for each element, got an expanded one: create it in its full size"
    )


def _of_device(got: Passed, before: Earlier) -> Problem | None:
    elsewhere = [value for _, value in before if value.device != got.device]
    if not elsewhere:
        return None
    kind = got.device.partition(":")[0]
    elsewhere.sort(key=lambda value: not value.device.startswith(kind))  # another GPU, then the CPU
    text = f"expected a tensor on {elsewhere[0].device}, where '{elsewhere[0].name}' is"
    return TypeError, f"{text}, got one on {got.device}"


def _of_overlap(constraint: Constraint, got: Passed, before: Earlier) -> Problem:
    overlapping = [
        repr(value.name)
        for earlier, value in before
        if constraint.output or earlier.output
        if value.memory[0] < got.memory[1] and got.memory[0] < value.memory[1]
    ]
    text = "expected an output and inputs that share no memory"
    names = ", ".join(overlapping) or "another argument"
    return ValueError, f"{text}, got one that overlaps {names}"


def cure_of(is_written: bool, how: str) -> str:
    """How to make an argument what it has to be; of what C writes a copy would get the result."""
    if is_written:
        return "C may write to it (it is not const), and a copy would get the result: create it so"
    return how


def _got_dtype(got: Passed, wanted: Sequence[str]) -> str:
    text = f"got {'an array' if got.is_array else 'a tensor'} of {got.dtype}"
    if len(wanted) > 1 and not got.is_written:
        return text
    in_numpy = got.is_array and wanted[0] != "bfloat16"
    cure = f".astype({wanted[0]!r})" if in_numpy else f"{_torchs(got)}.to(torch.{wanted[0]})"
    return f"{text}; {cure_of(got.is_written, f'convert it with {cure}')}"


def _torchs(got: Passed) -> str:
    return "torch.from_numpy(...)" if got.is_array else ""


def _either(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]
