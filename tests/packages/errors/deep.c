#include <TH/TH.h>

static void fall(THFloatTensor *t, int how)
{
    THArgCheckWithCleanup(how != 1, THCleanup(THFloatTensor_fill(t, 7);), 3, "how must not be %d", how);
    THAssert(how != 2);
    THAssertMsg(how != 3, "three is out");
    if (how == 4)
        THFloatTensor_resize1d(t, -5);
    if (how == 5)
        THFloatTensor_select(t, NULL, 4, 0);
    THFloatTensor_get1d(t, 100);
}

void descend(THFloatTensor *t, int depth, int how)
{
    if (depth)
        descend(t, depth - 1, how);
    else
        fall(t, how);
}
