"""Binaries of which one file serves every Python: which they are, and that a Python without a GIL finds them."""

from __future__ import annotations

import ctypes
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ffi_ext import elf
from ffi_ext.compilers import toolchain, universal
from tests.binaries import OWN_SUFFIX, SUFFIX

HEADER = "int twice(int x);\n"
SOURCE = "int twice(int x) { return 2 * x; }\n"


def binary_of(module) -> Path:
    (path,) = Path(module.__file__).parent.glob("*.so")
    return path


@pytest.mark.parametrize("flags", ["", "-Werror -Wpedantic -Wcast-qual -pedantic-errors"])
def test_a_module_uses_functions_of_python_alone(build, monkeypatch, flags):
    """What the user's flags warn of is about the user's sources."""
    monkeypatch.setenv("CFLAGS", flags)
    binary = binary_of(build(HEADER, SOURCE))
    assert binary.name.endswith(SUFFIX) and universal.is_universal(binary)


@pytest.mark.parametrize(
    ("header", "source"),
    [
        (HEADER, "#include <Python.h>\n"),
        ("#include <Python.h>\n" + HEADER, ""),
        ("static inline float f(float x) { return THFloatTensor_data(0)[0] + x; }\n" + HEADER, ""),
    ],
)
def test_what_reads_pythons_own_headers_does_not(build, header, source):
    """The last one calls what only the whole of TH.h declares, with which Python's headers are read."""
    module = build(header, source + SOURCE, include_dirs=universal.python_headers())
    binary = binary_of(module)
    assert module.twice(4) == 8
    assert binary.name.endswith(OWN_SUFFIX) and not universal.is_universal(binary)
    there = binary.with_name(f"{binary.name.partition('.')[0]}.abi3.so")
    if there != binary:
        shutil.copy(binary, there)
    with pytest.raises(ImportError, match="build the extension again with this Python"):
        universal.Finder.find_spec(
            f"{module.__name__}.{there.name.partition('.')[0]}", [there.parent]
        )


def test_pythons_headers_are_found_wherever_they_are_included(build, tmp_path):
    (tmp_path / "inner.h").write_text("#include <Python.h>\n")
    source = '#include "inner.h"\n#define REFERENCES Py_REFCNT((PyObject *)0)\n' + SOURCE
    binary = binary_of(build(HEADER, source, include_dirs=[str(tmp_path)]))
    assert not universal.is_universal(binary)
    (tmp_path / "inner.h").write_text("")
    binary = binary_of(build(HEADER, source, include_dirs=[str(tmp_path)]))
    assert universal.is_universal(binary)


def test_objects_of_others_may_have_read_them(build, tmp_path):
    (tmp_path / "more.c").write_text("int more(void) { return 1; }\n")
    made = str(tmp_path / "more.o")
    subprocess.run(["gcc", "-fPIC", "-c", str(tmp_path / "more.c"), "-o", made], check=True)
    assert not universal.is_universal(binary_of(build(HEADER, SOURCE, extra_objects=[made])))


def test_the_finder_imports_what_python_does_not_look_for(build, tmp_path):
    binary = binary_of(build(HEADER, SOURCE))
    last = binary.name.removesuffix(SUFFIX)
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(binary, tmp_path / "elsewhere")
    spec = universal.Finder.find_spec(
        f"elsewhere.{last}", [str(tmp_path), str(tmp_path / "elsewhere")]
    )
    assert spec is not None and spec.origin == str(tmp_path / "elsewhere" / binary.name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.lib.twice(4) == 8
    assert universal.Finder.find_spec(f"elsewhere.{last}", [str(tmp_path)]) is None
    assert universal.Finder.find_spec(last) is None


def test_modules_of_others_are_left_to_python(tmp_path):
    import cffi

    ffi = cffi.FFI()
    ffi.cdef("int one(void);")
    ffi.set_source("_another", "int one(void) { return 1; }", py_limited_api=False)
    shutil.copy(ffi.compile(tmpdir=str(tmp_path)), tmp_path / "_another.abi3.so")
    assert universal.Finder.find_spec("any._another", [str(tmp_path)]) is None


def test_it_is_asked_by_pythons_without_a_gil_alone():
    assert (universal.Finder in sys.meta_path) == universal.is_free_threaded()


@pytest.mark.parametrize(
    "content", [b"", b"text", b"\x7fELF\x02\x01", b"\x7fELF\x02\x01" + bytes(80)]
)
def test_other_files_are_not_taken(tmp_path, content):
    (tmp_path / "_a.abi3.so").write_bytes(content)
    assert not universal.is_universal(tmp_path / "_a.abi3.so")
    assert universal.Finder.find_spec("any._a", [str(tmp_path)]) is None


def test_c_as_cffi_wrote_it_before_2_1_compiles(tmp_path):
    """It includes no more than this; of later versions generated C includes the others itself."""
    source = tmp_path / "old.c"
    source.write_text(
        "#include <Python.h>\n#include <stddef.h>\n"
        "void f(size_t n) { void *p = n < 640 ? alloca(n) : PyObject_Malloc(n); memset(p, 0, n); }\n"
        "#if PY_MAJOR_VERSION >= 3\nPyMODINIT_FUNC PyInit_old(void) { return NULL; }\n#endif\n"
    )
    compiler = [*toolchain.c_compiler().command, *toolchain.c_standard(), *toolchain.QUICK]
    binary = tmp_path / "old.so"
    command = [*compiler, f"-I{universal.PYTHON_H}", "-fPIC", "-shared", source, "-o", binary]
    subprocess.run(command, check=True)
    assert "PyInit_old" in elf.symbols(binary).defined


def test_every_python_has_what_our_header_declares():
    text = (universal.PYTHON_H / "Python.h").read_text()
    declared = re.findall(r"^[\w *]+?\*?(Py\w+)\(", text, re.M)
    assert len(declared) > 20
    missing = [name for name in declared if not hasattr(ctypes.pythonapi, name)]
    assert not missing
    assert hasattr(ctypes.pythonapi, "_Py_NoneStruct") and hasattr(
        ctypes.pythonapi, "PyExc_TypeError"
    )
