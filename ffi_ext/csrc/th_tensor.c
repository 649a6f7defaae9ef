/* Geometry of tensors: resizing, views, sharing. The rules and texts are those of PyTorch 0.3.1. */
#include "th_core.h"

ptrdiff_t ffi_th_elements(const ffi_tensor *t) {
  ptrdiff_t elements = t->nDimension > 0;
  for (int d = 0; d < t->nDimension; d++) elements *= t->size[d];
  return elements;
}

/* Without elements too, as in torch. */
int ffi_th_is_contiguous(const ffi_tensor *t) {
  int64_t expected = 1;
  for (int d = t->nDimension - 1; d >= 0; d--) {
    if (t->size[d] == 1) continue;
    if (t->stride[d] != expected) return ffi_th_elements(t) == 0;
    expected *= t->size[d];
  }
  return 1;
}

int ffi_th_same_size(const ffi_tensor *a, const ffi_tensor *b) {
  return THSize_isSameSizeAs(a->size, a->nDimension, b->size, b->nDimension);
}

static void check_dimension(const ffi_tensor *t, int dimension) {
  THArgCheck(dimension >= 0 && dimension < t->nDimension, 2,
             "dimension %d out of range of %dD tensor", dimension, t->nDimension);
}

int64_t ffi_th_size(const ffi_tensor *t, int dimension) {
  check_dimension(t, dimension);
  return t->size[dimension];
}

int64_t ffi_th_stride(const ffi_tensor *t, int dimension) {
  check_dimension(t, dimension);
  return t->stride[dimension];
}

ptrdiff_t ffi_th_offset(const ffi_tensor *t, int n, const int64_t *index) {
  static const char *const wanted[] = {"one dimension", "two dimensions", "three dimensions",
                                       "four dimensions"};
  THArgCheck(t->nDimension == n, 1, "tensor must have %s", wanted[n - 1]);
  ptrdiff_t offset = t->storageOffset;
  for (int d = 0; d < n; d++) {
    THArgCheck(index[d] >= 0 && index[d] < t->size[d], 2, "out of range");
    offset += index[d] * t->stride[d];
  }
  return offset;
}

/* A shape on its way into a tensor. */
typedef struct shape {
  int n;
  int64_t size[FFI_MAX_DIMS], stride[FFI_MAX_DIMS];
} shape;

static void check_dimensions(int n) {
  if (n > FFI_MAX_DIMS)
    THError("tensors of more than %d dimensions are not supported, got %d", FFI_MAX_DIMS, n);
}

/* Sizes up to the first negative one; strides as given, or contiguous where none (or a negative
 * one) is. Sizes of 0 stay, as torch has them (0.3.1 ended there), and [0] is the empty tensor.
 * Returns the number of elements from the first to the furthest, for the storage. */
static ptrdiff_t plan(shape *planned, int n, const int64_t *size, const int64_t *stride) {
  check_dimensions(n);
  planned->n = 0;
  int elements = 1; /* whether there are any */
  for (; planned->n < n && size[planned->n] >= 0; planned->n++) elements &= size[planned->n] > 0;
  if (planned->n == 1 && !elements) planned->n = 0;
  ptrdiff_t extent = 1;
  for (int d = planned->n - 1; d >= 0; d--) {
    int64_t reach;
    int overflow = 0;
    planned->size[d] = size[d];
    if (stride && stride[d] >= 0)
      planned->stride[d] = stride[d];
    else if (d == planned->n - 1)
      planned->stride[d] = 1;
    else
      overflow = __builtin_mul_overflow(planned->size[d + 1] ? planned->size[d + 1] : 1,
                                        planned->stride[d + 1], &planned->stride[d]);
    overflow |= __builtin_mul_overflow(size[d] ? size[d] - 1 : 0, planned->stride[d], &reach);
    overflow |= __builtin_add_overflow(extent, reach, &extent);
    if (overflow) {
      THDescBuff text = _THSizeDesc(size, n);
      THError("$ Torch: invalid memory size -- maybe an overflow? (a tensor of size %s)", text.str);
    }
  }
  return elements ? extent : 0;
}

