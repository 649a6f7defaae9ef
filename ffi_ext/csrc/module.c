/* The extension module ffi_ext._runtime: what ffi_ext/runtime.py calls. */
#define _GNU_SOURCE /* dl_iterate_phdr */
#include "call.h"
#include "kept.h"
#include "turn.h"

#include <dlfcn.h>
#ifdef __linux__
#include <link.h>
#endif
#include <stdlib.h>
#include <string.h>

Py_ssize_t ffi_handle_offset;
const ffi_operations *ffi_torch;
#ifdef Py_GIL_DISABLED
PyObject *ffi_turn_object;
#endif

static PyObject *bind(PyObject *unused, PyObject *args) {
  PyObject *path, *module, *binary, *rename;
  if (!PyArg_ParseTuple(args, "O&OOO", PyUnicode_FSConverter, &path, &module, &binary, &rename))
    return NULL;
  void *library = dlopen(PyBytes_AsString(path), RTLD_LAZY | RTLD_NOLOAD);
  const ffi_ext_module_table *table = library ? dlsym(library, "ffi_ext_table") : NULL;
  PyObject *functions = NULL;
  if (table && table->abi != FFI_EXT_ABI)
    PyErr_Format(PyExc_ImportError,
                 "%s was built for the interface %u of ffi_ext, this is %d: build it again",
                 PyBytes_AsString(path), table->abi, FFI_EXT_ABI);
  else
    functions = PyDict_New(); /* of one that was built without a table Python wraps cffi's */
  for (uint32_t i = 0; functions && table && i < table->count; i++) {
    const ffi_ext_function *entry = &table->functions[i];
    PyObject *python_name = PyObject_CallFunction(rename, "s", entry->name);
    const char *name = python_name ? PyUnicode_AsUTF8AndSize(python_name, NULL) : NULL;
    PyObject *callable = name ? ffi_function_callable(table, entry, name, module, binary) : NULL;
    if (!callable || PyDict_SetItem(functions, python_name, callable)) Py_CLEAR(functions);
    Py_XDECREF(callable);
    Py_XDECREF(python_name);
  }
  Py_DECREF(path);
  return functions; /* the library stays open: its code and texts are in use */
}

static PyObject *configure(PyObject *unused, PyObject *hooks) {
#define TAKE(NAME) \
  if (!(ffi_hook.NAME = PyMapping_GetItemString(hooks, #NAME))) return NULL;
  FFI_HOOKS(TAKE)
#undef TAKE
  Py_RETURN_NONE;
}

static PyObject *on_first_call(PyObject *unused, PyObject *setup) {
  ffi_hook.setup = Py_NewRef(setup);
  Py_RETURN_NONE;
}

static PyObject *start(PyObject *unused, PyObject *nothing) {
  __atomic_store_n(&ffi_ready, 1, __ATOMIC_RELEASE);
  Py_RETURN_NONE;
}

/* Chooses the tier: native when the libraries have what it needs and every probe agrees, else
 * Python. */
static PyObject *choose_tier(PyObject *unused, PyObject *args) {
  PyObject *libraries, *probes;
  Py_ssize_t header;
  if (!PyArg_ParseTuple(args, "OOn", &libraries, &probes, &header)) return NULL;
  ffi_torch = &ffi_python_operations;
  ffi_handle_offset = 0;
  const int opened = !ffi_native_open(libraries); /* THC looks there in either tier */
  const ffi_operations *native = opened && PySequence_Size(probes) > 0 ? ffi_native_load() : NULL;
  if (native && !ffi_fields_calibrate(probes, header)) {
    ffi_torch = native;
    ffi_handle_offset = header;
  }
  PyErr_Clear();
  return PyUnicode_FromString(ffi_torch->name);
}

/* For the verification at load: what the quick tier reads of a tensor, or None where it wants a
 * closer look. */
static PyObject *describe(PyObject *unused, PyObject *tensor) {
  ffi_view view;
  if (!ffi_handle_offset || ffi_fields_describe(tensor, &view) || view.type < 0) Py_RETURN_NONE;
  return Py_BuildValue("(iNNLKKLii)", ffi_scalar_type[view.type],
                       ffi_number_tuple(view.size, view.ndim),
                       ffi_number_tuple(view.stride, view.ndim), (long long)view.offset,
                       (unsigned long long)(uintptr_t)view.identity,
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
     "choose_tier(libraries, probes, header): the tier's name."},
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

/* A free-threaded Python stays without the GIL when this module is loaded: see turn.h. */
static int allow_threads(PyObject *module) {
#ifdef Py_GIL_DISABLED
  ffi_turn_object = PyList_New(0); /* any object has a lock */
  if (!ffi_turn_object) return -1;
  return PyUnstable_Module_SetGIL(module, Py_MOD_GIL_NOT_USED);
#else
  return 0;
#endif
}

PyMODINIT_FUNC PyInit__runtime(void) {
  show_openmp();
  if (ffi_records_set_up() || ffi_kept_set_up()) return PyErr_NoMemory();
  PyObject *module = PyModule_Create(&definition);
  if (!module) return NULL;
  PyObject *function_type = ffi_function_type();
  if (!function_type || PyModule_AddObjectRef(module, "Function", function_type) ||
      ffi_numpy_set_up() || allow_threads(module)) {
    Py_DECREF(module);
    return NULL;
  }
  return module;
}
