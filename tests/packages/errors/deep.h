void descend(THFloatTensor *t, int depth, int how);
