/* prof/memstats.h - the heap's figures under Go's names, and the trace of collections. */
#ifndef TRI_PROF_MEMSTATS_H
#define TRI_PROF_MEMSTATS_H

#include <tricolor.h>

#include "gc/cycle.h"

/* Sums of per-thread counters and region sizes; stops nobody. The heap is started. */
void tri_memstats_collect(tri_memstats *stats);
void tri_stopstats_collect(tri_stopstats *stats);

/* One line in the form of gctrace (runtime/mgc.go: gcMarkTermination). */
void tri_trace_collection(const tri_cycle_report *report);

/* What there is to say besides of one that ran beside the program. */
void tri_trace_rounds(const tri_cycle_report *report);

#endif
