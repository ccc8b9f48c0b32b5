/* test_invitations.c - how many helpers are called to a mark (gc/helpers.h): all, or a quarter of the processors and
 * those that are idle. What they are called to do is the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <stdatomic.h>
#include <tricolor.h>

#include "gc/helpers.h"
#include "os/os.h"

enum { MARKERS = 8, SHARE = 2 };

static atomic_int sessions, moments, late;

static bool count_call(uint64_t until) {
  atomic_fetch_add(until ? &moments : &sessions, 1);
  if (until && until < tri_os_now()) atomic_fetch_add(&late, 1);
  return true;
}

static void await_at_least(atomic_int *count, int wanted) {
  while (atomic_load(count) < wanted) tri_os_sleep(1000 * 1000); /* idle meanwhile */
}

static int setup(void **state) {
  (void)state;
  tri_keep_alive(tri_alloc(1));
  tri_helpers_init(MARKERS, count_call);
  tri_helpers_start();
  return 0;
}

static void test_their_number(void **state) {
  (void)state;
  assert_int_equal(tri_helpers_count(), MARKERS - 1);
}

static void test_nobody(void **state) {
  (void)state;
  tri_helpers_call_in(TRI_HELPERS_NONE);
  tri_helpers_dismiss();
  assert_int_equal(atomic_load(&sessions), 0);
}

/* The share, and not more however often lookouts find a processor idle. */
static void test_share(void **state) {
  (void)state;
  tri_helpers_call_in(TRI_HELPERS_SHARE);
  await_at_least(&sessions, SHARE - 1);
  await_at_least(&moments, 10);
  tri_helpers_dismiss();
  assert_int_equal(atomic_load(&sessions), SHARE - 1);
  assert_true(atomic_load(&late) < 10); /* a moment has not passed when it is called */
}

static void test_all(void **state) {
  (void)state;
  int before = atomic_load(&sessions);
  tri_helpers_call_in(TRI_HELPERS_ALL);
  await_at_least(&sessions, before + MARKERS - 1);
  tri_helpers_dismiss();
  assert_int_equal(atomic_load(&sessions), before + MARKERS - 1);
}

/* A session after the other: each has its own invitations. */
static void test_many_sessions(void **state) {
  (void)state;
  for (int i = 0; i < 1000; i++) {
    int before = atomic_load(&sessions);
    tri_helpers_call_in(TRI_HELPERS_ALL);
    while (atomic_load(&sessions) < before + MARKERS - 1) sched_yield();
    tri_helpers_dismiss();
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_their_number), cmocka_unit_test(test_nobody),        cmocka_unit_test(test_share),
      cmocka_unit_test(test_all),          cmocka_unit_test(test_many_sessions),
  };
  return cmocka_run_group_tests(tests, setup, NULL);
}
