"""The CUDA toolkit: where it is, which architectures it compiles for, and objects that a make.sh should have made."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ffi_ext.errors import BuildError

SHIMS = Path(__file__).parent / "include" / "ffi_ext" / "cuda_shims.h"

# TORCH_CUDA_ARCH_LIST also takes names, as torch.utils.cpp_extension does.
NAMES = {
    "Turing": "7.5+PTX",
    "Ampere": "8.0;8.6+PTX",
    "Ada": "8.9+PTX",
    "Hopper": "9.0+PTX",
    "Blackwell": "10.0;12.0+PTX",
}


def home() -> Path | None:
    """The toolkit's directory: CUDA_HOME, CUDA_PATH, nvcc on PATH, the usual place."""
    for variable in ("CUDA_HOME", "CUDA_PATH"):
        value = os.environ.get(variable)
        if value and Path(value).is_dir():
            return Path(value)
    compiler = real_nvcc_on_path()
    if compiler:
        for root in (Path(compiler).parent.parent, Path(os.path.realpath(compiler)).parent.parent):
            if (root / "include" / "cuda_runtime.h").exists():
                return root
    usual = Path("/usr/local/cuda")
    return usual if usual.is_dir() else None


def real_nvcc_on_path() -> str | None:
    """nvcc on PATH, but for the one that `ffi-ext run` puts before it."""
    ours = os.environ.get("FFI_EXT_WRAPPERS")
    entries = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return shutil.which("nvcc", path=os.pathsep.join(entry for entry in entries if entry != ours))


def nvcc() -> str | None:
    """The compiler: the toolkit's, else the one on PATH."""
    root = home()
    inside = root / "bin" / "nvcc" if root else None
    return str(inside) if inside and inside.exists() else real_nvcc_on_path()


@cache
def supported(compiler: str) -> tuple[int, ...]:
    """The architectures that nvcc compiles for, ascending: 75 for compute_75."""
    try:
        done = subprocess.run(
            [compiler, "--list-gpu-arch"], capture_output=True, text=True, check=False
        )
    except OSError:
        return ()
    return tuple(sorted({int(n) for n in re.findall(r"compute_(\d+)\b", done.stdout)}))


