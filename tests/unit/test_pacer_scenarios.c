/* test_pacer_scenarios.c - a simulated program and collector, paced over many cycles.
 *
 * Scenarios and tolerances are those of Go's TestGcPacer (runtime/mgcpacer_test.go, Go 1.27.3), under its names, and so
 * are the figures of the last cycles, which that test prints; those about rounds are ours. Random figures are other
 * ones than Go's. Nothing runs and no clock is read: in each step of half a millisecond of simulated time the collector
 * has a share of the processors, at least its quarter, and the rest is the program's. The assist ratio says how the two
 * have to stand: so much work for each byte allocated. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gc/pacer.h"
#include "random.h"

#define FIRST_HEAP ((double)(256 * TRI_KIB)) /* lives after the first cycle */
#define ROUND_LEAST ((double)(64 * TRI_KIB)) /* a round that finds less is the last */

enum { PROCESSORS = 8, CHECKS = 8, CYCLES_MOST = 100, STEPS_MOST = 100000, ROUNDS_MOST = 100 };

static const double STEP_NS = 500e3;
static const double KIB_PER_MS = 1024 / 1e6; /* in bytes per nanosecond */
static const double RATE_LEAST = 0.0001;

/* A figure that changes from cycle to cycle: the sum of all this. */
typedef struct stream {
  double base;
  double ramp;      /* rises from 0 to this ... */
  int ramp_cycles;  /* ... in so many cycles ... */
  int ramp_after;   /* ... after so many */
  double peak;      /* in one cycle only ... */
  int peak_after;   /* ... after so many */
  double swing;     /* a sine of this height ... */
  int swing_cycles; /* ... and period */
  double jitter;    /* random, up to this, either way ... */
  uint64_t seed;    /* ... repeatably */
} stream;

/* What is asserted of a cycle. Shares are of all processors. */
typedef enum figure {
  SHARE,              /* of the collector */
  SHARE_CHANGE,       /* since the cycle before */
  SHARE_SINCE_12TH,   /* since the 12th cycle */
  PEAK_TO_GOAL,       /* the heap where the cycle ended, to the goal */
  TRIGGER_ON_THE_WAY, /* from what lived to the goal */
  RUNWAY,             /* bytes from the trigger to the goal */
  GOAL,               /* bytes */
  GOAL_OVER_LIVE,     /* bytes */
  PEAK,               /* bytes */
  ROUNDS,             /* the first marking counted as one */
} figure;

typedef struct check {
  figure figure;
  int first, last; /* cycles, counted from 1; last 0: to the end */
  double low, high;
} check;

/* What is 0 is as in USUAL. */
typedef struct scenario {
  const char *name;
  int percent;
  size_t limit;
  double data_bytes;
  stream alloc, scan; /* KiB per millisecond of one processor */
  stream growth;      /* of what lives, per cycle */
  stream scannable;   /* part of the heap that can hold pointers */
  stream stack_bytes;
  stream dirty; /* KiB per millisecond of the program's processors that it writes to and that are scanned again */
  bool white;   /* what is born in a cycle does not survive it; in Go all of it does */
  int cycles;
  check checks[CHECKS];
  struct {
    double live, trigger, peak, goal;
  } in_go; /* heap sizes of the last cycle; 0: not known */
} scenario;

typedef struct cycle_result {
  double live, trigger, peak, goal, share;
  int rounds;
} cycle_result;

static const scenario USUAL = {
    .percent = 100,
    .limit = SIZE_MAX,
    .data_bytes = 32 << 10,
    .scan = {.base = 1024},
    .growth = {.base = 2, .ramp = -1, .ramp_cycles = 12}, /* so that it doubles at first, and at last stays as it is */
    .scannable = {.base = 1},
    .stack_bytes = {.base = 8192},
};

/* ---- streams ---- */

static double jitter(const stream *from, int cycle) {
  test_random random = {from->seed * 1000003 + (uint64_t)cycle};
  return ((double)(random_next(&random) >> 11) / (double)(UINT64_C(1) << 53) - 0.5) * 2 * from->jitter;
}

