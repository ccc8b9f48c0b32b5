/* api/link.c - ties the layers together before main: the collector learns who hears of collections.
 * Also brings the interposed functions into a static link, and owns the api layer's lock (link.h). */
#include "api/link.h"

#include <pthread.h>

#include "api/interpose.h"
#include "gc/fork.h"
#include "gc/start.h"
#include "heap/cache.h"
#include "heap/heap.h"
#include "prof/memstats.h"

enum { LOCK_WAIT_NS = 20 * 1000 };

const char tri_api_link;
__attribute__((used)) static const char *const interposed = &tri_interpose_anchor;

static void observe(const tri_cycle_report *report) {
  if (tri_start_settings()->trace_gc) tri_trace_collection(report);
  if (tri_start_settings()->trace_rounds && report->concurrent) tri_trace_rounds(report);
}

void *tri_api_alloc_slow(uint32_t bucket) { return TRI_KEEPING_ERRNO(tri_cache_alloc_slow(bucket)); }

/* ---- the lock ---- */

static _Atomic(uint32_t) api_turn TRI_OWN_DATA; /* 1: held. Acquire and release order what it guards */

void tri_api_lock(void) {
  TRI_KEEP_ERRNO;
  tri_gate_look();
  while (atomic_exchange_explicit(&api_turn, 1, memory_order_acquire)) tri_os_sleep(LOCK_WAIT_NS);
}

void tri_api_unlock(void) { atomic_store_explicit(&api_turn, 0, memory_order_release); }

/* Of whatever made it. Relaxed: the child has one thread. What the lock guards changes by single stores, so it is whole
 * wherever its holder was left behind. */
static void free_lock_of_child(void) { atomic_store_explicit(&api_turn, 0, memory_order_relaxed); }

/* ---- loading ---- */

/* Before other constructors: they may allocate. (The heap can start before this, too.) */
__attribute__((constructor(101))) static void link_layers(void) {
  tri_start_observer = observe;
  tri_fork_observer = free_lock_of_child;
  (void)pthread_atfork(NULL, NULL, free_lock_of_child);
}
