import torch
from _ext import scatter

index = torch.randint(0, 4, (6, 3)).t()
for name in ["Float", "Double", "Long", "Int", "Short", "Char", "Byte"]:
    like = getattr(torch, name + "Tensor")
    src = torch.randint(0, 9, (3, 6)).type(like)
    out = torch.zeros(4).type(like)
    getattr(scatter, "scatter_add_" + name)(out, index, src)
    assert torch.equal(
        out, torch.zeros(4).type(like).index_add(0, index.reshape(-1), src.reshape(-1))
    ), name
try:
    scatter.scatter_add_Int(torch.zeros(2).int(), index * 0 + 2, src.int())
    raise SystemExit("an index out of range was taken")
except torch.FatalError as error:
    assert "index 2 out of 2 at" in str(error)
