#ifndef TH_GENERIC_FILE
#define TH_GENERIC_FILE "generic/scatter.c"
#else

void scatter_(add)(THTensor *out, THLongTensor *index, THTensor *src)
{
    real *o = THTensor_(data)(out);
    long n = THTensor_(size)(out, 0);
    TH_TENSOR_APPLY2(int64_t, index, real, src,
                     if (*index_data < 0 || *index_data >= n) THError("index %ld out of %ld", (long)*index_data, n);
                     o[*index_data] += *src_data;);
}

#endif
