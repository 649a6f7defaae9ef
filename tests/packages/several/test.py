import torch
from _ext import one, two
import _ext.sub.three as three

t = torch.zeros(3).int()
one.one_step(t)
assert t.tolist() == [4] * 3
two.two_step(t)
assert t.tolist() == [4 + 2 * 8] * 3
three.three_step(t)
assert t.tolist() == [26] * 3
assert (one.shared(), two.shared(), three.shared()) == (4, 8, 6)
