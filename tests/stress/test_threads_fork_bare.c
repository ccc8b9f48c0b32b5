/* test_threads_fork_bare.c - children of which no handler of pthread_atfork tells: those of _Fork, and of bare system
 * calls. The former collect as those of fork do, the latter find out what they are; nothing hangs, nothing is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

#ifndef SHARED_LIBRARY
#include "api/link.h"
#include "gc/cycle.h"
#include "gc/start.h"
#include "gc/sweep.h"
#include "gc/thread.h"
#include "gc/work.h"
#endif

#include "child.h"
#include "steps.h"
#include "trees.h"

enum { ALLOCATORS = 2, DEPTH = 10, LARGE_DEPTH = 18, IN_THE_MIDDLE = 10, CALLS = 60, LARGE = 100000 };

/* Few markers, whatever the machine: many would mark all there is in a stop, in the middle of which nobody forks. */
static const char *const poison[] = {"TRICOLOR_DEBUG=poison=1", "TRICOLOR_GC_THREADS=2", NULL};

static child_result in_child(void (*body)(void *)) {
  child_result result = child_run(body, NULL, poison);
  assert_true(child_succeeded(&result));
  return result;
}

/* ---- work ---- */

static test_step may_end;
static tree *kept;

static void work_a_little(void) {
  tree *mine = tree_new(DEPTH);
  char *large = tri_alloc_noscan(LARGE);
  CHILD_CHECK(large && large[LARGE - 1] == 0);
  large[LARGE - 1] = 1;
  tree_check(mine, DEPTH);
  tri_free(large);
}

static void *work_on(void *collects) {
  tree *mine = tree_new(DEPTH);
  for (int i = 0; !atomic_load(&may_end); i++) {
    work_a_little();
    if (collects && i % 4 == 0) tri_gc();
    tree_check(mine, DEPTH);
  }
  return NULL;
}

static void start(pthread_t *threads, bool one_collects) {
  for (int i = 0; i < ALLOCATORS; i++)
    CHILD_CHECK(pthread_create(&threads[i], NULL, work_on, one_collects && i == 0 ? &kept : NULL) == 0);
}

static void join(const pthread_t *threads) {
  step_reach(&may_end, 1);
  for (int i = 0; i < ALLOCATORS; i++) CHILD_CHECK(pthread_join(threads[i], NULL) == 0);
}

/* Without malloc, whose locks may be nobody's. */
static int count_tasks(void) {
  struct stat status;
  CHILD_CHECK(stat("/proc/self/task", &status) == 0);
  return (int)status.st_nlink - 2;
}

/* ---- _Fork ---- */

/* Collections because the program asks, and because the heap grows. */
static void live_and_collect(const tree *large) {
  uint32_t before = collections();
  collect();
  CHILD_CHECK(collections() >= before + 1);
  while (collections() < before + 3) work_a_little();
  tree_check(large, LARGE_DEPTH);
  tree_check(kept, DEPTH);
}

static _Noreturn void be_child_of_many(const tree *large) {
  alarm(CHILD_PATIENCE);
  live_and_collect(large);
  CHILD_CHECK(count_tasks() == 1);
  _exit(0);
}

static bool is_concurrent(void) {
  tri_stopstats stats;
  tri_read_stopstats(&stats);
  return strcmp(stats.gear, "page") == 0;
}

/* Waits for the middle of one, if there is one to be seen. Returns which: so many were over before. */
static uint64_t await_cycle(void) {
  uint64_t begun, over;
  do tri_read_cycles(&begun, &over);
  while (begun == over && is_concurrent());
  return over;
}

/* A fork counts when the same collection was on before and after it. */
static void run_bare_forks(void *unused) {
  pthread_t threads[ALLOCATORS];
  (void)unused;
  tree *large = tree_new(LARGE_DEPTH);
  kept = tree_new(DEPTH);
  start(threads, false);
  for (int in_the_middle = 0; in_the_middle < IN_THE_MIDDLE;) {
    uint64_t before = await_cycle(), begun, over;
    pid_t child = _Fork();
    if (child == 0) be_child_of_many(large);
    tri_read_cycles(&begun, &over);
    if (!is_concurrent() || (over == before && begun == before + 1)) in_the_middle++;
    await_child(child);
  }
  join(threads);
  live_and_collect(large);
}

