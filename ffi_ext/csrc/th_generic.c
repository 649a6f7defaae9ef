/* The typed functions, for every element type: TH's own mechanism applied to generic/th_*.c. */
#include <float.h>
#include <limits.h>
#include <math.h>

#include "TH/THMath.h"
#include "th_core.h"

#define TH_GENERIC_FILE "../../csrc/generic/th_storage.c"
#include "TH/THGenerateAllTypes.h"
#define TH_GENERIC_FILE "../../csrc/generic/th_storage.c"
#include "TH/THGenerateHalfType.h"

#define TH_GENERIC_FILE "../../csrc/generic/th_tensor.c"
#include "TH/THGenerateAllTypes.h"
#define TH_GENERIC_FILE "../../csrc/generic/th_tensor.c"
#include "TH/THGenerateHalfType.h"

#define TH_GENERIC_FILE "../../csrc/generic/th_copy.c"
#include "TH/THGenerateAllTypes.h"
#define TH_GENERIC_FILE "../../csrc/generic/th_copy.c"
#include "TH/THGenerateHalfType.h"

/* The bits of an integer as the unsigned type of its width: shifts of negative numbers and negation
 * of the least one are defined there. */
static inline uint64_t ffi_unsigned_Long(int64_t x) { return (uint64_t)x; }
static inline uint32_t ffi_unsigned_Int(int32_t x) { return (uint32_t)x; }
static inline uint16_t ffi_unsigned_Short(int16_t x) { return (uint16_t)x; }
static inline uint8_t ffi_unsigned_Char(int8_t x) { return (uint8_t)x; }
static inline uint8_t ffi_unsigned_Byte(uint8_t x) { return x; }

#define TH_GENERIC_FILE "../../csrc/generic/th_pointwise.c"
#include "TH/THGenerateAllTypes.h"
#define TH_GENERIC_FILE "../../csrc/generic/th_reduce.c"
#include "TH/THGenerateAllTypes.h"
#define TH_GENERIC_FILE "../../csrc/generic/th_random.c"
#include "TH/THGenerateAllTypes.h"
#define TH_GENERIC_FILE "../../csrc/generic/th_blas.c"
#include "TH/THGenerateAllTypes.h"

/* The lists of the TH headers become functions. */
#define TH_FUNCTION(NAME, PARAMETERS, CODES, ...) \
  void THTensor_(NAME) PARAMETERS { ffi_th_torch(#NAME, CODES, __VA_ARGS__); }
#define TH_GIVEN(matrix, result) ((matrix) ? (matrix) : (result))
#define TH_GENERIC_FILE "TH/generic/THTensorMath.h"
#include "TH/THGenerateAllTypes.h"
#define TH_GENERIC_FILE "TH/generic/THTensorLapack.h"
#include "TH/THGenerateFloatTypes.h"

/* How th_conv.c's places and planes meet. */
enum ffi_places { FFI_VALID, FFI_REVERSED, FFI_FULL };

/* The places of the result along an axis where input and kernel have i and k. */
static inline int64_t ffi_conv_size(enum ffi_places how, int64_t i, int64_t k, int64_t step) {
  if (how == FFI_FULL) return (i - 1) * step + k;
  return how == FFI_REVERSED ? i - (k - 1) * step : (i - k) / step + 1;
}

enum ffi_planes {
  FFI_PLANE,       /* one plane with one plane */
  FFI_ELEMENT,     /* r[i] = t[i] with k[i] */
  FFI_OUTER,       /* r[j][i] = t[i] with k[j] */
  FFI_BATCH_OUTER, /* r[j][i] = the sum over b of t[b][i] with k[b][j] */
  FFI_MATRIX,      /* r[j] = the sum over i of t[i] with k[j][i] */
  FFI_BATCH,       /* r[b][j] = the sum over i of t[b][i] with k[j][i] */
};
#define TH_GENERIC_FILE "../../csrc/generic/th_conv.c"
#include "TH/THGenerateAllTypes.h"
