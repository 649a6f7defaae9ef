from torch.utils.ffi import create_extension

create_extension(
    "_ext.make", headers=["make.h"], sources=["make.c"], relative_to=__file__, verbose=False
).build()
