/* What src/cuda/parallel.cuh wants on the CPU: the order of indices, and warps of 32 lanes that
 * take turns. Each lane has a stack of its own, and runs until it waits for the others. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>

#include <functional>

#define LANES 32
#define STACK (1 << 17)

extern "C" {
int kernels_backwards = 0;
int kernels_lane = 0; /* the one that runs */
void run_backwards(int yes) { kernels_backwards = yes; }
}

static ucontext_t scheduler, lanes[LANES];
static char stacks[LANES][STACK];
static int running[LANES];
static long exchanges[LANES];    /* how many each lane has entered */
static uint64_t given[2][LANES]; /* to an even and an odd exchange: no lane is two ahead */
static const std::function<void(int64_t)> *work;

static void start_lane(int lane) {
  (*work)(lane);
  running[lane] = 0;
  swapcontext(&lanes[lane], &scheduler);
}

void kernels_run_lanes(const std::function<void(int64_t)> &function) {
  work = &function;
  for (int lane = 0; lane < LANES; lane++) {
    running[lane] = 1;
    exchanges[lane] = 0;
    getcontext(&lanes[lane]);
    lanes[lane].uc_stack.ss_sp = stacks[lane];
    lanes[lane].uc_stack.ss_size = STACK;
    lanes[lane].uc_link = NULL;
    makecontext(&lanes[lane], (void (*)())start_lane, 1, lane);
  }
  for (int any = 1; any;) {
    any = 0;
    for (int i = 0; i < LANES; i++) {
      kernels_lane = kernels_backwards ? LANES - 1 - i : i;
      if (!running[kernels_lane]) continue;
      any = 1;
      swapcontext(&scheduler, &lanes[kernels_lane]);
    }
  }
}

/* Whether all lanes have entered exchange `number`, which a GPU's warp must do together. */
static int all_entered(long number) {
  for (int lane = 0; lane < LANES; lane++) {
    if (exchanges[lane] > number) continue;
    if (!running[lane]) {
      fprintf(stderr, "lane %d of a warp has ended, and another waits for it\n", lane);
      abort();
    }
    return 0;
  }
  return 1;
}

uint64_t kernels_exchange(uint64_t bits, int from) {
  const int lane = kernels_lane;
  const long number = exchanges[lane]++;
  given[number % 2][lane] = bits;
  while (!all_entered(number)) swapcontext(&lanes[lane], &scheduler);
  return given[number % 2][from];
}
