"""What the C dispatcher leaves to Python: unusual arguments, cffi's conversions, and the reasons for refusals."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch

from ffi_ext import constraints, tiers, types

_ELEMENTS = {element.letter: element for element in types.ELEMENTS}
_DTYPES = {letter: getattr(torch, element.dtype) for letter, element in _ELEMENTS.items()}
_TH_DTYPES = frozenset(_DTYPES.values())
INTEGER_CODES = frozenset("?bBhHiIlLqQ")


class Function(Protocol):
    """What the dispatcher's function object and `runtime.CffiFunction` have in common."""

    name: str
    module: str
    names: tuple[str, ...]
    codes: tuple[str, ...]
    constraints: tuple[str, ...]
    doc: str
    state: Any


def code_of(c_type: str) -> str:
    """The signature code of a TH type as cffi spells it; "p" for every other type."""
    if not c_type.endswith("*"):
        return "v" if c_type == "void" else "p"
    name = c_type[:-1].strip().removeprefix("const ").removeprefix("struct ").strip()
    if name in types.RECORDS:
        return types.RECORDS[name].code
    return "p"


def prototype_of(name: str, ctype: Any) -> str:
    """A C prototype from a cffi function type."""
    parameters = [item.cname for item in ctype.args] + (["..."] if ctype.ellipsis else [])
    return f"{ctype.result.cname} {name}({', '.join(parameters) or 'void'})"


def _prototype(function: Function) -> str:
    return function.doc.split("\n\n", 1)[0]


def _where(function: Function, index: int) -> str:
    name = function.names[index] if index < len(function.names) else f"arg{index}"
    return f"{function.name}() argument {index + 1} '{name}'"


def _error(
    function: Function, index: int, text: str, kind: type[Exception] = TypeError
) -> Exception:
    return kind(f"{_where(function, index)}: {text}\n  in {_prototype(function)}")


def _type_name(dtype: torch.dtype, kind: str = "Tensor") -> str:
    for letter, known in _DTYPES.items():
        if known == dtype:
            return f"torch.{_ELEMENTS[letter].name}{kind}"
    return f"a torch {kind.lower()} of {dtype}"


def _wanted(code: str) -> str:
    kind = "Tensor" if code[0] in "TtUu" else "Storage"
    place = "a CUDA device" if code[0] in "UuWw" else "the CPU"
    dtype = _DTYPES[code[1]]
    return f"a {_type_name(dtype, kind)} ({str(dtype).removeprefix('torch.')}) on {place}"


def _is_storage(value: object) -> bool:
    return isinstance(value, (torch.storage.TypedStorage, torch.UntypedStorage))


def _describe(value: object) -> str:
    """What was passed, in words."""
    if isinstance(value, torch.Tensor):
        return f"a tensor of {value.dtype} on {value.device}"
    if _is_storage(value):
        dtype = getattr(value, "dtype", None)
        return f"a storage of {dtype}" if dtype else "an untyped storage"
    if isinstance(value, np.ndarray):
        return f"a NumPy array of {value.dtype}"
    if isinstance(value, (int, float, str, bytes)):
        text = _repr(value)
        return f"{type(value).__name__} {text if len(text) < 40 else text[:36] + '...'}"
    return type(value).__name__


def _repr(value: object) -> str:
    """Python refuses to write out integers of more than some thousand digits."""
    if isinstance(value, int) and value.bit_length() > 1000:
        return f"of {value.bit_length()} bits"
    return repr(value)


def adapt(function: Function, index: int, value: object) -> tuple[torch.Tensor, tiers.Facts]:
    """An argument that the quick look did not accept: the tensor to use and its facts, or an error.

    Raises:
        TypeError: The argument is not a tensor that C could work on as declared.
    """
    code = function.codes[index + 1]
    if code in types.ARRAY_CODES:
        tensor = _for_array(function, index, code, value)
    elif len(code) == 1:
        tensor = _for_void_pointer(function, index, value)
    elif code[0] in "GgWw":
        tensor = _from_storage(function, index, code, value)
    elif isinstance(value, np.ndarray):
        tensor = _from_numpy(function, index, code, value)
    elif isinstance(value, torch.Tensor):
        tensor = value
        _check_dtype_and_device(function, index, code, value)
    else:
        raise _error(function, index, _not_a_tensor(code, value))
    return tensor, _checked_facts(function, index, tensor)


def _not_a_tensor(code: str, value: object) -> str:
    text = f"expected {_wanted(code)}, got {_describe(value)}"
    if value is None:
        return text + ": NULL is module._ffi.NULL, if the function accepts it"
    if _is_storage(value):
        return text + ": a storage is no tensor; pass the tensor itself"
    if isinstance(value, (list, tuple)):
        return text + f": make it a tensor with torch.tensor(..., dtype={_DTYPES[code[1]]})"
    return text


