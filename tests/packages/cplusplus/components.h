#ifdef __cplusplus
extern "C" {
#endif
/* Labels the 4-connected components of a mask; their number is returned. */
int label(THByteTensor *mask, THIntTensor *labels);
void fails(int how);
#ifdef __cplusplus
}
#endif
