"""What a generated module imports: binds its names to the C dispatcher, and explains what the dispatcher refuses."""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import sys
import threading
import warnings
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import _cffi_backend
import torch

from ffi_ext.names import name_of_the_rest, python_name
from ffi_ext.untraced import untraced

if TYPE_CHECKING:
    import inspect


class NativeError(torch.FatalError, RuntimeError):  # type: ignore[misc, name-defined]
    """An error raised in C: THError, THArgCheck, THAssert or a C++ exception.

    It is a `torch.FatalError`, which the original raised, and a `RuntimeError`.
    """


def _load_runtime() -> ModuleType:
    """Loads the C half such that extensions find TH's functions in it."""
    flags = sys.getdlopenflags()
    sys.setdlopenflags(flags | os.RTLD_GLOBAL)
    try:
        from ffi_ext import _runtime
    except ImportError as error:
        raise ImportError(
            f"ffi_ext's C runtime could not be loaded ({error}). It is compiled when ffi_ext is "
            "installed: run `make build` in a clone of the project; or `pip install .` there, and Python "
            "elsewhere, since in that folder the clone's own ffi_ext comes first"
        ) from error
    finally:
        sys.setdlopenflags(flags)
    return _runtime


# A Python without a GIL; sysconfig takes a millisecond to tell.
if "t" in getattr(sys, "abiflags", ""):
    from ffi_ext.compilers import universal

    if universal.Finder not in sys.meta_path:
        sys.meta_path.append(universal.Finder)  # type: ignore[arg-type]

_runtime: Any = _load_runtime()
_setup_lock = threading.Lock()
_tier: str | None = None


def _setup() -> None:
    """Everything that the first call needs and the import does not: the dispatcher calls it once."""
    global _tier
    import numpy

    from ffi_ext.calls import arguments, cffi_values, refusals, tiers
    from ffi_ext.th import cuda_state, th_maths

    with _setup_lock:
        if _tier is None:
            hooks = {
                "tensor_type": torch.Tensor,
                "parameter_type": torch.nn.Parameter,
                "array_type": numpy.ndarray,
                "cdata_type": _cffi_backend._CDataBase,
                "ctype_type": _cffi_backend.CType,
                "cffi": _cffi_backend._C_API,
                "null": _cffi_backend.FFI.NULL,
                "native_error": NativeError,
                "from_numpy": torch.from_numpy,
                "adapt": arguments.adapt,
                "types": cffi_values.types_of,
                "convert": cffi_values.convert,
                "allocate": cffi_values.allocate,
                "result": cffi_values.result,
                "refuse": cffi_values.refuse,
                "arity": refusals.arity,
                "unfit": arguments.unfit,
                "maths": th_maths.call,
                "cuda": cuda_state.answer,
                "pointer": cffi_values.pointer,
                "address": cffi_values.address,
                **tiers.HOOKS,
            }
            _runtime.configure(hooks)
            untraced(*hooks.values())
            _tier = tiers.choose(_runtime)
            _runtime.start()


untraced(_setup)
_runtime.on_first_call(_setup)


def tier() -> str:
    """How tensors are read: "native" (their fields, verified) or "python" (any torch, slow)."""
    _setup()
    assert _tier is not None
    return _tier


def _c_name(lib: Any, name: str) -> str:
    """C's name of what Python calls `name`: `lambda_` is its lambda, or its own lambda_."""
    short = name.removesuffix("_")
    is_renamed = short != name and python_name(short) == name
    return short if is_renamed and not hasattr(lib, name) else name


def bind(
    namespace: MutableMapping[str, Any],
    *,
    functions: Sequence[str],
    constants: Sequence[str] = (),
    texts: Sequence[str] = (),
    variables: Sequence[str] = (),
    read_only: Sequence[str] = (),
    variadic: Mapping[str, str] | None = None,
) -> None:
    """Fills a generated module's namespace from its binary.

    Args:
        namespace: The module's globals, with `_lib` and `_ffi` of the binary in it.
        functions: Python names of the C functions.
        constants: Python names of #defines, enumerators and `static const` variables: read now.
        texts: Python names of #defines that are strings: bytes, read now.
        variables: Python names of C globals: read at each access, written by assignment.
        read_only: Those of them that are const arrays, whose memory cannot be written to.
        variadic: Functions that the binary's table does not have, with their documentation: prototype and comment.

    A name that the binary lacks (its `__init__.py` is newer or older) does not prevent the import:
    a function then raises when it is called, the others when they are accessed.
    """
    package = namespace["__name__"]
    lib, ffi = namespace["_lib"], namespace["_ffi"]
    binary = sys.modules.get(f"{package}._{package.rpartition('.')[2]}")
    if binary is None:  # the folder was renamed or copied since it was built
        inside = [module for path, module in sys.modules.items() if path.startswith(f"{package}.")]
        binary = next(module for module in inside if getattr(module, "lib", None) is lib)
    _warn_of_newer(binary, package)
    table = _runtime.bind(binary.__file__, package, binary, python_name)
    for name in functions:
        function, c_name = table.get(name), _c_name(lib, name)
        if function is not None:
            function.__self__.origin = (ffi, lib, c_name)
        elif hasattr(lib, c_name):
            function = CffiFunction(lib, ffi, c_name, package, (variadic or {}).get(name, ""))
        else:
            function = _missing(name, package, binary.__file__)
        namespace[name] = function
    for name in constants:
        if hasattr(lib, c_name := _c_name(lib, name)):
            namespace[name] = getattr(lib, c_name)
    for name in texts:
        if hasattr(lib, c_name := _c_name(lib, name)):
            namespace[name] = ffi.string(getattr(lib, c_name))
    if variables:  # only then: Python looks names up in modules with a __getattr__ the long way
        _let_live(namespace, frozenset(variables), frozenset(read_only))


