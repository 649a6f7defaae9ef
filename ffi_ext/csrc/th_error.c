/* THError, THArgCheck, THAssert and their handlers; the texts are those of PyTorch 0.3.1. */
#include <stdarg.h>
#include <stdio.h>

#include "guard.h"
#include "th_core.h"

typedef struct {
  THErrorHandlerFunction call;
  void *data;
} error_handler;
typedef struct {
  THArgErrorHandlerFunction call;
  void *data;
} argument_handler;

static void raise_error(const char *msg, void *data) { ffi_throw(msg); }

static void raise_argument_error(int argNumber, const char *msg, void *data) {
  char text[FFI_TH_TEXT + 256];
  snprintf(text, sizeof text, "invalid argument %d: %s", argNumber, msg);
  ffi_throw(text);
}

/* A thread's own handler goes before the default one. */
static error_handler default_error = {raise_error, NULL};
static argument_handler default_argument = {raise_argument_error, NULL};
static __thread error_handler thread_error;
static __thread argument_handler thread_argument;

static void report(const char *text) {
  const error_handler *handler = thread_error.call ? &thread_error : &default_error;
  handler->call(text, handler->data);
  ffi_throw(text); /* a handler that returns must not let the caller go on */
}

static void write_error(char *text, const char *file, int line, const char *fmt, va_list values) {
  int length = vsnprintf(text, FFI_TH_TEXT, fmt, values);
  if (length < 0 || (size_t)length >= FFI_TH_TEXT) length = FFI_TH_TEXT - 1;
  snprintf(text + length, FFI_ERROR_ROOM - (size_t)length, " at %s:%d", file, line);
}

void _THError(const char *file, const int line, const char *fmt, ...) {
  char text[FFI_ERROR_ROOM];
  va_list values;
  va_start(values, fmt);
  write_error(text, file, line, fmt, values);
  va_end(values);
  report(text);
}

void _THAssertionFailed(const char *file, const int line, const char *exp, const char *fmt, ...) {
  char message[FFI_TH_TEXT / 2];
  va_list arguments;
  va_start(arguments, fmt);
  vsnprintf(message, sizeof message, fmt, arguments);
  va_end(arguments);
  _THError(file, line, "Assertion `%s' failed. %s", exp, message);
}

void _THArgCheck(const char *file, int line, int condition, int argNumber, const char *fmt, ...) {
  if (condition) return;
  char text[FFI_ERROR_ROOM];
  va_list values;
  va_start(values, fmt);
  write_error(text, file, line, fmt, values);
  va_end(values);
  const argument_handler *handler = thread_argument.call ? &thread_argument : &default_argument;
  handler->call(argNumber, text, handler->data);
  raise_argument_error(argNumber, text, NULL);
}

void THSetErrorHandler(THErrorHandlerFunction new_handler, void *data) {
  thread_error = (error_handler){new_handler, data};
}

void THSetArgErrorHandler(THArgErrorHandlerFunction new_handler, void *data) {
  thread_argument = (argument_handler){new_handler, data};
}

void THSetDefaultErrorHandler(THErrorHandlerFunction new_handler, void *data) {
  default_error = (error_handler){new_handler ? new_handler : raise_error, data};
}

void THSetDefaultArgErrorHandler(THArgErrorHandlerFunction new_handler, void *data) {
  default_argument = (argument_handler){new_handler ? new_handler : raise_argument_error, data};
}