static double value(const stream *from, int cycle) {
  double sum = from->base;
  int ramped = cycle - from->ramp_after;
  if (from->ramp_cycles && ramped > 0) sum += from->ramp * fmin(ramped, from->ramp_cycles) / from->ramp_cycles;
  if (cycle == from->peak_after) sum += from->peak;
  if (from->swing_cycles) sum += from->swing * sin(cycle % from->swing_cycles * 2 * M_PI / from->swing_cycles);
  if (from->jitter > 0) sum += jitter(from, cycle);
  return sum;
}

static double rate(const stream *from, int cycle) { return fmax(value(from, cycle), RATE_LEAST); }

/* ---- the simulation ---- */

typedef struct simulation {
  const scenario *scenario;
  tri_pacer pacer;
  double survived; /* bytes born during the last cycle that its end counted as live */
  /* this cycle's */
  double alloc, scan, dirty, scannable; /* bytes per nanosecond; a part */
  double left_data, left_stack, left_heap, left_remark;
  tri_pacer_progress progress;
  double assist_ns, elapsed_ns, born;
  double written; /* since all was armed, or armed again */
} simulation;

static const tri_pacer_memory NO_MEMORY;

/* Scans up to so many bytes of one kind. */
static double scan_some(double *left, double most, size_t *done) {
  double scanned = floor(fmin(*left, most));
  *left -= scanned;
  *done += (size_t)scanned;
  return scanned;
}

static double scan(simulation *now, double most) {
  tri_pacer_work *done = &now->progress.done;
  double scanned = scan_some(&now->left_data, most, &done->data);
  scanned += scan_some(&now->left_stack, most - scanned, &done->stack);
  scanned += scan_some(&now->left_heap, most - scanned, &done->heap);
  return scanned + scan_some(&now->left_remark, most - scanned, &done->remark);
}

static bool is_work_left(const simulation *now) {
  return now->left_data >= 1 || now->left_stack >= 1 || now->left_heap >= 1 || now->left_remark >= 1;
}

/* In a step of which the collector has the share u, scan * u is scanned and alloc * (1 - u) allocated, and assists see
 * to it that the one is the ratio times the other; hence u. Workers do not pause for being ahead, so it is a quarter at
 * least. When the work ends within the step, so does the step. */
static void step(simulation *now) {
  double ratio = tri_pacer_revise(&now->pacer, &now->progress, NO_MEMORY).work_per_byte;
  double share = fmax(ratio * now->alloc / (ratio * now->alloc + now->scan), TRI_PACER_SHARE);
  double can_scan = floor(now->scan * share * PROCESSORS * STEP_NS);
  double scanned = scan(now, can_scan);
  double ns = scanned < can_scan ? scanned / (now->scan * share * PROCESSORS) : STEP_NS;
  double allocated = floor(now->alloc * (1 - share) * PROCESSORS * ns);
  now->progress.live += (size_t)allocated;
  now->progress.most.heap += (size_t)(allocated * now->scannable);
  now->born += allocated;
  now->written += now->dirty * (1 - share) * PROCESSORS * ns;
  now->assist_ns += ns * PROCESSORS * (share - TRI_PACER_SHARE);
  now->elapsed_ns += ns;
}

/* What was written since the last round is found; more than there is cannot be. */
static bool find_round(simulation *now) {
  const tri_pacer_work *done = &now->progress.done;
  double found = fmin(now->written, (double)(done->heap + done->stack + done->data));
  now->written = 0;
  if (found < ROUND_LEAST) return false;
  now->left_remark = floor(found);
  now->progress.most.remark += (size_t)found;
  return true;
}

static void begin_cycle(simulation *now, int cycle) {
  const scenario *it = now->scenario;
  tri_pacer *pacer = &now->pacer;
  now->alloc = rate(&it->alloc, cycle) * KIB_PER_MS;
  now->scan = rate(&it->scan, cycle) * KIB_PER_MS;
  now->dirty = value(&it->dirty, cycle) * KIB_PER_MS;
  now->scannable = fmin(fmax(value(&it->scannable, cycle), 0), 1);
  double stacks = fmax(floor(value(&it->stack_bytes, cycle) / 2048) * 2048, 0);
  size_t trigger = tri_max(tri_pacer_trigger(pacer, NO_MEMORY).trigger, pacer->marked);
  now->progress = (tri_pacer_progress){.live = trigger};
  now->progress.most.heap = pacer->last.heap + (size_t)((double)(trigger - pacer->marked) * now->scannable);
  now->progress.most.stack = (size_t)stacks;
  now->progress.most.data = (size_t)it->data_bytes;
  now->left_data = it->data_bytes;
  now->left_stack = stacks;
  now->assist_ns = now->elapsed_ns = now->born = now->written = 0;
  tri_pacer_start_cycle(pacer, trigger);
}

