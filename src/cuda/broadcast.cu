/* Elementwise arithmetic with NumPy's broadcasting on a GPU: src/broadcast.c's twin. */
#include "broadcasting.h"
#include "elementwise.cuh"
#include "tensors.cuh"

#define MAX_AXES 64

enum { A, B, OUT, OPERANDS };
typedef walk<OPERANDS, MAX_AXES> all_axes;

/* The result's shape and the inputs' strides, or an error that names the axis and the rule. */
template <typename Tensor>
void broadcast_inputs(all_axes *w, const Tensor *a, const Tensor *b) {
  REQUIRE(a->nDimension <= MAX_AXES, 1, "a must have at most %d dimensions, got %d", MAX_AXES,
          a->nDimension);
  REQUIRE(b->nDimension <= MAX_AXES, 2, "b must have at most %d dimensions, got %d", MAX_AXES,
          b->nDimension);
  w->axes = THMax(THMax(a->nDimension, b->nDimension), 1);
  for (int axis = 0; axis < w->axes; axis++) {
    const int64_t in_a = padded_size(a->nDimension, a->size, axis, w->axes),
                  in_b = padded_size(b->nDimension, b->size, axis, w->axes);
    REQUIRE(in_a == in_b || in_a == 1 || in_b == 1, 2,
            "a and b do not broadcast: axis %d has length %lld in a and %lld in b (an axis fits if "
            "it is equal or 1)",
            axis - w->axes, (long long)in_a, (long long)in_b);
    w->size[axis] = in_a == 1 ? in_b : in_a;
    w->stride[A][axis] = padded_stride(a->nDimension, a->size, a->stride, axis, w->axes);
    w->stride[B][axis] = padded_stride(b->nDimension, b->size, b->stride, axis, w->axes);
  }
}

template <typename To, typename Function, typename Tensor, typename Out>
Out *compute(const Tensor *a, const Tensor *b, Out *out, Function function) {
  all_axes w;
  broadcast_inputs(&w, a, b);
  if (!out) out = new_tensor<Out>();
  if (!same_shape(out->nDimension, out->size, w.axes, w.size)) {
    REQUIRE_NO_INPUT(out, 3, a, b);
    resize(out, w.count() ? w.axes : 0, w.size);
  }
  for (int axis = 0; axis < out->nDimension; axis++) w.stride[OUT][axis] = out->stride[axis];
  if (w.count() == 0) return out;
  const element<Tensor> *x = data_of(a), *y = data_of(b);
  To *to = data_of(out);
  w.simplify(OUT);
  parallel(current_stream(), w.count(), [=] DEVICE(int64_t i) {
    int64_t at[OPERANDS];
    w.place(i, at);
    to[at[OUT]] = function(x[at[A]], y[at[B]]);
  });
  finish();
  return out;
}

/* Signed overflow is undefined in C, unsigned wraps; floating point is left alone. */
#define WRAPPING_INTEGER(x) ((uint64_t)(x))
#define WRAPPING_FLOAT(x) (x)

/* A NaN is unequal to itself; a comparison with one is false, which takes y. */
#define DEFINE_ONE(operation, name, Tensor, real, Out, To, EXPRESSION)                           \
  Out *broadcast_##operation##_##name##_cuda(const Tensor *a, const Tensor *b, Out *out) {       \
    return compute<To>(a, b, out, [] DEVICE(real x, real y) -> To { return (To)(EXPRESSION); }); \
  }
#define DEFINE(name, Tensor, real, WRAPPING, Out, To)                               \
  DEFINE_ONE(add, name, Tensor, real, Tensor, real, WRAPPING(x) + WRAPPING(y))      \
  DEFINE_ONE(subtract, name, Tensor, real, Tensor, real, WRAPPING(x) - WRAPPING(y)) \
  DEFINE_ONE(multiply, name, Tensor, real, Tensor, real, WRAPPING(x) * WRAPPING(y)) \
  DEFINE_ONE(divide, name, Tensor, real, Out, To, (To)x / (To)y)                    \
  DEFINE_ONE(minimum, name, Tensor, real, Tensor, real, x < y || x != x ? x : y)    \
  DEFINE_ONE(maximum, name, Tensor, real, Tensor, real, x > y || x != x ? x : y)

DEFINE(uint8, THCudaByteTensor, uint8_t, WRAPPING_INTEGER, THCudaDoubleTensor, double)
DEFINE(int32, THCudaIntTensor, int, WRAPPING_INTEGER, THCudaDoubleTensor, double)
DEFINE(int64, THCudaLongTensor, int64_t, WRAPPING_INTEGER, THCudaDoubleTensor, double)
DEFINE(float, THCudaTensor, float, WRAPPING_FLOAT, THCudaTensor, float)
DEFINE(double, THCudaDoubleTensor, double, WRAPPING_FLOAT, THCudaDoubleTensor, double)
