/* test_api_start.c - what starting the heap costs in memory, and its options. Every case runs in a child. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <tricolor.h>
#include <unistd.h>

#include "child.h"

enum { MOST_GROWTH = 4 << 20 };

static void start_only(void *unused) {
  (void)unused;
  size_t before = (child_resident(), child_resident());
  CHILD_CHECK(tri_init(NULL) == TRI_OK);
  size_t growth = child_resident() - before;
  if (growth > MOST_GROWTH) child_fail("tri_init made the process grow by %zu bytes", growth);
}

static void start_and_use(void *unused) {
  (void)unused;
  size_t before = (child_resident(), child_resident());
  void *volatile object = tri_alloc(100);
  CHILD_CHECK(object);
  tri_gc();
  size_t growth = child_resident() - before;
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

/* Negative is off, as for tri_set_gc_percent. */
static void start_with_negative_percent(void *unused) {
  (void)unused;
  tri_options options = {.size = sizeof options, .gc_percent = -7};
  CHILD_CHECK(tri_init(&options) == TRI_OK);
  CHILD_CHECK(tri_set_gc_percent(-7) == -1);
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
  result = child_run(start_with_negative_percent, NULL, NULL);
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

/* ---- limits of address space ---- */

/* A sanitizer's own address space is over every limit. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { HAS_LIMITS = 0 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
enum { HAS_LIMITS = 0 };
#else
enum { HAS_LIMITS = 1 };
#endif
#else
enum { HAS_LIMITS = 1 };
#endif

static void limit_address_space(size_t bytes) {
  struct rlimit limit = {.rlim_cur = bytes, .rlim_max = bytes};
  CHILD_CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
}

/* The heap starts and works, and leaves the program a good part of what it may have. */
static void start_below_a_limit(void *bytes) {
  size_t limit = *(size_t *)bytes;
  limit_address_space(limit);
  CHILD_CHECK(tri_init(NULL) == TRI_OK);
  for (int i = 0; i < 100000; i++) CHILD_CHECK(tri_alloc(64));
  tri_gc();
  void *rest = mmap(NULL, limit / 4, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHILD_CHECK(rest != MAP_FAILED);
}

static void test_starting_below_a_limit(void **state) {
  (void)state;
  static const size_t limits[] = {100, 128, 200, 300, 512, 1000, 1024, 4096, 65536, 1 << 20, 4 << 20};
  for (size_t i = 0; HAS_LIMITS && i < sizeof limits / sizeof *limits; i++) {
    size_t bytes = limits[i] << 20;
    child_result result = child_run(start_below_a_limit, &bytes, NULL);
    if (!child_succeeded(&result)) fail_msg("under %zu MiB: %s", limits[i], result.text);
  }
}

/* A wish that goes beyond the limit is met as far as the limit allows. */
static void start_with_a_wish(void *unused) {
  (void)unused;
  limit_address_space((size_t)1 << 30);
  tri_options options = {.size = sizeof options, .heap_reserve = (size_t)64 << 30};
  CHILD_CHECK(tri_init(&options) == TRI_OK);
  for (int i = 0; i < 100000; i++) CHILD_CHECK(tri_alloc(64));
}

static void start_without_space(void *unused) {
  (void)unused;
  limit_address_space(24 << 20);
  CHILD_CHECK(tri_init(NULL) == TRI_ERR_NOMEM);
  CHILD_CHECK(tri_alloc(1) == NULL && errno == ENOMEM);
}

static void test_wishes_and_refusals(void **state) {
  (void)state;
  if (!HAS_LIMITS) return;
  child_result result = child_run(start_with_a_wish, NULL, NULL);
  if (!child_succeeded(&result)) fail_msg("%s", result.text);
  result = child_run(start_without_space, NULL, NULL);
  if (!child_succeeded(&result)) fail_msg("%s", result.text);
  assert_string_equal(result.text,
                      "tricolor: no address space for a heap of even 16 MiB: the limit (ulimit -v) is 24576 KiB\n");
}

/* ---- the version ---- */

static void test_version(void **state) {
  (void)state;
  char version[32];
  snprintf(version, sizeof version, "%d.%d.%d", TRI_VERSION_MAJOR, TRI_VERSION_MINOR, TRI_VERSION_PATCH);
  assert_string_equal(tri_version(), version);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_starting_is_small),
      cmocka_unit_test(test_options),
      cmocka_unit_test(test_environment),
      cmocka_unit_test(test_trace_line),
      cmocka_unit_test(test_starting_below_a_limit),
      cmocka_unit_test(test_wishes_and_refusals),
      cmocka_unit_test(test_version),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
