/* TH<Type>Tensor_*: thin typed names over th_tensor.c, and what touches elements. */
#ifndef TH_GENERIC_FILE
#define TH_GENERIC_FILE "generic/th_tensor.c"
#else

#define RECORD(t) ((ffi_tensor *)(t))

/* Queries. */
THStorage *THTensor_(storage)(const THTensor *self) { return self->storage; }
ptrdiff_t THTensor_(storageOffset)(const THTensor *self) { return self->storageOffset; }
int THTensor_(nDimension)(const THTensor *self) { return self->nDimension; }
int64_t THTensor_(size)(const THTensor *self, int dim) { return ffi_th_size(RECORD(self), dim); }
int64_t THTensor_(stride)(const THTensor *self, int dim) {
  return ffi_th_stride(RECORD(self), dim);
}
ptrdiff_t THTensor_(nElement)(const THTensor *self) { return ffi_th_elements(RECORD(self)); }
int THTensor_(isContiguous)(const THTensor *self) { return ffi_th_is_contiguous(RECORD(self)); }
THLongStorage *THTensor_(newSizeOf)(THTensor *self) {
  return ffi_th_numbers(self->nDimension, self->size);
}
THLongStorage *THTensor_(newStrideOf)(THTensor *self) {
  return ffi_th_numbers(self->nDimension, self->stride);
}

real *THTensor_(data)(const THTensor *self) { return DATA(self); }

int THTensor_(isSameSizeAs)(const THTensor *self, const THTensor *src) {
  return ffi_th_same_size(RECORD(self), RECORD(src));
}

int THTensor_(isSize)(const THTensor *self, const THLongStorage *dims) {
  return THSize_isSameSizeAs(self->size, self->nDimension, dims->data, dims->size);
}

int THTensor_(isSetTo)(const THTensor *self, const THTensor *src) {
  if (!self->storage || self->storage != src->storage ||
      self->storageOffset != src->storageOffset || self->nDimension != src->nDimension)
    return 0;
  for (int d = 0; d < self->nDimension; d++)
    if (self->size[d] != src->size[d] || self->stride[d] != src->stride[d]) return 0;
  return 1;
}

THDescBuff THTensor_(sizeDesc)(const THTensor *self) {
  return _THSizeDesc(self->size, self->nDimension);
}

THDescBuff THTensor_(desc)(const THTensor *self) {
  THDescBuff sizes = THTensor_(sizeDesc)(self), text;
  if (!self->nDimension)
    snprintf(text.str, sizeof text.str, "%s with no dimension",
             TH_CONCAT_STRING_3(TH, Real, Tensor));
  else
    snprintf(text.str, sizeof text.str, "%s of size %.40s", TH_CONCAT_STRING_3(TH, Real, Tensor),
             sizes.str);
  return text;
}

/* Making, keeping and releasing. */
THTensor *THTensor_(new)(void) { return (THTensor *)ffi_tensor_alloc(TYPE_NUMBER); }

void THTensor_(retain)(THTensor *self) {
  if (self->flag & TH_TENSOR_REFCOUNTED) __atomic_add_fetch(&self->refcount, 1, __ATOMIC_RELAXED);
}

void THTensor_(free)(THTensor *self) {
  if (self && (self->flag & TH_TENSOR_REFCOUNTED)) ffi_tensor_give_back(RECORD(self));
}

void THTensor_(freeCopyTo)(THTensor *self, THTensor *dst) {
  if (self != dst) THTensor_(copy)(dst, self);
  THTensor_(free)(self);
}

void THTensor_(setFlag)(THTensor *self, const char flag) { self->flag |= flag; }
void THTensor_(clearFlag)(THTensor *self, const char flag) { self->flag &= ~flag; }

THTensor *THTensor_(newWithSize)(THLongStorage *size, THLongStorage *stride) {
  return THTensor_(newWithStorage)(NULL, 0, size, stride);
}

