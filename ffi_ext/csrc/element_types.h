/* Element types: the tables that all else is made of. */
#ifndef FFI_EXT_ELEMENT_TYPES_H
#define FFI_EXT_ELEMENT_TYPES_H

#include "ffi_ext/abi.h"

/* TH's, in the order of ffi_ext/types.py: name, letter in signatures, torch's ScalarType, the
 * logarithm of an element's bytes (a division costs 4 ns a call). */
#define FFI_TH_TYPES(ROW)      \
  ROW(Float, 'F', FLOAT32, 2)  \
  ROW(Double, 'D', FLOAT64, 3) \
  ROW(Long, 'L', INT64, 3)     \
  ROW(Int, 'I', INT32, 2)      \
  ROW(Short, 'S', INT16, 1)    \
  ROW(Char, 'C', INT8, 0)      \
  ROW(Byte, 'B', UINT8, 0)     \
  ROW(Half, 'H', FLOAT16, 1)

#define FFI_NAME(NAME, ...) FFI_##NAME,
enum ffi_type { FFI_TH_TYPES(FFI_NAME) FFI_TYPES };

extern const unsigned char ffi_type_shift[FFI_TYPES];
static inline ptrdiff_t ffi_type_size(int type) { return (ptrdiff_t)1 << ffi_type_shift[type]; }
extern const char ffi_type_letters[FFI_TYPES + 1];

/* Torch's that C may have a view on: name, ScalarType, bytes, NumPy's kind or 0. NumPy's common
 * ones first, which are looked for in this order. */
#define FFI_SCALARS(ROW)               \
  ROW(float32, FLOAT32, 4, 'f')        \
  ROW(float64, FLOAT64, 8, 'f')        \
  ROW(int64, INT64, 8, 'i')            \
  ROW(int32, INT32, 4, 'i')            \
  ROW(uint8, UINT8, 1, 'u')            \
  ROW(bool, BOOL, 1, 'b')              \
  ROW(int8, INT8, 1, 'i')              \
  ROW(int16, INT16, 2, 'i')            \
  ROW(float16, FLOAT16, 2, 'f')        \
  ROW(uint16, UINT16, 2, 'u')          \
  ROW(uint32, UINT32, 4, 'u')          \
  ROW(uint64, UINT64, 8, 'u')          \
  ROW(complex64, COMPLEX64, 8, 'c')    \
  ROW(complex128, COMPLEX128, 16, 'c') \
  ROW(complex32, COMPLEX32, 4, 0)      \
  ROW(bfloat16, BFLOAT16, 2, 0)        \
  ROW(float8_e5m2, FLOAT8_E5M2, 1, 0)  \
  ROW(float8_e4m3fn, FLOAT8_E4M3FN, 1, 0)

/* ScalarType numbers by enum ffi_type, and back (-1: none of TH's). */
extern const int ffi_scalar_type[FFI_TYPES];
int ffi_type_of_scalar(int scalar_type);
/* Bytes of an element; 0: a type that C gets no view on. */
int ffi_scalar_bytes(int scalar_type);

#endif
