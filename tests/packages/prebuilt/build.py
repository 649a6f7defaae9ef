import os
from torch.utils.ffi import create_extension

here = os.path.dirname(os.path.realpath(__file__))
create_extension(
    "_ext.poly",
    headers=["src/poly.h"],
    sources=["src/poly.c"],
    relative_to=__file__,
    extra_objects=[os.path.join(here, "src/kernel.o")],
    library_dirs=[os.path.join(here, "src")],
    libraries=["extra"],
).build()
