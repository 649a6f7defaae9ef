void one_step(THIntTensor *t); int shared(void);
