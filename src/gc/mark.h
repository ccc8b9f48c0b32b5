/* mark.h - finding everything that can be reached from the roots, by several markers at once: the thread that directs a
 * collection, helpers of the library's own, and threads of the program that assist. The world may run.
 *
 * One mark is made of sessions (gc/work.h). Between them what is grey is kept. Everything here but assisting is for the
 * holder of the turn. */
#ifndef TRI_MARK_H
#define TRI_MARK_H

#include "gc/helpers.h"
#include "gc/roots.h"

/* How many markers a mark may use, the calling thread included. False when memory is out. */
bool tri_mark_init(int markers);

/* Starts the helper threads that are not there yet, if a mark of so many bytes is worth their help. Holding no lock. */
void tri_mark_start_helpers(size_t marked_bytes);

/* Takes the turn: sessions of whoever had it are over, and no marker is at work, when this returns. */
uint32_t tri_mark_take_turn(void);

/* ---- one mark ---- */

/* A mark begins; nothing is grey. */
void tri_mark_begin(void);

/* What the next sessions have to go through besides what is grey: roots, and dirty ranges of the heap, which are
 * scanned again. The lists stay as they are until tri_mark_dirty_left says what was not come to. */
typedef struct tri_mark_jobs {
  const tri_root *roots;
  size_t root_count;
  const tri_os_range *dirty;
  size_t dirty_count;
} tri_mark_jobs;
void tri_mark_set_jobs(tri_mark_jobs jobs);

/* How many markers there are with the helpers that were started. */
int tri_mark_markers(void);

/* Whom to call for a mark of so many bytes: nobody when it is not worth waking others for, else as many as may be. */
tri_helpers_call tri_mark_help_for(size_t bytes, tri_helpers_call most);

/* Marks until nothing is left: true. Or until the deadline (0: none) or the turn is lost: false. */
bool tri_mark_run(uint32_t turn, tri_helpers_call call, uint64_t deadline);

/* Whether there is something left to mark, as far as is known. No session is on. */
bool tri_mark_is_left(void);

/* Marks what these roots point to, and makes it grey, in a session of its own: others may help, with roots or with what
 * is grey. The caller has the turn, and keeps it. */
void tri_mark_read(uint32_t turn, tri_helpers_call call, const tri_root *roots, size_t count);

/* The caller alone marks what these roots point to, and makes it grey. No session is on. False when memory is out. */
bool tri_mark_shade(const tri_root *roots, size_t count);

/* How many of the dirty ranges no marker has begun with. */
size_t tri_mark_dirty_left(void);

/* What is grey is forgotten. */
void tri_mark_drop(void);

typedef struct tri_mark_result {
  size_t marked_bytes;      /* in slots */
  size_t rescanned;         /* bytes of dirty ranges */
  uint64_t cpu_ns;          /* of all markers but assists and helpers on idle processors, */
  uint64_t director_cpu_ns; /* of these, of who has the turn, */
  uint64_t idle_cpu_ns;     /* and of those */
  uint64_t assist_ns;       /* as it passed for those who assisted, */
  uint64_t assist_cpu_ns;   /* and what they had of the processors */
  int markers;              /* that took part */
} tri_mark_result;
tri_mark_result tri_mark_figures(void);

/* ---- for threads of the program ---- */

/* Scans about so many bytes of grey objects if a session is on, for a time at most. Returns how many. Stops
 * deferred. */
size_t tri_mark_assist(size_t bytes, uint64_t time);

void tri_mark_after_fork_child(void);

/* Whether the object that starts at start is marked. */
TRI_INLINE bool tri_mark_is_set(uintptr_t start) {
  return atomic_load_explicit(&tri_arena_bits(start)->mark, memory_order_relaxed) & tri_bit_mask(start);
}

#endif
