"""The CUDA toolkit: where it and its folders are, its version, and nvcc's options, architectures among them."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import sysconfig
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import islice
from pathlib import Path

from ffi_ext.compilers import commands, toolchain
from ffi_ext.cuda import cuda_shims, host_compiler
from ffi_ext.errors import BuildError

OLDEST = 11, 8  # of the toolkits that a torch >= 2.4 was built for
VARIABLES = "CUDA_HOME", "CUDA_PATH"  # in which users say where it is
USUAL = Path("/usr/local/cuda")  # where NVIDIA's installers put the toolkit
SYSTEM = Path("/usr")  # where Debian's and Ubuntu's have it
# What nvcc accepts beyond its default; scripts of old ask for both where their kernels need them.
EXTENSIONS = ("--extended-lambda", "--expt-relaxed-constexpr")

# TORCH_CUDA_ARCH_LIST also takes names, as torch.utils.cpp_extension does.
NAMES = {
    "Maxwell": "5.0;5.2+PTX",
    "Pascal": "6.0;6.1+PTX",
    "Volta": "7.0+PTX",
    "Turing": "7.5+PTX",
    "Ampere": "8.0;8.6+PTX",
    "Ada": "8.9+PTX",
    "Hopper": "9.0+PTX",
    "Blackwell": "10.0;12.0+PTX",
}

OURS = ".ffi_ext"  # a file beside our nvcc

# conda has the toolkit's headers and libraries below targets/ alone.
_MACHINE = platform.machine()
_TARGETS = [
    f"targets/{name}-linux"
    for name in (("sbsa", _MACHINE) if _MACHINE == "aarch64" else (_MACHINE,))
]
_HEADERS = ["include", *(f"{target}/include" for target in _TARGETS)]


def home() -> Path | None:
    """The toolkit's directory: CUDA_HOME, CUDA_PATH, nvcc on PATH, the usual place, pip's nvidia-cuda-nvcc."""
    for variable in VARIABLES:
        value = os.environ.get(variable)
        if value and Path(value).is_dir() and not _is_ours(os.path.join(value, "bin")):
            # /usr/lib/cuda and /usr/lib/nvidia-cuda-toolkit are advised for Debian's, which has little there
            return next(filter(_has_headers, (Path(value), SYSTEM)), Path(value))
    compiler = real_nvcc_on_path()
    if compiler:
        for root in (Path(compiler).parent.parent, Path(os.path.realpath(compiler)).parent.parent):
            if _has_headers(root):
                return root
        said = _root_that_it_says(compiler)
        if said and _has_headers(said):
            return said
    if (USUAL / "bin" / "nvcc").exists():
        return USUAL
    for folder in pip_folders("bin"):
        if (folder / "nvcc").exists():
            return folder.parent
    return USUAL if USUAL.is_dir() else None


@cache
def _root_that_it_says(compiler: str) -> Path | None:
    """Where nvcc itself is: what is on PATH may be a script that calls it, such as ccache's."""
    said = commands.printed([compiler, "--dryrun", "x.cu"], environment())
    found = re.search(r"^#\$ TOP=(.+)$", said, re.M)
    return Path(os.path.normpath(found[1])) if found else None


def _has_headers(root: Path) -> bool:
    return any(_has_runtime(root / folder) for folder in _HEADERS)


def _has_runtime(folder: Path) -> bool:
    return (folder / "cuda_runtime.h").exists()


def _is_ours(folder: str) -> bool:
    """Whether its nvcc is the one that `ffi-ext run` puts before the toolkit's, and that calls the toolkit's."""
    return os.path.exists(os.path.join(folder, OURS))  # of a folder that may not be read: no


def environment() -> dict[str, str]:
    """This process's, but for our nvcc on PATH: ccache calls the next one there, and that called ccache."""
    entries = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return {**os.environ, "PATH": os.pathsep.join(e for e in entries if not _is_ours(e))}


def real_nvcc_on_path() -> str | None:
    """nvcc on PATH, but for ours."""
    return shutil.which("nvcc", path=environment()["PATH"])


def nvcc() -> str | None:
    """The compiler: the toolkit's, else the one on PATH."""
    root = home()
    inside = root / "bin" / "nvcc" if root else None
    return str(inside) if inside and inside.exists() else real_nvcc_on_path()


