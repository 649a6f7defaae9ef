import sys
from torch.utils.ffi import create_extension

args = ["-std=c99"] + (["-fopenmp"] if sys.platform != "darwin" else ["-DAPPLE"])
create_extension(
    "_ext.softmax",
    headers=["softmax.h"],
    sources=["softmax.c"],
    relative_to=__file__,
    extra_compile_args=args,
    libraries=["m"],
    define_macros=[("EPS", "0.0"), ("CHECKED", None)],
).build()
