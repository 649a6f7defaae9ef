/* Elementwise arithmetic with NumPy's broadcasting. The file includes itself once per element type
 * (TH's generic mechanism); how arrays are walked is the same for all of them. */
#ifndef TH_GENERIC_FILE

#include "broadcast.h"

#include <string.h>

#include "broadcasting.h"

#define MAX_AXES 64
#define PIECE 16384 /* elements that are computed in one call */
#define TILE 1024   /* elements of a short row, repeated */

enum { A, B, OUT };

/* Rows that are computed in one call; strides and steps in elements. */
typedef struct {
  const void *a, *b;
  void *out;
  int64_t n, stride[3];  /* along a row */
  int64_t rows, step[3]; /* from row to row */
} panel;

typedef void (*panel_function)(const panel *p);

/* How three arrays are walked together. The last axis is a row. Axis `cut`, which is the last or
 * the one before it, is taken `piece` at a time: parts of a long row, or several short rows. */
typedef struct {
  int axes, cut;
  int64_t piece;
  int64_t size[MAX_AXES];
  int64_t stride[3][MAX_AXES]; /* of A, B and OUT, in elements */
  int64_t period[2]; /* of A and B: > 0 if the row repeats so many elements over and over */
} walk;

/* A tensor without dimensions is torch's shape (0,). */
static int dimensions_of(int dimensions) { return dimensions == 0 ? 1 : dimensions; }

/* The result's shape and the inputs' strides, or an error that names the axis and the rule. */
static void broadcast_inputs(walk *w, int a_dimensions, const int64_t *a_size,
                             const int64_t *a_stride, int b_dimensions, const int64_t *b_size,
                             const int64_t *b_stride) {
  REQUIRE(a_dimensions <= MAX_AXES, 1, "a must have at most %d dimensions, got %d", MAX_AXES,
          a_dimensions);
  REQUIRE(b_dimensions <= MAX_AXES, 2, "b must have at most %d dimensions, got %d", MAX_AXES,
          b_dimensions);
  const int a_axes = dimensions_of(a_dimensions), b_axes = dimensions_of(b_dimensions);
  w->axes = a_axes > b_axes ? a_axes : b_axes;
  for (int axis = 0; axis < w->axes; axis++) {
    const int64_t a = padded_size(a_dimensions, a_size, axis, w->axes);
    const int64_t b = padded_size(b_dimensions, b_size, axis, w->axes);
    REQUIRE(a == b || a == 1 || b == 1, 2,
            "a and b do not broadcast: axis %d has length %lld in a and %lld in b (an axis fits if "
            "it is equal or 1)",
            axis - w->axes, (long long)a, (long long)b);
    w->size[axis] = a == 1 ? b : a;
    w->stride[A][axis] = padded_stride(a_dimensions, a_size, a_stride, axis, w->axes);
    w->stride[B][axis] = padded_stride(b_dimensions, b_size, b_stride, axis, w->axes);
  }
}

static int64_t elements_of(const walk *w) {
  int64_t elements = 1;
  for (int axis = 0; axis < w->axes; axis++) elements *= w->size[axis];
  return elements;
}

static void swap_axes(walk *w, int i, int j) {
  const int64_t size = w->size[i];
  w->size[i] = w->size[j];
  w->size[j] = size;
  for (int k = A; k <= OUT; k++) {
    const int64_t stride = w->stride[k][i];
    w->stride[k][i] = w->stride[k][j];
    w->stride[k][j] = stride;
  }
}

/* Whether axis i of array k goes on where axis i + 1 ends. */
static int continues(const walk *w, int k, int i) {
  return w->stride[k][i] == w->size[i + 1] * w->stride[k][i + 1];
}