@cache
def supported(compiler: str) -> tuple[int, ...]:
    """The architectures that nvcc compiles for, ascending: 75 for compute_75."""
    listed = commands.printed([compiler, "--list-gpu-arch"])
    return tuple(sorted({int(n) for n in re.findall(r"compute_(\d+)\b", listed)}))


@cache
def _devices() -> tuple[int, ...]:
    """The architectures of the GPUs in this machine, as the driver's tool says."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    listed = commands.printed([tool, "--query-gpu=compute_cap", "--format=csv,noheader"])
    found = re.findall(r"^(\d+)\.(\d)$", listed, re.M)
    return tuple(sorted({10 * int(major) + int(minor) for major, minor in found}))


def architecture_flags(compiler: str) -> list[str]:
    """-gencode options: $TORCH_CUDA_ARCH_LIST, else the GPUs present, else the oldest and the newest with PTX.

    The driver compiles the oldest one's PTX for whatever GPU lies between them.

    Raises:
        BuildError: The list names an architecture that this nvcc does not know.
    """
    known = supported(compiler)
    listed = os.environ.get("TORCH_CUDA_ARCH_LIST", "")
    for family, meaning in NAMES.items():
        listed = re.sub(rf"\b{family}\b", meaning, listed)
    wanted: dict[str, bool] = {}  # architecture: "90", "90a" -> with PTX
    for word in re.split(r"[;,\s]+", listed):
        if word == "native":
            wanted |= dict.fromkeys(map(str, _devices()), False)
        elif word:
            match = re.fullmatch(r"(\d+)\.(\d)([af]?)(\+PTX)?", word)
            number = int(match[1]) * 10 + int(match[2]) if match else 0
            if match is None or (known and number not in known):
                have = ", ".join(f"{n // 10}.{n % 10}" for n in known) or "unknown"
                raise BuildError(
                    f"TORCH_CUDA_ARCH_LIST: {word!r} is no architecture of {compiler}, which has {have}. "
                    'Write for example "8.0;9.0+PTX", "native" or one of ' + ", ".join(NAMES)
                )
            name = f"{number}{match[3]}"
            wanted[name] = wanted.get(name, False) or bool(match[4])
    if not wanted:
        present = [number for number in _devices() if not known or number in known]
        wanted = dict.fromkeys(map(str, present), False)
    flags = []
    if not wanted and known:
        wanted = {str(known[0]): True, str(known[-1]): True}
        flags.append("-Wno-deprecated-gpu-targets")  # nvcc's next version may not have the oldest
    for name, ptx in wanted.items():
        flags.append(f"-gencode=arch=compute_{name},code=sm_{name}")
        if ptx:
            flags.append(f"-gencode=arch=compute_{name},code=compute_{name}")
    return flags


def _torch_cuda() -> str | None:
    """The CUDA version that torch was built for, without importing it."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    text = Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
    found = re.search(r"^cuda\b[^=\n]*=\s*['\"](\d+\.\d+)", text, re.M)
    return found[1] if found else None


def how_to_install() -> str:
    """What to do where there is no nvcc, as the end of a message. CUDA 12's packages of pip lack the compiler."""
    version = _torch_cuda()
    by_pip = version and int(version.partition(".")[0]) >= 13
    first = f'pip install "cuda-toolkit[nvcc,cccl]=={version}.*", or ' if by_pip else ""
    said = [f"{name}={os.environ[name]}" for name in VARIABLES if os.environ.get(name)]
    wrong = f" (there is no bin/nvcc in {', '.join(said)})" if said else ""
    return f"{first}install the CUDA toolkit and set CUDA_HOME or PATH{wrong}"


def _toolkit_version() -> str | None:
    root = home()
    headers = [root / folder / "cuda_runtime_api.h" for folder in _HEADERS] if root else []
    text = next((h.read_text(errors="replace") for h in headers if h.exists()), "")
    found = re.search(r"^#define\s+CUDART_VERSION\s+(\d+)", text, re.M)
    return f"{int(found[1]) // 1000}.{int(found[1]) % 1000 // 10}" if found else None


