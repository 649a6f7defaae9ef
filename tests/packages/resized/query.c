#include <TH/TH.h>

int within(THFloatTensor *points, THFloatTensor *center, float radius, THLongTensor *found, THByteTensor *mask)
{
    long n = THFloatTensor_size(points, 0), d = THFloatTensor_size(points, 1);
    THFloatTensor *p = THFloatTensor_newContiguous(points);
    float *x = THFloatTensor_data(p), *c = THFloatTensor_data(center);
    long count = 0;
    THLongTensor_resize1d(found, n);
    THByteTensor_resize2d(mask, n, 1);
    THByteTensor_zero(mask);
    long *out = (long *)THLongTensor_data(found);
    for (long i = 0; i < n; i++) {
        float s = 0;
        for (long k = 0; k < d; k++)
            s += (x[i * d + k] - c[k]) * (x[i * d + k] - c[k]);
        if (sqrtf(s) < radius) {
            out[count++] = i;
            THByteTensor_set2d(mask, i, 0, 1);
        }
    }
    THLongTensor_resize1d(found, count);
    THFloatTensor_free(p);
    return count;
}

void histogram(THIntTensor *counts, THLongTensor *values)
{
    THIntTensor_resize1d(counts, THLongTensor_maxall(values) + 1);
    THIntTensor_zero(counts);
    TH_TENSOR_APPLY(int64_t, values, THIntTensor_data(counts)[*values_data] += 1;);
}
