/* cycle.c - the story of one collection.
 *
 *  1. The thread that noticed the need spills its registers, asks the loader to show its objects, and inside that visit
 *     (the loader's lock is taken first and by us, so that no stopped thread holds it) takes the cycle lock. If
 *     somebody else's collection served the need meanwhile, that is all.
 *  2. What the last collection left unswept is swept, beside the program. The sweep lock is kept until step 7.
 *  3. The world stops (gc/stop.c). Every thread is then outside our locks and outside its slow paths.
 *  4. Roots are gathered (gc/roots.c). Spans that idle threads kept since the last mark are swept; slots that wait in
 *     caches are hidden, so that the allocation bits show exactly what was handed out (heap/cache.h).
 *  5. Mark (gc/mark.c), in parallel; in check mode, verify (gc/check.c).
 *  6. The epoch moves on: every span is unswept now, its mark bits are what lives. Waiting slots show again. live
 *     becomes what was marked, the next goal follows from it (gc/pacer.c).
 *  7. The world goes on. Spans are swept when they are wanted, by the background thread, or, after tri_gc, at once.
 *
 * The mark is the phase that the next gear will run beside the program; everything else stays in this order.
 * Locks: TRI_RANK_CYCLE for the whole, TRI_RANK_SWEEP from 2 to 7, TRI_RANK_REGISTRY from 3 to 7. Follows
 * runtime/mgc.go. */
#include "gc/cycle.h"

#include <string.h>

#include "base/fmt.h"
#include "gc/check.h"
#include "gc/mark.h"
#include "gc/pacer.h"
#include "gc/sweep.h"

enum { FORK_WAIT_NS = 20 * 1000, FORK_LOOKS = 2000 };

static struct {
  tri_lock lock;
  _Atomic(uint32_t) forking;     /* no collection may begin; a futex word. seq_cst against entering: see enter */
  _Atomic(uint32_t) entering;    /* threads that may hold the loader's lock for a collection, or wait for it */
  _Atomic(uint32_t) visiting;    /* those of them that are known to hold it. Relaxed: it is only waited for */
  _Atomic(const char *) why_off; /* no collections, and why; NULL: there are. Relaxed: set while there is one thread */
  _Atomic(int) percent;
  bool check;
  int processors;
  uint64_t started;
  _Atomic(uint32_t) finished; /* collections; acquire pairs with the release at the end of one */
  tri_cycle_history history;  /* written under the cycle lock; readers copy it under it */
  void (*observer)(const tri_cycle_report *);
  _Atomic(uint32_t) since_collection;     /* gcevery's count */
  size_t marked, stack_bytes, data_bytes; /* of the last collection, for changes of the percentage */
} cycle TRI_OWN_DATA = {.lock = TRI_LOCK_INIT(TRI_RANK_CYCLE), .percent = 100};

/* This thread's part in the above: what is left of the counts in a fork's child. */
static _Thread_local volatile struct { bool entered, visits, paused; } own __attribute__((tls_model("initial-exec")));

/* One collection under way: lives on the collecting thread's stack. */
typedef struct tri_collection {
  tri_cycle_report report;
  uint32_t finished_before; /* collections when the need was seen */
  tri_thread *self;
  bool roots_complete;
  bool stopped;
  bool served;  /* by somebody else */
  bool refused; /* this process makes none */
  uint64_t start, stopped_at, marked_at, cpu_start;
} tri_collection;

/* ---- pacing ---- */

static void set_goal(void) {
  int percent = atomic_load_explicit(&cycle.percent, memory_order_relaxed);
  ptrdiff_t goal = tri_pacer_goal(cycle.marked, cycle.stack_bytes, cycle.data_bytes, percent);
  cycle.history.goal = (size_t)goal;
  atomic_store_explicit(&tri_the_heap.trigger, goal, memory_order_relaxed);
}

/* A collection that could not be made must not be tried again at every allocation. */
static void put_off(void) {
  ptrdiff_t live = atomic_load_explicit(&tri_the_heap.live, memory_order_relaxed);
  atomic_store_explicit(&tri_the_heap.trigger, live + live / 2 + TRI_PACER_MINIMUM, memory_order_relaxed);
}

/* The cycle lock is waited for without deferring stops: its holder may be about to stop this thread. Nobody can be
 * stopped while he holds it, for only its holder stops others. A thread that forks has it already. */
static void lock_record(void) {
  TRI_ASSERT(own.paused || !tri_thread_defers_stops());
  if (own.paused) return;
  tri_thread_busy_begin();
  tri_lock_take(&cycle.lock);
}

static void unlock_record(void) {
  if (own.paused) return;
  tri_lock_drop(&cycle.lock);
  tri_thread_busy_end();
}

