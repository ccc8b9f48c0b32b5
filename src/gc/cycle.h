/* cycle.h - one collection, and the record of those there were; the head of cycle.c tells how one goes.
 *
 * Lock: TRI_RANK_CYCLE, held for a whole collection and to read the record. Who waits for it must not defer stops: its
 * holder may be about to stop him. */
#ifndef TRI_CYCLE_H
#define TRI_CYCLE_H

#include "base/options.h"
#include "gc/history.h"
#include "heap/heap.h"

bool tri_cycle_init(const tri_settings *settings, void (*observer)(const tri_cycle_report *));

/* Runs a collection for the reason, or waits for one that is under way when that will do. The calling thread is
 * attached and does not defer stops. False when no collection could be made: a thread cannot be stopped, memory is out,
 * the caller forks or is a handler that interrupted the collector's own code (tri_thread_busy), or see
 * tri_cycle_after_fork_child. */
bool tri_cycle_run(tri_cycle_reason reason);

/* Waits for collections under way and lets none begin until resume, which the same thread, or its copy in the child of
 * a fork, calls. Takes the cycle lock; stops not deferred. False when threads wait for the loader's lock in vain: a
 * child of this fork may never get it. */
bool tri_cycle_pause(void);
void tri_cycle_resume(void);

/* In the child; what the threads that are no more were at is over. why_not: NULL, or why no collection can ever be made
 * here, which is said when one is wanted. */
void tri_cycle_after_fork_child(const char *why_not);

/* Whether this process is such a child. */
bool tri_cycle_is_off(void);

/* Sets the percentage; returns the old one. */
int tri_cycle_set_percent(int percent);

tri_cycle_history tri_cycle_read_history(void);

/* How many collections were begun, and how many of them are finished or given up. Waits for nobody; any thread. */
void tri_cycle_counts(uint64_t *begun, uint64_t *over);

#endif
