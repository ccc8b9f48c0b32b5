/* pacing.c - see pacing.h.
 *
 * A young collection goes by the goal of the last full one, and scans far less than that: so each kind has a pacer of
 * its own for cons/mark and the expected work, and after a collection of either kind both are told what is left. */
#include "gc/pacing.h"

#include "heap/heap.h"

enum {
  PRESSURE_STEP = 8,
  MOST_PRESSURE = 64,
  RATIO_ONE = 1024,     /* the assist ratio is in bytes to scan for so many claimed */
  MOST_RATIO = 1 << 30, /* so that it can be multiplied by any size */
  /* The trigger's, in 64ths: later than Go's. What is new is white, so who allocates beside a mark makes it longer, and
   * what was live when it was found and dies meanwhile counts for the next goal: a mark that begins late and is helped
   * by who allocates does less (docs/design/collector.md). */
  EARLIEST = 56,
};

static struct {
  /* Who has it may read the pacers beside the holder of the cycle lock, or, if he is that, change them: acquire and
   * release. Held for a moment by threads that defer stops. */
  _Atomic(bool) taken;
  tri_pacer full, young;
  tri_pacer *now; /* whose collection is under way; NULL: none is */
  tri_pacer *next;
  bool next_beside;
  tri_pacer_work most;  /* of that collection, without what is dirty */
  size_t marked_before; /* tri_pacing_done.marked when it began */
  size_t goal;
  tri_limiter limiter;
  _Atomic(bool) limiting;               /* relaxed, as all below */
  _Atomic(ptrdiff_t) limit;             /* of the heap's live */
  _Atomic(size_t) ratio;                /* of assists; 0: there are none */
  _Atomic(size_t) pressure;             /* factor of the ratio */
  _Atomic(bool) holding;                /* who allocates waits, until this cycle is over */
  _Atomic(size_t) charged, done_before; /* bytes due for what was claimed in this cycle; those scanned before it */
  _Atomic(size_t) dirty, dirty_first;   /* found in all rounds of it; in the first, of a young one */
} pacing TRI_OWN_DATA = {.pressure = 1};

/* No memory limit is set. */
static const tri_pacer_memory no_memory;

static bool try_take(void) { return !atomic_exchange_explicit(&pacing.taken, true, memory_order_acquire); }

static void take(void) {
  while (!try_take()) tri_os_yield();
}

static void drop(void) { atomic_store_explicit(&pacing.taken, false, memory_order_release); }

size_t tri_pacing_live(void) {
  ptrdiff_t live = atomic_load_explicit(&tri_the_heap.live, memory_order_relaxed);
  return live > 0 ? (size_t)live : 0;
}

size_t tri_pacing_goal(void) { return pacing.goal; }

/* While the limiter says so the heap may go beyond its goal instead. */
static bool is_limiting(void) { return atomic_load_explicit(&pacing.limiting, memory_order_relaxed); }

/* A tenth over the goal, as Go's hard goal (runtime/mgcpacer.go: revise). Without a goal nobody is held either. */
bool tri_pacing_is_over_limit(void) {
  ptrdiff_t limit = atomic_load_explicit(&pacing.limit, memory_order_relaxed);
  bool over = atomic_load_explicit(&tri_the_heap.live, memory_order_relaxed) >= limit;
  bool holding = atomic_load_explicit(&pacing.holding, memory_order_relaxed) && limit != PTRDIFF_MAX;
  return (over || holding) && !is_limiting();
}

void tri_pacing_hold(bool on) { atomic_store_explicit(&pacing.holding, on, memory_order_relaxed); }

/* ---- goal and trigger; what ends in _taken has taken the pacers ---- */

/* When the program is stopped for all of it, there is no runway. */
static void publish_taken(void) {
  const tri_pacer *pacer = pacing.now ? pacing.now : pacing.next;
  pacing.goal = tri_pacer_heap_goal(pacer, no_memory);
  size_t limit = pacing.goal > PTRDIFF_MAX / 2 ? PTRDIFF_MAX : pacing.goal + pacing.goal / 10 + TRI_MIB;
  atomic_store_explicit(&pacing.limit, (ptrdiff_t)limit, memory_order_relaxed);
  tri_pacer_point point = tri_pacer_trigger(pacing.next, no_memory);
  atomic_store_explicit(&tri_the_heap.trigger, (ptrdiff_t)(pacing.next_beside ? point.trigger : point.goal),
                        memory_order_relaxed);
}