int tri_cycle_set_percent(int percent) {
  lock_record();
  int before = atomic_exchange_explicit(&cycle.percent, percent < 0 ? -1 : percent, memory_order_relaxed);
  set_goal();
  unlock_record();
  return before;
}

/* ---- history ---- */

static size_t stop_class(uint64_t duration) {
  size_t class = 0;
  while (class + 1 < TRI_STOP_CLASSES && duration > (UINT64_C(1000) << class)) class ++;
  return class;
}

static void record_stop(uint64_t duration) {
  tri_cycle_history *history = &cycle.history;
  history->stop_count++;
  history->stop_total += duration;
  if (duration > history->stop_longest) history->stop_longest = duration;
  history->stop_classes[stop_class(duration)]++;
}

static void record(tri_collection *collection, uint64_t end) {
  tri_cycle_history *history = &cycle.history;
  tri_cycle_report *report = &collection->report;
  uint64_t pause = end - collection->start;
  record_stop(pause);
  history->last_end = tri_os_wall();
  history->pauses[history->count % TRI_PAUSE_RING] = pause;
  history->pause_ends[history->count % TRI_PAUSE_RING] = history->last_end;
  history->count++;
  history->forced += report->reason == TRI_CYCLE_FORCED;
  history->mark_cpu += report->marking_cpu;
  history->stop_cpu += report->stopping_cpu + report->finishing_cpu;
  if (report->marked > history->largest_marked) history->largest_marked = report->marked;
  double available = (double)(end - cycle.started) * cycle.processors;
  history->cpu_fraction = (double)(history->mark_cpu + history->stop_cpu + tri_sweep_cpu()) / available;
  report->number = history->count;
  report->since_start = end - cycle.started;
  report->cpu_fraction = history->cpu_fraction;
}

tri_cycle_history tri_cycle_read_history(void) {
  lock_record();
  tri_cycle_history history = cycle.history;
  unlock_record();
  return history;
}

/* ---- forks ---- */

/* The child of a fork would find the loader's lock held for ever, had another thread held it. So a fork waits until no
 * thread is on its way into a collection, and lets none enter. The program may ask for a collection while it holds the
 * loader's lock itself (in a dl_iterate_phdr callback), so one that is not asked for by name is left out rather than
 * waited for. */
static void come_in(void) {
  tri_thread_busy_begin();
  own.entered = true;
  atomic_signal_fence(memory_order_seq_cst);
  atomic_fetch_add_explicit(&cycle.entering, 1, memory_order_seq_cst);
}

static void leave(void) {
  if (own.visits) atomic_fetch_sub_explicit(&cycle.visiting, 1, memory_order_relaxed);
  own.visits = false;
  atomic_fetch_sub_explicit(&cycle.entering, 1, memory_order_seq_cst);
  atomic_signal_fence(memory_order_seq_cst);
  own.entered = false;
  tri_thread_busy_end();
}

static bool enter(tri_cycle_reason reason) {
  for (;;) {
    come_in();
    if (!atomic_load_explicit(&cycle.forking, memory_order_seq_cst)) return true;
    leave();
    if (reason != TRI_CYCLE_FORCED) return false;
    while (atomic_load_explicit(&cycle.forking, memory_order_seq_cst)) tri_os_wait(&cycle.forking, 1, 0);
  }
}

bool tri_cycle_is_off(void) { return atomic_load_explicit(&cycle.why_off, memory_order_relaxed) != NULL; }

static void say_why_off(void) {
  static _Atomic(bool) said TRI_OWN_DATA; /* relaxed: it stands alone */
  if (atomic_exchange_explicit(&said, true, memory_order_relaxed)) return;
  tri_print("tricolor: no collections in this process: it was forked %s\n",
            atomic_load_explicit(&cycle.why_off, memory_order_relaxed));
}

/* The loader's lock may be held by the very thread that forks, in a dl_iterate_phdr callback, and threads wait for it
 * that cannot be told to give up. When there are such for a long time and none that has got the lock, it is in other
 * hands than the collector's. They are left waiting then, which is all right in the parent; but in the child the lock
 * may be nobody's. */
static bool await_entering(void) {
  for (int looks = 0; atomic_load_explicit(&cycle.entering, memory_order_seq_cst); looks++) {
    if (atomic_load_explicit(&cycle.visiting, memory_order_relaxed)) looks = 0;
    if (looks == FORK_LOOKS) return false;
    tri_os_sleep(FORK_WAIT_NS);
  }
  return true;
}

bool tri_cycle_pause(void) {
  uint32_t free = 0;
  while (
      !atomic_compare_exchange_strong_explicit(&cycle.forking, &free, 1, memory_order_seq_cst, memory_order_seq_cst)) {
    tri_os_wait(&cycle.forking, 1, 0); /* another thread forks */
    free = 0;
  }
  bool loader_is_free = await_entering();
  tri_lock_take(&cycle.lock);
  own.paused = true;
  return loader_is_free;
}

