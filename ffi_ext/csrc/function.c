/* The function object of a generated module: made of an entry of a binary's table, seen by Python.
 */
#define _GNU_SOURCE /* dladdr */
#include "function.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <structmember.h>

#include "torch_bridge.h"

static PyTypeObject *function_type;

static void function_dealloc(PyObject *self) {
  ffi_function *f = (ffi_function *)self;
  PyTypeObject *type = Py_TYPE(self);
  free(f->parameters);
  free(f->constraints);
  Py_XDECREF(f->name);
  Py_XDECREF(f->module);
  Py_XDECREF(f->names);
  Py_XDECREF(f->origin);
  Py_XDECREF(f->types);
  Py_XDECREF(f->keepalive);
  PyObject_Free(self);
  Py_DECREF(type);
}

/* A builtin pickles as getattr(its __self__, its name): this makes its __self__ the generated
 * module, by import. */
static PyObject *function_reduce(PyObject *self, PyObject *unused) {
  PyObject *importlib = PyImport_ImportModule("importlib");
  PyObject *load = importlib ? PyObject_GetAttrString(importlib, "import_module") : NULL;
  PyObject *result = load ? Py_BuildValue("(O(O))", load, ((ffi_function *)self)->module) : NULL;
  Py_XDECREF(load);
  Py_XDECREF(importlib);
  return result;
}

static PyObject *function_doc(PyObject *self, void *closure) {
  const char *doc = ((ffi_function *)self)->entry->doc;
  const char *body = strstr(doc, "\n--\n\n");
  return PyUnicode_FromString(body ? body + 5 : doc);
}

static PyObject *function_codes(PyObject *self, void *closure) {
  const ffi_function *f = (ffi_function *)self;
  PyObject *codes = PyTuple_New(f->count + 1);
  for (int i = 0; codes && i <= f->count; i++) {
    const ffi_parameter *p = i ? &f->parameters[i - 1] : &f->result;
    int tensor = p->kind == FFI_TENSOR || p->kind == FFI_STORAGE;
    char code[3] = {p->code, tensor ? ffi_type_letters[p->type] : '\0', '\0'};
    ffi_tuple_set(&codes, i, PyUnicode_FromString(code));
  }
  return codes;
}

static PyObject *function_constraints(PyObject *self, void *closure) {
  const ffi_function *f = (ffi_function *)self;
  PyObject *texts = PyTuple_New(f->count);
  for (int i = 0; texts && i < f->count; i++) {
    const int place = f->parameters[i].constraint;
    const ffi_constraint *k = place < 0 ? NULL : &f->constraints[place];
    ffi_tuple_set(&texts, i, PyUnicode_FromStringAndSize(k ? k->text : "", k ? k->length : 0));
  }
  return texts;
}

static PyObject *function_types(PyObject *self, void *closure) {
  return Py_NewRef(__atomic_load_n(&((ffi_function *)self)->types, __ATOMIC_ACQUIRE));
}

static int is_tuple_of(PyObject *value, Py_ssize_t size) {
  return PyTuple_Check(value) && PyTuple_Size(value) == size;
}

