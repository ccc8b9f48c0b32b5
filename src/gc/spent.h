/* spent.h - where the processors' time went: the collector's part of it (GCCPUFraction), and what the limiter
 * (gc/pacer_limit.h) has to know.
 *
 * By Go's rule a stop takes all processors for as long as it lasts, whatever is done in it. Outside stops it is what
 * markers, threads that assist and who makes the steps of a collection had of a processor; not how long they were at
 * it. Under the cycle lock. */
#ifndef TRI_SPENT_H
#define TRI_SPENT_H

#include "base/base.h"

void tri_spent_init(uint64_t time);

/* A collection begins; tri_mark_begin has been called. */
void tri_spent_begin(void);
/* It is over, in a step. */
void tri_spent_end(void);

/* By the thread that makes the step, which may be another each time. */
void tri_spent_step_begins(void);
void tri_spent_step_ends(void);

/* A stop, in a step. begins: returns the time, from which on it counts. ends: at this time. */
uint64_t tri_spent_stop_begins(void);
void tri_spent_stop_ends(uint64_t time);

/* Since tri_spent_init. elapsed: to now. */
double tri_spent_fraction(uint64_t elapsed);

/* Clocks of processor time begin anew in the child. */
void tri_spent_after_fork_child(void);

#endif