static int already(const ffi_tensor *t, const shape *planned, const int64_t *stride) {
  if (planned->n != t->nDimension) return 0;
  for (int d = 0; d < planned->n; d++)
    if (planned->size[d] != t->size[d] || (stride && stride[d] >= 0 && stride[d] != t->stride[d]))
      return 0;
  return 1;
}

static void refuse_if_fixed(const ffi_tensor *t) {
  if (t->fixed)
    ffi_throw(
        "cannot change the shape or the storage of this tensor: it requires grad (pass "
        "tensor.detach() or "
        "tensor.data), or its memory belongs to NumPy");
}

/* Gives the tensor `storage` (a reference is taken), the offset and the planned shape, growing the
 * storage if needed. Everything that can fail comes before the first change. */
static void place(ffi_tensor *t, ffi_storage *storage, ptrdiff_t offset, const shape *planned,
                  ptrdiff_t extent) {
  refuse_if_fixed(t);
  ptrdiff_t needed;
  if (__builtin_add_overflow(extent, offset, &needed))
    THError("$ Torch: invalid memory size -- maybe an overflow?");
  ffi_storage *fresh = NULL;
  if (planned->n > 0) {
    if (!storage)
      storage = fresh = ffi_th_storage_new_on(t->type, t->cuda, extent ? needed : 0);
    else if (extent && needed > storage->size)
      ffi_th_storage_resize(storage, needed);
  }
  ffi_tensor_reserve(t, planned->n);
  if (storage != t->storage) {
    ffi_storage *before = t->storage;
    if (!fresh) ffi_storage_take(storage);
    t->storage = storage;
    if (storage) t->cuda = storage->cuda;
    ffi_storage_drop(before);
  }
  t->storageOffset = offset;
  t->nDimension = planned->n;
  if (!planned->n) ffi_clear_sizes(t);
  memcpy(t->size, planned->size, (size_t)planned->n * sizeof *t->size);
  memcpy(t->stride, planned->stride, (size_t)planned->n * sizeof *t->stride);
  ffi_tensor_mark_changed(t);
}

void ffi_th_resize(ffi_tensor *t, int n, const int64_t *size, const int64_t *stride) {
  shape planned;
  ptrdiff_t extent = plan(&planned, n, size, stride);
  if (already(t, &planned, stride)) return;
  place(t, t->storage, t->storageOffset, &planned, extent);
}

void ffi_th_resize_as(ffi_tensor *t, const ffi_tensor *source) {
  if (!ffi_th_same_size(t, source)) ffi_th_resize(t, source->nDimension, source->size, NULL);
}

void ffi_th_resize_columns(ffi_tensor *t, int n, const int64_t *size) {
  const int64_t stride[] = {1, size[0]};
  const int columns = n == 2 && !THSize_isSameSizeAs(t->size, t->nDimension, size, n);
  ffi_th_resize(t, n, size, columns ? stride : NULL);
}

void ffi_th_set_storage(ffi_tensor *t, ffi_storage *s, ptrdiff_t offset, int n, const int64_t *size,
                        const int64_t *stride) {
  shape planned;
  if (offset < 0) THError("Tensor: invalid storage offset");
  ptrdiff_t extent = plan(&planned, n, size, stride);
  if (s == t->storage && offset == t->storageOffset && already(t, &planned, stride)) return;
  place(t, s, offset, &planned, extent);
}

void ffi_th_set(ffi_tensor *t, ffi_tensor *source) {
  if (t != source)
    ffi_th_set_storage(t, source->storage, source->storageOffset, source->nDimension, source->size,
                       source->stride);
}

/* A view: the source's shape, to be edited and given to `t`. */
static void start_view(shape *view, const ffi_tensor *source) {
  check_dimensions(source->nDimension + 1);
  view->n = source->nDimension;
  memcpy(view->size, source->size, (size_t)view->n * sizeof *view->size);
  memcpy(view->stride, source->stride, (size_t)view->n * sizeof *view->stride);
}

static void finish_view(ffi_tensor *t, ffi_tensor *source, ptrdiff_t offset, const shape *view) {
  ffi_th_set_storage(t, source->storage, offset, view->n, view->size, view->stride);
}