/* Axis i + 1 becomes part of axis i, with the strides of i + 1. */
static void merge_axes(walk *w, int i) {
  w->size[i] *= w->size[i + 1];
  for (int k = A; k <= OUT; k++) w->stride[k][i] = w->stride[k][i + 1];
  w->axes--;
  for (int axis = i + 1; axis < w->axes; axis++) {
    w->size[axis] = w->size[axis + 1];
    for (int k = A; k <= OUT; k++) w->stride[k][axis] = w->stride[k][axis + 1];
  }
}

/* Few axes and a long row: what is contiguous becomes one axis, in the order of out's memory. */
static void simplify(walk *w) {
  int axes = 0;
  for (int axis = 0; axis < w->axes; axis++)
    if (w->size[axis] != 1) swap_axes(w, axes++, axis);
  w->axes = axes ? axes : 1;
  for (int i = 1; i < w->axes; i++)
    for (int j = i; j > 0 && w->stride[OUT][j - 1] < w->stride[OUT][j]; j--) swap_axes(w, j - 1, j);
  for (int i = w->axes - 2; i >= 0; i--)
    if (continues(w, A, i) && continues(w, B, i) && continues(w, OUT, i)) merge_axes(w, i);

  w->period[A] = w->period[B] = 0;
  w->cut = w->axes - 1;
  w->piece = PIECE;
  const int last = w->axes - 1;
  if (last == 0) return;
  /* (H, W, 3) with (3): a row of 3 is too short, so the 3 are written TILE / 3 times in a row */
  const int64_t n = w->size[last];
  const int a_repeats = w->stride[A][last - 1] == 0, b_repeats = w->stride[B][last - 1] == 0;
  if (n <= 32 && n * w->size[last - 1] >= 2 * TILE && continues(w, OUT, last - 1) &&
      (a_repeats || continues(w, A, last - 1)) && (b_repeats || continues(w, B, last - 1))) {
    merge_axes(w, last - 1);
    w->cut = last - 1;
    w->piece = TILE / n * n;
    w->period[A] = a_repeats ? n : 0;
    w->period[B] = b_repeats ? n : 0;
    return;
  }
  /* a short row is a bad one: take the longest axis */
  if (n < 16) {
    int longest = last;
    for (int axis = 0; axis < last; axis++)
      if (w->size[axis] > w->size[longest]) longest = axis;
    swap_axes(w, longest, last);
  }
  if (w->size[last] <= PIECE / 2) {
    w->cut = last - 1;
    w->piece = PIECE / w->size[last];
  }
}

/* Writes `period` elements of a row over and over. */
static void fill_tile(char *tile, const char *from, int64_t stride, int64_t period, int64_t count,
                      size_t element) {
  for (int64_t i = 0; i < period; i++)
    memcpy(tile + i * element, from + i * stride * (int64_t)element, element);
  for (int64_t done = period; done < count; done += period)
    memcpy(tile + done * element, tile, period * element);
}

/* The pieces of axis `cut`. */
static int64_t pieces_of(const walk *w) { return (w->size[w->cut] + w->piece - 1) / w->piece; }

