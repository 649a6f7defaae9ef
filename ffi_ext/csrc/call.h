/* A call under way, and the steps that dispatch.c and cffi_call.c share. */
#ifndef FFI_EXT_CALL_H
#define FFI_EXT_CALL_H

#include "frame.h"
#include "function.h"
#include "guard.h"

#define VIEW_DIMS 8 /* for whose sizes and strides a call has room */

/* A call under way: what must be released when it ends. */
typedef struct ffi_call {
  ffi_function *function;
  const ffi_constraint *constraints; /* the function's, or NULL */
  int compares;                      /* tensors are compared with them */
  ffi_frame frame;
  int cuda; /* of the CUDA tensors among the arguments: the GPU's index + 1 */
  int kept;
  /* References of ours beside the caller's: three an argument, and the result's. */
  PyObject *keep[3 * FFI_EXT_MAX_ARGUMENTS + 1];
  ffi_ext_slot slots[FFI_EXT_MAX_ARGUMENTS + 1];
  int written; /* handles of ffi_ext_tensor arguments that autograd must hear of */
  void *bump[FFI_EXT_MAX_ARGUMENTS];
  /* Of functions with ffi_ext_tensor parameters or constraints: */
  ffi_ext_tensor arrays[FFI_EXT_MAX_ARGUMENTS];
  int64_t geometry[FFI_EXT_MAX_ARGUMENTS][2 * VIEW_DIMS];
  ffi_sizes sizes;
  ffi_seen seen[FFI_EXT_MAX_ARGUMENTS];
} ffi_call;

static inline void ffi_call_begin(ffi_call *c, ffi_function *function,
                                  const ffi_constraint *constraints) {
  c->function = function;
  c->constraints = constraints;
  c->compares = constraints && function->compares;
  c->frame.count = 0;
  c->frame.keys = c->frame.identities = 0;
  c->cuda = c->kept = c->written = 0;
  c->sizes.known = 0;
}

/* How often C may call Python that calls C: a call takes some 30 kB of a stack of 8 MB, which
 * Python's own limit does not know of. */
#define FFI_DEEPEST 100

/* dispatch.c: before anything else; -1 with an exception. */
int ffi_set_up(void);
/* dispatch.c: the current GPU during a call is that of the CUDA tensors among the arguments,
 * as torch's own functions have it. -1 with an exception. `*before`: the GPU to go back to, as an
 * index + 1; 0 when nothing changed. */
int ffi_enter_device(const ffi_call *c, int *before);
void ffi_leave_device(int before);
/* The end of a call, with its result or with the error that is set: that one comes before any that
 * the end itself meets, which may have to run Python. */
PyObject *ffi_call_finish(ffi_call *c, PyObject *result);

/* arguments.c: args[index] to slots[index + 1]. 0, or -1 with an exception. */
int ffi_take_argument(ffi_call *c, int index, PyObject *const *args);
int ffi_take_tensor(ffi_call *c, int index, PyObject *const *args, const ffi_parameter *p,
                    ffi_ext_slot *slot);
/* The address that a hook gave, with what keeps it alive: that is the call's from now on. 0, or -1
 * with an exception, the hook's among them. */
int ffi_take_pair(ffi_call *c, PyObject *pair, ffi_ext_slot *slot);

/* cffi_values.c: a pointer (from cdata, a list or a tuple) or a struct by value, as its address. 0,
 * -1 with an exception, or 1: Python has to convert it, or to say what is wrong. */
int ffi_take_cffi(ffi_call *c, int index, PyObject *value, void **out);
/* cffi_values.c: torch's number of the elements that a pointer parameter points to, and how many
 * bytes of them there must be. FFI_ANY_ELEMENT: any; -1: Python knows. */
int ffi_element_of(const ffi_function *function, int place, Py_ssize_t *bytes);
/* cffi_values.c: memory for a result by value; -1 without an exception when Python has to make it.
 */
int ffi_struct_room(ffi_call *c);
/* cffi_values.c: a result that is a pointer, or a struct at this address; NULL without an exception
 * when Python has to make it. */
PyObject *ffi_cffi_result(const ffi_function *function, void *pointer);

/* numpy_view.c: once, when the runtime is loaded; -1 with an exception. */
int ffi_numpy_set_up(void);
/* 0, or -1 without an exception: it is no array, or one that wants a closer look. The
 * view has no tensor's fields. */
int ffi_numpy_describe(PyObject *value, int writable, ffi_view *view);

/* dispatch.c: a returned TH*Tensor * or TH*Storage *, taking over the reference; None for NULL. */
PyObject *ffi_record_result(ffi_call *c, int kind, void *record);

/* signature.c: one code. 0, or -1: it is unknown. */
int ffi_parse_code(const char **at, ffi_parameter *p);

#endif
