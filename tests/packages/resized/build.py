from torch.utils.ffi import create_extension

create_extension(
    name="_ext.query", headers="query.h", sources=["query.c"], relative_to=__file__
).build()
