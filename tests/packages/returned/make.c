#include <TH/TH.h>

THDoubleTensor *eye(long n)
{
    THDoubleTensor *t = THDoubleTensor_newWithSize2d(n, n);
    THDoubleTensor_zero(t);
    for (long i = 0; i < n; i++)
        THDoubleTensor_set2d(t, i, i, 1);
    return t;
}

THLongStorage *sizes(THFloatTensor *t) { return THFloatTensor_newSizeOf(t); }
THFloatTensor *row(THFloatTensor *t, long index) { return THFloatTensor_newSelect(t, 0, index); }
THFloatTensor *transposed(THFloatTensor *t) { return THFloatTensor_newTranspose(t, 0, 1); }

THFloatTensor *same(THFloatTensor *t)
{
    THFloatTensor_retain(t);
    return t;
}

int references(THFloatTensor *t)
{
    int before = t->storage->refcount;
    THFloatTensor *view = THFloatTensor_newWithTensor(t);
    int during = t->storage->refcount;
    THFloatTensor_free(view);
    return during - before + 10 * (t->storage->refcount - before);
}
