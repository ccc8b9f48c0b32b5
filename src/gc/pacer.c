/* pacer.c - see pacer.h. */
#include "gc/pacer.h"

#include <string.h>

/* Bounds of the trigger between what lives and the goal, in 64ths: 70 and 95 percent (minTriggerRatioNum,
 * maxTriggerRatioNum). A lower one would let a fast program allocate during cycles that hardly ever end. What the
 * collector goes by is later: see gc/pacing.c. */
enum { TRIGGER_LOWEST = 45, TRIGGER_HIGHEST = 61, TRIGGER_PARTS = TRI_PACER_PARTS };

static const double OVERSHOOT = 1.1;            /* past its goal, a cycle gets a goal this much higher */
static const int PERCENT_OF_FORCED = 100000;    /* stands for the percentage in a cycle that runs although it is off */
static const double LEAST_PROGRAM_SHARE = 1e-3; /* of the processors: assists may take all, a ratio needs some */

static size_t plus(size_t a, size_t b) {
  size_t sum;
  return __builtin_add_overflow(a, b, &sum) || sum > TRI_PACER_NEVER ? TRI_PACER_NEVER : sum;
}

static size_t minus(size_t a, size_t b) { return a > b ? a - b : 0; }

/* Also of what is no number. */
static size_t bytes_of(double value) {
  if (!(value > 0)) return 0;
  return value < (double)TRI_PACER_NEVER ? (size_t)value : TRI_PACER_NEVER;
}

/* ---- goals ---- */

ptrdiff_t tri_pacer_goal(size_t marked, size_t stack_bytes, size_t data_bytes, int percent) {
  if (percent < 0) return PTRDIFF_MAX;
  size_t minimum = (size_t)TRI_PACER_MINIMUM * (size_t)percent / 100;
  size_t scanned, growth, goal;
  if (__builtin_add_overflow(marked, stack_bytes + data_bytes, &scanned) ||
      __builtin_mul_overflow(scanned, (size_t)percent, &growth) ||
      __builtin_add_overflow(marked, growth / 100, &goal) || goal > PTRDIFF_MAX)
    return PTRDIFF_MAX;
  return (ptrdiff_t)tri_max(goal, minimum);
}

static size_t headroom(size_t goal) {
  return tri_max(goal / 100 * TRI_PACER_HEADROOM_PERCENT, TRI_PACER_MINIMUM_HEADROOM);
}

/* What is mapped and neither is nor can become a heap object counts against the limit, and so does what is mapped
 * beyond the limit. heap_free does not: it is where the heap will grow. The figures may be of different moments. */
size_t tri_pacer_limit_goal(const tri_pacer *pacer, tri_pacer_memory memory) {
  if (pacer->limit == TRI_PACER_NEVER) return TRI_PACER_NEVER;
  size_t other = minus(memory.mapped, plus(memory.heap_free, memory.heap_alloc));
  size_t taken = plus(other, minus(memory.mapped, pacer->limit));
  if (taken >= pacer->limit) return pacer->marked;
  size_t room = pacer->limit - taken;
  size_t reserve = headroom(room);
  size_t goal = tri_max(minus(room, reserve), reserve);
  return tri_max(goal, pacer->marked);
}

/* The goal, and the least trigger that the sweeper asks for. Under a memory limit nothing moves the goal up. */
static tri_pacer_point find_goal(const tri_pacer *pacer, tri_pacer_memory memory) {
  size_t limit_goal = tri_pacer_limit_goal(pacer, memory);
  if (limit_goal < pacer->percent_goal) return (tri_pacer_point){.trigger = 0, .goal = limit_goal};
  size_t goal = tri_max(pacer->percent_goal, pacer->sweep_trigger);
  if (pacer->triggered != SIZE_MAX) goal = tri_max(goal, plus(pacer->triggered, TRI_PACER_MINIMUM_RUNWAY));
  return (tri_pacer_point){.trigger = pacer->sweep_trigger, .goal = goal};
}

size_t tri_pacer_heap_goal(const tri_pacer *pacer, tri_pacer_memory memory) { return find_goal(pacer, memory).goal; }

/* ---- the trigger ---- */

