/* The checks of THCUNN's functions, and how they launch kernels. */
#ifndef THCUNN_COMMON_H
#define THCUNN_COMMON_H

#include <THC/THC.h>

#define THCUNN_assertSameGPU(...)                \
  THAssertMsg(THCTensor_(checkGPU)(__VA_ARGS__), \
              "some of the weight, gradient and input tensors are on different GPUs")

const int CUDA_NUM_THREADS = 1024;
inline int GET_BLOCKS(const int n) { return (n + CUDA_NUM_THREADS - 1) / CUDA_NUM_THREADS; }

#define CUDA_KERNEL_LOOP(i, n) \
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < (n); i += blockDim.x * gridDim.x)

#define THCUNN_argCheck(STATE, COND, ARG, T, FORMAT)     \
  do {                                                   \
    if (!(COND)) {                                       \
      THCDescBuff size = THCTensor_(sizeDesc)(STATE, T); \
      THArgCheck(COND, ARG, FORMAT, size.str);           \
    }                                                    \
  } while (0)
#define THCUNN_check_shape(STATE, I1, I2)                                             \
  do {                                                                                \
    if ((I1) && (I2) && !THCTensor_(isSameSizeAs)(STATE, I1, I2)) {                   \
      THCDescBuff first = THCTensor_(sizeDesc)(STATE, I1);                            \
      THCDescBuff second = THCTensor_(sizeDesc)(STATE, I2);                           \
      THError(#I1 " and " #I2 " shapes do not match: %s, %s", first.str, second.str); \
    }                                                                                 \
  } while (0)
#define THCUNN_check_nElement(STATE, I1, I2)                                                  \
  do {                                                                                        \
    if ((I1) && (I2) && THCTensor_(nElement)(STATE, I1) != THCTensor_(nElement)(STATE, I2)) { \
      THCDescBuff first = THCTensor_(sizeDesc)(STATE, I1);                                    \
      THCDescBuff second = THCTensor_(sizeDesc)(STATE, I2);                                   \
      THError(#I1 " and " #I2 " have different numbers of elements: %s, %s", first.str,       \
              second.str);                                                                    \
    }                                                                                         \
  } while (0)
#define THCUNN_check_dim_size(STATE, T, DIM, DIM_SIZE, SIZE)                                    \
  do {                                                                                          \
    if (THCTensor_(nDimension)(STATE, T) != (DIM) ||                                            \
        THCTensor_(size)(STATE, T, DIM_SIZE) != (SIZE)) {                                       \
      THCDescBuff found = THCTensor_(sizeDesc)(STATE, T);                                       \
      THError(#T ": %d dimensions expected, of size %ld in dimension %d; it is %s", (int)(DIM), \
              (long)(SIZE), (int)(DIM_SIZE), found.str);                                        \
    }                                                                                           \
  } while (0)

#endif
