"""What a header is told that cannot be read, or that exports nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from ffi_ext import BuildError, HeaderError, create_extension


@pytest.mark.parametrize("first", ["", "#define SIZE 3\n"])
def test_a_header_that_the_system_does_not_let_read(tmp_path, monkeypatch, first):
    (tmp_path / "h.h").write_text(first + "int f(void);\n")
    (tmp_path / "h.c").write_text("int f(void) { return 1; }\n")
    real = Path.read_text

    def refuse(path, *arguments, **named):
        if path.name == "h.h":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *arguments, **named)

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(HeaderError, match="the header .*h.h cannot be read: Permission denied$"):
        create_extension("denied.h", ["h.h"], ["h.c"], relative_to=str(tmp_path / "b.py"))


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("struct p;\nstruct p f(int a);\n", r"one.h:2: a value of 'struct p' is used here"),
        ("int f(struct p a);\n", "a value of 'struct p' .*\n.*\nhint: .* a pointer: struct p \\*"),
        (
            "int f(enum e a);\n",
            "a value of 'enum e' is used here, and no header has its definition",
        ),
        ("extern union u g;\n", "a value of 'union u'"),
        (
            "struct p;\ntypedef struct { struct p a[2]; } q;\nq f(int);\n",
            "one.h:2: a value of 'struct p'",
        ),
        ("THFloatTensor f(int a);\n", "a pointer: THFloatTensor \\*"),
        ("double f(double a, double größe);\n", "hint: names .* are of ASCII .* rename größe"),
        ("#define N 3\nint f(double α_2[N]);\n", "double α_2.3.*\nhint: .* rename α_2"),
        ("int f(flot a);\n", "flot is an unknown type; did you mean float"),
        ("typedef int hue;\nint f(heu a, hue b);\n", "is heu a type"),
        ("void f(THFlotTensor *t);\n", "did you mean THFloatTensor"),
        (
            "int f(THFloatTensor *a, struct p *p, int (*g)(int),\n  const THFlotTensor *b);\n",
            "hint: THFlotTensor is an unknown type; did you mean THFloatTensor",
        ),
        ("int f(int a, unsigned b, foo_t c);\n", "hint: is foo_t a type"),
        ("foo_t f(int a);\n", "hint: is foo_t a type"),
        ("size_t f(foo_t t);\n", "hint: is foo_t a type"),
        ("int f(THCState *state);\n", r"is THCState a type\? #include the header .*\(THC/THC.h"),
        ("const THFlotTensor *f(int a);\n", "did you mean THFloatTensor"),
        (
            "void f(THTensor *t);\n",
            "hint: THTensor was PyTorch 0.4.1's for all element types: write THFloatTensor",
        ),
        ("THCTensor *f(void);\n", "hint: THCTensor was .* write THCudaTensor, or another"),
        ("at::Tensor f(int a);\n", "hint: headers hold C declarations; keep C"),
        ("int f(int a, int b = 3);\n", "hint: headers hold C declarations; keep C"),
        ("ffi_ext_tensor *f(int a);\n", "one.h:1: f cannot return an ffi_ext_tensor.*output param"),
        ("int f(int a)", "is a ; missing at its end"),
        ("extern struct s { int a;", "one.h:1: cannot parse this declaration"),
        (
            "struct s { int a[3; };\nint f(struct s x);\n",
            r"one.h:1: .*\n.*\nhint: it has 1 \[ and 0 \]",
        ),
        (
            "struct s { int (*g)(int; };\nint f(int n);\n",
            r"one.h:1: .*\n.*\nhint: it has 3 \( and 2 \)",
        ),
        ("extern enumerated { A } a;\n", "one.h:1: cannot parse this declaration"),
        ("API(int) f(int a);\n", r"hint: is API a macro\?.*name that one before it"),
        ("int f(int a)\nint g(int b);\n", "is a ; missing at its end"),
        ("int f(int a;\nint g(int b);\n", r"one.h:1: .*\n.*\nhint: it has 2 \( and 1 \)"),
        ("struct s { int a };\n", "is a ; missing before the }"),
        ("struct s { int a; }\nint *f(struct s *s);\n", "is a ; missing behind the }"),
        ("enum { A } e\nvoid f(int a);\n", "is a ; missing behind the }"),
        ("int f(int a); /* One.\nint g(int a);\n", r"one.h:1: .*\n.*\nhint: is a \*/ missing\?"),
        ("enum e { A, B;\nint g(int b);\n", "hint: it has 1 { and 0 }"),
        ("int f(int a, );\n", "hint: expected a C declaration, such as"),
        ("struct s { int a[n]; };\n", "size of an array must be a number"),
        ("int f(THFloatTensor *a);\n\nint broken(;\n", "one.h:3: cannot parse"),
        ("void f(THHalf *a);\n", r"is THHalf a type\? #include the header .*TH/TH.h"),
        ("#include <stdint.h>\nint f(int a);\nvector<int> v(void);\n", "one.h:3: cannot parse"),
    ],
)
def test_what_a_header_that_cannot_be_read_is_told(tmp_path, header, said):
    (tmp_path / "one.h").write_text(header)
    with pytest.raises(HeaderError, match=said) as caught:
        create_extension("told.one", "one.h", [], relative_to=str(tmp_path / "b.py"))
    assert isinstance(caught.value, BuildError) and not (tmp_path / "told").exists()


def test_a_prototype_that_ends_in_the_next_header(tmp_path):
    (tmp_path / "one.h").write_text("int f(\n")
    (tmp_path / "two.h").write_text("int a);\n")
    with pytest.raises(HeaderError, match="one.h:1: this reads as the function f but declares"):
        create_extension("told.one", ["one.h", "two.h"], [], relative_to=str(tmp_path / "b.py"))


@pytest.mark.parametrize(
    ("types", "said"),
    [
        (
            "typedef struct { _BitInt(7) v; } wide;\n",
            r"types.h:1: cannot parse .*\n.*_BitInt.*\nhint: ",
        ),
        (
            "\ntypedef struct { union { int v[NONE + sizeof(int)]; } u; } wide;\n",
            r"types.h:2: .*\n.*\nhint: the size of an array must be a number",
        ),
    ],
)
def test_a_type_of_an_included_file_that_cannot_be_read(tmp_path, types, said):
    (tmp_path / "types.h").write_text(types)
    (tmp_path / "one.h").write_text('#include "types.h"\nint first(const wide *values);\n')
    with pytest.raises(HeaderError, match=said):
        create_extension("told.one", "one.h", [], relative_to=str(tmp_path / "b.py"))


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("#include <unordered_map>\n", r"hint: headers are read as C.*#ifdef __cplusplus"),
        ("#include <no_such_header.h>\n", r"failed: \S*one.h:1: .?no_such_header"),
        ("#if 1\nint f(int a);\n", r"failed: \S*one.h:1: unterminated"),
    ],
)
def test_what_the_compiler_does_not_read(tmp_path, header, said):
    (tmp_path / "one.h").write_text(header)
    with pytest.raises(BuildError, match=said):
        create_extension("told.one", "one.h", [], relative_to=str(tmp_path / "b.py"))


def test_thc_without_cuda_is_told_of_the_flag(build):
    with pytest.raises(BuildError, match="hint: THC's types need with_cuda=True"):
        build("int f(THCudaTensor *t);\n", "int f(void *t) { return 1; }\n")


@pytest.mark.parametrize("header", ["", "#ifdef MISSING\nint f(void);\n#endif\n", "struct p;\n"])
def test_a_header_that_exports_nothing(tmp_path, header):
    (tmp_path / "one.h").write_text(header)
    with pytest.warns(
        UserWarning,
        match=r"one\.h declares no function.* empty\.one will be empty.*a header that it includes",
    ):
        create_extension("empty.one", "one.h", [], relative_to=str(tmp_path / "b.py"))