void tri_pacing_init(int percent, uint64_t time, int processors) {
  tri_pacer_init(&pacing.full, percent, TRI_PACER_NEVER);
  tri_pacer_init(&pacing.young, percent, TRI_PACER_NEVER);
  tri_pacer_set_earliest(&pacing.full, EARLIEST);
  tri_pacer_set_earliest(&pacing.young, EARLIEST);
  tri_limiter_init(&pacing.limiter, time, processors);
  pacing.now = NULL;
  pacing.next = &pacing.full;
  pacing.next_beside = false;
  publish_taken();
}

static void set_percent_taken(tri_pacer *pacer, int percent) {
  tri_pacer_set_percent(pacer, percent);
  tri_pacer_commit(pacer, 0, true);
}

int tri_pacing_set_percent(int percent) {
  take();
  int before = pacing.full.percent;
  set_percent_taken(&pacing.full, percent);
  set_percent_taken(&pacing.young, percent);
  publish_taken();
  drop();
  return before;
}

void tri_pacing_put_off(void) {
  ptrdiff_t live = atomic_load_explicit(&tri_the_heap.live, memory_order_relaxed);
  atomic_store_explicit(&tri_the_heap.trigger, live + live / 2 + TRI_PACER_MINIMUM, memory_order_relaxed);
}

bool tri_pacing_is_due(uint64_t period, uint64_t last_end, uint64_t time) {
  take();
  bool due = tri_pacer_is_due(&pacing.full, period, last_end, time);
  drop();
  return due;
}

/* ---- assists ---- */

/* What was dirty when a young collection began is its first work; all else that is dirty is re-marking. Stacks
 * are read before anybody assists, and static data counts as if it were. */
static tri_pacer_progress progress_taken(tri_pacing_done done) {
  tri_pacer_progress progress = {.most = pacing.most, .done = pacing.most};
  size_t first = atomic_load_explicit(&pacing.dirty_first, memory_order_relaxed);
  size_t rescanned_first = tri_min(done.rescanned, first);
  progress.live = tri_pacing_live();
  progress.done.heap = done.marked - pacing.marked_before + rescanned_first;
  progress.done.remark = done.rescanned - rescanned_first;
  progress.most.heap += first;
  progress.most.remark = atomic_load_explicit(&pacing.dirty, memory_order_relaxed) - first;
  return progress;
}

static void revise_taken(tri_pacing_done done) {
  tri_pacer_progress progress = progress_taken(done);
  double ratio = tri_pacer_revise(pacing.now, &progress, no_memory).work_per_byte * RATIO_ONE;
  atomic_store_explicit(&pacing.ratio, ratio < MOST_RATIO ? (size_t)ratio : MOST_RATIO, memory_order_relaxed);
}

/* By the ratio as it was, if another is at it. */
static size_t revised_ratio(tri_pacing_done done) {
  if (try_take()) {
    if (pacing.now) revise_taken(done);
    drop();
  }
  return atomic_load_explicit(&pacing.ratio, memory_order_relaxed);
}

static size_t sum(tri_pacing_done done) { return done.marked + done.rescanned; }

/* Of objects, what a young one may have to scan is what is new. */
void tri_pacing_begin(bool young, tri_pacing_done done) {
  tri_pacing_hold(false);
  size_t live = tri_pacing_live();
  take();
  tri_pacer *pacer = pacing.now = young ? &pacing.young : &pacing.full;
  tri_pacer_start_cycle(pacer, live);
  pacing.most = pacer->last;
  pacing.most.heap = !young ? live : live > pacer->marked ? live - pacer->marked : 0;
  pacing.marked_before = done.marked;
  atomic_store_explicit(&pacing.dirty, 0, memory_order_relaxed);
  atomic_store_explicit(&pacing.dirty_first, 0, memory_order_relaxed);
  revise_taken(done);
  atomic_store_explicit(&pacing.pressure, 1, memory_order_relaxed);
  atomic_store_explicit(&pacing.charged, 0, memory_order_relaxed);
  atomic_store_explicit(&pacing.done_before, sum(done), memory_order_relaxed);
  publish_taken();
  drop();
}

