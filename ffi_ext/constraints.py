"""Constraints on tensor arguments, as a header's comment states them: `@param x [float32|float64, (N, C)]`.

No torch here: builds read and check them. Calls compare them in C (csrc/constraints.c), and misfits.py says what did
not fit.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ffi_ext import types

# Element types of `ffi_ext_tensor`, by torch's names and ScalarType numbers (include/ffi_ext.h has them, too).
DTYPES = {
    "uint8": 0,
    "int8": 1,
    "int16": 2,
    "int32": 3,
    "int64": 4,
    "float16": 5,
    "float32": 6,
    "float64": 7,
    "complex32": 8,
    "complex64": 9,
    "complex128": 10,
    "bool": 11,
    "bfloat16": 15,
    "float8_e5m2": 23,
    "float8_e4m3fn": 24,
    "uint16": 27,
    "uint32": 28,
    "uint64": 29,
}
GROUPS = {
    "floating": ("float16", "bfloat16", "float32", "float64"),
    "complex": ("complex64", "complex128"),
    "integer": ("uint8", "int8", "int16", "int32", "int64"),
}
_MAX_SIZES = 16  # of a shape: FFI_CONSTRAINT_DIMS in csrc/constraints.h
_MAX_NAMES = 32  # of sizes, in one function: FFI_CONSTRAINT_NAMES there
_PLACES = [str(index) for index in range(types.MAX_PARAMETERS)]  # parameters, as encoded
_WORDS = ("contiguous", "channels_last", "output", "optional", "cpu", "cuda")
_KNOWN = [*DTYPES, *GROUPS, *_WORDS]
# What torch calls C's types; of "float" the nearest word would be float64.
_OF_C = {
    "char": "int8",
    "short": "int16",
    "int": "int32",
    "long": "int64",
    "half": "float16",
    "float": "float32",
    "double": "float64",
}
_PARAM = re.compile(
    r"[@\\]param(?:\s*\[[a-z, ]*\])?\s+(\w+(?:\s*,\s*\w+)*)\s*[:-]?\s*\[([^\]]*)\](?:\s*\[([^\]]*)\])?"
)
_EACH = re.compile(r"\([^()]*\)|[^,()]+(?:\([^()]*\))?")

_SUBJECTS = {"dtypes": "dtype", "dtype_of": "dtype", "devices": "device"}

Size = int | str  # a number, a name that stands for one size in the whole call, "_" or "..."


class ConstraintError(ValueError):
    """A constraint that cannot be read; the text says why."""


@dataclass(frozen=True)
class Constraint:
    """What a tensor argument must be. References to other parameters are their places."""

    dtypes: tuple[str, ...] = ()  # none: any
    shape: tuple[Size, ...] | None = None
    layout: str = ""  # "contiguous", "channels_last"
    output: bool = False  # shares no memory with another argument
    optional: bool = False  # None is NULL
    devices: tuple[str, ...] = ("cpu",)
    dtype_of: int | None = None  # the element type of that parameter
    like: int | None = None  # its element type and shape

    def encoded(self) -> str:
        """The form in a signature, which `decode` and csrc/constraints.c read."""
        parts = []
        if self.dtypes:
            parts.append("|".join(self.dtypes))
        if self.shape is not None:
            parts.append(f"({','.join(map(str, self.shape))})")
        words = {"output": self.output, "optional": self.optional}
        parts += filter(None, [self.layout, *(word for word, said in words.items() if said)])
        if self.devices != ("cpu",):
            parts.append("|".join(self.devices))
        if self.dtype_of is not None:
            parts.append(f"dtype({self.dtype_of})")
        if self.like is not None:
            parts.append(f"like({self.like})")
        return f"[{','.join(parts)}]"


def in_comment(
    comment: str, names: Sequence[str], tensors: Sequence[bool]
) -> dict[int, Constraint]:
    """The constraints that a function's comment states by `@param name [...]`, by the parameters' places.

    Raises:
        ConstraintError: A word in brackets is unknown, or the parameter is, or it is no tensor.
    """
    found: dict[int, Constraint] = {}
    stated = [(re.findall(r"\w+", listed), *texts) for listed, *texts in _PARAM.findall(comment)]
    for name, text, more in ((name, *texts) for listed, *texts in stated for name in listed):
        if name not in names:
            raise ConstraintError(
                f"@param {name} [{text}]: there is no parameter {name}{_near(name, names)}"
            )
        index = list(names).index(name)
        if not tensors[index]:
            raise ConstraintError(f"@param {name} [{text}]: {name} is no tensor")
        if index in found or _is_constraint(more, names[:index]):
            raise ConstraintError(
                f"@param {name} [{text}]: {name} has brackets already; write all items into one pair"
            )
        try:
            found[index] = parse(text, names[:index])
        except ConstraintError as error:
            raise ConstraintError(f"@param {name} [{text}]: {error}") from None
    shapes = [constraint.shape or () for constraint in found.values()]
    sizes = {size for shape in shapes for size in shape if isinstance(size, str)}
    if len(sizes - {"_", "..."}) > _MAX_NAMES:
        raise ConstraintError(f"the shapes of a function name at most {_MAX_NAMES} sizes")
    return found


def refuse_parameters_as_sizes(found: dict[int, Constraint], names: Sequence[str]) -> None:
    """`(n, 3)` beside an `int n` reads as if the two were compared."""
    for index, constraint in found.items():
        for place, size in enumerate(constraint.shape or ()):
            if size in names:
                name = names[index]
                raise ConstraintError(
                    f"@param {name} [... {size} ...]: {size} is a parameter, and no shape is compared with one: give "
                    f"the size another name, and compare in C, as by FFI_CHECK({name}->shape[{place}] == {size}, ...)"
                )


def were_meant(comment: str, names: Sequence[str], tensors: Sequence[bool]) -> bool:
    """Whether some brackets are a tensor's constraint, or would be but for a slip of the pen, in its name, too.

    The brackets of documentation that is older than constraints ("[input]") are neither, and so may be those that say
    "output" or "optional" alone.
    """
    numbers = {name for name, is_tensor in zip(names, tensors, strict=True) if not is_tensor}
    prose = {"output", "optional"}
    telling = [word for word in _KNOWN if word not in prose]
    for listed, *texts in _PARAM.findall(comment):
        words = {*re.findall(r"\w+", " ".join(texts))} - prose
        if not words or numbers.issuperset(re.findall(r"\w+", listed)):
            continue
        slips = any(difflib.get_close_matches(word, telling, 1, 0.85) for word in words)
        if slips or any(_is_constraint(text, names) for text in texts):
            return True
    return False


def overlooked(comment: str, names: Sequence[str]) -> str:
    """The first brackets that read as a constraint and are none, since they do not stand behind `@param name`."""
    for text in re.findall(r"\[([^][]*)(?:\]|$)", _PARAM.sub("", comment)):
        telling = re.search(r"\b(?:u?int|b?float|complex)\d|contiguous|channels_last|\(", text)
        if telling and _is_constraint(text, names):
            return " ".join(text.split())
    return ""


def _is_constraint(text: str, earlier: Sequence[str]) -> bool:
    """Whether a second pair of brackets was meant to be read, too."""
    try:
        return bool(text.strip()) and bool(parse(text, earlier))
    except ConstraintError:
        return False


@functools.cache
def decode(text: str) -> Constraint:
    """The inverse of `Constraint.encoded`; "", where nothing is said, is `Constraint()`."""
    return parse(text.strip("[]"), _PLACES)


def parse(text: str, earlier: Sequence[str]) -> Constraint:
    """The text between the brackets; `earlier`: names of the parameters before this one."""
    fields: dict[str, object] = {}

    def put(key: str, value: object) -> None:
        if key in fields:
            write = "; write float32|float64 for either" if key == "dtypes" else ""
            raise ConstraintError(f"two items say what the {_SUBJECTS.get(key, key)} is{write}")
        fields[key] = value

    for item in (found.strip() for found in _EACH.findall(text)):
        if item.startswith("("):
            put("shape", _shape(item))
        elif item.startswith(("dtype(", "like(")):
            word, _, name = item.rstrip(")").partition("(")
            name = name.strip()
            if name not in earlier:
                raise ConstraintError(
                    f"{word}({name}) must name an earlier parameter{_near(name, earlier)}"
                )
            put("dtype_of" if word == "dtype" else "like", list(earlier).index(name))
        elif item in ("contiguous", "channels_last"):
            put("layout", item)
        elif item in ("output", "optional"):
            put(item, True)
        elif item and set(_alternatives(item)) <= {"cpu", "cuda"}:
            put("devices", tuple(_alternatives(item)))
        elif item:
            put("dtypes", _dtypes(item))
    return Constraint(**fields)  # type: ignore[arg-type]


def _alternatives(item: str) -> list[str]:
    return [word.strip() for word in item.split("|")]


def _dtypes(item: str) -> tuple[str, ...]:
    words: list[str] = []
    for word in _alternatives(item):
        if word not in DTYPES and word not in GROUPS:
            if shape := re.search(r"\(.*\)", word):
                raise ConstraintError(f"unknown item {word!r}; a shape is {shape[0]} alone")
            if word in _WORDS:
                raise ConstraintError(f"{word} is an item of its own: write it behind a comma")
            if re.fullmatch(r"[A-Z]\w?|\d+|_|\.\.\.", word):
                raise ConstraintError(
                    f"unknown word {word!r}; sizes stand in brackets of their own, (N, 3)"
                )
            raise ConstraintError(f"unknown word {word!r}{_near(_OF_C.get(word, word), _KNOWN)}")
        words += GROUPS.get(word, (word,))
    return tuple(dict.fromkeys(words))


def _shape(item: str) -> tuple[Size, ...]:
    sizes: list[Size] = []
    words = [part.strip() for part in item.strip("()").split(",")]
    if len(words) > 1 and not words[-1]:  # (N,), as Python writes it
        words.pop()
    for word in words:
        if word.isdecimal():
            sizes.append(int(word))
        elif word in ("_", "...") or word.isidentifier():
            sizes.append(word)
        elif word or len(item.strip("() ")) > 0:
            raise ConstraintError(f"{word!r} is no size: a number, a name, _ or ...")
    if sizes.count("...") > 1:
        raise ConstraintError("a shape has at most one ...")
    if len(sizes) > _MAX_SIZES:
        raise ConstraintError(f"a shape has at most {_MAX_SIZES} sizes")
    return tuple(sizes)


def _near(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known) or 'none'}"
