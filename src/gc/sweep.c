/* sweep.c - see sweep.h. */
#include "gc/sweep.h"

#include "gc/thread.h"
#include "heap/heap.h"
#include "heap/object.h"
#include "heap/unswept.h"

enum {
  BATCH = 64,           /* spans swept per turn at the lock */
  SCAVENGE_SHARE = 100, /* one part in so many of a processor, */
  FAULTS_COST = 3,      /* with what it costs to use the memory again: a fault a page, so many times as much */
};

static struct {
  tri_lock lock;
  _Atomic(uint32_t) request; /* futex word: bumped per collection. Release; pairs with the background's acquire */
  _Atomic(size_t) retain;
  _Atomic(bool) started;
} sweep TRI_OWN_DATA = {.lock = TRI_LOCK_INIT(TRI_RANK_SWEEP), .retain = SIZE_MAX};

bool tri_sweep_batch(void) { return tri_unswept_sweep(BATCH) == BATCH; }

void tri_sweep_settle(void) {
  TRI_ASSERT(!tri_thread_defers_stops());
  tri_thread_busy_begin();
  tri_lock_take(&sweep.lock);
  tri_lock_drop(&sweep.lock);
  tri_thread_busy_end();
}

void tri_sweep_finish(void) {
  tri_lock_take(&sweep.lock);
  while (tri_sweep_batch()) {}
}

bool tri_sweep_is_done(void) {
  bool any = !tri_lock_is_held(&sweep.lock) || tri_large_any_unswept();
  for (uint32_t bucket = 1; bucket < tri_central_count() && !any; bucket++) any = tri_central_any_unswept(bucket);
  return !any;
}

void tri_sweep_pause(void) { tri_lock_take(&sweep.lock); }
void tri_sweep_resume(void) { tri_lock_drop(&sweep.lock); }

/* ---- the background thread ---- */

static void sweep_quietly(void) {
  bool more = true;
  while (more) {
    tri_lock_take(&sweep.lock);
    more = tri_sweep_batch();
    tri_lock_drop(&sweep.lock);
  }
}

/* Under the lock like everything this thread does to the heap, so that a fork which holds it finds the thread at
 * rest. */
static bool retains_too_much(void) {
  tri_lock_take(&sweep.lock);
  tri_page_heap_figures heap = tri_page_heap_read();
  tri_lock_drop(&sweep.lock);
  return heap.heap_bytes - heap.released_bytes > atomic_load_explicit(&sweep.retain, memory_order_relaxed);
}

/* Gives a little back; returns until when it has to sleep for that, some hundred times as long as it took. 0: there is
 * nothing left to give. */
static uint64_t scavenge_some(void) {
  uint64_t before = tri_os_thread_cpu();
  tri_lock_take(&sweep.lock);
  size_t released = tri_page_heap_release(TRI_PAGES_PER_HUGE, false);
  tri_lock_drop(&sweep.lock);
  uint64_t spent = tri_os_thread_cpu() - before;
  return released ? tri_os_now() + spent * (1 + FAULTS_COST) * (SCAVENGE_SHARE - 1) : 0;
}

/* Until the next collection, or enough is given back. rest_until: of the time before; a collection does not end it. */
static void scavenge_slowly(uint32_t request, uint64_t *rest_until) {
  while (atomic_load_explicit(&sweep.request, memory_order_relaxed) == request && retains_too_much()) {
    uint64_t time = tri_os_now();
    if (time < *rest_until)
      tri_os_wait(&sweep.request, request, *rest_until - time);
    else if (!(*rest_until = scavenge_some()))
      return;
  }
}

static void background(void *argument) {
  (void)argument;
  uint32_t done = 0;
  uint64_t rest_until = 0;
  for (;;) {
    uint32_t request = atomic_load_explicit(&sweep.request, memory_order_acquire);
    if (request == done) {
      tri_os_wait(&sweep.request, done, 0);
      continue;
    }
    done = request;
    sweep_quietly();
    scavenge_slowly(request, &rest_until);
  }
}

void tri_sweep_start(void) {
  bool started = atomic_exchange_explicit(&sweep.started, true, memory_order_relaxed);
  if (!started && !tri_thread_start_own(background, NULL, "tricolor-sweep"))
    atomic_store_explicit(&sweep.started, false, memory_order_relaxed); /* refused: the next collection tries again */
}

void tri_sweep_share_out(void) {
  ptrdiff_t live = atomic_load_explicit(&tri_the_heap.live, memory_order_relaxed);
  ptrdiff_t trigger = atomic_load_explicit(&tri_the_heap.trigger, memory_order_relaxed);
  tri_unswept_share_out(tri_unswept_count(), trigger > live ? (size_t)trigger - (size_t)live : 0);
}

void tri_sweep_in_background(size_t retain) {
  atomic_store_explicit(&sweep.retain, retain, memory_order_relaxed);
  atomic_fetch_add_explicit(&sweep.request, 1, memory_order_release);
  tri_os_wake(&sweep.request, 1);
}

size_t tri_scavenge_all(void) {
  size_t pages = 0, some;
  while ((some = tri_page_heap_release(SIZE_MAX, true)) != 0) pages += some;
  return pages * TRI_PAGE_SIZE;
}

void tri_sweep_after_fork_child(bool paused) {
  tri_lock_after_fork_child(&sweep.lock, paused);
  atomic_store_explicit(&sweep.started, false, memory_order_relaxed);
}
