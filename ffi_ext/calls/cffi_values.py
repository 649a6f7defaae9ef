"""What cffi converts for the dispatcher: pointers, structs by value, characters; results likewise."""

from __future__ import annotations

import functools
import operator
import re
from typing import Any

import numpy as np
import torch

from ffi_ext import types
from ffi_ext.calls import cffi_hints, tiers
from ffi_ext.calls.refusals import INTEGER_CODES, Function, describe, prototype, refusal, shown
from ffi_ext.headers import ctext


def code_of(c_type: str) -> str:
    """The signature code of a pointer to what C may write to, as cffi spells it; "p" for every other type."""
    if not c_type.endswith("*"):
        return "v" if c_type == "void" else "p"
    return types.pointer_code(c_type[:-1].strip(), const=False, result=False, void_is_memory=False)


def named(function: Function, c_types: tuple[Any, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names and the signature codes of parameters, as far as the function's prototype tells."""
    texts = _parameters(prototype(function))
    if len(texts) != len(c_types):
        texts = [""] * len(c_types)
    codes = [code_of(c_type.cname) for c_type in c_types]
    for i, (code, text) in enumerate(zip(codes, texts, strict=True)):
        codes[i] = code[0].lower() + code[1:] if is_const(text) else code
    return tuple(ctext.parameter_names(texts, len(texts))), tuple(codes)


def is_const(declared: str) -> bool:
    """Whether C only reads what a parameter points to."""
    return "const" in declared.partition("*")[0].split()


def prototype_of(name: str, ctype: Any) -> str:
    """A C prototype from a cffi function type."""
    parameters = [item.cname for item in ctype.args] + (["..."] if ctype.ellipsis else [])
    return f"{ctype.result.cname} {name}({', '.join(parameters) or 'void'})"


def types_of(function: Function) -> tuple[Any, ...]:
    """cffi's types of the result and the parameters, found when first needed.

    C converts most pointers and structs by itself; it takes the types and their numbers from the function's `types`.
    A pointer's number says how many values a list must have, a struct's its bytes, -1 that Python is asked.
    Then come the element types of the memory behind pointers, and the bytes that there must be of them.
    """
    if function.types is None:
        ffi, lib, name = function.origin
        ctype = ffi.typeof(getattr(lib, name))
        c_types = (ctype.result, *ctype.args)
        parameters = ("", *_parameters(prototype(function)))
        lengths = [_length_of(ffi, *both) for both in zip(c_types, parameters, strict=False)]
        numbers = [_number_of(ffi, *both) for both in zip(c_types, lengths, strict=True)]
        elements = [_element_of(ffi, c_type) for c_type in c_types]
        sizes = [n and n * ffi.sizeof(t.item) for n, t in zip(lengths, c_types, strict=True)]
        function.types = (c_types, tuple(numbers), tuple(elements), tuple(sizes))
    found: tuple[Any, ...] = function.types[0]
    return found


def _length_of(ffi: Any, c_type: Any, declared: str) -> int:
    """How many items a parameter has that is an array in the header; 0 of every other, which may be of any length."""
    if c_type.kind != "pointer":
        return 0
    try:
        array = ffi.typeof(declared)
    except ffi.error:  # it is in words that cffi's parser of a module does not know
        return 0
    return int(array.length or 0) if array.kind == "array" else 0


def _number_of(ffi: Any, c_type: Any, length: int) -> int:
    if c_type.kind in ("struct", "union"):
        return int(ffi.sizeof(c_type))
    if c_type.kind != "pointer" or c_type.item.kind == "void":
        return -1
    return length


ANY_ELEMENT = 255  # FFI_ANY_ELEMENT in csrc/function.h
_FLOATS = ("float", "double", "long double")
_COMPLEX = {"float": "complex64", "double": "complex128"}


def is_pairs(c_type: Any) -> bool:
    """Whether a pointer's elements are pairs of real numbers: rows of two, or complex numbers such as fftw_complex."""
    item = c_type.item
    while item.kind == "array" and item.item.kind == "array":
        item = item.item
    return item.kind == "array" and item.length == 2 and item.item.cname in _COMPLEX


def _element_of(ffi: Any, c_type: Any) -> int:
    """torch's number of the elements that a pointer points to; -1 if torch has no such elements."""
    if c_type.kind != "pointer":
        return -1
    item, pairs = c_type.item, is_pairs(c_type)
    while item.kind == "array":
        item = item.item
    name = item.cname
    if item.kind == "void":
        return ANY_ELEMENT
    if item.kind != "primitive" or name in ("long double", *cffi_hints.WIDE):
        return -1
    bits = 8 * ffi.sizeof(item)
    if name in _COMPLEX:
        dtype = _COMPLEX[name] if pairs else f"float{bits}"
    elif "omplex" in name:
        dtype = f"complex{bits}"
    elif name in ("_Bool", "char"):
        dtype = "bool" if name == "_Bool" else "uint8"
    else:
        dtype = f"int{bits}" if int(ffi.cast(item, -1)) < 0 else f"uint{bits}"
    known = getattr(torch, dtype, None)
    return -1 if known is None else tiers.SCALAR_TYPES.get(known, -1)


def refuse(function: Function, index: int, value: object, kind: type[Exception]) -> None:
    """Raises for a scalar argument of the wrong type or out of range."""
    code = function.codes[index + 1]
    c_type = types_of(function)[index + 1]
    if kind is OverflowError:
        raise refusal(
            function, index, f"integer {shown(value)} does not fit '{c_type.cname}'", kind
        )
    noun = "an integer" if code in INTEGER_CODES else "a number"
    text = f"{noun} is required for '{c_type.cname}', got {describe(value)}"
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        text += ": take the number out with .item()"
    elif isinstance(value, str) and c_type.kind == "enum":
        names = [name for _, name in sorted(c_type.elements.items())]
        text += f": pass the module's {' or '.join(names)}"
    elif isinstance(value, float) and code in INTEGER_CODES:
        text += ": convert it with int()"
    elif re.search(r"(?<!void) \*'$", text):
        text += ": what it points to is value[0]"
    raise refusal(function, index, text, kind)


def convert(function: Function, index: int, value: object) -> tuple[int, object]:
    """An argument as cffi converts it: the value's address (or the integer) and what owns it.

    Raises:
        TypeError, OverflowError: With cffi's text, and the argument it is about.
    """
    code = function.codes[index + 1]
    ffi = function.origin[0]
    if code in INTEGER_CODES:
        if not (isinstance(value, np.bool_) or _is_whole(ffi, value)):
            refuse(function, index, value, TypeError)
        return int(value), None  # type: ignore[call-overload]
    c_type = types_of(function)[index + 1]
    try:
        if len(code) == 2:  # a cdata pointer to a record, or NULL
            return int(ffi.cast("uintptr_t", _cell(ffi, c_type, value)[0])), value
        if code == "c":
            return ord(_cell(ffi, c_type, value)[0]), None
        if code == "x":
            holder = _cell(ffi, c_type, value)
            return int(ffi.cast("uintptr_t", holder)), holder
        return _pointer(ffi, c_type, declared(function, index), function.types[1][index + 1], value)
    except (TypeError, KeyError, OverflowError, ValueError, IndexError) as error:
        field, text = cffi_hints.refused_field(ffi, c_type, value), str(error)
        kind: type[Exception] = TypeError
        if isinstance(error, TypeError):
            text += cffi_hints.of_value(ffi, c_type, value) or cffi_hints.of_field(
                ffi, c_type, text
            )
        elif isinstance(error, KeyError):
            # of a dict for a struct, or, if a field is named, for one within
            text = f"no field is named {error}"
            struct = c_type.item if c_type.kind == "pointer" else c_type
            if struct.kind == "struct" and not field:
                text += f"; {struct.cname} has {', '.join(name for name, _ in struct.fields)}"
        else:
            kind = type(error)
        raise refusal(function, index, f"{field}{text}", kind) from None


def _is_whole(ffi: Any, value: object) -> bool:
    """Whether a value of C's is an integer, or a character: no pointer, and nothing that int() would round."""
    if not isinstance(value, ffi.CData):
        return False
    c_type = ffi.typeof(value)
    return c_type.kind in ("primitive", "enum") and c_type.cname not in _FLOATS


def _cell(ffi: Any, c_type: Any, value: object) -> Any:
    """An array of one, since `ffi.new(type, None)` would leave the value unset."""
    return ffi.new(ffi.getctype(c_type, "[1]"), [value])


_parameters = functools.cache(ctext.parameters_of)  # by prototype


def declared(function: Function, index: int) -> str:
    """A parameter as the header has it: cffi's types know no const."""
    return _parameters(prototype(function))[index]


def takes_text(ffi: Any, c_type: Any) -> bool:
    """Whether bytes are what a pointer points to."""
    item = c_type.item if c_type.kind == "pointer" else c_type
    return bool(item.kind == "void" or (item.kind == "primitive" and ffi.sizeof(item) == 1))


def _is_integer(c_type: Any) -> bool:
    name = c_type.cname
    other = name in (*_FLOATS, "char", *cffi_hints.WIDE) or "omplex" in name
    return c_type.kind == "primitive" and not other


def writable_copy(text: bytes, least: int) -> bytearray:
    """Of text that C may write to, with a 0 at its end."""
    return bytearray(text.ljust(max(len(text) + 1, least), b"\0"))


def check_length(value: object, declared: str, least: int) -> None:
    if isinstance(value, (list, tuple, bytearray, bytes)) and len(value) < least:
        raise ValueError(f"expected {least} values for {declared.strip()}, got {len(value)}")


def _pointer(ffi: Any, c_type: Any, declared: str, least: int, value: object) -> tuple[int, object]:
    holder: Any
    if isinstance(value, list) and least >= 0:
        value = tuple(value)  # as it is now: another thread may change it
    item = c_type.item if c_type.kind == "pointer" else c_type  # which is a function
    is_text = takes_text(ffi, c_type)
    if isinstance(value, bytes) and is_text and not is_const(declared):
        value = writable_copy(value, least)
    check_length(value, declared, least)
    if isinstance(value, (list, tuple)) and least >= 0:
        if item.cname == "char *":
            value = [ffi.new("char[]", x) if isinstance(x, bytes) else x for x in value]
        elif _is_integer(item):  # cffi would cut a NumPy float, or a tensor
            known = (int, float, np.bool_, ffi.CData)
            value = [x if isinstance(x, known) else operator.index(x) for x in value]
        holder = pointer = ffi.new(ffi.getctype(item, f"[{max(len(value), 1)}]"), value)
    elif isinstance(value, (bytes, bytearray)) and is_text:
        holder = pointer = ffi.from_buffer(value)
    elif item.cname == "FILE" and hasattr(value, "fileno"):
        file = getattr(value, "file", value)  # of a NamedTemporaryFile
        holder, pointer = value, ffi.cast(c_type, file)
    else:
        holder = _cell(ffi, c_type, value)
        pointer = holder[0]
    return int(ffi.cast("uintptr_t", pointer)), (holder, value)


def explained(
    function: Function, c_types: tuple[Any, ...], args: tuple[object, ...], error: Exception
) -> Exception:
    """What cffi's own function says of its arguments, with the first that does not fit."""
    if f"{function.name}()" in str(error):
        return error  # a tensor's
    ffi = function.origin[0]
    for index, (c_type, value) in enumerate(zip(c_types, args, strict=False)):
        is_record = len(function.codes[index + 1]) == 2
        if not is_record and not isinstance(value, (list, tuple)):  # which no cell takes
            try:
                _cell(ffi, c_type, value)
            except (TypeError, OverflowError) as reason:
                hint = cffi_hints.of_value(ffi, c_type, value)
                text = f"expected {c_type.cname}, got {describe(value)} ({reason}){hint}"
                return refusal(function, index, text, type(error))
    hint = ""
    if unknown := re.search(r"variadic part.*\(got ([\w.]+)\)", str(error)):
        made = dict.fromkeys(("float", "numpy.float32", "numpy.float64"), "cast('double', value)")
        made |= {"bytes": "new('char[]', value)", "str": "new('char[]', value.encode())"}
        made |= {"numpy.ndarray": "from_buffer(value)"}
        hint = ": such as module._ffi." + made.get(unknown[1], "cast('int', value)")
    return type(error)(f"{function.name}(): {error}{hint}\n  in {prototype(function)}")


def pointer(function: Function, index: int, address: int) -> Any:
    """A record's address as cdata of the parameter's type."""
    return function.origin[0].cast(types_of(function)[index + 1], address)


def address(function: Function, value: Any) -> int:
    """The address that a cdata pointer holds."""
    return int(function.origin[0].cast("uintptr_t", value))


def allocate(function: Function) -> tuple[int, object]:
    """Memory for a result that C returns by value."""
    ffi = function.origin[0]
    holder = ffi.new(ffi.getctype(types_of(function)[0], "*"))
    return int(ffi.cast("uintptr_t", holder)), holder


def result(function: Function, value: Any) -> Any:
    """A C result as Python sees it: `value` is an address or, for storages, a tensor over it."""
    code = function.codes[0]
    if isinstance(value, torch.Tensor):
        return torch.storage.TypedStorage(
            wrap_storage=value.untyped_storage(), dtype=value.dtype, _internal=True
        )
    ffi = function.origin[0]
    c_type = types_of(function)[0]
    if code == "x":
        holder = ffi.new(ffi.getctype(c_type, "*"))
        ffi.memmove(holder, ffi.cast("void *", value), ffi.sizeof(c_type))
        return holder[0]
    return ffi.cast(c_type, value)
