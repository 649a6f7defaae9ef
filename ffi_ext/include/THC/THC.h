/* The THC C interface of PyTorch 0.3.1: CUDA tensors for C and CUDA sources. */
#ifndef THC_INC
#define THC_INC

#include <TH/TH.h>

#include "THCGeneral.h"
#include "THCHalf.h"
#include "THCStorage.h"
#include "THCStorageCopy.h"
#include "THCStream.h"
#include "THCTensor.h"
#include "THCTensorCopy.h"
#include "THCTensorMath.h"
#include "THCTensorRandom.h"
#include "THCBlas.h"
#include "THCCompat.h"

#endif
