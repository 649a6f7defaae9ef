/* THCuda<Type>Tensor_* and Storage_*: what makes records, and what reads or writes single elements.
 */
#ifndef THC_GENERIC_FILE
#define THC_GENERIC_FILE "generic/thc_tensor.c"
#else

/* New records are of the current GPU, as in the original; views are of their source's. */
THCTensor *THCTensor_(new)(THCState *state) {
  ffi_tensor *t = ffi_tensor_alloc(TYPE_NUMBER);
  t->cuda = (unsigned char)ffi_cuda_current();
  return (THCTensor *)t;
}

static THCTensor *THCTensor_(bare)(void) { return (THCTensor *)ffi_tensor_alloc(TYPE_NUMBER); }

/* clang-format off: a new record, and the function that fills it */
#define NEW(NAME, PARAMETERS, FILL, ...)               \
  THCTensor *THCTensor_(NAME) PARAMETERS {             \
    THCTensor *self FFI_HELD = THCTensor_(new)(state); \
    THCTensor_(FILL)(state, self, __VA_ARGS__);        \
    return ffi_hand_over(&self);                       \
  }
NEW(newWithStorage,
    (THCState * state, THCStorage *storage, ptrdiff_t offset, THLongStorage *size,
     THLongStorage *stride),
    setStorage, storage, offset, size, stride)
NEW(newWithStorage1d,
    (THCState * state, THCStorage *storage, ptrdiff_t offset, int64_t size0, int64_t stride0),
    setStorage1d, storage, offset, size0, stride0)
NEW(newWithStorage2d,
    (THCState * state, THCStorage *storage, ptrdiff_t offset, int64_t size0, int64_t stride0,
     int64_t size1, int64_t stride1),
    setStorage2d, storage, offset, size0, stride0, size1, stride1)
NEW(newWithStorage3d,
    (THCState * state, THCStorage *storage, ptrdiff_t offset, int64_t size0, int64_t stride0,
     int64_t size1, int64_t stride1, int64_t size2, int64_t stride2),
    setStorage3d, storage, offset, size0, stride0, size1, stride1, size2, stride2)
NEW(newWithStorage4d,
    (THCState * state, THCStorage *storage, ptrdiff_t offset, int64_t size0, int64_t stride0,
     int64_t size1, int64_t stride1, int64_t size2, int64_t stride2, int64_t size3,
     int64_t stride3),
    setStorage4d, storage, offset, size0, stride0, size1, stride1, size2, stride2, size3, stride3)
NEW(newWithSize, (THCState * state, THLongStorage *size, THLongStorage *stride), resize, size,
    stride)
NEW(newWithSize1d, (THCState * state, int64_t size0), resize1d, size0)
NEW(newWithSize2d, (THCState * state, int64_t size0, int64_t size1), resize2d, size0, size1)
NEW(newWithSize3d, (THCState * state, int64_t size0, int64_t size1, int64_t size2), resize3d, size0,
    size1, size2)
NEW(newWithSize4d, (THCState * state, int64_t size0, int64_t size1, int64_t size2, int64_t size3),
    resize4d, size0, size1, size2, size3)
/* clang-format on */

/* The first two dimensions as one: (N, C, ...) -> (N * C, ...). */
THCTensor *THCTensor_(newFoldBatchDim)(THCState *state, THCTensor *input) {
  const int n = input->nDimension;
  THArgCheck(n >= 2, 1, "Tensor must be at least 2-dimensional");
  THArgCheck(THCTensor_(isContiguous)(state, input), 1, "Tensor must be contiguous");
  THLongStorage *size = THLongStorage_newWithSize(n - 1);
  size->data[0] = input->size[0] * input->size[1];
  for (int i = 2; i < n; i++) size->data[i - 1] = input->size[i];
  THCTensor *folded = THCTensor_(newView)(state, input, size);
  THLongStorage_free(size);
  return folded;
}

THCDescBuff THCTensor_(sizeDesc)(THCState *state, const THCTensor *tensor) {
  THCDescBuff buffer;
  const THDescBuff text = THTensor_(sizeDesc)((const THTensor *)tensor);
  snprintf(buffer.str, sizeof buffer.str, "%s", text.str);
  return buffer;
}

