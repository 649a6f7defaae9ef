/* Copies between THCuda<Type>Tensors and TH<Type>Tensors; elements are converted. */
#ifndef THC_GENERIC_FILE
#define THC_GENERIC_FILE "generic/THCTensorCopy.h"
#else

THC_COPY(copy, THCTensor, THCTensor)
THC_COPY(copyIgnoringOverlaps, THCTensor, THCTensor)
THC_COPY(copyCPU, THCTensor, THTensor)
THC_COPY(copyAsyncCPU, THCTensor, THTensor)
THC_COPY(copyByte, THCTensor, THByteTensor)
THC_COPY(copyChar, THCTensor, THCharTensor)
THC_COPY(copyShort, THCTensor, THShortTensor)
THC_COPY(copyInt, THCTensor, THIntTensor)
THC_COPY(copyLong, THCTensor, THLongTensor)
THC_COPY(copyFloat, THCTensor, THFloatTensor)
THC_COPY(copyDouble, THCTensor, THDoubleTensor)
THC_COPY(copyHalf, THCTensor, THHalfTensor)
THC_COPY(copyCuda, THCTensor, THCTensor)
THC_COPY(copyCudaByte, THCTensor, THCudaByteTensor)
THC_COPY(copyCudaChar, THCTensor, THCudaCharTensor)
THC_COPY(copyCudaShort, THCTensor, THCudaShortTensor)
THC_COPY(copyCudaInt, THCTensor, THCudaIntTensor)
THC_COPY(copyCudaLong, THCTensor, THCudaLongTensor)
THC_COPY(copyCudaDouble, THCTensor, THCudaDoubleTensor)
THC_COPY(copyCudaHalf, THCTensor, THCudaHalfTensor)
THC_COPY(copyCudaFloat, THCTensor, THCudaTensor)
THC_COPY_TO_CPU(copyCuda, THTensor, THCTensor)
THC_COPY_TO_CPU(copyAsyncCuda, THTensor, THCTensor)
THC_COPY_TO_CPU(copyCudaByte, THTensor, THCudaByteTensor)
THC_COPY_TO_CPU(copyCudaChar, THTensor, THCudaCharTensor)
THC_COPY_TO_CPU(copyCudaShort, THTensor, THCudaShortTensor)
THC_COPY_TO_CPU(copyCudaInt, THTensor, THCudaIntTensor)
THC_COPY_TO_CPU(copyCudaLong, THTensor, THCudaLongTensor)
THC_COPY_TO_CPU(copyCudaDouble, THTensor, THCudaDoubleTensor)
THC_COPY_TO_CPU(copyCudaHalf, THTensor, THCudaHalfTensor)
THC_COPY_TO_CPU(copyCudaFloat, THTensor, THCudaTensor)

#endif