static cycle_result run_cycle(simulation *now, int cycle) {
  begin_cycle(now, cycle);
  tri_pacer *pacer = &now->pacer;
  double old = floor(((double)pacer->marked - now->survived) * rate(&now->scenario->growth, cycle));
  double lives = cycle == 0 ? FIRST_HEAP : old;
  now->left_heap = floor(lives * now->scannable);
  cycle_result result = {.live = (double)pacer->marked, .trigger = (double)pacer->triggered};
  int steps = 0;
  do {
    for (; is_work_left(now) && steps < STEPS_MOST; steps++) step(now);
    assert_true(steps < STEPS_MOST);
    assert_true(result.rounds++ < ROUNDS_MOST);
  } while (find_round(now));
  result.peak = (double)now->progress.live;
  result.goal = (double)tri_pacer_heap_goal(pacer, NO_MEMORY);
  result.share = now->assist_ns / (now->elapsed_ns * PROCESSORS) + TRI_PACER_SHARE;
  now->survived = now->scenario->white ? 0 : now->born;
  tri_pacer_times times = {
      .duration = (uint64_t)now->elapsed_ns, .assist = (uint64_t)now->assist_ns, .processors = PROCESSORS};
  tri_pacer_end_cycle(pacer, &now->progress, &times, (size_t)(lives + now->survived));
  return result;
}

/* ---- checks ---- */

static double figure_of(figure which, const cycle_result *results, int cycle) {
  const cycle_result *it = &results[cycle - 1];
  switch (which) {
  case SHARE: return it->share;
  case SHARE_CHANGE: return it->share - results[cycle - 2].share;
  case SHARE_SINCE_12TH: return it->share - results[11].share;
  case PEAK_TO_GOAL: return it->peak / it->goal;
  case TRIGGER_ON_THE_WAY: return (it->trigger - it->live) / (it->goal - it->live);
  case RUNWAY: return it->goal - it->trigger;
  case GOAL: return it->goal;
  case GOAL_OVER_LIVE: return it->goal - it->live;
  case PEAK: return it->peak;
  case ROUNDS: return it->rounds;
  }
  return NAN;
}

static void check_cycle(const scenario *it, const cycle_result *results, int cycle) {
  const cycle_result *last = &results[cycle - 1];
  assert_true(last->share >= 0 && last->share <= 1);
  for (int i = 0; i < CHECKS; i++) {
    const check *want = &it->checks[i];
    if (want->first == 0 || cycle < want->first || (want->last && cycle > want->last)) continue;
    double is = figure_of(want->figure, results, cycle);
    if (is >= want->low && is <= want->high) continue;
    fail_msg("%s, cycle %d: check %d is %f, not in [%f, %f] (share %f, %.0f -> %.0f -> %.0f, goal %.0f, rounds %d)",
             it->name, cycle, i, is, want->low, want->high, last->share, last->live, last->trigger, last->peak,
             last->goal, last->rounds);
  }
}

static scenario filled_in(const scenario *from) {
  scenario it = *from;
  if (it.percent == 0) it.percent = USUAL.percent;
  if (it.limit == 0) it.limit = USUAL.limit;
  if (it.data_bytes == 0) it.data_bytes = USUAL.data_bytes;
  if (it.scan.base == 0) it.scan = USUAL.scan;
  if (it.growth.base == 0) it.growth = USUAL.growth;
  if (it.scannable.base == 0) it.scannable = USUAL.scannable;
  if (it.stack_bytes.base == 0) it.stack_bytes = USUAL.stack_bytes;
  return it;
}