THCTensor *THCTensor_(newClone)(THCState *state, THCTensor *self) {
  THCTensor *clone FFI_HELD = THCTensor_(bare)();
  ((ffi_tensor *)clone)->cuda = ((ffi_tensor *)self)->cuda;
  THCTensor_(resizeAs)(state, clone, self);
  THCTensor_(copy)(state, clone, self);
  return ffi_hand_over(&clone);
}

THCTensor *THCTensor_(newContiguous)(THCState *state, THCTensor *self) {
  if (!THCTensor_(isContiguous)(state, self)) return THCTensor_(newClone)(state, self);
  THCTensor_(retain)(state, self);
  return self;
}

void THCTensor_(freeCopyTo)(THCState *state, THCTensor *self, THCTensor *dst) {
  if (self != dst) THCTensor_(copy)(state, dst, self);
  THCTensor_(free)(state, self);
}

ptrdiff_t THCTensor_(numel)(THCState *state, THCTensor *t) {
  return THCTensor_(nElement)(state, t);
}

int THCTensor_(getDevice)(THCState *state, const THCTensor *self) {
  return self->storage ? self->storage->device : -1;
}

/* Whether the tensors, which may be NULL, are all on the current GPU. */
int THCTensor_(checkGPU)(THCState *state, unsigned int count, ...) {
  const int current = ffi_cuda_current();
  int same = 1;
  va_list tensors;
  va_start(tensors, count);
  for (unsigned int i = 0; i < count; i++) {
    const ffi_tensor *t = va_arg(tensors, ffi_tensor *);
    if (t && t->storage && t->cuda != current) same = 0;
  }
  va_end(tensors);
  return same;
}

/* One element, as a view of one dimension; by way of a tensor on the CPU. */
static THCTensor *THCTensor_(element)(THCState *state, THCStorage *storage, ptrdiff_t offset) {
  THCTensor *view FFI_HELD = THCTensor_(bare)();
  THCTensor_(setStorage1d)(state, view, storage, offset, 1, 1);
  return ffi_hand_over(&view);
}

static real THCTensor_(read)(THCState *state, THCStorage *storage, ptrdiff_t offset) {
  THCTensor *view FFI_HELD = THCTensor_(element)(state, storage, offset);
  THTensor *number FFI_HELD = THTensor_(newWithSize1d)(1);
  ffi_th_torch("copy", "tt", number, view);
  return *number->storage->data;
}

static void THCTensor_(write)(THCState *state, THCStorage *storage, ptrdiff_t offset, real value) {
  THCTensor *view FFI_HELD = THCTensor_(element)(state, storage, offset);
  THTensor *number FFI_HELD = THTensor_(newWithSize1d)(1);
  *number->storage->data = value;
  ffi_th_torch("copy", "tt", view, number);
}

#define OFFSET(self, n, ...) \
  ffi_th_offset((const ffi_tensor *)(self), n, (const int64_t[]){__VA_ARGS__})
real THCTensor_(get1d)(THCState *state, const THCTensor *self, int64_t x0) {
  return THCTensor_(read)(state, self->storage, OFFSET(self, 1, x0));
}
void THCTensor_(set1d)(THCState *state, THCTensor *self, int64_t x0, real value) {
  THCTensor_(write)(state, self->storage, OFFSET(self, 1, x0), value);
}
real THCTensor_(get2d)(THCState *state, const THCTensor *self, int64_t x0, int64_t x1) {
  return THCTensor_(read)(state, self->storage, OFFSET(self, 2, x0, x1));
}
void THCTensor_(set2d)(THCState *state, THCTensor *self, int64_t x0, int64_t x1, real value) {
  THCTensor_(write)(state, self->storage, OFFSET(self, 2, x0, x1), value);
}
real THCTensor_(get3d)(THCState *state, const THCTensor *self, int64_t x0, int64_t x1, int64_t x2) {
  return THCTensor_(read)(state, self->storage, OFFSET(self, 3, x0, x1, x2));
}
void THCTensor_(set3d)(THCState *state, THCTensor *self, int64_t x0, int64_t x1, int64_t x2,
                       real value) {
  THCTensor_(write)(state, self->storage, OFFSET(self, 3, x0, x1, x2), value);
}
real THCTensor_(get4d)(THCState *state, const THCTensor *self, int64_t x0, int64_t x1, int64_t x2,
                       int64_t x3) {
  return THCTensor_(read)(state, self->storage, OFFSET(self, 4, x0, x1, x2, x3));
}
void THCTensor_(set4d)(THCState *state, THCTensor *self, int64_t x0, int64_t x1, int64_t x2,
                       int64_t x3, real value) {
  THCTensor_(write)(state, self->storage, OFFSET(self, 4, x0, x1, x2, x3), value);
}

