/* What a tensor argument must be beyond its type: constraints of the header's comment, compared at
 * each call. */
#ifndef FFI_EXT_CONSTRAINTS_H
#define FFI_EXT_CONSTRAINTS_H

#include <stddef.h>
#include <stdint.h>

#include "ffi_ext/abi.h"

#define FFI_CONSTRAINT_DIMS 16
#define FFI_CONSTRAINT_NAMES 32 /* of sizes, in one function */

/* Sizes of a shape: a number, any, or a name's place as FIRST_NAME - place. */
enum { FFI_ANY_SIZE = -1, FFI_FIRST_NAME = -2 };
enum { FFI_ANY_LAYOUT, FFI_CONTIGUOUS, FFI_CHANNELS_LAST };
enum { FFI_ON_CPU = 1, FFI_ON_CUDA = 2 };

typedef struct ffi_constraint {
  const char *text; /* from its [ on, in the signature */
  int length;
  uint32_t dtypes; /* a bit for each ScalarType number; 0: any */
  signed char layout, output, optional, devices;
  signed char has_shape, dims, ellipsis; /* ellipsis: its place among the dims, or -1 */
  short dtype_of, like;                  /* parameters, or -1 */
  int64_t dim[FFI_CONSTRAINT_DIMS];
} ffi_constraint;

/* Names of sizes in one signature, in the order of their appearance. */
typedef struct ffi_size_names {
  int count;
  struct {
    const char *text;
    size_t length;
  } names[FFI_CONSTRAINT_NAMES];
} ffi_size_names;

/* A tensor that was passed. */
typedef struct ffi_seen {
  const int64_t *shape, *stride;
  int ndim, scalar, cuda; /* cuda: the GPU's index + 1; 0: the CPU */
  uintptr_t first, end;   /* its memory */
} ffi_seen;

/* What the names of sizes stand for in one call. */
typedef struct ffi_sizes {
  uint32_t known; /* a bit for each name */
  int64_t value[FFI_CONSTRAINT_NAMES];
} ffi_sizes;

/* Reads "[float32,(N,C)]" at *at, moves behind it. -1: another version of ffi_ext wrote it. */
int ffi_constraint_parse(const char **at, ffi_constraint *constraint, ffi_size_names *names);

/* Whether it says more than that NULL is allowed, or where the tensor may be. */
int ffi_constraint_compares(const ffi_constraint *constraint);

/* Whether seen[index] is what constraint says; `seen` of earlier parameters that are no tensors
 * have ndim -1. */
int ffi_constraint_fits(const ffi_constraint *constraint, const ffi_seen *seen, int index,
                        ffi_sizes *sizes);

int ffi_seen_overlap(const ffi_seen *a, const ffi_seen *b);

#endif
