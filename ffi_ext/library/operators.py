"""Functions of a generated module as torch operators: torch.compile sees through them."""

from __future__ import annotations

import hashlib
import inspect
import keyword
import re
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
import torch.utils.checkpoint

from ffi_ext import constraints, types
from ffi_ext.errors import warn

# By namespace, the name of the registered module and its library: torch forgets the operators of one that nobody keeps.
_LIBRARIES: dict[str, tuple[str, torch.library.Library]] = {}
# By operator, a library with one kernel of it that is never called and never goes: as long as an operator has a kernel
# it stays where it is in memory, and there point compiled graphs and all who keep torch.ops.space.name.default. Beside
# it all of these that there were: torch's dispatcher, too, keeps the first one.
_ANCHORS: dict[str, tuple[torch.library.Library, list[Any]]] = {}
_OPERATORS: dict[int, tuple[Any, Operator]] = {}  # by id(function); the function is kept with it
# By namespace, its operators' schemas and results.
_KINDS: dict[str, list[tuple[str, str, torch.dtype | None]]] = {}
# torch's types of numbers, by our codes. SymInt: sizes stay symbols, and a compiled graph holds for every size.
_SCHEMA = {code: "float" if member in "fd" else "SymInt" for code, member in types.MEMBERS.items()}
_SCHEMA["?"] = "bool"
del _SCHEMA["c"]  # bytes
_DTYPES = {"SymInt": torch.int64, "float": torch.float64, "bool": torch.bool}
# Operators that a selective checkpoint does not keep the results of, whatever it was told: it would not call them
# again, and what they write to would stay as it was allocated. torch 2.4 has no such set.
_CALLED_AGAIN: set[Any] = getattr(torch.utils.checkpoint, "SAC_IGNORED_OPS", set())
# torch.compile passes an operator's arguments by name, among parameters of its own that have these.
_NAMES_OF_TORCH = ("mode", "node")


@dataclass(frozen=True)
class Operator:
    """A C function as an operator.

    Attributes:
        name: "namespace::function".
        schema: torch's, as in "(Tensor a, Tensor(b!) out) -> Tensor". A number that C returns comes as a
            tensor without dimensions (int64, float64 or bool), since compiled graphs hold nothing else.
            C's parameters `mode` and `node` are `mode_` and `node_`: torch.compile fails on the bare names.
        call: The operator, torch.ops.<namespace>.<function>.default.
    """

    name: str
    schema: str
    call: Callable[..., Any]


def register(module: ModuleType, namespace: str | None = None) -> dict[str, Operator]:
    """Makes each function of a generated module a torch.library operator.

    A `const` tensor parameter is an input; the others are mutated in place, and outside of compiled code they may be
    resized, too. Under torch.compile outputs must come in their final shapes, which the compiler has to know. It
    knows of no effect but the writing to arguments: of two equal calls it may keep one, and it may drop a call whose
    outputs nobody reads. A function without outputs stays. A selective checkpoint calls an operator with outputs
    again, also one that it was told to save. Gradients do not go through operators: `differentiable` gives them.

    Args:
        module: A module that `create_extension`, `load` or `load_inline` made.
        namespace: Of the operators; the module's last name by default.

    Returns:
        The operators by the functions' names. Functions that torch's schemas cannot express (pointers,
        structs, storages, variable arguments, tensor results) are left out.

    Raises:
        TypeError: The module is not a generated one.
        ValueError: No function of it can be an operator, or torch.ops has something else of that name.

    Registering a rebuilt module under the same namespace replaces the operators of the one before: also those that
    were kept compute with the new module. Another module's are replaced with a warning.
    """
    lib, ffi = getattr(module, "_lib", None), getattr(module, "_ffi", None)
    if lib is None or ffi is None or not hasattr(module, "__all__"):
        raise TypeError(
            f"register() argument 'module': expected a module made by ffi_ext, got {module!r}"
        )
    space = namespace or module.__name__.rpartition(".")[2]
    if not isinstance(space, str) or not space.isidentifier() or keyword.iskeyword(space):
        raise ValueError(
            f"register() argument 'namespace': expected a name as in torch.ops.<name>, got {space!r}"
        )
    functions = {name: getattr(module, name) for name in module.__all__}
    schemas = {n: s for n, f in functions.items() if (s := _schema(f)) is not None}
    if not schemas:
        raise ValueError(f"register(): no function of {module.__name__} can be a torch operator")
    theirs = getattr(torch.ops, space)
    for name in schemas:  # another library's operator, or what every namespace has, such as `name`
        if f"{space}::{name}" not in _ANCHORS and hasattr(theirs, name):
            raise ValueError(
                f"register(): torch.ops.{space}.{name} is something else already: give another namespace=, or the C "
                "function another name"
            )
    own_name = re.sub(r"^ffi_ext\.loaded\..*\.", "", module.__name__)  # each load()'s is the same
    library = _new_library(space, own_name)
    operators = {n: _define(library, n, s, functions[n]) for n, s in schemas.items()}
    _mark_caches(space, [(n, s, _result_dtype(functions[n])) for n, s in sorted(schemas.items())])
    return operators


