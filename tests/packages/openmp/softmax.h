#ifndef SOFTMAX_H
#define SOFTMAX_H
int log_softmax(THFloatTensor *in, THFloatTensor *out, int threads);
#endif
