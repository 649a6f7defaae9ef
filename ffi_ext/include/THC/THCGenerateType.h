/* The end of each THCGenerate...Type.h: THC_GENERIC_FILE for the type that it has defined. */
#ifndef THC_GENERIC_FILE
#error "define THC_GENERIC_FILE before including THCGenerateAllTypes.h, or one of its kin"
#endif
#define TH_GENERIC_FILE THC_GENERIC_FILE
#include FFI_EXT_TH_TYPE
#undef FFI_EXT_TH_TYPE
#undef CReal

#if !defined(THCGenerateAllTypes) && !defined(THCGenerateFloatTypes)
#undef THC_GENERIC_FILE
#endif
