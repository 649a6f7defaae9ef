"""Builds the kernels of src/ into the importable module `_ext.kernels`: `python build_ffi.py`."""

from ffi_ext import create_extension

FAMILIES = ["normalize", "frozen_bn", "roi_align", "nms"]

ffi = create_extension(
    "_ext.kernels",
    headers=[f"include/{family}.h" for family in FAMILIES],
    sources=[f"src/{family}.c" for family in FAMILIES],
    include_dirs=["include", "src"],
    relative_to=__file__,
    extra_compile_args=["-fopenmp"],
    extra_link_args=["-fopenmp"],
)

if __name__ == "__main__":
    print(f"_ext.kernels: building {', '.join(FAMILIES)} from include/ and src/")
    ffi.build()
    print("_ext.kernels: ready; try `import _ext.kernels` or `python -m resnet.selfcheck`")
