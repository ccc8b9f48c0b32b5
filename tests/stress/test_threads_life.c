/* test_threads_life.c - pointers on their way into a thread and out of it, and what is left of a thread that has
 * ended. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <threads.h>
#include <time.h>

#include "child.h"
#include "steps.h"

enum { SHORT_THREADS = UNDER_TSAN ? 1000 : UNDER_ASAN ? 2000 : 10000, AT_ONCE = 50, RESULTS = 40, FEW = 4 };

static const char *const poison[] = {"TRICOLOR_DEBUG=poison=1", NULL};

static void in_child(void (*body)(void *), void *argument) {
  child_result result = child_run(body, argument, poison);
  assert_true(child_succeeded(&result));
}

/* ---- a thread that collects all the time ---- */

static test_step collector_ends;

static void *collect_on(void *unused) {
  while (!atomic_load(&collector_ends)) tri_gc();
  return unused;
}

static pthread_t collector_start(void) {
  pthread_t thread;
  CHILD_CHECK(tri_init(NULL) == TRI_OK);
  CHILD_CHECK(pthread_create(&thread, NULL, collect_on, NULL) == 0);
  return thread;
}

static void collector_end(pthread_t thread) {
  step_reach(&collector_ends, 1);
  CHILD_CHECK(pthread_join(thread, NULL) == 0);
}

/* ---- arguments ---- */

typedef struct node {
  struct node *next;
  uint64_t number;
  uint64_t check;
} node;

static node *node_new(node *next, uint64_t number) {
  node *new = tri_alloc(sizeof *new);
  CHILD_CHECK(new);
  *new = (node){.next = next, .number = number, .check = ~number};
  return new;
}

static uint64_t list_check(const node *list) {
  uint64_t count = 0;
  for (; list; list = list->next, count++) CHILD_CHECK(list->check == ~list->number);
  return count;
}

/* The argument is a list that only the argument keeps; so is the result. */
static void *live_shortly(void *list) {
  CHILD_CHECK(list_check(list) == 5);
  node *longer = list;
  for (uint64_t i = 0; i < 20; i++) longer = node_new(longer, i);
  CHILD_CHECK(list_check(longer) == 25);
  return longer;
}

static node *argument_new(void) {
  node *list = NULL;
  for (uint64_t i = 0; i < 5; i++) list = node_new(list, i);
  return list;
}

static void run_short_threads(void *unused) {
  pthread_t collector = collector_start(), threads[AT_ONCE];
  (void)unused;
  for (int round = 0; round < SHORT_THREADS / AT_ONCE; round++) {
    for (int i = 0; i < AT_ONCE; i++) CHILD_CHECK(pthread_create(&threads[i], NULL, live_shortly, argument_new()) == 0);
    for (int i = 0; i < AT_ONCE; i++) {
      void *result;
      CHILD_CHECK(pthread_join(threads[i], &result) == 0);
      CHILD_CHECK(list_check(result) == 25);
    }
  }
  collector_end(collector);
}

static void test_short_threads_during_collections(void **state) {
  (void)state;
#ifdef SHARED_LIBRARY
  if (UNDER_ASAN) skip(); /* it comes first, and keeps the argument where nobody looks until the thread runs */
#endif
  in_child(run_short_threads, NULL);
}

static int live_shortly_c11(void *list) { return (int)list_check(live_shortly(list)); }

static void run_short_c11_threads(void *unused) {
  pthread_t collector = collector_start();
  thrd_t threads[AT_ONCE];
  (void)unused;
  for (int round = 0; round < SHORT_THREADS / 10 / AT_ONCE; round++) {
    for (int i = 0; i < AT_ONCE; i++)
      CHILD_CHECK(thrd_create(&threads[i], live_shortly_c11, argument_new()) == thrd_success);
    for (int i = 0; i < AT_ONCE; i++) {
      int result;
      CHILD_CHECK(thrd_join(threads[i], &result) == thrd_success && result == 25);
    }
  }
  collector_end(collector);
}

static void test_short_c11_threads_during_collections(void **state) {
  (void)state;
  if (UNDER_TSAN) skip(); /* it does not know thrd_create */
  in_child(run_short_c11_threads, NULL);
}

/* A thread must not keep its argument once its function has let go of it. */
static test_step took, may_end;

static void *let_go(void *argument) {
  argument = NULL;
  forget_stack();
  step_reach(&took, atomic_load(&took) + 1);
  step_await(&may_end, 1);
  return argument;
}

static hidden start_with_object(pthread_t *thread) {
  void *volatile home;
  hidden object = hidden_new(&home);
  CHILD_CHECK(pthread_create(thread, NULL, let_go, home) == 0);
  home = NULL;
  return object;
}