tri_pacer_point tri_pacer_trigger(const tri_pacer *pacer, tri_pacer_memory memory) {
  tri_pacer_point point = find_goal(pacer, memory);
  size_t goal = point.goal, marked = pacer->marked;
  if (goal == TRI_PACER_NEVER || marked >= goal) return (tri_pacer_point){.trigger = goal, .goal = goal};
  size_t part = (goal - marked) / TRIGGER_PARTS;
  size_t lowest = tri_max(point.trigger, marked + part * pacer->earliest);
  /* The minimum heap is the runway of a cycle with nothing to do: a large heap need not start earlier than that. */
  size_t highest = tri_max(marked + part * TRIGGER_HIGHEST, minus(goal, TRI_PACER_MINIMUM));
  size_t trigger = tri_min(minus(goal, pacer->runway), tri_max(highest, lowest));
  point.trigger = tri_max(trigger, lowest);
  TRI_ASSERT(point.trigger <= point.goal);
  return point;
}

bool tri_pacer_is_due(const tri_pacer *pacer, uint64_t period, uint64_t last_end, uint64_t now) {
  return pacer->percent >= 0 && last_end && now > last_end && now - last_end > period;
}

/* ---- settings ---- */

static size_t first_work(const tri_pacer_work *work) { return plus(plus(work->heap, work->stack), work->data); }

/* Threads that write without allocating may have lengthened the last cycle at will. Those that allocate in the next one
 * pay for what its rounds find, whatever that is, but not for such a forecast. */
static size_t expected_remark(const tri_pacer *pacer, size_t first) {
  size_t most;
  if (__builtin_mul_overflow(first, TRI_PACER_REMARK_MOST, &most)) return pacer->last.remark;
  return tri_min(pacer->last.remark, most);
}

size_t tri_pacer_expected_work(const tri_pacer *pacer) {
  size_t first = first_work(&pacer->last);
  return plus(first, expected_remark(pacer, first));
}

void tri_pacer_commit(tri_pacer *pacer, size_t live, bool swept) {
  pacer->sweep_trigger = swept ? 0 : plus(live, TRI_PACER_SWEEP_DISTANCE);
  tri_pacer_base base = pacer->base;
  pacer->percent_goal = (size_t)tri_pacer_goal(base.marked, base.stack, base.data, pacer->percent);
  double weight = (1 - TRI_PACER_SHARE) / TRI_PACER_SHARE;
  pacer->runway = bytes_of(pacer->cons_mark * weight * (double)tri_pacer_expected_work(pacer));
}

void tri_pacer_set_left(tri_pacer *pacer, tri_pacer_base base, size_t left) {
  pacer->base = base;
  pacer->marked = tri_min(left, TRI_PACER_NEVER);
}

int tri_pacer_set_percent(tri_pacer *pacer, int percent) {
  int before = pacer->percent;
  pacer->percent = percent < 0 ? -1 : percent;
  return before;
}

size_t tri_pacer_set_limit(tri_pacer *pacer, size_t limit) {
  size_t before = pacer->limit;
  pacer->limit = tri_min(limit, TRI_PACER_NEVER);
  return before;
}

void tri_pacer_init(tri_pacer *pacer, int percent, size_t limit) {
  *pacer = (tri_pacer){.earliest = TRIGGER_LOWEST, .triggered = SIZE_MAX};
  tri_pacer_set_percent(pacer, percent);
  tri_pacer_set_limit(pacer, limit);
  tri_pacer_commit(pacer, 0, true);
}

void tri_pacer_set_earliest(tri_pacer *pacer, size_t parts) { pacer->earliest = tri_min(parts, TRIGGER_HIGHEST); }

/* ---- a cycle ---- */

void tri_pacer_start_cycle(tri_pacer *pacer, size_t live) {
  TRI_ASSERT(pacer->triggered == SIZE_MAX);
  pacer->triggered = tri_min(live, TRI_PACER_NEVER);
}

void tri_pacer_drop_cycle(tri_pacer *pacer) { pacer->triggered = SIZE_MAX; }

/* More was scanned than lived last time: the heap grows. The runway is drawn out as if all there is lived, for the next
 * cycle will use that much memory anyhow; but no further than the goal of the next cycle would be. */
