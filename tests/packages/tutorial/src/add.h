int add_forward(THFloatTensor *a, THFloatTensor *b, THFloatTensor *out);
int add_backward(THFloatTensor *grad_out, THFloatTensor *grad_in);
