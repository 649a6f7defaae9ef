"""The CUDA twins of the kernels: what they compute, compiled for the CPU; on a GPU, that they run (`make test-cuda`)."""

from __future__ import annotations

import contextlib

import pytest
import torch

kernels = pytest.importorskip("_ext.kernels", reason="run `python build_ffi.py` first")

from resnet.ops import native  # noqa: E402
from tests import cuda_on_cpu  # noqa: E402
from tests.operators import differentiable, selections  # noqa: E402

NAMES = [*differentiable(), *selections()]
DTYPES = {"float": torch.float32, "double": torch.float64}
TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-12}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return cuda_on_cpu.build(tmp_path_factory.mktemp("cuda_on_cpu"))


@pytest.fixture(params=["forwards", "backwards"])
def twins(request, built):
    """The CUDA functions on the CPU, computing their indices in either order."""
    built.run_backwards(request.param == "backwards")
    return built


@contextlib.contextmanager
def computing(module):
    """Within this, `resnet.ops` computes on the CPU by these functions."""
    patch = pytest.MonkeyPatch()
    patch.setitem(native._loaded, "cpu", (module, ""))
    patch.setitem(native.MODULES, "cpu", ("kernels_cuda", "_cuda"))
    yield
    patch.undo()


def results(case):
    """What an operator returns, and the gradients."""
    y = case.call(*case.inputs)
    outputs = list(y) if isinstance(y, tuple) else [y]
    trained = [x for x in case.inputs if x.requires_grad]
    if trained:
        grad = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape)
        outputs += torch.autograd.grad(y, trained, grad)
    return outputs


@pytest.mark.parametrize("dtype", DTYPES.values())
@pytest.mark.parametrize("name", NAMES)
def test_operators_compute_what_they_do_on_the_cpu(twins, name, dtype):
    case = (differentiable(dtype) | selections(dtype))[name]
    expected = results(case)
    with computing(twins):
        found = results(case)
    torch.testing.assert_close(found, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
