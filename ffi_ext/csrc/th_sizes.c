/* THLongStorage_*: sizes inferred from others, for views and expansions. The rules and texts are
 * those of PyTorch 0.3.1. */
#include "th_core.h"

THLongStorage *ffi_th_numbers(int n, const int64_t *values) {
  THLongStorage *storage = THLongStorage_newWithSize(n);
  if (n) memcpy(storage->data, values, (size_t)n * sizeof *values);
  return storage;
}

/* One size may be -1: what the others leave. */
THLongStorage *THLongStorage_newInferSize(THLongStorage *size, ptrdiff_t nElement) {
  ptrdiff_t known = 1, inferred = -1;
  for (ptrdiff_t i = 0; i < size->size; i++) {
    if (size->data[i] == -1) {
      THArgCheck(inferred == -1, 1, "only one dimension can be inferred");
      inferred = i;
    } else {
      known *= size->data[i];
    }
  }
  THDescBuff text = THLongStorage_sizeDesc(size);
  if (inferred >= 0)
    THArgCheck(known > 0 && nElement % known == 0, 2,
               "size '%s' is invalid for input with %td elements", text.str, nElement);
  else
    THArgCheck(nElement == known, 2, "size '%s' is invalid for input with %td elements", text.str,
               nElement);
  THLongStorage *copy = ffi_th_numbers((int)size->size, size->data);
  if (inferred >= 0) copy->data[inferred] = nElement / known;
  return copy;
}

/* The shape to which all shapes broadcast, by NumPy's rules. `names`: how the text calls two
 * tensors. */
static int infer_size(THLongStorage *output, int n, int64_t **sizes, const int64_t *dims,
                      const char *const *names, char *error_buffer, int buffer_len) {
  int64_t ndim = 0;
  for (int k = 0; k < n; k++) ndim = dims[k] > ndim ? dims[k] : ndim;
  THLongStorage_resize(output, ndim);
  for (int64_t i = 0; i < ndim; i++) {
    int64_t size = 1;
    int from = 0;
    for (int k = 0; k < n; k++) {
      const int64_t d = dims[k] - ndim + i;
      if (d < 0 || sizes[k][d] == 1 || sizes[k][d] == size) continue;
      if (size != 1) {
        char first[16], second[16];
        snprintf(first, sizeof first, "%d", from);
        snprintf(second, sizeof second, "%d", k);
        snprintf(error_buffer, (size_t)buffer_len,
                 "The size of tensor %s (%lld) must match the size of tensor %s (%lld) at "
                 "non-singleton dimension %lld.",
                 names ? names[from] : first, (long long)size, names ? names[k] : second,
                 (long long)sizes[k][d], (long long)i);
        return -1;
      }
      size = sizes[k][d];
      from = k;
    }
    output->data[i] = size;
  }
  return 0;
}

int THLongStorage_inferSize2(THLongStorage *output, int64_t *sizesA, int64_t dimsA, int64_t *sizesB,
                             int64_t dimsB, char *error_buffer, int buffer_len) {
  static const char *const names[] = {"a", "b"};
  int64_t *sizes[] = {sizesA, sizesB}, dims[] = {dimsA, dimsB};
  return infer_size(output, 2, sizes, dims, names, error_buffer, buffer_len);
}

int THLongStorage_inferSizeN(THLongStorage *output, int n, int64_t **sizes, int64_t *dims,
                             char *error_buffer, int buffer_len) {
  return infer_size(output, n, sizes, dims, NULL, error_buffer, buffer_len);
}

int THLongStorage_inferExpandGeometry(int64_t *tensorSizes, int64_t *tensorStrides,
                                      int64_t tensorDim, THLongStorage *sizes,
                                      int64_t **expandedSizes, int64_t **expandedStrides,
                                      char *error_buffer, int buffer_len) {
  const int64_t n = sizes->size;
  *expandedSizes = THAlloc((ptrdiff_t)sizeof(int64_t) * n);
  *expandedStrides = THAlloc((ptrdiff_t)sizeof(int64_t) * n);
  for (int64_t i = n - 1; i >= 0; i--) {
    const int64_t d = tensorDim - (n - i);
    int64_t size = d >= 0 ? tensorSizes[d] : 1;
    int64_t stride = d >= 0      ? tensorStrides[d]
                     : i + 1 < n ? (*expandedSizes)[i + 1] * (*expandedStrides)[i + 1]
                                 : 1;
    int64_t target = sizes->data[i];
    const char *problem = NULL;
    if (target == -1 && d < 0)
      problem =
          "The expanded size of the tensor (%lld) isn't allowed in a leading, non-existing "
          "dimension %lld.";
    else if (target == -1)
      target = size;
    if (!problem && size != target) {
      if (size == 1) {
        size = target;
        stride = 0;
      } else {
        problem =
            "The expanded size of the tensor (%lld) must match the existing size (%lld) at "
            "non-singleton dimension %lld.";
      }
    }
    if (problem) {
      if (d < 0)
        snprintf(error_buffer, (size_t)buffer_len, problem, (long long)target, (long long)i);
      else
        snprintf(error_buffer, (size_t)buffer_len, problem, (long long)target, (long long)size,
                 (long long)i);
      THFree(*expandedSizes);
      THFree(*expandedStrides);
      *expandedSizes = *expandedStrides = NULL;
      return -1;
    }
    (*expandedSizes)[i] = size;
    (*expandedStrides)[i] = stride;
  }
  return 0;
}
