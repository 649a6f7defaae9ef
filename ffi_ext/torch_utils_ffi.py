"""What `torch.utils.ffi` had: `create_extension`, and `_wrap_function`, which packages built long ago import."""

from __future__ import annotations

import difflib
import warnings
from types import SimpleNamespace
from typing import Any

import _cffi_backend

from ffi_ext import runtime, types
from ffi_ext.builder import extension
from ffi_ext.builder.extension_options import FLAGS, KEYWORDS, LANGUAGES, NAMED

__all__ = ["create_extension"]

_typedefs = types.TH_TYPEDEFS


def create_extension(name: Any, headers: Any, sources: Any, *args: Any, **kwargs: Any) -> Any:
    """ffi_ext's, as lenient as the original: keywords that it does not know are left out with a warning.

    Flags are what Python takes for true: the path of nvcc is, and None is not.
    """
    for key in set(kwargs) - NAMED - KEYWORDS:
        near = difflib.get_close_matches(key, KEYWORDS, n=1)
        hint = f" (did you mean '{near[0]}'?)" if near else ""
        warnings.warn(f"create_extension() ignores the unknown keyword '{key}'{hint}", stacklevel=2)
        del kwargs[key]
    args = (*map(bool, args[: len(FLAGS)]), *args[len(FLAGS) :])
    kwargs |= {flag: bool(kwargs[flag]) for flag in kwargs.keys() & FLAGS}
    language = kwargs.get("language")
    if isinstance(language, str):  # for the linker: of that distutils knew "c++", and no other
        if language not in LANGUAGES:
            warnings.warn(
                f"create_extension() ignores language={language!r}, which is 'c' or 'c++'; a source's suffix "
                "says what it is",
                stacklevel=2,
            )
        del kwargs["language"]
    return extension.create_extension(name, headers, sources, *args, **kwargs)


def _torch_type(record: types.Record) -> str:
    place = "torch.cuda." if record.device == "cuda" else "torch."
    return f"{place}{record.element.name}{record.kind}"


# The structs of tensors and storages as cffi spells them (scripts append the "*"), and the names of torch's types.
_cffi_to_torch = {f"struct {name}": _torch_type(record) for name, record in types.RECORDS.items()}
_torch_to_cffi = {torch_type: c_type for c_type, torch_type in _cffi_to_torch.items()}


def _generate_typedefs() -> str:
    return _typedefs


def _wrap_function(function: Any, ffi: Any) -> Any:
    """Makes a function of a cffi module's `lib` take and return torch tensors.

    Args:
        function: `lib.f`. Constants, which scripts that wrap every name of a lib pass too, come
            back as they are.
        ffi: The `ffi` of the same module.
    """
    if not callable(function):
        return function
    lib, name = getattr(function, "__self__", None), getattr(function, "__name__", "")
    if isinstance(function, _cffi_backend.FFI.CData):  # a variadic one: a pointer, without its name
        lib, name = SimpleNamespace(function=function), "function"
    elif not isinstance(lib, _cffi_backend.Lib):
        raise TypeError(
            f"_wrap_function() expected a function of a cffi module's lib, got {function!r}"
        )
    module = getattr(function, "__module__", None) or "_ext"
    return runtime.CffiFunction(lib, ffi, name, module)


def _setup_wrapper(with_cuda: bool) -> tuple[str, list[str], list[str]]:
    """The includes of a wrapper, include directories, library directories: Makefiles ask for the second."""
    options: dict[str, Any] = {}
    extension.add_directories(options, with_cuda)
    source = "#include <TH/TH.h>\n" + ("#include <THC/THC.h>\n" if with_cuda else "")
    return source, options["include_dirs"], options["library_dirs"]


def __getattr__(name: str) -> Any:
    raise AttributeError(
        f"torch.utils.ffi has no '{name}' any more: ffi_ext builds extensions in its own way and keeps "
        "create_extension, _wrap_function, _setup_wrapper, _cffi_to_torch, _torch_to_cffi, _typedefs and "
        "_generate_typedefs"
    )
