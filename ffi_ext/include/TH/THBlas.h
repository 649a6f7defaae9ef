/* BLAS routines for every element type. */
#ifndef TH_BLAS_INC
#define TH_BLAS_INC

#include "THGeneral.h"

#define THBlas_(NAME) TH_CONCAT_4(TH, Real, Blas_, NAME)

#ifdef FFI_EXT_DECLARED
#include "declared/THBlas.h"
#else
#include "generic/THBlas.h"
#include "THGenerateAllTypes.h"
#endif

#endif
