"""The call: what generated functions accept, refuse, return, and how errors come back."""

from __future__ import annotations

import copy
import ctypes
import inspect
import os
import pickle
import signal
import subprocess
import sysconfig
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.torch_version import TorchVersion

import ffi_ext
from ffi_ext import runtime
from tests import huge_pages
from tests.binaries import FREE_THREADED
from tests.processes import forks, python

HEADER = """
int add(const THFloatTensor *a, const THFloatTensor *b, THFloatTensor *out, float scale);
void fill(THFloatTensor *t, double value);
double largest(THFloatTensor *t);
THFloatTensor *counted(long n);
THFloatTensor *same(THFloatTensor *t);
THFloatTensor *nothing(void);
THFloatStorage *storage_of(THFloatTensor *t);
long storage_size(const THFloatStorage *s);
void grow(THFloatTensor *t, long n);
int is_null(const THFloatTensor *t);
int narrow_int(int8_t a, uint16_t b, unsigned long long c);
int truth(bool b);
bool falsehood(bool b);
int call(int (*function)(int), int argument);
float third(int x);
int length(const char *text);
enum colour { RED, GREEN = 4 };
void fail(int code);
void check(int n);
void assert_positive(int a);
int wait_for(THIntTensor *flags, int milliseconds);
int lambda(int import, float);
#define SIZE 12
static const int LIMIT = 7;
extern int counter;
void bump(void);
"""

SOURCE = r"""
#include <TH/TH.h>
#include <stdbool.h>
#include <time.h>
enum colour { RED, GREEN = 4 };
int counter = 3;
int add(const THFloatTensor *a, const THFloatTensor *b, THFloatTensor *out, float scale) {
  if (!THFloatTensor_isSameSizeAs(a, b)) return 0;
  THFloatTensor_resizeAs(out, (THFloatTensor *)a);
  TH_TENSOR_APPLY3(float, out, float, a, float, b, *out_data = *a_data + scale * *b_data;);
  return 1;
}
double largest(THFloatTensor *t) { return THFloatTensor_maxall(t); }
void fill(THFloatTensor *t, double value) { THFloatTensor_fill(t, (float)value); }
THFloatTensor *counted(long n) {
  THFloatTensor *t = THFloatTensor_newWithSize1d(n);
  for (long i = 0; i < n; i++) THFloatTensor_set1d(t, i, (float)i);
  return t;
}
THFloatTensor *same(THFloatTensor *t) { return t; }
THFloatTensor *nothing(void) { return NULL; }
THFloatStorage *storage_of(THFloatTensor *t) {
  THFloatStorage_retain(THFloatTensor_storage(t));
  return THFloatTensor_storage(t);
}
long storage_size(const THFloatStorage *s) { return THFloatStorage_size(s); }
void grow(THFloatTensor *t, long n) { THFloatTensor_resize1d(t, n); }
int is_null(const THFloatTensor *t) { return t == NULL; }
int narrow_int(int8_t a, uint16_t b, unsigned long long c) { return a + b + (int)(c >> 60); }
int truth(bool b) { return b ? 10 : 20; }
bool falsehood(bool b) { return !b; }
int call(int (*function)(int), int argument) { return function(argument); }
float third(int x) { return x / 3.0f; }
int length(const char *text) { return (int)strlen(text); }
void fail(int code) { THError("my error %d", code); }
void check(int n) { THArgCheck(n > 0, 2, "must be positive"); }
void assert_positive(int a) { THAssert(a > 0); }
int wait_for(THIntTensor *flags, int milliseconds) {
  volatile int *value = THIntTensor_data(flags);
  const struct timespec one = {0, 1000000L};
  value[0] = 1;
  while (!value[1] && milliseconds-- > 0) nanosleep(&one, NULL);
  return value[1];
}
int lambda(int import, float x) { return import + (int)x; }
void bump(void) { counter++; }
"""


@pytest.fixture(scope="module")
def module(build_once):
    return build_once(HEADER, SOURCE, extra_compile_args=["-std=gnu99"])


