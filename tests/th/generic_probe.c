/* One function of each kind for one element type, as code of the time wrote them. */
#ifndef TH_GENERIC_FILE
#define TH_GENERIC_FILE "generic_probe.c"
#else

#define NAME(what) TH_CONCAT_4(Real, _, what, )

void NAME(resize_as)(THTensor *t, THTensor *other) { THTensor_(resizeAs)(t, other); }
void NAME(resize2d)(THTensor *t, long a, long b) { THTensor_(resize2d)(t, a, b); }
void NAME(fill)(THTensor *t, double v) { THTensor_(fill)(t, (real)v); }
void NAME(zero)(THTensor *t) { THTensor_(zero)(t); }
THTensor *NAME(select)(THTensor *t, int d, long i) { return THTensor_(newSelect)(t, d, i); }
THTensor *NAME(narrow)(THTensor *t, int d, long f, long n) {
  return THTensor_(newNarrow)(t, d, f, n);
}
THTensor *NAME(transpose)(THTensor *t, int a, int b) { return THTensor_(newTranspose)(t, a, b); }
THTensor *NAME(unfold)(THTensor *t, int d, long n, long s) {
  return THTensor_(newUnfold)(t, d, n, s);
}
THTensor *NAME(clone)(THTensor *t) { return THTensor_(newClone)(t); }
THTensor *NAME(contiguous)(THTensor *t) { return THTensor_(newContiguous)(t); }
void NAME(copy)(THTensor *t, THTensor *s) { THTensor_(copy)(t, s); }
void NAME(copy_double)(THTensor *t, THDoubleTensor *s) { THTensor_(copyDouble)(t, s); }
void NAME(copy_long)(THTensor *t, THLongTensor *s) { THTensor_(copyLong)(t, s); }
double NAME(get2d)(THTensor *t, long i, long j) { return (double)THTensor_(get2d)(t, i, j); }
void NAME(set2d)(THTensor *t, long i, long j, double v) { THTensor_(set2d)(t, i, j, (real)v); }
double NAME(fast_sum)(THTensor *t) {
  double sum = 0;
  for (long i = 0; i < t->size[0]; i++)
    for (long j = 0; j < t->size[1]; j++) sum += (double)THTensor_fastGet2d(t, i, j);
  return sum;
}
double NAME(apply_sum)(THTensor *t) {
  double sum = 0;
  TH_TENSOR_APPLY(real, t, sum += (double)*t_data;);
  return sum;
}
/* out[...] = the sum over the last dimension, through the loop over slices */
void NAME(row_sums)(THTensor *out, THTensor *in) {
  TH_TENSOR_DIM_APPLY2(real, out, real, in, 1, real sum = 0; int64_t k;
                       for (k = 0; k < in_size; k++) sum += in_data[k * in_stride];
                       *out_data = sum;);
}
int NAME(bytes)(void) { return (int)sizeof(real); }

#undef NAME
#endif
