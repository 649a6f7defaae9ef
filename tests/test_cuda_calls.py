"""How CUDA tensors get into C, shown without a GPU: CPU tensors whose C++ fields say that they are CUDA tensors.

What torch.cuda would be asked is answered here. A GPU's own part of it is in test_cuda.py.
"""

from __future__ import annotations

import contextlib
import ctypes
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import ffi_ext
from ffi_ext import runtime
from ffi_ext.calls import tensor_facts, tiers
from ffi_ext.th import cuda_state
from tests.processes import python

pytestmark = pytest.mark.skipif(
    runtime.tier() != "native" or torch.version.cuda is not None,
    reason="the Python tier reads no fields, and a torch with CUDA asks the driver itself",
)

HEADER = """
double total(THCudaTensor *t);
int check(THCudaTensor *t, int fails, int error);
double on_cpu(THFloatTensor *t);
/* @param t [float32, cpu|cuda] */
int64_t stream_of(const ffi_ext_tensor *t);
/* @param t [cuda] */
double only_cuda(const ffi_ext_tensor *t);
double no_cuda(const ffi_ext_tensor *t);
double pointer(const float *t);
THCudaTensor *made(int error);
int storages(void *torchs);
"""
SOURCE = """
#include <THC/THC.h>
#include <ffi_ext.h>
double total(THCudaTensor *t) {
  double sum = 0; /* of memory on the CPU, whatever the tensor says */
  for (int64_t i = 0; i < t->size[0]; i++)
    sum += ((float *)t->storage->data)[t->storageOffset + i * t->stride[0]];
  return sum;
}
static int last; /* what the runtime of a module keeps, here of the tests' making */
cudaError_t cudaGetLastError(void) {
  const int error = last;
  last = 0;
  return (cudaError_t)error;
}
int check(THCudaTensor *t, int fails, int error) { last = error; THArgCheck(!fails, 1, "fails"); return 1; }
double on_cpu(THFloatTensor *t) { return t->nDimension; }
int64_t stream_of(const ffi_ext_tensor *t) { return (int64_t)t->stream + 1000 * t->device; }
double only_cuda(const ffi_ext_tensor *t) { return t->ndim; }
double no_cuda(const ffi_ext_tensor *t) { return t->ndim; }
double pointer(const float *t) { return *t; }
THCudaTensor *made(int error) { last = error; return NULL; }

#include <stdlib.h>
extern THCState *state;
static int live;
static cudaError_t take(void *context, void **p, size_t n, cudaStream_t s) {
  live += *(int *)context;
  return (*p = malloc(n)) ? 0 : 2;
}
static cudaError_t again(void *context, void **p, size_t before, size_t n, cudaStream_t s) {
  if (!*p) return take(context, p, n, s);
  return (*p = realloc(*p, n)) ? 0 : 2;
}
static cudaError_t give(void *context, void *p) { live -= *(int *)context; free(p); return 0; }
static cudaError_t refuse(void *context, void **p, size_t n, cudaStream_t s) { return 2; }
#define CHECK(x) THAssertMsg(x, "%s (%d live)", #x, live)
int storages(void *torchs) {
  static THCDeviceAllocator own = {take, again, give}, full = {refuse, NULL, give};
  static int step = 1;
  THCudaStorage *s = THCudaStorage_newWithAllocator(state, 5, &own, &step);
  CHECK(live == 1 && s->size == 5 && s->device == 1);
  s->data[4] = 6;
  THCudaStorage_resize(state, s, 5000);
  CHECK(live == 1 && s->size == 5000 && s->data[4] == 6);
  THCudaTensor *t = THCudaTensor_newWithStorage1d(state, s, 4, 2, 1);
  THCudaStorage_free(state, s);
  CHECK(live == 1 && t->storage->data[t->storageOffset] == 6);
  THCudaTensor_free(state, t);
  CHECK(live == 0);
  THCudaLongStorage *l = THCudaLongStorage_newWithData(state, torchs, 3);
  CHECK(l->data == torchs && l->size == 3);
  THCudaLongStorage_free(state, l);
  THCudaStorage_newWithAllocator(state, 5, &full, &step);
  return 0;
}
"""


@pytest.fixture(scope="module")
def calls(build_once):
    return build_once(HEADER, SOURCE, with_cuda=True)


def keys(*names: str) -> int:
    raw = 0
    for name in names:
        raw |= torch._C.DispatchKeySet(getattr(torch._C.DispatchKey, name)).raw_repr()
    return raw


SIZE = 176  # of the C++ object, at least


@contextlib.contextmanager
def as_cuda(*tensors: torch.Tensor, index: int = 0) -> Iterator[None]:
    """Within this, the tensors' C++ objects have the dispatch keys and the device of CUDA tensors."""
    patches = []
    cpu, cuda = keys("CPU", "AutocastCPU"), keys("CUDA", "AutocastCUDA")
    for tensor in tensors:
        impl = (ctypes.c_char * SIZE).from_address(tensor._cdata)
        raw = torch._C._dispatch_keys(tensor).raw_repr()
        keyset = bytes(impl).index(raw.to_bytes(8, "little"))
        device = (
            bytes(impl).index(bytes([6, 0, 0, 0xFF, 1]), 16) + 2
        )  # float32, then CPU, none, yes
        changed = {
            keyset: (raw & ~cpu | cuda).to_bytes(8, "little"),
            device: bytes([1, index, 1]),
        }
        for at, new in changed.items():
            patches.append((impl, at, impl[at : at + len(new)]))
            impl[at : at + len(new)] = new
    try:
        yield
    finally:
        for impl, at, before in patches:
            impl[at : at + len(before)] = before


