"""cffi's C source of a module, with a line for each function that our trampolines carry, and for each number."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

from cffi import model, recompiler

from ffi_ext.headers.declared import Declarations, in_cffi

if TYPE_CHECKING:
    import cffi


class _Recompiler(recompiler.Recompiler):  # type: ignore[misc]
    """Writes `_lib.f` for a function that has a trampoline as a call of include/ffi_ext/lib_call.h.

    And the values of macros and enumerators as a table, since a compiler takes as long for one of cffi's functions that
    return them as for one that works: a header may have a thousand. Where a value is no constant expression the quick
    command (toolchain.QUICK) fails, and the other has cffi's functions.

    Where cffi no longer asks for these methods, its own wrappers come back: longer, not wrong.
    """

    trampolines: dict[str, int]  # function -> its place in our table
    _included = False

    def _generate(self, step_name: str) -> None:
        self._numbers: set[str] = set()
        super()._generate(step_name)
        if self._numbers:
            self._write_numbers()

    def _generate_cpy_const(self, is_int: bool, name: str, tp: Any = None, **others: Any) -> None:
        if tp is not None:  # a variable
            super()._generate_cpy_const(is_int, name, tp, **others)
            return
        self._numbers.add(name)
        self._prnt(f"#ifdef FFI_EXT_QUICK\n#define _cffi_const_{name} ffi_ext_number\n#else")
        super()._generate_cpy_const(is_int, name, **others)
        self._prnt("#endif")

    def _write_numbers(self) -> None:
        """By the places that they have in cffi's table of all names, of which cffi tells the function."""
        names = [entry.name for entry in self._lsts["global"]]
        self._prnt("#ifdef FFI_EXT_QUICK")
        self._prnt("static const struct { unsigned long long value; int negative; }")
        self._prnt("ffi_ext_numbers[] = {")
        for name in names:
            value = f"(unsigned long long)(({name}) | 0), ({name}) <= 0"
            self._prnt(f"  {{ {value if name in self._numbers else '0, 0'} }},")
        self._prnt("};")
        self._prnt("static int ffi_ext_number(struct _cffi_getconst_s *asked) {")
        self._prnt("  asked->value = ffi_ext_numbers[asked->gindex].value;")
        self._prnt("  return ffi_ext_numbers[asked->gindex].negative;\n}\n#endif\n")

    def _add_missing_struct_unions(self) -> None:
        self._places: dict[Any, str] = {}  # of structs without a name
        for tp in self._struct_unions:
            if not _is_nameless(tp):
                self._find_places(tp, f"(({tp.get_c_name('*')})0)->")
        super()._add_missing_struct_unions()

    def _find_places(self, outer: Any, path: str) -> None:
        for name, tp, *_ in outer.enumfields() if outer.fldtypes else ():
            while isinstance(tp, model.ArrayType):
                name, tp = f"{name}[0]", tp.item
            if isinstance(tp, model.StructOrUnion) and _is_nameless(tp):
                self._places[tp] = f"{path}{name}"
                self._find_places(tp, f"{path}{name}.")

    def _struct_ctx(self, tp: Any, cname: Any, approxname: str, named_ptr: Any = None) -> None:
        """Asks the compiler of a struct without a name by the type of a pointer to where one is.

        cffi lays it out itself, with a place for each field of a union in it that has no name either, and packed
        where only the struct around it is. (Of others it is right, and fields' names may be macros, as in siginfo_t.)
        """
        is_asked = cname is None and tp in self._places
        is_asked = is_asked and (tp.packed or any(tp.anonymous_struct_fields()))
        if is_asked:
            cname = named_ptr = model.NamedPointerType(tp, f"__typeof__(&{self._places[tp]})")
        super()._struct_ctx(tp, cname, approxname, named_ptr)
        if is_asked:
            made = self._lsts["struct_union"][-1]
            made.flags = re.sub("_CFFI_F_(?:CHECK_FIELDS|PACKED)", "0", made.flags)

    def _generate_cpy_function_decl(self, tp: Any, name: str) -> None:
        if name not in self.trampolines:
            super()._generate_cpy_function_decl(tp, name)
            return
        if not self._included:
            self._prnt("#include <ffi_ext/lib_call.h>")
            self._included = True
        index = self.trampolines[name]
        result, arguments = self._typesdict[tp.result], self._typesdict[tp.as_raw_function()] + 1
        self._prnt(
            f"static PyObject *_cffi_f_{name}(PyObject *lib, PyObject *given) "
            f"{{ (void)lib; return ffi_ext_lib_call({index}, {result}, {arguments}, given); }}"
        )

    def _generate_cpy_function_ctx(self, tp: Any, name: str) -> None:
        super()._generate_cpy_function_ctx(tp, name)
        if name in self.trampolines:  # cffi's second function, for addressof(), is not there
            self._lsts["global"][-1].size = name


def _is_nameless(tp: Any) -> bool:
    return "$" in tp.get_official_name()


def _is_carried(tp: Any) -> bool:
    """Whether the types are those that lib_call.h converts as cffi does."""
    values = [*tp.args] if isinstance(tp.result, model.VoidType) else [tp.result, *tp.args]
    return all(isinstance(value, (model.PrimitiveType, model.PointerType)) for value in values)


def cffi_source(
    ffi: cffi.FFI, module_name: str, preamble: str, declarations: Declarations, limited: bool
) -> str:
    """The whole C source of the binary, for the stable ABI (abi3) or, not `limited`, for this Python alone."""
    # cffi puts the module into sys.modules under the name that it is made with, beside the name that
    # it is imported by: with a plain `_io` the standard library's would be lost. This one nobody imports.
    generator, known = _Recompiler(ffi, f"ffi_ext:{module_name}"), in_cffi(ffi)
    generator.trampolines = {
        function.name: index
        for index, function in enumerate(declarations.table)
        if "x" not in (function.result_code, *(p.code for p in function.parameters))
        and _is_carried(known[f"function {function.name}"][0])
    }
    generator.collect_type_table()
    generator.collect_step_tables()
    output = io.StringIO()
    generator.write_source_to_f(output, preamble)
    text = output.getvalue()
    return text if limited else "#define _CFFI_NO_LIMITED_API\n" + text
