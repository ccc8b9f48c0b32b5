/* test_threads_early.c - threads that are older than the heap, know nothing of it, and wait for time and events: what
 * they call never fails for a collection's sake, and never returns early. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <time.h>

#include "child.h"
#include "steps.h"

enum { COLLECTIONS = UNDER_TSAN ? 200 : 1000, WAIT_MS = 2, MS = 1000000 };

static int events;
static const struct timespec short_time = {.tv_nsec = WAIT_MS * MS};

static bool wait_in_poll(void) { return poll(NULL, 0, WAIT_MS) == 0; }
static bool wait_in_nanosleep(void) { return nanosleep(&short_time, NULL) == 0; }
static bool wait_in_epoll(void) {
  struct epoll_event event;
  return epoll_wait(events, &event, 1, WAIT_MS) == 0;
}

static bool (*const waits[])(void) = {wait_in_poll, wait_in_nanosleep, wait_in_epoll};
static const char *const names[] = {"poll", "nanosleep", "epoll_wait"};
enum { WAITS = sizeof waits / sizeof *waits };

static test_step began[WAITS], enough;
static _Atomic(uint64_t) made[WAITS];

static uint64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000 * MS + (uint64_t)time.tv_nsec;
}

static void *wait_often(void *index) {
  size_t i = (uintptr_t)index;
  while (!atomic_load(&enough)) {
    uint64_t before = now_ns();
    step_reach(&began[i], 1);
    if (!waits[i]()) child_fail("%s: errno %d", names[i], errno);
    if (now_ns() - before < WAIT_MS * MS) child_fail("%s returned early", names[i]);
    atomic_fetch_add(&made[i], 1);
  }
  return NULL;
}

static void run_waits(void *unused) {
  pthread_t threads[WAITS];
  (void)unused;
  CHILD_CHECK((events = epoll_create1(0)) >= 0);
  for (size_t i = 0; i < WAITS; i++) CHILD_CHECK(pthread_create(&threads[i], NULL, wait_often, (void *)i) == 0);
  for (size_t i = 0; i < WAITS; i++) step_await(&began[i], 1);
  CHILD_CHECK(tri_init(NULL) == TRI_OK);
  while (collections() < COLLECTIONS) tri_gc();
  for (size_t i = 0; i < WAITS; i++)
    while (atomic_load(&made[i]) < 200) tri_gc();
  step_reach(&enough, 1);
  for (size_t i = 0; i < WAITS; i++) CHILD_CHECK(pthread_join(threads[i], NULL) == 0);
}

static void test_waits_see_nothing_of_collections(void **state) {
  (void)state;
  child_result result = child_run(run_waits, NULL, NULL);
  assert_true(child_succeeded(&result));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_waits_see_nothing_of_collections)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