def test_the_native_tier_is_verified_with_this_torch():
    wanted = os.environ.get("FFI_EXT_TIER", "native")
    if wanted == "native" and not _exports("aoti_torch_new_tensor_handle"):
        pytest.skip(f"torch {torch.__version__} lacks functions that the native tier needs")
    assert runtime.tier() == wanted


def _exports(name):
    library = Path(torch.__file__).with_name("lib") / "libtorch_cpu.so"
    return hasattr(ctypes.CDLL(str(library)), name)


def test_strided_subclass_parameter_and_numpy_arguments(module):
    a = torch.arange(6.0).view(2, 3)
    b = torch.arange(12.0).view(3, 4)[:, ::2].t()
    out = torch.empty(0)
    assert module.add(a, b, out, 2.0) == 1
    torch.testing.assert_close(out, a + 2 * b)
    parameter = torch.nn.Parameter(torch.ones(2, 3))
    assert module.add(parameter, a, out, scale=1) == 1
    torch.testing.assert_close(out, a + 1)

    class Named(torch.Tensor):
        pass

    module.fill(a.as_subclass(Named), 4)
    assert torch.equal(a, torch.full((2, 3), 4.0))
    array = np.zeros((2, 3), np.float32)
    module.add(a=a, b=array, out=array, scale=0.5)
    np.testing.assert_array_equal(array, np.full((2, 3), 4.0, np.float32))
    read_only = np.ones((2, 3), np.float32)
    read_only.flags.writeable = False
    module.add(read_only, read_only, out, 1.0)
    assert torch.equal(out, torch.full((2, 3), 2.0))
    with pytest.raises(ValueError, match="read-only"):
        module.fill(read_only, 1.0)


def test_scalars_behave_as_in_cffi(module):
    assert module.narrow_int(-128, 65535, 2**63) == -128 + 65535 + 8
    assert module.narrow_int(np.int64(1), True, 0) == module.narrow_int(1, np.bool_(True), 0) == 2
    for bad in (128, -129, 2**70):
        with pytest.raises(OverflowError, match=f"integer {bad} does not fit"):
            module.narrow_int(bad, 0, 0)
    for bad in (-1, 2**16, 2**64):
        with pytest.raises(OverflowError, match=f"integer {bad} does not fit 'uint16_t'"):
            module.narrow_int(0, bad, 0)
    for bad in (-1, 2**64):
        with pytest.raises(OverflowError, match=f"integer {bad} does not fit 'unsigned long long'"):
            module.narrow_int(0, 0, bad)
    with pytest.raises(OverflowError, match="integer 2 does not fit '_Bool'"):
        module.truth(2)
    for bad in (1.5, "1", None, torch.tensor(1), np.float32(1)):
        with pytest.raises(TypeError, match="an integer is required"):
            module.narrow_int(bad, 0, 0)
    with pytest.raises(
        TypeError, match=r"argument 1 'a': an integer is .*got a NumPy array of int64"
    ):
        module.narrow_int(np.array([1, 2]), 0, 0)
    assert (module.truth(True), module.truth(0), module.truth(np.bool_(False))) == (10, 20, 20)
    assert module.falsehood(True) is False and module.falsehood(0) is True
    assert module.third(1) == np.float32(1) / np.float32(3)
    filled = torch.zeros(1)
    module.fill(filled, -1)  # which is what Python's C functions return of an error, too
    assert filled.item() == -1
    with pytest.raises(TypeError, match=r"\.item\(\)"):
        module.fill(torch.zeros(1), torch.tensor(1.0))
    with pytest.raises(TypeError, match="a number is required"):
        module.fill(torch.zeros(1), "1")
    assert module.length(b"four") == 4
    with pytest.raises(TypeError, match="encode"):
        module.length("four")
    assert module.narrow_int(module._ffi.cast("int", 5), 0, 0) == 5


def test_null_and_cdata(module):
    assert module.is_null(module._ffi.NULL) == 1
    assert module.is_null(torch.zeros(1)) == 0
    with pytest.raises(TypeError, match="NULL is module._ffi.NULL"):
        module.is_null(None)


