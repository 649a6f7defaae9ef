/* A value of each thread's own, NULL at first. */
#ifndef THC_THREAD_LOCAL_INC
#define THC_THREAD_LOCAL_INC

#include <pthread.h>

#include "THCGeneral.h"

typedef pthread_key_t *THCThreadLocal;

THC_API THCThreadLocal THCThreadLocal_alloc(void);
THC_API void THCThreadLocal_free(THCThreadLocal local);
THC_API void *THCThreadLocal_get(THCThreadLocal local);
THC_API void THCThreadLocal_set(THCThreadLocal local, void *value);

#endif
