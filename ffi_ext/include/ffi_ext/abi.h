/* What a generated extension hands to the runtime: a table of functions, each behind one trampoline.
 *
 * The generated C defines `ffi_ext_table` once; the runtime looks it up in the loaded binary. Plain C99, no Python and
 * no torch, so that one binary serves every version of both. Change FFI_EXT_ABI when the layout changes. */
#ifndef FFI_EXT_ABI_H
#define FFI_EXT_ABI_H

#include "../ffi_ext.h"

#define FFI_EXT_ABI 4
#define FFI_EXT_MAX_ARGUMENTS 64
#define FFI_EXT_TWO_LETTERS "TtGgUuWw" /* codes of tensors and storages: the element type's letter follows */

/* One argument or result. Integers narrower than 64 bits travel in `i` or `u`; a value that has no member here (a struct
 * by value, long double, ...) travels as a pointer to it in `p`, in both directions. */
typedef union ffi_ext_slot {
  int64_t i;
  uint64_t u;
  double d;
  float f;
  void *p;
} ffi_ext_slot;

/* `signature`: the result's code, then one code per parameter; the codes stand in ffi_ext/types.py. A tensor's code may
 * be followed by its constraint in brackets (ffi_ext/constraints.py).
 * `doc`: "name(a, b)\n--\n\n" and the documentation, the form from which inspect.signature reads.
 * `call`: slots[0] is the result, the arguments follow. */
typedef struct ffi_ext_function {
  const char *name;
  const char *signature;
  const char *doc;
  void (*call)(ffi_ext_slot *slots);
} ffi_ext_function;

/* `omp_level` and `omp_end` are omp_get_level and GOMP_parallel_end as the extension itself resolves them, or NULL: an
 * error that leaves a parallel region from its master thread must close the region, or the next one hangs.
 * `cuda_error` and `cuda_error_text`: cudaGetLastError and cudaGetErrorString of the runtime that the extension's own
 * kernels are launched by, or NULL: what a launch met is told at the call.
 * `keeps_gil`: not NULL if the functions work on Python's objects, so that calls do not release the GIL. */
typedef struct ffi_ext_module_table {
  uint32_t abi;
  uint32_t count;
  const ffi_ext_function *functions;
  int (*omp_level)(void);
  void (*omp_end)(void);
  int (*cuda_error)(void);
  const char *(*cuda_error_text)(int);
  const void *keeps_gil;
} ffi_ext_module_table;

#endif
