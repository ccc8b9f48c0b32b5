/* test_figures.c - what is told of the heap in Go's own forms: the fields of MemStats, the line of gctrace, the goal
 * that both name, with all that it is made of, the stops, and how many collections there were. Every case that
 * collects runs in a child. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tricolor.h>
#include <unistd.h>

#include "child.h"
#include "steps.h"
#include "trap.h"
#include "trees.h"

enum { MIB = 1 << 20 };

/* ---- runtime.MemStats ---- */

typedef struct field {
  const char *name;
  size_t offset, size;
  bool typed;
} field;

#define FIELD_SIZE(name) sizeof(((tri_memstats *)0)->name)
/* clang-format off */
#define FIELD(type, name)                                                                                              \
  {#name, offsetof(tri_memstats, name), FIELD_SIZE(name),                                                              \
   _Generic(&((tri_memstats *)0)->name, type *: true, default: false)}
/* clang-format on */

typedef uint64_t ring[256];

/* In Go's order: https://pkg.go.dev/runtime#MemStats. */
static const field fields[] = {FIELD(uint64_t, Alloc),
                               FIELD(uint64_t, TotalAlloc),
                               FIELD(uint64_t, Sys),
                               FIELD(uint64_t, Lookups),
                               FIELD(uint64_t, Mallocs),
                               FIELD(uint64_t, Frees),
                               FIELD(uint64_t, HeapAlloc),
                               FIELD(uint64_t, HeapSys),
                               FIELD(uint64_t, HeapIdle),
                               FIELD(uint64_t, HeapInuse),
                               FIELD(uint64_t, HeapReleased),
                               FIELD(uint64_t, HeapObjects),
                               FIELD(uint64_t, StackInuse),
                               FIELD(uint64_t, StackSys),
                               FIELD(uint64_t, MSpanInuse),
                               FIELD(uint64_t, MSpanSys),
                               FIELD(uint64_t, MCacheInuse),
                               FIELD(uint64_t, MCacheSys),
                               FIELD(uint64_t, BuckHashSys),
                               FIELD(uint64_t, GCSys),
                               FIELD(uint64_t, OtherSys),
                               FIELD(uint64_t, NextGC),
                               FIELD(uint64_t, LastGC),
                               FIELD(uint64_t, PauseTotalNs),
                               FIELD(ring, PauseNs),
                               FIELD(ring, PauseEnd),
                               FIELD(uint32_t, NumGC),
                               FIELD(uint32_t, NumForcedGC),
                               FIELD(double, GCCPUFraction),
                               FIELD(bool, EnableGC),
                               FIELD(bool, DebugGC),
                               FIELD(uint32_t, BySize[0].Size),
                               FIELD(uint64_t, BySize[0].Mallocs),
                               FIELD(uint64_t, BySize[0].Frees)};

/* None is missing, none of ours is between them, and each is of Go's type. */
static void test_memstats_has_gos_fields(void **state) {
  (void)state;
  size_t end = 0;
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
    if (!fields[i].typed) fail_msg("%s is not of Go's type", fields[i].name);
    if (fields[i].offset < end || fields[i].offset >= end + sizeof(uint64_t))
      fail_msg("%s is at %zu, what comes before it ends at %zu", fields[i].name, fields[i].offset, end);
    end = fields[i].offset + fields[i].size;
  }
  assert_int_equal(offsetof(tri_memstats, BySize) + sizeof((tri_memstats *)0)->BySize, sizeof(tri_memstats));
  assert_true(TRI_BY_SIZE_COUNT >= 61); /* as many as Go has */
}

/* ---- the goal ---- */

static char globals[40 * MIB]; /* written nowhere: the collector reads it all the same */

static tri_memstats read_stats(void) {
  tri_memstats stats;
  tri_read_memstats(&stats);
  return stats;
}

/* Where a collection is one stop, at a moment the program can tell. */
static const char *const stopping[] = {"TRICOLOR_GEAR=none", NULL};

static uint64_t goal_after_gc(void) {
  tri_gc();
  return read_stats().NextGC;
}

static void allocate_garbage(size_t bytes) {
  for (size_t i = 0; i < bytes; i += 1024) tri_keep_alive(tri_alloc_noscan(1024));
}

/* Static data counts as live in the goal (runtime/mgcpacer.go: heapGoalInternal), and the next collection comes there:
 * neither well before nor well after. */
