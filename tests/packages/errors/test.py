import torch
from _ext import deep


def text_of(how):
    t = torch.zeros(4)
    try:
        deep.descend(t, 50, how)
    except torch.FatalError as error:
        return t, str(error)
    raise SystemExit("%d raised nothing" % how)


t, text = text_of(1)
assert "invalid argument 3: how must not be 1 at" in text and t.tolist() == [7] * 4
assert "Assertion `how != 2' failed.  at" in text_of(2)[1]
assert "Assertion `how != 3' failed. three is out at" in text_of(3)[1]
assert "cannot select on a vector" in text_of(5)[1]
assert "out of range" in text_of(6)[1]
for _ in range(1000):
    text_of(2)
