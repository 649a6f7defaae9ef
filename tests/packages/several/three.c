#include <TH/TH.h>
#ifndef STEP
#define STEP 1
#endif
int shared(void) { return sizeof("three") * STEP; }
void three_step(THIntTensor *t) { THIntTensor_add(t, t, STEP * shared()); }
