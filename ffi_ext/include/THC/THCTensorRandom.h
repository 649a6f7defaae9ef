/* The random generator of CUDA tensors is torch's; its tensor functions are in THCTensorMath.h. */
#ifndef THC_TENSOR_RANDOM_INC
#define THC_TENSOR_RANDOM_INC

#include "THCGeneral.h"

THC_API void THCRandom_manualSeed(THCState *state, uint64_t seed);
THC_API void THCRandom_manualSeedAll(THCState *state, uint64_t seed);
THC_API uint64_t THCRandom_initialSeed(THCState *state);

#endif
