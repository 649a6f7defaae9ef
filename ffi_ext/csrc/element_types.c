/* Element types: what enum ffi_type and torch's ScalarType numbers say of each other. */
#include <string.h>

#include "torch_bridge.h"

const size_t ffi_type_size[FFI_TYPES] = {4, 8, 8, 4, 2, 1, 1, 2};
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

/* Those that C gets a view on: torch's names, and bytes. */
static const struct {
  const char *name;
  int bytes;
} scalars[] = {
    [FFI_EXT_UINT8] = {"uint8", 1},
    [FFI_EXT_INT8] = {"int8", 1},
    [FFI_EXT_INT16] = {"int16", 2},
    [FFI_EXT_INT32] = {"int32", 4},
    [FFI_EXT_INT64] = {"int64", 8},
    [FFI_EXT_FLOAT16] = {"float16", 2},
    [FFI_EXT_FLOAT32] = {"float32", 4},
    [FFI_EXT_FLOAT64] = {"float64", 8},
    [FFI_EXT_COMPLEX32] = {"complex32", 4},
    [FFI_EXT_COMPLEX64] = {"complex64", 8},
    [FFI_EXT_COMPLEX128] = {"complex128", 16},
    [FFI_EXT_BOOL] = {"bool", 1},
    [FFI_EXT_BFLOAT16] = {"bfloat16", 2},
    [FFI_EXT_FLOAT8_E5M2] = {"float8_e5m2", 1},
    [FFI_EXT_FLOAT8_E4M3FN] = {"float8_e4m3fn", 1},
    [FFI_EXT_UINT16] = {"uint16", 2},
    [FFI_EXT_UINT32] = {"uint32", 4},
    [FFI_EXT_UINT64] = {"uint64", 8},
};
enum { SCALARS = sizeof scalars / sizeof *scalars };

int ffi_scalar_bytes(int scalar_type) {
  return scalar_type >= 0 && scalar_type < SCALARS ? scalars[scalar_type].bytes : 0;
}

int ffi_scalar_named(const char *text, size_t length) {
  for (int i = 0; i < SCALARS; i++) {
    const char *name = scalars[i].name;
    if (name && strlen(name) == length && !memcmp(text, name, length)) return i;
  }
  return -1;
}
