"""Builds the kernels of src/ into the importable modules of `_ext`: `python build_ffi.py`."""

import sys

from ffi_ext import BuildError, create_extension

# Apple's clang has none by itself: the loops run in one thread.
OPENMP = [] if sys.platform == "darwin" else ["-fopenmp"]

# Header -> sources.
FAMILIES = {
    "normalize": ["normalize"],
    "frozen_bn": ["frozen_bn"],
    "roi_align": ["roi_align"],
    "roi_pool": ["roi_pool"],
    "nms": ["nms", "soft_nms"],
    "box_iou": ["box_iou"],
    "focal_loss": ["focal_loss"],
    "deform_conv": ["deform_conv"],
    "deform_psroi": ["deform_psroi"],
    "broadcast": ["broadcast"],
    "image": ["image"],
}
SOURCES = [source for sources in FAMILIES.values() for source in sources]

ffi = create_extension(
    "_ext.kernels",
    headers=[f"include/{family}.h" for family in FAMILIES],
    sources=[f"src/{source}.c" for source in SOURCES],
    include_dirs=["include", "src"],
    relative_to=__file__,
    extra_compile_args=OPENMP,
    extra_link_args=OPENMP,
)

# Optional: the same functions on a GPU, where nvcc is installed.
ffi_cuda = create_extension(
    "_ext.kernels_cuda",
    headers=["include/kernels_cuda.h"],
    sources=[f"src/cuda/{source}.cu" for source in SOURCES],
    include_dirs=["include", "src"],
    with_cuda=True,
    relative_to=__file__,
    # a * b + c is rounded twice, as on the CPU: NMS and ROIPool give the same there to the bit
    extra_compile_args={"nvcc": ["--fmad=false"]},
)

# For inference on the CPU.
convolution = create_extension(
    "_ext.convolution",
    headers=["include/convolution.h"],
    sources=["src/winograd.c", "src/pointwise.c"],
    include_dirs=["include", "src"],
    relative_to=__file__,
    # sums of products, which nobody else's bits are asked of
    extra_compile_args=[*OPENMP, "-ffp-contract=fast"],
    extra_link_args=OPENMP,
)

# Optional: parts of JPEGs, where libjpeg-turbo's header and library are installed.
jpeg = create_extension(
    "_ext.jpeg",
    headers=["include/jpeg.h"],
    sources=["src/jpeg.c"],
    include_dirs=["include", "src"],
    libraries=["jpeg"],
    relative_to=__file__,
    verbose=False,  # that a header is missing is said below
)

if __name__ == "__main__":
    print(f"_ext.kernels: building {', '.join(FAMILIES)} from include/ and src/")
    ffi.build()
    convolution.build()
    print("_ext.kernels: ready; try `import _ext.kernels` or `python -m resnet.selfcheck`")
    try:
        ffi_cuda.build()
    except BuildError as error:
        why = str(error).splitlines()[0]
        print(f"_ext.kernels_cuda: left out, so that torch computes on a GPU: {why}")
    try:
        jpeg.build()
    except BuildError:
        print(
            "_ext.jpeg: left out, so that JPEGs are always decoded as a whole: it needs jpeglib.h and "
            "libjpeg of libjpeg-turbo (Debian: libjpeg62-turbo-dev)"
        )
