/* What the kernels share: checks, and clones of hot loops for newer processors.
 *
 * A file that includes itself once per precision defines its names in the same words each time,
 * which C allows: none has to be undefined in between. */
#ifndef KERNELS_H
#define KERNELS_H

#include <string.h>

#include <TH/TH.h>

#ifdef _OPENMP
#include <omp.h>
#define MAX_THREADS omp_get_max_threads()
#define THREADS omp_get_num_threads()
#define THREAD omp_get_thread_num()
#else
#define MAX_THREADS 1
#define THREADS 1
#define THREAD 0
#endif

/* THArgCheck that formats its message only when it fails. */
#define REQUIRE(condition, argument, ...)                   \
  do {                                                      \
    if (!(condition)) THArgCheck(0, argument, __VA_ARGS__); \
  } while (0)

/* Before an output, which is that argument, is resized: of an input that is the same tensor the
 * elements would be read by the new shape. */
static inline void require_no_input(const void *output, int argument, const void *const *inputs,
                                    size_t count) {
  for (size_t i = 0; i < count; i++)
    REQUIRE(inputs[i] != output, argument,
            "an output of another shape than the result's must be no input, too");
}

#define REQUIRE_NO_INPUT(output, argument, ...)                                 \
  do {                                                                          \
    const void *const inputs[] = {__VA_ARGS__};                                 \
    require_no_input(output, argument, inputs, sizeof inputs / sizeof *inputs); \
  } while (0)

/* Gives a result, which is that argument, its shape. Where it has that already, it keeps its memory
 * and strides; else it must be none of the inputs that follow. */
#define RESIZE_IF_NEEDED(Tensor, result, argument, dimensions, shape, ...)          \
  do {                                                                              \
    if ((result)->nDimension != (dimensions) ||                                     \
        memcmp((result)->size, shape, (dimensions) * sizeof(int64_t))) {            \
      REQUIRE_NO_INPUT(result, argument, __VA_ARGS__);                              \
      TH_CONCAT_2(Tensor, _resizeNd)(result, dimensions, (int64_t *)(shape), NULL); \
    }                                                                               \
  } while (0)

/* A function so marked is compiled for several x86-64 levels, and the loader picks the best one:
 * one binary for every machine (uint8 normalisation runs 4x faster with AVX2 than with the
 * baseline's SSE2). Needs gcc and glibc's ifunc. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__GLIBC__) && \
    !defined(__SANITIZE_ADDRESS__)
#if __GNUC__ >= 12
#define KERNEL_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#define KERNEL_CLONES_256 __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define KERNEL_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#define KERNEL_CLONES_256 __attribute__((target_clones("avx2", "default")))
#endif
#else
#define KERNEL_CLONES
#define KERNEL_CLONES_256
#endif

/* KERNEL_CLONES_256: vectors of 256 bits at most, for loops that wait for memory (an addition of a
 * million floats takes 142 us with them, 155 us with 512 bits) or for comparisons. */

/* The same, with a * b + c fused to one rounding where the processor can: for sums of products,
 * where it is more exact and faster, not where a formula has to give another library's bits. */
#if defined(__GNUC__) && !defined(__clang__)
#define KERNEL_CLONES_FMA KERNEL_CLONES __attribute__((optimize("fp-contract=fast")))
#else
#define KERNEL_CLONES_FMA KERNEL_CLONES
#endif

/* Of regions, in pixels of the map: beyond 2^24 a float cannot tell neighbouring pixels apart. */
#define LARGEST_COORDINATE 16777216.0

/* Of a region's bin along an axis, that a caller may ask for. */
#define LARGEST_SAMPLES 4096

/* Below this many elements a parallel region costs more (some microseconds) than it saves. */
#define PARALLEL_ELEMENTS 32768

#endif
