"""What load() generates of headers is kept from one process to the next, as long as it is current."""

from __future__ import annotations

import pytest

import ffi_ext
from ffi_ext import cache
from ffi_ext.builder import generated, objects
from ffi_ext.compilers import universal
from ffi_ext.headers import declarations
from tests.processes import python


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A header that includes another, and its source."""
    tmp_path = tmp_path / "back\\slash"  # which compilers escape
    tmp_path.mkdir()
    monkeypatch.setenv("FFI_EXT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inner.h").write_text("typedef int number;\n")
    (tmp_path / "own.h").write_text(
        '#include "inner.h"\n#define SIZE 3\nnumber half(number x);\n'
        "#ifdef MORE\nint more(void);\n#endif\n"
    )
    (tmp_path / "own.c").write_text(
        '#include "own.h"\nnumber half(number x) { return x / 2; }\nint more(void) { return 1; }\n'
    )
    return tmp_path


@pytest.fixture
def readings(monkeypatch):
    """The headers that were read since, one list for each time."""
    found = []
    read = declarations.read
    monkeypatch.setattr(declarations, "read", lambda *a, **k: found.append(a[0]) or read(*a, **k))
    return found


def load():
    return ffi_ext.load("own", "own.c", "own.h")


def test_another_process_reads_no_header(project):
    for _ in range(2):  # a header that is as young as the build may have been read half-way
        ffi_ext.load("own", "own.c", ["own.h", "inner.h"])
    code = (
        "import sys, ffi_ext\nmodule = ffi_ext.load('own', 'own.c', ['own.h', 'inner.h'])\n"
        "print(module.half(7), module.SIZE, 'pycparser' in sys.modules)"
    )
    said = python("-c", code)
    assert said.stdout == "3 3 False\n", said.stderr


def test_what_changes_is_read_again(project, readings, monkeypatch):
    load()
    load()  # a header that is as young as the build may have been read half-way
    count = len(readings)
    assert load().half(7) == 3 and len(readings) == count
    (project / "inner.h").write_text("typedef double number;\n")
    assert load().half(7) == 3.5 and len(readings) == count + 1
    text = (project / "own.h").read_text()
    (project / "own.h").write_text(text.replace("SIZE 3", "SIZE 4"))
    assert load().SIZE == 4
    monkeypatch.setenv("CPPFLAGS", "-DMORE")
    assert load().more() == 1
    monkeypatch.delenv("CPPFLAGS")
    assert load().__all__ == ["half", "SIZE"]
    (project / "inner.h").unlink()
    with pytest.raises(ffi_ext.BuildError, match=r"inner\.h"):
        load()


def test_what_makes_no_difference_is_not_read_again(project, readings):
    load()
    load()
    count = len(readings)
    ffi_ext.load("own", "own.c", "own.h", verbose=True)
    assert len(readings) == count


def test_another_version_of_the_generators_reads_again(project, readings, monkeypatch):
    load()
    load()
    count = len(readings)
    monkeypatch.setattr("ffi_ext.builder.generated.version", lambda name: f"another {name}")
    in_another_process = generated._generators.__wrapped__
    monkeypatch.setattr(generated, "_generators", in_another_process)
    assert load().half(7) == 3 and len(readings) == count + 1


def test_a_source_that_takes_to_pythons_objects_keeps_the_gil(project):
    load()
    load()
    text = (project / "own.c").read_text()
    call = "number half(number x) { return PyGILState_Check() ? x / 2 : -1; }"
    text = text.replace("number half(number x) { return x / 2; }", call)
    (project / "own.c").write_text(f"#include <Python.h>\n{text}")
    assert load().half(7) == 3


@pytest.mark.parametrize("content", ["", "{", "[]", '{"key": "of another"}'])
def test_a_damaged_record_is_read_past(project, readings, content):
    load()
    load()
    (kept,) = (project / "cache").rglob("generated.json")
    whole = kept.read_bytes()
    kept.write_text(content)
    count = len(readings)
    assert load().half(7) == 3 and len(readings) == count + 1
    assert kept.read_bytes() == whole


def test_a_file_that_changes_meanwhile_is_not_kept(project, monkeypatch):
    monkeypatch.setattr(cache, "clock", lambda: 0)  # all files are younger
    assert load().half(7) == 3
    assert not list((project / "cache").rglob("generated.json"))


def test_an_empty_module_is_warned_of_each_time(project):
    (project / "empty.h").write_text("#pragma once\n")
    for _ in range(3):
        with pytest.warns(UserWarning, match=r"empty\.h declares no function"):
            ffi_ext.load("empty", "own.c", "empty.h")


def test_another_python_compiles_what_has_its_headers_alone(project, monkeypatch):
    compiled = []
    compile_one = objects.Objects.compile
    monkeypatch.setattr(
        objects.Objects, "compile", lambda *a: compiled.append(a[2].source.name) or compile_one(*a)
    )
    (project / "v.c").write_text(
        "#include <Python.h>\nint minor(void) { return PY_MINOR_VERSION; }\n"
    )
    (project / "v.h").write_text("int minor(void);\n")

    def load_both():
        compiled.clear()
        ffi_ext.load("both", ["own.c", "v.c"], ["own.h", "v.h"])
        return sorted(compiled)

    assert load_both() == ["_both.c", "own.c", "v.c"] and load_both() == []
    another = [*universal.python_headers(), str(project)]
    monkeypatch.setattr(universal, "python_headers", lambda: another)
    assert load_both() == ["v.c"] and load_both() == []
