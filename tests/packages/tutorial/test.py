import torch
import torch.nn as nn
from torch.autograd import Variable
from functions.add import Add


class Network(nn.Module):
    def forward(self, a, b):
        return Add()(a, b)


x = torch.arange(1, 26).float().view(5, 5)
a, b = Variable(x, requires_grad=True), Variable(x * 4, volatile=True)
out = Network()(a, b)
assert torch.equal(out.data, 5 * x)
loss = out.sum()
loss.backward()
assert loss.data[0] == 5 * 325
assert torch.equal(a.grad.data, torch.ones(5, 5))
