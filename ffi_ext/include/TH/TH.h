/* The TH C interface of PyTorch 0.3.1, served by ffi_ext's runtime. */
#ifndef TH_INC
#define TH_INC

#include "THGeneral.h"

#include "THBlas.h"
#include "THAtomic.h"
#include "THLogAdd.h"
#include "THRandom.h"
#include "THSize.h"
#include "THStorage.h"
#include "THTensor.h"
#include "THTensorApply.h"
#include "THTensorDimApply.h"
#include "THTensorMacros.h"
#include "THVector.h"

#endif
