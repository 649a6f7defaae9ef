import torch
from _ext import components

mask = torch.tensor([[1, 1, 0, 1], [0, 1, 0, 1], [1, 0, 0, 0], [1, 1, 1, 1]], dtype=torch.uint8)
labels = torch.IntTensor()
assert components.label(mask, labels) == 3
assert labels.tolist() == [[1, 1, 0, 2], [0, 1, 0, 2], [3, 0, 0, 0], [3, 3, 3, 3]]
for how, text in [(1, "range_check"), (2, "no luck today"), (3, "failure 3 at")]:
    try:
        components.fails(how)
        raise SystemExit("nothing was raised")
    except torch.FatalError as error:
        assert text in str(error), str(error)