def _new_library(space: str, module: str) -> torch.library.Library:
    """An empty library in place of the one that the namespace had."""
    other, before = _LIBRARIES.get(space, (module, None))
    if other != module:
        warn(
            f"register(): torch.ops.{space} had the operators of {other}, in whose place those of {module} are "
            "now; give one of them another namespace="
        )
    if before is not None:
        before._destroy()
        # When it goes, torch forgets its names: of what is made below, if that is later.
        del _LIBRARIES[space], before
    library = torch.library.Library(space, "FRAGMENT")
    _LIBRARIES[space] = module, library
    return library


def _define(library: torch.library.Library, name: str, schema: str, function: Any) -> Operator:
    """The operator that calls the function, in the library; those of its name that were kept call it from now on."""
    space = library.ns
    full_name, dtype = f"{space}::{name}", _result_dtype(function)
    library.define(f"{name}{schema}")
    # For all devices and layouts, and where no argument is a tensor: the function says what it takes.
    library.impl(name, _implementation(function, dtype), "CompositeExplicitAutograd")
    torch.library.register_fake(full_name, _fake(function, dtype), lib=library)
    if full_name not in _ANCHORS:
        anchor = torch.library.Library(space, "IMPL")
        anchor.impl(name, _never_called, "PrivateUse3")
        _ANCHORS[full_name] = anchor, []
    call = getattr(getattr(torch.ops, space), name).default
    calls = _ANCHORS[full_name][1]
    calls.append(call)
    for each in calls:
        each._schema = call._schema
        if "!" in schema:
            _CALLED_AGAIN.add(each)
        elif dtype is None:
            torch.fx.node.has_side_effect(each)  # what else would it be called for
    operator = Operator(full_name, schema, call)
    _OPERATORS[id(function)] = (function, operator)
    return operator


def _mark_caches(space: str, kinds: list[tuple[str, str, torch.dtype | None]]) -> None:
    """What torch.compile has kept holds for operators of these schemas and results alone.

    Its caches, in this process and on the disk, go by the text of a graph: `count(x)` would still be taken for an int64
    when C's count() returns a double, and be read as one.
    """
    if _KINDS.setdefault(space, kinds) != kinds:
        torch.compiler.reset()
    _KINDS[space] = kinds
    config: Any = getattr(torch.compiler, "config", None)
    if hasattr(config, "cache_key_tag"):  # from torch 2.7 on
        mark = hashlib.sha256(repr(sorted(_KINDS.items())).encode()).hexdigest()[:16]
        theirs = re.sub(" ffi_ext:[0-9a-f]{16}", "", config.cache_key_tag)
        config.cache_key_tag = f"{theirs} ffi_ext:{mark}"


def _never_called(*arguments: Any) -> None:
    """The kernel of a device that there is none of."""


def operator_of(function: Any) -> Callable[..., Any]:
    """The operator of a function if its module is registered, else the function itself."""
    found = _OPERATORS.get(id(function))
    return found[1].call if found else function


@dataclass(frozen=True)
class Signature:
    """Parameters of a C function: names, and which are tensors, and which of these it may write to."""

    names: tuple[str, ...]
    tensors: frozenset[str]
    mutable: tuple[str, ...]


