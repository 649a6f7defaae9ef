from torch.utils.ffi import create_extension

create_extension(
    "_ext.scatter",
    headers=["src/scatter.h"],
    sources=["src/scatter.c"],
    include_dirs=["src"],
    relative_to=__file__,
).build()
