/* Numbers in memory, of every element type: what THNN's loops call. */
#ifndef TH_VECTOR_INC
#define TH_VECTOR_INC

#include "THGeneral.h"

#define THVector_(NAME) TH_CONCAT_4(TH, Real, Vector_, NAME)

#ifdef FFI_EXT_DECLARED
#include "declared/THVector.h"
#else
#include "generic/THVector.h"
#include "THGenerateAllTypes.h"
#endif

#endif