static double extended_goal(const tri_pacer *pacer, double goal, double expected, double most) {
  double percent = pacer->percent < 0 ? PERCENT_OF_FORCED : pacer->percent;
  double hardest = (1 + percent / 100) * goal;
  double triggered = (double)pacer->triggered;
  if (!(expected > 0)) return hardest;
  double extended = (goal - triggered) / expected * most + triggered;
  return extended < hardest ? extended : hardest;
}

/* Re-marking is forecast apart from the rest: what was not re-marked yet must not hide that the heap grows. */
tri_pacer_assist tri_pacer_revise(const tri_pacer *pacer, const tri_pacer_progress *progress, tri_pacer_memory memory) {
  TRI_ASSERT(pacer->triggered != SIZE_MAX);
  tri_pacer_work last = pacer->last;
  last.data = progress->most.data;
  size_t expected = first_work(&last), most = first_work(&progress->most), done = first_work(&progress->done);
  size_t remark = tri_max(expected_remark(pacer, expected), progress->most.remark);
  double goal = (double)tri_pacer_heap_goal(pacer, memory), live = (double)progress->live;
  if (done > expected) {
    goal = extended_goal(pacer, goal, (double)plus(expected, remark), (double)plus(most, remark));
    expected = most;
  }
  if (live > goal) {
    goal *= OVERSHOOT;
    expected = most;
  }
  size_t left = plus(minus(expected, done), minus(remark, progress->done.remark));
  double work = (double)tri_max(left, TRI_PACER_LEAST_LEFT);
  double distance = goal - live >= 1 ? goal - live : 1;
  return (tri_pacer_assist){.work_per_byte = work / distance, .bytes_per_work = distance / work};
}

tri_pacer_demand tri_pacer_assist_demand(tri_pacer_assist assist, size_t debt) {
  size_t work = bytes_of(assist.work_per_byte * (double)debt);
  if (work >= TRI_PACER_ASSIST_LEAST) return (tri_pacer_demand){.work = work, .bytes = debt};
  size_t bytes = bytes_of(assist.bytes_per_work * TRI_PACER_ASSIST_LEAST);
  return (tri_pacer_demand){.work = TRI_PACER_ASSIST_LEAST, .bytes = tri_max(bytes, debt)};
}

size_t tri_pacer_assist_credit(tri_pacer_assist assist, size_t work) {
  return plus(1, bytes_of(assist.bytes_per_work * (double)work));
}

/* The program had the processors less the collector's share, the collector its share and what idle workers got besides;
 * the program may take that back at any time, so it is not the program's loss. The share is assumed, as in Go: if it
 * was another, it will be another again, and cancels out of the runway. The highest of the last values counts: rather
 * earlier cycles than more assists. */
static void measure(tri_pacer *pacer, const tri_pacer_progress *progress, const tri_pacer_times *times) {
  double work = (double)plus(first_work(&progress->done), progress->done.remark);
  double available = (double)times->duration * times->processors;
  if (progress->live <= pacer->triggered || !(available > 0) || !(work > 0)) return;
  double collector = TRI_PACER_SHARE + (double)times->assist / available;
  double program = 1 - collector > LEAST_PROGRAM_SHARE ? 1 - collector : LEAST_PROGRAM_SHARE;
  double idle = (double)times->idle / available;
  double measured = (double)(progress->live - pacer->triggered) * (collector + idle) / (work * program);
  pacer->cons_mark = measured;
  for (int i = 0; i < TRI_PACER_CYCLES; i++)
    if (pacer->recent[i] > pacer->cons_mark) pacer->cons_mark = pacer->recent[i];
  memmove(pacer->recent, pacer->recent + 1, sizeof pacer->recent - sizeof pacer->recent[0]);
  pacer->recent[TRI_PACER_CYCLES - 1] = measured;
}

void tri_pacer_end_cycle(tri_pacer *pacer, const tri_pacer_progress *progress, const tri_pacer_times *times,
                         size_t marked) {
  TRI_ASSERT(pacer->triggered != SIZE_MAX);
  measure(pacer, progress, times);
  pacer->marked = tri_min(marked, TRI_PACER_NEVER);
  pacer->last = progress->done;
  pacer->last.data = progress->most.data;
  pacer->base = (tri_pacer_base){.marked = pacer->marked, .stack = pacer->last.stack, .data = pacer->last.data};
  pacer->triggered = SIZE_MAX;
  tri_pacer_commit(pacer, pacer->marked, false);
}
