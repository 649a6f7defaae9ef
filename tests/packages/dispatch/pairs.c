#include <TH/TH.h>

static float dot1(THFloatTensor *a, THFloatTensor *b)
{
    float sum = 0;
    TH_TENSOR_APPLY2(float, a, float, b, sum += *a_data * *b_data;);
    return sum;
}

static void dot2(float *out, THFloatTensor *a, THFloatTensor *b)
{
    long i;
    THFloatTensor *ra = THFloatTensor_new(), *rb = THFloatTensor_new();
    for (i = 0; i < a->size[0]; i++) {
        THFloatTensor_select(ra, a, 0, i);
        THFloatTensor_select(rb, b, 0, i);
        out[i] = dot1(ra, rb);
    }
    THFloatTensor_free(ra);
    THFloatTensor_free(rb);
}

void dot(THFloatTensor *out, THFloatTensor *a, THFloatTensor *b)
{
    long i;
    switch (THFloatTensor_nDimension(a)) {
    case 1:
        THFloatTensor_resize1d(out, 1);
        THFloatTensor_set1d(out, 0, dot1(a, b));
        break;
    case 2:
        THFloatTensor_resize1d(out, a->size[0]);
        dot2(THFloatTensor_data(out), a, b);
        break;
    case 3:
        THFloatTensor_resize2d(out, a->size[0], a->size[1]);
        for (i = 0; i < a->size[0]; i++) {
            THFloatTensor *pa = THFloatTensor_newSelect(a, 0, i), *pb = THFloatTensor_newNarrow(b, 0, i, 1);
            THFloatTensor_squeeze1d(pb, pb, 0);
            dot2(THFloatTensor_data(out) + i * out->stride[0], pa, pb);
            THFloatTensor_free(pa);
            THFloatTensor_free(pb);
        }
        break;
    default:
        THError("dot of %d dimensions", THFloatTensor_nDimension(a));
    }
}

void cumulated(THDoubleTensor *out, THDoubleTensor *in, int dim)
{
    THDoubleTensor_resizeAs(out, in);
    TH_TENSOR_DIM_APPLY2(double, out, double, in, dim,
                         double sum = 0; int64_t i;
                         for (i = 0; i < in_size; i++) {
                             sum += in_data[i * in_stride];
                             out_data[i * out_stride] = sum;
                         });
}
