/* test_process_asleep.c - a thousand threads asleep in system calls, each with an object that only its stack knows:
 * they are collected around, and go on as if nothing had been. Half of them sleep in a call that the library stands in
 * for, half in a bare one, out of which a stop has to fetch them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#include "child.h"
#include "steps.h"

enum { THREADS = UNDER_ASAN ? 200 : 1000, STACK = 256 * 1024, COLLECTIONS = 10, CHURN = 20000 };

typedef struct sleeper {
  pthread_t thread;
  bool bare;
  int id;
  hidden object;
  test_step holds;
} sleeper;

static sleeper sleepers[THREADS];
static int pipes[2];

/* Interrupted by a stop, the kernel restarts either. */
static long sleep_in_read(bool bare, char *byte) {
  return bare ? syscall(SYS_read, pipes[0], byte, 1) : read(pipes[0], byte, 1);
}

static void *sleep_on(void *argument) {
  sleeper *s = argument;
  char byte;
  void *volatile held;
  s->object = hidden_new(&held);
  s->id = thread_id();
  forget_stack();
  step_reach(&s->holds, 1);
  CHILD_CHECK(sleep_in_read(s->bare, &byte) == 1);
  CHILD_CHECK(held == hidden_reveal(s->object) && hidden_lives(s->object));
  CHILD_CHECK(tri_alloc(64));
  return NULL;
}

static void start_all(void) {
  pthread_attr_t attributes;
  CHILD_CHECK(pthread_attr_init(&attributes) == 0 && pthread_attr_setstacksize(&attributes, STACK) == 0);
  for (int i = 0; i < THREADS; i++) {
    sleepers[i].bare = i % 2;
    CHILD_CHECK(pthread_create(&sleepers[i].thread, &attributes, sleep_on, &sleepers[i]) == 0);
  }
  for (int i = 0; i < THREADS; i++) {
    step_await(&sleepers[i].holds, 1);
    await_asleep(sleepers[i].id);
  }
}

static void make_garbage(void) {
  for (int i = 0; i < CHURN; i++) CHILD_CHECK(tri_alloc(64));
}

static void run_sleepers(void *unused) {
  (void)unused;
  CHILD_CHECK(pipe(pipes) == 0 && tri_init(NULL) == TRI_OK);
  start_all();
  uint32_t before = collections();
  for (int i = 0; i < COLLECTIONS; i++) {
    make_garbage();
    collect();
  }
  CHILD_CHECK(collections() - before >= COLLECTIONS);
  for (int i = 0; i < THREADS; i++) CHILD_CHECK(hidden_lives(sleepers[i].object));
  for (int i = 0; i < THREADS; i++) CHILD_CHECK(write(pipes[1], "", 1) == 1);
  for (int i = 0; i < THREADS; i++) CHILD_CHECK(pthread_join(sleepers[i].thread, NULL) == 0);
}

static void test_a_thousand_threads_asleep(void **state) {
  (void)state;
  child_result result = child_run(run_sleepers, NULL, (const char *const[]){"TRICOLOR_DEBUG=poison=1,check=1", NULL});
  assert_true(child_succeeded(&result));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_thousand_threads_asleep)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
