"""The C half of a generated module: one trampoline per function and the table that the runtime reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ffi_ext import types
from ffi_ext.headers.declared import Declarations, Function

# What the extension has if it is linked with OpenMP, with CUDA kernels, or with C that works on Python's objects, and
# nothing otherwise. The CUDA functions have names of their own here, since CUDA's headers declare them with its types.
_OPTIONAL = """\
extern int omp_get_level(void) __attribute__((__weak__));
extern void GOMP_parallel_end(void) __attribute__((__weak__));
extern int ffi_ext_cuda_error(void) __asm__("cudaGetLastError") __attribute__((__weak__));
extern const char *ffi_ext_cuda_text(int) __asm__("cudaGetErrorString") __attribute__((__weak__));
extern const char ffi_ext_keeps_gil __attribute__((__weak__, __visibility__("hidden")));
"""

# cffi says of each module that it does without the GIL; this one has a free-threaded Python enable it.
_NEEDS_GIL = """\
#include <Python.h> /* all of it: Python's own, and not ours */
static PyObject *ffi_ext_with_gil(PyObject *module) {
  if (module) PyUnstable_Module_SetGIL(module, Py_MOD_GIL_USED);
  return module;
}
#define _cffi_init(name, version, context) ffi_ext_with_gil(_cffi_init(name, version, context))
"""

_SLOTS = "ffi_ext_a"  # a header may have a type `a`, which the casts name

_TABLE = """\
__attribute__((__visibility__("default")))
extern const ffi_ext_module_table ffi_ext_table;
const ffi_ext_module_table ffi_ext_table = {{FFI_EXT_ABI, {count}, ffi_ext_functions,
                                            omp_get_level, GOMP_parallel_end,
                                            ffi_ext_cuda_error, ffi_ext_cuda_text,
                                            {keeps_gil}}};
"""


def preamble(
    declarations: Declarations,
    *,
    with_cuda: bool,
    cxx_names: bool,
    keeps_gil: bool,
    needs_gil: bool,
) -> str:
    """The source for `ffi.set_source`: headers, trampolines and table. Valid C99 and C++.

    Args:
        cxx_names: C sources are compiled as C++ (CC=g++), so that the names have C++'s linkage there.
        keeps_gil: Calls do not release the GIL.
        needs_gil: The module does not work without one, and this Python could.
    """
    functions = declarations.table
    if with_cuda:
        lines = ["#include <TH/TH.h>", "#include <THC/THC.h>"]
    else:  # see toolchain.QUICK
        quick = types.cpu_records()
        lines = ["#ifdef FFI_EXT_QUICK", *quick, "#else", "#include <TH/TH.h>", "#endif"]
    lines += [f"#include <{name}>" for name in types.included_before(declarations.has_bool)]
    lines += ["", "#ifdef __cplusplus", "#define restrict __restrict", "#endif"]
    opening = ["#ifdef __cplusplus", 'extern "C" {', "#endif"]
    closing = ["#ifdef __cplusplus", "}", "#endif"]
    for path in declarations.to_include:
        include = f'#include "{path}"'  # no literal: not escaped
        wraps = not cxx_names and path not in declarations.with_linkage
        lines += [*opening, include, *closing] if wraps else [include]
    lines += opening
    # Weak, so that the module can be imported without them; cffi refuses to read what lies at NULL.
    if declarations.may_lack:
        weak = [f"#pragma weak {name}" for name in declarations.may_lack]
        lines += ["#ifdef __ELF__", *weak, "#endif"]
    lines += ["#include <ffi_ext/abi.h>", _OPTIONAL, _NEEDS_GIL if needs_gil else ""]
    lines += [_trampoline(index, function) for index, function in enumerate(functions)]
    lines.append("\nstatic const ffi_ext_function ffi_ext_functions[] = {")
    lines += [_entry(index, function) for index, function in enumerate(functions)]
    lines.append("    {0, 0, 0, 0},\n};\n")
    # If the caller does not know, the link says it by a weak symbol (build.KEEPS_GIL).
    said = "ffi_ext_functions" if keeps_gil else "&ffi_ext_keeps_gil"
    lines.append(_TABLE.format(count=len(functions), keeps_gil=said))
    lines += [*closing, ""]
    return "\n".join(lines)


def quoted(text: str) -> str:
    """A C string literal. Everything but plain ASCII is escaped, so that nothing can end it early."""
    out = []
    for byte in text.encode("utf-8", "surrogateescape"):
        character = chr(byte)
        if character in '"\\?':
            out.append("\\" + character)
        elif 32 <= byte < 127:
            out.append(character)
        else:
            out.append(f"\\{byte:03o}")
    return '"' + "".join(out) + '"'


def _member(code: str) -> str:
    return types.MEMBERS.get(code, "p")


def _argument(index: int, code: str, c_type: str) -> str:
    slot = f"{_SLOTS}[{index}].{_member(code)}"
    return f"*({c_type} *){slot}" if code == "x" else f"({c_type}){slot}"


def _trampoline(index: int, function: Function) -> str:
    arguments = ", ".join(
        _argument(position, parameter.code, parameter.c_type)
        for position, parameter in enumerate(function.parameters, start=1)
    )
    call = f"{function.name}({arguments})"
    code = function.result_code
    if code == "v":
        body = call
    elif code == "x":
        body = f"*({function.result} *){_SLOTS}[0].p = {call}"
    elif _member(code) == "p":
        body = f"{_SLOTS}[0].p = (void *){call}"
    else:
        body = f"{_SLOTS}[0].{_member(code)} = {call}"
    unused = f"(void){_SLOTS}; " if code == "v" and not function.parameters else ""
    # As cffi's own wrappers. (<errno.h> would give names of the headers other values.)
    watched = f"_cffi_restore_errno(); {body}; _cffi_save_errno();"
    return f"static void ffi_ext_t{index}(ffi_ext_slot *{_SLOTS}) {{ {unused}{watched} }}"


def documentation(function: Function) -> str:
    """What help() shows: the prototype, then the header's comment."""
    return "\n\n".join(filter(None, [function.prototype, function.comment]))


def _entry(index: int, function: Function) -> str:
    signature = function.result_code + "".join(p.code + p.constraint for p in function.parameters)
    names = ", ".join(parameter.name for parameter in function.parameters)
    doc = f"{function.python_name}({names})\n--\n\n{documentation(function)}"
    return (
        f"    {{{quoted(function.name)}, {quoted(signature)},\n     {quoted(doc)},\n"
        f"     ffi_ext_t{index}}},"
    )


def header_names(headers: Sequence[Path]) -> str:
    """The headers in words: "a.h and b.h"."""
    names = [path.name for path in headers]
    if not names:
        return "no header"
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