/* Pieces first..last-1, counted over all axes before `cut`. */
static void walk_pieces(const walk *w, panel_function compute, size_t in_element,
                        size_t out_element, const char *a, const char *b, char *out, int64_t first,
                        int64_t last) {
  const int inner = w->axes - 1, cut = w->cut;
  const int64_t pieces = pieces_of(w);
  const int64_t element[3] = {in_element, in_element, out_element};
  const char *start[3] = {a, b, out};
  _Alignas(64) char tile[2][TILE * sizeof(double)];
  panel p = {.n = w->size[inner], .rows = 1};
  for (int k = A; k <= OUT; k++) {
    p.stride[k] = k != OUT && w->period[k] ? 1 : w->stride[k][inner];
    p.step[k] = w->stride[k][cut];
  }
  int64_t at[MAX_AXES], piece = first % pieces, rest = first / pieces;
  for (int axis = cut - 1; axis >= 0; axis--) {
    at[axis] = rest % w->size[axis];
    rest /= w->size[axis];
    for (int k = A; k <= OUT; k++) start[k] += at[axis] * w->stride[k][axis] * element[k];
  }
  int new_row = 1;
  for (int64_t i = first; i < last; i++) {
    const int64_t x = piece * w->piece, left = w->size[cut] - x;
    *(cut == inner ? &p.n : &p.rows) = left < w->piece ? left : w->piece;
    const char *from[3];
    for (int k = A; k <= OUT; k++) from[k] = start[k] + x * w->stride[k][cut] * element[k];
    for (int k = A; k <= B; k++) {
      if (w->period[k] == 0) continue;
      if (new_row)
        fill_tile(tile[k], start[k], w->stride[k][inner], w->period[k], w->piece, in_element);
      from[k] = tile[k];
    }
    p.a = from[A];
    p.b = from[B];
    p.out = (char *)from[OUT];
    compute(&p);
    new_row = ++piece == pieces;
    if (!new_row) continue;
    piece = 0;
    for (int axis = cut - 1; axis >= 0; axis--) {
      const int64_t step = ++at[axis] < w->size[axis] ? 1 : 1 - w->size[axis];
      for (int k = A; k <= OUT; k++) start[k] += step * w->stride[k][axis] * element[k];
      if (step == 1) break;
      at[axis] = 0;
    }
  }
}

static void walk_all(walk *w, panel_function compute, size_t in_element, size_t out_element,
                     const void *a, const void *b, void *out) {
  const int64_t elements = elements_of(w);
  if (elements == 0) return;
  simplify(w);
  int64_t pieces = pieces_of(w);
  for (int axis = 0; axis < w->cut; axis++) pieces *= w->size[axis];
  if (elements <= PARALLEL_ELEMENTS) {
    walk_pieces(w, compute, in_element, out_element, a, b, out, 0, pieces);
    return;
  }
  const int64_t parts = pieces < 64 ? pieces : 64;
#pragma omp parallel for
  for (int64_t part = 0; part < parts; part++)
    walk_pieces(w, compute, in_element, out_element, a, b, out, pieces * part / parts,
                pieces * (part + 1) / parts);
}

/* A NaN is unequal to itself; a comparison with one is false, which takes y. */
#define MINIMUM(x, y) ((x) < (y) || (x) != (x) ? (x) : (y))
#define MAXIMUM(x, y) ((x) > (y) || (x) != (x) ? (x) : (y))
#define ADD(x, y) ((real)(WRAPPING(x) + WRAPPING(y)))
#define SUBTRACT(x, y) ((real)(WRAPPING(x) - WRAPPING(y)))
#define MULTIPLY(x, y) ((real)(WRAPPING(x) * WRAPPING(y)))
#define DIVIDE(x, y) ((quotient)(x) / (quotient)(y))

/* out may be an input itself, element for element: that is what ivdep promises. */
#define ROW_LOOP(X, Y, OUTPUT, EXPRESSION)               \
  _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++) { \
    const real x = X, y = Y;                             \
    OUTPUT = EXPRESSION(x, y);                           \
  }

/* A function of the header, and its loops over a panel. That over elements which lie apart gains
 * little from wider vectors (floats take 0.7 of the time without, bytes 1.3): it is compiled once,
 * and this file in three quarters of the time. */
