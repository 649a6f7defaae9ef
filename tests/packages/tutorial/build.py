import os
import torch
from torch.utils.ffi import create_extension

this_file = os.path.dirname(os.path.realpath(__file__))
sources = ["src/add.c"]
headers = ["src/add.h"]
defines = []
with_cuda = False
if torch.cuda.is_available():
    print("There is a GPU; this package has no CUDA part.")

ffi = create_extension(
    "_ext.add",
    headers=headers,
    sources=sources,
    define_macros=defines,
    relative_to=__file__,
    with_cuda=with_cuda,
    extra_compile_args=["-std=c99"],
)

if __name__ == "__main__":
    ffi.build()
