/* test_process_exec.c - a thread replaces the program while others allocate and collect: the new one starts as if
 * nothing had been; an exec that fails leaves everything as it was. The program is this one, called with "again" and
 * how often. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "child.h"
#include "steps.h"

enum { GENERATIONS = UNDER_ASAN ? 8 : 40, WORKERS = 3, FAILURES = 20 };

static test_step workers_at_work;

/* Until the program is replaced, and they with it. */
static void *work_on(void *collects) {
  static _Thread_local void *volatile list;
  atomic_fetch_add(&workers_at_work, 1);
  for (size_t i = 0;; i++) {
    void **node = tri_alloc(48);
    CHILD_CHECK(node);
    node[0] = i % 1000 ? list : NULL;
    list = node;
    if (collects && i % 50 == 0) tri_gc();
  }
}

static void fail_to_exec(void) {
  char *const arguments[] = {(char *)(size_t) "nothing", NULL};
  for (int i = 0; i < FAILURES; i++) {
    CHILD_CHECK(execv("/nonexistent/program", arguments) == -1 && errno == ENOENT);
    CHILD_CHECK(tri_alloc(100));
  }
}

static void *replace(void *argument) {
  char left[16];
  void *volatile held;
  hidden object = hidden_new(&held);
  step_await(&workers_at_work, WORKERS);
  fail_to_exec();
  tri_gc();
  CHILD_CHECK(hidden_lives(object) && held == hidden_reveal(object));
  snprintf(left, sizeof left, "%d", *(int *)argument - 1);
  execl("/proc/self/exe", "test_process_exec", "again", left, (char *)NULL);
  child_fail("execl: errno %d", errno);
}

/* What the program before left to this one: no blocked signal, none pending, and a heap that starts. */
static void look_around(void) {
  sigset_t set;
  CHILD_CHECK(pthread_sigmask(SIG_SETMASK, NULL, &set) == 0 && sigisemptyset(&set));
  CHILD_CHECK(sigpending(&set) == 0 && sigisemptyset(&set));
  CHILD_CHECK(collections() == 0);
}

/* Odd generations exec in the first thread, even ones in another. */
static void live(int left) {
  pthread_t workers[WORKERS], replacer;
  CHILD_CHECK(tri_init(NULL) == TRI_OK);
  look_around();
  if (left == 0) _exit(0);
  for (size_t i = 0; i < WORKERS; i++)
    CHILD_CHECK(pthread_create(&workers[i], NULL, work_on, i == 0 ? &workers_at_work : NULL) == 0);
  if (left % 2) replace(&left);
  CHILD_CHECK(pthread_create(&replacer, NULL, replace, &left) == 0);
  for (;;) CHILD_CHECK(tri_alloc(16));
}

static void run_generations(void *unused) {
  (void)unused;
  live(GENERATIONS);
}

static void test_exec_among_threads(void **state) {
  (void)state;
  child_result result = child_run(run_generations, NULL, (const char *const[]){"TRICOLOR_DEBUG=poison=1", NULL});
  assert_true(child_succeeded(&result));
  assert_string_equal(result.text, "");
}

int main(int count, char **arguments) {
  if (count == 3 && strcmp(arguments[1], "again") == 0) {
    live(atoi(arguments[2]));
    return 0;
  }
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_exec_among_threads)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