def test_results(module):
    t = module.counted(4)
    assert type(t) is torch.Tensor and t.tolist() == [0, 1, 2, 3]
    assert t._base is None and t.is_leaf and not t.requires_grad
    t.resize_(9)  # an ordinary tensor: its storage may grow
    module.grow(t, 100)
    assert t.shape == (100,) and t[:4].tolist() == [0, 1, 2, 3]
    assert module.same(t) is t
    assert module.nothing() is None
    storage = module.storage_of(t)
    assert storage.dtype == torch.float32 and storage.data_ptr() == t.untyped_storage().data_ptr()
    assert module.storage_size(storage) == len(storage)
    for other in (t, t.untyped_storage()):
        with pytest.raises(TypeError, match=r"FloatStorage .*: pass tensor\.storage\(\)"):
            module.storage_size(other)
    with pytest.raises(TypeError, match="FloatTensor"):
        module.fill(storage, 1.0)
    with pytest.raises(TypeError, match="DoubleStorage|float64"):
        module.storage_size(torch.zeros(2).double().storage())


def test_a_storage_is_passed_without_a_warning(module, recwarn):
    torch.storage._set_always_warn_typed_storage_removal(True)  # once a process, else
    try:
        assert module.storage_size(module.storage_of(torch.ones(3))) == 3
    finally:
        torch.storage._set_always_warn_typed_storage_removal(False)
    assert not recwarn.list


def test_large_memory_made_in_c_is_of_huge_pages(module):
    t = module.counted(8 << 20)
    assert huge_pages.asked_for(t.data_ptr() + (16 << 20))
    assert t[-1] == (8 << 20) - 1


def test_wrong_arguments_name_what_was_expected(module):
    t = torch.zeros(2)
    with pytest.raises(
        TypeError, match=r"(?s)argument 2 'b': expected a torch.FloatTensor.*\.float\(\).*int add\("
    ):
        module.add(t, t.double(), t, 1.0)
    for bad in (None, [1.0], "text", 3):
        with pytest.raises(TypeError, match="argument 1 'a'"):
            module.add(bad, t, t, 1.0)
    with pytest.raises(TypeError, match="missing: scale"):
        module.add(t, t, t)
    with pytest.raises(TypeError, match="unknown keyword argument 'sale'"):
        module.add(t, t, t, sale=1.0)
    with pytest.raises(TypeError, match="given twice"):
        module.add(t, t, t, 1.0, a=t)
    with pytest.raises(TypeError, match="expected 0 arguments, got 1"):
        module.bump(1)


def odd_tensors():
    from torch._subclasses.fake_tensor import FakeTensorMode

    freed, shrunk = torch.zeros(3), torch.zeros(8)
    freed.untyped_storage().resize_(0)
    shrunk.untyped_storage().resize_(28)  # of 32 bytes
    with FakeTensorMode() as mode:
        fake = mode.from_tensor(torch.zeros(3))
    return {
        "meta": torch.zeros(3, device="meta"),
        "fake": fake,
        "freed": freed,
        "shrunk": shrunk,
        "negated": torch._neg_view(torch.zeros(3)),
        "conjugated": torch.zeros(3, dtype=torch.complex64).conj(),
        "sparse": torch.zeros(3, 3).to_sparse(),
        "csr": torch.eye(3).to_sparse_csr(),
        "nested": torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]),
        "bool": torch.zeros(3, dtype=torch.bool),
        "bfloat16": torch.zeros(3, dtype=torch.bfloat16),
    }


@pytest.mark.filterwarnings("ignore")
def test_tensors_that_c_must_not_see(module):
    for kind, tensor in odd_tensors().items():
        with pytest.raises(TypeError, match="argument 1 't'"):
            module.fill(tensor, 1.0)
            pytest.fail(f"{kind}: not refused")
    t = torch.zeros(2)
    module.fill(t, 2.0)
    assert t.tolist() == [2, 2]


