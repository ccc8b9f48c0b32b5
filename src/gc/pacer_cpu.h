/* pacer_cpu.h - the collector's share of the processors: how many workers mark, and what it all took. Pure, like
 * gc/pacer.h, whose TRI_PACER_SHARE is what the workers should come to.
 *
 * A dedicated worker marks until the cycle ends. Where whole workers would miss the share by more than three tenths (up
 * to three processors, and at six), a worker per processor marks for a fraction of the time. Idle workers have what
 * nobody else wants. Follows startCycle, assignWaitingGCWorker and pollFractionalWorkerExit of the runtime package. */
#ifndef TRI_PACER_CPU_H
#define TRI_PACER_CPU_H

#include "base/base.h"

typedef struct tri_pacer_workers {
  int dedicated;
  double fraction; /* of the time of each processor, for a fractional worker there; 0: there are none. All of them
                    * together are fraction * processors of one processor */
  int idle;        /* at most so many workers of idle priority */
} tri_pacer_workers;

/* The workers of a cycle. periodic: nothing but time asked for it, so the processors are left alone where they can be;
 * but fractional workers cannot be relied on to be run, so one other worker there always is. (startCycle) */
tri_pacer_workers tri_pacer_split(int processors, bool periodic);

/* Whether a fractional worker that marked for so long, of so long since the cycle started, should go on or begin again.
 * It stops a fifth above its fraction, so that it need not begin again at once. Nanoseconds.
 * (assignWaitingGCWorker, pollFractionalWorkerExit) */
bool tri_pacer_fraction_begins(double fraction, uint64_t worked, uint64_t elapsed);
bool tri_pacer_fraction_goes_on(double fraction, uint64_t worked, uint64_t elapsed);

/* Processor time of all cycles so far, in nanoseconds. (cpuStats) */
typedef struct tri_pacer_spent {
  uint64_t assist;  /* the program's threads */
  uint64_t workers; /* dedicated and fractional ones; not the idle, whose time nobody wanted */
  uint64_t stopped; /* wall: all processors are the collector's then, used or not */
} tri_pacer_spent;

/* GCCPUFraction: the collector's part, 0 to 1, of the time the processors had for the program. elapsed: wall, since the
 * program started. (gcMarkTermination: gc_cpu_fraction) */
double tri_pacer_cpu_fraction(const tri_pacer_spent *spent, uint64_t elapsed, int processors);

#endif
