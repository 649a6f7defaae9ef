/* Element types: what enum ffi_type and torch's ScalarType numbers say of each other. */
#include "torch_bridge.h"

const unsigned char ffi_type_shift[FFI_TYPES] = {2, 3, 3, 2, 1, 0, 0, 1};

const int ffi_scalar_type[FFI_TYPES] = {
    [FFI_FLOAT] = FFI_EXT_FLOAT32, [FFI_DOUBLE] = FFI_EXT_FLOAT64, [FFI_LONG] = FFI_EXT_INT64,
    [FFI_INT] = FFI_EXT_INT32,     [FFI_SHORT] = FFI_EXT_INT16,    [FFI_CHAR] = FFI_EXT_INT8,
    [FFI_BYTE] = FFI_EXT_UINT8,    [FFI_HALF] = FFI_EXT_FLOAT16,
};

int ffi_type_of_scalar(int scalar_type) {
  static const signed char types[8] = {
      [FFI_EXT_UINT8] = FFI_BYTE,    [FFI_EXT_INT8] = FFI_CHAR,      [FFI_EXT_INT16] = FFI_SHORT,
      [FFI_EXT_INT32] = FFI_INT,     [FFI_EXT_INT64] = FFI_LONG,     [FFI_EXT_FLOAT16] = FFI_HALF,
      [FFI_EXT_FLOAT32] = FFI_FLOAT, [FFI_EXT_FLOAT64] = FFI_DOUBLE,
  };
  return scalar_type >= 0 && scalar_type < 8 ? types[scalar_type] : -1;
}

int ffi_scalar_bytes(int scalar_type) {
  static const unsigned char bytes[30] = {
      [FFI_EXT_UINT8] = 1,     [FFI_EXT_INT8] = 1,        [FFI_EXT_INT16] = 2,
      [FFI_EXT_INT32] = 4,     [FFI_EXT_INT64] = 8,       [FFI_EXT_FLOAT16] = 2,
      [FFI_EXT_FLOAT32] = 4,   [FFI_EXT_FLOAT64] = 8,     [FFI_EXT_COMPLEX32] = 4,
      [FFI_EXT_COMPLEX64] = 8, [FFI_EXT_COMPLEX128] = 16, [FFI_EXT_BOOL] = 1,
      [FFI_EXT_BFLOAT16] = 2,  [FFI_EXT_FLOAT8_E5M2] = 1, [FFI_EXT_FLOAT8_E4M3FN] = 1,
      [FFI_EXT_UINT16] = 2,    [FFI_EXT_UINT32] = 4,      [FFI_EXT_UINT64] = 8,
  };
  return scalar_type >= 0 && scalar_type < 30 ? bytes[scalar_type] : 0;
}