void tri_cycle_resume(void) {
  own.paused = false;
  tri_lock_drop(&cycle.lock);
  atomic_store_explicit(&cycle.forking, 0, memory_order_seq_cst);
  tri_os_wake(&cycle.forking, INT32_MAX);
}

/* Relaxed: there is one thread. */
void tri_cycle_after_fork_child(const char *why_not) {
  atomic_store_explicit(&cycle.entering, own.entered, memory_order_relaxed);
  atomic_store_explicit(&cycle.visiting, own.visits, memory_order_relaxed);
  if (why_not) atomic_store_explicit(&cycle.why_off, why_not, memory_order_relaxed);
  if (own.paused) return;
  tri_lock_abandon(&cycle.lock);
  atomic_store_explicit(&cycle.forking, 0, memory_order_relaxed);
}

/* ---- the phases ---- */

static size_t live_now(void) {
  ptrdiff_t live = atomic_load_explicit(&tri_the_heap.live, memory_order_relaxed);
  return live > 0 ? (size_t)live : 0;
}

static bool is_served(const tri_collection *collection) {
  uint32_t finished = atomic_load_explicit(&cycle.finished, memory_order_acquire);
  if (collection->report.reason == TRI_CYCLE_FORCED) return false;
  return finished != collection->finished_before;
}

/* Called by the loader before it shows anything: steps 1 to 3. */
static bool begin(void *argument) {
  tri_collection *collection = argument;
  own.visits = true;
  atomic_signal_fence(memory_order_seq_cst);
  atomic_fetch_add_explicit(&cycle.visiting, 1, memory_order_relaxed);
  tri_lock_take(&cycle.lock);
  tri_cache_defer(&collection->self->cache);
  collection->served = is_served(collection);
  collection->refused = tri_cycle_is_off(); /* since it entered: in the child of a fork that a handler made */
  if (collection->served || collection->refused) {
    tri_lock_drop(&cycle.lock);
    tri_cache_undefer(&collection->self->cache);
    return false;
  }
  collection->start = tri_os_now();
  collection->cpu_start = tri_os_thread_cpu();
  tri_sweep_finish();
  collection->stopped = tri_stop_begin();
  tri_roots_clear();
  collection->roots_complete = true;
  return collection->stopped;
}

static void add_data(void *argument, tri_os_range range) {
  tri_collection *collection = argument;
  collection->roots_complete = collection->roots_complete && tri_roots_add_data(range);
}

static void add_tls(void *argument, size_t module_id, size_t size) {
  tri_collection *collection = argument;
  collection->roots_complete = collection->roots_complete && tri_roots_add_tls_module(module_id, size);
}

static void each_cache(void (*visit)(tri_cache *)) {
  for (tri_thread *thread = tri_threads_first(); thread; thread = thread->next) visit(&thread->cache);
}

/* Step 6, and what the next goal needs. */
static void flip(tri_collection *collection) {
  TRI_ASSERT(tri_lock_is_held(&cycle.lock) && tri_sweep_is_done());
  atomic_fetch_add_explicit(&tri_the_heap.epoch, 1, memory_order_release);
  if (collection->report.reason != TRI_CYCLE_GROWTH) each_cache(tri_cache_sweep);
  each_cache(tri_cache_stop_end);
  atomic_store_explicit(&tri_the_heap.live, (ptrdiff_t)collection->report.marked, memory_order_relaxed);
  cycle.marked = collection->report.marked;
  cycle.stack_bytes = collection->report.stack_bytes;
  cycle.data_bytes = collection->report.data_bytes;
  set_goal();
}

/* Steps 4 to 6, the world being stopped. */
static void collect(tri_collection *collection) {
  tri_cycle_report *report = &collection->report;
  collection->stopped_at = tri_os_now();
  report->stopping_cpu = tri_os_thread_cpu() - collection->cpu_start;
  each_cache(tri_cache_sweep);
  each_cache(tri_cache_stop_begin);
  tri_root_list roots = tri_roots_list();
  report->heap_before = live_now();
  report->goal = cycle.history.goal;
  tri_mark_result marked = tri_mark_run(roots, cycle.marked);
  if (cycle.check) tri_check_run(roots);
  collection->marked_at = tri_os_now();
  report->marking_cpu = marked.cpu_ns;
  report->marked = marked.marked_bytes;
  report->heap_after = marked.marked_bytes;
  report->markers = marked.markers;
  report->stack_bytes = roots.stack_bytes;
  report->data_bytes = roots.data_bytes;
  flip(collection);
}