/* Go simulates in whole bytes and nanoseconds in other places, so that the last digits differ. */
static void check_with_go(const scenario *it, const cycle_result *last) {
  const double mine[] = {last->live, last->trigger, last->peak, last->goal};
  const double go[] = {it->in_go.live, it->in_go.trigger, it->in_go.peak, it->in_go.goal};
  for (int i = 0; i < 4 && it->in_go.goal > 0; i++)
    if (fabs(mine[i] / go[i] - 1) > 1e-5) fail_msg("%s: heap size %d is %.0f; in Go %.0f", it->name, i, mine[i], go[i]);
}

static void run_scenario(void **state) {
  const scenario full = filled_in(*state), *it = &full;
  simulation now = {.scenario = it};
  cycle_result results[CYCLES_MOST];
  assert_true(it->cycles > 0 && it->cycles <= CYCLES_MOST && it->checks[0].first > 0);
  tri_pacer_init(&now.pacer, it->percent, it->limit);
  for (int i = 0; i < it->cycles; i++) {
    results[i] = run_cycle(&now, i);
    check_cycle(it, results, i + 1);
  }
  check_with_go(it, &results[it->cycles - 1]);
}

/* ---- the scenarios ---- */

#define CONSTANT(value)                                                                                                \
  { .base = (value) }
#define WITHIN(middle, around) (middle) - (around), (middle) + (around)

/* The checks that most have in common: after 25 cycles it is steady; after a change in the 50th, too. */
#define SETTLED(first, last)                                                                                           \
  {SHARE_CHANGE, first, last, WITHIN(0, 0.005)}, { PEAK_TO_GOAL, first, last, 0.95, 1.05 }
#define SETTLED_TWICE SETTLED(25, 49), SETTLED(75, 0)
#define STEADY {SHARE, 25, 0, WITHIN(0.25, 0.005)}, SETTLED(25, 0)
#define LEVEL                                                                                                          \
  {SHARE, 26, 0, WITHIN(0.25, 0.005)}, {SHARE_CHANGE, 26, 0, WITHIN(0, 0.05)}, {                                       \
    SHARE_SINCE_12TH, 26, 0, WITHIN(0, 0.05)                                                                           \
  }

#define LIMIT (512 * TRI_MIB)
#define LIMIT_GOAL (LIMIT - LIMIT / 100 * 3)
#define AT_THE_LIMIT LIMIT_GOAL, LIMIT_GOAL
#define BELOW_THE_LIMIT 0, LIMIT_GOAL - 1

