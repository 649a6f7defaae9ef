#include <TH/TH.h>

#define scatter_(NAME) TH_CONCAT_4(scatter_, NAME, _, Real)

#include "generic/scatter.c"
#include "THGenerateAllTypes.h"
