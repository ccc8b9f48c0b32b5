/* pacing.h - when the next collection begins, how much those who allocate help meanwhile, and when they wait for it.
 *
 * Owns the two pacers (gc/pacer.h), one of full and one of young collections, the limiter (gc/pacer_limit.h), the
 * heap's trigger (heap/heap.h) and its limit. Changed under the cycle lock; what is told relaxed any thread may read.
 * Threads that allocate while a mark is on revise the assist ratio themselves. */
#ifndef TRI_PACING_H
#define TRI_PACING_H

#include "gc/pacer.h"
#include "gc/pacer_limit.h"

void tri_pacing_init(int percent, uint64_t time, int processors);

/* Returns the percentage before; below zero: off. At any time; a mark that is on is paced by the new one. */
int tri_pacing_set_percent(int percent);

/* Bytes; PTRDIFF_MAX: none. */
size_t tri_pacing_goal(void);

/* A collection that could not be made must not be tried again at every allocation. */
void tri_pacing_put_off(void);

/* Bytes that are estimated to live. Relaxed. */
size_t tri_pacing_live(void);

/* Whether the heap is so far beyond its goal that who allocates should wait for the collection. Relaxed. */
bool tri_pacing_is_over_limit(void);

/* ---- a collection ---- */

/* What markers have scanned, in bytes, counted from any moment on; the counts may come round. */
typedef struct tri_pacing_done {
  size_t marked;    /* of objects, for the first time; since the process began */
  size_t rescanned; /* of what is dirty; in this collection */
} tri_pacing_done;

/* One begins; from now on there are assists. */
void tri_pacing_begin(bool young, tri_pacing_done done);

/* So much more was found dirty. The world may be stopped. */
void tri_pacing_note_dirty(size_t bytes);

/* Dirty pages come faster than they are scanned: those who allocate pay many times as much. */
void tri_pacing_press(void);

/* What the program writes cannot be read as fast: those who allocate wait, as beyond the limit, until they are let go
 * or the cycle is over. */
void tri_pacing_hold(bool on);

/* What a thread that has claimed so many bytes has to scan for them. Any thread that defers stops. */
size_t tri_pacing_due(size_t claimed, tri_pacing_done done);

typedef struct tri_pacing_result {
  size_t live;            /* just before what is dead was no longer counted */
  size_t left;            /* of that; found */
  tri_pacer_work scanned; /* remark: whatever was dirty */
  tri_pacer_times times;  /* duration 0: it was made in one stop */
} tri_pacing_result;

/* It has ended. tri_pacing_expect must follow. */
void tri_pacing_end(const tri_pacing_result *result);

/* It was given up. */
void tri_pacing_drop(void);

/* What the next one will be; beside: the program goes on allocating meanwhile. Not while one is on. */
void tri_pacing_expect(bool young, bool beside);

/* Of every stop of the program. Times: since the last of these calls (gc/pacer_limit.h); what markers used of the
 * processors counts as assist. */
void tri_pacing_stop_begins(uint64_t time, tri_limiter_times times);
void tri_pacing_stop_ends(uint64_t time);

/* Whether a collection is due for its own sake. period, last_end, time: as in tri_pacer_is_due. */
bool tri_pacing_is_due(uint64_t period, uint64_t last_end, uint64_t time);

/* What other threads were at is over. */
void tri_pacing_after_fork_child(uint64_t time);

#endif
