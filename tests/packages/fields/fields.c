#include <TH/TH.h>

double trilinear(THDoubleTensor *volume, double z, double y, double x)
{
    THArgCheck(volume->nDimension == 3, 1, "3D volume expected, got %dD", volume->nDimension);
    double *data = volume->storage->data + volume->storageOffset, sum = 0;
    long z0 = floor(z), y0 = floor(y), x0 = floor(x);
    for (int i = 0; i < 8; i++) {
        long a = z0 + (i >> 2), b = y0 + ((i >> 1) & 1), c = x0 + (i & 1);
        if (a < 0 || b < 0 || c < 0 || a >= volume->size[0] || b >= volume->size[1] || c >= volume->size[2])
            continue;
        double w = (1 - fabs(z - a)) * (1 - fabs(y - b)) * (1 - fabs(x - c));
        sum += w * data[a * volume->stride[0] + b * volume->stride[1] + c * volume->stride[2]];
    }
    return sum;
}

void describe(THFloatTensor *t, THLongTensor *out)
{
    THLongTensor_resize1d(out, 3 + 2 * t->nDimension);
    int64_t *o = THLongTensor_data(out);
    *o++ = t->nDimension;
    *o++ = t->storageOffset;
    *o++ = t->storage->size;
    for (int d = 0; d < t->nDimension; d++) {
        *o++ = t->size[d];
        *o++ = t->stride[d];
    }
}
