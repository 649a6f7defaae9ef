void horner(THDoubleTensor *x, THDoubleTensor *coefficients);
int answer(void);
