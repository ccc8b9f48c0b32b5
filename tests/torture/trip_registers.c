/* trip_registers.c - trips through registers that hold the pointer and nothing else does. See registers.h. */
#include <tricolor.h>

#include "dwell.h"
#include "registers.h"
#include "steps.h"
#include "trips.h"

typedef struct hold_table {
  torture_hold *const *holds;
  size_t count;
} hold_table;

static hold_table count_holds(torture_hold *const *holds) {
  hold_table table = {.holds = holds};
  while (holds[table.count]) table.count++;
  return table;
}

/* Mostly short: a stop may come at any moment, and does where there are many. */
static size_t rounds(actor *a) { return 1 + random_below(&a->random, random_below(&a->random, 64) == 0 ? 20000 : 200); }

void trip_scratch(actor *a, void *volatile *home) {
  hold_table table = count_holds(torture_scratch_holds);
  table.holds[random_below(&a->random, table.count)](home, rounds(a));
}

/* A region's thread is not stopped: what the register held when the region began is all that is known of it. */
static void dwell_in_region(void *argument) {
  tri_blocking_begin();
  forget_stack();
  actor_dwell_bare(argument);
  tri_blocking_end();
}

void trip_callee(actor *a, void *volatile *home) {
  size_t count = 0;
  while (torture_callee_holds[count]) count++;
  torture_hold_call *hold = torture_callee_holds[random_below(&a->random, count)];
  hold(home, random_below(&a->random, 4) ? actor_dwell : dwell_in_region, a);
}

static bool has_wide(void) {
#ifdef __x86_64__
  return __builtin_cpu_supports("avx");
#else
  return false;
#endif
}

static bool has_widest(void) {
#ifdef __x86_64__
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
#else
  return false;
#endif
}

void trip_vector(actor *a, void *volatile *home) {
  torture_hold *const *tables[] = {torture_vector_holds, torture_wide_holds, torture_widest_holds};
  size_t known = has_widest() ? 3 : has_wide() ? 2 : 1;
  hold_table table = count_holds(tables[random_below(&a->random, known)]);
  table.holds[random_below(&a->random, table.count)](home, rounds(a));
}
