"""register(): torch operators of C functions, their schemas, opcheck, torch.compile without a graph break."""

from __future__ import annotations

import functools
import warnings

import pytest
import torch
import torch.utils.checkpoint
from torch._dynamo.testing import CompileCounterWithBackend

import ffi_ext
from ffi_ext import library
from tests.processes import python

HEADER = """
void square(const THDoubleTensor *x, THDoubleTensor *out);
void square_backward(const THDoubleTensor *grad, const THDoubleTensor *x, THDoubleTensor *out);
int scaled(const THFloatTensor *x, THFloatTensor *out, float by, long n, bool twice);
THFloatTensor *made(void);
void pointer(double *p);
enum mode { FAST, SLOW };
double chosen(const THFloatTensor *x, enum mode how);
unsigned long long largest(int less);
void note(int value);
int noted(void);
/* @param x [optional] */
int given(const THFloatTensor *x);
void shifted(const THFloatTensor *node, int mode, THFloatTensor *out);
"""
SOURCE = """
#include <TH/TH.h>
#include <stdbool.h>
#include "operated.h"
void square(const THDoubleTensor *x, THDoubleTensor *out) {
  THDoubleTensor_cmul(out, (THDoubleTensor *)x, (THDoubleTensor *)x);
}
void square_backward(const THDoubleTensor *grad, const THDoubleTensor *x, THDoubleTensor *out) {
  THDoubleTensor_cmul(out, (THDoubleTensor *)grad, (THDoubleTensor *)x);
  THDoubleTensor_mul(out, out, 2);
}
int scaled(const THFloatTensor *x, THFloatTensor *out, float by, long n, bool twice) {
  THFloatTensor_mul(out, (THFloatTensor *)x, by * n * (twice ? 2 : 1));
  return 1;
}
THFloatTensor *made(void) { return THFloatTensor_new(); }
void pointer(double *p) {}
double chosen(const THFloatTensor *x, enum mode how) { return how == SLOW ? 2 : 1; }
unsigned long long largest(int less) { return less ? 9223372036854775807ULL : 9223372036854775808ULL; }
static int kept;
void note(int value) { kept = value; }
int noted(void) { return kept; }
int given(const THFloatTensor *x) { return x != NULL; }
void shifted(const THFloatTensor *node, int mode, THFloatTensor *out) {
  THFloatTensor_add(out, (THFloatTensor *)node, mode);
}
"""


@pytest.fixture(scope="module")
def operators():
    module = ffi_ext.load_inline("operated", SOURCE, "#include <stdbool.h>\n" + HEADER)
    return library.register(module, "ffi_ext_test")


def test_a_number_that_an_operator_cannot_return(operators):
    assert operators["largest"].call(1).item() == (1 << 63) - 1
    with pytest.raises(OverflowError, match="largest.. returned 9223372036854775808.*the function"):
        operators["largest"].call(0)


def test_schemas_come_from_prototypes(operators):
    assert {name: operator.schema for name, operator in operators.items()} == {
        "square": "(Tensor x, Tensor(a!) out) -> ()",
        "square_backward": "(Tensor grad, Tensor x, Tensor(a!) out) -> ()",
        "scaled": "(Tensor x, Tensor(a!) out, float by, SymInt n, bool twice) -> Tensor",
        "chosen": "(Tensor x, SymInt how) -> Tensor",
        "largest": "(SymInt less) -> Tensor",
        "note": "(SymInt value) -> ()",
        "noted": "() -> Tensor",
        "given": "(Tensor? x) -> Tensor",
        "shifted": "(Tensor node_, SymInt mode_, Tensor(a!) out) -> ()",
    }


def test_opcheck(operators):
    x = torch.rand(3, 4, dtype=torch.float64)
    torch.library.opcheck(operators["square"].call, (x, torch.zeros_like(x)))
    y = torch.rand(5)
    torch.library.opcheck(operators["scaled"].call, (y, torch.zeros(5), 2.0, 3, True))


def test_compile_without_a_graph_break(operators):
    square, scaled = operators["square"].call, operators["scaled"].call

    def f(x, y):
        out, scaled_out = torch.empty_like(x), torch.empty_like(y)
        square(x + 1, out)
        status = scaled(y * 2, scaled_out, 1.5, 2, False)
        return out.sin(), scaled_out + status

    x, y = torch.rand(4, dtype=torch.float64), torch.rand(3)
    compiled = torch.compile(f, fullgraph=True, backend="aot_eager")
    for got, want in zip(compiled(x, y), ((x + 1).square().sin(), y * 6 + 1), strict=True):
        torch.testing.assert_close(got, want)


