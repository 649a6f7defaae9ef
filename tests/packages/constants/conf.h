#define VERSION_MAJOR 3
#define MASK 0xff
enum mode { NEAREST, LINEAR = 5, CUBIC };
static const int LIMIT = 17;
extern int counter;
const char *name_of(enum mode m);
int length(const char *text);
unsigned char first(char *bytes);
void bump(void);
void *opaque(void);
double mean_of(double *values, int n);
