"""What to pass instead of an argument that cffi has refused, or that is no memory of a tensor's elements."""

from __future__ import annotations

import ctypes
import inspect
import os
import re
from array import array
from typing import Any

import numpy as np
import torch

from ffi_ext.calls.refusals import describe

WIDE = ("wchar_t", "char16_t", "char32_t")
_NUMBER_OR_FIELDS = (int, float, dict, np.generic)
_BUFFERS = (np.ndarray, bytearray, memoryview, array, ctypes.Array)
_ROWS = (torch.Tensor, np.ndarray, list, tuple)


def is_known(ffi: Any, c_type: Any) -> bool:
    """Whether values of a type can be made: it is no struct that only C knows.

    To ask for the `fields` of one ends the process in cffi 2.1.
    """
    try:
        ffi.sizeof(c_type)
    except ffi.error:
        return False
    return True


def of_value(ffi: Any, c_type: Any, value: object) -> str:
    """What to pass instead of what cffi has refused."""
    kind = c_type.kind
    item = c_type.item if kind == "pointer" else None
    if isinstance(value, str) and item and item.cname in WIDE:
        return f" (make C's text of it: module._ffi.new('{item.cname}[]', text))"
    rows = value if isinstance(value, (list, tuple)) else ()
    is_text = "char" in c_type.cname and not any(wide in c_type.cname for wide in WIDE)
    if is_text and any(isinstance(x, str) for x in (value, *rows)):
        return " (C strings are bytes: use .encode())"
    if is_text and isinstance(value, os.PathLike):
        return " (C strings are bytes: use os.fsencode(value))"
    if isinstance(value, ffi.CData) and c_type is getattr(ffi.typeof(value), "item", None):
        return " (what it points to is value[0])"
    if c_type.cname == "char" and isinstance(value, int) and 0 <= value < 256:
        return f" (of a number: bytes([{value}]))"  # a macro such as 'D' is one in Python, as in C
    if kind not in ("pointer", "function"):
        return ""
    is_file = item is not None and item.cname == "FILE"
    is_opaque = item is None or not is_known(ffi, item)
    if value is None or (is_opaque and isinstance(value, int) and value == 0):
        return " (NULL is module._ffi.NULL)"
    if is_opaque and isinstance(value, int) and not is_file:
        return f" (of an address: module._ffi.cast({c_type.cname!r}, value))"
    if kind == "function" and inspect.isbuiltin(value) and hasattr(value.__self__, "origin"):
        name = value.__self__.origin[2]
        return f" (the C function itself is module._ffi.addressof(module._lib, {name!r}))"
    if callable(value) and kind == "function":
        return (
            f" (make a C function of it: module._ffi.callback({c_type.cname!r}, f), kept as long as C may"
            " call it)"
        )
    row = item.item if item and item.kind == "pointer" else None
    if row and row.kind == "primitive" and any(isinstance(x, _ROWS) for x in rows):
        array = ffi.getctype(row, "[]")
        return f" (a row is an address, such as module._ffi.from_buffer('{array}', array))"
    if any(isinstance(x, torch.Tensor) and x.dim() for x in rows):  # one without is a number
        return (
            " (no array of tensors can be passed: declare a parameter for each, or pass torch.cat of them"
            " and their sizes)"
        )
    if isinstance(value, _BUFFERS) and item:
        of = "" if item.kind == "void" else f"'{ffi.getctype(item, '[]')}', "
        return f" (got {describe(value)}: declare a tensor, or pass module._ffi.from_buffer({of}value))"
    is_one = isinstance(value, ffi.CData) and ffi.typeof(value) is item
    if is_one and item and item.kind in ("struct", "union"):
        return " (its address is module._ffi.addressof(value))"
    if is_file:
        return " (C takes a file that Python has opened, as open(path) returns it)"
    if not is_opaque and (is_one or isinstance(value, _NUMBER_OR_FIELDS)):
        memory = "; for memory pass the tensor or the array, not its address"
        of_number = memory if isinstance(value, int) and item and item.kind == "primitive" else ""
        return f" (C wants the address of one: module._ffi.new({c_type.cname!r}, value){of_number})"
    if item and item.kind == "void" and not isinstance(value, ffi.CData):
        return " (memory is a tensor, an array or bytes; for a callback to get it back: module._ffi.new_handle(value))"
    return ""


def of_field(ffi: Any, c_type: Any, error: str) -> str:
    """What to write for a field of a struct, by itself or in a list, that cffi has refused."""
    item = c_type.item if c_type.kind == "pointer" else c_type
    if item.kind not in ("struct", "union"):
        return ""
    of_numbers = rf"'{re.escape(item.cname)}' must be a list or tuple.* not (int|float)$"
    if c_type is not item and re.search(of_numbers, error):
        return " (a pointer takes a list of structs: [value])"
    if re.search("must be a list or tuple.* not (Tensor|numpy)", error):
        return " (an array in a struct: of a tensor or a NumPy array, .tolist())"
    if "pointer, not NoneType" in error:
        return " (NULL is module._ffi.NULL)"
    of_field = f"'{c_type.cname}'" not in error
    if of_field and re.search(r"pointer, not (?!cdata|dict|tuple)", error):
        return (
            " (a pointer in a struct is an address, such as of module._ffi.new('char[]', text), "
            "module._ffi.from_buffer('float[]', array), module._ffi.callback(type, f) or "
            "module._ffi.cast('float *', tensor.data_ptr()); keep what it points to)"
        )
    return ""


def refused_field(ffi: Any, c_type: Any, value: Any) -> str:
    """The first field of a struct, or of a list of them for a pointer, whose value cffi refuses, as "field 'x': "."""
    item, rows = c_type, [value]
    if c_type.kind == "pointer":
        item, rows = c_type.item, list(value) if isinstance(value, (list, tuple)) else []
    if item.kind != "struct" or not is_known(ffi, item):
        return ""
    names = [name for name, _ in item.fields]
    for row in rows:
        given = dict(zip(names, row, strict=False)) if isinstance(row, (list, tuple)) else row
        for name in filter(given.__contains__, names) if isinstance(given, dict) else ():
            try:
                ffi.new(ffi.getctype(item, "*"), {name: given[name]})
            except (TypeError, ValueError, OverflowError, LookupError):
                return f"field {name!r}: "
    return ""


def for_memory(ffi: Any, c_type: Any, array: bool) -> str:
    """What to pass for a pointer to what no tensor or array consists of."""
    item, memory = c_type.item, "array" if array else "tensor.numpy()"
    if item.kind in ("struct", "union"):
        if not is_known(ffi, item):
            return "only C makes one, such as a function of the module returns"
        return f"as the memory of structs it is module._ffi.from_buffer('{ffi.getctype(item, '[]')}', {memory})"
    if item.kind == "pointer" and item.item.kind == "primitive":
        row = ffi.getctype(item.item, "[]")
        return (
            f"it is a list of its rows, [module._ffi.from_buffer('{row}', row) for row in {memory}]"
        )
    return as_address(c_type, "array.ctypes.data" if array else "tensor.data_ptr()")


def as_address(c_type: Any, address: str) -> str:
    return f"declare a TH...Tensor * parameter, or pass the address with module._ffi.cast('{c_type.cname}', {address})"
