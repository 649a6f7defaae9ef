import torch
from _ext import make

assert torch.equal(make.eye(4), torch.eye(4).double())
t = torch.rand(3, 5, 2)
assert list(make.sizes(t)) == [3, 5, 2]
view = make.row(t, 1)
assert torch.equal(view, t[1]) and view.data_ptr() == t[1].data_ptr()
view.zero_()
assert t[1].abs().sum() == 0 and t[0].abs().sum() > 0
assert make.same(t).data_ptr() == t.data_ptr()
assert make.transposed(t).stride() == t.transpose(0, 1).stride()
assert make.references(t) == 1
del t
assert view.sum() == 0
