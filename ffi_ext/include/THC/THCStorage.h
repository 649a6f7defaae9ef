/* CUDA storages of every element type. */
#ifndef THC_STORAGE_INC
#define THC_STORAGE_INC

#include "TH/THStorage.h"
#include "THCHalf.h"

#define THCStorage TH_CONCAT_3(TH, CReal, Storage)
#define THCStorage_(NAME) TH_CONCAT_4(TH, CReal, Storage_, NAME)
#define THC_STORAGE_GET(storage, idx) TH_STORAGE_GET(storage, idx)
#define THC_STORAGE_SET(storage, idx, value) TH_STORAGE_SET(storage, idx, value)

#ifdef FFI_EXT_DECLARED
#include "declared/THCStorage.h"
#else
#define THC_FORWARD_STORAGE(RETURN, NAME, PARAMETERS, ARGUMENTS) \
  THC_API RETURN THCStorage_(NAME) PARAMETERS;
#define THC_GENERIC_FILE "THC/generic/THCStorage.h"
#include "THCGenerateAllTypes.h"
#endif

#endif
