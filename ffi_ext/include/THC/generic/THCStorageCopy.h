/* Copies between THCuda<Type>Storages and TH<Type>Storages: one line a function. */
#ifndef THC_GENERIC_FILE
#define THC_GENERIC_FILE "generic/THCStorageCopy.h"
#else

THC_STORAGE_COPY(copy, THCStorage)
THC_STORAGE_COPY(copyCPU, THStorage)
THC_STORAGE_COPY(copyCuda, THCStorage)
THC_STORAGE_COPY(copyByte, THByteStorage)
THC_STORAGE_COPY(copyChar, THCharStorage)
THC_STORAGE_COPY(copyShort, THShortStorage)
THC_STORAGE_COPY(copyInt, THIntStorage)
THC_STORAGE_COPY(copyLong, THLongStorage)
THC_STORAGE_COPY(copyFloat, THFloatStorage)
THC_STORAGE_COPY(copyDouble, THDoubleStorage)
THC_STORAGE_COPY(copyHalf, THHalfStorage)
THC_STORAGE_COPY(copyCudaByte, THCudaByteStorage)
THC_STORAGE_COPY(copyCudaChar, THCudaCharStorage)
THC_STORAGE_COPY(copyCudaShort, THCudaShortStorage)
THC_STORAGE_COPY(copyCudaInt, THCudaIntStorage)
THC_STORAGE_COPY(copyCudaLong, THCudaLongStorage)
THC_STORAGE_COPY(copyCudaFloat, THCudaStorage)
THC_STORAGE_COPY(copyCudaDouble, THCudaDoubleStorage)
THC_STORAGE_COPY(copyCudaHalf, THCudaHalfStorage)
THC_STORAGE_COPY_TO_CPU(copyCuda, THCStorage)
THC_STORAGE_COPY_TO_CPU(copyCudaByte, THCudaByteStorage)
THC_STORAGE_COPY_TO_CPU(copyCudaChar, THCudaCharStorage)
THC_STORAGE_COPY_TO_CPU(copyCudaShort, THCudaShortStorage)
THC_STORAGE_COPY_TO_CPU(copyCudaInt, THCudaIntStorage)
THC_STORAGE_COPY_TO_CPU(copyCudaLong, THCudaLongStorage)
THC_STORAGE_COPY_TO_CPU(copyCudaFloat, THCudaStorage)
THC_STORAGE_COPY_TO_CPU(copyCudaDouble, THCudaDoubleStorage)
THC_STORAGE_COPY_TO_CPU(copyCudaHalf, THCudaHalfStorage)

#endif
