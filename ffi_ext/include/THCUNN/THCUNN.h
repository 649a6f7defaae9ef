/* What kernels of one's own take from THCUNN.h: its names. Of its functions, those of torch.nn,
 * there is none. */
#ifndef THCUNN_H
#define THCUNN_H

#include <THC/THC.h>

#define THNN_(NAME) TH_CONCAT_3(THNN_, CReal, NAME)

typedef void THNNState;
typedef int64_t THIndex_t;
#define THIndexTensor THCudaLongTensor
#define THIndexTensor_(NAME) THCudaLongTensor_##NAME
typedef int64_t THCIndex_t;
#define THCIndexTensor THCudaLongTensor
#define THCIndexTensor_(NAME) THCudaLongTensor_##NAME

#endif
