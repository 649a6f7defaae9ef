from torch.utils.ffi import create_extension

create_extension(
    "_ext.components",
    headers=["components.h"],
    sources=["components.cpp", "helper.cc"],
    relative_to=__file__,
    language="c++",
    extra_compile_args=["-std=c++11", "-w"],
).build()