static void run_let_go(void *unused) {
  pthread_t threads[RESULTS];
  hidden objects[RESULTS];
  int living = 0;
  (void)unused;
  for (uint32_t i = 0; i < RESULTS; i++) {
    objects[i] = start_with_object(&threads[i]);
    step_await(&took, i + 1);
  }
  collect();
  for (int i = 0; i < RESULTS; i++) living += hidden_lives(objects[i]);
  if (living > FEW) child_fail("%d of %d arguments are kept by threads that let go of them", living, RESULTS);
  step_reach(&may_end, 1);
  for (int i = 0; i < RESULTS; i++) CHILD_CHECK(pthread_join(threads[i], NULL) == 0);
}

static void test_arguments_are_not_kept(void **state) {
  (void)state;
  in_child(run_let_go, NULL);
}

/* ---- results ---- */

typedef enum ending { BY_RETURN, BY_EXIT, FROM_BEFORE_THE_HEAP } ending;
typedef enum joining { JOIN, TRYJOIN, TIMEDJOIN, CLOCKJOIN, DETACH, DETACH_FIRST } joining;

typedef struct result_case {
  ending how;
  joining then;
} result_case;

static hidden results[RESULTS];
static _Atomic(int) ids[RESULTS];
static result_case now;

static __attribute__((noinline)) void *make_result(int index) {
  void *volatile home;
  results[index] = hidden_new(&home);
  return home;
}

static void *end_with_result(void *index) {
  int i = (int)(uintptr_t)index;
  if (now.then == DETACH_FIRST) step_await(&may_end, 1);
  void *result = make_result(i);
  atomic_store(&ids[i], thread_id());
  if (now.how == BY_EXIT) pthread_exit(result);
  return result;
}

static int join_somehow(pthread_t thread, void **result) {
  struct timespec late;
  int error;
  clock_gettime(now.then == CLOCKJOIN ? CLOCK_MONOTONIC : CLOCK_REALTIME, &late);
  late.tv_sec += 1000;
  switch (now.then) {
  case TRYJOIN:
    while ((error = pthread_tryjoin_np(thread, result)) == EBUSY) sched_yield();
    return error;
  case TIMEDJOIN: return pthread_timedjoin_np(thread, result, &late);
  case CLOCKJOIN: return pthread_clockjoin_np(thread, result, CLOCK_MONOTONIC, &late);
  default: return pthread_join(thread, result);
  }
}

static __attribute__((noinline)) void check_joined(pthread_t thread, int index) {
  void *result = NULL;
  CHILD_CHECK(join_somehow(thread, &result) == 0);
  CHILD_CHECK(result == hidden_reveal(results[index]) && hidden_lives(results[index]));
}

static int count_results(void) {
  int living = 0;
  for (int i = 0; i < RESULTS; i++) living += hidden_lives(results[i]);
  return living;
}

static void wait_for_ends(void) {
  for (int i = 0; i < RESULTS; i++) {
    while (!atomic_load(&ids[i])) sched_yield();
    await_gone(atomic_load(&ids[i]));
  }
}

static void run_results(void *argument) {
  pthread_t threads[RESULTS];
  now = *(result_case *)argument;
  if (now.how != FROM_BEFORE_THE_HEAP) CHILD_CHECK(tri_init(NULL) == TRI_OK);
  for (int i = 0; i < RESULTS; i++)
    CHILD_CHECK(pthread_create(&threads[i], NULL, end_with_result, (void *)(uintptr_t)i) == 0);
  for (int i = 0; now.then == DETACH_FIRST && i < RESULTS; i++) CHILD_CHECK(pthread_detach(threads[i]) == 0);
  step_reach(&may_end, 1);
  wait_for_ends();
  collect();
  collect();
  if (now.then != DETACH_FIRST) CHILD_CHECK(count_results() == RESULTS);
  for (int i = 0; now.then < DETACH && i < RESULTS; i++) check_joined(threads[i], i);
  for (int i = 0; now.then == DETACH && i < RESULTS; i++) CHILD_CHECK(pthread_detach(threads[i]) == 0);
  collect();
  collect();
  if (count_results() > FEW) child_fail("%d results are kept for nobody", count_results());
}

static void run_result_cases(ending how) {
  for (joining then = JOIN; then <= DETACH_FIRST; then++) {
    result_case one = {.how = how, .then = then};
    in_child(run_results, &one);
  }
}

static void test_results_are_kept_until_joined(void **state) {
  (void)state;
  run_result_cases(BY_RETURN);
}

static void test_results_of_pthread_exit(void **state) {
  (void)state;
  run_result_cases(BY_EXIT);
}

/* Here the heap is started by the threads. */
static void test_results_of_threads_from_before_the_heap(void **state) {
  (void)state;
  run_result_cases(FROM_BEFORE_THE_HEAP);
}

/* ---- what a thread leaves behind ---- */

enum { LISTS = 1000000, LENGTH = 2 };

static void *drop_lists(void *unused) {
  node **lists = tri_alloc(LISTS * sizeof *lists);
  CHILD_CHECK(lists);
  for (int i = 0; i < LISTS; i++)
    for (uint64_t j = 0; j < LENGTH; j++) lists[i] = node_new(lists[i], j);
  for (int i = 0; i < LISTS; i++) CHILD_CHECK(list_check(lists[i]) == LENGTH);
  return unused;
}