static void remove_dimension(shape *view, int dimension) {
  view->n--;
  for (int d = dimension; d < view->n; d++) {
    view->size[d] = view->size[d + 1];
    view->stride[d] = view->stride[d + 1];
  }
}

void ffi_th_narrow(ffi_tensor *t, ffi_tensor *source, int dimension, int64_t first, int64_t size) {
  if (!source) source = t;
  THArgCheck(dimension >= 0 && dimension < source->nDimension, 2, "out of range");
  THArgCheck(first >= 0 && first < source->size[dimension], 3, "out of range");
  THArgCheck(size > 0 && first <= source->size[dimension] - size, 4, "out of range");
  shape view;
  start_view(&view, source);
  view.size[dimension] = size;
  finish_view(t, source, source->storageOffset + first * source->stride[dimension], &view);
}

void ffi_th_select(ffi_tensor *t, ffi_tensor *source, int dimension, int64_t index) {
  if (!source) source = t;
  THArgCheck(source->nDimension > 1, 1, "cannot select on a vector");
  THArgCheck(dimension >= 0 && dimension < source->nDimension, 2, "out of range");
  THArgCheck(index >= 0 && index < source->size[dimension], 3, "out of range");
  shape view;
  start_view(&view, source);
  remove_dimension(&view, dimension);
  finish_view(t, source, source->storageOffset + index * source->stride[dimension], &view);
}

void ffi_th_transpose(ffi_tensor *t, ffi_tensor *source, int dimension1, int dimension2) {
  if (!source) source = t;
  THArgCheck(dimension1 >= 0 && dimension1 < source->nDimension, 1, "out of range");
  THArgCheck(dimension2 >= 0 && dimension2 < source->nDimension, 2, "out of range");
  shape view;
  start_view(&view, source);
  view.size[dimension1] = source->size[dimension2];
  view.stride[dimension1] = source->stride[dimension2];
  view.size[dimension2] = source->size[dimension1];
  view.stride[dimension2] = source->stride[dimension1];
  finish_view(t, source, source->storageOffset, &view);
}

void ffi_th_unfold(ffi_tensor *t, ffi_tensor *source, int dimension, int64_t size, int64_t step) {
  if (!source) source = t;
  THArgCheck(source->nDimension > 0, 1, "cannot unfold an empty tensor");
  THArgCheck(dimension >= 0 && dimension < source->nDimension, 2, "out of range");
  THArgCheck(size > 0 && size <= source->size[dimension], 3, "out of range");
  THArgCheck(step > 0, 4, "invalid step");
  shape view;
  start_view(&view, source);
  view.size[dimension] = (source->size[dimension] - size) / step + 1;
  view.stride[dimension] = step * source->stride[dimension];
  view.size[view.n] = size;
  view.stride[view.n] = source->stride[dimension];
  view.n++;
  finish_view(t, source, source->storageOffset, &view);
}

void ffi_th_squeeze(ffi_tensor *t, ffi_tensor *source) {
  if (!source) source = t;
  shape view;
  start_view(&view, source);
  for (int d = view.n - 1; d >= 0; d--)
    if (view.size[d] == 1) remove_dimension(&view, d);
  if (view.n == 0 && source->nDimension > 0) {
    view.n = 1; /* there are no tensors without dimensions: [1] stays */
    view.size[0] = view.stride[0] = 1;
  }
  finish_view(t, source, source->storageOffset, &view);
}

void ffi_th_squeeze1d(ffi_tensor *t, ffi_tensor *source, int dimension) {
  if (!source) source = t;
  THArgCheck(dimension >= 0 && dimension < source->nDimension, 2, "dimension out of range");
  shape view;
  start_view(&view, source);
  if (view.size[dimension] == 1 && view.n > 1) remove_dimension(&view, dimension);
  finish_view(t, source, source->storageOffset, &view);
}

