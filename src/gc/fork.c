/* fork.c - see fork.h.
 *
 * The child has a copy of the heap as it was at the fork, and none of the threads that were at work on it. Locks held
 * by them would stay held, but that is not all: a thread between two locks may have a span in hand that no list knows,
 * or have half exchanged a bitmap. So the heap is brought to rest before a fork:
 *
 *   1. nobody is starting the heap (tri_start_pause)
 *   2. no collection runs or begins (tri_cycle_pause), and of one that is under way nobody marks (tri_collection_rest);
 *      the background thread does not sweep (tri_sweep_pause)
 *   3. the world is stopped for a moment: then every thread is outside its slow paths, and the gate is closed in front
 *      of them (heap/cache.h). The threads go on; one that wants more than its cache holds waits at the gate
 *   4. the registry's lock is taken: nobody attaches or detaches
 *
 * Only the few locks of 1, 2 and 4 are held, so the program's own handlers, which run between prepare and the fork, or
 * before our parent and child, may allocate, start the heap and start threads. The world cannot stay stopped instead: a
 * stopped thread may hold a lock that those handlers or fork itself want.
 *
 * The child then is in one of these conditions:
 *
 *   at rest      it goes on as its parent does; but where the loader's lock was in somebody's hands (cycle.c) it makes
 *                no collections
 *   torn         step 3 failed, because a thread blocks the stop signal by a system call; or nothing was prepared, see
 *                fork.h. Other threads may have been anywhere. The heap is mended (heap/mend.h), locks that nobody will
 *                drop are free, and there are no collections
 *   broken       as torn, but this thread was in a slow path of its own, so the heap cannot be mended
 *
 * It can fork again in any of them. Locks, in the order of their ranks: the start's turn, TRI_RANK_CYCLE,
 * TRI_RANK_SWEEP, TRI_RANK_REGISTRY, all held by the forking thread from prepare to parent or child. */
#include "gc/fork.h"

#include <errno.h>
#include <pthread.h>

#include "gc/collection.h"
#include "gc/mark.h"
#include "gc/start.h"
#include "gc/sweep.h"
#include "gc/thread.h"
#include "heap/mend.h"

/* How this thread has prepared the fork that it is in. */
static _Thread_local enum {
  UNPREPARED,
  EARLY, /* there was no heap; parcels (gc/parcel.h) there are without */
  PREPARED,
} how __attribute__((tls_model("initial-exec")));

/* Of the fork that is under way; the cycle lock is held. */
static struct { bool at_rest, loader_is_free; } fork_state TRI_OWN_DATA;

/* The gate's value is seen by every thread when it goes on: that follows the end of the stop (thread.h). */
static bool close_gate(void) {
  if (!tri_stop_begin()) return false;
  atomic_store_explicit(&tri_cache_gate, 1, memory_order_relaxed);
  tri_stop_end();
  return true;
}

/* Release: a thread that waited at the gate sees what the fork did. */
static void open_gate(void) {
  atomic_store_explicit(&tri_cache_gate, 0, memory_order_release);
  tri_os_wake(&tri_cache_gate, INT32_MAX);
}

static void bring_to_rest(tri_thread *self) {
  tri_cache_defer(&self->cache);
  tri_collection_rest();
  tri_sweep_pause();
  fork_state.at_rest = close_gate();
}

void tri_fork_prepare(void) {
  int saved_errno = errno;
  if (tri_thread_busy || tri_thread_defers_stops()) return;
  tri_thread_busy_begin();
  tri_start_pause();
  bool started = tri_stop_signal() != 0;
  tri_thread *self = started ? tri_thread_self() : NULL;
  if (self || !started) {
    fork_state.loader_is_free = tri_cycle_pause();
    if (self) bring_to_rest(self);
    tri_threads_lock_for_fork();
    how = self ? PREPARED : EARLY;
  }
  tri_thread_busy_end();
  errno = saved_errno;
}

static void release(void) {
  tri_thread *self = tri_thread_known();
  bool prepared = how == PREPARED;
  how = UNPREPARED;
  tri_threads_unlock_for_fork();
  if (prepared) {
    if (fork_state.at_rest) open_gate();
    tri_sweep_resume();
  }
  tri_cycle_resume();
  if (prepared) tri_cache_undefer(&self->cache);
  tri_start_resume();
}

void tri_fork_parent(void) {
  int saved_errno = errno;
  if (how != UNPREPARED) release();
  errno = saved_errno;
}

/* Why there can be no collections in the child. */
static const char *why_not(bool torn) {
  if (how == UNPREPARED) return "by a signal handler that had interrupted the library, or without memory";
  if (torn) return "while a thread could not be stopped";
  return !fork_state.loader_is_free ? "while a thread held the loader's lock" : NULL;
}

static void go_on_as_child(void) {
  tri_thread *self = tri_thread_known();
  bool prepared = how == PREPARED;
  bool torn = prepared ? !fork_state.at_rest : how == UNPREPARED;
  tri_stop_after_fork_child(self);
  tri_threads_after_fork_child(torn);
  tri_mark_after_fork_child();
  tri_sweep_after_fork_child(prepared);
  tri_cycle_after_fork_child(why_not(torn));
  tri_start_after_fork_child();
  if (!torn) return;
  tri_roots_after_fork_child();
  atomic_store_explicit(&tri_cache_gate, 0, memory_order_relaxed);
  if (prepared || !tri_thread_defers_stops()) tri_heap_mend();
}

void tri_fork_child(void) {
  int saved_errno = errno;
  go_on_as_child();
  if (how != UNPREPARED) release();
  errno = saved_errno;
}