FIRST_CALL = """
import torch, ffi_ext
from torch._dynamo.testing import CompileCounter

module = ffi_ext.load_inline("first_call", '''
void product(const THFloatTensor *x, THFloatTensor *out) {
  THFloatTensor_resizeAs(out, (THFloatTensor *)x);
  THFloatTensor_addmm(out, 0, out, 1, (THFloatTensor *)x, (THFloatTensor *)x);
}
''')
graphs = CompileCounter()


@torch.compile(backend=graphs)
def f(x):
    out = torch.empty(0)
    module.product(x + 1, out)
    return out + 1


print(f(torch.eye(2)).tolist(), graphs.frame_count)
"""


@pytest.mark.skipif(
    not hasattr(torch._C._dynamo.eval_frame, "set_code_exec_strategy"), reason="as torch 2.4"
)
def test_torch_compile_leaves_the_first_call_alone():
    """It compiled all that a process's first call and TH's mathematics do in Python, and warned of recompilations."""
    done = python("-c", FIRST_CALL)
    assert done.stdout == "[[6.0, 5.0], [5.0, 6.0]] 2\n", done.stderr
    assert "recompile_limit" not in done.stderr


@pytest.mark.skipif(
    torch.torch_version.TorchVersion(torch.__version__) < "2.6",
    reason="torch 2.4 copies these, and writes to the right part",
)
def test_outputs_that_are_parts_of_a_tensor_of_any_size(operators):
    """Inductor of torch 2.13 and 2.15 wrote all rows to the first, without a word."""

    def rows(x):
        out = torch.zeros_like(x)
        for i in range(2):
            operators["square"].call(x[i], out[i])
        return out

    def stacked(x):
        out = [torch.empty_like(row) for row in x]
        for i in range(2):
            operators["square"].call(x[i], out[i])
        return torch.stack(out)

    x = torch.rand(2, 3, dtype=torch.float64)
    for f, dynamic in ((rows, False), (stacked, True)):
        torch.testing.assert_close(
            torch.compile(f, fullgraph=True, dynamic=dynamic, backend="aot_eager")(x), x * x
        )
    with pytest.warns(UserWarning, match="'out' is a part of a tensor .* a tensor of its own"):
        torch.compile(rows, fullgraph=True, dynamic=True, backend="aot_eager")(x)


def test_parameters_that_torch_compile_has_names_of_its_own_for(operators):
    """torch.compile failed on `mode`: "got multiple values for argument 'mode'"; Inductor on `node` likewise."""

    def f(x):
        out = torch.empty_like(x)
        operators["shifted"].call(x, 2, out)
        return out

    x = torch.rand(3)
    torch.testing.assert_close(torch.compile(f, fullgraph=True, backend="aot_eager")(x), x + 2)


def test_one_graph_serves_all_sizes(operators):
    def f(x):
        out = torch.empty_like(x)
        operators["scaled"].call(x, out, 1.0, x.shape[0], False)
        return out

    graphs = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(f, fullgraph=True, dynamic=True, backend=graphs)
    for n in (3, 5, 8):
        assert compiled(torch.ones(n)).tolist() == [n] * n
    assert graphs.frame_count == 1


def test_sizes_that_depend_on_data(operators):
    class Positive(torch.nn.Module):
        def forward(self, x):
            x = x[x > 0]
            out = torch.empty_like(x)
            operators["square"].call(x, out)
            return out

    x = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    exported = torch.export.export(Positive(), (x,)).module()
    assert exported(x).tolist() == [1, 9]
    assert exported(-x).tolist() == [4]


def test_a_call_that_gives_nothing_stays_in_a_compiled_graph(operators):
    def f(x):
        operators["note"].call(7)
        return x + 1

    operators["note"].call(0)
    torch.compile(f, fullgraph=True, backend="aot_eager")(torch.zeros(1))
    assert operators["noted"].call() == 7


def test_arguments_of_every_kind_reach_the_function(operators):
    given, scaled = operators["given"].call, operators["scaled"].call
    assert given(torch.zeros(1)) == 1 and given(None) == 0
    with pytest.raises(TypeError, match=r"'x'.*sparse_coo tensor.*\.to_dense\(\)"):
        scaled(torch.eye(2).to_sparse(), torch.zeros(2, 2), 1.0, 1, False)


def test_where_the_number_of_an_operator_lies(operators):
    with torch.device("meta"):
        assert operators["largest"].call(1).device.type == "cpu"
    assert operators["given"].call(torch.zeros(1, device="meta")).device.type == "meta"