@pytest.fixture
def asked(monkeypatch):
    """The questions to torch.cuda, which here has two GPUs."""
    log, current = [], [0]

    def exchange(device, name="exchange"):
        log.append((name, device))
        before, current[0] = current[0], device
        return before

    def stream(device):
        log.append(("stream", device))
        return 70 + device

    monkeypatch.setitem(cuda_state.ANSWERS, "exchange_device", exchange)
    monkeypatch.setattr(
        torch.cuda, "_maybe_exchange_device", lambda device: exchange(device, "return")
    )
    monkeypatch.setitem(cuda_state.ANSWERS, "current_stream", stream)
    monkeypatch.setitem(cuda_state.ANSWERS, "current_device", lambda _: current[0])
    return log


def test_fields_tell_cuda_tensors_from_others(calls, asked, monkeypatch):
    tensors = [torch.arange(4.0), torch.arange(12.0)[::3], torch.ones(3, requires_grad=True)]
    with torch.inference_mode():
        tensors.append(torch.arange(5.0))
    sums = [float(t.detach().sum()) for t in tensors]
    with as_cuda(*tensors):
        assert all(t.is_cuda and t.get_device() == 0 for t in tensors)
        assert [calls.total(t) for t in tensors] == sums  # Python describes them, and C learns
        monkeypatch.setattr(tensor_facts, "facts_or_problem", None)
        assert [calls.total(t) for t in tensors] == sums
        for t in tensors:
            assert runtime._runtime.describe(t)[-1] == 1
    other = torch.arange(6.0)
    with as_cuda(other, index=1):
        assert calls.total(other) == 15
        assert runtime._runtime.describe(other)[-1] == 2


def test_the_device_of_the_first_tensor_is_current_during_the_call(calls, asked):
    """Where nobody used the GPU from before, torch does not set it: it would get a context, and lose memory."""
    first, second = torch.ones(2), torch.ones(2)
    with as_cuda(first), as_cuda(second, index=1):
        calls.total(first)
        assert asked == [("exchange", 0)]
        asked.clear()
        calls.total(second)
        assert asked == [("exchange", 1), ("return", 0)]  # by torch's way back
        assert calls.stream_of(second) == 71 + 1000
    assert calls.stream_of(first) == 0


ERRORS_OF_TORCH = """
import ctypes, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
import torch
from test_cuda_calls import as_cuda, cuda_state
torchs = ctypes.CDLL({library!r}, ctypes.RTLD_GLOBAL)  # as torch with CUDA loads its own
sys.path.insert(0, {folder!r})
from _ext import own, none
for name in ("current_device", "exchange_device", "current_stream"):
    cuda_state.ANSWERS[name] = lambda _: 0
t = torch.ones(2)
with as_cuda(t):
    print(none.dimensions(t), torchs.asked())
    try:
        own.dimensions(t)
    except RuntimeError as error:
        print(str(error).split(",")[0])
    print(torchs.asked())
"""


def test_errors_are_those_of_the_modules_own_runtime(tmp_path):
    """Torch's libcudart is for all to see, and its errors are torch's."""
    names = 'int cudaGetLastError(void) {{ return {} }}\nconst char *cudaGetErrorString(int e) {{ return "{}"; }}'
    (tmp_path / "cudart.c").write_text(
        "static int calls;\nint asked(void) { return calls; }\n"
        + names.format("calls++ + 9;", "torch's")
    )
    library = tmp_path / "libcudart_of_torch.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, tmp_path / "cudart.c"], check=True)
    (tmp_path / "a.h").write_text("int dimensions(THCudaTensor *t);\n")
    body = "int dimensions(THCudaTensor *t) { return t->nDimension; }\n"
    for name, runtime_of in (("none", ""), ("own", names.format("700;", "its own"))):
        (tmp_path / f"{name}.c").write_text(f"#include <THC/THC.h>\n{body}")
        (tmp_path / f"{name}_runtime.c").write_text(runtime_of)
        sources = [f"{name}.c", f"{name}_runtime.c"]
        place = str(tmp_path / "build.py")
        ffi_ext.create_extension(
            f"_ext.{name}", "a.h", sources, with_cuda=True, relative_to=place, verbose=False
        ).build()
    script = ERRORS_OF_TORCH.format(
        tests=str(Path(__file__).parent), library=str(library), folder=str(tmp_path)
    )
    done = python("-c", script)
    assert done.stdout.splitlines() == ["1 0", "cuda runtime error (700) : its own", "0"], (
        done.stderr
    )