static scenario scenarios[] = {
    {.name = "Steady",
     .alloc = CONSTANT(33),
     .cycles = 50,
     .checks = {STEADY},
     .in_go = {20886438, 39968953, 41813835, 41813836}},
    {.name = "SteadyBigStacks",
     .alloc = CONSTANT(132),
     .stack_bytes = {.base = 2048, .ramp = 128 << 20, .ramp_cycles = 8},
     .cycles = 50,
     .checks = {STEADY},
     .in_go = {78323176, 231617274, 290898894, 290898896}},
    {.name = "SteadyBigGlobals",
     .alloc = CONSTANT(132),
     .data_bytes = 128 << 20,
     .cycles = 50,
     .checks = {STEADY},
     .in_go = {78312879, 231580353, 290851676, 290851678}},
    {.name = "StepAlloc",
     .alloc = {.base = 33, .ramp = 66, .ramp_cycles = 1, .ramp_after = 50},
     .cycles = 100,
     .checks = {SETTLED_TWICE},
     .in_go = {24576217, 43658731, 49193392, 49193394}},
    {.name = "HeavyStepAlloc",
     .alloc = {.base = 33, .ramp = 330, .ramp_cycles = 1, .ramp_after = 50},
     .cycles = 100,
     .checks = {SETTLED_TWICE},
     .in_go = {27098619, 46181094, 54238197, 54238198}},
    {.name = "StepScannableFrac",
     .alloc = CONSTANT(128),
     .scannable = {.base = 0.2, .peak = 0.5, .peak_after = 50},
     .cycles = 100,
     .checks = {SETTLED_TWICE},
     .in_go = {20485028, 39567543, 41011015, 41011016}},
    {.name = "HighGOGC",
     .percent = 1500,
     .alloc = {.base = 165, .jitter = 7, .seed = 0x53},
     .growth = {.base = 2, .ramp = -1, .ramp_cycles = 12, .jitter = 0.01, .seed = 1, .peak = 14, .peak_after = 25},
     .cycles = 50,
     .checks = {{PEAK_TO_GOAL, 13, 25, 0.90, 1.05},
                {PEAK_TO_GOAL, 26, 26, 0.90, 15},
                {PEAK_TO_GOAL, 27, 0, 0.90, 1.05},
                {SHARE, 13, 0, WITHIN(0.25, 0.28)},
                {SHARE_CHANGE, 13, 0, WITHIN(0, 0.03)}}},
    {.name = "OscAlloc",
     .alloc = {.base = 67, .swing = 13, .swing_cycles = 8},
     .cycles = 50,
     .checks = {{PEAK_TO_GOAL, 13, 0, 0.95, 1.05}, {SHARE, 13, 0, 0.25, 0.30}},
     .in_go = {22787244, 41869761, 45615447, 45615448}},
    {.name = "JitterAlloc",
     .alloc = {.base = 132, .jitter = 13, .seed = 0xf},
     .growth = {.base = 2, .ramp = -1, .ramp_cycles = 12, .jitter = 0.01, .seed = 0xe},
     .cycles = 50,
     .checks = {{PEAK_TO_GOAL, 13, 0, 0.95, 1.025}, {SHARE, 13, 0, 0.25, 0.275}}},
    {.name = "HeavyJitterAlloc",
     .alloc = {.base = 330, .jitter = 33, .seed = 0},
     .growth = {.base = 2, .ramp = -1, .ramp_cycles = 12, .jitter = 0.01, .seed = 0x152},
     .cycles = 50,
     .checks = {{PEAK_TO_GOAL, 14, 0, 0.95, 1.05},
                {SHARE_CHANGE, 14, 0, WITHIN(0, 0.05)},
                {SHARE_SINCE_12TH, 14, 0, WITHIN(0, 0.05)}}},
    {.name = "SmallHeapSlowAlloc",
     .alloc = CONSTANT(1),
     .scan = CONSTANT(2048),
     .growth = {.base = 2, .ramp = -1, .ramp_cycles = 3},
     .scannable = CONSTANT(0.01),
     .cycles = 50,
     .checks = {{PEAK_TO_GOAL, 5, 0, 0.925, 1.025}, {TRIGGER_ON_THE_WAY, 5, 0, 0.925, 0.975}, LEVEL},
     .in_go = {582609, 4024961, 4025029, 4194304}},
    {.name = "MediumHeapSlowAlloc",
     .alloc = CONSTANT(1),
     .scan = CONSTANT(2048),
     .growth = {.base = 2, .ramp = -1, .ramp_cycles = 8},
     .scannable = CONSTANT(0.01),
     .cycles = 50,
     .checks = {{PEAK_TO_GOAL, 10, 0, 0.925, 1.025}, {TRIGGER_ON_THE_WAY, 10, 0, 0.925, 0.975}, LEVEL},
     .in_go = {4054169, 7957315, 7957434, 8149298}},
    {.name = "LargeHeapSlowAlloc",
     .alloc = CONSTANT(1),
     .scan = CONSTANT(2048),
     .growth = {.base = 4, .ramp = -3, .ramp_cycles = 12},
     .scannable = CONSTANT(0.01),
     .cycles = 50,
     .checks = {{PEAK_TO_GOAL, 14, 0, 0.95, 1.05}, {RUNWAY, 14, 0, WITHIN(TRI_PACER_MINIMUM, 64 << 10)}, LEVEL},
     .in_go = {3405451943, 6806750542, 6806800485, 6810944846}},
    {.name = "SteadyMemoryLimit",
     .limit = LIMIT,
     .alloc = CONSTANT(33),
     .cycles = 50,
     .checks = {{PEAK, 1, 0, BELOW_THE_LIMIT}, STEADY},
     .in_go = {20886438, 39968953, 41813835, 41813836}},
    {.name = "SteadyMemoryLimitNoGCPercent",
     .percent = -1,
     .limit = LIMIT,
     .alloc = CONSTANT(33),
     .cycles = 50,
     .checks = {{GOAL, 1, 0, AT_THE_LIMIT}, STEADY},
     .in_go = {20886447, 516570481, 518415372, 520764785}},
    {.name = "ExceedMemoryLimit",
     .limit = LIMIT,
     .alloc = CONSTANT(33),
     .growth = {.base = 3.5, .ramp = -2.5, .ramp_cycles = 12},
     .cycles = 50,
     .checks = {{GOAL_OVER_LIVE, 13, 0, 0, 0},
                {SHARE, 25, 0, WITHIN(1, 0.005)},
                {SHARE_CHANGE, 25, 0, WITHIN(0, 0.005)}},
     .in_go = {1174734432, 1174734432, 1174734432, 1174734432}},
    {.name = "ExceedMemoryLimitNoGCPercent",
     .percent = -1,
     .limit = LIMIT,
     .alloc = CONSTANT(33),
     .growth = {.base = 3.5, .ramp = -2.5, .ramp_cycles = 12},
     .cycles = 50,
     .checks = {{GOAL, 1, 9, AT_THE_LIMIT},
                {GOAL_OVER_LIVE, 13, 0, 0, 0},
                {SHARE, 25, 0, WITHIN(1, 0.005)},
                {SHARE_CHANGE, 25, 0, WITHIN(0, 0.005)}},
     .in_go = {1174734432, 1174734432, 1174734432, 1174734432}},
    {.name = "MaintainMemoryLimit",
     .limit = LIMIT,
     .alloc = CONSTANT(33),
     .growth = {.base = 3, .ramp = -2, .ramp_cycles = 12},
     .cycles = 50,
     .checks = {{GOAL, 13, 0, AT_THE_LIMIT}, STEADY},
     .in_go = {391467728, 486250716, 520764784, 520764785}},
    {.name = "MaintainMemoryLimitNoGCPercent",
     .percent = -1,
     .limit = LIMIT,
     .alloc = CONSTANT(33),
     .growth = {.base = 3, .ramp = -2, .ramp_cycles = 12},
     .cycles = 50,
     .checks = {{GOAL, 1, 0, AT_THE_LIMIT}, STEADY},
     .in_go = {391467773, 486250671, 520764784, 520764785}},

    /* Rounds that shrink by themselves need no assists, for the runway is long enough for them. */
    {.name = "Rounds",
     .alloc = CONSTANT(33),
     .dirty = CONSTANT(100),
     .white = true,
     .cycles = 50,
     .checks = {STEADY, {ROUNDS, 25, 0, 5, 5}}},
    /* When the program suddenly writes more, assists keep the goal, and the next cycles begin earlier. */
    {.name = "StepRounds",
     .alloc = CONSTANT(33),
     .dirty = {.base = 50, .ramp = 150, .ramp_cycles = 1, .ramp_after = 50},
     .white = true,
     .cycles = 100,
     .checks = {SETTLED_TWICE,
                {SHARE, 25, 49, WITHIN(0.25, 0.005)},
                {PEAK_TO_GOAL, 52, 52, 0.95, 1.005},
                {SHARE, 52, 52, 0.30, 0.35},
                {SHARE, 75, 0, WITHIN(0.25, 0.005)}}},
    /* Rounds that do not shrink beside workers alone do when those who allocate pay. Here the program writes more than
     * workers scan again in the same time, in the last case twice as much. */
    {.name = "HeavyRounds",
     .alloc = CONSTANT(132),
     .dirty = CONSTANT(400),
     .white = true,
     .cycles = 50,
     .checks = {SETTLED(25, 0), {SHARE, 25, 0, 0.40, 0.50}, {ROUNDS, 1, 0, 1, 20}}},
    {.name = "StubbornRounds",
     .alloc = CONSTANT(33),
     .dirty = CONSTANT(900),
     .white = true,
     .cycles = 50,
     .checks = {SETTLED(25, 0), {SHARE, 25, 0, 0.35, 0.45}, {ROUNDS, 1, 0, 1, 20}}},
};

int main(void) {
  struct CMUnitTest tests[sizeof scenarios / sizeof scenarios[0]];
  for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
    tests[i] =
        (struct CMUnitTest){.name = scenarios[i].name, .test_func = run_scenario, .initial_state = &scenarios[i]};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
