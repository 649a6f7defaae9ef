/* Functions of one number that C lacks: digamma, trigamma, the inverse of erf, sums of logarithms.
 */
#define _REENTRANT 1 /* lgamma_r, on macOS */
#include <float.h>
#include <math.h>

#include "TH/THLogAdd.h"
#include "TH/THMath.h"
#include "th_core.h"

/* Recurrence up to x >= 10, then the asymptotic series (Abramowitz and Stegun 6.3.18); reflection
 * below zero. */
double TH_digamma(double x) {
  if (x < 0) {
    if (x == floor(x)) return NAN;
    return TH_digamma(1 - x) - M_PI / tan(M_PI * x);
  }
  double result = 0;
  for (; x < 10; x += 1) result -= 1 / x;
  const double y = 1 / (x * x);
  const double series =
      y * (1. / 12 - y * (1. / 120 - y * (1. / 252 - y * (1. / 240 - y * (1. / 132)))));
  return result + log(x) - 0.5 / x - series;
}
float TH_digammaf(float x) { return (float)TH_digamma(x); }

/* The same for its derivative (6.4.12). */
double TH_trigamma(double x) {
  if (x <= 0) {
    if (x == floor(x)) return INFINITY;
    const double s = sin(M_PI * x);
    return M_PI * M_PI / (s * s) - TH_trigamma(1 - x);
  }
  double result = 0;
  for (; x < 10; x += 1) result += 1 / (x * x);
  const double y = 1 / (x * x);
  return result + 1 / x + y / 2 +
         y / x * (1. / 6 - y * (1. / 30 - y * (1. / 42 - y * (1. / 30 - y * (5. / 66)))));
}

/* A first guess (Winitzki's formula), then Newton's steps; near 1 they go through erfc, which keeps
 * its digits there. */
double TH_erfinv(double y) {
  if (!(fabs(y) < 1)) return fabs(y) == 1 ? copysign(INFINITY, y) : NAN;
  const double log_term = log1p(-y * y), a = 0.147, b = 2 / (M_PI * a) + log_term / 2;
  double x = copysign(sqrt(sqrt(b * b - log_term / a) - b), y);
  const double magnitude = fabs(y);
  for (int i = 0; i < 4; i++) {
    const double at = fabs(x);
    const double error = magnitude < 0.5 ? erf(at) - magnitude : (1 - magnitude) - erfc(at);
    x = copysign(at - error / (2 / sqrt(M_PI) * exp(-at * at)), y);
  }
  return x;
}

/* lgamma writes the sign to a global that threads share. */
double ffi_lgamma(double x) {
  int sign;
  return lgamma_r(x, &sign);
}

const double THLog2Pi = 1.83787706640934548355;
const double THLogZero = -DBL_MAX;
const double THLogOne = 0;

/* log(exp(a) + exp(b)), and the difference. A NaN stays one, which fmax would drop. */
double THLogAdd(double log_a, double log_b) {
  const int ordered = log_a < log_b;
  const double more = ordered ? log_b : log_a, less = ordered ? log_a : log_b;
  if (less == -INFINITY) return more;
  return more + log1p(exp(less - more));
}

double THLogSub(double log_a, double log_b) {
  if (log_a < log_b) THError("LogSub: log_a (%f) should be greater than log_b (%f)", log_a, log_b);
  if (log_a == log_b) return THLogZero;
  return log_a + log1p(-exp(log_b - log_a));
}

double THExpMinusApprox(const double x) { return exp(-x); }
