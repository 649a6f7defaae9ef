/* The function object of a generated module: one C function, its signature and how Python calls it.
 */
#ifndef FFI_EXT_FUNCTION_H
#define FFI_EXT_FUNCTION_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "constraints.h"
#include "ffi_ext/abi.h"

enum ffi_kind {
  FFI_VOID,
  FFI_BOOL,
  FFI_SIGNED,
  FFI_UNSIGNED,
  FFI_FLOATING,
  FFI_DOUBLED,
  FFI_STRING,
  FFI_TENSOR,
  FFI_STORAGE,
  FFI_ARRAY,     /* ffi_ext_tensor */
  FFI_MEMORY,    /* a pointer to elements: a tensor's, an array's, or as cffi converts */
  FFI_CONVERTED, /* cffi converts: pointers, structs by value, char ... */
};

#define FFI_ANY_ELEMENT 255 /* behind `void *`; ANY_ELEMENT in ffi_ext/calls/cffi_values.py */

typedef struct ffi_parameter {
  unsigned char kind;
  unsigned char bits;     /* of an integer */
  unsigned char type;     /* element type of a tensor or storage */
  unsigned char writable; /* not const */
  unsigned char cuda;
  char code;
  short constraint; /* its place among the function's, or -1 */
} ffi_parameter;

/* What `types` has of the result and of each parameter. */
enum { FFI_C_TYPE, FFI_NUMBER, FFI_ELEMENT, FFI_BYTES, FFI_TYPE_FACTS };

typedef struct ffi_function {
  PyObject_HEAD PyMethodDef method;
  const ffi_ext_function *entry;
  const ffi_ext_module_table *table;
  int count;
  unsigned char order[FFI_EXT_MAX_ARGUMENTS]; /* in which arguments are converted */
  char has_cuda;                              /* a parameter is a CUDA tensor or storage */
  char launches; /* takes or returns a GPU's memory, and the binary has a CUDA runtime */
  char compares; /* constraints say more of tensors than `optional` */
  ffi_parameter result;
  ffi_parameter *parameters;
  ffi_constraint *constraints;
  PyObject *name, *module, *names; /* names: a tuple of str */
  PyObject *origin;                /* Python's: (ffi, lib, C's name) */
  PyObject *types;     /* atomic; tuples as cffi_values.types_of has them, or None before */
  PyObject *keepalive; /* the binary */
} ffi_function;

/* signature.c: splits a signature into its codes and constraints, of which there is room for
 * FFI_EXT_MAX_ARGUMENTS each. Returns the number of parameters, or -1 when something is unknown. */
int ffi_parse_signature(const char *signature, ffi_parameter *result, ffi_parameter *parameters,
                        ffi_constraint *constraints, int *constraint_count);

/* function.c: the type, made once (new reference; kept here, too). */
PyObject *ffi_function_type(void);
/* function.c: the builtin over an entry of a binary's table (new reference). `module`: the
 * generated module's name; `binary` is kept alive. */
PyObject *ffi_function_callable(const ffi_ext_module_table *table, const ffi_ext_function *entry,
                                const char *name, PyObject *module, PyObject *binary);

/* METH_FASTCALL | METH_KEYWORDS; `self` is the ffi_function. */
PyObject *ffi_dispatch(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);

/* (caller, lib.f, args): a call through cffi, see cffi_call.c. */
PyObject *ffi_call_cffi(PyObject *self, PyObject *arguments);

/* What Python adds: error texts, unusual arguments, cffi's conversions, by the names that
 * ffi_ext/runtime.py gives them. */
/* clang-format off */
#define FFI_HOOKS(HOOK)                                                                            \
  HOOK(tensor_type) HOOK(parameter_type) HOOK(array_type) HOOK(cdata_type) HOOK(ctype_type)        \
  HOOK(cffi)      /* the capsule of the functions that cffi exports */                             \
  HOOK(null)      /* the NULL of every generated module's _ffi */                                  \
  HOOK(native_error)                                                                               \
  HOOK(from_numpy)                                                                                 \
  HOOK(adapt)     /* (function, index, value) -> (tensor, facts), or raises */                     \
  HOOK(types)     /* (function): finds its `types` */                                              \
  HOOK(convert)   /* (function, index, value) -> (address, what keeps it alive), or raises */      \
  HOOK(allocate)  /* (function) -> (address, object): memory for a result by value */              \
  HOOK(result)    /* (function, address) -> object: a pointer, storage or value result */          \
  HOOK(refuse)    /* (function, index, value, exception type): raises for a bad argument */        \
  HOOK(unfit)     /* (function, arguments up to the one that does not fit): raises */              \
  HOOK(pointer)   /* (function, index, address) -> cdata of the parameter's type */                \
  HOOK(address)   /* (function, cdata) -> int */                                                   \
  HOOK(arity)     /* (function, positional count, keyword names or None): raises */                \
  HOOK(create)    /* (scalar type, CUDA device + 1, elements) -> (tensor, StorageImpl, data) */    \
  HOOK(grow)      /* (tensor, bytes) -> the same */                                                \
  HOOK(assign)    /* (tensor, owner, offset, size, stride): gives it the owner's storage, so */    \
  HOOK(make)      /* ((scalar type, CUDA device + 1), owner, offset, size, stride) -> tensor */    \
  HOOK(alias)     /* (tensor) -> an empty one on the same storage */                               \
  HOOK(bump_version) /* (tensor, always) */                                                        \
  HOOK(adopt)     /* (address, bytes, scalar type, CUDA device + 1, owner) -> tensor on it */      \
  HOOK(cuda)      /* (name, number) -> int: what torch.cuda knows */                               \
  HOOK(maths)     /* (name, arguments, CUDA device + 1) -> tuple of tensors: TH's, by torch */
/* clang-format on */
#define FFI_HOOK_FIELD(NAME) PyObject *NAME;
typedef struct ffi_hooks {
  PyObject *setup; /* fills in the rest when the first call needs it */
  FFI_HOOKS(FFI_HOOK_FIELD)
} ffi_hooks;
extern ffi_hooks ffi_hook;

/* What a value is: a tensor of torch's own type or Parameter, any tensor, a NumPy array, cffi's. */
static inline int ffi_is_of(PyObject *value, PyObject *type) {
  return PyType_IsSubtype(Py_TYPE(value), (PyTypeObject *)type);
}

static inline int ffi_is_plain_tensor(PyObject *value) {
  PyObject *type = (PyObject *)Py_TYPE(value);
  return type == ffi_hook.tensor_type || type == ffi_hook.parameter_type;
}

static inline int ffi_is_tensor(PyObject *value) {
  return ffi_is_plain_tensor(value) || ffi_is_of(value, ffi_hook.tensor_type);
}

static inline int ffi_is_array(PyObject *value) { return ffi_is_of(value, ffi_hook.array_type); }

static inline int ffi_is_cdata(PyObject *value) { return ffi_is_of(value, ffi_hook.cdata_type); }
/* Whether the first call's set-up has ended: set last, since calls of other threads look at it. */
extern int ffi_ready;

#endif
