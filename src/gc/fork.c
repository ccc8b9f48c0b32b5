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
 *      of them (heap/gate.h). The threads go on; one that wants more than its cache holds waits at the gate
 *   4. the registry's lock is taken: nobody attaches or detaches
 *
 * Only the few locks of 1, 2 and 4 are held, so the program's own handlers, which run between prepare and the fork, or
 * before our parent and child, may allocate, start the heap and start threads. The world cannot stay stopped instead: a
 * stopped thread may hold a lock that those handlers or fork itself want.
 *
 * The child then is in one of these conditions:
 *
 *   at rest      it goes on as its parent does
 *   torn         step 3 failed, because a thread blocks the stop signal by a system call; or nothing was prepared, see
 *                below. Other threads may have been anywhere. The heap is mended (heap/mend.h), locks that nobody will
 *                drop are free, and there are no collections
 *   broken       as torn, but this thread was in a slow path of its own, so the heap cannot be mended
 *
 * It can fork again in any of them.
 *
 * Who is not told. _Fork calls no handlers, so the library stands in for it, and prepares it as a fork, but not in a
 * signal handler of the program's: what is waited for in steps 1 to 4 may be held by a thread that waits for a lock of
 * the C library's which the interrupted code holds. That child, and one made by a bare system call, find the gate
 * untold when they first come to it (heap/gate.h). They have been at nothing of the library's since the fork, so they
 * can be told then as well as at once: they are torn, and so a program that does nothing but exec does not pay for it.
 * In the child of _Fork the locks of malloc may be nobody's, and to start a thread takes them; so, unless the program
 * had one thread only, it starts none of ours, and its own make the collections.
 *
 * The loader's lock. A collection visits the loader (cycle.c), and the C library's fork resets all the loader's locks
 * but the one that this takes: a child whose parent had another thread in dl_iterate_phdr, or at the very moment
 * linking or unlinking a library, would wait for it for ever. To take it for the fork would not do: between prepare and
 * the fork run handlers of other libraries, allocators among them, which wait for threads that may want that lock to
 * unwind their stacks. Nor would to drop it in the child, for libraries may have been unmapped that are listed still.
 * So the child looks whether it can be had, while it has one thread and the answer cannot change, and if not makes no
 * collections. Where the thread that forked has it itself, it goes on having it. When the lock cannot be found
 * (os/linux_modules.c), there is only what tri_cycle_pause has seen.
 *
 * Locks, in the order of their ranks: the start's turn, TRI_RANK_CYCLE, TRI_RANK_SWEEP, TRI_RANK_REGISTRY, all held by
 * the forking thread from prepare to parent or child. */
#include "gc/fork.h"

#include <errno.h>
#include <pthread.h>

#include "gc/action.h"
#include "gc/collection.h"
#include "gc/mark.h"
#include "gc/start.h"
#include "gc/sweep.h"
#include "gc/thread.h"
#include "gc/work.h"
#include "heap/mend.h"

/* How this thread has prepared the fork that it is in. */
static _Thread_local enum {
  UNPREPARED,
  EARLY, /* there was no heap; parcels (gc/parcel.h) there are without */
  PREPARED,
} how __attribute__((tls_model("initial-exec")));

/* Of the fork that is under way; the cycle lock is held. */
static struct {
  _Atomic(bool) is_on; /* relaxed: in the parent only a figure; in the child all that its threads see of it is there */
  bool at_rest, loader_is_free;
  bool starts_none; /* in the child, no thread of ours */
  int id;           /* the thread's, in the parent */
} fork_state TRI_OWN_DATA;

void (*tri_fork_observer)(void) TRI_OWN_DATA;

/* The gate's value is seen by every thread when it goes on: that follows the end of the stop (thread.h). */
static bool close_gate(void) {
  if (!tri_stop_begin()) return false;
  tri_gate_close();
  tri_stop_end();
  return true;
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
    fork_state.id = tri_os_thread_id();
    fork_state.starts_none = false;
    atomic_store_explicit(&fork_state.is_on, true, memory_order_relaxed);
    how = self ? PREPARED : EARLY;
  }
  tri_thread_busy_end();
  errno = saved_errno;
}

