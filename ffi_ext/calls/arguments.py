"""Arguments that the dispatcher's quick look did not accept: NumPy arrays, storages, unusual tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ffi_ext import constraints, types
from ffi_ext.calls import cffi_hints, misfits, tensor_facts, tiers
from ffi_ext.calls.cffi_values import (
    check_length,
    declared,
    is_pairs,
    takes_text,
    types_of,
    writable_copy,
)
from ffi_ext.calls.refusals import DTYPES, Function, describe, is_storage, refusal, wanted

_NUMPY_DTYPES = {element.letter: np.dtype(element.dtype) for element in types.ELEMENTS}
_NO_TENSOR = (
    ": NULL is module._ffi.NULL, if the function accepts it; `@param name [optional]` in the header makes "
    "None NULL"
)


def adapt(function: Function, index: int, value: object) -> tuple[torch.Tensor, tiers.Facts]:
    """An argument that the quick look did not accept: the tensor to use and its facts, or an error.

    Raises:
        TypeError: The argument is not a tensor that C could work on as declared.
    """
    argument = _Argument(function, index, value)
    tensor = tensor_facts.without_dead_wrappers(argument.tensor())
    found = tensor_facts.facts_or_problem(argument.code, tensor)
    if isinstance(found, str):
        raise argument.refusal(f"got {describe(tensor)} that C cannot work on: {found}")
    return tensor, found


class _Argument:
    """An argument of a call, as it was passed."""

    def __init__(self, function: Function, index: int, value: object) -> None:
        self.function, self.index, self.value = function, index, value
        self.code = function.codes[index + 1]

    def tensor(self) -> torch.Tensor:
        """The tensor that it is, or one on its memory; of the type and on the device that C wants."""
        record = types.record_of(self.code)
        if self.code in types.MEMORY_CODES:
            return self._for_memory()
        if isinstance(self.value, np.ndarray):
            return self._from_numpy(self.value)
        if self.code in types.ARRAY_CODES:
            return self._for_array()
        if record is None:
            return self._for_void_pointer()
        if record.kind == "Storage":
            return self._from_storage(record)
        if isinstance(self.value, torch.Tensor):
            return self._of_record(record, self.value)
        raise self._no_tensor()

    def refusal(self, text: str, kind: type[Exception] = TypeError) -> Exception:
        return refusal(self.function, self.index, text, kind)

    def unexpected(self, wanted: str, hint: str = "") -> Exception:
        """Of another kind than is wanted."""
        return self.refusal(f"expected {wanted}, got {describe(self.value)}{hint}")

    def converted(self, how: str) -> str:
        """What to do with an argument of another kind."""
        return f"; {misfits.cure_of(_is_written(self.function, self.index), how)}"

    def moved(self, tensor: torch.Tensor, device: str) -> str:
        """What to do with a tensor on another device; one without memory cannot be moved."""
        if tensor.device.type == "meta":
            return ""
        return self.converted(f"move it with .to({device!r})")

    def _no_tensor(self) -> Exception:
        record = types.record_of(self.code)
        assert record is not None
        hint = _made_a_tensor(self.value, record.device, f"..., dtype={DTYPES[self.code[1]]}")
        if is_storage(self.value):
            hint = ": a storage is no tensor; pass the tensor itself"
        return self.unexpected(wanted(self.code), hint)

    def _of_record(self, record: types.Record, tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dtype != DTYPES[record.element.letter]:
            hint = self.converted(f"convert it with .{record.element.conversion}()")
            if tensor.is_quantized:
                hint = "; a quantized tensor must be dequantized first"
            raise self.unexpected(wanted(record.code), hint)
        if tensor.device.type != record.device:
            raise self.unexpected(wanted(record.code), self.moved(tensor, record.device))
        return tensor

    def _from_numpy(self, array: np.ndarray[Any, Any]) -> torch.Tensor:
        """A tensor on an array's memory."""
        if self.code in types.ARRAY_CODES:
            self._check_device()
        elif not types.takes_arrays(self.code):
            raise self._no_tensor()
        elif array.dtype != (dtype := _NUMPY_DTYPES[self.code[1]]):
            cure = self.converted(f"convert it with .astype(numpy.{dtype})")
            raise self.unexpected(f"{wanted(self.code)} or a NumPy array of {dtype}", cure)
        return self._on_array(array)

    def _on_array(self, array: np.ndarray[Any, Any]) -> torch.Tensor:
        if not array.flags.writeable and types.may_write(self.code):
            text = "the C function may write to it (its parameter is not const), and this array is"
            raise self.refusal(f"{text} read-only; pass a copy", ValueError)
        try:
            return torch.from_numpy(
                array if array.flags.writeable else np.asarray(_ReadOnly(array))
            )
        except (TypeError, ValueError) as error:
            raise self.refusal(f"this NumPy array cannot be used ({error})") from error

    def _for_array(self) -> torch.Tensor:
        self._check_device()
        assert isinstance(self.value, torch.Tensor)
        return self.value

    def _check_device(self) -> None:
        """Raises for what is no tensor or array, or lies where the constraint does not allow it."""
        value = self.value
        devices = constraints.decode(self.function.constraints[self.index]).devices
        device = value.device.type if isinstance(value, torch.Tensor) else ""
        if device in devices or (isinstance(value, np.ndarray) and "cpu" in devices):
            return
        hint = _made_a_tensor(value, devices[0])
        if isinstance(value, torch.Tensor):
            hint = self.moved(value, devices[0])
        if device == "cuda":
            hint += self._of_kernels()
        raise self.unexpected(f"a tensor on {' or '.join(devices)}", hint)

    def _of_kernels(self) -> str:
        """How a function says that it takes tensors of a GPU."""
        name = self.function.names[self.index]
        return f"; what kernels work on is an ffi_ext_tensor with '@param {name} [cuda]' in the header's comment"

    def _for_memory(self) -> torch.Tensor:
        """A tensor whose elements C gets by a plain pointer: of C's type, and one behind the other."""
        function, index, value = self.function, self.index, self.value
        c_type, ffi = types_of(function)[index + 1], function.origin[0]
        element, size = (numbers[index + 1] for numbers in function.types[2:])
        array = isinstance(value, np.ndarray)
        if element < 0:
            raise self.unexpected(c_type.cname, f": {cffi_hints.for_memory(ffi, c_type, array)}")
        tensor = self._on_array(value) if isinstance(value, np.ndarray) else value
        assert isinstance(tensor, torch.Tensor)
        if tensor.layout is not torch.strided or tensor.is_nested:
            return tensor  # tensor_facts refuses it
        wanted_for = f"for {declared(function, index)}"
        of = tiers.DTYPES.get(element, tensor.dtype)  # void takes any
        in_pairs = is_pairs(c_type) and not tensor.is_complex()
        if in_pairs and (size or tensor.shape[-1:] == (2,)):
            of = of.to_real()
        if not _same_elements(tensor, of):
            dtype = str(of).removeprefix("torch.")
            cure = f".astype(numpy.{dtype})" if array else f".to(torch.{dtype})"
            cure = self.converted(f"convert it with {cure}")
            if in_pairs and tensor.dtype == of.to_real():
                rows = "reshape" if array else "view"
                cure += f"; or pass its .{rows}(-1, 2) if its numbers are pairs"
            raise self.unexpected(f"elements of {dtype} {wanted_for}", cure)
        if tensor.device.type != "cpu":
            hint = self._of_kernels() if tensor.is_cuda else ""
            raise self.unexpected("a tensor on the CPU", hint)
        if not tensor.is_contiguous():
            cure = "numpy.ascontiguousarray(...)" if array else ".contiguous()"
            text = f"expected elements one behind the other {wanted_for}, got the strides {tensor.stride()}"
            raise self.refusal(text + self.converted(f"copy it with {cure}"), ValueError)
        if tensor.nbytes < size:
            count = size // tensor.itemsize
            text = f"expected {count} values {wanted_for}, got {tensor.numel()}"
            raise self.refusal(text, ValueError)
        return tensor

    def _from_storage(self, record: types.Record) -> torch.Tensor:
        value, dtype = self.value, DTYPES[record.element.letter]
        if isinstance(value, (torch.Tensor, torch.UntypedStorage)):
            raise self.unexpected(wanted(record.code), ": pass tensor.storage()")
        if not isinstance(value, torch.storage.TypedStorage):
            raise self.unexpected(wanted(record.code))
        # .untyped() warns that storages with a type are deprecated
        untyped = value._untyped_storage
        if value.dtype != dtype or untyped.device.type != record.device:
            raise self.unexpected(wanted(record.code))
        tensor = torch.empty(0, dtype=dtype, device=untyped.device)
        return tensor.set_(untyped, 0, (untyped.nbytes() // dtype.itemsize,), (1,))

    def _for_void_pointer(self) -> torch.Tensor:
        """A tensor where C takes a pointer: its record, for `void *` alone."""
        assert isinstance(self.value, torch.Tensor)
        c_type = types_of(self.function)[self.index + 1]
        if c_type.cname not in ("void *", "void const *"):
            cure = cffi_hints.as_address(c_type, "tensor.data_ptr()")
            raise self.unexpected(c_type.cname, f": {cure}")
        if self.value.device.type != "cpu":
            raise self.unexpected("a tensor on the CPU")
        return self.value


def _made_a_tensor(value: object, device: str, arguments: str = "...") -> str:
    """What to do with a value that is no tensor."""
    if value is None:
        return _NO_TENSOR
    if isinstance(value, (list, tuple)):
        there = "" if device == "cpu" else f", device={device!r}"
        return f": make it a tensor with torch.tensor({arguments}{there})"
    if isinstance(value, np.ndarray) and device != "cpu":
        return f": copy it there with torch.from_numpy(...).to({device!r})"
    if isinstance(value, type):  # torch.FloatTensor itself, whose instances have what follows
        return ": it is a class; make a tensor, as torch.empty(0) does"
    if hasattr(value, "__dlpack__"):
        return ": make it a tensor on the same memory with torch.from_dlpack(...)"
    return ""


def _is_written(function: Function, index: int) -> bool:
    """Whether C writes to a tensor or memory, as far as the header tells.

    One without any const says nothing, unless C returns nothing and has nothing else to write to.
    """
    result, *codes = function.codes
    tells = codes[index] in types.ARRAY_CODES or any(map(types.is_const_data, codes))
    is_all = result == "v" and sum(map(types.may_write, codes)) == 1
    return (tells or is_all) and types.may_write(codes[index])


def _same_elements(tensor: torch.Tensor, wanted: torch.dtype) -> bool:
    """Also what differs in the sign alone, since torch has little for unsigned integers; and pairs, of complex ones."""
    given = tensor.dtype
    if given == wanted:
        return True
    if wanted.is_complex and given == wanted.to_real():
        return tensor.shape[-1:] == (2,)  # as view_as_real makes them
    integers = not any(d.is_floating_point or d.is_complex for d in (given, wanted))
    unsigned = not wanted.is_signed and wanted != torch.bool  # of which C has 0 and 1 alone
    return integers and unsigned and given.itemsize == wanted.itemsize


def for_cffi(function: Function, args: tuple[object, ...]) -> tuple[object, ...]:
    """The arguments of a function that cffi calls: by address, what it would refuse, or let C write into."""
    ffi, c_types = function.origin[0], types_of(function)[1:]
    declared_ones = enumerate(zip(c_types, args, strict=False))
    given = [_for_cffi(function, index, *both) for index, both in declared_ones]
    for value in args[len(given) :]:  # C passes a float to `...` as a double
        is_float = isinstance(value, ffi.CData) and ffi.typeof(value).cname == "float"
        given.append(ffi.cast("double", value) if is_float else value)
    return tuple(given)


def _for_cffi(function: Function, index: int, c_type: Any, value: object) -> object:
    ffi, code = function.origin[0], function.codes[index + 1]
    least = function.types[1][index + 1] if c_type.kind == "pointer" else 0
    is_text = isinstance(value, (bytes, bytearray)) and takes_text(ffi, c_type)
    if is_text and isinstance(value, bytes):
        value = writable_copy(value, 0 if code == "m" else least)
    try:
        check_length(value, declared(function, index), least)
    except ValueError as error:
        raise refusal(function, index, str(error), ValueError) from None
    if is_text:
        return ffi.from_buffer(value)
    if isinstance(value, (torch.Tensor, np.ndarray)) and code in types.MEMORY_CODES:
        tensor, _ = adapt(function, index, value)
        if types.may_write(code) and not tensor.is_inference():
            torch.autograd.graph.increment_version(tensor)
        return ffi.cast(c_type, tensor.data_ptr())
    if isinstance(value, torch.Tensor) and c_type.kind in ("primitive", "enum"):
        # cffi would cut [1.5] to 1 for an int
        text = f"expected {c_type.cname}, got {describe(value)}: take the number out with .item()"
        raise refusal(function, index, text, TypeError)
    return value


def unfit(function: Function, given: tuple[object, ...]) -> None:
    """Raises for the last of the arguments, which does not fit its constraint or the earlier ones."""
    index = len(given) - 1
    known = [constraints.decode(text) if text else None for text in function.constraints]
    passed = []
    for place, value in enumerate(given):
        is_output = getattr(known[place], "output", False)
        is_written = is_output or _is_written(function, place)
        is_tensor = types.is_tensor(function.codes[place + 1])
        passed.append(_passed(function.names[place], value, is_written) if is_tensor else None)
    kind, text = misfits.problem(known[: index + 1], passed)
    raise refusal(function, index, text, kind)


def _passed(name: str, value: object, is_written: bool) -> misfits.Passed | None:
    is_array = isinstance(value, np.ndarray)
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(np.asarray(_ReadOnly(value)))
    if not isinstance(value, torch.Tensor):
        return None  # NULL, or a record's address
    size = value.element_size()
    first = value.data_ptr()
    spans = [(n - 1) * step for n, step in zip(value.shape, value.stride(), strict=True)]
    end = first + (sum(spans) + 1) * size if value.numel() else first
    return misfits.Passed(
        name=name,
        dtype=str(value.dtype).removeprefix("torch."),
        shape=tuple(value.shape),
        device=str(value.device),
        contiguous=value.is_contiguous(),
        channels_last=value.dim() == 4 and value.is_contiguous(memory_format=torch.channels_last),
        expanded=value.numel() > 0
        and any(n > 1 and not step for n, step in zip(value.shape, value.stride(), strict=True)),
        memory=(first, end),
        is_array=is_array,
        is_written=is_written,
    )


class _ReadOnly:
    """Offers a read-only array as if it were writable: torch wants that, and C only reads it."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.array = array
        # NumPy 2.4 loses a reference on None for each `strides: None` that it is given.
        interface = {k: v for k, v in array.__array_interface__.items() if v is not None}
        interface["data"] = (interface["data"][0], False)
        self.__array_interface__ = interface
