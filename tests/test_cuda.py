"""CUDA: what any machine with nvcc shows, and, where there is a GPU, that kernels run (`make test-cuda`)."""

from __future__ import annotations

import importlib
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import ffi_ext
from ffi_ext import BuildError, NativeError, runtime
from ffi_ext.calls import tiers
from ffi_ext.compilers import compile_errors, toolchain
from ffi_ext.cuda import cuda_libraries, cuda_objects, cuda_shims, host_compiler, toolkit
from tests.processes import python

needs_nvcc = pytest.mark.skipif(toolkit.nvcc() is None, reason="there is no nvcc on this machine")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU for torch")

HEADER = """
int good_func(THCudaTensor *tensor, float a, float b);
int scale(THCudaTensor *tensor, float by);
int launch(THCudaTensor *none, int n, float by);
int wrong_launch(THCudaTensor *tensor);
THCudaTensor *twice(THCudaTensor *tensor);
int same_gpu(THCudaTensor *a, THCudaTensor *b);
void grow(THCudaTensor *tensor, long n);
THCudaTensor *foreign(THCudaTensor *like);
void through_texture(THCudaTensor *from, THCudaTensor *to);
"""
SOURCE = """
#include <THC/THC.h>
extern THCState *state;
int scale_kernel_launch(float *data, int n, float by, cudaStream_t stream);
int wrong_kernel_launch(float *data);
void texture_kernel_launch(cudaTextureObject_t from, float *to, int n, cudaStream_t stream);
int good_func(THCudaTensor *tensor, float a, float b) {
  THCudaTensor_mul(state, tensor, tensor, a);
  THCudaTensor_add(state, tensor, tensor, b);
  return 1;
}
int scale(THCudaTensor *tensor, float by) {
  return scale_kernel_launch(THCudaTensor_data(state, tensor), THCudaTensor_nElement(state, tensor), by,
                             THCState_getCurrentStream(state));
}
int launch(THCudaTensor *none, int n, float by) { return scale_kernel_launch(NULL, n, by, 0); }
int wrong_launch(THCudaTensor *tensor) { return wrong_kernel_launch(THCudaTensor_data(state, tensor)); }
THCudaTensor *twice(THCudaTensor *tensor) {
  THCudaTensor *result = THCudaTensor_new(state);
  THCudaTensor_resizeAs(state, result, tensor);
  THCudaTensor_cadd(state, result, tensor, 1, tensor);
  return result;
}
int same_gpu(THCudaTensor *a, THCudaTensor *b) {
  THCAssertSameGPU(THCudaTensor_checkGPU(state, 2, a, b));
  return 1;
}
void grow(THCudaTensor *tensor, long n) {
  THCudaTensor_resize1d(state, tensor, n);
  THCudaTensor_fill(state, tensor, 3);
}
THCudaTensor *foreign(THCudaTensor *like) {
  const ptrdiff_t n = THCudaTensor_nElement(state, like);
  float *data = NULL;
  THCudaMalloc(state, (void **)&data, n * sizeof(float));
  THCudaStorage *storage = THCudaStorage_newWithData(state, data, n);
  THCudaStorage_rawCopy(state, storage, THCudaTensor_data(state, like));
  THCudaTensor *result = THCudaTensor_newWithStorage1d(state, storage, 1, n - 1, 1);
  THCudaStorage_free(state, storage);
  return result;
}
void through_texture(THCudaTensor *from, THCudaTensor *to) {
  cudaTextureObject_t texture = THCudaTensor_getTextureObject(state, from);
  THCudaTensor_resizeAs(state, to, from);
  texture_kernel_launch(texture, THCudaTensor_data(state, to), THCudaTensor_nElement(state, from),
                        THCState_getCurrentStream(state));
  THCudaCheck(cudaStreamSynchronize(THCState_getCurrentStream(state)));
  THCudaCheck(cudaDestroyTextureObject(texture));
}
"""
KERNEL = """
#include <THC/THC.h>
#include <THC/THCThrustAllocator.cuh>
#include "by.h"
/* as old sources have it, for devices that had none */
__device__ double atomicAdd(double *address, double value) {
  unsigned long long *word = (unsigned long long *)address, old = *word, seen;
  do {
    seen = old;
    old = atomicCAS(word, seen, __double_as_longlong(value + __longlong_as_double(seen)));
  } while (seen != old);
  return __longlong_as_double(old);
}
__global__ void scale_kernel(float *data, int n, float by, double *sum) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) data[i] *= by * FACTOR;
  if (sum) atomicAdd(sum, 1.0);
}
/* warp functions without a mask, which CUDA 13 no longer declares for any device that it has */
__global__ void warp_sum_kernel(float *value, double *other) {
  for (int lanes = 16; lanes > 0; lanes /= 2) {
    value[threadIdx.x] += __shfl_down(value[threadIdx.x], lanes);
    other[threadIdx.x] += __shfl_xor(other[threadIdx.x], lanes, 32) + __shfl_up(1, 1);
  }
  if (__all(threadIdx.x < 32) && __any(1) && __ballot(1)) value[0] = __shfl(value[0], 0);
}
extern "C" int is_device_memory(const cudaPointerAttributes *attributes) {
  return attributes->memoryType == cudaMemoryTypeDevice;
}
extern "C" void *scratch(THCState *state, half *value) {
  *value = THC_float2half(THC_half2float(*value) + 1);
  return THCThrustAllocator(state).allocate(4);
}
__global__ void texture_kernel(cudaTextureObject_t from, float *to, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) to[i] = tex1Dfetch<float>(from, i);
}
extern "C" void texture_kernel_launch(cudaTextureObject_t from, float *to, int n, cudaStream_t stream) {
  texture_kernel<<<(n + 255) / 256, 256, 0, stream>>>(from, to, n);
}
extern "C" int scale_kernel_launch(float *data, int n, float by, cudaStream_t stream) {
  scale_kernel<<<(n + 255) / 256, 256, 0, stream>>>(data, n, by, 0);
  return 7;
}
extern "C" int wrong_kernel_launch(float *data) {
  scale_kernel<<<1, 100000>>>(data, 1, 1, 0);
  cudaThreadSynchronize();
  return 7;
}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cuda")
    (folder / "gpu.h").write_text(HEADER)
    (folder / "gpu.c").write_text(SOURCE)
    (folder / "kernel.cu").write_text(KERNEL)
    (folder / "by.h").write_text("#define FACTOR 1\n")
    return folder


@pytest.fixture(scope="module")
def module(folder):
    if toolkit.nvcc() is None:
        pytest.skip("there is no nvcc on this machine")
    create(folder).build()
    sys.path.insert(0, str(folder))
    yield importlib.import_module("cuda_functions")
    sys.path.remove(str(folder))


def create(folder, **kwargs):
    return ffi_ext.create_extension(
        "cuda_functions",
        ["gpu.h"],
        ["gpu.c", "kernel.cu"],
        relative_to=str(folder / "build.py"),
        with_cuda=True,
        verbose=True,
        **kwargs,
    )


def test_it_imports_without_a_driver_and_refuses_cpu_tensors(module):
    with pytest.raises(TypeError, match="argument 1 'tensor': expected a torch.FloatTensor .*CUDA"):
        module.good_func(torch.ones(2), 1.0, 2.0)
    with pytest.raises(TypeError, match="a storage is no tensor"):
        module.good_func(torch.ones(2).storage(), 1.0, 2.0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_kernel_that_cannot_be_launched_is_an_error_of_the_call(module):
    with pytest.raises(NativeError, match=r"cuda runtime error \(\d+\) : .*(CUDA|device)"):
        module.launch(module._ffi.NULL, 5, 1.0)


def test_a_header_of_the_kernel_is_tracked(module, folder, capfd):
    create(folder).build()
    assert "is up to date" in capfd.readouterr().out
    (folder / "by.h").write_text("#define FACTOR (1)\n")
    create(folder).build()
    out = capfd.readouterr().out
    assert "[1/1] kernel.cu" in out and "gpu.c" not in out


def test_flags_in_nvccs_own_variables_are_tracked(module, folder, capfd, monkeypatch):
    monkeypatch.setenv("NVCC_APPEND_FLAGS", "-lineinfo")
    create(folder).build()
    assert "[1/1] kernel.cu" in capfd.readouterr().out


@needs_nvcc
def test_architectures(monkeypatch):
    compiler = toolkit.nvcc()
    known = toolkit.supported(compiler)
    assert len(known) > 3 and known == tuple(sorted(known))
    newest = known[-1]
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", f"Turing {newest // 10}.{newest % 10}+PTX")
    assert toolkit.architecture_flags(compiler) == [
        "-gencode=arch=compute_75,code=sm_75",
        "-gencode=arch=compute_75,code=compute_75",
        f"-gencode=arch=compute_{newest},code=sm_{newest}",
        f"-gencode=arch=compute_{newest},code=compute_{newest}",
    ]
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "9.0a")
    assert toolkit.architecture_flags(compiler) == ["-gencode=arch=compute_90a,code=sm_90a"]
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "9.0;Hopper;9.0")  # whose 9.0+PTX stays
    assert toolkit.architecture_flags(compiler) == [
        "-gencode=arch=compute_90,code=sm_90",
        "-gencode=arch=compute_90,code=compute_90",
    ]
    monkeypatch.delenv("TORCH_CUDA_ARCH_LIST")
    monkeypatch.setattr(toolkit, "_devices", lambda: ())
    ptx = [f"-gencode=arch=compute_{known[i]},code=compute_{known[i]}" for i in (0, -1)]
    assert set(ptx) <= set(
        toolkit.architecture_flags(compiler)
    )  # some PTX for whatever GPU lies between
    for wrong in ("3.0", "fast", "8"):
        monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", wrong)
        with pytest.raises(BuildError, match="no architecture of"):
            toolkit.architecture_flags(compiler)


def test_gpus_of_before_turing_have_names_too(monkeypatch):
    """CUDA 12 compiles for them."""
    monkeypatch.setattr(toolkit, "supported", lambda compiler: (50, 52, 60, 61, 70, 75))
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "Maxwell;Pascal;Volta")
    words = " ".join(toolkit.architecture_flags("nvcc"))
    assert re.findall(r",code=(\w+)", words) == [
        *("sm_50", "sm_52", "compute_52", "sm_60", "sm_61", "compute_61", "sm_70", "compute_70")
    ]


@pytest.mark.parametrize(
    ("toolkits", "torchs", "said"),
    [
        (12040, "13.0", "is CUDA 12.4, torch is built for CUDA 13.0"),
        (12040, "12.8", None),
        (12040, None, None),
        (11080, None, None),
        (10020, None, "is CUDA 10.2, .* a toolkit of CUDA 11.8 or newer"),
    ],
)
def test_a_toolkit_that_is_too_old_or_of_another_major_version_is_told(
    monkeypatch, tmp_path, toolkits, torchs, said
):
    (tmp_path / "include").mkdir()
    for name, text in (("_api", f"#define CUDART_VERSION  {toolkits}\n"), ("", "")):
        (tmp_path / "include" / f"cuda_runtime{name}.h").write_text(text)
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    monkeypatch.setattr(toolkit, "_torch_cuda", lambda: torchs)
    assert re.search(said, toolkit.doubts()) if said else toolkit.doubts() == ""


@pytest.fixture
def only_pip(tmp_path, monkeypatch):
    """A machine whose CUDA is what pip installed beside torch: headers without crt/, and no nvcc."""
    for name in ("CUDA_HOME", "CUDA_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(toolkit, "USUAL", tmp_path / "usual")
    monkeypatch.setattr(toolkit, "real_nvcc_on_path", lambda: None)
    root = tmp_path / "nvidia" / "cu13"
    monkeypatch.setattr(
        toolkit, "pip_folders", lambda name: [root / name] if (root / name).is_dir() else []
    )
    (root / "include").mkdir(parents=True)
    (root / "include" / "cuda_runtime.h").write_text('#include "crt/host_config.h"\n')
    return root


def test_thc_sources_where_cudas_headers_are_not_all_there(only_pip, build):
    if Path("/usr/include/crt").exists():
        pytest.skip("the toolkit's headers are among the compiler's own, as Debian has them")
    header = "int f(int x); int g(THCudaTensor *t);"
    source = (
        "#include <THC/THC.h>\nint f(int x) { return x + 1; } int g(THCudaTensor *t) { return 1; }"
    )
    assert build(header, source, with_cuda=True).f(4) == 5
    kernel = "__global__ void k(float *x);\n__host__ __device__ int one(void);\n"
    assert build(header, "#include <THC/THC.h>\n" + kernel + source, with_cuda=True).f(4) == 5
    with pytest.raises(BuildError, match=r"no headers of crt/: pip install nvidia-cuda-crt"):
        build(
            "int f(int x);", "#include <cuda_runtime.h>\nint f(int x) { return x; }", with_cuda=True
        )


def test_the_toolkit_may_be_pips(only_pip):
    assert toolkit.home() is None and toolkit.nvcc() is None
    compiler = only_pip / "bin" / "nvcc"
    compiler.parent.mkdir()
    compiler.write_text("")
    assert (toolkit.home(), toolkit.nvcc()) == (only_pip, str(compiler))
    usual = toolkit.USUAL / "bin" / "nvcc"
    toolkit.USUAL.mkdir()  # as images of CUDA's libraries alone have it
    assert toolkit.nvcc() == str(compiler)
    usual.parent.mkdir()
    usual.write_text("")
    assert toolkit.nvcc() == str(usual)


def test_the_toolkit_may_be_condas(tmp_path, monkeypatch):
    """bin/nvcc, and the rest below targets/."""
    for name in ("CUDA_HOME", "CUDA_PATH"):
        monkeypatch.delenv(name, raising=False)
    target = tmp_path / "targets" / f"{platform.machine()}-linux"
    for folder in (tmp_path / "bin", target / "include", target / "lib"):
        folder.mkdir(parents=True)
    (target / "include" / "cuda_runtime.h").write_text("")
    (target / "include" / "cuda_runtime_api.h").write_text("#define CUDART_VERSION 12090\n")
    nvcc = tmp_path / "bin" / "nvcc"
    nvcc.write_text("")
    nvcc.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert (toolkit.home(), toolkit.nvcc()) == (tmp_path, str(nvcc))
    assert toolkit.include_dirs()[0] == str(target / "include")
    assert toolkit.library_dirs() == [target / "lib"]
    assert toolkit._toolkit_version() == "12.9"


def test_the_toolkit_may_be_behind_a_script(tmp_path, monkeypatch, only_pip):
    """A nvcc on PATH that calls the real one, through ccache for example: what it says is where that lies.

    ccache finds the next nvcc on PATH, which under `ffi-ext run` was ours: and that called ccache.
    """
    root, scripts, ours = tmp_path / "opt" / "cuda", tmp_path / "scripts", tmp_path / "ours"
    for folder in (root / "include", scripts, ours):
        folder.mkdir(parents=True)
    (root / "include" / "cuda_runtime.h").write_text("")
    (ours / toolkit.OURS).touch()
    monkeypatch.setenv("PATH", str(ours), prepend=":")
    nvcc = scripts / "nvcc"
    nvcc.write_text(
        f"#!/bin/sh\ncase $PATH in {ours}*) exit 1; esac\necho '#$ TOP={root}/bin/..' >&2\n"
    )
    nvcc.chmod(0o755)
    monkeypatch.setattr(toolkit, "real_nvcc_on_path", lambda: str(nvcc))
    assert (toolkit.home(), toolkit.nvcc()) == (root, str(nvcc))


def test_the_toolkit_may_be_debians(only_pip, tmp_path, monkeypatch):
    """Its headers lie where compilers look last: those of a torch for another CUDA would come before them."""
    usr, advised = tmp_path / "usr", tmp_path / "usr" / "lib" / "cuda"
    cudnn = tmp_path / "nvidia" / "cudnn" / "include"
    for folder in (usr / "bin", usr / "include", advised, cudnn):
        folder.mkdir(parents=True)
    for file in (usr / "bin" / "nvcc", usr / "include" / "cuda_runtime.h", cudnn / "cudnn.h"):
        file.write_text("")
    monkeypatch.setattr(toolkit, "SYSTEM", usr)
    monkeypatch.setattr(toolkit, "pip_folders", lambda name: [only_pip / name, cudnn])
    monkeypatch.setenv("CUDA_HOME", str(advised))
    assert (toolkit.home(), toolkit.nvcc()) == (usr, str(usr / "bin" / "nvcc"))
    assert toolkit.include_dirs() == [str(usr / "include"), str(cudnn)]
    assert toolkit.as_system_headers() == [
        "-isystem",
        str(cudnn),
    ]  # of the compilers' own none is one


@pytest.mark.parametrize(
    ("torchs", "said"),
    [
        ("13.0", 'pip install "cuda-toolkit[nvcc,cccl]==13.0.*", or install'),
        ("12.8", "install the"),
    ],
)
def test_what_to_do_without_nvcc(monkeypatch, torchs, said):
    monkeypatch.setattr(toolkit, "_torch_cuda", lambda: torchs)
    assert toolkit.how_to_install().startswith(said)


def test_a_cuda_home_without_nvcc_is_told(monkeypatch, only_pip):
    monkeypatch.setenv("CUDA_HOME", "/nowhere")
    assert toolkit.how_to_install().endswith("(there is no bin/nvcc in CUDA_HOME=/nowhere)")


def test_a_gcc_that_nvcc_takes_is_found_beside_one_that_is_too_new(tmp_path, monkeypatch):
    tools = tmp_path / "tools"
    for path in (tmp_path / "bin" / "nvcc", tools / "gcc", tools / "g++-14", tools / "g++-15"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/sh\necho 16\n")
        path.chmod(0o755)
    config = tmp_path / "include" / "crt" / "host_config.h"
    config.parent.mkdir(parents=True)
    config.write_text("#if __GNUC__ > 14\n#error -- unsupported GNU version!\n#endif\n")
    monkeypatch.setenv("PATH", str(tools))
    for name in ("NVCC_CCBIN", "NVCC_PREPEND_FLAGS", "NVCC_APPEND_FLAGS"):
        monkeypatch.delenv(name, raising=False)
    for function in (host_compiler._gcc, host_compiler._newest_accepted):
        function.cache_clear()
    nvcc = str(tmp_path / "bin" / "nvcc")
    assert host_compiler.flags(nvcc) == ["-ccbin", str(tools / "g++-14")]
    assert host_compiler.flags(nvcc, ["-O3", "-ccbin=/usr/bin/clang++"]) == []
    monkeypatch.setenv("NVCC_CCBIN", "/opt/g++")  # nvcc of CUDA 12 does not read it
    assert host_compiler.flags(nvcc) == ["-ccbin", "/opt/g++"]
    monkeypatch.setenv("NVCC_PREPEND_FLAGS", "-allow-unsupported-compiler")
    assert host_compiler.flags(nvcc) == []
    monkeypatch.delenv("NVCC_CCBIN")
    monkeypatch.delenv("NVCC_PREPEND_FLAGS")
    (tools / "g++-14").unlink()
    assert host_compiler.flags(nvcc) == []  # nvcc says what it misses
    host_compiler._gcc.cache_clear()


@pytest.mark.parametrize(
    ("given", "flags"),
    [
        ([], ["-fsanitize=unreachable", "-fsanitize-undefined-trap-on-error"]),
        (["-ccbin", "clang++-14"], ["-fno-strict-return"]),
        (["-ccbin=/opt/nvc++"], []),
        (["-Xcompiler", '"-fsanitize=undefined"'], []),
    ],
)
def test_which_flags_of_the_host_compiler_those_are(given, flags, monkeypatch):
    for name in ("NVCC_CCBIN", "NVCC_PREPEND_FLAGS", "NVCC_APPEND_FLAGS"):
        monkeypatch.delenv(name, raising=False)
    found = host_compiler.comes_back(given)
    assert found[1::2] == flags and set(found[::2]) <= {"-Xcompiler"}


def test_a_host_compiler_that_is_too_new_is_told_with_the_ones_that_are_not():
    log = "host_config.h:137:2: error: #error -- unsupported GNU version! gcc versions later than 15 are not supported!"
    said = str(compile_errors.explain("compiling a.cu", log))
    assert "apt install g++-15" in said and "NVCC_CCBIN" in said


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("nvcc fatal   : Failed to preprocess host compiler properties.", "NVCC_CCBIN names"),
        (
            "cpp_dialect.h:61:6: error: #error Thrust requires at least C++17. Define CCCL_...",
            "NVCC_APPEND_FLAGS=-std=c++17",
        ),
    ],
)
def test_a_host_compiler_that_nvcc_cannot_use_is_told(log, said):
    """As CUDA 13.5 says it, of a -ccbin that is not there and of clang 14."""
    assert said in str(compile_errors.explain("compiling a.cu", log))


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("ptxas fatal   : Unresolved extern function '_Z4halff'", "#include that file"),
        (
            'a.cu(3): error: linkage specification is incompatible with previous "f" (declared at line 5 of a.h)',
            'write #ifdef __cplusplus, extern "C" {, #endif into the header',
        ),
    ],
)
def test_what_nvcc_says_of_a_newcomers_code_has_a_hint(log, said):
    """As CUDA 13.0 says it."""
    assert said in str(compile_errors.explain("compiling a.cu", log))


@pytest.mark.parametrize("types", ["double *, double", "half *, __half"])
def test_atomic_additions_that_the_oldest_gpus_do_not_have_are_told(types):
    """What CUDA 12.4 says, which compiles for Maxwell."""
    log = f"""a.cu(35): error: no instance of overloaded function "atomicAdd" matches the argument list
            argument types are: ({types})
    atomicAdd(d, x);
    ^

