/* What new C code includes: a view of a tensor of any element type, and checks that raise Python exceptions.
 *
 *     #include <ffi_ext.h>
 *     void scale(const ffi_ext_tensor *x, double by, ffi_ext_tensor *out);
 *
 * Plain C99 and C++, no torch, no Python. docs/c_interface.md has the rules and examples. */
#ifndef FFI_EXT_H
#define FFI_EXT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* torch's ScalarType numbers. */
enum ffi_ext_dtype {
  FFI_EXT_UINT8 = 0,
  FFI_EXT_INT8 = 1,
  FFI_EXT_INT16 = 2,
  FFI_EXT_INT32 = 3,
  FFI_EXT_INT64 = 4,
  FFI_EXT_FLOAT16 = 5,
  FFI_EXT_FLOAT32 = 6,
  FFI_EXT_FLOAT64 = 7,
  FFI_EXT_COMPLEX32 = 8,
  FFI_EXT_COMPLEX64 = 9,
  FFI_EXT_COMPLEX128 = 10,
  FFI_EXT_BOOL = 11,
  FFI_EXT_BFLOAT16 = 15,
  FFI_EXT_FLOAT8_E5M2 = 23,
  FFI_EXT_FLOAT8_E4M3FN = 24,
  FFI_EXT_UINT16 = 27,
  FFI_EXT_UINT32 = 28,
  FFI_EXT_UINT64 = 29
};

/* DLPack's numbers. */
enum ffi_ext_device { FFI_EXT_CPU = 1, FFI_EXT_CUDA = 2 };

/* A tensor argument, good for the length of the call. C cannot resize it. Through a `const ffi_ext_tensor *` it must not
 * write to `data`. */
typedef struct ffi_ext_tensor {
  void *data; /* the first element */
  const int64_t *shape;
  const int64_t *stride; /* in elements; may be 0 or, from NumPy, anything that is not negative */
  int64_t numel;
  int32_t ndim;
  int32_t dtype;       /* enum ffi_ext_dtype */
  int32_t item_size;   /* bytes of an element */
  int32_t device_type; /* enum ffi_ext_device */
  int32_t device;      /* the GPU's index */
  void *stream;        /* of CUDA tensors: torch's current cudaStream_t */
} ffi_ext_tensor;

/* Raises ffi_ext.NativeError with the text and this place, unless the condition holds. */
#define FFI_CHECK(condition, ...)                                     \
  do {                                                                \
    if (!(condition)) _THError(__FILE__, __LINE__, __VA_ARGS__);      \
  } while (0)
void _THError(const char *file, const int line, const char *fmt, ...);

/* Elements of 16 bits. */
void TH_halfbits2float(unsigned short *bits, float *value);
void TH_float2halfbits(float *value, unsigned short *bits);

static inline float ffi_ext_from_float16(uint16_t bits) {
  float value;
  TH_halfbits2float(&bits, &value);
  return value;
}

static inline uint16_t ffi_ext_to_float16(float value) {
  uint16_t bits;
  TH_float2halfbits(&value, &bits);
  return bits;
}

/* bfloat16's are there for kernels of CUDA, too. */
#ifdef __CUDACC__
#define FFI_EXT_ANYWHERE static inline __host__ __device__
#else
#define FFI_EXT_ANYWHERE static inline
#endif

FFI_EXT_ANYWHERE float ffi_ext_from_bfloat16(uint16_t bits) {
  const uint32_t wide = (uint32_t)bits << 16;
  float value;
  memcpy(&value, &wide, sizeof value);
  return value;
}

/* To nearest, ties to even; a NaN stays one. */
FFI_EXT_ANYWHERE uint16_t ffi_ext_to_bfloat16(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  if (value != value) return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

#ifdef __cplusplus
}
#endif
#endif
