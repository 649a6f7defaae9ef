/* Functions of elements: several arrays walked together, whatever their strides. An operand that is
 * repeated along an axis (one scale per channel) has the stride 0 there. */
#ifndef CUDA_ELEMENTWISE_CUH
#define CUDA_ELEMENTWISE_CUH

#include <ffi_ext.h>

#include "parallel.cuh"

template <int OPERANDS, int AXES, typename integer = int64_t>
struct walk {
  int axes;
  integer size[AXES], stride[OPERANDS][AXES]; /* in elements */

  int64_t count() const {
    int64_t product = 1;
    for (int axis = 0; axis < axes; axis++) product *= size[axis];
    return product;
  }

  /* Whether 32 bits hold all indices and places. */
  int is_narrow() const {
    if (count() > NARROW) return 0;
    for (int k = 0; k < OPERANDS; k++) {
      int64_t reach = 0;
      for (int axis = 0; axis < axes; axis++)
        reach += (size[axis] - 1) * (stride[k][axis] < 0 ? -stride[k][axis] : stride[k][axis]);
      if (reach > NARROW) return 0;
    }
    return 1;
  }

  /* at[k] = where operand k has element i. */
  BOTH void place(integer i, integer *at) const {
    for (int k = 0; k < OPERANDS; k++) at[k] = 0;
    for (int axis = axes - 1; axis >= 0; axis--) {
      const integer digit = axis ? take(&i, size[axis]) : i;
      for (int k = 0; k < OPERANDS; k++) at[k] += digit * stride[k][axis];
    }
  }

  void swap(int i, int j) {
    const integer length = size[i];
    size[i] = size[j];
    size[j] = length;
    for (int k = 0; k < OPERANDS; k++) {
      const integer step = stride[k][i];
      stride[k][i] = stride[k][j];
      stride[k][j] = step;
    }
  }

  /* Axes in the order of operand `leader`'s memory, and as few as possible. */
  void simplify(int leader) {
    int kept = 0;
    for (int axis = 0; axis < axes; axis++)
      if (size[axis] != 1) swap(kept++, axis);
    if (kept == 0) size[kept++] = 1; /* one element: its strides do not matter */
    axes = kept;
    for (int i = 1; i < axes; i++)
      for (int j = i; j > 0 && stride[leader][j - 1] < stride[leader][j]; j--) swap(j - 1, j);
    for (int i = axes - 2; i >= 0; i--) {
      int continues = 1;
      for (int k = 0; k < OPERANDS; k++)
        continues &= stride[k][i] == size[i + 1] * stride[k][i + 1];
      if (!continues) continue;
      size[i] *= size[i + 1];
      for (int k = 0; k < OPERANDS; k++) stride[k][i] = stride[k][i + 1];
      axes--;
      for (int j = i + 1; j < axes; j++) {
        size[j] = size[j + 1];
        for (int k = 0; k < OPERANDS; k++) stride[k][j] = stride[k][j + 1];
      }
    }
  }
};

/* The same in 32 bits, in which a GPU computes places in half of the time. */
template <int OPERANDS, int AXES>
walk<OPERANDS, AXES, int> narrowed(const walk<OPERANDS, AXES> &w) {
  walk<OPERANDS, AXES, int> narrow;
  narrow.axes = w.axes;
  for (int axis = 0; axis < w.axes; axis++) {
    narrow.size[axis] = (int)w.size[axis];
    for (int k = 0; k < OPERANDS; k++) narrow.stride[k][axis] = (int)w.stride[k][axis];
  }
  return narrow;
}

/* An element of bfloat16, computed with as a float. */
struct bfloat16 {
  uint16_t bits;

  BOTH operator float() const { return ffi_ext_from_bfloat16(bits); }
  BOTH void operator=(float value) { bits = ffi_ext_to_bfloat16(value); }
};

/* What elements are computed in. */
template <typename real>
struct computed {
  typedef real number;
};
template <>
struct computed<bfloat16> {
  typedef float number;
};
template <typename real>
using number_of = typename computed<real>::number;

/* Neighbours in memory, read and written by instructions of 16 bytes. */
template <typename real, int N>
struct alignas(N * sizeof(real)) pack {
  real lane[N];
};

/* N neighbours, or one that is repeated, which stays in one lane. */
template <int N, typename real>
DEVICE void read(const real *from, bool repeated, pack<number_of<real>, N> *value) {
  if (repeated) {
    value->lane[0] = *from;
    return;
  }
  const pack<real, N> loaded = *(const pack<real, N> *)from;
  for (int lane = 0; lane < N; lane++) value->lane[lane] = loaded.lane[lane];
}

