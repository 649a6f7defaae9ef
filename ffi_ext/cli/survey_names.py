"""What the scripts of a repository ask Python for: modules that are not installed, and names of Python 2."""

from __future__ import annotations

import ast
import collections.abc
import contextlib
import importlib.util
import platform
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

from ffi_ext.cli.edits import last_name, nodes
from ffi_ext.cli.report import Report
from ffi_ext.legacy import old_errors, old_names

# What to install for a module of another name.
PACKAGES = {
    "PIL": "pillow",
    "cv2": "opencv-python",
    "distutils": "setuptools",
    "mpl_toolkits": "matplotlib",
    "pyximport": "cython",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}

# Names that Python 2 has, and what they are today; methods begin with a dot.
OF_PYTHON_2 = {
    "basestring": "str",
    "long": "int",
    "raw_input": "input",
    "reduce": "functools.reduce",
    "unichr": "chr",
    "unicode": "str",
    "xrange": "range",
    ".has_key": "key in dict",
    ".iteritems": ".items",
    ".iterkeys": ".keys",
    ".itervalues": ".values",
}
# What SciPy had of images until 1.3, and its kin; and in another place.
OF_SCIPY = {
    "scipy.misc.logsumexp": "scipy.special.logsumexp",
    **{
        f"scipy.signal.{w}": f"scipy.signal.windows.{w}"
        for w in ("bartlett", "blackman", "hamming", "hann")
    },
}
# What torch had of LAPACK until 1.2, by LAPACK's names. Its own of 1.2 say themselves what they are today.
OF_TORCH = {
    "torch.btrifact": "torch.linalg.lu_factor(A)",
    "torch.btrisolve": "torch.linalg.lu_solve(LU, pivots, B)",
    "torch.btriunpack": "torch.lu_unpack(LU, pivots)",
    "torch.gels": "torch.linalg.lstsq(A, B) for gels(B, A)",
    "torch.gesv": "torch.linalg.solve(A, B) for gesv(B, A)",
    "torch.potrf": "torch.linalg.cholesky(A, upper=True)",
    "torch.potri": "torch.cholesky_inverse(U, upper=True)",
    "torch.potrs": "torch.cholesky_solve(B, U, upper=True)",
    "torch.trtrs": "torch.linalg.solve_triangular(A, B, upper=True) for trtrs(B, A)",
}
# In a condition on what there is: the version of Python or of a library, or the system.
ASKS = re.compile(
    r"version|hasattr|\bPY_?[23]\b|platform|\bos\.name\b|\bis_?win|TYPE_CHECKING", re.I
)
# Libraries that are imported to see what they have. Of all others only those that are loaded anyway are looked at.
SEEN = ("numpy", "scipy", "torch")
# Names that may be missing here: ffi_ext brings them, the repository fills them, or they are in other builds of torch
# (with CUDA) and in Python on Windows.
FILLED = (
    old_names.NAME,
    "torch.ops.",
    "torch.classes.",
    "torch._C._",
    "ctypes.win",
    "ctypes.Win",
)
_NOTHING = object()
# What `ffi-ext run` brings back, beside torch.utils.ffi and names of NumPy's and Python's, and what to write instead.
BROUGHT_BACK = {
    "inspect.getargspec": "write inspect.getfullargspec",
    "time.clock": "write time.process_time",
    "scipy.misc.imread": "write imageio.v2.imread",
    "scipy.misc.imresize": "write numpy.array(PIL.Image.fromarray(image).resize((width, height), PIL.Image.BILINEAR))",
    "scipy.misc.imrotate": "write numpy.array(PIL.Image.fromarray(image).rotate(degrees, PIL.Image.BILINEAR))",
    "scipy.misc.imsave": "write imageio.v2.imwrite",
    "scipy.misc.toimage": "write PIL.Image.fromarray, of uint8",
    "torch._six": "string_classes is (str, bytes), int_classes int, container_abcs collections.abc, inf math.inf",
    "torch.autograd.gradcheck.zero_gradients": "set x.grad = None",
    "torch.nn.modules.loss._assert_no_grad": "leave its import and its calls out",
    "torch.utils.data.dataloader.numpy_type_map": "torch.as_tensor takes NumPy's numbers of every type",
}


