/* guard.cpp's interface: calls that turn C++ exceptions into return values. */
#ifndef FFI_EXT_GUARD_H
#define FFI_EXT_GUARD_H

#include <stddef.h>

#include "record.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FFI_TEXT_ROOM 512
#define FFI_TH_TEXT 2048                             /* what TH formats of an error */
#define FFI_ERROR_ROOM (FFI_TH_TEXT + FFI_TEXT_ROOM) /* with its place */

/* Calls a trampoline. Returns 0, or 1 with the text (at most FFI_ERROR_ROOM bytes) of the exception
 * that left it. */
int ffi_guard_call(const ffi_ext_module_table *table, void (*call)(ffi_ext_slot *),
                   ffi_ext_slot *slots, char *text);

/* How many calls of this thread wait for their C functions: C may call Python, which calls C. */
int ffi_calls_under_way(void);

/* An address that stands for this thread. */
void *ffi_this_thread(void);

/* Runs `function`; an exception makes -1 and its text (at most FFI_TEXT_ROOM bytes). */
int ffi_try(void (*function)(void *), void *argument, char *text);

#ifdef __cplusplus
}
#endif
#endif
