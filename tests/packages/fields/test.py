import torch
import torch.nn.functional as F
from _ext import fields

v = torch.rand(5, 4, 6, dtype=torch.float64).permute(2, 0, 1)
z, y, x = 2.25, 1.5, 0.75
size = torch.tensor(v.shape, dtype=torch.float64)
grid = (torch.tensor([[[[[x, y, z]]]]], dtype=torch.float64) / (size.flip(0) - 1)) * 2 - 1
want = F.grid_sample(v[None, None], grid, align_corners=True).item()
assert abs(fields.trilinear(v, z, y, x) - want) < 1e-12
try:
    fields.trilinear(v[0], z, y, x)
    raise SystemExit("a plane was taken for a volume")
except torch.FatalError as error:
    assert "invalid argument 1: 3D volume expected, got 2D" in str(error)
t = torch.zeros(7, 3)[2:].t()
out = torch.LongTensor()
fields.describe(t, out)
assert out.tolist() == [2, 6, 21, 3, 1, 5, 3]
