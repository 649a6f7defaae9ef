"""Writes docs/th_api.md: every function that the TH and THC headers declare, and how it is computed."""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path

import ffi_ext
from ffi_ext import elf
from ffi_ext.th import th_algebra, th_maths, thc_maths

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "docs" / "th_api.md"
INCLUDE = Path(ffi_ext.get_include())
INTRODUCTION = """\
# TH and THC functions

The functions of PyTorch 0.3.1's C interface that sources may call, from the headers that `<TH/TH.h>` and
`<THC/THC.h>` include. "C": computed by the runtime in C. "torch": done by torch on the tensor's device. What a list begins
with goes before each of its names. `TH<T>Tensor_` stands for `THFloatTensor_`, `THDoubleTensor_`, `THLongTensor_`,
`THIntTensor_`, `THShortTensor_`, `THCharTensor_` and `THByteTensor_`; `THCuda<T>Tensor_` likewise, with `THCudaTensor_` for
float. Half tensors have what makes, shapes, keeps and copies them, and `THCudaHalfTensor` has maths.

## Those that one needs most

| call | does |
|---|---|
| `THFloatTensor_data(t)` | the pointer to the first element |
| `THFloatTensor_nElement(t)`, `t->nDimension` | the number of elements, of dimensions |
| `t->size[d]`, `t->stride[d]` | a size; how many elements further the next one lies |
| `THFloatTensor_isContiguous(t)`, `THFloatTensor_isSameSizeAs(a, b)` | 1 or 0 |
| `THFloatTensor_get2d(t, i, j)`, `THFloatTensor_set2d(t, i, j, value)` | one element, whatever the strides; `1d` to `4d` |
| `TH_TENSOR_APPLY2(float, a, float, b, *a_data += *b_data;)` | a loop over all elements, whatever the strides; `APPLY` to `APPLY3` |
| `THFloatTensor_resize2d(t, rows, columns)`, `THFloatTensor_resizeAs(t, like)` | another size; ask for `data` again afterwards |
| `THFloatTensor_fill(t, 1)`, `THFloatTensor_zero(t)`, `THFloatTensor_copy(to, from)` | set all elements |
| `THFloatTensor_cadd(out, a, 2, b)`, `THFloatTensor_cmul(out, a, b)`, `THFloatTensor_mul(out, a, 2)` | a + 2 b, a b, 2 a for each element |
| `THFloatTensor_sumall(t)`, `THFloatTensor_maxall(t)` | one number |
| `THFloatTensor_addmm(out, 1, c, 1, a, b)` | the product of matrices: 1 c + 1 a b |
| `THFloatTensor_new()`, `THFloatTensor_newWithSize2d(rows, columns)`, `THFloatTensor_newClone(t)` | a new tensor: return it, or free it |
| `THFloatTensor_newContiguous(t)` | the tensor itself or a copy that is contiguous: free it in both cases |
| `THFloatTensor_free(t)`, `THFloatTensor_retain(t)` | give up a reference, take one |
| `THArgCheck(condition, 2, "got %d", n)`, `THError("got %d", n)` | raise `ffi_ext.NativeError`; 2 is the argument's number |

The prototypes stand in the headers, in the directory that
`python -c "import ffi_ext; print(ffi_ext.get_include())"` prints.

## Rules

Functions of two tensors on each element (`cadd`, `cmul`, `ltTensor` ...) take both in the order of their elements: they
need as many, not the same shape, and the result takes the first one's; nothing is broadcast. Dimensions and indices
count from 0.

Matrices that LAPACK's functions make (`gesv`, `potrf`, `qr` ...) lie in columns, with strides of 1 and the number of rows, as in
0.3.1: `newContiguous` gives rows. A result that has the right size before the call keeps its strides, where
0.3.1 turned a contiguous one into columns, too.

A tensor of shape `(0,)` has no dimensions in C, as in 0.3.1, its `storage` may be NULL, and its `size[0]` is 0. Other shapes without elements
keep their dimensions, which 0.3.1 cut at the first 0: ask `nElement`, not `nDimension`, whether there is anything. A
torch tensor without dimensions, `torch.tensor(5.)`, is one element of shape `[1]` in C.

Where 0.3.1 left the result to its algorithm, or was wrong, torch's may be another: which of several equal elements `sort`,
`topk`, `median` and `mode` give the index of; `median` of what holds a NaN, which is NaN; `dot` of small integers, which does not wrap.
`gather` gives its result the index's shape.

Not declared, since torch has nothing like them or does it by itself: `THCState_setPeerToPeerAccess`,
`THCState_getCudaUVAAllocator`, `THCState_getRngState`, `THCRandom_generatorStates`, `THCCachingAllocator_recordStream`
and `_getBaseAllocation`, `THCCachingHostAllocator_*`, the counts of memory of 0.4.1's `THCCachingAllocator_*` (they are in
`torch.cuda`), `THCSetGCHandler`, and
`THCuda<T>Tensor_calculateAdvancedIndexingOffsets`, a part of indexing in Python. Of `THVector.h` there are the eight functions
that every version has. Files (`THFile` and its kin) and
memory maps (`THMapAllocatorContext`) are Python's: map one with `torch.from_file` and pass the tensor.

## Prototypes of other versions

0.3.1's are the ones that compile. Sources for another version may need an edit; the compiler's message names
the function.

| function | differs in | how |
|---|---|---|
| `sum` `prod` `mean` `max` `min` `median` `mode` `kthvalue` `norm` | 0.1.12 | no `keepdim`: pass 1, as it was |
| `std` `var` | 0.1.12 | no `keepdim`: pass 1; `flag` is `biased` |
| `stdall`, `varall` | 0.1.12 | no argument `biased`: pass 0 |
| `btrifact` | 0.1.12 | no argument `pivot` |
| `THRandom_*` seeds and numbers | 0.1.12, 0.2.0 | `unsigned long` for `uint64_t`: the same type on Linux |
| `THAtomic*` | 0.1.12, 0.2.0 | `int` for `int32_t`: the same type |
| `THStorage_(newWithAllocator)` | 0.4.1 | no context argument |
| `THCudaMalloc` | 0.4.1 | returns the memory: both ways compile |
| `THFloatTensor_size` and its kin | 0.4.1, C++ | of a `THCudaTensor`: both ways compile |
| sizes and strides | before 0.3.0 | `long` for `int64_t`: the same type on Linux |

"""  # noqa: E501 - a row of a table is one line


