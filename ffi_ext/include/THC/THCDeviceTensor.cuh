/* THCDeviceTensor<T, Dim>: a view that kernels index, t[i][j]; toDeviceTensor makes it. */
#ifndef THC_DEVICE_TENSOR_INC
#define THC_DEVICE_TENSOR_INC

#include <assert.h> /* which kernels on it take for granted */

#include "THCGeneral.h"

template <typename T>
struct RestrictPtrTraits {
  typedef T *__restrict__ PtrType;
};
template <typename T>
struct DefaultPtrTraits {
  typedef T *PtrType;
};

template <typename T, int Dim, typename IndexT = int, template <typename U> class PtrTraits = DefaultPtrTraits>
class THCDeviceTensor {
 public:
  enum { NumDims = Dim };
  typedef T DataType;
  typedef IndexT IndexType;
  typedef typename PtrTraits<T>::PtrType DataPtrType;

  __host__ __device__ THCDeviceTensor() : data_(NULL) {}
  __host__ __device__ THCDeviceTensor(DataPtrType data, const IndexT *sizes, const IndexT *strides) : data_(data) {
    for (int i = 0; i < Dim; i++) {
      size_[i] = sizes[i];
      stride_[i] = strides[i];
    }
  }
  /* Of contiguous elements. */
  __host__ __device__ THCDeviceTensor(DataPtrType data, const IndexT *sizes) : data_(data) {
    IndexT stride = 1;
    for (int i = Dim - 1; i >= 0; i--) {
      size_[i] = sizes[i];
      stride_[i] = stride;
      stride *= sizes[i];
    }
  }
  __host__ __device__ __forceinline__ DataPtrType data() const { return data_; }
  __host__ __device__ __forceinline__ IndexT getSize(int i) const { return size_[i]; }
  __host__ __device__ __forceinline__ IndexT getStride(int i) const { return stride_[i]; }
  __host__ __device__ IndexT numElements() const {
    IndexT n = 1;
    for (int i = 0; i < Dim; i++) n *= size_[i];
    return n;
  }
  __host__ __device__ bool isContiguous() const {
    IndexT expected = 1;
    for (int i = Dim - 1; i >= 0; i--) {
      if (size_[i] != 1 && stride_[i] != expected) return false;
      expected *= size_[i];
    }
    return true;
  }
  /* Whether dimension i goes on where dimension i + 1 ends. */
  __host__ __device__ bool isContiguousDim(int i) const {
    return i == Dim - 1 || size_[i] == 1 || stride_[i] == stride_[i + 1] * size_[i + 1];
  }

  /* The same elements with more dimensions, of size 1, before the first or behind the last ... */
  template <int NewDim>
  THCDeviceTensor<T, NewDim, IndexT, PtrTraits> upcastOuter() const {
    return upcast<NewDim>(NewDim - Dim, size_[0] * stride_[0]);
  }
  template <int NewDim>
  THCDeviceTensor<T, NewDim, IndexT, PtrTraits> upcastInner() const {
    return upcast<NewDim>(0, 1);
  }
  /* ... or with fewer: the first or the last ones become one. */
  template <int NewDim>
  THCDeviceTensor<T, NewDim, IndexT, PtrTraits> downcastOuter() const {
    return downcast<NewDim>(0);
  }
  template <int NewDim>
  THCDeviceTensor<T, NewDim, IndexT, PtrTraits> downcastInner() const {
    return downcast<NewDim>(NewDim - 1);
  }

  /* What t[i] is: a place among the remaining dimensions, or the element. */
  template <int Left, typename Unused = void>
  struct Sub {
    const THCDeviceTensor &t;
    DataPtrType at;
    __device__ __forceinline__ Sub(const THCDeviceTensor &t, DataPtrType at) : t(t), at(at) {}
    __device__ __forceinline__ Sub<Left - 1> operator[](IndexT i) const {
      return Sub<Left - 1>(t, at + i * t.stride_[Dim - Left]);
    }
    __device__ __forceinline__ DataPtrType data() const { return at; }
  };
  template <typename Unused>
  struct Sub<0, Unused> {
    DataPtrType at;
    __device__ __forceinline__ Sub(const THCDeviceTensor &, DataPtrType at) : at(at) {}
    __device__ __forceinline__ operator T &() const { return *at; }
    __device__ __forceinline__ T &operator=(const T &value) const { return *at = value; }
    __device__ __forceinline__ T &operator=(const Sub &other) const { return *at = *other.at; }
    __device__ __forceinline__ DataPtrType operator&() const { return at; }
    __device__ __forceinline__ DataPtrType data() const { return at; }
    __device__ __forceinline__ T ldg() const { return __ldg(at); }
  };
  __device__ __forceinline__ Sub<Dim - 1> operator[](IndexT i) const {
    return Sub<Dim - 1>(*this, data_ + i * stride_[0]);
  }

 private:
  /* Dimension 0 becomes `first`; the new ones have this stride. */
  template <int NewDim>
  THCDeviceTensor<T, NewDim, IndexT, PtrTraits> upcast(int first, IndexT stride) const {
    static_assert(NewDim > Dim, "an upcast gives more dimensions");
    IndexT sizes[NewDim], strides[NewDim];
    for (int i = 0; i < NewDim; i++) {
      const bool known = i >= first && i < first + Dim;
      sizes[i] = known ? size_[i - first] : 1;
      strides[i] = known ? stride_[i - first] : stride;
    }
    return THCDeviceTensor<T, NewDim, IndexT, PtrTraits>(data_, sizes, strides);
  }
  /* Dimension `merged` and those behind it, as many as are too many, become one. */
  template <int NewDim>
  THCDeviceTensor<T, NewDim, IndexT, PtrTraits> downcast(int merged) const {
    static_assert(NewDim >= 1 && NewDim < Dim, "a downcast gives fewer dimensions");
    const int last = merged + Dim - NewDim;
    IndexT sizes[NewDim], strides[NewDim];
    for (int i = 0; i < NewDim; i++) {
      sizes[i] = size_[i <= merged ? i : i + Dim - NewDim];
      strides[i] = stride_[i < merged ? i : i + Dim - NewDim];
    }
    for (int i = merged; i < last; i++) {
      if (!isContiguousDim(i))
        THError("dimensions %d to %d cannot become one: their elements do not lie side by side", merged, last);
      sizes[merged] *= size_[i + 1];
    }
    return THCDeviceTensor<T, NewDim, IndexT, PtrTraits>(data_, sizes, strides);
  }

  DataPtrType data_;
  IndexT size_[Dim];
  IndexT stride_[Dim];
};

#endif