def _is_installed(name: str) -> bool:
    try:
        return name in sys.modules or importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def imports(imported: dict[str, str], local: set[str], built: set[str], report: Report) -> None:
    """What the scripts import and this Python does not have; `built` has dotted names."""
    beside = {name.rpartition(".")[2]: name for name in built}
    known = set(sys.stdlib_module_names) | local
    for name, where in sorted(imported.items()):
        if name in known:
            continue
        report.needs.append(name)
        found = _is_installed(name)
        if not found and (cure := old_errors.gone(name)):
            report.problems.append(f"{where}: {cure}")
        elif not found and name in beside:
            report.problems.append(
                f"{where}: {name} is built as {beside[name]}: import it by that name, or in a file beside it, where "
                f"Python 2 found {name}, too, write `from .{name} import ...`"
            )
        elif not found:
            package = PACKAGES.get(name, name)
            report.problems.append(f"{where}: {name} is not installed: pip install {package}")


def optional_imports(tree: ast.Module) -> Iterator[ast.AST]:
    """The imports that a script does without: it catches their ImportError, or asks for a version or system before."""
    for node in nodes(tree):
        if isinstance(node, ast.If) and ASKS.search(ast.unparse(node.test)):
            yield from (*node.body, *node.orelse)
        elif isinstance(node, ast.Try) and _catches(node, "ImportError|ModuleNotFound"):
            yield from node.body
            names = [a.name for n in node.body if isinstance(n, ast.Import) for a in n.names]
            names += [n.module or "" for n in node.body if isinstance(n, ast.ImportFrom)]
            if all(_is_installed(name.partition(".")[0]) for name in names):
                yield from (found for handler in node.handlers for found in handler.body)


def of_python_2(tree: ast.Module) -> dict[str, int]:
    """Names of Python 2 that a script uses and does not define or import, and where it does first."""
    used: dict[str, int] = {}
    guarded = _guarded(tree, "NameError|AttributeError")
    known = _defined(tree)
    known |= {a.asname or a.name for a in nodes(tree) if isinstance(a, ast.alias)}
    for node in nodes(tree):
        name = ""
        if isinstance(node, ast.Name):
            name = node.id
        elif isinstance(node, ast.Attribute) and last_name(node.value) not in ("six", "future"):
            name = f".{node.attr}"
        if (
            name in OF_PYTHON_2
            and node not in guarded
            and not {name, name.lstrip("."), "*"} & known
        ):
            used.setdefault(name, node.lineno)  # type: ignore[attr-defined]
    return used


def _guarded(tree: ast.Module, errors: str) -> set[ast.AST]:
    """What a script tries, ready for these errors, or does after a question for a version."""
    guarded: set[ast.AST] = set()
    for node in nodes(tree):
        if isinstance(node, ast.Try):
            if _catches(node, errors):
                guarded |= set(ast.walk(node))
        elif isinstance(node, (ast.If, ast.IfExp, ast.BoolOp)):
            test = node if isinstance(node, ast.BoolOp) else node.test
            if ASKS.search(ast.unparse(test)):
                guarded |= set(ast.walk(node))
    return guarded


