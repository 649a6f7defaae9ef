/* Loops over the elements of one, two or three tensors, in element order, whatever their strides.
 *
 * CODE sees T_data (a pointer to the current element), T_i, T_size and T_stride of the innermost run. Tensors need the
 * same number of elements, not the same shape. A `break` in CODE ends the run at hand; set
 * TH_TENSOR_APPLY_hasFinished = 1 before it to end the whole loop. */
#ifndef TH_TENSOR_APPLY_INC
#define TH_TENSOR_APPLY_INC

#include "THGeneral.h"

#define TH_TENSOR_APPLY_MAX_DIMS 64

/* The innermost dimension is walked as a run of T_size elements T_stride apart; the outer ones by counters. */
#define TH_TENSOR_APPLY_BEGIN(TYPE, TENSOR)                                                      \
  int64_t TENSOR##_counter[TH_TENSOR_APPLY_MAX_DIMS] = {0};                                      \
  int64_t TENSOR##_dim = (TENSOR)->nDimension, TENSOR##_i = 0, TENSOR##_n = TENSOR##_dim > 0;    \
  int64_t TENSOR##_size = 0, TENSOR##_stride = 0;                                                \
  TYPE *TENSOR##_run = NULL, *TENSOR##_data = NULL;                                              \
  {                                                                                              \
    int64_t TENSOR##_d;                                                                          \
    if (TENSOR##_dim > TH_TENSOR_APPLY_MAX_DIMS)                                                 \
      THError("more than %d dimensions", TH_TENSOR_APPLY_MAX_DIMS);                              \
    for (TENSOR##_d = 0; TENSOR##_d < TENSOR##_dim; TENSOR##_d++)                                \
      TENSOR##_n *= (TENSOR)->size[TENSOR##_d];                                                  \
    if (TENSOR##_n == 0) {                                                                       \
      TH_TENSOR_APPLY_hasFinished = 1;                                                           \
    } else {                                                                                     \
      TENSOR##_run = TENSOR##_data = (TENSOR)->storage->data + (TENSOR)->storageOffset;          \
      TENSOR##_size = (TENSOR)->size[TENSOR##_dim - 1];                                          \
      TENSOR##_stride = (TENSOR)->stride[TENSOR##_dim - 1];                                      \
    }                                                                                            \
  }

#define TH_TENSOR_APPLY_NEXT_RUN(TENSOR)                                                         \
  if (TENSOR##_i == TENSOR##_size) {                                                             \
    int64_t TENSOR##_d = TENSOR##_dim - 2;                                                       \
    for (; TENSOR##_d >= 0; TENSOR##_d--) {                                                      \
      TENSOR##_run += (TENSOR)->stride[TENSOR##_d];                                              \
      if (++TENSOR##_counter[TENSOR##_d] < (TENSOR)->size[TENSOR##_d]) break;                    \
      TENSOR##_run -= (TENSOR)->size[TENSOR##_d] * (TENSOR)->stride[TENSOR##_d];                 \
      TENSOR##_counter[TENSOR##_d] = 0;                                                          \
    }                                                                                            \
    if (TENSOR##_d < 0) break;                                                                   \
    TENSOR##_i = 0;                                                                              \
    TENSOR##_data = TENSOR##_run;                                                                \
  }

#define TH_TENSOR_APPLY_SAME_COUNT(TENSOR1, TENSOR2)                                             \
  if (TENSOR1##_n != TENSOR2##_n) {                                                              \
    THDescBuff TENSOR1##_buff = _THSizeDesc((TENSOR1)->size, (TENSOR1)->nDimension);             \
    THDescBuff TENSOR2##_buff = _THSizeDesc((TENSOR2)->size, (TENSOR2)->nDimension);             \
    THError("inconsistent tensor size, expected %s %s and %s %s to have the same number of "     \
            "elements, but got %d and %d elements respectively",                                 \
            #TENSOR1, TENSOR1##_buff.str, #TENSOR2, TENSOR2##_buff.str, (int)TENSOR1##_n,        \
            (int)TENSOR2##_n);                                                                   \
  }

#define TH_TENSOR_APPLY_D(TYPE, TENSOR, DIM, CODE)                                               \
  {                                                                                              \
    int TH_TENSOR_APPLY_hasFinished = 0;                                                         \
    TH_TENSOR_APPLY_BEGIN(TYPE, TENSOR)                                                          \
    while (!TH_TENSOR_APPLY_hasFinished) {                                                       \
      for (; TENSOR##_i < TENSOR##_size; TENSOR##_i++, TENSOR##_data += TENSOR##_stride) {       \
        CODE                                                                                     \
      }                                                                                          \
      TENSOR##_i = TENSOR##_size;                                                                \
      TH_TENSOR_APPLY_NEXT_RUN(TENSOR)                                                           \
    }                                                                                            \
  }

#define TH_TENSOR_APPLY2_D(TYPE1, TENSOR1, TYPE2, TENSOR2, DIM, CODE)                            \
  {                                                                                              \
    int TH_TENSOR_APPLY_hasFinished = 0;                                                         \
    TH_TENSOR_APPLY_BEGIN(TYPE1, TENSOR1)                                                        \
    TH_TENSOR_APPLY_BEGIN(TYPE2, TENSOR2)                                                        \
    TH_TENSOR_APPLY_SAME_COUNT(TENSOR1, TENSOR2)                                                 \
    while (!TH_TENSOR_APPLY_hasFinished) {                                                       \
      for (; TENSOR1##_i < TENSOR1##_size && TENSOR2##_i < TENSOR2##_size;                       \
           TENSOR1##_i++, TENSOR2##_i++, TENSOR1##_data += TENSOR1##_stride,                     \
           TENSOR2##_data += TENSOR2##_stride) {                                                 \
        CODE                                                                                     \
      }                                                                                          \
      TH_TENSOR_APPLY_NEXT_RUN(TENSOR1)                                                          \
      TH_TENSOR_APPLY_NEXT_RUN(TENSOR2)                                                          \
    }                                                                                            \
  }

#define TH_TENSOR_APPLY3_D(TYPE1, TENSOR1, TYPE2, TENSOR2, TYPE3, TENSOR3, DIM, CODE)            \
  {                                                                                              \
    int TH_TENSOR_APPLY_hasFinished = 0;                                                         \
    TH_TENSOR_APPLY_BEGIN(TYPE1, TENSOR1)                                                        \
    TH_TENSOR_APPLY_BEGIN(TYPE2, TENSOR2)                                                        \
    TH_TENSOR_APPLY_BEGIN(TYPE3, TENSOR3)                                                        \
    TH_TENSOR_APPLY_SAME_COUNT(TENSOR1, TENSOR2)                                                 \
    TH_TENSOR_APPLY_SAME_COUNT(TENSOR1, TENSOR3)                                                 \
    while (!TH_TENSOR_APPLY_hasFinished) {                                                       \
      for (; TENSOR1##_i < TENSOR1##_size && TENSOR2##_i < TENSOR2##_size &&                     \
             TENSOR3##_i < TENSOR3##_size;                                                       \
           TENSOR1##_i++, TENSOR2##_i++, TENSOR3##_i++, TENSOR1##_data += TENSOR1##_stride,      \
           TENSOR2##_data += TENSOR2##_stride, TENSOR3##_data += TENSOR3##_stride) {             \
        CODE                                                                                     \
      }                                                                                          \
      TH_TENSOR_APPLY_NEXT_RUN(TENSOR1)                                                          \
      TH_TENSOR_APPLY_NEXT_RUN(TENSOR2)                                                          \
      TH_TENSOR_APPLY_NEXT_RUN(TENSOR3)                                                          \
    }                                                                                            \
  }

#define TH_TENSOR_APPLY(TYPE, TENSOR, CODE) TH_TENSOR_APPLY_D(TYPE, TENSOR, -1, CODE)
#define TH_TENSOR_APPLY2(TYPE1, TENSOR1, TYPE2, TENSOR2, CODE) \
  TH_TENSOR_APPLY2_D(TYPE1, TENSOR1, TYPE2, TENSOR2, -1, CODE)
#define TH_TENSOR_APPLY3(TYPE1, TENSOR1, TYPE2, TENSOR2, TYPE3, TENSOR3, CODE) \
  TH_TENSOR_APPLY3_D(TYPE1, TENSOR1, TYPE2, TENSOR2, TYPE3, TENSOR3, -1, CODE)

#endif
