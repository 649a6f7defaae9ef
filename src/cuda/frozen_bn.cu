/* Frozen batch norm (+ residual) (+ ReLU) on a GPU, forward and backward: src/frozen_bn.c's twin.
 */
#include "elementwise.cuh"
#include "tensors.cuh"

/* The axes of an (N, C, H, W) tensor, or of one value per channel (stride 0 but along C). */
template <int OPERANDS, typename Tensor>
void set_map(walk<OPERANDS, 4> *w, int k, const Tensor *map) {
  for (int axis = 0; axis < 4; axis++) w->stride[k][axis] = map ? map->stride[axis] : 0;
}
template <int OPERANDS, typename Tensor>
void set_channels(walk<OPERANDS, 4> *w, int k, const Tensor *values) {
  for (int axis = 0; axis < 4; axis++) w->stride[k][axis] = axis == 1 ? values->stride[0] : 0;
}

/* real: what the elements of Tensor stand for. Values: of scale and bias. */
template <typename real, typename Tensor, typename Values>
void frozen_bn_forward(const Tensor *input, const Values *scale, const Values *bias,
                       const Tensor *residual, int relu, Tensor *output) {
  REQUIRE(input->nDimension == 4, 1, "input must have 4 dimensions (N, C, H, W), got %s",
          desc_of(input).str);
  const int64_t channels = input->size[1];
  REQUIRE(elements_of(scale) == channels && scale->nDimension <= 1, 2,
          "scale must have one value per channel of input, shape [%lld], got %s",
          (long long)channels, desc_of(scale).str);
  REQUIRE(elements_of(bias) == channels && bias->nDimension <= 1, 3,
          "bias must have one value per channel of input, shape [%lld], got %s",
          (long long)channels, desc_of(bias).str);
  REQUIRE(residual == NULL || same_size(residual, input), 4,
          "residual must be NULL or have input's shape %s, got %s", desc_of(input).str,
          desc_of(residual).str);
  resize_as_if_needed(output, 6, input, {scale, bias});
  if (elements_of(input) == 0) return;

  enum { X, SCALE, BIAS, RESIDUAL, OUT, OPERANDS };
  walk<OPERANDS, 4> w = {4, {input->size[0], channels, input->size[2], input->size[3]}, {}};
  set_map(&w, X, input);
  set_channels(&w, SCALE, scale);
  set_channels(&w, BIAS, bias);
  set_map(&w, RESIDUAL, residual);
  set_map(&w, OUT, output);
  real *operand[OPERANDS] = {(real *)data_of(input), (real *)data_of(scale), (real *)data_of(bias),
                             residual ? (real *)data_of(residual) : NULL, (real *)data_of(output)};
  const int added = residual != NULL;
  constexpr unsigned WIDE = 1 << SCALE | 1 << BIAS;
  typedef number_of<real> number;
  elementwise<OUT, WIDE>(current_stream(), w, OUT, operand, [=] DEVICE(number *v) {
    number y = v[X] * v[SCALE] + v[BIAS];
    if (added) y += v[RESIDUAL]; /* -0 + 0 is 0 */
    if (relu) y = y < 0 ? 0 : y; /* lets a NaN through, as torch.relu does */
    v[OUT] = y;
  });
  finish();
}

template <typename real, typename Tensor, typename Values>
void frozen_bn_backward(const Tensor *grad_output, const Tensor *output, const Values *scale,
                        Tensor *grad_input, Tensor *grad_residual) {
  REQUIRE(grad_output->nDimension == 4, 1,
          "grad_output must have 4 dimensions (N, C, H, W), got %s", desc_of(grad_output).str);
  const int64_t channels = grad_output->size[1];
  REQUIRE(output == NULL || same_size(output, grad_output), 2,
          "output must be NULL or have grad_output's shape %s, got %s", desc_of(grad_output).str,
          desc_of(output).str);
  REQUIRE(elements_of(scale) == channels && scale->nDimension <= 1, 3,
          "scale must have one value per channel of grad_output, shape [%lld], got %s",
          (long long)channels, desc_of(scale).str);
  if (grad_input) resize_as_if_needed(grad_input, 4, grad_output, {scale});
  if (grad_residual) resize_as_if_needed(grad_residual, 5, grad_output, {scale});
  if (elements_of(grad_output) == 0 || (!grad_input && !grad_residual)) return;

  enum { GRAD, Y, SCALE, GRAD_INPUT, GRAD_RESIDUAL, OPERANDS };
  const int64_t *size = grad_output->size;
  walk<OPERANDS, 4> w = {4, {size[0], channels, size[2], size[3]}, {}};
  set_map(&w, GRAD, grad_output);
  set_map(&w, Y, output);
  set_channels(&w, SCALE, scale);
  set_map(&w, GRAD_INPUT, grad_input);
  set_map(&w, GRAD_RESIDUAL, grad_residual);
  real *operand[OPERANDS] = {(real *)data_of(grad_output), output ? (real *)data_of(output) : NULL,
                             (real *)data_of(scale),
                             grad_input ? (real *)data_of(grad_input) : NULL,
                             grad_residual ? (real *)data_of(grad_residual) : NULL};
  const int rectified = output != NULL;
  constexpr unsigned WIDE = 1 << SCALE;
  typedef number_of<real> number;
  elementwise<GRAD_INPUT, WIDE>(current_stream(), w, GRAD, operand, [=] DEVICE(number *v) {
    const number passed = rectified && v[Y] <= 0 ? 0 : v[GRAD];
    v[GRAD_RESIDUAL] = passed;
    v[GRAD_INPUT] = passed * v[SCALE];
  });
  finish();
}

#define DEFINE(name, real, Tensor, Values)                                                   \
  void frozen_bn_forward_##name##_cuda(const Tensor *input, const Values *scale,             \
                                       const Values *bias, const Tensor *residual, int relu, \
                                       Tensor *output) {                                     \
    frozen_bn_forward<real>(input, scale, bias, residual, relu, output);                     \
  }                                                                                          \
  void frozen_bn_backward_##name##_cuda(const Tensor *grad_output, const Tensor *output,     \
                                        const Values *scale, Tensor *grad_input,             \
                                        Tensor *grad_residual) {                             \
    frozen_bn_backward<real>(grad_output, output, scale, grad_input, grad_residual);         \
  }
DEFINE(float, float, THCudaTensor, THCudaTensor)
DEFINE(double, double, THCudaDoubleTensor, THCudaDoubleTensor)
DEFINE(bfloat16, bfloat16, THCudaShortTensor, THCudaTensor)