/* clang-format off: a new record, and the function that fills it */
#define NEW(NAME, PARAMETERS, FILL, ...)        \
  THTensor *THTensor_(NAME) PARAMETERS {        \
    THTensor *self FFI_HELD = THTensor_(new)(); \
    THTensor_(FILL)(self, __VA_ARGS__);         \
    return ffi_hand_over(&self);                \
  }
NEW(newWithTensor, (THTensor * tensor), set, tensor)
NEW(newSelect, (THTensor * tensor, int dimension, int64_t index), select, tensor, dimension, index)
NEW(newNarrow, (THTensor * tensor, int dimension, int64_t first, int64_t size), narrow, tensor,
    dimension, first, size)
NEW(newTranspose, (THTensor * tensor, int dimension1, int dimension2), transpose, tensor,
    dimension1, dimension2)
NEW(newUnfold, (THTensor * tensor, int dimension, int64_t size, int64_t step), unfold, tensor,
    dimension, size, step)
NEW(newExpand, (THTensor * tensor, THLongStorage *size), expand, tensor, size)
NEW(newWithSize1d, (int64_t size0), resize1d, size0)
NEW(newWithSize2d, (int64_t size0, int64_t size1), resize2d, size0, size1)
NEW(newWithSize3d, (int64_t size0, int64_t size1, int64_t size2), resize3d, size0, size1, size2)
NEW(newWithSize4d, (int64_t size0, int64_t size1, int64_t size2, int64_t size3), resize4d, size0,
    size1, size2, size3)
NEW(newWithStorage,
    (THStorage * storage, ptrdiff_t offset, THLongStorage *size, THLongStorage *stride), setStorage,
    storage, offset, size, stride)
NEW(newWithStorage1d, (THStorage * storage, ptrdiff_t offset, int64_t size0, int64_t stride0),
    setStorage1d, storage, offset, size0, stride0)
NEW(newWithStorage2d,
    (THStorage * storage, ptrdiff_t offset, int64_t size0, int64_t stride0, int64_t size1,
     int64_t stride1),
    setStorage2d, storage, offset, size0, stride0, size1, stride1)
NEW(newWithStorage3d,
    (THStorage * storage, ptrdiff_t offset, int64_t size0, int64_t stride0, int64_t size1,
     int64_t stride1, int64_t size2, int64_t stride2),
    setStorage3d, storage, offset, size0, stride0, size1, stride1, size2, stride2)
NEW(newWithStorage4d,
    (THStorage * storage, ptrdiff_t offset, int64_t size0, int64_t stride0, int64_t size1,
     int64_t stride1, int64_t size2, int64_t stride2, int64_t size3, int64_t stride3),
    setStorage4d, storage, offset, size0, stride0, size1, stride1, size2, stride2, size3, stride3)
/* clang-format on */

THTensor *THTensor_(newView)(THTensor *tensor, THLongStorage *size) {
  THTensor *self FFI_HELD = THTensor_(new)();
  ffi_th_view(RECORD(self), RECORD(tensor), size);
  return ffi_hand_over(&self);
}

THTensor *THTensor_(newClone)(THTensor *self) {
  THTensor *tensor FFI_HELD = THTensor_(new)();
  THTensor_(resizeAs)(tensor, self);
  THTensor_(copy)(tensor, self);
  return ffi_hand_over(&tensor);
}

THTensor *THTensor_(newContiguous)(THTensor *self) {
  if (!THTensor_(isContiguous)(self)) return THTensor_(newClone)(self);
  THTensor_(retain)(self);
  return self;
}

