/* 16-bit floating point numbers: storage only; arithmetic goes through float. */
#ifndef TH_HALF_H
#define TH_HALF_H

#include "THGeneral.h"

#define TH_HALF_BITS_TO_LITERAL(n) \
  { n }
#define TH_HALF_ZERO 0x0U
#define TH_HALF_INF 0x7C00U

#if defined(__GNUC__)
#define __thalign__(n) __attribute__((aligned(n)))
#else
#define __thalign__(n)
#endif

typedef struct __thalign__(2) {
  unsigned short x;
} __THHalf;

typedef struct __thalign__(4) {
  unsigned int x;
} __THHalf2;

typedef __THHalf THHalf;
typedef __THHalf2 THHalf2;

TH_API void TH_float2halfbits(float *, unsigned short *);
TH_API void TH_halfbits2float(unsigned short *, float *);
TH_API THHalf TH_float2half(float);
TH_API float TH_half2float(THHalf);

#endif
