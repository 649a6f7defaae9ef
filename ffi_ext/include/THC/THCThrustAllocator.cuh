/* Thrust's temporary memory from torch's caching allocator: thrust::cuda::par(allocator). */
#ifndef THC_THRUST_ALLOCATOR_INC
#define THC_THRUST_ALLOCATOR_INC

#include <cstddef>

#include "THC.h"

class THCThrustAllocator {
 public:
  typedef char value_type;

  explicit THCThrustAllocator(THCState *state) : state_(state) {}
  char *allocate(std::ptrdiff_t size) {
    void *memory = NULL;
    THCudaCheck(THCudaMalloc(state_, &memory, (size_t)size));
    return static_cast<char *>(memory);
  }
  void deallocate(char *memory, size_t) { THCudaCheck(THCudaFree(state_, memory)); }

 private:
  THCState *state_;
};

#endif
