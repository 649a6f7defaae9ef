import torch
from _ext import softmax

x, out = torch.randn(40, 30) * 10, torch.FloatTensor()
assert softmax.log_softmax(x, out, 2) == 2
torch.testing.assert_close(out, torch.log_softmax(x, 1))
try:
    softmax.log_softmax(x.t(), out, 2)
    raise SystemExit("a transposed tensor was taken")
except torch.FatalError as error:
    assert "in must be contiguous at" in str(error)
