/* Atomic integers. */
#ifndef TH_ATOMIC_INC
#define TH_ATOMIC_INC

#include "THGeneral.h"

#define TH_ATOMIC_IPC_REFCOUNT 1

TH_API void THAtomicSet(int32_t volatile *a, int32_t newvalue);
TH_API int32_t THAtomicGet(int32_t volatile *a);
TH_API int32_t THAtomicAdd(int32_t volatile *a, int32_t value);
TH_API void THAtomicIncrementRef(int32_t volatile *a);
TH_API int32_t THAtomicDecrementRef(int32_t volatile *a);
TH_API int32_t THAtomicCompareAndSwap(int32_t volatile *a, int32_t oldvalue, int32_t newvalue);
TH_API void THAtomicSetLong(int64_t volatile *a, int64_t newvalue);
TH_API int64_t THAtomicGetLong(int64_t volatile *a);
TH_API int64_t THAtomicAddLong(int64_t volatile *a, int64_t value);
TH_API int64_t THAtomicCompareAndSwapLong(int64_t volatile *a, int64_t oldvalue, int64_t newvalue);
TH_API void THAtomicSetPtrdiff(ptrdiff_t volatile *a, ptrdiff_t newvalue);
TH_API ptrdiff_t THAtomicGetPtrdiff(ptrdiff_t volatile *a);
TH_API ptrdiff_t THAtomicAddPtrdiff(ptrdiff_t volatile *a, ptrdiff_t value);
TH_API ptrdiff_t THAtomicCompareAndSwapPtrdiff(ptrdiff_t volatile *a, ptrdiff_t oldvalue,
                                               ptrdiff_t newvalue);

#endif
