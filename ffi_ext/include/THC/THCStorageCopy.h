/* Copies between CUDA storages, and to and from the CPU; elements are converted. */
#ifndef THC_STORAGE_COPY_INC
#define THC_STORAGE_COPY_INC

#include "THCStorage.h"

#ifdef FFI_EXT_DECLARED
#include "declared/THCStorageCopy.h"
#else
#define THC_STORAGE_COPY(NAME, FROM) THC_API void THCStorage_(NAME)(THCState *, THCStorage *self, FROM *src);
#define THC_STORAGE_COPY_TO_CPU(NAME, FROM) THC_API void THStorage_(NAME)(THCState *, THStorage *self, FROM *src);
#define THC_GENERIC_FILE "THC/generic/THCStorageCopy.h"
#include "THCGenerateAllTypes.h"
#endif

#endif
