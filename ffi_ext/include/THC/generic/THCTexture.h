/* THCuda<Type>Tensor_getTextureObject, by the toolkit that compiles the source. */
#ifndef THC_GENERIC_FILE
#define THC_GENERIC_FILE "generic/THCTexture.h"
#else

/* The elements as a linear texture, which the caller destroys. Types of 8 bytes, which no texture
 * has, are read as pairs of 4. */
static inline cudaTextureObject_t THCTensor_(getTextureObject)(THCState *state, THCTensor *self) {
  struct cudaResourceDesc memory;
  struct cudaTextureDesc how;
  cudaTextureObject_t texture = 0;
  const int bits = sizeof(real) < 4 ? (int)sizeof(real) * 8 : 32;
  memset(&memory, 0, sizeof memory);
  memset(&how, 0, sizeof how);
  memory.resType = cudaResourceTypeLinear;
  memory.res.linear.devPtr = THCTensor_(data)(state, self);
  memory.res.linear.sizeInBytes = (size_t)THCTensor_(nElement)(state, self) * sizeof(real);
#if defined(THC_REAL_IS_FLOAT) || defined(THC_REAL_IS_HALF)
  memory.res.linear.desc.f = cudaChannelFormatKindFloat;
#elif defined(THC_REAL_IS_BYTE)
  memory.res.linear.desc.f = cudaChannelFormatKindUnsigned;
#else
  memory.res.linear.desc.f = cudaChannelFormatKindSigned;
#endif
  memory.res.linear.desc.x = bits;
  memory.res.linear.desc.y = sizeof(real) > 4 ? bits : 0;
  how.readMode = cudaReadModeElementType;
  THCudaCheck(cudaCreateTextureObject(&texture, &memory, &how, NULL));
  return texture;
}

#endif