static void test_bare_forks_in_the_middle_of_a_cycle(void **state) {
  (void)state;
  in_child(run_bare_forks);
}

/* Of a program with one thread the child starts threads as ever, and can fork again. */
static void run_bare_fork_alone(void *unused) {
  (void)unused;
  pid_t child = _Fork(); /* before the heap is started */
  kept = tree_new(DEPTH);
  tree *large = tree_new(LARGE_DEPTH);
  live_and_collect(large);
  if (child) await_child(child);
  pid_t second = _Fork();
  live_and_collect(large);
  if (second == 0) {
    pid_t third = fork();
    live_and_collect(large);
    CHILD_CHECK(!is_concurrent() || count_tasks() > 1);
    if (third) await_child(third);
  }
  if (second) await_child(second);
  if (child == 0 || second == 0) _exit(0);
}

static void test_bare_fork_without_threads(void **state) {
  (void)state;
  SKIP_UNDER_ASAN("its malloc has locks that the library's threads may hold during a fork that it does not see");
  in_child(run_bare_fork_alone);
}

/* ---- children that cannot collect ---- */

/* Several collections would be due. */
static void live_without_collecting(uint32_t before) {
  for (int i = 0; i < 200; i++) work_a_little();
  tri_gc();
  CHILD_CHECK(collections() == before);
  tree_check(kept, DEPTH);
}

/* ---- another thread in the library, for as long as the test wants ---- */

#ifdef SHARED_LIBRARY

static void enter_library(void) {}
static void leave_library(void) {}
static void stop_others(void) {}
static void let_go(void) {}

#else

/* It has every lock of the collector's, and the api layer's. */
static void enter_library(void) {
  (void)tri_cycle_pause();
  tri_sweep_pause();
  tri_threads_lock();
  tri_api_lock();
}

static void leave_library(void) {
  tri_api_unlock();
  tri_threads_unlock();
  tri_sweep_resume();
  tri_cycle_resume();
}

/* As a collection does. */
static void stop_others(void) {
  CHILD_CHECK(tri_stop_begin());
  for (tri_thread *thread = tri_threads_first(); thread; thread = thread->next) tri_cache_stop_begin(&thread->cache);
}

static void let_go(void) {
  for (tri_thread *thread = tri_threads_first(); thread; thread = thread->next) tri_cache_stop_end(&thread->cache);
  tri_stop_end();
}

#endif

static test_step may_enter, inside, may_leave;

static void *be_inside(void *unused) {
  step_await(&may_enter, 1);
  enter_library();
  step_reach(&inside, 1);
  step_await(&may_leave, 1);
  leave_library();
  return unused;
}

static void *be_stopping(void *unused) {
  step_await(&may_enter, 1);
  stop_others();
  step_reach(&inside, 1);
  step_await(&may_leave, 1);
  let_go();
  return unused;
}

/* Its creator is out of the library by then. */
static pthread_t have_inside(void *(*be)(void *)) {
  pthread_t thread;
  CHILD_CHECK(pthread_create(&thread, NULL, be, NULL) == 0);
  step_reach(&may_enter, 1);
  step_await(&inside, 1);
  return thread;
}

static void have_outside(pthread_t thread) {
  step_reach(&may_leave, 1);
  CHILD_CHECK(pthread_join(thread, NULL) == 0);
}

/* ---- _Fork in a handler ---- */

static volatile pid_t made_in_handler;

static void fork_in_handler(int signal_) {
  (void)signal_;
  made_in_handler = _Fork();
}

/* It waits for nobody. */
static void run_bare_fork_in_handler(void *unused) {
  (void)unused;
  kept = tree_new(DEPTH);
  uint32_t before = collections();
  signal(SIGUSR1, fork_in_handler);
  pthread_t other = have_inside(be_inside);
  raise(SIGUSR1);
  if (made_in_handler == 0) {
    alarm(CHILD_PATIENCE);
    live_without_collecting(before);
    _exit(0);
  }
  have_outside(other);
  await_child(made_in_handler);
  collect();
  CHILD_CHECK(collections() == before + 1);
}

static void test_bare_fork_in_a_handler(void **state) {
  (void)state;
  child_result result = in_child(run_bare_fork_in_handler);
  assert_non_null(strstr(result.text, "no collections in this process"));
}

/* Having jumped out of a handler, a thread is in none. */
static sigjmp_buf way_out;