def test_a_tensor_that_wraps_others_is_named(module):
    from torch.testing._internal.two_tensor import TwoTensor

    with pytest.raises(TypeError, match="a TwoTensor has no memory of its own .* give the"):
        module.fill(TwoTensor(torch.zeros(3), torch.zeros(3)), 1.0)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "layout",
    [
        torch.strided,
        pytest.param(
            torch.jagged,
            marks=pytest.mark.skipif(
                TorchVersion(torch.__version__) < "2.6",
                reason="jagged tensors are padded from torch 2.6 on",
            ),
        ),
    ],
)
def test_what_a_nested_tensor_is_told_is_possible(module, layout):
    nested = torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)], layout=layout)
    with pytest.raises(TypeError, match=r"with torch\.nested\.to_padded_tensor.* of \.unbind\(\)"):
        module.fill(nested, 1.0)
    module.fill(torch.nested.to_padded_tensor(nested, 0), 1.0)
    for tensor in nested.unbind():
        module.fill(tensor, 1.0)


@pytest.mark.filterwarnings("ignore")
def test_quantized_and_vmapped_tensors_are_refused(module):
    with pytest.raises(TypeError, match="quantized"):
        module.fill(torch.quantize_per_tensor(torch.zeros(2), 0.1, 0, torch.qint8), 1.0)
    with pytest.raises(TypeError, match="torch.func"):
        torch.vmap(lambda t: module.same(t))(torch.zeros(2, 2))
    x = torch.zeros(2, requires_grad=True)
    x.register_hook(module.same)
    with pytest.raises(TypeError, match="is_grads_batched"):
        torch.autograd.grad(x * 2, x, torch.eye(2), is_grads_batched=True)


def test_copy_on_write_storages_are_separated_first(module):
    first = torch.ones(4)
    second = torch._lazy_clone(first)
    module.fill(second, 5.0)
    assert first.tolist() == [1] * 4 and second.tolist() == [5] * 4


def test_errors_from_c(module):
    with pytest.raises(torch.FatalError, match=r"^my error 7 at .*\.c:\d+$") as caught:
        module.fail(7)
    assert isinstance(caught.value, (RuntimeError, ffi_ext.NativeError))
    with pytest.raises(
        ffi_ext.NativeError, match=r"^invalid argument 2: must be positive at .*\.c:\d+$"
    ):
        module.check(0)
    with pytest.raises(ffi_ext.NativeError, match=r"^Assertion `a > 0' failed\.  at .*\.c:\d+$"):
        module.assert_positive(-1)
    module.check(1)


def test_autograd_notices_writes(module):
    weight = torch.ones(2, requires_grad=True)
    for written in ((module.fill, weight, 1.5), (module.add, weight, weight, weight, 1.0)):
        loss = (weight * weight).sum()
        written[0](*written[1:])
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()
    loss = (weight * weight).sum()
    module.add(weight, weight, torch.zeros(2), 1.0)  # const: read only
    loss.backward()
    assert weight.grad.tolist() == [6, 6]


def test_a_saved_weight_may_be_used_again_before_backward(module):
    class Scale(torch.autograd.Function):  # as in repositories of 2018, whose headers know no const
        @staticmethod
        def forward(ctx, weight):
            ctx.save_for_backward(weight)
            return weight * module.largest(weight)

        @staticmethod
        def backward(ctx, gradient):
            (weight,) = ctx.saved_tensors
            return gradient * weight

    weight = torch.tensor([2.0, 5.0], requires_grad=True)
    out = Scale.apply(weight) + Scale.apply(weight)
    assert out.tolist() == [20, 50]
    out.sum().backward()
    assert weight.grad.tolist() == [4, 10]


@pytest.mark.parametrize("size", [2, 1000])
def test_an_array_keeps_its_shape(module, size):
    """Smaller would be without a word otherwise: C's result would end in a tensor that nobody has."""
    array = np.arange(4, dtype=np.float32)
    with pytest.raises(ffi_ext.NativeError, match="its memory belongs to NumPy"):
        module.grow(array, size)
    module.grow(array, 4)
    assert array.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("how", ["numpy", "viewed", "buffer", "shared", "parameter", "empty numpy"])
