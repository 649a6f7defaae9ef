/* What C code of 2017 needs from a compiler of today: these were warnings then. */
#ifndef FFI_EXT_LENIENT_H
#define FFI_EXT_LENIENT_H

/* Not where ffi_ext's own generated code asks for an error, nor in C++, which never took them. */
#if defined(__cplusplus) || defined(FFI_EXT_QUICK)
#elif defined(__clang__) /* it has no pragma that makes a warning of an error */
#if __has_warning("-Wreturn-mismatch")
#pragma clang diagnostic ignored "-Wreturn-mismatch"
#else
#pragma clang diagnostic ignored "-Wreturn-type"
#endif
#elif defined(__GNUC__) && __GNUC__ >= 14
#pragma GCC diagnostic warning "-Wdeclaration-missing-parameter-type"
#pragma GCC diagnostic warning "-Wimplicit-function-declaration"
#pragma GCC diagnostic warning "-Wimplicit-int"
#pragma GCC diagnostic warning "-Wincompatible-pointer-types"
#pragma GCC diagnostic warning "-Wint-conversion"
#pragma GCC diagnostic warning "-Wreturn-mismatch"
#endif

#endif
