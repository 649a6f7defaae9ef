/* Element types: what enum ffi_type and torch's ScalarType numbers say of each other. */
#include "element_types.h"

#define SHIFT(NAME, LETTER, SCALAR, SHIFT) SHIFT,
const unsigned char ffi_type_shift[FFI_TYPES] = {FFI_TH_TYPES(SHIFT)};

#define LETTER(NAME, LETTER, ...) LETTER,
const char ffi_type_letters[FFI_TYPES + 1] = {FFI_TH_TYPES(LETTER)};

#define SCALAR(NAME, LETTER, SCALAR, ...) FFI_EXT_##SCALAR,
const int ffi_scalar_type[FFI_TYPES] = {FFI_TH_TYPES(SCALAR)};

int ffi_type_of_scalar(int scalar_type) {
#define TYPE(NAME, LETTER, SCALAR, ...) [FFI_EXT_##SCALAR] = FFI_##NAME,
  static const signed char types[8] = {FFI_TH_TYPES(TYPE)};
  return scalar_type >= 0 && scalar_type < 8 ? types[scalar_type] : -1;
}

int ffi_scalar_bytes(int scalar_type) {
#define BYTES(NAME, SCALAR, BYTES, ...) [FFI_EXT_##SCALAR] = BYTES,
  static const unsigned char bytes[30] = {FFI_SCALARS(BYTES)};
  return scalar_type >= 0 && scalar_type < 30 ? bytes[scalar_type] : 0;
}