static void run_globals(void *unused) {
  (void)unused;
  tri_keep_alive(globals);
  uint64_t at_100 = goal_after_gc(), live = read_stats().HeapAlloc;
  CHILD_CHECK(at_100 >= live + sizeof globals && at_100 < 2 * live + sizeof globals + 16 * MIB);
  tri_set_gc_percent(200);
  uint64_t at_200 = read_stats().NextGC;
  CHILD_CHECK(at_200 - live >= 2 * (at_100 - live) - MIB && at_200 - live <= 2 * (at_100 - live) + MIB);
  tri_set_gc_percent(100);
  uint32_t before = read_stats().NumGC;
  allocate_garbage(at_100 - live - 4 * MIB);
  CHILD_CHECK(read_stats().NumGC == before);
  allocate_garbage(8 * MIB);
  CHILD_CHECK(read_stats().NumGC == before + 1);
}

static void test_the_goal_counts_static_data(void **state) {
  (void)state;
  SKIP_UNDER_TSAN("it has 20 MiB of static data");
  child_result result = child_run(run_globals, NULL, stopping);
  assert_true(child_succeeded(&result));
}

enum { DEEP = 24 * MIB };

static uint64_t shallow_goal, deep_goal;

__attribute__((noinline)) static void collect_deep_down(void) {
  char frame[DEEP];
  tri_keep_alive(frame); /* else the compiler makes it smaller */
  deep_goal = goal_after_gc();
  tri_keep_alive(frame);
}

static void *collect_twice(void *unused) {
  shallow_goal = goal_after_gc();
  collect_deep_down();
  return unused;
}

static void run_stacks(void *unused) {
  pthread_attr_t attributes;
  pthread_t thread;
  (void)unused;
  pthread_attr_init(&attributes);
  CHILD_CHECK(pthread_attr_setstacksize(&attributes, 2 * (size_t)DEEP) == 0);
  CHILD_CHECK(pthread_create(&thread, &attributes, collect_twice, NULL) == 0 && pthread_join(thread, NULL) == 0);
  CHILD_CHECK(deep_goal - shallow_goal >= DEEP - MIB && deep_goal - shallow_goal <= DEEP + MIB);
}

static void test_the_goal_counts_stacks(void **state) {
  (void)state;
  SKIP_UNDER_TSAN("a stop may interrupt it, see tests/CMakeLists.txt");
  child_result result = child_run(run_stacks, NULL, NULL);
  assert_true(child_succeeded(&result));
}

/* ---- stops ---- */

enum { SHORT_STOPS = 20 };

static void *volatile chain; /* a root */

/* The longest stop is not the last one: what is live goes away after the first collection. */
static void make_stops(void) {
  for (int i = 0; i < 200000; i++) {
    void **new = tri_alloc(32);
    CHILD_CHECK(new);
    *new = chain;
    chain = new;
  }
  tri_gc();
  chain = NULL;
  for (int i = 0; i < SHORT_STOPS; i++) tri_gc();
}

static size_t bucket_of(uint64_t ns) {
  size_t bucket = 0;
  while (bucket < TRI_STOP_BUCKETS - 1 && ns > (UINT64_C(1000) << bucket)) bucket++;
  return bucket;
}

/* Every pause is a stop; today there are no others. */
static void run_stops(void *unused) {
  tri_stopstats stops;
  uint64_t total = 0, longest = 0, counts[TRI_STOP_BUCKETS] = {0};
  (void)unused;
  make_stops();
  tri_read_stopstats(&stops);
  tri_memstats stats = read_stats();
  CHILD_CHECK(stats.NumGC > SHORT_STOPS && stats.NumGC <= 256);
  for (uint32_t i = 0; i < stats.NumGC; i++) {
    total += stats.PauseNs[i];
    counts[bucket_of(stats.PauseNs[i])]++;
    if (stats.PauseNs[i] > longest) longest = stats.PauseNs[i];
    CHILD_CHECK(i == 0 || stats.PauseEnd[i] >= stats.PauseEnd[i - 1]);
  }
  CHILD_CHECK(stops.count == stats.NumGC && stops.longest_ns == longest);
  CHILD_CHECK(stops.total_ns == total && stats.PauseTotalNs == total);
  CHILD_CHECK(memcmp(stops.counts, counts, sizeof counts) == 0);
  CHILD_CHECK(stops.largest_marked_bytes >= 200000 * 32 && stops.mark_cpu_ns > 0);
}

