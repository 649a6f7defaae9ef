void three_step(THIntTensor *t); int shared(void);