static void jump_out(int signal_) {
  (void)signal_;
  siglongjmp(way_out, 1);
}

static __attribute__((noinline)) void fork_after_jump(int flags) {
  struct sigaction action = {.sa_handler = jump_out, .sa_flags = flags};
  kept = tree_new(DEPTH);
  CHILD_CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
  if (sigsetjmp(way_out, 1) == 0) raise(SIGUSR1);
  pid_t child = _Fork();
  uint32_t before = collections();
  collect();
  CHILD_CHECK(collections() == before + 1);
  if (child == 0) _exit(0);
  await_child(child);
}

static void run_bare_fork_after_jump(void *unused) {
  (void)unused;
  fork_after_jump(0);
}

/* The alternate stack lies above what the thread's own is used for later, as if the handler still ran. */
static void run_bare_fork_after_jump_off_stack(void *unused) {
  (void)unused;
  char above[64 * 1024];
  stack_t stack = {.ss_sp = above, .ss_size = sizeof above};
  CHILD_CHECK(sigaltstack(&stack, NULL) == 0);
  fork_after_jump(SA_ONSTACK);
}

static void test_bare_fork_after_a_handler(void **state) {
  (void)state;
  in_child(run_bare_fork_after_jump);
  in_child(run_bare_fork_after_jump_off_stack);
}

/* ---- bare system calls ---- */

static pid_t fork_by_call(void) {
  pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
  CHILD_CHECK(child >= 0);
  if (child == 0) alarm(CHILD_PATIENCE);
  return child;
}

static void live_and_exit(void) {
  live_without_collecting(collections());
  _exit(0);
}

static char registered[64];
static void *freed;

typedef struct pair {
  struct pair *next;
} pair;
TRI_TYPE(pair, next);

/* What a child may do with the library first of all. */
static void first_allocate(void) { work_a_little(); }
static void first_allocate_large(void) { CHILD_CHECK(tri_alloc(LARGE)); }
static void first_allocate_typed(void) { CHILD_CHECK(tri_new(pair)); }
static void first_free(void) { tri_free(freed); }
static void first_collect(void) { tri_gc(); }
static void first_read(void) { (void)collections(); }
static void first_set(void) { CHILD_CHECK(tri_set_gc_percent(100) == 100); }
static void first_register(void) { CHILD_CHECK(tri_add_root(registered, sizeof registered) == TRI_OK); }
static void first_detach(void) { CHILD_CHECK(tri_thread_detach() == TRI_OK); }
static void first_fork(void) {
  pid_t child = fork();
  if (child == 0) live_and_exit();
  await_child(child);
}
static void first_bare_fork(void) {
  pid_t child = _Fork();
  if (child == 0) live_and_exit();
  await_child(child);
}
static void first_call(void) {
  pid_t child = fork_by_call();
  if (child == 0) live_and_exit();
  await_child(child);
}

static void (*const firsts[])(void) = {
    first_allocate, first_allocate_large, first_allocate_typed, first_free, first_collect,   first_read,
    first_set,      first_register,       first_detach,         first_fork, first_bare_fork, first_call};
enum { FIRSTS = sizeof firsts / sizeof firsts[0] };

static void call_and_await(int i) {
  pid_t child = fork_by_call();
  if (child == 0) {
    firsts[i % FIRSTS]();
    live_and_exit();
  }
  await_child(child);
}

static void run_calls_with_locks_held(void *unused) {
  (void)unused;
  kept = tree_new(DEPTH);
  freed = tri_alloc(LARGE);
  pthread_t other = have_inside(be_inside);
  for (int i = 0; i < FIRSTS; i++) call_and_await(i);
  have_outside(other);
  tree_check(kept, DEPTH);
}

static void test_children_of_system_calls_find_locks_held(void **state) {
  (void)state;
  child_result result = in_child(run_calls_with_locks_held);
  assert_non_null(strstr(result.text, "no collections in this process"));
}

/* Whatever the other threads are at: allocating, sweeping, stopping the world. */
static void run_calls(void *unused) {
  pthread_t threads[ALLOCATORS];
  (void)unused;
  kept = tree_new(DEPTH);
  freed = tri_alloc(LARGE);
  start(threads, true);
  for (int i = 0; i < CALLS; i++) {
    call_and_await(i);
    work_a_little();
  }
  join(threads);
  uint32_t before = collections();
  collect();
  CHILD_CHECK(collections() == before + 1);
  tree_check(kept, DEPTH);
}