static void test_stops_are_summed_and_sorted(void **state) {
  (void)state;
  child_result result = child_run(run_stops, NULL, stopping);
  assert_true(child_succeeded(&result));
}

/* ---- tri_read_cycles ---- */

typedef struct cycles {
  uint64_t begun, over;
} cycles;

static cycles read_cycles(void) {
  cycles now;
  tri_read_cycles(&now.begun, &now.over);
  return now;
}

/* To ask does not start the heap: options still count. */
static void run_cycles_before_heap(void *unused) {
  const tri_options options = {.size = sizeof options};
  (void)unused;
  cycles before = read_cycles();
  CHILD_CHECK(before.begun == 0 && before.over == 0);
  CHILD_CHECK(tri_init(&options) == TRI_OK);
  before = read_cycles();
  CHILD_CHECK(before.begun == 0 && before.over == 0);
}

static void check_cycles_grow(void) {
  for (int i = 0; i < 5; i++) {
    cycles before = read_cycles();
    CHILD_CHECK(before.begun == before.over);
    tri_gc();
    cycles after = read_cycles();
    CHILD_CHECK(after.begun == before.begun + 1 && after.over == after.begun);
  }
}

/* The child goes on from its parent's. */
static void run_cycles(void *unused) {
  (void)unused;
  check_cycles_grow();
  CHILD_CHECK(read_cycles().over == read_stats().NumGC);
  pid_t child = fork();
  CHILD_CHECK(child >= 0);
  CHILD_CHECK(read_cycles().begun == 5 && read_cycles().over == 5);
  check_cycles_grow();
  if (child == 0) _exit(0);
  await_child(child);
  CHILD_CHECK(read_cycles().begun == 10 && read_cycles().over == 10);
}

#if defined(__x86_64__)

static test_step asked, collected, is_read;

static void have_collected(void) {
  step_reach(&asked, atomic_load(&collected) + 1);
  step_await(&collected, atomic_load(&asked));
}

/* A collection comes at each instruction in turn. Never more are over than have begun, and neither shrinks. */
static void *read_by_steps(void *unused) {
  cycles last = {0, 0};
  int step = 0;
  do {
    cycles now;
    start_stepping(++step, have_collected);
    tri_read_cycles(&now.begun, &now.over);
    stop_stepping();
    CHILD_CHECK(now.over <= now.begun && now.begun >= last.begun && now.over >= last.over);
    last = now;
  } while (trap.sprung);
  CHILD_CHECK(step > 5 && last.over > 5);
  step_reach(&is_read, 1);
  return unused;
}

static void run_cycles_by_steps(void *unused) {
  struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
  pthread_t reader;
  (void)unused;
  CHILD_CHECK(sigaction(SIGTRAP, &action, NULL) == 0);
  CHILD_CHECK(pthread_create(&reader, NULL, read_by_steps, NULL) == 0);
  while (!atomic_load(&is_read)) {
    if (atomic_load(&asked) == atomic_load(&collected)) continue;
    tri_gc();
    step_reach(&collected, atomic_load(&asked));
  }
  CHILD_CHECK(pthread_join(reader, NULL) == 0);
}

#else

static void run_cycles_by_steps(void *unused) { (void)unused; }

#endif

static void test_collections_are_counted(void **state) {
  (void)state;
  static void (*const bodies[])(void *) = {run_cycles_before_heap, run_cycles, run_cycles_by_steps};
  for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
    if (UNDER_TSAN && bodies[i] == run_cycles_by_steps) continue; /* see tests/CMakeLists.txt */
    child_result result = child_run(bodies[i], NULL, NULL);
    assert_true(child_succeeded(&result));
  }
}

/* ---- gctrace ---- */

/* "gc # @#s #%: #+#+# ms clock, #+#/#/#+# ms cpu, #->#-># MB, # MB goal, # MB stacks, # MB globals, # P", with
 * " (forced)" behind it: https://pkg.go.dev/runtime#hdr-Environment_Variables. */
