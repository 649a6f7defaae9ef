import torch
import clamped

x = torch.linspace(-2, 2, 12, dtype=torch.float64).view(3, 4).t()
want = x.clone().clamp(-1, 0.5)
clamped.clamp_(x, -1, 0.5)
assert torch.equal(x, want)