static void test_children_of_system_calls(void **state) {
  (void)state;
  in_child(run_calls);
}

/* A stop holds the thread that makes the call, and makes what waits in its cache look free. In the child neither is
 * so. */
static void run_call_in_region(void *unused) {
  (void)unused;
  kept = tree_new(DEPTH);
  tri_free(tri_alloc(48)); /* from here on objects of the size wait */
  tri_blocking_begin();
  pthread_t other = have_inside(be_stopping);
  pid_t child = fork_by_call();
  if (child) step_reach(&may_leave, 1);
  tri_blocking_end();
  if (child == 0) {
    for (int i = 0; i < 1000; i++) {
      void *object = tri_alloc(48);
      CHILD_CHECK(object && tri_size_of(object) >= 48);
      if (i % 2) tri_free(object);
    }
    live_and_exit();
  }
  await_child(child);
  have_outside(other);
  tree_check(kept, DEPTH);
}

static void test_child_of_system_call_in_a_stop(void **state) {
  (void)state;
  in_child(run_call_in_region);
}

/* Before the heap is started there is nothing to be told: it collects. */
static void run_early_call(void *unused) {
  (void)unused;
  pid_t child = fork_by_call();
  uint32_t before = collections();
  kept = tree_new(DEPTH);
  collect();
  CHILD_CHECK(collections() >= before + 1);
  tree_check(kept, DEPTH);
  if (child == 0) _exit(0);
  await_child(child);
}

static void test_system_call_before_the_heap(void **state) {
  (void)state;
  in_child(run_early_call);
}

#ifndef SHARED_LIBRARY

/* It has the lock of the markers' buffers most of the time. */
static void *be_marking(void *unused) {
  step_await(&may_enter, 1);
  CHILD_CHECK(tri_alloc(16));
  tri_cache_defer(tri_cache_self);
  step_reach(&inside, 1);
  while (atomic_load(&may_leave) < 1) tri_work_recycle(tri_work_new());
  tri_cache_undefer(tri_cache_self);
  return unused;
}

/* A fork of the child's looks after the markers, of which there are none. */
static void run_calls_while_marking(void *unused) {
  (void)unused;
  kept = tree_new(DEPTH);
  pthread_t other = have_inside(be_marking);
  for (int i = 0; i < CALLS; i++) {
    pid_t child = fork_by_call();
    if (child == 0) {
      first_fork();
      _exit(0);
    }
    await_child(child);
  }
  have_outside(other);
}

static void test_children_of_system_calls_while_others_mark(void **state) {
  (void)state;
  in_child(run_calls_while_marking);
}

static void *be_starting(void *unused) {
  step_await(&may_enter, 1);
  tri_start_pause();
  step_reach(&inside, 1);
  step_await(&may_leave, 1);
  tri_start_resume();
  return unused;
}

/* Half a heap is none. */
static void run_call_while_starting(void *unused) {
  (void)unused;
  pthread_t other = have_inside(be_starting);
  pid_t child = fork_by_call();
  if (child == 0) {
    errno = 0;
    CHILD_CHECK(!tri_alloc(16) && errno == ENOMEM);
    tri_gc();
    _exit(0);
  }
  await_child(child);
  have_outside(other);
  CHILD_CHECK(tri_alloc(16));
}

static void test_system_call_while_the_heap_starts(void **state) {
  (void)state;
  child_result result = in_child(run_call_while_starting);
  assert_non_null(strstr(result.text, "cannot be started in this process"));
}

#endif

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_bare_forks_in_the_middle_of_a_cycle),
      cmocka_unit_test(test_bare_fork_without_threads),
      cmocka_unit_test(test_bare_fork_in_a_handler),
      cmocka_unit_test(test_bare_fork_after_a_handler),
      cmocka_unit_test(test_children_of_system_calls),
      cmocka_unit_test(test_children_of_system_calls_find_locks_held),
      cmocka_unit_test(test_child_of_system_call_in_a_stop),
      cmocka_unit_test(test_system_call_before_the_heap),
#ifndef SHARED_LIBRARY
      cmocka_unit_test(test_system_call_while_the_heap_starts),
      cmocka_unit_test(test_children_of_system_calls_while_others_mark),
#endif
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