def signature_of(function: Any) -> Signature | None:
    """None for anything but a function of a generated module."""
    record = getattr(function, "__self__", None)
    codes, names = getattr(record, "codes", None), getattr(record, "names", None)
    if codes is None or names is None or not inspect.isbuiltin(function):
        return None
    pairs = list(zip(names, codes[1:], strict=True))
    tensors = [(n, c) for n, c in pairs if types.is_tensor(c)]
    mutable = tuple(n for n, c in tensors if types.may_write(c))
    return Signature(tuple(names), frozenset(n for n, _ in tensors), mutable)


def _schema(function: Any) -> str | None:
    """torch's schema of a C function, or None where it has none."""
    if signature_of(function) is None:
        return None
    record = function.__self__
    names = [f"{name}_" if name in _NAMES_OF_TORCH else name for name in record.names]
    codes = record.codes
    parts, letter = [], ord("a")
    for name, code, said in zip(names, codes[1:], record.constraints, strict=True):
        if types.is_tensor(code):
            mutated = types.may_write(code)
            mark = "?" if constraints.decode(said).optional else ""
            parts.append(f"Tensor{f'({chr(letter)}!)' if mutated else ''}{mark} {name}")
            letter += mutated
        elif code in _SCHEMA:
            parts.append(f"{_SCHEMA[code]} {name}")
        else:
            return None
    if (codes[0] != "v" and codes[0] not in _SCHEMA) or letter > ord("z") + 1:
        return None
    return f"({', '.join(parts)}) -> {'()' if codes[0] == 'v' else 'Tensor'}"


def _result_dtype(function: Any) -> torch.dtype | None:
    code = function.__self__.codes[0]
    return None if code == "v" else _DTYPES[_SCHEMA[code]]


def _implementation(function: Callable[..., Any], dtype: torch.dtype | None) -> Callable[..., Any]:
    def implementation(*arguments: Any) -> Any:
        result = function(*arguments)
        if dtype is torch.int64 and result >= 1 << 63:
            raise OverflowError(
                f"{function.__name__}() returned {result}, and the number of an operator is an int64: call the "
                "function itself"
            )
        if dtype is None:
            return None
        return torch.scalar_tensor(result, dtype=dtype, device="cpu")

    return implementation


def _fake(function: Any, dtype: torch.dtype | None) -> Callable[..., Any]:
    """What the function returns when nothing is computed; its outputs are arguments."""
    signature = signature_of(function)
    assert signature is not None
    names, tensors, mutable = signature.names, signature.tensors, signature.mutable

    def fake(*arguments: Any) -> torch.Tensor | None:
        passed = zip(names, arguments, strict=True)
        given = {n: x for n, x in passed if n in tensors and x is not None}
        if not any(_is_empty(x) for n, x in given.items() if n not in mutable):
            for name in (n for n in mutable if n in given):
                if given[name].dim() == 1 and _is_empty(given[name]) and len(given) > len(mutable):
                    raise RuntimeError(
                        f"{function.__name__}() argument '{name}' is empty, to be resized in C: under torch.compile "
                        "outputs must come in their final shape, as torch.empty_like(x) makes them"
                    )
        for name in (n for n in mutable if n in given and _begins_at_a_symbol(given[n])):
            # auto_functionalized_v2's sym_storage_offset, which Inductor takes for 0 in torch 2.13 and 2.15
            warn(
                f"{function.__name__}() argument '{name}' is a part of a tensor whose sizes are not fixed: Inductor "
                "may write to another part of it (PyTorch's issue 198068). Give the call a tensor of its own, and "
                "torch.stack the results"
            )
        if dtype is None:
            return None
        on_meta = any(x.device.type == "meta" for x in given.values())
        return torch.empty((), dtype=dtype, device="meta" if on_meta else "cpu")

    return fake


def _begins_at_a_symbol(tensor: torch.Tensor) -> bool:
    """Whether its place in the storage depends on sizes that the compiled code is for any of."""
    return tensor.layout is torch.strided and type(tensor.storage_offset()) is not int


def _is_empty(tensor: torch.Tensor) -> bool:
    """Whether it surely is: sizes that depend on data, as those of x[x > 0], cannot be asked."""
    return any(type(size) is int and size == 0 for size in tensor.shape)
