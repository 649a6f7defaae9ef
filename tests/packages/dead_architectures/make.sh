#!/usr/bin/env bash
set -e
CUDA_ARCH="-gencode arch=compute_30,code=sm_30 -gencode arch=compute_61,code=sm_61"
cd src
echo "Compiling the kernel by nvcc ..."
nvcc -c -o scale_kernel.cu.o scale_kernel.cu -x cu -Xcompiler -fPIC -arch=sm_52 $CUDA_ARCH
cd ..
python build.py