/* Step 7, after a collection or an attempt at one. */
static void end(tri_collection *collection) {
  tri_cycle_report *report = &collection->report;
  uint64_t cpu_marked = tri_os_thread_cpu();
  if (collection->stopped) tri_stop_end();
  tri_sweep_resume();
  uint64_t now = tri_os_now();
  bool done = collection->roots_complete && collection->stopped;
  if (done) {
    report->stopping = collection->stopped_at - collection->start;
    report->marking = collection->marked_at - collection->stopped_at;
    report->finishing = now - collection->marked_at;
    report->finishing_cpu = tri_os_thread_cpu() - cpu_marked;
    record(collection, now);
    atomic_fetch_add_explicit(&cycle.finished, 1, memory_order_release);
  } else {
    put_off();
  }
  tri_lock_drop(&cycle.lock);
}

static void run(void *argument, uintptr_t sp) {
  tri_collection *collection = argument;
  collection->self->sp = sp;
  collection->self->alternate_low = collection->self->alternate_high = 0;
  tri_os_module_visitor visitor = {.begin = begin, .data = add_data, .tls = add_tls, .argument = collection};
  tri_os_visit_modules(&visitor);
  leave();
  if (collection->served || collection->refused) return;
  if (collection->stopped) {
    collection->roots_complete = collection->roots_complete && tri_roots_add_threads();
    if (collection->roots_complete) collect(collection);
  }
  end(collection);
}

/* What the heap keeps from the system for the next cycle: a tenth over its goal (runtime/mgcscavenge.go:
 * gcPaceScavenger). */
static size_t retain(const tri_cycle_report *report) {
  size_t goal = (size_t)atomic_load_explicit(&tri_the_heap.trigger, memory_order_relaxed);
  size_t used = tri_page_heap_read().used_bytes;
  size_t basis = tri_max(goal == PTRDIFF_MAX ? report->heap_before : goal, used);
  return basis + basis / 10;
}

/* A stop by a fork need not wait for all of it: between two batches no span is in hand. Stops deferred. */
static void sweep_in_turns(tri_cache *cache) {
  while (tri_sweep_batch()) {
    tri_cache_undefer(cache);
    tri_cache_defer(cache);
  }
}

bool tri_cycle_run(tri_cycle_reason reason) {
  tri_thread *self = tri_thread_self();
  if (!self || tri_thread_busy) return false;
  TRI_ASSERT(!tri_thread_defers_stops());
  if (tri_cycle_is_off()) {
    say_why_off();
    put_off();
    return false;
  }
  if (!enter(reason)) return false;
  tri_collection collection = {.report.reason = reason, .self = self};
  collection.finished_before = atomic_load_explicit(&cycle.finished, memory_order_acquire);
  tri_os_with_registers(run, &collection);
  if (collection.served || collection.refused) return collection.served;
  bool done = collection.stopped && collection.roots_complete;
  if (done && reason != TRI_CYCLE_GROWTH) sweep_in_turns(&self->cache);
  size_t retained = done ? retain(&collection.report) : 0;
  /* To start a thread takes the registry's lock, which is waited for without deferring stops: its holder may be about
   * to stop this thread. */
  tri_cache_undefer(&self->cache);
  if (done && reason != TRI_CYCLE_GROWTH) tri_sweep_settle();
  if (done) {
    tri_sweep_in_background(retained);
    tri_mark_start_helpers(collection.report.marked);
    if (cycle.observer) cycle.observer(&collection.report);
  }
  return done;
}

/* ---- hooks for the heap ---- */

static void collect_for_growth(void) {
  if (tri_the_heap.collect_every) {
    uint32_t count = atomic_fetch_add_explicit(&cycle.since_collection, 1, memory_order_relaxed) + 1;
    if (count % tri_the_heap.collect_every != 0 && !tri_heap_wants_collection()) return;
  }
  tri_cycle_run(TRI_CYCLE_GROWTH);
}

static bool collect_for_memory(void) { return tri_cycle_run(TRI_CYCLE_MEMORY); }

static void park(struct tri_cache *cache) { tri_stop_park((tri_thread *)cache); }

bool tri_cycle_init(const tri_settings *settings, void (*observer)(const tri_cycle_report *)) {
  cycle.observer = observer;
  cycle.check = settings->check;
  cycle.processors = tri_os_processors();
  cycle.started = tri_os_now();
  atomic_store_explicit(&cycle.percent, (int)settings->gc_percent, memory_order_relaxed);
  set_goal();
  tri_the_hooks.collect = collect_for_growth;
  tri_the_hooks.collect_for_memory = collect_for_memory;
  tri_the_hooks.park = park;
  int markers = settings->gc_threads ? (int)settings->gc_threads : cycle.processors;
  return tri_mark_init(markers, (tri_mark_fault)settings->inject) && (!cycle.check || tri_check_init());
}
