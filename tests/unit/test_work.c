/* test_work.c - the markers' shared buffers: nothing is lost, everybody learns of the end, and only then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <tricolor.h>

#include "gc/mark.h"
#include "gc/work.h"
#include "heap/cache.h"
#include "random.h"

enum { MARKERS = 4, ROUNDS = 400 };

/* Locks of the library are held only while stops are deferred: this thread defers them for good. */
static int start_heap(void **state) {
  (void)state;
  if (tri_init(NULL) != TRI_OK || !tri_alloc(1)) return -1;
  tri_cache_defer(tri_cache_self);
  return 0;
}

static void test_buffers_are_reused(void **state) {
  (void)state;
  tri_work_buffer *one = tri_work_new(), *other = tri_work_new();
  assert_non_null(one);
  assert_non_null(other);
  assert_ptr_not_equal(one, other);
  one->count = 5;
  tri_work_recycle(one);
  tri_work_buffer *again = tri_work_new();
  assert_ptr_equal(again, one);
  assert_int_equal(again->count, 0);
  assert_null(again->next);
  tri_work_recycle(again);
  tri_work_recycle(other);
}

static void test_alone(void **state) {
  (void)state;
  assert_false(tri_work_join()); /* no mark is on */
  assert_true(tri_work_begin(tri_work_take_turn()));
  assert_false(tri_work_is_wanted());
  tri_work_buffer *first = tri_work_new(), *second = tri_work_new();
  tri_work_share(first);
  tri_work_share(second);
  tri_work_buffer *taken[2] = {tri_work_take(0), tri_work_take(0)};
  assert_true(taken[0] != taken[1] && taken[0] && taken[1]);
  assert_null(tri_work_take(0));
  assert_null(tri_work_take(0)); /* over stays over */
  assert_false(tri_work_join());
  tri_work_recycle(first);
  tri_work_recycle(second);
}

/* Who helps waits for work that others may still share only as long as his time lasts, and does not end the session
 * because there is none. */
static void test_who_helps_does_not_wait_long(void **state) {
  (void)state;
  assert_true(tri_work_begin(tri_work_take_turn())); /* another marker, that has nothing to share and does not end */
  tri_mark_begin();
  uint64_t start = tri_os_now();
  assert_int_equal(tri_mark_assist(SIZE_MAX, 1000 * 1000), 0);
  assert_true(tri_os_now() - start >= 1000 * 1000);
  assert_false(tri_work_is_over());
  assert_true(tri_work_join());
  assert_null(tri_work_take_awake(tri_os_now() + 1000));
  tri_work_leave();
  assert_false(tri_work_is_over());
  tri_work_end();
}

/* ---- several markers ---- */

static _Atomic(uint64_t) processed;
static _Atomic(uint32_t) round_number; /* odd: a mark that helpers may join */
static _Atomic(int) active;
static _Atomic(bool) finished;
static _Atomic(int) working; /* markers that hold a buffer */
static _Atomic(int) ended_early;

/* An entry of n stands for a tree of depth n: it is worth two of n - 1, each of which may go into a buffer of its
 * own. */
static void process(tri_work_buffer *buffer, test_random *random) {
  while (buffer->count) {
    uintptr_t depth = buffer->entries[--buffer->count];
    atomic_fetch_add(&processed, 1);
    if (depth == 0) continue;
    for (int child = 0; child < 2; child++) {
      tri_work_buffer *other = random_below(random, 3) == 0 || tri_work_is_wanted() ? tri_work_new() : NULL;
      if (!other) {
        buffer->entries[buffer->count++] = depth - 1;
        continue;
      }
      other->entries[other->count++] = depth - 1;
      tri_work_share(other);
    }
  }
  tri_work_recycle(buffer);
}

static void mark(test_random *random) {
  tri_work_buffer *buffer;
  while ((buffer = tri_work_take(0))) {
    atomic_fetch_add(&working, 1);
    process(buffer, random);
    atomic_fetch_sub(&working, 1);
  }
  if (atomic_load(&working)) atomic_fetch_add(&ended_early, 1); /* the end, though somebody still works */
}

static void *help(void *argument) {
  test_random random = {(uint64_t)(uintptr_t)argument};
  (void)start_heap(NULL);
  for (uint32_t seen = 0; !atomic_load(&finished);) {
    uint32_t now = atomic_load(&round_number);
    if (now == seen || !(now & 1)) continue;
    seen = now;
    atomic_fetch_add(&active, 1);
    if (tri_work_join()) mark(&random);
    atomic_fetch_sub(&active, 1);
  }
  return NULL;
}

static void run_rounds(void) {
  pthread_t helpers[MARKERS - 1];
  test_random random = {random_seed(1)};
  atomic_store(&finished, false);
  for (uintptr_t i = 0; i < MARKERS - 1; i++)
    assert_int_equal(pthread_create(&helpers[i], NULL, help, (void *)(i + 10)), 0); /* NOLINT: a number */
  for (int round = 0; round < ROUNDS; round++) {
    uintptr_t depth = random_below(&random, 11);
    atomic_store(&processed, 0);
    assert_true(tri_work_begin(tri_work_take_turn()));
    atomic_fetch_add(&round_number, 1);
    tri_work_buffer *first = tri_work_new();
    while (!first) first = tri_work_new(); /* under a limit a helper may have it for a moment */
    first->entries[first->count++] = depth;
    tri_work_share(first);
    mark(&random);
    atomic_fetch_add(&round_number, 1);
    while (atomic_load(&active)) {}
    assert_int_equal(atomic_load(&processed), (UINT64_C(2) << depth) - 1);
    assert_int_equal(atomic_load(&ended_early), 0);
  }
  atomic_store(&finished, true);
  for (int i = 0; i < MARKERS - 1; i++) pthread_join(helpers[i], NULL);
}

static void test_several_markers(void **state) {
  (void)state;
  run_rounds();
}

static void test_several_markers_with_few_buffers(void **state) {
  (void)state;
  tri_work_limit(1); /* no more than were made so far */
  tri_work_buffer *held[4096];
  size_t count = 0;
  while (count < 4096 && (held[count] = tri_work_new())) count++;
  assert_true(count > 0 && count < 4096);
  assert_null(tri_work_new());
  for (size_t i = 0; i < 3 && i < count; i++) tri_work_recycle(held[i]);
  run_rounds();
  for (size_t i = 3; i < count; i++) tri_work_recycle(held[i]);
  tri_work_limit(0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_buffers_are_reused),
      cmocka_unit_test(test_alone),
      cmocka_unit_test(test_who_helps_does_not_wait_long),
      cmocka_unit_test(test_several_markers),
      cmocka_unit_test(test_several_markers_with_few_buffers),
  };
  return cmocka_run_group_tests(tests, start_heap, NULL);
}