1 error detected in the compilation of "a.cu".
"""
    said = str(compile_errors.explain("compiling a.cu", log))
    assert f"no atomicAdd of {types.split()[0]}s" in said and "TORCH_CUDA_ARCH_LIST" in said


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("THCState", "#include <THC/THC.h>"),
        ("THCudaTensor", "#include <THC/THC.h>"),
        ("THFloatStorage", "#include <TH/TH.h>"),
        ("ffi_ext_tensor", "#include <ffi_ext.h>"),
        ("FFI_CHECK", "#include <ffi_ext.h>"),
        ("THFile", "THFile is not in ffi_ext"),
        ("THCudaTensor_none", None),  # a function that nobody has
    ],
)
def test_what_a_kernel_did_not_include_is_told(name, said):
    """As nvcc 11.8, 12.4 and 13.0 say it; the first shows no line."""
    log = f"""a.cu(1): error: identifier "{name}" is undefined

1 error detected in the compilation of "a.cu".
"""
    hint = str(compile_errors.explain("compiling a.cu", log)).partition("\nhint: ")[2]
    assert hint.startswith(said or "")
    assert said or not hint


def test_a_source_without_nvcc_is_refused_by_name(folder, monkeypatch):
    monkeypatch.setattr(toolkit, "nvcc", lambda: None)
    with pytest.raises(BuildError, match="no nvcc: .cu sources need it: "):
        create(folder, define_macros=[("OTHER", "1")]).build()


def test_objects_of_old_scripts_find_their_sources(tmp_path, monkeypatch):
    monkeypatch.setattr(toolkit, "nvcc", lambda: "nvcc")
    (tmp_path / "src").mkdir()
    (tmp_path / "build").mkdir()
    kernel, other = tmp_path / "src" / "kernel.cu", tmp_path / "src" / "other.cu"
    kernel.touch()
    dead = tmp_path / "src" / "named_otherwise.o"
    dead.write_bytes(b"\0cudaConfigureCall\0cudaLaunch\0")  # what CUDA 8 compiled
    for name in ("build/kernel.so", "src/kernel.o", "src/kernel.cu.o", "src/named_otherwise.o"):
        found = cuda_objects.objects([str(tmp_path / name)])
        assert (found.present, found.rebuilt) == ((), (kernel,)), name
    other.touch()  # now nothing says which of the two it was
    with pytest.raises(BuildError, match=r"named_otherwise\.o was compiled by a CUDA before 9\.2"):
        cuda_objects.objects([str(dead)])
    with pytest.raises(
        BuildError, match=r"absent\.o does not exist; run the repository's make\.sh"
    ):
        cuda_objects.objects([str(tmp_path / "src" / "absent.o")])
    monkeypatch.setattr(toolkit, "nvcc", lambda: None)
    assert cuda_objects.objects([str(dead)]).left_out == (str(dead),)


def test_an_atomic_add_of_ones_own_is_seen_in_included_files(tmp_path):
    (tmp_path / "a.cu").write_text('#include "sub/atomics.cuh"\n')
    (tmp_path / "include" / "sub").mkdir(parents=True)
    header = tmp_path / "include" / "sub" / "atomics.cuh"
    header.write_text("static __device__ void atomicAdd(half *address, half val);\n")
    own = "-DFFI_EXT_OWN_ATOMIC_ADD"
    assert own in cuda_shims.flags(tmp_path / "a.cu", [str(tmp_path / "include")])
    assert own not in cuda_shims.flags(tmp_path / "a.cu")
    header.write_text("void f(double *a) { atomicAdd(a, 1.0); }\n")
    assert cuda_shims.flags(tmp_path / "a.cu", [str(tmp_path / "include")])[2:] == []
    (tmp_path / "a.cu").write_text("int votes(int x) { return __any(x) + p->memoryType; }\n")
    assert cuda_shims.flags(tmp_path / "a.cu")[2:] == ["-DFFI_EXT_VOTES", "-DFFI_EXT_MEMORY_TYPE"]
    assert own not in cuda_shims.flags(tmp_path / "a.cu", [str(tmp_path / "include")])


@needs_nvcc
def test_what_newer_toolkits_took_away_is_given_back(build, monkeypatch):
    """Of what runs without a GPU: functions of Thrust, and the names of before CUDA 4."""
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "9.0")
    source = """
    #include <THC/THC.h>
    #include <thrust/functional.h>
    struct twice : public thrust::unary_function<float, double> {
      __host__ __device__ result_type operator()(argument_type x) const { return 2 * x; }
    };
    struct less : public thrust::binary_function<float, int, bool> {
      __host__ __device__ bool operator()(first_argument_type x, second_argument_type y) const { return x < y; }
    };
    extern "C" double of(float x, int y) {
      size_t limit;
      if (y < 0) cudaThreadGetLimit(&limit, cudaLimitStackSize), cudaThreadSetLimit(cudaLimitStackSize, limit);
      if (y < 0) cudaThreadSetCacheConfig(cudaFuncCachePreferL1);
      return twice()(x) + thrust::identity<int>()(y) + 100 * less()(x, y);
    }
    """
    of = build("double of(float x, int y);", source, suffix=".cu", with_cuda=True).of
    assert [of(1.5, 2), of(2.5, 2)] == [105.0, 7.0]


# What of cuda_runtime_api.h of CUDA 12.0 to 12.9 the shims have names in common with, or call.
CUDA_12 = """
#define CUDART_VERSION 12090
typedef enum cudaError { cudaSuccess } cudaError_t;
enum cudaLimit { cudaLimitStackSize };
enum cudaFuncCache { cudaFuncCachePreferL1 };
#ifdef __cplusplus
extern "C" {
#endif
extern cudaError_t cudaThreadExit(void);
extern cudaError_t cudaThreadSynchronize(void);
extern cudaError_t cudaThreadSetLimit(enum cudaLimit limit, size_t value);
extern cudaError_t cudaThreadGetLimit(size_t *pValue, enum cudaLimit limit);
extern cudaError_t cudaThreadGetCacheConfig(enum cudaFuncCache *pCacheConfig);
extern cudaError_t cudaThreadSetCacheConfig(enum cudaFuncCache cacheConfig);
#ifdef __cplusplus
}
#endif
"""


@pytest.mark.parametrize("language", ["c", "c++"])
def test_what_cuda_12_still_has_is_not_given_twice(tmp_path, language):
    """Each .cu and each C source on THC reads the shims: none would compile."""
    (tmp_path / "cuda_runtime.h").write_text("#include <stddef.h>\n" + CUDA_12)
    source = '#include "ffi_ext/cuda_shims.h"\nint f(void) { return cudaThreadSynchronize(); }\n'
    command = [*toolchain.c_compiler().command, "-x", language, "-fsyntax-only", "-"]
    command += [f"-I{tmp_path}", f"-I{ffi_ext.get_include()}"]
    done = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@needs_nvcc
@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("texture<float, 1, cudaReadModeElementType> t;", "hint: texture and surface references"),
        (
            "int f(cudaDeviceProp *p) { return p->kernelExecTimeoutEnabled; }",
            "hint: CUDA 13 has no",
        ),
        ("int f(half h) { return h.x; }", "hint: the bits of a half"),
    ],
)
def test_what_cannot_be_given_back_has_a_hint(build, monkeypatch, line, hint):
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "9.0")
    if toolkit.supported(toolkit.nvcc())[0] < 75:
        pytest.skip("this toolkit is older than CUDA 13, and may still have them")
    with pytest.raises(BuildError, match=hint):
        build("int f(void);", f"#include <THC/THC.h>\n{line}\n", suffix=".cu", with_cuda=True)


@needs_nvcc
def test_halves_on_a_cuda_fp16_of_the_repositorys_own(build):
    """CUDA 8 had __half2float on the device only, and repositories bring its headers along."""
    module = build(
        "float number(int bits);\nint bits(float number);",
        """
