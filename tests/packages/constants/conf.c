#include <string.h>
enum mode { NEAREST, LINEAR = 5, CUBIC };
int counter = 1;
const char *name_of(enum mode m) { return m == NEAREST ? "nearest" : m == LINEAR ? "linear" : "cubic"; }
int length(const char *text) { return strlen(text); }
unsigned char first(char *bytes) { return bytes[0]; }
void bump(void) { counter++; }
void *opaque(void) { return &counter; }
double mean_of(double *values, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += values[i];
    return sum / n;
}