def _defined(tree: ast.Module) -> set[str]:
    """Names that a script gives to something else than what it imports."""
    known: set[str] = set()
    for node in nodes(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            known.add(node.id)
        elif isinstance(node, ast.arg):
            known.add(node.arg)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            known.add(node.name)
    return known


def of_libraries(tree: ast.Module, local: set[str]) -> tuple[dict[str, int], set[str]]:
    """What a script asks of modules of this Python that they do not have, such as numpy.float, and where it does first.

    And what it gives them itself: `np.float = float`.

    Args:
        local: Names of the repository's own modules.
    """
    guarded = _guarded(tree, "ImportError|ModuleNotFound|AttributeError")
    modules: dict[str, ModuleType] = {}  # by their names in the script
    missing: dict[str, int] = {}
    given: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for node in nodes(tree):
            for name, value, lost in _imported(node, local):
                if isinstance(value, ModuleType):
                    modules[name] = value
                if lost and node not in guarded:
                    missing.setdefault(lost, node.lineno)  # type: ignore[attr-defined]
        for name in {*_defined(tree), *local} & set(modules):
            del modules[name]
        for used in (node for node in nodes(tree) if isinstance(node, ast.Attribute)):
            if module := _module_of(used.value, modules):
                name = f"{module.__name__}.{used.attr}"
                if isinstance(used.ctx, ast.Store):
                    given.add(name)
                elif used not in guarded and not _has(module, used.attr):
                    missing.setdefault(name, used.lineno)
    return {name: line for name, line in missing.items() if not name.startswith(FILLED)}, given


def _imported(node: ast.AST, local: set[str]) -> Iterator[tuple[str, object, str]]:
    """What an import binds: a name, what it is in this Python, and what of the import is not there, or ""."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            first = alias.name.partition(".")[0]
            if first not in local:
                module = _module(alias.name)
                lost = "" if _is_there(alias.name) else alias.name
                name, value = (alias.asname, module) if alias.asname else (first, _module(first))
                yield name, value, lost
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        if node.module.partition(".")[0] in local:
            return
        module = _module(node.module)
        for alias in node.names:
            lost = "" if _is_there(node.module) else node.module
            if module is not None and alias.name != "*" and not _has(module, alias.name):
                lost = f"{node.module}.{alias.name}"
            yield alias.asname or alias.name, getattr(module, alias.name, None), lost


def _is_there(path: str) -> bool:
    """Whether a module is installed, or of a library that is not looked at (see SEEN)."""
    return path.partition(".")[0] not in SEEN or _is_installed(path)


def _has(module: ModuleType, name: str) -> bool:
    return _of(module, name) is not _NOTHING or _is_installed(f"{module.__name__}.{name}")


def _of(module: ModuleType, name: str) -> object:
    with contextlib.suppress(RuntimeError):  # torch.classes has what a library will register
        return getattr(module, name, _NOTHING)
    return None


def _module_of(node: ast.expr, modules: Mapping[str, ModuleType]) -> ModuleType | None:
    """The module that an expression such as `np.linalg` is."""
    if isinstance(node, ast.Name):
        return modules.get(node.id)
    if not isinstance(node, ast.Attribute):
        return None
    outer = _module_of(node.value, modules)
    inner = _of(outer, node.attr) if outer else None
    return inner if isinstance(inner, ModuleType) else None


def _module(name: str) -> ModuleType | None:
    if name.partition(".")[0] in SEEN and name not in sys.modules:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    return sys.modules.get(name)


def _instead(name: str) -> tuple[str, bool]:
    """What to write for a name that a library has no more, or "", and whether `ffi-ext run` brings it back."""
    path, _, last = name.rpartition(".")
    if path == "numpy" and last in old_names.OF_NUMPY:
        return old_names.OF_NUMPY[last], True
    if path == "collections" and hasattr(collections.abc, last):
        return f"collections.abc.{last}", True
    return (OF_SCIPY | OF_TORCH).get(name, ""), name in BROUGHT_BACK or name in OF_TORCH


def is_brought_back(name: str) -> bool:
    return _instead(name)[1]


def without(name: str) -> str:
    """That a library has something no more, and what to do."""
    first = name.partition(".")[0]
    version = getattr(sys.modules.get(first), "__version__", "")
    if first in sys.stdlib_module_names:
        first, version = "Python", platform.python_version()
    written, is_back = _instead(name)
    cures = [f"write {written}"] if written else []
    cures += [BROUGHT_BACK[name]] if name in BROUGHT_BACK else []
    cures += ["`ffi-ext run` and install(autograd=True) bring it back"] if is_back else []
    cure = "; ".join(cures) or "rewrite what needs it, or use a version that has it"
    return f"{first} {version} has no {name}: {cure}"


def is_beside(init: Path, name: str) -> bool:
    """Whether a package has a module or package of that name, and there is no other that would be found."""
    there = (init.with_name(f"{name}.py"), init.parent / name / "__init__.py")
    if name in sys.stdlib_module_names or not any(path.exists() for path in there):
        return False
    return not _is_installed(name)


def _catches(node: ast.Try, words: str) -> bool:
    """Whether a handler is for one of these errors, or for all."""
    types = (ast.unparse(h.type) if h.type else "Exception" for h in node.handlers)
    return any(re.search(rf"{words}|\bException", text) for text in types)
