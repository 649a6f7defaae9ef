/* Copies of elements in order, between any two element types. */
#ifndef TH_GENERIC_FILE
#define TH_GENERIC_FILE "generic/th_copy.c"
#else

void THTensor_(copy)(THTensor *tensor, THTensor *src) {
  if (tensor == src) return;
  const ptrdiff_t n = THTensor_(nElement)(src);
  if (n && THTensor_(nElement)(tensor) == n && THTensor_(isContiguous)(tensor) &&
      THTensor_(isContiguous)(src)) {
    memmove(THTensor_(data)(tensor), THTensor_(data)(src), (size_t)n * sizeof(real));
    return;
  }
  TH_TENSOR_APPLY2(real, tensor, real, src, *tensor_data = *src_data;);
}

#ifdef TH_REAL_IS_HALF
#define TO_REAL(value) TH_float2half((float)(value))
#else
#ifdef TH_REAL_IS_BYTE /* -1.0 is 255, as in torch; straight to an unsigned type it is 0 on ARM */
#define TO_REAL(value) ((real)(int32_t)(value))
#else
#define TO_REAL(value) ((real)(value))
#endif
void THTensor_(zero)(THTensor *self) { THTensor_(fill)(self, 0); }
#endif

#define COPY(FROM, TYPE, CONVERT)                                                                \
  void THTensor_(copy##FROM)(THTensor * tensor, struct TH##FROM##Tensor * src) {                 \
    TH_TENSOR_APPLY2(real, tensor, TYPE, src, *tensor_data = TO_REAL(CONVERT(*src_data)););      \
  }                                                                                              \
  void THStorage_(copy##FROM)(THStorage * storage, struct TH##FROM##Storage * src) {             \
    THArgCheck(storage->size == src->size, 2, "size mismatch");                                  \
    for (ptrdiff_t i = 0; i < src->size; i++) storage->data[i] = TO_REAL(CONVERT(src->data[i])); \
  }
COPY(Float, float, )
COPY(Double, double, )
COPY(Byte, uint8_t, )
COPY(Char, int8_t, )
COPY(Short, int16_t, )
COPY(Int, int32_t, )
COPY(Long, int64_t, )
COPY(Half, THHalf, TH_half2float)
#undef TO_REAL

#endif