def test_a_backward_by_name(operators):
    def forward(x):
        out = torch.empty_like(x)
        operators["square"].call(x, out)
        return out

    def backward(grad, x):
        out = torch.empty_like(x)
        operators["square_backward"].call(grad.contiguous(), x, out)
        return out

    f = library.differentiable(forward, backward)
    x = torch.rand(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(f, (x,))


def test_functions_of_numbers_alone(build):
    module = build(
        "#include <stdbool.h>\nint twice(int n);\nint two(void);\nbool odd(int n);",
        "#include <stdbool.h>\nint twice(int n) { return 2 * n; }\nint two(void) { return 2; }\n"
        "bool odd(int n) { return n % 2; }\n",
    )
    library.register(module, "ffi_ext_numbers")
    assert torch.ops.ffi_ext_numbers.twice(4) == 8 and torch.ops.ffi_ext_numbers.two() == 2
    assert torch.equal(torch.ops.ffi_ext_numbers.odd(3), torch.tensor(True))


def test_names_that_torch_ops_has_already():
    module = ffi_ext.load_inline(
        "taken",
        "void add(THFloatTensor *x) { THFloatTensor_add(x, x, 1); }\nint hypot_of(int x) { return x; }",
    )
    for namespace in ("aten", "prims"):
        with pytest.raises(ValueError, match=rf"torch\.ops\.{namespace}\.add is something else"):
            library.register(module, namespace)
        assert not hasattr(getattr(torch.ops, namespace), "hypot_of")
    library.register(module)
    assert library.register(module).keys() == {"add", "hypot_of"}  # its own are its own
    named = ffi_ext.load_inline("named", "int name(int x) { return x; }")
    with pytest.raises(ValueError, match=r"torch\.ops\.named\.name is .*another name"):
        library.register(named)


def test_a_rebuilt_module_replaces_the_operators():
    for value in (1, 2):
        module = ffi_ext.load_inline(
            "again", f"void set(THFloatTensor *t) {{ THFloatTensor_fill(t, {value}); }}"
        )
        operators = library.register(module, "ffi_ext_again")
        t = torch.zeros(2)
        torch.ops.ffi_ext_again.set(t)
        assert t.tolist() == [value, value] and list(operators) == ["set"]


def test_operators_without_outputs_are_called_after_a_rebuild():
    """Those that were kept, too; torch.compile leaves out what has neither an output nor a side effect."""
    text = "static int n; void note(double by) {{ n += {} * by; }} int noted(void) {{ return n; }}"
    calls = []
    for by in (1, 10, 10):
        module = ffi_ext.load_inline("notes", text.format(by))
        calls.append(library.register(module, "ffi_ext_notes")["note"].call)

    def call(x):
        calls[0](1.0)
        torch.ops.ffi_ext_notes.note(2.0)
        return x + 1

    before = module.noted()
    assert torch.compile(call, fullgraph=True, backend="aot_eager")(torch.ones(1)) == 2
    assert module.noted() - before == 30


KEPT = """
import warnings
import torch
from ffi_ext import library, load_inline

TIMES = (
    "void timesN(const ffi_ext_tensor *x, ffi_ext_tensor *out) "
    "{ ((float *)out->data)[0] = FACTOR * N * ((float *)x->data)[0]; }"
    "void timesN_backward(const ffi_ext_tensor *grad_out, ffi_ext_tensor *grad_x) { timesN(grad_out, grad_x); }"
)
text = "".join(TIMES.replace("N", str(n)) for n in range(1, 9))
module = load_inline("kept", text, define_macros=[("FACTOR", "1")])
library.register(module)
names = [f"times{n}" for n in range(1, 9)]
functions = [library.differentiable(getattr(module, n), getattr(module, f"{n}_backward")) for n in names]
operators = [getattr(torch.ops.kept, n).default for n in names]


def show():
    out = [torch.empty(1) for _ in names]
    for operator, y in zip(operators, out):
        operator(torch.ones(1), y)
    print([int(y) for y in out], [int(f(torch.ones(1))) for f in functions])


library.register(module)
show()
warnings.simplefilter("error")
library.register(load_inline("kept", text, define_macros=[("FACTOR", "10")]))
show()
"""


def test_operators_that_were_kept_compute_with_the_module_of_now(tmp_path):
    """In a process of its own: torch would call what is no more."""
    (tmp_path / "kept.py").write_text(KEPT)
    ones, tens = [*range(1, 9)], [*range(10, 90, 10)]
    done = python(tmp_path / "kept.py")
    assert done.stdout.splitlines() == [f"{ones} {ones}", f"{tens} {tens}"], done.stderr


def test_what_was_compiled_for_another_schema_is_compiled_again():
    """Graphs are kept on the disk by their text, in which a result's type and what is written to do not stand."""

    def registered(result, const):
        text = f"{result} set({const} THFloatTensor *x, THFloatTensor *y) {{ THFloatTensor_fill(%s, 7); return 1; }}"
        text %= "y" if const else "x"
        for _ in range(2):  # as notebooks do
            library.register(ffi_ext.load_inline("schema", text), "ffi_ext_schema")
        return getattr(getattr(torch.compiler, "config", None), "cache_key_tag", None)

    @torch.compile(fullgraph=True, backend="aot_eager")
    def call(x):
        x, y = x + 1, x + 2
        torch.ops.ffi_ext_schema.set(x, y)
        return x, y

    tags = []
    for result, const in [("int", "const"), ("int", ""), ("double", ""), ("int", "const")]:
        tags.append(registered(result, const))
        expected = ([1], [7]) if const else ([7], [2])
        assert tuple(t.tolist() for t in call(torch.zeros(1))) == expected
    if tags[0] is not None:  # torch.compile has one from torch 2.7 on
        assert tags[0] == tags[3] and len({*tags}) == 3


def test_another_modules_operators_are_replaced_with_a_warning(build):
    text = "void copied(const ffi_ext_tensor *x, ffi_ext_tensor *out)"
    first, second = (build(f"{text};", f"#include <ffi_ext.h>\n{text} {{}}") for _ in range(2))
    library.register(first, "ffi_ext_shared")
    library.register(first, "ffi_ext_shared")
    first_name, second.__name__ = first.__name__, "package_b.kernels"
    said = f"had the operators of {first_name}, in whose place those of package_b.kernels are now"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match=said):
            library.register(second, "ffi_ext_shared")
    torch.ops.ffi_ext_shared.copied(torch.ones(1), torch.ones(1))  # the first one's, still
    with pytest.warns(UserWarning, match=said):
        library.register(second, "ffi_ext_shared")


