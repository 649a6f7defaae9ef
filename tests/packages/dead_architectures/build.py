import os
from torch.utils.ffi import create_extension

here = os.path.dirname(os.path.realpath(__file__))
create_extension(
    "_ext.scale",
    headers=["src/scale.h"],
    sources=["src/scale.c"],
    relative_to=__file__,
    extra_objects=[os.path.join(here, "src/scale_kernel.cu.o")],
).build()
