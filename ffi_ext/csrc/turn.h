/* Without the GIL: one thread at a time begins, ends and returns what C has kept.
 *
 * Two calls may meet the same record only where C kept it. What C does with it is C's business;
 * that they renew, register or write it back is the runtime's, and counts on the GIL. A
 * free-threaded Python has critical sections in its place, which mean the same: whoever waits
 * there, or runs Python code that waits, lets the others in. Sections of one thread may lie within
 * each other. */
#ifndef FFI_EXT_TURN_H
#define FFI_EXT_TURN_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#ifdef Py_GIL_DISABLED

extern PyObject *ffi_turn_object; /* module.c */

typedef struct ffi_turn {
  PyCriticalSection section;
  int taken;
} ffi_turn;

static inline void ffi_turn_begin(ffi_turn *turn, int needed) {
  turn->taken = needed;
  if (needed) PyCriticalSection_Begin(&turn->section, ffi_turn_object);
}
static inline void ffi_turn_end(ffi_turn *turn) {
  if (turn->taken) PyCriticalSection_End(&turn->section);
}

#else

typedef char ffi_turn;
#define ffi_turn_begin(turn, needed) ((void)(turn)) /* nobody asks whether it is needed */
#define ffi_turn_end(turn) ((void)(turn))

#endif
#endif