/* Resizing. */
void THTensor_(resizeNd)(THTensor *self, int nDimension, int64_t *size, int64_t *stride) {
  ffi_th_resize(RECORD(self), nDimension, size, stride);
}
void THTensor_(resizeAs)(THTensor *self, THTensor *src) {
  ffi_th_resize_as(RECORD(self), RECORD(src));
}
void THTensor_(resize)(THTensor *self, THLongStorage *size, THLongStorage *stride) {
  THArgCheck(size != NULL, 2, "invalid size");
  if (stride) THArgCheck(stride->size == size->size, 3, "invalid stride");
  ffi_th_resize(RECORD(self), (int)size->size, size->data, stride ? stride->data : NULL);
}
void THTensor_(resize1d)(THTensor *self, int64_t size0) {
  THTensor_(resizeNd)(self, 1, &size0, NULL);
}
void THTensor_(resize2d)(THTensor *self, int64_t size0, int64_t size1) {
  int64_t size[2] = {size0, size1};
  THTensor_(resizeNd)(self, 2, size, NULL);
}
void THTensor_(resize3d)(THTensor *self, int64_t size0, int64_t size1, int64_t size2) {
  int64_t size[3] = {size0, size1, size2};
  THTensor_(resizeNd)(self, 3, size, NULL);
}
void THTensor_(resize4d)(THTensor *self, int64_t size0, int64_t size1, int64_t size2,
                         int64_t size3) {
  int64_t size[4] = {size0, size1, size2, size3};
  THTensor_(resizeNd)(self, 4, size, NULL);
}
void THTensor_(resize5d)(THTensor *self, int64_t size0, int64_t size1, int64_t size2, int64_t size3,
                         int64_t size4) {
  int64_t size[5] = {size0, size1, size2, size3, size4};
  THTensor_(resizeNd)(self, 5, size, NULL);
}

/* Sharing and views in place. */
void THTensor_(set)(THTensor *self, THTensor *src) { ffi_th_set(RECORD(self), RECORD(src)); }
void THTensor_(setStorageNd)(THTensor *self, THStorage *storage, ptrdiff_t offset, int nDimension,
                             int64_t *size, int64_t *stride) {
  ffi_th_set_storage(RECORD(self), (ffi_storage *)storage, offset, nDimension, size, stride);
}
void THTensor_(setStorage)(THTensor *self, THStorage *storage, ptrdiff_t offset,
                           THLongStorage *size, THLongStorage *stride) {
  if (size && stride) THArgCheck(size->size == stride->size, 5, "inconsistent size/stride sizes");
  THTensor_(setStorageNd)(self, storage, offset,
                          size     ? (int)size->size
                          : stride ? (int)stride->size
                                   : 0,
                          size ? size->data : NULL, stride ? stride->data : NULL);
}
void THTensor_(setStorage1d)(THTensor *self, THStorage *storage, ptrdiff_t offset, int64_t size0,
                             int64_t stride0) {
  THTensor_(setStorage4d)(self, storage, offset, size0, stride0, -1, -1, -1, -1, -1, -1);
}
void THTensor_(setStorage2d)(THTensor *self, THStorage *storage, ptrdiff_t offset, int64_t size0,
                             int64_t stride0, int64_t size1, int64_t stride1) {
  THTensor_(setStorage4d)(self, storage, offset, size0, stride0, size1, stride1, -1, -1, -1, -1);
}
void THTensor_(setStorage3d)(THTensor *self, THStorage *storage, ptrdiff_t offset, int64_t size0,
                             int64_t stride0, int64_t size1, int64_t stride1, int64_t size2,
                             int64_t stride2) {
  THTensor_(setStorage4d)(self, storage, offset, size0, stride0, size1, stride1, size2, stride2, -1,
                          -1);
}
void THTensor_(setStorage4d)(THTensor *self, THStorage *storage, ptrdiff_t offset, int64_t size0,
                             int64_t stride0, int64_t size1, int64_t stride1, int64_t size2,
                             int64_t stride2, int64_t size3, int64_t stride3) {
  int64_t size[4] = {size0, size1, size2, size3}, stride[4] = {stride0, stride1, stride2, stride3};
  THTensor_(setStorageNd)(self, storage, offset, 4, size, stride);
}
void THTensor_(narrow)(THTensor *self, THTensor *src, int dimension, int64_t first, int64_t size) {
  ffi_th_narrow(RECORD(self), RECORD(src), dimension, first, size);
}
void THTensor_(select)(THTensor *self, THTensor *src, int dimension, int64_t index) {
  ffi_th_select(RECORD(self), RECORD(src), dimension, index);
}
void THTensor_(transpose)(THTensor *self, THTensor *src, int dimension1, int dimension2) {
  ffi_th_transpose(RECORD(self), RECORD(src), dimension1, dimension2);
}
void THTensor_(unfold)(THTensor *self, THTensor *src, int dimension, int64_t size, int64_t step) {
  ffi_th_unfold(RECORD(self), RECORD(src), dimension, size, step);
}
void THTensor_(squeeze)(THTensor *self, THTensor *src) {
  ffi_th_squeeze(RECORD(self), RECORD(src));
}
void THTensor_(squeeze1d)(THTensor *self, THTensor *src, int dimension) {
  ffi_th_squeeze1d(RECORD(self), RECORD(src), dimension);
}
void THTensor_(unsqueeze1d)(THTensor *self, THTensor *src, int dimension) {
  ffi_th_unsqueeze1d(RECORD(self), RECORD(src), dimension);
}
void THTensor_(expand)(THTensor *r, THTensor *tensor, THLongStorage *size) {
  ffi_th_expand(RECORD(r), RECORD(tensor), size);
}
void THTensor_(expandNd)(THTensor **rets, THTensor **ops, int count) {
  ffi_th_expand_together((ffi_tensor **)rets, (ffi_tensor **)ops, count);
}

