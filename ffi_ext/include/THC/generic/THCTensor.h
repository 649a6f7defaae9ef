/* THCuda<Type>Tensor: the record and its structural functions. */
#ifndef THC_GENERIC_FILE
#define THC_GENERIC_FILE "generic/THCTensor.h"
#else

#ifndef FFI_EXT_DEFINE_THC /* the runtime includes this list again */
typedef struct THCTensor {
  int64_t *size;
  int64_t *stride;
  int nDimension;
  THCStorage *storage; /* NULL for an empty tensor */
  ptrdiff_t storageOffset;
  int refcount;
  char flag;
} THCTensor;
#endif

/* clang-format off: one line a function; what TH's function of that name does with the record. */
THC_FORWARD(void, clearFlag, (THCState *state, THCTensor *self, const char flag), ((THTensor *)self, flag))
THC_FORWARD(real *, data, (THCState *state, const THCTensor *self), ((THTensor *)self))
THC_FORWARD(void, expand, (THCState *state, THCTensor *r, THCTensor *tensor, THLongStorage *sizes), ((THTensor *)r, (THTensor *)tensor, sizes))
THC_FORWARD(void, expandNd, (THCState *state, THCTensor **rets, THCTensor **ops, int count), ((THTensor **)rets, (THTensor **)ops, count))
THC_FORWARD(void, free, (THCState *state, THCTensor *self), ((THTensor *)self))
THC_FORWARD(int, isContiguous, (THCState *state, const THCTensor *self), ((THTensor *)self))
THC_FORWARD(int, isSameSizeAs, (THCState *state, const THCTensor *self, const THCTensor *src), ((THTensor *)self, (THTensor *)src))
THC_FORWARD(int, isSetTo, (THCState *state, const THCTensor *self, const THCTensor *src), ((THTensor *)self, (THTensor *)src))
THC_FORWARD(int, isSize, (THCState *state, const THCTensor *self, const THLongStorage *dims), ((THTensor *)self, dims))
THC_FORWARD(void, narrow, (THCState *state, THCTensor *self, THCTensor *src, int dimension_, int64_t firstIndex_, int64_t size_), ((THTensor *)self, (THTensor *)src, dimension_, firstIndex_, size_))
THC_FORWARD(int, nDimension, (THCState *state, const THCTensor *self), ((THTensor *)self))
THC_FORWARD(ptrdiff_t, nElement, (THCState *state, const THCTensor *self), ((THTensor *)self))
THC_FORWARD(THCTensor *, newExpand, (THCState *state, THCTensor *tensor, THLongStorage *size), ((THTensor *)tensor, size))
THC_FORWARD(THCTensor *, newNarrow, (THCState *state, THCTensor *tensor, int dimension_, int64_t firstIndex_, int64_t size_), ((THTensor *)tensor, dimension_, firstIndex_, size_))
THC_FORWARD(THCTensor *, newSelect, (THCState *state, THCTensor *tensor, int dimension_, int64_t sliceIndex_), ((THTensor *)tensor, dimension_, sliceIndex_))
THC_FORWARD(THLongStorage *, newSizeOf, (THCState *state, THCTensor *self), ((THTensor *)self))
THC_FORWARD(THLongStorage *, newStrideOf, (THCState *state, THCTensor *self), ((THTensor *)self))
THC_FORWARD(THCTensor *, newTranspose, (THCState *state, THCTensor *tensor, int dimension1_, int dimension2_), ((THTensor *)tensor, dimension1_, dimension2_))
THC_FORWARD(THCTensor *, newUnfold, (THCState *state, THCTensor *tensor, int dimension_, int64_t size_, int64_t step_), ((THTensor *)tensor, dimension_, size_, step_))
THC_FORWARD(THCTensor *, newView, (THCState *state, THCTensor *tensor, THLongStorage *size), ((THTensor *)tensor, size))
THC_FORWARD(THCTensor *, newWithTensor, (THCState *state, THCTensor *tensor), ((THTensor *)tensor))
THC_FORWARD(void, resize, (THCState *state, THCTensor *tensor, THLongStorage *size, THLongStorage *stride), ((THTensor *)tensor, size, stride))
THC_FORWARD(void, resize1d, (THCState *state, THCTensor *tensor, int64_t size0_), ((THTensor *)tensor, size0_))
THC_FORWARD(void, resize2d, (THCState *state, THCTensor *tensor, int64_t size0_, int64_t size1_), ((THTensor *)tensor, size0_, size1_))
THC_FORWARD(void, resize3d, (THCState *state, THCTensor *tensor, int64_t size0_, int64_t size1_, int64_t size2_), ((THTensor *)tensor, size0_, size1_, size2_))
THC_FORWARD(void, resize4d, (THCState *state, THCTensor *tensor, int64_t size0_, int64_t size1_, int64_t size2_, int64_t size3_), ((THTensor *)tensor, size0_, size1_, size2_, size3_))
THC_FORWARD(void, resize5d, (THCState *state, THCTensor *tensor, int64_t size0_, int64_t size1_, int64_t size2_, int64_t size3_, int64_t size4_), ((THTensor *)tensor, size0_, size1_, size2_, size3_, size4_))
THC_FORWARD(void, resizeAs, (THCState *state, THCTensor *tensor, THCTensor *src), ((THTensor *)tensor, (THTensor *)src))
THC_FORWARD(void, resizeNd, (THCState *state, THCTensor *tensor, int nDimension, int64_t *size, int64_t *stride), ((THTensor *)tensor, nDimension, size, stride))
THC_FORWARD(void, retain, (THCState *state, THCTensor *self), ((THTensor *)self))
THC_FORWARD(void, select, (THCState *state, THCTensor *self, THCTensor *src, int dimension_, int64_t sliceIndex_), ((THTensor *)self, (THTensor *)src, dimension_, sliceIndex_))
THC_FORWARD(void, set, (THCState *state, THCTensor *self, THCTensor *src), ((THTensor *)self, (THTensor *)src))
THC_FORWARD(void, setFlag, (THCState *state, THCTensor *self, const char flag), ((THTensor *)self, flag))
THC_FORWARD(void, setStorage, (THCState *state, THCTensor *self, THCStorage *storage_, ptrdiff_t storageOffset_, THLongStorage *size_, THLongStorage *stride_), ((THTensor *)self, (THStorage *)storage_, storageOffset_, size_, stride_))
THC_FORWARD(void, setStorage1d, (THCState *state, THCTensor *self, THCStorage *storage_, ptrdiff_t storageOffset_, int64_t size0_, int64_t stride0_), ((THTensor *)self, (THStorage *)storage_, storageOffset_, size0_, stride0_))
THC_FORWARD(void, setStorage2d, (THCState *state, THCTensor *self, THCStorage *storage_, ptrdiff_t storageOffset_, int64_t size0_, int64_t stride0_, int64_t size1_, int64_t stride1_), ((THTensor *)self, (THStorage *)storage_, storageOffset_, size0_, stride0_, size1_, stride1_))
THC_FORWARD(void, setStorage3d, (THCState *state, THCTensor *self, THCStorage *storage_, ptrdiff_t storageOffset_, int64_t size0_, int64_t stride0_, int64_t size1_, int64_t stride1_, int64_t size2_, int64_t stride2_), ((THTensor *)self, (THStorage *)storage_, storageOffset_, size0_, stride0_, size1_, stride1_, size2_, stride2_))
THC_FORWARD(void, setStorage4d, (THCState *state, THCTensor *self, THCStorage *storage_, ptrdiff_t storageOffset_, int64_t size0_, int64_t stride0_, int64_t size1_, int64_t stride1_, int64_t size2_, int64_t stride2_, int64_t size3_, int64_t stride3_), ((THTensor *)self, (THStorage *)storage_, storageOffset_, size0_, stride0_, size1_, stride1_, size2_, stride2_, size3_, stride3_))
THC_FORWARD(void, setStorageNd, (THCState *state, THCTensor *self, THCStorage *storage, ptrdiff_t storageOffset, int nDimension, int64_t *size, int64_t *stride), ((THTensor *)self, (THStorage *)storage, storageOffset, nDimension, size, stride))
THC_FORWARD(int64_t, size, (THCState *state, const THCTensor *self, int dim), ((THTensor *)self, dim))
THC_FORWARD(void, squeeze, (THCState *state, THCTensor *self, THCTensor *src), ((THTensor *)self, (THTensor *)src))
THC_FORWARD(void, squeeze1d, (THCState *state, THCTensor *self, THCTensor *src, int dimension_), ((THTensor *)self, (THTensor *)src, dimension_))
THC_FORWARD(THCStorage *, storage, (THCState *state, const THCTensor *self), ((THTensor *)self))
THC_FORWARD(ptrdiff_t, storageOffset, (THCState *state, const THCTensor *self), ((THTensor *)self))
THC_FORWARD(int64_t, stride, (THCState *state, const THCTensor *self, int dim), ((THTensor *)self, dim))
THC_FORWARD(void, transpose, (THCState *state, THCTensor *self, THCTensor *src, int dimension1_, int dimension2_), ((THTensor *)self, (THTensor *)src, dimension1_, dimension2_))
THC_FORWARD(void, unfold, (THCState *state, THCTensor *self, THCTensor *src, int dimension_, int64_t size_, int64_t step_), ((THTensor *)self, (THTensor *)src, dimension_, size_, step_))
THC_FORWARD(void, unsqueeze1d, (THCState *state, THCTensor *self, THCTensor *src, int dimension_), ((THTensor *)self, (THTensor *)src, dimension_))
/* clang-format on */

