"""Objects of CUDA code that a repository's make.sh should have made: found, made from their .cu, or left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ffi_ext.compilers import commands, compile_errors, toolchain
from ffi_ext.cuda import toolkit
from ffi_ext.errors import BuildError


@dataclass(frozen=True)
class Objects:
    """The extra_objects of a build, as they are on this machine."""

    present: tuple[str, ...]
    rebuilt: tuple[Path, ...]  # .cu sources in place of objects that are missing or older
    left_out: tuple[str, ...]  # objects of CUDA code on a machine that cannot compile it


def objects(paths: Sequence[str]) -> Objects:
    """Sorts extra_objects: `x.cu.o` is what the repository's make.sh makes of `x.cu`, if it can.

    Raises:
        BuildError: An object is missing, or no CUDA of today can run it, and nothing says how to make it.
    """
    present: list[str] = []
    rebuilt: list[Path] = []
    left_out: list[str] = []
    compiles = bool(paths) and toolkit.nvcc() is not None
    for text in paths:
        path = Path(text)
        source = source_of(path)
        dead = path.exists() and _calls_removed_runtime(path)
        usable = path.exists() and not dead
        is_stale = usable and source is not None and path.stat().st_mtime < source.stat().st_mtime
        if usable and not (compiles and is_stale):
            present.append(text)
        elif compiles and source is not None:
            rebuilt.append(source)
        elif not compiles and (source is not None or dead or ".cu" in path.suffixes):
            left_out.append(text)
        elif dead:
            raise BuildError(
                f"create_extension() argument 'extra_objects': {text} was compiled by a CUDA before 9.2, whose "
                "runtime is gone, and no .cu source of that name lies beside it or in src/; compile it again: "
                f"nvcc -c -Xcompiler -fPIC -o {path.name} ITS_SOURCE.cu"
            )
        else:
            hint = "; run the repository's make.sh first" if path.suffix in (".o", ".a") else ""
            raise BuildError(
                f"create_extension() argument 'extra_objects': {text} does not exist{hint}"
            )
    return Objects(tuple(present), tuple(rebuilt), tuple(left_out))


def make(paths: Sequence[str], flags: Sequence[str]) -> None:
    """Makes those that are missing where the script looks for them: setuptools links what it is told.

    Args:
        paths: The extra_objects.
        flags: Include directories and macros, as compilers take them.

    Raises:
        BuildError: nvcc refuses a source.
    """
    for text in paths:
        path = Path(text)
        source = source_of(path)
        compiler = toolkit.nvcc()
        if (
            source is None
            or compiler is None
            or (path.exists() and not _calls_removed_runtime(path))
        ):
            continue
        print(f"ffi_ext: making {text} from {source.name}")
        folders = [flag[2:] for flag in flags if flag.startswith("-I")]
        options = toolkit.options(compiler, source, toolkit.of_host(flags), folders)
        command = [compiler, *options, f"-I{source.parent}"]
        path.parent.mkdir(parents=True, exist_ok=True)
        status, log = commands.run([*command, "-c", toolchain.safe_path(source), "-o", text])
        if status:
            raise compile_errors.explain(f"compiling {source}", log)


def is_compiled_cuda(path: str) -> bool:
    """Whether an object or archive has kernels in it, which the CUDA runtime launches."""
    try:
        return b"__cudaRegisterFatBinary" in Path(path).read_bytes()
    except OSError:
        return False


def _calls_removed_runtime(path: Path) -> bool:
    """Whether an object's kernels are launched through the runtime of before CUDA 9.2."""
    data = path.read_bytes() if path.suffix in (".o", ".so") else b""
    return b"cudaConfigureCall\0" in data and b"__cudaPushCallConfiguration\0" not in data


def source_of(path: Path) -> Path | None:
    """The .cu of an object: x.cu for x.cu.o, x.o and x.so, beside it, above it or in src/; else the only one beside.

    Scripts name objects as they like: build/x.so of src/x.cu, x.cu.o of x_kernel.cu. An x.o beside an x.c
    is that source's.
    """
    if path.suffix not in (".o", ".so"):
        return None
    above = path.parent.parent
    folders = (path.parent, path.parent / "src", above / "src", above)
    stem = path.name.removesuffix(path.suffix).removesuffix(".cu")
    for name in (f"{stem}.cu", f"{stem}_kernel.cu", f"{stem}_cuda_kernel.cu"):
        for folder in folders:
            if (folder / name).is_file():
                return folder / name
    own = (stem, *(f"{stem}.{end}" for end in ("c", "cpp", "cc")))
    sources = list(path.parent.glob("*.cu"))
    if len(sources) == 1 and not any(path.with_name(name).exists() for name in own):
        return sources[0]
    return None
