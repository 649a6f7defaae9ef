/* Indices of the points within a radius of a center; their number is returned. */
int within(THFloatTensor *points, THFloatTensor *center, float radius, THLongTensor *found, THByteTensor *mask);
void histogram(THIntTensor *counts, THLongTensor *values);