def test_a_forbidden_resize_leaves_the_tensor_as_it_was(module, how):
    array = np.arange(3, dtype=np.float32)
    tensor = {
        "numpy": lambda: torch.from_numpy(array),
        "viewed": lambda: torch.arange(3.0),
        "buffer": lambda: torch.frombuffer(bytearray(12), dtype=torch.float32),
        "shared": lambda: torch.arange(3.0).share_memory_(),
        "parameter": lambda: torch.nn.Parameter(torch.arange(3.0)),
        "empty numpy": lambda: torch.from_numpy(np.zeros(0, np.float32)),
    }[how]()
    kept = tensor.numpy() if how == "viewed" else None
    before = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.tolist())
    with pytest.raises(RuntimeError, match="resiz|requires grad"):
        module.grow(tensor, 1000)
    assert (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.tolist()) == before
    assert kept is None or kept.tolist() == before[3]


def test_introspection_and_pickling(module):
    assert str(inspect.signature(module.add)) == "(a, b, out, scale)"
    assert list(inspect.signature(module.lambda_).parameters) == ["import_", "arg1"]
    assert module.lambda_(import_=2, arg1=3.0) == 5
    assert pickle.loads(pickle.dumps(module.add)) is module.add
    assert copy.deepcopy(module.add) is module.add
    assert module.add.__name__ == "add" and module.add.__module__ == module.__name__
    assert module.add.__doc__.startswith("int add(const THFloatTensor *a")


def test_names_that_end_as_those_of_keywords_do(build):
    """Fortran's, for example. They are not the keyword without its underscore."""
    module = build(
        "int in_(const int *values, int n);\nint from_(int n, ...);\nchar or(char c);",
        "int in_(const int *values, int n) { return values[n - 1]; }\n"
        "int from_(int n, ...) { return n; }\nchar or(char c) { return c; }",
    )
    assert module.in_([3, 5, 7], 2) == 5
    assert module.from_(4) == 4
    assert module.or_(b"x") == b"x"


def test_names_of_the_modules_own_attributes(build):
    names = ("_ffi", "_lib", "_bind", "__all__", "__getattr__", "__name__", "__path__", "__spec__")
    header = "extern int there;\n" + "".join(f"int {name}(int x);\n" for name in names)
    header += "int __doc__(int n, ...);\n"
    module = build(
        header,
        "int there = 7;\nint __doc__(int n, ...) { return n; }\n"
        + "".join(f"int {name}(int x) {{ return x + {i}; }}\n" for i, name in enumerate(names)),
    )
    for i, name in enumerate(names):
        assert getattr(module, f"{name}_")(1) == 1 + i
    assert module.__doc___(3) == 3 and "made by ffi_ext" in module.__doc__
    assert module.__all__ == [*(f"{name}_" for name in names), "__doc___", "there"]
    assert module._ffi.sizeof("char") == 1 and module._lib.there == module.there == 7


def test_constants_and_variables(module):
    assert (module.SIZE, module.RED, module.GREEN, module.LIMIT) == (12, 0, 4, 7)
    before = module.counter
    module.bump()
    assert module.counter == before + 1
    module.counter = 20
    module.bump()
    assert module.counter == 21
    with pytest.raises(TypeError):
        module.counter = "x"
    module.other = 1  # as any module
    assert module.other == 1
    assert {"add", "counter"} <= {*module.__all__} and {"add", "counter"} <= {*dir(module)}
    assert callable(module._lib.bump) and module._ffi.sizeof("int") == 4
    with pytest.raises(AttributeError, match="no attribute 'missing'"):
        module.missing  # noqa: B018


def test_the_gil_is_released(module):
    flags, seen = torch.zeros(2, dtype=torch.int32), []
    thread = threading.Thread(target=lambda: seen.append(module.wait_for(flags, 10_000)))
    thread.start()
    while not flags[0] and thread.is_alive():
        time.sleep(0.001)
    flags[1] = 1  # comes too late if the thread keeps the interpreter while it is in C
    thread.join()
    assert seen == [1]


