/* Includes LANES_FILE for each kind of processor that there are kernels for, after the product of
 * matrices (product.h). CALL(name_, lanes) is then the function name_16 or name_8. */
#include "convolution.h"

#define COLUMNS 32 /* outputs whose weights lie together */
#define WIDEST 16  /* floats of the widest vector */
#define SUMMED 256 /* products that are summed before they are added to others */
#ifndef MOST_LANES
#define MOST_LANES WIDEST /* a test asks for 8 */
#endif

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define EACH_OF_1(DO) DO(0)
#define EACH_OF_2(DO) EACH_OF_1(DO) DO(1)
#define EACH_OF_4(DO) EACH_OF_2(DO) DO(2) DO(3)
#define EACH_OF_6(DO) EACH_OF_4(DO) DO(4) DO(5)
#define EACH_OF_8(DO) EACH_OF_6(DO) DO(6) DO(7)
#define EACH_OF_14(DO) EACH_OF_8(DO) DO(8) DO(9) DO(10) DO(11) DO(12) DO(13)

/* MOST rows of a product have their sums in registers, two vectors of outputs each. */
#define LANES 16
#define TARGET __attribute__((target("avx512f,fma")))
#define LARGER _mm512_max_ps
#define MOST 14
#define EACH_OF_MOST EACH_OF_14
#include "product.h"
#include LANES_FILE

#undef LANES
#undef TARGET
#undef LARGER
#undef MOST
#undef EACH_OF_MOST
#define LANES 8
#define TARGET __attribute__((target("avx2,fma")))
#define LARGER _mm256_max_ps
#define MOST 6
#define EACH_OF_MOST EACH_OF_6
#include "product.h"
#include LANES_FILE

#define HAVE_LANES
#define CALL(NAME, lanes) ((lanes) == 16 ? TH_CONCAT_2(NAME, 16) : TH_CONCAT_2(NAME, 8))
#endif
