#include <TH/TH.h>
#ifdef _OPENMP
#include <omp.h>
#endif
#include "softmax.h"

int log_softmax(THFloatTensor *in, THFloatTensor *out, int threads)
{
#ifdef CHECKED
    if (!THFloatTensor_isContiguous(in))
        THError("in must be contiguous");
#endif
    long rows = THFloatTensor_size(in, 0), n = THFloatTensor_nElement(in) / rows, r;
    float *x, *y;
    int used = 1;
    THFloatTensor_resizeAs(out, in);
    x = THFloatTensor_data(in), y = THFloatTensor_data(out);
#ifdef _OPENMP
    omp_set_num_threads(threads);
#endif
#pragma omp parallel for
    for (r = 0; r < rows; r++) {
        double sum = EPS;
        float most = -FLT_MAX;
        for (long i = 0; i < n; i++)
            most = THMax(most, x[r * n + i]);
        for (long i = 0; i < n; i++)
            sum += exp(x[r * n + i] - most);
        for (long i = 0; i < n; i++)
            y[r * n + i] = x[r * n + i] - most - log(sum);
#ifdef _OPENMP
        if (r == 0)
            used = omp_get_num_threads();
#endif
    }
    return used;
}
