/* Signatures of generated functions: codes (ffi_ext/types.py) and constraints, taken apart. */
#include <string.h>

#include "call.h"

int ffi_parse_code(const char **at, ffi_parameter *p) {
  static const struct {
    char code;
    unsigned char kind, bits;
  } scalars[] = {
      {'v', FFI_VOID, 0},
      {'?', FFI_BOOL, 1},
      {'b', FFI_SIGNED, 8},
      {'B', FFI_UNSIGNED, 8},
      {'h', FFI_SIGNED, 16},
      {'H', FFI_UNSIGNED, 16},
      {'i', FFI_SIGNED, 32},
      {'I', FFI_UNSIGNED, 32},
      {'l', FFI_SIGNED, 8 * sizeof(long)},
      {'L', FFI_UNSIGNED, 8 * sizeof(long)},
      {'q', FFI_SIGNED, 64},
      {'Q', FFI_UNSIGNED, 64},
      {'f', FFI_FLOATING, 0},
      {'d', FFI_DOUBLED, 0},
      {'s', FFI_STRING, 0},
      {'M', FFI_MEMORY, 0},
      {'m', FFI_MEMORY, 0},
      {'A', FFI_ARRAY, 0},
      {'a', FFI_ARRAY, 0},
      {'c', FFI_CONVERTED, 0},
      {'p', FFI_CONVERTED, 0},
      {'x', FFI_CONVERTED, 0},
  };
  memset(p, 0, sizeof *p);
  p->constraint = -1;
  p->code = *(*at)++;
  p->writable = p->code == 'A' || p->code == 'M';
  for (size_t i = 0; i < sizeof scalars / sizeof *scalars; i++) {
    if (scalars[i].code != p->code) continue;
    p->kind = scalars[i].kind;
    p->bits = scalars[i].bits;
    return 0;
  }
  const char *tensor = strchr(FFI_EXT_TWO_LETTERS, p->code),
             *element = **at ? strchr(ffi_type_letters, **at) : NULL;
  if (!p->code || !tensor || !element) return -1;
  ++*at;
  p->kind = strchr("TtUu", p->code) ? FFI_TENSOR : FFI_STORAGE;
  p->writable = p->code >= 'A' && p->code <= 'Z';
  p->cuda = strchr("UuWw", p->code) != NULL;
  p->type = (unsigned char)(element - ffi_type_letters);
  return 0;
}

int ffi_parse_signature(const char *signature, ffi_parameter *result, ffi_parameter *parameters,
                        ffi_constraint *constraints, int *constraint_count) {
  int count = 0;
  ffi_size_names names = {0};
  if (ffi_parse_code(&signature, result)) return -1;
  for (; *signature; count++) {
    if (count == FFI_EXT_MAX_ARGUMENTS || ffi_parse_code(&signature, &parameters[count])) return -1;
    if (*signature != '[') continue;
    parameters[count].constraint = (short)*constraint_count;
    if (ffi_constraint_parse(&signature, &constraints[(*constraint_count)++], &names)) return -1;
  }
  return count;
}
