#include <TH/TH.h>

int add_forward(THFloatTensor *a, THFloatTensor *b, THFloatTensor *out)
{
    if (!THFloatTensor_isSameSizeAs(a, b))
        return 0;
    THFloatTensor_resizeAs(out, a);
    THFloatTensor_cadd(out, a, 1.0, b);
    return 1;
}

int add_backward(THFloatTensor *grad_out, THFloatTensor *grad_in)
{
    THFloatTensor_resizeAs(grad_in, grad_out);
    THFloatTensor_fill(grad_in, 1);
    return 1;
}
