/* What code of 2017 needs from a compiler of today: these were warnings then, or not looked for. */
#ifndef FFI_EXT_LENIENT_H
#define FFI_EXT_LENIENT_H

#if defined(__cplusplus)
/* Errors in templates that nothing instantiates, which Eigen of then has. */
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 15
#pragma GCC diagnostic warning "-Wtemplate-body"
#endif
#elif defined(FFI_EXT_QUICK) /* ffi_ext's own generated code asks for an error */
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