@pytest.mark.parametrize("learned", [False, True])
def test_the_wrong_device_is_refused(calls, asked, learned):
    cuda, cpu = torch.ones(2), torch.ones(2)
    with as_cuda(cuda):
        if learned:
            calls.total(cuda)
        with pytest.raises(
            TypeError, match=r"expected a torch.FloatTensor .* on the CPU, got .* cuda:0"
        ):
            calls.on_cpu(cuda)
        for function in (calls.no_cuda, calls.pointer):
            with pytest.raises(TypeError, match=r"argument 1 't'.* cuda:0; .*'@param t \[cuda\]'"):
                function(cuda)
        assert calls.only_cuda(cuda) == 1
    with pytest.raises(
        TypeError, match=r"on a CUDA device, got .* on cpu; move it with .to\('cuda'\)"
    ):
        calls.total(cpu)
    with pytest.raises(TypeError, match="only_cuda.*argument 1 't'.* on cuda"):
        calls.only_cuda(cpu)


def test_what_is_no_tensor_is_told_the_way_to_a_gpu(calls):
    for function in (calls.total, calls.only_cuda):
        with pytest.raises(
            TypeError, match=r"copy it there with torch.from_numpy\(...\).to\('cuda'\)"
        ):
            function(np.ones(2, dtype=np.float32))
        with pytest.raises(TypeError, match=r"with torch.tensor\(....*, device='cuda'\)"):
            function([1.0])


def test_storages_on_memory_of_other_allocators(calls, asked, monkeypatch):
    monkeypatch.setitem(cuda_state.ANSWERS, "current_device", lambda _: 1)
    freed = []
    monkeypatch.setitem(cuda_state.ANSWERS, "free", lambda pointer: freed.append(pointer) or 0)
    with pytest.raises(ffi_ext.NativeError, match=r"cuda runtime error \(2\)"):  # of the last one
        calls.storages(calls._ffi.cast("void *", 4096))
    assert freed == [4096]


def test_nothing_is_learned_of_tensors_that_are_no_cuda_tensors(calls, asked):
    class Own(torch.Tensor):
        pass

    for wrong in (torch.zeros(2, device="meta"), torch._neg_view(torch.ones(2))):
        with pytest.raises(TypeError):
            calls.total(wrong)
        assert runtime._runtime.describe(wrong) is None
    own = torch.ones(3).as_subclass(Own)
    with as_cuda(own):
        assert calls.total(own) == 3


def test_the_last_error_is_this_call_s(calls, asked):
    t = torch.ones(2)
    with as_cuda(t):
        assert calls.check(t, 0, 0) == 1
        with pytest.raises(
            ffi_ext.NativeError, match=r"cuda runtime error \(9\) .* own CUDA calls"
        ):
            calls.check(t, 0, 9)
        for error in (700, 710, 719):  # an illegal address, an assertion, a failed launch
            with pytest.raises(
                ffi_ext.NativeError, match="or of one before; CUDA_LAUNCH_BLOCKING=1"
            ):
                calls.check(t, 0, error)
        assert calls.check(t, 0, 600) == 1  # cudaErrorNotReady: an answer of cudaStreamQuery
        with pytest.raises(ffi_ext.NativeError, match="fails"):
            calls.check(t, 1, 9)
        with pytest.raises(ffi_ext.NativeError, match=r"cuda runtime error \(9\)"):
            calls.made(9)
        assert calls.total(t) == 2  # not blamed for the one before


def test_cuda_tensors_may_grow():
    grown = []

    class Storage:
        _cdata = 5

        def resizable(self):
            return True

        def nbytes(self):
            return 0

        def resize_(self, size):
            grown.append(size)

        def data_ptr(self):
            return 64

    class Tensor:
        is_cuda = True

        def is_shared(self):  # torch says so of every CUDA tensor
            return True

        def untyped_storage(self):
            return Storage()

    tensor = Tensor()
    assert tiers._grow(tensor, 24) == (tensor, 5, 64) and grown == [24]


def test_streams_are_set_as_torch_has_them(monkeypatch):
    taken = []
    monkeypatch.setattr(torch.cuda, "set_stream", taken.append)
    monkeypatch.setattr(torch.cuda, "default_stream", lambda: "default")
    monkeypatch.setattr(torch.cuda, "ExternalStream", lambda pointer: pointer)
    users = SimpleNamespace(cuda_stream=5, device_index=0)
    others = SimpleNamespace(cuda_stream=6, device_index=1)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: users)
    monkeypatch.setattr(cuda_state, "_STREAMS", {})
    for pointer in (0, 7, 5):
        assert cuda_state.answer("set_stream", pointer) == 0
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: others)
    cuda_state.answer("set_stream", 5)
    # ExternalStream(0) would be another one, of the pool, and ExternalStream(5) unequal to the user's,
    # with which, on another device, torch would go back to its own
    assert taken == ["default", 7, users, 5]


def test_seeds_fill_64_bits(monkeypatch):
    monkeypatch.setattr(torch.cuda, "initial_seed", lambda: 2**64 - 1)
    assert cuda_state.answer("initial_seed", 0) % 2**64 == 2**64 - 1
