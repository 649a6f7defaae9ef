/* Sigmoid focal loss on a GPU, forward and backward: src/focal_loss.c's twin. */
#include "elementwise.cuh"
#include "tensors.cuh"

#define MAX_AXES 64 /* torch's tensors have no more */

inline BOTH float exp_minus(float a) { return expf(-a); }
inline BOTH double exp_minus(double a) { return exp(-a); }
inline BOTH float log_1_plus(float e) { return log1pf(e); }
inline BOTH double log_1_plus(double e) { return log1p(e); }

/* The loss of logit x with target t, or (backward) its derivative by x. With p = sigmoid(x), q = 1
 * - p and u = 1 - p_t: loss = alpha_t u^gamma ce, d ce = p - t, d u = p q (1 - 2 t). */
template <typename real>
BOTH real value_of(real x, real t, real alpha, real gamma, int backward) {
  const real e = exp_minus(x < 0 ? -x : x), shared = 1 / (1 + e);
  const real p = x < 0 ? e * shared : shared, q = x < 0 ? shared : e * shared;
  const real ce = (x < 0 ? 0 : x) - x * t + log_1_plus(e);
  const real u = p * (1 - t) + q * t;
  const real weight = alpha < 0 ? 1 : alpha * t + (1 - alpha) * (1 - t);
  const real power = gamma == 2 ? u * u : (real)pow(fabs((double)u), (double)gamma);
  const real focus = weight * power;
  if (!backward) return focus * ce;
  const real relative = u > 0 ? p * q * (1 - 2 * t) / u : 0; /* d u / u */
  return focus * (p * (1 - t) - q * t + gamma * relative * ce);
}

template <int OPERANDS, int AXES, typename Tensor>
void set_operand(walk<OPERANDS, AXES> *w, int k, const Tensor *t) {
  for (int axis = 0; axis < w->axes; axis++) w->stride[k][axis] = t ? t->stride[axis] : 0;
}

/* grad is NULL in the forward direction; targets is argument number `first` + 1. */
template <typename Tensor>
void dense(const Tensor *grad, const Tensor *logits, const Tensor *targets, double alpha,
           double gamma, Tensor *out, int first) {
  typedef element<Tensor> real;
  REQUIRE(same_size(targets, logits), first + 1, "targets must have the shape of logits %s, got %s",
          desc_of(logits).str, desc_of(targets).str);
  REQUIRE(!grad || same_size(grad, logits), 1, "grad_loss must have the shape of logits %s, got %s",
          desc_of(logits).str, desc_of(grad).str);
  REQUIRE(gamma >= 0, first + 3, "gamma must not be negative, got %g", gamma);
  REQUIRE(logits->nDimension <= MAX_AXES, first, "logits must have at most %d dimensions, got %d",
          MAX_AXES, logits->nDimension);
  resize_as_if_needed(out, first + 4, logits, {});
  if (elements_of(logits) == 0) return;

  enum { LOGIT, TARGET, GRAD, OUT, OPERANDS };
  walk<OPERANDS, MAX_AXES> w;
  w.axes = logits->nDimension;
  for (int axis = 0; axis < w.axes; axis++) w.size[axis] = logits->size[axis];
  set_operand(&w, LOGIT, logits);
  set_operand(&w, TARGET, targets);
  set_operand(&w, GRAD, grad);
  set_operand(&w, OUT, out);
  real *operand[OPERANDS] = {data_of(logits), data_of(targets), grad ? data_of(grad) : NULL,
                             data_of(out)};
  const real a = (real)alpha, g = (real)gamma;
  const int backward = grad != NULL;
  elementwise<OUT>(current_stream(), w, OUT, operand, [=] DEVICE(real *v) {
    const real value = value_of(v[LOGIT], v[TARGET], a, g, backward);
    v[OUT] = backward ? v[GRAD] * value : value;
  });
  finish();
}

template <typename Tensor>
void classified(const Tensor *grad, const Tensor *logits, const THCudaLongTensor *classes,
                double alpha, double gamma, Tensor *out, int first) {
  typedef element<Tensor> real;
  REQUIRE(logits->nDimension == 2 && logits->size[1] <= INT32_MAX, first,
          "logits must be (N, C), got %s", desc_of(logits).str);
  const int64_t rows = logits->size[0], columns = logits->size[1];
  REQUIRE(classes->nDimension <= 1 && elements_of(classes) == rows, first + 1,
          "classes must have one number per row of logits %s, got %s", desc_of(logits).str,
          desc_of(classes).str);
  REQUIRE(!grad || same_size(grad, logits), 1, "grad_loss must have the shape of logits %s, got %s",
          desc_of(logits).str, desc_of(grad).str);
  REQUIRE(gamma >= 0, first + 3, "gamma must not be negative, got %g", gamma);
  resize_as_if_needed(out, first + 4, logits, {});
  if (rows == 0 || columns == 0) return;

  const real *x = data_of(logits), *weights = grad ? data_of(grad) : NULL;
  const int64_t *class_of = data_of(classes), class_stride = classes->stride[0];
  real *y = data_of(out);
  const int64_t *xs = logits->stride, *gs = grad ? grad->stride : xs, *ys = out->stride;
  const int64_t x_row = xs[0], x_column = xs[1], g_row = gs[0], g_column = gs[1];
  const int64_t y_row = ys[0], y_column = ys[1];
  const real a = (real)alpha, g = (real)gamma;
  parallel(current_stream(), rows * columns, [=] DEVICE(int64_t i) {
    const int64_t c = take(&i, columns), positive = class_of[i * class_stride];
    real value = 0;
    if (positive > columns)
      value = (real)NAN;
    else if (positive >= 0)
      value =
          value_of(x[i * x_row + c * x_column], (real)(c == positive - 1), a, g, weights != NULL) *
          (weights ? weights[i * g_row + c * g_column] : (real)1);
    y[i * y_row + c * y_column] = value;
  });
  finish();
}

#define DEFINE(name, Tensor)                                                                       \
  void focal_loss_forward_##name##_cuda(const Tensor *logits, const Tensor *targets, double alpha, \
                                        double gamma, Tensor *loss) {                              \
    dense((const Tensor *)NULL, logits, targets, alpha, gamma, loss, 1);                           \
  }                                                                                                \
  void focal_loss_backward_##name##_cuda(const Tensor *grad_loss, const Tensor *logits,            \
                                         const Tensor *targets, double alpha, double gamma,        \
                                         Tensor *grad_logits) {                                    \
    dense(grad_loss, logits, targets, alpha, gamma, grad_logits, 2);                               \
  }                                                                                                \
  void class_focal_loss_forward_##name##_cuda(const Tensor *logits,                                \
                                              const THCudaLongTensor *classes, double alpha,       \
                                              double gamma, Tensor *loss) {                        \
    classified((const Tensor *)NULL, logits, classes, alpha, gamma, loss, 1);                      \
  }                                                                                                \
  void class_focal_loss_backward_##name##_cuda(const Tensor *grad_loss, const Tensor *logits,      \
                                               const THCudaLongTensor *classes, double alpha,      \
                                               double gamma, Tensor *grad_logits) {                \
    classified(grad_loss, logits, classes, alpha, gamma, grad_logits, 2);                          \
  }
DEFINE(float, THCudaTensor)
DEFINE(double, THCudaDoubleTensor)
