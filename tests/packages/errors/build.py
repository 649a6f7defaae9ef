from torch.utils.ffi import create_extension

create_extension("_ext.deep", headers=["deep.h"], sources=["deep.c"], relative_to=__file__).build()
