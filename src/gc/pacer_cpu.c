/* pacer_cpu.c - see pacer_cpu.h. */
#include "gc/pacer_cpu.h"

#include "gc/pacer.h"

static const double MOST_ERROR = 0.3;     /* of the share, by rounding to whole workers */
static const double FRACTION_SLACK = 1.2; /* what a fractional worker may overdraw */

tri_pacer_workers tri_pacer_split(int processors, bool periodic) {
  TRI_ASSERT(processors > 0);
  double share = processors * TRI_PACER_SHARE;
  tri_pacer_workers workers = {.dedicated = (int)(share + 0.5)};
  double error = workers.dedicated / share - 1;
  if (error > MOST_ERROR || error < -MOST_ERROR) {
    if (workers.dedicated > share) workers.dedicated--;
    workers.fraction = (share - workers.dedicated) / processors;
  }
  workers.idle = processors - workers.dedicated;
  if (periodic) workers.idle = workers.dedicated == 0;
  return workers;
}

bool tri_pacer_fraction_begins(double fraction, uint64_t worked, uint64_t elapsed) {
  return (double)worked <= fraction * (double)elapsed;
}

bool tri_pacer_fraction_goes_on(double fraction, uint64_t worked, uint64_t elapsed) {
  return elapsed > 0 && (double)worked <= FRACTION_SLACK * fraction * (double)elapsed;
}

double tri_pacer_cpu_fraction(const tri_pacer_spent *spent, uint64_t elapsed, int processors) {
  double available = (double)elapsed * processors;
  if (!(available > 0)) return 0;
  double taken = (double)spent->assist + (double)spent->workers + (double)spent->stopped * processors;
  return taken < available ? taken / available : 1;
}