#define DECIMAL "[0-9]+(\\.[0-9]+)?"
#define LINE                                                                                                           \
  "^gc ([0-9]+) @[0-9]+\\.[0-9]{3}s [0-9]+%: " DECIMAL "\\+" DECIMAL "\\+" DECIMAL " ms clock, " DECIMAL "\\+" DECIMAL \
  "/" DECIMAL "/" DECIMAL "\\+" DECIMAL " ms cpu, ([0-9]+)->([0-9]+)->([0-9]+) MB, ([0-9]+) MB goal, ([0-9]+) MB "     \
  "stacks, ([0-9]+) MB globals, ([0-9]+) P( \\(forced\\))?$"

enum { DECIMALS = 8, GROUPS = 10 + DECIMALS, LIVE = 50 * MIB };

static void *volatile kept;

/* Three collections, of which the second one was not asked for; then what the figures say of the last. */
static void run_traced(void *unused) {
  (void)unused;
  tri_keep_alive(globals);
  kept = tri_alloc_noscan(LIVE);
  tri_gc();
  while (read_stats().NumGC == 1) allocate_garbage(MIB);
  uint64_t goal = read_stats().NextGC;
  tri_gc();
  tri_memstats stats = read_stats();
  char line[128];
  int length = snprintf(line, sizeof line, "goal %llu, collections %u, forced %u\n", (unsigned long long)goal,
                        stats.NumGC, stats.NumForcedGC);
  CHILD_CHECK(write(STDERR_FILENO, line, (size_t)length) == length);
}

typedef struct traced {
  unsigned long number, before, after, marked, goal, stacks, globals, markers;
  bool forced;
} traced;

/* The groups that are no decimals; those have two groups each. */
static traced read_line(const regex_t *form, const char *line) {
  regmatch_t groups[GROUPS];
  unsigned long numbers[GROUPS] = {0};
  if (regexec(form, line, GROUPS, groups, 0) != 0) fail_msg("not a line of gctrace: %s", line);
  for (int i = 1; i < GROUPS; i++)
    if (groups[i].rm_so >= 0) numbers[i] = strtoul(line + groups[i].rm_so, NULL, 10);
  const unsigned long *after = numbers + 2 + DECIMALS;
  return (traced){
      numbers[1], after[0], after[1], after[2], after[3], after[4], after[5], after[6], groups[GROUPS - 1].rm_so >= 0};
}

static void test_trace_line(void **state) {
  (void)state;
  SKIP_UNDER_TSAN("it has 20 MiB of static data");
  regex_t form;
  assert_int_equal(regcomp(&form, LINE, REG_EXTENDED), 0);
  assert_int_equal(form.re_nsub + 1, GROUPS);
  child_result result =
      child_run(run_traced, NULL,
                (const char *const[]){"TRICOLOR_GEAR=none", "TRICOLOR_TRACE=gc", "TRICOLOR_GC_THREADS=3", NULL});
  assert_true(child_succeeded(&result));
  traced lines[3];
  char *rest = result.text;
  for (unsigned i = 0; i < 3; i++) {
    char *line = strsep(&rest, "\n");
    assert_non_null(rest);
    lines[i] = read_line(&form, line);
    assert_int_equal(lines[i].number, i + 1);
    assert_int_equal(lines[i].forced, i != 1);
    assert_in_range(lines[i].before, LIVE / MIB, lines[i].goal + LIVE / MIB);
    assert_in_range(lines[i].after, LIVE / MIB, LIVE / MIB + 2);
    assert_in_range(lines[i].marked, LIVE / MIB, LIVE / MIB + 2);
    assert_in_range(lines[i].globals, sizeof globals / MIB, sizeof globals / MIB + 16);
    assert_in_range(lines[i].stacks, 0, 8);
    assert_in_range(lines[i].markers, 1, 3);
  }
  unsigned long long goal = 0;
  unsigned number = 0, forced = 0;
  assert_int_equal(sscanf(rest, "goal %llu, collections %u, forced %u", &goal, &number, &forced), 3);
  assert_int_equal(lines[2].goal, goal / MIB);
  assert_int_equal(number, 3);
  assert_int_equal(forced, 2);
  regfree(&form);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_memstats_has_gos_fields), cmocka_unit_test(test_the_goal_counts_static_data),
      cmocka_unit_test(test_the_goal_counts_stacks),  cmocka_unit_test(test_stops_are_summed_and_sorted),
      cmocka_unit_test(test_collections_are_counted), cmocka_unit_test(test_trace_line),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
