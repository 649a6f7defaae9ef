/* Loops over the slices of tensors along one dimension.
 *
 * CODE runs once for each slice and sees T_data (its first element), T_stride and T_size (along DIMENSION). The first
 * dimension runs fastest, as in 0.3.1: CODE may count the slices, or draw random numbers for each. */
#ifndef TH_TENSOR_DIM_APPLY_INC
#define TH_TENSOR_DIM_APPLY_INC

#include "THGeneral.h"

#define TH_TENSOR_DIM_APPLY_MAX_DIMS 64

#define TH_TENSOR_DIM_APPLY_BEGIN(TYPE, TENSOR, DIMENSION)                                       \
  TYPE *TENSOR##_data =                                                                          \
      (TENSOR)->storage ? (TENSOR)->storage->data + (TENSOR)->storageOffset : NULL;              \
  int64_t TENSOR##_stride = (TENSOR)->stride[DIMENSION];                                         \
  int64_t TENSOR##_size = (TENSOR)->size[DIMENSION];

#define TH_TENSOR_DIM_APPLY_CHECK(TENSOR, DIMENSION)                                             \
  if ((DIMENSION) < 0 || (DIMENSION) >= (TENSOR)->nDimension)                                    \
    THError("invalid dimension %d (expected to be 0 <= dim < %d)", (int)(DIMENSION),             \
            (int)(TENSOR)->nDimension);                                                          \
  if ((TENSOR)->nDimension > TH_TENSOR_DIM_APPLY_MAX_DIMS)                                       \
    THError("more than %d dimensions", TH_TENSOR_DIM_APPLY_MAX_DIMS);

