/* The native tier's operations: torch's own C functions, looked up in the libraries that `import
 * torch` has loaded.
 *
 * No torch header is included and nothing of torch is linked, so that one binary serves every
 * version; a version that lacks one of these functions is served by the Python tier. aoti_torch_*
 * are the documented stable C interface. These have no C interface: resize_bytes_cpu
 * (grows a storage that torch may resize, else throws), set_sizes_and_strides, bump_version and
 * THPVariable_Wrap; their C++ signatures stand in their mangled names. */
#include "cuda_device.h"
#include "torch_bridge.h"

#include <dlfcn.h>
#include <stdio.h>

#define MAX_LIBRARIES 5
static void *libraries[MAX_LIBRARIES];

/* c10::ArrayRef<SymInt> and std::optional<SymInt>: a SymInt that is no symbol is the number itself.
 * The optional has a destructor, so it travels by address. */
typedef struct integers {
  const int64_t *first;
  size_t count;
} integers;
typedef struct maybe_integer {
  int64_t value;
  char present;
} maybe_integer;

static struct {
  int32_t (*new_handle)(void *, void **);
  int32_t (*delete_handle)(void *);
  int32_t (*empty_strided)(int64_t, const int64_t *, const int64_t *, int32_t, int32_t, int32_t,
                           void **);
  int32_t (*reinterpret)(void *, int64_t, const int64_t *, const int64_t *, int64_t, void **);
  int32_t (*set_source)(void *, void *);
  void (*resize_bytes)(void *, size_t);
  void (*set_geometry)(void *, integers, integers, const maybe_integer *);
  void (*bump_version)(const void *);
  _Bool (*grad_mode)(void);
  PyObject *(*wrap)(const void *);
} api;

static const struct {
  const char *name;
  void **where;
} wanted[] = {
    {"aoti_torch_new_tensor_handle", (void **)&api.new_handle},
    {"aoti_torch_delete_tensor_object", (void **)&api.delete_handle},
    {"aoti_torch_empty_strided", (void **)&api.empty_strided},
    {"aoti_torch__reinterpret_tensor", (void **)&api.reinterpret},
    {"aoti_torch_cpu_set__source_Tensor", (void **)&api.set_source},
    {"_ZN2at6native16resize_bytes_cpuEPN3c1011StorageImplEm", (void **)&api.resize_bytes},
    {"_ZN5torch8autograd4impl12bump_versionERKN2at6TensorE", (void **)&api.bump_version},
    {"aoti_torch_grad_mode_is_enabled", (void **)&api.grad_mode},
    {"_Z16THPVariable_WrapRKN2at10TensorBaseE", (void **)&api.wrap},
};
/* Quicker than set_source, where this torch has it. */
static const char set_geometry_name[] =
    "_ZN3c1010TensorImpl21set_sizes_and_stridesENS_8ArrayRefINS_6SymIntEEES3_St8optionalIS2_E";

void *ffi_native_symbol(const char *name) {
  for (int i = 0; i < MAX_LIBRARIES && libraries[i]; i++) {
    void *found = dlsym(libraries[i], name);
    if (found) return found;
  }
  return NULL;
}

static void *keep(void *handle) {
  void *owned = NULL;
  return api.new_handle(handle, &owned) ? NULL : owned;
}

typedef struct wrap_request {
  void *handle;
  PyObject *object;
} wrap_request;

static void wrap_now(void *argument) {
  wrap_request *request = argument;
  request->object = api.wrap(request->handle);
}

/* The Python object of a tensor; torch throws when there is no memory for one. */
static PyObject *wrap(void *handle) {
  char text[FFI_TEXT_ROOM];
  wrap_request request = {handle, NULL};
  if (ffi_try(wrap_now, &request, text)) {
    PyErr_SetString(PyExc_MemoryError, text);
    return NULL;
  }
  return request.object;
}

static void release(void *owned) { api.delete_handle(owned); }

/* A tensor that Python made, as a handle of ours; the object's reference is consumed. */
static void *handle_of(PyObject *tensor) {
  void *owned = tensor ? keep((char *)tensor + ffi_handle_offset) : NULL;
  Py_XDECREF(tensor);
  return owned;
}

static void *create(int type, int cuda, ptrdiff_t elements, void **data, void **identity,
                    char *text) {
  if (cuda) {
    PyGILState_STATE gil = PyGILState_Ensure();
    void *owned = handle_of(ffi_python_create(type, cuda, elements, data, identity, text));
    PyGILState_Release(gil);
    return owned;
  }
  const int64_t size = elements, stride = 1;
  void *owned = NULL;
  if (api.empty_strided(1, &size, &stride, ffi_scalar_type[type], 0, -1, &owned)) {
    snprintf(text, FFI_TEXT_ROOM, "torch could not allocate a storage of %td elements of %td bytes",
             elements, ffi_type_size(type));
    return NULL;
  }
  *identity = ffi_fields_identity(owned);
  *data = ffi_fields_data(*identity);
  return owned;
}

typedef struct resize_request {
  void *identity;
  size_t bytes;
} resize_request;

static void resize(void *argument) {
  const resize_request *request = argument;
  api.resize_bytes(request->identity, request->bytes);
}