def _clean(path: Path) -> str:
    return re.sub(r"/\*.*?\*/", " ", path.read_text(), flags=re.S)


def _exported() -> frozenset[str]:
    for path in Path(ffi_ext.__file__).parent.glob("_runtime*.so"):
        found = elf.symbols(path)
        if found:
            return found.defined
    raise SystemExit("the runtime is not built: make build")


def _rows(header: Path, exported: frozenset[str]) -> list[tuple[str, str]]:
    """(name as it is shown, how) of a header's functions."""
    text = _clean(header)
    rows = {}
    thc = header.parent.parent.name == "THC"
    listed = re.findall(
        r"^THC_(?:FUNCTION|VALUE|FORWARD|FORWARD_STORAGE|COPY|COPY_TO_CPU)\((.*)$", text, re.M
    )
    for line in listed:
        words = re.findall(r"\w+", line.split("(THCState")[0])
        name = words[0] if line.startswith("copy") else words[-1]
        kind = "Storage" if header.name == "THCStorage.h" else "Tensor"
        rows[name] = f"THCuda{kind}_{name}"
    for name in re.findall(r"^TH_FUNCTION\((\w+)", text, re.M):
        rows[f"Tensor:{name}"] = f"THFloatTensor_{name}"
    for kind, name in re.findall(
        r"TH_API [\w\s*]*?\bTHC?(Tensor|Storage|Blas|Vector)_\((\w+)\)", text
    ):
        rows[f"{kind}:{name}"] = f"THFloat{kind}_{name}"
    for kind, name in re.findall(r"THC_API [\w\s*]*?\bTHC(Tensor|Storage)_\((\w+)\)", text):
        rows[f"{kind}:{name}"] = f"THCuda{kind}_{name}"
    for name in re.findall(r"THC?_API [\w\s*]*?\b(_*TH\w+)\(", text):
        rows[name] = name
    inline = re.findall(r"^static inline [\w\s*]*?\b(?:THC(Tensor)_\()?(\w+)\)?\(", text, re.M)
    result = [
        (f"THCuda<T>{kind}_{name}" if kind else name, "C")
        for kind, name in inline
        if header.is_relative_to(INCLUDE / "THC")
    ]
    for key, symbol in rows.items():
        if symbol.endswith(("_", "NAME")):  # the macros that make names
            continue
        shown = (
            symbol.replace("THFloat", "TH<T>").replace("THCuda", "THCuda<T>")
            if key != symbol
            else symbol
        )
        base = key.partition(":")[2] or key
        others = {symbol, symbol.replace("THFloat", "THLong"), symbol.replace("THFloat", "THByte")}
        others.add(symbol.replace("THCudaTensor", "THCudaLongTensor"))
        others.add(symbol.replace("THCudaTensor", "THCudaByteTensor"))
        others.add(symbol.replace("THCudaTensor_", "THFloatTensor_"))
        by_torch = base in th_maths.FUNCTIONS and (thc or header.name == "THTensorMath.h")
        by_torch = by_torch or (thc and (base in thc_maths.FUNCTIONS or base.startswith("copy")))
        by_torch |= base in th_algebra.FUNCTIONS and (thc or header.name == "THTensorLapack.h")
        computed = "torch" if by_torch else "C"
        if not others & exported:
            raise SystemExit(f"{header.name} declares {shown}, which the runtime does not have")
        result.append((shown, computed))
    return sorted(set(result))


def _listed(rows: list[tuple[str, str]]) -> str:
    """A paragraph for each way and what the names begin with: `TH<T>Tensor_` is said once."""
    groups: dict[str, list[str]] = {}
    for shown, how in rows:
        beginning, _, rest = shown.partition("_") if "<T>" in shown else ("", "", shown)
        title = f"`{beginning}_`, {how}:" if beginning else f"{how}:"
        groups.setdefault(title, []).append(f"`{rest}`")
    return "\n\n".join(
        textwrap.fill(f"{title} {', '.join(names)}", 125, break_on_hyphens=False)
        for title, names in groups.items()
    )


def text() -> str:
    """The document."""
    exported = _exported()
    parts = [INTRODUCTION]
    for library in ("TH", "THC"):
        for header in sorted((INCLUDE / library).rglob("*.h")):
            if header.parent.name == "declared" or header.name == "THCCompat.h":
                continue  # what is elsewhere, too
            if rows := _rows(header, exported):
                parts.append(f"## {header.relative_to(INCLUDE)}\n\n{_listed(rows)}\n\n")
    return "".join(parts).rstrip() + "\n"


if __name__ == "__main__":
    if sys.argv[1:] != ["--check"]:
        TARGET.write_text(text())
    elif TARGET.read_text() != text():
        sys.exit("docs/th_api.md is out of date: python scripts/th_api.py")