THC_API int THCTensor_(checkGPU)(THCState *state, unsigned int nTensors, ...);
THC_API void THCTensor_(freeCopyTo)(THCState *state, THCTensor *self, THCTensor *dst);
THC_API real THCTensor_(get1d)(THCState *state, const THCTensor *tensor, int64_t x0);
THC_API real THCTensor_(get2d)(THCState *state, const THCTensor *tensor, int64_t x0, int64_t x1);
THC_API real THCTensor_(get3d)(THCState *state, const THCTensor *tensor, int64_t x0, int64_t x1,
    int64_t x2);
THC_API real THCTensor_(get4d)(THCState *state, const THCTensor *tensor, int64_t x0, int64_t x1,
    int64_t x2, int64_t x3);
THC_API int THCTensor_(getDevice)(THCState *state, const THCTensor *self);
THC_API THCTensor * THCTensor_(new)(THCState *state);
THC_API THCTensor * THCTensor_(newClone)(THCState *state, THCTensor *self);
THC_API THCTensor * THCTensor_(newContiguous)(THCState *state, THCTensor *tensor);
THC_API THCTensor * THCTensor_(newWithSize)(THCState *state, THLongStorage *size_, THLongStorage
    *stride_);
THC_API THCTensor * THCTensor_(newWithSize1d)(THCState *state, int64_t size0_);
THC_API THCTensor * THCTensor_(newWithSize2d)(THCState *state, int64_t size0_, int64_t size1_);
THC_API THCTensor * THCTensor_(newWithSize3d)(THCState *state, int64_t size0_, int64_t size1_,
    int64_t size2_);