static int grow(void *handle, void *identity, ptrdiff_t bytes, void **data, char *text) {
  /* shared memory, NumPy's, pinned ...: torch crashes on some of them */
  if (!ffi_fields_is_ordinary(identity)) {
    PyGILState_STATE gil = PyGILState_Ensure();
    PyObject *tensor = wrap(handle);
    int failed = !tensor || ffi_python_grow(tensor, bytes, data, text);
    Py_XDECREF(tensor);
    PyGILState_Release(gil);
    return failed ? -1 : 0;
  }
  resize_request request = {identity, (size_t)bytes};
  if (ffi_try(resize, &request, text)) return -1;
  *data = ffi_fields_data(identity);
  return 0;
}

static const int64_t no_elements = 0, unit_stride = 1;

static void *alias(void *handle) {
  void *owned = NULL;
  return api.reinterpret(handle, 1, &no_elements, &unit_stride, 0, &owned) ? NULL : owned;
}

/* reinterpret takes the offset as a step from the owner's own. */
static int view_of(void *owner, const ffi_tensor *t, void **out) {
  const int empty = t->nDimension == 0;
  const int64_t offset = empty ? 0 : t->storageOffset;
  return api.reinterpret(owner, empty ? 1 : t->nDimension, empty ? &no_elements : t->size,
                         empty ? &unit_stride : t->stride, offset - ffi_fields_offset(owner), out);
}

/* Of a record that has no elements, and no owner therefore. */
static int without_elements(const ffi_tensor *t, void **out) {
  const int empty = t->nDimension == 0;
  return api.empty_strided(empty ? 1 : t->nDimension, empty ? &no_elements : t->size,
                           empty ? &unit_stride : t->stride, ffi_scalar_type[t->type], 0, -1, out);
}

typedef struct geometry_request {
  void *impl;
  const ffi_tensor *geometry;
} geometry_request;

static void set_geometry(void *argument) {
  const geometry_request *request = argument;
  const ffi_tensor *t = request->geometry;
  const size_t count = (size_t)t->nDimension;
  const maybe_integer offset = {t->storageOffset, 1};
  api.set_geometry(request->impl, (integers){t->size, count}, (integers){t->stride, count},
                   &offset);
}

static int assign(void *target, void *owner, const ffi_tensor *geometry, char *text) {
  if (geometry->cuda) {
    PyObject *to = wrap(target), *from = wrap(owner);
    int refused = !to || !from || ffi_python_assign(to, from, geometry, text);
    Py_XDECREF(to);
    Py_XDECREF(from);
    return refused ? -1 : 0;
  }
  /* The storage that it has, in another shape: nothing of torch's dispatcher is needed. */
  if (api.set_geometry && geometry->nDimension &&
      ffi_fields_identity(owner) == ffi_fields_identity(target)) {
    geometry_request request = {*(void **)target, geometry};
    return ffi_try(set_geometry, &request, text);
  }
  void *view = NULL;
  int failed = view_of(owner, geometry, &view);
  if (!failed) {
    failed = api.set_source(target, view);
    api.delete_handle(view);
  }
  if (failed)
    snprintf(text, FFI_TEXT_ROOM, "torch refused to change the tensor's shape after a resize in C");
  return failed ? -1 : 0;
}

static PyObject *make(void *owner, const ffi_tensor *geometry, void **kept) {
  if (geometry->cuda) {
    PyObject *from = owner ? wrap(owner) : NULL;
    PyObject *made = owner && !from ? NULL : ffi_python_make(from, geometry);
    Py_XDECREF(from);
    if (made && kept) *kept = keep((char *)made + ffi_handle_offset);
    return made;
  }
  void *view = NULL;
  int failed = owner ? view_of(owner, geometry, &view) : without_elements(geometry, &view);
  if (failed) {
    PyErr_SetString(PyExc_RuntimeError, "torch could not make a tensor of the C function's result");
    return NULL;
  }
  PyObject *result = wrap(view);
  if (kept && result)
    *kept = view;
  else
    api.delete_handle(view);
  return result;
}

static void bump(void *handle) { api.bump_version(handle); }

static void bump_version(void *handle, int always) {
  if (!always && !api.grad_mode()) return;
  char text[FFI_TEXT_ROOM]; /* inference tensors have no version: nothing to tell anyone */
  ffi_try(bump, handle, text);
}

static const ffi_operations operations = {
    "native", keep, release, alias, create, grow, assign, make, wrap, bump_version,
};

int ffi_native_open(PyObject *paths) {
  Py_ssize_t count = PySequence_Size(paths);
  for (Py_ssize_t i = 0; i < count && i < MAX_LIBRARIES; i++) {
    PyObject *path = PySequence_GetItem(paths, i), *encoded = NULL;
    if (path && PyUnicode_FSConverter(path, &encoded))
      libraries[i] = dlopen(PyBytes_AsString(encoded), RTLD_LAZY | RTLD_NOLOAD);
    Py_XDECREF(encoded);
    Py_XDECREF(path);
    if (!libraries[i]) {
      PyErr_Clear();
      return -1;
    }
  }
  return 0;
}

const ffi_operations *ffi_native_load(void) {
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
    if (!(*wanted[i].where = ffi_native_symbol(wanted[i].name))) return NULL;
  *(void **)&api.set_geometry = ffi_native_symbol(set_geometry_name);
  ffi_cuda_look_up();
  return &operations;
}
