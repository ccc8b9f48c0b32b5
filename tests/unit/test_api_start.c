/* test_api_start.c - what starting the heap costs in memory, and its options. Every case runs in a child. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <tricolor.h>
#include <unistd.h>

#include "child.h"

enum { MOST_GROWTH = 4 << 20 };

/* Resident bytes of the process. Uses no stdio, which would allocate. */
static size_t resident(void) {
  char text[128] = "", *second;
  int file = open("/proc/self/statm", O_RDONLY);
  CHILD_CHECK(read(file, text, sizeof text - 1) > 0);
  close(file);
  (void)strtoul(text, &second, 10);
  return strtoul(second, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}

static void start_only(void *unused) {
  (void)unused;
  size_t before = (resident(), resident());
  CHILD_CHECK(tri_init(NULL) == TRI_OK);
  size_t growth = resident() - before;
  if (growth > MOST_GROWTH) child_fail("tri_init made the process grow by %zu bytes", growth);
}

static void start_and_use(void *unused) {
  (void)unused;
  size_t before = (resident(), resident());
  void *volatile object = tri_alloc(100);
  CHILD_CHECK(object);
  tri_gc();
  size_t growth = resident() - before;
  if (growth > MOST_GROWTH) child_fail("one object and a collection made the process grow by %zu bytes", growth);
}

static void test_starting_is_small(void **state) {
  (void)state;
  child_result result = child_run(start_only, NULL, NULL);
  assert_true(child_succeeded(&result));
  result = child_run(start_and_use, NULL, NULL);
  assert_true(child_succeeded(&result));
}

/* ---- options ---- */

static void start_with_options(void *unused) {
  (void)unused;
  tri_options options = {
      .size = sizeof options, .gc_percent = 300, .gc_threads = 2, .heap_reserve = 256u << 20, .debug = "check=1"};
  CHILD_CHECK(tri_init(&options) == TRI_OK);
  CHILD_CHECK(tri_init(&options) == TRI_ERR_ALREADY);
  CHILD_CHECK(tri_init(NULL) == TRI_OK);
  CHILD_CHECK(tri_set_gc_percent(100) == 300);
  CHILD_CHECK(!tri_alloc_noscan(300u << 20));
  CHILD_CHECK(tri_alloc_noscan(100u << 20));
  tri_gc();
}

/* A caller compiled against a shorter structure. */
static void start_with_short_options(void *unused) {
  (void)unused;
  tri_options options = {.size = offsetof(tri_options, gc_threads), .gc_percent = 250, .gc_threads = 999};
  CHILD_CHECK(tri_init(&options) == TRI_OK);
  CHILD_CHECK(tri_set_gc_percent(100) == 250);
}

static void start_never_collecting(void *unused) {
  (void)unused;
  tri_options options = {.size = sizeof options, .gc_percent = -1};
  tri_memstats stats;
  CHILD_CHECK(tri_init(&options) == TRI_OK);
  for (int i = 0; i < 20000; i++) CHILD_CHECK(tri_alloc(1000));
  tri_read_memstats(&stats);
  CHILD_CHECK(stats.NumGC == 0);
  CHILD_CHECK(stats.NextGC == UINT64_MAX);
}

static void expect_percent(void *percent) { CHILD_CHECK(tri_set_gc_percent(100) == *(int *)percent); }

static void trace(void *unused) {
  (void)unused;
  tri_gc();
}

static void test_options(void **state) {
  (void)state;
  child_result result = child_run(start_with_options, NULL, NULL);
  assert_true(child_succeeded(&result));
  result = child_run(start_with_short_options, NULL, NULL);
  assert_true(child_succeeded(&result));
  result = child_run(start_never_collecting, NULL, NULL);
  assert_true(child_succeeded(&result));
}

static void test_environment(void **state) {
  (void)state;
  int percent = 55;
  child_result result = child_run(expect_percent, &percent, (const char *const[]){"GOGC=55", NULL});
  assert_true(child_succeeded(&result));
  result = child_run(expect_percent, &percent, (const char *const[]){"GOGC=77", "TRICOLOR_GC_PERCENT=55", NULL});
  assert_true(child_succeeded(&result));
  percent = -1;
  result = child_run(expect_percent, &percent, (const char *const[]){"TRICOLOR_GC_PERCENT=off", NULL});
  assert_true(child_succeeded(&result));
}

static void test_trace_line(void **state) {
  (void)state;
  child_result result = child_run(trace, NULL, (const char *const[]){"TRICOLOR_TRACE=gc", NULL});
  assert_true(child_succeeded(&result));
  assert_int_equal(strncmp(result.text, "gc 1 @", 6), 0);
  assert_non_null(strstr(result.text, "ms clock"));
  assert_non_null(strstr(result.text, " (forced)\n"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_starting_is_small),
      cmocka_unit_test(test_options),
      cmocka_unit_test(test_environment),
      cmocka_unit_test(test_trace_line),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
