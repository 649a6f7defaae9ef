/* What the tests of the TH core call. */
#include <TH/TH.h>

#include "generic_probe.c"
#include "THGenerateAllTypes.h"

/* Shapes as C sees them. */
int dims(THFloatTensor *t) { return t->nDimension; }
/* size[d] without a look at nDimension, of the tensor itself, made anew, and resized to none. */
int64_t size_field(THFloatTensor *t, int d) { return t->size[d]; }
int64_t size_field_of_new(int d) {
  THFloatTensor *t = THFloatTensor_newWithSize3d(5, 6, 7);
  THFloatTensor_free(t); /* its record is taken again */
  t = THFloatTensor_new();
  const int64_t size = t->size[d];
  THFloatTensor_resize3d(t, 5, 6, 7);
  THFloatTensor_resize1d(t, 0);
  const int64_t resized = t->size[d];
  THFloatTensor_free(t);
  return size + resized;
}
int has_storage(THFloatTensor *t) { return t->storage != NULL; }
long size(THFloatTensor *t, int d) { return THFloatTensor_size(t, d); }
long elements(THFloatTensor *t) { return THFloatTensor_nElement(t); }
int contiguous(THFloatTensor *t) { return THFloatTensor_isContiguous(t); }
THLongStorage *sizes(THFloatTensor *t) { return THFloatTensor_newSizeOf(t); }
int same_record(THFloatTensor *a, THFloatTensor *b) { return a == b; }
int same_storage(THFloatTensor *a, THFloatTensor *b) { return a->storage == b->storage; }
int describes(THFloatTensor *t, const char *text) {
  return strcmp(THFloatTensor_sizeDesc(t).str, text) == 0;
}

/* Views in place. */
void squeeze(THFloatTensor *t) { THFloatTensor_squeeze(t, NULL); }
void squeeze1d(THFloatTensor *t, int d) { THFloatTensor_squeeze1d(t, NULL, d); }
void unsqueeze1d(THFloatTensor *t, int d) { THFloatTensor_unsqueeze1d(t, NULL, d); }
void narrow(THFloatTensor *t, int d, long first, long n) { THFloatTensor_narrow(t, NULL, d, first, n); }
void unfold(THFloatTensor *t, int d, long n, long step) { THFloatTensor_unfold(t, NULL, d, n, step); }
THFloatTensor *squeezed(THFloatTensor *t, int d) {
  THFloatTensor *view = THFloatTensor_new();
  if (d < 0) THFloatTensor_squeeze(view, t);
  else THFloatTensor_squeeze1d(view, t, d);
  return view;
}
THFloatTensor *unsqueezed(THFloatTensor *t, int d) {
  THFloatTensor *view = THFloatTensor_new();
  THFloatTensor_unsqueeze1d(view, t, d);
  return view;
}
void set(THFloatTensor *t, THFloatTensor *source) { THFloatTensor_set(t, source); }
void set_strided(THFloatTensor *t, THFloatTensor *source, long offset, long n, long stride) {
  THFloatTensor_setStorage1d(t, THFloatTensor_storage(source), offset, n, stride);
}
void swap(THFloatTensor *a, THFloatTensor *b) {
  THFloatTensor *kept = THFloatTensor_newWithTensor(a);
  THFloatTensor_set(a, b);
  THFloatTensor_set(b, kept);
  THFloatTensor_free(kept);
}
THFloatTensor *view(THFloatTensor *t, long a, long b) {
  THLongStorage *shape = THLongStorage_newWithSize2(a, b);
  THFloatTensor *result = THFloatTensor_newView(t, shape);
  THLongStorage_free(shape);
  return result;
}
THFloatTensor *expand(THFloatTensor *t, long a, long b) {
  THLongStorage *shape = THLongStorage_newWithSize2(a, b);
  THFloatTensor *result = THFloatTensor_newExpand(t, shape);
  THLongStorage_free(shape);
  return result;
}
void resize_view(THFloatTensor *t, long n) {
  THFloatTensor *part = THFloatTensor_newWithTensor(t);
  THFloatTensor_resize1d(part, n);
  THFloatTensor_fill(part, 7);
  THFloatTensor_free(part);
}

