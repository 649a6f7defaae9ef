/* The focal loss on sigmoid scores (Lin et al., Focal Loss for Dense Object Detection, 2017). */
#ifndef FOCAL_LOSS_H
#define FOCAL_LOSS_H

#include <TH/TH.h>

/* loss = alpha_t * (1 - p_t)^gamma * cross entropy, of each element
 *
 * logits of any shape and strides, p = sigmoid(logits). targets: the shape of logits, values of
 * 0..1. p_t = p t + (1 - p) (1 - t); alpha_t likewise of alpha and 1 - alpha, or 1 if alpha < 0.
 * gamma >= 0; 2 is fast. loss is resized if it has another shape. A NaN stays a NaN. */
void focal_loss_forward_float(const THFloatTensor *logits, const THFloatTensor *targets,
                              double alpha, double gamma, THFloatTensor *loss);

/* The same in double precision. */
void focal_loss_forward_double(const THDoubleTensor *logits, const THDoubleTensor *targets,
                               double alpha, double gamma, THDoubleTensor *loss);

/* grad_logits = grad_loss * the derivative of the loss; all of one shape. */
void focal_loss_backward_float(const THFloatTensor *grad_loss, const THFloatTensor *logits,
                               const THFloatTensor *targets, double alpha, double gamma,
                               THFloatTensor *grad_logits);

/* The same in double precision. */
void focal_loss_backward_double(const THDoubleTensor *grad_loss, const THDoubleTensor *logits,
                                const THDoubleTensor *targets, double alpha, double gamma,
                                THDoubleTensor *grad_logits);

/* The same loss for class numbers: logits (N, C), classes (N) int64. Row i is positive in column
 * classes[i] - 1, so 0 is background; a negative class ignores the row, whose loss is 0. */
void class_focal_loss_forward_float(const THFloatTensor *logits, const THLongTensor *classes,
                                    double alpha, double gamma, THFloatTensor *loss);

/* The same in double precision. */
void class_focal_loss_forward_double(const THDoubleTensor *logits, const THLongTensor *classes,
                                     double alpha, double gamma, THDoubleTensor *loss);

/* Its derivative: grad_loss and grad_logits (N, C). */
void class_focal_loss_backward_float(const THFloatTensor *grad_loss, const THFloatTensor *logits,
                                     const THLongTensor *classes, double alpha, double gamma,
                                     THFloatTensor *grad_logits);

/* The same in double precision. */
void class_focal_loss_backward_double(const THDoubleTensor *grad_loss, const THDoubleTensor *logits,
                                      const THLongTensor *classes, double alpha, double gamma,
                                      THDoubleTensor *grad_logits);

#endif
