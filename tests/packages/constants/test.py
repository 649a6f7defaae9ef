import torch  # noqa: F401  (as every script of the kind does)
from _ext import conf

assert (conf.VERSION_MAJOR, conf.MASK, conf.LIMIT, conf.LINEAR, conf.CUBIC) == (3, 255, 17, 5, 6)
assert conf._ffi.string(conf.name_of(conf.LINEAR)) == b"linear"
assert conf.length(b"hello") == 5 and conf.first(b"A") == 65
conf.bump()
assert conf._lib.counter == 2
assert conf._ffi.cast("int *", conf.opaque())[0] == 2
assert conf.mean_of([1.0, 2.0, 6.0], 3) == 3.0
