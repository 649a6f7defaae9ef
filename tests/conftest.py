"""Shared fixtures: a cache of the tests' own, `build` makes a module of C text, a small `project`, torchvision."""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ffi_ext import create_extension
from ffi_ext.headers import definitions
from tests import small_project

_numbers = itertools.count()

# Read when torch is imported: threads that wait for work would spin, which takes the cores from other processes.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Builds of the tests do not meet those of the user."""
    patch = pytest.MonkeyPatch()
    patch.setenv("FFI_EXT_CACHE", str(tmp_path_factory.mktemp("cache")))
    own = tmp_path_factory.getbasetemp()
    mypy = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "mypy"
    mypy.mkdir(exist_ok=True)
    patch.setenv("MYPY_CACHE_DIR", str(mypy))  # see processes.mypy
    yield
    patch.undo()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs a GPU comes first: it may be lent for minutes, in which the others need not end."""

    def needs_gpu(item: pytest.Item) -> bool:
        reasons = (str(mark.kwargs.get("reason")) for mark in item.iter_markers("skipif"))
        return any("there is no GPU" in reason for reason in reasons)

    items.sort(key=needs_gpu, reverse=True)


_lost: list[str] = []


@pytest.fixture(autouse=True)
def gpu_errors(request: pytest.FixtureRequest) -> Iterator[None]:
    """What fails on a GPU is told of the test that launched it, not of the next that asks the GPU something."""
    yield
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        _lost.append(request.node.nodeid)
        raise


@pytest.hookimpl(trylast=True)
def pytest_runtest_logfinish() -> None:
    """An illegal address ends the process's work on the GPU: pytest-xdist starts another for the other tests."""
    if _lost and "PYTEST_XDIST_WORKER" in os.environ:
        os._exit(1)


def _maker(folder: Path) -> Callable[..., ModuleType]:
    def make(header: str | None, source: str, suffix: str = ".c", **kwargs: Any) -> ModuleType:
        name = f"made{next(_numbers)}"
        if header is None:
            header = definitions.exported(source, cxx=suffix != ".c")
        (folder / f"{name}.h").write_text(header)
        (folder / f"{name}{suffix}").write_text(source)
        create_extension(
            f"_built_{name}.{name}",
            headers=[f"{name}.h"],
            sources=[f"{name}{suffix}"],
            relative_to=str(folder / "build.py"),
            verbose=False,
            **kwargs,
        ).build()
        importlib.invalidate_caches()
        sys.modules.pop(f"_built_{name}", None)
        return importlib.import_module(f"_built_{name}.{name}")

    return make


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ModuleType]:
    """build(header, source, **kwargs): writes the texts below tmp_path, builds and imports a module.

    Where the header is None, the source's functions that are not static are exported, as by load_inline. Every module
    has a name of its own, so that the tests of one process do not share any.
    """
    monkeypatch.syspath_prepend(str(tmp_path))
    return _maker(tmp_path)


@pytest.fixture(scope="module")
def build_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., ModuleType]]:
    """The same for a module that all tests of a file share."""
    folder = tmp_path_factory.mktemp("once")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield _maker(folder)


@pytest.fixture
def imported_from(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], ModuleType]:
    """imported_from(folder): the package there, under a name of its own."""

    def load(folder: Path) -> ModuleType:
        name = f"_imported{next(_numbers)}"
        spec = importlib.util.spec_from_file_location(name, folder / "__init__.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project of tests/small_project.py in a directory of its own, with a cache of its own."""
    small_project.write(tmp_path)
    monkeypatch.setenv("FFI_EXT_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def use_compiler(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """use_compiler("clang"): builds of this test take it; where there is none the test is skipped."""

    def use(command: str, variable: str = "CC") -> None:
        program = command.split()[0]
        if shutil.which(program) is None:
            pytest.skip(f"there is no {program} on this machine")
        monkeypatch.setenv(variable, command)

    return use


@pytest.fixture(scope="session")
def tv() -> Any:
    """torchvision.ops on its own C++ kernels."""
    from benchmarks import torchvision_cpu

    why_not = torchvision_cpu.load()
    if why_not:
        pytest.skip(why_not)
    import torchvision.ops

    return torchvision.ops
