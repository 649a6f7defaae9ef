import torch
from _ext.query import within, histogram

torch.manual_seed(1)
points, center = torch.rand(3, 50).t(), torch.rand(3)
found, mask = torch.LongTensor(), torch.ByteTensor()
near = (points - center).norm(2, 1) < 0.5
assert within(points, center, 0.5, found, mask) == near.sum().item()
assert found.tolist() == near.nonzero().view(-1).tolist()
assert torch.equal(mask.view(-1), near.byte())
counts, values = torch.IntTensor(), torch.randint(0, 9, (7, 11))
histogram(counts, values.t())
assert torch.equal(counts.long(), torch.bincount(values.reshape(-1)))
