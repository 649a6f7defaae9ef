void two_step(THIntTensor *t); int shared(void);
