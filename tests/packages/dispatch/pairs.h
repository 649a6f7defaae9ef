/* out = a x b for 1, 2 or 3 dimensions, sums along the last for each. */
void dot(THFloatTensor *out, THFloatTensor *a, THFloatTensor *b);
void cumulated(THDoubleTensor *out, THDoubleTensor *in, int dim);
