void scale_cpu(THFloatTensor *t, float by);
int scale_gpu(void *data, int n, float by);
