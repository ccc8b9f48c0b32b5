/* test_many.c - a thousand threads that allocate at once on few processors: those that wait for the collector leave it
 * one to run on. It once took half a minute to get through one mark, in one run of five. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#include "child.h"
#include "steps.h"

enum { THREADS = 1000, LIST = 1000, ROUNDS = 20 };

typedef struct node {
  struct node *next;
  uint64_t number, rest[6];
} node;
TRI_TYPE(node, next);

static pthread_t threads[THREADS];
static test_step may_begin;

static node *list_new(uint64_t number) {
  node *list = NULL;
  for (uint64_t i = 0; i < LIST; i++) {
    node *made = tri_new(node);
    CHILD_CHECK(made && !made->next && !made->number);
    made->next = list;
    made->number = number + i;
    list = made;
  }
  return list;
}

static void *make_lists(void *argument) {
  uint64_t number = (uintptr_t)argument * LIST;
  step_await(&may_begin, 1);
  for (int round = 0; round < ROUNDS; round++) {
    const node *list = list_new(number);
    for (uint64_t i = LIST; i--; list = list->next) CHILD_CHECK(list->number == number + i);
    CHILD_CHECK(!list);
  }
  return NULL;
}

static void run_all(void *unused) {
  pthread_attr_t attributes;
  (void)unused;
  CHILD_CHECK(pthread_attr_init(&attributes) == 0);
  CHILD_CHECK(pthread_attr_setstacksize(&attributes, 256 * 1024) == 0);
  int count = UNDER_ASAN ? THREADS / 10 : THREADS;
  for (int i = 0; i < count; i++)
    CHILD_CHECK(pthread_create(&threads[i], &attributes, make_lists, (void *)(uintptr_t)i) == 0);
  step_reach(&may_begin, 1);
  for (int i = 0; i < count; i++) CHILD_CHECK(pthread_join(threads[i], NULL) == 0);
}

static void test_many_allocate(void **state) {
  (void)state;
  child_result result = child_run(run_all, NULL, NULL);
  assert_true(child_succeeded(&result));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_many_allocate)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
