/* The compiler's own. gcc's has templates since gcc 15, and old sources include it within extern "C". */
#ifdef __cplusplus
extern "C++" {
#endif
#include_next <omp.h>
#ifdef __cplusplus
}
#endif
