"""Text that wants to do harm: the fuzzers in short, and what they have found, each as a case of its own."""

from __future__ import annotations

import time
from pathlib import Path

import cffi
import pytest

from ffi_ext import HeaderError
from ffi_ext.compilers import compile_errors
from ffi_ext.headers import declarations, statements
from tests.reliability.fuzz import NoCompiler
from tests.test_reliability_build import harness


def test_some_inputs_of_each_fuzzer():
    report = harness("fuzz", "--seconds", 0.3, "--seed", 3)
    assert min(report["inputs"].values()) > 0 and len(report["inputs"]) >= 6


def test_what_reads_as_a_function_and_is_none_is_told(tmp_path):
    path = tmp_path / "odd.h"
    path.write_text("int v1 \n(*)(v1);\nint f(int (x)), v1(void);\n")
    with pytest.raises(HeaderError, match=r"odd\.h"):
        declarations.read((path,), NoCompiler({}), cffi.FFI())


def test_a_null_in_a_line_marker(tmp_path):
    path = tmp_path / "null.h"
    path.write_text('# 1 "a\0.h"\nint f(int x);\n')
    declared = declarations.read((path,), NoCompiler({}), cffi.FFI())
    assert [function.name for function in declared.functions] == ["f"]


@pytest.mark.parametrize("value", ["1" * 5000 + "?", "(" * 5000, "a" * 5000 + "'"])
def test_long_enumerators_are_read_in_no_time(value):
    started = time.process_time()
    statements.split(f"enum e {{ A = {value}, B }};", Path("long.h"))
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    "row",
    ["ld" * 50_000 + " error", "a" * 200_000 + " error", "/" * 100_000, "." * 2000, "a." * 1000],
)
def test_long_lines_of_a_log_are_read_in_no_time(row):
    started = time.process_time()
    compile_errors.explain("compiling", row + "\n")
    assert time.process_time() - started < 2


def test_a_null_byte_in_a_log_is_no_file_name():
    assert "boom" in str(compile_errors.explain("x", "a\0b.c:3:1: error: boom\n"))