#define __CUDA_FP16_H__ /* the toolkit's is not read, nor what is made of it */
#define __CUDA_BF16_H__
struct __nv_bfloat16 { unsigned short x; }; /* which cuBLAS's header names */
struct __half { unsigned short x; };
typedef __half half;
#include <THC/THC.h>
extern "C" float number(int bits) {
  half value = {(unsigned short)bits};
  return THC_half2float(value);
}
extern "C" int bits(float number) { return THC_float2half(number).x; }
""",
        suffix=".cpp",
        with_cuda=True,
    )
    assert [module.number(bits) for bits in (0x3C00, 0x4248, 0x8001)] == [
        1.0,
        3.140625,
        -(2.0**-24),
    ]
    assert [module.bits(number) for number in (1.0, -65504.0, 2.0**-24)] == [0x3C00, 0xFBFF, 1]


def test_a_build_ext_that_knows_nvcc_gets_its_flags(folder, tmp_path):
    """The dict that torch's BuildExtension reads, as the original passed it on."""
    flags = {"cxx": ["-O1"], "nvcc": ["-lineinfo"]}
    extension = create(folder, extra_compile_args=flags).distutils_extension(str(tmp_path))
    assert extension.extra_compile_args["nvcc"] == ["-lineinfo"]
    assert "-O1" in extension.extra_compile_args["cxx"]


