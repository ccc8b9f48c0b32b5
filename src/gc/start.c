/* start.c - see start.h. Nothing starts by itself: the first allocation or tri_init comes by here. Lock: its own,
 * outermost; the heap is not there yet, so nobody can be stopped in it. */
#include "gc/start.h"

#include "gc/check.h"
#include "gc/thread.h"
#include "gc/work.h"
#include "heap/layout.h"

void (*tri_start_observer)(const tri_cycle_report *) TRI_OWN_DATA;

static struct {
  _Atomic(uint32_t) turn; /* 0: nobody, 1: somebody is at it. Acquire and release order what start did */
  _Atomic(bool) done;
  tri_settings settings;
} start TRI_OWN_DATA;

const tri_settings *tri_start_settings(void) { return &start.settings; }

/* The program may start the heap before the observer is set. */
static void observe(const tri_cycle_report *report) {
  if (tri_start_observer) tri_start_observer(report);
}

static bool start_heap(const tri_settings *settings) {
  if (!tri_the_arena.base && !tri_arena_init((size_t)settings->heap_reserve)) return false;
  if (!settings->huge_pages) tri_the_arena.huge_from = SIZE_MAX;
  return tri_page_heap_init() && tri_central_init() && tri_layout_init();
}

static bool start_all(const tri_settings *settings) {
  tri_os_tls_prepare();
  tri_the_heap.check = settings->check;
  tri_the_heap.poison = settings->poison;
  tri_the_heap.collect_every = (uint32_t)settings->collect_every;
  tri_work_limit((size_t)settings->work_buffers);
  return start_heap(settings) && tri_threads_init() && tri_stop_init((int)settings->signal) &&
         tri_cycle_init(settings, observe);
}

bool tri_start(const tri_settings *settings, bool *already) {
  *already = atomic_load_explicit(&start.done, memory_order_acquire);
  if (*already) return true;
  while (atomic_exchange_explicit(&start.turn, 1, memory_order_acquire)) tri_os_sleep(50 * 1000);
  *already = atomic_load_explicit(&start.done, memory_order_acquire);
  bool good = *already;
  if (!good) {
    if (settings)
      start.settings = *settings;
    else
      (void)tri_settings_read(&start.settings); /* complaints are printed; defaults stand in */
    good = start_all(&start.settings);
    atomic_store_explicit(&start.done, good, memory_order_release);
  }
  atomic_store_explicit(&start.turn, 0, memory_order_release);
  return good;
}

struct tri_cache *tri_start_attach(void) {
  bool already;
  if (!tri_start(NULL, &already)) return NULL;
  tri_thread *thread = tri_thread_attach_self();
  return thread ? &thread->cache : NULL;
}