THC_API THCTensor * THCTensor_(newWithSize4d)(THCState *state, int64_t size0_, int64_t size1_,
    int64_t size2_, int64_t size3_);
THC_API THCTensor * THCTensor_(newWithStorage)(THCState *state, THCStorage *storage_, ptrdiff_t
    storageOffset_, THLongStorage *size_, THLongStorage *stride_);
THC_API THCTensor * THCTensor_(newWithStorage1d)(THCState *state, THCStorage *storage_, ptrdiff_t
    storageOffset_, int64_t size0_, int64_t stride0_);
THC_API THCTensor * THCTensor_(newWithStorage2d)(THCState *state, THCStorage *storage_, ptrdiff_t
    storageOffset_, int64_t size0_, int64_t stride0_, int64_t size1_, int64_t stride1_);
THC_API THCTensor * THCTensor_(newWithStorage3d)(THCState *state, THCStorage *storage_, ptrdiff_t
    storageOffset_, int64_t size0_, int64_t stride0_, int64_t size1_, int64_t stride1_, int64_t
    size2_, int64_t stride2_);
THC_API THCTensor * THCTensor_(newWithStorage4d)(THCState *state, THCStorage *storage_, ptrdiff_t
    storageOffset_, int64_t size0_, int64_t stride0_, int64_t size1_, int64_t stride1_, int64_t
    size2_, int64_t stride2_, int64_t size3_, int64_t stride3_);
THC_API THCDescBuff THCTensor_(sizeDesc)(THCState *state, const THCTensor *tensor);
THC_API THCTensor *THCTensor_(newFoldBatchDim)(THCState *state, THCTensor *input);
THC_API ptrdiff_t THCTensor_(numel)(THCState *state, THCTensor *t);
THC_API void THCTensor_(set1d)(THCState *state, THCTensor *tensor, int64_t x0, real value);
THC_API void THCTensor_(set2d)(THCState *state, THCTensor *tensor, int64_t x0, int64_t x1, real
    value);
THC_API void THCTensor_(set3d)(THCState *state, THCTensor *tensor, int64_t x0, int64_t x1, int64_t
    x2, real value);
THC_API void THCTensor_(set4d)(THCState *state, THCTensor *tensor, int64_t x0, int64_t x1, int64_t
    x2, int64_t x3, real value);

#endif