CENTRE = """
#ifndef THC_GENERIC_FILE
#define THC_GENERIC_FILE "generic/centre.cu"
#else
extern "C" void THNN_(centre)(THCState *state, THCTensor *t, THCTensor *like) {
  THCUNN_check_shape(state, t, like);
  THCUNN_check_dim_size(state, t, 2, 1, 3);
  int size[2] = {(int)THCTensor_(size)(state, t, 0), (int)THCTensor_(size)(state, t, 1)};
  THCDeviceTensor<real, 2> view(THCTensor_(data)(state, t), size);
  centre_kernel<real, accreal>
      <<<GET_BLOCKS(size[0]), CUDA_NUM_THREADS, 0, THCState_getCurrentStream(state)>>>(view, 1);
}
#endif
"""
THCUNN = """
#include "THCUNN.h"
#include "common.h"
#include "THCHalfAutoNumerics.cuh"
#include "THCAtomics.cuh"
#include "THCDeviceTensor.cuh"
#include "THCDeviceTensorUtils.cuh"
template <typename T>
struct THC_CLASS Unused {};
template <typename T, typename Wide>
__global__ void centre_kernel(THCDeviceTensor<T, 2> t, Wide mean) {
  assert(t.getSize(0) > 1);
  CUDA_KERNEL_LOOP(i, t.getSize(0))
  for (int j = 0; j < t.getSize(1); j++)
    if (t[i][j] > 0) t[i][j] = ScalarConvert<Wide, T>::to((t[i][j] - mean) * 2);
  t[0][0] += 1;
  t[0][1] = THCNumerics<T>::min();
  t[0][0] *= t[1][1];
  atomicAdd(&t[1][0], ScalarConvert<int, T>::to(2));
}
#include "generic/centre.cu"
#include "THCGenerateFloatTypes.h"
extern "C" int stride(int dim) {
  const int sizes[3] = {2, 3, 4};
  THCDeviceTensor<half, 3> t(NULL, sizes);
  return t.isContiguous() ? t.getStride(dim) : -1;
}
extern "C" long far_apart(THCState *state, THCudaByteTensor *t, int wide) {
  if (wide) return toDeviceTensor<uint8_t, 2, int64_t>(state, t).getStride(0);
  return toDeviceTensor<uint8_t, 2>(state, t).getStride(0);
}
template <int Dim>
static void note(const THCDeviceTensor<float, Dim> &t, int *to) {
  for (int i = 0; i < Dim; i++) to[i] = t.getSize(i), to[Dim + i] = t.getStride(i);
}
extern "C" void cast(int which, int *to) {
  const int sizes[3] = {2, 3, 4}, strides[3] = {24, 4, 1};
  const THCDeviceTensor<float, 3> t(NULL, sizes, strides);
  if (which == 0) note(t.upcastOuter<5>(), to);
  if (which == 1) note(t.upcastInner<4>(), to);
  if (which == 2) note(t.downcastInner<2>(), to);
  if (which == 3) note(t.downcastOuter<2>(), to);
  if (which == 4) note(THCDeviceTensor<float, 3>(NULL, sizes).downcastOuter<1>(), to);
}
extern "C" double halves(int which) {
  const half a = THC_float2half(2.25f), b = THC_float2half(-4), none = THC_float2half(0);
  float sum = 1;
  sum += a, sum -= b;
  const double results[] = {a + 0.25f, 0.25 - a, a * 2, 9 / a, a < 2.5, 2 == a, fmaxType(1.0f, a),
                            THC_half2float(sqrt(a)), THC_half2float(abs(b)), THC_half2float(fmaxType(a, b)),
                            THC_half2float(THCNumerics<half>::max()), THCNumerics<float>::min(),
                            (double)THCNumerics<int64_t>::min(), (double)THCNumerics<unsigned char>::max(),
                            THC_half2float(THCNumerics<half>::sqrt(a)), THC_half2float(THCNumerics<half>::floor(a)),
                            THC_half2float(THCNumerics<half>::pow(b, none)), (double)THCNumerics<int>::pow(3, 4), sum,
                            THC_half2float(pow(a, THC_float2half(2)))};
  return results[which];
}
"""


