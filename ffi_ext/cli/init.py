"""`ffi-ext init`: a new project with header, source, package, test, pyproject and README. It works as it is."""

from __future__ import annotations

import argparse
import keyword
import re
import shlex
import sys
from pathlib import Path

from ffi_ext.cli.terminal import BOLD, OK, PROBLEMS, coloured, complain

HEADER = """\
/* Kernels of NAME: what is declared here becomes a Python function. const tensors are inputs, others outputs. */

/* out = x * sigmoid(x); contiguous tensors of the same shape. */
void silu_forward(const THFloatTensor *x, THFloatTensor *out);

/* grad_x = grad_out * d silu(x) / dx */
void silu_backward(const THFloatTensor *grad_out, const THFloatTensor *x, THFloatTensor *grad_x);
"""

SOURCE = """\
#include <TH/TH.h>
#include <math.h>

/* Elements of `out` after the checks: the same size as `x`, both contiguous. */
static int64_t checked(const THFloatTensor *x, const THFloatTensor *out) {
  THArgCheck(THFloatTensor_isSameSizeAs(x, out), 2, "the output must have the input's size");
  THArgCheck(THFloatTensor_isContiguous(x) && THFloatTensor_isContiguous(out), 1, "call .contiguous() first");
  return THFloatTensor_nElement(x);
}

void silu_forward(const THFloatTensor *x, THFloatTensor *out) {
  const int64_t n = checked(x, out);
  const float *in = THFloatTensor_data(x);
  float *to = THFloatTensor_data(out);
  for (int64_t i = 0; i < n; i++) to[i] = in[i] / (1 + expf(-in[i]));
}

void silu_backward(const THFloatTensor *grad_out, const THFloatTensor *x, THFloatTensor *grad_x) {
  const int64_t n = checked(x, grad_x);
  checked(x, grad_out);
  const float *grad = THFloatTensor_data(grad_out), *in = THFloatTensor_data(x);
  float *to = THFloatTensor_data(grad_x);
  for (int64_t i = 0; i < n; i++) {
    const float s = 1 / (1 + expf(-in[i]));
    to[i] = grad[i] * s * (1 + in[i] * (1 - s));
  }
}
"""

PACKAGE = '''\
"""NAME: functions on torch tensors, in C."""

import torch
from ffi_ext import library

from NAME import kernels  # built from csrc/, see [[tool.ffi-ext.extension]] in pyproject.toml

library.register(kernels, "NAME")  # torch.ops.NAME; torch.compile sees through them
_silu = library.differentiable(kernels.silu_forward, kernels.silu_backward)


def silu(x: torch.Tensor) -> torch.Tensor:
    """x * sigmoid(x), with gradients. x: float32 on the CPU, any shape."""
    return _silu(x.contiguous())
'''

TEST = '''\
"""The kernels against torch's own."""

import pytest
import torch

import NAME


@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (0, 4)])
def test_silu_and_its_gradient(shape):
    x = torch.randn(shape, requires_grad=True)
    out, want = NAME.silu(x), torch.nn.functional.silu(x)
    torch.testing.assert_close(out, want)
    (grad,) = torch.autograd.grad(out.sum(), x)
    torch.testing.assert_close(grad, torch.autograd.grad(want.sum(), x)[0])


def test_a_wrong_dtype_is_refused():
    with pytest.raises(TypeError, match="float32"):
        NAME.kernels.silu_forward(torch.zeros(2, dtype=torch.float64), torch.zeros(2))
'''

PYPROJECT = """\
[build-system]
requires = ["setuptools>=77", "ffi-ext"]
build-backend = "setuptools.build_meta"

[project]
name = "DISTRIBUTION"
version = "0.1.0"
description = "Functions on torch tensors, in C"
readme = "README.md"
requires-python = ">=3.10"
dependencies = ["ffi-ext"]

[[tool.ffi-ext.extension]]
name = "NAME.kernels"
headers = ["csrc/NAME.h"]
sources = ["csrc/NAME.c"]
# .cu files in sources are compiled by nvcc; with_cuda = true gives C sources <THC/THC.h>
# define_macros, include_dirs, libraries, extra_compile_args ...: as of ffi_ext.create_extension

[tool.setuptools]
packages = ["NAME"]
package-dir = { "" = "src" }
package-data = { NAME = ["py.typed"] }

[tool.uv]  # uv sync and uv run build again when one of these has changed
cache-keys = [{ file = "pyproject.toml" }, { file = "csrc/**/*" }]

[tool.pytest.ini_options]
testpaths = ["tests"]
"""

README = """\
# DISTRIBUTION

    pip install --no-build-isolation -e . pytest     # builds src/NAME/kernels; again after a change of csrc/
    python -m pytest
    pip wheel --no-build-isolation --no-deps -w dist .    # one wheel for every Python from 3.10 on

| where | what |
|---|---|
| `csrc/NAME.h` | what Python sees: prototypes with comments |
| `csrc/NAME.c` | the kernels |
| `src/NAME/` | the package around them: gradients, operators |
| `tests/` | the kernels against torch |

`--no-build-isolation` builds with the ffi_ext of this environment; without it pip looks for one to build with.
"""

GITIGNORE = "__pycache__/\n/build/\n/dist/\n*.egg-info/\n/src/NAME/kernels/\n"


def add(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "example:\n  ffi-ext init my_ops && cd my_ops\n"
        "  pip install --no-build-isolation -e . pytest && python -m pytest"
    )
    parser.add_argument("name", help="the package's name, an identifier such as my_ops")
    parser.add_argument("directory", nargs="?", help="where to; a new directory NAME by default")


def main(options: argparse.Namespace) -> int:
    name = options.name
    if not re.fullmatch(r"[a-zA-Z]\w*", name, re.ASCII) or keyword.iskeyword(name):
        return complain(
            f"init: {name!r} is no package name: letters, digits and _, not a keyword, as in my_ops"
        )
    # ours, and what builds and tests the project and would import it in their place
    others = "cffi csrc ffi_ext kernels numpy pip pycparser pytest setuptools test tests torch"
    if name in others.split() or name in sys.stdlib_module_names:
        return complain(f"init: a package {name!r} would hide another; take another name")
    folder = Path(options.directory or name)
    files = {
        "pyproject.toml": PYPROJECT,
        "README.md": README,
        ".gitignore": GITIGNORE,
        f"csrc/{name}.h": HEADER,
        f"csrc/{name}.c": SOURCE,
        # Not beside tests/, where Python would find it in the place of an installed one that has the binary.
        f"src/{name}/__init__.py": PACKAGE,
        f"src/{name}/py.typed": "",
        f"tests/test_{name}.py": TEST,
    }
    there = [path for path in files if (folder / path).exists()]
    if there:
        return complain(f"init: {folder / there[0]} exists already; nothing was written")
    distribution = name.replace("_", "-").lower()
    made: list[Path] = []
    try:
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            made.append(folder / path)
            text = text.replace("DISTRIBUTION", distribution).replace("NAME", name)
            made[-1].write_text(text, encoding="utf-8")
    except OSError as error:  # a full disk has no file name
        for file in made:  # half a project would be in the next try's way
            file.unlink(missing_ok=True)
        return complain(
            f"init: {error.filename or made[-1]} cannot be written: {error.strerror}", PROBLEMS
        )
    for file in made:
        print(f"made {file}")
    command = f"cd {shlex.quote(str(folder))} && pip install --no-build-isolation -e . pytest && python -m pytest"
    print(f"next: {coloured(command, BOLD)}")
    return OK
