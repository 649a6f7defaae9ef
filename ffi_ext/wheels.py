"""setuptools builds what [[tool.ffi-ext.extension]] of a pyproject.toml says."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ffi_ext.builder import wheel_tags
from ffi_ext.errors import BuildError
from ffi_ext.headers import included


def finalize(distribution: Any) -> None:
    """setuptools calls this for every project (an entry point); most have no [tool.ffi-ext]."""
    path = Path("pyproject.toml")
    tables = tables_of(path) if path.is_file() else []
    _add_made(distribution)
    _add_binaries(distribution)
    if not tables:
        return
    from setuptools import Extension
    from setuptools.command.build_ext import build_ext

    from ffi_ext.compilers import universal

    extensions = []
    for table in tables:
        name = table["name"]
        extension = Extension(
            f"{name}._{name.rpartition('.')[2]}",
            sources=listed(table.get("sources", [])),
            depends=[*_own_files(table), *listed(table.get("depends", []))],
            py_limited_api=universal.uses_limited_api(table.get("py_limited_api")),
        )
        extension._ffi_ext = table
        extensions.append(extension)
    distribution.ext_modules = [*(distribution.ext_modules or []), *extensions]
    base = distribution.cmdclass.get("build_ext", build_ext)
    distribution.cmdclass["build_ext"] = type("BuildExt", (_BuildsOurs, base), {})
    if universal.may_be_stable(None):
        wheel_tags.tag_stable()


finalize.order = 1  # type: ignore[attr-defined] # cffi_modules, whose scripts are run at 0, come first


def _add_made(distribution: Any) -> None:
    """Packages that a build script made after the find_packages() of the setup.py that runs it had looked.

    Without them a binary is installed without its __init__.py: a namespace, which is empty.
    """
    from setuptools.discovery import find_package_path

    listed = distribution.packages or []
    for package, folder in wheel_tags.made.items():
        if package in listed or package.partition(".")[0] not in listed:
            continue
        found = find_package_path(package, distribution.package_dir or {}, ".")
        if Path(found).resolve() == folder.resolve():
            distribution.packages = listed = [*listed, package]


def _add_binaries(distribution: Any) -> None:
    """`package_data={"pkg": ["_ext/_add.so"]}`, as the original called it: it is _add.abi3.so, or of this Python."""
    for package, patterns in (distribution.package_data or {}).items():
        ours = [re.sub(r"(^|/)(_\w+)\.so$", r"\1\2.*.so", pattern) for pattern in patterns]
        distribution.package_data[package] = list(dict.fromkeys([*patterns, *ours]))


def _parsed(path: Path) -> dict[str, Any]:
    wheel_tags.check_setuptools()
    from setuptools.compat.py310 import tomllib

    with path.open("rb") as file:
        content: dict[str, Any] = tomllib.load(file)
    return content


def is_required(path: Path) -> bool:
    """Whether the [build-system] of a pyproject.toml requires ffi_ext: else pip builds without the tables."""
    required = _parsed(path).get("build-system", {}).get("requires", [])
    return any(re.match(r"\s*ffi[-_.]ext(?![\w.-])", str(name), re.I) for name in required)


def tables_of(path: Path) -> list[dict[str, Any]]:
    """[[tool.ffi-ext.extension]] of a pyproject.toml, checked as far as setuptools needs it.

    Raises:
        ValueError: A table is not what it has to be, or the file is no TOML.
    """
    if not re.search(rb"ffi[-_]ext", path.read_bytes()):
        return []  # nearly all
    tools = _parsed(path).get("tool", {})
    if "ffi_ext" in tools:
        raise ValueError(
            "pyproject.toml: [tool.ffi_ext] is nobody's: write ffi-ext, as in [[tool.ffi-ext.extension]]"
        )
    tool = tools.get("ffi-ext", {})
    tables = tool.get("extension", [])
    unknown = sorted(set(tool) - {"extension"})
    if unknown or not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        what = f"[tool.ffi-ext] has no {unknown[0]!r}" if unknown else "it is no list of tables"
        raise ValueError(
            f"pyproject.toml: {what}: each extension is one [[tool.ffi-ext.extension]]"
        )
    for table in tables:
        _check(table)
    names = [table["name"] for table in tables]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(
            f"pyproject.toml: two [[tool.ffi-ext.extension]] have the name {twice[0]!r}: give each its own"
        )
    result: list[dict[str, Any]] = tables
    return result


def _check(table: dict[str, Any]) -> None:
    missing = [key for key in ("name", "headers") if not table.get(key)]
    missing += ["sources"] if "sources" not in table else []  # a library needs none: []
    if missing:
        near = difflib.get_close_matches(missing[0], table, n=1, cutoff=0.8)
        found = f", and there is {near[0]!r}" if near else ""
        raise ValueError(
            f"pyproject.toml: [[tool.ffi-ext.extension]] {table.get('name', '')!r}: {missing[0]!r} is "
            f"missing{found}; it takes name, headers, sources and the keywords of create_extension"
        )
    for key in ("headers", "sources", "depends"):
        value = table.get(key, [])
        files = value if isinstance(value, list) else [value]
        if not all(isinstance(file, str) for file in files):
            raise ValueError(
                f"pyproject.toml: [[tool.ffi-ext.extension]] {table['name']!r}: {key} = {value!r}: expected a "
                "file, or a list of files"
            )
    if not isinstance(table["name"], str) or "." not in table["name"]:
        raise ValueError(
            f"pyproject.toml: [[tool.ffi-ext.extension]] name = {table['name']!r}: expected a module in your "
            "package, such as 'my_package.kernels'"
        )


def _own_files(table: dict[str, Any]) -> list[str]:
    """The project's headers, and what these and the sources include of it: no installed library's."""
    root = Path.cwd()
    folders = [os.path.join(root, folder) for folder in listed(table.get("include_dirs", []))]
    headers = []
    for header in listed(table["headers"]):
        places = [Path(folder, header) for folder in (str(root), *folders)]
        headers += [place for place in places if place.is_file()][:1]
    sources = [Path(root, source) for source in listed(table.get("sources", []))]
    read = {*included.texts([*headers, *sources], folders, in_angles=True)} - {*sources}
    return sorted(str(path.relative_to(root)) for path in read if path.is_relative_to(root))


def listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _refuse_emptied(name: str, build_py: Any) -> None:
    """A package above the extension that the wheel would lack: the build would write an empty __init__.py for it."""
    package = name.rpartition(".")[0]
    while package:
        init = Path(build_py.get_package_dir(package), "__init__.py")
        if init.is_file() and package not in (build_py.packages or ()):
            raise ValueError(
                f"{_where(name)}: the wheel would be without {init}: add {package!r} to the packages of "
                "[tool.setuptools], which lists each one"
            )
        package = package.rpartition(".")[0]


def _where(name: str) -> str:
    return f"pyproject.toml: [[tool.ffi-ext.extension]] {name!r}"


def _build(table: dict[str, Any], base: Path, build_py: Any) -> None:
    """Builds an extension of the project in this directory below `base`."""
    from ffi_ext.builder import extension
    from ffi_ext.builder.extension_arguments import refusals_of

    name = table["name"]
    place = Path(build_py.get_package_dir(name))
    if problem := extension.hidden_by(place, name):
        raise ValueError(f"{_where(name)}: {problem}")
    _refuse_emptied(name, build_py)
    with refusals_of(_where(name)):
        extension.refuse_to_replace(place / "__init__.py", name)
        extension.of_table(table, base, place.absolute()).build()


_BuildExt: Any = object  # setuptools' build_ext, or the project's own: see finalize()


class _BuildsOurs(_BuildExt):  # type: ignore[misc]
    """Builds ours by ffi_ext (so .cu sources, checks and the cache work) and others as ever."""

    extensions: list[Any]

    def build_extension(self, ext: Any) -> None:
        table = getattr(ext, "_ffi_ext", None)
        if table is None:
            super().build_extension(ext)
            return
        build_py = self.get_finalized_command("build_py")
        try:
            _build(table, Path(self.build_lib).absolute(), build_py)
        except BuildError as error:
            if not table.get("optional"):
                raise
            self.warn(f"{table['name']} is optional, and is left out: {error}")

    def get_source_files(self) -> list[str]:
        build_py = self.get_finalized_command("build_py")
        for ext in self.extensions:
            table = getattr(ext, "_ffi_ext", None)
            if table is not None:  # a wheel of the sdist cannot see what that lacks
                _refuse_emptied(table["name"], build_py)
        found: list[str] = super().get_source_files()
        return found

    def get_ext_filename(self, fullname: str) -> str:
        from ffi_ext.compilers import universal

        ext = self.ext_map.get(fullname)
        if getattr(ext, "_ffi_ext", None) is None:
            return str(super().get_ext_filename(fullname))
        path = os.path.join(*fullname.split("."))
        own = path + universal.extension_suffix(False)
        if os.path.exists(os.path.join(self.build_lib, own)):
            return own
        return path + universal.extension_suffix(universal.may_be_stable(None))

    def copy_extensions_to_source(self) -> None:  # editable installs
        from ffi_ext import cache

        every: list[Any] = self.extensions
        self.extensions = [e for e in every if getattr(e, "_ffi_ext", None) is None]
        super().copy_extensions_to_source()
        self.extensions = every
        for built, path in self._ours():
            place = Path(path)
            place.parent.mkdir(parents=True, exist_ok=True)
            cache.replace(place, Path(built).read_bytes())
            cache.remove_namesakes(place)

    def get_outputs(self) -> list[str]:
        return sorted({*super().get_outputs(), *(built for built, _ in self._ours())})

    def get_output_mapping(self) -> dict[str, str]:
        mapping: dict[str, str] = super().get_output_mapping()
        return mapping | dict(self._ours()) if self.inplace else mapping

    def _ours(self) -> Iterator[tuple[str, str]]:
        """The files that we build, and where an editable install has them in the source tree."""
        packages = self.get_finalized_command("build_py")
        for ext in self.extensions:
            if getattr(ext, "_ffi_ext", None) is None:
                continue
            folder, binary = os.path.split(self.get_ext_filename(ext.name))
            if ext._ffi_ext.get("optional") and not os.path.exists(
                os.path.join(self.build_lib, folder, binary)
            ):
                continue
            place = packages.get_package_dir(ext.name.rpartition(".")[0])
            for name in (binary, "__init__.py", "__init__.pyi"):
                yield os.path.join(self.build_lib, folder, name), os.path.join(place, name)
