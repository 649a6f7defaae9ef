"""tests/packages: small packages in the manner of published ones, built by their own scripts, unmodified.

Each has a `make.sh`, `setup.py` or build script, and a `test.py` that checks its numbers against formulas.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ffi_ext import elf
from ffi_ext.compilers import toolchain
from ffi_ext.cuda import nvcc
from tests.binaries import OWN_WHEEL_TAG
from tests.processes import python

PACKAGES = Path(__file__).with_name("packages")


def run(folder: Path, *command: str, **environment: str) -> str:
    environment = {"FFI_EXT_CACHE": str(folder / ".cache"), **environment}
    done = python("-m", "ffi_ext", "run", *command, cwd=folder, **environment)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture
def package(request, tmp_path):
    folder = tmp_path / request.param
    shutil.copytree(PACKAGES / request.param, folder)
    return folder


# In one Python, which imports torch once.
EACH = "import runpy, sys; [runpy.run_path(path, run_name='__main__') for path in sys.argv[1:]]"


@pytest.mark.parametrize(
    "package", sorted(p.name for p in PACKAGES.iterdir() if (p / "test.py").exists()), indirect=True
)
def test_package(package):
    if package.name == "openmp" and toolchain.c_compiler().is_clang:
        pytest.skip("clang's OpenMP is another library than torch's, which is to be linked")
    if (package / "make.sh").exists():
        run(package, "--", "sh", "make.sh")
        run(package, "test.py")
    elif (package / "setup.py").exists():
        run(package, "setup.py", "build_ext", "--inplace")
        run(package, "test.py")
    else:
        scripts = [*package.glob("make_header.py"), *package.glob("build*.py")]
        run(package, "-c", EACH, *(script.name for script in scripts), "test.py")


@pytest.mark.parametrize("package", ["dead_architectures"], indirect=True)
def test_cuda_objects_on_a_machine_without_nvcc(package, tmp_path):
    """The script goes on, the CPU part works, and a CUDA function says what is missing."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for tool in ("sh", "bash", "env", "gcc", "g++", "cc", "as", "ld", "echo"):
        found = shutil.which(tool)
        if found:
            (bin_folder / tool).symlink_to(found)
    hidden = {
        "PATH": str(bin_folder),
        "CC": "gcc",
        "CXX": "g++",
        "CUDA_HOME": str(tmp_path),
        "CUDA_PATH": "",
    }
    said = run(package, "--", "sh", "make.sh", **hidden)
    assert "there is no nvcc on this machine" in said
    assert "scale_kernel.cu.o is missing and there is no nvcc to make it: left out" in said
    run(package, "test.py", **hidden)