def test_what_is_no_generated_module_is_refused():
    with pytest.raises(TypeError, match="expected a module made by ffi_ext"):
        library.register(torch)


def test_tensors_of_any_element_type_are_operators_too(build):
    module = build(
        "void twice(const ffi_ext_tensor *x, ffi_ext_tensor *out);\n"
        "void twice_backward(const ffi_ext_tensor *grad_out, ffi_ext_tensor *grad_x);",
        "#include <ffi_ext.h>\n"
        "void twice(const ffi_ext_tensor *x, ffi_ext_tensor *out) {\n"
        "  for (int i = 0; i < x->numel; i++) ((float *)out->data)[i] = 2 * ((float *)x->data)[i];\n}\n"
        "void twice_backward(const ffi_ext_tensor *g, ffi_ext_tensor *x) { twice(g, x); }",
    )
    operators = library.register(module)
    assert operators["twice"].schema == "(Tensor x, Tensor(a!) out) -> ()"
    x, out = torch.arange(4.0), torch.zeros(4)
    operators["twice"].call(x, out)
    assert out.tolist() == [0, 2, 4, 6]
    leaf = torch.ones(4, requires_grad=True)
    doubled = library.differentiable(module.twice, module.twice_backward)
    (doubled(leaf) * 3).sum().backward()
    assert leaf.grad.tolist() == [6.0] * 4


def test_what_is_no_function_is_refused(operators):
    with pytest.raises(TypeError, match="argument 'forward': expected a function .*got Operator"):
        library.differentiable(operators["square"], operators["square_backward"])
    with pytest.raises(TypeError, match="argument 'backward': expected a function .*got None"):
        library.differentiable(lambda x: x, None)


@pytest.mark.skipif(
    not hasattr(torch.utils.checkpoint, "SAC_IGNORED_OPS"), reason="torch 2.4 has no such set"
)
def test_a_selective_checkpoint_that_is_told_to_save_an_operator(operators):
    """It skipped the second call, whose output then held what the memory had held before."""
    square = operators["square"].call

    def forward(x):
        out = torch.full_like(x, 100.0)
        square(x, out)
        return out

    square_of = library.differentiable(forward, lambda grad, x: 2 * x * grad)
    x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    contexts = functools.partial(
        torch.utils.checkpoint.create_selective_checkpoint_contexts, [square]
    )
    torch.utils.checkpoint.checkpoint(
        lambda x: square_of(x).square(), x, use_reentrant=False, context_fn=contexts
    ).sum().backward()
    assert x.grad.tolist() == [4.0, 32.0]
