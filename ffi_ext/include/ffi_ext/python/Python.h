/* What the C that cffi generates needs of Python.h, of Python's stable ABI: a module compiles in half the time, and
 * Python's own headers need not be installed. Only generated sources see it; see QUICK in ffi_ext/compilers/toolchain.py. */
#ifdef Py_PYTHON_H
#error "this needs all of Python.h: apt install python3-dev (dnf install python3-devel)"
#endif
#define Py_PYTHON_H

#include <assert.h>
#include <stddef.h>
#include <sys/types.h>
/* As Python's own does: cffi before 2.1 does not include what it calls, and writes for Python 2 where no version is said. */
#include <stdlib.h>
#include <string.h>
#define PY_MAJOR_VERSION 3

#ifdef __cplusplus
#define PyMODINIT_FUNC extern "C" __attribute__((visibility("default"))) PyObject *
extern "C" {
#else
#define PyMODINIT_FUNC __attribute__((visibility("default"))) PyObject *
#endif

typedef ssize_t Py_ssize_t;
typedef struct _object PyObject;
typedef struct _ts PyThreadState;

extern PyObject _Py_NoneStruct, *PyExc_TypeError;
#define Py_None (&_Py_NoneStruct)

void Py_IncRef(PyObject *object);
void Py_DecRef(PyObject *object); /* NULL is none */
#define Py_INCREF(object) Py_IncRef(object)
#define Py_DECREF(object) Py_DecRef(object)
#define Py_XDECREF(object) Py_DecRef(object)

PyObject *PyBool_FromLong(long value);
PyObject *PyLong_FromLong(long value);
PyObject *PyLong_FromLongLong(long long value);
PyObject *PyLong_FromUnsignedLong(unsigned long value);
PyObject *PyLong_FromUnsignedLongLong(unsigned long long value);
PyObject *PyLong_FromVoidPtr(void *value);
PyObject *PyFloat_FromDouble(double value);
double PyFloat_AsDouble(PyObject *object);

Py_ssize_t PyTuple_Size(PyObject *tuple);
PyObject *PyTuple_GetItem(PyObject *tuple, Py_ssize_t index);
int PyArg_UnpackTuple(PyObject *tuple, const char *name, Py_ssize_t least, Py_ssize_t most, ...);
PyObject *PyObject_CallMethod(PyObject *object, const char *name, const char *format, ...);
PyObject *PyImport_ImportModule(const char *name);
void *PyObject_Malloc(size_t bytes);
void PyObject_Free(void *memory);

PyObject *PyErr_Occurred(void);
PyObject *PyErr_Format(PyObject *error, const char *format, ...);
void Py_FatalError(const char *text) __attribute__((noreturn));

PyThreadState *PyEval_SaveThread(void);
void PyEval_RestoreThread(PyThreadState *state);
#define Py_BEGIN_ALLOW_THREADS { PyThreadState *_save = PyEval_SaveThread();
#define Py_END_ALLOW_THREADS PyEval_RestoreThread(_save); }

#ifdef __cplusplus
}
#endif