@cache
def _devices() -> tuple[int, ...]:
    """The architectures of the GPUs in this machine, as the driver's tool says."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    query = [tool, "--query-gpu=compute_cap", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found = re.findall(r"^(\d+)\.(\d)$", done.stdout, re.M) if done.returncode == 0 else []
    return tuple(sorted({10 * int(major) + int(minor) for major, minor in found}))


def architecture_flags(compiler: str) -> list[str]:
    """-gencode options: $TORCH_CUDA_ARCH_LIST, else the GPUs present, else the oldest and the newest with PTX.

    Raises:
        BuildError: The list names an architecture that this nvcc does not know.
    """
    known = supported(compiler)
    listed = os.environ.get("TORCH_CUDA_ARCH_LIST", "")
    for name, meaning in NAMES.items():
        listed = re.sub(rf"\b{name}\b", meaning, listed)
    wanted: dict[int, bool] = {}  # architecture -> with PTX
    for word in re.split(r"[;,\s]+", listed):
        if word == "native":
            wanted |= dict.fromkeys(_devices(), False)
        elif word:
            match = re.fullmatch(r"(\d+)\.(\d)a?(\+PTX)?", word)
            number = int(match[1]) * 10 + int(match[2]) if match else 0
            if match is None or (known and number not in known):
                have = ", ".join(f"{n // 10}.{n % 10}" for n in known) or "unknown"
                raise BuildError(
                    f"TORCH_CUDA_ARCH_LIST: {word!r} is no architecture of {compiler}, which has {have}. "
                    'Write for example "8.0;9.0+PTX", "native" or one of ' + ", ".join(NAMES)
                )
            wanted[number] = bool(match[3])
    if not wanted:
        present = [number for number in _devices() if not known or number in known]
        wanted = dict.fromkeys(present, False)
    if not wanted and known:
        wanted = {known[0]: False, known[-1]: True}
    flags = []
    for number, ptx in wanted.items():
        flags.append(f"-gencode=arch=compute_{number},code=sm_{number}")
        if ptx:
            flags.append(f"-gencode=arch=compute_{number},code=compute_{number}")
    return flags


def shims(source: Path) -> list[str]:
    """Options that give old CUDA code what newer toolkits took away: see include/ffi_ext/cuda_shims.h."""
    flags = ["-include", str(SHIMS)]
    try:
        text = source.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return flags  # the compiler says it better
    if re.search(r"\bdouble\s+atomicAdd\s*\(\s*double\b", text):
        flags.append("-DFFI_EXT_OWN_ATOMIC_ADD")
    return flags


@dataclass(frozen=True)
class Objects:
    """The extra_objects of a build, as they are on this machine."""

    present: tuple[str, ...]
    rebuilt: tuple[Path, ...]  # .cu sources in place of objects that are missing or older
    left_out: tuple[str, ...]  # objects of CUDA code on a machine that cannot compile it


def objects(paths: Sequence[str]) -> Objects:
    """Sorts extra_objects: `x.cu.o` is what the repository's make.sh makes of `x.cu`, if it can.

    Raises:
        BuildError: An object is missing and nothing says how to make it.
    """
    present: list[str] = []
    rebuilt: list[Path] = []
    left_out: list[str] = []
    for text in paths:
        path = Path(text)
        source = _source_of(path)
        exists = path.exists()
        if exists and (source is None or not _is_outdated(path, source)):
            present.append(text)
        elif source is not None and nvcc() is not None:
            rebuilt.append(source)
        elif exists:
            present.append(text)
        elif ".cu" in path.suffixes and nvcc() is None:
            left_out.append(text)
        else:
            hint = "run the repository's make.sh first" if path.suffix in (".o", ".a") else ""
            raise BuildError(
                f"create_extension() argument 'extra_objects': {text} does not exist"
                + (f"; {hint}" if hint else "")
            )
    return Objects(tuple(present), tuple(rebuilt), tuple(left_out))


def is_compiled_cuda(path: str) -> bool:
    """Whether an object or archive has kernels in it, which the CUDA runtime launches."""
    try:
        return b"__cudaRegisterFatBinary" in Path(path).read_bytes()
    except OSError:
        return False


def _is_outdated(path: Path, source: Path) -> bool:
    """Whether an object is older than its source, or calls a runtime of before CUDA 9.2, gone since."""
    if path.stat().st_mtime < source.stat().st_mtime:
        return True
    data = path.read_bytes()
    return b"cudaConfigureCall\0" in data and b"__cudaPushCallConfiguration\0" not in data


def _source_of(path: Path) -> Path | None:
    """x.cu for x.cu.o: beside it or in src/; x_kernel.cu where x.cu is not there."""
    if path.suffixes[-2:] not in ([".cu", ".o"], [".cu", ".so"]):
        return None
    stem = path.name[: -len("".join(path.suffixes[-2:]))]
    for name in (f"{stem}.cu", f"{stem}_kernel.cu", f"{stem}_cuda_kernel.cu"):
        for folder in (path.parent, path.parent / "src", path.parent.parent / "src"):
            if (folder / name).is_file():
                return folder / name
    return None


def stubs(names: Sequence[str], left_out: Sequence[str]) -> str:
    """C text of functions that raise, for those that objects left out would have defined."""
    files = ", ".join(Path(path).name for path in left_out)
    lines = [
        "void _THError(const char *file, const int line, const char *fmt, ...);",
        *(
            f'void {name}(void) {{ _THError("{_quoted(files)}", 0, "{name} is CUDA code that was left out: '
            'there was no nvcc when this was built"); }'
            for name in names
        ),
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return re.sub(r'[\\"\n\r%?]', "_", text)
