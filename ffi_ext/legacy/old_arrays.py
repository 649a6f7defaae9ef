"""Arrays of numbers as scripts before PyTorch 0.4 have them: `loss.data.numpy()[0]`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from ffi_ext.legacy.old_autograd import say_once
from ffi_ext.untraced import untraced

_numpy: Callable[..., Any] = torch.Tensor.numpy


@functools.cache
def _of_a_number() -> type:
    import numpy

    class Number(numpy.ndarray):
        """The array of a tensor without dimensions, which had one."""

        def __getitem__(self, index: Any) -> Any:
            if self.ndim == 0 and type(index) is int and index in (0, -1):
                say_once("[0] of the array of a number, as of loss.data.numpy(), gives the number")
                index = ()
            return super().__getitem__(index)

        def __array_wrap__(self, array: Any, context: Any = None, scalar: bool = False) -> Any:
            # `a += 1` is a, a + 1 a number, and what is more an array, as ever; NumPy 1 makes it one of these
            return array if array is self else numpy.asarray(array)[()]

        def __reduce__(self) -> Any:  # pickled, it needs no ffi_ext
            return numpy.array(self).__reduce__()

        def __repr__(self) -> str:
            return repr(self.view(numpy.ndarray))

    untraced(Number.__getitem__, Number.__array_wrap__)  # NumPy calls them
    # collate functions of the time ask for these
    Number.__name__, Number.__qualname__, Number.__module__ = "ndarray", "ndarray", "numpy"
    return Number


def numpy_of_old(self: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    if torch.compiler.is_dynamo_compiling():  # it knows no _numpy
        import numpy

        return numpy.asarray(self)
    array = _numpy(self, *args, **kwargs)
    return array if self.dim() else array.view(_of_a_number())


untraced(numpy_of_old)  # what torch.compile makes of it calls it without end
