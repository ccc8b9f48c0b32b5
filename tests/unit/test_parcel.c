/* test_parcel.c - parcels of threads: whose they are, and that none is left when its thread is gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <threads.h>

#include "gc/parcel.h"
#include "gc/thread.h"
#include "steps.h"

enum { ALL = TRI_PARCEL_CREATOR | TRI_PARCEL_THREAD | TRI_PARCEL_JOINER };

static int count(void) {
  int parcels = 0;
  tri_threads_lock();
  for (int i = 0; i < TRI_PARCEL_LISTS; i++)
    for (const tri_parcel *parcel = tri_parcels(i); parcel; parcel = parcel->next) parcels++;
  tri_threads_unlock();
  return parcels;
}

/* ---- one pthread_t for two threads, one after the other ---- */

static const pthread_t number = 0x7f0012345700;

static void ends_with(tri_parcel *parcel, void *result) {
  assert_ptr_equal(tri_parcel_swap(parcel, result), NULL);
  assert_false(tri_parcel_drop(parcel, TRI_PARCEL_THREAD));
}

/* A thread is on its way while another is joined, gets the other's number, and ends before the joiner is done. */
static void test_a_late_joiner_drops_its_own(void **state) {
  (void)state;
  tri_parcel first, second;
  int result;
  tri_parcel_post(&first, ALL, NULL);
  assert_null(tri_parcel_name(&first, &number));
  assert_false(tri_parcel_drop(&first, TRI_PARCEL_CREATOR));
  ends_with(&first, NULL);
  tri_parcel_post(&second, ALL, NULL);
  assert_ptr_equal(tri_parcel_find(number), &first);
  /* the first is joined here */
  assert_null(tri_parcel_name(&second, &number));
  ends_with(&second, &result);
  assert_ptr_equal(tri_parcel_find(number), &second);
  assert_true(tri_parcel_drop(&first, TRI_PARCEL_THREAD | TRI_PARCEL_JOINER));
  assert_ptr_equal(tri_parcel_find(number), &second);
  assert_ptr_equal(second.pointer, &result);
  assert_false(tri_parcel_drop(&second, TRI_PARCEL_CREATOR));
  assert_true(tri_parcel_drop(&second, TRI_PARCEL_THREAD | TRI_PARCEL_JOINER));
  assert_int_equal(count(), 0);
}

/* A thread that was joined beneath us leaves its parcel to the next one with its number. */
static void test_an_orphan_goes_when_its_number_is_given_again(void **state) {
  (void)state;
  tri_parcel first, second;
  tri_parcel_post(&first, TRI_PARCEL_THREAD | TRI_PARCEL_JOINER, NULL);
  assert_null(tri_parcel_name(&first, &number));
  ends_with(&first, NULL);
  tri_parcel_post(&second, ALL, NULL);
  assert_ptr_equal(tri_parcel_name(&second, &number), &first);
  const pthread_t other = number + 4096;
  assert_null(tri_parcel_name(&second, &other)); /* it keeps its first name */
  assert_int_equal(count(), 1);
  assert_ptr_equal(tri_parcel_find(number), &second);
  assert_true(tri_parcel_drop(&second, ALL));
  assert_int_equal(count(), 0);
}

/* ---- threads ---- */

static _Atomic(int) id;
static test_step may_end;

static void *end(void *how) {
  atomic_store(&id, thread_id());
  step_await(&may_end, 1);
  if (how) pthread_exit(how);
  return NULL;
}

static void *wait_to_be_cancelled(void *unused) {
  atomic_store(&id, thread_id());
  for (;;) (void)usleep(1000 * 1000);
  return unused;
}

static void reset(void) {
  atomic_store(&id, 0);
  atomic_store(&may_end, 0);
}

static int await_id(void) {
  while (!atomic_load(&id)) sched_yield();
  return atomic_load(&id);
}

static void check_nothing_left(int thread) {
  step_reach(&may_end, 1);
  await_gone(thread);
  assert_int_equal(count(), 0);
}

static void test_ended_threads_leave_none(void **state) {
  pthread_t thread;
  void *result;
  for (int exits = 0; exits < 2; exits++) {
    reset();
    assert_int_equal(pthread_create(&thread, NULL, end, exits ? state : NULL), 0);
    assert_int_equal(pthread_tryjoin_np(thread, &result), EBUSY);
    step_reach(&may_end, 1);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, exits ? state : NULL);
    assert_int_equal(count(), 0);

    reset();
    assert_int_equal(pthread_create(&thread, NULL, end, exits ? state : NULL), 0);
    int running = await_id();
    assert_int_equal(pthread_detach(thread), 0);
    check_nothing_left(running);

    pthread_attr_t attributes;
    reset();
    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED), 0);
    assert_int_equal(pthread_create(&thread, &attributes, end, exits ? state : NULL), 0);
    check_nothing_left(await_id());
    assert_int_equal(pthread_attr_destroy(&attributes), 0);
  }
}

static void test_cancelled_threads_leave_none(void **state) {
  (void)state;
  pthread_t thread;
  void *result;
  reset();
  assert_int_equal(pthread_create(&thread, NULL, wait_to_be_cancelled, NULL), 0);
  assert_int_equal(pthread_cancel(thread), 0);
  assert_int_equal(pthread_join(thread, &result), 0);
  assert_ptr_equal(result, PTHREAD_CANCELED);
  assert_int_equal(count(), 0);

  reset();
  assert_int_equal(pthread_create(&thread, NULL, wait_to_be_cancelled, NULL), 0);
  int running = await_id();
  assert_int_equal(pthread_detach(thread), 0);
  assert_int_equal(pthread_cancel(thread), 0);
  check_nothing_left(running);
}

static int c11_end(void *number_) {
  atomic_store(&id, thread_id());
  step_await(&may_end, 1);
  if (number_) thrd_exit(7);
  return 7;
}

static void test_c11_threads_leave_none(void **state) {
  thrd_t thread;
  if (UNDER_TSAN) skip(); /* it does not know thrd_create */
  for (int exits = 0; exits < 2; exits++) {
    int result;
    reset();
    step_reach(&may_end, 1);
    assert_int_equal(thrd_create(&thread, c11_end, exits ? state : NULL), thrd_success);
    assert_int_equal(thrd_join(thread, &result), thrd_success);
    assert_int_equal(result, 7);
    assert_int_equal(count(), 0);

    reset();
    assert_int_equal(thrd_create(&thread, c11_end, exits ? state : NULL), thrd_success);
    assert_int_equal(thrd_detach(thread), thrd_success);
    check_nothing_left(await_id());
  }
}

/* Too large a stack to be had. */
static void test_a_failed_start_leaves_none(void **state) {
  (void)state;
  pthread_attr_t attributes;
  pthread_t thread;
  assert_int_equal(pthread_attr_init(&attributes), 0);
  assert_int_equal(pthread_attr_setstacksize(&attributes, SIZE_MAX / 4), 0);
  assert_int_not_equal(pthread_create(&thread, &attributes, end, NULL), 0);
  assert_int_equal(count(), 0);
  assert_int_equal(pthread_attr_destroy(&attributes), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_late_joiner_drops_its_own),
      cmocka_unit_test(test_an_orphan_goes_when_its_number_is_given_again),
      cmocka_unit_test(test_ended_threads_leave_none),
      cmocka_unit_test(test_cancelled_threads_leave_none),
      cmocka_unit_test(test_c11_threads_leave_none),
      cmocka_unit_test(test_a_failed_start_leaves_none),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
