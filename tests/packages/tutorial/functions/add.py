import torch
from torch.autograd import Function
from _ext import add


class Add(Function):
    def forward(self, a, b):
        output = torch.FloatTensor()
        add.add_forward(a, b, output)
        return output

    def backward(self, grad_output):
        grad_input = torch.FloatTensor()
        add.add_backward(grad_output, grad_input)
        return grad_input, grad_input