# As THCUNN's was: these functions are CUDA's own since CUDA 9.
HALF_COPY = """
#ifndef THC_HALF_AUTO_NUMERICS_INC
#define THC_HALF_AUTO_NUMERICS_INC
#include "THCHalf.h"
inline __host__ __device__ half &operator+=(half &a, const half &b) { return a = __float2half(1); }
inline __host__ __device__ half operator*(half a, half b) { return a; }
#endif
"""


@needs_nvcc
@pytest.mark.parametrize("copied", [False, True])
def test_sources_on_thcunn_headers(tmp_path, monkeypatch, copied):
    """Kernels were started from those of torch.nn: with their checks, generic files and half arithmetic."""
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "8.0")
    if copied:
        (tmp_path / "THCHalfAutoNumerics.cuh").write_text(HALF_COPY)
    (tmp_path / "generic").mkdir()
    (tmp_path / "generic" / "centre.cu").write_text(CENTRE)
    (tmp_path / "kernel.cu").write_text(GLIBC_2_42 + THCUNN)
    (tmp_path / "make.sh").write_text(
        "set -e\nnvcc -c -o kernel.o kernel.cu -Xcompiler -fPIC -I. -I/nowhere/torch/lib/THCUNN\npython build.py\n"
    )
    (tmp_path / "build.py").write_text(
        "from torch.utils.ffi import create_extension\n"
        "create_extension('centring', 'centring.h', ['centring.c'], with_cuda=True, relative_to=__file__,\n"
        "                 extra_objects=['kernel.o']).build()\n"
    )
    (tmp_path / "centring.h").write_text(
        "void centre(THFloatTensor *t, THFloatTensor *like);\nint stride(int dim);\ndouble halves(int which);\n"
        "void cast(int which, int *to);\nlong apart(THByteTensor *t, int wide);\n"
    )
    (tmp_path / "centring.c").write_text(
        "#include <THC/THC.h>\nextern THCState *state;\n"
        "void THNN_Cudacentre(THCState *state, THCudaTensor *t, THCudaTensor *like);\n"
        "void centre(THFloatTensor *t, THFloatTensor *like) {\n"
        "  THNN_Cudacentre(state, (THCudaTensor *)t, (THCudaTensor *)like);\n}\n"
        "long far_apart(THCState *state, THCudaByteTensor *t, int wide);\n"
        "long apart(THByteTensor *t, int wide) { return far_apart(state, (THCudaByteTensor *)t, wide); }\n"
    )
    command = [sys.executable, "-m", "ffi_ext", "run", "--", "sh", "make.sh"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    monkeypatch.syspath_prepend(tmp_path)
    centring = importlib.import_module("centring")
    assert [centring.stride(dim) for dim in range(3)] == [12, 4, 1]
    shapes = [[1, 1, 2, 3, 4, 48, 48, 24, 4, 1], [2, 3, 4, 1, 24, 4, 1, 1], [2, 12, 24, 1]]
    for which, shape in [*enumerate(shapes), (4, [24, 1])]:
        found = torch.zeros(len(shape), dtype=torch.int32)
        centring.cast(which, found)
        assert found.tolist() == shape
    with pytest.raises(NativeError, match="dimensions 0 to 1 cannot become one"):
        centring.cast(3, found)
    memory, far = torch.empty(2**31 + 2, dtype=torch.uint8), 2**31  # which nobody touches
    apart = memory.as_strided((2, 2), (far, 1))
    assert [centring.apart(apart, 1), centring.apart(apart[:1], 1)] == [far, far]
    assert centring.apart(memory.as_strided((2, 2), (far - 2, 1)), 0) == far - 2
    with pytest.raises(NativeError, match=f"lies {far + 1} behind the first, more than .* 4 bytes"):
        centring.apart(apart, 0)
    expected = [2.5, -2, 4.5, 4, 1, 0, 2.25, 1.5, 4, 2.25]
    expected += [65504, torch.finfo(torch.float32).min, -(2.0**63), 255, 1.5, 2, 1, 81]
    expected += [7.25, 5.0625]
    assert [centring.halves(which) for which in range(20)] == expected
    with pytest.raises(NativeError, match=r"t and like shapes do not match: \[2 x 3\], \[3 x 2\]"):
        centring.centre(torch.ones(2, 3), torch.ones(3, 2))
    with pytest.raises(
        NativeError, match=r"t: 2 dimensions expected, of size 3 in dimension 1; it is \[3 x 2\]"
    ):
        centring.centre(torch.ones(3, 2), torch.ones(3, 2))


# What glibc 2.42 says of a function that CUDA has, too.
GLIBC_2_42 = 'extern "C" double rsqrt(double x) noexcept;\n'


def test_another_toolkits_headers_among_the_users_stay_behind(tmp_path, monkeypatch):
    """Those of a hard-wired /usr/local/cuda, or of conda: as the system's, the toolkit's own come behind each -I."""
    (tmp_path / "mine").mkdir()
    for name in ("cuda_runtime.h", "k.cu", "mine/cuda_runtime.h"):
        (tmp_path / name).touch()
    monkeypatch.setenv("CPATH", f"/nowhere:{tmp_path / 'mine'}")
    assert toolkit.as_system_headers()[-2:] == ["-isystem", str(tmp_path / "mine")]
    given = ["-I/mine", f"-I{tmp_path}", "-arch=sm_80", "-ccbin=g++"]
    words = toolkit.options("nvcc", tmp_path / "k.cu", given, [])
    assert "-I/mine" in words and f"-I{tmp_path}" not in words
    assert words[-4:] == ["-isystem", str(tmp_path), "-isystem", str(tmp_path / "mine")]


@needs_nvcc
def test_glibcs_functions_may_have_the_names_of_cudas(build, monkeypatch):
    """CUDA before 13.2 declares it otherwise, as CUDA before 13.0 does glibc 2.41's cospi: no .cu compiled."""
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "9.0")
    source = GLIBC_2_42 + "__global__ void k(double *x) { x[0] = rsqrt(x[1]); }\n"
    source += 'extern "C" double of(double x) { return rsqrt(x); }\n'
    assert build("double of(double x);", source, suffix=".cu").of(4.0) == 0.5