/* The bits of WIDE are the operands whose elements are the numbers that are computed in. */
template <unsigned WIDE, typename real>
BOTH constexpr size_t size_of(int operand) {
  return WIDE >> operand & 1 ? sizeof(number_of<real>) : sizeof(real);
}

/* Whether all operands can be walked N elements at a time: neighbours and aligned, or repeated,
 * which a result cannot be. */
template <int N, int INPUTS, unsigned WIDE, typename real, int OPERANDS, int AXES>
int in_packs(const walk<OPERANDS, AXES> &w, real *const *operand) {
  const int last = w.axes - 1;
  if (w.size[last] % N) return 0;
  for (int k = 0; k < OPERANDS; k++) {
    if (!operand[k] || (w.stride[k][last] == 0 && k < INPUTS)) continue;
    if (w.stride[k][last] != 1 || (uintptr_t)operand[k] % (N * size_of<WIDE, real>(k))) return 0;
    for (int axis = 0; axis < last; axis++)
      if (w.stride[k][axis] % N) return 0;
  }
  return 1;
}

template <typename real, int OPERANDS>
struct operands {
  real *of[OPERANDS];
  bool repeated[OPERANDS]; /* along the last axis */
};

template <int N, int INPUTS, unsigned WIDE, typename real, int OPERANDS, int AXES, typename integer,
          typename Function>
void launch_elementwise(cudaStream_t stream, walk<OPERANDS, AXES, integer> w, real *const *operand,
                        Function function) {
  operands<real, OPERANDS> given;
  const int last = w.axes - 1;
  w.size[last] /= N;
  for (int k = 0; k < OPERANDS; k++) {
    given.of[k] = operand[k];
    given.repeated[k] = N > 1 && w.stride[k][last] == 0;
    w.stride[k][last] *= N;
  }
  parallel(stream, w.count(), [=] DEVICE(int64_t i) {
    integer at[OPERANDS];
    w.place((integer)i, at);
    typedef number_of<real> number;
    pack<number, N> value[OPERANDS] = {};
    /* a repeated value stays in one lane until all loads are under way */
#pragma unroll
    for (int k = 0; k < INPUTS; k++) {
      if (!given.of[k]) continue;
      if (WIDE >> k & 1)
        read<N>((const number *)given.of[k] + at[k], given.repeated[k], &value[k]);
      else
        read<N>((const real *)given.of[k] + at[k], given.repeated[k], &value[k]);
    }
#pragma unroll
    for (int lane = 0; lane < N; lane++) {
      number element[OPERANDS];
      for (int k = 0; k < INPUTS; k++) {
        const number first = value[k].lane[0], own = value[k].lane[lane];
        element[k] = given.repeated[k] ? first : own;
      }
      function(element);
      for (int k = INPUTS; k < OPERANDS; k++) value[k].lane[lane] = element[k];
    }
#pragma unroll
    for (int k = INPUTS; k < OPERANDS; k++) {
      if (!given.of[k]) continue;
      pack<real, N> result;
      for (int lane = 0; lane < N; lane++) result.lane[lane] = value[k].lane[lane];
      *(pack<real, N> *)(given.of[k] + at[k]) = result;
    }
  });
}

template <int N, int INPUTS, unsigned WIDE, typename real, int OPERANDS, int AXES,
          typename Function>
void launch_in_bits(cudaStream_t stream, const walk<OPERANDS, AXES> &w, real *const *operand,
                    Function function) {
  if (w.is_narrow())
    launch_elementwise<N, INPUTS, WIDE>(stream, narrowed(w), operand, function);
  else
    launch_elementwise<N, INPUTS, WIDE>(stream, w, operand, function);
}

/* function(element) for each element: element[0 .. INPUTS - 1] hold the operands' values, and the
 * others are to be set. An operand may be NULL: its value is then 0, or goes nowhere. */
template <int INPUTS, unsigned WIDE = 0, typename real, int OPERANDS, int AXES, typename Function>
void elementwise(cudaStream_t stream, walk<OPERANDS, AXES> w, int leader, real *const *operand,
                 Function function) {
  constexpr int N = 16 / sizeof(real);
  if (w.count() == 0) return;
  w.simplify(leader);
  if (in_packs<N, INPUTS, WIDE>(w, operand))
    launch_in_bits<N, INPUTS, WIDE>(stream, w, operand, function);
  else
    launch_in_bits<1, INPUTS, WIDE>(stream, w, operand, function);
}

#endif
