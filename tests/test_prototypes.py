"""Sources whose functions are not what the headers declare; C's own rules say which types are the same."""

from __future__ import annotations

import warnings

import pytest
import torch

import ffi_ext
from ffi_ext import cli
from ffi_ext.builder import prototypes

DECLARED = "int f(const THFloatTensor *t, long n, float by, const float *a)"


@pytest.mark.parametrize(
    "definition",
    [
        "int f(const THFloatTensor *t, long n, float by, const float *a) {",
        "int f(THFloatTensor *t, int64_t count, float x, float a[4])\n{",
        "signed f(struct THFloatTensor const *t, unsigned long n, float by, float *restrict a) {",
        "TH_API int f(THTensor *t, index n, real by, real *a) {",  # typedefs and macros may be the same
        "int f(ARGUMENTS) {",
        "int f(THFloatTensor *t, size_t n, float by, float *a) {",
        "__attribute__((noinline)) int f(THFloatTensor *t, long n, float by, float *a) {",
        '__attribute__((target("fma"))) EXPORT(float, 2) f(THFloatTensor *t, long n, float by, float *a) {',
        "/* int f(int n) { */ static int g(int f) {",
        "int f(t, n, by, a) THFloatTensor *t; long n; float by; float *a; {",
        'int g(void) { puts("int f(int n) {"); if (f(t, n, by, a)) { } }',
        "#if 0\nint f(int n) {\n}\n#else\nint f(THFloatTensor *t, long n, float by, float *a) {\n}\n#endif",
    ],
)
def test_definitions_that_fit(definition):
    assert list(prototypes.differences(definition + "}", {"f": DECLARED})) == []


def test_no_parameters_in_either_way():
    assert list(prototypes.differences("int f() { return 1; }", {"f": "int f(void)"})) == []


@pytest.mark.parametrize(
    "definition",
    [
        "int f(const THDoubleTensor *t, long n, float by, const float *a) {",
        "int f(const THFloatTensor *t, int n, float by, const float *a) {",
        "static int f(const THFloatTensor *t, uint32_t n, float by, const float *a) {",
        "TH_API int f(struct THDoubleTensor const *t, long n, float by, const float *a) {",
        "int f(const THFloatTensor *t, unsigned short n, float by, const float *a) {",
        "int f(const THFloatTensor *t, long n, double by, const float *a) {",
        "int f(const THFloatTensor *t, long n, float by, const double *a) {",
        "int f(const THFloatTensor *t, long n, float by, float **a) {",
        "int f(const THFloatTensor *t, float by, long n, const float *a) {",
        "int f(const THFloatTensor *t, long n, float by) {",
        "__attribute__((noinline)) int f(const THFloatTensor *t, int n, float by, const float *a) {",
        "float f(const THFloatTensor *t, long n, float by, const float *a) {",
        "void f(const THFloatTensor *t, long n, float by, const float *a) {",
    ],
)
def test_definitions_that_do_not(definition):
    found = list(prototypes.differences(f"int g(void) {{ }}\n\n{definition}}}", {"f": DECLARED}))
    assert found == [("f", definition.rstrip(" {"), 3)]


def test_a_build_warns(build):
    source = "#include <TH/TH.h>\nvoid scale(THFloatTensor *t, float by) { THFloatTensor_mul(t, t, by); }"
    with pytest.warns(
        UserWarning, match=r"\.c:2 defines void scale.*float by.*\.h:1 declares .*double by"
    ):
        build("void scale(THFloatTensor *t, double by);", source)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        module = build("void scale(THFloatTensor *t, float by);", source)
    t = torch.ones(2)
    module.scale(t, 3)
    assert t.tolist() == [3, 3]
    with pytest.warns(UserWarning, match="int g") as caught:
        ffi_ext.load_inline("differs", "int g(int a) { return a; }", header="int g(double a);")
    assert caught[0].filename == __file__  # no line of ffi_ext's


def test_a_command_warns_without_a_line_of_ffi_ext(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "differs.h").write_text("int g(double a);\n")
    (tmp_path / "differs.c").write_text("int g(int a) { return a; }\n")
    assert cli.main(["build", "differs.h", "differs.c", "-q"]) == 0
    assert capsys.readouterr().err.startswith("ffi-ext: differs.c:1 defines int g(int a), and ")