@pytest.mark.parametrize(
    ("source", "kept"),
    [
        ("#include <Python.h>", 1),  # works on objects, and takes for granted that it may
        ("int PyGILState_Check(void);", 0),
        ("#include <Python.h>\nvoid later(void) { PyGILState_Release(PyGILState_Ensure()); }", 0),
    ],
)
def test_the_gil_stays_with_c_that_works_on_objects(build, source, kept):
    module = build(
        "int holds(void); void fail(int number);",
        source
        + """
        #include <TH/TH.h>
        int holds(void) { return PyGILState_Check(); }
        void fail(int number) { THError("number %d", number); }
        """,
    )
    assert module.holds() == module._lib.holds() == kept
    with pytest.raises(ffi_ext.NativeError, match="number 7"):
        module.fail(7)
    assert module.holds() == kept


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('#include "helper.h"', 1),
        ('#include "helper.h"\nvoid later(void) { PyGILState_Release(PyGILState_Ensure()); }', 0),
        ("#include/* all of it */<Python.h>\n/* PyGILState_Ensure */", 1),
        ('#include <Python.h>\nconst char *said = "PyGILState_Ensure of Python";', 1),
    ],
)
def test_the_compiler_says_which_c_works_on_objects(tmp_path, text, kept):
    (tmp_path / "helper.h").write_text("#include <Python.h>\n")
    (tmp_path / "objects.h").write_text("int holds(void);\nlong length(long n);\n")
    (tmp_path / "objects.c").write_text(
        text
        + """
        int holds(void) { return PyGILState_Check(); }
        long length(long n) {
          PyGILState_STATE state = NEEDS_GIL;
          PyObject *list = PyList_New(0), *number = PyLong_FromLong(n);
          PyList_Append(list, number);
          const long found = PyList_Size(list);
          Py_DECREF(number);
          Py_DECREF(list);
          (void)state;
          return found;
        }
        """.replace("NEEDS_GIL", "PyGILState_UNLOCKED" if kept else "PyGILState_Ensure()").replace(
            "(void)state", "(void)state" if kept else "PyGILState_Release(state)"
        )
    )
    files = [str(tmp_path / name) for name in ("objects.c", "objects.h")]
    module = ffi_ext.load("objects", *files)
    assert module.holds() == module._lib.holds() == kept
    assert module.length(10**9) == module._lib.length(10**9) == 1


TAKES = """
#include <Python.h>
int taken(void) {
  PyGILState_STATE state = PyGILState_Ensure();
  const int held = PyGILState_Check();
  PyGILState_Release(state);
  return held;
}
"""
HOLDS = """#include "helper.h"
int holds(void *check) { return ((int (*)(void))check)(); }
"""


@pytest.mark.parametrize("where", ["nowhere", "an object", "a library", "clang -flto"])
def test_c_that_only_includes_python_h_or_takes_the_gil_elsewhere_runs_without_it(
    tmp_path, use_compiler, where
):
    if where == "clang -flto":
        use_compiler("clang")
    (tmp_path / "helper.h").write_text("#include <Python.h>\n")
    (tmp_path / "holds.h").write_text("int holds(void *check);\nint asks(void);\n")
    calls = (
        ""
        if where == "nowhere"
        else "int taken(void);\nint asks(void) { return Py_IsInitialized() + taken(); }"
    )
    (tmp_path / "holds.c").write_text(HOLDS + (calls or "int asks(void) { return 2; }"))
    (tmp_path / "takes.c").write_text(TAKES)
    sources, options = [str(tmp_path / "holds.c")], {}
    if where == "clang -flto":
        sources.append(str(tmp_path / "takes.c"))
        options = {"extra_compile_args": ["-flto"], "extra_link_args": ["-flto"]}
    elif where != "nowhere":
        include = f"-I{sysconfig.get_path('include')}"
        commands = [
            ["gcc", "-fPIC", include, "-c", "takes.c"],
            ["ar", "rcs", "libtakes.a", "takes.o"],
        ]
        for command in commands:
            subprocess.run(command, cwd=tmp_path, check=True)
        options = {"libraries": ["takes"], "library_dirs": [str(tmp_path)]}
        if where == "an object":
            options = {"extra_objects": [str(tmp_path / "takes.o")]}
    module = ffi_ext.load("holds", sources, str(tmp_path / "holds.h"), **options)
    check = ctypes.cast(ctypes.pythonapi.PyGILState_Check, ctypes.c_void_p).value
    assert module.holds(module._ffi.cast("void *", check)) == 0 and module.asks() == 2


