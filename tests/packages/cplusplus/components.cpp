#include <TH/TH.h>
#include <stdexcept>
#include <vector>
#include "components.h"

int find(std::vector<int> &parent, int i);

extern "C" int label(THByteTensor *mask, THIntTensor *labels)
{
    const long h = THByteTensor_size(mask, 0), w = THByteTensor_size(mask, 1);
    std::vector<int> parent(h * w), name(h * w, 0);
    for (long i = 0; i < h * w; i++)
        parent[i] = i;
    for (long y = 0; y < h; y++)
        for (long x = 0; x < w; x++) {
            if (!THByteTensor_get2d(mask, y, x))
                continue;
            if (x && THByteTensor_get2d(mask, y, x - 1))
                parent[find(parent, y * w + x)] = find(parent, y * w + x - 1);
            if (y && THByteTensor_get2d(mask, y - 1, x))
                parent[find(parent, y * w + x)] = find(parent, (y - 1) * w + x);
        }
    THIntTensor_resize2d(labels, h, w);
    int count = 0;
    for (long i = 0; i < h * w; i++) {
        int value = 0;
        if (THByteTensor_get2d(mask, i / w, i % w)) {
            int root = find(parent, i);
            if (!name[root])
                name[root] = ++count;
            value = name[root];
        }
        THIntTensor_set2d(labels, i / w, i % w, value);
    }
    return count;
}

extern "C" void fails(int how)
{
    std::vector<int> three(3);
    if (how == 1)
        three.at(7) = 1;
    if (how == 2)
        throw std::runtime_error("no luck today");
    THError("failure %d", how);
}