@needs_nvcc
def test_flags_of_the_host_compiler_reach_kernels(build, tmp_path, monkeypatch):
    """CPPFLAGS of Debian's and conda's builds, macros with commas, which nvcc takes for lists, and a list of flags."""
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "9.0")
    monkeypatch.setenv("CPPFLAGS", "-Wdate-time -O2 -Wp,-DFROM_CPPFLAGS=3")
    (tmp_path / "a ,b").mkdir()
    (tmp_path / "a ,b" / "beside.h").write_text("#define BESIDE 500\n")
    source = """
#include "beside.h"
static const int ends[] = ENDS;
extern "C" int sum(void) { return FROM_CPPFLAGS + ends[1] + GIVEN + BESIDE; }
"""
    sum_of = build(
        "int sum(void);",
        source,
        suffix=".cu",
        include_dirs=[str(tmp_path / "a ,b")],
        define_macros=[("ENDS", "{10, 20}")],
        extra_compile_args=["-std=c99", "-Wall", "-fopenmp", "-D", "GIVEN=4000"],
        extra_link_args=["-fopenmp"],
    ).sum
    assert sum_of() == 3 + 20 + 4000 + 500


@needs_nvcc
def test_setup_py_makes_the_cuda_objects_that_are_missing(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "9.0")
    for name in ("gpu.h", "gpu.c", "kernel.cu", "by.h"):
        (tmp_path / name).write_text((folder / name).read_text())
    (tmp_path / "build.py").write_text("""
from torch.utils.ffi import create_extension
ffi = create_extension("old._ext.gpu", ["gpu.h"], ["gpu.c"], with_cuda=True, package=True,
                       relative_to=__file__, extra_objects=["objects/kernel.so"])
""")
    (tmp_path / "setup.py").write_text(
        'from setuptools import setup\nimport build\nsetup(name="old", packages=["old"], ext_package="",'
        ' cffi_modules=["build.py:ffi"])\n'
    )
    command = ["-m", "ffi_ext", "run", "--", sys.executable]
    done = python(*command, "setup.py", "build_ext", "--inplace", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "objects" / "kernel.so").exists()
    code = "from old._ext import gpu; print(gpu.scale.__name__)"
    tried = python(*command, "-c", code, cwd=tmp_path)
    assert tried.stdout == "scale\n", tried.stderr


