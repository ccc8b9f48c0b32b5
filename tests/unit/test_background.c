/* test_background.c - what the library does while the program does nothing: garbage is swept, and memory that the next
 * cycle will not need goes back to the system. Each case waits for that; one that waits in vain is ended by ctest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "child.h"
#include "steps.h"

enum { MIB = 1 << 20, SIZE = 1000, COUNT = 100 * MIB / SIZE };

static void *objects[COUNT]; /* roots */

static __attribute__((noinline)) void make_objects(void) {
  for (int i = 0; i < COUNT; i++) {
    objects[i] = tri_alloc(SIZE);
    CHILD_CHECK(objects[i]);
    memset(objects[i], 1, SIZE);
  }
}

static tri_memstats read_stats(void) {
  tri_memstats stats;
  tri_read_memstats(&stats);
  return stats;
}

/* A collection that growth causes sweeps nothing itself. */
static void run_sweep(void *unused) {
  (void)unused;
  tri_set_gc_percent(-1);
  make_objects();
  memset(objects, 0, sizeof objects);
  forget_stack();
  uint64_t frees = read_stats().Frees;
  CHILD_CHECK(read_stats().HeapObjects >= COUNT);
  tri_set_gc_percent(100);                       /* it is overdue */
  while (read_stats().NumGC == 0) sched_yield(); /* the collector's own thread makes it */
  while (read_stats().Frees - frees < COUNT - COUNT / 100) sched_yield();
  CHILD_CHECK(read_stats().NumGC == 1 && read_stats().NumForcedGC == 0);
}

static void test_garbage_is_swept(void **state) {
  (void)state;
  child_result result = child_run(run_sweep, NULL, NULL);
  assert_true(child_succeeded(&result));
}

static size_t resident(void) {
  char text[128] = "";
  size_t size, pages = 0;
  int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  CHILD_CHECK(read(file, text, sizeof text - 1) > 0 && sscanf(text, "%zu %zu", &size, &pages) == 2);
  close(file);
  return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* All but a tenth more than the next goal, as Go does it (runtime/mgcscavenge.go); what the figures say is gone is gone
 * from the process. */
static void run_scavenger(void *unused) {
  (void)unused;
  make_objects();
  size_t full = resident();
  CHILD_CHECK(full >= 100 * MIB);
  memset(objects, 0, sizeof objects);
  collect();
  for (;;) {
    tri_memstats stats = read_stats();
    if (stats.HeapSys - stats.HeapReleased <= stats.NextGC + stats.NextGC / 10 + MIB) break;
    sched_yield();
  }
  size_t left = resident();
  if (left > full - 80 * MIB) child_fail("%zu bytes were resident, %zu are left", full, left);
}

static void test_memory_goes_back_to_the_system(void **state) {
  (void)state;
  SKIP_UNDER_TSAN("its shadow is memory, too");
  child_result result = child_run(run_scavenger, NULL, NULL);
  assert_true(child_succeeded(&result));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_garbage_is_swept),
      cmocka_unit_test(test_memory_goes_back_to_the_system),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