static uint64_t objects_now(void) {
  static tri_memstats stats;
  tri_read_memstats(&stats);
  return stats.HeapObjects;
}

static void run_dropped_lists(void *unused) {
  pthread_t thread;
  (void)unused;
  CHILD_CHECK(tri_init(NULL) == TRI_OK);
  tri_set_gc_percent(-1);
  uint64_t before = objects_now();
  CHILD_CHECK(pthread_create(&thread, NULL, drop_lists, NULL) == 0);
  CHILD_CHECK(pthread_join(thread, NULL) == 0);
  CHILD_CHECK(objects_now() - before >= LISTS * LENGTH);
  collect();
  collect();
  uint64_t left = objects_now() - before;
  if (left > LISTS * LENGTH / 100) child_fail("%llu objects are left", (unsigned long long)left);
}

static void test_lists_of_a_joined_thread_go(void **state) {
  (void)state;
  in_child(run_dropped_lists, NULL);
}

/* ---- thread-specific values outlive the thread's function ---- */

static pthread_key_t keys[3];
static _Atomic(int) destroyed;

/* Destructors run in any order, and ours is one of them; they may allocate and collect. */
static void destroy(void *list) {
  CHILD_CHECK(list_check(list) == 5);
  CHILD_CHECK(list_check(argument_new()) == 5);
  tri_gc();
  CHILD_CHECK(list_check(list) == 5);
  atomic_fetch_add(&destroyed, 1);
}

static void *end_with_values(void *unused) {
  for (int i = 0; i < 3; i++) CHILD_CHECK(pthread_setspecific(keys[i], argument_new()) == 0);
  return unused;
}

static void run_values(void *unused) {
  (void)unused;
  CHILD_CHECK(pthread_key_create(&keys[0], destroy) == 0);
  CHILD_CHECK(tri_init(NULL) == TRI_OK);
  CHILD_CHECK(pthread_key_create(&keys[1], destroy) == 0 && pthread_key_create(&keys[2], destroy) == 0);
  pthread_t collector = collector_start(), threads[AT_ONCE];
  for (int i = 0; i < AT_ONCE; i++) CHILD_CHECK(pthread_create(&threads[i], NULL, end_with_values, NULL) == 0);
  for (int i = 0; i < AT_ONCE; i++) CHILD_CHECK(pthread_join(threads[i], NULL) == 0);
  CHILD_CHECK(atomic_load(&destroyed) == 3 * AT_ONCE);
  collector_end(collector);
}

static void test_destructors_of_thread_specific_values(void **state) {
  (void)state;
  in_child(run_values, NULL);
}

/* ---- a thread in its last moments ---- */

static pthread_key_t late_key;
static test_step leaving, may_leave;

/* What the C library does to free a detached thread's memory: all signals are blocked, and it may wait for a lock of
 * malloc's, which a stopped thread has. Here it waits for a collection. */
static void leave_late(void *round) {
  uint64_t set = ~(UINT64_C(1) << 32); /* but setuid()'s */
  if ((uintptr_t)round < PTHREAD_DESTRUCTOR_ITERATIONS) {
    CHILD_CHECK(pthread_setspecific(late_key, (char *)round + 1) == 0);
    return;
  }
  CHILD_CHECK(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, 8) == 0);
  step_reach(&leaving, 1);
  step_await(&may_leave, 1);
}

static void *be_late(void *unused) {
  CHILD_CHECK(tri_alloc(16));
  CHILD_CHECK(pthread_setspecific(late_key, (void *)1) == 0);
  return unused;
}

static void run_leaving(void *unused) {
  pthread_t thread;
  (void)unused;
  CHILD_CHECK(tri_init(NULL) == TRI_OK); /* its destructor comes before this one's */
  CHILD_CHECK(pthread_key_create(&late_key, leave_late) == 0);
  CHILD_CHECK(pthread_create(&thread, NULL, be_late, NULL) == 0 && pthread_detach(thread) == 0);
  step_await(&leaving, 1);
  uint32_t before = collections();
  for (int i = 0; i < 3; i++) tri_gc();
  CHILD_CHECK(collections() == before + 3);
  step_reach(&may_leave, 1);
}

static void test_leaving_threads_are_not_waited_for(void **state) {
  (void)state;
  SKIP_UNDER_TSAN("it knows no thread that has come so far");
  in_child(run_leaving, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_short_threads_during_collections),
      cmocka_unit_test(test_short_c11_threads_during_collections),
      cmocka_unit_test(test_arguments_are_not_kept),
      cmocka_unit_test(test_results_are_kept_until_joined),
      cmocka_unit_test(test_results_of_pthread_exit),
      cmocka_unit_test(test_results_of_threads_from_before_the_heap),
      cmocka_unit_test(test_lists_of_a_joined_thread_go),
      cmocka_unit_test(test_destructors_of_thread_specific_values),
      cmocka_unit_test(test_leaving_threads_are_not_waited_for),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