@needs_nvcc
def test_the_example_of_the_documents_launches_on_its_tensors_stream(tmp_path, monkeypatch):
    if not torch.cuda.is_available():
        monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "9.0")
    page = (Path(__file__).parent.parent / "docs" / "cuda.md").read_text()
    for file, text in re.findall(r'^```\w+ title="(saxpy[^"]+)"\n(.*?)^```$', page, re.M | re.S):
        (tmp_path / file).write_text(text)
    saxpy = ffi_ext.load("saxpy", str(tmp_path / "saxpy.cu"), str(tmp_path / "saxpy.h")).saxpy
    with pytest.raises(TypeError, match="expected a tensor on cuda, got .* on cpu"):
        saxpy(2.0, torch.ones(3), torch.ones(3))
    if not torch.cuda.is_available():
        return
    whole = torch.arange(1001.0).cuda()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        torch.cuda._sleep(10_000_000)
        saxpy(2.0, whole[1:], whole[1:])
    stream.synchronize()
    torch.testing.assert_close(whole.cpu(), torch.arange(1001.0) * 3)


@needs_gpu
def test_the_upstream_gpu_test(module):
    tensor = torch.ones(2, 2).cuda()
    assert module.good_func(tensor, 2, 1.5) == 1
    assert torch.equal(tensor.cpu(), torch.ones(2, 2) * 2 + 1.5)
    for wrong in (tensor.cpu(), tensor.storage(), tensor.double()):
        with pytest.raises(TypeError):
            module.good_func(wrong, 2, 1.5)