/* Elements. The indices are checked before the storage is read: an empty tensor has none. */
static real *THTensor_(element)(const THTensor *self, int n, const int64_t *index) {
  const ptrdiff_t offset = ffi_th_offset(RECORD(self), n, index);
  return self->storage->data + offset;
}
#define ELEMENT(self, n, ...) (*THTensor_(element)(self, n, (const int64_t[]){__VA_ARGS__}))

real THTensor_(get1d)(const THTensor *self, int64_t x0) { return ELEMENT(self, 1, x0); }
real THTensor_(get2d)(const THTensor *self, int64_t x0, int64_t x1) {
  return ELEMENT(self, 2, x0, x1);
}
real THTensor_(get3d)(const THTensor *self, int64_t x0, int64_t x1, int64_t x2) {
  return ELEMENT(self, 3, x0, x1, x2);
}
real THTensor_(get4d)(const THTensor *self, int64_t x0, int64_t x1, int64_t x2, int64_t x3) {
  return ELEMENT(self, 4, x0, x1, x2, x3);
}
void THTensor_(set1d)(THTensor *self, int64_t x0, real value) { ELEMENT(self, 1, x0) = value; }
void THTensor_(set2d)(THTensor *self, int64_t x0, int64_t x1, real value) {
  ELEMENT(self, 2, x0, x1) = value;
}
void THTensor_(set3d)(THTensor *self, int64_t x0, int64_t x1, int64_t x2, real value) {
  ELEMENT(self, 3, x0, x1, x2) = value;
}
void THTensor_(set4d)(THTensor *self, int64_t x0, int64_t x1, int64_t x2, int64_t x3, real value) {
  ELEMENT(self, 4, x0, x1, x2, x3) = value;
}

void THTensor_(fill)(THTensor *self, real value) {
  if (THTensor_(isContiguous)(self)) {
    real *restrict data = THTensor_(data)(self);
    const ptrdiff_t n = THTensor_(nElement)(self);
    for (ptrdiff_t i = 0; i < n; i++) data[i] = value;
  } else {
    TH_TENSOR_APPLY(real, self, *self_data = value;);
  }
}

#endif
