from torch.utils.ffi import create_extension

create_extension("_ext.conf", headers=["conf.h"], sources=["conf.c"], relative_to=__file__).build()
