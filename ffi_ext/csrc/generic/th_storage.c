/* TH<Type>Storage_*: thin typed names over th_storage.c. */
#ifndef TH_GENERIC_FILE
#define TH_GENERIC_FILE "generic/th_storage.c"
#else

#define STORAGE(s) ((ffi_storage *)(s))

real *THStorage_(data)(const THStorage *self) { return self->data; }
ptrdiff_t THStorage_(size)(const THStorage *self) { return self->size; }
size_t THStorage_(elementSize)(void) { return sizeof(real); }

THStorage *THStorage_(new)(void) { return THStorage_(newWithSize)(0); }

THStorage *THStorage_(newWithSize)(ptrdiff_t size) {
  return (THStorage *)ffi_th_storage_new_on(TYPE_NUMBER, 0, size);
}

static THStorage *THStorage_(of)(ptrdiff_t n, const real *values) {
  THStorage *self = THStorage_(newWithSize)(n);
  memcpy(self->data, values, (size_t)n * sizeof *values);
  return self;
}
THStorage *THStorage_(newWithSize1)(real data0) { return THStorage_(of)(1, &data0); }
THStorage *THStorage_(newWithSize2)(real data0, real data1) {
  return THStorage_(of)(2, (const real[]){data0, data1});
}
THStorage *THStorage_(newWithSize3)(real data0, real data1, real data2) {
  return THStorage_(of)(3, (const real[]){data0, data1, data2});
}
THStorage *THStorage_(newWithSize4)(real data0, real data1, real data2, real data3) {
  return THStorage_(of)(4, (const real[]){data0, data1, data2, data3});
}

THStorage *THStorage_(newWithMapping)(const char *filename, ptrdiff_t size, int flags) {
  return (THStorage *)ffi_th_storage_new_mapped(TYPE_NUMBER, filename, size, flags);
}

THStorage *THStorage_(newWithData)(real *data, ptrdiff_t size) {
  return THStorage_(newWithDataAndAllocator)(data, size, &THDefaultAllocator, NULL);
}

THStorage *THStorage_(newWithAllocator)(ptrdiff_t size, THAllocator *allocator,
                                        void *allocatorContext) {
  if (!allocator) return THStorage_(newWithSize)(size); /* torch's, of another storage's field */
  const ptrdiff_t bytes = ffi_bytes_of(size, TYPE_NUMBER);
  real *data = allocator->malloc(allocatorContext, bytes);
  return THStorage_(newWithDataAndAllocator)(data, size, allocator, allocatorContext);
}

THStorage *THStorage_(newWithDataAndAllocator)(real *data, ptrdiff_t size, THAllocator *allocator,
                                               void *allocatorContext) {
  return (THStorage *)ffi_th_storage_new_with(TYPE_NUMBER, data, size, allocator, allocatorContext);
}

void THStorage_(setFlag)(THStorage *self, const char flag) { self->flag |= flag; }
void THStorage_(clearFlag)(THStorage *self, const char flag) { self->flag &= ~flag; }

void THStorage_(retain)(THStorage *self) {
  if (self && (self->flag & TH_STORAGE_REFCOUNTED)) ffi_storage_take(STORAGE(self));
}

void THStorage_(free)(THStorage *self) {
  if (self && (self->flag & TH_STORAGE_REFCOUNTED)) ffi_storage_give_back(STORAGE(self));
}

void THStorage_(resize)(THStorage *self, ptrdiff_t size) {
  ffi_th_storage_resize(STORAGE(self), size);
}
void THStorage_(swap)(THStorage *a, THStorage *b) { ffi_th_storage_swap(STORAGE(a), STORAGE(b)); }

void THStorage_(fill)(THStorage *self, real value) {
  for (ptrdiff_t i = 0; i < self->size; i++) self->data[i] = value;
}

void THStorage_(set)(THStorage *self, ptrdiff_t idx, real value) {
  THArgCheck(idx >= 0 && idx < self->size, 2, "out of bounds");
  self->data[idx] = value;
}

real THStorage_(get)(const THStorage *self, ptrdiff_t idx) {
  THArgCheck(idx >= 0 && idx < self->size, 2, "out of bounds");
  return self->data[idx];
}

void THStorage_(rawCopy)(THStorage *self, real *src) {
  if (self->size) memcpy(self->data, src, (size_t)self->size * sizeof(real));
}

void THStorage_(copy)(THStorage *self, THStorage *src) {
  THArgCheck(self->size == src->size, 2, "size mismatch");
  THStorage_(rawCopy)(self, src->data);
}

#endif
