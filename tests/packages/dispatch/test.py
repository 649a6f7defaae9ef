import torch
from _ext import pairs

for shape in [(6,), (4, 6), (3, 4, 6)]:
    a, b, out = torch.rand(*shape), torch.rand(*shape), torch.FloatTensor()
    pairs.dot(out, a, b)
    torch.testing.assert_close(out, (a * b).sum(-1).view(out.shape))
try:
    pairs.dot(out, torch.rand(1, 1, 1, 1), torch.rand(1, 1, 1, 1))
    raise SystemExit("four dimensions were taken")
except torch.FatalError as error:
    assert "dot of 4 dimensions" in str(error)
x = torch.rand(3, 5, 4, dtype=torch.float64).transpose(0, 2)
for dim in range(3):
    out = torch.DoubleTensor()
    pairs.cumulated(out, x, dim)
    torch.testing.assert_close(out, x.cumsum(dim))
