/* The random number generator. */
#ifndef TH_RANDOM_INC
#define TH_RANDOM_INC

#include "THGeneral.h"

#define _MERSENNE_STATE_N 624
#define _MERSENNE_STATE_M 397

typedef struct THGenerator {
  uint64_t the_initial_seed;
  int left;
  int seeded;
  uint64_t next;
  uint64_t state[_MERSENNE_STATE_N];
  double normal_x;
  double normal_y;
  double normal_rho;
  int normal_is_valid;
} THGenerator;

#define torch_Generator "torch.Generator"

TH_API THGenerator *THGenerator_new(void);
TH_API THGenerator *THGenerator_copy(THGenerator *self, THGenerator *from);
TH_API void THGenerator_free(THGenerator *gen);
TH_API int THGenerator_isValid(THGenerator *_generator);
TH_API uint64_t THRandom_seed(THGenerator *_generator);
TH_API void THRandom_manualSeed(THGenerator *_generator, uint64_t the_seed_);
TH_API uint64_t THRandom_initialSeed(THGenerator *_generator);
TH_API uint64_t THRandom_random(THGenerator *_generator);
TH_API uint64_t THRandom_random64(THGenerator *_generator);
TH_API double THRandom_standard_uniform(THGenerator *_generator);
TH_API double THRandom_uniform(THGenerator *_generator, double a, double b);
TH_API float THRandom_uniformFloat(THGenerator *_generator, float a, float b);
TH_API double THRandom_normal(THGenerator *_generator, double mean, double stdv);
TH_API double THRandom_exponential(THGenerator *_generator, double lambda);
TH_API double THRandom_cauchy(THGenerator *_generator, double median, double sigma);
TH_API double THRandom_logNormal(THGenerator *_generator, double mean, double stdv);
TH_API int THRandom_geometric(THGenerator *_generator, double p);
TH_API int THRandom_bernoulli(THGenerator *_generator, double p);

#endif
