"""THE table of types: C name, torch dtype, NumPy dtype, stub annotation and signature code, one row each.

No torch here: generated code and builds need the names only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Element:
    """An element type of tensors and storages."""

    letter: str  # in signature codes
    name: str  # TH<name>Tensor
    c_type: str
    dtype: str  # torch's, and NumPy's
    conversion: str  # tensor.<conversion>() makes it


ELEMENTS = (
    Element("F", "Float", "float", "float32", "float"),
    Element("D", "Double", "double", "float64", "double"),
    Element("L", "Long", "int64_t", "int64", "long"),
    Element("I", "Int", "int32_t", "int32", "int"),
    Element("S", "Short", "int16_t", "int16", "short"),
    Element("C", "Char", "int8_t", "int8", "char"),
    Element("B", "Byte", "uint8_t", "uint8", "byte"),
    Element("H", "Half", "THHalf", "float16", "half"),
)


@dataclass(frozen=True)
class Record:
    """A C struct behind a tensor or a storage."""

    c_name: str
    element: Element
    kind: str  # Tensor or Storage
    device: str  # cpu or cuda
    code: str  # of a parameter that C may write to; const ones have the lower-case letter


def _records() -> dict[str, Record]:
    codes = {("cpu", "Tensor"): "T", ("cpu", "Storage"): "G"}
    codes |= {("cuda", "Tensor"): "U", ("cuda", "Storage"): "W"}
    table = {}
    for (device, kind), code in codes.items():
        for element in ELEMENTS:
            name = element.name
            if device == "cuda":
                name = "Cuda" + ("" if name == "Float" else name)
            c_name = f"TH{name}{kind}"
            table[c_name] = Record(c_name, element, kind, device, code + element.letter)
    return table


RECORDS = _records()
_BY_CODE = {record.code: record for record in RECORDS.values()}

ARRAY = "ffi_ext_tensor"  # include/ffi_ext.h: a view of a tensor of any element type
ARRAY_CODES = ("A", "a")  # C may write to its elements; or not
# Pointers that may be a tensor's or an array's memory: C may write there, or not; and text. "p" is any other pointer.
MEMORY_CODES = ("M", "m", "s")

TH_TYPEDEFS = f"typedef struct {ARRAY} {ARRAY};\n" + "".join(
    f"typedef struct {name} {name};\n" for name in RECORDS
)


def cpu_records() -> list[str]:
    """The types' names of TH's records, as C: prototypes need no more of them."""
    names = [name for name, record in RECORDS.items() if record.device == "cpu"]
    return [f"typedef struct {name} {name};" for name in names]


def included_before(has_bool: bool) -> list[str]:
    """What generated C includes before a module's headers, beside TH; some have a bool of their own, as before C99."""
    return ["ffi_ext.h", *([] if has_bool else ["stdbool.h"]), "stddef.h", "stdint.h"]


@cache
def known_names() -> frozenset[str]:
    """The type names that a header need not declare: cffi's own and ours."""
    from cffi import commontypes, model

    cffi_names = {*commontypes.COMMON_TYPES, *model.PrimitiveType.ALL_PRIMITIVE_TYPES}
    return frozenset({*cffi_names, *RECORDS, ARRAY})


@dataclass(frozen=True)
class Scalar:
    """A C type that travels by value: its code, how the slot of a call carries it, how a stub shows it."""

    code: str
    member: str  # of ffi_ext_slot
    annotation: str