def _check_dtype_and_device(function: Function, index: int, code: str, value: torch.Tensor) -> None:
    dtype = _DTYPES[code[1]]
    if value.dtype != dtype:
        hint = f"; convert it with .{_ELEMENTS[code[1]].conversion}()"
        if value.is_quantized:
            hint = "; a quantized tensor must be dequantized first"
        raise _error(function, index, f"expected {_wanted(code)}, got {_describe(value)}{hint}")
    if value.device.type != ("cuda" if code[0] in "UuWw" else "cpu"):
        hint = "" if value.device.type == "meta" else "; move it with .to('cpu')"
        raise _error(function, index, f"expected {_wanted(code)}, got {_describe(value)}{hint}")


def _checked_facts(function: Function, index: int, tensor: torch.Tensor) -> tiers.Facts:
    """The facts of a tensor whose memory C may read as it stands."""
    problem = None
    if tensor.layout is not torch.strided or tensor.is_nested:
        layout = "nested" if tensor.is_nested else str(tensor.layout).removeprefix("torch.")
        problem = f"a {layout} tensor has no strided memory; convert it with .to_dense()"
    elif tensor.is_conj() or tensor.is_neg():
        problem = "its values are conjugated or negated lazily; use .resolve_conj().resolve_neg()"
    elif torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        problem = "it is wrapped by torch.func (vmap, grad ...); C functions need a plain tensor"
    elif tensor.dtype not in tiers.SCALAR_TYPES:
        problem = f"C has no view on {tensor.dtype}"
    elif function.codes[index + 1] not in types.ARRAY_CODES and tensor.dtype not in _TH_DTYPES:
        problem = f"{tensor.dtype} has no TH type"
    if problem is None:
        try:
            address = tensor.data_ptr()  # gives a copy-on-write tensor memory of its own
            facts = tiers.facts_of(tensor)
        except (RuntimeError, NotImplementedError) as error:
            if "allocate" in str(error) and type(error).__name__ != "NotImplementedError":
                raise MemoryError(str(error)) from error
            problem = f"its memory cannot be reached ({str(error).splitlines()[0]})"
    if problem is None:
        if tensor.numel() and not (address and facts[5]):
            problem = (
                f"{type(tensor).__name__} has no memory behind it (a fake tensor, a wrapper "
                "subclass, or a storage that was freed)"
            )
        elif not _covers(facts):
            problem = "its storage is smaller than its shape needs (it was resized below the view)"
        else:
            return facts
    raise _error(function, index, f"got {_describe(tensor)} that C cannot work on: {problem}")


def _covers(facts: tiers.Facts) -> bool:
    scalar_type, size, stride, offset, _, _, storage_bytes, *_ = facts
    if 0 in size:
        return True
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    return (last + 1) * tiers.DTYPES[scalar_type].itemsize <= storage_bytes


def _from_numpy(
    function: Function, index: int, code: str, value: np.ndarray[Any, Any]
) -> torch.Tensor:
    dtype = _DTYPES[code[1]]
    wanted = np.dtype(str(dtype).removeprefix("torch."))
    if code[0] not in "Tt":
        raise _error(function, index, f"expected {_wanted(code)}, got {_describe(value)}")
    if value.dtype != wanted:
        text = f"expected {_wanted(code)} or a NumPy array of {wanted}, got {_describe(value)}"
        raise _error(function, index, f"{text}; convert it with .astype(numpy.{wanted})")
    return _numpy_memory(function, index, code, value)


def _numpy_memory(
    function: Function, index: int, code: str, value: np.ndarray[Any, Any]
) -> torch.Tensor:
    """A tensor on an array's memory."""
    if not value.flags.writeable and code[0] in "TA":
        text = "the C function may write to it (its parameter is not const), and this array is"
        raise _error(function, index, f"{text} read-only; pass a copy", ValueError)
    try:
        return torch.from_numpy(value if value.flags.writeable else np.asarray(_ReadOnly(value)))
    except (TypeError, ValueError) as error:
        raise _error(function, index, f"this NumPy array cannot be used ({error})") from error


def _for_array(function: Function, index: int, code: str, value: object) -> torch.Tensor:
    """A tensor of any element type, where the constraint allows its device."""
    if isinstance(value, np.ndarray):
        return _numpy_memory(function, index, code, value)
    text = function.constraints[index]
    devices = constraints.decode(text).devices if text else ("cpu",)
    if not isinstance(value, torch.Tensor) or value.device.type not in devices:
        where = " or ".join(devices)
        hint = ": NULL is module._ffi.NULL, if the function accepts it" if value is None else ""
        if isinstance(value, torch.Tensor) and value.device.type != "meta":
            hint = f"; move it with .to({devices[0]!r})"
        raise _error(function, index, f"expected a tensor on {where}, got {_describe(value)}{hint}")
    return value


