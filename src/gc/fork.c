/* fork.c - see fork.h.
 *
 * The child has a copy of the heap as it was at the fork, and none of the threads that were at work on it. Locks held
 * by them would stay held, but that is not all: a thread between two locks may have a span in hand that no list knows,
 * or have half exchanged a bitmap. So the heap is brought to rest before a fork:
 *
 *   1. no collection runs or begins (tri_cycle_pause); the background thread does not sweep (tri_sweep_pause); the
 *      markers' helpers touch nothing between marks
 *   2. the world is stopped for a moment: then every thread is outside its slow paths, and the gate is closed in front
 *      of them (heap/cache.h). The threads go on; one that wants more than its cache holds waits at the gate
 *   3. the registry's lock is taken: nobody attaches or detaches
 *
 * Only the few locks of 1 and 3 are held, so the program's own handlers, which run between prepare and the fork, or
 * before our parent and child, may allocate. The world cannot stay stopped instead: a stopped thread may hold a lock
 * that those handlers or fork itself want. Where step 2 fails, because a thread blocks the stop signal by a system
 * call, or where the loader's lock is in somebody's hands (cycle.c), the child collects no more: what it allocates
 * lasts.
 *
 * Locks, in the order of their ranks: TRI_RANK_CYCLE, TRI_RANK_SWEEP, TRI_RANK_REGISTRY, all held by the forking thread
 * from prepare to parent or child. */
#include "gc/fork.h"

#include <errno.h>
#include <pthread.h>

#include "gc/cycle.h"
#include "gc/mark.h"
#include "gc/parcel.h"
#include "gc/sweep.h"
#include "gc/thread.h"

static struct {
  bool prepared; /* written with the cycle lock held */
  bool at_rest, child_collects;
  _Atomic(tri_thread *) owner;    /* relaxed: each thread compares it with itself */
  _Atomic(bool) collects_no_more; /* of a child; relaxed: written while it has one thread */
} fork_state TRI_OWN_DATA;

/* Whether this thread forks while there is no heap, and holds the registry's lock alone: parcels (gc/parcel.h) are
 * there without a heap. */
static _Thread_local bool forks_early __attribute__((tls_model("initial-exec")));

bool tri_fork_forbids_waiting(void) {
  if (atomic_load_explicit(&fork_state.collects_no_more, memory_order_relaxed)) return true;
  return atomic_load_explicit(&fork_state.owner, memory_order_relaxed) == tri_thread_known();
}

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

void tri_fork_prepare(void) {
  int saved_errno = errno;
  if (!tri_stop_signal()) {
    tri_threads_lock();
    forks_early = true;
    return;
  }
  tri_thread *self = tri_thread_self();
  if (!self || atomic_load_explicit(&self->cache.defer, memory_order_relaxed)) return;
  bool loader_is_free = tri_cycle_pause();
  tri_cache_defer(&self->cache);
  atomic_store_explicit(&fork_state.owner, self, memory_order_relaxed);
  fork_state.prepared = true;
  tri_sweep_pause();
  fork_state.at_rest = close_gate();
  fork_state.child_collects = fork_state.at_rest && loader_is_free;
  tri_threads_lock();
  errno = saved_errno;
}

static bool is_prepared(void) {
  return atomic_load_explicit(&fork_state.owner, memory_order_relaxed) == tri_thread_known() && fork_state.prepared;
}

static void release(bool collecting) {
  tri_thread *self = tri_thread_known();
  fork_state.prepared = false;
  tri_threads_unlock();
  if (fork_state.at_rest) open_gate();
  tri_sweep_resume();
  atomic_store_explicit(&fork_state.owner, NULL, memory_order_relaxed);
  tri_cycle_resume(collecting);
  tri_cache_undefer(&self->cache);
}

static void release_early(void) {
  forks_early = false;
  tri_threads_unlock();
}

void tri_fork_parent(void) {
  int saved_errno = errno;
  if (is_prepared()) release(true);
  if (forks_early) release_early();
  errno = saved_errno;
}

void tri_fork_child(void) {
  int saved_errno = errno;
  if (is_prepared()) {
    tri_threads_after_fork_child();
    tri_mark_after_fork_child();
    tri_sweep_after_fork_child();
    atomic_store_explicit(&fork_state.collects_no_more, !fork_state.child_collects, memory_order_relaxed);
    release(fork_state.child_collects);
  }
  if (forks_early) {
    tri_parcels_after_fork_child(pthread_self());
    release_early();
  }
  errno = saved_errno;
}