SCALARS = {
    "_Bool": Scalar("?", "i", "bool"),
    "char": Scalar("c", "i", "bytes"),
    "signed char": Scalar("b", "i", "int"),
    "unsigned char": Scalar("B", "u", "int"),
    "short": Scalar("h", "i", "int"),
    "unsigned short": Scalar("H", "u", "int"),
    "int": Scalar("i", "i", "int"),
    "unsigned int": Scalar("I", "u", "int"),
    "long": Scalar("l", "i", "int"),
    "unsigned long": Scalar("L", "u", "int"),
    "long long": Scalar("q", "i", "int"),
    "unsigned long long": Scalar("Q", "u", "int"),
    "int8_t": Scalar("b", "i", "int"),
    "uint8_t": Scalar("B", "u", "int"),
    "int16_t": Scalar("h", "i", "int"),
    "uint16_t": Scalar("H", "u", "int"),
    "int32_t": Scalar("i", "i", "int"),
    "uint32_t": Scalar("I", "u", "int"),
    "int64_t": Scalar("q", "i", "int"),
    "uint64_t": Scalar("Q", "u", "int"),
    "size_t": Scalar("Q", "u", "int"),
    "uintptr_t": Scalar("Q", "u", "int"),
    "ssize_t": Scalar("q", "i", "int"),
    "ptrdiff_t": Scalar("q", "i", "int"),
    "intptr_t": Scalar("q", "i", "int"),
    "float": Scalar("f", "f", "float"),
    "double": Scalar("d", "d", "float"),
}
MAX_PARAMETERS = 64  # of a function: FFI_EXT_MAX_ARGUMENTS in include/ffi_ext/abi.h
MEMBERS = {scalar.code: scalar.member for scalar in SCALARS.values()}
_ANNOTATIONS = {scalar.code: scalar.annotation for scalar in SCALARS.values()}


def scalar_code(c_type: str) -> str:
    """The signature code of a value of that primitive type; "x" if cffi is to carry it."""
    return SCALARS[c_type].code if c_type in SCALARS else "x"


def pointer_code(target: str, const: bool, result: bool, void_is_memory: bool) -> str:
    """The signature code of a pointer.

    Args:
        target: The type that it points to as cffi spells it, without `const`.
        const: Whether that is const.
        result: It is returned: a `const char *` stays a pointer, where a parameter takes bytes.
        void_is_memory: A tensor for `void *` is its memory. Code for torch.utils.ffi gets its record.
    """
    name = target.removeprefix("struct ")
    if name in RECORDS:
        code = RECORDS[name].code
        return code.swapcase()[0] + code[1] if const and not result else code
    if result:
        return "p"
    if name == ARRAY:
        return ARRAY_CODES[const]
    if name == "char" and const:
        return "s"  # bytes as they are; what C may write to is a copy
    return "Mm"[const] if void_is_memory or name != "void" else "p"


def record_of(code: str) -> Record | None:
    """The record that a parameter of this code takes; None of every other type."""
    return _BY_CODE.get(code[0].upper() + code[1:])


def may_write(code: str) -> bool:
    """Whether C may write to the tensor, storage or memory that a parameter of this code takes: it is not const."""
    return code[0].isupper() and _is_data(code)


def is_const_data(code: str) -> bool:
    """Whether a parameter of this code takes a tensor, storage or memory, no text, which C only reads."""
    return code[0].islower() and code != "s" and _is_data(code)


def _is_data(code: str) -> bool:
    return record_of(code) is not None or code in (*ARRAY_CODES, *MEMORY_CODES)


def annotation_for(code: str, result: bool = False) -> str:
    """The type of a parameter or result in a stub."""
    if code == "v":
        return "None"
    if record := record_of(code):
        tensor = record.kind == "Tensor"
        if result:
            return "torch.Tensor" if tensor else "torch.storage.TypedStorage"
        numpy = " | numpy.ndarray[Any, Any]" if takes_arrays(code) else ""
        return f"torch.Tensor{numpy} | _CData" if tensor else "torch.storage.TypedStorage | _CData"
    if code in ARRAY_CODES:
        return "torch.Tensor | numpy.ndarray[Any, Any] | _CData"
    if code == "s":
        return "bytes | bytearray | torch.Tensor | numpy.ndarray[Any, Any] | _CData"
    return _ANNOTATIONS.get(code, "Any")


def takes_arrays(code: str) -> bool:
    """Whether a parameter of this code, a tensor's, takes NumPy arrays, too."""
    record = record_of(code)
    return code in ARRAY_CODES or (
        record is not None and (record.kind, record.device) == ("Tensor", "cpu")
    )


def is_tensor(code: str) -> bool:
    """Whether a parameter of this code takes tensors."""
    record = record_of(code)
    return code in ARRAY_CODES or (record is not None and record.kind == "Tensor")


def is_th_name(name: str) -> bool:
    """Whether a C name could be one of TH's or THC's functions."""
    return re.match(r"_*THC?[A-Z_]", name) is not None


def names_th(text: str) -> bool:
    """Whether C text uses a type, a function or a macro of TH's or THC's; to include TH.h is not enough."""
    return re.search(r"\b_*THC?(?:[A-Z][a-z]|_)", text) is not None
