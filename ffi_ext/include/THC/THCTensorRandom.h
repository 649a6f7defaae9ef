/* The random generator of CUDA tensors is torch's; its tensor functions are in THCTensorMath.h. */
#ifndef THC_TENSOR_RANDOM_INC
#define THC_TENSOR_RANDOM_INC

#include "TH/TH.h"
#include "THCGeneral.h"

THC_API void THCRandom_manualSeed(THCState *state, uint64_t seed);
THC_API void THCRandom_manualSeedAll(THCState *state, uint64_t seed);
THC_API uint64_t THCRandom_initialSeed(THCState *state);
/* A seed that nobody chose: of the current GPU, of all. */
THC_API uint64_t THCRandom_seed(THCState *state);
THC_API uint64_t THCRandom_seedAll(THCState *state);
/* The current GPU's generator as bytes; what torch.cuda.get_rng_state() gives, not what 0.3.1 did. */
THC_API void THCRandom_getRNGState(THCState *state, THByteTensor *rng_state);
THC_API void THCRandom_setRNGState(THCState *state, THByteTensor *rng_state);
/* torch sets its generators up, and ends them. */
THC_API void THCRandom_init(THCState *state, int num_devices, int current_device);
THC_API void THCRandom_shutdown(THCState *state);

#endif
