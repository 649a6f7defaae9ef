#include <TH/TH.h>

void horner_kernel(double *x, long n, const double *c, long degree);
int from_archive(void);

void horner(THDoubleTensor *x, THDoubleTensor *coefficients)
{
    horner_kernel(THDoubleTensor_data(x), THDoubleTensor_nElement(x), THDoubleTensor_data(coefficients),
                  THDoubleTensor_nElement(coefficients) - 1);
}

int answer(void) { return from_archive(); }