@needs_gpu
def test_cuda_tensors_are_read_from_their_fields(module):
    """As CPU tensors are; else every call would ask Python for each of its tensors."""
    if runtime.tier() != "native":
        pytest.skip("the Python tier reads no fields")
    trained = torch.ones(2, 3, device="cuda", requires_grad=True)
    with torch.inference_mode():
        inference = torch.ones(4, device="cuda")
    part = torch.ones(40, device="cuda")[3:].view(37)[::2]
    empty = torch.empty(0, 4, device="cuda")
    for x in (torch.ones(3).cuda(), torch.ones(2, 3).cuda().t(), part, empty, trained, inference):
        module.same_gpu(x, x)
        assert runtime._runtime.describe(x) == tiers.facts_of(x)


@needs_gpu
def test_kernels_run_on_the_current_stream(module):
    tensor = torch.rand(1000).cuda()
    want = tensor.cpu() * 3
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        torch.cuda._sleep(10_000_000)
        assert module.scale(tensor, 3.0) == 7
    stream.synchronize()
    torch.testing.assert_close(tensor.cpu(), want)


@needs_gpu
def test_a_graph_captures_a_call(module):
    tensor = torch.ones(100).cuda()
    module.scale(tensor, 1.0)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        module.scale(tensor, 2.0)
    for _ in range(3):
        graph.replay()
    assert tensor.cpu().tolist() == [8.0] * 100


@needs_nvcc
def test_c_sources_call_what_the_runtime_has_had_under_other_names(build):
    """Its own library has the functions no more: the module would not import."""
    source = """
    #include <THC/THC.h>
    int f(int x) {
      size_t limit = 0;
      if (x < 0) return cudaThreadSynchronize() + cudaThreadGetLimit(&limit, cudaLimitStackSize) + cudaThreadExit();
      return x + 1;
    }
    """
    assert build("int f(int x);", source, with_cuda=True).f(4) == 5


def pip_library(tmp_path, name, text):
    """The folder of a library as pip installs those of CUDA: no version of the real ones can be relied on."""
    folder = tmp_path / "nvidia" / name / "lib"
    folder.mkdir(parents=True)
    (tmp_path / "own.c").write_text(text)
    library = folder / f"lib{name}.so.99"
    compiler = toolchain.c_compiler().command
    subprocess.run(
        [*compiler, "-shared", "-fPIC", f"-Wl,-soname,{library.name}", "-o", library, tmp_path / "own.c"],
        check=True,
    )  # fmt: skip
    return folder


def test_functions_of_the_toolkits_libraries_are_linked(tmp_path, build, monkeypatch, capfd):
    folder = pip_library(tmp_path, "curand", "int curandOwn(int x) { return x + 1; }")
    text = "int curandOwn(int); int f(int x) { return curandOwn(x); }"
    monkeypatch.setattr(toolkit, "pip_folders", lambda name: [folder] if name == "lib" else [])
    assert build("int f(int x);", text).f(4) == 5
    assert "warning" not in capfd.readouterr().err
    monkeypatch.setattr(toolkit, "library_dirs", list)
    assert cuda_libraries.library_words(["cublasLtOwn", "curandown", "f"]) == []


def test_a_library_that_only_pip_installed_is_found_by_its_name(tmp_path, build, monkeypatch):
    """`libraries=["cufft"]` of a script, where there is a libcufft.so.12 and no libcufft.so."""
    folder = pip_library(tmp_path, "own99", "int own(int x) { return x + 1; }")
    monkeypatch.setattr(toolkit, "pip_folders", lambda name: [folder] if name == "lib" else [])
    text = "int own(int); int f(int x) { return own(x); }"
    module = build("int f(int x);", text, with_cuda=True, libraries=["own99"])
    assert module.f(4) == 5
    (tmp_path / "libown99.a").write_text("")  # what the script's own folders have comes first
    assert cuda_libraries.pip_library("own99", [str(tmp_path)]) is None


@needs_gpu
def test_a_wrong_launch_is_an_error_of_the_call(module):
    with pytest.raises(NativeError, match=r"cuda runtime error \(\d+\) : invalid"):
        module.wrong_launch(torch.ones(1).cuda())
    assert torch.ones(2).cuda().sum().item() == 2


@needs_gpu
def test_results_and_resizes(module):
    x = torch.rand(3, 4).cuda().t()
    torch.testing.assert_close(module.twice(x), 2 * x)
    t = torch.cuda.FloatTensor()
    module.grow(t, 5)
    assert t.cpu().tolist() == [3.0] * 5 and t.is_cuda
    assert module.same_gpu(x, t) == 1


@needs_gpu
def test_a_result_on_memory_of_another_allocator(module):
    x = torch.arange(5.0).cuda()
    result = module.foreign(x)
    assert result.is_cuda and result.dtype == torch.float32
    torch.testing.assert_close(result, x[1:])


@needs_gpu
def test_a_texture_reads_the_elements(module):
    x, read = torch.rand(300).cuda(), torch.cuda.FloatTensor()
    module.through_texture(x, read)
    assert torch.equal(read, x)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there are not two GPUs")
def test_two_gpus(module):
    a, b = torch.ones(3, device="cuda:0"), torch.ones(3, device="cuda:1")
    with pytest.raises(TypeError, match="on cuda:0, where 'a' is, got one on cuda:1"):
        module.same_gpu(a, b)
    module.scale(b, 5.0)
    assert b.cpu().tolist() == [5.0] * 3 and torch.cuda.current_device() == 0