def test_an_exception_that_c_sets_is_the_calls(build):
    text = """int checked(int n) {
      PyGILState_STATE state = PyGILState_Ensure();
      if (n < 0) PyErr_Format(PyExc_ValueError, "n is negative: %d", n);
      PyGILState_Release(state);
      return n; }"""
    for first in (
        "#include <Python.h>\n",
        "#include <Python.h>\nvoid *other = PyGILState_Ensure;\n",
    ):
        module = build("int checked(int n);", first + text)
        assert module.checked(3) == 3
        for call in (module.checked, module._lib.checked):
            with pytest.raises(ValueError, match="^n is negative: -4$"):
                call(-4)
        assert module.checked(5) == 5


def test_ctrl_c_while_c_is_at_work(build):
    """Python code that the call runs afterwards, as TH's maths and the Python tier do, is the first to hear of it."""

    def out_of_time(number, frame):
        raise TimeoutError

    module = build(
        None,
        """#include <TH/TH.h>
        #include <ffi_ext.h>
        #include <signal.h>
        template <class F> static void attempt(F f) { try { f(); } catch (...) { } }
        extern "C" {
        void quiet(void) { raise(SIGINT); }
        void summed(THFloatTensor *r, THFloatTensor *of) { raise(SIGINT); THFloatTensor_sum(r, of, 0, 1); }
        void grown(THFloatTensor *t) { raise(SIGINT); THFloatTensor_resize1d(t, 100); }
        THFloatTensor *fresh(void) { raise(SIGINT); return THFloatTensor_newWithSize1d(2); }
        void any(ffi_ext_tensor *t) { raise(SIGINT); }
        void variadic(THFloatTensor *r, ...) { raise(SIGINT); THFloatTensor_sum(r, r, 0, 1); }
        void goes_on(THFloatTensor *r, THFloatTensor *of) {
          raise(SIGINT);
          for (int i = 0; i < 3; i++) {
            attempt([&] { THFloatTensor_sum(r, of, 0, 1); });
            attempt([&] { THFloatTensor_resize1d(r, 100 * (i + 1)); });
          }
        }
        }""",
        suffix=".cpp",
    )
    t = torch.ones(3, 3)
    calls = {
        "quiet": module.quiet,
        "summed": lambda: module.summed(torch.empty(0), t),
        "grown": lambda: module.grown(torch.empty(1)),
        "fresh": module.fresh,
        "any": lambda: module.any(t),
        "variadic": lambda: module.variadic(torch.ones(3)),
        "goes_on": lambda: module.goes_on(torch.empty(0), t),
        "autograd": lambda: module.grown(torch.ones(100, requires_grad=True) * 1),
    }
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for name, call in calls.items():
            with pytest.raises(KeyboardInterrupt):
                call()
                pytest.fail(f"{name}: not heard")
        signal.signal(signal.SIGINT, out_of_time)
        with pytest.raises(TimeoutError):
            module.goes_on(torch.empty(0), t)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(not FREE_THREADED, reason="this Python always has a GIL")
@pytest.mark.parametrize(
    ("source", "gil"),
    [
        ("", False),
        ("#include <Python.h>", True),
        (
            "#include <Python.h>\nvoid later(void) { PyGILState_Release(PyGILState_Ensure()); }",
            True,
        ),
        ("#include <Python.h>\n#ifndef Py_GIL_DISABLED\n#error\n#endif", False),
    ],
)
def test_a_free_threaded_python_has_a_gil_for_c_that_needs_one(build, source, gil):
    module = build("int one(void);", source + "\nint one(void) { return 1; }\n")
    code = f"import sys, {module.__name__} as m; print(m.one(), sys._is_gil_enabled())"
    done = python("-c", code, cwd=Path(module.__file__).parents[2])
    assert done.stdout == f"1 {gil}\n", done.stderr
    assert ("has been enabled to load module" in done.stderr) == gil


