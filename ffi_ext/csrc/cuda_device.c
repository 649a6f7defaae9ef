/* Which GPU and which stream are the current ones is asked at every call and at every launch, so
 * torch's own functions answer where they are found: those of c10::cuda, by their mangled names,
 * and one of libtorch_cuda's C interface. Python is the way round. */
#include "cuda_device.h"

#include <stdlib.h>

#include "function.h"
#include "torch_bridge.h"

typedef signed char device_index; /* c10::DeviceIndex */

static struct {
  device_index (*current_device)(void);
  device_index (*exchange_device)(device_index);
  device_index (*return_to_device)(device_index);
  int32_t (*current_stream)(int32_t, void **);
  int32_t (*allocate)(uint64_t, void **);
  int32_t (*release)(void *);
  int only_gpu; /* there is one GPU: it is always the current one */
  int trusted;  /* atomic; set last */
} native;

void ffi_cuda_look_up(void) {
  *(void **)&native.current_device = ffi_native_symbol("_ZN3c104cuda14current_deviceEv");
  *(void **)&native.exchange_device = ffi_native_symbol("_ZN3c104cuda14ExchangeDeviceEa");
  *(void **)&native.return_to_device = ffi_native_symbol("_ZN3c104cuda19MaybeExchangeDeviceEa");
  *(void **)&native.current_stream = ffi_native_symbol("aoti_torch_get_current_cuda_stream");
  if (getenv("PYTORCH_NO_CUDA_MEMORY_CACHING")) return; /* which they do not ask: cuda_state.py */
  *(void **)&native.allocate = ffi_native_symbol("aoti_torch_cuda_caching_allocator_raw_alloc");
  *(void **)&native.release = ffi_native_symbol("aoti_torch_cuda_caching_allocator_raw_delete");
}

static int is_trusted(void) { return __atomic_load_n(&native.trusted, __ATOMIC_ACQUIRE); }

/* c10's functions throw. */
enum question { CURRENT, EXCHANGE, RETURN };
static const char *const in_python[] = {"current_device", "exchange_device", "return_to_device"};
typedef struct device_request {
  int device;
  enum question question;
} device_request;

static void ask_device(void *argument) {
  device_request *r = argument;
  const device_index device = (device_index)r->device;
  switch (r->question) {
    case CURRENT: r->device = native.current_device(); break;
    case EXCHANGE: r->device = native.exchange_device(device); break;
    case RETURN: r->device = native.return_to_device(device); break;
  }
}

void ffi_cuda_verify(void) {
  if (is_trusted() || !native.current_device || !native.exchange_device ||
      !native.return_to_device || !native.current_stream)
    return;
  char text[FFI_TEXT_ROOM];
  long long device, stream, count;
  device_request request = {0, CURRENT};
  void *found = NULL;
  if (ffi_cuda_answer("current_device", 0, &device, text) ||
      ffi_cuda_answer("current_stream", device, &stream, text) ||
      ffi_cuda_answer("device_count", 0, &count, text))
    return;
  native.only_gpu = count == 1;
  if (ffi_try(ask_device, &request, text) == 0 && request.device == device &&
      native.current_stream((int32_t)device, &found) == 0 && (long long)(intptr_t)found == stream)
    __atomic_store_n(&native.trusted, 1, __ATOMIC_RELEASE);
}

int ffi_cuda_answer(const char *name, long long number, long long *value, char *text) {
  PyGILState_STATE gil = PyGILState_Ensure();
  /* An interrupted call frees its memory still. */
  PyObject *type, *before, *traceback;
  PyErr_Fetch(&type, &before, &traceback);
  PyObject *answer = PyObject_CallFunction(ffi_hook.cuda, "sL", name, number);
  *value = answer ? PyLong_AsLongLong(answer) : -1;
  Py_XDECREF(answer);
  const int failed = PyErr_Occurred() != NULL;
  if (failed) ffi_take_error(text);
  if (type) PyErr_Restore(type, before, traceback);
  PyGILState_Release(gil);
  return failed ? -1 : 0;
}

static int ask(device_request *request, char *text) {
  if (is_trusted()) {
    if (!native.only_gpu) return ffi_try(ask_device, request, text);
    request->device = 0;
    return 0;
  }
  long long value;
  if (ffi_cuda_answer(in_python[request->question], request->device, &value, text)) return -1;
  request->device = (int)value;
  return 0;
}

int ffi_cuda_current_device(int *device, char *text) {
  device_request request = {0, CURRENT};
  if (ask(&request, text)) return -1;
  *device = request.device;
  return 0;
}

int ffi_cuda_exchange_device(int device, int *before, char *text) {
  device_request request = {device, EXCHANGE};
  if (ask(&request, text)) return -1;
  *before = request.device;
  return 0;
}

int ffi_cuda_return_to_device(int device, char *text) {
  device_request request = {device, RETURN};
  return ask(&request, text);
}

int ffi_cuda_current_stream(int device, void **stream, char *text) {
  if (is_trusted() && native.current_stream(device, stream) == 0) return 0;
  long long value;
  if (ffi_cuda_answer("current_stream", device, &value, text)) return -1;
  *stream = (void *)(intptr_t)value;
  return 0;
}

static int allocates(void) { return is_trusted() && native.allocate && native.release; }

int ffi_cuda_allocate(size_t bytes, void **memory, char *text) {
  if (allocates() && native.allocate(bytes, memory) == 0) return 0;
  long long value; /* also where there is no room left, which torch's own error says best */
  if (ffi_cuda_answer("malloc", (long long)bytes, &value, text)) return -1;
  *memory = (void *)(intptr_t)value;
  return 0;
}

int ffi_cuda_release(void *memory, char *text) {
  if (allocates() && native.release(memory) == 0) return 0;
  long long nothing;
  return ffi_cuda_answer("free", (long long)(intptr_t)memory, &nothing, text);
}