def doubts() -> str:
    """Why kernels of this toolkit may fail: it is too old, or torch's driver may not know its runtime; else ""."""
    ours, torchs = _toolkit_version(), _torch_cuda()
    if ours and tuple(map(int, ours.split("."))) < OLDEST:
        return (
            f"the toolkit in {home()} is CUDA {ours}, with which nothing was tried: what fails may be its age. Set "
            f"CUDA_HOME to a toolkit of CUDA {OLDEST[0]}.{OLDEST[1]} or newer"
        )
    if ours and torchs and ours.partition(".")[0] != torchs.partition(".")[0]:
        return (
            f"the toolkit in {home()} is CUDA {ours}, torch is built for CUDA {torchs}: kernels run only where "
            f"the driver is new enough for both. Set CUDA_HOME to a toolkit of CUDA {torchs.partition('.')[0]}"
        )
    return ""


_OWN = ("-D", "-U", "-I", "-isystem", "-include")  # which nvcc has, too


def of_host(flags: Iterable[str]) -> list[str]:
    """A host compiler's flags as nvcc takes them: what it does not know itself behind -Xcompiler.

    A comma makes a list of any value; in a macro it can be escaped, in a folder's name only behind -Xcompiler.
    """
    found = []
    words = iter(flags)
    for word in words:
        if word in _OWN:
            found += [word, *islice(words, 1)]
        elif word.startswith("-D") or (word.startswith(_OWN) and "," not in word):
            found.append(word.replace(",", "\\,"))
        else:
            found += ["-Xcompiler", f'"{word}"']
    return found


def options(compiler: str, source: Path, given: list[str], folders: Sequence[str]) -> list[str]:
    """nvcc's options for a source: ours, and what is given between them.

    Args:
        compiler: nvcc's path.
        source: The .cu file.
        given: Include directories, macros, and what the user adds.
        folders: The include directories.
    """
    toolkits = [w for w in given if w.startswith("-I") and _has_runtime(Path(w[2:]))]
    given = [word for word in given if word not in toolkits]
    words = ["-O3", "-Xcompiler", f"-fPIC,{toolchain.NEVER_FUSED}", *EXTENSIONS, *given]
    if not any(word.startswith(("-arch", "--gpu-arch", "-gencode")) for word in given):
        words += architecture_flags(compiler)
    words += [*host_compiler.flags(compiler, given), *host_compiler.comes_back(given)]
    return [
        *words,
        *cuda_shims.flags(source, folders),
        *as_system_headers([w[2:] for w in toolkits]),
    ]


def pip_folders(name: str) -> list[Path]:
    """The folders of this name in the nvidia packages that pip installed: those that torch uses."""
    spec = importlib.util.find_spec("nvidia")
    places = (spec.submodule_search_locations or []) if spec else []
    return [path for place in places for path in sorted(Path(place).glob(f"*/{name}"))]


def library_dirs() -> list[Path]:
    """The toolkit's libraries: where NVIDIA's installers, conda and Debian have them."""
    root = home()
    if root is None:
        return []
    names = ["lib64", "lib", *(f"{target}/lib" for target in _TARGETS)]
    names.append(f"lib/{sysconfig.get_config_var('MULTIARCH')}")
    return [root / name for name in names if (root / name).is_dir()]


def include_dirs() -> list[str]:
    """The toolkit's headers: of its directory, of its C++ libraries (Thrust), and of what pip installed."""
    root = home()
    found = [root / folder / part for folder in _HEADERS for part in ("", "cccl")] if root else []
    others = [*pip_folders("include"), USUAL / "include"]
    # Compilers look in /usr/include last, whatever they are told: these would hide its headers.
    if root == SYSTEM:
        others = [path for path in others if not _has_runtime(path)]
    return [str(path) for path in dict.fromkeys([*found, *others]) if path.is_dir()]


def as_system_headers(others: Sequence[str] = ()) -> list[str]:
    """nvcc's options by which the toolkit's headers are the system's, as they are where Debian has them.

    In these nvcc accepts that glibc declares some functions again, with a noexcept that CUDA lacks: cospi and sinpi
    since 2.41 (CUDA before 13.0), rsqrt since 2.42 (before 13.2).

    Compilers look there last. So another toolkit's, such as those of the /usr/local/cuda that old scripts or $CPATH
    name, are put behind them.

    Args:
        others: Folders that the user names.
    """
    named = [*others, *os.environ.get("CPATH", "").split(os.pathsep)]
    folders = [*include_dirs(), *(name for name in named if name and _has_runtime(Path(name)))]
    folders = [folder for folder in dict.fromkeys(folders) if folder != str(SYSTEM / "include")]
    return [word for folder in folders for word in ("-isystem", folder)]