def _warn_of_newer(binary: ModuleType, package: str) -> None:
    """A module that is reloaded keeps the binary that the process has, whatever was built since."""
    with contextlib.suppress(OSError):
        file = os.stat(binary.__file__ or "")
        state = (file.st_ino, file.st_mtime_ns)
        if vars(binary).setdefault("_state", state) != state:
            warnings.warn(
                f"{package} was built again since this process imported it, and stays as it was: restart Python, or "
                "use ffi_ext.load(), which gives the new one",
                stacklevel=3,
            )


def _let_live(
    namespace: MutableMapping[str, Any], live: frozenset[str], read_only: frozenset[str]
) -> None:
    """The module's attributes of these names are C's variables."""
    package, lib, ffi = namespace["__name__"], namespace["_lib"], namespace["_ffi"]

    def __getattr__(name: str) -> Any:
        if name in live:
            try:
                return getattr(lib, _c_name(lib, name))
            except AttributeError:
                pass
            except ffi.error as error:  # csource.preamble's may_lack
                raise AttributeError(
                    f"the libraries of {package} do not have {name}: {error}"
                ) from None
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    namespace["__getattr__"] = __getattr__
    namespace["__dir__"] = lambda: sorted({*namespace, *live})
    if package in sys.modules:

        class Module(ModuleType):
            def __setattr__(self, name: str, value: Any) -> None:
                if name in read_only:
                    raise AttributeError(f"cannot write to {package}.{name}, which is const in C")
                if name in live:
                    setattr(lib, _c_name(lib, name), value)
                else:
                    super().__setattr__(name, value)

            def __reduce__(self) -> tuple[Any, ...]:  # cloudpickle and dill know ModuleType alone
                return importlib.import_module, (package,)

        sys.modules[package].__class__ = Module


def _missing(name: str, package: str, path: str | None) -> Callable[..., Any]:
    def function(*args: object, **kwargs: object) -> Any:
        raise AttributeError(
            f"{package}.{name} is declared in {package}'s __init__.py, but its binary {path} does "
            "not have it: build the extension again; if this process had imported it before that was "
            "done, restart Python"
        )

    function.__name__ = function.__qualname__ = name
    function.__module__ = package
    return function


class CffiFunction:
    """A function that goes through cffi's `lib.f`: a variadic one, or one built elsewhere.

    Tensor arguments become records as in the dispatcher; cffi converts the rest. Its prototype is read when somebody
    asks for names or types: what reads it takes longer to import than the module that has the function.

    Args:
        doc: The header's prototype and comment, if they are known. cffi does not know of const.
    """

    def __init__(self, lib: Any, ffi: Any, name: str, module: str, doc: str = "") -> None:
        self._function = getattr(lib, name)
        self.ctype = ffi.typeof(self._function)
        if self.ctype.kind == "pointer":
            self.ctype = self.ctype.item
        self.origin = (ffi, lib, name)
        self.types: Any = None
        self.name = self.__name__ = self.__qualname__ = python_name(name)
        self.module = self.__module__ = module
        if not doc:
            from ffi_ext.calls import cffi_values

            doc = cffi_values.prototype_of(name, self.ctype)
        self.doc = self.__doc__ = doc
        self.constraints: tuple[str, ...] = ()

    @functools.cached_property
    def _named(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        from ffi_ext.calls import cffi_values

        return cffi_values.named(self, self.ctype.args)

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        return self._named[0]

    @functools.cached_property
    def codes(self) -> tuple[str, ...]:
        from ffi_ext.calls import cffi_values

        return (cffi_values.code_of(self.ctype.result.cname), *self._named[1])

    @functools.cached_property
    def __signature__(self) -> inspect.Signature:
        from inspect import Parameter, Signature

        found = [Parameter(name, Parameter.POSITIONAL_ONLY) for name in self.names]
        if self.ctype.ellipsis:
            found.append(Parameter(name_of_the_rest(self.names), Parameter.VAR_POSITIONAL))
        return Signature(found)

    def __call__(self, *args: Any, **named: Any) -> Any:
        from ffi_ext.calls import arguments, cffi_values, refusals

        if named:
            text = f"{self.name}() takes positional arguments only, got {', '.join(named)}="
            raise TypeError(f"{text}\n  in {refusals.prototype(self)}")
        given = arguments.for_cffi(self, args)  # addresses: `args` keeps what lies there
        try:
            return _runtime.call_cffi(self, self._function, given)
        except (TypeError, OverflowError) as error:
            raise cffi_values.explained(self, self.ctype.args, given, error) from None

    def __repr__(self) -> str:
        from ffi_ext.calls import refusals

        return f"<C function {self.module}.{self.name} through cffi: {refusals.prototype(self)}>"

    def __reduce__(self) -> str:
        return self.name
