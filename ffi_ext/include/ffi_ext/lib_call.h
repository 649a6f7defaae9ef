/* `_lib.f(...)` of a generated module: cffi's conversions around a trampoline, one function for all.
 *
 * cffi would write sixty lines of C for each function; a thousand functions then take the compiler four seconds. What
 * its wrapper does is done here by the signature instead, with the functions that cffi exports for it. Included by the
 * generated C after cffi's table of types. */
#ifndef FFI_EXT_LIB_CALL_H
#define FFI_EXT_LIB_CALL_H

/* One argument: 0, or -1 with an exception. `room`: memory for a list, a string ... up to 640 bytes, as cffi has it. */
static int ffi_ext_lib_argument(char code, int type, PyObject *value, ffi_ext_slot *slot, char **room, size_t *left,
                                struct _cffi_freeme_s **allocated) {
  Py_ssize_t bytes;
  switch (code) {
    case '?': slot->i = _cffi_to_c__Bool(value); break;
    case 'c': slot->i = _cffi_to_c_char(value); break;
    case 'b': slot->i = (signed char)_cffi_to_c_i8(value); break;
    case 'B': slot->u = (unsigned char)_cffi_to_c_u8(value); break;
    case 'h': slot->i = (short)_cffi_to_c_i16(value); break;
    case 'H': slot->u = (unsigned short)_cffi_to_c_u16(value); break;
    case 'i': slot->i = _cffi_to_c_int(value, int); break;
    case 'I': slot->u = _cffi_to_c_int(value, unsigned int); break;
    case 'l': slot->i = _cffi_to_c_int(value, long); break;
    case 'L': slot->u = _cffi_to_c_int(value, unsigned long); break;
    case 'q': slot->i = _cffi_to_c_i64(value); break;
    case 'Q': slot->u = _cffi_to_c_u64(value); break;
    case 'f': slot->f = (float)_cffi_to_c_float(value); break;
    case 'd': slot->d = _cffi_to_c_double(value); break;
    default: /* a pointer */
      bytes = _cffi_prepare_pointer_call_argument(_cffi_type(type), value, (char **)&slot->p);
      if (bytes > 0) {
        slot->p = (size_t)bytes <= *left ? *room : NULL;
        if (slot->p) {
          const size_t used = ((size_t)bytes + 15) & ~(size_t)15;
          *room += used;
          *left -= used < *left ? used : *left;
        }
        return _cffi_convert_array_argument(_cffi_type(type), value, (char **)&slot->p, bytes, allocated);
      }
      return bytes < 0 ? -1 : 0;
  }
  return PyErr_Occurred() ? -1 : 0;
}

/* Behind a parameter's code. `_lib` knows nothing of constraints. */
static const char *ffi_ext_lib_behind(const char *code) {
  code += strchr(FFI_EXT_TWO_LETTERS, *code) ? 2 : 1;
  return *code == '[' ? strchr(code, ']') + 1 : code;
}

static PyObject *ffi_ext_lib_result(char code, int type, const ffi_ext_slot *slot) {
  switch (code) {
    case 'v': Py_INCREF(Py_None); return Py_None;
    case '?': return _cffi_from_c__Bool(slot->i != 0);
    case 'c': return _cffi_from_c_char((char)slot->i);
    case 'b':
    case 'h':
    case 'i':
    case 'l':
    case 'q': return PyLong_FromLongLong(slot->i);
    case 'B':
    case 'H':
    case 'I':
    case 'L':
    case 'Q': return PyLong_FromUnsignedLongLong(slot->u);
    case 'f': return _cffi_from_c_float(slot->f);
    case 'd': return _cffi_from_c_double(slot->d);
    default: return _cffi_from_c_pointer((char *)slot->p, _cffi_type(type));
  }
}

/* `function`: its place in our table. `result_type`, `argument_types`: places in cffi's table of types, the arguments' one
 * behind the other. `given`: cffi's METH_NOARGS, METH_O or METH_VARARGS, by the number of parameters. */
static PyObject *ffi_ext_lib_call(int function, int result_type, int argument_types, PyObject *given) {
  const ffi_ext_function *f = &ffi_ext_functions[function];
  ffi_ext_slot slots[FFI_EXT_MAX_ARGUMENTS + 1];
  union {
    char bytes[640];
    long double aligned;
  } memory;
  char *room = memory.bytes;
  size_t left = sizeof memory;
  struct _cffi_freeme_s *allocated = NULL;
  PyObject *result = NULL;
  PyThreadState *thread;
  const char *code = f->signature;
  const char result_code = *code++;
  int count = 0, i;
  if (strchr(FFI_EXT_TWO_LETTERS, result_code)) code++;
  for (const char *at = code; *at; at = ffi_ext_lib_behind(at)) count++;
  if (count > 1 && PyTuple_Size(given) != count) {
    PyErr_Format(PyExc_TypeError, "%s expected %d arguments, got %zd", f->name, count, PyTuple_Size(given));
    return NULL;
  }
  for (i = 0; i < count; i++, code = ffi_ext_lib_behind(code)) {
    PyObject *value = count > 1 ? PyTuple_GetItem(given, i) : given;
    if (ffi_ext_lib_argument(*code, argument_types + i, value, &slots[i + 1], &room, &left, &allocated)) goto end;
  }
  thread = ffi_ext_table.keeps_gil ? NULL : PyEval_SaveThread();
  f->call(slots);
  if (thread) PyEval_RestoreThread(thread);
  result = PyErr_Occurred() ? NULL : ffi_ext_lib_result(result_code, result_type, &slots[0]);
end:
  if (allocated) _cffi_free_array_arguments(allocated);
  return result;
}

#endif
