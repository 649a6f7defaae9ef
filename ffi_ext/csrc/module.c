/* The extension module ffi_ext._runtime: the function type and its wiring; the rest of the runtime
 * lies beside it. */
#define _GNU_SOURCE /* dl_iterate_phdr */
#include "frame.h"
#include "function.h"

#include <dlfcn.h>
#ifdef __linux__
#include <link.h>
#endif
#include <stdlib.h>
#include <string.h>
#include <structmember.h>

static PyTypeObject *function_type;

static void function_dealloc(PyObject *self) {
  ffi_function *f = (ffi_function *)self;
  PyTypeObject *type = Py_TYPE(self);
  free(f->parameters);
  free(f->constraints);
  Py_XDECREF(f->name);
  Py_XDECREF(f->module);
  Py_XDECREF(f->names);
  Py_XDECREF(f->state);
  Py_XDECREF(f->keepalive);
  freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
  release(self);
  Py_DECREF(type);
}

/* A builtin pickles as getattr(its __self__, its name): this makes its __self__ the generated
 * module, by import. */
static PyObject *function_reduce(PyObject *self, PyObject *unused) {
  (void)unused;
  PyObject *importlib = PyImport_ImportModule("importlib");
  PyObject *load = importlib ? PyObject_GetAttrString(importlib, "import_module") : NULL;
  PyObject *result = load ? Py_BuildValue("(O(O))", load, ((ffi_function *)self)->module) : NULL;
  Py_XDECREF(load);
  Py_XDECREF(importlib);
  return result;
}

static PyObject *function_doc(PyObject *self, void *closure) {
  (void)closure;
  const char *doc = ((ffi_function *)self)->entry->doc;
  const char *body = strstr(doc, "\n--\n\n");
  return PyUnicode_FromString(body ? body + 5 : doc);
}

static PyObject *function_codes(PyObject *self, void *closure) {
  (void)closure;
  const ffi_function *f = (ffi_function *)self;
  PyObject *codes = PyTuple_New(f->count + 1);
  for (int i = 0; codes && i <= f->count; i++) {
    const ffi_parameter *p = i ? &f->parameters[i - 1] : &f->result;
    int tensor = p->kind == FFI_TENSOR || p->kind == FFI_STORAGE;
    char code[3] = {p->code, tensor ? FFI_ELEMENT_CODES[p->type] : '\0', '\0'};
    ffi_tuple_set(&codes, i, PyUnicode_FromString(code));
  }
  return codes;
}