def test_the_first_call_may_be_made_anywhere(module):
    setup = (
        f"import torch, {module.__name__} as m, ffi_ext.runtime\n"
        "from torch._subclasses import FakeTensorMode\n"
        "x = torch.ones(2)\n"
    )
    first_calls = (
        "with torch.inference_mode(), torch.device('meta'): m.counted(3)",
        "with FakeTensorMode(): m.same(x)",  # it was read slowly ever after
        "torch.func.grad(lambda y: y.sum() + m.same(x)[0])(x.clone())",
    )
    said = "print(m.same(x) is x, ffi_ext.runtime.tier(), ffi_ext.runtime._runtime.describe(x) is None)"
    codes = (f"{call}\n{said}" for call in first_calls)
    tier = runtime.tier()
    printed = forks(setup, *codes, cwd=Path(module.__file__).parents[2])
    assert printed == [f"True {tier} {tier == 'python'}\n"] * len(first_calls)


def test_calls_within_calls_end_before_the_stack_does(module):
    raised = []

    @module._ffi.callback("int(int)", error=-1, onerror=lambda kind, *_: raised.append(kind))
    def deeper(n):
        return n and module.call(deeper, n - 1) + 1

    assert module.call(deeper, 60) == 60 and raised == []
    module.call(deeper, 200)
    assert raised == [RecursionError]


TABLE = """
#include <ffi_ext/abi.h>
static void call(ffi_ext_slot *slots) { (void)slots; }
static const ffi_ext_function functions[] = {{"f", "%s", "%s", call}};
const ffi_ext_module_table ffi_ext_table = {%s, 1, functions, 0, 0, 0, 0, 0};
"""


def _names(count):
    """A signature with so many names of sizes."""
    names = [f"n{i}" for i in range(count)]
    return "v" + "".join(f"A[({','.join(names[i::3])})]" for i in range(3))


@pytest.mark.parametrize(
    ("signature", "doc", "abi", "text"),
    [
        ("vi", "f(a)", "FFI_EXT_ABI", ""),
        ("vi", "f(a)", "FFI_EXT_ABI + 1", "was built for the interface .* build it again"),
        (
            "vi",
            "f(a, b)",
            "FFI_EXT_ABI",
            "documentation names 2 parameters, its signature 1; build",
        ),
        ("vi", "f", "FFI_EXT_ABI", "documentation names 0 parameters, its signature 1; build"),
        (
            "v~",
            "f(a)",
            "FFI_EXT_ABI",
            'the signature "v~" has more than 64 parameters or comes from',
        ),
        ("vT", "f(a)", "FFI_EXT_ABI", 'the signature "vT" has more'),
        ("vA[9]", "f(a)", "FFI_EXT_ABI", r'the signature "vA\[9]" has more'),
        ("vA[(" + ",".join("abcdefghijklmnop") + ")]", "f(a)", "FFI_EXT_ABI", ""),
        (
            "vA[(" + ",".join("abcdefghijklmnopq") + ")]",
            "f(a)",
            "FFI_EXT_ABI",
            "or comes from another",
        ),
        (_names(32), "f(a, b, c)", "FFI_EXT_ABI", ""),
        (_names(33), "f(a, b, c)", "FFI_EXT_ABI", "or comes from another"),
        ("v" + 64 * "i", f"f({', '.join(64 * 'i')})", "FFI_EXT_ABI", ""),
        ("v" + 65 * "i", "f(a)", "FFI_EXT_ABI", 'the signature "vi*" has more than 64 parameters'),
    ],
)
def test_a_binary_of_another_version_is_refused(tmp_path, signature, doc, abi, text):
    (tmp_path / "table.c").write_text(TABLE % (signature, doc + r"\n--\n\n", abi))
    library = tmp_path / "table.so"
    command = ["cc", "-shared", "-fPIC", f"-I{ffi_ext.get_include()}", "-o", str(library)]
    subprocess.run([*command, str(tmp_path / "table.c")], check=True)
    loaded = ctypes.CDLL(str(library))
    if not text:
        assert list(runtime._runtime.bind(str(library), "m", loaded, str)) == ["f"]
        return
    with pytest.raises(ImportError, match=text):
        runtime._runtime.bind(str(library), "m", loaded, str)
