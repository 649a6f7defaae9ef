void horner_kernel(double *x, long n, const double *c, long degree)
{
    for (long i = 0; i < n; i++) {
        double y = c[degree];
        for (long k = degree - 1; k >= 0; k--)
            y = y * x[i] + c[k];
        x[i] = y;
    }
}
