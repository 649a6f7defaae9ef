#include <TH/TH.h>

void clamp_(THDoubleTensor *t, double low, double high)
{
    TH_TENSOR_APPLY(double, t, *t_data = THMin(THMax(*t_data, low), high););
}
