double trilinear(THDoubleTensor *volume, double z, double y, double x);
void describe(THFloatTensor *t, THLongTensor *out);
