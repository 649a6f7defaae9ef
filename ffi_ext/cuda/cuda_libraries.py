"""The libraries that CUDA code is linked with: the static runtime, and cuBLAS, cuFFT ... of pip or the toolkit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from ffi_ext.cuda import toolkit

# A function of the libraries beside the runtime, by its name: cublasLtMatmul is of libcublasLt.
_LIBRARY_FUNCTION = re.compile("(cublasLt|cublas|cusparse|cusolver|cufft|curand|cudnn)(?=[A-Z])")


def runtime_words(kernels: bool) -> list[str]:
    """Linker words for the static runtime, so that the module imports without a driver.

    Args:
        kernels: The module has some: the dispatcher asks for their errors after each call.
    """
    folders = [*toolkit.library_dirs(), *toolkit.pip_folders("lib")]
    folders = [path for path in folders if (path / "libcudart_static.a").exists()]
    if not folders:
        return []
    words = [f"-L{folders[0]}", "-lcudart_static", "-ldl", "-lrt", "-lpthread"]
    if kernels:
        words += ["-Wl,-u,cudaGetLastError", "-Wl,-u,cudaGetErrorString"]
    return words


def library_words(functions: Iterable[str]) -> list[str]:
    """Linker words for the libraries of cuBLAS, cuSPARSE ... that have some of these functions.

    The one that torch has loaded comes first: the toolkit's may be of another version, and know
    nothing of torch's handles.
    """
    wanted = [m[1] for name in functions if (m := _LIBRARY_FUNCTION.match(name))]
    if not wanted:  # nearly every link
        return []
    folders = [*toolkit.pip_folders("lib"), *toolkit.library_dirs()]
    words = []
    for name in dict.fromkeys(wanted):
        for folder in folders:
            found = sorted(folder.glob(f"lib{name}.so*"))
            if found:
                words += [str(found[0]), "-Xlinker", "-rpath", "-Xlinker", str(folder)]
                break
    return words


def _pip_libraries(name: str) -> Iterator[Path]:
    return (
        p for folder in toolkit.pip_folders("lib") for p in sorted(folder.glob(f"lib{name}.so.*"))
    )


def pip_library(name: str, folders: Iterable[str]) -> Path | None:
    """The file for `-lname` that pip installed, if none of the folders has one: libcufft.so.12, by no other name."""
    if any(Path(folder, f"lib{name}.{end}").exists() for folder in folders for end in ("so", "a")):
        return None
    return next(_pip_libraries(name), None)


def name_pip_libraries(folder: Path) -> None:
    """Links in the folder by which `-lcublas` of a script's own line finds the libcublas.so.13 that pip installed."""
    for path in _pip_libraries("*"):
        link = folder / f"{path.name.partition('.so.')[0]}.so"
        if not link.exists():
            link.symlink_to(path)