void ffi_th_unsqueeze1d(ffi_tensor *t, ffi_tensor *source, int dimension) {
  if (!source) source = t;
  THArgCheck(dimension >= 0 && dimension <= source->nDimension, 2, "dimension out of range");
  THArgCheck(source->nDimension > 0, 2, "cannot unsqueeze empty tensor");
  shape view;
  start_view(&view, source);
  for (int d = view.n; d > dimension; d--) {
    view.size[d] = view.size[d - 1];
    view.stride[d] = view.stride[d - 1];
  }
  view.n++;
  view.size[dimension] = 1;
  view.stride[dimension] =
      dimension + 1 < view.n ? view.size[dimension + 1] * view.stride[dimension + 1] : 1;
  finish_view(t, source, source->storageOffset, &view);
}

/* A view of another shape exists where each run of new dimensions covers a run of old ones that are
 * contiguous among themselves, and where there are no elements. */
static int view_strides(const ffi_tensor *t, const int64_t *size, int n, int64_t *stride) {
  int d = n - 1;
  if (ffi_th_elements(t) == 0) {
    for (; d >= 0; d--) stride[d] = -1; /* contiguous */
    return 1;
  }
  int64_t base = t->stride[t->nDimension - 1], run = 1, covered = 1;
  for (int old = t->nDimension - 1; old >= 0; old--) {
    run *= t->size[old];
    if (old > 0 && (t->size[old - 1] == 1 || t->stride[old - 1] == run * base)) continue;
    for (; d >= 0 && (covered < run || size[d] == 1); d--) {
      stride[d] = covered * base;
      covered *= size[d];
    }
    if (covered != run) return 0;
    if (old > 0) {
      base = t->stride[old - 1];
      run = covered = 1;
    }
  }
  return d == -1;
}

void ffi_th_view(ffi_tensor *t, ffi_tensor *source, THLongStorage *size) {
  shape view;
  check_dimensions((int)size->size);
  THLongStorage *sizes = THLongStorage_newInferSize(size, ffi_th_elements(source));
  view.n = (int)sizes->size;
  memcpy(view.size, sizes->data, (size_t)view.n * sizeof *view.size);
  THLongStorage_free(sizes);
  THArgCheck(
      view_strides(source, view.size, view.n, view.stride), 2,
      "view size is not compatible with input tensor's size and stride (at least one dimension "
      "spans across two contiguous subspaces). Call .contiguous() before .view().");
  finish_view(t, source, source->storageOffset, &view);
}

void ffi_th_expand(ffi_tensor *t, ffi_tensor *source, THLongStorage *size) {
  char text[256];
  int64_t *sizes, *strides;
  shape view;
  THArgCheck(size->size >= source->nDimension, 1,
             "the number of sizes provided (%td) must be greater or equal to the number of "
             "dimensions in the tensor (%d)",
             size->size, source->nDimension);
  THArgCheck(source->nDimension > 0, 0, "can't expand an empty tensor");
  check_dimensions((int)size->size);
  if (THLongStorage_inferExpandGeometry(source->size, source->stride, source->nDimension, size,
                                        &sizes, &strides, text, sizeof text))
    THError("%s", text);
  view.n = (int)size->size;
  memcpy(view.size, sizes, (size_t)view.n * sizeof *sizes);
  memcpy(view.stride, strides, (size_t)view.n * sizeof *strides);
  THFree(sizes);
  THFree(strides);
  finish_view(t, source, source->storageOffset, &view);
}

void ffi_th_expand_together(ffi_tensor **results, ffi_tensor **sources, int count) {
  char text[1024];
  int64_t *sizes[FFI_MAX_TENSORS], dimensions[FFI_MAX_TENSORS];
  THArgCheck(count > 0 && count <= FFI_MAX_TENSORS, 3, "between 1 and %d tensors can be expanded",
             FFI_MAX_TENSORS);
  for (int i = 0; i < count; i++) {
    sizes[i] = sources[i]->size;
    dimensions[i] = sources[i]->nDimension;
  }
  THLongStorage *size = THLongStorage_new();
  if (THLongStorage_inferSizeN(size, count, sizes, dimensions, text, sizeof text)) {
    THLongStorage_free(size);
    THError("%s", text);
  }
  for (int i = 0; i < count; i++) ffi_th_expand(results[i], sources[i], size);
  THLongStorage_free(size);
}