/* The sizes must be equal but for DIMENSION. */
#define TH_TENSOR_DIM_APPLY_SAME(TENSOR1, TENSOR2, DIMENSION)                                    \
  {                                                                                              \
    int TH_TENSOR_DIM_APPLY_d, TH_TENSOR_DIM_APPLY_differ;                                       \
    TH_TENSOR_DIM_APPLY_differ = (TENSOR1)->nDimension != (TENSOR2)->nDimension;                 \
    for (TH_TENSOR_DIM_APPLY_d = 0;                                                              \
         !TH_TENSOR_DIM_APPLY_differ && TH_TENSOR_DIM_APPLY_d < (TENSOR1)->nDimension;           \
         TH_TENSOR_DIM_APPLY_d++)                                                                \
      TH_TENSOR_DIM_APPLY_differ =                                                               \
          TH_TENSOR_DIM_APPLY_d != (DIMENSION) &&                                                \
          (TENSOR1)->size[TH_TENSOR_DIM_APPLY_d] != (TENSOR2)->size[TH_TENSOR_DIM_APPLY_d];      \
    if (TH_TENSOR_DIM_APPLY_differ) {                                                            \
      THDescBuff T1buff = _THSizeDesc((TENSOR1)->size, (TENSOR1)->nDimension);                   \
      THDescBuff T2buff = _THSizeDesc((TENSOR2)->size, (TENSOR2)->nDimension);                   \
      THError("inconsistent tensor size, expected %s %s and %s %s to have the same size apart "  \
              "from dimension %d",                                                               \
              #TENSOR1, T1buff.str, #TENSOR2, T2buff.str, (int)(DIMENSION));                     \
    }                                                                                            \
  }

#define TH_TENSOR_DIM_APPLY3_SIZE_EQ_EXCEPT_DIM(TENSOR1, TENSOR2, TENSOR3, DIMENSION)            \
  TH_TENSOR_DIM_APPLY_SAME(TENSOR1, TENSOR2, DIMENSION)                                          \
  TH_TENSOR_DIM_APPLY_SAME(TENSOR1, TENSOR3, DIMENSION)

/* The slice at hand is counted in TH_TENSOR_DIM_APPLY_counter; nothing is done when there is none. */
#define TH_TENSOR_DIM_APPLY_START(TENSOR)                                                        \
  int64_t TH_TENSOR_DIM_APPLY_counter[TH_TENSOR_DIM_APPLY_MAX_DIMS] = {0};                       \
  int TH_TENSOR_DIM_APPLY_hasFinished = 0, TH_TENSOR_DIM_APPLY_i;                                \
  for (TH_TENSOR_DIM_APPLY_i = 0; TH_TENSOR_DIM_APPLY_i < (TENSOR)->nDimension;                  \
       TH_TENSOR_DIM_APPLY_i++)                                                                  \
    if ((TENSOR)->size[TH_TENSOR_DIM_APPLY_i] == 0) TH_TENSOR_DIM_APPLY_hasFinished = 1;

#define TH_TENSOR_DIM_APPLY_MOVE(TENSOR, STEPS) \
  TENSOR##_data += (STEPS) * (TENSOR)->stride[TH_TENSOR_DIM_APPLY_i];

/* On to the next slice; FORWARD and BACK move every tensor along dimension TH_TENSOR_DIM_APPLY_i. */
#define TH_TENSOR_DIM_APPLY_NEXT(TENSOR, DIMENSION, FORWARD, BACK)                               \
  for (TH_TENSOR_DIM_APPLY_i = 0; TH_TENSOR_DIM_APPLY_i < (TENSOR)->nDimension;                  \
       TH_TENSOR_DIM_APPLY_i++) {                                                                \
    if (TH_TENSOR_DIM_APPLY_i == (DIMENSION)) continue;                                          \
    FORWARD                                                                                      \
    if (++TH_TENSOR_DIM_APPLY_counter[TH_TENSOR_DIM_APPLY_i] <                                   \
        (TENSOR)->size[TH_TENSOR_DIM_APPLY_i])                                                   \
      break;                                                                                     \
    BACK                                                                                         \
    TH_TENSOR_DIM_APPLY_counter[TH_TENSOR_DIM_APPLY_i] = 0;                                      \
  }                                                                                              \
  if (TH_TENSOR_DIM_APPLY_i == (TENSOR)->nDimension) TH_TENSOR_DIM_APPLY_hasFinished = 1;

#define TH_TENSOR_DIM_APPLY_NEXT1(TENSOR, DIMENSION)                                             \
  TH_TENSOR_DIM_APPLY_NEXT(TENSOR, DIMENSION,                                                    \
      TH_TENSOR_DIM_APPLY_MOVE(TENSOR, 1),                                                       \
      TH_TENSOR_DIM_APPLY_MOVE(TENSOR, -(TENSOR)->size[TH_TENSOR_DIM_APPLY_i]))

#define TH_TENSOR_DIM_APPLY_NEXT2(TENSOR1, TENSOR2, DIMENSION)                                   \
  TH_TENSOR_DIM_APPLY_NEXT(TENSOR1, DIMENSION,                                                   \
      TH_TENSOR_DIM_APPLY_MOVE(TENSOR1, 1) TH_TENSOR_DIM_APPLY_MOVE(TENSOR2, 1),                 \
      TH_TENSOR_DIM_APPLY_MOVE(TENSOR1, -(TENSOR1)->size[TH_TENSOR_DIM_APPLY_i])                 \
      TH_TENSOR_DIM_APPLY_MOVE(TENSOR2, -(TENSOR1)->size[TH_TENSOR_DIM_APPLY_i]))

#define TH_TENSOR_DIM_APPLY_NEXT3(TENSOR1, TENSOR2, TENSOR3, DIMENSION)                          \
  TH_TENSOR_DIM_APPLY_NEXT(TENSOR1, DIMENSION,                                                   \
      TH_TENSOR_DIM_APPLY_MOVE(TENSOR1, 1) TH_TENSOR_DIM_APPLY_MOVE(TENSOR2, 1) TH_TENSOR_DIM_APPLY_MOVE(TENSOR3, 1),\
      TH_TENSOR_DIM_APPLY_MOVE(TENSOR1, -(TENSOR1)->size[TH_TENSOR_DIM_APPLY_i])                 \
      TH_TENSOR_DIM_APPLY_MOVE(TENSOR2, -(TENSOR1)->size[TH_TENSOR_DIM_APPLY_i])                 \
      TH_TENSOR_DIM_APPLY_MOVE(TENSOR3, -(TENSOR1)->size[TH_TENSOR_DIM_APPLY_i]))

#define TH_TENSOR_DIM_APPLY(TYPE, TENSOR, DIMENSION, CODE)                                       \
  {                                                                                              \
    TH_TENSOR_DIM_APPLY_CHECK(TENSOR, DIMENSION)                                                 \
    TH_TENSOR_DIM_APPLY_BEGIN(TYPE, TENSOR, DIMENSION)                                           \
    TH_TENSOR_DIM_APPLY_START(TENSOR)                                                            \
    while (!TH_TENSOR_DIM_APPLY_hasFinished) {                                                   \
      CODE                                                                                       \
      TH_TENSOR_DIM_APPLY_NEXT1(TENSOR, DIMENSION)                                               \
    }                                                                                            \
  }

#define TH_TENSOR_DIM_APPLY2(TYPE1, TENSOR1, TYPE2, TENSOR2, DIMENSION, CODE)                    \
  {                                                                                              \
    TH_TENSOR_DIM_APPLY_CHECK(TENSOR1, DIMENSION)                                                \
    TH_TENSOR_DIM_APPLY_CHECK(TENSOR2, DIMENSION)                                                \
    TH_TENSOR_DIM_APPLY_SAME(TENSOR1, TENSOR2, DIMENSION)                                        \
    TH_TENSOR_DIM_APPLY_BEGIN(TYPE1, TENSOR1, DIMENSION)                                         \
    TH_TENSOR_DIM_APPLY_BEGIN(TYPE2, TENSOR2, DIMENSION)                                         \
    TH_TENSOR_DIM_APPLY_START(TENSOR1)                                                           \
    while (!TH_TENSOR_DIM_APPLY_hasFinished) {                                                   \
      CODE                                                                                       \
      TH_TENSOR_DIM_APPLY_NEXT2(TENSOR1, TENSOR2, DIMENSION)                                     \
    }                                                                                            \
  }

#define TH_TENSOR_DIM_APPLY3(TYPE1, TENSOR1, TYPE2, TENSOR2, TYPE3, TENSOR3, DIMENSION, SIZE_CHECK, CODE)\
  {                                                                                              \
    TH_TENSOR_DIM_APPLY_CHECK(TENSOR1, DIMENSION)                                                \
    TH_TENSOR_DIM_APPLY_CHECK(TENSOR2, DIMENSION)                                                \
    TH_TENSOR_DIM_APPLY_CHECK(TENSOR3, DIMENSION)                                                \
    SIZE_CHECK(TENSOR1, TENSOR2, TENSOR3, DIMENSION)                                             \
    TH_TENSOR_DIM_APPLY_BEGIN(TYPE1, TENSOR1, DIMENSION)                                         \
    TH_TENSOR_DIM_APPLY_BEGIN(TYPE2, TENSOR2, DIMENSION)                                         \
    TH_TENSOR_DIM_APPLY_BEGIN(TYPE3, TENSOR3, DIMENSION)                                         \
    TH_TENSOR_DIM_APPLY_START(TENSOR1)                                                           \
    while (!TH_TENSOR_DIM_APPLY_hasFinished) {                                                   \
      CODE                                                                                       \
      TH_TENSOR_DIM_APPLY_NEXT3(TENSOR1, TENSOR2, TENSOR3, DIMENSION)                            \
    }                                                                                            \
  }

#endif
