// The C++ border: errors raised in C travel as C++ exceptions and stop here.
#include "guard.h"

#include <cxxabi.h>

#include <cstring>
#include <exception>
#include <stdexcept>

namespace {

#ifdef __GLIBCXX__
using forced_unwind = abi::__forced_unwind;  // of a thread that is cancelled, which must go on
#else
struct forced_unwind {};  // libc++ has none
#endif

struct native_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// How many calls of this thread are under way.
__attribute__((tls_model("initial-exec"))) thread_local int calls_under_way = 0;

void copy_text(char *text, size_t room, const char *what) {
  std::strncpy(text, what, room - 1);
  text[room - 1] = '\0';
  // torch's own errors carry the C++ stack: a page that says nothing about the caller's mistake.
  if (char *stack = std::strstr(text, "\nException raised from ")) *stack = '\0';
}

// An exception that left a parallel region from its master thread skipped the region's end: without
// it the thread's team stays open and the next region never starts.
void close_parallel_regions(const ffi_ext_module_table *table, int level) {
  if (!table || !table->omp_level || !table->omp_end) return;
  while (table->omp_level() > level) table->omp_end();
}

}  // namespace

extern "C" int ffi_guard_call(const ffi_ext_module_table *table, void (*call)(ffi_ext_slot *),
                              ffi_ext_slot *slots, char *text) {
  int level = calls_under_way++ && table && table->omp_level ? table->omp_level() : 0;
  int failed = 1;
  try {
    call(slots);
    failed = 0;
  } catch (forced_unwind &) {
    calls_under_way--;
    throw;
  } catch (const std::exception &error) {
    copy_text(text, FFI_ERROR_ROOM, error.what());
  } catch (const char *what) {
    copy_text(text, FFI_ERROR_ROOM, what ? what : "the C++ code threw a null pointer");
  } catch (...) {
    copy_text(text, FFI_ERROR_ROOM, "the C++ code threw something that is not a std::exception");
  }
  calls_under_way--;
  if (failed) close_parallel_regions(table, level);
  return failed;
}

extern "C" int ffi_calls_under_way() { return calls_under_way; }

extern "C" void *ffi_this_thread() { return &calls_under_way; }

extern "C" int ffi_try(void (*function)(void *), void *argument, char *text) {
  try {
    function(argument);
    return 0;
  } catch (forced_unwind &) {
    throw;
  } catch (const std::exception &error) {
    copy_text(text, FFI_TEXT_ROOM, error.what());
  } catch (...) {
    copy_text(text, FFI_TEXT_ROOM, "unknown C++ exception");
  }
  return -1;
}

// On a thread that no call waits for, C++ may catch it; else it ends the process, which prints the
// text.
extern "C" void ffi_throw(const char *message) { throw native_error(message); }