/* Records that outlive a call. */
static THFloatTensor *kept;
void keep(THFloatTensor *t) {
  THFloatTensor_retain(t);
  kept = t;
}
void grow_kept(long n) {
  THFloatTensor_resize1d(kept, n);
  THFloatTensor_fill(kept, 9);
}
int is_kept(THFloatTensor *t) { return t == kept; }
THFloatTensor *get_kept(void) {
  THFloatTensor_retain(kept);
  return kept;
}
void drop(void) {
  THFloatTensor_free(kept);
  kept = NULL;
}
THFloatTensor *make_and_keep(long n) {
  kept = THFloatTensor_newWithSize1d(n);
  THFloatTensor_retain(kept);
  return kept;
}

/* Results and memory. */
THDoubleStorage *make_storage(long n) {
  THDoubleStorage *s = THDoubleStorage_newWithSize(n);
  THDoubleStorage_fill(s, 2.5);
  return s;
}
THFloatTensor *of_c_memory(long n) {
  float *data = THAlloc(n * (ptrdiff_t)sizeof(float));
  for (long i = 0; i < n; i++) data[i] = (float)i;
  THFloatStorage *s = THFloatStorage_newWithData(data, n);
  THFloatTensor *t = THFloatTensor_newWithStorage1d(s, 0, n, 1);
  THFloatStorage_free(s);
  return t;
}
THFloatTensor *empty(void) { return THFloatTensor_new(); }
double storage_get(THDoubleStorage *s, long i) { return THDoubleStorage_get(s, i); }
void storage_resize(THDoubleStorage *s, long n) { THDoubleStorage_resize(s, n); }
int alloc_zero_is_null(void) { return THAlloc(0) == NULL; }
void alloc_negative(void) { THAlloc(-1); }
float through_half(float x) { return TH_half2float(TH_float2half(x)); }
/* Both expanded to their common shape; the sizes of it are returned, the sum of both goes to out. */
THLongStorage *expand_both(THFloatTensor *out, THFloatTensor *a, THFloatTensor *b) {
  THFloatTensor *sources[] = {a, b}, *results[] = {THFloatTensor_new(), THFloatTensor_new()};
  THFloatTensor_expandNd(results, sources, 2);
  THFloatTensor_resizeAs(out, results[0]);
  THFloatTensor *first = results[0], *second = results[1];
  TH_TENSOR_APPLY3(float, out, float, first, float, second, *out_data = *first_data + *second_data;);
  THLongStorage *sizes = THFloatTensor_newSizeOf(out);
  THFloatTensor_free(results[0]);
  THFloatTensor_free(results[1]);
  return sizes;
}
/* As many dimensions or tensors; how many there are is returned. */
int many_dimensions(int n) {
  int64_t sizes[300];
  for (int d = 0; d < n; d++) sizes[d] = 1;
  THFloatTensor *t = THFloatTensor_new();
  THFloatTensor_resizeNd(t, n, sizes, NULL);
  n = t->nDimension;
  THFloatTensor_free(t);
  return n;
}
static int in_dimensions(int n, THFloatTensor *(*make)(THFloatTensor *, THLongStorage *)) {
  THLongStorage *sizes = THLongStorage_newWithSize(n);
  THLongStorage_fill(sizes, 1);
  THFloatTensor *one = THFloatTensor_newWithSize1d(1), *t = make(one, sizes);
  n = t->nDimension;
  THFloatTensor_free(t);
  THFloatTensor_free(one);
  THLongStorage_free(sizes);
  return n;
}
int view_in(int n) { return in_dimensions(n, THFloatTensor_newView); }
int expand_in(int n) { return in_dimensions(n, THFloatTensor_newExpand); }
int expand_many(int n) {
  THFloatTensor *tensors[65];
  for (int i = 0; i < 65; i++) tensors[i] = THFloatTensor_newWithSize1d(1);
  THFloatTensor_expandNd(tensors, tensors, n);
  for (int i = 0; i < 65; i++) THFloatTensor_free(tensors[i]);
  return n;
}
int infer_size(THLongStorage *out, THFloatTensor *a, THFloatTensor *b) {
  char text[200];
  int failed = THLongStorage_inferSize2(out, a->size, a->nDimension, b->size, b->nDimension, text, sizeof text);
  if (failed) THError("%s", text);
  return failed;
}
/* The slices of t along dimension d are numbered in the order in which the loop meets them. */
void number_slices(THFloatTensor *t, int d) {
  float number = 0;
  TH_TENSOR_DIM_APPLY(float, t, d, for (int64_t i = 0; i < t_size; i++) t_data[i * t_stride] = number; number++;);
}