@pytest.mark.parametrize("package", ["packaged"], indirect=True)
def test_a_wheel_has_the_abi3_tag_and_works_when_installed(package, tmp_path):
    wheels, site = tmp_path / "wheels", tmp_path / "site"
    pip = ["--", sys.executable, "-m", "pip"]
    options = ["-q", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    run(package, *pip, "wheel", *options, "-w", str(wheels), ".")
    (wheel,) = wheels.iterdir()
    assert wheel.name.startswith(f"clamped-0.1-{OWN_WHEEL_TAG}-"), wheel.name
    run(package, *pip, "install", *options, "--target", str(site), str(wheel))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(package / "test.py", elsewhere)
    run(elsewhere, "test.py", PYTHONPATH=str(site))


def test_dead_architectures_are_dropped_from_nvcc_lines():
    line = (
        "-c -o k.cu.o k.cu -arch=sm_20 -gencode arch=compute_30,code=sm_30 "
        "-gencode=arch=compute_80,code=sm_80 -arch sm_52 -Xcompiler -fPIC --generate-code "
        "arch=compute_35,code=[sm_35,compute_35] -code=sm_90"
    )
    kept, dropped = nvcc.repaired(line.split(), [75, 80, 90])
    alive = "-c -o k.cu.o k.cu -gencode=arch=compute_80,code=sm_80 -Xcompiler -fPIC"
    dead = (
        "-arch=sm_20 -gencode arch=compute_30,code=sm_30 -arch sm_52 "
        "--generate-code arch=compute_35,code=[sm_35,compute_35] -code=sm_90"
    )
    assert (" ".join(kept), " ".join(dropped)) == (alive, dead)
    line = ["-arch", "compute_80", "--gpu-code=sm_80,sm_90"]
    assert nvcc.repaired(line, [75, 80, 90]) == (line, [])


@pytest.mark.parametrize(
    ("line", "newest"),
    [
        ("-gencode arch=compute_52,code=sm_52 -gencode=arch=compute_61,code=sm_61", "61"),
        ("--generate-code arch=compute_52,code=[sm_52,sm_61]", "61"),
        ("-arch compute_52 -code sm_52", "52"),
        (
            "-gencode arch=compute_52,code=[sm_52,compute_52] -gencode arch=compute_61,code=sm_61",
            "",
        ),
        ("-arch=compute_52 -code=sm_52,compute_52", ""),
        ("-arch=sm_52", ""),  # which stands for both
        ("-cubin -arch compute_52 -code sm_52", ""),  # may have code for one alone
        ("-gencode arch=compute_90a,code=sm_90a", ""),  # whose instructions compute_90 has not
        ("-O3", ""),
    ],
)
def test_lines_with_code_for_old_gpus_alone_get_ptx_for_newer_ones(line, newest):
    wanted = [f"-gencode=arch=compute_{newest},code=compute_{newest}"] if newest else []
    assert nvcc.ptx(["-c", *line.split(), "k.cu"]) == wanted


def toolkit(folder: Path, compiles: str) -> dict[str, str]:
    """A CUDA toolkit whose nvcc knows the architecture 80 and does `compiles` with a line; what makes it be found."""
    for name in ("bin/nvcc", "include/cuda_runtime.h", "lib64/libcudart.so"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).touch()
    (folder / "bin" / "nvcc").write_text(
        f'#!/bin/sh\n[ "$1" = --list-gpu-arch ] && echo compute_80 || {compiles}\n'
    )
    (folder / "bin" / "nvcc").chmod(0o755)
    return {
        "PATH": os.pathsep.join([str(folder / "bin"), os.environ["PATH"]]),
        "CUDA_HOME": "",
        "TORCH_CUDA_ARCH_LIST": "",  # which images with CUDA set
    }


# As Fast R-CNN's setup.py does, which hundreds of repositories have.
LOCATES = """
import os, shutil, subprocess
nvcc = shutil.which("nvcc")
home = os.path.dirname(os.path.dirname(nvcc))
for path in (home + "/include/cuda_runtime.h", home + "/lib64/libcudart.so"):
    assert os.path.exists(path), path
os.environ["CUDA_HOME"] = home
line = [home + "/bin/nvcc", "-c", "kernel.cu", "-arch=sm_30"]
assert subprocess.run(line, timeout=60).returncode == 0
assert os.environ["CUDA_NVCC_EXECUTABLE"] == nvcc  # CMake's FindCUDA calls this one
print(nvcc, file=open("noted", "w"))
"""


def test_scripts_that_look_for_the_toolkit_beside_nvcc_find_it(tmp_path):
    environment = toolkit(tmp_path / "toolkit", 'echo "$@" >> lines')
    (tmp_path / "locates.py").write_text(LOCATES)
    run(tmp_path, "locates.py", **environment)
    # CMake notes nvcc's path for the make that is another command.
    run(tmp_path, "--", "sh", "-c", "$(cat noted) -c kernel.cu -arch=sm_35", **environment)
    nested = f"{sys.executable} -m ffi_ext run -- nvcc -c kernel.cu -arch=sm_37"
    run(tmp_path, "--", "sh", "-c", nested, **environment)
    lines = (tmp_path / "lines").read_text().splitlines()
    assert len(lines) == 3
    start = "-c kernel.cu -Wno-deprecated-gpu-targets -gencode=arch=compute_80"
    assert all(line.startswith(start) for line in lines), lines
    dead = ["-m", "ffi_ext", "run", "--", "nvcc", "-c", "kernel.cu", "-arch=sm_30"]
    done = python(*dead, cwd=tmp_path, **environment | {"TORCH_CUDA_ARCH_LIST": "9.0"})
    assert done.returncode == 1
    assert done.stderr.startswith("ffi_ext: TORCH_CUDA_ARCH_LIST: '9.0' is no architecture of ")


def test_scripts_that_call_python_get_the_one_that_is_python3_alone(tmp_path):
    """As on Debian, whose make.sh said that there is no python."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    python3 = bin_folder / "python3"
    python3.symlink_to(os.path.realpath(sys.executable))
    (bin_folder / "sh").symlink_to("/bin/sh")
    line = 'import sys; print(sys.executable, "ffi_ext.legacy" in sys.modules, sys.argv[1:])'
    done = subprocess.run(
        [python3, "-m", "ffi_ext", "run", "--", "sh", "-c", f"python -c '{line}' 'a  b'"],
        env={
            "PATH": str(bin_folder),
            "PYTHONPATH": os.pathsep.join(sys.path),
            "FFI_EXT_CACHE": str(tmp_path / "cache"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"{python3} True ['a  b']\n", done.stderr


@pytest.mark.parametrize("compiler", ["nvcc", "gcc"])
def test_scripts_own_lines_find_the_headers_that_pip_installed(tmp_path, compiler):
    """As torch's own packages bring them; the toolkit's and the script's own come before."""
    without = 'for word; do shift; [ "$word" = -Xcompiler ] || set -- "$@" "$word"; done'
    toolkit(tmp_path / "toolkit", f'{without}; exec gcc -x c "$@"')
    texts = {
        "site/nvidia/__init__.py": "",  # as CUDA 12's have it, which may be installed, too
        "site/nvidia/curand/include/curand_own.h": "#define OWN 1",
        "site/nvidia/curand/include/both.h": "#define BOTH 2",
        "own/both.h": "#define BOTH 1",
        "a.c": '#include "curand_own.h"\n#include <both.h>\n_Static_assert(OWN == 1 && BOTH == 1, "");\n',
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    path = os.pathsep.join(filter(None, [str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")]))
    environment = {"CUDA_HOME": str(tmp_path / "toolkit"), "PYTHONPATH": path}
    run(tmp_path, "--", compiler, "-c", "-o", "a.o", "a.c", "-Iown", **environment)
    assert (tmp_path / "a.o").exists()


def test_scripts_own_lines_link_the_libraries_that_pip_installed(tmp_path):
    """libown.so.9 and no libown.so, as NVIDIA's packages have them."""
    folder = tmp_path / "site" / "nvidia" / "own" / "lib"
    folder.mkdir(parents=True)
    (folder.parents[1] / "__init__.py").touch()
    (tmp_path / "own.c").write_text("int own(void) { return 1; }\n")
    (tmp_path / "a.c").write_text("int own(void);\nint a(void) { return own(); }\n")
    shared = ["gcc", "-shared", "-fPIC"]
    named = [*shared, "-Wl,-soname,libown.so.9", "-o", folder / "libown.so.9"]
    subprocess.run([*named, "own.c"], cwd=tmp_path, check=True)
    path = os.pathsep.join(filter(None, [str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")]))
    run(tmp_path, "--", *shared, "a.c", "-o", "liba.so", "-Wl,-z,defs", "-lown", PYTHONPATH=path)
    assert "libown.so.9" in elf.needed(tmp_path / "liba.so")


def test_a_library_that_no_toolkit_has_any_more_is_dropped_from_nvcc_lines():
    line = "-lcublas_device -lcudadevrt a.cu -o a.o -rdc=true -shared"
    kept, dropped = nvcc.repaired(line.split(), [80])
    assert " ".join(kept) == "-lcudadevrt a.cu -o a.o -rdc=true -shared"
    assert dropped == ["-lcublas_device"]


def test_host_compilers_that_are_not_installed_are_dropped_from_nvcc_lines(tmp_path):
    line = f"-c a.cu -ccbin gcc-0.9 --compiler-bindir=/nowhere/g++ -ccbin ld --compiler-bindir {tmp_path} -O2"
    kept, dropped = nvcc.repaired(line.split(), [80])
    assert " ".join(kept) == f"-c a.cu -ccbin ld --compiler-bindir {tmp_path} -O2"
    assert " ".join(dropped) == "-ccbin gcc-0.9 --compiler-bindir=/nowhere/g++"
    (tmp_path / "my tools").mkdir()
    word = f"-ccbin={tmp_path}/my tools"
    assert nvcc.repaired([word], [80]) == ([word], [])
    line = f"-c a.cu -ccbin gcc --compiler-bindir={shutil.which('g++')}"  # as FindCUDA has it
    assert nvcc.repaired(line.split(), [80]) == (["-c", "a.cu"], [])


def test_dialects_that_todays_thrust_refuses_are_dropped_from_nvcc_lines():
    line = "-c a.cu -std=c++11 --std c++14 -std c++17 -Xcompiler -std=c99 -arch=sm_80"
    kept, dropped = nvcc.repaired(line.split(), [80])
    assert " ".join(kept) == "-c a.cu -std c++17 -Xcompiler -std=c99 -arch=sm_80"
    assert " ".join(dropped) == "-std=c++11 --std c++14"
    line = ["-Xcompiler", "-std=c++11", "-c", "a.cu", "--compiler-options", "-fPIC -std=c++11 -g"]
    kept, dropped = nvcc.repaired([*line, "-Xcompiler=-Wall,-std=gnu++0x"], [80])
    assert kept == ["-c", "a.cu", "--compiler-options", "-fPIC -g", "-Xcompiler", "-Wall"]
    assert dropped == ["-std=c++11", "-std=c++11", "-std=gnu++0x"]
    of_cmake = ["-Xcompiler", ',"-fPIC","-std=c++14"', "-Xcompiler", "'-std=c++14'"]
    assert nvcc.repaired(of_cmake, [80])[0] == ["-Xcompiler", '"-fPIC"']