static PyObject *function_constraints(PyObject *self, void *closure) {
  (void)closure;
  const ffi_function *f = (ffi_function *)self;
  PyObject *texts = PyTuple_New(f->count);
  for (int i = 0; texts && i < f->count; i++) {
    const int place = f->parameters[i].constraint;
    const ffi_constraint *k = place < 0 ? NULL : &f->constraints[place];
    ffi_tuple_set(&texts, i, PyUnicode_FromStringAndSize(k ? k->text : "", k ? k->length : 0));
  }
  return texts;
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
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef function_members[] = {
    {"name", T_OBJECT, offsetof(ffi_function, name), READONLY, "Name in Python."},
    {"module", T_OBJECT, offsetof(ffi_function, module), READONLY, "Name of the generated module."},
    {"names", T_OBJECT, offsetof(ffi_function, names), READONLY, "The parameters' names."},
    {"state", T_OBJECT, offsetof(ffi_function, state), 0, "What ffi_ext.runtime keeps here."},
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

static PyObject *make_callable(const ffi_ext_module_table *table, const ffi_ext_function *entry,
                               const char *name, PyObject *module, PyObject *binary) {
  ffi_parameter result, parameters[FFI_MAX_ARGUMENTS];
  ffi_constraint constraints[FFI_MAX_ARGUMENTS];
  int constraint_count = 0;
  int count =
      ffi_parse_signature(entry->signature, &result, parameters, constraints, &constraint_count);
  if (count < 0) {
    return PyErr_Format(
        PyExc_ImportError,
        "%s: the signature \"%s\" has more than %d parameters or comes from another "
        "version of ffi_ext; build the extension again",
        entry->name, entry->signature, FFI_MAX_ARGUMENTS);
  }
  /* tp_alloc by PyObject_New's zeroing kin: the fields start empty, so that a failure half-way can
   * be released. */
  allocfunc allocate = (allocfunc)PyType_GetSlot(function_type, Py_tp_alloc);
  ffi_function *f = (ffi_function *)(allocate ? allocate : PyType_GenericAlloc)(function_type, 0);
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
  f->result = result;
  f->parameters = malloc((size_t)(count ? count : 1) * sizeof *parameters);
  if (constraint_count) f->constraints = malloc((size_t)constraint_count * sizeof *constraints);
  f->name = PyUnicode_FromString(name);
  f->names = names_of(entry->doc);
  Py_INCREF(module);
  f->module = module;
  Py_INCREF(binary);
  f->keepalive = binary;
  Py_INCREF(Py_None);
  f->state = Py_None;
  PyObject *callable = NULL;
  if (!f->parameters || (constraint_count && !f->constraints))
    PyErr_NoMemory();
  else if (f->name && f->names && PyTuple_Size(f->names) != count)
    PyErr_Format(PyExc_ImportError,
                 "%s: its documentation names %zd parameters, its signature %d; build it again",
                 entry->name, PyTuple_Size(f->names), count);
  else if (f->name && f->names) {
    memcpy(f->parameters, parameters, (size_t)count * sizeof *parameters);
    if (constraint_count)
      memcpy(f->constraints, constraints, (size_t)constraint_count * sizeof *constraints);
    f->method.ml_name = PyUnicode_AsUTF8AndSize(f->name, NULL);
    f->method.ml_meth = (PyCFunction)(void (*)(void))ffi_dispatch;
    f->method.ml_flags = METH_FASTCALL | METH_KEYWORDS;
    f->method.ml_doc = entry->doc;
    callable = PyCFunction_NewEx(&f->method, (PyObject *)f, module);
  }
  Py_DECREF(f);
  return callable;
}

static PyObject *bind(PyObject *unused, PyObject *args) {
  (void)unused;
  PyObject *path, *module, *binary, *rename;
  if (!PyArg_ParseTuple(args, "O&OOO", PyUnicode_FSConverter, &path, &module, &binary, &rename))
    return NULL;
  void *library = dlopen(PyBytes_AsString(path), RTLD_LAZY | RTLD_NOLOAD);
  const ffi_ext_module_table *table = library ? dlsym(library, "ffi_ext_table") : NULL;
  PyObject *functions = NULL;
  if (!table)
    functions = PyDict_New(); /* built without a table: Python wraps cffi's functions */
  else if (table->abi != FFI_EXT_ABI)
    PyErr_Format(PyExc_ImportError,
                 "%s was built for the interface %u of ffi_ext, this is %d: build it again",
                 PyBytes_AsString(path), table->abi, FFI_EXT_ABI);
  else
    functions = PyDict_New();
  for (uint32_t i = 0; functions && table && i < table->count; i++) {
    const ffi_ext_function *entry = &table->functions[i];
    PyObject *python_name = PyObject_CallFunction(rename, "s", entry->name);
    const char *name = python_name ? PyUnicode_AsUTF8AndSize(python_name, NULL) : NULL;
    PyObject *callable = name ? make_callable(table, entry, name, module, binary) : NULL;
    if (!callable || PyDict_SetItem(functions, python_name, callable)) Py_CLEAR(functions);
    Py_XDECREF(callable);
    Py_XDECREF(python_name);
  }
  Py_DECREF(path);
  return functions; /* the library stays open: its code and texts are in use */
}

static PyObject *configure(PyObject *unused, PyObject *hooks) {
  (void)unused;
  struct {
    const char *name;
    PyObject **where;
  } wanted[] = {
      {"tensor_type", &ffi_hook.tensor_type},
      {"parameter_type", &ffi_hook.parameter_type},
      {"native_error", &ffi_hook.native_error},
      {"from_numpy", &ffi_hook.from_numpy},
      {"adapt", &ffi_hook.adapt},
      {"convert", &ffi_hook.convert},
      {"allocate", &ffi_hook.allocate},
      {"result", &ffi_hook.result},
      {"refuse", &ffi_hook.refuse},
      {"array_type", &ffi_hook.array_type},
      {"cdata_type", &ffi_hook.cdata_type},
      {"ctype_type", &ffi_hook.ctype_type},
      {"cffi", &ffi_hook.cffi},
      {"null", &ffi_hook.null},
      {"pointer", &ffi_hook.pointer},
      {"address", &ffi_hook.address},
      {"arity", &ffi_hook.arity},
      {"unfit", &ffi_hook.unfit},
      {"maths", &ffi_hook.maths},
      {"cuda", &ffi_hook.cuda},
      {"adopt", &ffi_adopt_helper},
  };
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
    if (!(*wanted[i].where = PyMapping_GetItemString(hooks, wanted[i].name))) return NULL;
  Py_RETURN_NONE;
}

static PyObject *on_first_call(PyObject *unused, PyObject *setup) {
  (void)unused;
  Py_INCREF(setup);
  ffi_hook.setup = setup;
  Py_RETURN_NONE;
}

static PyObject *start(PyObject *unused, PyObject *nothing) {
  (void)unused;
  (void)nothing;
  __atomic_store_n(&ffi_ready, 1, __ATOMIC_RELEASE);
  Py_RETURN_NONE;
}

/* Chooses the tier: native when the libraries have what it needs and every probe agrees, else
 * Python. */
static PyObject *choose_tier(PyObject *unused, PyObject *args) {
  (void)unused;
  PyObject *libraries, *probes, *helpers;
  Py_ssize_t header;
  if (!PyArg_ParseTuple(args, "OOnO", &libraries, &probes, &header, &helpers)) return NULL;
  ffi_python_load(helpers, &ffi_torch);
  ffi_handle_offset = 0;
  if (PySequence_Size(probes) > 0 && !ffi_native_load(libraries, &ffi_torch) &&
      !ffi_fields_calibrate(probes, header)) {
    ffi_handle_offset = header;
  } else {
    PyErr_Clear();
    ffi_python_load(helpers, &ffi_torch);
  }
  return PyUnicode_FromString(ffi_torch->name);
}

/* For the verification at load: what the quick tier reads of a tensor, or None where it wants a
 * closer look. */
static PyObject *describe(PyObject *unused, PyObject *tensor) {
  (void)unused;
  ffi_view view;
  if (!ffi_handle_offset || ffi_fields_describe(tensor, &view) || view.type < 0) Py_RETURN_NONE;
  PyObject *size = PyTuple_New(view.ndim), *stride = PyTuple_New(view.ndim);
  for (int i = 0; size && stride && i < view.ndim; i++) {
    ffi_tuple_set(&size, i, PyLong_FromLongLong(view.size[i]));
    ffi_tuple_set(&stride, i, PyLong_FromLongLong(view.stride[i]));
  }
  return Py_BuildValue("(iNNLKKLii)", ffi_scalar_type[view.type], size, stride,
                       (long long)view.offset, (unsigned long long)(uintptr_t)view.identity,
                       (unsigned long long)(uintptr_t)view.storage_data,
                       (long long)view.storage_bytes, view.requires_grad, view.cuda);
}

static PyMethodDef module_methods[] = {
    {"bind", bind, METH_VARARGS,
     "bind(path, module, binary, rename): the functions in a loaded binary's table."},
    {"configure", configure, METH_O, "configure(hooks): what Python adds to the dispatcher."},
    {"on_first_call", on_first_call, METH_O,
     "on_first_call(setup): called before the first C function is."},
    {"start", start, METH_NOARGS, "start(): the tier is chosen, and calls may go through."},
    {"choose_tier", choose_tier, METH_VARARGS,
     "choose_tier(libraries, probes, header, helpers): the tier's name."},
    {"call_cffi", ffi_call_cffi, METH_VARARGS,
     "call_cffi(caller, target, args): a call through cffi's own function."},
    {"describe", describe, METH_O,
     "describe(tensor): the facts that the quick tier reads, or None."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    "ffi_ext._runtime",
    "The C half of ffi_ext.runtime.",
    -1,
    module_methods,
    NULL,
    NULL,
    NULL,
    NULL,
};

#ifdef __linux__
static int is_openmp(struct dl_phdr_info *library, size_t size, void *path) {
  (void)size;
  const char *name = strrchr(library->dlpi_name, '/');
  if (!name || strncmp(name, "/libgomp", 8)) return 0;
  *(char **)path = strdup(library->dlpi_name);
  return 1;
}
#endif

/* Sources of old are compiled with -fopenmp and linked without: they find OpenMP in the process,
 * where torch has it, but not always for all to see. */
static void show_openmp(void) {
#ifdef __linux__
  char *path = NULL;
  if (!dlsym(RTLD_DEFAULT, "omp_get_thread_num")) dl_iterate_phdr(is_openmp, &path);
  if (path) dlopen(path, RTLD_LAZY | RTLD_NOLOAD | RTLD_GLOBAL);
  free(path);
#endif
}

PyMODINIT_FUNC PyInit__runtime(void) {
  show_openmp();
  if (ffi_records_set_up() || ffi_frame_set_up()) return PyErr_NoMemory();
  PyObject *module = PyModule_Create(&definition);
  if (!module) return NULL;
  function_type = (PyTypeObject *)PyType_FromSpec(&function_spec);
  if (!function_type || PyModule_AddObjectRef(module, "Function", (PyObject *)function_type)) {
    Py_DECREF(module);
    return NULL;
  }
  return module;
}