def unfit(function: Function, given: tuple[object, ...]) -> None:
    """Raises for the last of the arguments, which does not fit its constraint or the earlier ones."""
    index = len(given) - 1
    known = [constraints.decode(text) if text else None for text in function.constraints]
    passed = [
        _passed(name, value) if types.is_tensor(code) else None
        for name, code, value in zip(function.names, function.codes[1:], given, strict=False)
    ]
    kind, text = constraints.problem(known[: index + 1], passed)
    raise _error(function, index, text, kind)


def _passed(name: str, value: object) -> constraints.Passed | None:
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(np.asarray(_ReadOnly(value)))
    if not isinstance(value, torch.Tensor):
        return None  # NULL, or a record's address
    size = value.element_size()
    first = value.data_ptr()
    spans = [(n - 1) * step for n, step in zip(value.shape, value.stride(), strict=True)]
    end = first + (sum(spans) + 1) * size if value.numel() else first
    return constraints.Passed(
        name=name,
        dtype=str(value.dtype).removeprefix("torch."),
        shape=tuple(value.shape),
        device=str(value.device),
        contiguous=value.is_contiguous(),
        channels_last=value.dim() == 4 and value.is_contiguous(memory_format=torch.channels_last),
        memory=(first, end),
    )


class _ReadOnly:
    """Offers a read-only array as if it were writable: torch wants that, and C only reads it."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.array = array
        # NumPy 2.4 loses a reference on None for each `strides: None` that it is given.
        interface = {k: v for k, v in array.__array_interface__.items() if v is not None}
        interface["data"] = (interface["data"][0], False)
        self.__array_interface__ = interface


def _from_storage(function: Function, index: int, code: str, value: object) -> torch.Tensor:
    dtype = _DTYPES[code[1]]
    if isinstance(value, torch.Tensor):
        text = f"expected {_wanted(code)}, got {_describe(value)}: pass tensor.storage()"
        raise _error(function, index, text)
    if not _is_storage(value):
        raise _error(function, index, f"expected {_wanted(code)}, got {_describe(value)}")
    got = getattr(value, "dtype", torch.uint8)
    untyped = value.untyped() if isinstance(value, torch.storage.TypedStorage) else value
    assert isinstance(untyped, torch.UntypedStorage)
    if got != dtype or untyped.device.type != ("cuda" if code[0] in "Ww" else "cpu"):
        raise _error(function, index, f"expected {_wanted(code)}, got {_describe(value)}")
    tensor = torch.empty(0, dtype=dtype, device=untyped.device)
    return tensor.set_(untyped, 0, (untyped.nbytes() // dtype.itemsize,), (1,))


def _for_void_pointer(function: Function, index: int, value: object) -> torch.Tensor:
    """A tensor where C takes a pointer: its record, for `void *` alone."""
    assert isinstance(value, torch.Tensor)
    c_type = _types(function)[index + 1]
    if c_type.cname not in ("void *", "void const *"):
        raise _error(
            function,
            index,
            f"expected {c_type.cname}, got {_describe(value)}: declare a TH...Tensor * parameter, or"
            f" pass the address with module._ffi.cast('{c_type.cname}', tensor.data_ptr())",
        )
    if value.device.type != "cpu":
        raise _error(function, index, f"expected a tensor on the CPU, got {_describe(value)}")
    return value


def _types(function: Function) -> tuple[Any, ...]:
    """cffi's types of the result and the parameters, found when first needed."""
    state = function.state
    if len(state) == 3:
        ffi, lib, name = state
        ctype = ffi.typeof(getattr(lib, name))
        function.state = state = (ffi, lib, name, (ctype.result, *ctype.args))
    types: tuple[Any, ...] = state[3]
    return types


def convert(function: Function, index: int, value: object) -> tuple[int, object]:
    """An argument as cffi converts it: the value's address (or the integer) and what owns it.

    Raises:
        TypeError, OverflowError: With cffi's text, and the argument it is about.
    """
    code = function.codes[index + 1]
    ffi = function.state[0]
    if code in INTEGER_CODES:
        if not isinstance(value, ffi.CData):
            refuse(function, index, value, TypeError)
        return int(value), None  # type: ignore[call-overload]
    c_type = _types(function)[index + 1]
    try:
        if len(code) == 2:  # a cdata pointer to a record, or NULL
            return int(ffi.cast("uintptr_t", _cell(ffi, c_type, value)[0])), value
        if code == "c":
            return ord(_cell(ffi, c_type, value)[0]), None
        if code == "x":
            holder = _cell(ffi, c_type, value)
            return int(ffi.cast("uintptr_t", holder)), holder
        return _pointer(ffi, c_type, value)
    except TypeError as error:
        raise _error(function, index, f"{error}{_pointer_hint(c_type, value)}") from None
    except (OverflowError, ValueError) as error:
        raise _error(function, index, str(error), type(error)) from None


