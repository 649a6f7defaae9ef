/* The generator of PyTorch 0.3.1: mt19937 (Matsumoto and Nishimura, 1998), uniform numbers of 53
 * bits from two of its words, the distributions in the order in which the original draws. */
#include <fcntl.h>
#include <math.h>
#include <time.h>
#include <unistd.h>

#include "th_core.h"

#define N _MERSENNE_STATE_N
#define M _MERSENNE_STATE_M

/* Each has a seed of its own: code that makes one in every call wants other numbers each time. */
THGenerator *THGenerator_new(void) {
  THGenerator *self = THAlloc(sizeof *self);
  THRandom_seed(self);
  return self;
}

THGenerator *THGenerator_copy(THGenerator *self, THGenerator *from) {
  memcpy(self, from, sizeof *self);
  return self;
}

void THGenerator_free(THGenerator *gen) { THFree(gen); }

int THGenerator_isValid(THGenerator *gen) {
  return gen->seeded == 1 && gen->left > 0 && gen->left <= N && gen->next <= N;
}

uint64_t THRandom_seed(THGenerator *gen) {
  uint64_t seed = (uint64_t)time(NULL);
  const int source = open("/dev/urandom", O_RDONLY);
  if (source >= 0) {
    if (read(source, &seed, sizeof seed) != (ssize_t)sizeof seed) seed = (uint64_t)time(NULL);
    close(source);
  }
  THRandom_manualSeed(gen, seed);
  return seed;
}

void THRandom_manualSeed(THGenerator *gen, uint64_t seed) {
  memset(gen, 0, sizeof *gen);
  gen->the_initial_seed = seed;
  gen->state[0] = seed & 0xffffffffu;
  for (int i = 1; i < N; i++)
    gen->state[i] =
        (1812433253u * (gen->state[i - 1] ^ gen->state[i - 1] >> 30) + (uint64_t)i) & 0xffffffffu;
  gen->left = 1;
  gen->seeded = 1;
}

uint64_t THRandom_initialSeed(THGenerator *gen) { return gen->the_initial_seed; }

static uint64_t twist(uint64_t high, uint64_t low) {
  return ((high & 0x80000000u) | (low & 0x7fffffffu)) >> 1 ^ (low & 1 ? 0x9908b0dfu : 0);
}

static void next_state(THGenerator *gen) {
  uint64_t *s = gen->state;
  for (int i = 0; i < N; i++) s[i] = s[(i + M) % N] ^ twist(s[i], s[(i + 1) % N]);
  gen->left = N;
  gen->next = 0;
}

/* Threads that share a generator may draw a number twice, and lose some of what `left` counts: the
 * state's end is where it is. */
uint64_t THRandom_random(THGenerator *gen) {
  if (--gen->left <= 0 || gen->next >= N) next_state(gen);
  uint64_t y = gen->state[gen->next++];
  y ^= y >> 11;
  y ^= y << 7 & 0x9d2c5680u;
  y ^= y << 15 & 0xefc60000u;
  return y ^ y >> 18;
}

uint64_t THRandom_random64(THGenerator *gen) {
  const uint64_t high = THRandom_random(gen);
  return high << 32 | THRandom_random(gen);
}

/* [0, 1) */
static double uniform53(THGenerator *gen) {
  return (double)(THRandom_random64(gen) & ((1ULL << 53) - 1)) / 9007199254740992.0;
}
static float uniform24(THGenerator *gen) {
  return (float)(THRandom_random(gen) & ((1u << 24) - 1)) / 16777216.0f;
}

double THRandom_standard_uniform(THGenerator *gen) { return uniform53(gen); }
double THRandom_uniform(THGenerator *gen, double a, double b) {
  return uniform53(gen) * (b - a) + a;
}
float THRandom_uniformFloat(THGenerator *gen, float a, float b) {
  return uniform24(gen) * (b - a) + a;
}

/* Box and Muller, two at a time. */
double THRandom_normal(THGenerator *gen, double mean, double stdv) {
  THArgCheck(stdv > 0, 2, "standard deviation must be strictly positive");
  if (!gen->normal_is_valid) {
    gen->normal_x = uniform53(gen);
    gen->normal_y = uniform53(gen);
    gen->normal_rho = sqrt(-2. * log(1.0 - gen->normal_y));
    gen->normal_is_valid = 1;
    return gen->normal_rho * cos(2. * M_PI * gen->normal_x) * stdv + mean;
  }
  gen->normal_is_valid = 0;
  return gen->normal_rho * sin(2. * M_PI * gen->normal_x) * stdv + mean;
}

double THRandom_exponential(THGenerator *gen, double lambda) {
  return -1. / lambda * log(1 - uniform53(gen));
}
double THRandom_cauchy(THGenerator *gen, double median, double sigma) {
  return median + sigma * tan(M_PI * (uniform53(gen) - 0.5));
}
double THRandom_logNormal(THGenerator *gen, double mean, double stdv) {
  return exp(THRandom_normal(gen, mean, stdv));
}
int THRandom_geometric(THGenerator *gen, double p) {
  THArgCheck(p > 0 && p < 1, 1, "must be > 0 and < 1");
  return (int)(log(1 - uniform53(gen)) / log(p)) + 1;
}
int THRandom_bernoulli(THGenerator *gen, double p) {
  THArgCheck(p >= 0 && p <= 1, 1, "must be >= 0 and <= 1");
  return uniform53(gen) <= p;
}
