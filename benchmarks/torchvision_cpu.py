"""torchvision's C++ operators beside a CPU torch: empty libraries stand in for CUDA's."""

from __future__ import annotations

import ctypes
import importlib.util
import re
import subprocess
import tempfile
from pathlib import Path

import torch

from ffi_ext import elf
from ffi_ext.compilers import toolchain


def load() -> str:
    """Makes `import torchvision` and torch.ops.torchvision work; torchvision's CPU kernels are untouched.

    Returns:
        "", or why torchvision's operators cannot be used here.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        return "torchvision is not installed (pip install --no-deps torchvision==0.28.0)"
    library = Path(spec.submodule_search_locations[0]) / "_C.so"
    if not library.exists():
        return f"torchvision has no {library.name}"
    try:
        if torch.version.cuda is None:
            _preload_stubs(library)
        import torchvision
    except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
        return f"torchvision does not load beside torch {torch.__version__}: {error}"
    if not torchvision.extension._has_ops():
        return f"torchvision's operators do not load beside torch {torch.__version__}"
    return ""


def _preload_stubs(library: Path) -> None:
    """Loads, for each CUDA library that `library` names, one that defines what it asks of CUDA.

    None of these functions is called as long as all tensors are on the CPU.
    """
    found = elf.symbols(library)
    assert found is not None, f"{library} is no ELF file"
    functions = sorted(name for name in found.undefined if "cuda" in name.lower())
    wanted = re.findall(
        rb"\0(lib(?:cudart|c10_cuda|torch_cuda)[\w.-]*)(?=\0)", library.read_bytes()
    )
    sonames = sorted({name.decode() for name in wanted})
    with tempfile.TemporaryDirectory(prefix="torchvision-stubs-") as folder:
        for soname in sonames:
            # cudart's symbols carry its soname as their version, the others' none
            versioned = soname.startswith("libcudart")
            mine = [name for name in functions if versioned == ("cuda" in name[:6])]
            source, script = Path(folder, f"{soname}.c"), Path(folder, f"{soname}.map")
            source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in mine))
            script.write_text(f"{soname} {{ global: *; }};\n")
            command = [*toolchain.c_compiler().command, "-shared", "-fPIC", "-fno-builtin"]
            command += [str(source), "-o", str(Path(folder, soname)), f"-Wl,-soname,{soname}"]
            command += [f"-Wl,--version-script={script}"] if versioned else []
            subprocess.run(command, check=True, capture_output=True)
            ctypes.CDLL(str(Path(folder, soname)), ctypes.RTLD_GLOBAL)
