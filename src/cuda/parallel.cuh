/* How the CUDA kernels run: one function for each index, on the current stream; warps and their
 * lanes; scratch memory. A C++ compiler takes the same text for the CPU, one index after the other:
 * that is how tests compare these kernels with those of src/ where there is no GPU. */
#ifndef CUDA_PARALLEL_CUH
#define CUDA_PARALLEL_CUH

#include <THC/THC.h>

extern THCState *state;

#define LANES 32 /* indices that run in one warp */

#ifdef __CUDACC__

#define DEVICE __device__
#define BOTH __host__ __device__
#define NARROW INT32_MAX /* up to which 32 bits are used for indices */
template <typename Function>
__global__ void __launch_bounds__(256) run_all(int64_t count, Function function) {
  const int64_t step = (int64_t)gridDim.x * blockDim.x;
  for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step)
    function(i);
}

/* function(i) for 0 <= i < count, in any order. Its errors are found by `finish`. */
template <typename Function>
void parallel(cudaStream_t stream, int64_t count, Function function) {
  if (count <= 0) return;
  const int64_t blocks = (count + 255) / 256, most = 1 << 24;
  run_all<<<(unsigned)(blocks < most ? blocks : most), 256, 0, stream>>>(count, function);
}

/* function(i, lane) for 0 <= i < count: a warp for each i, whose lanes 0 .. 31 run together. */
template <typename Function>
void parallel_warps(cudaStream_t stream, int64_t count, Function function) {
  parallel(stream, count * LANES, [=] DEVICE(int64_t at) { function(at / LANES, at % LANES); });
}

/* The 1 matters: a compiler that expects more warps on a multiprocessor saves registers, and lets
 * loads wait for others. */
template <typename Function>
__global__ void __launch_bounds__(LANES, 1) run_warp(Function function) {
  function((int64_t)threadIdx.x);
}

/* function(lane) in one warp. */
template <typename Function>
void one_warp(cudaStream_t stream, Function function) {
  run_warp<<<1, LANES, 0, stream>>>(function);
}

inline cudaStream_t current_stream() { return THCState_getCurrentStream(state); }

/* The error of a launch since the last call, if there was one. Waits for nothing. */
inline void finish() { THCudaCheck(cudaGetLastError()); }

/* Memory of torch's caching allocator, to be given back before the function returns. */
inline void *scratch(int64_t bytes) {
  void *room = NULL;
  THCudaCheck(THCudaMalloc(state, &room, (size_t)bytes));
  return room;
}
inline void give_back(void *room) { THCudaCheck(THCudaFree(state, room)); }

/* The last thing asked of a GPU: a number that it computes in scratch memory `room`, which is given
 * back. Waits until it is there. */
inline int64_t fetch(const int64_t *number, void *room, cudaStream_t stream) {
  int64_t value = 0;
  cudaError_t error = cudaMemcpyAsync(&value, number, sizeof value, cudaMemcpyDeviceToHost, stream);
  if (error == cudaSuccess) error = cudaStreamSynchronize(stream);
  give_back(room);
  THCudaCheck(error);
  finish();
  return value;
}

/* Sets bytes to 0. */
inline void clear(cudaStream_t stream, void *room, int64_t bytes) {
  THCudaCheck(cudaMemsetAsync(room, 0, (size_t)bytes, stream));
}

inline DEVICE void atomic_add(float *to, float value) { atomicAdd(to, value); }
inline DEVICE void atomic_add(unsigned *to, unsigned value) { atomicAdd(to, value); }
inline DEVICE void atomic_add(double *to, double value) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 600
  unsigned long long *word = (unsigned long long *)to, seen = *word, old;
  do {
    old = seen;
    seen = atomicCAS(word, old,
                     (unsigned long long)__double_as_longlong(__longlong_as_double(old) + value));
  } while (old != seen);
#else
  atomicAdd(to, value);
#endif
}

/* The value of another lane of the warp. All 32 lanes call it together. */
template <typename T>
inline DEVICE T other_lane(T value, int distance) {
  return __shfl_xor_sync(0xffffffffu, value, distance);
}
template <typename T>
inline DEVICE T of_lane(T value, int lane) {
  return __shfl_sync(0xffffffffu, value, lane);
}
inline DEVICE int bits_in(unsigned long long word) { return __popcll(word); }

#else /* the CPU */

#define DEVICE
#define BOTH

#include <functional>

/* The program that has the kernels defines these: 1 turns the order round, since results must not
 * depend on it; lanes that take turns whenever they wait for each other; and one that waits, in
 * the calling lane, until all have given their bits, and returns those of lane `from`. */
extern "C" int kernels_backwards;
extern "C" int kernels_lane;
#define NARROW (kernels_backwards ? 0 : INT32_MAX) /* so that tests run both */
void kernels_run_lanes(const std::function<void(int64_t)> &function);
uint64_t kernels_exchange(uint64_t bits, int from);

template <typename Function>
void parallel(cudaStream_t, int64_t count, Function function) {
  for (int64_t i = 0; i < count; i++) function(kernels_backwards ? count - 1 - i : i);
}
inline cudaStream_t current_stream() { return NULL; }
inline void finish() {}
inline void *scratch(int64_t bytes) { return THAlloc((ptrdiff_t)bytes); }
inline void give_back(void *room) { THFree(room); }
inline void clear(cudaStream_t, void *room, int64_t bytes) { memset(room, 0, (size_t)bytes); }
inline int64_t fetch(const int64_t *number, void *room, cudaStream_t) {
  const int64_t value = *number;
  give_back(room);
  return value;
}
template <typename T>
inline void atomic_add(T *to, T value) {
  *to += value;
}
template <typename Function>
void parallel_warps(cudaStream_t stream, int64_t count, Function function) {
  parallel(stream, count,
           [=](int64_t i) { kernels_run_lanes([=](int64_t lane) { function(i, lane); }); });
}
template <typename Function>
void one_warp(cudaStream_t, Function function) {
  kernels_run_lanes(function);
}
template <typename T>
T of_lane(T value, int lane) {
  uint64_t bits = 0;
  memcpy(&bits, &value, sizeof value);
  bits = kernels_exchange(bits, lane);
  memcpy(&value, &bits, sizeof value);
  return value;
}
template <typename T>
T other_lane(T value, int distance) {
  return of_lane(value, kernels_lane ^ distance);
}
inline int bits_in(unsigned long long word) { return __builtin_popcountll(word); }

#endif

/* The sum over the lanes of a warp, in each of them. */
template <typename real>
inline DEVICE real sum_lanes(real value) {
  for (int distance = LANES / 2; distance > 0; distance /= 2) value += other_lane(value, distance);
  return value;
}

/* i / by for i >= 0, by > 0: in 32 bits where they suffice, which a GPU divides several times as
 * fast. */
inline BOTH int64_t quotient(int64_t i, int64_t by) {
  return (uint64_t)(i | by) >> 32 ? i / by : (int64_t)((uint32_t)i / (uint32_t)by);
}

inline BOTH int quotient(int i, int by) { return (int)((uint32_t)i / (uint32_t)by); }

/* Takes the last digit off a mixed-radix number: returns i % size, and leaves i / size. */
template <typename integer>
inline BOTH integer take(integer *i, integer size) {
  const integer rest = quotient(*i, size), digit = *i - rest * size;
  *i = rest;
  return digit;
}

#endif
