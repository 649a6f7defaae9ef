from torch.utils.ffi import create_extension

create_extension("_ext.pairs", ["pairs.h"], ["pairs.c"], relative_to=__file__).build()