void tri_pacing_note_dirty(size_t bytes) {
  size_t before = atomic_fetch_add_explicit(&pacing.dirty, bytes, memory_order_relaxed);
  if (!before && pacing.now == &pacing.young) atomic_store_explicit(&pacing.dirty_first, bytes, memory_order_relaxed);
}

void tri_pacing_press(void) {
  size_t pressure = atomic_load_explicit(&pacing.pressure, memory_order_relaxed);
  if (pressure < MOST_PRESSURE) atomic_store_explicit(&pacing.pressure, PRESSURE_STEP * pressure, memory_order_relaxed);
}

/* What is due for the bytes claimed is first taken from what markers have done that nobody was charged for (the credit
 * of runtime/mgcmark.go: gcAssistAlloc). Under pressure there is no credit: markers alone do not keep up. */
size_t tri_pacing_due(size_t claimed, tri_pacing_done done) {
  if (is_limiting()) return 0;
  size_t ratio = revised_ratio(done);
  size_t due = claimed / RATIO_ONE * ratio + claimed % RATIO_ONE * ratio / RATIO_ONE;
  size_t pressure = atomic_load_explicit(&pacing.pressure, memory_order_relaxed);
  if (pressure > 1) return tri_max(claimed, due) * pressure;
  size_t charged = atomic_fetch_add_explicit(&pacing.charged, due, memory_order_relaxed) + due;
  size_t credit = sum(done) - atomic_load_explicit(&pacing.done_before, memory_order_relaxed);
  return charged > credit ? tri_min(due, charged - credit) : 0;
}

/* ---- the end ---- */

/* Both kinds go on from what is left, and from what the last full one found. */
static void set_left_taken(tri_pacer *pacer, size_t left) {
  tri_pacer_set_left(pacer, pacing.full.base, left);
  tri_pacer_commit(pacer, left, false);
}

void tri_pacing_end(const tri_pacing_result *result) {
  tri_pacing_hold(false);
  take();
  size_t first = tri_min(atomic_load_explicit(&pacing.dirty_first, memory_order_relaxed), result->scanned.remark);
  tri_pacer_progress progress = {.live = result->live, .done = result->scanned, .most = result->scanned};
  progress.done.heap += first;
  progress.done.remark -= first;
  tri_pacer_end_cycle(pacing.now, &progress, &result->times, result->left);
  pacing.now = NULL;
  set_left_taken(&pacing.full, result->left);
  set_left_taken(&pacing.young, result->left);
  publish_taken();
  drop();
}

void tri_pacing_drop(void) {
  tri_pacing_hold(false);
  if (!pacing.now) return;
  take();
  tri_pacer_drop_cycle(pacing.now);
  pacing.now = NULL;
  drop();
}

void tri_pacing_expect(bool young, bool beside) {
  take();
  pacing.next = young ? &pacing.young : &pacing.full;
  pacing.next_beside = beside;
  publish_taken();
  drop();
}

/* ---- the limiter ---- */

static void publish_limiting(void) {
  atomic_store_explicit(&pacing.limiting, tri_limiter_is_limiting(&pacing.limiter), memory_order_relaxed);
}

/* What markers use is measured, so no share is assumed for them. */
void tri_pacing_stop_begins(uint64_t time, tri_limiter_times times) {
  tri_limiter_stop_begin(&pacing.limiter, time, times, false);
}

void tri_pacing_stop_ends(uint64_t time) {
  tri_limiter_stop_end(&pacing.limiter, time);
  publish_limiting();
}

/* Relaxed: there is one thread. */
void tri_pacing_after_fork_child(uint64_t time) {
  atomic_store_explicit(&pacing.taken, false, memory_order_relaxed);
  tri_pacing_drop();
  tri_limiter_init(&pacing.limiter, time, pacing.limiter.processors);
  publish_limiting();
}