#define DEFINE(operation, EXPRESSION, out_real, Out)                                            \
  __attribute__((noinline)) static void TH_CONCAT_3(operation, _apart_, type_name)(             \
      const real *a, int64_t sa, const real *b, int64_t sb, out_real *out, int64_t so,          \
      int64_t n) {                                                                              \
    ROW_LOOP(a[i * sa], b[i * sb], out[i * so], EXPRESSION);                                    \
  }                                                                                             \
  KERNEL_CLONES_256                                                                             \
  static void TH_CONCAT_3(operation, _panel_, type_name)(const panel *p) {                      \
    const int64_t n = p->n, rows = p->rows;                                                     \
    const int64_t sa = p->stride[A], sb = p->stride[B], so = p->stride[OUT];                    \
    for (int64_t row = 0; row < rows; row++) {                                                  \
      const real *a = (const real *)p->a + row * p->step[A];                                    \
      const real *b = (const real *)p->b + row * p->step[B];                                    \
      out_real *out = (out_real *)p->out + row * p->step[OUT];                                  \
      if (sa == 1 && sb == 1 && so == 1) {                                                      \
        ROW_LOOP(a[i], b[i], out[i], EXPRESSION)                                                \
      } else if (sa == 1 && sb == 0 && so == 1) {                                               \
        const real b0 = *b;                                                                     \
        ROW_LOOP(a[i], b0, out[i], EXPRESSION)                                                  \
      } else if (sa == 0 && sb == 1 && so == 1) {                                               \
        const real a0 = *a;                                                                     \
        ROW_LOOP(a0, b[i], out[i], EXPRESSION)                                                  \
      } else {                                                                                  \
        TH_CONCAT_3(operation, _apart_, type_name)(a, sa, b, sb, out, so, n);                   \
      }                                                                                         \
    }                                                                                           \
  }                                                                                             \
  TH_CONCAT_3(TH, Out, Tensor) *                                                                \
      TH_CONCAT_4(broadcast_, operation, _, type_name)(const THTensor *a, const THTensor *b,    \
                                                       TH_CONCAT_3(TH, Out, Tensor) * out) {    \
    walk w;                                                                                     \
    broadcast_inputs(&w, a->nDimension, a->size, a->stride, b->nDimension, b->size, b->stride); \
    if (!out) out = TH_CONCAT_4(TH, Out, Tensor_, new)();                                       \
    if (out->nDimension != w.axes || memcmp(out->size, w.size, w.axes * sizeof(int64_t))) {     \
      REQUIRE_NO_INPUT(out, 3, a, b);                                                           \
      TH_CONCAT_4(TH, Out, Tensor_, resizeNd)(out, elements_of(&w) ? w.axes : 0, w.size, NULL); \
    }                                                                                           \
    for (int axis = 0; axis < out->nDimension; axis++) w.stride[OUT][axis] = out->stride[axis]; \
    walk_all(&w, TH_CONCAT_3(operation, _panel_, type_name), sizeof(real), sizeof(out_real),    \
             THTensor_(data)(a), THTensor_(data)(b), TH_CONCAT_4(TH, Out, Tensor_, data)(out)); \
    return out;                                                                                 \
  }

#define type_name uint8
#define TH_GENERIC_FILE "broadcast.c"
#include <TH/THGenerateByteType.h>
#undef type_name
#define type_name int32
#define TH_GENERIC_FILE "broadcast.c"
#include <TH/THGenerateIntType.h>
#undef type_name
#define type_name int64
#define TH_GENERIC_FILE "broadcast.c"
#include <TH/THGenerateLongType.h>
#undef type_name
#define type_name float
#define TH_GENERIC_FILE "broadcast.c"
#include <TH/THGenerateFloatType.h>
#undef type_name
#define type_name double
#define TH_GENERIC_FILE "broadcast.c"
#include <TH/THGenerateDoubleType.h>
#undef type_name

#else

#if defined(TH_REAL_IS_FLOAT) || defined(TH_REAL_IS_DOUBLE)
#define WRAPPING(x) (x)
#define quotient real
#define Quotient Real
#else
#define WRAPPING(x) ((uint64_t)(x)) /* signed overflow is undefined in C, unsigned wraps */
#define quotient double
#define Quotient Double
#endif

DEFINE(add, ADD, real, Real)
DEFINE(subtract, SUBTRACT, real, Real)
DEFINE(multiply, MULTIPLY, real, Real)
DEFINE(divide, DIVIDE, quotient, Quotient)
DEFINE(minimum, MINIMUM, real, Real)
DEFINE(maximum, MAXIMUM, real, Real)

#undef WRAPPING
#undef quotient
#undef Quotient

#endif
