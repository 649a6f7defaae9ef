"""load and load_inline: the cache, modules that stay what they were, errors with the line."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
import torch

import ffi_ext
from ffi_ext import BuildError, cuda, inline

SOURCE = """
/* twice(x) { } */
static int helper(int x) { return 2 * x; }
int twice(int x) { if (x) { return helper(x); } return 0; }
void scale(THFloatTensor *t, float by)
{
  THFloatTensor_mul(t, t, by);
}
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FFI_EXT_CACHE", str(tmp_path / "cache"))


def test_text_becomes_a_module():
    module = ffi_ext.load_inline("inl", SOURCE)
    assert module.twice(21) == 42 and module.__all__ == ["twice", "scale"]
    t = torch.ones(3)
    module.scale(t, 2.5)
    assert t.tolist() == [2.5] * 3


def test_the_same_text_compiles_once(tmp_path):
    code = (
        f"import ffi_ext\nsource = {SOURCE!r}\n"
        "print(ffi_ext.load_inline('inl', source, 'int twice(int x);').twice(2))"
    )
    first = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert first.stdout == "4\n", first.stderr
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("*.o")}
    assert len(before) == 2
    again = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert again.stdout == "4\n"
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("*.o")} == before


def test_another_text_under_the_same_name_is_another_module():
    first = ffi_ext.load_inline("same", "int which(void) { return 1; }")
    second = ffi_ext.load_inline("same", "int which(void) { return 2; }")
    assert (first.which(), second.which(), first.which()) == (1, 2, 1)


def test_threads_load_at_once():
    results = []

    def work(number):
        results.append(
            ffi_ext.load_inline("many", f"int f(void) {{ return {number % 3}; }}").f() - number % 3
        )

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [0] * 8


def test_errors_name_the_line():
    with pytest.raises(BuildError, match=r"broken \(c_source\):3: .*undeclared"):
        ffi_ext.load_inline("broken", "int f(void)\n{\n  return missing;\n}\n")
    with pytest.raises(ValueError, match="defines no function"):
        ffi_ext.load_inline("nothing", "static int f(void) { return 1; }")
    with pytest.raises(ValueError, match="identifier"):
        ffi_ext.load_inline("a-b", SOURCE)


def test_a_cache_that_others_may_write_to_is_refused(tmp_path, monkeypatch):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    monkeypatch.setenv("FFI_EXT_CACHE", str(shared))
    with pytest.raises(BuildError, match="by nobody else"):
        ffi_ext.load_inline("inl", SOURCE)


def test_files(tmp_path, monkeypatch):
    (tmp_path / "lib.h").write_text("int value(void);\n")
    (tmp_path / "lib.c").write_text("int value(void) { return 3; }\n")
    monkeypatch.chdir(tmp_path)
    assert ffi_ext.load("lib", "lib.c", "lib.h").value() == 3
    (tmp_path / "lib.c").write_text("int value(void) { return 4; }\n")
    assert ffi_ext.load("lib", ["lib.c"], ["lib.h"]).value() == 4
    with pytest.raises(FileNotFoundError, match="did you mean lib.c"):
        ffi_ext.load("lib", "lbi.c", "lib.h")


def test_exported():
    text = "struct s { int a; };\nextern int g;\n#define F(x) { x }\nstatic void h(void) {}\n"
    text += 'const char *n(struct s *p) { return "}{"; }'
    assert inline.exported(text) == "const char *n(struct s *p);\n"


@pytest.mark.skipif(cuda.nvcc() is None, reason="there is no nvcc on this machine")
def test_cuda_text():
    module = ffi_ext.load_inline(
        "gpu",
        "int run(void *p); int launch(float *p);\nint run(void *p) { return launch(p); }",
        "int run(void *p);",
        "__global__ void k(float *p) { *p = 1; }\n"
        'extern "C" int launch(float *p) { k<<<1, 1>>>(p); return 5; }',
    )
    assert module.run(module._ffi.NULL) == 5
