/* pacing.h - when the next collection begins, how much those who allocate help meanwhile, and when they wait for it.
 *
 * Owns the heap's trigger (heap/heap.h) and limit. Changed under the cycle lock; what is told relaxed any thread may
 * read. Follows runtime/mgcpacer.go in what it aims at: a heap that has grown by the percentage when a collection ends,
 * measured from what a full one has left; tri_pacer (gc/pacer.h) computes that goal. */
#ifndef TRI_PACING_H
#define TRI_PACING_H

#include "base/base.h"

void tri_pacing_init(int percent);

/* Returns the percentage before; below zero: off. */
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

/* One begins: the rate at which the program allocated since the last. */
void tri_pacing_begin(uint64_t time);

/* A mark goes on beside the program, of so many bytes: by when it should be done. done: bytes that markers have scanned
 * since the process began. */
void tri_pacing_set_assists(size_t work, size_t done);

/* Dirty pages come faster than they are scanned: those who allocate pay many times as much. */
void tri_pacing_press(void);

/* What a thread that has claimed so many bytes has to scan for them. Any thread. */
size_t tri_pacing_due(size_t claimed, size_t done);

/* What a full collection found. */
typedef struct tri_pacing_base {
  size_t marked, stack_bytes, data_bytes;
} tri_pacing_base;
void tri_pacing_set_base(tri_pacing_base base);

/* One has ended and so many bytes are left. The next is expected to take so long, in which the program goes on
 * allocating; 0: it is stopped. */
void tri_pacing_end(uint64_t time, size_t left, uint64_t next_duration);

#endif
