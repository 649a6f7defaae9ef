import os
import torch.utils.ffi as ffi_module

here = os.path.abspath(os.path.dirname(__file__))
for name, extra in [("one", {}), ("two", {"define_macros": [("STEP", "2")]}), ("sub.three", {})]:
    last = name.split(".")[-1]
    extension = ffi_module.create_extension(
        "_ext." + name,
        headers=["%s.h" % last],
        sources=[os.path.join(here, "%s.c" % last)],
        relative_to=__file__,
        verbose=False,
        **extra,
    )
    extension.build()
