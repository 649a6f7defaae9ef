from torch.utils.ffi import create_extension

ffi = create_extension(
    "clamped._ext.clamp",
    package=True,
    headers=["clamped/src/clamp.h"],
    sources=["clamped/src/clamp.c"],
    relative_to=__file__,
)
if __name__ == "__main__":
    ffi.build()