/* Calls in other threads may be looking at what was set: it stays. */
static int function_set_types(PyObject *self, PyObject *types, void *closure) {
  const int count = ((ffi_function *)self)->count + 1; /* with the result */
  int fits = types && is_tuple_of(types, FFI_TYPE_FACTS);
  for (int i = 0; fits && i < FFI_TYPE_FACTS; i++)
    fits = is_tuple_of(PyTuple_GetItem(types, i), count);
  if (!fits) {
    PyErr_BadArgument();
    return -1;
  }
  PyObject *none = Py_None;
  Py_INCREF(types);
  const int is_first = __atomic_compare_exchange_n(&((ffi_function *)self)->types, &none, types, 0,
                                                   __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
  Py_DECREF(is_first ? Py_None : types);
  return 0;
}

static PyMethodDef function_methods[] = {
    {"__reduce__", function_reduce, METH_NOARGS, "Pickles as the module that holds the function."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef function_getset[] = {
    {"doc", function_doc, NULL, "The prototype and the header's comment.", NULL},
    {"codes", function_codes, NULL,
     "Signature codes (ffi_ext/types.py): the result's, then each parameter's.", NULL},
    {"constraints", function_constraints, NULL,
     "Constraints (ffi_ext/constraints.py) of the parameters; \"\" where there is none.", NULL},
    {"types", function_types, function_set_types,
     "What ffi_ext.calls.cffi_values found of cffi's types, or None: the first that it is set to.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef function_members[] = {
    {"name", T_OBJECT, offsetof(ffi_function, name), READONLY, "Name in Python."},
    {"module", T_OBJECT, offsetof(ffi_function, module), READONLY, "Name of the generated module."},
    {"names", T_OBJECT, offsetof(ffi_function, names), READONLY, "The parameters' names."},
    {"origin", T_OBJECT, offsetof(ffi_function, origin), 0, "What ffi_ext.runtime keeps here."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot function_slots[] = {
    {Py_tp_doc, "A C function of a generated module; the callable's __self__."},
    {Py_tp_dealloc, function_dealloc},
    {Py_tp_methods, function_methods},
    {Py_tp_getset, function_getset},
    {Py_tp_members, function_members},
    {0, NULL},
};

static PyType_Spec function_spec = {
    "ffi_ext._runtime.Function",
    sizeof(ffi_function),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    function_slots,
};

/* "name(a, b)\n--\n\n...": the names between the parentheses. */
static PyObject *names_of(const char *doc) {
  const char *open = strchr(doc, '('), *close = open ? strstr(open, ")\n--") : NULL;
  if (!close) return PyTuple_New(0);
  PyObject *text = PyUnicode_FromStringAndSize(open + 1, close - open - 1);
  PyObject *separator = PyUnicode_FromString(", ");
  PyObject *list = text && close > open + 1 ? PyUnicode_Split(text, separator, -1) : PyList_New(0);
  PyObject *names = list ? PyList_AsTuple(list) : NULL;
  Py_XDECREF(text);
  Py_XDECREF(separator);
  Py_XDECREF(list);
  return names;
}

/* Tensors and storages after everything else: see run() in dispatch.c. */
static void set_order(ffi_function *f, const ffi_parameter *parameters) {
  int filled = 0;
  for (int tensors = 0; tensors < 2; tensors++)
    for (int i = 0; i < f->count; i++) {
      const int kind = parameters[i].kind;
      const int tensor = kind == FFI_TENSOR || kind == FFI_STORAGE || kind == FFI_ARRAY;
      if (tensor == tensors) f->order[filled++] = (unsigned char)i;
    }
}

/* Whether the CUDA runtime is in the binary, as the static one is, or in a library that it is
 * linked with: torch's own, which all can see, holds torch's errors. */
static int has_cuda_runtime(const ffi_ext_module_table *table) {
  Dl_info place, of_runtime;
  if (!table->cuda_error || !dladdr(table, &place)) return 0;
  if (dladdr((void *)table->cuda_error, &of_runtime) && of_runtime.dli_fbase == place.dli_fbase)
    return 1;
  void *binary = dlopen(place.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
  const int found = binary && dlsym(binary, "cudaGetLastError");
  if (binary) dlclose(binary);
  return found;
}

static void *copied(const void *items, size_t bytes) {
  void *copy = malloc(bytes + 1); /* of none, too */
  return copy ? memcpy(copy, items, bytes) : NULL;
}

PyObject *ffi_function_callable(const ffi_ext_module_table *table, const ffi_ext_function *entry,
                                const char *name, PyObject *module, PyObject *binary) {
  ffi_parameter result, parameters[FFI_EXT_MAX_ARGUMENTS];
  ffi_constraint constraints[FFI_EXT_MAX_ARGUMENTS];
  int constraint_count = 0;
  int count =
      ffi_parse_signature(entry->signature, &result, parameters, constraints, &constraint_count);
  if (count < 0) {
    return PyErr_Format(
        PyExc_ImportError,
        "%s: the signature \"%s\" has more than %d parameters or comes from another "
        "version of ffi_ext; build the extension again",
        entry->name, entry->signature, FFI_EXT_MAX_ARGUMENTS);
  }
  /* Its fields start empty, so that a failure half-way can be released. */
  ffi_function *f = (ffi_function *)PyType_GenericAlloc(function_type, 0);
  if (!f) return NULL;
  f->entry = entry;
  f->table = table;
  f->count = count;
  set_order(f, parameters);
  for (int i = 0; i < count; i++) f->has_cuda |= (char)parameters[i].cuda;
  for (int i = 0; i < constraint_count; i++) {
    f->has_cuda |= (constraints[i].devices & FFI_ON_CUDA) != 0;
    f->compares |= (char)ffi_constraint_compares(&constraints[i]);
  }
  f->launches = (f->has_cuda || result.cuda) && has_cuda_runtime(table);
  f->result = result;
  f->parameters = copied(parameters, (size_t)count * sizeof *parameters);
  f->constraints = copied(constraints, (size_t)constraint_count * sizeof *constraints);
  f->name = PyUnicode_FromString(name);
  f->names = names_of(entry->doc);
  f->module = Py_NewRef(module);
  f->keepalive = Py_NewRef(binary);
  f->origin = Py_NewRef(Py_None);
  f->types = Py_NewRef(Py_None);
  PyObject *callable = NULL;
  if (!f->parameters || !f->constraints)
    PyErr_NoMemory();
  else if (f->name && f->names && PyTuple_Size(f->names) != count)
    PyErr_Format(PyExc_ImportError,
                 "%s: its documentation names %zd parameters, its signature %d; build it again",
                 entry->name, PyTuple_Size(f->names), count);
  else if (f->name && f->names) {
    f->method.ml_name = PyUnicode_AsUTF8AndSize(f->name, NULL);
    f->method.ml_meth = (PyCFunction)(void (*)(void))ffi_dispatch;
    f->method.ml_flags = METH_FASTCALL | METH_KEYWORDS;
    f->method.ml_doc = entry->doc;
    callable = PyCFunction_NewEx(&f->method, (PyObject *)f, module);
#if defined(Py_GIL_DISABLED) && PY_VERSION_HEX >= 0x030E0000
    /* Threads that call it need not agree on how many references it has, each time. */
    if (callable) PyUnstable_Object_EnableDeferredRefcount(callable);
#endif
  }
  Py_DECREF(f);
  return callable;
}

PyObject *ffi_function_type(void) {
  function_type = (PyTypeObject *)PyType_FromSpec(&function_spec);
  return (PyObject *)function_type;
}
