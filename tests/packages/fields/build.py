import os
from torch.utils.ffi import create_extension

here = os.path.dirname(os.path.abspath(__file__))
ffi = create_extension(
    "_ext.fields",
    headers=[os.path.join(here, "fields.h")],
    sources=[os.path.join(here, "fields.c")],
    relative_to=__file__,
)
ffi.build()
