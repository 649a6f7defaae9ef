import torch
from _ext import scale

t = torch.ones(3)
scale.scale_cpu(t, 2.5)
assert t.tolist() == [2.5] * 3
if not torch.cuda.is_available():
    try:
        status = scale.scale_gpu(scale._ffi.NULL, 1, 1.0)
        assert status != 0, "a kernel ran without a GPU"
    except torch.FatalError as error:
        assert "left out" in str(error)