/* Storages. */
THCStorage *THCStorage_(newWithSize)(THCState *state, ptrdiff_t size) {
  return (THCStorage *)ffi_th_storage_new_on(TYPE_NUMBER, ffi_cuda_current(), size);
}
THCStorage *THCStorage_(new)(THCState *state) { return THCStorage_(newWithSize)(state, 0); }
static THCStorage *THCStorage_(of)(THCState *state, ptrdiff_t n, const real *values) {
  THCStorage *self = THCStorage_(newWithSize)(state, n);
  for (ptrdiff_t i = 0; i < n; i++) THCTensor_(write)(state, self, i, values[i]);
  return self;
}
THCStorage *THCStorage_(newWithSize1)(THCState *state, real value1) {
  return THCStorage_(of)(state, 1, &value1);
}
THCStorage *THCStorage_(newWithSize2)(THCState *state, real value1, real value2) {
  return THCStorage_(of)(state, 2, (const real[]){value1, value2});
}
THCStorage *THCStorage_(newWithSize3)(THCState *state, real value1, real value2, real value3) {
  return THCStorage_(of)(state, 3, (const real[]){value1, value2, value3});
}
THCStorage *THCStorage_(newWithSize4)(THCState *state, real value1, real value2, real value3,
                                      real value4) {
  return THCStorage_(of)(state, 4, (const real[]){value1, value2, value3, value4});
}

THCStorage *THCStorage_(newWithDataAndAllocator)(THCState *state, real *data, ptrdiff_t size,
                                                 THCDeviceAllocator *allocator, void *context) {
  return (THCStorage *)ffi_cuda_storage_new_with(TYPE_NUMBER, data, size, allocator, context);
}
THCStorage *THCStorage_(newWithData)(THCState *state, real *data, ptrdiff_t size) {
  return THCStorage_(newWithDataAndAllocator)(state, data, size, NULL, NULL);
}
THCStorage *THCStorage_(newWithAllocator)(THCState *state, ptrdiff_t size,
                                          THCDeviceAllocator *allocator, void *context) {
  THCStorage *self = THCStorage_(newWithDataAndAllocator)(state, NULL, 0, allocator, context);
  ffi_th_storage_resize((ffi_storage *)self, size);
  return self;
}
THCStorage *THCStorage_(newWithMapping)(THCState *state, const char *filename, ptrdiff_t size,
                                        int shared) {
  THError("a file (%s) cannot be mapped into a GPU's memory", filename);
  return NULL;
}

int THCStorage_(getDevice)(THCState *state, const THCStorage *self) { return self->device; }
real THCStorage_(get)(THCState *state, const THCStorage *self, ptrdiff_t index) {
  THArgCheck(index >= 0 && index < self->size, 2, "index out of bounds");
  return THCTensor_(read)(state, (THCStorage *)self, index);
}
void THCStorage_(set)(THCState *state, THCStorage *self, ptrdiff_t index, real value) {
  THArgCheck(index >= 0 && index < self->size, 2, "index out of bounds");
  THCTensor_(write)(state, self, index, value);
}
void THCStorage_(rawCopy)(THCState *state, THCStorage *self, real *src) {
  ffi_cuda_copy((ffi_storage *)self, src);
}
void THCStorage_(fill)(THCState *state, THCStorage *self, real value) {
  if (self->size) THCTensor_(write)(state, self, 0, value);
  if (self->size < 2) return;
  THCTensor *all FFI_HELD = THCTensor_(bare)();
  THCTensor *first FFI_HELD = THCTensor_(element)(state, self, 0);
  THCTensor_(setStorage1d)(state, all, self, 0, self->size, 1);
  ffi_th_torch("spread", "tt", all, first);
}

#endif
