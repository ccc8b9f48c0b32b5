/* pacing.c - see pacing.h. */
#include "gc/pacing.h"

#include "gc/pacer.h"
#include "heap/heap.h"

enum { PRESSURE_STEP = 8, MOST_PRESSURE = 64 };

static struct {
  _Atomic(int) percent;
  size_t goal;
  tri_pacing_base base;
  size_t left;                          /* by the last collection */
  uint64_t last_end, next_duration;     /* ns */
  double bytes_per_ns;                  /* allocated since the last collection */
  _Atomic(ptrdiff_t) limit;             /* of the heap's live; relaxed */
  _Atomic(size_t) assist_ratio;         /* bytes to scan for 1024 bytes claimed; relaxed, as the next three */
  _Atomic(size_t) pressure;             /* factor of the ratio */
  _Atomic(size_t) charged, done_before; /* bytes due for what was claimed in this cycle; those scanned before it */
} pacing TRI_OWN_DATA = {.percent = 100, .pressure = 1};

size_t tri_pacing_live(void) {
  ptrdiff_t live = atomic_load_explicit(&tri_the_heap.live, memory_order_relaxed);
  return live > 0 ? (size_t)live : 0;
}

size_t tri_pacing_goal(void) { return pacing.goal; }

/* A tenth over the goal, as Go's hard goal (runtime/mgcpacer.go: revise). */
bool tri_pacing_is_over_limit(void) {
  return atomic_load_explicit(&tri_the_heap.live, memory_order_relaxed) >=
         atomic_load_explicit(&pacing.limit, memory_order_relaxed);
}

/* Where the next collection has to begin, to be done at the goal: so much before it as will be allocated meanwhile, at
 * the rate of the time between collections, within the bounds of runtime/mgcpacer.go:trigger. */
static ptrdiff_t trigger_for(ptrdiff_t goal) {
  if (goal == PTRDIFF_MAX || !pacing.next_duration || (size_t)goal <= pacing.left) return goal;
  double room = (double)((size_t)goal - pacing.left),
         runway = pacing.bytes_per_ns * (double)pacing.next_duration * 1.25;
  double most = room * 0.3, least = room * 0.05;
  return goal - (ptrdiff_t)(runway > most ? most : runway < least ? least : runway);
}

static void set_goal(void) {
  int percent = atomic_load_explicit(&pacing.percent, memory_order_relaxed);
  ptrdiff_t goal = tri_pacer_goal(pacing.base.marked, pacing.base.stack_bytes, pacing.base.data_bytes, percent);
  pacing.goal = (size_t)goal;
  ptrdiff_t limit = goal > PTRDIFF_MAX / 2 ? PTRDIFF_MAX : goal + goal / 10 + (ptrdiff_t)TRI_MIB;
  atomic_store_explicit(&pacing.limit, limit, memory_order_relaxed);
  atomic_store_explicit(&tri_the_heap.trigger, trigger_for(goal), memory_order_relaxed);
}

void tri_pacing_init(int percent) {
  atomic_store_explicit(&pacing.percent, percent, memory_order_relaxed);
  set_goal();
}

int tri_pacing_set_percent(int percent) {
  int before = atomic_exchange_explicit(&pacing.percent, percent < 0 ? -1 : percent, memory_order_relaxed);
  set_goal();
  return before;
}

void tri_pacing_put_off(void) {
  ptrdiff_t live = atomic_load_explicit(&tri_the_heap.live, memory_order_relaxed);
  atomic_store_explicit(&tri_the_heap.trigger, live + live / 2 + TRI_PACER_MINIMUM, memory_order_relaxed);
}

/* ---- a collection ---- */

void tri_pacing_begin(uint64_t time) {
  size_t live = tri_pacing_live();
  if (!pacing.last_end || live <= pacing.left || time <= pacing.last_end) return;
  pacing.bytes_per_ns = (double)(live - pacing.left) / (double)(time - pacing.last_end);
}

/* So that the mark is done when the goal is reached, whatever markers beside the program manage. They are given a
 * start of a quarter of the work: who allocates helps when they fall behind. */
void tri_pacing_set_assists(size_t work, size_t done) {
  size_t live = tri_pacing_live();
  size_t room = pacing.goal > live + TRI_MIB ? pacing.goal - live : TRI_MIB;
  work += work / 8 + TRI_MIB;
  atomic_store_explicit(&pacing.assist_ratio, work * 1024 / room, memory_order_relaxed);
  atomic_store_explicit(&pacing.pressure, 1, memory_order_relaxed);
  atomic_store_explicit(&pacing.charged, 0, memory_order_relaxed);
  atomic_store_explicit(&pacing.done_before, done - work / 4, memory_order_relaxed);
}

void tri_pacing_press(void) {
  size_t pressure = atomic_load_explicit(&pacing.pressure, memory_order_relaxed);
  if (pressure < MOST_PRESSURE) atomic_store_explicit(&pacing.pressure, PRESSURE_STEP * pressure, memory_order_relaxed);
}

/* What is due for the bytes claimed is first taken from what markers have done that nobody was charged for (the credit
 * of runtime/mgcmark.go: gcAssistAlloc). Under pressure there is no credit: markers alone do not keep up. */
size_t tri_pacing_due(size_t claimed, size_t done) {
  size_t ratio = atomic_load_explicit(&pacing.assist_ratio, memory_order_relaxed), due = claimed / 1024 * ratio;
  size_t pressure = atomic_load_explicit(&pacing.pressure, memory_order_relaxed);
  if (pressure > 1) return tri_max(claimed, due) * pressure;
  size_t charged = atomic_fetch_add_explicit(&pacing.charged, due, memory_order_relaxed) + due;
  size_t credit = done - atomic_load_explicit(&pacing.done_before, memory_order_relaxed);
  return charged > credit ? tri_min(due, charged - credit) : 0;
}

void tri_pacing_set_base(tri_pacing_base base) { pacing.base = base; }

void tri_pacing_end(uint64_t time, size_t left, uint64_t next_duration) {
  pacing.last_end = time;
  pacing.left = left;
  pacing.next_duration = next_duration;
  set_goal();
}
