/* THC_sleep, where old sources look for it. */
#include "THCGeneral.h"
