void clamp_(THDoubleTensor *t, double low, double high);
