THDoubleTensor *eye(long n);
THLongStorage *sizes(THFloatTensor *t);
THFloatTensor *row(THFloatTensor *t, long index);
THFloatTensor *same(THFloatTensor *t);
THFloatTensor *transposed(THFloatTensor *t);
int references(THFloatTensor *t);
