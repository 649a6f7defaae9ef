import numpy
import torch
from _ext import poly

x, c = torch.rand(9, dtype=torch.float64), torch.rand(5, dtype=torch.float64)
want = numpy.polyval(c.numpy()[::-1], x.numpy())
poly.horner(x, c)
numpy.testing.assert_allclose(x.numpy(), want, rtol=1e-14)
assert poly.answer() == 42