def _cell(ffi: Any, c_type: Any, value: object) -> Any:
    """An array of one, since `ffi.new(type, None)` would leave the value unset."""
    return ffi.new(ffi.getctype(c_type, "[1]"), [value])


def _pointer(ffi: Any, c_type: Any, value: object) -> tuple[int, object]:
    holder: Any
    if isinstance(value, (list, tuple)) and c_type.item.kind != "void":
        holder = pointer = ffi.new(ffi.getctype(c_type.item, f"[{max(len(value), 1)}]"), value)
    elif isinstance(value, bytes) and (
        c_type.item.kind == "void"
        or (c_type.item.kind == "primitive" and ffi.sizeof(c_type.item) == 1)
    ):
        holder = pointer = ffi.from_buffer(value)
    else:
        holder = _cell(ffi, c_type, value)
        pointer = holder[0]
    return int(ffi.cast("uintptr_t", pointer)), (holder, value)


def _pointer_hint(c_type: Any, value: object) -> str:
    if value is None:
        return " (NULL is module._ffi.NULL)"
    if isinstance(value, str) and "char" in c_type.cname:
        return " (C strings are bytes: use .encode())"
    return ""


def pointer(function: Function, index: int, address: int) -> Any:
    """A record's address as cdata of the parameter's type."""
    return function.state[0].cast(_types(function)[index + 1], address)


def address(function: Function, value: Any) -> int:
    """The address that a cdata pointer holds."""
    return int(function.state[0].cast("uintptr_t", value))


def allocate(function: Function) -> tuple[int, object]:
    """Memory for a result that C returns by value."""
    ffi = function.state[0]
    holder = ffi.new(ffi.getctype(_types(function)[0], "*"))
    return int(ffi.cast("uintptr_t", holder)), holder


def result(function: Function, value: Any) -> Any:
    """A C result as Python sees it: `value` is an address or, for storages, a tensor over it."""
    code = function.codes[0]
    if isinstance(value, torch.Tensor):
        return torch.storage.TypedStorage(
            wrap_storage=value.untyped_storage(), dtype=value.dtype, _internal=True
        )
    ffi = function.state[0]
    c_type = _types(function)[0]
    if code == "c":
        return bytes([value & 255])
    if code == "x":
        holder = ffi.new(ffi.getctype(c_type, "*"))
        ffi.memmove(holder, ffi.cast("void *", value), ffi.sizeof(c_type))
        return holder[0]
    return ffi.cast(c_type, value)


_C_NAMES = {"?": "_Bool", "b": "int8_t", "B": "uint8_t", "h": "short", "H": "unsigned short"}
_C_NAMES |= {"i": "int", "I": "unsigned int", "l": "long", "L": "unsigned long"}
_C_NAMES |= {"q": "int64_t", "Q": "uint64_t", "f": "float", "d": "double"}


def refuse(function: Function, index: int, value: object, kind: type[Exception]) -> None:
    """Raises for a scalar argument of the wrong type or out of range."""
    code = function.codes[index + 1]
    c_name = _C_NAMES[code]
    if kind is OverflowError:
        raise _error(function, index, f"integer {_repr(value)} does not fit '{c_name}'", kind)
    noun = "an integer" if code in INTEGER_CODES else "a number"
    text = f"{noun} is required for '{c_name}', got {_describe(value)}"
    if isinstance(value, torch.Tensor):
        text += ": take the number out with .item()"
    elif isinstance(value, float) and code in INTEGER_CODES:
        text += ": convert it with int()"
    raise _error(function, index, text, kind)


def arity(function: Function, count: int, keywords: tuple[str, ...]) -> None:
    """Raises for missing, superfluous, unknown or repeated arguments."""
    names = function.names
    taken = names[:count]
    problem = None
    for keyword in keywords:
        if keyword not in names:
            problem = f"unknown keyword argument '{keyword}'"
        elif keyword in taken:
            problem = f"argument '{keyword}' was given twice"
        if problem:
            break
    if problem is None:
        missing = [name for name in names if name not in taken and name not in keywords]
        got = count + len(keywords)
        problem = f"expected {len(names)} argument{'s' * (len(names) != 1)}, got {got}"
        if missing:
            problem += f"; missing: {', '.join(missing)}"
    signature = f"{function.name}({', '.join(names)})"
    raise TypeError(f"{function.name}(): {problem}\n  {signature} in {_prototype(function)}")