static void release(void) {
  tri_thread *self = tri_thread_known();
  bool prepared = how == PREPARED;
  how = UNPREPARED;
  atomic_store_explicit(&fork_state.is_on, false, memory_order_relaxed);
  tri_threads_unlock_for_fork();
  if (!tri_gate_is_open()) tri_gate_open();
  if (prepared) tri_sweep_resume();
  tri_cycle_resume();
  if (prepared) tri_cache_undefer(&self->cache);
  tri_start_resume();
}

void tri_fork_parent(void) {
  int saved_errno = errno;
  if (how != UNPREPARED) release();
  errno = saved_errno;
}

/* Whether a collection of the child's can visit the loader. */
static bool can_visit_loader(void) {
  switch (tri_os_loader_survives(how == UNPREPARED ? 0 : fork_state.id)) {
  case TRI_OS_YES: return true;
  case TRI_OS_NO: return false;
  case TRI_OS_UNKNOWN: break;
  }
  return how == UNPREPARED || fork_state.loader_is_free;
}

/* Why there can be no collections in the child. */
static const char *why_not(bool torn) {
  bool loader = can_visit_loader();
  if (torn && how == UNPREPARED) return "by a bare system call, by a signal handler, or without memory";
  if (torn) return "while a thread could not be stopped";
  return !loader ? "while a thread held the loader's lock" : NULL;
}

/* Before the heap is started there is nothing to be torn. */
static void go_on_as_child(void) {
  tri_thread *self = tri_thread_known();
  bool prepared = how == PREPARED, started = tri_stop_signal() != 0;
  bool torn = prepared ? !fork_state.at_rest : started && how == UNPREPARED;
  if (how != UNPREPARED && fork_state.starts_none) tri_threads_start_none();
  tri_stop_after_fork_child(self);
  tri_threads_after_fork_child(torn);
  tri_mark_after_fork_child();
  tri_sweep_after_fork_child(prepared);
  tri_cycle_after_fork_child(why_not(torn));
  tri_start_after_fork_child();
  if (!torn) return;
  tri_roots_after_fork_child();
  tri_work_mend();
  if (prepared || !tri_thread_defers_stops()) tri_heap_mend();
}

void tri_fork_child(void) {
  int saved_errno = errno;
  go_on_as_child();
  if (how != UNPREPARED)
    release();
  else
    tri_gate_open();
  errno = saved_errno;
}

/* ---- children that no handler tells ---- */

static void observe(void) {
  if (tri_fork_observer) tri_fork_observer();
}

/* A thread that another's handlers have started in the child of a prepared fork finds the gate untold, but the one that
 * forked sees to it: it is the process's first, as any thread that forks is in the child. */
static bool is_left_to_another(void) {
  return atomic_load_explicit(&fork_state.is_on, memory_order_relaxed) && tri_os_thread_id() != tri_os_process_id();
}

static void find_out(void) {
  int saved_errno = errno;
  if (how == EARLY) tri_gate_open(); /* one of those handlers is starting the heap */
  if (how == UNPREPARED && !is_left_to_another() && tri_gate_claim()) {
    atomic_store_explicit(&fork_state.is_on, false, memory_order_relaxed); /* another thread's, in the parent */
    observe();
    tri_fork_child();
  }
  errno = saved_errno;
}

void tri_fork_watch(void) { tri_gate_on_untold = find_out; }

/* In a handler of the program's, or within a fork that is prepared already. Where the library was interrupted, the
 * child goes on in it before it comes to the gate, so it is told at once. */
static int make_unprepared(int (*make)(void)) {
  int child = make();
  if (child == 0 && how == UNPREPARED && (tri_thread_busy || !tri_gate_tells())) {
    observe();
    tri_fork_child();
  }
  return child;
}

/* The fork is prepared: every thread of the program is known, if the heap is started. */
static bool is_alone(void) {
  return how == PREPARED ? tri_threads_is_only(tri_thread_known()) : tri_os_task_count() == 1;
}

int tri_fork_bare(int (*make)(void)) {
  if (how != UNPREPARED || tri_action_is_running()) return make_unprepared(make);
  tri_fork_prepare();
  if (how == UNPREPARED) return make_unprepared(make);
  fork_state.starts_none = !is_alone();
  int child = make();
  if (child == 0) {
    observe();
    tri_fork_child();
  } else {
    tri_fork_parent();
  }
  return child;
}
